"""Where cases are, as cameras above the cell give it: delay, noise, missed frames.

The one place where object poses enter a state. :class:`physai.plant.tag_vision.TagVision`
takes the same calls and gets them from images: both are a :class:`CaseSource`.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Protocol

import numba
import numpy as np
from pydantic import Field

from physai.body.people import AnyPerson
from physai.config import Config
from physai.plant.handling_kernel import top_of
from physai.plant.tracker import correlated_noise
from physai.randomness import generator
from physai.types import Array

if TYPE_CHECKING:
    from physai.plant.dynamics import ObjectWorld

__all__ = ["CaseSource", "CaseTracker", "CaseTrackerConfig"]

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


class CaseSource(Protocol):
    """Gives the poses of cases.

    Attributes:
        poses: (K, 7) as last delivered; a new array with every delivery.
    """

    poses: Array

    def look(
        self, time_s: float, step: int, world: ObjectWorld, people: Sequence[AnyPerson]
    ) -> None:
        """Take a frame of control step ``step`` and deliver those that have arrived."""
        ...

    def grasp(self, index: int, pose: Array) -> None:
        """Take note that the cups drew a case that really is at a (7,) pose."""
        ...

    def describe(self, index: int, held: bool, out: Array) -> None:
        """Write the middle of a case's upper face [m] and its yaw [rad].

        ``out`` (4,) holds the exact ones before.
        """
        ...

    def ages(self, time_s: float) -> Array:
        """Return the (K,) ages of the poses [s]."""
        ...


class CaseTracker:
    """Measures the poses of all objects over one episode.

    Args:
        config: Figures.
        sizes: (K, 3) of the objects [m].
        seed: Seed of the episode.
        steps: Control steps that an episode can have.

    Attributes:
        poses: (K, 7) as last delivered; a new array with every delivery.
    """

    def __init__(
        self, config: CaseTrackerConfig, sizes: Array, seed: int, steps: int
    ) -> None:
        self.config, self._sizes, count = config, sizes, len(sizes)
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
        self._grasp_error = np.zeros(4)

    def look(
        self, time_s: float, step: int, world: ObjectWorld, people: Sequence[AnyPerson]
    ) -> None:
        """Take a frame and deliver those that have arrived.

        Args:
            time_s: Plant clock [s].
            step: Control step.
            world: Has the true poses.
            people: Never in the way.
        """
        poses = world.pose
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

    def grasp(self, index: int, pose: Array) -> None:
        """Keep the error with which a case was seen when it was drawn to the cups.

        Args:
            index: Which.
            pose: (7,) where it really is.
        """
        seen, exact = np.zeros(4), np.zeros(4)
        top_of(self.poses[index], self._sizes[index], seen)
        top_of(pose, self._sizes[index], exact)
        self._grasp_error[:] = seen - exact

    def describe(self, index: int, held: bool, out: Array) -> None:
        """Write the middle of the upper face [m] and the yaw [rad] of a case.

        Args:
            index: Which.
            held: A held case is where the tool is, but for how it was seen when taken.
            out: (4,) the exact ones, replaced.
        """
        if held:
            out += self._grasp_error
        else:
            top_of(self.poses[index], self._sizes[index], out)

    def ages(self, time_s: float) -> Array:
        """Return the (K,) ages of the poses [s]."""
        return np.full(len(self.poses), time_s - self._stamp)
