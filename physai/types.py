"""The vocabulary between plant, task, guard and policy.

Frozen dataclasses of numpy arrays, SI units and radians; the frame is part of the
name; every source of information carries its age. Poses are ``x y z qx qy qz qw``.

``State`` is what sensors and trackers say; ``Truth`` is what really is. Guard,
observation and expert are given a ``State`` only.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = [
    "AREA_COUNT",
    "MOUTH_AREA",
    "Action",
    "Array",
    "Command",
    "Contact",
    "Decision",
    "State",
    "Truth",
    "Verdict",
]

Array: TypeAlias = npt.NDArray[np.float64]

AREA_COUNT = 30
"""Columns of a contact table: index 0 is the mouth cavity (lips and what lies
behind them), indices 1 to 29 are the body areas of ISO/TS 15066 Table A.2."""

MOUTH_AREA = 0


class Action(enum.IntEnum):
    """What the guard does, ordered from least to most restrictive.

    ``STOP2`` is a hold with power on that releases by itself after its window,
    ``STOP1`` controlled braking that latches, ``STOP0`` power off that latches
    (stop categories of EN 60204-1).
    """

    NONE = 0
    SLOW = 1
    LIMIT = 2
    STOP2 = 3
    STOP1 = 4
    STOP0 = 5

    @property
    def latches(self) -> bool:
        """Whether only a person may release it."""
        return self >= Action.STOP1


@dataclass(frozen=True, slots=True, eq=False)
class State:
    """What sensors and trackers say at one instant.

    Attributes:
        stamp_s: Plant clock [s].
        sequence: Control step counter since reset.
        actuator_position: (n,) joint positions [rad or m], order of robot.yaml.
        actuator_velocity: (n,) [rad/s or m/s].
        actuator_effort: (n,) [N m or N]; NaN where the robot reports none.
        actuator_age_s: Age of the joint reading [s].
        base_pose_in_world: (7,) pose of the robot's base.
        base_twist_in_world: (6,) linear [m/s] and angular [rad/s].
        tool_pose_in_world: (7,) pose of the TCP.
        tool_force_in_world_n: (3,) force on the tool by its sensor [N].
        tool_force_age_s: Age of that reading [s].
        people: (P, S, 7) tracked capsules: both end points and radius [m], one
            row per segment of :data:`physai.body.person.SEGMENTS`.
        people_velocity: (P, S, 3) velocity of each capsule's middle in the world
            [m/s]; NaN where the tracker does not measure it.
        people_age_s: (P,) age of each track's last measurement [s].
        people_frame_age_s: Age of the tracker's newest frame [s], also when it
            shows nobody.
        objects_pose_in_world: (K, 7) in the order of the environment's objects.
        objects_age_s: (K,) ages [s].
        lidar_range_m: (L,) ranges; empty without a lidar.
        lidar_age_s: Age of the scan [s].
        extras: (E,) the environment's named extras, SI units.
        extras_age_s: (E,) age of each extra [s].
        images: Camera images by name, or None.
    """

    stamp_s: float
    sequence: int
    actuator_position: Array
    actuator_velocity: Array
    actuator_effort: Array
    actuator_age_s: float
    base_pose_in_world: Array
    base_twist_in_world: Array
    tool_pose_in_world: Array
    tool_force_in_world_n: Array
    tool_force_age_s: float
    people: Array
    people_velocity: Array
    people_age_s: Array
    people_frame_age_s: float
    objects_pose_in_world: Array
    objects_age_s: Array
    lidar_range_m: Array
    lidar_age_s: float
    extras: Array
    extras_age_s: Array
    images: Mapping[str, npt.NDArray[Any]] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Contact:
    """Contacts between robot and people during one control step.

    All arrays are (P, AREA_COUNT); column 0 is the mouth, 1 to 29 the body areas.

    Attributes:
        force_peak_n: Largest in-substep force [N], to compare with the transient
            limit while the contact is younger than 0.5 s.
        force_mean_n: Largest 100 ms moving mean of the force [N], to compare with
            the quasi-static limit.
        pressure_n_per_cm2: Indicative pressure at the peak [N/cm2].
        age_s: Time since first touch [s]; 0 without contact.
        robot_normal_speed_m_s: Largest own speed of the robot toward the person
            at the contact [m/s] (motion caused by a push does not count); the
            contact is *moving* above 0.05 m/s.
        person_normal_speed_m_s: The person's own speed toward the robot [m/s].
        clamped: 1 where the body part cannot yield.
        link: Index of the robot shape that touches; -1 without contact.
    """

    force_peak_n: Array
    force_mean_n: Array
    pressure_n_per_cm2: Array
    age_s: Array
    robot_normal_speed_m_s: Array
    person_normal_speed_m_s: Array
    clamped: Array
    link: Array


@dataclass(frozen=True, slots=True, eq=False)
class Truth:
    """What really is: exact state, contacts, and the task's true quantities.

    Attributes:
        state: The exact state, every age 0.
        contact: Contacts of the last control step.
        extras: (T,) true quantities that no sensor of the task gives, in the order
            of the environment's ``truth_extras``.
    """

    state: State
    contact: Contact
    extras: Array


@dataclass(frozen=True, slots=True, eq=False)
class Command:
    """A velocity command.

    Attributes:
        actuator_velocity: (n,) [rad/s or m/s], order of robot.yaml.
        tool: (k,) tool channels (grip, vacuum, dump bed), units of robot.yaml.
        stamp_s: Clock at which it was made [s].
        sequence: Counter, strictly increasing within a session.
    """

    actuator_velocity: Array
    tool: Array
    stamp_s: float
    sequence: int


@dataclass(frozen=True, slots=True, eq=False)
class Decision:
    """The guard's answer for one step.

    Attributes:
        action: What the guard did.
        rule: Id of the rule that decided; empty when nothing did.
        margins: (r,) normalised margins in the order of the specification's
            rules; negative or NaN is a violation.
        intervened: Whether the command sent differs from the one asked for.
        sentence: Why, in one English sentence; empty without intervention.
        sentence_ja: The same in Japanese.
        latched: Whether a stop is latched after this step.
    """

    action: Action
    rule: str
    margins: Array
    intervened: bool
    sentence: str = ""
    sentence_ja: str = ""
    latched: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    """A suite's answer about one policy.

    Attributes:
        overall: ``pass``, ``fail`` or ``not_enough_evidence``.
        rules: Per rule id: verdict, episodes, violations, bound, confidence.
        table: Counts ``safe_success``, ``safe_failure``, ``unsafe_success``,
            ``unsafe_failure``.
        groups: Per group of people: episodes, safe successes and interval.
        digests: ``policy``, ``environment``, ``guard``, ``suite``.
        metrics: Further figures, each with its interval where it has one.
    """

    overall: str
    rules: Mapping[str, Mapping[str, Any]]
    table: Mapping[str, int]
    groups: Mapping[str, Mapping[str, Any]]
    digests: Mapping[str, str]
    metrics: Mapping[str, Any] = field(default_factory=dict)
