"""Liveness: a source that repeats itself bit by bit while it claims to be fresh.

Ages tell of a source that has fallen silent, not of one that goes on sending its last
picture: a tracker whose input has frozen, a driver that answers from its cache. Trackers,
lidars and localisation are never twice the same to the last bit, so that

    (time since the values last changed) - (their age)

is the time for which a source has pretended. Measured without a fault it is 0 for people
and pose in every task here. A source that may rightly repeat itself is not listed: an
encoder at rest with coarse steps, a lidar in the open, where every ray ends at its range
(0.9 s in the haul).
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, get_args

import numba
import numpy as np
import numpy.typing as npt
from pydantic import Field

from physai.config import Config
from physai.errors import ConfigError
from physai.robot.description import Robot
from physai.robot.kinematics import Kinematics
from physai.safety.rules import Signal
from physai.safety.sections.section import Caps, Section
from physai.types import Array, State

__all__ = ["Liveness", "LivenessValues"]

SourceName = Literal["people", "pose", "lidar", "joints"]
"""Tracks; pose of the base; scan; joint positions."""
_NAMES = get_args(SourceName)
Flags = npt.NDArray[np.bool_]


class LivenessValues(Config):
    """Section ``liveness``."""

    sources: Annotated[tuple[SourceName, ...], Field(min_length=1)]
    source: str


@numba.njit(cache=True)
def _keep(values: Array, kept: Array) -> bool:
    """Copy (n,) values; return whether any differs from what was kept."""
    changed = False
    for i in range(values.shape[0]):
        # NaN differs from itself, and input integrity stops it.
        if values[i] != kept[i]:
            changed = True
        kept[i] = values[i]
    return changed


@numba.njit(cache=True)
def _pretended_s(
    people: Array,
    people_age_s: Array,
    pose: Array,
    lidar: Array,
    joints: Array,
    clock: Array,
    listed: Flags,
    kept_people: Array,
    kept: Array,
    since_s: Array,
) -> float:
    """Return for how long the worst source has repeated itself beyond its age [s].

    Args:
        people: (P, S, 7) tracks; none at all pretend nothing.
        people_age_s: (P,).
        pose: (7,) of the base.
        lidar: (L,).
        joints: (n,) positions.
        clock: (3,) now, age of the scan and of the joints [s].
        listed: (4,) whether people, pose, lidar and joints are watched.
        kept_people: (P, S, 7) of the step before; updated.
        kept: (7 + L + n,) the others; updated.
        since_s: (4,) when each last said something new; updated.
    """
    worst, places = 0.0, (7, 7 + lidar.shape[0])
    for k in range(4):
        if not listed[k]:
            continue
        age = 0.0
        if k == 0:
            changed = _keep(people.reshape(-1), kept_people.reshape(-1))
            changed = changed or people.shape[0] == 0
            if people.shape[0] > 0:
                age = people_age_s.min()
        elif k == 1:
            changed = _keep(pose, kept[: places[0]])
        elif k == 2:
            changed = _keep(lidar, kept[places[0] : places[1]]) or lidar.shape[0] == 0
            age = clock[1]
        else:
            changed = _keep(joints, kept[places[1] :])
            age = clock[2]
        if changed:
            since_s[k] = clock[0] - age
        worst = max(worst, clock[0] - since_s[k] - age)
    return float(worst)


class Liveness(Section):
    """Measures how long a source has pretended; see the module.

    Raises:
        ConfigError: If the robot has no lidar, or no base, whose source is listed.
    """

    Values: ClassVar[type[Config]] = LivenessValues

    def __init__(
        self,
        values: LivenessValues,
        robot: Robot,
        truth_view: bool,
        caps: Caps,
        reaction_time_s: float,
    ) -> None:
        super().__init__(values, robot, truth_view, caps, reaction_time_s)
        for name, there in (("lidar", robot.lidar), ("pose", robot.base)):
            if name in values.sources and there is None:
                raise ConfigError(
                    f'sections.liveness.sources: {robot.name} has no "{name}" that '
                    "changes; leave it out"
                )
        self._listed = np.array([name in values.sources for name in _NAMES])
        self._clock, self._since = np.zeros(3), np.zeros(len(_NAMES))
        self._people, self._kept = np.zeros((0, 0, 7)), np.zeros(0)
        self.reset()

    def reset(self) -> None:
        """Forget what every source said."""
        self._people, self._kept = np.zeros((0, 0, 7)), np.zeros(0)

    def update(self, state: State, kinematics: Kinematics, signals: Array) -> None:
        """Measure the source that has pretended longest."""
        signals[Signal.FROZEN] = 0.0
        if self.truth_view:
            return
        people, lidar, joints = (
            state.people,
            state.lidar_range_m,
            state.actuator_position,
        )
        if people.shape != self._people.shape:
            self._people = np.full(people.shape, np.nan)
        size = 7 + len(lidar) + len(joints)
        if size != len(self._kept):
            self._kept = np.full(size, np.nan)
        clock = self._clock
        clock[0], clock[1] = state.stamp_s, state.lidar_age_s
        clock[2] = state.actuator_age_s
        signals[Signal.FROZEN] = _pretended_s(
            np.ascontiguousarray(people),
            np.ascontiguousarray(state.people_age_s),
            state.base_pose_in_world,
            lidar,
            joints,
            clock,
            self._listed,
            self._people,
            self._kept,
            self._since,
        )
