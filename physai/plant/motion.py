"""Ramps and bounds of one control period, compiled.

A command becomes one set-point for every physics step, and a bound on how fast robot
and people can close in tells how many of these steps need no look at contacts.
"""

from __future__ import annotations

import math

import numba
import numpy as np
import numpy.typing as npt

from physai.robot.kinematics import (
    chain_of,
    move,
    place,
    rotation_from_quaternion,
)
from physai.types import Array

__all__ = [
    "closing_speed",
    "follow",
    "middle_velocity",
    "place_between",
    "ramp",
    "see_robot",
]


@numba.njit(cache=True)
def follow(
    base: Array,
    drives: bool,
    position: Array,
    buffer: Array,
    size: npt.NDArray[np.int64],
) -> None:
    """Place a robot whose base has moved.

    Args:
        base: (7,) pose of its base in the world.
        drives: Whether the base can move; if not, the pose is as it was.
        position: (n,) of the actuators [rad or m].
        buffer: Of a :class:`physai.robot.kinematics.Kinematics`, placed on return.
        size: The same.
    """
    c = chain_of(buffer, size)
    if drives:
        rotation_from_quaternion(base[3:7], c.link_rotation[0])
        last = c.link_axis.shape[0] - 1
        for r in range(3):
            c.link_position[0, r] = base[r]
            c.link_axis[0, r] = c.link_rotation[0, r, 0]
            c.link_axis[last, r] = c.link_rotation[0, r, 2]
    place(position, c)


@numba.njit(cache=True)
def ramp(
    start: Array,
    target: Array,
    acceleration_max: Array,
    braking_max: Array,
    dt_s: float,
    out: Array,
) -> int:
    """Ramp from one velocity to another within accelerations and decelerations.

    All actuators arrive together, so that the direction of the motion stays.

    Args:
        start: (n,) velocities now; set to those at the end of the period.
        target: (n,) velocities wanted.
        acceleration_max: (n,) away from standstill.
        braking_max: (n,) toward it.
        dt_s: Physics step [s].
        out: (k, n) set-points of the steps, filled.

    Returns:
        Number of steps that need a set-point of their own; after them it holds.
    """
    n, most = start.shape[0], out.shape[0]
    needed = 0.0
    for i in range(n):
        change, most_change = abs(target[i] - start[i]), acceleration_max[i]
        if start[i] * target[i] >= 0.0 and abs(target[i]) < abs(start[i]):
            most_change = braking_max[i]
        needed = max(needed, change / most_change)
    if needed <= 0.0:
        return 0
    count = 0
    share = 0.0
    while count < most and share < 1.0:
        share = min(1.0, (count + 1) * dt_s / needed)
        for i in range(n):
            out[count, i] = share * (target[i] - start[i]) + start[i]
        count += 1
    for i in range(n):
        start[i] = out[count - 1, i]
    return count


@numba.njit(cache=True)
def closing_speed(
    start: Array,
    target: Array,
    buffer: Array,
    size: npt.NDArray[np.int64],
    people: Array,
) -> float:
    """Bound how fast a point of the robot and one of a person can close in [m/s].

    A fifth more than the faster end of the ramp, for what contacts and motors add.

    Args:
        start: (n,) velocities at the start of the period.
        target: (n,) velocities commanded.
        buffer: Of a :class:`physai.robot.kinematics.Kinematics`, placed; its
            velocities are overwritten.
        size: The same.
        people: (P, S, 6) velocities of the people's capsules [m/s].
    """
    robot, c = 0.0, chain_of(buffer, size)
    for end in range(2):
        move(start if end == 0 else target, c)
        for value in c.capsule_velocity.flat:
            robot = max(robot, abs(value))
    person = 0.0
    for value in people.flat:
        person = max(person, abs(value))
    return math.sqrt(3.0) * (robot + person) * 1.2 + 0.05


@numba.njit(cache=True)
def place_between(before: Array, after: Array, fraction: float, out: Array) -> None:
    """Write a person's (S, 7) capsules at a fraction of the period."""
    for s in range(before.shape[0]):
        for c in range(7):
            out[s, c] = (after[s, c] - before[s, c]) * fraction + before[s, c]


@numba.njit(cache=True)
def middle_velocity(ends: Array) -> Array:
    """Return the (P, S, 3) velocity of every capsule's middle from its (P, S, 6) ends."""
    out = np.empty((ends.shape[0], ends.shape[1], 3))
    for p in range(ends.shape[0]):
        for s in range(ends.shape[1]):
            for c in range(3):
                out[p, s, c] = 0.5 * (ends[p, s, c] + ends[p, s, 3 + c])
    return out


@numba.njit(cache=True)
def see_robot(
    capsules: Array,
    tool: Array,
    gripper: int,
    tip: int,
    mouth: Array,
    tool_out: Array,
    gripper_out: Array,
) -> float:
    """Write what a person sees of tool and gripper; return the tip's distance [m].

    Args:
        capsules: (R, 7) of the robot, world.
        tool: (3,) TCP.
        gripper: Shape of the gripper; -1 for none.
        tip: The utensil's foremost shape; -1 for none.
        mouth: (3,) middle of the lips.
        tool_out: (3,) filled.
        gripper_out: (3,) filled.
    """
    total = 0.0
    for i in range(3):
        tool_out[i] = tool[i]
        gripper_out[i] = capsules[gripper, i] if gripper >= 0 else tool[i]
        if tip >= 0:
            total += (capsules[tip, 3 + i] - mouth[i]) ** 2
    return math.sqrt(total) if tip >= 0 else np.inf
