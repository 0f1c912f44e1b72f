"""What people on their feet do, as data: the second half of the behaviours.

Same style as :mod:`physai.body.behaviour`: a kind, a start (time or trigger), a
duration, amplitudes; a function here for each of :data:`MOVEMENT_KINDS`, which writes
into the :class:`Stance` that the person then tries to reach within their limits. The
behaviours of a seated person (rest, tremor, turn_head, cough, lean_in, reach,
stop_signal, ...) work on a walker's stance too, since it is a posture.

Misuse is among them: running out from behind something, blocking the robot's way,
following close, backing into it, reaching for its gripper, ignoring its alarm.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from physai.body.behaviour import Motion, PersonView, Posture, blend
from physai.body.gait import HIP_HEIGHT, LEG_SEGMENT
from physai.randomness import generator
from physai.types import Array

__all__ = ["MOVEMENTS", "WAITS_FOR_START", "FallCourse", "Stance", "draw_fall"]

WAITS_FOR_START = frozenset({"cross", "run_out"})
"""Before these begin, the person stands where they are."""

_UNLIMITED = 1.0e5


@dataclass(slots=True)
class Stance(Posture):
    """What a person on their feet wants in this step; behaviours write into it.

    Attributes:
        stature_m: Of the person.
        slow_reaction: Whether they are over 75.
        position: (3,) middle of the chest, world [m].
        yaw_rad: Where the person faces.
        speed_m_s: Speed that is wanted.
        acceleration_m_s2: Ramp of the speed.
        direction: +1 along the path, -1 back along it.
        goal: (2,) point to go to instead of along the path; None follows the path.
        stop_distance_m: How far before the goal to stop.
        facing_rad: Movement relative to facing: 0 ahead, pi backwards.
        hold_heading: Go sideways instead of turning toward the goal.
        route: Waypoints that replace the path; None keeps it.
        tilt_rad: Trunk forward and to the left, besides ``lean_rad``.
        drop_m: How far the pelvis is below its standing height.
        shift_m: How far it is forward and left of its place over the feet.
        arms: Share, flexion, abduction, elbow of a pose of both arms.
        unlimited: Whether the posture follows at once (a fall).
        fallen: Progress of a fall: 0 on the feet, 1 on the floor.
        ignores_alarm: Does not react to the alarm.
    """

    stature_m: float = 1.6
    slow_reaction: bool = False
    position: Array = field(default_factory=lambda: np.zeros(3))
    yaw_rad: float = 0.0
    speed_m_s: float = 0.0
    acceleration_m_s2: float = 0.8
    direction: float = 1.0
    goal: Array | None = None
    stop_distance_m: float = 0.0
    facing_rad: float = 0.0
    hold_heading: bool = False
    route: list[tuple[float, float]] | None = None
    tilt_rad: tuple[float, float] = (0.0, 0.0)
    drop_m: float = 0.0
    shift_m: tuple[float, float] = (0.0, 0.0)
    arms: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    unlimited: bool = False
    fallen: float = 0.0
    ignores_alarm: bool = False


Movement = Callable[[Motion, float, PersonView, Stance], None]


def _value(number: float | tuple[float, float]) -> float:
    assert not isinstance(number, tuple), "a behaviour must be sampled before it runs"
    return number


def _duration(motion: Motion, otherwise: float) -> float:
    """The behaviour's duration, or a default where none was given [s]."""
    given = _value(motion.config.duration_s)
    return given if given < _UNLIMITED else otherwise


def walk(motion: Motion, elapsed: float, view: PersonView, stance: Stance) -> None:
    """Walk at ``speed_m_s`` for ``duration_s``, along ``waypoints_m`` if given."""
    if elapsed < _value(motion.config.duration_s):
        stance.speed_m_s = _value(motion.config.speed_m_s)
    if motion.config.waypoints_m:
        stance.route = motion.config.waypoints_m


def walk_backwards(
    motion: Motion, elapsed: float, view: PersonView, stance: Stance
) -> None:
    """Go ``distance_m`` backwards without looking, then on as before."""
    if motion.goal is None:
        far = _value(motion.config.distance_m)
        motion.goal = stance.position[:2] - far * np.array(
            [math.cos(stance.yaw_rad), math.sin(stance.yaw_rad)]
        )
        motion.memory = far / _value(motion.config.speed_m_s) + 3.0
    if elapsed < min(motion.memory, _value(motion.config.duration_s)):
        stance.goal, stance.facing_rad = motion.goal, math.pi
        stance.stop_distance_m = 0.0
        stance.speed_m_s = _value(motion.config.speed_m_s)


def turn_back(motion: Motion, elapsed: float, view: PersonView, stance: Stance) -> None:
    """Turn round and go back along the path for ``duration_s``."""
    if elapsed < _value(motion.config.duration_s):
        stance.direction = -1.0


def cross(motion: Motion, elapsed: float, view: PersonView, stance: Stance) -> None:
    """Stand until the start, then walk the path at ``speed_m_s``."""
    stance.speed_m_s = _value(motion.config.speed_m_s)


def run_out(motion: Motion, elapsed: float, view: PersonView, stance: Stance) -> None:
    """Stand (behind something) until the start, then rush along the path.

    The ramp is 2.5 m/s^2, three times that of walking (project figure).
    """
    stance.speed_m_s = _value(motion.config.speed_m_s)
    stance.acceleration_m_s2 = 2.5


def follow(motion: Motion, elapsed: float, view: PersonView, stance: Stance) -> None:
    """Follow the robot's base to within ``distance_m`` for ``duration_s``."""
    if elapsed < _value(motion.config.duration_s) and np.isfinite(
        view.base_position[0]
    ):
        stance.goal = view.base_position[:2]
        stance.stop_distance_m = _value(motion.config.distance_m)
        stance.speed_m_s = _value(motion.config.speed_m_s)


def block_way(motion: Motion, elapsed: float, view: PersonView, stance: Stance) -> None:
    """Step into the robot's way, ``distance_m`` ahead of its base, and stay there."""
    if elapsed < _value(motion.config.duration_s) and np.isfinite(
        view.base_position[0]
    ):
        if motion.goal is None:
            ahead = np.array([math.cos(view.base_yaw_rad), math.sin(view.base_yaw_rad)])
            motion.goal = view.base_position[:2] + (
                _value(motion.config.distance_m) * ahead
            )
        stance.goal, stance.stop_distance_m = motion.goal, 0.0
        stance.speed_m_s = _value(motion.config.speed_m_s)


def hesitate(motion: Motion, elapsed: float, view: PersonView, stance: Stance) -> None:
    """Stop and go on ``count`` times, each for ``duration_s`` (0.8 s if not given)."""
    half = _duration(motion, 0.8)
    index = int(elapsed / half)
    if index < 2 * motion.config.count and index % 2 == 0:
        stance.speed_m_s = 0.0


def wait(motion: Motion, elapsed: float, view: PersonView, stance: Stance) -> None:
    """Stand for ``duration_s``."""
    if elapsed < _value(motion.config.duration_s):
        stance.speed_m_s = 0.0


def look_away(motion: Motion, elapsed: float, view: PersonView, stance: Stance) -> None:
    """Turn the head away from the robot by ``amplitude_rad`` (1.0 if not given).

    At up to 100 deg/s, as when turning the head.
    """
    angle = _value(motion.config.amplitude_rad) or 1.0
    if motion.memory == 0.0:
        bearing = math.atan2(
            view.base_position[1] - stance.position[1],
            view.base_position[0] - stance.position[0],
        )
        side = math.sin(bearing - stance.yaw_rad)
        motion.memory = 1.0 if not side > 0.0 else -1.0
    rise = max(0.3, 1.875 * angle / math.radians(100.0))
    stance.head_yaw_rad += (
        motion.memory
        * angle
        * _pulse(elapsed, rise, _value(motion.config.duration_s), rise)
    )


def _pulse(elapsed: float, rise: float, stay: float, back: float) -> float:
    """0 to 1 within ``rise``, ``stay`` there, to 0 within ``back``."""
    if elapsed < rise + stay:
        return blend(elapsed / rise)
    return 1.0 - blend((elapsed - rise - stay) / back)


def crouch(motion: Motion, elapsed: float, view: PersonView, stance: Stance) -> None:
    """Crouch by ``amplitude_m`` (0.22 of stature if not given) and get up again.

    Down in 1.1 s and up in 1.6 s (single rise of the young, people.csv).
    """
    deep = _value(motion.config.amplitude_m) or 0.22 * stance.stature_m
    deep = min(deep, 0.34 * stance.stature_m)
    share = _pulse(elapsed, 1.1, _value(motion.config.duration_s), 1.6)
    if share > 0.0:
        stance.speed_m_s = 0.0
    stance.drop_m += share * deep
    stance.tilt_rad = (
        stance.tilt_rad[0] + 0.9 * share * deep / (0.22 * stance.stature_m),
        stance.tilt_rad[1],
    )
    stance.shift_m = (stance.shift_m[0] - 0.25 * share * deep, stance.shift_m[1])


def stumble(motion: Motion, elapsed: float, view: PersonView, stance: Stance) -> None:
    """Trip and catch oneself: trunk forward by ``amplitude_rad`` (0.4), arms out."""
    angle = _value(motion.config.amplitude_rad) or 0.4
    share = _pulse(elapsed, 0.45, 0.1, 0.9)
    if elapsed < 1.2:
        stance.speed_m_s = min(stance.speed_m_s, 0.3)
        stance.acceleration_m_s2 = max(stance.acceleration_m_s2, 2.0)
    stance.tilt_rad = (stance.tilt_rad[0] + angle * share, stance.tilt_rad[1])
    stance.drop_m += 0.03 * stance.stature_m * share
    stance.arms = (0.8 * share, 0.7, 0.6, 0.6)


def spasm(motion: Motion, elapsed: float, view: PersonView, stance: Stance) -> None:
    """An arm jerks out by 0.35 m, ``count`` times 0.5 s (project figures)."""
    if elapsed >= 0.5 * motion.config.count:
        return
    if motion.goal is None:
        way = generator(motion.seed, motion.stream).normal(0.0, 1.0, 3)
        ahead = [math.cos(stance.yaw_rad), math.sin(stance.yaw_rad), -0.3]
        way = way / np.linalg.norm(way) + ahead
        motion.goal = 0.35 * way / max(0.3, float(np.linalg.norm(way)))
    part = (elapsed % 0.5) / 0.5
    share = blend(2.0 * part) if part < 0.5 else 1.0 - blend(2.0 * part - 1.0)
    stance.hand_target[motion.config.side] = (stance.position + motion.goal, share)


def react_to_alarm(
    motion: Motion, elapsed: float, view: PersonView, stance: Stance
) -> None:
    """Stop, or step 0.9 m aside, once the robot's alarm has been noticed.

    Time until then: log-normal with sigma 0.35 about 0.7 s (stop), 0.9 s (step aside)
    or 1.4 s (over 75) after the alarm began (design defaults, people.csv).
    """
    if motion.memory == 0.0:
        usual = 0.7 if motion.config.response == "stop" else 0.9
        usual = 1.4 if stance.slow_reaction else usual
        draw = generator(motion.seed, motion.stream).normal(0.0, 0.35)
        motion.memory = usual * math.exp(draw)
    if stance.ignores_alarm or not view.alarm_s >= motion.memory:
        motion.goal = None
        return
    if motion.config.response == "stop":
        stance.speed_m_s = 0.0
        return
    if motion.goal is None:
        motion.goal = stance.position[:2] + 0.9 * _aside(view, stance)
    stance.goal, stance.hold_heading = motion.goal, True
    stance.stop_distance_m, stance.facing_rad = 0.0, 0.0
    stance.speed_m_s = min(max(stance.speed_m_s, 0.5), 0.7)


def _aside(view: PersonView, stance: Stance) -> Array:
    """Unit vector across the person's heading, away from the robot."""
    across = np.array([-math.sin(stance.yaw_rad), math.cos(stance.yaw_rad)])
    toward = view.base_position[:2] - stance.position[:2]
    return -across if float(across @ toward) > 0.0 else across


def ignore_alarm(
    motion: Motion, elapsed: float, view: PersonView, stance: Stance
) -> None:
    """Take no notice of the alarm for ``duration_s``."""
    stance.ignores_alarm = elapsed < _value(motion.config.duration_s)


class FallCourse(NamedTuple):
    """Times and speeds of one fall, from loss of balance to lying.

    Attributes:
        imbalance_s: From loss of balance to the start of the descent.
        descent_s: From there to the pelvis on the floor.
        impact_m_s: Vertical speed of the pelvis there.
        head_m_s: Vertical speed of the head when it comes down.
    """

    imbalance_s: float
    descent_s: float
    impact_m_s: float
    head_m_s: float


def draw_fall(seed: int, stream: str) -> FallCourse:
    """Draw a fall after 25 real falls of care residents.

    Choi, Wakeling and Robinovitch 2015 (people.csv): loss of balance to pelvis impact
    1.271 s (sd 0.648), of it descent 0.583 s (0.255); vertical impact speed of pelvis
    2.14 m/s (0.63) and head 2.91 m/s (0.86). Normal, cut at 0.9 standard deviations so
    that no part is too short; the time before the descent is drawn apart from it, the
    head is as much faster than usual as the pelvis.
    """
    z = np.clip(generator(seed, stream).normal(0.0, 1.0, 3), -0.9, 0.9)
    before = 1.271 - 0.583
    spread = math.sqrt(0.648**2 - 0.255**2)
    return FallCourse(
        float(before + spread * z[0]),
        float(0.583 + 0.255 * z[1]),
        float(2.14 + 0.63 * z[2]),
        float(2.91 + 0.86 * z[2]),
    )


_WAYS = {
    "forward": (1.0, 0.0),
    "backward": (-1.0, 0.0),
    "left": (0.0, 1.0),
    "right": (0.0, -1.0),
}
_EARLY, _IMPACT_TILT = 0.2, 0.8
"""Lean at the start of the descent, tilt of the trunk when the pelvis lands [rad]."""


def _lying(stance: Stance, way: str) -> tuple[float, float]:
    """Height of the pelvis on the floor and its distance from the feet [m]."""
    h = stance.stature_m
    height = (0.14 if way in ("left", "right") else 0.085) * h
    # Forward the legs stay straight; otherwise the knees are drawn up a little.
    share = 0.998 if way == "forward" else 0.88
    return height, math.sqrt(
        (2.0 * LEG_SEGMENT * share * h) ** 2 - (height - 0.043 * h) ** 2
    )


def _set_pelvis(
    stance: Stance, way: str, height: float, far: float, tilt: float
) -> None:
    x, y = _WAYS[way]
    stance.drop_m = HIP_HEIGHT * stance.stature_m - height
    stance.shift_m = (x * far, y * far)
    stance.tilt_rad = (x * tilt, y * tilt)


def fall(motion: Motion, elapsed: float, view: PersonView, stance: Stance) -> None:
    """Lose balance and fall in a ``direction``; stay on the floor.

    Lean, then descent of the pelvis with the drawn time and impact speed
    (height falls with a power of time, which meets both), then the trunk comes down.
    """
    course = draw_fall(motion.seed, motion.stream)
    way, h = motion.config.direction, stance.stature_m
    floor, far = _lying(stance, way)
    stance.speed_m_s, stance.acceleration_m_s2 = 0.0, 3.0
    stance.unlimited, stance.hand_target = True, {}
    stance.head_offset_m = [0.0, 0.0, 0.0]
    stand, leg = HIP_HEIGHT * h, 2.0 * LEG_SEGMENT * h
    ankle = stand - leg
    early = leg * math.sin(_EARLY)
    t = elapsed - course.imbalance_s
    if t <= 0.0:
        lean = _EARLY * blend(elapsed / course.imbalance_s)
        x = leg * math.sin(lean)
        tilt = lean
        height = ankle + leg * math.cos(lean)
        stance.fallen = 0.0
        stance.arms = (0.6 * blend(elapsed / course.imbalance_s), 0.5, 0.5, 0.5)
    else:
        high = ankle + leg * math.cos(_EARLY)
        fallen = min(1.0, t / course.descent_s)
        power = max(1.15, course.impact_m_s * course.descent_s / (high - floor))
        height = high - (high - floor) * fallen**power
        straight = math.sqrt(max(0.0, leg**2 - (height - ankle) ** 2))
        x = early + (far - early) * (straight - early) / (
            math.sqrt(leg**2 - (floor - ankle) ** 2) - early
        )
        rest = max(0.0, t - course.descent_s)
        tilt = _EARLY + (_IMPACT_TILT - _EARLY) * fallen**1.5
        # The head is 0.36 of stature from the hip and 0.06 more, turning twice as fast.
        rate = course.head_m_s / (0.485 * h)
        tilt = min(0.5 * math.pi, tilt + rate * rest)
        stance.fallen = (tilt - _EARLY) / (0.5 * math.pi - _EARLY)
        spread = blend(1.5 * fallen)
        side = way in ("left", "right")
        pose = (1.1, 0.1, 0.5) if side else (0.0, 0.5, 0.2)
        start = (0.5, 0.5, 0.5)
        mixed = [a + spread * (b - a) for a, b in zip(start, pose, strict=True)]
        stance.arms = (0.6 + 0.4 * spread, mixed[0], mixed[1], mixed[2])
    _set_pelvis(stance, way, height, x, tilt)


def get_up(motion: Motion, elapsed: float, view: PersonView, stance: Stance) -> None:
    """Get up again once lying, in ``duration_s`` (6 s if not given; project figure).

    Sit up or kneel, crouch over the feet, stand.
    """
    if not stance.unlimited or (stance.fallen < 1.0 and motion.memory == 0.0):
        return
    if motion.memory == 0.0:
        motion.memory = max(elapsed, 1e-6)
    h = stance.stature_m
    x, y = stance.shift_m
    far, tilt = math.hypot(x, y), math.hypot(*stance.tilt_rad)
    way = max(_WAYS, key=lambda k: _WAYS[k][0] * x + _WAYS[k][1] * y)
    low = HIP_HEIGHT * h - stance.drop_m
    middle = (0.30 * h, 0.22 * h, 0.9) if way == "forward" else (low, 0.85 * far, 0.15)
    frames = (
        (low, far, tilt),
        middle,
        (0.25 * h, 0.06 * h, 0.5 if way == "forward" else -0.5),
        (HIP_HEIGHT * h, 0.0, 0.0),
    )
    progress = 3.0 * (elapsed - motion.memory) / _duration(motion, 6.0)
    if progress >= 3.0:
        stance.unlimited, stance.fallen = False, 0.0
        stance.drop_m, stance.shift_m, stance.tilt_rad = 0.0, (0.0, 0.0), (0.0, 0.0)
        stance.arms = (0.0, *stance.arms[1:])
        return
    index = int(progress)
    share = blend(progress - index)
    a, b = frames[index], frames[index + 1]
    height, out, lean = (p + share * (q - p) for p, q in zip(a, b, strict=True))
    _set_pelvis(stance, way, height, out, lean)
    stance.fallen = 1.0 - progress / 3.0
    hold = 1.0 - blend(progress / 3.0)
    stance.arms = (hold, *stance.arms[1:])


MOVEMENTS: dict[str, Movement] = {
    "walk": walk,
    "walk_backwards": walk_backwards,
    "turn_back": turn_back,
    "cross": cross,
    "run_out": run_out,
    "follow": follow,
    "block_way": block_way,
    "hesitate": hesitate,
    "wait": wait,
    "look_away": look_away,
    "crouch": crouch,
    "stumble": stumble,
    "spasm": spasm,
    "ignore_alarm": ignore_alarm,
    "react_to_alarm": react_to_alarm,
    "fall": fall,
    "get_up": get_up,
}
"""Kind to function, in the order in which they are applied."""
