"""Where the heights of a ground come from: flat, real elevation data, smooth random.

A source is data in the environment's YAML; :func:`build_heights` turns it into one
height map that engine and traction share. It is built once per plant.

Real elevation data: matplotlib ships a crop of a digital elevation model (Jacksboro
Fault, 1/1200 degree grid, elevations in whole metres) among its sample data. It is read
from the installed package by path and never copied. Rows lie 92.5 m apart (north to
south), columns 74.4 m (west to east) at its latitude. Scaled to a building site only the
*shape* is real: no site of this size looks like that in detail.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import numpy as np
from pydantic import Field
from scipy.interpolate import RectBivariateSpline

from physai.config import Config
from physai.errors import ConfigError, ContentError
from physai.randomness import generator
from physai.types import Array

__all__ = [
    "ElevationConfig",
    "FlatConfig",
    "HeightMap",
    "HeightsConfig",
    "RollingConfig",
    "build_heights",
    "read_elevation",
]

Positive = Annotated[float, Field(gt=0.0)]
Place = Annotated[int, Field(ge=0)]
Count = Annotated[int, Field(ge=4, le=400)]

_ROW_M, _COLUMN_M = 92.5, 74.4
"""Cell of the elevation data, north-south and west-east [m] (3 arc-seconds at 36.6
degrees north)."""

_FILE = "sample_data/jacksboro_fault_dem.npz"


class FlatConfig(Config):
    """Flat ground at height 0."""

    kind: Literal["flat"] = "flat"


class ElevationConfig(Config):
    """A crop of real elevation data, scaled: its shape is real, its size is not."""

    kind: Literal["elevation"]
    first_row: Place
    """Northernmost row of the crop."""
    first_column: Place
    """Westernmost column."""
    rows: Count
    columns: Count
    horizontal_divisor: Positive
    """Distances are divided by it."""
    vertical_divisor: Positive
    """Heights are divided by it: the same as the horizontal one keeps the slopes."""
    cell_m: Annotated[float, Field(gt=0.05, le=2.0)]
    """Of the map that is made by bicubic interpolation."""
    origin_m: tuple[float, float] = (0.0, 0.0)
    """World x (east) and y (north) of the crop's south-western corner."""
    source: str


class RollingConfig(Config):
    """Smooth random ground: a few waves of random direction and phase."""

    kind: Literal["rolling"]
    seed: Place
    size_m: tuple[Positive, Positive]
    origin_m: tuple[float, float] = (0.0, 0.0)
    cell_m: Annotated[float, Field(gt=0.05, le=2.0)]
    wavelength_m: tuple[Positive, Positive]
    """Shortest and longest wave."""
    slope_max_rad: Annotated[float, Field(gt=0.0, lt=1.0)]
    """The steepest place of the map has this slope."""


HeightsConfig = Annotated[
    FlatConfig | ElevationConfig | RollingConfig, Field(discriminator="kind")
]


class HeightMap(NamedTuple):
    """A height map over the world.

    Attributes:
        heights: (rows, columns) [m], rows along y; (1, 1) is flat ground.
        origin_m: x and y of ``heights[0, 0]``.
        cell_m: Distance of its points.
    """

    heights: Array
    origin_m: tuple[float, float]
    cell_m: float


def read_elevation() -> Array:
    """Return the (344, 403) elevations [m] of the installed matplotlib, row 0 north.

    Raises:
        ContentError: If the installed package has no such file.
    """
    import matplotlib

    path = Path(matplotlib.get_data_path()) / _FILE
    try:
        with np.load(path) as data:
            return np.asarray(data["elevation"], dtype=np.float64)
    except (OSError, KeyError):
        raise ContentError(
            f"the installed matplotlib has no elevation data at {_FILE}"
        ) from None


def build_heights(
    config: FlatConfig | ElevationConfig | RollingConfig,
) -> HeightMap:
    """Return the height map of a source.

    Raises:
        ConfigError: If a crop leaves the elevation data.
        ContentError: If the elevation data is not installed.
    """
    if isinstance(config, ElevationConfig):
        return _elevation(config)
    if isinstance(config, RollingConfig):
        return _rolling(config)
    return HeightMap(np.zeros((1, 1)), (0.0, 0.0), 1.0)


def _elevation(config: ElevationConfig) -> HeightMap:
    whole = read_elevation()
    bottom, right = config.first_row + config.rows, config.first_column + config.columns
    if bottom > whole.shape[0] or right > whole.shape[1]:
        raise ConfigError(
            f"ground.heights: the crop ends at row {bottom} and column {right}, the "
            f"elevation data at {whole.shape[0]} and {whole.shape[1]}"
        )
    crop = whole[config.first_row : bottom, config.first_column : right]
    # y grows to the north, the data's rows to the south.
    crop = (crop - crop.mean())[::-1] / config.vertical_divisor
    row_m = _ROW_M / config.horizontal_divisor
    column_m = _COLUMN_M / config.horizontal_divisor
    spline = RectBivariateSpline(
        row_m * np.arange(config.rows), column_m * np.arange(config.columns), crop
    )
    y = np.arange(0.0, row_m * (config.rows - 1) + 1e-9, config.cell_m)
    x = np.arange(0.0, column_m * (config.columns - 1) + 1e-9, config.cell_m)
    return HeightMap(np.ascontiguousarray(spline(y, x)), config.origin_m, config.cell_m)


def _rolling(config: RollingConfig) -> HeightMap:
    rng = generator(config.seed, "terrain.rolling")
    x = np.arange(0.0, config.size_m[0] + 1e-9, config.cell_m)
    y = np.arange(0.0, config.size_m[1] + 1e-9, config.cell_m)
    heights = np.zeros((len(y), len(x)))
    low, high = sorted(config.wavelength_m)
    for _ in range(8):
        wave = 2.0 * math.pi / rng.uniform(low, high)
        angle, phase = rng.uniform(0.0, 2.0 * math.pi, 2)
        along = math.cos(angle) * x[None, :] + math.sin(angle) * y[:, None]
        # Equal steepness of every wave.
        heights += np.sin(wave * along + phase) / wave
    down, across = np.gradient(heights, config.cell_m)
    steepest = float(np.hypot(down, across).max())
    heights *= math.tan(config.slope_max_rad) / steepest
    return HeightMap(heights - heights.mean(), config.origin_m, config.cell_m)
