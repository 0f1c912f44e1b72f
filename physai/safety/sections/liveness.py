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

from typing import Annotated, ClassVar, Literal

import numba
import numpy as np
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


class LivenessValues(Config):
    """Section ``liveness``."""

    sources: Annotated[tuple[SourceName, ...], Field(min_length=1)]
    source: str


@numba.njit(cache=True)
def _keep(values: Array, kept: Array) -> bool:
    """Copy (n,) values; return whether any differs from what was kept."""
    changed = False
    for i in range(values.shape[0]):
        if values[i] != kept[i]:
            changed = True
        kept[i] = values[i]
    return changed


class _Source:
    """What is known of one source."""

    def __init__(self) -> None:
        self.kept = np.zeros(0)
        self.since_s = np.nan

    def pretends_s(self, values: Array, age_s: float, stamp_s: float) -> float:
        """Return for how long the (n,) values have repeated themselves beyond their age.

        Args:
            values: Flat; none at all pretends nothing.
            age_s: That they claim.
            stamp_s: Now.
        """
        if values.shape != self.kept.shape:
            self.kept = np.full(values.shape, np.nan)
        # NaN differs from itself, and input integrity stops it.
        if _keep(values, self.kept) or not len(values):
            self.since_s = stamp_s - age_s
        return float(stamp_s - self.since_s - age_s)


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
        self._sources = {name: _Source() for name in values.sources}

    def reset(self) -> None:
        """Forget what every source said."""
        for name in self._sources:
            self._sources[name] = _Source()

    def update(self, state: State, kinematics: Kinematics, signals: Array) -> None:
        """Measure the source that has pretended longest."""
        if self.truth_view:
            signals[Signal.FROZEN] = 0.0
            return
        worst, now = 0.0, state.stamp_s
        for name, kept in self._sources.items():
            if name == "people":
                values = state.people.reshape(-1)
                age = float(state.people_age_s.min()) if len(values) else 0.0
            elif name == "pose":
                values, age = state.base_pose_in_world, 0.0
            elif name == "lidar":
                values, age = state.lidar_range_m, state.lidar_age_s
            else:
                values, age = state.actuator_position, state.actuator_age_s
            worst = max(worst, kept.pretends_s(values, age, now))
        signals[Signal.FROZEN] = worst
