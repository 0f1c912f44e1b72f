"""Learning to see: a features extractor learns to tell what trackers say, from pixels.

First images of many scenarios, and images of the expert's episodes, with what trackers
say then as labels. What was learned stays as it is in all that follows.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace

import gymnasium
import numpy as np
import numpy.typing as npt
import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from tqdm import tqdm

from physai.errors import ConfigError, suggest
from physai.randomness import derive_seed, generator
from physai.tasks import registry
from physai.training.config import SightConfig
from physai.training.demonstration import Demonstrations, Episode, Recording
from physai.training.keypoints import KeypointExtractor

__all__ = ["learn_to_see", "look", "target_places"]

Floats = npt.NDArray[np.float32]
Pixels = Sequence[npt.NDArray[np.generic]]

_HELD_OUT = 5
"""Of so many scenarios one is kept back to measure on."""
_AT_ONCE = 256


def target_places(env_id: str, plan: SightConfig) -> tuple[int, ...]:
    """Return the places of the targets among the extras of the environment.

    Raises:
        ConfigError: If there is no such extra.
    """
    known = list(registry.load_environment(env_id).extras)
    for name in plan.targets:
        if name not in known:
            raise ConfigError(
                f'demonstrations.sight.targets: no extra "{name}"; '
                f"{suggest(name, known)}"
            )
    return tuple(known.index(name) for name in plan.targets)


def learn_to_see(
    env: gymnasium.Env[Floats, Floats],
    model: BaseAlgorithm,
    data: Demonstrations,
    plan: SightConfig,
    recording: Recording,
    seed: int,
) -> dict[str, float]:
    """Teach the model's extractor.

    Args:
        env: Of the observation ``rgbd``.
        model: Its policy has a :class:`KeypointExtractor` with targets.
        data: The expert's episodes, with what trackers said.
        plan: How.
        recording: What is kept of an observation, and which extras are the targets.
        seed: Of scenarios and order.

    Returns:
        Root mean square error of every target, in its unit, on scenarios that were not
        learned from.
    """
    eyes, device = _eyes(model), model.device
    first, first_told = _first_images(env, plan, recording, seed)
    rng = generator(seed, "sight.shuffle")
    held = np.arange(plan.scenarios) % _HELD_OUT == _HELD_OUT - 1
    own = np.flatnonzero(~held)
    chosen = rng.permutation(len(data))[: max(1, round(plan.share * len(data)))]
    told = np.concatenate([e.told for e in data.episodes if e.told is not None])
    labels = np.concatenate([first_told[own], told[chosen]])
    pixels = [
        np.concatenate([a[own], b[chosen]])
        for a, b in zip(first, data.pixels, strict=True)
    ]
    mean, deviation = labels.mean(axis=0), labels.std(axis=0) + 1e-6
    wanted = torch.as_tensor((labels - mean) / deviation, device=device)
    optimizer = torch.optim.Adam(eyes.parameters(), lr=plan.learning_rate)
    epochs = tqdm(range(plan.epochs), "sight", disable=not sys.stderr.isatty())
    for epoch in epochs:
        for group in optimizer.param_groups:
            group["lr"] = plan.learning_rate * (1.0 - 0.95 * epoch / plan.epochs)
        order = rng.permutation(len(labels))
        for start in range(0, len(order), plan.batch_size):
            rows = order[start : start + plan.batch_size]
            seen = eyes.see(_joined([b[rows] for b in pixels]).to(device))
            index = torch.as_tensor(rows, device=device)
            loss = torch.nn.functional.mse_loss(seen, wanted[index])
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
    rows = np.flatnonzero(held) if held.any() else own
    found = _see(eyes, [block[rows] for block in first], device)
    error = found * deviation + mean - first_told[rows]
    return dict(
        zip(plan.targets, np.sqrt((error**2).mean(axis=0)).tolist(), strict=True)
    )


def look(model: BaseAlgorithm, episode: Episode) -> Episode:
    """Return an episode in which what the extractor tells stands in place of pixels.

    Args:
        model: Its policy has a :class:`KeypointExtractor` that has learned to see.
        episode: With pixels.
    """
    told = _see(_eyes(model), episode.pixels, model.device)
    # There is no image after the last step, nor a label for it.
    seen = np.concatenate([told, told[-1:]])
    return replace(
        episode,
        observations=np.concatenate([episode.observations, seen], axis=1),
        pixels=(),
        told=None,
    )


def _first_images(
    env: gymnasium.Env[Floats, Floats],
    plan: SightConfig,
    recording: Recording,
    seed: int,
) -> tuple[list[npt.NDArray[np.generic]], Floats]:
    """Return (n, p) of every image and (n, t) targets, of first states of scenarios."""
    pixels, told = [], []
    for k in tqdm(range(plan.scenarios), "images", disable=not sys.stderr.isatty()):
        observation, _ = env.reset(seed=derive_seed(seed, "sight", k))
        pixels.append(recording.split(observation)[1])
        told.append(recording.extras(env))
    blocks = [np.stack(block) for block in zip(*pixels, strict=True)]
    return blocks, np.stack(told)


def _see(eyes: KeypointExtractor, pixels: Pixels, device: torch.device) -> Floats:
    found = []
    with torch.no_grad():
        for start in range(0, len(pixels[0]), _AT_ONCE):
            part = [block[start : start + _AT_ONCE] for block in pixels]
            found.append(eyes.see(_joined(part).to(device)).cpu().numpy())
    return np.concatenate(found)


def _joined(pixels: Pixels) -> torch.Tensor:
    return torch.as_tensor(np.concatenate(pixels, axis=1, dtype=np.float32))


def _eyes(model: BaseAlgorithm) -> KeypointExtractor:
    """Return the extractor of a model; its config was checked to have one."""
    found = [m for m in model.policy.modules() if isinstance(m, KeypointExtractor)]
    return found[0]
