"""What a policy sees of a night round: route, robot, room, lidar, people.

The *base frame* is the robot's: x forward, y left, z up, on the floor between the drive
wheels. Extras come in the order of :data:`physai.plant.night_round.EXTRAS`.
"""

from __future__ import annotations

import numba
import numpy as np
import numpy.typing as npt

from physai.body.heading import heading_of
from physai.robot.description import Robot
from physai.robot.kinematics import chain_of, place
from physai.tasks.care.night_round_kernel import (
    TABLE_X,
    TABLE_Y,
    Integers,
    fill_tracks,
    follow,
    placed,
)
from physai.tasks.care.night_round_settings import ActionSettings
from physai.tasks.observation import (
    Entry,
    bound,
    fill_sectors,
    joint_entries,
    spaces_from,
    turn_into,
)
from physai.tasks.task import Spaces
from physai.types import Array

__all__ = ["SECTORS", "TRACKS", "observe", "spaces_of"]

SECTORS = 12
"""Of the lidar, from behind on the right counter-clockwise."""
TRACKS = 2
"""Nearest tracks of people that are shown."""
FAR_M = 8.0
"""Where nothing is seen, within the bounds of an observation."""


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
    from_table: Array,
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
        ahead: See :func:`physai.tasks.care.night_round_kernel.follow`.
        site: Figures of :class:`physai.plant.night_round_kernel.Figure`.
        from_table: (3,) see :func:`physai.tasks.care.night_round_kernel.placed`.
        tool: Link of the tool's frame.
        buffer: Of a kinematics whose base is at the origin; placed.
        size: The same.
        low: (o,) bounds.
        high: (o,).
        out: (o,).
    """
    x, y, yaw = base[0], base[1], heading_of(base)
    way, there = np.empty(4), np.empty(3)
    c, s = np.cos(yaw), np.sin(yaw)
    follow(x, y, route, ahead, way)
    dx, dy = way[2] - x, way[3] - y
    out[0], out[1] = way[0], way[1]
    out[2], out[3] = turn_into(dx, dy, c, s)
    out[4], out[5], out[6], out[7] = c, s, x, y
    out[8], out[9] = velocity[0], velocity[1]
    n, k = position.shape[0] - 2, 10
    for i in range(n):
        out[k + i], out[k + n + i] = position[2 + i], velocity[2 + i]
    k += 2 * n
    chain = chain_of(buffer, size)
    place(position, chain)
    placed(extras[TABLE_X], extras[TABLE_Y], c, s, from_table, there)
    for i in range(3):
        out[k + i] = chain.link_position[tool, i]
        out[k + 3 + i] = there[i] - out[k + i]
        out[k + 6 + i] = -chain.link_rotation[tool, i, 2]
    k += 9
    for i in range(extras.shape[0]):
        out[k + i] = extras[i]
    k += extras.shape[0]
    fill_sectors(ranges, FAR_M, out[k : k + SECTORS])
    k += SECTORS
    fill_tracks(people, x, y, c, s, site, FAR_M, out[k : k + 4 * TRACKS])
    k += 4 * TRACKS
    out[k], out[k + 1] = people_age, time_share
    bound(low, high, out)


_TRACKED = ("track", "people_age")
"""What a camera shows of people; the rest is the robot's, the map's, the ward's."""


def spaces_of(robot: Robot, extras: tuple[str, ...], action: ActionSettings) -> Spaces:
    """Return names and bounds in the order that :func:`observe` fills.

    Args:
        robot: Gives joints and their limits.
        extras: Names of the environment's extras.
        action: What an action of 1.0 stands for.
    """
    linear, angular = robot.velocity_max[:2].tolist()
    entries: list[Entry] = [
        ("route_offset_left_m", -6.0, 6.0),
        ("route_left_to_go_m", 0.0, 15.0),
        *((f"point_ahead_{c}_in_base_m", -8.0, 8.0) for c in "xy"),
        *((f"heading_{c}_in_world", -1.0, 1.0) for c in "xy"),
        *((f"base_{c}_in_world_m", -8.0, 8.0) for c in "xy"),
        ("base_linear_m_s", -linear, linear),
        ("base_angular_rad_s", -angular, angular),
        *joint_entries(robot),
        *((f"tool_{c}_in_base_m", -2.0, 2.0) for c in "xyz"),
        *((f"place_{c}_from_tool_in_base_m", -FAR_M, FAR_M) for c in "xyz"),
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
    return spaces_from(
        entries,
        (
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
        _TRACKED,
    )


_BOUNDS = {
    **dict.fromkeys(
        ("mission", "item_held", "bed_exit", "report_acknowledged"), (0.0, 1.0)
    ),
    "item_tilt_rad": (0.0, float(np.pi)),
    "light_lx": (0.0, 300.0),
    "exit_zone_s": (0.0, 60.0),
    "sheet_ahead_m": (0.0, 2.0),
    **{f"table_{c}_in_base_m": (-FAR_M, FAR_M) for c in "xy"},
    **{f"carer_{c}_in_world_m": (-60.0, 60.0) for c in "xy"},
}
