"""Warm start from the expert: behaviour cloning and DAgger.

Ross, Gordon and Bagnell 2011, "A reduction of imitation learning and structured
prediction to no-regret online learning". The expert labels every state; who drives
changes from the expert to the policy over the rounds.

Episodes are independent of each other, so that several processes collect them; what
comes out does not depend on their number.
"""

from __future__ import annotations

import copy
import multiprocessing
import os
import pickle
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium
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
from physai.training.export import DeployedPolicy
from physai.training.features import MultiScaleFeatures

__all__ = ["Collector", "Demonstrations", "Driver", "Episode", "fit", "imitate"]

Floats = npt.NDArray[np.float32]
Maker = Callable[[], gymnasium.Env[Any, Any]]


@dataclass
class Episode:
    """One episode with the expert's label of every step.

    Attributes:
        observations: (T + 1, o), the last one after the last step.
        labels: (T, a) what the expert would have done.
        actions: (T, a) what was done.
        rewards: (T,).
        costs: (T,).
        terminated: Whether it ended by itself; else its time was up.
        success: Whether it counts as success.
    """

    observations: Floats
    labels: Floats
    actions: Floats
    rewards: Floats
    costs: Floats
    terminated: bool
    success: bool


@dataclass
class Demonstrations:
    """Episodes that the expert labelled."""

    episodes: list[Episode] = field(default_factory=list)

    def __len__(self) -> int:
        return sum(len(episode.labels) for episode in self.episodes)

    @property
    def observations(self) -> Floats:
        """(n, o) what was seen when a label was given."""
        return np.concatenate([episode.observations[:-1] for episode in self.episodes])

    @property
    def labels(self) -> Floats:
        """(n, a) the expert's actions."""
        return np.concatenate([episode.labels for episode in self.episodes])

    def success(self, first: int, last: int | None = None) -> float:
        """Return the share of successes among episodes ``first`` to ``last``."""
        chosen = self.episodes[first:last]
        return float(np.mean([episode.success for episode in chosen]))

    def save(self, file: Path) -> None:
        """Write them as arrays, without pickles."""
        parts = ("observations", "labels", "actions", "rewards", "costs")
        joined = {
            part: np.concatenate([getattr(e, part) for e in self.episodes])
            for part in parts
        }
        ends = {
            end: [getattr(e, end) for e in self.episodes]
            for end in ("terminated", "success")
        }
        lengths = [len(e.labels) for e in self.episodes]
        arrays: dict[str, Any] = {**joined, **ends}
        np.savez(file, lengths=lengths, **arrays)

    @staticmethod
    def load(file: Path) -> Demonstrations:
        """Read what :meth:`save` wrote.

        Raises:
            KeyError, ValueError, OSError: If it is something else.
        """
        with np.load(file, allow_pickle=False) as stored:
            steps = np.cumsum(stored["lengths"])
            # An episode has one observation more than steps.
            seen = steps + np.arange(1, len(steps) + 1)
            columns = {
                part: np.split(
                    stored[part], (seen if part == "observations" else steps)[:-1]
                )
                for part in ("observations", "labels", "actions", "rewards", "costs")
            }
            ends = {end: stored[end].tolist() for end in ("terminated", "success")}
            named = {**columns, **ends}
            return Demonstrations(
                [
                    Episode(**dict(zip(named, values, strict=True)))
                    for values in zip(*named.values(), strict=True)
                ]
            )


class Driver:
    """A learner's deterministic action, from an observation as the environment gives it.

    Args:
        model: The learner.
        normalizer: Its normalisation, if any.
    """

    def __init__(self, model: BaseAlgorithm, normalizer: VecNormalize | None) -> None:
        module = DeployedPolicy(model, normalizer)
        if model.device.type != "cpu":
            # The learner's own stays where it learns.
            module = copy.deepcopy(module)
        self._module = module.to("cpu").eval()

    def __call__(self, observation: Floats) -> Floats:
        """Return the (a,) action of an (o,) observation."""
        with torch.no_grad():
            action = self._module(torch.as_tensor(observation[None]))
        return np.asarray(action[0], dtype=np.float32)


def run_episode(
    env: gymnasium.Env[Any, Any], seed: int, noise: float, driver: Driver | None
) -> Episode:
    """Run one episode in which the expert labels every state.

    Args:
        env: An environment that offers ``scripted_policy("expert")``.
        seed: Of the episode.
        noise: Standard deviation of the noise on the driver's action.
        driver: Policy that drives; the expert itself if None.
    """
    expert = env.unwrapped.scripted_policy("expert")  # type: ignore[attr-defined]
    observation, _ = env.reset(seed=seed)
    expert.reset()
    observations = [np.array(observation, dtype=np.float32)]
    labels: list[Floats] = []
    actions, rewards, costs = [], [], []
    done, terminated = False, False
    info: dict[str, Any] = {}
    while not done:
        label = np.asarray(expert.act(observation), dtype=np.float32)
        action = label if driver is None else driver(observations[-1])
        if noise > 0.0:
            drawn = generator(seed, "demonstration.noise", len(labels)).normal(
                0.0, noise, size=action.shape
            )
            action = np.clip(action + drawn, -1.0, 1.0).astype(np.float32)
        observation, reward, terminated, truncated, info = env.step(action)
        done = terminated or truncated
        observations.append(np.array(observation, dtype=np.float32))
        labels.append(label)
        actions.append(action)
        rewards.append(float(reward))
        costs.append(float(info.get("cost", 0.0)))
    return Episode(
        np.stack(observations),
        np.stack(labels),
        np.stack(actions),
        np.array(rewards, dtype=np.float32),
        np.array(costs, dtype=np.float32),
        bool(terminated),
        bool(info.get("is_success", False)),
    )


class Collector:
    """Runs labelled episodes, in several processes at once.

    Args:
        make: Makes the environment; what can be pickled.
        processes: How many; with one, the environment runs here.
    """

    def __init__(self, make: Maker, processes: int) -> None:
        self._make, self._processes = make, processes
        self._pool: ProcessPoolExecutor | None = None
        self._env: gymnasium.Env[Any, Any] | None = None

    def collect(
        self, episodes: int, seed: int, noise: float, driver: Driver | None = None
    ) -> Iterator[Episode]:
        """Yield episodes in the order of their seeds.

        Args:
            episodes: How many.
            seed: Seed of the round; every episode has its own.
            noise: Standard deviation of the noise on the driver's action.
            driver: Policy that drives; the expert itself if None.
        """
        seeds = [derive_seed(seed, "demonstration", k) for k in range(episodes)]
        if self._processes < 2:
            self._env = self._env or self._make()
            yield from (run_episode(self._env, s, noise, driver) for s in seeds)
            return
        if self._pool is None:
            self._pool = ProcessPoolExecutor(
                self._processes,
                multiprocessing.get_context("spawn"),
                initializer=_begin,
                initargs=(self._make,),
            )
        packed = None if driver is None else pickle.dumps(driver)
        yield from self._pool.map(
            partial(_run_packed, noise=noise, packed=packed), seeds
        )

    def close(self) -> None:
        """Release environments and processes; what was not run yet is given up."""
        if self._env is not None:
            self._env.close()
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)


_WORKER: dict[str, Any] = {}


def _begin(make: Maker) -> None:
    import signal

    # An interrupt is the parent's to handle.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)
    _WORKER["env"] = make()


def _run_packed(seed: int, noise: float, packed: bytes | None) -> Episode:
    # Every episode of a round has the same driver: it is unpacked once.
    if _WORKER.get("packed") != packed:
        _WORKER["packed"] = packed
        _WORKER["driver"] = None if packed is None else pickle.loads(packed)
    return run_episode(_WORKER["env"], seed, noise, _WORKER.get("driver"))


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
    observations, labels = data.observations, data.labels
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
    x = torch.as_tensor(observations, device=device)
    y = torch.as_tensor(labels, device=device)
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
    collector = Collector(
        partial(
            registry.make,
            config.environment,
            guard=config.guard,
            distribution=config.distribution,
        ),
        plan.processes or len(os.sched_getaffinity(0)),
    )
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
                data.episodes.append(episode)
                bar.update()
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


def _mean_action(policy: Any, observation: torch.Tensor) -> torch.Tensor:
    if hasattr(policy, "actor"):
        action: torch.Tensor = policy.actor(observation)
        return action
    mean: torch.Tensor = policy.get_distribution(observation).distribution.mean
    return mean
