"""Plane geometry of machines and sites: footprints, polygons, ways to an edge."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numba
import numpy as np
import numpy.typing as npt

from physai.robot.kinematics import Kinematics
from physai.types import Array

if TYPE_CHECKING:
    from physai.robot.description import Robot

__all__ = [
    "box_corners",
    "box_gap",
    "edge_distance",
    "footprint_of",
    "inside_polygon",
    "nearest_on_polygon",
    "place_corners",
    "polygon_near",
    "polygon_reaches",
    "ray_distance",
]


@numba.njit(cache=True)
def inside_polygon(x: float, y: float, polygon: Array) -> bool:
    """Return whether a place is inside a (K, 2) polygon (crossing number)."""
    inside = False
    k = polygon.shape[0]
    for i in range(k):
        j = (i + 1) % k
        if (polygon[i, 1] > y) != (polygon[j, 1] > y):
            along = (y - polygon[i, 1]) / (polygon[j, 1] - polygon[i, 1])
            if x < polygon[i, 0] + along * (polygon[j, 0] - polygon[i, 0]):
                inside = not inside
    return inside


@numba.njit(cache=True)
def edge_distance(x: float, y: float, polygon: Array) -> float:
    """Return the distance of a place from the edge of a (K, 2) polygon [m]."""
    best = np.inf
    k = polygon.shape[0]
    for i in range(k):
        j = (i + 1) % k
        ex, ey = polygon[j, 0] - polygon[i, 0], polygon[j, 1] - polygon[i, 1]
        size = ex * ex + ey * ey
        share = 0.0
        if size > 0.0:
            share = ((x - polygon[i, 0]) * ex + (y - polygon[i, 1]) * ey) / size
            share = min(1.0, max(0.0, share))
        dx, dy = x - polygon[i, 0] - share * ex, y - polygon[i, 1] - share * ey
        best = min(best, dx * dx + dy * dy)
    return float(np.sqrt(best))


@numba.njit(cache=True)
def ray_distance(x: float, y: float, dx: float, dy: float, polygon: Array) -> float:
    """Return the way from a place along a unit direction to a polygon's edge [m]."""
    best = np.inf
    k = polygon.shape[0]
    for i in range(k):
        j = (i + 1) % k
        ex, ey = polygon[j, 0] - polygon[i, 0], polygon[j, 1] - polygon[i, 1]
        cross = dx * ey - dy * ex
        if abs(cross) < 1e-12:
            continue
        wx, wy = polygon[i, 0] - x, polygon[i, 1] - y
        along = (wx * ey - wy * ex) / cross
        share = (wx * dy - wy * dx) / cross
        if along >= 0.0 and 0.0 <= share <= 1.0:
            best = min(best, along)
    return best


def footprint_of(robot: Robot) -> npt.NDArray[np.float64]:
    """Return x_min, x_max, y_min, y_max of the robot's shapes in its base frame [m].

    Of the home posture; a section that matters for an outstretched tool adds a margin.
    """
    kinematics = Kinematics(robot)
    capsules = kinematics.capsules()
    ends = capsules[:, :6].reshape(-1, 3)
    radius = np.repeat(capsules[:, 6], 2)
    return np.array(
        [
            (ends[:, 0] - radius).min(),
            (ends[:, 0] + radius).max(),
            (ends[:, 1] - radius).min(),
            (ends[:, 1] + radius).max(),
        ]
    )


@numba.njit(cache=True)
def place_corners(pose: Array, footprint: Array, out: Array) -> None:
    """Write the (4, 2) corners of a footprint in the world's plane, in order around.

    Args:
        pose: (7,) of the base; its heading is that of its x axis seen from above.
        footprint: (4,) x_min, x_max, y_min, y_max in the base frame [m].
        out: (4, 2) [m].
    """
    qx, qy, qz, qw = pose[3], pose[4], pose[5], pose[6]
    cx = 1.0 - 2.0 * (qy * qy + qz * qz)
    cy = 2.0 * (qx * qy + qz * qw)
    size = max(np.sqrt(cx * cx + cy * cy), 1e-9)
    cx, cy = cx / size, cy / size
    for k in range(4):
        u = footprint[1] if k == 0 or k == 3 else footprint[0]
        v = footprint[3] if k < 2 else footprint[2]
        out[k, 0] = pose[0] + u * cx - v * cy
        out[k, 1] = pose[1] + u * cy + v * cx


@numba.njit(cache=True)
def _overlaps(one: Array, other: Array) -> bool:
    """Whether two convex (4, 2) polygons overlap (separating axes)."""
    for p in range(2):
        shape = one if p == 0 else other
        for k in range(4):
            m = (k + 1) % 4
            nx, ny = shape[m, 1] - shape[k, 1], shape[k, 0] - shape[m, 0]
            low1 = low2 = np.inf
            high1 = high2 = -np.inf
            for i in range(4):
                a = nx * one[i, 0] + ny * one[i, 1]
                b = nx * other[i, 0] + ny * other[i, 1]
                low1, high1 = min(low1, a), max(high1, a)
                low2, high2 = min(low2, b), max(high2, b)
            if low1 > high2 or low2 > high1:
                return False
    return True


@numba.njit(cache=True)
def nearest_on_polygon(x: float, y: float, polygon: Array, out: Array) -> float:
    """Write the point of a (K, 2) polygon's edge nearest to a place; its distance."""
    best = np.inf
    k = polygon.shape[0]
    for i in range(k):
        j = (i + 1) % k
        ex, ey = polygon[j, 0] - polygon[i, 0], polygon[j, 1] - polygon[i, 1]
        size = max(ex * ex + ey * ey, 1e-12)
        share = ((x - polygon[i, 0]) * ex + (y - polygon[i, 1]) * ey) / size
        share = min(1.0, max(0.0, share))
        px, py = polygon[i, 0] + share * ex, polygon[i, 1] + share * ey
        d = (x - px) ** 2 + (y - py) ** 2
        if d < best:
            best, out[0], out[1] = d, px, py
    return float(np.sqrt(best))


@numba.njit(cache=True)
def box_gap(one: Array, other: Array, out: Array) -> float:
    """Distance of two convex (4, 2) footprints [m]; 0 where they overlap.

    Args:
        one: Corners, in order around.
        other: The same.
        out: (4,) nearest place of ``one``, then of ``other``; the middles of both where
            they overlap.
    """
    if _overlaps(one, other):
        for c in range(2):
            out[c], out[2 + c] = 0.0, 0.0
            for k in range(4):
                out[c] += 0.25 * one[k, c]
                out[2 + c] += 0.25 * other[k, c]
        return 0.0
    best, point = np.inf, np.empty(2)
    for k in range(4):
        d = nearest_on_polygon(one[k, 0], one[k, 1], other, point)
        if d < best:
            best = d
            out[0], out[1], out[2], out[3] = one[k, 0], one[k, 1], point[0], point[1]
        d = nearest_on_polygon(other[k, 0], other[k, 1], one, point)
        if d < best:
            best = d
            out[0], out[1] = point[0], point[1]
            out[2], out[3] = other[k, 0], other[k, 1]
    return best


@numba.njit(cache=True)
def box_corners(
    x: float, y: float, heading: float, length: float, width: float, out: Array
) -> None:
    """Write the (4, 2) corners of a box seen from above, in order around.

    Args:
        x: Of its middle [m].
        y: Of its middle [m].
        heading: Of its length [rad].
        length: [m].
        width: [m].
        out: (4, 2) [m].
    """
    c, s = np.cos(heading), np.sin(heading)
    for k in range(4):
        u = 0.5 * length if k == 0 or k == 3 else -0.5 * length
        v = 0.5 * width if k < 2 else -0.5 * width
        out[k, 0], out[k, 1] = x + u * c - v * s, y + u * s + v * c


@numba.njit(cache=True)
def polygon_near(x: float, y: float, polygon: Array, reach: float) -> bool:
    """Return whether a place is inside a polygon or no farther from it than that [m]."""
    return inside_polygon(x, y, polygon) or edge_distance(x, y, polygon) <= reach


@numba.njit(cache=True)
def polygon_reaches(corners: Array, polygon: Array) -> bool:
    """Return whether a footprint's (4, 2) corners or edges touch a polygon."""
    for k in range(4):
        if inside_polygon(corners[k, 0], corners[k, 1], polygon):
            return True
        m = (k + 1) % 4
        dx, dy = corners[m, 0] - corners[k, 0], corners[m, 1] - corners[k, 1]
        size = max(np.sqrt(dx * dx + dy * dy), 1e-9)
        way = ray_distance(corners[k, 0], corners[k, 1], dx / size, dy / size, polygon)
        if way <= size:
            return True
    return False
