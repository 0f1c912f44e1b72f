"""Faults of sensors and trackers: what the guard is told is not what was measured.

The perception failures of ISO 17757 (missed, late, false and misplaced object) are
among them. A state is never written to: what is wrong is a new one.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any, NamedTuple

import numpy as np

from physai.body.person import sample_person
from physai.body.walker import PathConfig, Walker
from physai.plant.fault_kind import (
    FaultCourse,
    FaultKind,
    FaultValues,
    Sign,
    nothing,
    revealed_by,
)
from physai.types import Array, State

__all__ = ["SENSOR_FAULTS"]


class _Source(NamedTuple):
    """Fields of a state that a source fills, the ages of these, and who judges those."""

    fields: tuple[str, ...]
    ages: tuple[str, ...]
    rules: tuple[str, ...]


_EXTRAS = _Source(
    ("extras",), ("extras_age_s",), ("interface_age", "extra_age", "load_age")
)
_SOURCES: dict[str, _Source] = {
    "joints": _Source(
        ("actuator_position", "actuator_velocity"), ("actuator_age_s",), ("joint_age",)
    ),
    "pose": _Source(
        ("base_pose_in_world", "base_twist_in_world"),
        ("actuator_age_s",),
        ("joint_age",),
    ),
    "people": _Source(
        ("people", "people_velocity"),
        ("people_age_s", "people_frame_age_s"),
        ("people_age",),
    ),
    "face": _EXTRAS,
    "extras": _EXTRAS,
    "tool_force": _Source(
        ("tool_force_in_world_n",), ("tool_force_age_s",), ("tool_force_age",)
    ),
    "lidar": _Source(("lidar_range_m",), ("lidar_age_s",), ("lidar_age",)),
    "objects": _Source(("objects_pose_in_world",), ("objects_age_s",), ()),
}


def _from_before(state: State, source: _Source, old: State) -> State:
    """Return a state of which one source says what it said in ``old``."""
    gone = state.stamp_s - old.stamp_s
    changes: dict[str, Any] = {name: getattr(old, name) for name in source.fields}
    changes.update({name: getattr(old, name) + gone for name in source.ages})
    return dataclasses.replace(state, **changes)


def drop(course: FaultCourse, state: State, time_s: float) -> State:
    """Nothing new arrives; the age grows."""
    if course.kept is None:
        course.kept = state
    return _from_before(state, _SOURCES[course.fault.target], course.kept)


def freeze(course: FaultCourse, state: State, time_s: float) -> State:
    """The last values come again and again and claim to be fresh."""
    if course.kept is None:
        course.kept = state
    source, old = _SOURCES[course.fault.target], course.kept
    changes = {name: getattr(old, name) for name in source.fields}
    for name in source.ages:
        # People may have come and gone since: every track keeps an age of its own.
        if np.shape(getattr(old, name)) != np.shape(getattr(state, name)):
            changes[name] = getattr(old, name)
    return dataclasses.replace(state, **changes)


def delay(course: FaultCourse, state: State, time_s: float) -> State:
    """Everything arrives ``magnitude`` seconds later."""
    wanted = state.stamp_s - course.fault.magnitude + 1e-9
    old = next((s for s in reversed(course.states) if s.stamp_s <= wanted), None)
    return _from_before(state, _SOURCES[course.fault.target], old or course.states[0])


def nan(course: FaultCourse, state: State, time_s: float) -> State:
    """Not a number."""
    source = _SOURCES[course.fault.target]
    changes: dict[str, Any] = {
        name: np.full_like(getattr(state, name), np.nan) for name in source.fields
    }
    if course.fault.target == "people" and not len(state.people):
        changes["people_frame_age_s"] = math.nan
    return dataclasses.replace(state, **changes)


def _size(by: Array) -> float:
    return float(np.linalg.norm(by))


def _shifted(value: Array, by: Array, name: str) -> Array:
    moved = value.copy()
    if name == "people":
        moved[:, :, :3] += by
        moved[:, :, 3:6] += by
    elif name == "objects_pose_in_world":
        moved[:, :3] += by
    elif name == "base_pose_in_world":
        # A base stays on the floor.
        moved[:2] += by[:2] * (_size(by) / max(_size(by[:2]), 1e-9))
    elif name in ("extras", "tool_force_in_world_n"):
        moved[:3] += by
    else:
        moved += math.copysign(_size(by), by[0])
    return moved


def _off(course: FaultCourse, state: State, time_s: float) -> State:
    """Return a state whose source is off by ``magnitude`` in a drawn direction."""
    name = _SOURCES[course.fault.target].fields[0]
    by = course.fault.magnitude * course.direction(time_s)
    changes: dict[str, Any] = {name: _shifted(getattr(state, name), by, name)}
    return dataclasses.replace(state, **changes)


def bias(course: FaultCourse, state: State, time_s: float) -> State:
    """Off by ``magnitude`` in one direction that stays."""
    return _off(course, state, course.fault.start_s)


def spike(course: FaultCourse, state: State, time_s: float) -> State:
    """Off by ``magnitude`` in a random direction, one step in ten."""
    return _off(course, state, time_s) if course.draw() < 0.1 else state


def missed_person(course: FaultCourse, state: State, time_s: float) -> State:
    """The tracker shows nobody."""
    return dataclasses.replace(
        state,
        people=state.people[:0],
        people_velocity=state.people_velocity[:0],
        people_age_s=state.people_age_s[:0],
    )


def misplaced_person(course: FaultCourse, state: State, time_s: float) -> State:
    """The track of one person stands ``magnitude`` metres beside that person."""
    if not len(state.people):
        return state
    way = course.direction(course.fault.start_s)
    by = np.append(way[:2], 0.0) * (course.fault.magnitude / _size(way[:2]))
    who = course.random(course.fault.start_s).integers(1 << 30) % len(state.people)
    people = state.people.copy()
    people[who] = _shifted(people[who : who + 1], by, "people")[0]
    return dataclasses.replace(state, people=people)


def false_person(course: FaultCourse, state: State, time_s: float) -> State:
    """The tracker shows somebody who is not there, ``magnitude`` metres away."""
    if course.kept is None:
        course.kept = _stand_somebody(course, state)
    ghost = course.kept
    return dataclasses.replace(
        state,
        people=np.concatenate([state.people, ghost]),
        people_velocity=np.concatenate(
            [state.people_velocity, np.full((1, ghost.shape[1], 3), np.nan)]
        ),
        people_age_s=np.append(state.people_age_s, state.people_frame_age_s),
    )


def _stand_somebody(course: FaultCourse, state: State) -> Array:
    """Return the (1, S, 7) capsules of somebody who stands beside the robot's base."""
    x, y, _ = (course.fault.magnitude * course.direction(course.fault.start_s)).tolist()
    far = course.fault.magnitude / max(math.hypot(x, y), 1e-9)
    base = state.base_pose_in_world
    place = PathConfig(position_m=(base[0] + far * x, base[1] + far * y, 0.0))
    who = sample_person("adult_man", course.random(course.fault.start_s))
    body = Walker(who, place, (), course.seed, f"fault.{course.index}")
    return body.capsules[np.newaxis].copy()


def _when_silent(fault: FaultValues) -> tuple[Sign, ...]:
    """A source that says nothing new shows once it is older than its rule allows."""
    rules = _SOURCES[fault.target].rules
    return tuple(Sign(rule, fault.duration_s) for rule in rules)


def _when_late(fault: FaultValues) -> tuple[Sign, ...]:
    """A late source shows where it is later than its rule allows."""
    size = min(fault.magnitude, fault.duration_s)
    return tuple(Sign(rule, size) for rule in _SOURCES[fault.target].rules)


def _when_no_number(fault: FaultValues) -> tuple[Sign, ...]:
    """The input check finds it; a scan without a number has no age."""
    if fault.target == "objects":
        return ()
    rule = "lidar_age" if fault.target == "lidar" else "input_integrity"
    return (Sign(rule, fault.duration_s),)


_ALL = tuple(_SOURCES)
_OFF = "m; rad, N or m/s of each value where the source is no place"
_TRACKS = ("people",)


def _when_frozen(fault: FaultValues) -> tuple[Sign, ...]:
    """Only of people is it certain that they never look the same twice."""
    if fault.target != "people":
        return ()
    return (Sign("frozen_source", fault.duration_s),)


SENSOR_FAULTS = (
    FaultKind("drop", "sensor", _ALL, drop, "", _when_silent),
    FaultKind("freeze", "sensor", _ALL, freeze, "", _when_frozen),
    FaultKind("delay", "sensor", _ALL, delay, "s", _when_late),
    FaultKind("nan", "sensor", _ALL, nan, "", _when_no_number),
    FaultKind("bias", "sensor", _ALL, bias, _OFF, nothing),
    FaultKind("spike", "sensor", _ALL, spike, _OFF, nothing),
    FaultKind(
        "missed_person",
        "sensor",
        _TRACKS,
        missed_person,
        "",
        revealed_by("people_missing"),
    ),
    FaultKind("misplaced_person", "sensor", _TRACKS, misplaced_person, "m", nothing),
    FaultKind("false_person", "sensor", _TRACKS, false_person, "m", nothing),
)
"""A new kind is one function and one line here."""
