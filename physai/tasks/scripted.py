"""Policies without learning: the task's expert, chance, nothing, and an enemy.

They are asked of a cycle (or of an environment, which asks its cycle) and read the
plant's *state* from it, never the truth, so that they see what a guard sees.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from physai.body.capsules import closest_points
from physai.body.person import SEGMENTS
from physai.errors import ContractError, suggest
from physai.randomness import generator
from physai.robot.kinematics import Kinematics
from physai.types import Array, State

if TYPE_CHECKING:
    from physai.policy.policy import Policy
    from physai.tasks.cycle import Cycle

__all__ = ["SCRIPTED", "Adversary", "Expert", "scripted_policy"]

FloatArray = npt.NDArray[np.float32]


class Expert(Protocol):
    """What a task's expert looks like; it is made with the task."""

    def reset(self) -> None:
        """Start an episode."""

    def act(self, state: State) -> FloatArray:
        """Return the action for a state."""
        ...


class _Scripted:
    """Base: counts episodes, so that each has its own random numbers."""

    def __init__(self, cycle: Cycle, seed: int) -> None:
        self.cycle, self.seed = cycle, seed
        self.size = len(cycle.spaces.action_names)
        self.episode = 0

    def reset(self) -> None:
        """Start an episode."""
        self.episode += 1

    def random(self, stream: str) -> np.random.Generator:
        """Return the generator of this episode and step."""
        seed = self.seed * 1_000_003 + self.episode
        return generator(seed, f"scripted.{stream}", self.cycle.steps)


class _Expert(_Scripted):
    def __init__(self, cycle: Cycle, seed: int) -> None:
        super().__init__(cycle, seed)
        module, _, name = cycle.task.expert.partition(":")
        self.expert: Expert = getattr(importlib.import_module(module), name)(cycle.task)

    def reset(self) -> None:
        super().reset()
        self.expert.reset()

    def act(self, observation: FloatArray) -> FloatArray:
        return self.expert.act(self.cycle.state)


class _Zero(_Scripted):
    def act(self, observation: FloatArray) -> FloatArray:
        return np.zeros(self.size, dtype=np.float32)


class _White(_Scripted):
    def act(self, observation: FloatArray) -> FloatArray:
        draws = self.random("white").uniform(-1.0, 1.0, self.size)
        return draws.astype(np.float32)


class _Smooth(_Scripted):
    """Random goals for the action, held for half a second and approached slowly.

    White noise stays near where it starts; this one goes places.
    """

    hold_s = 0.5

    def reset(self) -> None:
        super().reset()
        self._action = np.zeros(self.size)
        self._goal = np.zeros(self.size)

    def act(self, observation: FloatArray) -> FloatArray:
        hold = max(1, round(self.hold_s * self.cycle.environment.control_hz))
        if self.cycle.steps % hold == 0:
            self._goal = self.random("smooth").uniform(-1.0, 1.0, self.size)
        self._action += 0.3 * (self._goal - self._action)
        return self._action.astype(np.float32)


class Adversary(_Scripted):
    """Full speed toward a person, by the action that shortens a distance fastest.

    It looks for the pair of robot shape and body segment that is closest, asks the
    task what each entry of the action does to the approach of that pair, and sets
    every entry to its worse end. For a few seconds at a time it is after the head,
    the arms or the trunk only, so that it does not always stop at the same hand.
    """

    spell_s = 3.0
    _PREY = (
        SEGMENTS,
        ("head", "face", "neck"),
        ("forearm_left", "forearm_right", "hand_left", "hand_right"),
        ("chest", "abdomen", "upper_arm_left", "upper_arm_right"),
    )

    def __init__(self, cycle: Cycle, seed: int) -> None:
        super().__init__(cycle, seed)
        robot = cycle.task.robot
        self._kinematics = Kinematics(robot)
        self._prey = [
            [i for i, name in enumerate(SEGMENTS) if name in names]
            for names in self._PREY
        ]
        self._hunted = self._prey[0]
        self._ends = np.empty((3, 3))

    def act(self, observation: FloatArray) -> FloatArray:
        """Return the worst action."""
        cycle = self.cycle
        state, spell = cycle.state, self.spell_s * cycle.environment.control_hz
        if cycle.steps % max(1, round(spell)) == 0:
            choice = self.random("prey").integers(len(self._prey))
            self._hunted = self._prey[int(choice)]
        self._kinematics.set_base(state.base_pose_in_world)
        self._kinematics.update(state.actuator_position)
        shape, point, normal = self._closest(state)
        if shape < 0:
            return self._blindly(state)
        link = int(cycle.task.robot.shapes.link[shape])
        row = -(normal @ self._kinematics.jacobian(link, point)[:3])
        still = self._decoded(np.zeros(self.size), state)
        gain = [
            row @ (self._decoded(unit, state) - still) for unit in np.eye(self.size)
        ]
        return np.sign(gain).astype(np.float32)

    def _blindly(self, state: State) -> FloatArray:
        """Nobody is tracked: a robot that drives goes straight ahead at full speed."""
        gain = np.zeros(self.size)
        if self.cycle.task.robot.base is not None:
            still = self._decoded(gain, state)[0]
            gain = np.array(
                [self._decoded(unit, state)[0] - still for unit in np.eye(self.size)]
            )
        return np.sign(gain).astype(np.float32)

    def _decoded(self, action: Array, state: State) -> Array:
        return self.cycle.task.decode(action, state).actuator_velocity

    def _closest(self, state: State) -> tuple[int, Array, Array]:
        """Return shape, point on it and direction from person to robot."""
        on_robot, on_person, normal = self._ends
        best, found = np.inf, (-1, np.zeros(3), np.zeros(3))
        for r, capsule in enumerate(self._kinematics.capsules()):
            for person in state.people:
                for s in self._hunted:
                    d = closest_points(capsule, person[s], on_robot, on_person, normal)
                    if d < best:
                        best, found = d, (r, on_robot.copy(), normal.copy())
        return found


SCRIPTED: dict[str, Any] = {
    "expert": _Expert,
    "random": _Smooth,
    "random_white": _White,
    "zero": _Zero,
    "adversary": Adversary,
}
"""Name to class; each is made with a cycle and a seed."""


def scripted_policy(name: str, cycle: Cycle, seed: int = 0) -> Policy:
    """Return a scripted policy of a cycle.

    Args:
        name: One of :data:`SCRIPTED`.
        cycle: What it will act in.
        seed: Of its own random numbers.

    Raises:
        ContractError: If there is none of that name.
    """
    if name not in SCRIPTED:
        raise ContractError(f'no scripted policy "{name}": {suggest(name, SCRIPTED)}')
    policy: Policy = SCRIPTED[name](cycle, seed)
    policy.reset()
    return policy
