"""What a policy sees of a meal: spoon and mouth, arm, hands of the person.

Frames and the order of the extras are those of
:mod:`physai.tasks.care.feeding_kernel`.
"""

from __future__ import annotations

import numba
import numpy as np
import numpy.typing as npt

from physai.robot.description import Robot
from physai.tasks.care.feeding_kernel import mouth_frame, turn_to_level
from physai.tasks.observation import Entry, bound, joint_entries, spaces_from
from physai.tasks.task import Spaces
from physai.types import Array

__all__ = ["observe", "spaces_of"]


@numba.njit(cache=True)
def _arm_distance(pose: Array, people: Array, segments: Array) -> float:
    """Return the distance of the TCP from the nearest listed segment [m]."""
    nearest = np.inf
    for p in range(people.shape[0]):
        for k in range(segments.shape[0]):
            s = int(segments[k])
            dot = size = 0.0
            for i in range(3):
                edge = people[p, s, 3 + i] - people[p, s, i]
                dot += edge * (pose[i] - people[p, s, i])
                size += edge * edge
            share = min(1.0, max(0.0, dot / size)) if size > 1e-12 else 0.0
            total = 0.0
            for i in range(3):
                edge = people[p, s, 3 + i] - people[p, s, i]
                gap = pose[i] - people[p, s, i] - share * edge
                total += gap * gap
            nearest = min(nearest, np.sqrt(total) - people[p, s, 6])
    return nearest


@numba.njit(cache=True)
def observe(
    pose: Array,
    extras: Array,
    extras_age: Array,
    position: Array,
    velocity: Array,
    force: Array,
    people: Array,
    people_age: float,
    time_share: float,
    arms: Array,
    low: npt.NDArray[np.float32],
    high: npt.NDArray[np.float32],
    out: npt.NDArray[np.float32],
) -> None:
    """Fill the observation, cut into its bounds; what is not finite becomes 0.

    Args:
        pose: (7,) TCP in the world.
        extras: (10,).
        extras_age: (10,) [s].
        position: (n,) joints [rad].
        velocity: (n,) [rad/s].
        force: (3,) on the tool, world [N].
        people: (P, S, 7) capsules.
        people_age: Age of the oldest track [s].
        time_share: Time since reset over the time of an episode.
        arms: (k,) segments of forearms and hands.
        low: (o,) bounds.
        high: (o,).
        out: (o,).
    """
    frame = np.empty((3, 3))
    turn = np.empty(3)
    mouth_frame(extras, frame)
    turn_to_level(pose, frame, turn)
    n = position.shape[0]
    for i in range(3):
        offset = about = push = 0.0
        for j in range(3):
            offset += frame[j, i] * (pose[j] - extras[j])
            about += frame[j, i] * turn[j]
            push += frame[j, i] * force[j]
        out[i], out[3 + i], out[11 + 2 * n + i] = offset, about, push
    out[6] = frame[2, 0]
    for i in range(4):
        out[7 + i] = extras[6 + i]
    for i in range(n):
        out[11 + i] = position[i]
        out[11 + n + i] = velocity[i]
    rest = 14 + 2 * n
    out[rest] = _arm_distance(pose, people, arms)
    out[rest + 1] = time_share
    out[rest + 2] = max(extras_age[0], extras_age[6])
    out[rest + 3] = people_age
    bound(low, high, out)


_TRACKED = (
    *(f"tool_{c}_in_mouth" for c in "xyz"),
    "turn_to_level",
    "mouth_axis",
    "tool_to_arm_distance",
    "mouth_age",
    "people_age",
)
"""What a camera shows. Consent, a stop and the food are an interface's and a scale's; how
far the mouth is open stays, since the people of a picture have no lips."""


def spaces_of(robot: Robot, linear_m_s: float, angular_rad_s: float) -> Spaces:
    """Return names and bounds in the order that :func:`observe` fills.

    Args:
        robot: Gives joints and their limits.
        linear_m_s: What an action of 1.0 stands for.
        angular_rad_s: The same for turning.
    """
    entries: list[Entry] = [
        *((f"tool_{c}_in_mouth_m", -1.5, 1.5) for c in "xyz"),
        *((f"turn_to_level_{c}_in_mouth_rad", -np.pi, np.pi) for c in "xyz"),
        ("mouth_axis_z_in_world", -1.0, 1.0),
        ("mouth_opening_m", 0.0, 0.08),
        ("consent", 0.0, 1.0),
        ("stop_signal", 0.0, 1.0),
        ("food_on_spoon", 0.0, 1.0),
        *joint_entries(robot),
        *((f"tool_force_{c}_in_mouth_n", -20.0, 20.0) for c in "xyz"),
        ("tool_to_arm_distance_m", -0.2, 1.5),
        ("time_share_of_episode", 0.0, 1.0),
        ("mouth_age_s", 0.0, 2.0),
        ("people_age_s", 0.0, 2.0),
    ]
    return spaces_from(
        entries,
        (
            *(f"tool_velocity_{c}_in_mouth_{linear_m_s:g}_m_s" for c in "xyz"),
            *(f"tool_turn_{c}_in_mouth_{angular_rad_s:g}_rad_s" for c in "xyz"),
        ),
        _TRACKED,
    )
