"""Geo-fence: the robot's base stays inside a polygon and stops before its edge.

ISO 17757 (positioning, access) and the Japanese rules for automated construction ask
for measures against leaving the area; the stopping distance is v Tr + v^2 / 2a with the
deceleration that was measured on the machine. Not a rated function.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

import numba
import numpy as np
import numpy.typing as npt
from pydantic import Field

from physai.config import Config
from physai.robot.description import Robot
from physai.robot.kinematics import Kinematics
from physai.safety.rules import Signal
from physai.safety.sections.section import (
    Caps,
    Section,
    cap_actuator,
    edge_distance,
    excess_of,
    footprint_of,
    inside_polygon,
    ray_distance,
    stopping_speed,
)
from physai.types import Array, State

__all__ = ["Fence", "FenceValues"]

Positive = Annotated[float, Field(gt=0.0)]
NonNegative = Annotated[float, Field(ge=0.0)]


class FenceValues(Config):
    """Section ``fence``."""

    polygon_m: Annotated[tuple[tuple[float, float], ...], Field(min_length=3)]
    """Corners in the world, in order."""
    deceleration_m_s2: Positive
    """Measured in the worst load and slope."""
    margin_m: NonNegative
    """Kept free of the edge, for the error of localisation."""
    source: str


@numba.njit(cache=True)
def _measure(
    pose: Array,
    footprint: Array,
    polygon: Array,
    deceleration: float,
    reaction: float,
    margin: float,
    out: Array,
) -> None:
    """Write permitted speed forward, backward [m/s] and of turning [rad/s]."""
    qx, qy, qz, qw = pose[3], pose[4], pose[5], pose[6]
    cx = 1.0 - 2.0 * (qy * qy + qz * qz)
    cy = 2.0 * (qx * qy + qz * qw)
    size = max(np.sqrt(cx * cx + cy * cy), 1e-9)
    cx, cy = cx / size, cy / size
    ahead, behind, near, reach = np.inf, np.inf, np.inf, 0.0
    for corner in range(4):
        u = footprint[corner // 2]
        v = footprint[2 + corner % 2]
        x, y = pose[0] + u * cx - v * cy, pose[1] + u * cy + v * cx
        reach = max(reach, np.sqrt(u * u + v * v))
        free = edge_distance(x, y, polygon)
        if not inside_polygon(x, y, polygon):
            out[0], out[1], out[2] = 0.0, 0.0, 0.0
            # Outside, only the way back in is open.
            back = ray_distance(x, y, cx, cy, polygon)
            if np.isfinite(back):
                out[0] = 0.2
            elif np.isfinite(ray_distance(x, y, -cx, -cy, polygon)):
                out[1] = 0.2
            return
        near = min(near, free)
        if corner // 2 == 1:
            ahead = min(ahead, ray_distance(x, y, cx, cy, polygon))
        else:
            behind = min(behind, ray_distance(x, y, -cx, -cy, polygon))
    out[0] = stopping_speed(ahead - margin, deceleration, reaction)
    out[1] = stopping_speed(behind - margin, deceleration, reaction)
    out[2] = stopping_speed(near - margin, deceleration, reaction) / reach


@numba.njit(cache=True)
def _judge(
    pose: Array,
    footprint: Array,
    polygon: Array,
    figures: Array,
    velocity: Array,
    fastest: Array,
    upper: Array,
    lower: Array,
    rule: npt.NDArray[np.int64],
    kind: int,
    out: Array,
) -> float:
    """Cap forward, backward and turning speed; return the excess of what is driven.

    Args:
        pose: (7,) of the base in the world.
        footprint: (4,) of the robot [m].
        polygon: (K, 2) [m].
        figures: (3,) deceleration [m/s2], reaction time [s], margin [m].
        velocity: (n,) of the actuators, those of the base first.
        fastest: (n,) limits of the maker.
        upper: (n,) of :class:`Caps`, with ``lower`` and ``rule``.
        lower: The same.
        rule: The same.
        kind: Of the capping rule.
        out: (4,) scratch.
    """
    _measure(pose, footprint, polygon, figures[0], figures[1], figures[2], out)
    cap_actuator(upper, lower, rule, 0, out[0], out[1], kind)
    cap_actuator(upper, lower, rule, 1, out[2], out[2], kind)
    out[3] = -out[1]
    return excess_of(velocity[:1], out[3:4], out[:1], fastest[:1])


class Fence(Section):
    """Caps the base so that it stops before the fence; see the module."""

    Values: ClassVar[type[Config]] = FenceValues

    def __init__(
        self,
        values: FenceValues,
        robot: Robot,
        truth_view: bool,
        caps: Caps,
        reaction_time_s: float,
    ) -> None:
        super().__init__(values, robot, truth_view, caps, reaction_time_s)
        self._polygon = np.array(values.polygon_m)
        self._footprint = footprint_of(robot)
        margin = 0.0 if truth_view else values.margin_m
        self._figures = np.array([values.deceleration_m_s2, reaction_time_s, margin])
        self._out = np.zeros(4)
        self._kind = caps.kind("geofence")

    def update(self, state: State, kinematics: Kinematics, signals: Array) -> None:
        """Cap forward, backward and turning speed; judge what is driven."""
        caps, figures = self.caps, self._figures
        figures[_REACTION] = self.reaction_time_s
        signals[Signal.GEOFENCE] = _judge(
            np.ascontiguousarray(state.base_pose_in_world),
            self._footprint,
            self._polygon,
            figures,
            np.ascontiguousarray(state.actuator_velocity),
            self.robot.velocity_max,
            caps.upper,
            caps.lower,
            caps.rule,
            self._kind,
            self._out,
        )


_REACTION = 1
"""Place of Tr among the figures."""
