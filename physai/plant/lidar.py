"""A planar lidar on a robot: what it says, how late, and what it does not see.

A scan is taken at one instant (a real one turns meanwhile; at 1 m/s and 15 Hz that is
67 mm from the first ray to the last, which the systematic error covers). Ranges follow
the habit of real scanners: the largest range means that no echo came back, 0 that there
is no valid measurement. A dark surface beyond its reach gives no echo either and looks
like free space: that failure is inside the model, since it is the dangerous one.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from physai.errors import ConfigError, ContractError, suggest
from physai.plant.lidar_kernel import cast, measure, measure_exactly
from physai.plant.lidar_settings import LidarConfig, LidarErrorConfig, LidarFigures
from physai.plant.scene import SceneConfig
from physai.randomness import generator
from physai.robot.description import LidarMountConfig, Robot, rotation_from_rpy
from physai.robot.kinematics import Kinematics
from physai.types import Array

__all__ = [
    "Lidar",
    "mounted_lidar",
    "scene_boxes",
]

Flags = npt.NDArray[np.bool_]

_BASE_LINK = "base_link"
_BLOCK = 32
"""Frames whose noise is drawn at once."""


def mounted_lidar(mount: LidarMountConfig, errors: LidarErrorConfig) -> LidarConfig:
    """Return the lidar of a robot: where it looks, and how wrong it is.

    Args:
        mount: Section ``lidar`` of robot.yaml.
        errors: Section ``lidar`` of an environment's plant.
    """
    figures = LidarFigures(
        rays=mount.rays,
        field_of_view_rad=mount.field_of_view_rad,
        range_min_m=mount.range_min_m,
        range_max_m=mount.range_max_m,
        source=f"{mount.source}; {errors.source}",
        **errors.model_dump(exclude={"housing", "source"}),
    )
    return LidarConfig(
        figures=figures,
        link=_BASE_LINK,
        position_m=mount.position_m,
        rotation_rad=(0.0, 0.0, mount.yaw_rad),
        housing=errors.housing,
    )


def scene_boxes(scene: SceneConfig) -> tuple[Array, Array]:
    """Return a scene's furniture as the kernel takes it.

    Args:
        scene: Its boxes and cylinders, solid or not: light stops at all of them.

    Returns:
        (B, 10) boxes (pose x y z qx qy qz qw, size) and (C, 5) upright cylinders
        (middle, radius, height) [m].
    """
    boxes = np.array(
        [[*b.center_m, 0.0, 0.0, 0.0, 1.0, *b.size_m] for b in scene.boxes]
    ).reshape(-1, 10)
    cylinders = np.array(
        [[*c.center_m, c.radius_m, c.height_m] for c in scene.cylinders]
    ).reshape(-1, 5)
    return boxes, cylinders


def _blind_rays(bearings: Array, sectors: Sequence[tuple[float, float]]) -> Flags:
    blind = np.zeros(len(bearings), dtype=np.bool_)
    for start, end in sectors:
        width = (end - start) % (2.0 * math.pi)
        blind |= (bearings - start) % (2.0 * math.pi) <= width
    return blind


class Lidar:
    """One lidar through the episodes of one plant.

    Args:
        config: Make and mounting.
        robot: The robot that carries it.
        scene: What does not move.
        name: Of this sensor, if a robot has several: keys its random numbers.
        boxes: (B, 10) further boxes that do not move, turned ones too; None for none.

    Raises:
        ConfigError: If the robot has no such link or shape.

    Attributes:
        bearings: (L,) of the rays in the sensor's frame [rad].
        blind: (L,) rays that never measure, by ``blind_sectors_rad``.
        position_in_link: (3,) of the sensor in its link [m].
        rotation_in_link: (3, 3) of the sensor in its link.
        range_m: (L,) as last delivered; a new array with every delivery, never written
            to again. 0: no valid measurement; ``range_max_m``: no echo.
        true_range_m: (L,) exact distances of the last scan taken [m].
        exact_range_m: (L,) the last scan taken as a sensor without errors would give
            it, with the same two special values; a new array with every scan.
        labels: (L,) what its rays fell on (:mod:`physai.plant.labels`).
    """

    def __init__(
        self,
        config: LidarConfig,
        robot: Robot,
        scene: SceneConfig,
        name: str = "lidar",
        boxes: Array | None = None,
    ) -> None:
        self.config, self.figures, self.name = config, config.values, name
        links, shapes = robot.tree.link_names, robot.shapes.names
        if config.link not in links:
            raise ConfigError(
                f'{name}: link: {robot.name} has no link "{config.link}"; '
                f"{suggest(config.link, links)}"
            )
        for shape in config.housing:
            if shape not in shapes:
                raise ConfigError(
                    f'{name}: housing: {robot.name} has no shape "{shape}"; '
                    f"{suggest(shape, shapes)}"
                )
        self._link = links.index(config.link)
        f = self.figures
        start = config.start_rad
        self._start = -0.5 * f.field_of_view_rad if start is None else start
        self.bearings: Array = self._start + f.step_rad * np.arange(float(f.rays))
        self._rays = np.stack([np.cos(self.bearings), np.sin(self.bearings)], axis=1)
        self.blind = _blind_rays(self.bearings, config.blind_sectors_rad)
        self.position_in_link = np.array(config.position_m)
        self.rotation_in_link = rotation_from_rpy(*config.rotation_rad)
        self._floor = math.nan if config.floor_z_m is None else config.floor_z_m
        fixed, self._cylinders = scene_boxes(scene)
        self._boxes = fixed if boxes is None else np.concatenate([fixed, boxes])
        self._boxes_reach = np.full(len(self._boxes), math.inf)
        self._housing = self._find_housing(robot)
        self._origin, self._rotation = np.zeros(3), np.eye(3)
        self.true_range_m, self._far = np.zeros(f.rays), np.zeros(f.rays)
        self.labels = np.zeros(f.rays, dtype=np.int64)
        self.reset(0)

    def _find_housing(self, robot: Robot) -> Flags:
        """Shapes that are named, or on the sensor's link and around it."""
        local, where = robot.shapes.local, self.position_in_link
        axis = local[:, 3:6] - local[:, :3]
        size = np.maximum(np.sum(axis * axis, axis=1), 1e-12)
        along = np.clip(np.sum((where - local[:, :3]) * axis, axis=1) / size, 0.0, 1.0)
        away = np.linalg.norm(where - local[:, :3] - along[:, None] * axis, axis=1)
        around = (robot.shapes.link == self._link) & (away <= local[:, 6])
        named = np.isin(np.array(robot.shapes.names), self.config.housing)
        housing: Flags = around | named
        return housing

    def reset(self, seed: int) -> None:
        """Start an episode: no scan is known, and errors are drawn anew.

        Args:
            seed: Of the episode.
        """
        f = self.figures
        self._seed = seed
        rng = generator(seed, f"sensor.{self.name}.episode")
        self._systematic = float(rng.uniform(-1.0, 1.0)) * f.systematic_m
        # Who and what is dark does not depend on how many there are.
        self._people_reach = _reach(f, rng, 64)
        self._moving_reach = _reach(f, rng, 256)
        self._block = -1
        self._queue: deque[tuple[float, Array]] = deque()
        self._next, self._stamp = 0, -math.inf
        self.range_m = self.exact_range_m = np.zeros(f.rays)
        self.range_m.setflags(write=False)

    def observe(
        self,
        time_s: float,
        kinematics: Kinematics,
        people: Array,
        moving: Array | None = None,
    ) -> None:
        """Take a scan if one is due, and deliver those that have arrived.

        Args:
            time_s: Plant clock [s].
            kinematics: Of the robot as it really is now.
            people: (P, S, 7) true capsules [m].
            moving: (K, 10) boxes that move (objects, other machines): pose and size.

        Raises:
            ContractError: If ``moving`` has another shape.
        """
        if time_s * self.figures.rate_hz >= self._next - 1e-9:
            frame = self._next
            self.scan(kinematics, people, moving)
            self.exact_range_m = self._exact()
            self._queue.append((time_s, self._measured(frame)))
            self._next = int(time_s * self.figures.rate_hz + 1e-9) + 1
        first = self._stamp == -math.inf
        while self._queue and (
            first or time_s - self._queue[0][0] >= self.figures.latency_s - 1e-9
        ):
            self._stamp, self.range_m = self._queue.popleft()
            first = False

    def scan(
        self, kinematics: Kinematics, people: Array, moving: Array | None = None
    ) -> Array:
        """Compute the exact scan now; arguments as of :meth:`observe`.

        Returns:
            (L,) true distances [m], infinity for nothing; reused by the next scan.
        """
        boxes = _NO_BOXES if moving is None else moving
        if boxes.ndim != 2 or boxes.shape[1] != 10:
            raise ContractError(
                f"boxes for {self.name} have the shape {boxes.shape}, expected (K, 10)"
            )
        turn = kinematics.link_rotation[self._link]
        np.matmul(turn, self.position_in_link, out=self._origin)
        self._origin += kinematics.link_position[self._link]
        np.matmul(turn, self.rotation_in_link, out=self._rotation)
        cast(
            self._origin,
            self._rotation,
            self._rays,
            self._start,
            self.figures.step_rad,
            self._floor,
            kinematics.capsules(),
            self._housing,
            people,
            self._people_reach,
            self._boxes,
            self._boxes_reach,
            self._cylinders,
            boxes,
            self._moving_reach,
            self.true_range_m,
            self.labels,
            self._far,
        )
        return self.true_range_m

    def age(self, time_s: float) -> float:
        """Return the age of the scan in :attr:`range_m` [s]; infinite without one."""
        return time_s - self._stamp

    def _measured(self, frame: int) -> Array:
        block, place = divmod(frame, _BLOCK)
        if block != self._block:
            self._draw(block)
        out = np.empty(self.figures.rays)
        measure(
            self.true_range_m,
            self.labels,
            self._far,
            self.blind,
            self._dropped[place],
            self._noise[place],
            self.figures.range_min_m,
            self.figures.range_max_m,
            out,
        )
        out.setflags(write=False)
        return out

    def _exact(self) -> Array:
        """The scan without errors: what is dark is seen, no ray is lost."""
        f, out = self.figures, np.empty(self.figures.rays)
        measure_exactly(
            self.true_range_m,
            self.labels,
            self.blind,
            f.range_min_m,
            f.range_max_m,
            out,
        )
        out.setflags(write=False)
        return out

    def _draw(self, block: int) -> None:
        f = self.figures
        rng = generator(self._seed, f"sensor.{self.name}.noise", block)
        noise = np.clip(rng.standard_normal((_BLOCK, f.rays)), -3.0, 3.0)
        self._noise = self._systematic + f.sigma_m * noise
        self._dropped = rng.random((_BLOCK, f.rays)) < f.drop_rate
        self._block = block


_NO_BOXES = np.zeros((0, 10))
_NO_BOXES.setflags(write=False)


def _reach(figures: LidarFigures, rng: np.random.Generator, count: int) -> Array:
    dark = rng.random(count) < figures.dark_share
    reach: Array = np.where(dark, figures.dark_range_m, math.inf)
    return reach
