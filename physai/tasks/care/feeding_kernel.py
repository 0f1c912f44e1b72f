"""Geometry of a spoon and a mouth in numba: frames, observation, progress.

The *mouth frame* has its origin between the lips, x along the mouth's outward axis,
y horizontal to the person's left, z upward.
The *level frame* is where the spoon should point: into the mouth, but horizontal, so
that nothing runs off. Extras come in the order of the environment's YAML: mouth
position (3), mouth axis (3), opening, consent, stop signal, food on the spoon.
"""

from __future__ import annotations

import numba
import numpy as np
import numpy.typing as npt

from physai.robot.description import Robot
from physai.robot.kinematics import Kinematics
from physai.tasks.task import Spaces
from physai.types import Array

__all__ = [
    "mouth_frame",
    "observe",
    "progress",
    "spaces_of",
    "tip_of",
    "twist_in_world",
]


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

    NaN stays NaN: both comparisons of the cut are false for it.
    """
    frame = np.empty((3, 3))
    mouth_frame(extras, frame)
    for part in range(2):
        scale = linear if part == 0 else angular
        for i in range(3):
            total = 0.0
            for j in range(3):
                value = action[3 * part + j]
                if value > 1.0:
                    value = 1.0
                elif value < -1.0:
                    value = -1.0
                total += frame[i, j] * value
            out[3 * part + i] = scale * total


@numba.njit(cache=True)
def _turn_to_level(pose: Array, frame: Array, out: Array) -> float:
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
def _hand_distance(pose: Array, people: Array, segments: Array) -> float:
    """Return the distance of the TCP from the nearest listed segment [m]."""
    nearest = np.inf
    for p in range(people.shape[0]):
        for k in range(segments.shape[0]):
            s = int(segments[k])
            dot = size = 0.0
            for i in range(3):
                edge = people[p, s, 3 + i] - people[p, s, i]
                dot += edge * (pose[i] - people[p, s, i])
                size += edge * edge
            share = min(1.0, max(0.0, dot / size)) if size > 1e-12 else 0.0
            total = 0.0
            for i in range(3):
                edge = people[p, s, 3 + i] - people[p, s, i]
                gap = pose[i] - people[p, s, i] - share * edge
                total += gap * gap
            nearest = min(nearest, np.sqrt(total) - people[p, s, 6])
    return nearest


@numba.njit(cache=True)
def observe(
    pose: Array,
    extras: Array,
    extras_age: Array,
    position: Array,
    velocity: Array,
    force: Array,
    people: Array,
    people_age: float,
    time_share: float,
    arms: Array,
    low: npt.NDArray[np.float32],
    high: npt.NDArray[np.float32],
    out: npt.NDArray[np.float32],
) -> None:
    """Fill the observation, cut into its bounds; what is not finite becomes 0.

    Args:
        pose: (7,) TCP in the world.
        extras: (10,).
        extras_age: (10,) [s].
        position: (n,) joints [rad].
        velocity: (n,) [rad/s].
        force: (3,) on the tool, world [N].
        people: (P, S, 7) capsules.
        people_age: Age of the oldest track [s].
        time_share: Time since reset over the time of an episode.
        arms: (k,) segments of forearms and hands.
        low: (o,) bounds.
        high: (o,).
        out: (o,).
    """
    frame = np.empty((3, 3))
    turn = np.empty(3)
    mouth_frame(extras, frame)
    _turn_to_level(pose, frame, turn)
    n = position.shape[0]
    for i in range(3):
        offset = about = push = 0.0
        for j in range(3):
            offset += frame[j, i] * (pose[j] - extras[j])
            about += frame[j, i] * turn[j]
            push += frame[j, i] * force[j]
        out[i], out[3 + i], out[11 + 2 * n + i] = offset, about, push
    out[6] = frame[2, 0]
    for i in range(4):
        out[7 + i] = extras[6 + i]
    for i in range(n):
        out[11 + i] = position[i]
        out[11 + n + i] = velocity[i]
    rest = 14 + 2 * n
    out[rest] = _hand_distance(pose, people, arms)
    out[rest + 1] = time_share
    out[rest + 2] = max(extras_age[0], extras_age[6])
    out[rest + 3] = people_age
    for i in range(out.shape[0]):
        if np.isnan(out[i]):
            out[i] = 0.0
        out[i] = min(high[i], max(low[i], out[i]))


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
    out[3] = _turn_to_level(pose, frame, turn)
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


def spaces_of(robot: Robot, linear_m_s: float, angular_rad_s: float) -> Spaces:
    """Return names and bounds in the order that :func:`observe` fills.

    Args:
        robot: Gives joints and their limits.
        linear_m_s: What an action of 1.0 stands for.
        angular_rad_s: The same for turning.
    """
    joints = robot.actuator_names
    entries: list[tuple[str, float, float]] = [
        *((f"tool_{c}_in_mouth_m", -1.5, 1.5) for c in "xyz"),
        *((f"turn_to_level_{c}_in_mouth_rad", -np.pi, np.pi) for c in "xyz"),
        ("mouth_axis_z_in_world", -1.0, 1.0),
        ("mouth_opening_m", 0.0, 0.08),
        ("consent", 0.0, 1.0),
        ("stop_signal", 0.0, 1.0),
        ("food_on_spoon", 0.0, 1.0),
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
        *((f"tool_force_{c}_in_mouth_n", -20.0, 20.0) for c in "xyz"),
        ("tool_to_arm_distance_m", -0.2, 1.5),
        ("time_share_of_episode", 0.0, 1.0),
        ("mouth_age_s", 0.0, 2.0),
        ("people_age_s", 0.0, 2.0),
    ]
    return Spaces(
        observation_names=tuple(name for name, _, _ in entries),
        observation_low=np.array([low for _, low, _ in entries], dtype=np.float32),
        observation_high=np.array([high for _, _, high in entries], dtype=np.float32),
        action_names=(
            *(f"tool_velocity_{c}_in_mouth_{linear_m_s:g}_m_s" for c in "xyz"),
            *(f"tool_turn_{c}_in_mouth_{angular_rad_s:g}_rad_s" for c in "xyz"),
        ),
    )
