"""How far a ray goes before it enters a capsule, a box or a cylinder, in numba.

Closed forms of the entry into a convex body: sphere and infinite cylinder by the
quadratic formula, box by slabs (Kay and Kajiya 1986).
"""

from __future__ import annotations

import math

import numba

from physai.types import Array

__all__ = ["ray_box", "ray_capsule", "ray_cylinder"]


@numba.njit(cache=True)
def _enter_sphere(
    mx: float, my: float, mz: float, dx: float, dy: float, dz: float, radius: float
) -> float:
    """Return the way to a sphere from m, relative to its centre, along a unit d."""
    b = mx * dx + my * dy + mz * dz
    c = mx * mx + my * my + mz * mz - radius * radius
    if c <= 0.0:
        return 0.0
    h = b * b - c
    if b > 0.0 or h < 0.0:
        return math.inf
    return float(-b - math.sqrt(h))


@numba.njit(cache=True)
def ray_capsule(origin: Array, direction: Array, capsule: Array) -> float:
    """Return how far a ray goes before it enters a capsule [m].

    Args:
        origin: (3,) [m].
        direction: (3,) unit vector.
        capsule: (7,) end points and radius [m], in the same frame.

    Returns:
        0 from inside, infinity if it misses.
    """
    dx, dy, dz = direction[0], direction[1], direction[2]
    mx, my, mz = origin[0] - capsule[0], origin[1] - capsule[1], origin[2] - capsule[2]
    ax, ay, az = (
        capsule[3] - capsule[0],
        capsule[4] - capsule[1],
        capsule[5] - capsule[2],
    )
    radius = capsule[6]
    near = _enter_sphere(mx, my, mz, dx, dy, dz, radius)
    aa = ax * ax + ay * ay + az * az
    if aa <= 1e-14 or near == 0.0:
        return near
    other = _enter_sphere(mx - ax, my - ay, mz - az, dx, dy, dz, radius)
    near = min(near, other)
    ad = ax * dx + ay * dy + az * dz
    am = ax * mx + ay * my + az * mz
    # Everything across the axis, scaled by its length squared.
    c = aa * (mx * mx + my * my + mz * mz - radius * radius) - am * am
    if c <= 0.0 and 0.0 <= am <= aa:
        return 0.0
    a = aa - ad * ad
    b = aa * (mx * dx + my * dy + mz * dz) - am * ad
    h = b * b - a * c
    if a > 1e-12 * aa and h >= 0.0:
        t = (-b - math.sqrt(h)) / a
        if t >= 0.0 and 0.0 <= am + t * ad <= aa:
            near = min(near, t)
    return near


@numba.njit(cache=True)
def ray_box(
    ox: float, oy: float, oz: float, dx: float, dy: float, dz: float, half: Array
) -> float:
    """Return how far a ray goes before it enters a box [m].

    Args:
        ox: Origin of the ray in the box's frame [m], with ``oy`` and ``oz``.
        oy: The same.
        oz: The same.
        dx: Unit direction in the box's frame, with ``dy`` and ``dz``.
        dy: The same.
        dz: The same.
        half: (3,) half sizes [m].

    Returns:
        0 from inside, infinity if it misses.
    """
    enter, leave = 0.0, math.inf
    for i in range(3):
        o = ox if i == 0 else (oy if i == 1 else oz)
        d = dx if i == 0 else (dy if i == 1 else dz)
        if abs(d) < 1e-12:
            if abs(o) > half[i]:
                return math.inf
            continue
        first, second = (-half[i] - o) / d, (half[i] - o) / d
        enter, leave = (
            max(enter, min(first, second)),
            min(leave, max(first, second)),
        )
    return enter if enter <= leave else math.inf


@numba.njit(cache=True)
def ray_cylinder(origin: Array, direction: Array, cylinder: Array) -> float:
    """Return how far a ray goes before it enters an upright cylinder [m].

    Args:
        origin: (3,) [m].
        direction: (3,) unit vector.
        cylinder: (5,) middle, radius and height [m].

    Returns:
        0 from inside, infinity if it misses.
    """
    mx, my = origin[0] - cylinder[0], origin[1] - cylinder[1]
    mz = origin[2] - cylinder[2]
    dx, dy, dz = direction[0], direction[1], direction[2]
    enter, leave = 0.0, math.inf
    a, b = dx * dx + dy * dy, mx * dx + my * dy
    c = mx * mx + my * my - cylinder[3] * cylinder[3]
    if a < 1e-14:
        if c > 0.0:
            return math.inf
    else:
        h = b * b - a * c
        if h < 0.0:
            return math.inf
        enter, leave = max(0.0, (-b - math.sqrt(h)) / a), (-b + math.sqrt(h)) / a
    half = 0.5 * cylinder[4]
    if abs(dz) < 1e-12:
        if abs(mz) > half:
            return math.inf
    else:
        first, second = (-half - mz) / dz, (half - mz) / dz
        enter, leave = (
            max(enter, min(first, second)),
            min(leave, max(first, second)),
        )
    return enter if enter <= leave else math.inf
