"""What happens in one episode, and the values of a simulated plant.

A :class:`Scenario` is plain data: it can be stored, replayed, searched over and put
into a suite. Everything random in an episode follows from it and its seed.
"""

from __future__ import annotations

import math
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from physai.body.behaviour import BehaviourConfig
from physai.body.person import PersonConfig, SeatConfig
from physai.config import Config
from physai.plant.contact import ContactSettings
from physai.plant.faults import FaultConfig
from physai.plant.meal import MealConfig
from physai.plant.scene import SceneConfig
from physai.plant.sensors import SensorConfig
from physai.plant.tracker import TrackerConfig
from physai.types import Array

__all__ = ["BasePoseConfig", "PlantConfig", "Scenario", "ScenarioPerson"]

Positive = Annotated[float, Field(gt=0.0)]


class BasePoseConfig(Config):
    """Where the robot's base stands, in the world."""

    position_m: tuple[float, float, float]
    yaw_rad: float = 0.0


class PlantConfig(Config):
    """Section ``plant`` of an environment's YAML."""

    control_hz: Positive
    physics_hz: Positive = 240.0
    base: BasePoseConfig
    scene: SceneConfig
    tracker: TrackerConfig
    """The body tracker."""
    sensors: SensorConfig
    contact: ContactSettings
    meal: MealConfig | None = None
    """Mouth and food, where the task is about eating."""

    @property
    def base_pose(self) -> Array:
        """(7,) pose of the robot's base in the world."""
        half = 0.5 * self.base.yaw_rad
        return np.array(
            [*self.base.position_m, 0.0, 0.0, math.sin(half), math.cos(half)]
        )

    @property
    def substeps(self) -> int:
        """Physics steps per control period."""
        return max(1, round(self.physics_hz / self.control_hz))


class ScenarioPerson(PersonConfig):
    """A person, where they sit, and what they do."""

    seat: SeatConfig
    behaviours: tuple[BehaviourConfig, ...] = ()


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
    """Posture of the robot at the start."""
    faults: tuple[FaultConfig, ...] = ()
    values: dict[str, Any] = Field(default_factory=dict)
    """Further values by name, such as ``spill_start_rad``."""
