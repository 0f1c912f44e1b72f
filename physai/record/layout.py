"""How one control step lies in the columns of an episode.

Columns are the fields of ``State``, ``Truth``, ``Command`` and ``Decision`` by name,
so that a file can be read with any Parquet reader and without physai. Single numbers
and arrays are kept apart while recording, because that is several times faster.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from physai.types import Array, Command, Contact, Decision, State, Truth

__all__ = [
    "Column",
    "Layout",
    "Reset",
    "StepRecord",
    "layout_of_reset",
    "layout_of_step",
    "pad_people",
    "read_contact",
    "read_state",
]

STATE_NUMBERS = (
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
PEOPLE_ARRAYS = ("people", "people_velocity", "people_age_s")
"""Arrays with a row per tracked person; how many there are may change."""

NOBODY_AGE_S = -np.inf
"""Age in the rows of an episode where nobody was tracked; their capsules are NaN."""

CONTACT_ARRAYS = (
    "force_peak_n",
    "force_mean_n",
    "pressure_n_per_cm2",
    "age_s",
    "robot_normal_speed_m_s",
    "person_normal_speed_m_s",
    "clamped",
    "link",
)
_DECISION_NUMBERS = (
    ("decision_action", "decision.action", "int"),
    ("decision_intervened", "decision.intervened", "bool"),
    ("decision_latched", "decision.latched", "bool"),
)
_STEP_NUMBERS = (
    ("reward", "reward", "float"),
    ("cost", "cost", "float"),
    ("time_s", "time_s", "float"),
    ("terminated", "terminated", "bool"),
    ("truncated", "truncated", "bool"),
    ("success", "success", "bool"),
)


@dataclass(frozen=True, slots=True, eq=False)
class StepRecord:
    """Everything about one control step.

    Attributes:
        state: What sensors and trackers said after the step.
        truth: What really was after the step; None where the plant has none.
        action: (a,) the policy's action, in [-1, 1] unless it misbehaved.
        command_asked: What the task made of the action.
        command_sent: What the plant really sent.
        decision: The guard's answer; its margins are the guard's view.
        truth_margins: (r,) margins evaluated from the truth, or None.
        reward: The task's reward for the step.
        cost: The specification's cost for the step, >= 0.
        time_s: Time since reset on the plant's clock [s].
        terminated: Whether the task ended with this step.
        truncated: Whether the time limit or an interruption ended it.
        success: Whether the task counts as done.
        observation: (o,) what the policy saw before it acted, or None.
        values: Further numbers by name (such as ``guard_us``), the same names in
            every step of an episode.
    """

    state: State
    truth: Truth | None
    action: npt.NDArray[Any]
    command_asked: Command
    command_sent: Command
    decision: Decision
    truth_margins: Array | None
    reward: float
    cost: float
    time_s: float
    terminated: bool = False
    truncated: bool = False
    success: bool = False
    observation: npt.NDArray[Any] | None = None
    values: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class Reset:
    """State and truth at reset, before the first step."""

    state: State
    truth: Truth | None


@dataclass(frozen=True, slots=True)
class Column:
    """One column of an episode.

    Attributes:
        name: Its name in the file.
        path: The attribute of a step that it is read from.
        kind: ``float``, ``int`` or ``bool``.
    """

    name: str
    path: str
    kind: str = "float"

    @property
    def people(self) -> bool:
        """Whether it has a row per tracked person."""
        return self.path.rsplit(".", 1)[-1] in PEOPLE_ARRAYS and "state" in self.path


@dataclass(frozen=True, slots=True)
class Layout:
    """The columns of one episode.

    Attributes:
        numbers: Columns of single numbers.
        arrays: Columns of arrays.
        truth: Whether the steps hold the truth.
        truth_margins: Whether they hold margins from the truth.
        observation: Whether they hold the policy's observation.
        extra: Names of the further numbers, stored as ``value_<name>``.
    """

    numbers: tuple[Column, ...]
    arrays: tuple[Column, ...]
    truth: bool
    truth_margins: bool = False
    observation: bool = False
    extra: tuple[str, ...] = ()

    def fits(self, step: StepRecord) -> bool:
        """Whether a step holds exactly what this layout has columns for."""
        return (
            (step.truth is not None) == self.truth
            and (step.truth_margins is not None) == self.truth_margins
            and (step.observation is not None) == self.observation
            and tuple(step.values) == self.extra
        )


def _observed(truth: bool) -> tuple[list[Column], list[Column]]:
    places = [("state_", "state.")]
    if truth:
        places.append(("truth_state_", "truth.state."))
    numbers = [
        Column(prefix + n, path + n, "int" if n == "sequence" else "float")
        for prefix, path in places
        for n in STATE_NUMBERS
    ]
    arrays = [
        Column(prefix + name, path + name)
        for prefix, path in places
        for name in STATE_ARRAYS
    ]
    if truth:
        arrays += [
            Column("truth_contact_" + name, "truth.contact." + name)
            for name in CONTACT_ARRAYS
        ]
        arrays.append(Column("truth_extras", "truth.extras"))
    return numbers, arrays


def layout_of_reset(reset: Reset) -> Layout:
    """Return the columns that the state and truth at reset fill."""
    numbers, arrays = _observed(reset.truth is not None)
    return Layout(tuple(numbers), tuple(arrays), reset.truth is not None)


def layout_of_step(step: StepRecord) -> Layout:
    """Return the columns of the episode that a step belongs to."""
    numbers, arrays = _observed(step.truth is not None)
    arrays.append(Column("action", "action"))
    for which in ("command_asked", "command_sent"):
        arrays += [
            Column(f"{which}_{name}", f"{which}.{name}")
            for name in ("actuator_velocity", "tool")
        ]
        numbers.append(Column(f"{which}_stamp_s", f"{which}.stamp_s"))
        numbers.append(Column(f"{which}_sequence", f"{which}.sequence", "int"))
    arrays.append(Column("margins", "decision.margins"))
    if step.truth_margins is not None:
        arrays.append(Column("truth_margins", "truth_margins"))
    if step.observation is not None:
        arrays.append(Column("observation", "observation"))
    numbers += [Column(*each) for each in (*_DECISION_NUMBERS, *_STEP_NUMBERS)]
    return Layout(
        tuple(numbers),
        tuple(arrays),
        truth=step.truth is not None,
        truth_margins=step.truth_margins is not None,
        observation=step.observation is not None,
        extra=tuple(step.values),
    )


def pad_people(column: Column, array: Array, shape: tuple[int, ...]) -> Array:
    """Return an array of people with rows for nobody up to a shape.

    Args:
        column: What the array is; anything but people is returned as it is.
        array: (P, ...).
        shape: (Q, ...) with Q >= P.
    """
    if not column.people or array.shape[1:] != shape[1:] or array.shape == shape:
        return array
    missing = (shape[0] - array.shape[0], *shape[1:])
    if missing[0] < 0:
        return array
    value = NOBODY_AGE_S if len(shape) == 1 else np.nan
    return np.concatenate([array, np.full(missing, value)])


def read_state(column: Callable[[str], Any], prefix: str, row: int) -> State:
    """Rebuild a state from one row.

    Args:
        column: Gives the array of a column, rows first.
        prefix: ``state_`` or ``truth_state_``.
        row: Row in the file.
    """
    values: dict[str, Any] = {
        name: float(column(prefix + name)[row]) for name in STATE_NUMBERS
    }
    values["sequence"] = int(column(prefix + "sequence")[row])
    for name in STATE_ARRAYS:
        values[name] = column(prefix + name)[row]
    there = values["people_age_s"] != NOBODY_AGE_S
    if not there.all():
        for name in PEOPLE_ARRAYS:
            values[name] = values[name][there]
    return State(**values)


def read_contact(column: Callable[[str], Any], row: int) -> Contact:
    """Rebuild the contact table of one row."""
    return Contact(
        **{name: column("truth_contact_" + name)[row] for name in CONTACT_ARRAYS}
    )
