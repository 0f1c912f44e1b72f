"""Protective field: stop within what the lidar sees, in the corridor that is driven.

A driverless truck stops before whatever stands in its way, and is never faster than it
can stop within its detection range in the worst load and on the worst floor
(ISO 3691-4 as quoted in public notes; closed form of ISO 13855 with the object's own
speed). Where no sensor looks, the speed is that of muted detection, 0.3 m/s at most.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

import numba
import numpy as np
from pydantic import Field

from physai.config import Config
from physai.errors import ConfigError
from physai.robot.description import Robot
from physai.robot.kinematics import Kinematics
from physai.safety.rules import Signal
from physai.safety.sections.section import Caps, Section, excess_of, footprint_of
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
def _permitted(free: float, object_speed: float, a: float, tr: float) -> float:
    """V Tr + v^2/2a + vo (Tr + v/a) = d solved for v [m/s]."""
    rest = free - object_speed * tr
    if not rest > 0.0:
        return 0.0
    b = a * tr + object_speed
    return float(-b + np.sqrt(b * b + 2.0 * a * rest))


@numba.njit(cache=True)
def _shorten(
    r: float, bearing: float, place: Array, box: Array, curvature: float, out: Array
) -> None:
    """Shorten the free ways by one thing that a ray found.

    The corridor bends with the curvature that is driven; a point's way is its arc.
    """
    x, y = place[0] + r * np.cos(bearing), place[1] + r * np.sin(bearing)
    across, along = abs(y), x
    if abs(curvature) > 1e-3:
        radius = 1.0 / curvature
        dy = radius - y
        across = abs(abs(radius) - np.sqrt(x * x + dy * dy))
        turn = np.arctan2(x, dy if radius > 0.0 else -dy)
        along = abs(radius) * turn
    if across > box[2]:
        return
    if along > box[1]:
        out[0] = min(out[0], along - box[1])
    elif along < box[0]:
        out[1] = min(out[1], box[0] - along)
    else:
        out[0] = out[1] = 0.0


@numba.njit(cache=True)
def _look(
    ranges: Array,
    angles: Array,
    place: Array,
    box: Array,
    reach: float,
    curvature: float,
    detection: float,
    out: Array,
) -> None:
    """Write the free way forward and backward of the driven corridor [m].

    Args:
        ranges: (L,) see the module [m].
        angles: (L,) bearings [rad].
        place: (3,) x, y and yaw of the lidar in the base frame.
        box: (3,) rear and front of the robot and half the corridor's width [m].
        reach: Largest range [m].
        curvature: Driven [1/m].
        detection: Smallest thing that must be found [m]; 0 trusts gaps.
        out: (2,) filled.
    """
    out[0] = out[1] = reach
    count, i = ranges.shape[0], 0
    step = angles[1] - angles[0]
    while i < count:
        r = ranges[i]
        if r > 0.0:
            if r < reach:
                _shorten(r, angles[i] + place[2], place, box, curvature, out)
            i += 1
            continue
        end = i
        while end < count and not ranges[end] > 0.0:
            end += 1
        # n rays without a measurement hide what fits into n + 1 steps.
        wide = 2.0 * np.sin(min(0.5 * np.pi, 0.5 * (end - i + 1) * step))
        near = detection / wide
        if 0.0 < near < reach:
            for k in range(i, end):
                _shorten(near, angles[k] + place[2], place, box, curvature, out)
        i = end


@numba.njit(cache=True)
def _turn_cap(
    ranges: Array,
    angles: Array,
    place: Array,
    box: Array,
    reach: float,
    detection: float,
    speed: float,
    most: float,
    limits: Array,
    out: Array,
) -> float:
    """Return how fast the robot may turn to one side [rad/s].

    A faster turn would swing the corridor over something that is too near to stop for
    at the speed that is driven now. Tried from small to large, each a factor above
    the last, so that the answer is on the safe side.

    Args:
        ranges: (rays,) [m].
        angles: (rays,) directions in the lidar's frame [rad].
        place: (3,) of the lidar in the base frame: x, y [m], yaw [rad].
        box: (4,) of the robot with its side margin [m].
        reach: Largest range [m].
        detection: Largest range at which a person is surely seen [m].
        speed: Driven [m/s]; backward below 0.
        most: Largest yaw rate to that side; its sign is the side.
        limits: (4,) way kept free [m], object's speed [m/s], a [m/s2], Tr [s].
        out: (2,) scratch.
    """
    side = 0 if speed >= 0.0 else 1
    fast = max(abs(speed), _TURN_FROM_M_S)
    allowed = 0.0
    for k in range(_TURNS - 1, -1, -1):
        rate = most / _TURN_FACTOR**k
        curvature = rate / fast if side == 0 else -rate / fast
        _look(ranges, angles, place, box, reach, curvature, detection, out)
        free = _permitted(out[side] - limits[0], limits[1], limits[2], limits[3])
        if not free >= abs(speed):
            break
        allowed = abs(rate)
    return allowed


_TURNS, _TURN_FACTOR = 10, 1.4
_TURN_FROM_M_S = 0.2
"""Slower than this, the corridor of a turn is that of this speed: standing, any turn
would be one on the spot."""


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
        self._values, self._kind = values, caps.kind("protective_field")
        self._angles = lidar.angles_rad
        self._place = np.array([*lidar.position_m[:2], lidar.yaw_rad])
        rear, front, right, left = footprint_of(robot).tolist()
        half = max(left, -right) + values.side_margin_m
        self._box = np.array([rear, front, half])
        # The scorer judges what is there, not what could be.
        self._detection = 0.0 if truth_view else values.detection_m
        self._reach = lidar.range_max_m
        sees_back = lidar.field_of_view_rad > 1.9 * np.pi
        self._backward = np.inf if sees_back else values.unseen_speed_m_s
        self._out, self._scratch, self._limits = np.zeros(2), np.zeros(2), np.zeros(4)

    def update(self, state: State, kinematics: Kinematics, signals: Array) -> None:
        """Look along the driven corridor and cap the speed."""
        values, out = self._values, self._out
        signals[Signal.LIDAR_AGE] = state.lidar_age_s
        if state.lidar_range_m.shape != self._angles.shape:
            signals[Signal.LIDAR_AGE] = np.nan
            self.caps.cap(0, 0.0, 0.0, self._kind)
            return
        v, w = state.actuator_velocity[:2].tolist()
        _look(
            np.ascontiguousarray(state.lidar_range_m),
            self._angles,
            self._place,
            self._box,
            self._reach,
            w / v if abs(v) > 0.05 else 0.0,
            self._detection,
            out,
        )
        tr = self.reaction_time_s + (0.0 if self.truth_view else state.lidar_age_s)
        kept = 0.0 if self.truth_view else values.standstill_m
        speed = 0.0 if self.truth_view else values.object_speed_m_s
        a = values.deceleration_m_s2
        ahead = _permitted(out[0] - kept, speed, a, tr)
        behind = min(self._backward, _permitted(out[1] - kept, speed, a, tr))
        self.caps.cap(0, ahead, behind, self._kind)
        if not self.truth_view:
            self._cap_turns(state, v, tr)
        signals[Signal.PROTECTIVE_FIELD] = excess_of(
            np.array([v]),
            np.array([-behind]),
            np.array([ahead]),
            self.robot.velocity_max[:1],
        )

    def _cap_turns(self, state: State, speed: float, reaction: float) -> None:
        values = self._values
        limits = self._limits
        limits[:] = (
            values.standstill_m,
            values.object_speed_m_s,
            values.deceleration_m_s2,
            reaction,
        )
        ranges = np.ascontiguousarray(state.lidar_range_m)
        most = float(self.robot.velocity_max[1])
        left, right = (
            _turn_cap(
                ranges,
                self._angles,
                self._place,
                self._box,
                self._reach,
                self._detection,
                speed,
                side * most,
                limits,
                self._scratch,
            )
            for side in (1.0, -1.0)
        )
        self.caps.cap(1, left, right, self._kind)
