"""What a task is: six pure functions between a plant's state and a policy.

A task has no state of its own from one step to the next. What it needs to know about
an episode is in :class:`~physai.types.State` (for the policy) or
:class:`~physai.types.Truth` (for reward and outcome), so that a stored episode is
scored again without a simulator, and the same task runs on every plant.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt

from physai.plant.scenario import Scenario
from physai.policy.policy import ImageEntry
from physai.robot.description import Robot
from physai.types import AREA_COUNT, Array, Command, Contact, State, Truth

if TYPE_CHECKING:
    from physai.tasks.environment import EnvironmentConfig, ScenarioTemplate

__all__ = ["NO_TOOL", "Outcome", "Reward", "Spaces", "Task"]

NO_TOOL: Array = np.zeros(0)
"""What a command says to a tool without channels."""


@dataclass(frozen=True, eq=False)
class Spaces:
    """Names and true bounds of observation and action.

    Attributes:
        observation_names: (o,) names with unit and frame.
        observation_low: (o,) float32.
        observation_high: (o,) float32.
        action_names: (a,) names with unit, frame and what 1.0 stands for; every entry
            is in [-1, 1].
        tracked_names: Entries that trackers of people and things give, which images
            replace (:mod:`physai.tasks.image_observation`).
        images: Whose pixels follow the named entries; their bounds do too.
    """

    observation_names: tuple[str, ...]
    observation_low: npt.NDArray[np.float32]
    observation_high: npt.NDArray[np.float32]
    action_names: tuple[str, ...]
    tracked_names: frozenset[str] = frozenset()
    images: tuple[ImageEntry, ...] = ()


class Reward(NamedTuple):
    """Reward of one state, in two parts.

    The cycle pays ``discount * potential(after) - potential(before) + rate``, so that
    for a learner with the environment's discount the first part is worth the
    difference of the ends, whatever happens between them (Ng, Harada and Russell 1999).

    Attributes:
        potential: How far the task has come; bounded.
        rate: What this step earns or costs by itself.
    """

    potential: float
    rate: float


class Outcome(NamedTuple):
    """What the episode is worth if it ends now.

    Attributes:
        finished: Nothing is left to do.
        success: Whether it counts as success when it ends now.
    """

    finished: bool
    success: bool


class Task(ABC):
    """Base of every task.

    Args:
        environment: The environment's values.
        robot: The robot.

    Attributes:
        name: As in the environment's YAML.
        expert: ``module:Class`` of the scripted expert; made with the task, its
            ``act(state)`` returns an action.
    """

    name: ClassVar[str]
    expert: ClassVar[str]

    def __init__(self, environment: EnvironmentConfig, robot: Robot) -> None:
        self.environment = environment
        self.robot = robot

    @abstractmethod
    def spaces(self) -> Spaces:
        """Return names and bounds of observation and action."""

    @abstractmethod
    def sample_scenario(
        self,
        seed: int,
        distribution: str = "train",
        template: ScenarioTemplate | str | None = None,
    ) -> Scenario:
        """Return the scenario of one seed; the same seed gives the same one.

        Args:
            seed: Non-negative.
            distribution: Named ranges of the environment's YAML.
            template: The kind of scenario, or its name; None draws it by weight.
        """

    @abstractmethod
    def observe(self, state: State) -> npt.NDArray[np.float32]:
        """Return a new (o,) observation within the bounds."""

    @abstractmethod
    def decode(self, action: npt.NDArray[Any], state: State) -> Command:
        """Return the command that an action asks for.

        An entry outside [-1, 1] is cut to it. An entry that is not finite gives a
        command that is not finite, which the guard answers with a stop.

        Args:
            action: (a,).
            state: What the policy saw.
        """

    @abstractmethod
    def reward(self, truth: Truth, command: Command) -> Reward:
        """Return the reward of a state and of the command that led to it."""

    @abstractmethod
    def outcome(self, truth: Truth) -> Outcome:
        """Return what the episode is worth if it ends in this state."""

    def measured(self, state: State) -> Truth:
        """Return what stands in for the truth where a plant has none.

        Without a better estimate by the task, every true extra is NaN, so that
        nothing is claimed that was not measured.
        """
        count = len(self.environment.truth_extras)
        return Truth(state, no_contact(state.people.shape[0]), np.full(count, np.nan))


def no_contact(people: int) -> Contact:
    """Return an empty contact table for so many people."""

    def empty(value: float = 0.0) -> Array:
        return np.full((people, AREA_COUNT), value)

    return Contact(
        empty(), empty(), empty(), empty(), empty(), empty(), empty(), empty(-1.0)
    )
