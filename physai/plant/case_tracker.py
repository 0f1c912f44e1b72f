"""Where cases are, as cameras above the cell give it: delay, noise, missed frames.

The one place where object poses enter a state. A source that gets them from images (tags,
matching of box edges) takes the same two calls: it looks at a time, and it is read.
"""

from __future__ import annotations

import math
from collections import deque
from typing import Annotated

import numba
import numpy as np
from pydantic import Field

from physai.config import Config
from physai.plant.tracker import correlated_noise
from physai.randomness import generator
from physai.types import Array

__all__ = ["CaseTracker", "CaseTrackerConfig"]

NonNegative = Annotated[float, Field(ge=0.0)]


class CaseTrackerConfig(Config):
    """Figures of the cameras; a frame is taken in every control step."""

    latency_s: NonNegative
    position_sigma_m: NonNegative
    yaw_sigma_rad: NonNegative
    correlation: Annotated[float, Field(ge=0.0, lt=1.0)]
    """Of successive frames."""
    miss_rate: Annotated[float, Field(ge=0.0, lt=1.0)]
    """Share of frames without a result."""
    source: str


@numba.njit(cache=True)
def _disturb(truth: Array, noise: Array, out: Array) -> None:
    """Move every pose by its error: x, y, z and a turn about the vertical."""
    for k in range(truth.shape[0]):
        for i in range(3):
            out[k, i] = truth[k, i] + noise[k, i]
        s, c = math.sin(0.5 * noise[k, 3]), math.cos(0.5 * noise[k, 3])
        x, y, z, w = truth[k, 3], truth[k, 4], truth[k, 5], truth[k, 6]
        out[k, 3], out[k, 4] = c * x - s * y, c * y + s * x
        out[k, 5], out[k, 6] = c * z + s * w, c * w - s * z


class CaseTracker:
    """Measures the poses of all objects over one episode.

    Args:
        config: Figures.
        count: Number of objects.
        seed: Seed of the episode.
        steps: Control steps that an episode can have.

    Attributes:
        poses: (K, 7) as last delivered; a new array with every delivery.
    """

    def __init__(
        self, config: CaseTrackerConfig, count: int, seed: int, steps: int
    ) -> None:
        self.config = config
        noise = correlated_noise(
            generator(seed, "tracker.case.noise"),
            (steps + 4, count, 4),
            1.0,
            config.correlation,
        )
        noise[:, :, :3] *= config.position_sigma_m
        noise[:, :, 3] *= config.yaw_sigma_rad
        self._noise = noise
        missed = generator(seed, "tracker.case.miss").random(steps + 4)
        self._missed = missed < config.miss_rate
        self._missed[0] = False
        self._queue: deque[tuple[float, Array]] = deque()
        self._stamp = -math.inf
        self.poses = np.zeros((count, 7))

    def look(self, time_s: float, step: int, poses: Array) -> None:
        """Take a frame and deliver those that have arrived.

        Args:
            time_s: Plant clock [s].
            step: Control step.
            poses: (K, 7) true poses.
        """
        frame = min(step, len(self._noise) - 1)
        if not self._missed[frame]:
            measured = np.empty_like(poses)
            _disturb(poses, self._noise[frame], measured)
            self._queue.append((time_s, measured))
        first = self._stamp == -math.inf
        while self._queue and (
            first or time_s - self._queue[0][0] >= self.config.latency_s - 1e-9
        ):
            self._stamp, self.poses = self._queue.popleft()
            first = False

    def age(self, time_s: float) -> float:
        """Return the age of the poses [s]."""
        return time_s - self._stamp
