"""How a person on their feet (or wheels) gets along: path, ramps, turning, limits.

One compiled call per step. A person heads for a point of the path a short way ahead
(pure pursuit), turns by at most 1.5 rad/s, slows down where they must turn, and starts
and stops with 0.8 m/s^2. The declared bound of the body's speed (1.6 m/s, ISO 13855)
is kept: what the walking speed leaves of it is shared out among sway, turning and
changes of posture, hands get what is left of theirs (2.0 m/s), and where the sum is too
much nevertheless, less of the person's own time passes in the step. Only a fall
and people who are marked go beyond.
"""

from __future__ import annotations

import math

import numba

from physai.body.gait import COLUMNS, NATURAL_STRIDE, stride_scale
from physai.body.heading import wrap
from physai.body.skeleton import CANE, FRAME, WHEELCHAIR, pose_walker
from physai.types import Array

__all__ = [
    "FREE_GOAL",
    "INTENT_NAMES",
    "MOTION_NAMES",
    "ON_PATH",
    "SCRATCH",
    "advance_walker",
]

INTENT_NAMES = (
    "speed_m_s",
    "acceleration_m_s2",
    "mode",
    "direction",
    "goal_x_m",
    "goal_y_m",
    "stop_distance_m",
    "facing_rad",
    "hold_heading",
    "unlimited",
)
"""What a person wants: speed; path (+1 forward, -1 back) or free goal; how far before
the goal to stop; movement relative to facing; whether to keep the heading (side-step);
whether posture follows at once (a fall)."""

ON_PATH, FREE_GOAL = 0, 1

MOTION_NAMES = (
    "x_m",
    "y_m",
    "yaw_rad",
    "speed_m_s",
    "yaw_rate_rad_s",
    "movement_rad",
    "phase",
    "stride",
    "lift",
    "path_m",
    "left_m",
    "wheel_phase",
    "wheel_rad",
    "lean_rad",
    "time_sign",
    "fall_s",
)
"""State: place, speed along ``movement_rad`` (relative to the body), gait, progress on
the path and what is left of it, wheels, lean in curves, whether the gait runs
backwards, time since a fall began."""

SCRATCH = 64
GAIT_COLUMNS = len(COLUMNS)
YAW_RATE_MAX = 1.5
_YAW_ACCELERATION = 6.0
_SETTLE_S = 0.25
_ATTEMPTS = 6
_SLOW = 0.10
"""Below this speed the feet come together [m/s]."""
_TORSO_RADIUS_M = 0.25
"""Distance of the torso's capsules from its turning axis, with margin."""


@numba.njit(cache=True)
def _project(path: Array, count: int, x: float, y: float, s: float) -> float:
    """Return the arc length of the nearest point near ``s`` [m]."""
    best, found = 1e18, s
    for i in range(count - 1):
        s0, s1 = path[i, 2], path[i + 1, 2]
        if s1 < s - 0.6 or s0 > s + 1.5:
            continue
        ux, uy = path[i + 1, 0] - path[i, 0], path[i + 1, 1] - path[i, 1]
        size = max(1e-12, ux * ux + uy * uy)
        t = ((x - path[i, 0]) * ux + (y - path[i, 1]) * uy) / size
        t = min(1.0, max(0.0, t))
        dx, dy = path[i, 0] + t * ux - x, path[i, 1] + t * uy - y
        d = dx * dx + dy * dy
        if d < best:
            best, found = d, s0 + t * (s1 - s0)
    return found


@numba.njit(cache=True)
def _point(path: Array, count: int, s: float) -> tuple[float, float]:
    """Return the point of the path at an arc length."""
    for i in range(count - 1):
        if s <= path[i + 1, 2] or i == count - 2:
            length = max(1e-9, path[i + 1, 2] - path[i, 2])
            t = min(1.0, max(0.0, (s - path[i, 2]) / length))
            return (
                path[i, 0] + t * (path[i + 1, 0] - path[i, 0]),
                path[i, 1] + t * (path[i + 1, 1] - path[i, 1]),
            )
    return path[0, 0], path[0, 1]


@numba.njit(cache=True)
def _find_goal(
    motion: Array, intent: Array, path: Array, count: int
) -> tuple[float, float, float]:
    """Return the point to head for and how far there is to go [m]."""
    x, y = motion[0], motion[1]
    if intent[2] == FREE_GOAL:
        gx, gy = intent[4], intent[5]
        far = math.sqrt((gx - x) ** 2 + (gy - y) ** 2)
        return gx, gy, far - intent[6]
    if count < 2:
        return x, y, 0.0
    end = path[count - 1, 2]
    s = _project(path, count, x, y, motion[9])
    back = intent[3] < 0.0
    s = min(s, motion[9]) if back else max(s, motion[9])
    motion[9] = s
    ahead = 0.30 + 0.35 * motion[3]
    target = max(0.0, s - ahead) if back else min(end, s + ahead)
    gx, gy = _point(path, count, target)
    left = s if back else end - s
    last = 0 if back else count - 1
    # On the last stretch the way to the end counts, as the path may have been left.
    if left < ahead:
        left = math.sqrt((path[last, 0] - x) ** 2 + (path[last, 1] - y) ** 2)
    motion[10] = left
    return gx, gy, left


@numba.njit(cache=True)
def _steer(
    motion: Array,
    intent: Array,
    body: Array,
    goal: tuple[float, float, float],
    dt: float,
) -> None:
    """Turn, change speed and move by one step."""
    gx, gy, left = goal
    bound, v = body[9], motion[3]
    bearing = math.atan2(gy - motion[1], gx - motion[0])
    moving = intent[0] > 1e-3 and left > 0.02
    holds = intent[8] > 0.0
    error = 0.0 if holds or not moving else wrap(bearing - intent[7] - motion[2])
    if left < 0.12:
        error = 0.0
    aligned = max(0.0, math.cos(error)) if abs(error) < 1.2 else 0.0
    wanted = wrap(bearing - motion[2]) if holds else intent[7]
    turn = wrap(wanted - motion[5])
    asked = intent[0] * aligned if moving else 0.0
    rate = min(YAW_RATE_MAX, max(-YAW_RATE_MAX, 3.0 * error))
    if moving and abs(turn) > 0.3:
        # Feet first come together before they go another way.
        asked = 0.0
        if motion[7] < 0.02 and v < 0.02:
            motion[5] = wanted
            # Walking backwards is walking forward with time reversed.
            motion[14] = -1.0 if math.cos(wanted) < -0.1 else 1.0
    elif moving and v > 1e-6:
        motion[5] = wrap(motion[5] + min(1.0 * dt, max(-1.0 * dt, turn)))
    a = intent[1]
    asked = min(asked, math.sqrt(2.0 * a * max(0.0, left)))
    asked = min(asked, max(0.2, bound - _TORSO_RADIUS_M * abs(rate)))
    v += min(a * dt, max(-1.2 * a * dt, asked - v))
    rate_bound = min(YAW_RATE_MAX, max(0.05, (bound - v) / _TORSO_RADIUS_M))
    rate = min(rate_bound, max(-rate_bound, rate))
    change = _YAW_ACCELERATION * dt
    rate = motion[4] + min(change, max(-change, rate - motion[4]))
    motion[3], motion[4] = v, rate
    motion[2] = wrap(motion[2] + rate * dt)
    heading = motion[2] + motion[5]
    motion[0] += v * dt * math.cos(heading)
    motion[1] += v * dt * math.sin(heading)


@numba.njit(cache=True)
def _step_gait(motion: Array, body: Array, gait: Array, dt: float) -> None:
    """Advance phase, stride and lift; share out what the speed leaves of its bound."""
    h, v, bound = body[0], motion[3], body[9]
    turning = abs(motion[4])
    if int(body[2]) == WHEELCHAIR:
        swing = min(v, max(0.0, 0.9 * body[10] - v))
        motion[11] = (motion[11] + dt * swing / (0.28 * 0.6)) % (2.0 * math.pi)
        motion[12] = 0.6 * math.sin(motion[11])
        gait[6], gait[1], gait[2], gait[3], gait[5] = motion[12], 0.0, 0.0, 0.0, 0.0
        return
    goal = 1.0 if v > _SLOW else 0.0
    motion[7] += min(1.8 * dt, max(-2.2 * dt, goal - motion[7]))
    goal = max(goal, min(0.6, turning))
    motion[8] += min(3.0 * dt, max(-3.0 * dt, goal - motion[8]))
    scale = stride_scale(v, h) * body[6]
    stride = scale * NATURAL_STRIDE * h
    steps = v / stride
    cycles = dt * (steps + 0.3 * turning * (1.0 - motion[7]))
    motion[6] = (motion[6] + motion[14] * cycles) % 1.0
    gait[0], gait[1], gait[2] = motion[6], motion[7] * scale, motion[8]
    spare = max(0.0, bound - v - _TORSO_RADIUS_M * turning)
    share = min(1.0, spare / 0.5)
    gait[3] += min(1.0 * dt, max(-1.5 * dt, share - gait[3]))
    gait[4] = motion[5] if motion[14] > 0.0 else wrap(motion[5] + math.pi)
    # Arms: their largest speed must fit under the bound of the hands.
    swing = max(1e-6, gait[1] * body[7] * body[8] * steps * 0.65 * h)
    rest = max(0.0, body[10] - 0.12 - v - 0.4 * turning)
    share = body[7] * min(1.0, rest / swing)
    gait[5] += min(1.0 * dt, max(-1.5 * dt, share - gait[5]))


@numba.njit(cache=True)
def _follow_posture(
    motion: Array, intent: Array, body: Array, target: Array, aim: Array, dt: float
) -> float:
    """Let the posture follow its target; return the speed left for the hands [m/s]."""
    h, v = body[0], motion[3]
    turning = abs(motion[4])
    lean = v * motion[4] * math.cos(motion[5]) / 9.81
    motion[13] += min(1.0, 4.0 * dt) * (lean - motion[13])
    if intent[9] > 0.0:
        # A fall begins from wherever the body is.
        share = min(1.0, dt / max(dt, _SETTLE_S - motion[15]))
        motion[15] += dt
        for i in range(aim.shape[0]):
            aim[i] += share * (target[i] - aim[i])
        return 4.0
    motion[15] = 0.0
    spare = 0.5 * max(0.0, body[9] - v - _TORSO_RADIUS_M * turning)
    cost = 0.0
    for i in range(5):
        lever = 0.49 * h if i < 2 else 1.0
        wish = target[i] + (motion[13] if i == 1 else 0.0)
        cost += lever * abs(wish - aim[i])
    for i in range(7, 10):
        cost += abs(target[i] - aim[i])
    cost += 0.1 * h * (abs(target[5] - aim[5]) + abs(target[6] - aim[6]))
    share = min(1.0, spare * dt / cost) if cost > 1e-12 else 1.0
    for i in range(10):
        wish = target[i] + (motion[13] if i == 1 else 0.0)
        aim[i] += share * (wish - aim[i])
    hand = max(0.05, body[10] - 0.15 - v - 0.4 * turning - share * cost / dt)
    for i in range(10, 14):
        limit = hand * dt / (1.2 * h)
        aim[i] += min(limit, max(-limit, target[i] - aim[i]))
    return float(hand)


@numba.njit(cache=True)
def _excess(capsules: Array, previous: Array, body: Array, dt: float) -> float:
    """Return the largest speed of torso and hands as a share of its bound.

    Of a hand that holds a cane or frame, the wrist counts: the far end of a cane moves
    like the foot that it goes with.
    """
    aid = int(body[2])
    worst = 0.0
    for s in range(12):
        bound = body[9] if s < 6 else body[10]
        ends = 1 if s >= 10 and CANE <= aid <= FRAME else 2
        for end in range(ends):
            total = 0.0
            for c in range(3 * end, 3 * end + 3):
                total += (capsules[s, c] - previous[s, c]) ** 2
            worst = max(worst, math.sqrt(total) / (bound * dt))
    return float(worst)


@numba.njit(cache=True)
def _keep(
    saved: Array, motion: Array, aim: Array, gait: Array, offsets: Array, back: bool
) -> None:
    """Save the state, or bring it back."""
    k = 0
    for part in (motion, aim, gait):
        for i in range(part.shape[0]):
            if back:
                part[i] = saved[k]
            else:
                saved[k] = part[i]
            k += 1
    for side in range(2):
        for i in range(3):
            if back:
                offsets[side, i] = saved[k]
            else:
                saved[k] = offsets[side, i]
            k += 1


@numba.njit(cache=True)
def advance_walker(
    body: Array,
    table: Array,
    drops: Array,
    path: Array,
    count: int,
    intent: Array,
    target: Array,
    motion: Array,
    aim: Array,
    gait: Array,
    hands: Array,
    offsets: Array,
    scratch: Array,
    dt_s: float,
    capsules: Array,
    previous: Array,
    velocity: Array,
    rotations: Array,
    mouth: Array,
) -> None:
    """Move a person by one step and derive the velocities over it.

    Args:
        body: (12,) of :data:`physai.body.skeleton.BODY_NAMES`.
        table: Gait table.
        drops: Of the gait.
        path: (W, 3) x, y and arc length of the waypoints [m].
        count: How many of them are used.
        intent: (10,) of :data:`INTENT_NAMES`.
        target: (14,) posture that is wanted.
        motion: (16,) state of :data:`MOTION_NAMES`; updated.
        aim: (14,) posture; updated.
        gait: (7,) see :func:`physai.body.skeleton.pose_walker`; updated.
        hands: (2, 4) targets and shares of the hands.
        offsets: (2, 3) of the hands; updated.
        scratch: (64,).
        dt_s: Length of the step [s]; 0 places the person without moving.
        capsules: (16, 7) out.
        previous: (16, 7) out: capsules before the step.
        velocity: (16, 6) out: of both end points over the step [m/s].
        rotations: (16, 3, 3) out.
        mouth: (3, 3) out.
    """
    if dt_s <= 0.0:
        for i in range(aim.shape[0]):
            aim[i] = target[i]
        pose_walker(
            body,
            table,
            drops,
            motion[:3],
            gait,
            aim,
            hands,
            offsets,
            0.0,
            scratch,
            capsules,
            rotations,
            mouth,
        )
        return
    for s in range(capsules.shape[0]):
        for c in range(7):
            previous[s, c] = capsules[s, c]
    saved = scratch[GAIT_COLUMNS:]
    _keep(saved, motion, aim, gait, offsets, False)
    own = dt_s
    for attempt in range(_ATTEMPTS):
        goal = _find_goal(motion, intent, path, count)
        _steer(motion, intent, body, goal, own)
        _step_gait(motion, body, gait, own)
        rate_m = own * _follow_posture(motion, intent, body, target, aim, own)
        pose_walker(
            body,
            table,
            drops,
            motion[:3],
            gait,
            aim,
            hands,
            offsets,
            rate_m,
            scratch,
            capsules,
            rotations,
            mouth,
        )
        if intent[9] > 0.0 or attempt == _ATTEMPTS - 1:
            break
        excess = _excess(capsules, previous, body, dt_s)
        if excess <= 1.0 + 1e-6:
            break
        # Squared, since an elbow near full stretch moves with the root of the time.
        own *= (0.98 / excess) ** 2
        _keep(saved, motion, aim, gait, offsets, True)
    for s in range(capsules.shape[0]):
        for c in range(6):
            velocity[s, c] = (capsules[s, c] - previous[s, c]) / dt_s
