"""How close the robot came, from a stored episode: no simulator, only kinematics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numba
import numpy as np
import numpy.typing as npt

from physai.body.capsules import closest_points
from physai.errors import RecordError
from physai.record.episode import Episode
from physai.robot.description import Robot, load_robot
from physai.robot.kinematics import Kinematics
from physai.types import Array

__all__ = ["Separation", "robot_of", "separation"]

_HEAD_SEGMENTS = 3
"""Head, face and neck come first; the utensil is meant to come close to them."""


@dataclass(frozen=True, slots=True, eq=False)
class Separation:
    """Distance and speed by step.

    Attributes:
        distance_m: (t,) smallest surface distance between robot and person, the
            utensil's to head, face and neck left out; negative inside.
        approach_m_s: (t,) the robot's own speed toward the person at that pair.
        fastest_m_s: (t,) speed of the fastest point of the robot's shapes.
    """

    distance_m: Array
    approach_m_s: Array
    fastest_m_s: Array


@numba.njit(cache=True)
def _closest(
    capsules: Array,
    velocity: Array,
    people: Array,
    utensil: npt.NDArray[np.bool_],
    heads: int,
    out: Array,
) -> None:
    """Write smallest distance, approach speed there, and largest speed to out (3,)."""
    a, b, normal = np.empty(3), np.empty(3), np.empty(3)
    out[0], out[1], out[2] = np.inf, 0.0, 0.0
    for r in range(capsules.shape[0]):
        for end in range(2):
            speed = 0.0
            for k in range(3):
                speed += velocity[r, 3 * end + k] ** 2
            out[2] = max(out[2], speed**0.5)
        for p in range(people.shape[0]):
            for s in range(people.shape[1]):
                if utensil[r] and s < heads:
                    continue
                d = closest_points(capsules[r], people[p, s], a, b, normal)
                if not d < out[0]:
                    continue
                length = along = 0.0
                for k in range(3):
                    edge = capsules[r, 3 + k] - capsules[r, k]
                    length += edge * edge
                    along += edge * (a[k] - capsules[r, k])
                share = along / length if length > 0.0 else 0.0
                share = min(1.0, max(0.0, share))
                toward = 0.0
                for k in range(3):
                    v = (1.0 - share) * velocity[r, k] + share * velocity[r, 3 + k]
                    toward -= normal[k] * v
                out[0], out[1] = d, toward


def robot_of(episode: Episode) -> Robot:
    """Return the robot that an episode was made with.

    Raises:
        RecordError: If its description has changed since.
        ContentError: If it is no longer there.
    """
    name = str(episode.header.get("robot", ""))
    robot = load_robot(name)
    digests = episode.header.get("digests")
    was = digests.get("robot") if isinstance(digests, Mapping) else None
    if was is not None and was != robot.digest:
        raise RecordError(
            f'{episode.path}: the robot "{name}" has changed since this episode'
        )
    return robot


def separation(episode: Episode, robot: Robot | None = None) -> Separation:
    """Return distance and speed by step, from the truth where it was kept.

    Args:
        episode: The episode.
        robot: Its robot; None finds it by the header.

    Raises:
        RecordError: If the robot has changed since.
    """
    robot = robot or robot_of(episode)
    prefix = "truth_state_" if episode.has_truth else "state_"
    position = episode.column(prefix + "actuator_position")
    velocity = episode.column(prefix + "actuator_velocity")
    people = episode.column(prefix + "people")
    base = episode.column(prefix + "base_pose_in_world")
    kinematics = Kinematics(robot)
    result, utensil = np.zeros((episode.length, 3)), robot.shapes.utensil
    placed = np.full(7, np.nan)
    for step in range(episode.length):
        if not np.array_equal(base[step], placed):
            placed = np.array(base[step])
            kinematics.set_base(placed)
        kinematics.update(np.ascontiguousarray(position[step]))
        _closest(
            kinematics.capsules(),
            kinematics.capsule_velocity(np.ascontiguousarray(velocity[step])),
            people[step],
            utensil,
            _HEAD_SEGMENTS,
            result[step],
        )
    return Separation(result[:, 0], result[:, 1], result[:, 2])
