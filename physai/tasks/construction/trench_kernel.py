"""Geometry of an excavator and a trench in numba: observation, edge motion.

The *trench frame* has its origin at the near end of the design on its bottom, x along
the trench away from the machine, y to the left, z up. Extras come in the order of
:class:`physai.plant.digging.Digging`.
"""

from __future__ import annotations

import math
from itertools import pairwise

import numba
import numpy as np
import numpy.typing as npt

from physai.plant.digging import Digging
from physai.robot.description import Robot
from physai.robot.kinematics import Kinematics
from physai.tasks.task import Spaces
from physai.types import Array

__all__ = ["joint_rates", "lengths_of", "observe", "spaces_of"]

_EXTRAS = Digging.EXTRAS
LOAD, NEAR, FAR, BOTTOM, HEAP, PIPE = (
    _EXTRAS.index("load_kg"),
    _EXTRAS.index("trench_near_x_in_world_m"),
    _EXTRAS.index("trench_far_x_in_world_m"),
    _EXTRAS.index("trench_bottom_z_in_world_m"),
    _EXTRAS.index("heap_x_in_world_m"),
    _EXTRAS.index("pipe_from_x_in_world_m"),
)
PIPE_DISTANCE = _EXTRAS.index("pipe_distance_m")
SCAN = PIPE_DISTANCE + 1
SCANNED = len(_EXTRAS) - SCAN

SEEN = 16
"""Entries of an observation before what the scanner tells."""


def lengths_of(robot: Robot) -> Array:
    """Return (3,) lengths of boom, arm and bucket between their axes and edge [m]."""
    k = Kinematics(robot)
    places = [
        k.chain.link_position[robot.tree.link_names.index(name)] for name in _AXES
    ]
    places.append(k.tool_position)
    return np.array([float(np.linalg.norm(b - a)) for a, b in pairwise(places)])


_AXES = ("boom", "arm", "bucket")

_CUSHION_PER_S = 2.0
"""Speed per way left before the end of a cylinder."""
_FOLDED_M2 = 0.5
"""Determinant below which arm and bucket are folded too far to move as one."""


@numba.njit(cache=True)
def joint_rates(
    action: Array,
    position: Array,
    velocity: Array,
    scale: Array,
    lengths: Array,
    velocity_max: Array,
    change_max: Array,
    range_min: Array,
    range_max: Array,
    out: Array,
) -> None:
    """Write the joint rates of an action.

    The wrist moves as edge and curl want it; boom and arm follow from the two-link
    Jacobian, whose determinant L1 L2 sin(arm) stays away from 0 in the arm's range.
    Where a cylinder would be too slow, boom, arm and bucket are slowed together, so that
    the edge keeps its way; for the same reason all four come nearer to what is wanted by
    the same share, as far as the slowest can in one step. At the end of the bucket's
    cylinder the edge still goes where it should, and the bucket turns with the arm. NaN
    stays NaN.

    Args:
        action: (4,) reach, lift, curl, swing in [-1, 1]; cut to it.
        position: (4,) swing, boom, arm, bucket [rad].
        velocity: (4,) now [rad/s].
        scale: (4,) what 1.0 stands for [m/s, m/s, rad/s, rad/s].
        lengths: (3,) of :func:`lengths_of`.
        velocity_max: (4,) [rad/s].
        change_max: (4,) most that a velocity changes in a step [rad/s].
        range_min: (4,) ends of the range; within it cylinders are cushioned [rad].
        range_max: (4,).
        out: (4,) result [rad/s].
    """
    wanted = np.empty(4)
    for i in range(4):
        value = action[i]
        if value > 1.0:
            value = 1.0
        elif value < -1.0:
            value = -1.0
        wanted[i] = scale[i] * value
    boom, fold = position[1], position[1] + position[2]
    pitch = fold + position[3]
    curl = wanted[2]
    # Positive angles turn down: a link at angle t points along (cos t, -sin t).
    wx = wanted[0] + curl * lengths[2] * math.sin(pitch)
    wz = wanted[1] + curl * lengths[2] * math.cos(pitch)
    a, b = -lengths[0] * math.sin(boom), -lengths[1] * math.sin(fold)
    c, d = -lengths[0] * math.cos(boom), -lengths[1] * math.cos(fold)
    det = a * d - b * c
    boom_rate, fold_rate = (d * wx - b * wz) / det, (a * wz - c * wx) / det
    out[0] = wanted[3]
    rate = curl - fold_rate
    up = max(0.0, _CUSHION_PER_S * (range_max[3] - position[3]))
    down = min(0.0, _CUSHION_PER_S * (range_min[3] - position[3]))
    if rate > up or rate < down:
        # The bucket's cylinder is at its end: it moves as a part of the arm.
        rate = min(up, max(down, rate))
        px, pz = -lengths[2] * math.sin(pitch), -lengths[2] * math.cos(pitch)
        wx, wz = wanted[0] - px * rate, wanted[1] - pz * rate
        b, d = b + px, d + pz
        stiff = a * d - b * c
        if abs(stiff) > _FOLDED_M2:
            boom_rate, fold_rate = (d * wx - b * wz) / stiff, (a * wz - c * wx) / stiff
    out[1], out[2], out[3] = boom_rate, fold_rate - boom_rate, rate
    largest = 1.0
    for i in range(1, 4):
        largest = max(largest, abs(out[i]) / velocity_max[i])
    for i in range(1, 4):
        out[i] /= largest
    out[0] = out[0] / max(1.0, abs(out[0]) / velocity_max[0])
    share = 1.0
    for i in range(4):
        change = abs(out[i] - velocity[i])
        if change > change_max[i]:
            share = min(share, change_max[i] / change)
    for i in range(4):
        out[i] = velocity[i] + share * (out[i] - velocity[i])
        up = max(0.0, _CUSHION_PER_S * (range_max[i] - position[i]))
        down = min(0.0, _CUSHION_PER_S * (range_min[i] - position[i]))
        if out[i] > up:
            out[i] = up
        elif out[i] < down:
            out[i] = down


@numba.njit(cache=True)
def _wrap(angle: float) -> float:
    return float((angle + math.pi) % (2.0 * math.pi) - math.pi)


@numba.njit(cache=True)
def observe(
    pose: Array,
    base: Array,
    extras: Array,
    scan_age: float,
    position: Array,
    velocity: Array,
    effort: Array,
    effort_max: Array,
    people: Array,
    people_age: float,
    time_share: float,
    low: npt.NDArray[np.float32],
    high: npt.NDArray[np.float32],
    out: npt.NDArray[np.float32],
) -> None:
    """Fill the observation, cut into its bounds; what is not finite becomes 0.

    Args:
        pose: (7,) edge of the bucket in the world.
        base: (7,) of the machine.
        extras: (E,).
        scan_age: [s].
        position: (4,) joints [rad].
        velocity: (4,) [rad/s].
        effort: (4,) [N m].
        effort_max: (4,).
        people: (P, S, 7) capsules.
        people_age: Age of the oldest track [s].
        time_share: Time since reset over the time of an episode.
        low: (o,) bounds.
        high: (o,).
        out: (o,).
    """
    nx, ny = extras[NEAR], extras[NEAR + 1]
    dx, dy = extras[FAR] - nx, extras[FAR + 1] - ny
    length = max(math.hypot(dx, dy), 1e-6)
    ux, uy = dx / length, dy / length
    ex, ey = pose[0] - nx, pose[1] - ny
    out[0] = ex * ux + ey * uy
    out[1] = ey * ux - ex * uy
    out[2] = pose[2] - extras[BOTTOM]
    out[3] = length
    out[4] = extras[BOTTOM] - base[2]
    # The plate points along the edge frame's x, toward the machine where it digs.
    qx, qy, qz, qw = pose[3], pose[4], pose[5], pose[6]
    down = -2.0 * (qx * qz - qy * qw)
    flat = 1.0 - 2.0 * (qy * qy + qz * qz)
    side = 2.0 * (qx * qy + qz * qw)
    rx, ry = pose[0] - base[0], pose[1] - base[1]
    reach = math.hypot(rx, ry)
    swing = position[0]
    forward = flat * math.cos(swing) + side * math.sin(swing)
    out[5] = math.atan2(down, -forward)
    out[6] = reach
    out[7] = _wrap(math.atan2(uy, ux) - swing)
    hx, hy = extras[HEAP] - base[0], extras[HEAP + 1] - base[1]
    out[8] = _wrap(math.atan2(hy, hx) - math.atan2(ry, rx))
    out[9] = math.hypot(hx, hy) - reach
    out[10] = extras[LOAD]
    px = 0.5 * (extras[PIPE] + extras[PIPE + 3]) - pose[0]
    py = 0.5 * (extras[PIPE + 1] + extras[PIPE + 4]) - pose[1]
    out[11] = px * ux + py * uy
    pz = 0.5 * (extras[PIPE + 2] + extras[PIPE + 5]) + extras[PIPE + 6]
    out[12] = extras[BOTTOM] - pz
    out[13] = extras[PIPE_DISTANCE]
    nearest = 1e3
    for p in range(people.shape[0]):
        for s in range(people.shape[1]):
            d = math.hypot(people[p, s, 0] - base[0], people[p, s, 1] - base[1])
            nearest = min(nearest, d)
    out[14], out[15] = nearest, people_age
    for k in range(SCANNED):
        out[SEEN + k] = extras[SCAN + k]
    i = SEEN + SCANNED
    out[i], out[i + 1] = scan_age, time_share
    for k in range(4):
        out[i + 2 + k] = position[k]
        out[i + 6 + k] = velocity[k]
        out[i + 10 + k] = effort[k] / effort_max[k]
    for k in range(out.shape[0]):
        if np.isnan(out[k]):
            out[k] = 0.0
        out[k] = min(high[k], max(low[k], out[k]))


def spaces_of(robot: Robot, scale: Array) -> Spaces:
    """Return names and bounds in the order that :func:`observe` fills.

    Args:
        robot: Gives joints and their limits.
        scale: (4,) what an action of 1.0 stands for.
    """
    joints = robot.actuator_names
    limits = (robot.position_min.tolist(), robot.position_max.tolist())
    fastest = robot.velocity_max.tolist()
    entries: list[tuple[str, float, float]] = [
        ("edge_x_in_trench_m", -12.0, 12.0),
        ("edge_y_in_trench_m", -12.0, 12.0),
        ("edge_z_in_trench_m", -4.0, 10.0),
        ("trench_length_m", 0.0, 10.0),
        ("trench_bottom_z_in_base_m", -4.0, 1.0),
        ("plate_dip_rad", -np.pi, np.pi),
        ("edge_reach_m", 0.0, 10.0),
        ("swing_to_trench_rad", -np.pi, np.pi),
        ("bearing_to_heap_rad", -np.pi, np.pi),
        ("heap_beyond_edge_m", -10.0, 10.0),
        ("load_kg", 0.0, 1500.0),
        ("pipe_ahead_of_edge_m", -12.0, 12.0),
        ("pipe_top_below_trench_m", -2.0, 4.0),
        ("pipe_distance_m", -1.0, 12.0),
        ("nearest_person_from_swing_axis_m", 0.0, 30.0),
        ("people_age_s", 0.0, 2.0),
        *((name, -3.0, 3.0) for name in _EXTRAS[SCAN : SCAN + SCANNED - 3]),
        *((name, -10.0, 5.0) for name in _EXTRAS[-3:]),
        ("scan_age_s", 0.0, 2.0),
        ("time_share_of_episode", 0.0, 1.0),
        *zip([f"{name}_rad" for name in joints], *limits, strict=True),
        *((f"{name}_rad_s", -v, v) for name, v in zip(joints, fastest, strict=True)),
        *((f"{name}_effort_share", -1.0, 1.0) for name in joints),
    ]
    reach, lift, curl, swing = scale.tolist()
    return Spaces(
        observation_names=tuple(name for name, _, _ in entries),
        observation_low=np.array([low for _, low, _ in entries], dtype=np.float32),
        observation_high=np.array([high for _, _, high in entries], dtype=np.float32),
        action_names=(
            f"edge_reach_velocity_{reach:g}_m_s",
            f"edge_lift_velocity_{lift:g}_m_s",
            f"bucket_curl_velocity_{curl:g}_rad_s",
            f"swing_velocity_{swing:g}_rad_s",
        ),
    )
