"""The ground that a robot drives on: flat or a height map, with patches of friction.

One map serves both: the engine's height field, which the body may strike, and the
traction of wheels and tracks.
"""

from __future__ import annotations

from typing import Annotated

import numba
import numpy as np
from pydantic import Field

from physai.config import Config
from physai.errors import ConfigError, suggest
from physai.plant.terrain import FlatConfig, HeightMap, HeightsConfig, build_heights
from physai.robot.base import BaseConfig
from physai.types import Array

__all__ = ["Ground", "GroundConfig", "PatchConfig", "ground_height"]

Positive = Annotated[float, Field(gt=0.0)]


class PatchConfig(Config):
    """A rectangle of another kind of ground, such as a wet floor."""

    name: str
    center_m: tuple[float, float]
    size_m: tuple[Positive, Positive]
    material: str


class GroundConfig(Config):
    """Section ``ground``: its kinds are named in the friction table of the robot."""

    material: str
    patches: tuple[PatchConfig, ...] = ()
    """The last that covers a place counts."""
    heights: HeightsConfig = FlatConfig()
    """Where the height map comes from (:mod:`physai.plant.terrain`)."""


@numba.njit(cache=True)
def ground_height(x: float, y: float, heights: Array, grid: Array, out: Array) -> None:
    """Height and upward unit normal of the ground at a place, bilinear in its cell.

    Args:
        x: World [m].
        y: World [m].
        heights: (rows, columns) [m], rows along y; outside, its edge goes on. One row
            or column is flat ground at height 0.
        grid: x and y of ``heights[0, 0]`` and the cell's size [m].
        out: (4,) height [m] and normal.
    """
    rows, columns = heights.shape
    if rows < 2 or columns < 2:
        out[0], out[1], out[2], out[3] = 0.0, 0.0, 0.0, 1.0
        return
    u = min(max((x - grid[0]) / grid[2], 0.0), columns - 1.000001)
    v = min(max((y - grid[1]) / grid[2], 0.0), rows - 1.000001)
    i, j = int(v), int(u)
    s, t = u - j, v - i
    a, b = heights[i, j], heights[i, j + 1]
    c, d = heights[i + 1, j], heights[i + 1, j + 1]
    gx = ((b - a) * (1.0 - t) + (d - c) * t) / grid[2]
    gy = ((c - a) * (1.0 - s) + (d - b) * s) / grid[2]
    size = np.sqrt(1.0 + gx * gx + gy * gy)
    out[0] = (a * (1.0 - s) + b * s) * (1.0 - t) + (c * (1.0 - s) + d * s) * t
    out[1], out[2], out[3] = -gx / size, -gy / size, 1.0 / size


class Ground:
    """Ground as arrays, resolved against the friction table of a robot's base.

    Args:
        config: Kinds of ground, and where its heights come from.
        base: The robot's base, which knows its friction on each kind.
        heights: (rows, columns) height map [m], rows along y, in place of the
            configured one.
        origin_m: x and y of ``heights[0, 0]``.
        cell_m: Distance of its points.

    Raises:
        ConfigError: If the robot has no friction on a kind of ground.

    Attributes:
        heights: (rows, columns) [m]; (1, 1) for flat ground.
        grid: (3,) origin and cell of the map [m].
        patches: (P, 5) centre x y, half sizes x y [m], kind.
        friction: (K, 3) longitudinal, lateral, rolling coefficients of every kind that
            the robot knows.
        material: Kind outside the patches.
    """

    def __init__(
        self,
        config: GroundConfig,
        base: BaseConfig,
        heights: Array | None = None,
        origin_m: tuple[float, float] = (0.0, 0.0),
        cell_m: float = 1.0,
    ) -> None:
        self.kinds = base.grounds
        self._table = np.array(
            [[f.longitudinal, f.lateral, f.rolling] for f in base.friction]
        )
        self.friction = self._table.copy()
        surface = (
            build_heights(config.heights)
            if heights is None
            else HeightMap(heights, origin_m, cell_m)
        )
        self.heights = np.ascontiguousarray(surface.heights, dtype=np.float64)
        if not np.isfinite(self.heights).all():
            raise ConfigError("ground: the height map has values that are no numbers")
        self.grid = np.array([*surface.origin_m, surface.cell_m])
        self.material = self._kind(config.material)
        self.patches = np.array(
            [
                [
                    *p.center_m,
                    0.5 * p.size_m[0],
                    0.5 * p.size_m[1],
                    self._kind(p.material),
                ]
                for p in config.patches
            ]
        ).reshape(-1, 5)
        self._out = np.zeros(4)

    def _kind(self, name: str) -> int:
        if name not in self.kinds:
            raise ConfigError(
                f'ground: the robot has no friction on "{name}"; '
                f"{suggest(name, self.kinds)}"
            )
        return self.kinds.index(name)

    def scale_friction(self, factor: float) -> None:
        """Set every friction coefficient to a multiple of the table's."""
        np.multiply(self._table, factor, out=self.friction)

    def height(self, x: float, y: float) -> float:
        """Return the ground's height at a place [m]."""
        ground_height(x, y, self.heights, self.grid, self._out)
        return float(self._out[0])

    def covers(self, x: float, y: float) -> bool:
        """Return whether a place is on the height map; even ground goes on for ever."""
        rows, columns = self.heights.shape
        if rows < 2 or columns < 2:
            return True
        x0, y0, cell = self.grid.tolist()
        return bool(
            x0 <= x <= x0 + (columns - 1) * cell and y0 <= y <= y0 + (rows - 1) * cell
        )
