"""Learning to see: a features extractor learns to tell what trackers say, from pixels.

First images of many scenarios, and images of the expert's episodes, with what trackers
say then as labels. What was learned stays as it is in all that follows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt
import torch
from stable_baselines3.common.base_class import BaseAlgorithm

from physai.errors import ConfigError, suggest
from physai.randomness import derive_seed, generator
from physai.training.config import SightConfig
from physai.training.demonstration import Demonstrations
from physai.training.keypoints import KeypointExtractor

__all__ = ["learn_to_see", "target_places"]

Floats = npt.NDArray[np.float32]

_HELD_OUT = 5
"""Of so many scenarios one is kept back to measure on."""


def target_places(env: gymnasium.Env[Any, Any], plan: SightConfig) -> list[int]:
    """Return the places of the targets among the extras of the environment.

    Raises:
        ConfigError: If there is no such extra.
    """
    known = list(env.unwrapped.cycle.environment.extras)  # type: ignore[attr-defined]
    for name in plan.targets:
        if name not in known:
            raise ConfigError(
                f'demonstrations.sight.targets: no extra "{name}"; '
                f"{suggest(name, known)}"
            )
    return [known.index(name) for name in plan.targets]


def learn_to_see(
    env: gymnasium.Env[Any, Any],
    model: BaseAlgorithm,
    data: Demonstrations,
    plan: SightConfig,
    seed: int,
    progress: Callable[[int], None] = lambda count: None,
) -> dict[str, float]:
    """Teach the model's extractor; ``data`` then keeps what it tells, not images.

    Args:
        env: Of the observation ``rgbd``.
        model: Its policy has a :class:`KeypointExtractor` with targets.
        data: The expert's episodes, with what trackers said.
        plan: How.
        seed: Of scenarios and order.
        progress: Called after every epoch with its number.

    Returns:
        Root mean square error of every target, in its unit, on scenarios that were not
        learned from.

    Raises:
        ConfigError: If the policy has no such extractor.
    """
    eyes = _eyes(model)
    first = Demonstrations(data.named, data.images, told=data.places)
    action = np.zeros(env.action_space.shape or (0,), dtype=np.float32)
    for k in range(plan.scenarios):
        observation, _ = env.reset(seed=derive_seed(seed, "sight", k))
        told: Any = env.unwrapped.cycle.state  # type: ignore[attr-defined]
        label = np.asarray(told.extras[data.places], dtype=np.float32)
        first.add([observation], [action], False, [label])
    rng = generator(seed, "sight.shuffle")
    held = np.arange(plan.scenarios) % _HELD_OUT == _HELD_OUT - 1
    count = max(1, round(plan.share * len(data)))
    shown = rng.permutation(len(data))[:count]
    own = np.flatnonzero(~held)
    labels = np.concatenate([first.told[own], data.told[shown]])
    mean, deviation = labels.mean(axis=0), labels.std(axis=0) + 1e-6

    def pixels(rows: npt.NDArray[np.int64]) -> torch.Tensor:
        parts = [
            first.pixels(own[rows[rows < len(own)]]),
            data.pixels(shown[rows[rows >= len(own)] - len(own)]),
        ]
        return torch.as_tensor(np.concatenate(parts), device=model.device)

    wanted = (labels - mean) / deviation
    optimizer = torch.optim.Adam(eyes.parameters(), lr=plan.learning_rate)
    for epoch in range(plan.epochs):
        for group in optimizer.param_groups:
            group["lr"] = plan.learning_rate * (1.0 - 0.95 * epoch / plan.epochs)
        order = rng.permutation(len(labels))
        for start in range(0, len(order), plan.batch_size):
            rows = np.sort(order[start : start + plan.batch_size])
            target = torch.as_tensor(wanted[rows], device=model.device)
            loss = torch.nn.functional.mse_loss(eyes.see(pixels(rows)), target)
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
        progress(epoch + 1)

    def see(seen: Floats) -> Floats:
        with torch.no_grad():
            found = eyes.see(torch.as_tensor(seen, device=model.device))
        return np.asarray(found.cpu().numpy(), dtype=np.float32)

    rows = np.flatnonzero(held) if held.any() else own
    error = see(first.pixels(rows)) * deviation + mean - first.told[rows]
    data.replace_images(see)
    found = np.sqrt((error**2).mean(axis=0)).tolist()
    return dict(zip(plan.targets, found, strict=True))


def _eyes(model: BaseAlgorithm) -> KeypointExtractor:
    for module in model.policy.modules():
        if isinstance(module, KeypointExtractor):
            return module
    raise ConfigError(
        "demonstrations.sight: needs policy_kwargs.features_extractor_class: "
        "KeypointExtractor"
    )
