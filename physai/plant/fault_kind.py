"""What a kind of fault is: where it acts, how large it is, and what reveals it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
from pydantic import Field

from physai.config import Config
from physai.randomness import generator
from physai.robot.description import Robot
from physai.types import Command, State

__all__ = [
    "NEVER_S",
    "FaultCourse",
    "FaultKind",
    "FaultValues",
    "Sign",
    "Target",
    "answer_within",
    "nothing",
    "revealed_by",
]

NEVER_S = 1.0e6
"""A fault that lasts so long does not end."""

Target = Literal[
    "joints",
    "pose",
    "people",
    "face",
    "extras",
    "tool_force",
    "lidar",
    "objects",
    "command",
    "states",
    "link",
    "clock",
]


class FaultValues(Config):
    """One fault: what, where, when, how much."""

    kind: str
    target: Target = "people"
    """A source of the state; ``command`` (guard to robot), ``states`` (robot to guard)
    or ``link`` (both ways); ``clock``."""
    start_s: Annotated[float, Field(ge=0.0)] = 0.0
    duration_s: Annotated[float, Field(gt=0.0)] = NEVER_S
    magnitude: float = 0.0
    """What it means and its unit: :attr:`FaultKind.magnitude`."""

    def active(self, time_s: float) -> bool:
        """Whether it is on at a time."""
        return self.start_s <= time_s < self.start_s + self.duration_s


class Sign(NamedTuple):
    """A rule by which a fault shows.

    Attributes:
        rule: Rule of a specification, or ``command_timeout``: the robot's own.
        size_s: The fault shows by it where the rule answers within so long. A fault
            that makes something old shows as soon as it is older than the rule allows;
            one that ends before that does not show.
    """

    rule: str
    size_s: float


Signs = Callable[[FaultValues], tuple[Sign, ...]]


def nothing(fault: FaultValues) -> tuple[Sign, ...]:
    """No input reveals it."""
    return ()


def revealed_by(*rules: str) -> Signs:
    """Return that a fault shows by any of these rules, if it lasts long enough."""
    return lambda fault: tuple(Sign(rule, fault.duration_s) for rule in rules)


@dataclass(frozen=True, slots=True)
class FaultKind:
    """A kind of fault at one kind of place.

    Attributes:
        name: As content writes it; what it does is its function's first line.
        acts_on: ``sensor``, ``actuator``, ``link`` or ``clock``.
        targets: Where it can be.
        apply: What it does. A sensor's and a clock's: (course, state, time) to state;
            an actuator's: (course, command, time) to command; a link's: (course,
            arrival) to the arrivals that become of it.
        magnitude: What its magnitude says, with the unit; empty if it has none.
        signs: By which rules it shows.
    """

    name: str
    acts_on: Literal["sensor", "actuator", "link", "clock"]
    targets: tuple[str, ...]
    apply: Callable[..., Any]
    magnitude: str
    signs: Signs


@dataclass(slots=True)
class FaultCourse:
    """One fault over one episode.

    Attributes:
        fault: Its values.
        seed: Of the episode.
        index: Place among the faults of the episode: what is random is its own.
        robot: Whose limits a runaway takes.
        states: Every state of the episode as the sensors gave it; shared.
        commands: Every command that came to the actuators; shared.
        kept: What it keeps while it is on: the reading that froze, the speed of the
            actuator that is stuck, the person who is not there.
        draws: How many numbers it has drawn by :meth:`draw`.
    """

    fault: FaultValues
    seed: int
    index: int
    robot: Robot | None = None
    states: list[State] = field(default_factory=list)
    commands: list[Command] = field(default_factory=list)
    kept: Any = None
    draws: int = 0

    def random(self, time_s: float) -> np.random.Generator:
        """Return its generator at one time."""
        return generator(self.seed, f"fault.{self.index}", round(time_s * 1000))

    def draw(self) -> float:
        """Return the next of a row of numbers between 0 and 1."""
        self.draws += 1
        rng = generator(self.seed, f"fault.{self.index}.draw", self.draws)
        return float(rng.random())

    def direction(self, time_s: float) -> np.ndarray[Any, np.dtype[np.float64]]:
        """Return a (3,) unit vector, the same at the same time."""
        drawn = self.random(time_s).normal(size=3)
        unit: np.ndarray[Any, np.dtype[np.float64]] = drawn / np.linalg.norm(drawn)
        return unit


def answer_within(signs: tuple[Sign, ...], answers: Mapping[str, float]) -> float:
    """Return within which time [s] a fault with these signs is answered.

    Args:
        signs: Of the fault.
        answers: Rule to the time within which it answers [s].

    Returns:
        The shortest; NaN if none of the rules is there, or each would take longer than
        the fault shows.
    """
    found = [
        answers[s.rule] for s in signs if s.size_s >= answers.get(s.rule, math.inf)
    ]
    return min(found, default=math.nan)
