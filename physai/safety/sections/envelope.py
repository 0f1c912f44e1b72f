"""Envelope: the tool of a heavy machine stays in a box and stops before its sides.

As the workspace of an arm, but with the closed form v Tr + v^2 / 2a = way left, since a
machine that needs a second to stop must begin far from the side. Depth limit, height
limit and distance from the own tracks as machine guidance sets them ("e-fence").
Outside, only the way back is open.

Cylinders yield at their relief valves: one that carries too much goes on faster than it
was told, and two joints whose motions should cancel no longer do. Where the tool is
outside, no joint moves it farther out, whatever the others do at the same time. Where it
nears a side faster than it may, every joint is told to stand, which shuts the valves.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

import numba
import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from physai.config import Config
from physai.robot.description import Robot
from physai.robot.kinematics import Kinematics, chain_of, fill_jacobian
from physai.safety.rules import Signal
from physai.safety.sections.section import (
    YIELDS_M_S,
    Caps,
    Section,
    add_row,
    cap_actuator,
    hold_actuators,
    stopping_speed,
)
from physai.types import Array, State

__all__ = ["Envelope", "EnvelopeValues"]

Integers = npt.NDArray[np.int64]
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


@numba.njit(cache=True)
def _judge(
    size: Integers,
    buffer: Array,
    tool: int,
    low: Array,
    high: Array,
    deceleration: float,
    reaction: float,
    judges_only: bool,
    velocity: Array,
    rows: Array,
    row_count: Integers,
    upper: Array,
    lower: Array,
    rule: Integers,
    kind: int,
) -> float:
    """Ask for a row per near side; return how far outside the tool is [m].

    Args:
        size: Of the robot's kinematics.
        buffer: The same, placed; its Jacobian is overwritten.
        tool: Link of the tool's frame.
        low: (3,) corner of the box [m].
        high: (3,) the other.
        deceleration: [m/s2].
        reaction: Tr [s].
        judges_only: Ask for no row.
        velocity: (n,) of the actuators.
        rows: Of :class:`Caps`, with ``row_count``.
        row_count: The same.
        upper: The same.
        lower: The same.
        rule: The same.
        kind: Of the rule.
    """
    c, worst, known = chain_of(buffer, size), -1.0, False
    place = c.link_position[tool]
    for axis in range(3):
        for end in range(2):
            free = high[axis] - place[axis] if end == 0 else place[axis] - low[axis]
            worst = max(worst, -free)
            limit = stopping_speed(free, deceleration, reaction)
            if limit > _NO_CONCERN_M_S or judges_only:
                continue
            if not known:
                fill_jacobian(tool, place[0], place[1], place[2], c)
                known = True
            sign = 1.0 if end == 0 else -1.0
            add_row(rows, row_count, c.jacobian[axis], sign, limit)
            nearing = 0.0
            for j in range(velocity.shape[0]):
                nearing += sign * c.jacobian[axis, j] * velocity[j]
            if nearing > limit + YIELDS_M_S:
                hold_actuators(upper, lower, rule, kind)
            if free > 0.0:
                continue
            for j in range(velocity.shape[0]):
                outward = sign * c.jacobian[axis, j]
                forward = 0.0 if outward > _LEVER_M else np.inf
                backward = 0.0 if outward < -_LEVER_M else np.inf
                cap_actuator(upper, lower, rule, j, forward, backward, kind)
    return worst


_LEVER_M = 0.1
"""A joint with a shorter lever does not move the tool that way."""
_NO_CONCERN_M_S = 8.0
"""No tool is faster: farther away a row never binds."""


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
        self._low = np.array(values.minimum_m) + kept
        self._high = np.array(values.maximum_m) - kept
        self._deceleration = values.deceleration_m_s2
        self._kind = caps.kind("envelope")

    def update(self, state: State, kinematics: Kinematics, signals: Array) -> None:
        """Ask for a row per near side; tell how far outside the tool is."""
        caps = self.caps
        before = int(caps.row_count[0])
        signals[Signal.ENVELOPE] = _judge(
            kinematics.size,
            kinematics.buffer,
            self.robot.tool_link,
            self._low,
            self._high,
            self._deceleration,
            self.reaction_time_s,
            self.truth_view,
            np.ascontiguousarray(state.actuator_velocity),
            caps.rows,
            caps.row_count,
            caps.upper,
            caps.lower,
            caps.rule,
            self._kind,
        )
        caps.own_rows(before, self._kind)
