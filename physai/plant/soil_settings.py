"""What ground and bucket are made of: the content of earth-moving tasks.

Numbers of the soils and their confidence: ``configs/soil/kinds.yaml``; of the model:
the fields below.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from physai import content
from physai.config import Config, load

__all__ = ["BucketConfig", "SoilConfig", "SoilKind", "load_bucket", "load_kinds"]

Positive = Annotated[float, Field(gt=0.0)]
NotNegative = Annotated[float, Field(ge=0.0)]


class SoilKind(Config):
    """One soil, undisturbed."""

    unit_weight_kn_m3: Annotated[float, Field(gt=5.0, lt=30.0)]
    cohesion_kpa: NotNegative
    friction_deg: Annotated[float, Field(ge=0.0, le=45.0)]
    """Inner friction phi."""
    metal_friction_deg: Annotated[float, Field(ge=0.0, le=45.0)]
    """Friction on steel delta."""
    adhesion_kpa: NotNegative
    swell_share: Annotated[float, Field(ge=0.0, le=1.0)]
    """Loose volume over bank volume, less one."""
    repose_deg: Annotated[float, Field(gt=5.0, lt=60.0)]
    fill_factor: Annotated[float, Field(gt=0.3, le=1.2)]
    """Share of the heaped capacity that a bucket gets of it."""
    source: str

    @model_validator(mode="after")
    def _check(self) -> SoilKind:
        if self.metal_friction_deg > self.friction_deg:
            raise ValueError("metal_friction_deg must not exceed friction_deg")
        return self


class _KindTable(Config):
    kinds: dict[str, SoilKind]


def load_kinds() -> dict[str, SoilKind]:
    """Read the soils of ``configs/soil/kinds.yaml`` by name.

    Raises:
        ContentError: If the site has no such file.
        ConfigError: If it is wrong, in one sentence.
    """
    return load(_KindTable, content.path("configs", "soil", "kinds.yaml")).kinds


class SoilConfig(Config):
    """The ground of an environment."""

    kind: str
    """Name in ``configs/soil/kinds.yaml``."""
    origin_m: tuple[float, float]
    """Corner of the map with the smallest x and y, in the world."""
    size_m: tuple[Positive, Positive]
    level_m: float = 0.0
    """Height of the even ground in the world."""
    cell_m: Annotated[float, Field(ge=0.02, le=0.5)] = 0.10
    cohesion_factor: tuple[Positive, Positive] = (0.5, 2.0)
    """Range of a log-uniform factor when randomised (design default)."""
    friction_spread_deg: NotNegative = 5.0
    unit_weight_spread_share: Annotated[float, Field(ge=0.0, lt=0.5)] = 0.10
    yield_displacement_m: Positive = 0.01
    """Displacement at which blade, lip and side have their full resistance (design
    default: passive pressure needs a few per cent of the depth)."""
    plate_yield_displacement_m: Positive = 0.03
    """The same of a plate pressed down (design default)."""
    damping_s: NotNegative = 0.01
    """Damping over stiffness of the elastic part (design default)."""

    @model_validator(mode="after")
    def _check(self) -> SoilConfig:
        if self.cohesion_factor[0] > self.cohesion_factor[1]:
            raise ValueError("cohesion_factor must be a range from low to high")
        if min(self.size_m) < 5.0 * self.cell_m:
            raise ValueError("size_m must be at least five cells each way")
        return self


class BucketConfig(Config):
    """A bucket. Its edge frame: origin at the middle of the edge, x along the cutting
    plate out over the edge, y along the edge, z into the bucket.
    """

    width_m: Positive
    plate_length_m: Positive
    """Flat length of the cutting plate behind the edge."""
    mouth_length_m: Positive
    """From the edge to the upper rim."""
    mouth_angle_deg: Annotated[float, Field(gt=10.0, lt=120.0)]
    """Between plate and mouth, at the edge."""
    struck_m3: Positive
    heaped_m3: Positive
    lip_thickness_m: Positive = 0.04
    """0.03 to 0.05 (design default)."""
    teeth: Annotated[int, Field(ge=0)] = 4
    """0: a plain lip over the whole width."""
    tooth_width_m: Positive = 0.1
    load_center_m: tuple[float, float]
    """Centre of the load, x and z in the edge frame."""
    full_tilt_deg: Annotated[float, Field(gt=10.0, le=90.0)] = 60.0
    """Tilt of the mouth at which the struck part is gone (design default)."""
    spill_time_s: Positive = 0.4
    """What is too much leaves at this time constant (design default)."""
    spill_acceleration_m_s2: Positive = 2.0
    """Horizontal acceleration that a heap bears; what exceeds it tilts the apparent
    vertical (design default)."""
    fill_share: Annotated[float, Field(gt=0.0, le=1.0)] = 0.95
    """eta: share of the cut soil that enters until struck full (design default)."""
    side_plate_share: NotNegative = 0.15
    """Resistance of the side plates over the blade's (design default)."""

    @model_validator(mode="after")
    def _check(self) -> BucketConfig:
        if self.heaped_m3 < self.struck_m3:
            raise ValueError("heaped_m3 must not be below struck_m3")
        return self


def load_bucket(robot: str) -> BucketConfig:
    """Read ``robots/<robot>/bucket.yaml``.

    Raises:
        ContentError: If the robot has none.
        ConfigError: If it is wrong, in one sentence.
    """
    return load(BucketConfig, content.path("robots", robot, "bucket.yaml"))
