"""A way over a site: through given places, smooth or straight, measured along.

Smooth ways are cubic splines over the chord length (natural ends), sampled densely, so
that position, heading and the nearest place cost the same everywhere.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numba
import numpy as np
from scipy.interpolate import CubicSpline

from physai.errors import ConfigError
from physai.types import Array

__all__ = ["Route", "nearest_on_way", "place_on_way"]

_SAMPLE_M = 0.2


@numba.njit(cache=True)
def nearest_on_way(x: float, y: float, places: Array, out: Array) -> None:
    """Find the nearest place of a way.

    Args:
        x: World [m].
        y: World [m].
        places: (n, 4) x, y [m], heading [rad] and length so far [m].
        out: (4,) length so far [m], distance to the left of the way [m], heading of the
            way there [rad], distance from it [m]; filled.
    """
    best, at, share = np.inf, 0, 0.0
    for k in range(places.shape[0] - 1):
        ex, ey = places[k + 1, 0] - places[k, 0], places[k + 1, 1] - places[k, 1]
        size = max(ex * ex + ey * ey, 1e-12)
        t = ((x - places[k, 0]) * ex + (y - places[k, 1]) * ey) / size
        t = min(1.0, max(0.0, t))
        dx, dy = x - places[k, 0] - t * ex, y - places[k, 1] - t * ey
        d = dx * dx + dy * dy
        if d < best:
            best, at, share = d, k, t
    one, other = places[at], places[at + 1]
    heading = math.atan2(other[1] - one[1], other[0] - one[0])
    out[0] = one[3] + share * (other[3] - one[3])
    dx = x - one[0] - share * (other[0] - one[0])
    dy = y - one[1] - share * (other[1] - one[1])
    out[1] = dy * math.cos(heading) - dx * math.sin(heading)
    out[2], out[3] = heading, math.sqrt(best)


@numba.njit(cache=True)
def place_on_way(along: float, places: Array) -> tuple[float, float, float]:
    """Return x, y [m] and heading [rad] so far along a way; beyond an end, of the end.

    Args:
        along: Length so far [m].
        places: (n, 4) as of :func:`nearest_on_way`.
    """
    last = places.shape[0] - 1
    s = min(max(along, 0.0), places[last, 3])
    low, high = 0, last + 1
    while low < high:
        middle = (low + high) // 2
        if places[middle, 3] <= s:
            low = middle + 1
        else:
            high = middle
    k = min(max(low - 1, 0), last - 1)
    share = (s - places[k, 3]) / max(places[k + 1, 3] - places[k, 3], 1e-9)
    x = places[k, 0] + share * (places[k + 1, 0] - places[k, 0])
    y = places[k, 1] + share * (places[k + 1, 1] - places[k, 1])
    return x, y, places[k, 2]


class Route:
    """A way through places in the plane.

    Args:
        places: Of the world [m].
        smooth: Whether it is a spline; else straight from place to place.

    Raises:
        ConfigError: If two neighbouring places are the same.

    Attributes:
        places: (n, 4) x, y [m], heading [rad] and length so far [m].
        length_m: Of the whole way.
    """

    def __init__(
        self, places: Sequence[tuple[float, float]], smooth: bool = True
    ) -> None:
        given = np.array(places, dtype=np.float64)
        steps = np.linalg.norm(np.diff(given, axis=0), axis=1)
        if len(given) < 2 or not steps.min() > 0.0:
            raise ConfigError("a route needs two places or more, no two the same")
        reached = np.concatenate([[0.0], np.cumsum(steps)])
        count = max(2, math.ceil(reached[-1] / _SAMPLE_M) + 1)
        # Given places are samples too, so that corners of a straight way stay.
        at = np.union1d(np.linspace(0.0, reached[-1], count), reached)
        if smooth and len(given) > 2:
            xy = CubicSpline(reached, given, bc_type="natural")(at)
        else:
            xy = np.stack([np.interp(at, reached, given[:, c]) for c in (0, 1)], axis=1)
        step = np.diff(xy, axis=0)
        heading = np.unwrap(np.arctan2(step[:, 1], step[:, 0]))
        length = np.concatenate([[0.0], np.cumsum(np.linalg.norm(step, axis=1))])
        self.places = np.column_stack([xy, np.append(heading, heading[-1]), length])
        self.places.setflags(write=False)
        self.length_m = float(length[-1])
        self._out = np.zeros(4)

    def at(self, along_m: float) -> tuple[float, float, float]:
        """Return x, y [m] and heading [rad] so far along; beyond an end, of the end."""
        x, y, heading = place_on_way(along_m, self.places)
        return x, y, heading

    def project(self, x: float, y: float) -> tuple[float, float, float]:
        """Return length so far, distance to the left and heading at the nearest place."""
        nearest_on_way(x, y, self.places, self._out)
        along, left, heading, _ = self._out.tolist()
        return along, left, heading

    def distance(self, x: float, y: float) -> float:
        """Return the distance of a place from the way [m]."""
        nearest_on_way(x, y, self.places, self._out)
        return float(self._out[3])
