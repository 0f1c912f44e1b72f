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
from typing import Annotated

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from physai.config import Config
from physai.errors import ConfigError, ContractError, suggest
from physai.plant.labels import ROBOT
from physai.plant.lidar_kernel import cast, measure
from physai.plant.scene import SceneConfig
from physai.randomness import generator
from physai.robot.description import LidarMountConfig, Robot, rotation_from_rpy
from physai.robot.kinematics import Kinematics
from physai.types import Array

__all__ = [
    "LIDARS",
    "Lidar",
    "LidarConfig",
    "LidarErrorConfig",
    "LidarFigures",
    "mounted_lidar",
    "scene_boxes",
]

Positive = Annotated[float, Field(gt=0.0)]
NonNegative = Annotated[float, Field(ge=0.0)]
Flags = npt.NDArray[np.bool_]
Share = Annotated[float, Field(ge=0.0, lt=1.0)]

_BASE_LINK = "base_link"
_BLOCK = 32
"""Frames whose noise is drawn at once."""


class LidarFigures(Config):
    """What a make of lidar can do."""

    rays: Annotated[int, Field(ge=2, le=4096)]
    field_of_view_rad: Annotated[float, Field(gt=0.0, le=2.0 * math.pi)]
    """Between the first ray and the last; a full turn has no ray twice."""
    range_min_m: NonNegative
    range_max_m: Positive
    rate_hz: Positive
    latency_s: NonNegative
    sigma_m: NonNegative
    """Of every ray, bounded at three."""
    systematic_m: NonNegative
    """Bound of an error common to all rays, drawn once an episode."""
    drop_rate: Share
    """Share of rays without a measurement."""
    dark_share: Share
    """Share of people, and of objects, whose surface is dark."""
    dark_range_m: Positive
    """How far a dark surface is seen."""
    source: str

    @model_validator(mode="after")
    def _check(self) -> LidarFigures:
        if not self.range_min_m < self.range_max_m:
            raise ValueError("range_min_m must be below range_max_m")
        return self

    @property
    def step_rad(self) -> float:
        """Angle between neighbouring rays [rad]."""
        whole = self.field_of_view_rad > 2.0 * math.pi - 1e-9
        return self.field_of_view_rad / (self.rays if whole else self.rays - 1)

    @property
    def bound_m(self) -> float:
        """Largest error of a valid measurement [m], for the specification's Zd."""
        return 3.0 * self.sigma_m + self.systematic_m


_SICK = (
    "SICK TiM55x/56x operating sheet 8015886: 15 Hz, 270 deg, statistical error 20 mm "
    "(1 sigma), systematic +-60 mm, angular step 1 deg (high; TiM56x 0.33 deg). Range "
    "of a dark surface (10 % remission) 8 m and 25 m (TiM571) or 10 m (TiM55x): "
    "recalled, low. Latency one scan, drop-out 0.5 %, dark share 10 %: design default"
)
LIDARS: dict[str, LidarFigures] = {
    "sick_tim55x": LidarFigures(
        rays=271,
        field_of_view_rad=1.5 * math.pi,
        range_min_m=0.05,
        range_max_m=10.0,
        rate_hz=15.0,
        latency_s=0.067,
        sigma_m=0.02,
        systematic_m=0.06,
        drop_rate=0.005,
        dark_share=0.1,
        dark_range_m=8.0,
        source=_SICK,
    ),
    "sick_tim57x": LidarFigures(
        rays=811,
        field_of_view_rad=1.5 * math.pi,
        range_min_m=0.05,
        range_max_m=25.0,
        rate_hz=15.0,
        latency_s=0.067,
        sigma_m=0.02,
        systematic_m=0.06,
        drop_rate=0.005,
        dark_share=0.1,
        dark_range_m=8.0,
        source=_SICK,
    ),
    "utm_30lx": LidarFigures(
        rays=1081,
        field_of_view_rad=1.5 * math.pi,
        range_min_m=0.1,
        range_max_m=30.0,
        rate_hz=40.0,
        latency_s=0.025,
        sigma_m=0.01,
        systematic_m=0.0,
        drop_rate=0.005,
        dark_share=0.1,
        dark_range_m=10.0,
        source="Hokuyo UTM-30LX: 30 m, 0.25 deg, 25 ms, +-30 mm up to 10 m taken as "
        "three sigma (tracker.csv: recalled, low); the rest: design default",
    ),
    "rplidar_a1": LidarFigures(
        rays=360,
        field_of_view_rad=2.0 * math.pi,
        range_min_m=0.15,
        range_max_m=12.0,
        rate_hz=5.5,
        latency_s=0.18,
        sigma_m=0.02,
        systematic_m=0.02,
        drop_rate=0.02,
        dark_share=0.1,
        dark_range_m=6.0,
        source="RPLIDAR A1M8: 12 m, 5.5 Hz, 1 deg (tracker.csv: recalled, low); the "
        "rest: design default",
    ),
}
"""Makes of lidar by name, from ``tracker.csv``."""


class LidarConfig(Config):
    """A lidar on a link of the robot."""

    model: str = ""
    """Name of a make in :data:`LIDARS`; leave out to give ``figures``."""
    figures: LidarFigures | None = None
    link: str
    """Link of the robot that it is mounted on."""
    position_m: tuple[float, float, float]
    """Of the sensor in the link's frame; its height is what the third number makes it."""
    rotation_rad: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Roll, pitch, yaw of the sensor in the link's frame: rays lie in its x-y plane."""
    start_rad: float | None = None
    """Bearing of the first ray; left out, the field of view is symmetric about x."""
    blind_sectors_rad: tuple[tuple[float, float], ...] = ()
    """Bearings from, to (counter-clockwise) that never measure."""
    housing: tuple[str, ...] = ()
    """The robot's shapes that the sensor looks out of; those that enclose it are so
    anyway."""
    floor_z_m: float | None = 0.0
    """Height of a flat floor in the world; null for none."""

    @model_validator(mode="after")
    def _check(self) -> LidarConfig:
        if (self.figures is None) == (not self.model):
            raise ValueError('give either "model" or "figures"')
        if self.model and self.model not in LIDARS:
            raise ValueError(f'no lidar "{self.model}"; {suggest(self.model, LIDARS)}')
        return self

    @property
    def values(self) -> LidarFigures:
        """The figures, named or given."""
        return self.figures if self.figures is not None else LIDARS[self.model]


class LidarErrorConfig(Config):
    """What an environment says of the lidar that a robot carries: its errors."""

    rate_hz: Positive
    latency_s: NonNegative
    sigma_m: NonNegative
    """Of every ray, bounded at three."""
    systematic_m: NonNegative
    drop_rate: Share
    dark_share: Share
    dark_range_m: Positive
    housing: tuple[str, ...] = ()
    """The robot's shapes that it looks out of."""
    source: str


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
        f = self.figures
        out = np.minimum(self.true_range_m, f.range_max_m)
        out[self.blind | (self.labels == ROBOT) | (out < f.range_min_m)] = 0.0
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
