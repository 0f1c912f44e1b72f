"""Geometry of a haul in numba: what the ground, the people, the lidar are like ahead.

Frames: *base* is the machine's (x forward, y left). Slopes come from the site's map at the
place where the machine believes to be.
"""

from __future__ import annotations

import math

import numba
import numpy as np
import numpy.typing as npt

from physai.plant.ground import ground_height
from physai.tasks.observation import turn_into
from physai.types import Array

__all__ = ["put_person", "put_sectors", "put_slopes"]

_HALF_LENGTH_M, _HALF_GAUGE_M = 1.7, 1.0
"""Over which the slope ahead is taken: half of the tracks' contact and of the gauge."""


@numba.njit(cache=True)
def put_slopes(
    x: float,
    y: float,
    c: float,
    s: float,
    look: Array,
    heights: Array,
    grid: Array,
    out: Array,
) -> None:
    """Write the steepest slope along and across the heading on the way ahead [rad].

    Args:
        x: Of the machine, world [m].
        y: The same.
        c: Cosine of its heading.
        s: Sine of it.
        look: (2,) where the way ahead begins and ends [m].
        heights: Of the site.
        grid: The same.
        out: (2,) filled.
    """
    place, h = np.empty(4), np.empty(4)
    along = across = 0.0
    for k in range(4):
        d = look[0] + (look[1] - look[0]) * k / 3.0
        # At the size of the machine: ground under its tracks tilts it, not a point.
        for e in range(4):
            u = d + (_HALF_LENGTH_M if e == 0 else -_HALF_LENGTH_M if e == 1 else 0.0)
            v = _HALF_GAUGE_M if e == 2 else -_HALF_GAUGE_M if e == 3 else 0.0
            ground_height(x + u * c - v * s, y + u * s + v * c, heights, grid, place)
            h[e] = place[0]
        up = math.atan2(h[0] - h[1], 2.0 * _HALF_LENGTH_M)
        left = math.atan2(h[2] - h[3], 2.0 * _HALF_GAUGE_M)
        along = up if abs(up) > abs(along) else along
        across = left if abs(left) > abs(across) else across
    out[0], out[1] = along, across


@numba.njit(cache=True)
def put_person(pose: Array, c: float, s: float, people: Array, out: Array) -> None:
    """Write the nearest person in the base frame and their distance [m]."""
    best = np.inf
    for p in range(people.shape[0]):
        x = y = 0.0
        for k in range(people.shape[1]):
            x += 0.5 * (people[p, k, 0] + people[p, k, 3]) / people.shape[1]
            y += 0.5 * (people[p, k, 1] + people[p, k, 4]) / people.shape[1]
        dx, dy = x - pose[0], y - pose[1]
        d = math.sqrt(dx * dx + dy * dy)
        if d < best:
            best = d
            out[0], out[1] = turn_into(dx, dy, c, s)
            out[2] = d


@numba.njit(cache=True)
def put_sectors(ranges: Array, reach: float, out: npt.NDArray[np.float32]) -> None:
    """Write the nearest return of every sector, from right to left [m].

    A ray on the border of two sectors counts to the left one.
    """
    n, sectors = ranges.shape[0], out.shape[0]
    for k in range(sectors):
        out[k] = reach
        for i in range(k * n // sectors, (k + 1) * n // sectors):
            if 0.0 < ranges[i] < out[k]:
                out[k] = ranges[i]
