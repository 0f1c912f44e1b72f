"""An RGB-D camera with segmentation: where it is mounted, how it errs, how late it is.

Depth follows the habit of depth cameras: 0 is no measurement. Its noise is that of
stereo matching: depth = f B / disparity, so that an error s of the disparity becomes
z^2 s / (f B) (Intel RealSense tuning and sub-pixel white papers).
"""

from __future__ import annotations

import math
from collections import deque
from typing import Annotated, Any

import numba
import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from physai.config import Config
from physai.errors import ConfigError, suggest
from physai.plant.camera_world import CameraWorld, Intrinsics, Shot
from physai.randomness import generator
from physai.robot.description import Robot
from physai.robot.kinematics import Kinematics
from physai.types import Array

__all__ = [
    "DEPTHS",
    "Camera",
    "DepthFigures",
    "IntrinsicsConfig",
    "RgbdConfig",
    "look_rotation",
]

Positive = Annotated[float, Field(gt=0.0)]
NonNegative = Annotated[float, Field(ge=0.0)]
Share = Annotated[float, Field(ge=0.0, le=1.0)]
Point = tuple[float, float, float]


class IntrinsicsConfig(Config):
    """A pinhole camera; its optical axis goes through the middle unless told."""

    width_px: Annotated[int, Field(ge=8, le=2048)]
    height_px: Annotated[int, Field(ge=8, le=2048)]
    fx_px: Positive
    fy_px: Positive | None = None
    """The same as ``fx_px`` if left out: square pixels."""
    cx_px: float | None = None
    cy_px: float | None = None

    @property
    def values(self) -> Intrinsics:
        """The figures with what was left out."""
        w, h = self.width_px, self.height_px
        return Intrinsics(
            w,
            h,
            self.fx_px,
            self.fx_px if self.fy_px is None else self.fy_px,
            0.5 * (w - 1) if self.cx_px is None else self.cx_px,
            0.5 * (h - 1) if self.cy_px is None else self.cy_px,
        )


class DepthFigures(Config):
    """How a depth camera errs."""

    baseline_m: Positive
    stereo_focal_px: Positive
    """Focal length of the imagers that are matched, whatever size is delivered."""
    subpixel_px: NonNegative
    """Standard deviation of the disparity, bounded at three."""
    range_min_m: NonNegative
    range_max_m: Positive
    missing_rate: Share
    """Share of pixels without depth."""
    edge_missing_rate: Share
    """The same where depth jumps by more than 5 % to a neighbour."""
    source: str

    def sigma_m(self, depth_m: float) -> float:
        """Return the standard deviation at a depth [m]: z^2 s / (f B)."""
        f_b = self.stereo_focal_px * self.baseline_m
        return depth_m * depth_m * self.subpixel_px / f_b


DEPTHS: dict[str, DepthFigures] = {
    "exact": DepthFigures(
        baseline_m=1.0,
        stereo_focal_px=1.0,
        subpixel_px=0.0,
        range_min_m=0.0,
        range_max_m=100.0,
        missing_rate=0.0,
        edge_missing_rate=0.0,
        source="no error: for tests and for telling a policy's error from a sensor's",
    ),
    "realsense_d435": DepthFigures(
        baseline_m=0.05,
        stereo_focal_px=424.0,
        subpixel_px=0.08,
        range_min_m=0.11,
        range_max_m=10.0,
        missing_rate=0.02,
        edge_missing_rate=0.3,
        source="Intel RealSense tuning and sub-pixel white papers: 848 x 480 at 90 deg "
        "(424 px, high), baseline 50 mm and 0.08 px (recalled, low): 3.8 mm at 1 m, "
        "15 mm at 2 m (tracker.csv); 0.11 m at low resolution (medium); 1-5 % missing "
        "pixels (tracker.csv); share at edges: design default",
    ),
}
"""Makes of depth camera by name, from ``tracker.csv``."""


class RgbdConfig(Config):
    """A camera in the world or on a link of the robot."""

    link: str = ""
    """Link that carries it; in the world if empty."""
    position_m: Point
    """In that frame."""
    target_m: Point
    """A point that it looks at, in that frame."""
    up: Point = (0.0, 0.0, 1.0)
    """Direction that is up in the picture, in that frame."""
    intrinsics: IntrinsicsConfig
    near_m: Positive = 0.05
    far_m: Positive = 20.0
    rate_hz: Positive
    latency_s: NonNegative
    depth: str = "realsense_d435"
    """Name of a make in :data:`DEPTHS`."""
    depth_figures: DepthFigures | None = None
    """Figures of another make; ``depth`` is not looked at then."""
    rgb_sigma: NonNegative = 2.0
    """Noise of a colour value, 0 to 255 (design default)."""
    light: tuple[Share, Share] = (0.62, 0.62)
    """Ambient light from, to; drawn once an episode."""
    hidden_shapes: tuple[str, ...] = ()
    """The robot's shapes that would enclose the camera."""
    source: str

    @model_validator(mode="after")
    def _check(self) -> RgbdConfig:
        if self.depth not in DEPTHS:
            raise ValueError(
                f'no depth camera "{self.depth}"; {suggest(self.depth, DEPTHS)}'
            )
        if not self.near_m < self.far_m:
            raise ValueError("near_m must be below far_m")
        if not self.light[0] <= self.light[1]:
            raise ValueError("light must go from low to high")
        ahead = np.subtract(self.target_m, self.position_m)
        if not np.linalg.norm(np.cross(ahead, self.up)) > 1e-9:
            raise ValueError("the camera looks along its own up, or nowhere")
        return self


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
    ) -> None:
        """Take an image if one is due, and deliver those that have arrived.

        Args:
            time_s: Plant clock [s].
            kinematics: Of the robot as it really is now.
            people: (P, S, 7) true capsules [m].
            boxes: (K, 10) objects and other machines: pose and size [m].

        Raises:
            ContractError: See :meth:`CameraWorld.place`.
        """
        if time_s * self.config.rate_hz >= self._next - 1e-9:
            shot = self.shoot(kinematics, people, boxes)
            self._queue.append((time_s, self._images(shot, self._next)))
            self._next = int(time_s * self.config.rate_hz + 1e-9) + 1
        first = self._stamp == -math.inf
        while self._queue and (
            first or time_s - self._queue[0][0] >= self.config.latency_s - 1e-9
        ):
            self._stamp, self.images = self._queue.popleft()
            first = False

    def shoot(
        self, kinematics: Kinematics, people: Array, boxes: Array | None = None
    ) -> Shot:
        """Return what a perfect camera sees now; arguments as :meth:`observe`."""
        if self._link >= 0:
            turn = kinematics.link_rotation[self._link]
            self.position = kinematics.link_position[self._link] + turn @ self._position
            self.rotation = turn @ self._rotation
        self.world.place(kinematics.capsules()[self._shown], people, boxes)
        return self.world.render(
            self.intrinsics,
            self.position,
            self.rotation,
            self.config.near_m,
            self.config.far_m,
            self.ambient,
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
