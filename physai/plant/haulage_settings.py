"""Section ``process`` of a plant, kind ``haulage``: site, load, sensors, traffic."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from physai.config import Config
from physai.plant.bed_load import BedConfig, PileConfig
from physai.plant.manned_machine import MachineConfig
from physai.plant.satellite import SatelliteConfig

__all__ = ["CrossingConfig", "GaugeConfig", "HaulageConfig", "LinkConfig"]

NonNegative = Annotated[float, Field(ge=0.0)]
Positive = Annotated[float, Field(gt=0.0)]
Place = tuple[float, float]


class GaugeConfig(Config):
    """Load cell and inclinometer."""

    load_share_sigma: NonNegative
    """Error of the load cell over the load, constant over an episode."""
    tilt_sigma_rad: NonNegative
    correlation: Annotated[float, Field(ge=0.0, lt=1.0)]
    source: str


class CrossingConfig(Config):
    """A crossing with manned machines, and when the site control closes it."""

    polygon_m: Annotated[tuple[Place, ...], Field(min_length=3)]
    claim_s: Positive
    """Closed while the manned machine, as it drives, is there within this time."""
    margin_m: NonNegative
    source: str


class LinkConfig(Config):
    """Radio link to the site control."""

    latency_s: NonNegative
    source: str


class HaulageConfig(Config):
    """Section ``process`` of a plant, kind ``haulage``."""

    route_m: Annotated[tuple[Place, ...], Field(min_length=3)]
    """From the loading place to where it turns for dumping."""
    dump_pose_m_rad: tuple[float, float, float]
    """Where the base stands to dump: x, y and heading."""
    target_m: tuple[Place, Place]
    """Two corners of the rectangle in which the load is wanted."""
    area_m: Annotated[tuple[Place, ...], Field(min_length=3)]
    """The area that the machine may not leave."""
    bed: BedConfig
    pile: PileConfig
    localisation: SatelliteConfig
    gauges: GaugeConfig
    link: LinkConfig
    machine: MachineConfig
    crossing: CrossingConfig
    source: str
