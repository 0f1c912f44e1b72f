"""Localisation by satellites, and what is left when they are lost.

With a fix the pose has the small, correlated noise of an RTK receiver with two antennas.
Without one it is dead reckoning: the error of travelled length and the bias of the yaw
gyroscope carry it away,

    e' = k v + psi_e (z x v),    psi_e' = b

with k (scale of the tracks' odometry, slip included) and b drawn once an episode. The
receiver also says how far off it believes to be: its own sigma grows with the way and the
time since the last fix. When the fix returns the estimate comes back within a second or
so, as a filter does, not in one jump.
"""

from __future__ import annotations

import math
from typing import Annotated

from pydantic import Field

from physai.config import Config
from physai.plant.sensors import displaced
from physai.plant.tracker import correlated_noise
from physai.randomness import generator
from physai.types import Array

__all__ = ["SatelliteConfig", "SatelliteReceiver"]

Positive = Annotated[float, Field(gt=0.0)]
NonNegative = Annotated[float, Field(ge=0.0)]


class SatelliteConfig(Config):
    """Section ``localisation`` of a process with satellite positioning."""

    position_sigma_m: Positive
    yaw_sigma_rad: NonNegative
    correlation: Annotated[float, Field(ge=0.0, lt=1.0)]
    """Of successive control steps."""
    drift_share: NonNegative
    """Sigma of dead reckoning over the way."""
    drift_yaw_rad_s: NonNegative
    """Sigma of the yaw gyroscope's bias."""
    return_s: Positive
    """Time in which the estimate comes back to the fix, to 37 %."""
    source: str


class SatelliteReceiver:
    """Pose of the base as a receiver with dead reckoning says it.

    Args:
        config: Figures.
        outages_s: Start and end of every loss of the fix [s].
        seed: Of the episode.
        steps: Control steps that the episode can have.

    Attributes:
        fixed: Whether there is a fix now.
        sigma_m: What the receiver says of its own error (1 sigma) [m].
        error_m: Distance of the estimate from the truth [m].
    """

    def __init__(
        self,
        config: SatelliteConfig,
        outages_s: tuple[tuple[float, float], ...],
        seed: int,
        steps: int,
    ) -> None:
        self.config, self._outages = config, outages_s
        rng = generator(seed, "sensor.satellite")
        k, b = rng.normal(0.0, 1.0, 2).clip(-3.0, 3.0).tolist()
        self._scale, self._bias = config.drift_share * k, config.drift_yaw_rad_s * b
        self._noise = correlated_noise(rng, (steps + 2, 3), 1.0, config.correlation)
        self._drift = [0.0, 0.0, 0.0]
        self._way = self._lost_s = self._time_s = 0.0
        self._last: tuple[float, float] | None = None
        self.fixed, self.sigma_m, self.error_m = True, config.position_sigma_m, 0.0

    def locate(self, time_s: float, step: int, pose: Array) -> Array:
        """Return the estimated (7,) pose of one control step.

        Args:
            time_s: Plant clock [s].
            step: Control step; called once for each, in order.
            pose: (7,) where the base really is.
        """
        c, drift = self.config, self._drift
        x, y = float(pose[0]), float(pose[1])
        dx, dy = (
            (0.0, 0.0) if self._last is None else (x - self._last[0], y - self._last[1])
        )
        self._last = (x, y)
        dt, self._time_s = time_s - self._time_s, time_s
        self.fixed = not any(start <= time_s < end for start, end in self._outages)
        if self.fixed:
            keep = math.exp(-dt / c.return_s)
            drift[:] = [keep * e for e in drift]
            self._way *= keep
            self._lost_s *= keep
        else:
            drift[2] += self._bias * dt
            drift[0] += self._scale * dx - drift[2] * dy
            drift[1] += self._scale * dy + drift[2] * dx
            self._way += math.hypot(dx, dy)
            self._lost_s += dt
        turned = 0.5 * c.drift_yaw_rad_s * self._lost_s * self._way
        self.sigma_m = math.sqrt(
            c.position_sigma_m**2 + (c.drift_share * self._way) ** 2 + turned**2
        )
        a, b, yaw = self._noise[min(step, len(self._noise) - 1)].tolist()
        ex = c.position_sigma_m * a + drift[0]
        ey = c.position_sigma_m * b + drift[1]
        self.error_m = math.hypot(ex, ey)
        return displaced(pose, ex, ey, c.yaw_sigma_rad * yaw + drift[2])
