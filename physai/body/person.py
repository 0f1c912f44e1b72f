"""A seated person as 16 capsules, sized by stature, moved by behaviours.

Sizes: segment lengths as shares of stature (Drillis and Contini 1966 as tabulated by
Winter; recalled, confidence low, project figures where none is named), sitting height
0.539 (men) and 0.541 (women) of stature (school health survey ratio, recalled, low).
Statures and masses of the groups: Japan National Health and Nutrition Survey 2018-19
(75+) and ANSUR II (adults), see :data:`GROUPS`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Literal, NamedTuple

import numpy as np
from pydantic import Field

from physai.body.behaviour import (
    BehaviourConfig,
    Motion,
    PersonView,
    Posture,
)
from physai.body.gesture import GESTURES
from physai.body.posture_kernel import move_person
from physai.config import Config
from physai.errors import ConfigError, suggest
from physai.types import Array

__all__ = [
    "GROUPS",
    "SEGMENTS",
    "SEGMENT_COUNT",
    "Mouth",
    "Person",
    "PersonConfig",
    "SeatConfig",
    "sample_person",
]

SEGMENTS = (
    "head",
    "face",
    "neck",
    "chest",
    "abdomen",
    "pelvis",
    "upper_arm_left",
    "upper_arm_right",
    "forearm_left",
    "forearm_right",
    "hand_left",
    "hand_right",
    "thigh_left",
    "thigh_right",
    "shank_left",
    "shank_right",
)
SEGMENT_COUNT = len(SEGMENTS)

MOUTH_HALF_WIDTH_M = 0.025
"""Half of the width of an open mouth (project figure)."""


class Group(NamedTuple):
    """Stature and mass of a group of people: 5th, 50th, 95th percentile."""

    sex: Literal["female", "male"]
    stature_m: tuple[float, float, float]
    mass_kg: tuple[float, float, float]
    source: str


_JAPAN = "Japan NHNS 2018+2019, 75+ (P50 measured, P5 and P95 derived; people.csv)"
_ANSUR = "ANSUR II, adults (computed from the public individual data; people.csv)"
_JAPAN_ADULT = "Japan NHNS 2018+2019, 30-49 (P50 measured, rest derived; people.csv)"
_JAPAN_OLDER = "Japan NHNS 2018+2019, 65-74 (P50 measured, rest derived; people.csv)"
_CHILD = "Japan NHNS 2012, {} years (mean and sd measured, P5/P95 normal; people.csv)"
GROUPS: dict[str, Group] = {
    "elderly_woman": Group("female", (1.381, 1.483, 1.585), (37.5, 49.3, 64.9), _JAPAN),
    "elderly_man": Group("male", (1.518, 1.620, 1.722), (47.4, 61.0, 78.4), _JAPAN),
    "adult_woman": Group("female", (1.525, 1.626, 1.740), (50.1, 66.4, 88.4), _ANSUR),
    "adult_man": Group("male", (1.648, 1.755, 1.870), (64.0, 84.1, 111.3), _ANSUR),
    "japanese_woman": Group(
        "female", (1.497, 1.585, 1.673), (41.2, 53.3, 69.0), _JAPAN_ADULT
    ),
    "japanese_man": Group(
        "male", (1.627, 1.718, 1.809), (54.0, 70.0, 90.8), _JAPAN_ADULT
    ),
    "older_woman": Group(
        "female", (1.428, 1.522, 1.616), (40.9, 52.6, 67.6), _JAPAN_OLDER
    ),
    "older_man": Group("male", (1.555, 1.653, 1.751), (52.0, 64.4, 79.7), _JAPAN_OLDER),
    "girl_10": Group(
        "female", (1.288, 1.390, 1.492), (22.0, 32.5, 43.0), _CHILD.format(10)
    ),
    "boy_10": Group(
        "male", (1.278, 1.375, 1.472), (23.2, 32.9, 42.6), _CHILD.format(10)
    ),
    "girl_6": Group(
        "female", (1.059, 1.163, 1.267), (15.5, 20.4, 25.3), _CHILD.format(6)
    ),
    "boy_6": Group("male", (1.083, 1.159, 1.235), (16.1, 20.4, 24.7), _CHILD.format(6)),
}
"""Named groups, for sampling and for reports by group."""


class PersonConfig(Config):
    """One person."""

    group: str
    sex: Literal["female", "male"]
    stature_m: Annotated[float, Field(gt=1.0, lt=2.2)]
    mass_kg: Annotated[float, Field(gt=10.0, lt=200.0)]


class SeatConfig(Config):
    """Where the person sits: middle of the seat's surface and facing direction."""

    position_m: tuple[float, float, float]
    yaw_rad: float


def sample_person(group: str, rng: np.random.Generator) -> PersonConfig:
    """Draw a person of a group, between its 5th and 95th percentile.

    Raises:
        ConfigError: If there is no such group.
    """
    if group not in GROUPS:
        raise ConfigError(f'no group of people "{group}"; {suggest(group, GROUPS)}')
    data = GROUPS[group]
    share = float(rng.uniform(0.05, 0.95))
    marks = (0.05, 0.5, 0.95)
    mixed = float(np.clip(share + rng.normal(0.0, 0.15), 0.05, 0.95))
    return PersonConfig(
        group=group,
        sex=data.sex,
        stature_m=round(float(np.interp(share, marks, data.stature_m)), 4),
        mass_kg=round(float(np.interp(mixed, marks, data.mass_kg)), 2),
    )


class Mouth(NamedTuple):
    """The mouth in the world.

    Attributes:
        position: (3,) middle of the lips [m].
        axis: (3,) unit outward normal.
        up: (3,) unit, toward the nose.
        opening_m: Height of the opening.
        half_width_m: Half of its width.
    """

    position: Array
    axis: Array
    up: Array
    opening_m: float
    half_width_m: float


class Person:
    """One seated person over an episode.

    Args:
        config: Who.
        seat: Where.
        behaviours: What the person does, sampled; in order.
        seed: Seed of the episode.
        name: Stream name, distinct per person.

    Attributes:
        capsules: (16, 7) at the end of the last step, world [m].
        previous: (16, 7) at its start.
        capsule_velocity: (16, 6) velocities of both end points over the step [m/s].
        segment_rotation: (16, 3, 3) forward, left, up of every segment, world.
        mouth_frame: (3, 3) middle of the lips [m], outward axis, up; world.
        opening_m: Height of the mouth's opening.
        consent: Whether the person agrees to be fed.
        stop_signal: Whether the person asks to stop.
    """

    def __init__(
        self,
        config: PersonConfig,
        seat: SeatConfig,
        behaviours: Sequence[BehaviourConfig],
        seed: int,
        name: str = "person",
    ) -> None:
        self.config, self.seat = config, seat
        order = list(GESTURES)
        for behaviour in behaviours:
            if behaviour.kind not in order:
                raise ConfigError(
                    f'a seated person cannot "{behaviour.kind}"; give a path instead '
                    "of a seat"
                )
        self._behaviours = sorted(behaviours, key=lambda b: order.index(b.kind))
        self._seed, self._name = seed, name
        ratio = 0.541 if config.sex == "female" else 0.539
        self._sitting = ratio * config.stature_m
        # Girth grows with the square root of mass over stature at equal density.
        self._girth = float(
            np.clip(np.sqrt(config.mass_kg / (22.0 * config.stature_m**2)), 0.8, 1.35)
        )
        self._seat = np.array(seat.position_m, dtype=np.float64)
        self.capsules = np.zeros((SEGMENT_COUNT, 7))
        self.previous = np.zeros((SEGMENT_COUNT, 7))
        self.capsule_velocity = np.zeros((SEGMENT_COUNT, 6))
        self.segment_rotation = np.zeros((SEGMENT_COUNT, 3, 3))
        self.mouth_frame = np.zeros((3, 3))
        self._numbers = np.zeros(6)
        self._hands = np.zeros((2, 3))
        self._rest_hands = self._resting_hands()
        self.consent, self.stop_signal, self.opening_m = True, False, 0.0
        self.reset()

    def reset(self) -> None:
        """Sit as at the beginning of the episode."""
        self._motions = [
            Motion(behaviour, self._seed, f"{self._name}.{index}.{behaviour.kind}")
            for index, behaviour in enumerate(self._behaviours)
        ]
        self._apply(Posture(), 1.0)
        self.previous[:] = self.capsules
        self.capsule_velocity[:] = 0.0

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

    def advance(self, time_s: float, dt_s: float, view: PersonView) -> None:
        """Move to the end of the next step.

        Args:
            time_s: Plant clock at the end of the step [s].
            dt_s: Length of the step [s].
            view: What the person sees of the robot.
        """
        view.robot_distance_m = math.hypot(
            view.base_position[0] - self._seat[0], view.base_position[1] - self._seat[1]
        )
        posture = Posture()
        for motion in self._motions:
            elapsed = motion.elapsed(time_s, view)
            if elapsed >= 0.0:
                GESTURES[motion.config.kind](motion, elapsed, view, posture)
        self._apply(posture, dt_s)

    def _resting_hands(self) -> Array:
        h = self.config.stature_m
        cy, sy = np.cos(self.seat.yaw_rad), np.sin(self.seat.yaw_rad)
        forward, left = np.array([cy, sy, 0.0]), np.array([-sy, cy, 0.0])
        lap = self._seat + 0.17 * h * forward + np.array([0.0, 0.0, 0.125 * h])
        return np.stack([lap + 0.06 * h * left, lap - 0.06 * h * left])

    def _apply(self, posture: Posture, dt_s: float) -> None:
        self._numbers[:] = (
            posture.lean_rad,
            posture.head_yaw_rad,
            posture.head_pitch_rad,
            *posture.head_offset_m,
        )
        self._hands[:] = self._rest_hands
        for side, (goal, share) in posture.hand_target.items():
            index = 0 if side == "left" else 1
            self._hands[index] += share * (goal - self._rest_hands[index])
        move_person(
            self._seat,
            self.seat.yaw_rad,
            self.config.stature_m,
            self._girth,
            self._sitting,
            self._numbers,
            self._hands,
            dt_s,
            self.capsules,
            self.previous,
            self.capsule_velocity,
            self.segment_rotation,
            self.mouth_frame,
        )
        self.opening_m = posture.opening_m
        self.consent = posture.consent and not posture.stop_signal
        self.stop_signal = posture.stop_signal
