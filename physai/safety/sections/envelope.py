"""Envelope: the tool of a heavy machine stays in a box and stops before its sides.

As the workspace of an arm, but with the closed form v Tr + v^2 / 2a = way left, since a
machine that needs a second to stop must begin far from the side. Depth limit, height
limit and distance from the own tracks as machine guidance sets them ("e-fence").
Outside, only the way back is open.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field, model_validator

from physai.config import Config
from physai.robot.description import Robot
from physai.robot.kinematics import Kinematics
from physai.safety.rules import Signal
from physai.safety.sections.section import Caps, Section, stopping_speed
from physai.types import Array, State

__all__ = ["Envelope", "EnvelopeValues"]

Point = tuple[float, float, float]


class EnvelopeValues(Config):
    """Section ``envelope``."""

    minimum_m: Point
    """In the world."""
    maximum_m: Point
    deceleration_m_s2: Annotated[float, Field(gt=0.0)]
    """Of the tool, measured at the shortest lever in use."""
    margin_m: Annotated[float, Field(ge=0.0)]
    """Kept of every side by the guard, for the error of the pose."""
    source: str

    @model_validator(mode="after")
    def _ordered(self) -> EnvelopeValues:
        sides = zip(self.minimum_m, self.maximum_m, strict=True)
        if not all(a + 2.0 * self.margin_m < b for a, b in sides):
            raise ValueError("minimum_m must be below maximum_m by two margins")
        return self


class Envelope(Section):
    """Rows toward the sides of a box; see the module."""

    Values: ClassVar[type[Config]] = EnvelopeValues

    def __init__(
        self,
        values: EnvelopeValues,
        robot: Robot,
        truth_view: bool,
        caps: Caps,
        reaction_time_s: float,
    ) -> None:
        super().__init__(values, robot, truth_view, caps, reaction_time_s)
        kept = 0.0 if truth_view else values.margin_m
        self._low = [low + kept for low in values.minimum_m]
        self._high = [high - kept for high in values.maximum_m]
        self._deceleration = values.deceleration_m_s2
        self._kind = caps.kind("envelope")

    def update(self, state: State, kinematics: Kinematics, signals: Array) -> None:
        """Ask for a row per near side; tell how far outside the tool is."""
        worst, jacobian = -1.0, None
        for axis, place in enumerate(kinematics.tool_position.tolist()):
            for sign, free in (
                (1.0, self._high[axis] - place),
                (-1.0, place - self._low[axis]),
            ):
                worst = max(worst, -free)
                limit = stopping_speed(free, self._deceleration, self.reaction_time_s)
                if limit > _NO_CONCERN_M_S or self.truth_view:
                    continue
                if jacobian is None:
                    jacobian = kinematics.tool_jacobian()
                self.caps.row(sign * jacobian[axis], limit, self._kind)
        signals[Signal.ENVELOPE] = worst


_NO_CONCERN_M_S = 8.0
"""No tool is faster: farther away a row never binds."""
