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
    NATURAL_STRIDE,
    read_table,
)
from physai.body.limbs import (
    HAND,
    Vector,
    bend_arm,
    cross,
    go,
    hang_arm,
    mix,
    orient,
    orient_arm,
    pose_leg,
    put,
    reach_hand,
    tilt,
    unit,
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
WHEEL_RADIUS_M = 0.30
WHEEL_HALF_TRACK_M = 0.10
"""Half length of the wheels' capsule: with its radius 0.40 m to each side, the chair
(0.70 m wide at most, JIS T 9201) with the hands on its rims."""


@numba.njit(cache=True)
def _pose_head(
    h: float,
    neck: Vector,
    trunk_up: Vector,
    frame: tuple[Vector, Vector],
    toward: Vector,
    angle: float,
    aim: Array,
    capsules: Array,
    rotations: Array,
    mouth: Array,
) -> None:
    """Neck, head, face and mouth; the head stays upright while the trunk tilts little."""
    forward, left = frame
    up = (0.0, 0.0, 1.0)
    base = go(neck, 0.055 * h, trunk_up)
    base = go(go(go(base, aim[7], forward), aim[8], left), aim[9], up)
    face = mix(math.cos(aim[5]), forward, math.sin(aim[5]), left)
    c, s = math.cos(aim[6]), math.sin(aim[6])
    own = angle * angle / (0.5 * math.pi)
    look = tilt(mix(c, face, -s, up), toward, own)
    head_up = tilt(mix(c, up, s, face), toward, own)
    for segment in range(3):
        orient(rotations[segment], look, head_up)
    put(capsules[2], neck, base, 0.034 * h)
    skull = go(base, 0.062 * h, head_up)
    brow = go(go(skull, 0.012 * h, look), 0.012 * h, head_up)
    put(capsules[0], go(skull, -0.008 * h, look), brow, 0.052 * h)
    jaw = go(go(base, 0.026 * h, head_up), 0.026 * h, look)
    low, high = go(jaw, -0.008 * h, head_up), go(jaw, 0.024 * h, head_up)
    put(capsules[1], low, high, 0.036 * h)
    lips = go(jaw, 0.036 * h, look)
    for i in range(3):
        mouth[0, i], mouth[1, i], mouth[2, i] = lips[i], look[i], head_up[i]


@numba.njit(cache=True)
def arm_angles(
    row: Array, side: int, swing: float, factor: float, aim: Array
) -> Vector:
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
        foot = go(go(root, 0.30 * h, forward), sign * 0.165 * h, left)
        foot = go(foot, 0.025, up)
        top = go(go(foot, 0.50 * h, up), -0.14 * h, forward)
        return True, top, foot
    if aid == CANE and sign == body[3]:
        # The cane goes with the opposite leg.
        c = 6 if side == 0 else 3
        step = gait[1] * NATURAL_STRIDE * h * row[c]
        tip = go(go(root, 0.15 * h, forward), sign * 0.17 * h, left)
        tip = go(go(tip, 0.9 * step, move), gait[2] * 0.5 * h * row[c + 2] + 0.01, up)
        lean = -0.04 * h - 0.55 * step
        length = body[11]
        rise = math.sqrt(max(0.01, length * length - lean * lean))
        return True, go(go(tip, rise, up), lean, forward), tip
    if aid == WHEELCHAIR:
        angle = gait[6] + 0.15
        hub = go(go(root, -0.05, forward), sign * 0.30, left)
        rim = 0.28
        hold = go(go(hub, rim * math.sin(angle), forward), 0.30, up)
        return True, go(hold, rim * math.cos(angle) + 0.02, up), hub
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
    free = 1.0 - min(1.0, 2.0 * aim[10])
    for side in range(2):
        sign = 1.0 if side == 0 else -1.0
        out = (sign * left[0], sign * left[1], sign * left[2])
        shoulder = go(go(neck, -0.02 * h, up), 0.115 * h, out)
        angles = arm_angles(row, side, gait[1], gait[5], aim)
        elbow, wrist = hang_arm(h, shoulder, out, f, up, angles)
        holds, grip, far = _grip(body, row, gait, side, root, frame, move)
        # Elbow down, outward and a little back.
        std = mix(-0.9, up, 0.4, out)
        std = go(std, -0.3, f)
        if holds and free > 0.0:
            grip = mix(free, grip, 1.0 - free, wrist)
            std = mix(-1.0, f, 0.35, out)
            elbow, wrist = bend_arm(h, shoulder, grip, std)
        elbow, wrist = reach_hand(
            h,
            shoulder,
            (elbow, wrist),
            std,
            up,
            hands[side],
            offsets[side],
            rate_m,
        )
        line = unit(go(wrist, -1.0, elbow), up)
        length = HAND * h
        if holds and int(body[2]) != WHEELCHAIR:
            # Who falls lets go: the aid is then no longer part of the body.
            away = unit(go(far, -1.0, wrist), line)
            line = unit(mix(free, away, 1.0 - free, line), line)
            length = free * body[11] + (1.0 - free) * HAND * h
        put(capsules[6 + side], shoulder, elbow, 0.028 * h * g)
        put(capsules[8 + side], elbow, wrist, 0.024 * h * g)
        put(capsules[10 + side], wrist, go(wrist, length, line), 0.020 * h)
        orient_arm(shoulder, elbow, wrist, f, up, side, rotations)


@numba.njit(cache=True)
def _pose_legs(
    body: Array,
    row: Array,
    gait: Array,
    root: Vector,
    frame: tuple[Vector, Vector],
    move: Vector,
    hip: Vector,
    hips: Vector,
    pole: Vector,
    capsules: Array,
    rotations: Array,
) -> None:
    """Both legs to where the gait, or the footrests, have the ankles."""
    h, forward, left, up = body[0], frame[0], frame[1], (0.0, 0.0, 1.0)
    for side in range(2):
        sign = 1.0 if side == 0 else -1.0
        c = 3 + 3 * side
        if int(body[2]) == WHEELCHAIR:
            ankle = go(go(root, 0.28 * h, forward), sign * 0.055 * h, left)
            above = hip[2] - root[2] - 0.21 * h
            ankle = go(ankle, max(0.06 * h, above), up)
        else:
            wide = sign * 0.0432 + gait[2] * (row[c + 1] - sign * 0.0432)
            ankle = go(root, gait[1] * NATURAL_STRIDE * h * row[c], move)
            ankle = go(ankle, wide * h, left)
            ankle = go(ankle, (ANKLE_HEIGHT + gait[2] * row[c + 2]) * h, up)
        joint = go(hip, sign * HIP_HALF_WIDTH * h, hips)
        pose_leg(h, body[1], joint, ankle, pole, side, capsules, rotations)


@numba.njit(cache=True)
def _sink(drops: Array, scale: float) -> float:
    """How far the pelvis is below standing height for a stride, in statures."""
    level = scale / DROP_STEP
    low = min(int(level), len(drops) - 2)
    return float(drops[low] + min(1.0, level - low) * (drops[low + 1] - drops[low]))


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
    move = mix(cm, forward, sm, left)
    scale, sway = gait[1], gait[1] * gait[3]
    angle = math.sqrt(aim[0] ** 2 + aim[1] ** 2)
    toward = forward
    if angle > 1e-9:
        toward = mix(aim[0] / angle, forward, aim[1] / angle, left)
    sink = _sink(drops, scale)
    height = (HIP_HEIGHT - sink + sway * scale * row[2]) * h - aim[2]
    if aid == WHEELCHAIR:
        height = body[5] + 0.05 * h
        sway = 0.0
    hip = go(root, sway * row[0] * h, move)
    hip = go(go(hip, aim[3], forward), sway * row[1] * h + aim[4], left)
    hip = go(hip, height, up)
    trunk_up, trunk_forward = tilt(up, toward, angle), tilt(forward, toward, angle)
    trunk_left = cross(trunk_up, trunk_forward)
    turn = sway * cm * row[9]
    hips = mix(math.cos(turn), trunk_left, -math.sin(turn), trunk_forward)
    for s in range(16):
        orient(rotations[s], trunk_forward, trunk_up)
    _pose_trunk(body, root, frame, hip, hips, trunk_up, trunk_left, capsules, rotations)
    _pose_legs(
        body,
        row,
        gait,
        root,
        frame,
        move,
        hip,
        hips,
        trunk_forward,
        capsules,
        rotations,
    )
    neck = go(hip, _ABOVE * h, trunk_up)
    turn = sway * cm * row[10]
    chest_left = mix(math.cos(turn), trunk_left, -math.sin(turn), trunk_forward)
    chest = (cross(chest_left, trunk_up), chest_left, trunk_up)
    middle = go(hip, 0.80 * _ABOVE * h, trunk_up)
    half = 0.065 * h
    put(
        capsules[3],
        go(middle, half, chest_left),
        go(middle, -half, chest_left),
        0.070 * h * g,
    )
    orient(rotations[3], chest[0], trunk_up)
    _pose_head(h, neck, trunk_up, frame, toward, angle, aim, capsules, rotations, mouth)
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
    put(capsules[5], go(hip, half, hips), go(hip, -half, hips), 0.075 * h * g)
    if int(body[2]) == WHEELCHAIR:
        hub = go(go(root, -0.05, forward), WHEEL_RADIUS_M, (0.0, 0.0, 1.0))
        half = WHEEL_HALF_TRACK_M
        put(capsules[5], go(hub, half, left), go(hub, -half, left), WHEEL_RADIUS_M)
        orient(rotations[5], forward, (0.0, 0.0, 1.0))
    belly = go(hip, 0.42 * _ABOVE * h, trunk_up)
    half = 0.045 * h
    put(
        capsules[4],
        go(belly, half, trunk_left),
        go(belly, -half, trunk_left),
        0.070 * h * g,
    )
