"""Imitation by a policy with memory: whole episodes, not single steps.

An expert that goes through phases acts by what it remembers; who sees a single step of it
cannot know which phase it is in. A recurrent policy is shown episodes in their order and
is corrected along them, with gradients that reach back over a stretch of each (truncated
backpropagation through time).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from numpy.random import Generator

from physai.training.config import DemonstrationConfig
from physai.training.demonstration import Demonstrations

__all__ = ["fit_sequences", "rounded"]

_STRETCH = 64
"""Steps over which a gradient reaches back."""
_LARGEST_GRADIENT = 1.0


def rounded(precision: str, device: torch.device) -> torch.autocast:
    """Return the context in which products of networks are rounded, if they are to be.

    Args:
        precision: ``float32`` or ``bfloat16``.
        device: Of the network.
    """
    return torch.autocast(
        device.type, dtype=torch.bfloat16, enabled=precision == "bfloat16"
    )


def fit_sequences(
    policy: Any,
    observations: npt.NDArray[np.float32],
    data: Demonstrations,
    config: DemonstrationConfig,
    rng: Generator,
    device: torch.device,
) -> float:
    """Fit a recurrent policy's deterministic action to the expert's along episodes.

    Args:
        policy: A recurrent policy of sb3-contrib, in training mode.
        observations: (n, o) as the policy takes them.
        data: Every step of its episodes, in the same order.
        config: ``batch_size`` steps are learned from at once: stretches of 64 steps of
            as many episodes.
        rng: Draws the order of the episodes.
        device: Of the policy.

    Returns:
        Mean squared error over the last epoch.
    """
    ends = np.cumsum([len(episode.labels) for episode in data.episodes])
    episodes = [
        (torch.as_tensor(seen), torch.as_tensor(episode.labels))
        for seen, episode in zip(
            np.split(observations, ends[:-1]), data.episodes, strict=True
        )
    ]
    at_once = max(1, config.batch_size // _STRETCH)
    optimizer = torch.optim.Adam(policy.parameters(), lr=config.learning_rate)
    error = 0.0
    for epoch in range(config.epochs):
        for group in optimizer.param_groups:
            group["lr"] = config.learning_rate * (1.0 - 0.9 * epoch / config.epochs)
        total, order = 0.0, rng.permutation(len(episodes))
        for start in range(0, len(order), at_once):
            chosen = [episodes[i] for i in order[start : start + at_once]]
            x, y = (
                torch.nn.utils.rnn.pad_sequence([each[k] for each in chosen]).to(device)
                for k in (0, 1)
            )
            lengths = torch.as_tensor([len(each[1]) for each in chosen], device=device)
            counts = torch.arange(len(x), device=device)[:, None] < lengths
            memory = None
            for begin in range(0, len(x), _STRETCH):
                part = slice(begin, begin + _STRETCH)
                with rounded(config.precision, device):
                    mean, memory = _mean_actions(policy, x[part], memory)
                squares = ((mean.float() - y[part]) ** 2).mean(dim=2) * counts[part]
                loss = squares.sum() / counts[part].sum()
                optimizer.zero_grad()
                torch.autograd.backward(loss)
                torch.nn.utils.clip_grad_norm_(policy.parameters(), _LARGEST_GRADIENT)
                optimizer.step()
                total += float(squares.detach().sum())
        error = total / len(data)
    return error


def _mean_actions(
    policy: Any, observations: torch.Tensor, memory: Any
) -> tuple[torch.Tensor, Any]:
    """Return (t, b, a) actions for (t, b, o) observations, and the memory after them."""
    count, width = observations.shape[:2]
    features = policy.pi_features_extractor(observations.flatten(0, 1))
    found, memory = policy.lstm_actor(features.unflatten(0, (count, width)), memory)
    latent = policy.mlp_extractor.forward_actor(found)
    actions: torch.Tensor = policy.action_net(latent)
    # A gradient does not reach back beyond its stretch.
    return actions, tuple(part.detach() for part in memory)
