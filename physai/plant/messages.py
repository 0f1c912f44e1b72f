"""State and Command as ROS messages, and back; knows no transport.

Messages are plain dictionaries as rosbridge carries them. Joints are mapped by name
with sign and offset, since the order of ``JointState`` is not fixed. JSON has no NaN:
what is not finite travels as null and comes back as NaN, which stops the guard.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from physai.body.person import SEGMENT_COUNT
from physai.errors import ContractError, LinkError, suggest
from physai.robot.description import LidarMountConfig
from physai.robot.kinematics import rotation_from_quaternion
from physai.types import Array, Command

__all__ = [
    "JointMap",
    "array_message",
    "base_message",
    "command_message",
    "finite_or_none",
    "joint_message",
    "objects_message",
    "odometry_message",
    "parse_array",
    "parse_command",
    "parse_joints",
    "parse_objects",
    "parse_odometry",
    "parse_people",
    "parse_scan",
    "parse_wrench",
    "people_message",
    "scan_message",
    "stamp_of",
    "wrench_message",
]

Message = dict[str, Any]


@dataclass(frozen=True)
class JointMap:
    """How the robot's joints are called and counted on the ROS side.

    ``ours = sign * (theirs - offset)``.

    Attributes:
        names: ROS names in the order of robot.yaml.
        sign: (n,) +1 or -1.
        offset: (n,) [rad or m].
    """

    names: tuple[str, ...]
    sign: Array
    offset: Array


def finite_or_none(values: Any) -> list[float | None]:
    """Return numbers for JSON; what is not finite becomes null."""
    return [float(v) if math.isfinite(v) else None for v in np.ravel(values)]


def _numbers(values: Any, what: str) -> Array:
    if not isinstance(values, Sequence) or isinstance(values, str):
        raise LinkError(
            f"{what}: expected a list of numbers, got {type(values).__name__}"
        )
    try:
        return np.array([math.nan if v is None else float(v) for v in values])
    except (TypeError, ValueError):
        raise LinkError(f"{what}: holds something that is not a number") from None


def _stamp(time_s: float) -> Message:
    seconds = math.floor(time_s)
    return {"sec": int(seconds), "nanosec": round((time_s - seconds) * 1e9)}


def stamp_of(message: Mapping[str, Any]) -> float:
    """Return the header's stamp [s]; NaN where there is none."""
    stamp = message.get("header", {}).get("stamp", {})
    try:
        return float(stamp.get("sec", stamp.get("secs"))) + 1e-9 * float(
            stamp.get("nanosec", stamp.get("nsecs", 0))
        )
    except (TypeError, ValueError, AttributeError):
        return math.nan


def joint_message(
    joints: JointMap, position: Array, velocity: Array, effort: Array, time_s: float
) -> Message:
    """Return ``sensor_msgs/JointState``."""
    return {
        "header": {"stamp": _stamp(time_s), "frame_id": ""},
        "name": list(joints.names),
        "position": finite_or_none(joints.sign * position + joints.offset),
        "velocity": finite_or_none(joints.sign * velocity),
        "effort": finite_or_none(joints.sign * effort),
    }


def parse_joints(
    message: Mapping[str, Any], joints: JointMap
) -> tuple[Array, Array, Array]:
    """Return positions, velocities and efforts in the order of robot.yaml.

    An effort that is not reported is NaN; a position or velocity that is not reported
    is NaN too, and the guard stops.

    Raises:
        LinkError: If a joint is missing or the message is not a joint state.
    """
    names = message.get("name")
    if not isinstance(names, list):
        raise LinkError("joint states: the message has no list of names")
    place = {name: index for index, name in enumerate(names)}
    for name in joints.names:
        if name not in place:
            raise LinkError(f'joint states: no joint "{name}"; {suggest(name, place)}')
    order = [place[name] for name in joints.names]

    def column(key: str) -> Array:
        values = _numbers(message.get(key, []), f"joint states, {key}")
        if len(values) != len(names):
            return np.full(len(order), np.nan)
        picked: Array = values[order]
        return picked

    return (
        joints.sign * (column("position") - joints.offset),
        joints.sign * column("velocity"),
        joints.sign * column("effort"),
    )


def array_message(values: Any) -> Message:
    """Return ``std_msgs/Float64MultiArray``."""
    return {"layout": {"dim": [], "data_offset": 0}, "data": finite_or_none(values)}


def parse_array(message: Mapping[str, Any], size: int, what: str) -> Array:
    """Return the numbers of a ``Float64MultiArray``.

    Raises:
        LinkError: If there are not ``size`` of them.
    """
    values = _numbers(message.get("data"), what)
    if len(values) != size:
        raise LinkError(f"{what}: {len(values)} numbers, expected {size}")
    return values


def command_message(command: Command, joints: JointMap) -> Message:
    """Return a velocity command: stamp, sequence, velocities, tool channels.

    Raises:
        ContractError: If a velocity is not finite; such a command is never sent.
    """
    if not np.isfinite(command.actuator_velocity).all():
        raise ContractError("a command that is not finite is never sent")
    return array_message(
        [
            command.stamp_s,
            command.sequence,
            *(joints.sign * command.actuator_velocity),
            *command.tool,
        ]
    )


def parse_command(message: Mapping[str, Any], joints: JointMap, tools: int) -> Command:
    """Return the command of a message.

    Raises:
        LinkError: If it has the wrong size or holds something that is not finite.
    """
    n = len(joints.names)
    values = parse_array(message, 2 + n + tools, "command")
    if not np.isfinite(values).all():
        raise LinkError("command: holds a number that is not finite")
    return Command(
        joints.sign * values[2 : 2 + n],
        values[2 + n :],
        float(values[0]),
        int(values[1]),
    )


def people_message(people: Array, ages: Array, frame_age_s: float) -> Message:
    """Return people as one array: count, age of the frame, then age and capsules each."""
    parts = [[len(people), frame_age_s]]
    parts.extend(
        [float(age), *np.ravel(person)]
        for person, age in zip(people, ages, strict=True)
    )
    return array_message(np.concatenate([np.ravel(p) for p in parts]))


def parse_people(message: Mapping[str, Any]) -> tuple[Array, Array, float]:
    """Return capsules (P, S, 7), ages (P,) [s] and the age of the frame [s].

    Raises:
        LinkError: If the numbers do not fit their own count.
    """
    values = _numbers(message.get("data"), "people")
    if len(values) < 2 or not np.isfinite(values[0]) or values[0] < 0:
        raise LinkError("people: the message does not say how many there are")
    count, each = int(values[0]), 1 + SEGMENT_COUNT * 7
    if len(values) != 2 + count * each:
        raise LinkError(f"people: {len(values)} numbers do not fit {count} people")
    rows = values[2:].reshape(count, each)
    return (
        rows[:, 1:].reshape(count, SEGMENT_COUNT, 7).copy(),
        rows[:, 0].copy(),
        float(values[1]),
    )


def odometry_message(pose: Array, twist: Array, time_s: float) -> Message:
    """Return ``nav_msgs/Odometry``: pose in the world, twist in the base frame.

    Args:
        pose: (7,) of the base in the world.
        twist: (6,) linear and angular velocity in the world.
        time_s: Stamp.
    """
    rotation = np.empty((3, 3))
    rotation_from_quaternion(np.ascontiguousarray(pose[3:7]), rotation)
    local = np.concatenate([rotation.T @ twist[:3], rotation.T @ twist[3:]])
    x, y, z, qx, qy, qz, qw = finite_or_none(pose)
    return {
        "header": {"stamp": _stamp(time_s), "frame_id": "world"},
        "child_frame_id": "base_link",
        "pose": {
            "pose": {
                "position": {"x": x, "y": y, "z": z},
                "orientation": {"x": qx, "y": qy, "z": qz, "w": qw},
            }
        },
        "twist": {"twist": _twist(local)},
    }


def parse_odometry(message: Mapping[str, Any]) -> tuple[Array, Array]:
    """Return the (7,) pose and the (6,) twist of the base, both in the world.

    Raises:
        LinkError: If it is not an odometry.
    """
    try:
        pose = message["pose"]["pose"]
        twist = message["twist"]["twist"]
        place = _numbers(
            [pose["position"][c] for c in "xyz"]
            + [pose["orientation"][c] for c in "xyzw"],
            "odometry",
        )
        local = _numbers(
            [twist[part][c] for part in ("linear", "angular") for c in "xyz"],
            "odometry",
        )
    except (KeyError, TypeError):
        raise LinkError("odometry: the message holds no pose and twist") from None
    rotation = np.empty((3, 3))
    rotation_from_quaternion(place[3:7].copy(), rotation)
    return place, np.concatenate([rotation @ local[:3], rotation @ local[3:]])


def _twist(values: Array) -> Message:
    numbers = finite_or_none(values)
    return {
        "linear": dict(zip("xyz", numbers[:3], strict=True)),
        "angular": dict(zip("xyz", numbers[3:], strict=True)),
    }


def base_message(command: Command, time_s: float) -> Message:
    """Return the base's part of a command as ``geometry_msgs/TwistStamped``.

    Raises:
        ContractError: If a velocity is not finite; such a command is never sent.
    """
    linear, angular = command.actuator_velocity[:2].tolist()
    if not (math.isfinite(linear) and math.isfinite(angular)):
        raise ContractError("a command that is not finite is never sent")
    return {
        "header": {"stamp": _stamp(time_s), "frame_id": "base_link"},
        "twist": _twist(np.array([linear, 0.0, 0.0, 0.0, 0.0, angular])),
    }


def scan_message(ranges: Array, lidar: LidarMountConfig, time_s: float) -> Message:
    """Return ``sensor_msgs/LaserScan``; no return is the largest range.

    Infinity would travel as null, which the guard takes as something very near.
    """
    angles = lidar.angles_rad
    step = float(angles[1] - angles[0])
    far = np.where(ranges == np.inf, lidar.range_max_m, ranges)
    return {
        "header": {"stamp": _stamp(time_s), "frame_id": "lidar"},
        "angle_min": float(angles[0]),
        "angle_max": float(angles[-1]),
        "angle_increment": step,
        "range_min": lidar.range_min_m,
        "range_max": lidar.range_max_m,
        "ranges": finite_or_none(far),
    }


def parse_scan(message: Mapping[str, Any], lidar: LidarMountConfig) -> Array:
    """Return the (rays,) ranges [m]; what is not a number is NaN.

    Raises:
        LinkError: If the scan does not look where robot.yaml says.
    """
    ranges = _numbers(message.get("ranges"), "scan")
    if len(ranges) != lidar.rays:
        raise LinkError(f"scan: {len(ranges)} rays, robot.yaml says {lidar.rays}")
    first = message.get("angle_min")
    expected = float(lidar.angles_rad[0])
    if not isinstance(first, int | float) or not abs(first - expected) < 1e-3:
        raise LinkError(
            f"scan: begins at {first} rad, robot.yaml says {expected:.4f} rad"
        )
    return ranges


def objects_message(poses: Array, ages: Array) -> Message:
    """Return objects as one array: pose and age of each."""
    return array_message(np.concatenate([poses, ages[:, None]], axis=1))


def parse_objects(message: Mapping[str, Any]) -> tuple[Array, Array]:
    """Return the (K, 7) poses and (K,) ages [s] of objects.

    Raises:
        LinkError: If the numbers do not come in eights.
    """
    values = _numbers(message.get("data"), "objects")
    if len(values) % 8:
        raise LinkError(f"objects: {len(values)} numbers are not pose and age each")
    rows = values.reshape(-1, 8)
    return rows[:, :7].copy(), rows[:, 7].copy()


def wrench_message(force: Array, time_s: float) -> Message:
    """Return ``geometry_msgs/WrenchStamped`` in the world frame."""
    x, y, z = finite_or_none(force)
    zero = {"x": 0.0, "y": 0.0, "z": 0.0}
    return {
        "header": {"stamp": _stamp(time_s), "frame_id": "world"},
        "wrench": {"force": {"x": x, "y": y, "z": z}, "torque": zero},
    }


def parse_wrench(message: Mapping[str, Any]) -> Array:
    """Return the (3,) force [N]; NaN where the message holds none.

    Raises:
        LinkError: If it is not a wrench.
    """
    force = message.get("wrench", {}).get("force")
    if not isinstance(force, Mapping):
        raise LinkError("tool force: the message holds no wrench")
    return _numbers([force.get(axis) for axis in "xyz"], "tool force")
