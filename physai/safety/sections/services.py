"""Buried services: the bucket stops before the buffer around a pipe.

The pipe is where the plan says, a capsule given by extras; its buffer and the error of
survey and pose are kept free. Each side of the bucket's plate (edge, two sides, heel)
gives one row: the speed of its nearest point toward the pipe stays below the one from
which it stops at the buffer, v Tr + v^2 / 2a = distance - buffer. Away from the pipe
everything is open, also inside the buffer, so that a bucket can always be taken out.
"""

from __future__ import annotations

import math
from typing import Annotated, ClassVar

import numba
import numpy as np
import numpy.typing as npt
from pydantic import Field

from physai.body.capsules import closest_fractions
from physai.config import Config
from physai.robot.description import Robot
from physai.robot.kinematics import Kinematics, chain_of, fill_jacobian
from physai.safety.rules import Signal
from physai.safety.sections.section import (
    YIELDS_M_S,
    Caps,
    Section,
    add_row,
    hold_actuators,
    stopping_speed,
)
from physai.types import Array, State

__all__ = ["Services", "ServicesValues"]

Integers = npt.NDArray[np.int64]
Positive = Annotated[float, Field(gt=0.0)]
NonNegative = Annotated[float, Field(ge=0.0)]

SIDES = 4


class ServicesValues(Config):
    """Section ``services``."""

    pipe_extra: Annotated[int, Field(ge=0)]
    """Place of the first of seven extras: both ends of the pipe's axis, its radius."""
    buffer_m: NonNegative
    uncertainty_m: NonNegative
    """Kept by the guard besides, for the errors of survey and pose."""
    deceleration_m_s2: Positive
    """Of the edge, measured at the shortest lever in use."""
    width_m: Positive
    plate_length_m: Positive
    source: str


@numba.njit(cache=True)
def _nearest(
    pipe: Array,
    position: Array,
    rotation: Array,
    half: float,
    plate: float,
    side: Array,
    out: Array,
) -> None:
    """Write nearest point, direction from pipe to it and distance for every side.

    Args:
        pipe: (7,) capsule.
        position: (3,) middle of the edge [m].
        rotation: (3, 3) of the edge's frame.
        half: Half of the width [m].
        plate: Length of the plate behind the edge [m].
        side: (6,) work.
        out: (SIDES, 7) point, unit direction, distance of the surfaces [m].
    """
    for k in range(SIDES):
        # Corners in turn: edge left, edge right, heel right, heel left.
        for e in range(2):
            corner = (k + e) % 4
            v = half if corner == 0 or corner == 3 else -half
            u = 0.0 if corner < 2 else -plate
            for r in range(3):
                side[3 * e + r] = position[r] + u * rotation[r, 0] + v * rotation[r, 1]
        s, t = closest_fractions(side, pipe)
        square = 0.0
        for r in range(3):
            out[k, r] = side[r] + s * (side[3 + r] - side[r])
            out[k, 3 + r] = out[k, r] - pipe[r] - t * (pipe[3 + r] - pipe[r])
            square += out[k, 3 + r] ** 2
        distance = math.sqrt(square)
        for r in range(3):
            out[k, 3 + r] /= max(distance, 1e-9)
        out[k, 6] = distance - pipe[6]


@numba.njit(cache=True)
def _judge(
    pipe: Array,
    size: Integers,
    buffer: Array,
    tool: int,
    figures: Array,
    velocity: Array,
    side: Array,
    out: Array,
    rows: Array,
    row_count: Integers,
    upper: Array,
    lower: Array,
    rule: Integers,
    kind: int,
) -> float:
    """Ask for a row per side; return the worst approach above what is permitted [m/s].

    Args:
        pipe: (7,) capsule.
        size: Of the robot's kinematics.
        buffer: The same, placed; its Jacobian is overwritten.
        tool: Link of the edge's frame.
        figures: (5,) half of the width [m], length of the plate [m], buffer [m],
            deceleration [m/s2], reaction time [s].
        velocity: (n,) of the actuators.
        side: (7,) work.
        out: (SIDES, 7) see :func:`_nearest`.
        rows: Of :class:`Caps`, with ``row_count``.
        row_count: The same.
        upper: The same.
        lower: The same.
        rule: The same.
        kind: Of the rule.
    """
    c, worst = chain_of(buffer, size), -1.0
    _nearest(
        pipe,
        c.link_position[tool],
        c.link_rotation[tool],
        figures[0],
        figures[1],
        side,
        out,
    )
    for k in range(SIDES):
        limit = stopping_speed(out[k, 6] - figures[2], figures[3], figures[4])
        if limit > _NO_CONCERN_M_S:
            continue
        fill_jacobian(tool, out[k, 0], out[k, 1], out[k, 2], c)
        row = out[k, 3:6] @ c.jacobian[:3]
        add_row(rows, row_count, row, -1.0, limit)
        worst = max(worst, float(-(row @ velocity) - limit))
    if worst > YIELDS_M_S:
        hold_actuators(upper, lower, rule, kind)
    return worst


_NO_CONCERN_M_S = 3.0
"""No edge is as fast toward the ground: farther away a row never binds."""


class Services(Section):
    """Rows toward the pipe; see the module."""

    Values: ClassVar[type[Config]] = ServicesValues

    def __init__(
        self,
        values: ServicesValues,
        robot: Robot,
        truth_view: bool,
        caps: Caps,
        reaction_time_s: float,
    ) -> None:
        super().__init__(values, robot, truth_view, caps, reaction_time_s)
        self._first = values.pipe_extra
        self._figures = np.array(
            [
                0.5 * values.width_m,
                values.plate_length_m,
                values.buffer_m + (0.0 if truth_view else values.uncertainty_m),
                values.deceleration_m_s2,
                reaction_time_s,
            ]
        )
        self._kind = caps.kind("service_approach")
        self._side, self._out = np.zeros(7), np.zeros((SIDES, 7))

    def update(self, state: State, kinematics: Kinematics, signals: Array) -> None:
        """Ask for a row per side; tell the worst approach above what is permitted."""
        caps, figures = self.caps, self._figures
        figures[_REACTION] = self.reaction_time_s
        before = int(caps.row_count[0])
        signals[Signal.SERVICE_APPROACH] = _judge(
            np.ascontiguousarray(state.extras[self._first : self._first + 7]),
            kinematics.size,
            kinematics.buffer,
            self.robot.tool_link,
            figures,
            np.ascontiguousarray(state.actuator_velocity),
            self._side,
            self._out,
            caps.rows,
            caps.row_count,
            caps.upper,
            caps.lower,
            caps.rule,
            self._kind,
        )
        caps.own_rows(before, self._kind)


_REACTION = 4
"""Place of Tr among the figures."""
