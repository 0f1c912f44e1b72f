"""Drives: does the robot do what it was told, and is what it reports possible?

Everything else in the specification trusts that joints follow their commands and that
their readings are true. This section checks both, from what a robot reports anyway:

- **Unexpected motion.** After a command every healthy drive moves somewhere between
  what it was told in the last ``window_s`` and standstill. Faster than that, or the other
  way, is motion that nobody asked for: a drive that runs away, or one that does not
  brake. IEC 61800-5-2 watches the same as SLS, SDI and, after a stop, SOS; ISO 12100
  calls it unexpected start-up.
- **Following.** Slower than everything that it was told in the window: blocked by
  something or somebody, stuck, or a reading that is frozen.
- **Plausibility.** |dq - (qd + qd') dt / 2| is what position and speed contradict each
  other by. A reading that jumps, or one of which only a part is alive, is no reading
  (input manager of ASTM F3269-21).
- **Pose.** Where the base is must change as its twist says; localisation that jumps makes
  every zone on the map a guess.
- **Period.** Time between two readings; a loop that is late sees nothing.
- **Jerk** |d2qd| / dt2 and **effort**, as shares of the maker's limits.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, ClassVar

import numba
import numpy as np
import numpy.typing as npt
from pydantic import Field

from physai.config import Config
from physai.robot.description import Robot
from physai.robot.kinematics import Kinematics
from physai.safety.rules import Signal
from physai.safety.sections.section import Caps, Section, check_named
from physai.types import Array, State

__all__ = ["Drives", "DrivesValues", "measure_drives", "pose_jump", "predict"]

Flags = npt.NDArray[np.bool_]
Share = Annotated[float, Field(ge=0.0, le=1.0)]


class DrivesValues(Config):
    """Section ``drives``."""

    window_s: Annotated[float, Field(gt=0.0)]
    """Time within which a healthy drive has followed a command, lag and braking
    included, measured on the machine; the guard's reaction time is added."""
    following: tuple[str, ...] = ()
    """Actuators that are watched for following; all if empty. A bucket that digs does
    not follow, and that is no fault."""
    efforts: bool = False
    """Whether the robot reports efforts; if it says so and does not, it stops."""
    back_off_share: Share = 0.0
    """Share of the speed limits at which an arm that is blocked gives way, back along
    the way that it came; 0 for none."""
    back_off_s: Annotated[float, Field(ge=0.0)] = 0.0
    """For how long it does."""
    source: str


@numba.njit(cache=True)
def predict(
    command: Array,
    acceleration: Array,
    braking: Array,
    period_s: float,
    ring: Array,
    place: int,
) -> None:
    """Write into a ring of speeds what a drive does with a command at the earliest.

    Args:
        command: (n,) commanded velocity [rad/s or m/s].
        acceleration: (n,) limits [rad/s2 or m/s2].
        braking: (n,).
        period_s: Control period [s].
        ring: (k, n) predicted velocities, one row a step.
        place: Row to write; the row before it is what was.
    """
    steps = ring.shape[0]
    for i in range(command.shape[0]):
        before = ring[(place - 1) % steps, i]
        change = command[i] - before
        away = change * before >= 0.0
        most = (acceleration[i] if away else braking[i]) * period_s
        ring[place, i] = before + min(max(change, -most), most)


@numba.njit(cache=True)
def measure_drives(
    position: Array,
    velocity: Array,
    effort: Array,
    ring: Array,
    watched: Flags,
    before: Array,
    elapsed_s: float,
    period_s: float,
    velocity_max: Array,
    acceleration_max: Array,
    jerk_max: Array,
    effort_max: Array,
    bounded: Flags,
    out: Array,
) -> int:
    """Measure the drives of one step and keep what the next one needs.

    Args:
        position: (n,) [rad or m].
        velocity: (n,).
        effort: (n,) [N m or N]; only its share is judged.
        ring: (k, n) predicted velocities of the window; no row: nothing was commanded.
        watched: (n,) whether an actuator is watched for following.
        before: (3, n) position, velocity and acceleration of the step before, NaN for
            none; updated.
        elapsed_s: Time since the step before; NaN for none.
        period_s: Control period [s].
        velocity_max: (n,).
        acceleration_max: (n,).
        jerk_max: (n,).
        effort_max: (n,).
        bounded: (n,) whether the position of an actuator is a reading of its own.
        out: (5,) out: unexpected motion, following and plausibility as shares of the
            speed limit, jerk and effort as shares of their own limits.

    Returns:
        The actuator that follows least.
    """
    out[:] = 0.0
    blocked = -1
    for i in range(position.shape[0]):
        v, fastest = velocity[i], velocity_max[i]
        if ring.shape[0] > 0:
            low, high = ring[0, i], ring[0, i]
            for k in range(1, ring.shape[0]):
                low, high = min(low, ring[k, i]), max(high, ring[k, i])
            beyond = max(v - max(high, 0.0), min(low, 0.0) - v)
            out[0] = max(out[0], beyond / fastest)
            # Only where everything in the window points one way is lagging a fault.
            short = (low - v) if low > 0.0 else (v - high) if high < 0.0 else 0.0
            if watched[i] and short / fastest > out[1]:
                out[1], blocked = short / fastest, i
        if np.isfinite(elapsed_s) and np.isfinite(before[1, i]):
            dt = max(elapsed_s, 1e-9)
            if bounded[i]:
                moved = position[i] - before[0, i]
                # Between two readings a speed may have been anything that the
                # acceleration permits.
                free = 0.25 * acceleration_max[i] * dt * dt
                wrong = abs(moved - 0.5 * (v + before[1, i]) * dt) - free
                out[2] = max(out[2], wrong / (fastest * dt))
            acceleration = (v - before[1, i]) / dt
            if np.isfinite(before[2, i]):
                jerk = abs(acceleration - before[2, i]) / dt
                out[3] = max(out[3], jerk / jerk_max[i])
            before[2, i] = acceleration
        before[0, i], before[1, i] = position[i], v
        share = abs(effort[i]) / effort_max[i]
        # NaN would be lost in a comparison.
        out[4] = share if not share <= out[4] else out[4]
    return blocked


@numba.njit(cache=True)
def pose_jump(pose: Array, twist: Array, before: Array, elapsed_s: float) -> float:
    """Measure what the pose of a base and its twist contradict each other by [m].

    Args:
        pose: (7,) in the world.
        twist: (6,) in the world.
        before: (4,) x, y of the step before and their speeds, NaN for none; updated.
        elapsed_s: Time since then; NaN for none.

    Returns:
        |dp - (v + v') dt / 2| in the plane; 0 for the first reading.
    """
    square = 0.0
    for r in range(2):
        moved = pose[r] - before[r]
        wrong = moved - 0.5 * (twist[r] + before[2 + r]) * elapsed_s
        square += wrong * wrong
    first = np.isnan(elapsed_s) or np.isnan(before[0])
    before[:2], before[2:] = pose[:2], twist[:2]
    return 0.0 if first else float(np.sqrt(square))


class Drives(Section):
    """Watches the drives; see the module.

    Raises:
        ConfigError: If an actuator that shall be watched is none of the robot's.
    """

    Values: ClassVar[type[Config]] = DrivesValues

    def __init__(
        self,
        values: DrivesValues,
        robot: Robot,
        truth_view: bool,
        caps: Caps,
        reaction_time_s: float,
    ) -> None:
        super().__init__(values, robot, truth_view, caps, reaction_time_s)
        names = values.following or robot.actuator_names
        known = robot.actuator_names
        check_named("drives.following", robot.name, "actuator", names, known)
        self.values = values
        self._n = n = len(robot.actuator_names)
        self._watched = np.array([name in names for name in robot.actuator_names])
        self._bounded = np.isfinite(robot.position_min)
        self._acceleration = np.maximum(robot.acceleration_max, robot.braking_max)
        self._before = np.full((3, n), np.nan)
        self._base_before, self._out = np.full(4, np.nan), np.zeros(5)
        self._nothing = np.zeros(n)
        self._ring = np.zeros((0, n))
        self._place = 0
        self._stamp_s = np.nan
        self.blocked = -1

    def reset(self) -> None:
        """Begin with a robot that stands."""
        self._before[:] = self._base_before[:] = np.nan
        self._ring[:], self._place = 0.0, 0
        self._stamp_s = np.nan
        self.blocked = -1

    def bind(self, extras: Mapping[str, int]) -> None:
        """Make room for the window, once the control period is known."""
        super().bind(extras)
        whole = self.values.window_s + self.reaction_time_s
        steps = max(2, 1 + math.ceil(whole / self.period_s - 1e-9))
        self._ring = np.zeros((steps, self._n))

    def follow(self, velocity: Array) -> None:
        """Learn the (n,) command that was really sent, after every step."""
        robot = self.robot
        self._place = (self._place + 1) % len(self._ring)
        predict(
            velocity,
            robot.acceleration_max,
            robot.braking_max,
            self.period_s,
            self._ring,
            self._place,
        )

    def update(self, state: State, kinematics: Kinematics, signals: Array) -> None:
        """Measure the drives."""
        robot = self.robot
        elapsed = state.stamp_s - self._stamp_s
        self._stamp_s = state.stamp_s
        self.blocked = measure_drives(
            state.actuator_position,
            state.actuator_velocity,
            state.actuator_effort if self.values.efforts else self._nothing,
            self._ring,
            self._watched,
            self._before,
            elapsed,
            self.period_s,
            robot.velocity_max,
            self._acceleration,
            robot.jerk_max,
            robot.effort_max,
            self._bounded,
            self._out,
        )
        (
            signals[Signal.UNEXPECTED_MOTION],
            signals[Signal.FOLLOWING],
            signals[Signal.PLAUSIBILITY],
            signals[Signal.JOINT_JERK],
            signals[Signal.JOINT_EFFORT],
        ) = self._out.tolist()
        if robot.base is not None:
            signals[Signal.POSE_JUMP] = pose_jump(
                state.base_pose_in_world,
                state.base_twist_in_world,
                self._base_before,
                elapsed,
            )
        first = elapsed != elapsed
        signals[Signal.PERIOD] = 1.0 if first else elapsed / self.period_s
