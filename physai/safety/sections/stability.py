"""Stability: slope, roll-over, speed in curves, and lift height against speed.

A quasi-static support polygon: a machine whose centre of mass stands at height h over a
base of half width b tips sideways where tan(roll) + a_lat / g = b / h, lengthwise the
same. The guard permits a share of that angle, slows down on slopes and in curves, lifts no
load where it is not level enough, and ties the speed to the height of a lifted load (project table; ISO 3691-4 asks for
stability in the worst load).
"""

from __future__ import annotations

import math
from typing import Annotated, ClassVar

import numba
import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from physai.config import Config
from physai.robot.description import Robot
from physai.robot.kinematics import Kinematics
from physai.safety.rules import Signal
from physai.safety.sections.section import Caps, Section, cap_actuator, excess_of
from physai.types import Array, State

__all__ = ["Stability", "StabilityValues"]

_BACKING_M_S = 0.05
"""Slower than this the robot does not back up (project choice)."""

Positive = Annotated[float, Field(gt=0.0)]


class LiftValues(Config):
    """Speed against the height of a lifted load."""

    joint: str
    height_m: Annotated[tuple[float, ...], Field(min_length=2)]
    """Positions of the joint, ascending [m or rad]."""
    speed_m_s: Annotated[tuple[Positive, ...], Field(min_length=2)]
    """Permitted forward speed at these; straight lines between."""

    @model_validator(mode="after")
    def _table(self) -> LiftValues:
        if len(self.height_m) != len(self.speed_m_s):
            raise ValueError("height_m and speed_m_s must be equally long")
        if sorted(self.height_m) != list(self.height_m):
            raise ValueError("height_m must ascend")
        return self


class StabilityValues(Config):
    """Section ``stability``."""

    roll_limit_rad: Annotated[float, Field(gt=0.0, lt=1.57)]
    """Permitted inclination sideways, a share of the tipping angle."""
    pitch_limit_rad: Annotated[float, Field(gt=0.0, lt=1.57)]
    lateral_acceleration_m_s2: Positive
    """Permitted v times yaw rate."""
    turn_share: Annotated[float, Field(gt=0.0, le=1.0)] = 1.0
    """Share of the yaw rate that is left at the permitted inclination: tracks that turn
    on a slope give up grip and slide (IHI IC75-2 manual: never change direction there)."""
    reverse_turn_rad_s: Positive | None = None
    """Yaw rate permitted while backing up; None for no limit of its own. Of tracks that
    turn on uneven ground one may bear the weight alone and sets the speed of the whole
    machine by its rim, v + w gauge / 2 times the slip."""
    lift: LiftValues | None = None
    lift_share: Annotated[float, Field(gt=0.0, le=1.0)] = 1.0
    """The load may be lifted further only below this share of the inclination."""
    source: str


@numba.njit(cache=True)
def _speed_at(height: float, heights: Array, speeds: Array) -> float:
    """Return the permitted speed of a lift, straight lines between the table's rows."""
    last, k = heights.shape[0] - 1, 0
    if height >= heights[last]:
        return float(speeds[last])
    if not height > heights[0]:
        return float(speeds[0]) if height == height else height
    while heights[k + 1] <= height:
        k += 1
    rise = (speeds[k + 1] - speeds[k]) / (heights[k + 1] - heights[k])
    return float(rise * (height - heights[k]) + speeds[k])


@numba.njit(cache=True)
def _judge(
    pose: Array,
    velocity: Array,
    fastest: Array,
    figures: Array,
    lift: int,
    height: float,
    table: Array,
    scratch: Array,
    upper: Array,
    lower: Array,
    rule: npt.NDArray[np.int64],
    kind: int,
    out: Array,
) -> None:
    """Measure the inclination; cap linear and angular speed, and a lift.

    Args:
        pose: (7,) of the base.
        velocity: (n,) of the actuators, those of the base first.
        fastest: (n,) limits of the maker.
        figures: (6,) limits of roll and pitch [rad], lateral acceleration [m/s2], share
            of the turn at the limit, turn while backing up [rad/s], share of the limit
            up to which a load may be lifted.
        lift: Place of the lift among the actuators; -1 for none.
        height: Of the lift.
        table: (2, K) heights and speeds.
        scratch: (2, 2) caps of this section.
        upper: (n,) of :class:`Caps`, with ``lower`` and ``rule``.
        lower: The same.
        rule: The same.
        kind: Of the capping rule.
        out: (2,) filled: inclination as a share of the limit, excess above the caps.
    """
    qx, qy, qz, qw = pose[3], pose[4], pose[5], pose[6]
    # World's vertical in the base frame.
    ux, uy = 2.0 * (qx * qz - qy * qw), 2.0 * (qy * qz + qx * qw)
    uz = 1.0 - 2.0 * (qx * qx + qy * qy)
    roll, pitch = abs(math.atan2(uy, uz)), abs(math.atan2(ux, uz))
    share = max(roll / figures[0], pitch / figures[1])
    known = share == share
    speed = fastest[0] * max(0.2, 1.0 - 0.8 * share) if known else 0.0
    if lift >= 0:
        speed = min(speed, _speed_at(height, table[0], table[1]))
        if not share <= figures[5]:
            cap_actuator(upper, lower, rule, lift, 0.0, np.inf, kind)
    v, w = velocity[0], velocity[1]
    # One step later at most one of the two has changed much: each is capped by the
    # other as it is.
    turn = fastest[1] * (1.0 - (1.0 - figures[3]) * min(share, 1.0))
    turn = min(turn if known else 0.0, figures[2] / max(abs(v), 1e-6))
    if v < -_BACKING_M_S:
        turn = min(turn, figures[4])
    speed = min(speed, figures[2] / max(abs(w), 1e-6))
    cap_actuator(upper, lower, rule, 0, speed, speed, kind)
    cap_actuator(upper, lower, rule, 1, turn, turn, kind)
    scratch[0, 0], scratch[0, 1] = speed, turn
    scratch[1, 0], scratch[1, 1] = -speed, -turn
    out[0] = share
    out[1] = excess_of(velocity[:2], scratch[1], scratch[0], fastest[:2])


class Stability(Section):
    """Judges the inclination and caps the speed by slope, curve and lift."""

    Values: ClassVar[type[Config]] = StabilityValues

    def __init__(
        self,
        values: StabilityValues,
        robot: Robot,
        truth_view: bool,
        caps: Caps,
        reaction_time_s: float,
    ) -> None:
        super().__init__(values, robot, truth_view, caps, reaction_time_s)
        self._kind = caps.kind("stability_speed")
        self._lift, self._table = -1, np.zeros((2, 1))
        if values.lift is not None:
            self._lift = robot.actuator_names.index(values.lift.joint)
            self._table = np.array([values.lift.height_m, values.lift.speed_m_s])
        backing = values.reverse_turn_rad_s
        self._figures = np.array(
            [
                values.roll_limit_rad,
                values.pitch_limit_rad,
                values.lateral_acceleration_m_s2,
                values.turn_share,
                np.inf if backing is None else backing,
                values.lift_share,
            ]
        )
        self._scratch, self._out = np.zeros((2, 2)), np.zeros(2)

    def update(self, state: State, kinematics: Kinematics, signals: Array) -> None:
        """Measure the inclination; cap linear and angular speed."""
        caps, out = self.caps, self._out
        _judge(
            np.ascontiguousarray(state.base_pose_in_world),
            np.ascontiguousarray(state.actuator_velocity),
            self.robot.velocity_max,
            self._figures,
            self._lift,
            float(state.actuator_position[self._lift]),
            self._table,
            self._scratch,
            caps.upper,
            caps.lower,
            caps.rule,
            self._kind,
            out,
        )
        signals[Signal.INCLINATION], signals[Signal.STABILITY_SPEED] = out.tolist()
