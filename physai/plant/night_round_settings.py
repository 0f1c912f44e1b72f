"""The values of a night round: room, item, what is watched, errors of its sensors."""

from __future__ import annotations

import math
from typing import Annotated

import numpy as np
from pydantic import Field, model_validator

from physai.config import Config
from physai.plant.night_round_kernel import Figure
from physai.types import Array

__all__ = ["NightRoundConfig", "figures_of"]

Positive = Annotated[float, Field(gt=0.0)]
NonNegative = Annotated[float, Field(ge=0.0)]
Point = tuple[float, float]

_SHEET_WIDTH_M = 0.6
"""Of what trails (project figure)."""


class RectangleConfig(Config):
    """An upright rectangle on the floor plan, world frame."""

    minimum_m: Point
    maximum_m: Point

    @model_validator(mode="after")
    def _ordered(self) -> RectangleConfig:
        if not all(a < b for a, b in zip(self.minimum_m, self.maximum_m, strict=True)):
            raise ValueError("minimum_m must be below maximum_m on both axes")
        return self


class SiteConfig(Config):
    """Where things are."""

    bed: RectangleConfig
    """Mattress; who is not on it is up."""
    table: RectangleConfig
    table_top_z_m: Positive
    exit_zone: RectangleConfig
    """Kept free: both sides of the door."""
    wall_y_m: float
    """Wall between corridor and room; nothing is seen through it but by the door."""
    door_m: Point
    """From, to along x."""
    floor_source: str


class ItemConfig(Config):
    """What is carried, held from above."""

    height_m: Positive
    radius_m: Positive
    spill_start_rad: Positive
    spill_rate_per_s_rad: Positive
    place_gap_m: Positive
    """So near to the table top the hand feels that the item stands."""
    place_speed_m_s: Positive
    source: str


class WatchConfig(Config):
    """What it takes to see, to report and to block."""

    report_distance_m: Positive
    look_distance_m: Positive
    view_rad: Annotated[float, Field(gt=0.0, le=math.pi)]
    """To each side of the base's heading."""
    floor_height_m: Positive
    """Who lies: pelvis below it and chest below one and a half of it."""
    standing_m_s: Positive
    base_radius_m: Positive
    half_width_m: Positive
    source: str


class NightSensorConfig(Config):
    """Errors and delays of the sensors."""

    latency_s: NonNegative
    tilt_sigma_rad: NonNegative
    table_sigma_m: NonNegative
    sheet_sigma_m: NonNegative
    badge_sigma_m: NonNegative
    """Of the badge that tells a carer from a resident."""
    sheet_range_bright_m: Positive
    """Way ahead in which the floor camera sees a sheet at ``bright_lx``."""
    sheet_range_dark_m: Positive
    """The same in the dark."""
    bright_lx: Positive
    bed_exit_delay_s: NonNegative
    source: str


class NightRoundConfig(Config):
    """Section ``process`` of a plant, kind ``night_round``."""

    site: SiteConfig
    item: ItemConfig
    watch: WatchConfig
    sensors: NightSensorConfig


def figures_of(config: NightRoundConfig, values: dict[str, float]) -> Array:
    """Return the (Figure.COUNT,) vector of a configuration and a scenario's values."""
    site, item, watch = config.site, config.item, config.watch
    f = np.zeros(Figure.COUNT)
    for place, area in (
        (Figure.BED, site.bed),
        (Figure.TABLE, site.table),
        (Figure.EXIT, site.exit_zone),
    ):
        f[place : place + 4] = (*area.minimum_m, *area.maximum_m)
    reach = float(values.get("sheet_reach_m", 0.0))
    edge, middle = site.bed.minimum_m[0], float(values.get("sheet_y_m", 0.0))
    f[Figure.SHEET : Figure.SHEET + 4] = np.nan
    if reach > 0.0:
        f[Figure.SHEET : Figure.SHEET + 4] = (
            edge - reach,
            middle - 0.5 * _SHEET_WIDTH_M,
            edge,
            middle + 0.5 * _SHEET_WIDTH_M,
        )
    spill = float(values.get("spill_start_rad", item.spill_start_rad))
    f[Figure.TABLE_TOP :] = [
        site.table_top_z_m,
        site.wall_y_m,
        *site.door_m,
        item.height_m,
        item.radius_m,
        spill,
        item.spill_rate_per_s_rad,
        item.place_gap_m,
        item.place_speed_m_s,
        watch.report_distance_m,
        watch.view_rad,
        watch.look_distance_m,
        watch.floor_height_m,
        watch.standing_m_s,
        watch.base_radius_m,
        watch.half_width_m,
    ]
    return f
