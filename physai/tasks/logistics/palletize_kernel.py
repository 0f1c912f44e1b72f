"""Geometry of palletising in numba: twist of the cups, people beside, progress.

Extras come in the order of :class:`physai.plant.handling.Handling`: vacuum [kPa], margin,
held, case x y z [m] and yaw [rad] (middle of its upper face), its size (3) [m] and mass
[kg], slot x y z and yaw, cases left. A case looks the same after half a turn, so that
yaw differences lie in [-pi/2, pi/2].
"""

from __future__ import annotations

import math

import numba
import numpy as np

from physai.body.heading import half_turn
from physai.tasks.motion import cut_entry
from physai.types import Array

__all__ = ["progress", "to_people", "twist_of"]

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
def twist_of(
    pose: Array, action: Array, linear: float, yaw: float, level: float, out: Array
) -> None:
    """Write the (6,) world twist of an action; the cups are kept level.

    NaN stays NaN.

    Args:
        pose: (7,) cups in the world.
        action: (5,) velocity x y z, yaw rate, vacuum.
        linear: What 1.0 stands for [m/s].
        yaw: The same [rad/s].
        level: Pull of the cups' axis to straight down [1/s].
        out: (6,).
    """
    for i in range(4):
        value = cut_entry(action[i])
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
