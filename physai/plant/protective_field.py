"""What a protective field needs of a scan: the nearest thing in it, and how far to go.

Fields are given in the robot's frame (x ahead, y left, metres). A scan's values follow
:class:`physai.plant.lidar.Lidar`: the largest range is no echo, 0 no valid measurement.
Rays without a measurement are never taken for free space: a reading says how wide a
thing they could hide, and the caller compares that with what it has to detect (70 mm
for a leg, IEC 61496-3).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numba
import numpy as np
import numpy.typing as npt

from physai.errors import ContractError
from physai.plant.lidar import Lidar
from physai.types import Array

__all__ = [
    "FieldReading",
    "ScanGeometry",
    "clearance_along",
    "read_field",
    "straight_way",
    "turning_way",
]

Flags = npt.NDArray[np.bool_]


class FieldReading(NamedTuple):
    """One look at a protective field.

    Attributes:
        distance_m: From the field's reference point to the nearest thing in it [m];
            infinity if there is none.
        ray: Which ray saw it; -1 if there is none.
        hits: Rays that fell on something in the field.
        hidden_m: Widest thing at the field's border that could be hidden behind rays
            without a measurement [m]; rays of declared blind sectors count too.
    """

    distance_m: float
    ray: int
    hits: int
    hidden_m: float


class ScanGeometry:
    """Where the rays of a lidar lie in the robot's frame.

    Args:
        bearings: (L,) in the sensor's frame, increasing and evenly spaced [rad].
        position: (3,) of the sensor in the robot's frame [m].
        rotation: (3, 3) of the sensor in the robot's frame.
        range_max_m: What no echo reads as [m].

    Raises:
        ContractError: If a vector has the wrong shape.
    """

    def __init__(
        self, bearings: Array, position: Array, rotation: Array, range_max_m: float
    ) -> None:
        if np.shape(position) != (3,) or np.shape(rotation) != (3, 3):
            raise ContractError("a sensor needs a (3,) position and a (3, 3) rotation")
        self.origin = np.array(position[:2], dtype=np.float64)
        flat = np.stack([np.cos(bearings), np.sin(bearings)])
        self.directions = np.ascontiguousarray((rotation[:2, :2] @ flat).T)
        self.step_rad = float(bearings[1] - bearings[0]) if len(bearings) > 1 else 0.0
        self.range_max_m = float(range_max_m)

    @classmethod
    def of(cls, lidar: Lidar) -> ScanGeometry:
        """Return the geometry of a lidar that is mounted on the robot's base link."""
        return cls(
            lidar.bearings,
            lidar.position_in_link,
            lidar.rotation_in_link,
            lidar.figures.range_max_m,
        )


@numba.njit(cache=True)
def _inside(x: float, y: float, polygon: Array) -> bool:
    """Whether a point is in a polygon, by crossings of a ray (any simple polygon)."""
    inside, k = False, polygon.shape[0] - 1
    for i in range(polygon.shape[0]):
        yi, yk = polygon[i, 1], polygon[k, 1]
        if (yi > y) != (yk > y):
            across = polygon[i, 0] + (y - yi) / (yk - yi) * (
                polygon[k, 0] - polygon[i, 0]
            )
            if x < across:
                inside = not inside
        k = i
    return inside


@numba.njit(cache=True)
def _border(ox: float, oy: float, dx: float, dy: float, polygon: Array) -> float:
    """Return how far along a ray the polygon reaches; 0 if the ray never meets it."""
    far, k = 0.0, polygon.shape[0] - 1
    for i in range(polygon.shape[0]):
        ex, ey = polygon[i, 0] - polygon[k, 0], polygon[i, 1] - polygon[k, 1]
        wx, wy = polygon[k, 0] - ox, polygon[k, 1] - oy
        across = dx * ey - dy * ex
        if abs(across) > 1e-12:
            t, s = (wx * ey - wy * ex) / across, (wx * dy - wy * dx) / across
            if t > far and -1e-9 <= s <= 1.0 + 1e-9:
                far = t
        k = i
    return far


@numba.njit(cache=True)
def _read(
    ranges: Array,
    origin: Array,
    directions: Array,
    step: float,
    range_max: float,
    polygon: Array,
    reference: Array,
) -> tuple[float, int, int, float]:
    nearest, ray, count = math.inf, -1, 0
    hidden, gap, reach = 0.0, 0, 0.0
    rays = ranges.shape[0]
    # Around a full turn a gap may go on from the last ray to the first.
    again = rays if rays * step > 2.0 * math.pi - 1e-6 else 0
    for j in range(rays + again):
        i = j % rays
        r = ranges[i]
        if j >= rays and r > 0.0:
            break
        dx, dy = directions[i, 0], directions[i, 1]
        if not (r > 0.0):
            border = _border(origin[0], origin[1], dx, dy, polygon)
            if border > 0.0:
                gap += 1
                reach = max(reach, min(border, range_max))
                # A thing between two rays that do measure is missed already when it
                # is narrower than their distance: n rays without hide n + 1 steps.
                hidden = max(hidden, 2.0 * reach * math.sin(0.5 * (gap + 1) * step))
            continue
        gap, reach = 0, 0.0
        if r >= range_max:
            continue
        x, y = origin[0] + r * dx, origin[1] + r * dy
        if not _inside(x, y, polygon):
            continue
        count += 1
        away = math.hypot(x - reference[0], y - reference[1])
        if away < nearest:
            nearest, ray = away, i
    return nearest, ray, count, hidden


def read_field(
    ranges: Array,
    geometry: ScanGeometry,
    polygon: Array,
    reference: Array | None = None,
) -> FieldReading:
    """Look for the nearest thing inside a polygon.

    Args:
        ranges: (L,) a scan [m].
        geometry: Of its rays.
        polygon: (V, 2) corners in the robot's frame [m], in order; may be concave.
        reference: (2,) from where distances are taken; the sensor if None.

    Returns:
        The reading.

    Raises:
        ContractError: If scan or polygon have the wrong shape.
    """
    if ranges.shape != geometry.directions.shape[:1]:
        raise ContractError(
            f"a scan of {ranges.shape} does not fit {len(geometry.directions)} rays"
        )
    if polygon.ndim != 2 or polygon.shape[1] != 2 or len(polygon) < 3:
        raise ContractError("a field needs at least three corners of two numbers")
    return FieldReading(
        *_read(
            ranges,
            geometry.origin,
            geometry.directions,
            geometry.step_rad,
            geometry.range_max_m,
            polygon,
            geometry.origin if reference is None else reference,
        )
    )


@numba.njit(cache=True)
def straight_way(x: float, y: float, box: Array, sign: float) -> float:
    """Return the way until a box that goes along x touches a point [m].

    Args:
        x: The point in the box's frame [m], with ``y``.
        y: The same.
        box: (4,) rear, front, right, left [m].
        sign: 1 ahead, -1 back.

    Returns:
        0 where it touches now; infinity if it never does.
    """
    if not box[2] <= y <= box[3]:
        return math.inf
    if box[0] <= x <= box[1]:
        return 0.0
    way = sign * (x - (box[1] if sign > 0.0 else box[0]))
    return way if way >= 0.0 else math.inf


@numba.njit(cache=True)
def turning_way(x: float, y: float, box: Array, curvature: float, sign: float) -> float:
    """Return the way of a box's frame along its circle until it touches a point [m].

    Seen from the robot the point turns the other way about the centre (0, 1/k); it
    touches where its circle crosses an edge. Arguments as of :func:`straight_way`.

    Args:
        x: The point [m], with ``y``.
        y: The same.
        box: (4,) rear, front, right, left [m].
        curvature: Not 0; positive to the left [1/m].
        sign: 1 ahead, -1 back.
    """
    if box[0] <= x <= box[1] and box[2] <= y <= box[3]:
        return 0.0
    centre = 1.0 / curvature
    radius, now = math.hypot(x, y - centre), math.nan
    spin = -1.0 if sign * curvature > 0.0 else 1.0
    best = math.inf
    for edge in range(4):
        upright = edge < 2
        level = box[edge] if upright else box[edge] - centre
        if abs(level) > radius:
            continue
        other = math.sqrt(radius * radius - level * level)
        for side in range(2):
            s = other if side == 0 else -other
            u, v = (level, s) if upright else (s, level)
            place = v + centre if upright else u
            low, high = (box[2], box[3]) if upright else (box[0], box[1])
            if low - 1e-9 <= place <= high + 1e-9:
                if now != now:
                    now = math.atan2(y - centre, x)
                angle = (spin * (math.atan2(v, u) - now)) % (2.0 * math.pi)
                best = min(best, angle)
    return best / abs(curvature)


@numba.njit(cache=True)
def _clear(
    ranges: Array,
    origin: Array,
    directions: Array,
    range_max: float,
    box: Array,
    curvature: float,
    sign: float,
) -> tuple[float, int]:
    best, ray = math.inf, -1
    for i in range(ranges.shape[0]):
        r = ranges[i]
        if not (r > 0.0) or r >= range_max:
            continue
        x, y = origin[0] + r * directions[i, 0], origin[1] + r * directions[i, 1]
        if abs(curvature) < 1e-6:
            way = straight_way(x, y, box, sign)
        else:
            way = turning_way(x, y, box, curvature, sign)
        if way < best:
            best, ray = way, i
    return best, ray


def clearance_along(
    ranges: Array,
    geometry: ScanGeometry,
    footprint: Array,
    curvature_per_m: float = 0.0,
    forward: bool = True,
) -> tuple[float, int]:
    """Return how far a vehicle can go along its path before it touches something seen.

    The corridor is what the footprint sweeps, its tail that swings out included: exact
    for a rectangle on a straight line or a circle. Rays without a measurement are not
    in it: ask :func:`read_field` for what they may hide.

    Args:
        ranges: (L,) a scan [m].
        geometry: Of its rays.
        footprint: (4,) rear, front, right, left of the vehicle in its frame [m]
            (right is negative), margins included.
        curvature_per_m: Turn rate over speed; positive to the left, 0 straight.
        forward: Whether it goes ahead or backs up.

    Returns:
        Way of the frame's origin [m], infinity if nothing is in the way, and the ray.

    Raises:
        ContractError: If scan or footprint have the wrong shape.
    """
    if ranges.shape != geometry.directions.shape[:1]:
        raise ContractError(
            f"a scan of {ranges.shape} does not fit {len(geometry.directions)} rays"
        )
    if footprint.shape != (4,) or not (
        footprint[0] < footprint[1] and footprint[2] < footprint[3]
    ):
        raise ContractError("a footprint is rear < front and right < left, in metres")
    way, ray = _clear(
        ranges,
        geometry.origin,
        geometry.directions,
        geometry.range_max_m,
        footprint,
        curvature_per_m,
        1.0 if forward else -1.0,
    )
    return float(way), int(ray)
