"""How one control step lies in a row of numbers.

The columns of an episode are the fields of ``State``, ``Truth`` and ``Command`` by
name, so that a file can be read with any Parquet reader and no physai. A row holds
first what was observed after the step (state, truth), then what was done in it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from physai.errors import ContractError
from physai.types import Contact, State, Truth

__all__ = [
    "CONTACT_FIELDS",
    "STATE_ARRAYS",
    "STATE_SCALARS",
    "Column",
    "describe",
    "read_contact",
    "read_state",
    "state_values",
    "truth_values",
]

STATE_SCALARS = (
    "stamp_s",
    "sequence",
    "actuator_age_s",
    "tool_force_age_s",
    "people_frame_age_s",
    "lidar_age_s",
)
STATE_ARRAYS = (
    "actuator_position",
    "actuator_velocity",
    "actuator_effort",
    "base_pose_in_world",
    "base_twist_in_world",
    "tool_pose_in_world",
    "tool_force_in_world_n",
    "people",
    "people_velocity",
    "people_age_s",
    "objects_pose_in_world",
    "objects_age_s",
    "lidar_range_m",
    "extras",
    "extras_age_s",
)
CONTACT_FIELDS = (
    "force_peak_n",
    "force_mean_n",
    "pressure_n_per_cm2",
    "age_s",
    "robot_normal_speed_m_s",
    "person_normal_speed_m_s",
    "clamped",
    "link",
)
_INTEGERS = ("sequence",)


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its name, the shape of one row's value, and how it is stored.

    Attributes:
        name: Column name in the file.
        shape: Shape of one value; ``()`` for a number.
        kind: ``float``, ``int`` or ``bool``.
        start: First place in the row of numbers.
        stop: One past the last place.
    """

    name: str
    shape: tuple[int, ...]
    kind: str
    start: int
    stop: int


def state_values(state: State) -> list[Any]:
    """Return a state's numbers and arrays in the order of the columns."""
    return [
        state.stamp_s,
        state.sequence,
        state.actuator_age_s,
        state.tool_force_age_s,
        state.people_frame_age_s,
        state.lidar_age_s,
        state.actuator_position,
        state.actuator_velocity,
        state.actuator_effort,
        state.base_pose_in_world,
        state.base_twist_in_world,
        state.tool_pose_in_world,
        state.tool_force_in_world_n,
        state.people,
        state.people_velocity,
        state.people_age_s,
        state.objects_pose_in_world,
        state.objects_age_s,
        state.lidar_range_m,
        state.extras,
        state.extras_age_s,
    ]


def truth_values(truth: Truth) -> list[Any]:
    """Return a truth's numbers and arrays in the order of the columns."""
    contact = truth.contact
    values = state_values(truth.state)
    values += [getattr(contact, name) for name in CONTACT_FIELDS]
    values.append(truth.extras)
    return values


def _state_names(prefix: str) -> list[tuple[str, str]]:
    names = [
        (prefix + name, "int" if name in _INTEGERS else "float")
        for name in STATE_SCALARS
    ]
    return names + [(prefix + name, "float") for name in STATE_ARRAYS]


def _command_names(prefix: str) -> list[tuple[str, str]]:
    return [
        (prefix + "actuator_velocity", "float"),
        (prefix + "tool", "float"),
        (prefix + "stamp_s", "float"),
        (prefix + "sequence", "int"),
    ]


def _names(
    truth: bool, truth_margins: bool, observation: bool, extra: Sequence[str]
) -> list[tuple[str, str]]:
    names = _state_names("state_")
    if truth:
        names += _state_names("truth_state_")
        names += [("truth_contact_" + name, "float") for name in CONTACT_FIELDS]
        names.append(("truth_extras", "float"))
    names.append(("action", "float"))
    names += _command_names("command_asked_") + _command_names("command_sent_")
    names += [
        ("margins", "float"),
        ("decision_action", "int"),
        ("decision_intervened", "bool"),
        ("decision_latched", "bool"),
        ("reward", "float"),
        ("cost", "float"),
        ("time_s", "float"),
        ("terminated", "bool"),
        ("truncated", "bool"),
        ("success", "bool"),
    ]
    if truth_margins:
        names.append(("truth_margins", "float"))
    if observation:
        names.append(("observation", "float"))
    return names + [("value_" + name, "float") for name in extra]


def describe(
    values: Sequence[Any],
    *,
    truth: bool,
    truth_margins: bool,
    observation: bool,
    extra: Sequence[str],
) -> list[Column]:
    """Return the columns for a row of values, with each value's shape and place.

    Args:
        values: Numbers and arrays of one step in row order; a reset row alone may
            be shorter, the columns then end with it.
        truth: Whether the row holds the truth.
        truth_margins: Whether it holds margins evaluated from the truth.
        observation: Whether it holds the policy's observation.
        extra: Names of the further numbers at the end.
    """
    names = _names(truth, truth_margins, observation, extra)
    if len(values) > len(names):
        raise ContractError("a step holds more values than its layout has columns")
    columns, place = [], 0
    for (name, kind), value in zip(names, values, strict=False):
        shape = np.shape(value)
        size = int(np.prod(shape))
        columns.append(Column(name, shape, kind, place, place + size))
        place += size
    return columns


def read_state(column: Callable[[str], Any], prefix: str, row: int) -> State:
    """Rebuild a state from one row.

    Args:
        column: Gives the array of a column, rows first.
        prefix: ``state_`` or ``truth_state_``.
        row: Row in the file.
    """
    values: dict[str, Any] = {
        name: float(column(prefix + name)[row]) for name in STATE_SCALARS
    }
    values["sequence"] = int(column(prefix + "sequence")[row])
    for name in STATE_ARRAYS:
        values[name] = column(prefix + name)[row]
    return State(**values)


def read_contact(column: Callable[[str], Any], row: int) -> Contact:
    """Rebuild the contact table of one row."""
    values: Mapping[str, Any] = {
        name: column("truth_contact_" + name)[row] for name in CONTACT_FIELDS
    }
    return Contact(**values)
