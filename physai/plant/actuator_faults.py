"""Faults of actuators: what moves is not what was commanded."""

from __future__ import annotations

import dataclasses

import numpy as np

from physai.errors import ConfigError
from physai.plant.fault_kind import (
    FaultCourse,
    FaultKind,
    nothing,
)
from physai.types import Command

__all__ = ["ACTUATOR_FAULTS"]


def lag(course: FaultCourse, command: Command, time_s: float) -> Command:
    """The command of ``magnitude`` steps ago."""
    sent = course.commands
    return sent[max(0, len(sent) - 1 - int(course.fault.magnitude))]


def saturation(course: FaultCourse, command: Command, time_s: float) -> Command:
    """Only a share of the velocity arrives."""
    return dataclasses.replace(
        command, actuator_velocity=command.actuator_velocity * course.fault.magnitude
    )


def _one(course: FaultCourse, command: Command) -> int:
    """Return the actuator that it falls on, drawn once for the episode."""
    rng = course.random(course.fault.start_s)
    return int(rng.integers(len(command.actuator_velocity)))


def _replaced(command: Command, actuator: int, velocity: float) -> Command:
    changed = command.actuator_velocity.copy()
    changed[actuator] = velocity
    return dataclasses.replace(command, actuator_velocity=changed)


def stuck(course: FaultCourse, command: Command, time_s: float) -> Command:
    """One actuator keeps ``magnitude`` times the velocity it had: 0 stays in place."""
    actuator = _one(course, command)
    if course.kept is None:
        before = course.commands[-2:][0]
        course.kept = float(before.actuator_velocity[actuator])
    return _replaced(command, actuator, course.fault.magnitude * course.kept)


def runaway(course: FaultCourse, command: Command, time_s: float) -> Command:
    """One actuator runs at a share of its limit, one way, whatever is commanded.

    Raises:
        ConfigError: If nobody knows the limits of the actuators.
    """
    if course.robot is None:
        raise ConfigError('the fault "runaway" needs a robot, whose limits it takes')
    actuator = _one(course, command)
    way = float(np.sign(course.direction(course.fault.start_s)[0])) or 1.0
    most = float(course.robot.velocity_max[actuator])
    return _replaced(command, actuator, way * course.fault.magnitude * most)


_COMMAND = ("command",)

ACTUATOR_FAULTS = (
    FaultKind("lag", "actuator", _COMMAND, lag, "control steps", nothing),
    FaultKind("saturation", "actuator", _COMMAND, saturation, "share left", nothing),
    # A drive that stands, goes on as it was told last, or runs one way deviates only once
    # it is told otherwise: that moment is the policy's, so that no budget runs from the
    # fault. What it does after a stop is judged of every row.
    FaultKind("stuck", "actuator", _COMMAND, stuck, "share of its velocity", nothing),
    FaultKind(
        "runaway", "actuator", _COMMAND, runaway, "share of the speed limit", nothing
    ),
)
"""A new kind is one function and one line here."""
