"""Orientation: an axis of the tool stays near a direction in the world.

With a the tool's axis, w the direction and theta the angle between them,

    d theta / dt = -omega . (a x w) / sin theta  <=  gain (limit - theta)

keeps theta within the limit. Near theta = 0 the direction of tilt is undefined, and the
same bound is put on the joints together: with h_i the share of joint i's axis across w,
|qd_i| <= gain (limit - theta) / sum_j h_j.
"""

from __future__ import annotations

import math
from typing import Annotated, ClassVar

import numba
import numpy as np
from pydantic import Field, model_validator

from physai.config import Config
from physai.errors import ConfigError, suggest
from physai.robot.description import Robot
from physai.robot.kinematics import Kinematics
from physai.safety.rules import Signal
from physai.safety.sections.section import Caps, Section
from physai.types import Array, State

__all__ = ["Orientation", "OrientationValues"]

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
        count = len(robot.actuator_names)
        self._nothing, self._row = np.zeros((6, count)), np.zeros(count)
        self._out = np.zeros(2)

    def bind(self, extras: object) -> None:
        """Find the extra that switches it on."""
        super().bind(extras)  # type: ignore[arg-type]
        name = self._values.while_extra
        if name is not None:
            if name not in self.extras:
                raise ConfigError(
                    f'sections.orientation.while_extra: no extra "{name}"; '
                    f"{suggest(name, self.extras)}"
                )
            self._place = self.extras[name]

    def update(self, state: State, kinematics: Kinematics, signals: Array) -> None:
        """Measure the angle and bound how fast it may grow."""
        if self._place >= 0 and state.extras[self._place] <= 0.5:
            signals[Signal.TOOL_ORIENTATION] = 0.0
            return
        guarded, v = not self.truth_view, self._values
        turning = kinematics.tool_jacobian() if guarded else self._nothing
        near = _bound(
            kinematics.tool_rotation,
            self._own,
            self._wanted,
            turning,
            v.limit_rad,
            v.gain_per_s,
            self._row,
            self._out,
        )
        angle, allowed = self._out.tolist()
        signals[Signal.TOOL_ORIENTATION] = angle
        if not guarded:
            return
        if not near:
            self.caps.row(self._row, allowed, self._kind)
            return
        for actuator, most in enumerate(self._row.tolist()):
            self.caps.cap(actuator, most, most, self._kind)


@numba.njit(cache=True)
def _bound(
    rotation: Array,
    own: Array,
    wanted: Array,
    jacobian: Array,
    limit: float,
    gain: float,
    row: Array,
    out: Array,
) -> bool:
    """Write the angle, and a row or caps that keep it within its limit.

    Args:
        rotation: (3, 3) of the tool.
        own: (3,) unit axis in the tool.
        wanted: (3,) unit direction in the world.
        jacobian: (6, n) of the tool.
        limit: [rad].
        gain: [1/s].
        row: (n,) out: coefficients of the row, or one cap per actuator.
        out: (2,) out: angle [rad], and what the row is bounded by [rad/s].

    Returns:
        Whether the tool is so near that caps were written.
    """
    a = np.zeros(3)
    for r in range(3):
        for k in range(3):
            a[r] += rotation[r, k] * own[k]
    x = a[1] * wanted[2] - a[2] * wanted[1]
    y = a[2] * wanted[0] - a[0] * wanted[2]
    z = a[0] * wanted[1] - a[1] * wanted[0]
    sine = np.sqrt(x * x + y * y + z * z)
    cosine = a[0] * wanted[0] + a[1] * wanted[1] + a[2] * wanted[2]
    out[0] = np.arctan2(sine, cosine)
    out[1] = gain * max(0.0, limit - out[0])
    spread, near = 0.0, cosine > 0.0 and sine <= np.sin(0.3 * limit)
    for i in range(row.shape[0]):
        p, q, s = jacobian[3, i], jacobian[4, i], jacobian[5, i]
        along = p * wanted[0] + q * wanted[1] + s * wanted[2]
        if near:
            row[i] = np.sqrt(max(0.0, p * p + q * q + s * s - along * along))
            spread += row[i]
        else:
            row[i] = -(x * p + y * q + z * s) / max(sine, 1e-9)
    if near:
        for i in range(row.shape[0]):
            # What turns about the wanted direction itself does not tilt.
            row[i] = np.inf if row[i] < 0.02 else out[1] / spread
    return bool(near)
