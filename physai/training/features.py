"""What a network sees of an observation: coarse and fine at once.

An error of 8 mm decides whether a pallet stands where it should, on a way of 20 m: scaled
by mean and deviation it is a thousandth, which a network of usual size does not resolve.
:class:`MultiScaleFeatures` shows every entry twice, as it is and by a function that is
linear near zero and logarithmic beyond, as symlog is in Hafner et al. 2023, "Mastering
diverse domains through world models". It is part of the policy and so of the ONNX graph.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from gymnasium import spaces
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor

__all__ = ["MultiScaleFeatures"]

_CLIP = 10.0


class MultiScaleFeatures(BaseFeaturesExtractor):
    """Every entry x of a flat observation as x and asinh(x / fine), both scaled.

    It wants the observation as the environment gives it, where zero means no error, so
    that it goes with ``normalize_observation: false``.

    Args:
        observation_space: A bounded vector (o,).
        fine: Where the logarithm begins, in the units of the entries.
    """

    mean: torch.Tensor
    scale: torch.Tensor

    def __init__(self, observation_space: spaces.Box, fine: float = 0.01) -> None:
        low = np.asarray(observation_space.low, dtype=np.float64)
        high = np.asarray(observation_space.high, dtype=np.float64)
        super().__init__(observation_space, 2 * len(low))
        self.entries, self.fine = len(low), fine
        ends = torch.as_tensor(np.stack([low, high]), dtype=torch.float32)
        wide = self._expand(ends)
        self.register_buffer("mean", wide.mean(dim=0))
        half = 0.5 * (wide[1] - wide[0])
        self.register_buffer("scale", 1.0 / torch.clamp(half, min=1e-6))

    def calibrate(self, observations: npt.NDArray[np.float32]) -> None:
        """Scale by the mean and deviation of recorded observations, not by the bounds.

        Args:
            observations: (n, o or more); what is more is left out.
        """
        own = torch.as_tensor(observations[:, : self.entries], device=self.mean.device)
        wide = self._expand(own)
        self.mean.copy_(wide.mean(dim=0))
        self.scale.copy_(1.0 / torch.sqrt(wide.var(dim=0) + 1e-4))

    def forward(self, observations: torch.Tensor) -> torch.Tensor:
        """Return (n, 2 o) features of (n, o) observations."""
        scaled = (self._expand(observations) - self.mean) * self.scale
        return torch.clamp(scaled, -_CLIP, _CLIP)

    def _expand(self, observations: torch.Tensor) -> torch.Tensor:
        return torch.cat([observations, torch.asinh(observations / self.fine)], dim=-1)
