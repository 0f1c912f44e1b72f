"""Geometry of a night round in numba: route, place, people, speeds for an action.

The *base frame* is the robot's: x forward, y left, z up, on the floor between the drive
wheels. Extras come in the order of :data:`physai.plant.night_round.EXTRAS`.
"""

from __future__ import annotations

import numba
import numpy as np
import numpy.typing as npt

from physai.plant.night_round_kernel import CHEST, PELVIS, on_bed
from physai.robot.kinematics import chain_of, fill_jacobian, place
from physai.tasks.motion import cut_entry
from physai.tasks.observation import find_nearest, turn_into
from physai.tasks.twist import joints_from_twist
from physai.types import Array

__all__ = ["command", "fill_tracks", "follow", "placed"]

Integers = npt.NDArray[np.int64]

(
    MISSION,
    HELD,
    TILT,
    BED_EXIT,
    ACKNOWLEDGED,
    LIGHT,
    EXIT_ZONE,
    SHEET,
    TABLE_X,
    TABLE_Y,
    BADGE_X,
    BADGE_Y,
) = range(12)
"""Places of the extras."""


@numba.njit(cache=True)
def follow(x: float, y: float, route: Array, ahead: float, out: Array) -> None:
    """Find a place on a route.

    Args:
        x: Of the base [m].
        y: The same.
        route: (K, 2) corners [m].
        ahead: How far along the route the point to steer for is [m].
        out: (4,) out: offset to the left of the route, way left to its end, x and y of
            the point ahead, world [m].
    """
    best, at, offset, total = np.inf, 0.0, 0.0, 0.0
    for k in range(route.shape[0] - 1):
        ex, ey = route[k + 1, 0] - route[k, 0], route[k + 1, 1] - route[k, 1]
        size = np.sqrt(ex * ex + ey * ey)
        dx, dy = x - route[k, 0], y - route[k, 1]
        share = min(1.0, max(0.0, (dx * ex + dy * ey) / (size * size)))
        away = (dx - share * ex) ** 2 + (dy - share * ey) ** 2
        if away < best - 1e-9:
            best, at = away, total + share * size
            offset = (ex * dy - ey * dx) / size
        total += size
    out[0], out[1] = offset, total - at
    rest = at + ahead
    for k in range(route.shape[0] - 1):
        ex, ey = route[k + 1, 0] - route[k, 0], route[k + 1, 1] - route[k, 1]
        size = np.sqrt(ex * ex + ey * ey)
        last = k == route.shape[0] - 2
        if rest <= size or last:
            share = rest / size
            out[2], out[3] = route[k, 0] + share * ex, route[k, 1] + share * ey
            return
        rest -= size


@numba.njit(cache=True)
def placed(
    table_x: float, table_y: float, c: float, s: float, from_table: Array, out: Array
) -> None:
    """Write the TCP of the placed item in the base frame, by the measured table.

    Args:
        table_x: Of the table in the base frame [m].
        table_y: The same.
        c: Cosine of the base's heading in the world.
        s: Its sine.
        from_table: (3,) x and y from the table along the axes of the world, and height
            above the floor [m].
        out: (3,) out [m].
    """
    out[0] = table_x + from_table[0] * c + from_table[1] * s
    out[1] = table_y - from_table[0] * s + from_table[1] * c
    out[2] = from_table[2]


@numba.njit(cache=True)
def fill_tracks(
    people: Array,
    x: float,
    y: float,
    c: float,
    s: float,
    site: Array,
    far: float,
    out: npt.NDArray[np.float32],
) -> None:
    """Write place, height and whether off the bed of the nearest tracks.

    Args:
        people: (P, S, 7) tracks.
        x: Of the base, world [m].
        y: The same.
        c: Cosine of its heading.
        s: Its sine.
        site: Figures of :class:`physai.plant.night_round_kernel.Figure`.
        far: Where nothing is seen [m].
        out: (4 n,) of n tracks.
    """
    count = out.shape[0] // 4
    nearest, where = np.empty(count, dtype=np.int64), np.empty(3)
    find_nearest(x, y, people, PELVIS, nearest)
    for t in range(count):
        k = 4 * t
        out[k], out[k + 1] = far, 0.0
        out[k + 2], out[k + 3] = 1.0, 0.0
        if nearest[t] < 0:
            continue
        body = people[nearest[t]]
        for i in range(3):
            where[i] = 0.5 * (body[PELVIS, i] + body[PELVIS, 3 + i])
        out[k], out[k + 1] = turn_into(where[0] - x, where[1] - y, c, s)
        out[k + 2] = 0.5 * (body[CHEST, 2] + body[CHEST, 5])
        out[k + 3] = 0.0 if on_bed(where, site) else 1.0


@numba.njit(cache=True)
def command(
    action: Array,
    scale: Array,
    position: Array,
    posture: Array,
    gain: float,
    damping: float,
    velocity_max: Array,
    tool: int,
    buffer: Array,
    size: Integers,
    out: Array,
) -> None:
    """Write the actuator velocities of an action; NaN stays NaN.

    Args:
        action: (10,) base linear, base angular, twist of the tool in the base frame,
            two tool channels.
        scale: (8,) what 1.0 stands for.
        position: (n,) actuators.
        posture: (n,) preferred, for the null space of the arm.
        gain: Pull toward it [1/s].
        damping: See :func:`physai.tasks.twist.joints_from_twist`.
        velocity_max: (n,) limits.
        tool: Link of the tool's frame.
        buffer: Of a kinematics whose base is at the origin; placed.
        size: The same.
        out: (n,) [m/s or rad/s].
    """
    twist, size_of_twist = np.empty(6), 0.0
    for i in range(8):
        value = scale[i] * cut_entry(action[i])
        if i < 2:
            out[i] = value
        else:
            twist[i - 2] = value
            size_of_twist += twist[i - 2] ** 2
    n = position.shape[0] - 2
    if size_of_twist < 1e-10:
        # An arm that is not asked to move stands, without creeping to its posture.
        out[2:] = 0.0
        return
    chain = chain_of(buffer, size)
    place(position, chain)
    at = chain.link_position[tool]
    fill_jacobian(tool, at[0], at[1], at[2], chain)
    jacobian, joints = np.empty((6, n)), np.empty(n)
    jacobian[:] = chain.jacobian[:, 2:]
    joints_from_twist(
        jacobian,
        twist,
        position[2:].copy(),
        posture[2:].copy(),
        gain,
        damping,
        velocity_max[2:].copy(),
        joints,
    )
    out[2:] = joints
