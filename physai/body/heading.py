"""Headings in the plane: of a pose, and the difference of two."""

from __future__ import annotations

import math

import numba

from physai.types import Array

__all__ = ["heading_of", "wrap"]


@numba.njit(cache=True)
def wrap(angle: float) -> float:
    """Return an angle within (-pi, pi] [rad]."""
    return math.atan2(math.sin(angle), math.cos(angle))


@numba.njit(cache=True)
def heading_of(pose: Array) -> float:
    """Return the heading of a (7,) pose's x axis seen from above [rad]."""
    qx, qy, qz, qw = pose[3], pose[4], pose[5], pose[6]
    return math.atan2(2.0 * (qx * qy + qz * qw), 1.0 - 2.0 * (qy * qy + qz * qz))
