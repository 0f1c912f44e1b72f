"""An RGB-D camera with segmentation: where it is mounted, how it errs, how late it is.

Depth follows the habit of depth cameras: 0 is no measurement. Its noise is that of
stereo matching: depth = f B / disparity, so that an error s of the disparity becomes
z^2 s / (f B) (Intel RealSense tuning and sub-pixel white papers).
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from physai.errors import ConfigError, suggest
from physai.plant.camera_settings import DEPTHS, RgbdConfig
from physai.plant.camera_world import CameraWorld, Shot
from physai.plant.scene import Surface
from physai.plant.tag_drawing import draw_tag, place_tag
from physai.randomness import generator
from physai.robot.description import Robot
from physai.robot.kinematics import Kinematics, rotation_from_quaternion
from physai.types import Array

__all__ = ["Camera", "look_rotation"]


def look_rotation(position: Array, target: Array, up: Array) -> Array:
    """Return the (3, 3) rotation of a camera's optical frame (x right, y down).

    Args:
        position: (3,) of the camera [m].
        target: (3,) where it looks [m].
        up: (3,) what is up in the picture, not along the line of sight.
    """
    ahead = np.asarray(target, dtype=np.float64) - position
    ahead = ahead / np.linalg.norm(ahead)
    right = np.cross(ahead, up)
    right = right / np.linalg.norm(right)
    rotation: Array = np.stack([right, np.cross(ahead, right), ahead], axis=1)
    return rotation


@numba.njit(cache=True)
def _degrade(
    depth: npt.NDArray[np.float32],
    noise: npt.NDArray[np.float32],
    chance: npt.NDArray[np.float32],
    per_m2: float,
    low: float,
    high: float,
    missing: float,
    edge_missing: float,
    out: npt.NDArray[np.float32],
) -> None:
    """Write what a stereo camera makes of true depth (H, W) [m]; 0 is nothing."""
    rows, columns = depth.shape
    for i in range(rows):
        for j in range(columns):
            z = depth[i, j]
            edge = False
            for k in range(4):
                a = i + (1 if k == 0 else (-1 if k == 1 else 0))
                b = j + (1 if k == 2 else (-1 if k == 3 else 0))
                if 0 <= a < rows and 0 <= b < columns:
                    other = depth[a, b]
                    edge = edge or not (abs(other - z) <= 0.05 * z)
            if chance[i, j] < (max(missing, edge_missing) if edge else missing):
                out[i, j] = 0.0
                continue
            measured = z + per_m2 * z * z * min(3.0, max(-3.0, noise[i, j]))
            out[i, j] = measured if low <= measured <= high else 0.0


class Camera:
    """One camera through the episodes of one plant.

    Args:
        config: Mounting, optics, errors.
        robot: The robot.
        world: What it looks at; cameras of one plant share it.
        name: Of the camera: its images and its random numbers are named by it.

    Raises:
        ConfigError: If the robot has no such link or shape.

    Attributes:
        intrinsics: Of every image.
        images: As last delivered, for ``State.images``: ``NAME.rgb`` (H, W, 3) uint8,
            ``NAME.depth`` (H, W) float32 [m] with 0 for no measurement, and
            ``NAME.segmentation`` (H, W) int32 (:mod:`physai.plant.labels`); None
            before the first. Never written to again.
        position: (3,) of the camera in the world at the last shot [m].
        rotation: (3, 3) of its optical frame in the world at the last shot.
    """

    def __init__(
        self, config: RgbdConfig, robot: Robot, world: CameraWorld, name: str
    ) -> None:
        self.config, self.world, self.name = config, world, name
        links, shapes = robot.tree.link_names, robot.shapes.names
        if config.link and config.link not in links:
            raise ConfigError(
                f'{name}: link: {robot.name} has no link "{config.link}"; '
                f"{suggest(config.link, links)}"
            )
        for shape in config.hidden_shapes:
            if shape not in shapes:
                raise ConfigError(
                    f'{name}: hidden_shapes: {robot.name} has no shape "{shape}"; '
                    f"{suggest(shape, shapes)}"
                )
        self.intrinsics = config.intrinsics.values
        self._rendered = self.intrinsics.shrunk(config.render_scale)
        self.depth = config.depth_figures or DEPTHS[config.depth]
        self._link = links.index(config.link) if config.link else -1
        self._shown = ~np.isin(np.array(shapes), config.hidden_shapes)
        self._position = np.array(config.position_m)
        self._rotation = look_rotation(
            self._position, np.array(config.target_m), np.array(config.up)
        )
        self.position, self.rotation = self._position.copy(), self._rotation.copy()
        self.reset(0)

    def reset(self, seed: int) -> None:
        """Start an episode: no image is known, and the light is drawn anew.

        Args:
            seed: Of the episode.
        """
        self._seed = seed
        rng = generator(seed, f"sensor.{self.name}.light")
        self.ambient = float(rng.uniform(*self.config.light))
        self.images: dict[str, npt.NDArray[Any]] | None = None
        self._queue: deque[tuple[float, dict[str, npt.NDArray[Any]]]] = deque()
        self._next, self._stamp = 0, -math.inf

    def observe(
        self,
        time_s: float,
        kinematics: Kinematics,
        people: Array,
        boxes: Array | None = None,
        surface: Callable[[], Surface | None] | None = None,
    ) -> None:
        """Take an image if one is due, and deliver those that have arrived.

        Args:
            time_s: Plant clock [s].
            kinematics: Of the robot as it really is now.
            people: (P, S, 7) true capsules [m].
            boxes: (K, 10) objects and other machines: pose and size [m].
            surface: Gives ground that is uneven or changes; asked only for an image.

        Raises:
            ContractError: See :meth:`CameraWorld.place`.
        """
        if time_s * self.config.rate_hz >= self._next - 1e-9:
            ground = None if surface is None else surface()
            shot = self.shoot(kinematics, people, boxes, ground)
            self._queue.append((time_s, self._images(shot, self._next)))
            self._next = int(time_s * self.config.rate_hz + 1e-9) + 1
        first = self._stamp == -math.inf
        while self._queue and (
            first or time_s - self._queue[0][0] >= self.config.latency_s - 1e-9
        ):
            self._stamp, self.images = self._queue.popleft()
            first = False

    def shoot(
        self,
        kinematics: Kinematics,
        people: Array,
        boxes: Array | None = None,
        surface: Surface | None = None,
    ) -> Shot:
        """Return what a perfect camera sees now; arguments as :meth:`observe`.

        Args:
            kinematics: The same.
            people: The same.
            boxes: The same.
            surface: Ground that is uneven or changes.
        """
        if self._link >= 0:
            turn = kinematics.link_rotation[self._link]
            self.position = kinematics.link_position[self._link] + turn @ self._position
            self.rotation = turn @ self._rotation
        self.world.place(kinematics.capsules()[self._shown], people, boxes, surface)
        shot = self.world.render(
            self._rendered,
            self.position,
            self.rotation,
            self.config.near_m,
            self.config.far_m,
            self.ambient,
        )
        scale = self.config.render_scale
        if scale > 1:
            shot = Shot(
                *(np.repeat(np.repeat(a, scale, axis=0), scale, axis=1) for a in shot)
            )
        if boxes is not None:
            self._draw_tags(shot, boxes)
        return shot

    def _draw_tags(self, shot: Shot, boxes: Array) -> None:
        """Draw every tag whose object is there, as bright as the light makes it."""
        white = 255.0 * min(1.0, self.ambient + 0.25)
        turn = np.empty((3, 3))
        for tag in self.config.tags:
            if tag.object >= len(boxes):
                continue
            box = boxes[tag.object]
            rotation_from_quaternion(box[3:7], turn)
            shift, face = place_tag(tag, box[7:10])
            middle = box[:3] + turn @ shift - self.position
            draw_tag(
                shot,
                self.intrinsics,
                self.rotation.T @ middle,
                self.rotation.T @ turn @ face,
                tag,
                (0.1 * white, white),
            )

    def age(self, time_s: float) -> float:
        """Return the age of :attr:`images` [s]; infinite before the first."""
        return time_s - self._stamp

    def _images(self, shot: Shot, frame: int) -> dict[str, npt.NDArray[Any]]:
        rng = generator(self._seed, f"sensor.{self.name}.noise", frame)
        f, size = self.depth, shot.depth.shape
        noise = rng.standard_normal(size, dtype=np.float32)
        chance = rng.random(size, dtype=np.float32)
        depth = np.empty(size, dtype=np.float32)
        _degrade(
            shot.depth,
            noise,
            chance,
            f.sigma_m(1.0),
            f.range_min_m,
            f.range_max_m,
            f.missing_rate,
            f.edge_missing_rate,
            depth,
        )
        rgb = shot.rgb
        if self.config.rgb_sigma > 0.0:
            grain = rng.standard_normal(rgb.shape, dtype=np.float32)
            noisy = rgb + self.config.rgb_sigma * grain
            rgb = np.clip(noisy + 0.5, 0.0, 255.0).astype(np.uint8)
        images: dict[str, npt.NDArray[Any]] = {
            f"{self.name}.rgb": rgb,
            f"{self.name}.depth": depth,
            f"{self.name}.segmentation": shot.labels,
        }
        for image in images.values():
            image.setflags(write=False)
        return images
