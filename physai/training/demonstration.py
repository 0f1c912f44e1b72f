"""Warm start from the expert: behaviour cloning and DAgger.

Ross, Gordon and Bagnell 2011, "A reduction of imitation learning and structured
prediction to no-regret online learning". The expert labels every state; who drives
changes from the expert to the policy over the rounds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt
import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.vec_env import VecNormalize

from physai.policy.policy import ImageEntry
from physai.randomness import derive_seed, generator
from physai.training.config import DemonstrationConfig
from physai.training.normalization import PixelStatistics

__all__ = ["Demonstrations", "collect", "fit"]

Floats = npt.NDArray[np.float32]


class Demonstrations:
    """Observations and the expert's actions for them.

    Pixels are kept as small as they can be: colours as whole numbers of a byte, depth
    in half precision (a millimetre at 2 m, less than a camera errs there). 64 x 64
    pixels take 20 KiB instead of 64. Once a sight is learned, what it tells of them is
    kept in their place.

    Args:
        named: Entries of an observation before its pixels; None takes all.
        images: Whose pixels follow.
        keep_every: Of so many steps one is kept.
        told: Places of extras of the state that are kept as well.

    Attributes:
        successes: Of every episode.
    """

    def __init__(
        self,
        named: int | None = None,
        images: Sequence[ImageEntry] = (),
        keep_every: int = 1,
        told: Sequence[int] = (),
    ) -> None:
        self.named, self.images, self.keep_every = named, tuple(images), keep_every
        self.places = list(told)
        self._named: list[Floats] = []
        self._blocks: list[list[npt.NDArray[Any]]] = [[] for _ in images]
        self._actions: list[Floats] = []
        self._told: list[Floats] = []
        self._see: Callable[[Floats], Floats] | None = None
        self.successes: list[bool] = []

    def __len__(self) -> int:
        return sum(len(part) for part in self._actions)

    def add(
        self,
        observations: Sequence[Floats],
        actions: Sequence[Floats],
        success: bool,
        told: Sequence[Floats] = (),
    ) -> None:
        """Take the steps of one episode that were kept."""
        self._named.append(np.stack([o[: self.named] for o in observations]))
        self._actions.append(np.stack(actions))
        self.successes.append(success)
        if self._see is not None:
            seen = np.stack([o[self.named :] for o in observations])
            self._blocks[0].append(self._see(seen / self._highs()))
            return
        if self.places:
            self._told.append(np.stack(told))
        start = self.named or 0
        # Image by image: an episode as float32 would be three times as large.
        for image, parts in zip(self.images, self._blocks, strict=True):
            kind = np.float16 if image.unit == "m" else np.uint8
            block = slice(start, start + image.size)
            parts.append(np.stack([o[block].astype(kind) for o in observations]))
            start += image.size

    def arrays(self) -> tuple[Floats, list[npt.NDArray[Any]], Floats]:
        """Return (m, k) named entries, what is kept of images, (m, a) actions.

        What was kept in pieces is put together once and stays so.
        """
        for parts in (self._named, *self._blocks, self._actions, self._told):
            if len(parts) > 1:
                whole = np.concatenate(parts)
                parts.clear()
                parts.append(whole)
        blocks = [parts[0] for parts in self._blocks]
        return self._named[0], blocks, self._actions[0]

    def pixels(self, rows: npt.NDArray[np.int64]) -> Floats:
        """Return (m, p) pixels from 0 to 1 of some rows."""
        _, blocks, _ = self.arrays()
        flat: Floats = np.concatenate([b[rows] for b in blocks], axis=1, dtype="f4")
        return flat / self._highs()

    @property
    def told(self) -> Floats:
        """(m, t) extras that were kept."""
        self.arrays()
        return self._told[0]

    @property
    def told_of_images(self) -> bool:
        """Whether a sight stands in for images."""
        return self._see is not None

    def replace_images(self, see: Callable[[Floats], Floats]) -> None:
        """Keep, from now on and of what is there, what a sight tells instead of images.

        Args:
            see: Gives (m, t) float32 for (m, p) pixels from 0 to 1.
        """
        rows = np.array_split(np.arange(len(self)), max(1, len(self) // 256))
        told = np.concatenate([see(self.pixels(part)) for part in rows])
        self._see, self._blocks, self._told = see, [[told]], []

    def _highs(self) -> Floats:
        parts = [np.full(i.size, i.high, dtype=np.float32) for i in self.images]
        return np.concatenate(parts)


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
        observations, actions, told, done = [], [], [], False
        info: dict[str, Any] = {}
        step = 0
        while not done:
            label = np.asarray(expert.act(observation), dtype=np.float32)
            if step % into.keep_every == 0:
                observations.append(np.array(observation, dtype=np.float32))
                actions.append(label)
                told.append(_extras(env, into.places))
            action = label if driver is None else driver(observation)
            if noise > 0.0:
                drawn = generator(chosen, "demonstration.noise", step).normal(
                    0.0, noise, size=action.shape
                )
                action = np.clip(action + drawn, -1.0, 1.0).astype(np.float32)
            observation, _, terminated, truncated, info = env.step(action)
            done = terminated or truncated
            step += 1
        into.add(observations, actions, bool(info.get("is_success", False)), told)
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
    observations, blocks, actions = data.arrays()
    if normalizer is not None:
        _set_statistics(normalizer.obs_rms, observations)
    policy, device = model.policy, model.device
    y = torch.as_tensor(actions, device=device)

    def batch(rows: npt.NDArray[np.int64]) -> torch.Tensor:
        parts = [observations[rows], *(block[rows] for block in blocks)]
        if normalizer is not None and data.told_of_images:
            parts[0] = _scaled(normalizer, parts[0])
        seen: Any = parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)
        if normalizer is not None and not data.told_of_images:
            seen = normalizer.normalize_obs(seen)
        return torch.as_tensor(np.asarray(seen, dtype=np.float32), device=device)

    optimizer = torch.optim.Adam(policy.parameters(), lr=config.learning_rate)
    rng = generator(seed, "demonstration.shuffle")
    policy.set_training_mode(True)
    error = 0.0
    for epoch in range(config.epochs):
        for group in optimizer.param_groups:
            group["lr"] = config.learning_rate * (1.0 - 0.9 * epoch / config.epochs)
        order, total = rng.permutation(len(actions)), 0.0
        for start in range(0, len(actions), config.batch_size):
            rows = order[start : start + config.batch_size]
            index = torch.as_tensor(rows, device=device)
            loss = torch.nn.functional.mse_loss(
                _mean_action(policy, batch(rows)), y[index]
            )
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
            total += float(loss.detach()) * len(index)
        error = total / len(actions)
    policy.set_training_mode(False)
    return error


def _extras(env: gymnasium.Env[Any, Any], places: Sequence[int]) -> Floats:
    """Return extras of the state as it is (what trackers say)."""
    if not places:
        return np.zeros(0, dtype=np.float32)
    state: Any = env.unwrapped.cycle.state  # type: ignore[attr-defined]
    return np.asarray(state.extras[list(places)], dtype=np.float32)


def _scaled(normalizer: VecNormalize, named: Floats) -> Floats:
    """Return named entries as the normalisation makes them, without any pixels."""
    statistics: Any = normalizer.obs_rms
    count, clip = named.shape[1], normalizer.clip_obs
    deviation = np.sqrt(statistics.var[:count] + normalizer.epsilon)
    scaled = (named - statistics.mean[:count]) / deviation
    return np.asarray(np.clip(scaled, -clip, clip), dtype=np.float32)


def _set_statistics(statistics: Any, observations: Floats) -> None:
    """Set the scale of what is not a pixel to that of the demonstrations."""
    if isinstance(statistics, PixelStatistics):
        statistics.set_from(observations)
        return
    statistics.mean = observations.mean(axis=0).astype(np.float64)
    statistics.var = observations.var(axis=0).astype(np.float64) + 1e-4
    statistics.count = float(len(observations))


def _mean_action(policy: Any, observation: torch.Tensor) -> torch.Tensor:
    if hasattr(policy, "actor"):
        action: torch.Tensor = policy.actor(observation)
        return action
    mean: torch.Tensor = policy.get_distribution(observation).distribution.mean
    return mean
