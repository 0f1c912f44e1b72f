"""Orientation: an axis of the tool stays near a direction in the world.

With a the tool's axis, w the direction and theta the angle between them,

    d theta / dt = -omega . (a x w) / sin theta  <=  gain (limit - theta)

keeps theta within the limit. Near theta = 0 the direction of tilt is undefined, and the
same bound is put on the joints together: with h_i the share of joint i's axis across w,
|qd_i| <= gain (limit - theta) / sum_j h_j.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
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
    Caps,
    Section,
    add_row,
    cap_actuator,
    check_named,
)
from physai.types import Array, State

__all__ = ["Orientation", "OrientationValues"]

Integers = npt.NDArray[np.int64]
Direction = tuple[float, float, float]


class OrientationValues(Config):
    """Section ``orientation``."""

    axis_in_tool: Direction
    axis_in_world: Direction
    limit_rad: Annotated[float, Field(gt=0.0, lt=3.14)]
    """That the filter keeps to; the rule's limit says when it is violated."""
    gain_per_s: Annotated[float, Field(gt=0.0)]
    """At most the inverse of the time in which a joint stops."""
    while_extra: str | None = None
    """Only while this extra is above one half: a spoon with food on it, a full cup."""
    source: str

    @model_validator(mode="after")
    def _directions(self) -> OrientationValues:
        for name in ("axis_in_tool", "axis_in_world"):
            if not math.hypot(*getattr(self, name)) > 1e-6:
                raise ValueError(f"{name} must not be zero")
        return self


class Orientation(Section):
    """A row, or caps, on how fast the tool tilts; see the module."""

    Values: ClassVar[type[Config]] = OrientationValues

    def __init__(
        self,
        values: OrientationValues,
        robot: Robot,
        truth_view: bool,
        caps: Caps,
        reaction_time_s: float,
    ) -> None:
        super().__init__(values, robot, truth_view, caps, reaction_time_s)
        self._values = values
        own, wanted = np.array(values.axis_in_tool), np.array(values.axis_in_world)
        self._own = own / np.linalg.norm(own)
        self._wanted = wanted / np.linalg.norm(wanted)
        self._kind = caps.kind("tool_orientation")
        self._place = -1

    def bind(self, extras: Mapping[str, int]) -> None:
        """Find the extra that switches it on."""
        super().bind(extras)
        name = self._values.while_extra
        if name is not None:
            key = "orientation.while_extra"
            check_named(key, "the environment", "extra", (name,), self.extras)
            self._place = self.extras[name]

    def update(self, state: State, kinematics: Kinematics, signals: Array) -> None:
        """Measure the angle and bound how fast it may grow."""
        if self._place >= 0 and state.extras[self._place] <= 0.5:
            signals[Signal.TOOL_ORIENTATION] = 0.0
            return
        caps, v = self.caps, self._values
        before = int(caps.row_count[0])
        signals[Signal.TOOL_ORIENTATION] = _bound(
            kinematics.size,
            kinematics.buffer,
            self.robot.tool_link,
            self._own,
            self._wanted,
            v.limit_rad,
            v.gain_per_s,
            self.truth_view,
            caps.upper,
            caps.lower,
            caps.rule,
            self._kind,
            caps.rows,
            caps.row_count,
        )
        caps.own_rows(before, self._kind)


@numba.njit(cache=True)
def _bound(
    size: Integers,
    buffer: Array,
    tool: int,
    own: Array,
    wanted: Array,
    limit: float,
    gain: float,
    judges_only: bool,
    upper: Array,
    lower: Array,
    rule: Integers,
    kind: int,
    rows: Array,
    row_count: Integers,
) -> float:
    """Return the angle [rad], and ask for a row or caps that keep it within its limit.

    Args:
        size: Of the robot's kinematics.
        buffer: The same, placed; its Jacobian is overwritten.
        tool: Link of the tool's frame.
        own: (3,) unit axis in the tool.
        wanted: (3,) unit direction in the world.
        limit: [rad].
        gain: [1/s].
        judges_only: Ask for nothing.
        upper: Of :class:`Caps`, with ``lower``, ``rule``, ``rows`` and ``row_count``.
        lower: The same.
        rule: The same.
        kind: Of :meth:`Caps.kind`.
        rows: As ``upper``.
        row_count: As ``upper``.
    """
    c = chain_of(buffer, size)
    rotation, place, work = c.link_rotation[tool], c.link_position[tool], c.jacobian
    a = np.zeros(3)
    for r in range(3):
        for k in range(3):
            a[r] += rotation[r, k] * own[k]
    x = a[1] * wanted[2] - a[2] * wanted[1]
    y = a[2] * wanted[0] - a[0] * wanted[2]
    z = a[0] * wanted[1] - a[1] * wanted[0]
    sine = np.sqrt(x * x + y * y + z * z)
    cosine = a[0] * wanted[0] + a[1] * wanted[1] + a[2] * wanted[2]
    angle = np.arctan2(sine, cosine)
    if judges_only:
        return float(angle)
    fill_jacobian(tool, place[0], place[1], place[2], c)
    allowed = gain * max(0.0, limit - angle)
    spread, near = 0.0, cosine > 0.0 and sine <= np.sin(0.3 * limit)
    for i in range(work.shape[1]):
        p, q, s = work[3, i], work[4, i], work[5, i]
        if near:
            along = p * wanted[0] + q * wanted[1] + s * wanted[2]
            work[0, i] = np.sqrt(max(0.0, p * p + q * q + s * s - along * along))
            spread += work[0, i]
        else:
            work[0, i] = (x * p + y * q + z * s) / max(sine, 1e-9)
    if not near:
        add_row(rows, row_count, work[0], -1.0, allowed)
        return float(angle)
    for i in range(work.shape[1]):
        # What turns about the wanted direction itself does not tilt.
        if work[0, i] >= 0.02:
            each = allowed / spread
            cap_actuator(upper, lower, rule, i, each, each, kind)
    return float(angle)
