"""What every section of a specification offers, and the speed caps that it sets."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, ClassVar

import numba
import numpy as np
import numpy.typing as npt

from physai.config import Config
from physai.errors import ConfigError, ContractError, suggest
from physai.robot.footprint import (
    edge_distance,
    footprint_of,
    inside_polygon,
    ray_distance,
)
from physai.robot.kinematics import Kinematics
from physai.types import Array, State

if TYPE_CHECKING:
    from physai.robot.description import Robot

__all__ = [
    "ROWS_MOST",
    "YIELDS_M_S",
    "Caps",
    "Section",
    "add_row",
    "approach_speed",
    "cap_actuator",
    "check_named",
    "edge_distance",
    "excess_of",
    "footprint_of",
    "hold_actuators",
    "inside_polygon",
    "ray_distance",
    "stopping_speed",
]


Integers = npt.NDArray[np.int64]

ROWS_MOST = 12
"""Rows that the sections of a specification may ask for together, besides those that
one of them has reserved."""


@numba.njit(cache=True)
def cap_actuator(
    upper: Array,
    lower: Array,
    rule: Integers,
    actuator: int,
    forward: float,
    backward: float,
    kind: int,
) -> None:
    """Do what :meth:`Caps.cap` does, on its arrays."""
    high = forward if forward >= 0.0 else 0.0
    low = backward if backward >= 0.0 else 0.0
    if high < upper[actuator]:
        upper[actuator], rule[actuator] = high, kind
    if -low > lower[actuator]:
        lower[actuator], rule[actuator] = -low, kind


YIELDS_M_S = 0.05
"""A tool that nears something by so much faster than permitted does not follow its
command: a cylinder yields at its relief valve. It is no noise of a speed."""


@numba.njit(cache=True)
def hold_actuators(upper: Array, lower: Array, rule: Integers, kind: int) -> None:
    """Tell every actuator to stand, which shuts the valves of a hydraulic machine."""
    for i in range(upper.shape[0]):
        cap_actuator(upper, lower, rule, i, 0.0, 0.0, kind)


@numba.njit(cache=True)
def add_row(
    rows: Array,
    row_count: Integers,
    coefficients: Array,
    sign: float,
    limit: float,
) -> None:
    """Do what :meth:`Caps.row` does for sign times coefficients, on its arrays.

    Who asked for the row, and whether there was room, is told by
    :meth:`Caps.own_rows`.
    """
    place = row_count[0]
    row_count[0] = place + 1
    if place >= rows.shape[0]:
        return
    for i in range(coefficients.shape[0]):
        rows[place, i] = sign * coefficients[i]
    rows[place, coefficients.shape[0]] = limit if limit >= 0.0 else 0.0


@numba.njit(cache=True)
def _clear(
    upper: Array, lower: Array, rule: Integers, row_count: Integers, tool_floor: Array
) -> None:
    upper[:], lower[:], tool_floor[:] = np.inf, -np.inf, -np.inf
    rule[:], row_count[:] = -1, 0


class Caps:
    """What sections ask of a command: speed caps, rows, and tool channels kept on.

    Where a cap on single actuators would be too coarse, a section asks for a row:
    row u <= limit over the actuators' velocities.

    Args:
        count: Number of actuators.
        channels: Number of tool channels.

    Attributes:
        upper: (n,) at least 0 [rad/s or m/s]; infinite where nobody caps.
        lower: (n,) at most 0.
        rule: (n,) index of the capping rule kind in :attr:`kinds`; -1 for none.
        kinds: Kinds of rules that may cap, each once.
        rows: (R, n + 1) rows a u <= b in the last column; the first ``row_count[0]``
            hold. R is :data:`ROWS_MOST` and what :meth:`reserve` added.
        row_count: (1,).
        row_rule: Kind behind every row.
        tool_floor: (k,) least value of every tool channel; -inf for none.
        tool_rule: Kind that asked for it; -1 for none.
    """

    def __init__(self, count: int, channels: int = 0) -> None:
        self.upper, self.lower = np.full(count, np.inf), np.full(count, -np.inf)
        self.rule = np.full(count, -1, dtype=np.int64)
        self.kinds: list[str] = []
        self.rows = np.zeros((ROWS_MOST, count + 1))
        self.row_count = np.zeros(1, dtype=np.int64)
        self.row_rule = np.full(ROWS_MOST, -1)
        self.tool_floor, self.tool_rule = np.full(channels, -np.inf), -1

    def reserve(self, count: int) -> None:
        """Make room for so many rows more; while the sections are made, never later."""
        self.rows = np.zeros((len(self.rows) + count, self.rows.shape[1]))
        self.row_rule = np.full(len(self.rows), -1)

    def clear(self) -> None:
        """Lift every cap, row and demand on the tool."""
        _clear(self.upper, self.lower, self.rule, self.row_count, self.tool_floor)
        self.tool_rule = -1

    def kind(self, rule: str) -> int:
        """Return the index of a rule kind; a new one is added."""
        if rule not in self.kinds:
            self.kinds.append(rule)
        return self.kinds.index(rule)

    def cap(self, actuator: int, forward: float, backward: float, kind: int) -> None:
        """Permit an actuator no more than this in each direction.

        Args:
            actuator: Which.
            forward: Largest positive speed, at least 0.
            backward: Largest speed the other way, at least 0; NaN permits nothing.
            kind: Of :meth:`kind`.
        """
        cap_actuator(
            self.upper,
            self.lower,
            self.rule,
            actuator,
            float(forward),
            float(backward),
            kind,
        )

    def row(self, coefficients: Array, limit: float, kind: int) -> None:
        """Ask for coefficients . u <= limit.

        Standstill always satisfies a row: a limit below 0, or none, counts as 0.

        Args:
            coefficients: (n,).
            limit: At least 0.
            kind: Of :meth:`kind`.

        Raises:
            ContractError: If there is no room for it.
        """
        place = int(self.row_count[0])
        self._check_room(place + 1)
        self.rows[place, :-1] = coefficients
        self.rows[place, -1] = limit if limit >= 0.0 else 0.0
        self.row_rule[place] = kind
        self.row_count[0] = place + 1

    def own_rows(self, first: int, kind: int) -> None:
        """Say who asked for the rows from a place on, which compiled code added.

        Args:
            first: Number of rows before.
            kind: Of :meth:`kind`.

        Raises:
            ContractError: If there was no room for them.
        """
        count = int(self.row_count[0])
        self._check_room(count)
        self.row_rule[first:count] = kind

    def _check_room(self, count: int) -> None:
        most = len(self.rows)
        if count > most:
            self.row_count[0] = most
            raise ContractError(f"sections ask for more than {most} rows")

    def keep_tool(self, channel: int, least: float, kind: int) -> None:
        """Ask that a tool channel stays at or above a value."""
        if least > self.tool_floor[channel]:
            self.tool_floor[channel], self.tool_rule = least, kind


def check_named(
    key: str, owner: str, what: str, wanted: Iterable[str], known: Collection[str]
) -> None:
    """Check that what a section names is there.

    Args:
        key: The section, or a key of it, for the sentence.
        owner: Who should have it: the robot's name, or "the environment".
        what: What is named: actuator, link, extra.
        wanted: The names.
        known: Those that there are.

    Raises:
        ConfigError: Naming the first that is not there, and what is near to it.
    """
    for name in wanted:
        if name not in known:
            raise ConfigError(
                f'sections.{key}: {owner} has no {what} "{name}"; {suggest(name, known)}'
            )


class Section(ABC):
    """One section for one robot and one view.

    Args:
        values: The checked values.
        robot: The robot.
        truth_view: Whether this is the scorer's view, which sees what really is and
            keeps nothing back.
        caps: Where caps go.
        reaction_time_s: Reaction time of the view; 0 for the scorer.

    Attributes:
        Values: Type of its values.
        period_s: Control period [s]; set before the first update.
        extras: Place of every extra by name.
    """

    Values: ClassVar[type[Config]]

    def __init__(
        self,
        values: Config,
        robot: Robot,
        truth_view: bool,
        caps: Caps,
        reaction_time_s: float,
    ) -> None:
        self.robot, self.truth_view, self.caps = robot, truth_view, caps
        self.reaction_time_s = reaction_time_s
        self.period_s = 0.0
        self.extras: dict[str, int] = {}

    def reset(self) -> None:
        """Begin a new episode; a section that remembers something forgets it."""
        self.caps.clear()

    def bind(self, extras: Mapping[str, int]) -> None:
        """Learn where the environment's extras are; once, before the first update.

        Args:
            extras: Name to place.

        Raises:
            ConfigError: If one that the section needs is missing.
        """
        self.extras = dict(extras)

    def follow(self, velocity: Array) -> None:  # noqa: B027
        """Learn the (n,) command that was really sent; most sections need not know."""

    @abstractmethod
    def update(self, state: State, kinematics: Kinematics, signals: Array) -> None:
        """Measure and cap.

        Args:
            state: What the view sees; complete and finite.
            kinematics: Of the robot, posture and velocity of the state.
            signals: (Signal.COUNT,) write the section's own.
        """


@numba.njit(cache=True)
def stopping_speed(distance: float, deceleration: float, reaction: float) -> float:
    """Largest speed from which a stop ends within a distance [m/s].

    v Tr + v^2 / 2a = d solved for v; 0 where there is no way left or it is unknown.

    Args:
        distance: Free way [m].
        deceleration: a [m/s2].
        reaction: Tr [s].
    """
    if not distance > 0.0:
        return 0.0
    lost = deceleration * reaction
    return float(-lost + np.sqrt(lost * lost + 2.0 * deceleration * distance))


@numba.njit(cache=True)
def approach_speed(
    distance: float, object_speed: float, deceleration: float, reaction: float
) -> float:
    """Largest speed from which a stop ends before something that comes on [m/s].

    v Tr + v^2 / 2a + u (Tr + v / a) = d solved for v (closed form of ISO 13855); 0 where
    there is no way left or it is unknown.

    Args:
        distance: Free way [m].
        object_speed: u, toward the robot [m/s].
        deceleration: a [m/s2].
        reaction: Tr [s].
    """
    rest = distance - object_speed * reaction
    if not rest > 0.0:
        return 0.0
    b = deceleration * reaction + object_speed
    return float(-b + np.sqrt(b * b + 2.0 * deceleration * rest))


@numba.njit(cache=True)
def excess_of(velocity: Array, lower: Array, upper: Array, scale: Array) -> float:
    """Return by how much any actuator is faster than its cap, as a share of its limit.

    Args:
        velocity: (n,) [rad/s or m/s].
        lower: (n,) caps.
        upper: (n,).
        scale: (n,) speed limits of the maker.
    """
    worst = -1.0
    for i in range(velocity.shape[0]):
        over = max(velocity[i] - upper[i], lower[i] - velocity[i]) / scale[i]
        worst = max(worst, over)
    return worst
