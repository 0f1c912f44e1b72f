"""Crossing with other traffic: while it is closed, the robot stops before it.

The site control closes a crossing for the robot while a manned machine has it (Japanese
rules for automated construction: entry and crossing are controlled by rule, Ver. 1.0 of
March 2024). The signal is an extra of the state. A robot that is in the crossing when it
closes leaves it. Not a rated function.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar

import numba
import numpy as np
from pydantic import Field

from physai.config import Config
from physai.robot.description import Robot
from physai.robot.footprint import (
    footprint_of,
    place_corners,
    polygon_reaches,
    ray_distance,
)
from physai.robot.kinematics import Kinematics
from physai.safety.rules import Signal
from physai.safety.sections.section import (
    Caps,
    Section,
    check_named,
    excess_of,
    stopping_speed,
)
from physai.types import Array, State

__all__ = ["Crossing", "CrossingValues"]

Positive = Annotated[float, Field(gt=0.0)]
NonNegative = Annotated[float, Field(ge=0.0)]


class CrossingValues(Config):
    """Section ``crossing``."""

    polygon_m: Annotated[tuple[tuple[float, float], ...], Field(min_length=3)]
    """Corners in the world, in order."""
    extra: str
    """Above 0.5, or no number: closed."""
    deceleration_m_s2: Positive
    """Measured in the worst load and slope."""
    margin_m: NonNegative
    """Kept free before the edge, for the error of localisation."""
    source: str


@numba.njit(cache=True)
def _ways(
    pose: Array, footprint: Array, polygon: Array, corners: Array, out: Array
) -> bool:
    """Write the free way forward and backward [m]; return whether it is in already."""
    place_corners(pose, footprint, corners)
    out[0] = out[1] = np.inf
    if polygon_reaches(corners, polygon):
        return True
    dx, dy = corners[0, 0] - corners[1, 0], corners[0, 1] - corners[1, 1]
    size = max(np.sqrt(dx * dx + dy * dy), 1e-9)
    dx, dy = dx / size, dy / size
    # Between the corners of an end, too: a narrow polygon has no corner in the way.
    for share in range(5):
        t = 0.25 * share
        for c in range(2):
            front, rear = corners[0], corners[1]
            x = front[0] + t * (corners[3, 0] - front[0])
            y = front[1] + t * (corners[3, 1] - front[1])
            if c == 0:
                out[0] = min(out[0], ray_distance(x, y, dx, dy, polygon))
            else:
                x = rear[0] + t * (corners[2, 0] - rear[0])
                y = rear[1] + t * (corners[2, 1] - rear[1])
                out[1] = min(out[1], ray_distance(x, y, -dx, -dy, polygon))
    return False


class Crossing(Section):
    """Caps the base before a closed crossing; see the module."""

    Values: ClassVar[type[Config]] = CrossingValues

    def __init__(
        self,
        values: CrossingValues,
        robot: Robot,
        truth_view: bool,
        caps: Caps,
        reaction_time_s: float,
    ) -> None:
        super().__init__(values, robot, truth_view, caps, reaction_time_s)
        self._values, self._polygon = values, np.array(values.polygon_m)
        self._margin = 0.0 if truth_view else values.margin_m
        self._footprint, self._corners = footprint_of(robot), np.zeros((4, 2))
        self._out, self._kind, self._place = np.zeros(2), caps.kind("crossing"), -1

    def bind(self, extras: Mapping[str, int]) -> None:
        """Find the signal among the environment's extras.

        Raises:
            ConfigError: If it is not there.
        """
        super().bind(extras)
        name = self._values.extra
        check_named("crossing.extra", "the environment", "extra", (name,), extras)
        self._place = extras[name]

    def update(self, state: State, kinematics: Kinematics, signals: Array) -> None:
        """Cap forward and backward speed while the crossing is closed."""
        signals[Signal.CROSSING] = -1.0
        if state.extras[self._place] <= 0.5:
            return
        out, values = self._out, self._values
        pose = np.ascontiguousarray(state.base_pose_in_world)
        if _ways(pose, self._footprint, self._polygon, self._corners, out):
            return
        for k in range(2):
            out[k] = stopping_speed(
                out[k] - self._margin, values.deceleration_m_s2, self.reaction_time_s
            )
        self.caps.cap(0, out[0], out[1], self._kind)
        signals[Signal.CROSSING] = excess_of(
            np.ascontiguousarray(state.actuator_velocity[:1]),
            -out[1:2],
            out[:1],
            self.robot.velocity_max[:1],
        )
