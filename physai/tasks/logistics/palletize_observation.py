"""What a policy sees of palletising: case, slot, cups, arm, the nearest person.

The order of the extras is that of :mod:`physai.tasks.logistics.palletize_kernel`.
"""

from __future__ import annotations

import math

import numba
import numpy as np
import numpy.typing as npt

from physai.body.heading import half_turn, heading_of
from physai.robot.description import Robot
from physai.tasks.logistics.palletize_kernel import (
    CASE,
    CASE_YAW,
    HELD,
    LEFT,
    MARGIN,
    MASS,
    SIZE,
    SLOT,
    SLOT_YAW,
    VACUUM,
    to_people,
)
from physai.tasks.observation import Entry, bound, joint_entries, spaces_from
from physai.tasks.task import Spaces
from physai.types import Array

__all__ = ["observe", "spaces_of"]


@numba.njit(cache=True)
def observe(
    pose: Array,
    extras: Array,
    case_age: float,
    position: Array,
    velocity: Array,
    people: Array,
    people_age: float,
    time_share: float,
    low: npt.NDArray[np.float32],
    high: npt.NDArray[np.float32],
    out: npt.NDArray[np.float32],
) -> None:
    """Fill the observation, cut into its bounds; what is not finite becomes 0.

    Args:
        pose: (7,) cups in the world.
        extras: (16,).
        case_age: Age of the case's pose [s].
        position: (n,) joints [rad].
        velocity: (n,) [rad/s].
        people: (P, S, 7) capsules.
        people_age: Age of the oldest track [s].
        time_share: Time since reset over the time of an episode.
        low: (o,) bounds.
        high: (o,).
        out: (o,).
    """
    near, n = np.empty(3), position.shape[0]
    for i in range(3):
        out[i] = extras[CASE + i] - pose[i]
        out[4 + i] = extras[SLOT + i] - extras[CASE + i]
        out[14 + i] = extras[SIZE + i]
    out[3] = half_turn(extras[CASE_YAW] - heading_of(pose))
    out[7] = half_turn(extras[SLOT_YAW] - extras[CASE_YAW])
    out[8] = pose[2]
    x, y, z, w = pose[3], pose[4], pose[5], pose[6]
    out[9], out[10] = 2.0 * (x * z + y * w), 2.0 * (y * z - x * w)
    out[11], out[12], out[13] = extras[VACUUM], extras[MARGIN], extras[HELD]
    out[17], out[18] = extras[MASS], extras[LEFT]
    for i in range(n):
        out[19 + i] = position[i]
        out[19 + n + i] = velocity[i]
    rest = 19 + 2 * n
    to_people(pose[0], pose[1], people, near)
    for i in range(3):
        out[rest + i] = near[i]
    out[rest + 3] = time_share
    out[rest + 4] = case_age
    out[rest + 5] = people_age
    bound(low, high, out)


_TRACKED = ("tool_to_case", "case_to_slot", "case_age", "person_", "people_age")
"""What a camera shows: where the case is, and people."""


def spaces_of(robot: Robot, linear_m_s: float, yaw_rad_s: float) -> Spaces:
    """Return names and bounds in the order that :func:`observe` fills.

    Args:
        robot: Gives joints and their limits.
        linear_m_s: What an action of 1.0 stands for.
        yaw_rad_s: The same for turning.
    """
    quarter = 0.5 * math.pi
    entries: list[Entry] = [
        *((f"tool_to_case_{c}_in_world_m", -3.0, 3.0) for c in "xyz"),
        ("tool_to_case_yaw_rad", -quarter, quarter),
        *((f"case_to_slot_{c}_in_world_m", -3.0, 3.0) for c in "xyz"),
        ("case_to_slot_yaw_rad", -quarter, quarter),
        ("tool_z_in_world_m", -1.0, 3.0),
        ("tool_axis_x_in_world", -1.0, 1.0),
        ("tool_axis_y_in_world", -1.0, 1.0),
        ("vacuum_kpa", 0.0, 101.0),
        ("vacuum_margin", 0.0, 10.0),
        ("case_held", 0.0, 1.0),
        *((f"case_size_{c}_m", 0.0, 1.5) for c in "xyz"),
        ("case_mass_kg", 0.0, 30.0),
        ("cases_left", 0.0, 20.0),
        *joint_entries(robot),
        ("person_distance_in_plan_m", -0.5, 5.0),
        ("person_direction_x_in_world", -1.0, 1.0),
        ("person_direction_y_in_world", -1.0, 1.0),
        ("time_share_of_episode", 0.0, 1.0),
        ("case_age_s", 0.0, 2.0),
        ("people_age_s", 0.0, 2.0),
    ]
    return spaces_from(
        entries,
        (
            *(f"tool_velocity_{c}_in_world_{linear_m_s:g}_m_s" for c in "xyz"),
            f"tool_turn_z_in_world_{yaw_rad_s:g}_rad_s",
            "vacuum_on_above_0",
        ),
        _TRACKED,
    )
