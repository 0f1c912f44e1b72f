"""Warm start from the expert: behaviour cloning and DAgger.

Ross, Gordon and Bagnell 2011, "A reduction of imitation learning and structured
prediction to no-regret online learning". The expert labels every state; who drives
changes from the expert to the policy over the rounds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt
import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.vec_env import VecNormalize

from physai.randomness import derive_seed, generator
from physai.training.config import DemonstrationConfig

__all__ = ["Demonstrations", "collect", "fit"]

Floats = npt.NDArray[np.float32]


@dataclass
class Demonstrations:
    """Observations and the expert's actions for them."""

    observations: list[Floats] = field(default_factory=list)
    actions: list[Floats] = field(default_factory=list)
    successes: list[bool] = field(default_factory=list)

    def __len__(self) -> int:
        return sum(len(part) for part in self.observations)

    def save(self, file: Path) -> None:
        """Write them as arrays, without pickles."""
        np.savez(
            file,
            observations=np.concatenate(self.observations),
            actions=np.concatenate(self.actions),
            lengths=[len(part) for part in self.observations],
            successes=self.successes,
        )

    @staticmethod
    def load(file: Path) -> Demonstrations:
        """Read what :meth:`save` wrote.

        Raises:
            KeyError, ValueError, OSError: If it is something else.
        """
        with np.load(file, allow_pickle=False) as stored:
            ends = np.cumsum(stored["lengths"])[:-1]
            return Demonstrations(
                np.split(stored["observations"], ends),
                np.split(stored["actions"], ends),
                [bool(each) for each in stored["successes"]],
            )


def collect(
    env: gymnasium.Env[Any, Any],
    episodes: int,
    seed: int,
    noise: float,
    into: Demonstrations,
    driver: Callable[[Floats], Floats] | None = None,
    progress: Callable[[int], None] = lambda count: None,
) -> None:
    """Run episodes in which the expert labels every state.

    Args:
        env: An environment that offers ``scripted_policy("expert")``.
        episodes: How many.
        seed: First seed; every episode has its own.
        noise: Standard deviation of the noise on the driver's action.
        into: Where the pairs go.
        driver: Policy that drives; the expert itself if None.
        progress: Called after every episode with their number.
    """
    expert = env.unwrapped.scripted_policy("expert")  # type: ignore[attr-defined]
    for episode in range(episodes):
        chosen = derive_seed(seed, "demonstration", episode)
        observation, _ = env.reset(seed=chosen)
        expert.reset()
        observations, actions, done = [], [], False
        info: dict[str, Any] = {}
        step = 0
        while not done:
            label = np.asarray(expert.act(observation), dtype=np.float32)
            observations.append(np.array(observation, dtype=np.float32))
            actions.append(label)
            action = label if driver is None else driver(observation)
            if noise > 0.0:
                drawn = generator(chosen, "demonstration.noise", step).normal(
                    0.0, noise, size=action.shape
                )
                action = np.clip(action + drawn, -1.0, 1.0).astype(np.float32)
            observation, _, terminated, truncated, info = env.step(action)
            done = terminated or truncated
            step += 1
        into.observations.append(np.stack(observations))
        into.actions.append(np.stack(actions))
        into.successes.append(bool(info.get("is_success", False)))
        progress(episode + 1)


def fit(
    model: BaseAlgorithm,
    normalizer: VecNormalize | None,
    data: Demonstrations,
    config: DemonstrationConfig,
    seed: int,
) -> float:
    """Fit the policy's deterministic action to the expert's by mean squared error.

    The normalisation is set from the demonstrations first, so that imitation and
    reinforcement learning see the same scale.

    Returns:
        Mean squared error over the last epoch.
    """
    observations = np.concatenate(data.observations)
    actions = np.concatenate(data.actions)
    if normalizer is not None:
        statistics: Any = normalizer.obs_rms
        statistics.mean = observations.mean(axis=0).astype(np.float64)
        statistics.var = observations.var(axis=0).astype(np.float64) + 1e-4
        statistics.count = float(len(observations))
        observations = np.asarray(
            normalizer.normalize_obs(observations), dtype=np.float32
        )
    policy, device = model.policy, model.device
    x = torch.as_tensor(observations, device=device)
    y = torch.as_tensor(actions, device=device)
    optimizer = torch.optim.Adam(policy.parameters(), lr=config.learning_rate)
    rng = generator(seed, "demonstration.shuffle")
    policy.set_training_mode(True)
    error = 0.0
    for epoch in range(config.epochs):
        for group in optimizer.param_groups:
            group["lr"] = config.learning_rate * (1.0 - 0.9 * epoch / config.epochs)
        order, total = rng.permutation(len(x)), 0.0
        for start in range(0, len(x), config.batch_size):
            index = torch.as_tensor(
                order[start : start + config.batch_size], device=device
            )
            loss = torch.nn.functional.mse_loss(
                _mean_action(policy, x[index]), y[index]
            )
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
            total += float(loss.detach()) * len(index)
        error = total / len(x)
    policy.set_training_mode(False)
    return error


def _mean_action(policy: Any, observation: torch.Tensor) -> torch.Tensor:
    if hasattr(policy, "actor"):
        action: torch.Tensor = policy.actor(observation)
        return action
    mean: torch.Tensor = policy.get_distribution(observation).distribution.mean
    return mean
