"""What the robot knows of people: a tracker with delay, noise and drop-out.

Noise is bounded at three standard deviations, so that the error which the safety
specification takes into account (Zd) is a true bound; what goes beyond belongs to the
faults. Successive errors are correlated, as those of skeleton trackers are.
"""

from __future__ import annotations

from collections import deque
from typing import Annotated

import numba
import numpy as np
import numpy.typing as npt
from pydantic import Field

from physai.body.person import SEGMENT_COUNT
from physai.config import Config
from physai.plant.sight import EyeConfig, Sight
from physai.randomness import generator
from physai.types import Array

__all__ = ["BodyTracker", "TrackerConfig", "correlated_noise"]

NonNegative = Annotated[float, Field(ge=0.0)]
Flags = npt.NDArray[np.bool_]


class TrackerConfig(Config):
    """A tracker's figures."""

    rate_hz: Annotated[float, Field(gt=0.0)]
    latency_s: NonNegative
    sigma_m: NonNegative
    correlation: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.8
    """Of successive frames."""
    miss_rate: Annotated[float, Field(ge=0.0, lt=1.0)]
    """Share of frames without a result."""
    eye: EyeConfig | None = None
    """Where on the robot it looks from; None for a tracker that sees everybody."""
    source: str

    @property
    def bound_m(self) -> float:
        """Largest error of a coordinate axis [m]."""
        return 3.0 * self.sigma_m


@numba.njit(cache=True)
def _correlate(draws: Array, keep: float, add: float) -> None:
    for k in range(1, draws.shape[0]):
        for i in range(draws.shape[1]):
            draws[k, i] = keep * draws[k - 1, i] + add * draws[k, i]


def correlated_noise(
    rng: np.random.Generator, shape: tuple[int, ...], sigma: float, correlation: float
) -> Array:
    """Return first-order autoregressive noise, bounded at three sigma.

    Args:
        rng: Keyed generator.
        shape: Frames first.
        sigma: Standard deviation of every entry.
        correlation: Of successive frames.
    """
    fresh = rng.normal(0.0, 1.0, shape)
    keep, add = correlation, np.sqrt(1.0 - correlation * correlation)
    _correlate(fresh.reshape(shape[0], -1), keep, float(add))
    noise: Array = sigma * np.clip(fresh, -3.0, 3.0)
    return noise


@numba.njit(cache=True)
def _displace(truth: Array, noise: Array, out: Array) -> None:
    """Move both ends of every capsule by its error."""
    for p in range(truth.shape[0]):
        for s in range(truth.shape[1]):
            for c in range(3):
                out[p, s, c] = truth[p, s, c] + noise[p, s, c]
                out[p, s, 3 + c] = truth[p, s, 3 + c] + noise[p, s, c]
            out[p, s, 6] = truth[p, s, 6]


class BodyTracker:
    """Tracks the capsules of every person.

    Args:
        config: Figures.
        people: How many people there are.
        seed: Seed of the episode.
        steps: Control steps that an episode can have.
        control_hz: Rate at which it is asked [Hz].
        sight: Lines of sight of a tracker on the robot; None sees everybody.

    Attributes:
        capsules: (P, S, 7) as last delivered; a new array with every delivery.
        velocity: (P, S, 3) NaN: this tracker measures none.
    """

    def __init__(
        self,
        config: TrackerConfig,
        people: int,
        seed: int,
        steps: int,
        control_hz: float,
        sight: Sight | None = None,
    ) -> None:
        self.config = config
        self._hz, self._sight = control_hz, sight
        frames = int(np.ceil((steps + 4) / control_hz * config.rate_hz)) + 4
        rng = generator(seed, "tracker.body.noise")
        noise = correlated_noise(
            rng, (frames, people, SEGMENT_COUNT, 3), config.sigma_m, config.correlation
        )
        # An error vector is bounded as a whole, not only axis by axis.
        size = np.linalg.norm(noise, axis=-1, keepdims=True)
        noise *= np.minimum(1.0, config.bound_m / np.maximum(size, 1e-12))
        self._noise = noise
        missed = generator(seed, "tracker.body.miss").random((frames, people))
        self._missed = missed < config.miss_rate
        self._missed[0] = False
        missed_any: npt.NDArray[np.bool_] = np.any(self._missed, axis=1)
        self._complete: list[bool] = (~missed_any).tolist()
        self._queue: deque[tuple[float, int, Array, Flags | None]] = deque()
        self._next = 0
        self._frame_stamp = -np.inf
        self.capsules = np.zeros((people, SEGMENT_COUNT, 7))
        self.velocity = np.full((people, SEGMENT_COUNT, 3), np.nan)
        self._stamp = np.full(people, -np.inf)

    def observe(self, time_s: float, truth: Array) -> None:
        """Take frames that are due now and deliver those that have arrived.

        Args:
            time_s: Plant clock [s].
            truth: (P, S, 7) true capsules.
        """
        if time_s * self.config.rate_hz >= self._next - 1e-9:
            frame = min(self._next, len(self._noise) - 1)
            measured = np.empty_like(truth)
            _displace(truth, self._noise[frame], measured)
            seen = None if self._sight is None else self._sight.look(truth)
            self._queue.append((time_s, frame, measured, seen))
            self._next = int(time_s * self.config.rate_hz + 1e-9) + 1
        first = self._frame_stamp == -np.inf
        while self._queue and (
            first or time_s - self._queue[0][0] >= self.config.latency_s - 1e-9
        ):
            stamp, frame, measured, sighted = self._queue.popleft()
            self._deliver(stamp, frame, measured, sighted)
            first = False

    def _deliver(
        self, stamp: float, frame: int, measured: Array, sighted: Flags | None
    ) -> None:
        self._frame_stamp = stamp
        if self._complete[frame] and (sighted is None or sighted.all()):
            self.capsules = measured
            self._stamp[:] = stamp
            return
        seen = ~self._missed[frame]
        if sighted is not None:
            seen &= sighted
        self.capsules = self.capsules.copy()
        self.capsules[seen] = measured[seen]
        self._stamp[seen] = stamp

    def listed(self, time_s: float) -> Flags | None:
        """Return (P,) who has a track; None where everybody has.

        A tracker on a robot forgets people whom it has not measured for a while.
        """
        if self.config.eye is None:
            return None
        there: Flags = self.ages(time_s) <= self.config.eye.lose_after_s
        return None if there.all() else there

    def ages(self, time_s: float) -> Array:
        """Return the (P,) age of every track [s]."""
        return time_s - self._stamp

    def frame_age(self, time_s: float) -> float:
        """Return the age of the newest frame [s]."""
        return float(time_s - self._frame_stamp)
