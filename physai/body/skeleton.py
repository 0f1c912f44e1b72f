"""From a posture to the 16 capsules of a person who stands, walks, lies or rolls.

Compiled and free of allocation. Segment lengths are those of the seated person
(:mod:`physai.body.person`) in shares of stature: thigh and shank 0.235, upper arm
0.172, forearm 0.146, hand 0.095; the hip joint of a standing person is at 0.513.

Two capsules hold more than their name says, so that everybody has 16 rows:

- ``shank_*`` ends at the middle of the foot, rigidly joined (no ankle joint): the foot
  belongs to the lower leg (areas 28 and 29).
- An aid is part of the body that carries it. The hand's capsule reaches to the floor
  along a cane or along the front leg of a walking frame (what hits the frame loads the
  hand: areas 17 to 25); the pelvis capsule of a wheelchair user is the pair of wheels
  (area 11, the chair carries the pelvis).
"""

from __future__ import annotations

import math

import numba

from physai.body.gait import (
    ANKLE_HEIGHT,
    DROP_STEP,
    HIP_HALF_WIDTH,
    HIP_HEIGHT,
    LEG_SEGMENT,
    NATURAL_STRIDE,
    read_table,
)
from physai.types import Array

__all__ = [
    "AIDS",
    "AIM_COUNT",
    "AIM_DROP",
    "AIM_NAMES",
    "BODY_NAMES",
    "pose_walker",
]

Vector = tuple[float, float, float]

AIDS = ("none", "cane", "walker", "wheelchair")
NONE, CANE, FRAME, WHEELCHAIR = range(4)

AIM_NAMES = (
    "tilt_forward_rad",
    "tilt_left_rad",
    "drop_m",
    "shift_forward_m",
    "shift_left_m",
    "head_yaw_rad",
    "head_pitch_rad",
    "head_forward_m",
    "head_left_m",
    "head_up_m",
    "arms_share",
    "arms_flexion_rad",
    "arms_abduction_rad",
    "arms_elbow_rad",
)
"""A posture: tilt of trunk, how far the pelvis is below and beside its standing place,
head, and a pose of both arms that replaces their swing by a share."""
AIM_COUNT = len(AIM_NAMES)
AIM_DROP = AIM_NAMES.index("drop_m")

BODY_NAMES = (
    "stature_m",
    "girth",
    "aid",
    "aid_sign",
    "floor_m",
    "seat_m",
    "stride_factor",
    "arm_factor",
    "arm_rate",
    "bound_m_s",
    "hand_bound_m_s",
    "aid_length_m",
)
"""What is constant of a person; ``aid_sign`` is +1 for a cane in the left hand."""

_ABOVE = 0.306
"""Hip to base of the neck."""
_UPPER, _FORE, _HAND = 0.172, 0.146, 0.095
_FOOT = 0.04
"""Middle of the foot before the ankle."""
WHEEL_RADIUS_M = 0.30
WHEEL_HALF_TRACK_M = 0.10
"""Half length of the wheels' capsule: with its radius 0.40 m to each side, the chair
(0.70 m wide at most, JIS T 9201) with the hands on its rims."""


@numba.njit(cache=True)
def _go(p: Vector, a: float, u: Vector) -> Vector:
    return (p[0] + a * u[0], p[1] + a * u[1], p[2] + a * u[2])


@numba.njit(cache=True)
def _mix(a: float, u: Vector, b: float, v: Vector) -> Vector:
    return (a * u[0] + b * v[0], a * u[1] + b * v[1], a * u[2] + b * v[2])


@numba.njit(cache=True)
def _dot(u: Vector, v: Vector) -> float:
    return u[0] * v[0] + u[1] * v[1] + u[2] * v[2]


@numba.njit(cache=True)
def _cross(u: Vector, v: Vector) -> Vector:
    return (
        u[1] * v[2] - u[2] * v[1],
        u[2] * v[0] - u[0] * v[2],
        u[0] * v[1] - u[1] * v[0],
    )


@numba.njit(cache=True)
def _unit(u: Vector, fallback: Vector) -> Vector:
    size = math.sqrt(_dot(u, u))
    if size < 1e-9:
        return fallback
    return (u[0] / size, u[1] / size, u[2] / size)


@numba.njit(cache=True)
def _put(row: Array, p: Vector, q: Vector, radius: float) -> None:
    for i in range(3):
        row[i] = p[i]
        row[3 + i] = q[i]
    row[6] = radius


@numba.njit(cache=True)
def _orient(rotation: Array, forward: Vector, up: Vector) -> None:
    """Columns forward, left, up; up is kept, forward made orthogonal to it."""
    f = _unit(_go(forward, -_dot(forward, up), up), (1.0, 0.0, 0.0))
    left = _cross(up, f)
    for i in range(3):
        rotation[i, 0] = f[i]
        rotation[i, 1] = left[i]
        rotation[i, 2] = up[i]


@numba.njit(cache=True)
def _tilt(v: Vector, direction: Vector, angle: float) -> Vector:
    """Turn a vector with the trunk that tilts from upright toward a direction."""
    across = (-direction[1], direction[0], 0.0)
    a, n = _dot(v, direction), _dot(v, across)
    c, s = math.cos(angle), math.sin(angle)
    along = (c * direction[0], c * direction[1], -s)
    upward = (s * direction[0], s * direction[1], c)
    return (
        a * along[0] + n * across[0] + v[2] * upward[0],
        a * along[1] + n * across[1] + v[2] * upward[1],
        a * along[2] + n * across[2] + v[2] * upward[2],
    )


@numba.njit(cache=True)
def _pose_head(
    h: float,
    neck: Vector,
    trunk_up: Vector,
    frame: tuple[Vector, Vector],
    toward: Vector,
    tilt: float,
    aim: Array,
    capsules: Array,
    rotations: Array,
    mouth: Array,
) -> None:
    """Neck, head, face and mouth; the head stays upright while the trunk tilts little."""
    forward, left = frame
    up = (0.0, 0.0, 1.0)
    base = _go(neck, 0.055 * h, trunk_up)
    base = _go(_go(_go(base, aim[7], forward), aim[8], left), aim[9], up)
    face = _mix(math.cos(aim[5]), forward, math.sin(aim[5]), left)
    c, s = math.cos(aim[6]), math.sin(aim[6])
    own = tilt * tilt / (0.5 * math.pi)
    look = _tilt(_mix(c, face, -s, up), toward, own)
    head_up = _tilt(_mix(c, up, s, face), toward, own)
    for segment in range(3):
        _orient(rotations[segment], look, head_up)
    _put(capsules[2], neck, base, 0.034 * h)
    skull = _go(base, 0.062 * h, head_up)
    brow = _go(_go(skull, 0.012 * h, look), 0.012 * h, head_up)
    _put(capsules[0], _go(skull, -0.008 * h, look), brow, 0.052 * h)
    jaw = _go(_go(base, 0.026 * h, head_up), 0.026 * h, look)
    low, high = _go(jaw, -0.008 * h, head_up), _go(jaw, 0.024 * h, head_up)
    _put(capsules[1], low, high, 0.036 * h)
    lips = _go(jaw, 0.036 * h, look)
    for i in range(3):
        mouth[0, i], mouth[1, i], mouth[2, i] = lips[i], look[i], head_up[i]


@numba.njit(cache=True)
def _pose_leg(
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
    far = math.sqrt(_dot(line, line))
    u = _unit(line, (0.0, 0.0, -1.0))
    reach = min(max(far, 0.3 * length), 1.998 * length)
    bend = _unit(_go(pole, -_dot(pole, u), u), (1.0, 0.0, 0.0))
    out = math.sqrt(max(0.0, length * length - 0.25 * reach * reach))
    knee = _go(_go(hip, 0.5 * reach, u), out, bend)
    ankle = _go(hip, reach, u)
    thigh_up = _unit(
        (hip[0] - knee[0], hip[1] - knee[1], hip[2] - knee[2]), (0.0, 0.0, 1.0)
    )
    shank_up = _unit(
        (knee[0] - ankle[0], knee[1] - ankle[1], knee[2] - ankle[2]), (0.0, 0.0, 1.0)
    )
    _orient(rotations[12 + side], bend, thigh_up)
    _orient(rotations[14 + side], bend, shank_up)
    r = rotations[14 + side]
    foot = _go(ankle, _FOOT * h, (r[0, 0], r[1, 0], r[2, 0]))
    _put(capsules[12 + side], hip, knee, 0.045 * h * g)
    # The radius reaches from the ankle's height to the sole.
    radius = min(ANKLE_HEIGHT, 0.036 * g) * h
    _put(capsules[14 + side], _go(knee, -0.02 * h, shank_up), foot, radius)


@numba.njit(cache=True)
def _bend_arm(
    h: float, shoulder: Vector, wrist: Vector, pole: Vector
) -> tuple[Vector, Vector]:
    """Return elbow and wrist of a two-link arm that reaches as far as it can."""
    upper, fore = _UPPER * h, _FORE * h
    line = (wrist[0] - shoulder[0], wrist[1] - shoulder[1], wrist[2] - shoulder[2])
    far = math.sqrt(_dot(line, line))
    u = _unit(line, (0.0, 0.0, -1.0))
    length = min(max(far, abs(upper - fore) + 0.1 * h), 0.995 * (upper + fore))
    c = (upper * upper + length * length - fore * fore) / (2.0 * upper * length)
    c = min(1.0, max(-1.0, c))
    bend = _unit(_go(pole, -_dot(pole, u), u), (0.0, 0.0, 1.0))
    elbow = _go(_go(shoulder, upper * c, u), upper * math.sqrt(1.0 - c * c), bend)
    return elbow, _go(shoulder, length, u)


@numba.njit(cache=True)
def _hang_arm(
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
    elbow = _go(shoulder, _UPPER * h, u)
    # The forearm turns about the elbow's hinge, which is across the upper arm.
    hinge = _unit(_go(out, -_dot(out, u), u), (0.0, 1.0, 0.0))
    front = _cross(hinge, u)
    if _dot(front, f) * math.cos(flexion) + _dot(front, up) * math.sin(flexion) < 0.0:
        front = (-front[0], -front[1], -front[2])
    w = _mix(math.cos(elbow_angle), u, math.sin(elbow_angle), front)
    return elbow, _go(elbow, _FORE * h, w)


@numba.njit(cache=True)
def _limit(offset: Array, goal: Vector, rate_m: float) -> float:
    """Let a hand's offset follow its goal; return its size [m]."""
    dx, dy, dz = goal[0] - offset[0], goal[1] - offset[1], goal[2] - offset[2]
    size = math.sqrt(dx * dx + dy * dy + dz * dz)
    share = 1.0 if size <= rate_m else rate_m / size
    offset[0] += share * dx
    offset[1] += share * dy
    offset[2] += share * dz
    return math.sqrt(offset[0] ** 2 + offset[1] ** 2 + offset[2] ** 2)


@numba.njit(cache=True)
def _arm_angles(row: Array, side: int, swing: float, factor: float, aim: Array) -> Vector:
    """Flexion, abduction, elbow: standing arm, plus swing, replaced by the aim."""
    c = 13 + 3 * side
    keep, share = factor * swing, aim[10]
    flexion = 0.02 + keep * (row[c] - 0.02)
    abduction = 0.17 + keep * (row[c + 1] - 0.20)
    elbow = 0.30 + keep * (row[c + 2] - 0.34)
    return (
        flexion + share * (aim[11] - flexion),
        abduction + share * (aim[12] - abduction),
        elbow + share * (aim[13] - elbow),
    )


@numba.njit(cache=True)
def _grip(
    body: Array,
    row: Array,
    gait: Array,
    side: int,
    root: Vector,
    frame: tuple[Vector, Vector],
    move: Vector,
) -> tuple[bool, Vector, Vector]:
    """Return whether a hand holds an aid, where its wrist is and the aid's far end."""
    h, aid = body[0], int(body[2])
    forward, left = frame
    sign = 1.0 if side == 0 else -1.0
    up = (0.0, 0.0, 1.0)
    if aid == FRAME:
        foot = _go(_go(root, 0.30 * h, forward), sign * 0.165 * h, left)
        foot = _go(foot, 0.025, up)
        top = _go(_go(foot, 0.50 * h, up), -0.14 * h, forward)
        return True, top, foot
    if aid == CANE and sign == body[3]:
        # The cane goes with the opposite leg.
        c = 6 if side == 0 else 3
        step = gait[1] * NATURAL_STRIDE * h * row[c]
        tip = _go(_go(root, 0.10 * h, forward), sign * 0.17 * h, left)
        tip = _go(_go(tip, 0.9 * step, move), gait[2] * 0.5 * h * row[c + 2] + 0.01, up)
        lean = -0.04 * h - 0.55 * step
        length = body[11]
        rise = math.sqrt(max(0.01, length * length - lean * lean))
        return True, _go(_go(tip, rise, up), lean, forward), tip
    if aid == WHEELCHAIR:
        angle = gait[6] + 0.15
        hub = _go(_go(root, -0.05, forward), sign * 0.30, left)
        rim = 0.28
        hold = _go(_go(hub, rim * math.sin(angle), forward), 0.30, up)
        return True, _go(hold, rim * math.cos(angle) + 0.02, up), hub
    return False, root, root


@numba.njit(cache=True)
def _pose_arms(
    body: Array,
    row: Array,
    gait: Array,
    aim: Array,
    neck: Vector,
    root: Vector,
    frame: tuple[Vector, Vector],
    move: Vector,
    chest: tuple[Vector, Vector, Vector],
    hands: Array,
    offsets: Array,
    rate_m: float,
    capsules: Array,
    rotations: Array,
) -> None:
    """Both arms: swing, an aid in the hand, or a hand on its way to a target."""
    h, g = body[0], body[1]
    f, left, up = chest
    for side in range(2):
        sign = 1.0 if side == 0 else -1.0
        out = (sign * left[0], sign * left[1], sign * left[2])
        shoulder = _go(_go(neck, -0.02 * h, up), 0.115 * h, out)
        angles = _arm_angles(row, side, gait[1], gait[5], aim)
        elbow, wrist = _hang_arm(h, shoulder, out, f, up, angles)
        line = _unit(
            (wrist[0] - elbow[0], wrist[1] - elbow[1], wrist[2] - elbow[2]), up
        )
        holds, grip, far = _grip(body, row, gait, side, root, frame, move)
        # Elbow down, outward and a little back.
        std = (
            -0.9 * up[0] + 0.4 * out[0] - 0.3 * f[0],
            -0.9 * up[1] + 0.4 * out[1] - 0.3 * f[1],
            -0.9 * up[2] + 0.4 * out[2] - 0.3 * f[2],
        )
        free = 1.0 - min(1.0, 2.0 * aim[10])
        if holds and free > 0.0:
            grip = _mix(free, grip, 1.0 - free, wrist)
            std = _mix(1.0, (-f[0], -f[1], -f[2]), 0.35, out)
            elbow, wrist = _bend_arm(h, shoulder, grip, std)
            line = _unit(
                (wrist[0] - elbow[0], wrist[1] - elbow[1], wrist[2] - elbow[2]), up
            )
        middle = _go(wrist, 0.5 * _HAND * h, line)
        share = hands[side, 3]
        goal = (0.0, 0.0, 0.0)
        if share > 0.0:
            reach = (_UPPER + _FORE + 0.5 * _HAND) * h
            t = (
                hands[side, 0] - shoulder[0],
                hands[side, 1] - shoulder[1],
                hands[side, 2] - shoulder[2],
            )
            size = max(1e-6, math.sqrt(_dot(t, t)))
            t = _go(shoulder, min(1.0, reach / size), t)
            goal = _mix(share, t, -share, middle)
        away = _limit(offsets[side], goal, rate_m)
        if away > 1e-6:
            w = min(1.0, away / (0.2 * h))
            own = _unit(_go(elbow, -1.0, shoulder), std)
            axis = _unit(_go(middle, -1.0, shoulder), up)
            own = _unit(_go(own, -_dot(own, axis), axis), std)
            target = (
                middle[0] + offsets[side, 0],
                middle[1] + offsets[side, 1],
                middle[2] + offsets[side, 2],
            )
            toward = _unit(_go(target, -1.0, shoulder), axis)
            toward = _mix(1.0 - w, line, w, toward)
            elbow, wrist = _bend_arm(
                h,
                shoulder,
                _go(target, -0.5 * _HAND * h, _unit(toward, line)),
                _mix(1.0 - w, own, w, _unit(std, own)),
            )
            line = _unit(
                (wrist[0] - elbow[0], wrist[1] - elbow[1], wrist[2] - elbow[2]), up
            )
        tip = _go(wrist, _HAND * h, line)
        if holds and int(body[2]) != WHEELCHAIR:
            aim_line = _unit(
                (far[0] - wrist[0], far[1] - wrist[1], far[2] - wrist[2]), line
            )
            aim_line = _unit(_mix(free, aim_line, 1.0 - free, line), line)
            # Who falls lets go: the aid is then no longer part of the body.
            length = free * body[11] + (1.0 - free) * _HAND * h
            tip = _go(wrist, length, aim_line)
        _put(capsules[6 + side], shoulder, elbow, 0.028 * h * g)
        _put(capsules[8 + side], elbow, wrist, 0.024 * h * g)
        _put(capsules[10 + side], wrist, tip, 0.020 * h)
        _orient_arm(shoulder, elbow, wrist, f, up, side, rotations)


@numba.njit(cache=True)
def _orient_arm(
    shoulder: Vector,
    elbow: Vector,
    wrist: Vector,
    f: Vector,
    up: Vector,
    side: int,
    rotations: Array,
) -> None:
    """Frames of an arm: up along it toward the trunk, the palm forward or down."""
    upper = _unit(_go(shoulder, -1.0, elbow), up)
    fore = _unit(_go(elbow, -1.0, wrist), up)
    hang = abs(_dot(upper, up))
    _orient(rotations[6 + side], _mix(hang, f, hang - 1.0, up), upper)
    hang = abs(_dot(fore, up))
    palm = _mix(hang, f, hang - 1.0, up)
    _orient(rotations[8 + side], palm, fore)
    _orient(rotations[10 + side], palm, fore)


@numba.njit(cache=True)
def pose_walker(
    body: Array,
    table: Array,
    drops: Array,
    place: Array,
    gait: Array,
    aim: Array,
    hands: Array,
    offsets: Array,
    rate_m: float,
    row: Array,
    capsules: Array,
    rotations: Array,
    mouth: Array,
) -> None:
    """Fill the capsules of a person on their feet, on the floor or in a wheelchair.

    Args:
        body: (12,) of :data:`BODY_NAMES`.
        table: (PHASES, 19) of the gait.
        drops: (16,) of the gait.
        place: (3,) world x, y [m] and yaw [rad].
        gait: (7,) phase, stride as a share of the natural one, lift of the feet
            (0..1), share of the pelvis's swing, direction of movement relative to the
            body [rad], share of the arms' swing, angle of the hands on the rims [rad].
        aim: (14,) of :data:`AIM_NAMES`.
        hands: (2, 4) world target of left and right hand and share (0..1).
        offsets: (2, 3) how far each hand is from where it hangs [m]; kept.
        rate_m: How far a hand's offset may change now [m].
        row: (19,) scratch.
        capsules: (16, 7) out.
        rotations: (16, 3, 3) out: columns forward, left, up.
        mouth: (3, 3) out: position, axis, up.
    """
    h, g, aid = body[0], body[1], int(body[2])
    read_table(table, gait[0], row)
    cy, sy = math.cos(place[2]), math.sin(place[2])
    forward, left, up = (cy, sy, 0.0), (-sy, cy, 0.0), (0.0, 0.0, 1.0)
    frame = (forward, left)
    root = (place[0], place[1], body[4])
    cm, sm = math.cos(gait[4]), math.sin(gait[4])
    move = _mix(cm, forward, sm, left)
    scale, sway = gait[1], gait[1] * gait[3]
    angle = math.sqrt(aim[0] ** 2 + aim[1] ** 2)
    toward = forward
    if angle > 1e-9:
        toward = _mix(aim[0] / angle, forward, aim[1] / angle, left)
    level = scale / DROP_STEP
    low = min(int(level), len(drops) - 2)
    sink = drops[low] + min(1.0, level - low) * (drops[low + 1] - drops[low])
    height = (HIP_HEIGHT - sink + sway * gait[1] * row[2]) * h - aim[2]
    if aid == WHEELCHAIR:
        height = body[5] + 0.05 * h
        sway = 0.0
    hip = _go(root, sway * row[0] * h, move)
    hip = _go(_go(hip, aim[3], forward), sway * row[1] * h + aim[4], left)
    hip = _go(hip, height, up)
    trunk_up, trunk_forward = _tilt(up, toward, angle), _tilt(forward, toward, angle)
    trunk_left = _cross(trunk_up, trunk_forward)
    turn = sway * row[9]
    hips = _mix(math.cos(turn), trunk_left, -math.sin(turn), trunk_forward)
    for s in range(16):
        _orient(rotations[s], trunk_forward, trunk_up)
    _pose_trunk(body, root, frame, hip, hips, trunk_up, trunk_left, capsules, rotations)
    for side in range(2):
        sign = 1.0 if side == 0 else -1.0
        c = 3 + 3 * side
        if aid == WHEELCHAIR:
            ankle = _go(_go(root, 0.28 * h, forward), sign * 0.055 * h, left)
            ankle = _go(ankle, max(0.06 * h, height - 0.21 * h), up)
        else:
            wide = sign * 0.0432 + gait[2] * (row[c + 1] - sign * 0.0432)
            ankle = _go(root, scale * NATURAL_STRIDE * h * row[c], move)
            ankle = _go(ankle, wide * h, left)
            ankle = _go(ankle, (ANKLE_HEIGHT + gait[2] * row[c + 2]) * h, up)
        joint = _go(hip, sign * HIP_HALF_WIDTH * h, hips)
        _pose_leg(h, g, joint, ankle, trunk_forward, side, capsules, rotations)
    neck = _go(hip, _ABOVE * h, trunk_up)
    turn = sway * row[10]
    chest_left = _mix(math.cos(turn), trunk_left, -math.sin(turn), trunk_forward)
    chest = (_cross(chest_left, trunk_up), chest_left, trunk_up)
    middle = _go(hip, 0.80 * _ABOVE * h, trunk_up)
    half = 0.065 * h
    _put(
        capsules[3],
        _go(middle, half, chest_left),
        _go(middle, -half, chest_left),
        0.070 * h * g,
    )
    _orient(rotations[3], chest[0], trunk_up)
    _pose_head(
        h, neck, trunk_up, frame, toward, angle, aim, capsules, rotations, mouth
    )
    _pose_arms(
        body,
        row,
        gait,
        aim,
        neck,
        root,
        frame,
        move,
        chest,
        hands,
        offsets,
        rate_m,
        capsules,
        rotations,
    )


@numba.njit(cache=True)
def _pose_trunk(
    body: Array,
    root: Vector,
    frame: tuple[Vector, Vector],
    hip: Vector,
    hips: Vector,
    trunk_up: Vector,
    trunk_left: Vector,
    capsules: Array,
    rotations: Array,
) -> None:
    """Pelvis (or wheels) and abdomen."""
    h, g = body[0], body[1]
    forward, left = frame
    half = 0.06 * h
    _put(capsules[5], _go(hip, half, hips), _go(hip, -half, hips), 0.075 * h * g)
    if int(body[2]) == WHEELCHAIR:
        hub = _go(_go(root, -0.05, forward), WHEEL_RADIUS_M, (0.0, 0.0, 1.0))
        half = WHEEL_HALF_TRACK_M
        _put(capsules[5], _go(hub, half, left), _go(hub, -half, left), WHEEL_RADIUS_M)
        _orient(rotations[5], forward, (0.0, 0.0, 1.0))
    belly = _go(hip, 0.42 * _ABOVE * h, trunk_up)
    half = 0.045 * h
    _put(
        capsules[4],
        _go(belly, half, trunk_left),
        _go(belly, -half, trunk_left),
        0.070 * h * g,
    )
