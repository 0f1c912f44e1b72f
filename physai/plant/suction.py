"""Suction cups: what they hold, how a seal forms, when it lets go.

Each cup pulls with F = dp A (gauge vacuum times effective area). Cups sit at the corners
of a rectangle; a load with force N away from the cups, shear S along them and moments
is held while no cup is pulled harder than F and friction carries the shear:

    t_max = N / n + |M_x| / (n a_y) + |M_y| / (n a_x) <= F        (n cups at +-a_x, +-a_y)
    S + |M_z| / r <= mu (n F - N)

Straight up, that is the handbook's F_total = m (g + a) with safety factor 1. The margin
is the factor by which the load could grow until one of the two is reached; the handbook
asks for 2 where the face is level (design default in the facts behind this project).
"""

from __future__ import annotations

import math
from typing import Annotated, NamedTuple

import numba
from pydantic import Field

from physai.config import Config
from physai.types import Array

__all__ = ["Grip", "SuctionConfig", "find_seal", "holding_margin"]

Positive = Annotated[float, Field(gt=0.0)]

MARGIN_MOST = 10.0
"""A margin is reported up to here: more says nothing."""


class SuctionConfig(Config):
    """Four cups at the corners of a rectangle, and their vacuum."""

    cup_half_x_m: Positive
    """Middles of the cups in the tool frame: x at plus and minus this."""
    cup_half_y_m: Positive
    cup_radius_m: Positive
    effective_area_m2: Positive
    """Of one cup."""
    working_vacuum_kpa: Positive
    """Gauge, on a face of seal quality 1."""
    leak_vacuum_kpa: Annotated[float, Field(ge=0.0)]
    """What the ejector reaches with the cups open."""
    evacuation_time_s: Positive
    """To 90 % of the working vacuum."""
    friction: Positive
    seal_gap_m: Positive
    """No seal forms over a larger gap."""
    seal_tilt_rad: Positive
    """No seal forms on a face that is tilted more."""
    give_time_s: Positive
    """Bellows give way: lips feel a load with this time constant."""
    source: str


class Grip(NamedTuple):
    """What a gripper can hold now.

    Attributes:
        cup_force_n: Of one cup.
        half_x_m: Places of the cups.
        half_y_m: The same.
        friction: Between cup and face.
        give_time_s: Time constant with which the lips feel a load.
    """

    cup_force_n: float
    half_x_m: float
    half_y_m: float
    friction: float
    give_time_s: float


@numba.njit(cache=True)
def holding_margin(
    normal: float,
    shear: float,
    moment_x: float,
    moment_y: float,
    moment_z: float,
    cup_force: float,
    half_x: float,
    half_y: float,
    friction: float,
) -> float:
    """Return the factor by which a load could grow until four cups let go.

    Args:
        normal: Pull away from the cups [N]; a push is negative and presses them on.
        shear: Along the face [N].
        moment_x: About the tool's axes, at the middle of the cups [N m].
        moment_y: The same.
        moment_z: The same.
        cup_force: F of one cup [N].
        half_x: Places of the cups [m].
        half_y: The same.
        friction: Between cup and face.
    """
    tension = 0.25 * (normal + abs(moment_x) / half_y + abs(moment_y) / half_x)
    margin = MARGIN_MOST
    if tension > 1e-9:
        margin = min(margin, cup_force / tension)
    side = shear + abs(moment_z) / math.sqrt(half_x * half_x + half_y * half_y)
    rest = side + friction * normal
    if rest > 1e-9:
        margin = min(margin, friction * 4.0 * cup_force / rest)
    return float(max(0.0, margin))


@numba.njit(cache=True)
def find_seal(
    tool: Array,
    poses: Array,
    sizes: Array,
    half_x: float,
    half_y: float,
    radius: float,
    gap_most: float,
    tilt_most: float,
    out: Array,
) -> int:
    """Find the box on whose upper face all four cups could seal.

    Args:
        tool: (7,) cup plane in the world, z out of the cups.
        poses: (K, 7) of the boxes' middles.
        sizes: (K, 3) [m].
        half_x: Places of the cups [m].
        half_y: The same.
        radius: Of a cup [m].
        gap_most: Largest gap between cup plane and face [m].
        tilt_most: Largest angle between them [rad].
        out: (2,) gap [m] and tilt [rad] of the box found.

    Returns:
        Its index; -1 for none.
    """
    tx, ty, tz = _column(tool, 0), _column(tool, 1), _column(tool, 2)
    best, found = gap_most, -1
    for k in range(poses.shape[0]):
        dx, dy, dz = (
            tool[0] - poses[k, 0],
            tool[1] - poses[k, 1],
            tool[2] - poses[k, 2],
        )
        near = sizes[k, 0] + sizes[k, 1] + sizes[k, 2]
        if dx * dx + dy * dy + dz * dz > near * near:
            continue
        bx, by, bz = _column(poses[k], 0), _column(poses[k], 1), _column(poses[k], 2)
        gap = dx * bz[0] + dy * bz[1] + dz * bz[2] - 0.5 * sizes[k, 2]
        cosine = -(tz[0] * bz[0] + tz[1] * bz[1] + tz[2] * bz[2])
        tilt = math.acos(min(1.0, max(-1.0, cosine)))
        if not abs(gap) < best or not tilt < tilt_most:
            continue
        inside = True
        for i in range(4):
            u = half_x if i % 2 else -half_x
            v = half_y if i // 2 else -half_y
            px = dx + u * tx[0] + v * ty[0]
            py = dy + u * tx[1] + v * ty[1]
            pz = dz + u * tx[2] + v * ty[2]
            x = px * bx[0] + py * bx[1] + pz * bx[2]
            y = px * by[0] + py * by[1] + pz * by[2]
            inside = inside and abs(x) < 0.5 * sizes[k, 0] - radius
            inside = inside and abs(y) < 0.5 * sizes[k, 1] - radius
        if inside:
            best, found = abs(gap), k
            out[0], out[1] = gap, tilt
    return found


@numba.njit(cache=True)
def _column(pose: Array, axis: int) -> tuple[float, float, float]:
    """Return an axis of a (7,) pose in the world."""
    x, y, z, w = pose[3], pose[4], pose[5], pose[6]
    if axis == 0:
        return (
            1.0 - 2.0 * (y * y + z * z),
            2.0 * (x * y + z * w),
            2.0 * (x * z - y * w),
        )
    if axis == 1:
        return (
            2.0 * (x * y - z * w),
            1.0 - 2.0 * (x * x + z * z),
            2.0 * (y * z + x * w),
        )
    return 2.0 * (x * z + y * w), 2.0 * (y * z - x * w), 1.0 - 2.0 * (x * x + y * y)
