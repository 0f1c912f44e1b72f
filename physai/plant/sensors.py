"""Sensors of the robot itself: joint encoders and the force at the tool."""

from __future__ import annotations

import math
from typing import Annotated

import numpy as np
from pydantic import Field

from physai.config import Config
from physai.plant.tracker import correlated_noise
from physai.randomness import generator
from physai.types import Array

__all__ = [
    "ForceSensor",
    "JointSensor",
    "LocalisationConfig",
    "PoseSensor",
    "SensorConfig",
    "displaced",
]

NonNegative = Annotated[float, Field(ge=0.0)]


class SensorConfig(Config):
    """Noise of joint encoders and of the tool's force sensor."""

    position_sigma_rad: NonNegative
    velocity_sigma_rad_s: NonNegative
    force_sigma_n: NonNegative
    force_time_constant_s: Annotated[float, Field(gt=0.0)]
    source: str


class LocalisationConfig(Config):
    """How well a robot that drives knows where it is."""

    position_sigma_m: NonNegative
    yaw_sigma_rad: NonNegative
    correlation: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.9
    """Of successive control steps."""
    source: str


class PoseSensor:
    """Pose of the base with bounded, correlated noise in x, y and yaw.

    Args:
        config: Figures.
        seed: Seed of the episode.
        steps: Control steps that an episode can have.
    """

    def __init__(self, config: LocalisationConfig, seed: int, steps: int) -> None:
        unit = correlated_noise(
            generator(seed, "sensor.localisation"),
            (steps + 2, 3),
            1.0,
            config.correlation,
        )
        scale = [config.position_sigma_m, config.position_sigma_m, config.yaw_sigma_rad]
        self._noise = unit * np.array(scale)

    def read(self, step: int, pose: Array) -> Array:
        """Return the measured (7,) pose of one control step."""
        return displaced(pose, *self._noise[min(step, len(self._noise) - 1)].tolist())


def displaced(pose: Array, x: float, y: float, yaw: float) -> Array:
    """Return a (7,) pose moved by x and y [m] and turned about the vertical [rad]."""
    measured = pose.copy()
    measured[0] += x
    measured[1] += y
    s, c = math.sin(0.5 * yaw), math.cos(0.5 * yaw)
    qx, qy, qz, qw = pose[3:7].tolist()
    # A turn about the world's vertical comes before the pose's own rotation.
    measured[3:7] = (
        c * qx - s * qy,
        c * qy + s * qx,
        c * qz + s * qw,
        c * qw - s * qz,
    )
    return measured


class JointSensor:
    """Positions and velocities with a little noise.

    Args:
        config: Figures.
        count: Number of actuators.
        seed: Seed of the episode.
        steps: Control steps that an episode can have.
    """

    def __init__(self, config: SensorConfig, count: int, seed: int, steps: int) -> None:
        rng = generator(seed, "sensor.joint")
        noise = rng.normal(0.0, 1.0, (steps + 2, 2, count))
        self._position = config.position_sigma_rad * noise[:, 0]
        self._velocity = config.velocity_sigma_rad_s * np.clip(noise[:, 1], -3.0, 3.0)

    def read(self, step: int, position: Array, velocity: Array) -> tuple[Array, Array]:
        """Return measured positions and velocities of one control step."""
        k = min(step, len(self._position) - 1)
        return position + self._position[k], velocity + self._velocity[k]


class ForceSensor:
    """Force at the tool: a first-order low-pass with noise, largest in each step.

    The guard's force rules act on this, never on the contact model itself.

    Args:
        config: Figures.
        seed: Seed of the episode.
        steps: Control steps that an episode can have.
        substep_s: Physics step [s].
    """

    def __init__(
        self, config: SensorConfig, seed: int, steps: int, substep_s: float
    ) -> None:
        rng = generator(seed, "sensor.force")
        self._noise = config.force_sigma_n * np.clip(
            rng.normal(0.0, 1.0, (steps + 2, 3)), -3.0, 3.0
        )
        self._share = substep_s / (config.force_time_constant_s + substep_s)
        self._filtered = np.zeros(3)
        self._largest = np.zeros(3)
        self._quiet = True

    def begin_step(self) -> None:
        """Start a control step."""
        self._largest[:] = self._filtered

    def feel(self, force: Array | None, substeps: int = 1) -> None:
        """Add substeps.

        Args:
            force: (3,) force on the tool, world [N]; None for none.
            substeps: How many of the same.
        """
        if force is None:
            if self._quiet:
                return
            self._filtered *= (1.0 - self._share) ** substeps
            self._quiet = bool(np.abs(self._filtered).max() < 1e-6)
            if self._quiet:
                self._filtered[:] = 0.0
            return
        self._quiet = False
        self._filtered += self._share * (force - self._filtered)
        if self._filtered @ self._filtered > self._largest @ self._largest:
            self._largest[:] = self._filtered

    def read(self, step: int) -> Array:
        """Return the measured force of the control step (3,) [N]."""
        measured: Array = self._largest + self._noise[min(step, len(self._noise) - 1)]
        return measured
