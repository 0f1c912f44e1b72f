"""What a trench should become, what it is, and the pipe that must not be hit.

Volumes are bank volumes above the map's cells whose centres lie inside the trench in
plan. Over-dig is judged on the bank layer: loose soil thrown back does not mend it.
"""

from __future__ import annotations

import math
from typing import Annotated

import numba
import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from physai.body.capsules import closest_fractions
from physai.config import Config
from physai.plant.soil import Soil
from physai.plant.soil_settings import BucketConfig
from physai.types import Array

__all__ = ["Pipe", "PipeConfig", "Trench", "TrenchConfig", "look_at_pipe"]

Positive = Annotated[float, Field(gt=0.0)]
NotNegative = Annotated[float, Field(ge=0.0)]
Point = tuple[float, float, float]


class TrenchConfig(Config):
    """A design profile: a straight trench with upright walls and sloped ends."""

    from_m: Point
    """Middle of the bottom at one end, in the world."""
    to_m: Point
    width_m: Positive
    end_slope_m: NotNegative = 0.0
    """Length in plan over which the bottom rises to the ground at each end; a bucket
    that comes in and out cuts no upright ends (0: upright)."""
    tolerance_m: Positive = 0.05
    """How far the bottom may lie below the design (task default)."""
    wall_tolerance_m: NotNegative = 0.10
    """How far beside the trench the ground may be cut (task default)."""

    @model_validator(mode="after")
    def _check(self) -> TrenchConfig:
        if not math.dist(self.from_m[:2], self.to_m[:2]) > 0.1:
            raise ValueError("from_m and to_m must be apart in plan")
        return self


class PipeConfig(Config):
    """A buried pipe with the buffer that nothing may enter."""

    from_m: Point
    to_m: Point
    radius_m: Positive
    buffer_m: NotNegative


@numba.njit(cache=True)
def _measure(
    bank: Array,
    loose: Array,
    initial: Array,
    target: Array,
    zone: npt.NDArray[np.int8],
    tolerance: float,
    area: float,
    out: Array,
) -> None:
    """Write remaining, loose inside, over-dig inside and outside [m3], deepest [m]."""
    out[:] = 0.0
    for i in range(bank.shape[0]):
        for j in range(bank.shape[1]):
            b = bank[i, j]
            if zone[i, j] == 1:
                goal = min(target[i, j], initial[i, j])
                top = b + loose[i, j]
                out[0] += max(0.0, top - goal) * area
                out[1] += min(loose[i, j], max(0.0, top - goal)) * area
                below = goal - b
                if below > tolerance:
                    out[2] += below * area
                out[4] = max(out[4], below)
            elif zone[i, j] == 0:
                below = initial[i, j] - b
                if below > tolerance:
                    out[3] += below * area


class Trench:
    """The design on the map of a soil, and how far the work is.

    Args:
        config: The design.
        soil: The ground; its map must not be replaced afterwards.
    """

    def __init__(self, config: TrenchConfig, soil: Soil) -> None:
        self.config, self._soil = config, soil
        c = soil.config
        x = c.origin_m[0] + (np.arange(soil.bank_m.shape[0]) + 0.5) * c.cell_m
        y = c.origin_m[1] + (np.arange(soil.bank_m.shape[1]) + 0.5) * c.cell_m
        a, b = np.array(config.from_m), np.array(config.to_m)
        length = math.dist(a[:2], b[:2])
        ux, uy = (b[:2] - a[:2]) / length
        along = (x[:, None] - a[0]) * ux + (y[None, :] - a[1]) * uy
        across = np.abs((y[None, :] - a[1]) * ux - (x[:, None] - a[0]) * uy)
        half, wall = 0.5 * config.width_m, config.wall_tolerance_m
        inside = (along >= 0.0) & (along <= length) & (across <= half)
        near = (along >= -wall) & (along <= length + wall) & (across <= half + wall)
        share = np.clip(along / length, 0.0, 1.0)
        bottom = a[2] + share * (b[2] - a[2])
        if config.end_slope_m > 0.0:
            from_end = np.minimum(along, length - along) / config.end_slope_m
            rise = np.clip(1.0 - from_end, 0.0, 1.0)
            bottom = bottom + rise * np.maximum(c.level_m - bottom, 0.0)
        self.target_m = bottom
        """(nx, ny) height of the design's bottom, meant for cells inside [m]."""
        self.along = np.where(inside, share, np.nan)
        """(nx, ny) share of the way from one end to the other; NaN outside."""
        self.zone = np.where(inside, 1, np.where(near, 2, 0)).astype(np.int8)
        """(nx, ny) 1 inside, 2 within the wall's tolerance, 0 outside."""
        self._area = c.cell_m**2
        self._out = np.zeros(5)

    @property
    def design_m3(self) -> float:
        """Bank volume between the ground as reset and the design [m3]."""
        depth = np.maximum(self._soil.initial_m - self.target_m, 0.0)
        return float(depth[self.zone == 1].sum() * self._area)

    def measure(self) -> None:
        """Look at the map; afterwards read the properties."""
        s = self._soil
        _measure(
            s.bank_m,
            s.loose_m,
            s.initial_m,
            self.target_m,
            self.zone,
            self.config.tolerance_m,
            self._area,
            self._out,
        )

    @property
    def remaining_m3(self) -> float:
        """Soil above the design's bottom inside, loose soil with its own volume."""
        return float(self._out[0])

    @property
    def loose_inside_m3(self) -> float:
        """The loose part of :attr:`remaining_m3`."""
        return float(self._out[1])

    @property
    def over_dig_m3(self) -> float:
        """Bank cut too deep inside by more than the tolerance, to the design."""
        return float(self._out[2])

    @property
    def over_dig_outside_m3(self) -> float:
        """Bank cut deeper than the tolerance outside of trench and wall tolerance."""
        return float(self._out[3])

    @property
    def deepest_m(self) -> float:
        """Largest depth of the bank below the design inside (negative: above) [m]."""
        return float(self._out[4])

    @property
    def volume_error(self) -> float:
        """(remaining + over-dig inside and outside) over the design's volume."""
        wrong = self.remaining_m3 + self.over_dig_m3 + self.over_dig_outside_m3
        return wrong / max(self.design_m3, 1e-9)


@numba.njit(cache=True)
def _plate_distance(
    pipe: Array,
    position: Array,
    rotation: Array,
    half: float,
    plate: float,
    side: Array,
) -> float:
    """Smallest distance of the plate's four sides to the pipe's surface."""
    best = math.inf
    for k in range(4):
        # Corners in turn: edge left, edge right, heel right, heel left.
        for e in range(2):
            corner = (k + e) % 4
            v = half if corner == 0 or corner == 3 else -half
            u = 0.0 if corner < 2 else -plate
            for r in range(3):
                side[3 * e + r] = position[r] + u * rotation[r, 0] + v * rotation[r, 1]
        s, t = closest_fractions(side, pipe)
        square = 0.0
        for r in range(3):
            gap = (
                side[r]
                + s * (side[3 + r] - side[r])
                - pipe[r]
                - t * (pipe[3 + r] - pipe[r])
            )
            square += gap * gap
        best = min(best, math.sqrt(square) - pipe[6])
    return best


@numba.njit(cache=True)
def look_at_pipe(
    capsule: Array,
    position: Array,
    rotation: Array,
    plate: Array,
    side: Array,
    seen: Array,
) -> None:
    """Measure the distance of a bucket at a pose of its edge frame.

    Args:
        capsule: (7,) the pipe [m].
        position: (3,) middle of the edge in the world [m].
        rotation: (3, 3).
        plate: (2,) half of the width and length of the plate [m].
        side: (7,) work.
        seen: (3,) distance now, smallest so far [m], whether it was touched; updated.
    """
    seen[0] = _plate_distance(capsule, position, rotation, plate[0], plate[1], side)
    seen[1] = min(seen[1], seen[0])
    # Unknown counts as touched.
    if not 0.0 < seen[0] < math.inf:
        seen[2] = 1.0


class Pipe:
    """A pipe and how close the bucket's plate has come.

    Attributes:
        capsule: (7,) ends of its axis in the world and radius [m].
        arrays: What :func:`look_at_pipe` takes besides the pose, in its order.
    """

    def __init__(self, config: PipeConfig, bucket: BucketConfig) -> None:
        self.config = config
        self._seen = np.zeros(3)
        self.capsule = np.array([*config.from_m, *config.to_m, config.radius_m])
        self.arrays = (
            self.capsule,
            np.array([0.5 * bucket.width_m, bucket.plate_length_m]),
            np.zeros(7),
            self._seen,
        )
        self.reset()

    def reset(self) -> None:
        """Forget what was."""
        self._seen[:] = math.inf, math.inf, 0.0

    def update(self, position_in_world: Array, rotation_in_world: Array) -> None:
        """Measure the distance of the bucket at a pose of its edge frame.

        Args:
            position_in_world: (3,) middle of the edge [m].
            rotation_in_world: (3, 3).
        """
        capsule, plate, side, seen = self.arrays
        look_at_pipe(capsule, position_in_world, rotation_in_world, plate, side, seen)

    @property
    def distance_m(self) -> float:
        """Of the plate's outline (edge, sides, heel) to the pipe's surface by the last
        :meth:`update`.
        """
        return float(self._seen[0])

    @property
    def closest_m(self) -> float:
        """The smallest since :meth:`reset`."""
        return float(self._seen[1])

    @property
    def touched(self) -> bool:
        """Whether it was ever touched since :meth:`reset`."""
        return bool(self._seen[2] > 0.0)

    @property
    def margin_m(self) -> float:
        """Distance less the buffer [m]; negative inside the buffer."""
        return self.distance_m - self.config.buffer_m
