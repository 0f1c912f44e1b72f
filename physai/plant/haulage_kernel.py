"""Roll-over margin and place of a hauling machine, compiled."""

from __future__ import annotations

import math

import numba
import numpy as np

from physai.robot.footprint import edge_distance, inside_polygon
from physai.types import Array

__all__ = ["bed_slopes", "polygon_distance", "rollover_margin"]


@numba.njit(cache=True)
def rollover_margin(
    mass: Array,
    center_of_mass: Array,
    link_position: Array,
    link_rotation: Array,
    base: Array,
    tilt_x: float,
    tilt_y: float,
    half_length: float,
    half_gauge: float,
    out: Array,
) -> float:
    """Return the angle by which the machine may still tilt before it tips [rad].

    Quasi-static and rigid: it tips over an edge of its support rectangle when the line of
    gravity through the common centre of mass leaves it. With up = (ux, uy, uz) in the
    base frame and the centre at (x, y, h), over the left edge

        margin = atan2(b / 2 - y, h) - atan2(-uy, uz)

    and alike over the other three; on level ground tan(angle) = (b / 2) / h.

    Args:
        mass: (L,) of every link [kg].
        center_of_mass: (L, 3) in link frames [m].
        link_position: (L, 3) in the world [m].
        link_rotation: (L, 3, 3).
        base: (7,) pose of the base.
        tilt_x: Error of a measured inclination about the base's x [rad]; 0 for none.
        tilt_y: About its y.
        half_length: Half of the tracks' contact [m].
        half_gauge: Half of the gauge [m].
        out: (3,) centre of mass in the base frame [m], filled.

    Returns:
        The smallest of the four margins; negative while it tips over.
    """
    qx, qy, qz, qw = base[3], base[4], base[5], base[6]
    r = np.empty((3, 3))
    r[0, 0], r[1, 1] = 1.0 - 2.0 * (qy * qy + qz * qz), 1.0 - 2.0 * (qx * qx + qz * qz)
    r[2, 2] = 1.0 - 2.0 * (qx * qx + qy * qy)
    r[0, 1], r[1, 0] = 2.0 * (qx * qy - qz * qw), 2.0 * (qx * qy + qz * qw)
    r[0, 2], r[2, 0] = 2.0 * (qx * qz + qy * qw), 2.0 * (qx * qz - qy * qw)
    r[1, 2], r[2, 1] = 2.0 * (qy * qz - qx * qw), 2.0 * (qy * qz + qx * qw)
    total, world = 0.0, np.zeros(3)
    for i in range(mass.shape[0]):
        if mass[i] <= 0.0:
            continue
        total += mass[i]
        for a in range(3):
            place = link_position[i, a] - base[a]
            for b in range(3):
                place += link_rotation[i, a, b] * center_of_mass[i, b]
            world[a] += mass[i] * place
    for a in range(3):
        out[a] = 0.0
        for b in range(3):
            out[a] += r[b, a] * world[b] / total
    # The world's vertical in the base frame is the last row of its rotation.
    roll = math.atan2(r[2, 1], r[2, 2]) + tilt_x
    pitch = math.atan2(-r[2, 0], r[2, 2]) + tilt_y
    x, y, h = out[0], out[1], out[2]
    sideways = min(
        math.atan2(half_gauge - y, h) + roll, math.atan2(half_gauge + y, h) - roll
    )
    lengthwise = min(
        math.atan2(half_length - x, h) - pitch, math.atan2(half_length + x, h) + pitch
    )
    return min(sideways, lengthwise)


@numba.njit(cache=True)
def bed_slopes(rotation: Array, out: Array) -> None:
    """Write how a bed slopes.

    Args:
        rotation: (3, 3) of the bed: x along its floor to the front, z its normal.
        out: (2,) slope of the floor toward its rear [rad], angle of its normal to the
            vertical [rad].
    """
    out[0] = math.asin(min(1.0, max(-1.0, rotation[2, 0])))
    out[1] = math.acos(min(1.0, max(-1.0, rotation[2, 2])))


@numba.njit(cache=True)
def polygon_distance(corners: Array, polygon: Array) -> float:
    """Return how far the nearest corner is inside a polygon [m]; negative outside.

    Args:
        corners: (4, 2) of a footprint.
        polygon: (K, 2).
    """
    best = np.inf
    for k in range(4):
        d = edge_distance(corners[k, 0], corners[k, 1], polygon)
        if not inside_polygon(corners[k, 0], corners[k, 1], polygon):
            d = -d
        best = min(best, d)
    return best
