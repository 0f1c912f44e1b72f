"""Protective field: stop within what the lidar sees, in the corridor that is driven.

A driverless truck stops before whatever stands in its way, and is never faster than it
can stop within its detection range in the worst load and on the worst floor
(ISO 3691-4 as quoted in public notes; closed form of ISO 13855 with the object's own
speed). Where no sensor looks, the speed is that of muted detection, 0.3 m/s at most.
"""

from __future__ import annotations

import math
from typing import Annotated, ClassVar

import numba
import numpy as np
from pydantic import Field

from physai.config import Config
from physai.errors import ConfigError
from physai.plant.protective_field import straight_way, turning_way
from physai.robot.description import Robot
from physai.robot.kinematics import Kinematics
from physai.safety.rules import Signal
from physai.safety.sections.section import (
    Caps,
    Section,
    approach_speed,
    footprint_of,
)
from physai.types import Array, State

__all__ = ["FieldValues", "ProtectiveField"]

Positive = Annotated[float, Field(gt=0.0)]
NonNegative = Annotated[float, Field(ge=0.0)]


class FieldValues(Config):
    """Section ``field``."""

    deceleration_m_s2: Positive
    """In the worst load, on the worst floor."""
    object_speed_m_s: NonNegative
    """Speed toward the robot that is assumed of what the lidar sees."""
    side_margin_m: NonNegative
    """Kept free beside the robot (0.5 m in an operating zone, where there is room)."""
    standstill_m: NonNegative
    """Kept free before the robot at standstill."""
    detection_m: Positive = 0.07
    """What a gap between rays must not hide: a leg."""
    unseen_speed_m_s: Annotated[float, Field(ge=0.0, le=0.3)]
    """Where no ray looks; at most 0.3 m/s (ISO 3691-4 Annex A, muted detection)."""
    source: str


@numba.njit(cache=True)
def _place_points(
    ranges: Array, directions: Array, origin: Array, figures: Array, out: Array
) -> int:
    """Write where something stands, or could stand, in the base frame.

    Args:
        ranges: (L,) see the module [m].
        directions: (L, 2) of the rays in the base frame.
        origin: (2,) of the lidar in the base frame [m].
        figures: See :func:`_judge`; the smallest thing that must be found is 0 where
            gaps are trusted.
        out: (L, 3) points [m] and the square of their distance from the robot with its
            margins [m2].

    Returns:
        How many.
    """
    reach, step, detection = figures[4], figures[9], figures[10]
    count, i, rays = 0, 0, ranges.shape[0]
    while i < rays:
        end, r = i + 1, ranges[i]
        if not r > 0.0:
            while end < rays and not ranges[end] > 0.0:
                end += 1
            # n rays without a measurement hide what fits into n + 1 steps.
            wide = 2.0 * math.sin(min(0.5 * math.pi, 0.5 * (end - i + 1) * step))
            r = detection / wide if detection > 0.0 else reach
        if r < reach:
            for k in range(i, end):
                x = origin[0] + r * directions[k, 0]
                y = origin[1] + r * directions[k, 1]
                dx = max(figures[0] - x, x - figures[1], 0.0)
                dy = max(figures[2] - y, y - figures[3], 0.0)
                out[count, 0], out[count, 1] = x, y
                out[count, 2] = dx * dx + dy * dy
                count += 1
        i = end
    return count


@numba.njit(cache=True)
def _ring(box: Array, curvature: float) -> tuple[float, float]:
    """Return the radii, squared, between which the box sweeps on a circle [m2]."""
    centre, outer = 1.0 / curvature, 0.0
    for corner in range(4):
        x, y = box[corner // 2], box[2 + corner % 2] - centre
        outer = max(outer, x * x + y * y)
    inner = max(0.0, box[2] - centre, centre - box[3])
    return inner * inner, outer


@numba.njit(cache=True)
def _free_way(
    points: Array,
    count: int,
    box: Array,
    free: float,
    curvature: float,
    side: int,
    enough: float,
) -> float:
    """Return the way until the box touches a point, forward (side 0) or backward [m].

    Exact for a rectangle on a straight line or a circle, the front that swings out
    and the tail included.

    Args:
        points: Of :func:`_place_points`, the first ``count``.
        count: How many.
        box: (4,) the robot with its margins.
        free: Way that is known to be the most [m].
        curvature: Of the way [1/m].
        side: 0 or 1.
        enough: Once the way is shorter than this, its length does not matter [m].
    """
    sign = 1.0 if side == 0 else -1.0
    if abs(curvature) <= 1e-3:
        for i in range(count):
            free = min(free, straight_way(points[i, 0], points[i, 1], box, sign))
            if free < enough:
                break
        return free
    inner, outer = _ring(box, curvature)
    centre, square = 1.0 / curvature, curvature * curvature * _ABOVE_ROUNDING
    for i in range(count):
        x, y = points[i, 0], points[i, 1]
        dy = y - centre
        away = x * x + dy * dy
        if not inner <= away <= outer:
            continue
        # On its arc, never shorter than the straight gap, a point comes no nearer than
        # it has to: what is that far away cannot shorten the way.
        if points[i, 2] > free * free * away * square + _TOUCH_M2:
            continue
        free = min(free, turning_way(x, y, box, curvature, sign))
        if free < enough:
            break
    return free


_ABOVE_ROUNDING, _TOUCH_M2 = 1.0 + 1e-6, 1e-6
"""Far above rounding and above the 1e-9 m within which an edge counts as touched."""


@numba.njit(cache=True)
def _speed_for(free: float, figures: Array) -> float:
    """Return the speed from which the robot stops within a free way [m/s]."""
    return float(approach_speed(free - figures[5], figures[6], figures[7], figures[8]))


@numba.njit(cache=True)
def _cap_speed(
    points: Array,
    count: int,
    figures: Array,
    curvature: float,
    straighten: bool,
    out: Array,
) -> None:
    """Write the permitted speed forward and backward [m/s].

    Args:
        points: Of :func:`_place_points`, the first ``count``.
        count: How many.
        figures: See :func:`_judge`.
        curvature: Driven [1/m].
        straighten: Take the least of the curve, half of it and straight on: to stop is
            to give up the turn as well.
        out: (4,) the first two filled.
    """
    box, bends = figures[:4], 3 if straighten and curvature != 0.0 else 1
    for side in range(2):
        free = figures[4]
        for k in range(bends):
            bend = (1.0 - 0.5 * k) * curvature
            free = _free_way(points, count, box, free, bend, side, -1.0)
        out[side] = _speed_for(free, figures)


@numba.njit(cache=True)
def _way_for(speed: float, figures: Array) -> float:
    """Return a way within which the robot stops from a speed, hardly longer than needed.

    V Tr + v^2/2a + vo (Tr + v/a) and what is kept free; at most the reach [m].
    """
    vo, a, tr = figures[6], figures[7], figures[8]
    way = speed * tr + speed * speed / (2.0 * a) + vo * (tr + speed / a)
    way = (way + figures[5]) * (1.0 + 1e-6) + 1e-6
    if not (way < figures[4] and _speed_for(way, figures) >= speed):
        way = figures[4]
    return float(way)


@numba.njit(cache=True)
def _longest_too_short(speed: float, way: float, figures: Array) -> float:
    """Return a way from which the robot does not stop in time, hardly too short [m]."""
    short = way * (1.0 - 1e-5) - 1e-5
    return short if short > 0.0 and not _speed_for(short, figures) >= speed else -1.0


@numba.njit(cache=True)
def _cap_turns(
    points: Array, count: int, figures: Array, speed: float, most: float, out: Array
) -> None:
    """Write how fast the robot may turn to the left and to the right [rad/s].

    A faster turn would swing the corridor over something that is too near to stop for
    at the speed that is driven now. Tried from small to large, each a factor above
    the last, so that the answer is on the safe side.

    Args:
        points: Of :func:`_place_points`, the first ``count``.
        count: How many.
        figures: See :func:`_judge`.
        speed: Driven [m/s]; backward below 0.
        most: Largest yaw rate [rad/s].
        out: (4,) the last two filled.
    """
    side = 0 if speed >= 0.0 else 1
    fast, box = max(abs(speed), _TURN_FROM_M_S), figures[:4]
    # Only whether the way suffices is asked, not how long it is.
    way_needed = _way_for(abs(speed), figures)
    too_short = _longest_too_short(abs(speed), way_needed, figures)
    for way in range(2):
        sign = 1.0 if (way == 0) == (side == 0) else -1.0
        allowed = 0.0
        for k in range(_TURNS - 1, -1, -1):
            rate = most / _TURN_FACTOR**k
            bend = sign * rate / fast
            free = _free_way(points, count, box, way_needed, bend, side, too_short)
            if not _speed_for(free, figures) >= abs(speed):
                break
            allowed = rate
        out[2 + way] = allowed


_TURNS, _TURN_FACTOR = 8, 1.5
_TURN_FROM_M_S = 0.2
"""Slower than this, the corridor of a turn is that of this speed: standing, any turn
would be one on the spot."""


@numba.njit(cache=True)
def _judge(
    ranges: Array,
    directions: Array,
    origin: Array,
    figures: Array,
    points: Array,
    speed: float,
    rate: float,
    guards: bool,
    out: Array,
) -> None:
    """Write caps forward, backward [m/s], to the left and to the right [rad/s].

    Args:
        ranges: (L,) [m].
        directions: (L, 2).
        origin: (2,).
        figures: (12,) rear, front, right, left of the robot with its margins, reach,
            way kept free [m], object's speed [m/s], a [m/s2], Tr [s], angle between
            rays [rad], detection [m], largest yaw rate [rad/s].
        points: (L, 3) scratch.
        speed: Driven [m/s].
        rate: Yaw rate [rad/s].
        guards: Whether this is the guard's view.
        out: (4,) filled.
    """
    count = _place_points(ranges, directions, origin, figures, points)
    curvature = rate / speed if abs(speed) > _MOVING_M_S else 0.0
    _cap_speed(points, count, figures, curvature, guards, out)
    if guards:
        _cap_turns(points, count, figures, speed, figures[11], out)


_MOVING_M_S = 0.05
"""Slower than this, no curvature is driven."""


@numba.njit(cache=True)
def _any_number(ranges: Array) -> bool:
    """Return whether any of the (L,) ranges is a number."""
    return bool((~np.isnan(ranges)).any())


class ProtectiveField(Section):
    """Caps the base's speed by the free way; see the module.

    The yaw rate is capped too: a truck that turns swings its corridor over what stood
    beside it, at once and at full speed.

    Raises:
        ConfigError: If the robot has no lidar.
    """

    Values: ClassVar[type[Config]] = FieldValues

    def __init__(
        self,
        values: FieldValues,
        robot: Robot,
        truth_view: bool,
        caps: Caps,
        reaction_time_s: float,
    ) -> None:
        super().__init__(values, robot, truth_view, caps, reaction_time_s)
        lidar = robot.lidar
        if lidar is None:
            raise ConfigError(f"sections.field: {robot.name} has no lidar")
        self._kind = caps.kind("protective_field")
        angles = lidar.angles_rad
        bearing = angles + lidar.yaw_rad
        self._directions = np.stack([np.cos(bearing), np.sin(bearing)], axis=1)
        self._origin = np.array(lidar.position_m[:2])
        rear, front, right, left = footprint_of(robot).tolist()
        # The scorer judges what is there, not what could be, and keeps nothing back.
        kept = 0.0 if truth_view else 1.0
        self._figures = np.array(
            [
                rear,
                front,
                right - values.side_margin_m,
                left + values.side_margin_m,
                lidar.range_max_m,
                kept * values.standstill_m,
                kept * values.object_speed_m_s,
                values.deceleration_m_s2,
                reaction_time_s,
                float(angles[1] - angles[0]),
                kept * values.detection_m,
                float(robot.velocity_max[1]),
            ]
        )
        sees_back = lidar.field_of_view_rad > 1.9 * np.pi
        self._backward = np.inf if sees_back else values.unseen_speed_m_s
        self._points, self._out = np.zeros((lidar.rays, 3)), np.zeros(4)
        self._fastest = float(robot.velocity_max[0])

    def update(self, state: State, kinematics: Kinematics, signals: Array) -> None:
        """Look along the driven corridor; cap speed and turn."""
        signals[Signal.LIDAR_AGE] = state.lidar_age_s
        ranges = state.lidar_range_m
        v, w = state.actuator_velocity[:2].tolist()
        # A ray may lose its echo; a scan without one number is no scan.
        if ranges.shape != self._points.shape[:1] or not _any_number(ranges):
            signals[Signal.LIDAR_AGE] = np.nan
            self.caps.cap(0, 0.0, 0.0, self._kind)
            signals[Signal.PROTECTIVE_FIELD] = abs(v) / self._fastest
            return
        out, figures = self._out, self._figures
        figures[_REACTION] = self.reaction_time_s
        if not self.truth_view:
            figures[_REACTION] += state.lidar_age_s
        _judge(
            np.ascontiguousarray(ranges),
            self._directions,
            self._origin,
            figures,
            self._points,
            v,
            w,
            not self.truth_view,
            out,
        )
        ahead, behind, left, right = out.tolist()
        behind = min(self._backward, behind)
        self.caps.cap(0, ahead, behind, self._kind)
        if not self.truth_view:
            self.caps.cap(1, left, right, self._kind)
        signals[Signal.PROTECTIVE_FIELD] = max(v - ahead, -v - behind) / self._fastest


_REACTION = 8
"""Place of Tr among the figures."""
