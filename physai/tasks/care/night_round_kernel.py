"""Geometry of a night round in numba: route, observation, command, progress.

The *base frame* is the robot's: x forward, y left, z up, on the floor between the drive
wheels. Extras come in the order of :data:`physai.plant.night_round.EXTRAS`.
"""

from __future__ import annotations

import numba
import numpy as np
import numpy.typing as npt

from physai.plant.night_round_kernel import CHEST, PELVIS, on_bed
from physai.robot.description import Robot
from physai.robot.kinematics import chain_of, fill_jacobian, place
from physai.tasks.care.night_round_settings import ActionSettings
from physai.tasks.task import Spaces
from physai.tasks.twist import joints_from_twist
from physai.types import Array

__all__ = ["SECTORS", "TRACKS", "command", "follow", "observe", "spaces_of", "yaw_of"]

Integers = npt.NDArray[np.int64]

SECTORS = 12
"""Of the lidar, from behind on the right counter-clockwise."""
TRACKS = 2
"""Nearest tracks of people that are shown."""
FAR_M = 8.0
"""Where nothing is seen, within the bounds of an observation."""


@numba.njit(cache=True)
def yaw_of(pose: Array) -> float:
    """Return the heading of a (7,) pose [rad]."""
    qx, qy, qz, qw = pose[3], pose[4], pose[5], pose[6]
    return float(np.arctan2(2.0 * (qx * qy + qz * qw), 1.0 - 2.0 * (qy * qy + qz * qz)))


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
def _fill_sectors(ranges: Array, out: npt.NDArray[np.float32], first: int) -> None:
    """Write the nearest range of every sector; 0 (no measurement) is left out."""
    count = ranges.shape[0]
    for k in range(SECTORS):
        out[first + k] = FAR_M
    for i in range(count):
        k = first + (i * SECTORS) // count
        if ranges[i] > 0.0 and ranges[i] < out[k]:
            out[k] = ranges[i]


@numba.njit(cache=True)
def _fill_tracks(
    people: Array,
    x: float,
    y: float,
    yaw: float,
    site: Array,
    out: npt.NDArray[np.float32],
    first: int,
) -> None:
    """Write place, height and whether off the bed of the nearest tracks."""
    c, s = np.cos(yaw), np.sin(yaw)
    taken = -1
    for t in range(TRACKS):
        place, best, found = first + 4 * t, np.inf, -1
        for p in range(people.shape[0]):
            if p == taken:
                continue
            dx = 0.5 * (people[p, PELVIS, 0] + people[p, PELVIS, 3]) - x
            dy = 0.5 * (people[p, PELVIS, 1] + people[p, PELVIS, 4]) - y
            if dx * dx + dy * dy < best:
                best, found = dx * dx + dy * dy, p
        out[place], out[place + 1] = FAR_M, 0.0
        out[place + 2], out[place + 3] = 1.0, 0.0
        if found < 0:
            continue
        taken = found
        body, where = people[found], np.empty(2)
        where[0] = 0.5 * (body[PELVIS, 0] + body[PELVIS, 3])
        where[1] = 0.5 * (body[PELVIS, 1] + body[PELVIS, 4])
        dx, dy = where[0] - x, where[1] - y
        out[place], out[place + 1] = dx * c + dy * s, -dx * s + dy * c
        out[place + 2] = 0.5 * (body[CHEST, 2] + body[CHEST, 5])
        out[place + 3] = 0.0 if on_bed(where, site) else 1.0


@numba.njit(cache=True)
def observe(
    base: Array,
    position: Array,
    velocity: Array,
    extras: Array,
    ranges: Array,
    people: Array,
    people_age: float,
    time_share: float,
    route: Array,
    ahead: float,
    site: Array,
    tool: int,
    buffer: Array,
    size: Integers,
    low: npt.NDArray[np.float32],
    high: npt.NDArray[np.float32],
    out: npt.NDArray[np.float32],
) -> None:
    """Fill the observation, cut into its bounds; what is not finite becomes 0.

    Args:
        base: (7,) measured pose of the base, world.
        position: (n,) actuators [m or rad], those of the base first.
        velocity: (n,) [m/s or rad/s].
        extras: (E,).
        ranges: (L,) of the lidar; empty without one.
        people: (P, S, 7) tracks.
        people_age: Age of the oldest track [s].
        time_share: Time since reset over the time of an episode.
        route: (K, 2) corners [m].
        ahead: See :func:`follow`.
        site: Figures of :class:`physai.plant.night_round_kernel.Figure`.
        tool: Link of the tool's frame.
        buffer: Of a kinematics whose base is at the origin; placed.
        size: The same.
        low: (o,) bounds.
        high: (o,).
        out: (o,).
    """
    x, y, yaw, way = base[0], base[1], yaw_of(base), np.empty(4)
    c, s = np.cos(yaw), np.sin(yaw)
    follow(x, y, route, ahead, way)
    dx, dy = way[2] - x, way[3] - y
    out[0], out[1] = way[0], way[1]
    out[2], out[3] = dx * c + dy * s, -dx * s + dy * c
    out[4], out[5], out[6], out[7] = c, s, x, y
    out[8], out[9] = velocity[0], velocity[1]
    n, k = position.shape[0] - 2, 10
    for i in range(n):
        out[k + i], out[k + n + i] = position[2 + i], velocity[2 + i]
    k += 2 * n
    chain = chain_of(buffer, size)
    place(position, chain)
    for i in range(3):
        out[k + i] = chain.link_position[tool, i]
        out[k + 3 + i] = -chain.link_rotation[tool, i, 2]
    k += 6
    for i in range(extras.shape[0]):
        out[k + i] = extras[i]
    k += extras.shape[0]
    _fill_sectors(ranges, out, k)
    _fill_tracks(people, x, y, yaw, site, out, k + SECTORS)
    k += SECTORS + 4 * TRACKS
    out[k], out[k + 1] = people_age, time_share
    for i in range(out.shape[0]):
        if np.isnan(out[i]):
            out[i] = 0.0
        out[i] = min(high[i], max(low[i], out[i]))


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
        # Both comparisons are false for NaN, which is for the guard to answer.
        value = action[i]
        if value > 1.0:
            value = 1.0
        elif value < -1.0:
            value = -1.0
        if i < 2:
            out[i] = scale[i] * value
        else:
            twist[i - 2] = scale[i] * value
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


def spaces_of(robot: Robot, extras: tuple[str, ...], action: ActionSettings) -> Spaces:
    """Return names and bounds in the order that :func:`observe` fills.

    Args:
        robot: Gives joints and their limits.
        extras: Names of the environment's extras.
        action: What an action of 1.0 stands for.
    """
    joints, base = robot.joint_names, robot.velocity_max[:2].tolist()
    low, high = robot.position_min[2:].tolist(), robot.position_max[2:].tolist()
    fast = robot.velocity_max[2:].tolist()
    entries: list[tuple[str, float, float]] = [
        ("route_offset_left_m", -6.0, 6.0),
        ("route_left_to_go_m", 0.0, 15.0),
        ("point_ahead_x_in_base_m", -8.0, 8.0),
        ("point_ahead_y_in_base_m", -8.0, 8.0),
        ("heading_x_in_world", -1.0, 1.0),
        ("heading_y_in_world", -1.0, 1.0),
        ("base_x_in_world_m", -8.0, 8.0),
        ("base_y_in_world_m", -8.0, 8.0),
        ("base_linear_m_s", -base[0], base[0]),
        ("base_angular_rad_s", -base[1], base[1]),
        *((f"{j}_rad", a, b) for j, a, b in zip(joints, low, high, strict=True)),
        *((f"{j}_rad_s", -v, v) for j, v in zip(joints, fast, strict=True)),
        *((f"tool_{c}_in_base_m", -2.0, 2.0) for c in "xyz"),
        *((f"item_up_{c}_in_base", -1.0, 1.0) for c in "xyz"),
        *((name, *_BOUNDS[name]) for name in extras),
        *((f"lidar_sector{k}_m", 0.0, FAR_M) for k in range(SECTORS)),
    ]
    for t in range(TRACKS):
        entries += [
            (f"track{t}_x_in_base_m", -FAR_M, FAR_M),
            (f"track{t}_y_in_base_m", -FAR_M, FAR_M),
            (f"track{t}_chest_height_m", 0.0, 2.0),
            (f"track{t}_off_the_bed", 0.0, 1.0),
        ]
    entries += [("people_age_s", 0.0, 2.0), ("time_share_of_episode", 0.0, 1.0)]
    return Spaces(
        observation_names=tuple(name for name, _, _ in entries),
        observation_low=np.array([a for _, a, _ in entries], dtype=np.float32),
        observation_high=np.array([b for _, _, b in entries], dtype=np.float32),
        action_names=(
            f"base_linear_{action.base_linear_m_s:g}_m_s",
            f"base_angular_{action.base_angular_rad_s:g}_rad_s",
            *(f"tool_{c}_in_base_{action.tool_linear_m_s:g}_m_s" for c in "xyz"),
            *(
                f"tool_turn_{c}_in_base_{action.tool_angular_rad_s:g}_rad_s"
                for c in "xyz"
            ),
            "open_hand_above_half",
            "report_above_half",
        ),
    )


_BOUNDS = {
    "mission": (0.0, 1.0),
    "item_held": (0.0, 1.0),
    "item_tilt_rad": (0.0, float(np.pi)),
    "bed_exit": (0.0, 1.0),
    "report_acknowledged": (0.0, 1.0),
    "light_lx": (0.0, 300.0),
    "exit_zone_s": (0.0, 60.0),
    "sheet_ahead_m": (0.0, 2.0),
    "table_x_in_base_m": (-FAR_M, FAR_M),
    "table_y_in_base_m": (-FAR_M, FAR_M),
    "carer_x_in_world_m": (-60.0, 60.0),
    "carer_y_in_world_m": (-60.0, 60.0),
}
