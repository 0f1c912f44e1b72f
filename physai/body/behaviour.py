"""What people do, as data.

A behaviour is an entry of an environment's or suite's YAML: a kind, a start (a time or
a trigger), a duration and amplitudes; every number may be a range ``[low, high]`` that
:meth:`BehaviourConfig.sample` fixes. A new behaviour is one function here and one line
in :data:`BEHAVIOURS`. Motions are minimum-jerk, so that peak speed is 1.875 times the
mean (Flash and Hogan 1985), and their duration is stretched to keep that peak.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal

import numba
import numpy as np
from pydantic import (
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from physai.config import Config
from physai.errors import suggest
from physai.randomness import generator
from physai.types import Array

__all__ = [
    "BEHAVIOURS",
    "BODY_SPEED_M_S",
    "HAND_SPEED_M_S",
    "MOVEMENT_KINDS",
    "BehaviourConfig",
    "Motion",
    "PersonView",
    "Posture",
    "Range",
    "TriggerConfig",
    "blend",
    "fix",
]

Range = float | tuple[float, float]
"""A number, or a range from which it is drawn uniformly."""


def fix(value: Range, rng: np.random.Generator) -> float:
    """Return a number, or draw it from its range."""
    if isinstance(value, tuple):
        return float(rng.uniform(value[0], value[1]))
    return float(value)


def blend(progress: float) -> float:
    """Return the minimum-jerk profile 10 s^3 - 15 s^4 + 6 s^5, s cut to [0, 1]."""
    s = min(1.0, max(0.0, progress))
    return s * s * s * (10.0 + s * (6.0 * s - 15.0))


BODY_SPEED_M_S = 1.6
"""Declared bound of a person's body (approach by walking, ISO 13855; people of 14 and
more; running, jumping and falling are outside it)."""
HAND_SPEED_M_S = 2.0
"""Declared bound of a person's hands (ISO 13855)."""
_FASTEST_M_S = 8.0

MOVEMENT_KINDS = (
    "walk",
    "walk_backwards",
    "turn_back",
    "cross",
    "run_out",
    "follow",
    "block_way",
    "hesitate",
    "wait",
    "look_away",
    "crouch",
    "stumble",
    "spasm",
    "ignore_alarm",
    "react_to_alarm",
    "fall",
    "get_up",
)
"""What only people on their feet do (:mod:`physai.body.movement`), in the order in
which it is applied: what stops a person stands after what drives them."""


class _Sparse(Config):
    """Leaves keys that were not used out of a dump.

    So the digest of content does not depend on keys that came after it.
    """

    _OPTIONAL: ClassVar[tuple[str, ...]] = ()

    @model_serializer(mode="wrap")
    def _leave_out(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        data: dict[str, Any] = handler(self)
        fields = type(self).model_fields
        for name in self._OPTIONAL:
            default = fields[name].get_default(call_default_factory=True)
            if name in data and getattr(self, name) == default:
                del data[name]
        return data


class TriggerConfig(_Sparse):
    """Starts a behaviour when a signal falls below, or rises above, a value.

    Signals: ``utensil_distance_m`` (from the mouth), ``robot_distance_m`` (robot's base
    to the person, along the floor), ``path_m`` (walked along the path),
    ``path_left_m``, ``alarm_s`` (since the robot's alarm began; negative without).
    """

    _OPTIONAL: ClassVar[tuple[str, ...]] = ("above",)

    signal: Literal[
        "utensil_distance_m", "robot_distance_m", "path_m", "path_left_m", "alarm_s"
    ]
    below: Range | None = None
    above: Range | None = None

    @model_validator(mode="after")
    def _one(self) -> TriggerConfig:
        if (self.below is None) == (self.above is None):
            raise ValueError('a trigger has either "below" or "above"')
        return self

    def sample(self, rng: np.random.Generator) -> TriggerConfig:
        """Return the same trigger with its value fixed."""
        if self.below is not None:
            return TriggerConfig(signal=self.signal, below=fix(self.below, rng))
        assert self.above is not None
        return TriggerConfig(signal=self.signal, above=fix(self.above, rng))

    def fires(self, view: PersonView) -> bool:
        """Whether the signal is beyond the value now; an unknown signal is not."""
        value: float = getattr(view, self.signal)
        if self.below is not None:
            return value < _number(self.below)
        assert self.above is not None
        return value > _number(self.above)


class BehaviourConfig(_Sparse):
    """One behaviour; which amplitudes it reads is said at its function."""

    _OPTIONAL: ClassVar[tuple[str, ...]] = (
        "distance_m",
        "direction",
        "response",
        "waypoints_m",
        "point_m",
        "beyond_declared",
    )

    kind: str
    start_s: Range = 0.0
    trigger: TriggerConfig | None = None
    """Start when the trigger fires, at the earliest at ``start_s``."""
    duration_s: Range = 1.0e6
    amplitude_m: Range = 0.0
    amplitude_rad: Range = 0.0
    opening_m: Range = 0.025
    frequency_hz: Range = 5.0
    count: Annotated[int, Field(ge=1)] = 3
    speed_m_s: Annotated[float, Field(gt=0.0)] | tuple[float, float] = 0.6
    side: Literal["left", "right"] = "right"
    target: Literal["tool", "gripper", "path", "base", "point"] = "tool"
    distance_m: Range = 1.0
    direction: Literal["forward", "backward", "left", "right"] = "forward"
    response: Literal["stop", "step_aside"] = "stop"
    waypoints_m: list[tuple[float, float]] = Field(default_factory=list)
    """Another path for ``walk``, from where the person then is."""
    point_m: Annotated[list[float], Field(min_length=3, max_length=3)] | None = None
    """World point for ``reach`` with target "point"."""
    beyond_declared: bool = False
    """Allows more than the declared 1.6 m/s, which the guard does not assume."""

    @model_validator(mode="after")
    def _check(self) -> BehaviourConfig:
        kinds = (*BEHAVIOURS, *MOVEMENT_KINDS)
        if self.kind not in kinds:
            raise ValueError(f'unknown kind "{self.kind}"; {suggest(self.kind, kinds)}')
        for name, value in self:
            if isinstance(value, tuple) and not value[0] <= value[1]:
                raise ValueError(f"{name}: a range is [low, high]")
        if (self.target == "point") != (self.point_m is not None):
            raise ValueError('target "point" and point_m belong together')
        fastest = np.max(self.speed_m_s)
        most = _FASTEST_M_S if self.beyond_declared else BODY_SPEED_M_S
        if fastest > most:
            raise ValueError(
                f"speed_m_s: people here move at most {most:g} m/s"
                + ("" if self.beyond_declared else " unless marked beyond_declared")
            )
        if np.min(self.speed_m_s) <= 0.0:
            raise ValueError("speed_m_s: must be greater than 0")
        return self

    @property
    def goes_beyond(self) -> bool:
        """Whether the body may exceed the declared bound; every fall does."""
        return self.beyond_declared or self.kind == "fall"

    def sample(self, rng: np.random.Generator) -> BehaviourConfig:
        """Return the same behaviour with every range fixed."""
        fixed: dict[str, Any] = {
            name: fix(value, rng) for name, value in self if isinstance(value, tuple)
        }
        if self.trigger is not None:
            fixed["trigger"] = self.trigger.sample(rng)
        return self.model_copy(update=fixed)


@dataclass(slots=True)
class PersonView:
    """What a person sees of the robot: all that a behaviour may react to.

    The plant fills the first six; each person writes the others for themselves before
    their behaviours look.

    Attributes:
        tool_position: (3,) TCP in the world [m].
        gripper_position: (3,) middle of the hand that holds the tool, world [m].
        utensil_distance_m: Distance of the utensil's tip from the mouth [m].
        base_position: (3,) the robot's base in the world [m]; NaN where not told.
        base_yaw_rad: Where it heads.
        alarm: Whether it sounds its alarm.
        robot_distance_m: From the base to the person along the floor; NaN where not
            known.
        path_m: How far the person has come along their path.
        path_left_m: How far they still have to go.
        alarm_s: Since the alarm began; negative without.
    """

    tool_position: Array
    gripper_position: Array
    utensil_distance_m: float
    base_position: Array = field(default_factory=lambda: np.full(3, math.nan))
    base_yaw_rad: float = 0.0
    alarm: bool = False
    robot_distance_m: float = math.nan
    path_m: float = 0.0
    path_left_m: float = math.inf
    alarm_s: float = -1.0


@dataclass(slots=True)
class Posture:
    """How the person sits; behaviours add to it.

    Attributes:
        lean_rad: Trunk forward.
        head_yaw_rad: Head to the left.
        head_pitch_rad: Head down.
        head_offset_m: (3,) head displaced forward, left, up.
        hand_target: World position of each hand and how far it has gone there (0..1).
        opening_m: Mouth opening.
        consent: Agrees to be fed.
        stop_signal: Asks to stop.
    """

    lean_rad: float = 0.0
    head_yaw_rad: float = 0.0
    head_pitch_rad: float = 0.0
    head_offset_m: list[float] = field(default_factory=lambda: [0.0, 0.0, 0.0])
    hand_target: dict[str, tuple[Array, float]] = field(default_factory=dict)
    opening_m: float = 0.0
    consent: bool = True
    stop_signal: bool = False


@dataclass(slots=True)
class Motion:
    """A behaviour in progress.

    Attributes:
        config: The fixed behaviour.
        seed: Seed of the episode.
        stream: Name of its own random stream.
        started_s: When it began; NaN before.
        goal: World goal captured at its start, where it has one.
        memory: One number that a behaviour may keep.
        phase: Phases drawn at its first step [rad].
    """

    config: BehaviourConfig
    seed: int
    stream: str
    started_s: float = math.nan
    goal: Array | None = None
    memory: float = 0.0
    phase: Array = field(default_factory=lambda: np.zeros(0))

    def phases(self, count: int) -> Array:
        """Return the behaviour's own random phases, the same in every step [rad]."""
        if not len(self.phase):
            rng = generator(self.seed, self.stream)
            self.phase = rng.uniform(0.0, 2.0 * math.pi, count)
        return self.phase

    def elapsed(self, time_s: float, view: PersonView) -> float:
        """Return the time since the start [s]; negative before it."""
        if math.isnan(self.started_s):
            if time_s < _number(self.config.start_s):
                return -1.0
            trigger = self.config.trigger
            if trigger and not trigger.fires(view):
                return -1.0
            self.started_s = time_s
        return time_s - self.started_s


def _number(value: Range) -> float:
    if isinstance(value, tuple):
        raise ValueError("a behaviour must be sampled before it runs")
    return float(value)


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
    amplitude = _number(motion.config.amplitude_m) or 0.005
    offset = posture.head_offset_m
    x, y, z = _sway(elapsed, amplitude, motion.phases(6))
    offset[0] += x
    offset[1] += y
    offset[2] += z


def tremor(motion: Motion, elapsed: float, view: PersonView, posture: Posture) -> None:
    """Head tremor: 4 mm at 5 Hz with 20 % slow phase noise (design default, 75+)."""
    size = _number(motion.config.amplitude_m) or 0.004
    f = _number(motion.config.frequency_hz)
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
    angle = _number(motion.config.amplitude_rad)
    rise = max(0.3, 1.875 * abs(angle) / math.radians(100.0))
    share = _there_and_back(elapsed, rise, _number(motion.config.duration_s))
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
    size = _number(motion.config.amplitude_m) or 0.03
    posture.head_offset_m[0] += size * max(0.0, share)
    posture.head_offset_m[2] -= 0.4 * size * max(0.0, share)
    posture.opening_m = min(posture.opening_m, 0.006)


def lean_in(motion: Motion, elapsed: float, view: PersonView, posture: Posture) -> None:
    """Lean the trunk forward by ``amplitude_rad``, stay, come back."""
    angle = _number(motion.config.amplitude_rad)
    # The head is about 0.75 m above the hip: its peak speed is what is limited.
    rise = _rise_time(0.75 * abs(angle), _number(motion.config.speed_m_s))
    share = _there_and_back(elapsed, rise, _number(motion.config.duration_s))
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
        motion.memory = _rise_time(0.75, _number(motion.config.speed_m_s))
    share = _there_and_back(elapsed, motion.memory, _number(motion.config.duration_s))
    posture.hand_target[motion.config.side] = (motion.goal, share)


def offer_mouth(
    motion: Motion, elapsed: float, view: PersonView, posture: Posture
) -> None:
    """Open the mouth by ``opening_m`` within 0.6 s and keep it open."""
    if elapsed < 0.0:
        return
    share = _there_and_back(elapsed, 0.6, _number(motion.config.duration_s))
    posture.opening_m = max(posture.opening_m, _number(motion.config.opening_m) * share)


def refuse(motion: Motion, elapsed: float, view: PersonView, posture: Posture) -> None:
    """Keep the mouth closed, turn away by ``amplitude_rad`` and withdraw consent."""
    if elapsed < 0.0:
        return
    angle = _number(motion.config.amplitude_rad)
    rise = max(0.3, 1.875 * abs(angle) / math.radians(100.0))
    posture.head_yaw_rad += angle * _there_and_back(
        elapsed, rise, _number(motion.config.duration_s)
    )
    posture.opening_m = 0.0
    posture.consent = False


def close_mouth(
    motion: Motion, elapsed: float, view: PersonView, posture: Posture
) -> None:
    """Keep the mouth closed for ``duration_s`` without saying anything."""
    if 0.0 <= elapsed < _number(motion.config.duration_s):
        posture.opening_m = 0.0


def give_stop_signal(
    motion: Motion, elapsed: float, view: PersonView, posture: Posture
) -> None:
    """Give the stop signal (button, call or gesture) for ``duration_s``."""
    if 0.0 <= elapsed < _number(motion.config.duration_s):
        posture.stop_signal = True


def withdraw_consent(
    motion: Motion, elapsed: float, view: PersonView, posture: Posture
) -> None:
    """Withdraw consent for ``duration_s``."""
    if 0.0 <= elapsed < _number(motion.config.duration_s):
        posture.consent = False


Behaviour = Callable[[Motion, float, PersonView, Posture], None]

BEHAVIOURS: dict[str, Behaviour] = {
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
"""Kind to function. A motion runs them in the order of its list, so that what closes
a mouth stands after what opens it."""
