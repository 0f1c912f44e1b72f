"""Warm start from the expert: behaviour cloning and DAgger.

Ross, Gordon and Bagnell 2011, "A reduction of imitation learning and structured
prediction to no-regret online learning". The expert labels every state; who drives
changes from the expert to the policy over the rounds.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.vec_env import VecNormalize
from tqdm import tqdm

from physai.errors import ConfigError
from physai.randomness import derive_seed, generator
from physai.tasks import registry
from physai.training.config import DemonstrationConfig, TrainConfig
from physai.training.demonstration import (
    Collector,
    Demonstrations,
    Driver,
    Episode,
    Recording,
)
from physai.training.export import has_memory
from physai.training.features import MultiScaleFeatures
from physai.training.sequences import fit_sequences, rounded
from physai.training.sight import learn_to_see, look, target_places

__all__ = ["fit", "imitate", "remember"]

Floats = npt.NDArray[np.float32]


def fit(
    model: BaseAlgorithm,
    normalizer: VecNormalize | None,
    data: Demonstrations,
    config: DemonstrationConfig,
    seed: int,
) -> float:
    """Fit the policy's deterministic action to the expert's by mean squared error.

    The normalisation, or that of the policy's own features, is set from the
    demonstrations first, so that imitation and reinforcement learning see the same scale.

    Returns:
        Mean squared error over the last epoch.
    """
    observations = data.observations
    if normalizer is not None and normalizer.norm_obs:
        statistics: Any = normalizer.obs_rms
        statistics.mean = observations.mean(axis=0).astype(np.float64)
        statistics.var = observations.var(axis=0).astype(np.float64) + 1e-4
        statistics.count = float(len(observations))
        observations = np.asarray(
            normalizer.normalize_obs(observations), dtype=np.float32
        )
    policy, device = model.policy, model.device
    for part in policy.modules():
        if isinstance(part, MultiScaleFeatures):
            part.calibrate(observations)
    rng = generator(seed, "demonstration.shuffle")
    policy.set_training_mode(True)
    if has_memory(policy):
        error = fit_sequences(policy, observations, data, config, rng, device)
    else:
        error = _fit_steps(policy, observations, data, config, rng, device)
    policy.set_training_mode(False)
    return error


def _fit_steps(
    policy: Any,
    observations: Floats,
    data: Demonstrations,
    config: DemonstrationConfig,
    rng: np.random.Generator,
    device: torch.device,
) -> float:
    """Fit step by step, in any order."""
    x = torch.as_tensor(observations, device=device)
    pixels = data.pixels
    y = torch.as_tensor(data.labels, device=device)
    optimizer = torch.optim.Adam(policy.parameters(), lr=config.learning_rate)
    error = 0.0
    for epoch in range(config.epochs):
        for group in optimizer.param_groups:
            group["lr"] = config.learning_rate * (1.0 - 0.9 * epoch / config.epochs)
        order, total = rng.permutation(len(x)), 0.0
        for start in range(0, len(x), config.batch_size):
            rows = order[start : start + config.batch_size]
            index = torch.as_tensor(rows, device=device)
            seen = torch.cat(
                [x[index], *(_floats(block[rows]).to(device) for block in pixels)], 1
            )
            with rounded(config.precision, device):
                action = _mean_action(policy, seen)
            loss = torch.nn.functional.mse_loss(action.float(), y[index])
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
            total += float(loss.detach()) * len(index)
        error = total / len(x)
    return error


def imitate(
    config: TrainConfig,
    model: BaseAlgorithm,
    normalizer: VecNormalize | None,
    found: dict[str, Any],
    data: Demonstrations,
    keep: Callable[[Demonstrations], None],
) -> None:
    """Imitate the expert before reinforcement learning, if the config says so.

    Args:
        config: Of the run.
        model: The learner; its policy is fitted.
        normalizer: Its normalisation, set from the demonstrations.
        found: Takes ``samples``, ``episodes``, ``errors`` of every fit, success of the
            expert and of the policy in the last round; with errors of rounds that are
            done, the next one is the first here.
        data: The rounds that are done; grows.
        keep: Called after every round but the last, so that a run that is killed goes on
            with the next one.
    """
    plan = config.demonstrations
    if plan.episodes == 0:
        return
    errors = found.setdefault("errors", [])
    make = partial(
        registry.make,
        config.environment,
        guard=config.guard,
        observation=config.observation,
        distribution=config.distribution,
    )
    recording = _recording(config)
    cores = len(os.sched_getaffinity(0))
    collector = Collector(make, plan.processes or cores, recording)
    total = plan.episodes + plan.dagger_rounds * plan.dagger_episodes
    bar = tqdm(
        total=total,
        initial=len(data.episodes),
        desc="demonstrations",
        disable=not sys.stderr.isatty(),
    )
    try:
        for turn in range(len(errors), plan.dagger_rounds + 1):
            for episode in _one_round(config, turn, collector, model, normalizer):
                sees = turn > 0 and plan.sight is not None
                data.episodes.append(look(model, episode) if sees else episode)
                bar.update()
            if turn == 0 and plan.sight is not None:
                env = make()
                found["sight_errors"] = learn_to_see(
                    env, model, data, plan.sight, recording, config.seed
                )
                env.close()
                data.episodes[:] = [look(model, episode) for episode in data.episodes]
            errors.append(fit(model, normalizer, data, plan, config.seed))
            if turn < plan.dagger_rounds:
                keep(data)
    finally:
        bar.close()
        collector.close()
    if plan.into_replay:
        remember(model, data)
    found.update(
        samples=len(data),
        episodes=total,
        expert_success=data.success(0, plan.episodes),
        policy_success=data.success(-plan.dagger_episodes),
    )


def _recording(config: TrainConfig) -> Recording:
    """Return what is to be kept of an episode."""
    plan = config.demonstrations
    shown = registry.observed_spaces(config.environment, config.observation)
    places = target_places(config.environment, plan.sight) if plan.sight else ()
    return Recording(plan.keep_every, shown.images, places)


def _one_round(
    config: TrainConfig,
    turn: int,
    collector: Collector,
    model: BaseAlgorithm,
    normalizer: VecNormalize | None,
) -> Iterator[Episode]:
    """Collect one round: of the expert's own first, then where the policy drives."""
    plan = config.demonstrations
    if turn == 0:
        return collector.collect(plan.episodes, config.seed, plan.action_noise)
    return collector.collect(
        plan.dagger_episodes,
        derive_seed(config.seed, "dagger", turn - 1),
        0.5 * plan.action_noise,
        Driver(model, normalizer),
    )


def remember(model: BaseAlgorithm, data: Demonstrations) -> None:
    """Begin the replay buffer of an off-policy learner with demonstrations.

    Args:
        model: The learner.
        data: What is remembered, as it was done (not as it was labelled).

    Raises:
        ConfigError: If the learner has no replay buffer.
    """
    if not isinstance(model, OffPolicyAlgorithm) or model.replay_buffer is None:
        raise ConfigError(
            f"demonstrations.into_replay: {type(model).__name__} learns without a replay "
            "buffer; leave it out, or take SAC, TD3, TQC or CrossQ"
        )
    steps = [
        (episode, k) for episode in data.episodes for k in range(len(episode.labels))
    ]
    count = model.n_envs
    for start in range(0, len(steps) - count + 1, count):
        rows = steps[start : start + count]
        ends = [k == len(episode.labels) - 1 for episode, k in rows]
        model.replay_buffer.add(
            np.stack([episode.observations[k] for episode, k in rows]),
            np.stack([episode.observations[k + 1] for episode, k in rows]),
            np.stack([episode.actions[k] for episode, k in rows]),
            np.array([episode.rewards[k] for episode, k in rows]),
            np.array(ends),
            [
                {
                    "cost": float(episode.costs[k]),
                    "TimeLimit.truncated": end and not episode.terminated,
                }
                for (episode, k), end in zip(rows, ends, strict=True)
            ],
        )


def _floats(pixels: npt.NDArray[Any]) -> torch.Tensor:
    return torch.as_tensor(pixels.astype(np.float32))


def _mean_action(policy: Any, observation: torch.Tensor) -> torch.Tensor:
    if hasattr(policy, "actor"):
        action: torch.Tensor = policy.actor(observation)
        return action
    mean: torch.Tensor = policy.get_distribution(observation).distribution.mean
    return mean
