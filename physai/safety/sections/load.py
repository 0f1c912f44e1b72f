"""A load on suction cups: not over people, no faster than the vacuum holds, not let go.

While a case hangs on the cups, three things are kept:

- *approach*: the vertical cylinder around the case comes toward people no faster than
  the closed form of the separation permits for its horizontal distance, whatever the
  height, so that nothing is carried over anybody (a case that falls has no force model);
- *speed and acceleration*: with the static margin k = dp A / (m g), every actuator's
  speed is permitted in full from ``margin_full`` on and falls to ``speed_share_least``
  at ``margin_least``; it speeds up no harder than the acceleration a = g (k / k_moving - 1)
  at the tool that leaves the margin ``margin_moving``. Braking is never limited;
- *release*: the vacuum stays on until the case is within ``release_distance_m`` of its
  place.

Safety factor 2 on a level face and speed and acceleration tied to the vacuum margin:
design defaults of the facts behind this project.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, ClassVar

import numba
import numpy as np
from pydantic import Field, model_validator

from physai.config import Config
from physai.errors import ConfigError
from physai.robot.description import Robot
from physai.robot.kinematics import Kinematics
from physai.safety.kernel import Parameter, permitted_speed
from physai.safety.rules import Signal
from physai.safety.sections.section import Caps, Section, check_named
from physai.types import Array, State

__all__ = ["Load", "LoadValues"]

Positive = Annotated[float, Field(gt=0.0)]
NonNegative = Annotated[float, Field(ge=0.0)]
Share = Annotated[float, Field(gt=0.0, le=1.0)]

_EXTRAS = (
    "vacuum_kpa",
    "case_held",
    "case_x_in_world_m",
    "case_y_in_world_m",
    "case_z_in_world_m",
    "case_size_x_m",
    "case_size_y_m",
    "case_mass_kg",
    "slot_x_in_world_m",
    "slot_y_in_world_m",
    "slot_z_in_world_m",
)
VACUUM, HELD, CASE_X, CASE_Y, CASE_Z, SIZE_X, SIZE_Y, MASS, SLOT_X, SLOT_Y, SLOT_Z = (
    range(11)
)

_GRAVITY = 9.81


class LoadValues(Config):
    """Section ``load``."""

    channel: str
    """Tool channel that holds the load."""
    cup_area_m2: Positive
    """Effective, of all cups."""
    margin_full: Positive
    margin_least: Positive
    margin_moving: Positive
    speed_share_least: Share
    release_distance_m: Positive
    human_speed_m_s: Positive
    braking_time_s: Positive
    deceleration_m_s2: Positive
    uncertainty_m: NonNegative
    """Errors of person and case, kept by the guard."""
    moving_contact_m_s: Positive
    """The scorer's floor of the permitted approach."""
    source: str

    @model_validator(mode="after")
    def _ordered(self) -> LoadValues:
        if not 1.0 <= self.margin_least < self.margin_full:
            raise ValueError("margin_least must be at least 1 and below margin_full")
        return self


@numba.njit(cache=True)
def _nearest(
    x: float,
    y: float,
    radius: float,
    people: Array,
    people_age: Array,
    human: float,
    out: Array,
) -> None:
    """Write horizontal distance and direction from every person to a cylinder.

    Args:
        x: Middle of the load, world [m].
        y: The same.
        radius: Of the cylinder around it [m].
        people: (P, S, 7).
        people_age: (P,) [s].
        human: Speed at which a person may have come closer meanwhile [m/s].
        out: (P, 3) distance [m], direction from person to load.
    """
    for p in range(people.shape[0]):
        out[p, 0] = np.inf
        for s in range(people.shape[1]):
            ax, ay = people[p, s, 0], people[p, s, 1]
            ex, ey = people[p, s, 3] - ax, people[p, s, 4] - ay
            size = ex * ex + ey * ey
            share = ((x - ax) * ex + (y - ay) * ey) / size if size > 1e-12 else 0.0
            share = min(1.0, max(0.0, share))
            dx, dy = x - ax - share * ex, y - ay - share * ey
            length = math.sqrt(dx * dx + dy * dy)
            d = length - people[p, s, 6] - radius - human * people_age[p]
            if d < out[p, 0]:
                scale = 1.0 / max(length, 1e-9)
                out[p, 0], out[p, 1], out[p, 2] = d, dx * scale, dy * scale


@numba.njit(cache=True)
def _approach(
    seen: Array,
    people: Array,
    people_age: Array,
    ageing: float,
    human: float,
    floor: float,
    parameters: Array,
    jacobian: Array,
    velocity: Array,
    rows: Array,
) -> float:
    """Write a row for every person; return the worst excess of the approach [m/s].

    Args:
        seen: (11,) the extras of this section.
        people: (P, S, 7).
        people_age: (P,) [s].
        ageing: Speed at which a person may have come closer since [m/s].
        human: Speed at which a person walks on [m/s].
        floor: Least permitted approach [m/s].
        parameters: See :class:`physai.safety.kernel.Parameter`.
        jacobian: (3, n) of the cups.
        velocity: (n,) measured.
        rows: (P, n + 1) filled; the limit is last.
    """
    n, worst, near = velocity.shape[0], -1.0, np.empty((people.shape[0], 3))
    radius = 0.5 * math.sqrt(seen[SIZE_X] ** 2 + seen[SIZE_Y] ** 2)
    _nearest(seen[CASE_X], seen[CASE_Y], radius, people, people_age, ageing, near)
    for p in range(people.shape[0]):
        allowed = max(floor, permitted_speed(near[p, 0], human, parameters))
        total = -allowed
        for j in range(n):
            rows[p, j] = -(near[p, 1] * jacobian[0, j] + near[p, 2] * jacobian[1, j])
            total += rows[p, j] * velocity[j]
        rows[p, n] = allowed
        worst = max(worst, total)
    return worst


@numba.njit(cache=True)
def _bounds(
    share: float,
    permitted: float,
    period: float,
    jacobian: Array,
    velocity: Array,
    velocity_max: Array,
    acceleration_max: Array,
    out: Array,
) -> float:
    """Write the largest speeds forward and backward; return the excess as a share.

    Args:
        share: Of every speed limit that is permitted.
        permitted: Acceleration of the cups [m/s2].
        period: Control period [s].
        jacobian: (3, n) of the cups.
        velocity: (n,) measured [rad/s].
        velocity_max: (n,) [rad/s].
        acceleration_max: (n,) [rad/s2].
        out: (2, n) filled.
    """
    full, worst = 1e-9, -1.0
    for j in range(velocity.shape[0]):
        reach = math.sqrt(
            jacobian[0, j] ** 2 + jacobian[1, j] ** 2 + jacobian[2, j] ** 2
        )
        full += reach * acceleration_max[j]
    harder = min(1.0, max(0.05, permitted / full))
    for j in range(velocity.shape[0]):
        limit, v = share * velocity_max[j], velocity[j]
        more = harder * acceleration_max[j] * period
        out[0, j] = min(limit, max(0.0, v) + more)
        out[1, j] = min(limit, max(0.0, -v) + more)
        worst = max(worst, (abs(v) - limit) / velocity_max[j])
    return worst


class Load(Section):
    """Keeps a carried case away from people and on the cups; see the module.

    Raises:
        ConfigError: If the robot has no such tool channel.
    """

    Values: ClassVar[type[Config]] = LoadValues

    def __init__(
        self,
        values: LoadValues,
        robot: Robot,
        truth_view: bool,
        caps: Caps,
        reaction_time_s: float,
    ) -> None:
        super().__init__(values, robot, truth_view, caps, reaction_time_s)
        known = robot.tool_channels
        check_named("load", robot.name, "tool channel", (values.channel,), known)
        self._values = values
        self._channel = known.index(values.channel)
        self._nearing = caps.kind("load_approach")
        self._speed = caps.kind("load_speed")
        self._release = caps.kind("load_release")
        self._places = np.zeros(len(_EXTRAS), dtype=np.int64)
        self._last: Array | None = None
        p = np.zeros(Parameter.COUNT)
        p[Parameter.REACTION_TIME] = reaction_time_s
        p[Parameter.BRAKING_TIME] = values.braking_time_s
        p[Parameter.DECELERATION] = values.deceleration_m_s2
        p[Parameter.OFFSET] = 0.0 if truth_view else values.uncertainty_m
        self._parameters = p
        self._floor = values.moving_contact_m_s if truth_view else 0.0

    def bind(self, extras: Mapping[str, int]) -> None:
        """Find the extras of gripper, case and slot."""
        super().bind(extras)
        for k, name in enumerate(_EXTRAS):
            if name not in extras:
                raise ConfigError(
                    f'sections.load needs the extra "{name}", which the environment '
                    "does not declare"
                )
            self._places[k] = extras[name]

    def reset(self) -> None:
        """Forget what was held."""
        self._last = None

    def update(self, state: State, kinematics: Kinematics, signals: Array) -> None:
        """Measure approach, speed and release; cap while a case is held."""
        seen = state.extras[self._places]
        signals[Signal.LOAD_AGE] = state.extras_age_s[self._places].max()
        self._judge_release(seen, signals)
        signals[Signal.LOAD_APPROACH] = signals[Signal.LOAD_SPEED] = -1.0
        if not seen[HELD] > 0.5:
            self._last = None
            return
        self._last = seen
        jacobian = kinematics.tool_jacobian()
        velocity = np.ascontiguousarray(state.actuator_velocity)
        self._keep_off(seen, state, jacobian, velocity, signals)
        self._hold_back(seen, jacobian, velocity, signals)
        if self._from_slot(seen) > self._values.release_distance_m:
            self.caps.keep_tool(self._channel, 1.0, self._release)

    def _judge_release(self, seen: Array, signals: Array) -> None:
        let_go = self._last is not None and not seen[HELD] > 0.5
        signals[Signal.LOAD_RELEASE] = (
            self._from_slot(self._last) if let_go and self._last is not None else 0.0
        )

    @staticmethod
    def _from_slot(seen: Array) -> float:
        """How far a case is from its place, sideways or in height [m]."""
        across = math.hypot(seen[CASE_X] - seen[SLOT_X], seen[CASE_Y] - seen[SLOT_Y])
        return max(across, float(seen[CASE_Z] - seen[SLOT_Z]))

    def _keep_off(
        self, seen: Array, state: State, jacobian: Array, velocity: Array, out: Array
    ) -> None:
        """Rows against everybody's horizontal distance."""
        people = np.ascontiguousarray(state.people)
        if not len(people):
            return
        human = self._values.human_speed_m_s
        rows = np.empty((len(people), len(velocity) + 1))
        out[Signal.LOAD_APPROACH] = _approach(
            seen,
            people,
            np.ascontiguousarray(state.people_age_s),
            0.0 if self.truth_view else human,
            human,
            self._floor,
            self._parameters,
            jacobian,
            velocity,
            rows,
        )
        for row in rows:
            self.caps.row(row[:-1], float(row[-1]), self._nearing)

    def _hold_back(
        self, seen: Array, jacobian: Array, velocity: Array, out: Array
    ) -> None:
        """Cap speed and speeding up by what the vacuum holds."""
        values, robot = self._values, self.robot
        weight = max(1e-6, float(seen[MASS]) * _GRAVITY)
        margin = 1000.0 * float(seen[VACUUM]) * values.cup_area_m2 / weight
        share = (margin - values.margin_least) / (
            values.margin_full - values.margin_least
        )
        share = min(1.0, max(values.speed_share_least, share))
        permitted = max(0.0, _GRAVITY * (margin / values.margin_moving - 1.0))
        bounds = np.empty((2, len(velocity)))
        out[Signal.LOAD_SPEED] = _bounds(
            share,
            permitted,
            self.period_s,
            jacobian,
            velocity,
            robot.velocity_max,
            robot.acceleration_max,
            bounds,
        )
        if self.truth_view:
            return
        for i, (ahead, behind) in enumerate(bounds.T.tolist()):
            self.caps.cap(i, ahead, behind, self._speed)
