"""What happens in one episode, and the values of a simulated plant.

A :class:`Scenario` is plain data: it can be stored, replayed, searched over and put
into a suite. Everything random in an episode follows from it and its seed.
"""

from __future__ import annotations

import math
from typing import Annotated, Any

import numpy as np
from pydantic import Field, model_validator

from physai.body.people import PlacedPersonConfig
from physai.config import Config
from physai.errors import ConfigError
from physai.plant.camera_settings import RgbdConfig
from physai.plant.contact import ContactSettings
from physai.plant.faults import FaultConfig
from physai.plant.ground import GroundConfig
from physai.plant.lidar_settings import LidarErrorConfig
from physai.plant.process import load_process
from physai.plant.scene import ObjectConfig, SceneConfig
from physai.plant.sensors import LocalisationConfig, SensorConfig
from physai.plant.tracker import TrackerConfig
from physai.types import Array

__all__ = ["BasePoseConfig", "PlantConfig", "Scenario", "ScenarioPerson"]

Positive = Annotated[float, Field(gt=0.0)]


class BasePoseConfig(Config):
    """Where the robot's base stands, in the world."""

    position_m: tuple[float, float, float]
    yaw_rad: float = 0.0

    @property
    def pose(self) -> Array:
        """(7,) pose in the world."""
        half = 0.5 * self.yaw_rad
        return np.array([*self.position_m, 0.0, 0.0, math.sin(half), math.cos(half)])


class PlantConfig(Config):
    """Section ``plant`` of an environment's YAML."""

    control_hz: Positive
    physics_hz: Positive = 240.0
    solver_iterations: Annotated[int, Field(ge=1)] = 50
    """Of the engine in each physics step. Heavy links far out need more than the
    engine's own 50: an excavator's bucket sinks by 3 mm/s, with 100 by 0.1."""
    base: BasePoseConfig
    scene: SceneConfig
    objects: tuple[ObjectConfig, ...] = ()
    """Boxes that move, in the order of the state's objects."""
    tracker: TrackerConfig
    """The body tracker."""
    sensors: SensorConfig
    contact: ContactSettings
    ground: GroundConfig | None = None
    """What a robot that drives drives on."""
    localisation: LocalisationConfig | None = None
    """How well a robot that drives knows where it is; None for exactly."""
    lidar: LidarErrorConfig | None = None
    """Errors of the lidar that the robot carries; None leaves it off."""
    cameras: dict[str, RgbdConfig] = Field(default_factory=dict)
    """Cameras of the observation ``rgbd``, by name; they cost nothing unless asked for."""
    process: dict[str, Any] | None = None
    """What else goes on (:mod:`physai.plant.process`): ``kind`` and its values."""

    @model_validator(mode="after")
    def _process_checks(self) -> PlantConfig:
        if self.process is not None:
            try:
                load_process(self.process)
            except ConfigError as error:
                raise ValueError(str(error)) from None
        return self

    @property
    def base_pose(self) -> Array:
        """(7,) pose of the robot's base in the world."""
        return self.base.pose

    @property
    def substeps(self) -> int:
        """Physics steps per control period."""
        return max(1, round(self.physics_hz / self.control_hz))


class ScenarioPerson(PlacedPersonConfig):
    """A person, where they sit or walk, and what they do."""


class Scenario(Config):
    """One episode."""

    seed: Annotated[int, Field(ge=0)]
    case: str
    """Name of the template or suite case that it was made from."""
    group: str
    """Group of people, for reports."""
    distribution: str
    expect: str
    """What counts as right; a name that the task knows."""
    duration_s: Positive
    people: tuple[ScenarioPerson, ...]
    robot_position_rad: tuple[float, ...]
    """Posture of the robot at the start, all actuators; a base's are 0."""
    base: BasePoseConfig | None = None
    """Where a robot that drives starts; None for the plant's own place."""
    payload_kg: Annotated[float, Field(ge=0.0)] = 0.0
    """What the robot carries at the start."""
    friction_scale: Positive = 1.0
    """Factor on the friction of every ground."""
    faults: tuple[FaultConfig, ...] = ()
    values: dict[str, Any] = Field(default_factory=dict)
    """Further values by name, such as ``spill_start_rad``."""
