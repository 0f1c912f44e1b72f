"""All RGB-D cameras of a plant over the one world that they look at."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from physai.plant.camera import Camera
from physai.plant.camera_world import CameraWorld
from physai.plant.scenario import PlantConfig
from physai.plant.scene import Surface
from physai.robot.description import Robot
from physai.robot.kinematics import Kinematics
from physai.types import Array

__all__ = ["CameraRig"]

_FLOOR_Z_M = -0.003
"""A little lower than a floor that the scene may have of its own."""


class CameraRig:
    """The cameras of the observation ``rgbd``.

    Args:
        config: Its section ``cameras`` says which there are.
        robot: The robot.

    Raises:
        ConfigError: If a camera names a link or a shape that the robot does not have.
    """

    def __init__(self, config: PlantConfig, robot: Robot) -> None:
        self._world = CameraWorld(config.scene, _FLOOR_Z_M)
        self._cameras = [
            Camera(camera, robot, self._world, name)
            for name, camera in config.cameras.items()
        ]

    def reset(self, seed: int) -> None:
        """Start an episode; see :meth:`Camera.reset`."""
        for camera in self._cameras:
            camera.reset(seed)

    def observe(
        self,
        time_s: float,
        kinematics: Kinematics,
        people: Array,
        boxes: Array | None,
        surface: Callable[[], Surface | None],
    ) -> None:
        """Let every camera look; see :meth:`Camera.observe`."""
        for camera in self._cameras:
            camera.observe(time_s, kinematics, people, boxes, surface)

    def images(self) -> dict[str, Any]:
        """Return the images of every camera that has delivered one."""
        return {k: v for c in self._cameras for k, v in (c.images or {}).items()}

    def close(self) -> None:
        """Release the world; twice does no harm."""
        self._world.close()
