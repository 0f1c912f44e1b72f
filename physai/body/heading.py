"""Headings in the plane: of a pose, the difference of two, and of a rectangle."""

from __future__ import annotations

import math

import numba

from physai.types import Array

__all__ = ["half_turn", "heading_of", "wrap"]


@numba.njit(cache=True)
def wrap(angle: float) -> float:
    """Return an angle within (-pi, pi] [rad]."""
    return math.atan2(math.sin(angle), math.cos(angle))


@numba.njit(cache=True)
def heading_of(pose: Array) -> float:
    """Return the heading of a (7,) pose's x axis seen from above [rad]."""
    qx, qy, qz, qw = pose[3], pose[4], pose[5], pose[6]
    return math.atan2(2.0 * (qx * qy + qz * qw), 1.0 - 2.0 * (qy * qy + qz * qz))


@numba.njit(cache=True)
def half_turn(angle: float) -> float:
    """Return the equal angle of a rectangle in [-pi/2, pi/2)."""
    return angle - math.pi * math.floor(angle / math.pi + 0.5)
