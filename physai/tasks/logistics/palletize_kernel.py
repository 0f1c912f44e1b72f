"""Geometry of palletising in numba: twist of the cups, observation, progress.

Extras come in the order of :class:`physai.plant.handling.Handling`: vacuum [kPa], margin,
held, case x y z [m] and yaw [rad] (middle of its upper face), its size (3) [m] and mass
[kg], slot x y z and yaw, cases left. A case looks the same after half a turn, so that
yaw differences lie in [-pi/2, pi/2].
"""

from __future__ import annotations

import math

import numba
import numpy as np
import numpy.typing as npt

from physai.robot.description import Robot
from physai.tasks.task import Spaces
from physai.types import Array

__all__ = ["half_turn", "observe", "progress", "spaces_of", "tool_yaw", "twist_of"]

VACUUM, MARGIN, HELD, CASE, CASE_YAW, SIZE, MASS, SLOT, SLOT_YAW, LEFT = (
    0,
    1,
    2,
    3,
    6,
    7,
    10,
    11,
    14,
    15,
)
"""Places of the extras."""


@numba.njit(cache=True)
def half_turn(angle: float) -> float:
    """Return the equal angle of a rectangle in [-pi/2, pi/2)."""
    return angle - math.pi * math.floor(angle / math.pi + 0.5)


@numba.njit(cache=True)
def tool_yaw(pose: Array) -> float:
    """Return the yaw of the cups' x axis about the world's vertical [rad]."""
    x, y, z, w = pose[3], pose[4], pose[5], pose[6]
    return math.atan2(2.0 * (x * y + z * w), 1.0 - 2.0 * (y * y + z * z))


@numba.njit(cache=True)
def twist_of(
    pose: Array, action: Array, linear: float, yaw: float, level: float, out: Array
) -> None:
    """Write the (6,) world twist of an action; the cups are kept level.

    NaN stays NaN: both comparisons of the cut are false for it.

    Args:
        pose: (7,) cups in the world.
        action: (5,) velocity x y z, yaw rate, vacuum.
        linear: What 1.0 stands for [m/s].
        yaw: The same [rad/s].
        level: Pull of the cups' axis to straight down [1/s].
        out: (6,).
    """
    for i in range(4):
        value = action[i]
        if value > 1.0:
            value = 1.0
        elif value < -1.0:
            value = -1.0
        if i < 3:
            out[i] = linear * value
        else:
            out[5] = yaw * value
    x, y, z, w = pose[3], pose[4], pose[5], pose[6]
    # Axis out of the cups; its cross product with straight down turns it there.
    ax, ay = 2.0 * (x * z + y * w), 2.0 * (y * z - x * w)
    out[3], out[4] = -level * ay, level * ax


@numba.njit(cache=True)
def to_people(x: float, y: float, people: Array, out: Array) -> None:
    """Write horizontal distance [m] and direction to the nearest person."""
    out[0], out[1], out[2] = np.inf, 0.0, 0.0
    for p in range(people.shape[0]):
        for s in range(people.shape[1]):
            ax, ay = people[p, s, 0], people[p, s, 1]
            ex, ey = people[p, s, 3] - ax, people[p, s, 4] - ay
            size = ex * ex + ey * ey
            share = ((x - ax) * ex + (y - ay) * ey) / size if size > 1e-12 else 0.0
            share = min(1.0, max(0.0, share))
            dx, dy = ax + share * ex - x, ay + share * ey - y
            length = math.sqrt(dx * dx + dy * dy)
            if length - people[p, s, 6] < out[0]:
                scale = 1.0 / max(length, 1e-9)
                out[0] = length - people[p, s, 6]
                out[1], out[2] = dx * scale, dy * scale


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
    out[3] = half_turn(extras[CASE_YAW] - tool_yaw(pose))
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
    for i in range(out.shape[0]):
        if np.isnan(out[i]):
            out[i] = 0.0
        out[i] = min(high[i], max(low[i], out[i]))


@numba.njit(cache=True)
def progress(pose: Array, extras: Array, out: Array) -> None:
    """Write how far the cups are from the case and the case from its slot [m].

    Where nothing is left to place, both are 0. A tenth of a metre stands for a radian.

    Args:
        pose: (7,) cups in the world.
        extras: (16,).
        out: (2,).
    """
    out[0] = out[1] = 0.0
    if extras[LEFT] < 0.5:
        return
    for i in range(3):
        out[0] += (extras[CASE + i] - pose[i]) ** 2
        out[1] += (extras[SLOT + i] - extras[CASE + i]) ** 2
    turn = abs(half_turn(extras[SLOT_YAW] - extras[CASE_YAW]))
    out[0], out[1] = math.sqrt(out[0]), math.sqrt(out[1]) + 0.1 * turn


def spaces_of(robot: Robot, linear_m_s: float, yaw_rad_s: float) -> Spaces:
    """Return names and bounds in the order that :func:`observe` fills.

    Args:
        robot: Gives joints and their limits.
        linear_m_s: What an action of 1.0 stands for.
        yaw_rad_s: The same for turning.
    """
    joints, quarter = robot.actuator_names, 0.5 * math.pi
    entries: list[tuple[str, float, float]] = [
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
        *zip(
            [f"{name}_rad" for name in joints],
            robot.position_min.tolist(),
            robot.position_max.tolist(),
            strict=True,
        ),
        *zip(
            [f"{name}_rad_s" for name in joints],
            (-robot.velocity_max).tolist(),
            robot.velocity_max.tolist(),
            strict=True,
        ),
        ("person_distance_in_plan_m", -0.5, 5.0),
        ("person_direction_x_in_world", -1.0, 1.0),
        ("person_direction_y_in_world", -1.0, 1.0),
        ("time_share_of_episode", 0.0, 1.0),
        ("case_age_s", 0.0, 2.0),
        ("people_age_s", 0.0, 2.0),
    ]
    return Spaces(
        observation_names=tuple(name for name, _, _ in entries),
        observation_low=np.array([low for _, low, _ in entries], dtype=np.float32),
        observation_high=np.array([high for _, _, high in entries], dtype=np.float32),
        action_names=(
            *(f"tool_velocity_{c}_in_world_{linear_m_s:g}_m_s" for c in "xyz"),
            f"tool_turn_z_in_world_{yaw_rad_s:g}_rad_s",
            "vacuum_on_above_0",
        ),
    )
