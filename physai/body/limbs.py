"""Vectors without allocation, and limbs: two links between trunk and hand or foot.

Compiled; a vector is a tuple of three floats, so that nothing is allocated.
Lengths are shares of stature, as of the seated person.
"""

from __future__ import annotations

import math

import numba

from physai.body.gait import ANKLE_HEIGHT, LEG_SEGMENT
from physai.types import Array

__all__ = [
    "HAND",
    "Vector",
    "bend_arm",
    "cross",
    "dot",
    "go",
    "hang_arm",
    "mix",
    "orient",
    "orient_arm",
    "pose_leg",
    "put",
    "reach_hand",
    "tilt",
    "unit",
]

Vector = tuple[float, float, float]

UPPER_ARM, FOREARM, HAND = 0.172, 0.146, 0.095
FOOT = 0.04
"""Middle of the foot before the ankle."""


@numba.njit(cache=True)
def go(p: Vector, a: float, u: Vector) -> Vector:
    """Return p + a u."""
    return (p[0] + a * u[0], p[1] + a * u[1], p[2] + a * u[2])


@numba.njit(cache=True)
def mix(a: float, u: Vector, b: float, v: Vector) -> Vector:
    """Return a u + b v."""
    return (a * u[0] + b * v[0], a * u[1] + b * v[1], a * u[2] + b * v[2])


@numba.njit(cache=True)
def dot(u: Vector, v: Vector) -> float:
    """Return the scalar product."""
    return u[0] * v[0] + u[1] * v[1] + u[2] * v[2]


@numba.njit(cache=True)
def cross(u: Vector, v: Vector) -> Vector:
    """Return the vector product."""
    return (
        u[1] * v[2] - u[2] * v[1],
        u[2] * v[0] - u[0] * v[2],
        u[0] * v[1] - u[1] * v[0],
    )


@numba.njit(cache=True)
def unit(u: Vector, fallback: Vector) -> Vector:
    """Return u made one long; the fallback where it has no length."""
    size = math.sqrt(dot(u, u))
    if size < 1e-9:
        return fallback
    return (u[0] / size, u[1] / size, u[2] / size)


@numba.njit(cache=True)
def put(row: Array, p: Vector, q: Vector, radius: float) -> None:
    """Write a capsule: both ends and radius [m]."""
    for i in range(3):
        row[i] = p[i]
        row[3 + i] = q[i]
    row[6] = radius


@numba.njit(cache=True)
def orient(rotation: Array, forward: Vector, up: Vector) -> None:
    """Columns forward, left, up; up is kept, forward made orthogonal to it."""
    f = unit(go(forward, -dot(forward, up), up), (1.0, 0.0, 0.0))
    left = cross(up, f)
    for i in range(3):
        rotation[i, 0] = f[i]
        rotation[i, 1] = left[i]
        rotation[i, 2] = up[i]


@numba.njit(cache=True)
def tilt(v: Vector, direction: Vector, angle: float) -> Vector:
    """Turn a vector with the trunk that tilts from upright toward a direction."""
    across = (-direction[1], direction[0], 0.0)
    a, n = dot(v, direction), dot(v, across)
    c, s = math.cos(angle), math.sin(angle)
    along = (c * direction[0], c * direction[1], -s)
    upward = (s * direction[0], s * direction[1], c)
    return (
        a * along[0] + n * across[0] + v[2] * upward[0],
        a * along[1] + n * across[1] + v[2] * upward[1],
        a * along[2] + n * across[2] + v[2] * upward[2],
    )


@numba.njit(cache=True)
def pose_leg(
    h: float,
    g: float,
    hip: Vector,
    ankle: Vector,
    pole: Vector,
    side: int,
    capsules: Array,
    rotations: Array,
) -> None:
    """Two equal links from hip to ankle, the knee toward the pole."""
    length = LEG_SEGMENT * h
    line = (ankle[0] - hip[0], ankle[1] - hip[1], ankle[2] - hip[2])
    far = math.sqrt(dot(line, line))
    u = unit(line, (0.0, 0.0, -1.0))
    reach = min(max(far, 0.3 * length), 1.985 * length)
    bend = unit(go(pole, -dot(pole, u), u), (1.0, 0.0, 0.0))
    out = math.sqrt(max(0.0, length * length - 0.25 * reach * reach))
    knee = go(go(hip, 0.5 * reach, u), out, bend)
    ankle = go(hip, reach, u)
    thigh_up = unit(
        (hip[0] - knee[0], hip[1] - knee[1], hip[2] - knee[2]), (0.0, 0.0, 1.0)
    )
    shank_up = unit(
        (knee[0] - ankle[0], knee[1] - ankle[1], knee[2] - ankle[2]), (0.0, 0.0, 1.0)
    )
    orient(rotations[12 + side], bend, thigh_up)
    orient(rotations[14 + side], bend, shank_up)
    r = rotations[14 + side]
    foot = go(ankle, FOOT * h, (r[0, 0], r[1, 0], r[2, 0]))
    put(capsules[12 + side], hip, knee, 0.045 * h * g)
    # The radius reaches from the ankle's height to the sole.
    radius = min(ANKLE_HEIGHT, 0.036 * g) * h
    put(capsules[14 + side], go(knee, -0.02 * h, shank_up), foot, radius)


@numba.njit(cache=True)
def bend_arm(
    h: float, shoulder: Vector, wrist: Vector, pole: Vector
) -> tuple[Vector, Vector]:
    """Return elbow and wrist of a two-link arm that reaches as far as it can."""
    upper, fore = UPPER_ARM * h, FOREARM * h
    line = (wrist[0] - shoulder[0], wrist[1] - shoulder[1], wrist[2] - shoulder[2])
    far = math.sqrt(dot(line, line))
    u = unit(line, (0.0, 0.0, -1.0))
    length = min(max(far, abs(upper - fore) + 0.1 * h), 0.995 * (upper + fore))
    c = (upper * upper + length * length - fore * fore) / (2.0 * upper * length)
    c = min(1.0, max(-1.0, c))
    bend = unit(go(pole, -dot(pole, u), u), (0.0, 0.0, 1.0))
    elbow = go(go(shoulder, upper * c, u), upper * math.sqrt(1.0 - c * c), bend)
    return elbow, go(shoulder, length, u)


@numba.njit(cache=True)
def hang_arm(
    h: float, shoulder: Vector, out: Vector, f: Vector, up: Vector, angles: Vector
) -> tuple[Vector, Vector]:
    """Return elbow and wrist of an arm with given flexion, abduction and elbow."""
    flexion, abduction, elbow_angle = angles
    ca, sa = math.cos(abduction), math.sin(abduction)
    c, s = ca * math.cos(flexion), ca * math.sin(flexion)
    u = (
        -c * up[0] + s * f[0] + sa * out[0],
        -c * up[1] + s * f[1] + sa * out[1],
        -c * up[2] + s * f[2] + sa * out[2],
    )
    elbow = go(shoulder, UPPER_ARM * h, u)
    # The forearm turns about the elbow's hinge, which is across the upper arm.
    hinge = unit(go(out, -dot(out, u), u), (0.0, 1.0, 0.0))
    front = cross(hinge, u)
    if dot(front, f) * math.cos(flexion) + dot(front, up) * math.sin(flexion) < 0.0:
        front = (-front[0], -front[1], -front[2])
    w = mix(math.cos(elbow_angle), u, math.sin(elbow_angle), front)
    return elbow, go(elbow, FOREARM * h, w)


@numba.njit(cache=True)
def limit(offset: Array, goal: Vector, rate_m: float) -> float:
    """Let a hand's offset follow its goal; return its size [m]."""
    dx, dy, dz = goal[0] - offset[0], goal[1] - offset[1], goal[2] - offset[2]
    size = math.sqrt(dx * dx + dy * dy + dz * dz)
    share = 1.0 if size <= rate_m else rate_m / size
    offset[0] += share * dx
    offset[1] += share * dy
    offset[2] += share * dz
    return math.sqrt(offset[0] ** 2 + offset[1] ** 2 + offset[2] ** 2)


@numba.njit(cache=True)
def reach_hand(
    h: float,
    shoulder: Vector,
    arm: tuple[Vector, Vector],
    std: Vector,
    up: Vector,
    hand: Array,
    offset: Array,
    rate_m: float,
) -> tuple[Vector, Vector]:
    """Move a hand from where it hangs toward its target; return elbow and wrist.

    The elbow goes over from where the hanging arm has it to outward and down, so that
    nothing jumps when a reach begins or ends.
    """
    elbow, wrist = arm
    line = unit(go(wrist, -1.0, elbow), up)
    middle = go(wrist, 0.5 * HAND * h, line)
    share = hand[3]
    goal = (0.0, 0.0, 0.0)
    if share > 0.0:
        reach = (UPPER_ARM + FOREARM + 0.5 * HAND) * h
        t = go((hand[0], hand[1], hand[2]), -1.0, shoulder)
        size = max(1e-6, math.sqrt(dot(t, t)))
        goal = mix(share, go(shoulder, min(1.0, reach / size), t), -share, middle)
    away = limit(offset, goal, rate_m)
    if away <= 1e-6:
        return elbow, wrist
    w = min(1.0, away / (0.2 * h))
    axis = unit(go(middle, -1.0, shoulder), up)
    own = unit(go(elbow, -1.0, shoulder), std)
    own = unit(go(own, -dot(own, axis), axis), std)
    target = go(middle, 1.0, (offset[0], offset[1], offset[2]))
    toward = unit(go(target, -1.0, shoulder), axis)
    toward = unit(mix(1.0 - w, line, w, toward), line)
    pole = mix(1.0 - w, own, w, unit(std, own))
    return bend_arm(h, shoulder, go(target, -0.5 * HAND * h, toward), pole)


@numba.njit(cache=True)
def orient_arm(
    shoulder: Vector,
    elbow: Vector,
    wrist: Vector,
    f: Vector,
    up: Vector,
    side: int,
    rotations: Array,
) -> None:
    """Frames of an arm: up along it toward the trunk, the palm forward or down."""
    upper = unit(go(shoulder, -1.0, elbow), up)
    fore = unit(go(elbow, -1.0, wrist), up)
    hang = abs(dot(upper, up))
    orient(rotations[6 + side], mix(hang, f, hang - 1.0, up), upper)
    hang = abs(dot(fore, up))
    palm = mix(hang, f, hang - 1.0, up)
    orient(rotations[8 + side], palm, fore)
    orient(rotations[10 + side], palm, fore)
