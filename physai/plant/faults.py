"""Faults: what can go wrong with sensors, actuators, link, clock, as data.

One interface for simulation and bridge: a state goes in and a faulty state comes out,
the same for a command. In simulation the link is between plant and guard; a virtual
robot (:mod:`physai.runtime.robot_server`) applies the faults of its link to the frames
of the protocol, and all others in the plant that it serves. A person who ignores the
robot's alarm is a behaviour (:mod:`physai.body.movement`).

A new kind is one function and one line, in the module of its source
(:mod:`physai.plant.sensor_faults`, ``actuator_faults``, ``link_faults``,
``clock_faults``).
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from pydantic import model_validator

from physai.config import Config, load
from physai.errors import ConfigError, suggest
from physai.plant.actuator_faults import ACTUATOR_FAULTS
from physai.plant.clock_faults import CLOCK_FAULTS
from physai.plant.command_gate import CommandGate
from physai.plant.fault_kind import (
    FaultCourse,
    FaultKind,
    FaultValues,
    answer_within,
)
from physai.plant.link_faults import LINK_FAULTS, Way
from physai.plant.sensor_faults import SENSOR_FAULTS
from physai.robot.description import Robot
from physai.types import Command, State

__all__ = [
    "FAULTS",
    "FaultConfig",
    "FaultInjector",
    "FaultList",
    "answered_within",
    "detectable",
    "kind_of",
    "load_faults",
    "split_link",
    "way_of",
]

FAULTS: tuple[FaultKind, ...] = (
    *SENSOR_FAULTS,
    *ACTUATOR_FAULTS,
    *LINK_FAULTS,
    *CLOCK_FAULTS,
)
"""Every kind; the same name may stand for a sensor and for the link."""

_TIMEOUT_PERIODS = 3
"""A robot stands after so many control periods without a command, as every profile in
``hardware/`` declares it."""


class FaultConfig(FaultValues):
    """One fault of a known kind at a place where that kind can be."""

    @model_validator(mode="after")
    def _known(self) -> FaultConfig:
        names = sorted({kind.name for kind in FAULTS})
        if self.kind not in names:
            raise ValueError(f'unknown kind "{self.kind}"; {suggest(self.kind, names)}')
        places = [t for k in FAULTS if k.name == self.kind for t in k.targets]
        if self.target not in places:
            raise ValueError(
                f'kind "{self.kind}" has no target "{self.target}"; '
                f"{suggest(self.target, places)}"
            )
        return self


class FaultList(Config):
    """A file of faults, for a virtual robot that shall have some."""

    faults: tuple[FaultConfig, ...]


def load_faults(path: str | os.PathLike[str]) -> tuple[FaultConfig, ...]:
    """Load a YAML file with one key, ``faults``: a list of faults.

    Raises:
        ContentError: If it cannot be read.
        ConfigError: If a fault is wrong.
    """
    return load(FaultList, Path(path)).faults


def kind_of(fault: FaultValues) -> FaultKind:
    """Return the kind of a fault at its place."""
    return next(k for k in FAULTS if k.name == fault.kind and fault.target in k.targets)


def answered_within(fault: FaultValues, answers: Mapping[str, float]) -> float:
    """Return the time [s] within which a fault must be answered by a stop.

    Args:
        fault: The fault.
        answers: Rule of the specification to the time within which it answers [s];
            ``command_timeout`` for the robot's own check of commands.

    Returns:
        NaN if none of these rules can show it.
    """
    return answer_within(kind_of(fault).signs(fault), answers)


def detectable(fault: FaultValues, answers: Mapping[str, float]) -> bool:
    """Whether an input can reveal the fault at all, so that a stop is demanded.

    Args:
        fault: The fault.
        answers: As :func:`answered_within` takes them.
    """
    return answered_within(fault, answers) >= 0.0


def split_link(
    faults: Iterable[FaultConfig],
) -> tuple[tuple[FaultConfig, ...], tuple[FaultConfig, ...]]:
    """Return the faults of the link, and all others."""
    given = tuple(faults)
    link = tuple(f for f in given if kind_of(f).acts_on == "link")
    return link, tuple(f for f in given if f not in link)


def way_of(courses: Iterable[FaultCourse], way: str) -> tuple[FaultCourse, ...]:
    """Return the faults of one way of the link, ``command`` or ``states``."""
    return tuple(
        course
        for course in courses
        if kind_of(course.fault).acts_on == "link"
        and course.fault.target in (way, "link")
    )


class FaultInjector:
    """Applies the faults of one episode.

    Args:
        faults: The faults.
        seed: Seed of the episode.
        robot: The robot; None where no fault takes its limits.
        period_s: Control period [s].
    """

    def __init__(
        self,
        faults: Sequence[FaultConfig],
        seed: int,
        robot: Robot | None = None,
        period_s: float = 0.05,
    ) -> None:
        self.faults, self.seed = tuple(faults), seed
        self._fixed = robot is not None and robot.base is None
        self._states: list[State] = []
        self._commands: list[Command] = []
        courses = [
            FaultCourse(fault, seed, index, robot, self._states, self._commands)
            for index, fault in enumerate(self.faults)
        ]
        kinds = [kind_of(fault) for fault in self.faults]
        self._sensing = [
            (course, kind)
            for course, kind in zip(courses, kinds, strict=True)
            if kind.acts_on in ("sensor", "clock")
        ]
        self._acting = [
            (course, kind)
            for course, kind in zip(courses, kinds, strict=True)
            if kind.acts_on == "actuator"
        ]
        # The way of a message and when it was sent.
        out, back = way_of(courses, "command"), way_of(courses, "states")
        self._out: Way[tuple[float, Command]] | None = Way(out) if out else None
        self._back: Way[tuple[float, State]] | None = Way(back) if back else None
        self._gate = CommandGate(_TIMEOUT_PERIODS * period_s)
        self._arrived: tuple[float, State] | None = None

    def apply_to_state(self, state: State, time_s: float) -> State:
        """Return the state as the guard gets it.

        The first one always arrives: a session begins with a link that works.

        Args:
            state: As sensors would give it.
            time_s: Plant clock [s].

        Raises:
            ConfigError: If a fault is of a source that the robot lacks.
        """
        if not self._states:
            _check_sources(self.faults, state, self._fixed)
        self._states.append(state)
        result = state
        for course, kind in self._sensing:
            if course.fault.active(time_s):
                result = kind.apply(course, result, time_s)
            else:
                course.kept = None
        if self._back is None:
            return result
        self._back.send((time_s, result), time_s)
        arrived = self._back.receive(time_s)
        if arrived:
            self._arrived = arrived[-1]
        if self._arrived is None:
            self._arrived = (time_s, result)
        sent_s, shown = self._arrived
        return result if shown is result else _aged(shown, result, time_s - sent_s)

    def apply_to_command(self, command: Command, time_s: float) -> Command:
        """Return the command as the actuators get it.

        Args:
            command: As the guard sends it.
            time_s: Plant clock [s].
        """
        result = command
        if self._out is not None:
            result = self._pass_link(self._out, command, time_s)
        self._commands.append(result)
        for course, kind in self._acting:
            if course.fault.active(time_s):
                result = kind.apply(course, result, time_s)
            else:
                course.kept = None
        return result

    def _pass_link(
        self, way: Way[tuple[float, Command]], command: Command, time_s: float
    ) -> Command:
        """Return what the robot executes of the commands that have arrived."""
        way.send((time_s, command), time_s)
        # A stamp of 0 is no stamp.
        now = time_s + 1.0
        for sent_s, arrived in way.receive(time_s):
            self._gate.offer(arrived, sent_s + 1.0, now)
        current = self._gate.current(now)
        if current is not None:
            return current
        tool = self._commands[-1].tool if self._commands else command.tool
        still = np.zeros_like(command.actuator_velocity)
        return Command(still, tool, command.stamp_s, command.sequence)


def _aged(old: State, new: State, gone_s: float) -> State:
    """Return an old state as it looks now: every age has grown, the clock is ours."""
    return dataclasses.replace(
        old,
        stamp_s=new.stamp_s,
        sequence=new.sequence,
        actuator_age_s=old.actuator_age_s + gone_s,
        tool_force_age_s=old.tool_force_age_s + gone_s,
        people_age_s=old.people_age_s + gone_s,
        people_frame_age_s=old.people_frame_age_s + gone_s,
        objects_age_s=old.objects_age_s + gone_s,
        lidar_age_s=old.lidar_age_s + gone_s,
        extras_age_s=old.extras_age_s + gone_s,
    )


_NEEDED = {
    "lidar": "lidar_range_m",
    "extras": "extras",
    "face": "extras",
    "objects": "objects_pose_in_world",
}


def _check_sources(faults: Sequence[FaultConfig], state: State, fixed: bool) -> None:
    lacking = {t for t, name in _NEEDED.items() if not getattr(state, name).size}
    if fixed:
        lacking.add("pose")
    for index, fault in enumerate(faults):
        if fault.target in lacking:
            raise ConfigError(
                f'faults.{index}: this robot has no {fault.target}, so that "{fault.kind}" '
                f"cannot be there; it lacks {', '.join(sorted(lacking))}"
            )
