"""Parts of an observation that tasks share: entries, bounds, sectors, tracks of people.

An *entry* is a name with unit and frame, and the least and the largest value.
"""

from __future__ import annotations

from collections.abc import Sequence

import numba
import numpy as np
import numpy.typing as npt

from physai.robot.description import Robot
from physai.tasks.task import Spaces
from physai.types import Array, State

__all__ = [
    "Entry",
    "bound",
    "fill_sectors",
    "find_nearest",
    "joint_entries",
    "people_age",
    "spaces_from",
    "turn_into",
]

Entry = tuple[str, float, float]


def spaces_from(
    entries: Sequence[Entry],
    action_names: tuple[str, ...],
    tracked: Sequence[str] = (),
) -> Spaces:
    """Return the spaces of observation entries and of an action's names.

    Args:
        entries: In order.
        action_names: In order.
        tracked: Beginnings of the names of entries that trackers give.
    """
    names = tuple(name for name, _, _ in entries)
    return Spaces(
        observation_names=names,
        observation_low=np.array([low for _, low, _ in entries], dtype=np.float32),
        observation_high=np.array([high for _, _, high in entries], dtype=np.float32),
        action_names=action_names,
        tracked_names=frozenset(n for n in names if n.startswith(tuple(tracked))),
    )


def joint_entries(robot: Robot) -> list[Entry]:
    """Return positions [rad], then velocities [rad/s] of the joints, by their limits.

    Those of a base that drives come first among the actuators and are left out.
    """
    names, first = robot.joint_names, len(robot.actuator_names)
    first -= len(names)
    low, high = robot.position_min[first:].tolist(), robot.position_max[first:].tolist()
    fastest = robot.velocity_max[first:].tolist()
    return [
        *((f"{j}_rad", a, b) for j, a, b in zip(names, low, high, strict=True)),
        *((f"{j}_rad_s", -v, v) for j, v in zip(names, fastest, strict=True)),
    ]


def people_age(state: State) -> float:
    """Return the age of the oldest track of a person, or of the tracker's frame [s]."""
    return float(max(state.people_frame_age_s, state.people_age_s.max(initial=0.0)))


@numba.njit(cache=True)
def bound(
    low: npt.NDArray[np.float32],
    high: npt.NDArray[np.float32],
    out: npt.NDArray[np.float32],
) -> None:
    """Cut an observation into its bounds; what is not a number becomes 0.

    Args:
        low: (o,) bounds.
        high: (o,).
        out: (o,) changed.
    """
    for i in range(out.shape[0]):
        if np.isnan(out[i]):
            out[i] = 0.0
        out[i] = min(high[i], max(low[i], out[i]))


@numba.njit(cache=True)
def turn_into(dx: float, dy: float, c: float, s: float) -> tuple[float, float]:
    """Return a vector of the world's plane in a frame of heading (c, s) = (cos, sin)."""
    return c * dx + s * dy, c * dy - s * dx


@numba.njit(cache=True)
def fill_sectors(ranges: Array, far: float, out: npt.NDArray[np.float32]) -> None:
    """Write the nearest range of every sector, in the order of the rays [m].

    A ray without a measurement (0) counts as far: the guard does not trust gaps, a
    policy that saw 0 there would see ghosts.

    Args:
        ranges: (L,) of the lidar [m]; may be empty.
        far: Where nothing is seen [m].
        out: (k,) filled.
    """
    count, sectors = ranges.shape[0], out.shape[0]
    for k in range(sectors):
        out[k] = far
    for i in range(count):
        k = (i * sectors) // count
        if ranges[i] > 0.0 and ranges[i] < out[k]:
            out[k] = ranges[i]


@numba.njit(cache=True)
def find_nearest(
    x: float, y: float, people: Array, segment: int, out: npt.NDArray[np.int64]
) -> None:
    """Write which people are nearest by the middle of a segment, nearest first.

    Args:
        x: World [m].
        y: World [m].
        people: (P, S, 7) tracks.
        segment: Which stands for the person, as :data:`physai.body.person.SEGMENTS`.
        out: (k,) filled; -1 where there are fewer.
    """
    count = out.shape[0]
    away = np.full(count, np.inf)
    out[:] = -1
    for p in range(people.shape[0]):
        dx = 0.5 * (people[p, segment, 0] + people[p, segment, 3]) - x
        dy = 0.5 * (people[p, segment, 1] + people[p, segment, 4]) - y
        d = dx * dx + dy * dy
        for k in range(count):
            if d < away[k]:
                for j in range(count - 1, k, -1):
                    away[j], out[j] = away[j - 1], out[j - 1]
                away[k], out[k] = d, p
                break
