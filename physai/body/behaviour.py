"""What people do, as data.

A behaviour is an entry of an environment's or suite's YAML: a kind, a start (a time or
a trigger), a duration and amplitudes; every number may be a range ``[low, high]`` that
:meth:`BehaviourConfig.sample` fixes. What a kind does is a function of
:mod:`physai.body.gesture` (head, mouth, trunk and hands) or :mod:`physai.body.movement`
(people on their feet). Motions are minimum-jerk, so that peak speed is 1.875 times the
mean (Flash and Hogan 1985), and their duration is stretched to keep that peak.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal

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
    "BODY_SPEED_M_S",
    "GESTURE_KINDS",
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
    "require_number",
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

GESTURE_KINDS = (
    "rest",
    "offer_mouth",
    "tremor",
    "turn_head",
    "lean_in",
    "reach",
    "cough",
    "close_mouth",
    "refuse",
    "stop_signal",
    "withdraw_consent",
)
"""What people do with head, mouth, trunk and hands (:mod:`physai.body.gesture`), in the
order in which it is applied: what closes a mouth stands after what opens it."""

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
            return value < require_number(self.below)
        assert self.above is not None
        return value > require_number(self.above)


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
        kinds = (*GESTURE_KINDS, *MOVEMENT_KINDS)
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
            if time_s < require_number(self.config.start_s):
                return -1.0
            trigger = self.config.trigger
            if trigger and not trigger.fires(view):
                return -1.0
            self.started_s = time_s
        return time_s - self.started_s


def require_number(value: Range) -> float:
    """Return a number that was drawn before.

    Raises:
        ValueError: If it is still a range.
    """
    if isinstance(value, tuple):
        raise ValueError("a behaviour must be sampled before it runs")
    return float(value)
