"""Arithmetic of handling in numba: what became of every case, and whom it touches."""

from __future__ import annotations

import math

import numba
import numpy as np
import numpy.typing as npt

from physai.body.heading import half_turn, heading_of
from physai.types import Array

__all__ = [
    "HELD",
    "QUEUED",
    "READY",
    "RELEASED",
    "describe",
    "judge",
    "top_of",
    "touch_speed",
]

QUEUED, READY, HELD, RELEASED = range(4)
"""A case waits, lies on the infeed, hangs on the cups, was let go."""

PLACED, DROPPED, TOPPLED = range(3)
"""Columns of the flags of every case."""


@numba.njit(cache=True)
def top_of(pose: Array, size: Array, out: Array) -> None:
    """Write the middle of the upper face [m] and the yaw [rad] of a level box.

    Args:
        pose: (7,) of its middle.
        size: (3,) [m].
        out: (4,).
    """
    out[0], out[1], out[2] = pose[0], pose[1], pose[2] + 0.5 * size[2]
    out[3] = heading_of(pose)


@numba.njit(cache=True)
def describe(
    vacuum: float,
    margin: float,
    held: bool,
    pose: Array,
    size: Array,
    mass: float,
    slot: Array,
    status: npt.NDArray[np.int64],
    out: Array,
) -> None:
    """Write the exact extras of :class:`physai.plant.handling.Handling`.

    Args:
        vacuum: Gauge [kPa].
        margin: Smallest of the period.
        held: Whether a case hangs on the cups.
        pose: (7,) of the case looked at.
        size: (3,) of it [m].
        mass: Of it [kg].
        slot: (4,) where it belongs.
        status: (C,) of every case.
        out: (16,).
    """
    out[0], out[1], out[2] = vacuum, margin, 1.0 if held else 0.0
    top_of(pose, size, out[3:7])
    for i in range(3):
        out[7 + i] = size[i]
    out[10], out[15] = mass, 0.0
    for i in range(4):
        out[11 + i] = slot[i]
    for state in status:
        if state < RELEASED:
            out[15] += 1.0


@numba.njit(cache=True)
def _tilt_of(pose: Array) -> float:
    """Angle of the upper face to the horizontal [rad]."""
    x, y = pose[3], pose[4]
    return math.acos(min(1.0, max(-1.0, 1.0 - 2.0 * (x * x + y * y))))


@numba.njit(cache=True)
def _to_person(x: float, y: float, people: Array) -> float:
    """Horizontal distance of a place from the nearest capsule [m]; inf for nobody."""
    best = np.inf
    for s in range(people.shape[0]):
        ax, ay = people[s, 0], people[s, 1]
        ex, ey = people[s, 3] - ax, people[s, 4] - ay
        size = ex * ex + ey * ey
        share = ((x - ax) * ex + (y - ay) * ey) / size if size > 1e-12 else 0.0
        share = min(1.0, max(0.0, share))
        dx, dy = x - ax - share * ex, y - ay - share * ey
        best = min(best, math.sqrt(dx * dx + dy * dy) - people[s, 6])
    return best


@numba.njit(cache=True)
def judge(
    status: npt.NDArray[np.int64],
    place: npt.NDArray[np.int64],
    poses: Array,
    velocities: Array,
    sizes: Array,
    masses: Array,
    slots: Array,
    peak: Array,
    rest: Array,
    flags: npt.NDArray[np.bool_],
    people: Array,
    dt_s: float,
    tolerance: float,
    tolerance_yaw: float,
    tilt_most: float,
    rest_speed: float,
    rest_time: float,
    fall: float,
    reach: float,
    figures: Array,
) -> None:
    """Judge every case that is not in the queue.

    Args:
        status: (C,) of every case; one that falls off the infeed becomes released.
        place: (C,) its object.
        poses: (K, 7) of objects.
        velocities: (K, 6).
        sizes: (K, 3) [m].
        masses: (K,) [kg].
        slots: (C, 4) middle of the upper face [m] and yaw [rad] where it belongs.
        peak: (C,) largest height of its middle since it was let go [m], updated.
        rest: (C,) time at rest [s], updated.
        flags: (C, 3) placed, dropped, toppled, updated; the latter two stay.
        people: (S, 7) capsules of everybody.
        dt_s: Control period [s].
        tolerance: Of the place in plan and height [m].
        tolerance_yaw: [rad].
        tilt_most: Beyond it a case does not stand, beyond seven times it has toppled.
        rest_speed: [m/s].
        rest_time: [s].
        fall: Height [m].
        reach: Horizontal distance from people [m].
        figures: (5,) placed, dropped, toppled, largest tilt of a placed case of this
            step [rad], energy of a fall beside a person [J], the largest so far.
    """
    figures[0], figures[1], figures[2], figures[3] = 0.0, 0.0, 0.0, 0.0
    for c in range(status.shape[0]):
        if status[c] == QUEUED:
            continue
        if status[c] != HELD:
            k = place[c]
            pose, speed = poses[k], 0.0
            for i in range(3):
                speed += velocities[k, i] ** 2 + (0.2 * velocities[k, 3 + i]) ** 2
            speed = math.sqrt(speed)
            rest[c] = rest[c] + dt_s if speed < rest_speed else 0.0
            peak[c] = max(peak[c], pose[2])
            fallen, tilt = peak[c] - pose[2], _tilt_of(pose)
            if fallen > fall:
                if status[c] == READY:
                    status[c] = RELEASED
                flags[c, TOPPLED if flags[c, PLACED] else DROPPED] = True
                if _to_person(pose[0], pose[1], people) < reach:
                    figures[4] = max(figures[4], masses[k] * 9.81 * fallen)
            if tilt > 7.0 * tilt_most and not flags[c, DROPPED]:
                flags[c, TOPPLED] = True
            if status[c] == RELEASED:
                dx, dy = pose[0] - slots[c, 0], pose[1] - slots[c, 1]
                dz = pose[2] + 0.5 * sizes[k, 2] - slots[c, 2]
                turn = half_turn(heading_of(pose) - slots[c, 3])
                there = math.sqrt(dx * dx + dy * dy) <= tolerance
                there = there and abs(dz) <= tolerance and abs(turn) <= tolerance_yaw
                there = there and tilt <= tilt_most
                if flags[c, PLACED] and not there:
                    # It stood, and does not any more.
                    flags[c, TOPPLED] = True
                    flags[c, PLACED] = False
                elif not flags[c, TOPPLED] and not flags[c, DROPPED]:
                    flags[c, PLACED] = there and (
                        flags[c, PLACED] or rest[c] >= rest_time
                    )
                if flags[c, PLACED]:
                    figures[3] = max(figures[3], tilt)
        for i in range(3):
            figures[i] += 1.0 if flags[c, i] else 0.0


@numba.njit(cache=True)
def touch_speed(pose: Array, velocity: Array, size: Array, people: Array) -> float:
    """Return a box's own speed toward the people it touches [m/s]; 0 for nobody.

    Every capsule is looked at by five spheres along its axis.

    Args:
        pose: (7,) of the box.
        velocity: (6,).
        size: (3,) [m].
        people: (S, 7) capsules.
    """
    x, y, z, w = pose[3], pose[4], pose[5], pose[6]
    r = np.empty((3, 3))
    r[0, 0], r[0, 1], r[0, 2] = (
        1.0 - 2.0 * (y * y + z * z),
        2.0 * (x * y - z * w),
        2.0 * (x * z + y * w),
    )
    r[1, 0], r[1, 1], r[1, 2] = (
        2.0 * (x * y + z * w),
        1.0 - 2.0 * (x * x + z * z),
        2.0 * (y * z - x * w),
    )
    r[2, 0], r[2, 1], r[2, 2] = (
        2.0 * (x * z - y * w),
        2.0 * (y * z + x * w),
        1.0 - 2.0 * (x * x + y * y),
    )
    worst, reach = 0.0, 0.5 * math.sqrt(size[0] ** 2 + size[1] ** 2 + size[2] ** 2)
    d, near, gap = np.empty(3), np.empty(3), np.empty(3)
    for s in range(people.shape[0]):
        for step in range(5):
            far = 0.0
            for i in range(3):
                d[i] = (
                    people[s, i]
                    + 0.25 * step * (people[s, 3 + i] - people[s, i])
                    - pose[i]
                )
                far += d[i] * d[i]
            if far > (reach + people[s, 6]) ** 2:
                continue
            for i in range(3):
                local = r[0, i] * d[0] + r[1, i] * d[1] + r[2, i] * d[2]
                near[i] = min(0.5 * size[i], max(-0.5 * size[i], local))
            length = 0.0
            for i in range(3):
                point = r[i, 0] * near[0] + r[i, 1] * near[1] + r[i, 2] * near[2]
                gap[i] = d[i] - point
                length += gap[i] * gap[i]
            length = math.sqrt(length)
            if length > people[s, 6]:
                continue
            if length < 1e-9:
                # The middle of the sphere is inside: away from the box's middle.
                length = max(math.sqrt(far), 1e-9)
                for i in range(3):
                    gap[i] = d[i]
            speed = 0.0
            for i in range(3):
                j, k = (i + 1) % 3, (i + 2) % 3
                turn = velocity[3 + j] * d[k] - velocity[3 + k] * d[j]
                speed += (velocity[i] + turn) * gap[i] / length
            worst = max(worst, speed)
    return worst
