"""A person on their feet, on the floor or in a wheelchair, moved along a path.

Same interface as the seated :class:`physai.body.person.Person`: 16 capsules in the
order of ``SEGMENTS``, their velocities and frames, mouth, consent and stop signal.
What an aid adds to the capsules is said in :mod:`physai.body.skeleton`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Literal, NamedTuple

import numpy as np
from pydantic import Field, model_validator

from physai.body.behaviour import (
    BODY_SPEED_M_S,
    HAND_SPEED_M_S,
    BehaviourConfig,
    Motion,
    PersonView,
)
from physai.body.gait import load_gait
from physai.body.gesture import GESTURES
from physai.body.locomotion import (
    FREE_GOAL,
    INTENT_NAMES,
    MOTION_NAMES,
    ON_PATH,
    SCRATCH,
    advance_walker,
)
from physai.body.movement import MOVEMENTS, WAITS_FOR_START, Movement, Stance
from physai.body.person import (
    MOUTH_HALF_WIDTH_M,
    SEGMENT_COUNT,
    Mouth,
    PersonConfig,
)
from physai.body.skeleton import AIDS, AIM_COUNT, BODY_NAMES
from physai.config import Config
from physai.errors import ConfigError
from physai.types import Array

__all__ = [
    "AID_SPEED_M_S",
    "PathConfig",
    "Walker",
    "find_refusal",
]

Aid = Literal["none", "cane", "walker", "wheelchair"]

AID_SPEED_M_S: dict[str, float] = {
    "none": BODY_SPEED_M_S,
    "cane": 1.0,
    "walker": 0.8,
    "wheelchair": 0.9,
}
"""Highest speed with an aid (project figures; usual ones are 0.6, 0.45, 0.4-0.7)."""

_NOT_IN_A_WHEELCHAIR = ("crouch", "stumble", "fall", "get_up")
_ACTS: dict[str, Movement] = {**MOVEMENTS, **GESTURES}
_ORDER = tuple(_ACTS)
_MAX_WAYPOINTS = 32


class _Style(NamedTuple):
    """How age or an aid changes the gait: stride, arm swing, trunk forward."""

    stride: float = 1.0
    arms: float = 1.0
    tilt_rad: float = 0.03


_AGES: dict[str, _Style] = {
    # Trunk +10 degrees, stride x0.8, arm swing x0.5 (motion notes, project figures).
    "elderly": _Style(0.8, 0.5, math.radians(10.0)),
    "older": _Style(0.9, 0.75, math.radians(5.0)),
}
_WITH: dict[str, _Style] = {
    "none": _Style(),
    "cane": _Style(0.85, 0.7, math.radians(7.0)),
    "walker": _Style(0.8, 0.0, math.radians(14.0)),
    "wheelchair": _Style(1.0, 0.0, math.radians(-6.0)),
}


class PathConfig(Config):
    """Where a person stands at first and the path that they walk."""

    position_m: tuple[float, float, float]
    """Place of the feet; z is the floor."""
    yaw_rad: float = 0.0
    waypoints_m: tuple[tuple[float, float], ...] = ()
    """At least two points, or none for a person who stands."""
    speed_m_s: Annotated[float, Field(gt=0.0)] = 1.0
    aid: Aid = "none"
    cane_side: Literal["left", "right"] = "right"
    posture: Literal["upright", "lying"] = "upright"
    """Lying: on the back on the floor, as after a fall."""
    beyond_declared: bool = False
    """Allows more than the declared 1.6 m/s, which the guard does not assume."""

    @model_validator(mode="after")
    def _check(self) -> PathConfig:
        most = 8.0 if self.beyond_declared else AID_SPEED_M_S[self.aid]
        if self.speed_m_s > most:
            raise ValueError(
                f"speed_m_s: with aid {self.aid} at most {most:g} m/s"
                + ("" if self.beyond_declared else " unless marked beyond_declared")
            )
        if len(self.waypoints_m) == 1:
            raise ValueError("waypoints_m: a path has at least two points, or none")
        if len(self.waypoints_m) > _MAX_WAYPOINTS - 1:
            raise ValueError(f"waypoints_m: at most {_MAX_WAYPOINTS - 1} points")
        for a, b in zip(self.waypoints_m, self.waypoints_m[1:], strict=False):
            if math.dist(a, b) < 0.01:
                raise ValueError(f"waypoints_m: {a} stands twice in a row")
        if self.posture == "lying" and self.aid != "none":
            raise ValueError("posture: who lies on the floor holds no aid")
        return self


def find_refusal(path: PathConfig, behaviours: Sequence[BehaviourConfig]) -> str | None:
    """Return why a person cannot do what they should, or None."""
    lying = path.posture == "lying"
    kinds = [behaviour.kind for behaviour in behaviours]
    if "get_up" in kinds and not (lying or "fall" in kinds):
        return '"get_up" needs a "fall" before it or the posture "lying"'
    for behaviour in behaviours:
        kind = behaviour.kind
        if path.aid == "wheelchair" and (
            kind in _NOT_IN_A_WHEELCHAIR
            or (kind == "react_to_alarm" and behaviour.response == "step_aside")
        ):
            what = "step aside" if kind == "react_to_alarm" else kind
            return f'a person in a wheelchair cannot "{what}"'
        most = AID_SPEED_M_S[path.aid]
        fastest = float(np.max(behaviour.speed_m_s))
        if kind in MOVEMENTS and fastest > most and not behaviour.beyond_declared:
            return f'"{kind}": with aid {path.aid} at most {most:g} m/s'
        if kind in ("turn_back", "cross", "run_out") and not path.waypoints_m:
            return f'"{kind}" needs waypoints_m'
        if lying and kind == "fall":
            return "who lies on the floor cannot fall"
    return None


class Walker:
    """One person on their feet over an episode.

    Args:
        config: Who.
        path: Where, and along which path.
        behaviours: What the person does besides, sampled; in any order.
        seed: Seed of the episode.
        name: Stream name, distinct per person.
        gait: ``"auto"``, ``"clip"`` or ``"synthetic"``.

    Attributes:
        capsules: (16, 7) at the end of the last step, world [m].
        previous: (16, 7) at its start.
        capsule_velocity: (16, 6) velocities of both end points over the step [m/s].
        segment_rotation: (16, 3, 3) forward, left, up of every segment, world.
        mouth_frame: (3, 3) middle of the lips [m], outward axis, up; world.
        opening_m: Height of the mouth's opening.
        consent: Whether the person agrees to what is done.
        stop_signal: Whether the person asks to stop.
        beyond_declared: Whether the body may exceed 1.6 m/s (fast runs, falls).

    Raises:
        ConfigError: If the person cannot do what they should.
    """

    def __init__(
        self,
        config: PersonConfig,
        path: PathConfig,
        behaviours: Sequence[BehaviourConfig],
        seed: int,
        name: str = "person",
        gait: str = "auto",
    ) -> None:
        refusal = find_refusal(path, behaviours)
        if refusal is not None:
            raise ConfigError(f"{name}: {refusal}")
        self.config, self.path = config, path
        self._behaviours = sorted(behaviours, key=lambda b: _ORDER.index(b.kind))
        self._seed, self._name = seed, name
        self.beyond_declared = path.beyond_declared or any(
            behaviour.goes_beyond for behaviour in behaviours
        )
        self._slow = config.group.startswith("elderly")
        cycle = load_gait(gait)
        self._table, self._drop = cycle.table, cycle.drop
        self._body = self._measure(cycle.arm_rate)
        self.capsules = np.zeros((SEGMENT_COUNT, 7))
        self.previous = np.zeros((SEGMENT_COUNT, 7))
        self.capsule_velocity = np.zeros((SEGMENT_COUNT, 6))
        self.segment_rotation = np.zeros((SEGMENT_COUNT, 3, 3))
        self.mouth_frame = np.zeros((3, 3))
        self._intent = np.zeros(len(INTENT_NAMES))
        self._target, self._aim = np.zeros(AIM_COUNT), np.zeros(AIM_COUNT)
        self._motion, self._gait = np.zeros(len(MOTION_NAMES)), np.zeros(7)
        self._hands, self._offsets = np.zeros((2, 4)), np.zeros((2, 3))
        self._scratch = np.zeros(SCRATCH)
        self._way, self._count = np.zeros((_MAX_WAYPOINTS, 3)), 0
        self.consent, self.stop_signal, self.opening_m = True, False, 0.0
        self.reset()

    def _style(self) -> _Style:
        aid = _WITH[self.path.aid]
        age = _AGES.get(self.config.group.split("_")[0], _Style())
        tilt = max(aid.tilt_rad, age.tilt_rad)
        if self.path.aid == "wheelchair":
            tilt = aid.tilt_rad
        return _Style(min(aid.stride, age.stride), min(aid.arms, age.arms), tilt)

    def _measure(self, arm_rate: float) -> Array:
        """Return the constants of :data:`BODY_NAMES`."""
        c, h = self.config, self.config.stature_m
        style = self._style()
        self._tilt_rad = style.tilt_rad
        # As of a seated person: girth at equal density.
        girth = float(np.clip(math.sqrt(c.mass_kg / (22.0 * h * h)), 0.8, 1.35))
        fastest = max(
            [self.path.speed_m_s]
            + [
                float(np.max(b.speed_m_s))
                for b in self._behaviours
                if b.beyond_declared
            ]
        )
        bound = max(BODY_SPEED_M_S, 1.15 * fastest if self.beyond_declared else 0.0)
        seat = 0.43 if h > 1.45 else 0.38
        length = {"cane": 0.52 * h, "walker": math.hypot(0.50, 0.14) * h}
        values = {
            "stature_m": h,
            "girth": girth,
            "aid": float(AIDS.index(self.path.aid)),
            "aid_sign": 1.0 if self.path.cane_side == "left" else -1.0,
            "floor_m": self.path.position_m[2],
            # Seat of a Japanese standard chair 430-450 mm, child's 400, less 20 of sag.
            "seat_m": seat,
            "stride_factor": style.stride,
            "arm_factor": style.arms,
            "arm_rate": arm_rate,
            "bound_m_s": bound,
            "hand_bound_m_s": bound + HAND_SPEED_M_S - BODY_SPEED_M_S,
            "aid_length_m": length.get(self.path.aid, 0.0),
        }
        return np.array([values[key] for key in BODY_NAMES])

    @property
    def place(self) -> tuple[float, float]:
        """Where the feet are, x and y in the world [m]."""
        return float(self._motion[0]), float(self._motion[1])

    def set_floor(self, height_m: float) -> None:
        """Walk on from now on at this height of the floor [m], on ground that rises."""
        self._body[BODY_NAMES.index("floor_m")] = height_m

    def reset(self) -> None:
        """Stand (or lie) as at the beginning of the episode."""
        self._motions = [
            Motion(behaviour, self._seed, f"{self._name}.{index}.{behaviour.kind}")
            for index, behaviour in enumerate(self._behaviours)
        ]
        if self.path.posture == "lying":
            past = BehaviourConfig(kind="fall", direction="backward")
            stream = f"{self._name}.lying"
            place = next(
                (i for i, m in enumerate(self._motions) if m.config.kind == "get_up"),
                len(self._motions),
            )
            self._motions.insert(
                place, Motion(past, self._seed, stream, started_s=-60.0)
            )
        self._steps = [(motion, _ACTS[motion.config.kind]) for motion in self._motions]
        x, y, _ = self.path.position_m
        self._motion[:], self._offsets[:], self._gait[:] = 0.0, 0.0, 0.0
        self._motion[:3] = x, y, self.path.yaw_rad
        self._motion[MOTION_NAMES.index("time_sign")] = 1.0
        self._alarm_since = math.nan
        self._lay_path(self.path.waypoints_m)
        self._route: object = None
        stance = self._new_stance()
        if self.path.posture == "lying":
            for motion, act in self._steps:
                if motion.started_s < 0.0:
                    view = PersonView(np.zeros(3), np.zeros(3), math.inf)
                    act(motion, 60.0, view, stance)
        self._apply(stance, 0.0)
        self.previous[:] = self.capsules
        self.capsule_velocity[:] = 0.0
        self.fallen = stance.fallen

    @property
    def mouth(self) -> Mouth:
        """The mouth at the end of the last step."""
        return Mouth(
            self.mouth_frame[0],
            self.mouth_frame[1],
            self.mouth_frame[2],
            self.opening_m,
            MOUTH_HALF_WIDTH_M,
        )

    @property
    def position_m(self) -> Array:
        """(2,) place on the floor, world."""
        return self._motion[:2].copy()

    @property
    def yaw_rad(self) -> float:
        """Where the person faces."""
        return float(self._motion[2])

    @property
    def speed_m_s(self) -> float:
        """Speed over the floor."""
        return float(self._motion[3])

    @property
    def path_m(self) -> float:
        """How far the person has come along the path."""
        return float(self._motion[9])

    def advance(self, time_s: float, dt_s: float, view: PersonView) -> None:
        """Move to the end of the next step.

        Args:
            time_s: Plant clock at the end of the step [s].
            dt_s: Length of the step [s].
            view: What the person sees of the robot; their own part is filled in.
        """
        self._look(time_s, view)
        stance = self._new_stance()
        for motion, act in self._steps:
            elapsed = motion.elapsed(time_s, view)
            if elapsed >= 0.0:
                act(motion, elapsed, view, stance)
            elif motion.config.kind in WAITS_FOR_START:
                stance.speed_m_s = 0.0
        if stance.route is not None and stance.route is not self._route:
            self._route = stance.route
            self._motion[9] = 0.0
            self._lay_path(stance.route)
        self._apply(stance, dt_s)
        self.fallen = stance.fallen

    def halt(self) -> None:
        """Stand for the next step where something stronger is in the way."""
        self._motion[3] = self._motion[4] = 0.0
        self.previous[:] = self.capsules
        self.capsule_velocity[:] = 0.0

    def _look(self, time_s: float, view: PersonView) -> None:
        x, y = float(self._motion[0]), float(self._motion[1])
        base = view.base_position
        view.robot_distance_m = math.hypot(base[0] - x, base[1] - y)
        view.path_m, view.path_left_m = float(self._motion[9]), float(self._motion[10])
        if not view.alarm:
            self._alarm_since = math.nan
            view.alarm_s = -1.0
            return
        if math.isnan(self._alarm_since):
            self._alarm_since = time_s
        view.alarm_s = time_s - self._alarm_since

    def _new_stance(self) -> Stance:
        stance = Stance(
            stature_m=self.config.stature_m,
            slow_reaction=self._slow,
            position=0.5 * (self.capsules[3, :3] + self.capsules[3, 3:6]),
            yaw_rad=float(self._motion[2]),
        )
        if self._count > 1:
            stance.speed_m_s = self.path.speed_m_s
        return stance

    def _lay_path(self, waypoints: Sequence[tuple[float, float]]) -> None:
        """Path from where the person is through the waypoints, with its arc length."""
        points = list(waypoints)
        here = (float(self._motion[0]), float(self._motion[1]))
        if points and math.dist(points[0], here) > 0.01:
            points.insert(0, here)
        self._count = len(points)
        s = 0.0
        for index, point in enumerate(points):
            s += math.dist(points[index - 1], point) if index else 0.0
            self._way[index] = (*point, s)
        self._motion[10] = s

    def _apply(self, stance: Stance, dt_s: float) -> None:
        free = stance.goal is not None
        gx, gy = stance.goal if stance.goal is not None else (0.0, 0.0)
        self._intent[:] = (
            stance.speed_m_s,
            stance.acceleration_m_s2,
            FREE_GOAL if free else ON_PATH,
            stance.direction,
            gx,
            gy,
            stance.stop_distance_m,
            stance.facing_rad,
            stance.hold_heading,
            stance.unlimited,
        )
        tilt = 0.0 if stance.unlimited else self._tilt_rad
        self._target[:] = (
            stance.tilt_rad[0] + stance.lean_rad + tilt,
            stance.tilt_rad[1],
            stance.drop_m,
            *stance.shift_m,
            stance.head_yaw_rad,
            stance.head_pitch_rad,
            *stance.head_offset_m,
            *stance.arms,
        )
        self._hands[:, 3] = 0.0
        for side, (goal, share) in stance.hand_target.items():
            index = 0 if side == "left" else 1
            self._hands[index, :3] = goal
            self._hands[index, 3] = share
        advance_walker(
            self._body,
            self._table,
            self._drop,
            self._way,
            self._count,
            self._intent,
            self._target,
            self._motion,
            self._aim,
            self._gait,
            self._hands,
            self._offsets,
            self._scratch,
            dt_s,
            self.capsules,
            self.previous,
            self.capsule_velocity,
            self.segment_rotation,
            self.mouth_frame,
        )
        self.opening_m = stance.opening_m
        self.consent = stance.consent and not stance.stop_signal
        self.stop_signal = stance.stop_signal
