"""Makes of lidar, their mounting on a robot and their errors, as data."""

from __future__ import annotations

import math
from typing import Annotated

from pydantic import Field, model_validator

from physai.config import Config
from physai.errors import suggest

__all__ = ["LIDARS", "LidarConfig", "LidarErrorConfig", "LidarFigures"]

Positive = Annotated[float, Field(gt=0.0)]
NonNegative = Annotated[float, Field(ge=0.0)]
Share = Annotated[float, Field(ge=0.0, lt=1.0)]


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
