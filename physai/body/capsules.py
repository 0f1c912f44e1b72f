"""Closest points of capsules: the geometry under guard and contact model.

A capsule row is ``p0x p0y p0z p1x p1y p1z radius`` [m]. Everything is numba on
scalars without allocation, since this runs for every pair of robot shape and person
segment in every control step.
"""

from __future__ import annotations

import math

import numba
import numpy as np

from physai.types import Array

__all__ = ["closest_fractions", "closest_points", "turn_from_z"]


@numba.njit(cache=True)
def closest_fractions(a: Array, b: Array) -> tuple[float, float]:
    """Return where two capsules' axes are closest, as fractions of their lengths.

    Closest points of two segments after Ericson, Real-Time Collision Detection 5.1.9,
    which also covers parallel segments and segments of no length.

    Args:
        a: (7,) capsule.
        b: (7,) capsule.

    Returns:
        Fraction along each axis, both in [0, 1].
    """
    ux, uy, uz = a[3] - a[0], a[4] - a[1], a[5] - a[2]
    vx, vy, vz = b[3] - b[0], b[4] - b[1], b[5] - b[2]
    wx, wy, wz = a[0] - b[0], a[1] - b[1], a[2] - b[2]
    uu = ux * ux + uy * uy + uz * uz
    vv = vx * vx + vy * vy + vz * vz
    vw = vx * wx + vy * wy + vz * wz
    tiny = 1e-14
    if uu <= tiny and vv <= tiny:
        return 0.0, 0.0
    if uu <= tiny:
        return 0.0, min(1.0, max(0.0, vw / vv))
    uw = ux * wx + uy * wy + uz * wz
    if vv <= tiny:
        return min(1.0, max(0.0, -uw / uu)), 0.0
    uv = ux * vx + uy * vy + uz * vz
    determinant = uu * vv - uv * uv
    s = 0.0
    if determinant > tiny * uu * vv:
        s = min(1.0, max(0.0, (uv * vw - uw * vv) / determinant))
    t = (uv * s + vw) / vv
    if t < 0.0:
        t = 0.0
        s = min(1.0, max(0.0, -uw / uu))
    elif t > 1.0:
        t = 1.0
        s = min(1.0, max(0.0, (uv - uw) / uu))
    return s, t


@numba.njit(cache=True)
def closest_points(
    a: Array, b: Array, point_a: Array, point_b: Array, normal: Array
) -> float:
    """Compute the distance of two capsules and where it is.

    Args:
        a: (7,) capsule, the robot's.
        b: (7,) capsule, the person's.
        point_a: (3,) out: closest point on the axis of ``a`` [m].
        point_b: (3,) out: closest point on the axis of ``b`` [m].
        normal: (3,) out: unit vector from ``b`` to ``a``. Where the axes cross, any
            direction across both.

    Returns:
        Distance of the surfaces [m]; negative where they overlap.
    """
    s, t = closest_fractions(a, b)
    total = 0.0
    for i in range(3):
        point_a[i] = a[i] + s * (a[3 + i] - a[i])
        point_b[i] = b[i] + t * (b[3 + i] - b[i])
        normal[i] = point_a[i] - point_b[i]
        total += normal[i] * normal[i]
    length = np.sqrt(total)
    if length > 1e-9:
        for i in range(3):
            normal[i] /= length
        return float(length - a[6] - b[6])
    ux, uy, uz = a[3] - a[0], a[4] - a[1], a[5] - a[2]
    vx, vy, vz = b[3] - b[0], b[4] - b[1], b[5] - b[2]
    nx, ny, nz = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
    size = np.sqrt(nx * nx + ny * ny + nz * nz)
    if size > 1e-12:
        normal[0], normal[1], normal[2] = nx / size, ny / size, nz / size
    else:
        # Both along one line: any direction across it will do; up is one of them
        # unless the line itself is upright.
        if ux * ux + uy * uy + vx * vx + vy * vy > 1e-18:
            normal[0], normal[1], normal[2] = 0.0, 0.0, 1.0
        else:
            normal[0], normal[1], normal[2] = 1.0, 0.0, 0.0
    return float(-a[6] - b[6])


def turn_from_z(axis: Array) -> tuple[float, float, float, float]:
    """Return the quaternion x y z w that turns z onto a (3,) axis of any length."""
    size = float(np.linalg.norm(axis))
    if size < 1e-9:
        return (0.0, 0.0, 0.0, 1.0)
    x, y, z = (axis / size).tolist()
    if z < -0.999999:
        return (1.0, 0.0, 0.0, 0.0)
    w = math.sqrt(0.5 * (1.0 + z))
    return (-y / (2 * w), x / (2 * w), 0.0, w)
