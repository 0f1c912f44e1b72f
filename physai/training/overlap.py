"""Learning while the environments step.

Off-policy, an update needs nothing of the step that is under way: actions are sent, the
learner updates, then the step is taken in. What acts is therefore one update behind what
has been learned, always by the same step, so that the same seed gives the same curve.

On-policy learners use a rollout once and need it whole; for them nothing overlaps.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, cast

from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.vec_env import VecEnv, VecEnvWrapper

from physai.errors import ConfigError

__all__ = ["Interleaved", "overlapped"]


class Interleaved(VecEnvWrapper):
    """Does something between sending the actions and taking in the step.

    Args:
        venv: The environments.

    Attributes:
        work: What is done; nothing at first.
    """

    def __init__(self, venv: VecEnv) -> None:
        super().__init__(venv)
        self.work: Callable[[], None] = lambda: None

    def reset(self) -> Any:
        """Begin every environment's episode."""
        return self.venv.reset()

    def step_wait(self) -> Any:
        """Do the work, then take in the step."""
        self.work()
        return self.venv.step_wait()


class _Overlapped(OffPolicyAlgorithm):
    """Updates during the step that follows the one after which it is due."""

    _due: dict[str, int] | None = None

    def train(self, *args: Any, **more: Any) -> None:
        """Note that an update is due."""
        assert not args
        self._due = more

    def _update(self) -> None:
        due, self._due = self._due, None
        if due is not None:
            super().train(**due)
            # The rollout goes on, and with it the actor as it acts.
            self.policy.set_training_mode(False)

    def learn(self, *args: Any, **more: Any) -> Any:
        """Learn as the algorithm does; the last update comes at the end."""
        assert isinstance(self.env, Interleaved)
        self.env.work = self._update
        try:
            super().learn(*args, **more)
        finally:
            self.env.work = lambda: None
        self._update()
        return self

    def _excluded_save_params(self) -> list[str]:
        return [*super()._excluded_save_params(), "_due"]


@functools.cache
def overlapped(algorithm: type[BaseAlgorithm]) -> type[BaseAlgorithm]:
    """Return an algorithm that updates while an :class:`Interleaved` steps.

    Raises:
        ConfigError: If it learns on-policy.
    """
    if not issubclass(algorithm, OffPolicyAlgorithm):
        raise ConfigError(
            f"vector.overlap: {algorithm.__name__} learns from whole rollouts, so that "
            "there is nothing to do during a step; leave it out, or take SAC, TD3, TQC or "
            "CrossQ"
        )
    name = f"Overlapped{algorithm.__name__}"
    return cast(type[BaseAlgorithm], type(name, (_Overlapped, algorithm), {}))
