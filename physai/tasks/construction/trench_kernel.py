"""Motion of an excavator's edge in numba: from reach, lift and curl to joint rates."""

from __future__ import annotations

import math
from itertools import pairwise

import numba
import numpy as np

from physai.robot.description import Robot
from physai.robot.kinematics import Kinematics
from physai.tasks.motion import cut_entry
from physai.types import Array

__all__ = ["joint_rates", "lengths_of"]

_AXES = ("boom", "arm", "bucket")

_CUSHION_PER_S = 2.0
"""Speed per way left before the end of a cylinder."""
_FOLDED_M2 = 0.5
"""Determinant below which arm and bucket are folded too far to move as one."""


def lengths_of(robot: Robot) -> Array:
    """Return (3,) lengths of boom, arm and bucket between their axes and edge [m]."""
    k = Kinematics(robot)
    places = [
        k.chain.link_position[robot.tree.link_names.index(name)] for name in _AXES
    ]
    places.append(k.tool_position)
    return np.array([float(np.linalg.norm(b - a)) for a, b in pairwise(places)])


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
        wanted[i] = scale[i] * cut_entry(action[i])
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
