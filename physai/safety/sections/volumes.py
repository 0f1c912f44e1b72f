"""Volumes: boxes in the world that no shape of the robot enters.

A row per volume and shape keeps the approach to the box below the speed that stops
before it, v Tr + v^2 / 2a = way left (soft axes of ISO 10218-1 5.12.3). Where joints
come to rest together, a slow approach that fast joints make up between them lasts as long
as the fastest of them brakes, so that the way left must suffice for that too. Inside, only
the way out is open. Near a box both ends of a shape also keep their distance from the
plane that parts the two, since the nearest point may leap along a shape that turns. No row
is asked for that no joint speed of the robot could break.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

import numba
import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from physai.config import Config
from physai.robot.description import Robot
from physai.robot.kinematics import Kinematics, chain_of, fill_along
from physai.safety.kernel import time_to_rest
from physai.safety.rules import Signal
from physai.safety.sections.section import (
    Caps,
    Section,
    add_row,
    check_named,
    stopping_speed,
)
from physai.types import Array, State

__all__ = ["VolumeConfig", "Volumes", "VolumesValues", "nearest_in_box"]

Integers = npt.NDArray[np.int64]
Point = tuple[float, float, float]

_ENDS_M = 0.3
"""Farther away ends need no rows yet: they may come at about a metre per second (project
choice)."""
_HALVINGS = 20
"""Of a capsule's axis: a millionth of its length."""


class VolumeConfig(Config):
    """One box."""

    name: str
    minimum_m: Point
    """In the world."""
    maximum_m: Point

    @model_validator(mode="after")
    def _ordered(self) -> VolumeConfig:
        if not all(a < b for a, b in zip(self.minimum_m, self.maximum_m, strict=True)):
            raise ValueError(f'volume "{self.name}": minimum_m must be below maximum_m')
        return self


class VolumesValues(Config):
    """Section ``volumes``."""

    keep_out: Annotated[tuple[VolumeConfig, ...], Field(min_length=1)]
    links: tuple[str, ...] = ()
    """Links whose shapes are judged; all if empty. A robot's pedestal may stand in a
    volume that the rest must stay out of."""
    deceleration_m_s2: Annotated[float, Field(gt=0.0)]
    """Of every shape, in the worst posture."""
    margin_m: Annotated[float, Field(ge=0.0)]
    """Kept by the guard, for the error of the robot's pose."""
    source: str


@numba.njit(cache=True)
def _slope(capsule: Array, low: Array, high: Array, t: float) -> float:
    """Return half the slope of the squared distance from a box along a capsule's axis."""
    slope = 0.0
    for r in range(3):
        along = capsule[3 + r] - capsule[r]
        x = capsule[r] + t * along
        slope += (max(x - high[r], 0.0) - max(low[r] - x, 0.0)) * along
    return slope


@numba.njit(cache=True)
def nearest_in_box(capsule: Array, low: Array, high: Array, out: Array) -> float:
    """Find where a capsule is nearest to a box.

    The distance of a point to a box is convex along the capsule's axis, so that its
    minimum is found by bisection of its slope.

    Args:
        capsule: (7,) both ends and radius [m].
        low: (3,) corner of the box [m].
        high: (3,).
        out: (6,) out: point on the axis, and unit direction from box to point; inside,
            the direction of the shortest way out.

    Returns:
        Distance of the surfaces [m]; inside, minus the way out.
    """
    # Most capsules are nearest with an end.
    if _slope(capsule, low, high, 0.0) >= 0.0:
        t = 0.0
    elif _slope(capsule, low, high, 1.0) <= 0.0:
        t = 1.0
    else:
        a, b = 0.0, 1.0
        for _ in range(_HALVINGS):
            t = 0.5 * (a + b)
            slope = _slope(capsule, low, high, t)
            if slope > 0.0:
                b = t
            elif slope < 0.0:
                a = t
            else:
                a, b = t, t
                break
        t = 0.5 * (a + b)
    square = 0.0
    for r in range(3):
        x = capsule[r] + t * (capsule[3 + r] - capsule[r])
        out[r] = x
        out[3 + r] = max(x - high[r], 0.0) - max(low[r] - x, 0.0)
        square += out[3 + r] ** 2
    if square > 0.0:
        distance = np.sqrt(square)
        for r in range(3):
            out[3 + r] /= distance
        return float(distance - capsule[6])
    # The axis is inside: the shortest way out of the box, for its deepest point.
    best = -np.inf
    for r in range(3):
        lower = min(capsule[r], capsule[3 + r]) - low[r]
        upper = high[r] - max(capsule[r], capsule[3 + r])
        for sign, way in ((-1.0, lower), (1.0, upper)):
            # The whole axis must leave on that side.
            length = abs(capsule[3 + r] - capsule[r])
            depth = -(way + length)
            if depth > best:
                best = depth
                out[3], out[4], out[5] = 0.0, 0.0, 0.0
                out[3 + r] = sign
    return float(best - capsule[6])


class Volumes(Section):
    """Rows toward boxes; see the module.

    Raises:
        ConfigError: If a link that shall be judged is none of the robot's.
    """

    Values: ClassVar[type[Config]] = VolumesValues

    def __init__(
        self,
        values: VolumesValues,
        robot: Robot,
        truth_view: bool,
        caps: Caps,
        reaction_time_s: float,
    ) -> None:
        super().__init__(values, robot, truth_view, caps, reaction_time_s)
        links = robot.tree.link_names
        check_named("volumes.links", robot.name, "link", values.links, links)
        kept = 0.0 if truth_view else values.margin_m
        self._low = np.array([v.minimum_m for v in values.keep_out]) - kept
        self._high = np.array([v.maximum_m for v in values.keep_out]) + kept
        self._deceleration = values.deceleration_m_s2
        shapes = [
            shape
            for shape, link in enumerate(robot.shapes.link)
            if not values.links or links[link] in values.links
        ]
        self._kind = caps.kind("keep_out")
        self._order = np.array(shapes, dtype=np.int64)
        if not truth_view:
            caps.reserve(3 * len(shapes) * len(self._low))

    def update(self, state: State, kinematics: Kinematics, signals: Array) -> None:
        """Ask for rows toward the volumes; tell how deep a shape is in one."""
        caps = self.caps
        before = int(caps.row_count[0])
        signals[Signal.KEEP_OUT] = _judge(
            kinematics.size,
            kinematics.buffer,
            self._order,
            self._low,
            self._high,
            self._deceleration,
            self.reaction_time_s,
            self.truth_view,
            state.actuator_velocity,
            self.robot.acceleration_max,
            self.robot.velocity_max,
            caps.rows,
            caps.row_count,
        )
        if int(caps.row_count[0]) > before:
            caps.own_rows(before, self._kind)


@numba.njit(cache=True)
def _judge(
    size: Integers,
    buffer: Array,
    shapes: Integers,
    low: Array,
    high: Array,
    deceleration: float,
    reaction: float,
    judges_only: bool,
    velocity: Array,
    acceleration_max: Array,
    velocity_max: Array,
    rows: Array,
    row_count: Integers,
) -> float:
    """Ask for the rows that could bind; return how deep a shape is inside [m].

    Args:
        size: Of the robot's kinematics.
        buffer: The same, placed; its Jacobian is overwritten.
        shapes: (R,) shapes that are judged.
        low: (V, 3) corners of the boxes [m].
        high: (V, 3) the others.
        deceleration: [m/s2].
        reaction: Tr [s].
        judges_only: Ask for no row.
        velocity: (n,) of the actuators.
        acceleration_max: (n,) of the actuators.
        velocity_max: (n,) of the actuators.
        rows: Of :class:`Caps`, with ``row_count``.
        row_count: The same.
    """
    c, out = chain_of(buffer, size), np.empty(6)
    # A row of the Jacobian is free work space.
    row = c.jacobian[0]
    shallowest = np.inf
    together = reaction + time_to_rest(velocity, acceleration_max)
    for k in range(shapes.shape[0]):
        capsule, link = c.capsules[shapes[k]], c.shape_link[shapes[k]]
        for v in range(low.shape[0]):
            distance = nearest_in_box(capsule, low[v], high[v], out)
            shallowest = min(shallowest, distance)
            if judges_only:
                continue
            x, y, z = out[0], out[1], out[2]
            # The nearest point, then the ends.
            for e in range(-1, 2):
                way = distance
                if e >= 0:
                    if distance > _ENDS_M:
                        break
                    p, q, s = capsule[3 * e], capsule[3 * e + 1], capsule[3 * e + 2]
                    if p == out[0] and q == out[1] and s == out[2]:
                        continue
                    x, y, z = p, q, s
                    way += out[3] * (x - out[0]) + out[4] * (y - out[1])
                    way += out[5] * (z - out[2])
                limit = stopping_speed(way, deceleration, reaction)
                limit = min(limit, max(0.0, way) / together)
                fill_along(link, x, y, z, out[3], out[4], out[5], c, row)
                fastest = 0.0
                for j in range(velocity_max.shape[0]):
                    fastest += abs(row[j]) * velocity_max[j]
                if fastest > limit:
                    add_row(rows, row_count, row, -1.0, limit)
    return -shallowest
