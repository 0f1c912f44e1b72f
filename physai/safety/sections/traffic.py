"""Traffic: another machine, known by what it says of itself, is not run into.

Its position message gives place and velocity, late. The robot approaches it at no more
than the speed from which it stops before it, while the other comes on as it does now:

    v Tr + v^2 / 2a + u (Tr + v / a) = way left,   u the other's speed toward the robot

(closed form of ISO 13855 with a machine in the person's place). While the other stands,
driving past and away is free. While it comes on, no motion is faster than that, whichever
way: where two flanks will meet nobody can say, and a robot that stands is no surprise.
The other's heading is that of its last motion; before it has moved, it could stand any way round. Entry and
crossing are controlled by rule on Japanese sites (MLIT rules for automated construction,
Ver. 1.0 of March 2024); this is what is left when somebody breaks it. Not a rated function.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar

import numba
import numpy as np
import numpy.typing as npt
from pydantic import Field

from physai.config import Config
from physai.errors import ConfigError
from physai.robot.description import Robot
from physai.robot.footprint import (
    box_corners,
    box_gap,
    footprint_of,
    inside_polygon,
    nearest_on_polygon,
    place_corners,
)
from physai.robot.kinematics import Kinematics
from physai.safety.rules import Signal
from physai.safety.sections.section import (
    Caps,
    Section,
    add_row,
    approach_speed,
    cap_actuator,
    check_named,
)
from physai.types import Array, State

__all__ = ["Traffic", "TrafficValues"]

Positive = Annotated[float, Field(gt=0.0)]
Integers = npt.NDArray[np.int64]
NonNegative = Annotated[float, Field(ge=0.0)]

_PLACES = 9
"""The nearest places, four corners, and four corners of the other."""
_MOVING_M_S = 0.3
"""Slower than this, the direction of a velocity is its noise."""


class TrafficValues(Config):
    """Section ``traffic``."""

    position: tuple[str, str]
    """Extras with x and y of the other machine's middle in the world [m]."""
    velocity: tuple[str, str]
    """Extras with its velocity in the world [m/s]."""
    length_m: Positive
    width_m: Positive
    deceleration_m_s2: Positive
    """Of the robot, measured in the worst load and slope."""
    margin_m: NonNegative
    """Kept free, for the errors of both positions."""
    source: str


class Traffic(Section):
    """A row toward the other machine; see the module.

    Raises:
        ConfigError: If the robot has no base that drives.
    """

    Values: ClassVar[type[Config]] = TrafficValues

    def __init__(
        self,
        values: TrafficValues,
        robot: Robot,
        truth_view: bool,
        caps: Caps,
        reaction_time_s: float,
    ) -> None:
        super().__init__(values, robot, truth_view, caps, reaction_time_s)
        if robot.base is None:
            raise ConfigError(f"sections.traffic: {robot.name} does not drive")
        self._values, self._kind = values, caps.kind("traffic")
        self._figures = np.array(
            [
                values.length_m,
                values.width_m,
                values.deceleration_m_s2,
                0.0 if truth_view else values.margin_m,
                reaction_time_s,
            ]
        )
        self._footprint, self._work = footprint_of(robot), np.zeros((9, 2))
        self._row = np.zeros(len(robot.actuator_names))
        self._places = np.zeros(4, dtype=np.int64)
        self._heading = np.full(1, np.nan)
        if not truth_view:
            caps.reserve(_PLACES)

    def reset(self) -> None:
        """Forget where the other machine was going."""
        super().reset()
        self._heading[:] = np.nan

    def bind(self, extras: Mapping[str, int]) -> None:
        """Find the message among the environment's extras.

        Raises:
            ConfigError: If a part of it is not there.
        """
        super().bind(extras)
        names = (*self._values.position, *self._values.velocity)
        check_named("traffic", "the environment", "extra", names, extras)
        self._places[:] = [extras[name] for name in names]

    def update(self, state: State, kinematics: Kinematics, signals: Array) -> None:
        """Ask that the robot does not run into the other machine."""
        caps = self.caps
        before = int(caps.row_count[0])
        signals[Signal.TRAFFIC] = _judge(
            np.ascontiguousarray(state.base_pose_in_world),
            np.ascontiguousarray(state.actuator_velocity),
            np.ascontiguousarray(state.extras),
            np.ascontiguousarray(state.extras_age_s),
            self._places,
            self._figures,
            self._footprint,
            self._heading,
            self._work,
            self._row,
            caps.rows,
            caps.row_count,
            caps.upper,
            caps.lower,
            caps.rule,
            -1 if self.truth_view else self._kind,
        )
        caps.own_rows(before, self._kind)


@numba.njit(cache=True)
def _judge(
    pose: Array,
    velocity: Array,
    extras: Array,
    ages: Array,
    places: Integers,
    figures: Array,
    footprint: Array,
    heading: Array,
    work: Array,
    row: Array,
    rows: Array,
    row_count: Integers,
    upper: Array,
    lower: Array,
    rule: Integers,
    kind: int,
) -> float:
    """Ask for the row; return by how much the approach is too fast [m/s].

    Args:
        pose: (7,) of the base.
        velocity: (n,) of the actuators; the base's speed and yaw rate come first.
        extras: (E,).
        ages: (E,) [s].
        places: (4,) of x, y and both velocities among the extras.
        figures: (5,) length, width [m], deceleration [m/s2], margin [m], Tr [s].
        footprint: (4,) of the robot.
        heading: (1,) of the other machine when it last moved, NaN before [rad]; updated.
        work: (9, 2) scratch.
        row: (n,) scratch.
        rows: Of :class:`Caps`, with ``row_count``.
        row_count: The same.
        upper: The same.
        lower: The same.
        rule: The same.
        kind: Of the rule; below 0 where nothing is asked.
    """
    ours, theirs, gap = work[:4], work[4:8], np.empty(4)
    u, w = extras[places[2]], extras[places[3]]
    fast = np.sqrt(u * u + w * w)
    age = 0.0
    for place in places:
        age = max(age, ages[place])
    if fast > _MOVING_M_S:
        heading[0] = np.arctan2(w, u)
    # Where it is by now.
    x, y = extras[places[0]] + age * u, extras[places[1]] + age * w
    place_corners(pose, footprint, ours)
    length, width, side = figures[0], figures[1], heading[0]
    if np.isnan(side):
        # The square around the circle in which it stands.
        length = width = np.sqrt(length * length + width * width)
        side = 0.0
    box_corners(x, y, side, length, width, theirs)
    # The left side of the own box, from rear to front.
    cx, cy = ours[0, 0] - ours[1, 0], ours[0, 1] - ours[1, 1]
    size = max(np.sqrt(cx * cx + cy * cy), 1e-9)
    cx, cy = cx / size, cy / size
    worst = -np.inf
    # The nearest places, and every corner: turning brings another one near.
    for k in range(_PLACES):
        if k == 0:
            distance = box_gap(ours, theirs, gap)
        elif k < 5:
            gap[:2] = ours[k - 1]
            if inside_polygon(gap[0], gap[1], theirs):
                continue
            distance = nearest_on_polygon(gap[0], gap[1], theirs, gap[2:])
        else:
            gap[2:] = theirs[k - 5]
            if inside_polygon(gap[2], gap[3], ours):
                continue
            distance = nearest_on_polygon(gap[2], gap[3], ours, gap[:2])
        # From the other machine to the robot.
        nx, ny = gap[0] - gap[2], gap[1] - gap[3]
        size = max(np.sqrt(nx * nx + ny * ny), 1e-9)
        nx, ny = nx / size, ny / size
        coming = max(0.0, u * nx + w * ny)
        limit = approach_speed(distance - figures[3], coming, figures[2], figures[4])
        row[:] = 0.0
        row[0] = -(cx * nx + cy * ny)
        row[1] = (gap[1] - pose[1]) * nx - (gap[0] - pose[0]) * ny
        worst = max(worst, row[0] * velocity[0] + row[1] * velocity[1] - limit)
        if kind < 0:
            continue
        add_row(rows, row_count, row, 1.0, limit)
        if coming > _MOVING_M_S:
            turn = limit / max(footprint[1], -footprint[0])
            cap_actuator(upper, lower, rule, 0, limit, limit, kind)
            cap_actuator(upper, lower, rule, 1, turn, turn, kind)
    return worst
