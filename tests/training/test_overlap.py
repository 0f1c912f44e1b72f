"""Updates during a step: as many as without, one step later, the same for a seed."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest

pytest.importorskip("stable_baselines3")

import torch
from stable_baselines3 import PPO, SAC
from stable_baselines3.common.vec_env import VecMonitor, VecNormalize

from physai.errors import ConfigError
from physai.training.overlap import Interleaved, overlapped
from physai.training.vector import SharedVectorEnv


def make() -> gymnasium.Env[Any, Any]:
    return gymnasium.make("Pendulum-v1")


def learn(kind: type[Any], steps: int = 300) -> Any:
    torch.set_num_threads(1)
    vector = SharedVectorEnv([make, make], 1)
    vector.seed(3)
    env = Interleaved(VecNormalize(VecMonitor(vector)))
    model = kind(
        "MlpPolicy",
        env,
        seed=3,
        learning_starts=40,
        batch_size=32,
        gradient_steps=2,
        policy_kwargs={"net_arch": [16]},
    )
    model.learn(steps)
    vector.close()
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


def test_who_learns_from_whole_rollouts_is_told() -> None:
    with pytest.raises(ConfigError, match="PPO learns from whole rollouts"):
        overlapped(PPO)
