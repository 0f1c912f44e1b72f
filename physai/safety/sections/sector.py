"""Swing sector: an actuator stays within a part of its range and stops before its ends.

29 CFR 1926.1424(a) asks for a barrier or marking around the zone that a machine sweeps;
the sector is what the marking on site encloses. The counterweight sweeps with it.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field, model_validator

from physai.config import Config
from physai.robot.description import Robot
from physai.robot.kinematics import Kinematics
from physai.safety.rules import Signal
from physai.safety.sections.section import (
    Caps,
    Section,
    check_named,
    stopping_speed,
)
from physai.types import Array, State

__all__ = ["Sector", "SectorValues"]


class SectorValues(Config):
    """Section ``sector``."""

    joint: str
    minimum_rad: float
    maximum_rad: float
    deceleration_rad_s2: Annotated[float, Field(gt=0.0)]
    """Measured in the worst load."""
    margin_rad: Annotated[float, Field(ge=0.0)]
    """Kept of both ends by the guard, for the error of the angle sensor."""
    source: str

    @model_validator(mode="after")
    def _ordered(self) -> SectorValues:
        if not self.minimum_rad + 2.0 * self.margin_rad < self.maximum_rad:
            raise ValueError("minimum_rad must be below maximum_rad by two margins")
        return self


class Sector(Section):
    """Caps one actuator toward the ends of its sector; see the module.

    Raises:
        ConfigError: If the robot has no such joint.
    """

    Values: ClassVar[type[Config]] = SectorValues

    def __init__(
        self,
        values: SectorValues,
        robot: Robot,
        truth_view: bool,
        caps: Caps,
        reaction_time_s: float,
    ) -> None:
        super().__init__(values, robot, truth_view, caps, reaction_time_s)
        known = robot.actuator_names
        check_named("sector", robot.name, "joint", (values.joint,), known)
        self._place = known.index(values.joint)
        kept = 0.0 if truth_view else values.margin_rad
        self._low, self._high = values.minimum_rad + kept, values.maximum_rad - kept
        self._deceleration = values.deceleration_rad_s2
        self._kind = caps.kind("swing_sector")

    def update(self, state: State, kinematics: Kinematics, signals: Array) -> None:
        """Cap the actuator both ways; tell how far outside it is."""
        q = float(state.actuator_position[self._place])
        a, tr = self._deceleration, self.reaction_time_s
        up = stopping_speed(self._high - q, a, tr)
        down = stopping_speed(q - self._low, a, tr)
        self.caps.cap(self._place, up, down, self._kind)
        signals[Signal.SWING_SECTOR] = max(q - self._high, self._low - q)
