"""Learning while the environments step.

Off-policy, an update needs nothing of the step that is under way: actions are sent, the
learner updates, then the step is taken in. On-policy, a rollout is learned from in a thread
while the next one is collected; what acts meanwhile is a copy of the policy as it was. Either
way what acts is one update behind what has been learned, always by the same step, so that
the same seed gives the same curve. PPO needs no correction for it: its ratio compares with
the probabilities of the policy that acted.
"""

from __future__ import annotations

import copy
import functools
import threading
from collections.abc import Callable
from typing import Any, cast

import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.buffers import RolloutBuffer
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.vec_env import VecEnv, VecEnvWrapper

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


class _OffPolicy(OffPolicyAlgorithm):
    """Updates during the step that follows the one after which it is due.

    Attributes:
        due_update: How it is to update; part of what is saved, so that who goes on from a
            checkpoint does it too.
    """

    due_update: dict[str, int] | None = None

    def train(self, *args: Any, **more: Any) -> None:
        """Note that an update is due."""
        assert not args
        self.due_update = more

    def _update(self) -> None:
        due, self.due_update = self.due_update, None
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


class _OnPolicy(OnPolicyAlgorithm):
    """Learns from a rollout while the next one is collected.

    Attributes:
        pending_rollout: What has been collected and not been learned from; part of what
            is saved, so that who goes on from a checkpoint learns from it too.
    """

    pending_rollout: RolloutBuffer | None = None

    def _setup_model(self) -> None:
        super()._setup_model()
        self._buffers = self.rollout_buffer, copy.deepcopy(self.rollout_buffer)
        self._actor = copy.deepcopy(self.policy)
        self._update: _Update | None = None

    def train(self) -> None:
        """Keep the rollout; it is learned from while the next one is collected."""
        self.pending_rollout = self.rollout_buffer
        first, second = self._buffers
        self.rollout_buffer = second if self.rollout_buffer is first else first

    def collect_rollouts(self, *args: Any, **more: Any) -> bool:
        """Collect a rollout; what was pending is learned from when it ends."""
        assert isinstance(self.env, Interleaved)
        # Not before the first step: at its start a run may be saved.
        self.env.work = self._begin
        try:
            return bool(super().collect_rollouts(*args, **more))
        finally:
            self.env.work = lambda: None
            self._finish()

    def learn(self, *args: Any, **more: Any) -> Any:
        """Learn as the algorithm does; from the last rollout at the end."""
        super().learn(*args, **more)
        self._begin()
        self._finish()
        return self

    def _begin(self) -> None:
        assert isinstance(self.env, Interleaved)
        self.env.work = lambda: None
        if self.pending_rollout is None:
            return
        learner = copy.copy(self)
        learner.rollout_buffer = self.pending_rollout
        self._actor.load_state_dict(self.policy.state_dict())
        self._actor.set_training_mode(False)
        self.policy = self._actor
        self._update = _Update(learner, super(_OnPolicy, learner).train)
        self._update.start()

    def _finish(self) -> None:
        if self._update is None:
            return
        update, self._update = self._update, None
        update.join()
        self.policy, self._n_updates = update.learner.policy, update.learner._n_updates
        self.pending_rollout = None
        if update.error is not None:
            raise update.error

    def _excluded_save_params(self) -> list[str]:
        own = ["_buffers", "_actor", "_update"]
        return [*super()._excluded_save_params(), *own]


class _Update(threading.Thread):
    """One update of a learner in a thread of its own.

    Args:
        learner: Who learns.
        train: Its update.
    """

    def __init__(self, learner: Any, train: Callable[[], None]) -> None:
        super().__init__(name="update")
        self.learner, self.error = learner, cast(BaseException | None, None)
        self._train, self._threads = train, torch.get_num_threads()

    def run(self) -> None:
        """Update; an error is kept for who waits for it."""
        # The number of threads of an operation belongs to the thread that asks for it.
        torch.set_num_threads(self._threads)
        try:
            self._train()
        except BaseException as error:
            self.error = error


@functools.cache
def overlapped(algorithm: type[BaseAlgorithm]) -> type[BaseAlgorithm]:
    """Return an algorithm that updates while an :class:`Interleaved` steps.

    Args:
        algorithm: Off-policy, or on-policy without exploration that depends on the state:
            its noise is drawn by updates and steps alike, in no order that would be the
            same again.
    """
    kind = _OffPolicy if issubclass(algorithm, OffPolicyAlgorithm) else _OnPolicy
    name = f"Overlapped{algorithm.__name__}"
    return cast(type[BaseAlgorithm], type(name, (kind, algorithm), {}))
