"""The close-range tracker of a mouth, and the channels of consent, stop and food.

The body tracker is too coarse at a face; a camera at the wrist measures the mouth, and
the person's own channel tells consent and the stop signal. Each delivers late, with
noise, and sometimes nothing.
"""

from __future__ import annotations

import math
from collections import deque
from typing import Annotated

import numba
import numpy as np
from pydantic import Field

from physai.body.people import AnyPerson
from physai.config import Config
from physai.plant.tracker import correlated_noise
from physai.randomness import generator
from physai.types import Array

__all__ = ["EXTRAS", "FaceTracker", "FaceTrackerConfig"]

NonNegative = Annotated[float, Field(ge=0.0)]

EXTRAS = (
    "mouth_x_in_world_m",
    "mouth_y_in_world_m",
    "mouth_z_in_world_m",
    "mouth_axis_x_in_world",
    "mouth_axis_y_in_world",
    "mouth_axis_z_in_world",
    "mouth_opening_m",
    "consent",
    "stop_signal",
    "food_on_spoon",
)


class FaceTrackerConfig(Config):
    """The close-range tracker of the mouth, and the channels of consent and food."""

    latency_s: NonNegative
    position_sigma_m: NonNegative
    axis_sigma_rad: NonNegative
    opening_sigma_m: NonNegative
    correlation: Annotated[float, Field(ge=0.0, lt=1.0)]
    miss_rate: Annotated[float, Field(ge=0.0, lt=1.0)]
    interface_latency_s: NonNegative
    food_sigma: NonNegative
    source: str


@numba.njit(cache=True)
def _measure(
    mouth: Array,
    opening: float,
    consent: float,
    stop: float,
    food: float,
    noise: Array,
    exact: Array,
    measured: Array,
) -> None:
    """Write the exact extras and the mouth as the camera measures it."""
    for i in range(3):
        exact[i], exact[3 + i] = mouth[0, i], mouth[1, i]
    exact[6], exact[7], exact[8], exact[9] = opening, consent, stop, food
    size = 0.0
    for i in range(7):
        measured[i] = exact[i] + noise[i]
        if 3 <= i < 6:
            size += measured[i] * measured[i]
    size = max(math.sqrt(size), 1e-9)
    for i in range(3, 6):
        measured[i] /= size
    measured[6] = max(0.0, measured[6])


class FaceTracker:
    """Measures one person's mouth over an episode.

    Args:
        config: Figures.
        seed: Of the scenario.
        steps: Control steps that the episode can have.

    Attributes:
        exact: (10,) what really is, order of :data:`EXTRAS`; a new array each step.
    """

    def __init__(self, config: FaceTrackerConfig, seed: int, steps: int) -> None:
        self.config = config
        unit = correlated_noise(
            generator(seed, "tracker.face.noise"),
            (steps + 2, 7),
            1.0,
            config.correlation,
        )
        scale = [config.position_sigma_m] * 3 + [config.axis_sigma_rad] * 3
        self._noise = unit * np.array([*scale, config.opening_sigma_m])
        draws = generator(seed, "tracker.face.miss").random(steps + 2)
        missed = draws < config.miss_rate
        missed[0] = False
        self._missed: list[bool] = missed.tolist()
        noise = generator(seed, "sensor.food").normal(size=steps + 2)
        self._food_noise: list[float] = (
            config.food_sigma * np.clip(noise, -3.0, 3.0)
        ).tolist()
        self._mouths: deque[tuple[float, Array, bool]] = deque()
        self._channels: deque[tuple[float, float, float, float]] = deque()
        self._seen = np.zeros(len(EXTRAS))
        self._mouth_stamp = self._channel_stamp = -math.inf
        self.exact: Array = np.zeros(len(EXTRAS))

    def look(
        self, time_s: float, step: int, person: AnyPerson, on_spoon: float
    ) -> None:
        """Take a measurement and deliver those that are due.

        Args:
            time_s: Plant clock [s].
            step: Control step; the first one is delivered at once.
            person: Who eats.
            on_spoon: True fraction of the bite on the spoon.
        """
        k = min(step, len(self._noise) - 1)
        consent, stop = float(person.consent), float(person.stop_signal)
        exact, measured = np.empty(len(EXTRAS)), np.empty(7)
        _measure(
            person.mouth_frame,
            person.opening_m,
            consent,
            stop,
            on_spoon,
            self._noise[k],
            exact,
            measured,
        )
        self.exact = exact
        self._mouths.append((time_s, measured, self._missed[k]))
        food = min(1.0, max(0.0, on_spoon + self._food_noise[k]))
        self._channels.append((time_s, consent, stop, food))
        now = np.inf if step == 0 else time_s + 1e-9
        seen, config = self._seen, self.config
        while self._mouths and now - self._mouths[0][0] >= config.latency_s:
            stamp, values, missed = self._mouths.popleft()
            if not missed:
                seen[:7] = values
                self._mouth_stamp = stamp
        while (
            self._channels and now - self._channels[0][0] >= config.interface_latency_s
        ):
            self._channel_stamp, *channel = self._channels.popleft()
            seen[7:] = channel

    def read(self, time_s: float) -> tuple[Array, Array]:
        """Return the (10,) extras in the order of :data:`EXTRAS` and their ages [s]."""
        ages = np.empty(len(EXTRAS))
        ages[:7], ages[7:] = time_s - self._mouth_stamp, time_s - self._channel_stamp
        return self._seen.copy(), ages
