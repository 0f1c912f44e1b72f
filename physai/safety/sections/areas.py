"""Areas of a site: unmanned, access-restricted, manned; and zones with a speed limit.

The Japanese safety rules for automated construction (Ver. 1.0, March 2024) divide a
site into three areas in principle. A person in the unmanned area stops the machine and
latches; a person in the restricted area around it slows it down. In logistics the same
mechanism is a zone with a speed limit, such as a crossing, or a stop zone beside a cell.
A person counts as inside where they could be: the tracker's error and the way at walking
speed since the track's age are added.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import numba
import numpy as np
from pydantic import Field, model_validator

from physai.config import Config
from physai.robot.description import Robot
from physai.robot.kinematics import Kinematics
from physai.safety.rules import Signal
from physai.safety.sections.section import (
    Caps,
    Section,
    edge_distance,
    excess_of,
    inside_polygon,
)
from physai.types import Array, State

__all__ = ["AreaValues", "Areas", "AreasValues"]

NonNegative = Annotated[float, Field(ge=0.0)]
Share = Annotated[float, Field(gt=0.0, le=1.0)]


class AreaValues(Config):
    """One area."""

    name: str
    kind: Literal["unmanned", "restricted", "slow"]
    """``unmanned``: a person inside is an intrusion; ``restricted``: a person inside
    slows the robot; ``slow``: the robot inside is slow, person or not."""
    polygon_m: Annotated[tuple[tuple[float, float], ...], Field(min_length=3)]
    speed_share: Share = 1.0
    """Share of every actuator's speed limit that is permitted then."""

    @model_validator(mode="after")
    def _slows(self) -> AreaValues:
        if self.kind != "unmanned" and self.speed_share >= 1.0:
            raise ValueError(f'area "{self.name}": speed_share must be below 1')
        return self


class AreasValues(Config):
    """Section ``areas``."""

    areas: Annotated[tuple[AreaValues, ...], Field(min_length=1)]
    walking_speed_m_s: NonNegative = 1.6
    uncertainty_m: NonNegative
    """Kept of every edge by the guard, for the tracker's error."""
    source: str


@numba.njit(cache=True)
def _person_inside(people: Array, reach: Array, polygon: Array) -> bool:
    """Whether anybody is, or could by now be, inside a polygon."""
    for p in range(people.shape[0]):
        for s in range(people.shape[1]):
            for e in range(2):
                x, y = people[p, s, 3 * e], people[p, s, 3 * e + 1]
                if inside_polygon(x, y, polygon):
                    return True
                if edge_distance(x, y, polygon) <= reach[p] + people[p, s, 6]:
                    return True
    return False


class Areas(Section):
    """Slows or stops by who is where; see the module."""

    Values: ClassVar[type[Config]] = AreasValues

    def __init__(
        self,
        values: AreasValues,
        robot: Robot,
        truth_view: bool,
        caps: Caps,
        reaction_time_s: float,
    ) -> None:
        super().__init__(values, robot, truth_view, caps, reaction_time_s)
        self._areas = [
            (a.kind, np.array(a.polygon_m), a.speed_share) for a in values.areas
        ]
        self._walking = 0.0 if truth_view else values.walking_speed_m_s
        self._kept = 0.0 if truth_view else values.uncertainty_m
        self._kind = caps.kind("area_speed")
        n = len(robot.actuator_names)
        self._upper = np.zeros(n)

    def update(self, state: State, kinematics: Kinematics, signals: Array) -> None:
        """Look where people and robot are."""
        people = np.ascontiguousarray(state.people)
        reach = self._kept + self._walking * state.people_age_s
        base = state.base_pose_in_world
        share, intrusion = 1.0, 0.0
        for kind, polygon, allowed in self._areas:
            if kind == "slow":
                here = inside_polygon(float(base[0]), float(base[1]), polygon)
            else:
                here = _person_inside(people, reach, polygon)
            if here and kind == "unmanned":
                intrusion = 1.0
            elif here:
                share = min(share, allowed)
        signals[Signal.AREA_INTRUSION] = intrusion
        speeds = np.abs(state.actuator_velocity) / self.robot.velocity_max
        signals[Signal.AREA_MOTION] = intrusion * float(speeds.max())
        np.multiply(self.robot.velocity_max, share, out=self._upper)
        if share < 1.0:
            for i, speed in enumerate(self._upper.tolist()):
                self.caps.cap(i, speed, speed, self._kind)
        signals[Signal.AREA_SPEED] = excess_of(
            np.ascontiguousarray(state.actuator_velocity),
            -self._upper,
            self._upper,
            self.robot.velocity_max,
        )
