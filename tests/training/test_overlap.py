"""Updates during a step: as many as without, one step later, the same for a seed."""

from __future__ import annotations

import copy
import threading
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

pytest.importorskip("stable_baselines3")

import torch
from sb3_contrib import RecurrentPPO
from stable_baselines3 import A2C, PPO, SAC
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import VecMonitor, VecNormalize

from physai.training.checkpoint import (
    latest_checkpoint,
    load_checkpoint,
    save_checkpoint,
)
from physai.training.overlap import Interleaved, overlapped
from physai.training.vector import SharedVectorEnv


def make() -> gymnasium.Env[Any, Any]:
    return gymnasium.make("Pendulum-v1")


OFF_POLICY = {"learning_starts": 40, "batch_size": 32, "gradient_steps": 2}
ON_POLICY = {"n_steps": 32, "batch_size": 16, "n_epochs": 2}


def learner(kind: type[Any], policy: str = "MlpPolicy", **more: Any) -> Any:
    torch.set_num_threads(1)
    vector = SharedVectorEnv([make, make], 1)
    vector.seed(3)
    env = Interleaved(VecNormalize(VecMonitor(vector)))
    return kind(policy, env, seed=3, policy_kwargs={"net_arch": [16]}, **more)


def learn(kind: type[Any], steps: int = 300, **more: Any) -> Any:
    model = learner(kind, **(more or OFF_POLICY))
    model.learn(steps)
    model.env.close()
    return model


def weights(model: Any) -> np.ndarray[Any, Any]:
    return np.concatenate([p.detach().ravel() for p in model.policy.parameters()])


def test_the_same_seed_is_the_same_policy_and_another_than_without_overlap() -> None:
    first, again, plain = learn(overlapped(SAC)), learn(overlapped(SAC)), learn(SAC)
    assert np.array_equal(weights(first), weights(again))
    assert not np.array_equal(weights(first), weights(plain))
    assert first._n_updates == plain._n_updates > 0
    assert first.num_timesteps == plain.num_timesteps


def test_the_update_falls_between_sending_and_taking_in() -> None:
    order = []

    class Told(SharedVectorEnv):
        def step_async(self, actions: Any) -> None:
            order.append("sent")
            super().step_async(actions)

        def step_wait(self) -> Any:
            order.append("taken")
            return super().step_wait()

    class Noted(SAC):
        def train(self, *args: Any, **more: Any) -> None:
            order.append("learned")
            super().train(*args, **more)

    env = Interleaved(Told([make], 1))
    kind = overlapped(Noted)
    model = kind("MlpPolicy", env, learning_starts=5, batch_size=4, seed=0)
    model.learn(8)
    env.close()
    assert order[:13] == ["sent", "taken"] * 6 + ["sent"]
    assert order[13:] == ["learned", "taken", "sent", "learned", "taken", "learned"]


@pytest.mark.parametrize(
    ("kind", "more"),
    [
        (PPO, ON_POLICY),
        (A2C, {"n_steps": 32}),
        (RecurrentPPO, {**ON_POLICY, "policy": "MlpLstmPolicy"}),
    ],
)
def test_on_policy_it_learns_the_same_again_from_as_many_rollouts(
    kind: type[Any], more: dict[str, Any]
) -> None:
    first, again = (learn(overlapped(kind), **more) for _ in range(2))
    plain = learn(kind, **more)
    assert np.array_equal(weights(first), weights(again))
    assert not np.array_equal(weights(first), weights(plain))
    assert first._n_updates == plain._n_updates > 0
    assert first.num_timesteps == plain.num_timesteps
    assert first.pending_rollout is None


def test_what_acts_is_one_update_behind() -> None:
    """Independent of threads: rollouts and updates in turn, by hand."""
    model = learn(overlapped(PPO), 192, **ON_POLICY)
    plain = learner(PPO, **ON_POLICY)
    _, callback = plain._setup_learn(192, None)
    rollouts = [copy.deepcopy(plain.rollout_buffer) for _ in range(3)]
    for turn, rollout in enumerate(rollouts):
        plain.collect_rollouts(plain.env, callback, rollout, plain.n_steps)
        if turn:
            plain.rollout_buffer = rollouts[turn - 1]
            plain.train()
    plain.rollout_buffer = rollouts[-1]
    plain.train()
    plain.env.close()
    assert np.array_equal(weights(model), weights(plain))


def test_an_update_runs_while_steps_are_taken() -> None:
    stepped = threading.Event()

    class Patient(PPO):
        def train(self) -> None:
            # Ends only if steps go on meanwhile.
            assert self.num_timesteps <= 66 or stepped.wait(20)
            super().train()

    class Told(BaseCallback):
        def _on_step(self) -> bool:
            if self.num_timesteps == 80:
                stepped.set()
            return True

    model = learner(overlapped(Patient), **ON_POLICY)
    model.learn(128, callback=Told())
    model.env.close()
    assert stepped.is_set()


def test_an_update_that_fails_is_heard_of() -> None:
    class Broken(PPO):
        def train(self) -> None:
            raise RuntimeError("out of numbers")

    model = learner(overlapped(Broken), **ON_POLICY)
    with pytest.raises(RuntimeError, match="out of numbers"):
        model.learn(128)
    model.env.close()


def test_a_rollout_that_is_pending_is_saved(tmp_path: Path) -> None:
    learned = []

    class Kept(BaseCallback):
        def _on_step(self) -> bool:
            return True

        def _on_rollout_start(self) -> None:
            if self.num_timesteps == 64:
                save_checkpoint(tmp_path / "checkpoints", self.model, None, {})
            learned.append(weights(self.model))

    falling = {**ON_POLICY, "learning_rate": lambda left: 1e-3 * left}
    model = learner(overlapped(PPO), **falling)
    model.learn(192, callback=Kept())
    model.env.close()
    kept = latest_checkpoint(tmp_path / "checkpoints")
    assert kept is not None
    # One process died there, another goes on, with rollouts of another length.
    other = learner(overlapped(PPO), **{**falling, "n_steps": 48})
    load_checkpoint(kept, other, None)
    assert np.array_equal(weights(other), learned[1])
    other.learn(96, callback=Kept(), reset_num_timesteps=False)
    other.env.close()
    assert len(learned) == 4
    again = learner(overlapped(PPO), **falling)
    load_checkpoint(kept, again, None)
    again.learn(0, reset_num_timesteps=False)
    again.env.close()
    assert np.array_equal(weights(again), learned[2])


def test_an_update_that_is_due_is_saved(tmp_path: Path) -> None:
    learned = []

    class Kept(BaseCallback):
        def _on_step(self) -> bool:
            return True

        def _on_rollout_start(self) -> None:
            if self.num_timesteps == 80:
                learned.append(weights(self.model))
                save_checkpoint(tmp_path / "checkpoints", self.model, None, {})

    falling = {**OFF_POLICY, "learning_rate": lambda left: 1e-3 * left}
    model = learner(overlapped(SAC), **falling)
    model.learn(84, callback=Kept())
    model.env.close()
    again = learner(overlapped(SAC), **falling)
    place = latest_checkpoint(tmp_path / "checkpoints")
    assert place is not None
    load_checkpoint(place, again, None)
    assert np.array_equal(weights(again), learned[0])
    before = again._n_updates
    again.learn(0, reset_num_timesteps=False)
    again.env.close()
    assert again._n_updates == before + 2
    assert not np.array_equal(weights(again), learned[0])
