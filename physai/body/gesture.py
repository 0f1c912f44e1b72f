"""What people do with head, mouth, trunk and hands, seated or on their feet.

A function for each of :data:`physai.body.behaviour.GESTURE_KINDS`, which adds to the
:class:`~physai.body.behaviour.Posture` of the person; which amplitudes of the behaviour
it reads is said at the function.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numba
import numpy as np

from physai.body.behaviour import Motion, PersonView, Posture, blend, require_number
from physai.randomness import generator
from physai.types import Array

__all__ = ["GESTURES", "Gesture"]


def _there_and_back(elapsed: float, rise: float, duration: float) -> float:
    """Rise, stay, return; 0 to 1 to 0."""
    if elapsed < 0.0:
        return 0.0
    back = elapsed - rise - duration
    return blend(elapsed / rise) if back < 0.0 else 1.0 - blend(back / rise)


def _rise_time(distance: float, peak_speed: float) -> float:
    return max(0.2, 1.875 * distance / peak_speed)


@numba.njit(cache=True)
def _sway(
    elapsed: float, amplitude: float, phases: Array
) -> tuple[float, float, float]:
    """Slow displacement of a seated head from where it began [m]."""
    x = y = z = 0.0
    for axis in range(3):
        slow, fast = phases[2 * axis], phases[2 * axis + 1]
        size = amplitude * (0.5 if axis == 2 else 1.0)
        value = size * (
            math.sin(2 * math.pi * 0.17 * elapsed + slow)
            + 0.5 * math.sin(2 * math.pi * 0.41 * elapsed + fast)
            - math.sin(slow)
            - 0.5 * math.sin(fast)
        )
        if axis == 0:
            x = value
        elif axis == 1:
            y = value
        else:
            z = value
    return x, y, z


def rest(motion: Motion, elapsed: float, view: PersonView, posture: Posture) -> None:
    """Postural sway of the head, 5 mm RMS (seated; design default), slow."""
    amplitude = require_number(motion.config.amplitude_m) or 0.005
    offset = posture.head_offset_m
    x, y, z = _sway(elapsed, amplitude, motion.phases(6))
    offset[0] += x
    offset[1] += y
    offset[2] += z


def tremor(motion: Motion, elapsed: float, view: PersonView, posture: Posture) -> None:
    """Head tremor: 4 mm at 5 Hz with 20 % slow phase noise (design default, 75+)."""
    size = require_number(motion.config.amplitude_m) or 0.004
    f = require_number(motion.config.frequency_hz)
    phase = motion.phases(2).tolist()
    turn = 2 * math.pi * f * elapsed + 1.2 * math.sin(
        2 * math.pi * 0.3 * elapsed + phase[1]
    )
    grow = blend(elapsed)
    posture.head_offset_m[1] += grow * size * math.sin(turn + phase[0])
    posture.head_offset_m[2] += 0.3 * grow * size * math.cos(turn + phase[0])


def turn_head(
    motion: Motion, elapsed: float, view: PersonView, posture: Posture
) -> None:
    """Turn the head by ``amplitude_rad`` at up to 100 deg/s, stay, turn back.

    Peak speed: design default of 100 deg/s for people over 75.
    """
    angle = require_number(motion.config.amplitude_rad)
    rise = max(0.3, 1.875 * abs(angle) / math.radians(100.0))
    share = _there_and_back(elapsed, rise, require_number(motion.config.duration_s))
    posture.head_yaw_rad += angle * share


def cough(motion: Motion, elapsed: float, view: PersonView, posture: Posture) -> None:
    """A bout of coughs: 30 mm forward and down in 0.3 s each, mouth nearly closed.

    Displacement, duration and count are design defaults.
    """
    burst = 0.3
    index = int(elapsed / (2.0 * burst)) if elapsed >= 0.0 else motion.config.count
    if elapsed < 0.0 or index >= motion.config.count:
        return
    phase = (elapsed - 2.0 * burst * index) / burst
    share = blend(2 * phase) if phase < 0.5 else 1.0 - blend(2 * phase - 1.0)
    size = require_number(motion.config.amplitude_m) or 0.03
    posture.head_offset_m[0] += size * max(0.0, share)
    posture.head_offset_m[2] -= 0.4 * size * max(0.0, share)
    posture.opening_m = min(posture.opening_m, 0.006)


def lean_in(motion: Motion, elapsed: float, view: PersonView, posture: Posture) -> None:
    """Lean the trunk forward by ``amplitude_rad``, stay, come back."""
    angle = require_number(motion.config.amplitude_rad)
    # The head is about 0.75 m above the hip: its peak speed is what is limited.
    rise = _rise_time(0.75 * abs(angle), require_number(motion.config.speed_m_s))
    share = _there_and_back(elapsed, rise, require_number(motion.config.duration_s))
    posture.lean_rad += angle * share


def reach(motion: Motion, elapsed: float, view: PersonView, posture: Posture) -> None:
    """Reach with a hand for the tool, the gripper, or into the path before it.

    Or for the robot's base (0.3 m above it), or a fixed point of the world.
    """
    if elapsed < 0.0:
        return
    if motion.goal is None:
        point = view.tool_position
        if motion.config.target == "gripper":
            point = view.gripper_position
        elif motion.config.target == "base":
            point = view.base_position + np.array([0.0, 0.0, 0.3])
        elif motion.config.point_m is not None:
            point = np.array(motion.config.point_m)
        offset = generator(motion.seed, motion.stream).normal(0.0, 0.02, 3)
        motion.goal = np.array(point) + offset
        if motion.config.target == "path":
            ahead = view.tool_position - view.gripper_position
            motion.goal += 0.10 * ahead / max(float(np.linalg.norm(ahead)), 1e-6)
        motion.memory = _rise_time(0.75, require_number(motion.config.speed_m_s))
    share = _there_and_back(
        elapsed, motion.memory, require_number(motion.config.duration_s)
    )
    posture.hand_target[motion.config.side] = (motion.goal, share)


def offer_mouth(
    motion: Motion, elapsed: float, view: PersonView, posture: Posture
) -> None:
    """Open the mouth by ``opening_m`` within 0.6 s and keep it open."""
    if elapsed < 0.0:
        return
    share = _there_and_back(elapsed, 0.6, require_number(motion.config.duration_s))
    posture.opening_m = max(
        posture.opening_m, require_number(motion.config.opening_m) * share
    )


def refuse(motion: Motion, elapsed: float, view: PersonView, posture: Posture) -> None:
    """Keep the mouth closed, turn away by ``amplitude_rad`` and withdraw consent."""
    if elapsed < 0.0:
        return
    angle = require_number(motion.config.amplitude_rad)
    rise = max(0.3, 1.875 * abs(angle) / math.radians(100.0))
    posture.head_yaw_rad += angle * _there_and_back(
        elapsed, rise, require_number(motion.config.duration_s)
    )
    posture.opening_m = 0.0
    posture.consent = False


def close_mouth(
    motion: Motion, elapsed: float, view: PersonView, posture: Posture
) -> None:
    """Keep the mouth closed for ``duration_s`` without saying anything."""
    if 0.0 <= elapsed < require_number(motion.config.duration_s):
        posture.opening_m = 0.0


def give_stop_signal(
    motion: Motion, elapsed: float, view: PersonView, posture: Posture
) -> None:
    """Give the stop signal (button, call or gesture) for ``duration_s``."""
    if 0.0 <= elapsed < require_number(motion.config.duration_s):
        posture.stop_signal = True


def withdraw_consent(
    motion: Motion, elapsed: float, view: PersonView, posture: Posture
) -> None:
    """Withdraw consent for ``duration_s``."""
    if 0.0 <= elapsed < require_number(motion.config.duration_s):
        posture.consent = False


Gesture = Callable[[Motion, float, PersonView, Posture], None]

GESTURES: dict[str, Gesture] = {
    "rest": rest,
    "offer_mouth": offer_mouth,
    "tremor": tremor,
    "turn_head": turn_head,
    "lean_in": lean_in,
    "reach": reach,
    "cough": cough,
    "close_mouth": close_mouth,
    "refuse": refuse,
    "stop_signal": give_stop_signal,
    "withdraw_consent": withdraw_consent,
}
"""Kind to function, in the order of :data:`physai.body.behaviour.GESTURE_KINDS`."""
