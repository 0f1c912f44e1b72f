"""Loose earth in a tipping bed: how it runs out, what spills, where it comes to lie.

Running out: the load slides over the bed's floor as a block on a plane, a = g (sin t -
mu cos t) with mu = tan of the friction angle of soil on steel, and the bed empties with
the time that a grain needs for the bed's length, T = sqrt(2 L / a): dm/dt = -m / T.
Below the friction angle nothing runs. What is left at the end sticks.

Spill: an inclined bed holds less. Struck part m_s (1 - t / t_full), heaped part
m_h (1 - t / t_repose), the excess leaves within 0.4 s (soil model of the project's data
pack, design default).

On the ground it forms a pile on a grid and slumps to its angle of repose; mass is
conserved, each parcel is taken from the bed and laid down once. Tracks and body do not
feel the pile: a machine moves ahead of it while it tips.
"""

from __future__ import annotations

import math
from typing import Annotated

import numba
import numpy as np
from pydantic import Field

from physai.config import Config
from physai.plant.ground import Ground, ground_height
from physai.plant.slump_kernel import slump
from physai.plant.soil_kernel import P_CELL, P_CRITICAL, P_REPOSE, PARAMETERS, widen
from physai.types import Array

__all__ = ["BedConfig", "BedLoad", "Pile", "PileConfig"]

Positive = Annotated[float, Field(gt=0.0)]
Angle = Annotated[float, Field(gt=0.0, lt=1.57)]

_GRAVITY = 9.81
_STUCK_SHARE = 0.005
"""So much of a load stays in the bed (design default)."""
_SWEEPS = 4


class BedConfig(Config):
    """A tipping bed and how soil behaves in it."""

    length_m: Positive
    """Of its floor: a grain slides half of it on the average."""
    half_width_m: Positive
    friction_angle_rad: Angle
    """Soil on steel."""
    struck_kg: Positive
    """Level full, on level ground."""
    heaped_kg: Positive
    """Above the sides."""
    repose_rad: Angle
    full_tilt_rad: Angle
    """Inclination at which nothing of the struck part stays."""
    spill_time_s: Positive
    source: str


class PileConfig(Config):
    """Where the pile of dumped soil is followed."""

    center_m: tuple[float, float]
    size_m: tuple[Positive, Positive]
    cell_m: Annotated[float, Field(gt=0.05, le=1.0)]
    density_kg_m3: Positive
    """Of loose soil."""
    repose_rad: Angle
    source: str


class BedLoad:
    """The soil in one bed.

    Args:
        config: Figures.
        mass_kg: At the start.

    Attributes:
        mass_kg: In the bed now.
    """

    def __init__(self, config: BedConfig, mass_kg: float) -> None:
        self.config, self.mass_kg = config, mass_kg
        self._stuck = _STUCK_SHARE * mass_kg

    def step(
        self, dt_s: float, floor_rad: float, tilt_rad: float
    ) -> tuple[float, float]:
        """Let soil run out over a control period.

        Args:
            dt_s: Control period [s].
            floor_rad: Slope of the bed's floor toward its open rear.
            tilt_rad: Angle of the floor's normal to the vertical.

        Returns:
            Mass that left over the rear, and over the sides [kg].
        """
        c, rear = self.config, 0.0
        pull = math.sin(floor_rad) - math.tan(c.friction_angle_rad) * math.cos(
            floor_rad
        )
        if pull > 0.0 and self.mass_kg > self._stuck:
            emptying = math.sqrt(2.0 * c.length_m / (_GRAVITY * pull))
            rear = (self.mass_kg - self._stuck) * (1.0 - math.exp(-dt_s / emptying))
        self.mass_kg -= rear
        held = c.struck_kg * max(0.0, 1.0 - tilt_rad / c.full_tilt_rad)
        held += c.heaped_kg * max(0.0, 1.0 - tilt_rad / c.repose_rad)
        excess = max(0.0, self.mass_kg - held)
        spilled = excess * min(1.0, dt_s / c.spill_time_s)
        self.mass_kg -= spilled
        # Over the rear while the floor slopes there most, else over a side.
        if floor_rad > 0.7 * tilt_rad:
            return rear + spilled, 0.0
        return rear, spilled

    def throw_m(self, floor_rad: float, height_m: float) -> float:
        """Return how far behind the bed's edge soil lands [m].

        A grain that slid half the floor leaves at v = sqrt(a L) along it and falls.

        Args:
            floor_rad: Slope of the floor toward the rear.
            height_m: Of the edge above the ground.
        """
        c = self.config
        pull = math.sin(floor_rad) - math.tan(c.friction_angle_rad) * math.cos(
            floor_rad
        )
        speed = math.sqrt(max(0.0, _GRAVITY * pull * c.length_m))
        down = speed * math.sin(floor_rad)
        fall = math.sqrt(down * down + 2.0 * _GRAVITY * max(0.0, height_m)) - down
        return speed * math.cos(floor_rad) * fall / _GRAVITY


@numba.njit(cache=True)
def _survey(x: Array, y: Array, heights: Array, grid: Array, out: Array) -> None:
    """Write the ground's height at every cell."""
    place = np.empty(4)
    for i in range(x.shape[0]):
        for j in range(y.shape[0]):
            ground_height(x[i], y[j], heights, grid, place)
            out[i, j] = place[0]


class Pile:
    """Soil on the ground around a dump place.

    Args:
        config: Grid and soil.
        ground: What it lies on.

    Attributes:
        loose: (nx, ny) thickness of the soil [m].
        outside_kg: What fell beyond the grid.
    """

    def __init__(self, config: PileConfig, ground: Ground) -> None:
        self.config = config
        cell = config.cell_m
        shape = tuple(max(4, round(size / cell)) for size in config.size_m)
        self._corner = np.array(config.center_m) - 0.5 * cell * np.array(shape)
        self.x = self._corner[0] + cell * (np.arange(shape[0]) + 0.5)
        self.y = self._corner[1] + cell * (np.arange(shape[1]) + 0.5)
        self._bank = np.zeros(shape)
        _survey(self.x, self.y, ground.heights, ground.grid, self._bank)
        self.loose, self.outside_kg = np.zeros(shape), 0.0
        self._d_bank, self._d_loose = np.zeros(shape), np.zeros(shape)
        self._box = np.array([shape[0], 0, shape[1], 0])
        self._parameters = np.zeros(PARAMETERS)
        self._parameters[P_CELL] = cell
        # The ground below does not slide: its faces stand at any height.
        self._parameters[P_CRITICAL] = 1e9
        self._parameters[P_REPOSE] = math.tan(config.repose_rad)

    def drop(self, x_m: float, y_m: float, mass_kg: float) -> None:
        """Lay soil down at a place."""
        cell = self.config.cell_m
        i = math.floor((x_m - self._corner[0]) / cell)
        j = math.floor((y_m - self._corner[1]) / cell)
        nx, ny = self.loose.shape
        if not (0 <= i < nx and 0 <= j < ny):
            self.outside_kg += mass_kg
            return
        volume = mass_kg / self.config.density_kg_m3
        self.loose[i, j] += volume / (cell * cell)
        widen(self._box, i, j)

    def settle(self) -> None:
        """Let slopes above the angle of repose slide a little further."""
        if self._box[1] > self._box[0]:
            slump(
                self._bank,
                self.loose,
                self._d_bank,
                self._d_loose,
                self._parameters,
                self._box,
                _SWEEPS,
                math.radians(0.5),
            )

    def mass_within(self, low: Array, high: Array) -> float:
        """Return the mass between two (2,) corners [kg]."""
        inside = (self.x >= low[0]) & (self.x <= high[0])
        across = (self.y >= low[1]) & (self.y <= high[1])
        return float(self.loose[inside][:, across].sum()) * self._per_metre

    @property
    def mass_kg(self) -> float:
        """Everything that came to lie, beyond the grid too [kg]."""
        return float(self.loose.sum()) * self._per_metre + self.outside_kg

    @property
    def _per_metre(self) -> float:
        cell = self.config.cell_m
        return cell * cell * self.config.density_kg_m3
