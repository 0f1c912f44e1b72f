"""Scale of observations: running statistics for named entries, fixed bounds for pixels.

Running statistics of a pixel are those of a background: what moves through it would be
cut off as an outlier, and what never changed would be blown up. So a pixel goes from
0 to 1 by its bounds, always.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from stable_baselines3.common.running_mean_std import RunningMeanStd
from stable_baselines3.common.vec_env import VecEnv, VecNormalize

__all__ = ["PixelStatistics", "normalized"]


class PixelStatistics(RunningMeanStd):
    """Statistics of a flat observation of which the end is pixels.

    Args:
        named: Entries before the pixels, whose statistics run.
        high: (o,) upper bounds; pixels go from 0 to theirs.
        epsilon: What the normalisation adds to a variance.
    """

    def __init__(
        self, named: int, high: npt.NDArray[np.float32], epsilon: float
    ) -> None:
        super().__init__(shape=high.shape)
        self.named = named
        self.var[named:] = high[named:].astype(np.float64) ** 2 - epsilon

    def update_from_moments(
        self,
        batch_mean: npt.NDArray[Any],
        batch_var: npt.NDArray[Any],
        batch_count: float,
    ) -> None:
        """Take a batch into the statistics of the named entries."""
        mean, var = self.mean[self.named :].copy(), self.var[self.named :].copy()
        super().update_from_moments(batch_mean, batch_var, batch_count)
        self.mean[self.named :], self.var[self.named :] = mean, var

    def set_from(self, observations: npt.NDArray[np.float32]) -> None:
        """Set the statistics of the named entries to those of observations (m, k)."""
        self.mean[: self.named] = observations.mean(axis=0)
        self.var[: self.named] = observations.var(axis=0) + 1e-4
        self.count = float(len(observations))


def normalized(vector: VecEnv, named: int | None, **arguments: Any) -> VecNormalize:
    """Return environments whose observations and rewards are normalised.

    Args:
        vector: The environments.
        named: Entries of the observation before its pixels; None if it has none.
        **arguments: Of Stable-Baselines3's VecNormalize.
    """
    normalizer = VecNormalize(vector, **arguments)
    if named is not None:
        high = np.asarray(vector.observation_space.high)  # type: ignore[attr-defined]
        # Declared as what a dictionary of observations has; this is a vector.
        normalizer.obs_rms = PixelStatistics(  # type: ignore[assignment]
            named, high, normalizer.epsilon
        )
    return normalizer
