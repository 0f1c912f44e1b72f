"""The posture of a seated person in numba: capsules, frames of the segments, mouth.

Sizes are shares of stature, as in :mod:`physai.body.person`.
"""

from __future__ import annotations

import numba
import numpy as np

from physai.types import Array

__all__ = ["move_person"]


@numba.njit(cache=True)
def _set(row: Array, a: Array, b: Array, radius: float) -> None:
    for i in range(3):
        row[i] = a[i]
        row[3 + i] = b[i]
    row[6] = radius


@numba.njit(cache=True)
def _frame(rotation: Array, forward: Array, up: Array) -> None:
    """Columns forward, left, up; forward is kept, up is made orthogonal to it."""
    dot = forward[0] * up[0] + forward[1] * up[1] + forward[2] * up[2]
    x, y, z = (
        up[0] - dot * forward[0],
        up[1] - dot * forward[1],
        up[2] - dot * forward[2],
    )
    size = np.sqrt(x * x + y * y + z * z)
    if size < 1e-6:
        x, y, z = -forward[2], 0.0, forward[0]
        size = max(1e-9, np.sqrt(x * x + z * z))
    x, y, z = x / size, y / size, z / size
    for i in range(3):
        rotation[i, 0] = forward[i]
    rotation[0, 2], rotation[1, 2], rotation[2, 2] = x, y, z
    rotation[0, 1] = y * forward[2] - z * forward[1]
    rotation[1, 1] = z * forward[0] - x * forward[2]
    rotation[2, 1] = x * forward[1] - y * forward[0]


@numba.njit(cache=True)
def _pose_arm(
    shoulder: Array,
    target: Array,
    upper: float,
    fore: float,
    hand: float,
    outward: Array,
    down: Array,
    elbow: Array,
    wrist: Array,
    tip: Array,
) -> None:
    """Two-link arm toward a target for the hand; the elbow hangs outward and down."""
    direction = target - shoulder
    distance = np.sqrt((direction**2).sum())
    reach = upper + fore + 0.5 * hand
    if distance < 1e-6:
        direction = down.copy()
        distance = 1e-6
    else:
        direction = direction / distance
    length = min(distance, 0.995 * reach) - 0.5 * hand
    length = max(length, abs(upper - fore) + 0.02)
    for i in range(3):
        wrist[i] = shoulder[i] + direction[i] * length
    cosine = (upper * upper + length * length - fore * fore) / (2.0 * upper * length)
    cosine = min(1.0, max(-1.0, cosine))
    sine = np.sqrt(1.0 - cosine * cosine)
    pole = down + 0.4 * outward
    pole = pole - direction * (pole * direction).sum()
    size = np.sqrt((pole**2).sum())
    if size < 1e-6:
        pole = outward.copy()
        size = 1.0
    for i in range(3):
        elbow[i] = shoulder[i] + upper * (cosine * direction[i] + sine * pole[i] / size)
    along = wrist - elbow
    along = along / max(1e-9, np.sqrt((along**2).sum()))
    for i in range(3):
        tip[i] = wrist[i] + hand * along[i]


@numba.njit(cache=True)
def _pose_person(
    seat: Array,
    yaw: float,
    stature: float,
    girth: float,
    sitting: float,
    numbers: Array,
    hands: Array,
    capsules: Array,
    rotations: Array,
    mouth: Array,
) -> None:
    """Fill the capsules of a seated person.

    ``numbers``: lean, head yaw, head pitch, head offset forward, left, up. ``hands``:
    (2, 3) world targets of left and right hand. ``mouth``: (3, 3) position, axis, up.
    """
    h, g = stature, girth
    cy, sy = np.cos(yaw), np.sin(yaw)
    forward, left = np.array([cy, sy, 0.0]), np.array([-sy, cy, 0.0])
    up = np.array([0.0, 0.0, 1.0])
    cl, sl = np.cos(numbers[0]), np.sin(numbers[0])
    trunk_up, trunk_forward = cl * up + sl * forward, cl * forward - sl * up
    hip = seat + 0.05 * h * up
    shoulder_height = sitting - 0.185 * h
    for s in range(16):
        _frame(rotations[s], trunk_forward, trunk_up)
    pelvis = hip
    _set(capsules[5], pelvis + 0.06 * h * left, pelvis - 0.06 * h * left, 0.075 * h * g)
    belly = hip + 0.42 * (shoulder_height - 0.05 * h) * trunk_up
    _set(capsules[4], belly + 0.045 * h * left, belly - 0.045 * h * left, 0.070 * h * g)
    chest = hip + 0.80 * (shoulder_height - 0.05 * h) * trunk_up
    _set(capsules[3], chest + 0.065 * h * left, chest - 0.065 * h * left, 0.070 * h * g)
    neck = hip + (shoulder_height - 0.05 * h) * trunk_up
    offset = numbers[3] * forward + numbers[4] * left + numbers[5] * up
    base = neck + 0.055 * h * trunk_up + offset
    ch, sh = np.cos(numbers[1]), np.sin(numbers[1])
    face_forward = ch * forward + sh * left
    cp, sp = np.cos(numbers[2]), np.sin(numbers[2])
    look, head_up = cp * face_forward - sp * up, cp * up + sp * face_forward
    _frame(rotations[0], look, head_up)
    _frame(rotations[1], look, head_up)
    _set(capsules[2], neck, base, 0.034 * h)
    skull = base + 0.062 * h * head_up
    _set(
        capsules[0],
        skull - 0.008 * h * look,
        skull + 0.012 * h * look + 0.012 * h * head_up,
        0.052 * h,
    )
    jaw = base + 0.026 * h * head_up + 0.026 * h * look
    _set(capsules[1], jaw - 0.008 * h * head_up, jaw + 0.024 * h * head_up, 0.036 * h)
    for i in range(3):
        mouth[0, i] = jaw[i] + 0.036 * h * look[i]
        mouth[1, i] = look[i]
        mouth[2, i] = head_up[i]
    elbow, wrist, tip = np.empty(3), np.empty(3), np.empty(3)
    for side in range(2):
        sign = 1.0 if side == 0 else -1.0
        shoulder = neck - 0.02 * h * trunk_up + sign * 0.115 * h * left
        _pose_arm(
            shoulder,
            hands[side],
            0.172 * h,
            0.146 * h,
            0.095 * h,
            sign * left,
            -up,
            elbow,
            wrist,
            tip,
        )
        _set(capsules[6 + side], shoulder, elbow, 0.028 * h * g)
        _set(capsules[8 + side], elbow, wrist, 0.024 * h * g)
        _set(capsules[10 + side], wrist, tip, 0.020 * h)
        along = (wrist - elbow) / (0.146 * h)
        for s in (6 + side, 8 + side, 10 + side):
            _frame(rotations[s], -up if abs(along[2]) < 0.8 else forward, -along)
        root = hip + sign * 0.055 * h * left
        knee = root + 0.235 * h * forward
        _set(capsules[12 + side], root, knee, 0.045 * h * g)
        heel = knee - (0.235 * h) * up
        _set(capsules[14 + side], knee - 0.02 * h * up, heel, 0.033 * h * g)


@numba.njit(cache=True)
def move_person(
    seat: Array,
    yaw: float,
    stature: float,
    girth: float,
    sitting: float,
    numbers: Array,
    hands: Array,
    dt_s: float,
    capsules: Array,
    previous: Array,
    velocity: Array,
    rotations: Array,
    mouth: Array,
) -> None:
    """Pose a person at the end of a step and derive the velocities over it."""
    for s in range(capsules.shape[0]):
        for c in range(7):
            previous[s, c] = capsules[s, c]
    _pose_person(
        seat,
        yaw,
        stature,
        girth,
        sitting,
        numbers,
        hands,
        capsules,
        rotations,
        mouth,
    )
    for s in range(capsules.shape[0]):
        for c in range(6):
            velocity[s, c] = (capsules[s, c] - previous[s, c]) / dt_s
