"""Faults of the robot's clock: stamps that are not the time.

When such a fault ends, the clock is set right again, which is a jump of its own.
"""

from __future__ import annotations

import dataclasses

from physai.plant.fault_kind import (
    FaultCourse,
    FaultKind,
    FaultValues,
    Sign,
    nothing,
)
from physai.types import State

__all__ = ["CLOCK_FAULTS"]


def clock_jump(course: FaultCourse, state: State, time_s: float) -> State:
    """The clock is off by ``magnitude`` seconds."""
    return dataclasses.replace(state, stamp_s=state.stamp_s + course.fault.magnitude)


def clock_drift(course: FaultCourse, state: State, time_s: float) -> State:
    """The clock gains ``magnitude`` seconds in every second."""
    gained = course.fault.magnitude * (time_s - course.fault.start_s)
    return dataclasses.replace(state, stamp_s=state.stamp_s + gained)


def _when_it_jumps(fault: FaultValues) -> tuple[Sign, ...]:
    """Backwards is found by the guard's own input check, forwards as a late reading."""
    if fault.magnitude < 0.0:
        return (Sign("input_integrity", fault.duration_s),)
    return (Sign("period_overrun", fault.magnitude),)


CLOCK_FAULTS = (
    FaultKind("clock_jump", "clock", ("clock",), clock_jump, "s", _when_it_jumps),
    # Every stamp and age drifts together; only a second clock could tell.
    FaultKind("clock_drift", "clock", ("clock",), clock_drift, "s per s", nothing),
)
"""A new kind is one function and one line here."""
