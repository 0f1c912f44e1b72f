"""Geometry of a spoon and a mouth in numba: frames, command, progress.

The *mouth frame* has its origin between the lips, x along the mouth's outward axis,
y horizontal to the person's left, z upward.
The *level frame* is where the spoon should point: into the mouth, but horizontal, so
that nothing runs off. Extras come in the order of the environment's YAML: mouth
position (3), mouth axis (3), opening, consent, stop signal, food on the spoon.
"""

from __future__ import annotations

import numba
import numpy as np

from physai.robot.description import Robot
from physai.robot.kinematics import Kinematics
from physai.tasks.motion import cut_entry
from physai.types import Array

__all__ = ["mouth_frame", "progress", "tip_of", "turn_to_level", "twist_in_world"]


@numba.njit(cache=True)
def mouth_frame(extras: Array, out: Array) -> None:
    """Write the (3, 3) mouth frame; its columns are x, y, z in the world.

    An axis that is missing, not finite or vertical gives the frame of somebody who
    faces the robot, so that an action still means something; the guard knows better.
    """
    x, y, z = extras[3], extras[4], extras[5]
    size = np.sqrt(x * x + y * y + z * z)
    flat = np.sqrt(x * x + y * y)
    if not (size > 0.5 and flat > 0.1 and size < 2.0):
        x, y, z, size, flat = -1.0, 0.0, 0.0, 1.0, 1.0
    x, y, z, flat = x / size, y / size, z / size, flat / size
    out[0, 0], out[1, 0], out[2, 0] = x, y, z
    out[0, 1], out[1, 1], out[2, 1] = -y / flat, x / flat, 0.0
    out[0, 2], out[1, 2], out[2, 2] = -x * z / flat, -y * z / flat, flat


@numba.njit(cache=True)
def twist_in_world(
    extras: Array, action: Array, linear: float, angular: float, out: Array
) -> None:
    """Write the (6,) world twist of an action in the mouth frame.

    NaN stays NaN.
    """
    frame = np.empty((3, 3))
    mouth_frame(extras, frame)
    for part in range(2):
        scale = linear if part == 0 else angular
        for i in range(3):
            total = 0.0
            for j in range(3):
                total += frame[i, j] * cut_entry(action[3 * part + j])
            out[3 * part + i] = scale * total


@numba.njit(cache=True)
def turn_to_level(pose: Array, frame: Array, out: Array) -> float:
    """Write the rotation vector (world) from the spoon to the level frame [rad]."""
    qx, qy, qz, qw = pose[3], pose[4], pose[5], pose[6]
    t = np.empty((3, 3))
    t[0, 0], t[1, 0], t[2, 0] = (
        1.0 - 2.0 * (qy * qy + qz * qz),
        2.0 * (qx * qy + qz * qw),
        2.0 * (qx * qz - qy * qw),
    )
    t[0, 1], t[1, 1], t[2, 1] = (
        2.0 * (qx * qy - qz * qw),
        1.0 - 2.0 * (qx * qx + qz * qz),
        2.0 * (qy * qz + qx * qw),
    )
    t[0, 2], t[1, 2], t[2, 2] = (
        2.0 * (qx * qz + qy * qw),
        2.0 * (qy * qz - qx * qw),
        1.0 - 2.0 * (qx * qx + qy * qy),
    )
    # Level frame: x into the mouth without its slope, z up.
    lx, ly = -frame[1, 1], frame[0, 1]
    sx = sy = sz = 0.0
    trace = 0.0
    for axis in range(3):
        if axis == 0:
            gx, gy, gz = lx, ly, 0.0
        elif axis == 1:
            gx, gy, gz = -ly, lx, 0.0
        else:
            gx, gy, gz = 0.0, 0.0, 1.0
        ax, ay, az = t[0, axis], t[1, axis], t[2, axis]
        sx += 0.5 * (ay * gz - az * gy)
        sy += 0.5 * (az * gx - ax * gz)
        sz += 0.5 * (ax * gy - ay * gx)
        trace += ax * gx + ay * gy + az * gz
    sine = np.sqrt(sx * sx + sy * sy + sz * sz)
    angle = np.arctan2(sine, 0.5 * (trace - 1.0))
    scale = angle / sine if sine > 1e-9 else 1.0
    out[0], out[1], out[2] = scale * sx, scale * sy, scale * sz
    return float(angle)


@numba.njit(cache=True)
def progress(pose: Array, extras: Array, tip: float, out: Array) -> None:
    """Measure where the spoon's tip is in front of the mouth.

    Args:
        pose: (7,) TCP in the world.
        extras: (10,).
        tip: Tip in front of the TCP, along the spoon [m].
        out: (4,) distance of the tip in front of the lips along the axis [m] (negative
            inside), distance from the axis [m], distance from the lips [m], angle to
            the level frame [rad].
    """
    frame = np.empty((3, 3))
    turn = np.empty(3)
    mouth_frame(extras, frame)
    out[3] = turn_to_level(pose, frame, turn)
    qx, qy, qz, qw = pose[3], pose[4], pose[5], pose[6]
    dx = pose[0] + tip * (1.0 - 2.0 * (qy * qy + qz * qz)) - extras[0]
    dy = pose[1] + tip * 2.0 * (qx * qy + qz * qw) - extras[1]
    dz = pose[2] + tip * 2.0 * (qx * qz - qy * qw) - extras[2]
    along = dx * frame[0, 0] + dy * frame[1, 0] + dz * frame[2, 0]
    square = dx * dx + dy * dy + dz * dz
    out[0] = along
    out[1] = np.sqrt(max(0.0, square - along * along))
    out[2] = np.sqrt(square)


def tip_of(robot: Robot) -> float:
    """Return how far the utensil's tip is in front of the TCP [m]."""
    kinematics = Kinematics(robot)
    last = np.flatnonzero(robot.shapes.utensil)[-1]
    offset = kinematics.capsules()[last, 3:6] - kinematics.tool_position
    return float(offset @ kinematics.tool_rotation[:, 0])
