"""Arithmetic of LogisticsCrossing: the route, and what the policy sees, compiled."""

from __future__ import annotations

import math

import numba
import numpy as np
import numpy.typing as npt

from physai.body.heading import heading_of, wrap
from physai.body.person import SEGMENTS
from physai.tasks.observation import fill_sectors, find_nearest, turn_into
from physai.types import Array

__all__ = ["NAMES", "PEOPLE", "SECTORS", "bounds", "follow", "observe", "route_at"]

SECTORS = 24
"""Sectors of the lidar in the observation; each shows its nearest range."""

PEOPLE = 2
"""So many of the nearest tracked people are shown."""

_FAR_M = 10.0

_PELVIS = SEGMENTS.index("pelvis")
"""Stands for the person."""

NAMES = (
    "lateral_offset_from_route_m",
    "heading_error_to_route_rad",
    "way_to_drop_m",
    "speed_m_s",
    "yaw_rate_rad_s",
    "route_curvature_here_per_m",
    "route_curvature_2m_ahead_per_m",
    "mast_height_m",
    "mast_speed_m_s",
    "load_kg",
    "in_approach_zone",
    "in_crossing_zone",
    "way_to_crossing_m",
    "pallet_on_floor",
    "bumper",
    "share_of_time",
    *(f"lidar_sector_{i}_of_{SECTORS}_m" for i in range(SECTORS)),
    *(f"person_{i}_{axis}_in_base_m" for i in range(PEOPLE) for axis in "xy"),
)
"""Sectors go from the right to the left of the lidar's view."""


def bounds() -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Return low and high of the observation; what lies beyond is cut to them."""
    low = [-3.0, -3.2, -10.0, -5.0, -2.0, -1.0, -1.0, -0.1, -1.0, 0.0]
    high = [3.0, 3.2, 40.0, 5.0, 2.0, 1.0, 1.0, 3.1, 1.0, 2100.0]
    low += [0.0, 0.0, -30.0, 0.0, 0.0, 0.0]
    high += [1.0, 1.0, 30.0, 1.0, 1.0, 1.0]
    low += [0.0] * SECTORS + [-_FAR_M] * (2 * PEOPLE)
    high += [_FAR_M] * SECTORS + [_FAR_M] * (2 * PEOPLE)
    return np.array(low, dtype=np.float32), np.array(high, dtype=np.float32)


@numba.njit(cache=True)
def route_at(x: float, first: float, last: float, offset: float, out: Array) -> None:
    """Write the route's y [m], heading [rad] and curvature [1/m] at an x.

    Straight, then over to ``offset`` between ``first`` and ``last`` by a quintic with
    no slope and no curvature at either end, then straight.

    Args:
        x: World [m].
        first: Where the shift begins [m].
        last: Where it ends [m].
        offset: y after it [m].
        out: (3,) filled.
    """
    length = last - first
    s = min(1.0, max(0.0, (x - first) / length))
    rise = s * s * s * (10.0 + s * (6.0 * s - 15.0))
    slope = 30.0 * s * s * (1.0 - s) ** 2 * offset / length
    bend = 60.0 * s * (1.0 - s) * (1.0 - 2.0 * s) * offset / (length * length)
    out[0] = offset * rise
    out[1] = math.atan(slope)
    out[2] = bend / (1.0 + slope * slope) ** 1.5


@numba.njit(cache=True)
def follow(
    pose: Array,
    drop: Array,
    reach: float,
    first: float,
    straight: float,
    out: Array,
) -> None:
    """Write how the truck stands to its route.

    Args:
        pose: (7,) of the base in the world.
        drop: (3,) x and y of the pallet's place [m] and its heading.
        reach: From the base's origin to the pallet's middle [m].
        first: Where the shift begins [m].
        straight: Length of the last straight piece [m].
        out: (5,) lateral offset (left positive) [m], heading error [rad], way to the
            drop place [m], curvature here and 2 m ahead [1/m].
    """
    at, goal = np.empty(3), drop[0] - reach
    last = goal - straight
    route_at(pose[0] + 2.0, first, last, drop[1], at)
    out[4] = at[2]
    route_at(pose[0], first, last, drop[1], at)
    out[0] = (pose[1] - at[0]) * math.cos(at[1])
    out[1] = wrap(heading_of(pose) - at[1])
    out[2] = goal - pose[0]
    out[3] = at[2]


@numba.njit(cache=True)
def _nearest_people(pose: Array, people: Array, out: npt.NDArray[np.float32]) -> None:
    """Places of the nearest people's trunks in the base frame [m]."""
    c = 1.0 - 2.0 * pose[5] * pose[5]
    s = 2.0 * pose[5] * pose[6]
    nearest = np.empty(PEOPLE, dtype=np.int64)
    find_nearest(pose[0], pose[1], people, _PELVIS, nearest)
    for i in range(PEOPLE):
        out[2 * i], out[2 * i + 1] = _FAR_M, _FAR_M
        if nearest[i] < 0:
            continue
        pelvis = people[nearest[i], _PELVIS]
        dx = 0.5 * (pelvis[0] + pelvis[3]) - pose[0]
        dy = 0.5 * (pelvis[1] + pelvis[4]) - pose[1]
        out[2 * i], out[2 * i + 1] = turn_into(dx, dy, c, s)


@numba.njit(cache=True)
def observe(
    place: Array,
    pose: Array,
    velocity: Array,
    mast: float,
    extras: Array,
    ranges: Array,
    people: Array,
    zones: Array,
    share_of_time: float,
    low: npt.NDArray[np.float32],
    high: npt.NDArray[np.float32],
    out: npt.NDArray[np.float32],
) -> None:
    """Write the observation of :data:`NAMES`, cut into its bounds.

    Args:
        place: (5,) of :func:`follow`.
        pose: (7,) of the base.
        velocity: (3,) forward [m/s], turning [rad/s], mast [m/s].
        mast: Height [m].
        extras: (6,) of the delivery.
        ranges: (L,) lidar [m].
        people: (P, S, 7) tracks.
        zones: (2, 2) x from, to of approach and crossing zone [m].
        share_of_time: That has passed.
        low: (o,) bounds.
        high: (o,).
        out: (o,) filled.
    """
    x = pose[0]
    out[0], out[1], out[2] = place[0], place[1], place[2]
    out[3], out[4] = velocity[0], velocity[1]
    out[5], out[6] = place[3], place[4]
    out[7], out[8], out[9] = mast, velocity[2], extras[3]
    for i in range(2):
        out[10 + i] = 1.0 if zones[i, 0] <= x <= zones[i, 1] else 0.0
    out[12] = zones[1, 0] - x
    out[13], out[14], out[15] = extras[4], extras[5], share_of_time
    fill_sectors(ranges, _FAR_M, out[16 : 16 + SECTORS])
    _nearest_people(pose, people, out[16 + SECTORS :])
    for i in range(out.shape[0]):
        value = out[i] if out[i] == out[i] else low[i]
        out[i] = min(high[i], max(low[i], value))
