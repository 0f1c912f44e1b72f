"""The plant of a log: what was seen then is seen again, whatever is commanded now.

It answers what a guard, a task or a policy of today would have said in an old episode,
also one of a real robot for which there is no simulator. Commands change nothing.
"""

from __future__ import annotations

import dataclasses
import os

import numpy as np

from physai.errors import ContractError, RecordError
from physai.plant.scenario import PlantConfig, Scenario
from physai.record.episode import Episode
from physai.robot.description import Robot
from physai.types import Command, State, Truth

__all__ = ["ReplayPlant"]


class ReplayPlant:
    """Plays a stored episode.

    Args:
        config: Section ``plant`` of the environment.
        robot: The robot.
        episode: The episode, or its file; it must hold the state at reset.

    Raises:
        ContractError: If the log is of a robot with other actuators.
        RecordError: If the file is no episode or lacks its first state.
    """

    plays_back = True
    """Whether commands are those of a log, whatever is asked for now."""

    def __init__(
        self,
        config: PlantConfig,
        robot: Robot,
        episode: str | os.PathLike[str] | Episode,
    ) -> None:
        self.config, self.robot = config, robot
        log = episode if isinstance(episode, Episode) else Episode.load(episode)
        first = log.initial_state()
        if first is None:
            raise RecordError(
                f"{log.path}: the state at reset was not recorded, so that the first "
                "decision cannot be asked again"
            )
        if first.actuator_position.shape != (len(robot.actuator_names),):
            raise ContractError(
                f"{log.path}: has {first.actuator_position.size} actuators, robot "
                f"{robot.name} has {len(robot.actuator_names)}"
            )
        self.episode, self._first = log, first
        self._step = -1

    def reset(self, scenario: Scenario) -> State:
        """Go back to the start of the log; the scenario is the log's own."""
        self._step = -1
        return self.read()

    def read(self) -> State:
        """Return what was seen at this step; the last state stays."""
        state = self._first if self._step < 0 else self.episode.state(self._step)
        # A plant counts its steps; a log may have been cut out of a longer session.
        sequence = self._first.sequence + self._step + 1
        return dataclasses.replace(state, sequence=sequence)

    def truth(self) -> Truth | None:
        """Return what really was; None where nobody knew."""
        if self._step < 0:
            return self.episode.initial_truth()
        return self.episode.truth(self._step)

    def apply(self, command: Command) -> Command:
        """Return what was sent then: today's command cannot change the past."""
        if self._step + 1 >= self.episode.length:
            return Command(
                np.zeros_like(command.actuator_velocity),
                command.tool,
                command.stamp_s,
                command.sequence,
            )
        return self.episode.command(self._step + 1)

    def advance(self) -> None:
        """Go to the next step of the log."""
        self._step = min(self._step + 1, self.episode.length - 1)

    def stop(self, category: int) -> None:
        """Do nothing: the past does not stop."""

    def close(self) -> None:
        """Nothing is open."""
