"""Faults: what can go wrong with sensors, actuators and links, as data.

One interface for simulation and bridge: a state goes in and a faulty state comes out,
the same for a command. A new kind is one function and one line in :data:`FAULTS`.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, model_validator

from physai.config import Config, load
from physai.errors import suggest
from physai.randomness import generator
from physai.types import Array, Command, State

__all__ = [
    "FAULTS",
    "FaultConfig",
    "FaultInjector",
    "FaultList",
    "detectable",
    "load_faults",
]

_TARGETS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "joints": (("actuator_position", "actuator_velocity"), ("actuator_age_s",)),
    "people": (("people",), ("people_age_s", "people_frame_age_s")),
    "face": (("extras",), ("extras_age_s",)),
    "extras": (("extras",), ("extras_age_s",)),
    "tool_force": (("tool_force_in_world_n",), ("tool_force_age_s",)),
    "lidar": (("lidar_range_m",), ("lidar_age_s",)),
}
"""Target to the fields of a state that it carries, and the ages of these."""


class FaultConfig(Config):
    """One fault."""

    kind: str
    target: Literal[
        "joints",
        "people",
        "face",
        "extras",
        "tool_force",
        "lidar",
        "command",
        "clock",
    ] = "people"
    start_s: Annotated[float, Field(ge=0.0)] = 0.0
    duration_s: Annotated[float, Field(gt=0.0)] = 1.0e6
    magnitude: float = 0.0
    """Unit by kind: seconds for delay, the target's unit for bias and spike, share for
    saturation and loss."""

    @model_validator(mode="after")
    def _known(self) -> FaultConfig:
        if self.kind not in FAULTS:
            raise ValueError(
                f'unknown kind "{self.kind}"; {suggest(self.kind, FAULTS)}'
            )
        wants = FAULTS[self.kind][1]
        if (self.target in ("command", "clock")) != (wants != "state") or (
            wants != "state" and self.target != wants
        ):
            raise ValueError(f'kind "{self.kind}" has no target "{self.target}"')
        return self

    def active(self, time_s: float) -> bool:
        """Whether it is on at a time."""
        return self.start_s <= time_s < self.start_s + self.duration_s


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


def detectable(fault: FaultConfig) -> bool:
    """Whether an input can reveal the fault at all, so that a stop is demanded."""
    return FAULTS[fault.kind][2]


class FaultInjector:
    """Applies the faults of one episode.

    Args:
        faults: The faults.
        seed: Seed of the episode.
    """

    def __init__(self, faults: Sequence[FaultConfig], seed: int) -> None:
        self.faults, self.seed = tuple(faults), seed
        self._history: list[State] = []
        self._frozen: dict[int, State] = {}
        self._sent: list[Command] = []

    def apply_to_state(self, state: State, time_s: float) -> State:
        """Return the state as the guard gets it.

        Args:
            state: As sensors would give it.
            time_s: Plant clock [s].
        """
        self._history.append(state)
        result = state
        for index, fault in enumerate(self.faults):
            function, wants, _ = FAULTS[fault.kind]
            if not fault.active(time_s):
                self._frozen.pop(index, None)
            elif wants in ("state", "clock"):
                result = function(self, index, fault, result, time_s)
        return result

    def apply_to_command(self, command: Command, time_s: float) -> Command | None:
        """Return the command as the actuators get it; None if it is lost."""
        self._sent.append(command)
        result: Command | None = command
        for index, fault in enumerate(self.faults):
            function, wants, _ = FAULTS[fault.kind]
            if wants == "command" and fault.active(time_s) and result is not None:
                result = function(self, index, fault, result, time_s)
        return result

    def random(self, index: int, time_s: float) -> np.random.Generator:
        """Return the generator of one fault at one time."""
        return generator(self.seed, f"fault.{index}", round(time_s * 1000))

    def older(self, state: State, age_s: float) -> State:
        """Return the state of so long ago."""
        wanted = state.stamp_s - age_s
        past = [s for s in self._history if s.stamp_s <= wanted + 1e-9]
        return past[-1] if past else self._history[0]


def _with_source(state: State, target: str, old: State) -> State:
    """Return a state whose source ``target`` says what it said in ``old``."""
    fields, ages = _TARGETS[target]
    gone = state.stamp_s - old.stamp_s
    changes: dict[str, Any] = {name: getattr(old, name) for name in fields}
    changes.update({name: getattr(old, name) + gone for name in ages})
    return dataclasses.replace(state, **changes)


def _drop(
    run: FaultInjector, index: int, fault: FaultConfig, state: State, time_s: float
) -> State:
    """Nothing new arrives; the age grows."""
    frozen = run._frozen.setdefault(index, state)
    return _with_source(state, fault.target, frozen)


def _freeze(
    run: FaultInjector, index: int, fault: FaultConfig, state: State, time_s: float
) -> State:
    """The last values come again and again and claim to be fresh."""
    frozen = run._frozen.setdefault(index, state)
    fields, _ = _TARGETS[fault.target]
    return dataclasses.replace(state, **{n: getattr(frozen, n) for n in fields})


def _delay(
    run: FaultInjector, index: int, fault: FaultConfig, state: State, time_s: float
) -> State:
    """Everything arrives ``magnitude`` seconds later."""
    return _with_source(state, fault.target, run.older(state, fault.magnitude))


def _nan(
    run: FaultInjector, index: int, fault: FaultConfig, state: State, time_s: float
) -> State:
    """Not a number."""
    fields, _ = _TARGETS[fault.target]
    return dataclasses.replace(
        state, **{n: np.full_like(getattr(state, n), np.nan) for n in fields}
    )


def _shifted(value: Array, by: Array | float, name: str) -> Array:
    moved = value.copy()
    if name == "people":
        moved[:, :, :3] += by
        moved[:, :, 3:6] += by
    elif name == "extras":
        moved[:3] += by
    else:
        moved += by if np.ndim(by) == 0 else by[: len(moved)]  # type: ignore[index]
    return moved


def _off(state: State, fault: FaultConfig, rng: np.random.Generator) -> State:
    """Return a state whose source is off by ``magnitude`` in a drawn direction."""
    direction = rng.normal(size=3)
    by = fault.magnitude * direction / np.linalg.norm(direction)
    name = _TARGETS[fault.target][0][0]
    in_space = name in ("people", "extras", "tool_force_in_world_n")
    change: Array | float = by if in_space else float(fault.magnitude)
    changes: dict[str, Any] = {name: _shifted(getattr(state, name), change, name)}
    return dataclasses.replace(state, **changes)


def _bias(
    run: FaultInjector, index: int, fault: FaultConfig, state: State, time_s: float
) -> State:
    """Off by ``magnitude`` in one direction that stays."""
    return _off(state, fault, run.random(index, fault.start_s))


def _spike(
    run: FaultInjector, index: int, fault: FaultConfig, state: State, time_s: float
) -> State:
    """Off by ``magnitude`` in a random direction, one step in ten."""
    rng = run.random(index, time_s)
    return state if rng.random() > 0.1 else _off(state, fault, rng)


def _missed(
    run: FaultInjector, index: int, fault: FaultConfig, state: State, time_s: float
) -> State:
    """The tracker shows nobody."""
    return dataclasses.replace(
        state,
        people=state.people[:0],
        people_velocity=state.people_velocity[:0],
        people_age_s=state.people_age_s[:0],
    )


def _clock_jump(
    run: FaultInjector, index: int, fault: FaultConfig, state: State, time_s: float
) -> State:
    """The clock is off by ``magnitude`` seconds."""
    return dataclasses.replace(state, stamp_s=state.stamp_s + fault.magnitude)


def _lag(
    run: FaultInjector, index: int, fault: FaultConfig, command: Command, time_s: float
) -> Command:
    """The command of ``magnitude`` steps ago."""
    return run._sent[max(0, len(run._sent) - 1 - int(fault.magnitude))]


def _saturation(
    run: FaultInjector, index: int, fault: FaultConfig, command: Command, time_s: float
) -> Command:
    """Only a share of the velocity arrives."""
    return dataclasses.replace(
        command, actuator_velocity=command.actuator_velocity * fault.magnitude
    )


def _loss(
    run: FaultInjector, index: int, fault: FaultConfig, command: Command, time_s: float
) -> Command | None:
    """A share of the commands is lost."""
    return None if run.random(index, time_s).random() < fault.magnitude else command


FAULTS: dict[str, tuple[Callable[..., Any], str, bool]] = {
    "drop": (_drop, "state", True),
    "freeze": (_freeze, "state", False),
    "delay": (_delay, "state", True),
    "nan": (_nan, "state", True),
    "bias": (_bias, "state", False),
    "spike": (_spike, "state", False),
    "missed_person": (_missed, "state", True),
    "clock_jump": (_clock_jump, "clock", True),
    "lag": (_lag, "command", False),
    "saturation": (_saturation, "command", False),
    "loss": (_loss, "command", False),
}
"""Kind to function, what it changes, and whether an input can reveal it."""
