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

import numpy as np
from pydantic import Field, model_validator

from physai.config import Config
from physai.robot.description import Robot
from physai.robot.kinematics import Kinematics
from physai.safety.rules import Signal
from physai.safety.sections.section import Caps, Section, excess_of
from physai.types import Array, State

__all__ = ["Stability", "StabilityValues"]

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
    lift: LiftValues | None = None
    lift_share: Annotated[float, Field(gt=0.0, le=1.0)] = 1.0
    """The load may be lifted further only below this share of the inclination."""
    source: str


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
        self._values = values
        self._kind = caps.kind("stability_speed")
        self._lift = -1
        if values.lift is not None:
            self._lift = robot.actuator_names.index(values.lift.joint)
        self._upper = np.array(robot.velocity_max[:2])

    def update(self, state: State, kinematics: Kinematics, signals: Array) -> None:
        """Measure the inclination; cap linear and angular speed."""
        qx, qy, qz, qw = state.base_pose_in_world[3:7].tolist()
        # World's vertical in the base frame.
        ux, uy = 2.0 * (qx * qz - qy * qw), 2.0 * (qy * qz + qx * qw)
        uz = 1.0 - 2.0 * (qx * qx + qy * qy)
        values = self._values
        roll, pitch = abs(math.atan2(uy, uz)), abs(math.atan2(ux, uz))
        share = max(roll / values.roll_limit_rad, pitch / values.pitch_limit_rad)
        signals[Signal.INCLINATION] = share
        fastest = self.robot.velocity_max[:2].tolist()
        speed = fastest[0] * max(0.2, 1.0 - 0.8 * share) if share == share else 0.0
        if values.lift is not None:
            height = float(state.actuator_position[self._lift])
            table = np.interp(height, values.lift.height_m, values.lift.speed_m_s)
            speed = min(speed, float(table))
            if not share <= values.lift_share:
                self.caps.cap(self._lift, 0.0, np.inf, self._kind)
        v, w = state.actuator_velocity[:2].tolist()
        a = values.lateral_acceleration_m_s2
        # One step later at most one of the two has changed much: each is capped by the
        # other as it is.
        turn = min(fastest[1], a / max(abs(v), 1e-6))
        speed = min(speed, a / max(abs(w), 1e-6))
        self.caps.cap(0, speed, speed, self._kind)
        self.caps.cap(1, turn, turn, self._kind)
        self._upper[0], self._upper[1] = speed, turn
        signals[Signal.STABILITY_SPEED] = excess_of(
            np.array([v, w]), -self._upper, self._upper, self.robot.velocity_max[:2]
        )
