"""Episodes that the expert labels, whoever drives.

Episodes are independent of each other, so that several processes collect them; what
comes out does not depend on their number.
"""

from __future__ import annotations

import copy
import pickle
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
from stable_baselines3.common.vec_env import VecNormalize

from physai.evaluation.workers import make_pool, starting_workers
from physai.policy.policy import ImageEntry
from physai.randomness import derive_seed, generator
from physai.training.export import DeployedPolicy

__all__ = ["Collector", "Demonstrations", "Driver", "Episode", "Recording"]

Floats = npt.NDArray[np.float32]
Maker = Callable[[], gymnasium.Env[Any, Any]]


@dataclass(frozen=True)
class Recording:
    """What is kept of an episode.

    Attributes:
        keep_every: Of so many steps one is kept.
        images: Whose pixels follow the named entries of an observation. They are kept as
            small as they can be: colours as whole numbers of a byte, depth in half
            precision (a millimetre at 2 m, less than a camera errs there). 64 x 64
            pixels take 20 KiB instead of 64.
        told: Places of extras of the state that are kept as well.
    """

    keep_every: int = 1
    images: tuple[ImageEntry, ...] = ()
    told: tuple[int, ...] = ()

    def split(self, observation: Floats) -> tuple[Floats, list[npt.NDArray[Any]]]:
        """Return named entries of an observation (o,), and the pixels of its images."""
        start = len(observation) - sum(image.size for image in self.images)
        named, pixels = np.array(observation[:start], dtype=np.float32), []
        for image in self.images:
            kind = np.float16 if image.unit == "m" else np.uint8
            pixels.append(observation[start : start + image.size].astype(kind))
            start += image.size
        return named, pixels

    def extras(self, env: gymnasium.Env[Any, Any]) -> Floats:
        """Return extras of the state as it is: what trackers say."""
        if not self.told:
            return np.zeros(0, dtype=np.float32)
        state: Any = env.unwrapped.cycle.state  # type: ignore[attr-defined]
        return np.asarray(state.extras[list(self.told)], dtype=np.float32)


@dataclass
class Episode:
    """One episode with the expert's label of every step that is kept.

    Attributes:
        observations: (T + 1, o) without pixels, the last one after the last step.
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
    pixels: tuple[npt.NDArray[Any], ...] = ()
    """(T, p) of every image, none after the last step."""
    told: Floats | None = None
    """(T, t) extras of the state."""


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
    def pixels(self) -> list[npt.NDArray[Any]]:
        """(n, p) of every image, as they are kept."""
        kept = zip(*(episode.pixels for episode in self.episodes), strict=True)
        return [np.concatenate(parts) for parts in kept]

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
        images = {f"{_PIXELS}{k}": block for k, block in enumerate(self.pixels)}
        arrays: dict[str, Any] = {**joined, **ends, **images}
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
            blocks = sum(name.startswith(_PIXELS) for name in stored)
            images = [
                np.split(stored[f"{_PIXELS}{k}"], steps[:-1]) for k in range(blocks)
            ]
            pixels = list(zip(*images, strict=True)) if images else [()] * len(steps)
            named = {**columns, **ends, "pixels": pixels}
            return Demonstrations(
                [
                    Episode(**dict(zip(named, values, strict=True)))
                    for values in zip(*named.values(), strict=True)
                ]
            )


_PIXELS = "pixels_"


class Driver:
    """A learner as a policy: its deterministic action from a raw observation.

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
        self.reset()

    def reset(self) -> None:
        """Forget the episode before, if the learner has a memory."""
        self._memory = list(self._module.memory().values())

    def act(self, observation: Floats) -> Floats:
        """Return the (a,) action of an (o,) observation."""
        with torch.no_grad():
            shown = torch.as_tensor(observation[None])
            action, *self._memory = self._module(shown, *self._memory)
        return np.asarray(action[0], dtype=np.float32)


def run_episode(
    env: gymnasium.Env[Any, Any],
    seed: int,
    noise: float,
    driver: Driver | None,
    recording: Recording,
) -> Episode:
    """Run one episode in which the expert labels every state.

    Args:
        env: An environment that offers ``scripted_policy("expert")``.
        seed: Of the episode.
        noise: Standard deviation of the noise on the driver's action.
        driver: Policy that drives; the expert itself if None.
        recording: What is kept.
    """
    expert = env.unwrapped.scripted_policy("expert")  # type: ignore[attr-defined]
    observation, _ = env.reset(seed=seed)
    expert.reset()
    if driver is not None:
        driver.reset()
    kept: list[tuple[Any, ...]] = []
    done, terminated, step = False, False, 0
    info: dict[str, Any] = {}
    while not done:
        label = np.asarray(expert.act(observation), dtype=np.float32)
        action = label
        if driver is not None:
            action = driver.act(np.asarray(observation, dtype=np.float32))
        if noise > 0.0:
            drawn = generator(seed, "demonstration.noise", step).normal(
                0.0, noise, size=action.shape
            )
            action = np.clip(action + drawn, -1.0, 1.0).astype(np.float32)
        chosen = step % recording.keep_every == 0
        if chosen:
            shown = (*recording.split(observation), recording.extras(env))
        observation, reward, terminated, truncated, info = env.step(action)
        done = terminated or truncated
        if chosen:
            kept.append((*shown, label, action, reward, info.get("cost", 0.0)))
        step += 1
    named, pixels, told, labels, actions, rewards, costs = zip(*kept, strict=True)
    last, _ = recording.split(observation)
    return Episode(
        np.stack([*named, last]),
        np.stack(labels),
        np.stack(actions),
        np.array(rewards, dtype=np.float32),
        np.array(costs, dtype=np.float32),
        bool(terminated),
        bool(info.get("is_success", False)),
        tuple(np.stack(block) for block in zip(*pixels, strict=True)),
        np.stack(told) if recording.told else None,
    )


class Collector:
    """Runs labelled episodes, in several processes at once.

    Args:
        make: Makes the environment; what can be pickled.
        processes: How many; with one, the environment runs here.
        recording: What is kept of an episode.
    """

    def __init__(
        self, make: Maker, processes: int, recording: Recording = Recording()
    ) -> None:
        self._make, self._processes, self._recording = make, processes, recording
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
            for each in seeds:
                yield run_episode(self._env, each, noise, driver, self._recording)
            return
        if self._pool is None:
            self._pool = make_pool(self._processes, _begin, (self._make,))
        packed = None if driver is None else pickle.dumps(driver)
        with starting_workers():
            made = self._pool.map(
                partial(
                    _run_packed, noise=noise, packed=packed, recording=self._recording
                ),
                seeds,
            )
        yield from made

    def close(self) -> None:
        """Release environments and processes; what was not run yet is given up."""
        if self._env is not None:
            self._env.close()
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)


_WORKER: dict[str, Any] = {}


def _begin(make: Maker) -> None:
    torch.set_num_threads(1)
    _WORKER["env"] = make()


def _run_packed(
    seed: int, noise: float, packed: bytes | None, recording: Recording
) -> Episode:
    # Every episode of a round has the same driver: it is unpacked once.
    if _WORKER.get("packed") != packed:
        _WORKER["packed"] = packed
        _WORKER["driver"] = None if packed is None else pickle.loads(packed)
    return run_episode(_WORKER["env"], seed, noise, _WORKER.get("driver"), recording)
