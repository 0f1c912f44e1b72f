"""What a policy sees of a haul: route, dump place, ground, traffic, people, fence.

Frames: *base* is the machine's (x forward, y left). Extras come in the order of
:class:`physai.plant.haulage.Haulage`.
"""

from __future__ import annotations

import math

import numba
import numpy as np
import numpy.typing as npt

from physai.body.heading import heading_of, wrap
from physai.plant.route import nearest_on_way
from physai.robot.description import Robot
from physai.robot.footprint import edge_distance, ray_distance
from physai.tasks.construction.haul_kernel import put_person, put_sectors, put_slopes
from physai.tasks.observation import Entry, bound, spaces_from, turn_into
from physai.tasks.task import Spaces
from physai.types import Array

__all__ = ["SECTORS", "observe", "spaces_of"]

SECTORS = 8
"""Sectors of the lidar whose nearest return a policy sees."""

_FIX, _SIGMA, _LINK, _LOAD, _MARGIN, _CLOSED, _MANNED = range(7)
"""Places of the extras; the manned machine's x, y and velocity are four."""

_FAR_M = 30.0


@numba.njit(cache=True)
def observe(
    pose: Array,
    position: Array,
    velocity: Array,
    extras: Array,
    people: Array,
    people_age: float,
    ranges: Array,
    reach: float,
    time_share: float,
    route: Array,
    dump: Array,
    crossing: Array,
    area: Array,
    nose: Array,
    look: Array,
    load_max: float,
    heights: Array,
    grid: Array,
    low: npt.NDArray[np.float32],
    high: npt.NDArray[np.float32],
    out: npt.NDArray[np.float32],
) -> None:
    """Fill the observation, cut into its bounds; what is not finite becomes 0.

    Args:
        pose: (7,) where the machine believes to be.
        position: (3,) travelled length, yaw, bed [m, rad, rad].
        velocity: (3,) [m/s, rad/s, rad/s].
        extras: (10,).
        people: (P, S, 7) tracked capsules.
        people_age: Age of the oldest track [s].
        ranges: (L,) of the lidar [m]; empty without one.
        reach: Its largest range [m].
        time_share: Time since reset over the time of an episode.
        route: (n, 4) see :class:`physai.plant.route.Route`.
        dump: (3,) x, y, heading of the dump pose.
        crossing: (4,) length of the route at which the crossing begins and ends [m].
        area: (K, 2) area that it may not leave.
        nose: (2,) front and rear of the machine in the base frame [m].
        look: (2,) see :class:`HaulSettings`.
        load_max: [kg].
        heights: Of the site.
        grid: The same.
        low: (o,) bounds.
        high: (o,).
        out: (o,).
    """
    heading = heading_of(pose)
    c, s = math.cos(heading), math.sin(heading)
    way, more = np.empty(4), np.empty(4)
    nearest_on_way(pose[0], pose[1], route, way)
    nearest_on_way(pose[0] + 2.0 * c, pose[1] + 2.0 * s, route, more)
    out[0], out[1] = route[-1, 3] - way[0], way[1]
    out[2], out[3] = wrap(heading - way[2]), wrap(more[2] - way[2])
    dx, dy = dump[0] - pose[0], dump[1] - pose[1]
    out[4], out[5] = turn_into(dx, dy, c, s)
    out[6] = wrap(dump[2] - heading)
    out[7], out[8], out[9] = velocity[0], velocity[1], velocity[2]
    qx, qy, qz, qw = pose[3], pose[4], pose[5], pose[6]
    uz = 1.0 - 2.0 * (qx * qx + qy * qy)
    out[10] = math.atan2(2.0 * (qy * qz + qx * qw), uz)
    out[11] = math.atan2(-2.0 * (qx * qz - qy * qw), uz)
    slopes = np.empty(2)
    put_slopes(pose[0], pose[1], c, s, look, heights, grid, slopes)
    out[12], out[13] = slopes[0], slopes[1]
    out[14], out[15] = extras[_LOAD] / load_max, position[2]
    out[16], out[17], out[18], out[19] = (
        extras[_MARGIN],
        extras[_FIX],
        extras[_SIGMA],
        extras[_LINK],
    )
    out[20], out[21] = extras[_CLOSED], crossing[0] - way[0] - nose[0]
    mx, my = extras[_MANNED] - pose[0], extras[_MANNED + 1] - pose[1]
    out[22], out[23] = turn_into(mx, my, c, s)
    vx, vy = extras[_MANNED + 2], extras[_MANNED + 3]
    out[24], out[25] = turn_into(vx, vy, c, s)
    near = np.array([_FAR_M, 0.0, _FAR_M])
    put_person(pose, c, s, people, near)
    out[26], out[27], out[28], out[29] = near[0], near[1], near[2], people_age
    out[30] = ray_distance(pose[0], pose[1], c, s, area) - nose[0]
    out[31] = ray_distance(pose[0], pose[1], -c, -s, area) + nose[1]
    out[32] = edge_distance(pose[0], pose[1], area)
    out[33] = time_share
    put_sectors(ranges, reach, out[34:])
    bound(low, high, out)


_TRACKED = ("person_", "people_age", "manned_")
"""What a camera shows: people and the machine that comes toward it."""


def spaces_of(
    robot: Robot, length_m: float, reach_m: float, scale: tuple[float, float, float]
) -> Spaces:
    """Return names and bounds in the order that :func:`observe` fills.

    Args:
        robot: Gives speed limits.
        length_m: Of the route.
        reach_m: Of the lidar.
        scale: What an action of 1.0 stands for: speed, yaw rate, bed rate.
    """
    pi, far = math.pi, _FAR_M
    v, w, bed = (1.2 * robot.velocity_max).tolist()
    entries: list[Entry] = [
        ("route_to_go_m", 0.0, length_m),
        ("route_left_m", -10.0, 10.0),
        ("heading_from_route_rad", -pi, pi),
        ("route_turn_in_2_m_rad", -pi, pi),
        ("dump_x_in_base_m", -80.0, 80.0),
        ("dump_y_in_base_m", -80.0, 80.0),
        ("dump_heading_in_base_rad", -pi, pi),
        ("base_linear_m_s", -v, v),
        ("base_angular_rad_s", -w, w),
        ("bed_rate_rad_s", -bed, bed),
        ("roll_rad", -pi / 2, pi / 2),
        ("pitch_rad", -pi / 2, pi / 2),
        ("slope_ahead_rad", -pi / 2, pi / 2),
        ("cross_slope_ahead_rad", -pi / 2, pi / 2),
        ("load_share", 0.0, 1.2),
        ("bed_rad", -0.1, 1.3),
        ("stability_margin_rad", -pi / 2, pi / 2),
        ("gnss_fix", 0.0, 1.0),
        ("position_sigma_m", 0.0, 5.0),
        ("link_age_s", 0.0, 20.0),
        ("crossing_closed", 0.0, 1.0),
        ("crossing_to_go_m", -length_m, length_m),
        ("manned_x_in_base_m", -80.0, 80.0),
        ("manned_y_in_base_m", -80.0, 80.0),
        ("manned_velocity_x_in_base_m_s", -6.0, 6.0),
        ("manned_velocity_y_in_base_m_s", -6.0, 6.0),
        ("person_x_in_base_m", -far, far),
        ("person_y_in_base_m", -far, far),
        ("person_distance_m", 0.0, far),
        ("people_age_s", 0.0, 2.0),
        ("fence_ahead_m", -10.0, 80.0),
        ("fence_behind_m", -10.0, 80.0),
        ("fence_distance_m", 0.0, 40.0),
        ("time_share_of_episode", 0.0, 1.0),
        *((f"lidar_sector_{k}_m", 0.0, reach_m) for k in range(SECTORS)),
    ]
    return spaces_from(
        entries,
        (
            f"base_linear_{scale[0]:g}_m_s",
            f"base_angular_{scale[1]:g}_rad_s",
            f"bed_rate_{scale[2]:g}_rad_s",
        ),
        _TRACKED,
    )
