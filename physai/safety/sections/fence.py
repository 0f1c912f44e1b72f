"""Geo-fence: the robot's base stays inside a polygon and stops before its edge.

ISO 17757 (positioning, access) and the Japanese rules for automated construction ask
for measures against leaving the area; the stopping distance is v Tr + v^2 / 2a with the
deceleration that was measured on the machine. Not a rated function.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

import numba
import numpy as np
from pydantic import Field

from physai.config import Config
from physai.robot.description import Robot
from physai.robot.kinematics import Kinematics
from physai.safety.rules import Signal
from physai.safety.sections.section import (
    Caps,
    Section,
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
        self._deceleration = values.deceleration_m_s2
        self._margin = 0.0 if truth_view else values.margin_m
        self._out = np.zeros(3)
        self._kind = caps.kind("geofence")

    def update(self, state: State, kinematics: Kinematics, signals: Array) -> None:
        """Cap forward, backward and turning speed; judge what is driven."""
        out = self._out
        _measure(
            np.ascontiguousarray(state.base_pose_in_world),
            self._footprint,
            self._polygon,
            self._deceleration,
            self.reaction_time_s,
            self._margin,
            out,
        )
        self.caps.cap(0, out[0], out[1], self._kind)
        self.caps.cap(1, out[2], out[2], self._kind)
        speed = np.ascontiguousarray(state.actuator_velocity[:1])
        signals[Signal.GEOFENCE] = excess_of(
            speed, -out[1:2], out[:1], self.robot.velocity_max[:1]
        )
