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
import numpy.typing as npt
from pydantic import Field, model_validator

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
    inside_polygon,
)
from physai.types import Array, State

__all__ = ["AreaValues", "Areas", "AreasValues"]

Integers = npt.NDArray[np.int64]
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
    x0, x1, y0, y1 = np.inf, -np.inf, np.inf, -np.inf
    for k in range(polygon.shape[0]):
        x0, x1 = min(x0, polygon[k, 0]), max(x1, polygon[k, 0])
        y0, y1 = min(y0, polygon[k, 1]), max(y1, polygon[k, 1])
    for p in range(people.shape[0]):
        for s in range(people.shape[1]):
            near = reach[p] + people[p, s, 6]
            beyond = near + _ABOVE_ROUNDING_M
            for e in range(2):
                x, y = people[p, s, 3 * e], people[p, s, 3 * e + 1]
                if (
                    x < x0 - beyond
                    or x > x1 + beyond
                    or y < y0 - beyond
                    or y > y1 + beyond
                ):
                    continue
                if inside_polygon(x, y, polygon):
                    return True
                if edge_distance(x, y, polygon) <= near:
                    return True
    return False


_ABOVE_ROUNDING_M = 1e-6

_UNMANNED, _RESTRICTED, _SLOW = range(3)
_KINDS = {"unmanned": _UNMANNED, "restricted": _RESTRICTED, "slow": _SLOW}


@numba.njit(cache=True)
def _judge(
    people: Array,
    people_age: Array,
    kept: float,
    walking: float,
    x: float,
    y: float,
    corners: Array,
    starts: Integers,
    kinds: Integers,
    shares: Array,
    velocity: Array,
    fastest: Array,
    scratch: Array,
    upper: Array,
    lower: Array,
    rule: Integers,
    kind: int,
    out: Array,
) -> None:
    """Look where people and robot are; cap every actuator.

    Args:
        people: (P, S, 7) [m].
        people_age: (P,) [s].
        kept: Kept of every edge [m].
        walking: Speed at which a person may have come closer meanwhile [m/s].
        x: Of the base in the world [m].
        y: The same.
        corners: (K, 2) of all polygons, one after the other [m].
        starts: (A + 1,) first corner of every area.
        kinds: (A,) of the areas.
        shares: (A,) of the speed that each permits.
        velocity: (n,) of the actuators.
        fastest: (n,) limits of the maker.
        scratch: (2, n) caps of this section, and reach of people.
        upper: (n,) of :class:`Caps`, with ``lower`` and ``rule``.
        lower: The same.
        rule: The same.
        kind: Of the capping rule.
        out: (3,) filled: intrusion, motion while there is one, excess above the caps.
    """
    reach = kept + walking * people_age
    share, intrusion = 1.0, 0.0
    for a in range(kinds.shape[0]):
        polygon = corners[starts[a] : starts[a + 1]]
        if kinds[a] == _SLOW:
            here = inside_polygon(x, y, polygon)
        else:
            here = _person_inside(people, reach, polygon)
        if here and kinds[a] == _UNMANNED:
            intrusion = 1.0
        elif here:
            share = min(share, shares[a])
    most = 0.0
    for i in range(velocity.shape[0]):
        most = max(most, abs(velocity[i]) / fastest[i])
        scratch[0, i] = fastest[i] * share
        scratch[1, i] = -scratch[0, i]
        if share < 1.0:
            cap_actuator(upper, lower, rule, i, scratch[0, i], scratch[0, i], kind)
    out[0], out[1] = intrusion, intrusion * most
    out[2] = excess_of(velocity, scratch[1], scratch[0], fastest)


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
        areas = values.areas
        self._corners = np.concatenate([np.array(a.polygon_m) for a in areas])
        self._starts = np.cumsum([0, *(len(a.polygon_m) for a in areas)])
        self._kinds = np.array([_KINDS[a.kind] for a in areas])
        self._shares = np.array([a.speed_share for a in areas])
        self._walking = 0.0 if truth_view else values.walking_speed_m_s
        self._kept = 0.0 if truth_view else values.uncertainty_m
        self._kind = caps.kind("area_speed")
        self._scratch = np.zeros((2, len(robot.actuator_names)))
        self._out = np.zeros(3)

    def update(self, state: State, kinematics: Kinematics, signals: Array) -> None:
        """Look where people and robot are."""
        x, y = state.base_pose_in_world[:2].tolist()
        caps, out = self.caps, self._out
        _judge(
            np.ascontiguousarray(state.people),
            np.ascontiguousarray(state.people_age_s),
            self._kept,
            self._walking,
            x,
            y,
            self._corners,
            self._starts,
            self._kinds,
            self._shares,
            np.ascontiguousarray(state.actuator_velocity),
            self.robot.velocity_max,
            self._scratch,
            caps.upper,
            caps.lower,
            caps.rule,
            self._kind,
            out,
        )
        intrusion, motion, excess = out.tolist()
        signals[Signal.AREA_INTRUSION] = intrusion
        signals[Signal.AREA_MOTION] = motion
        signals[Signal.AREA_SPEED] = excess
