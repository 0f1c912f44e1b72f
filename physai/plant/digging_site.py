"""Where trench, heap and pipe are, and what a look at the ground gives.

The trench lies ahead of the machine in the plane of its bucket, which is beside the
swing axis by the offset of the boom's foot.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numba
import numpy as np
import numpy.typing as npt

from physai.errors import ContractError
from physai.plant.earthmoving import GRAVITY
from physai.plant.scene import Outline
from physai.plant.soil_settings import SoilConfig
from physai.plant.trench import Trench
from physai.types import Array

if TYPE_CHECKING:
    from physai.plant.scenario import Scenario

__all__ = ["STATIONS", "Site", "measure", "overturning_share"]

STATIONS = 8
"""Places along the trench at which its mean height is told."""

_VALUES = (
    "trench_distance_m",
    "trench_length_m",
    "trench_depth_m",
    "trench_bearing_rad",
    "trench_offset_m",
    "heap_distance_m",
    "heap_bearing_rad",
    "pipe_share",
    "pipe_gap_m",
    "pipe_skew_rad",
)

Point = tuple[float, float, float]


@dataclass(frozen=True)
class Site:
    """Trench, heap and pipe in the machine's frame (its base, on the ground).

    Attributes:
        trench_distance_m: Near end ahead of the swing axis.
        trench_length_m: From end to end, slopes included.
        trench_depth_m: Of the bottom below the ground.
        trench_bearing_rad: Swing angle that points along the trench.
        trench_offset_m: Of its middle to the left of the swing axis; that of the boom's
            foot puts it into the bucket's plane.
        heap_distance_m: Of the heap's middle from the swing axis.
        heap_bearing_rad: Of the heap from the trench, positive to the left.
        pipe_share: Where along the trench the pipe crosses.
        pipe_gap_m: Of the pipe's top below the bottom of the trench.
        pipe_skew_rad: Of the pipe against a right angle to the trench.
        level_m: Height of the ground.
    """

    trench_distance_m: float
    trench_length_m: float
    trench_depth_m: float
    trench_bearing_rad: float
    trench_offset_m: float
    heap_distance_m: float
    heap_bearing_rad: float
    pipe_share: float
    pipe_gap_m: float
    pipe_skew_rad: float
    level_m: float

    @classmethod
    def of(cls, scenario: Scenario, level_m: float) -> Site:
        """Read the site from a scenario's values.

        Raises:
            ContractError: If a value is missing or not finite, or the pipe would lie
                in the trench.
        """
        found: dict[str, float] = {}
        for name in _VALUES:
            value = scenario.values.get(name)
            if not isinstance(value, (int, float)) or not math.isfinite(value):
                raise ContractError(
                    f'{scenario.case}: digging needs the value "{name}", a number'
                )
            found[name] = float(value)
        made = cls(**found, level_m=level_m)
        sizes = (made.trench_length_m, made.trench_depth_m, made.trench_distance_m)
        if not min(sizes) > 0.0:
            raise ContractError(
                f"{scenario.case}: distance, length and depth of the trench must be "
                "positive"
            )
        if not made.pipe_gap_m > 0.0:
            raise ContractError(
                f"{scenario.case}: the pipe must lie below the bottom of the trench, "
                f"pipe_gap_m is {made.pipe_gap_m:g}"
            )
        return made

    def displaced(self, across_m: float, down_m: float) -> Site:
        """Return the site with the pipe elsewhere: along the trench, and down."""
        return dataclasses.replace(
            self,
            pipe_share=self.pipe_share + across_m / self.trench_length_m,
            pipe_gap_m=self.pipe_gap_m + down_m,
        )

    def place(self, ahead_m: float, left_m: float) -> tuple[float, float]:
        """Return x, y of a place in the frame of the trench's bearing."""
        c, s = math.cos(self.trench_bearing_rad), math.sin(self.trench_bearing_rad)
        return c * ahead_m - s * left_m, s * ahead_m + c * left_m

    @property
    def trench(self) -> tuple[Point, Point]:
        """Near and far end, middle of the bottom."""
        z = self.level_m - self.trench_depth_m
        near = self.place(self.trench_distance_m, self.trench_offset_m)
        reach = self.trench_distance_m + self.trench_length_m
        far = self.place(reach, self.trench_offset_m)
        return (*near, z), (*far, z)

    @property
    def heap(self) -> tuple[float, float]:
        """Middle of the spoil heap."""
        angle = self.trench_bearing_rad + self.heap_bearing_rad
        d = self.heap_distance_m
        return d * math.cos(angle), d * math.sin(angle)

    @property
    def plan(self) -> tuple[float, ...]:
        """Near x, y, far x, y, bottom z, heap x, y."""
        near, far = self.trench
        return (*near[:2], *far, *self.heap)

    def pipe(self, radius_m: float, half_length_m: float) -> tuple[Point, Point]:
        """Return both ends of the pipe's axis."""
        ahead = self.trench_distance_m + self.pipe_share * self.trench_length_m
        z = self.level_m - self.trench_depth_m - self.pipe_gap_m - radius_m
        s = half_length_m * math.sin(self.pipe_skew_rad)
        c = half_length_m * math.cos(self.pipe_skew_rad)
        right = self.place(ahead - s, self.trench_offset_m - c)
        left = self.place(ahead + s, self.trench_offset_m + c)
        return (*right, z), (*left, z)

    def outlines(
        self, width_m: float, heap_radius_m: float, pipe: Array
    ) -> list[Outline]:
        """Return design, heap and (7,) planned pipe as lines, for pictures."""
        near, half = self.trench_distance_m, 0.5 * width_m
        far, middle = near + self.trench_length_m, self.trench_offset_m
        corners = [(near, -half), (far, -half), (far, half), (near, half)]
        design = [(*self.place(x, middle + y), self.level_m) for x, y in corners]
        turn = np.linspace(0.0, 2.0 * np.pi, 25)[:-1]
        hx, hy = self.heap
        heap = np.stack(
            [
                hx + heap_radius_m * np.cos(turn),
                hy + heap_radius_m * np.sin(turn),
                np.full(len(turn), self.level_m),
            ],
            axis=1,
        )
        return [
            Outline(np.array(design), (255, 255, 255), True),
            Outline(heap, (150, 100, 50), True),
            Outline(pipe[:6].reshape(2, 3), (40, 90, 220), False),
        ]

    def zone(
        self, trench: Trench, ground: SoilConfig, heap_radius_m: float
    ) -> npt.NDArray[np.int8]:
        """Return per cell 1 inside the trench, 2 on the heap, 0 elsewhere.

        Raises:
            ContractError: If trench or heap are not on the map.
        """
        nx, ny = trench.zone.shape
        x = ground.origin_m[0] + (np.arange(nx) + 0.5) * ground.cell_m
        y = ground.origin_m[1] + (np.arange(ny) + 0.5) * ground.cell_m
        hx, hy = self.heap
        places = [(hx, hy, heap_radius_m), *((*end[:2], 0.5) for end in self.trench)]
        for px, py, margin in places:
            inside = x[0] <= px - margin and px + margin <= x[-1]
            if not (inside and y[0] <= py - margin and py + margin <= y[-1]):
                raise ContractError(
                    f"trench and spoil heap must be on the ground's map; "
                    f"({px:.1f}, {py:.1f}) m is not"
                )
        heap = np.hypot(x[:, None] - hx, y[None, :] - hy) <= heap_radius_m
        zone = np.where(trench.zone == 1, 1, np.where(heap, 2, 0))
        return zone.astype(np.int8)


@numba.njit(cache=True)
def measure(
    bank: Array,
    loose: Array,
    target: Array,
    along: Array,
    zone: npt.NDArray[np.int8],
    area: float,
    out: Array,
) -> None:
    """Look at the ground as a whole.

    Args:
        bank: (nx, ny) top of the bank layer [m].
        loose: (nx, ny) [m].
        target: (nx, ny) height of the design's bottom [m].
        along: (nx, ny) share of the way along the trench; NaN outside.
        zone: (nx, ny) 1 trench, 2 heap, 0 elsewhere.
        area: Of a cell [m2].
        out: (2 + STATIONS,) loose volume on the heap and elsewhere outside the trench
            [m3], mean height above the design at every station [m].
    """
    out[:] = 0.0
    stations = out.shape[0] - 2
    count = np.zeros(stations)
    for i in range(bank.shape[0]):
        for j in range(bank.shape[1]):
            if zone[i, j] == 1:
                k = min(stations - 1, int(along[i, j] * stations))
                out[2 + k] += bank[i, j] + loose[i, j] - target[i, j]
                count[k] += 1.0
            elif loose[i, j] > 0.0:
                out[0 if zone[i, j] == 2 else 1] += loose[i, j] * area
    for k in range(stations):
        if count[k] > 0.0:
            out[2 + k] /= count[k]


@numba.njit(cache=True)
def overturning_share(
    position: Array,
    rotation: Array,
    mass: Array,
    com: Array,
    soil: Array,
    half: Array,
) -> float:
    """Overturning over restoring moment about the worst edge of the tracks.

    Weights of all links and the downward pull of load and ground on the bucket, about
    each of the four edges of the area that the tracks stand on; quasi-static. At
    1 the machine tips. ISO 10567 rates lifting at 75 % of the tipping load (recalled).

    Args:
        position: (L, 3) links in the world [m]; the first is the carriage.
        rotation: (L, 3, 3).
        mass: (L,) [kg].
        com: (L, 3) centres of mass in the links' frames [m].
        soil: (4, 6) points [m] and forces [N] on the bucket.
        half: (2,) half length and half width of the support [m].
    """
    worst = 0.0
    for edge in range(4):
        axis = edge // 2
        sign = 1.0 if edge % 2 == 0 else -1.0
        over, restoring = 0.0, 1e-9
        for k in range(position.shape[0] + soil.shape[0]):
            if k < position.shape[0]:
                out = 0.0
                for r in range(3):
                    p = position[k, r] - position[0, r]
                    for c in range(3):
                        p += rotation[k, r, c] * com[k, c]
                    out += sign * rotation[0, r, axis] * p
                moment = mass[k] * GRAVITY * (out - half[axis])
            else:
                row = soil[k - position.shape[0]]
                out = 0.0
                for r in range(3):
                    out += sign * rotation[0, r, axis] * (row[r] - position[0, r])
                # Ground that bears a bucket pressed on it lifts the tracks on purpose.
                down = max(0.0, -row[5])
                moment = down * (out - half[axis])
            if moment > 0.0:
                over += moment
            else:
                restoring -= moment
        worst = max(worst, over / restoring)
    return float(worst)
