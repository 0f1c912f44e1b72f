"""Replay: run a stored episode again, exactly or with something changed.

*Exact*: same scenario, same actions; every number must come out the same to the last
bit, or the first that does not is named. *What if*: the guard in another mode or
another value in the scenario; what changed in the outcome is reported. *Asked again*:
a log for which there is no simulator is played to the guard of today, and its
decisions are compared.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from physai import config as configuration
from physai.errors import ConfigError, RecordError, suggest
from physai.plant.scenario import Scenario
from physai.record.episode import Episode, StepRecord
from physai.tasks import registry
from physai.tasks.cycle import Cycle

__all__ = ["Difference", "Outcome", "Replay", "replay"]

SIMULATED = ("bullet", "mujoco")

_COMPARED: tuple[tuple[str, Callable[[StepRecord], Any]], ...] = (
    ("command_sent_actuator_velocity", lambda r: r.command_sent.actuator_velocity),
    ("state_actuator_position", lambda r: r.state.actuator_position),
    ("state_actuator_velocity", lambda r: r.state.actuator_velocity),
    ("state_people", lambda r: r.state.people),
    ("margins", lambda r: r.decision.margins),
    ("truth_margins", lambda r: r.truth_margins),
    ("reward", lambda r: r.reward),
    ("cost", lambda r: r.cost),
)


@dataclass(frozen=True)
class Difference:
    """The first number that came out otherwise.

    Attributes:
        step: Control step, from 0.
        quantity: Column of the episode.
        size: Largest absolute difference.
    """

    step: int
    quantity: str
    size: float


@dataclass(frozen=True)
class Outcome:
    """How an episode went.

    Attributes:
        steps: Control steps.
        success: Whether the task was done.
        cost: Total cost.
        violated: Rules that were violated for longer than their hold window.
        largest_force_n: Largest transient force on a person [N]; 0 without a truth.
        interventions: Steps in which the guard changed the command.
    """

    steps: int
    success: bool
    cost: float
    violated: tuple[str, ...]
    largest_force_n: float
    interventions: int


@dataclass(frozen=True)
class Replay:
    """What a replay showed.

    Attributes:
        kind: ``exact``, ``what_if`` or ``asked_again``.
        before: As recorded.
        after: As replayed.
        difference: First difference of an exact replay; None if there is none.
        decisions_changed: Steps in which the guard of today decides otherwise.
        causes: What may explain a difference: digests and versions that changed.
    """

    kind: str
    before: Outcome
    after: Outcome
    difference: Difference | None
    decisions_changed: int
    causes: tuple[str, ...]

    @property
    def same(self) -> bool:
        """Whether nothing changed that must not: always so for a what-if."""
        if self.kind == "exact":
            return self.difference is None
        return self.kind == "what_if" or self.decisions_changed == 0

    def to_json(self) -> dict[str, Any]:
        """Return JSON values."""
        return {**asdict(self), "same": self.same}


def replay(
    path: str | os.PathLike[str],
    guard: str | None = None,
    settings: Sequence[str] = (),
    plant: str | None = None,
    on_start: Callable[[Cycle], Callable[[StepRecord], None]] | None = None,
) -> Replay:
    """Run a stored episode again.

    Args:
        path: The episode.
        guard: Guard mode; None takes the recorded one.
        settings: ``path=value`` changes of the scenario, such as
            ``people.0.stature_m=1.6``.
        plant: ``replay`` plays the log instead of simulating; None simulates where
            the episode was simulated.
        on_start: Given the cycle, returns what is called after every step.

    Raises:
        ConfigError: If a setting does not fit the scenario.
        RecordError: If the episode cannot be replayed.
        PhysaiError: As :func:`physai.tasks.registry.make_cycle`.
    """
    episode = Episode.load(path)
    header = episode.header
    for needed in ("environment_id", "scenario", "guard_mode"):
        if needed not in header:
            raise RecordError(
                f"{path}: the header lacks {needed}; it cannot be replayed"
            )
    recorded = str(header.get("plant") or "bullet")
    chosen = plant or (recorded if recorded in SIMULATED else "replay")
    mode = guard or str(header["guard_mode"])
    kind = "exact"
    if chosen == "replay":
        kind = "asked_again"
    elif mode != header["guard_mode"] or settings or chosen != recorded:
        kind = "what_if"
    if kind == "asked_again" and settings:
        raise ConfigError(f"{path}: --set needs a simulated plant; a log cannot change")
    scenario = _scenario(header["scenario"], settings, str(path))
    arguments: dict[str, Any] = {"episode": episode}
    if chosen != "replay":
        arguments = {"observation": str(header.get("observation", "state"))}
    cycle = registry.make_cycle(
        str(header["environment_id"]), plant=chosen, guard=mode, **arguments
    )
    try:
        follow = on_start(cycle) if on_start is not None else None
        return _run(cycle, episode, scenario, kind, follow)
    finally:
        cycle.close()


def _scenario(value: dict[str, Any], settings: Sequence[str], origin: str) -> Scenario:
    for setting in settings:
        _check_path(value, setting, origin)
    changed = configuration.override(value, list(settings), origin)
    return configuration.parse(Scenario, changed, origin)


def _check_path(value: Any, setting: str, origin: str) -> None:
    """Refuse a path that the scenario does not have; ``values`` may gain names."""
    path = setting.partition("=")[0].split(".")
    node = value
    for depth, key in enumerate(path):
        if path[0] == "values" and depth == 1:
            return
        names = (
            [str(place) for place in range(len(node))]
            if isinstance(node, list)
            else list(node)
            if isinstance(node, dict)
            else []
        )
        if key not in names:
            where = ".".join(path[:depth]) or "the scenario"
            raise ConfigError(
                f'{origin}: --set "{setting}": {where} has no "{key}"; '
                f"{suggest(key, names)}"
            )
        node = node[int(key)] if isinstance(node, list) else node[key]


def _run(
    cycle: Cycle,
    episode: Episode,
    scenario: Scenario,
    kind: str,
    follow: Callable[[StepRecord], None] | None,
) -> Replay:
    actions = episode.column("action")
    decided = episode.column("decision_action")
    tally = _Tally(cycle.spec.rule_names)
    difference, changed = None, 0
    cycle.reset(scenario)
    steps = 0
    for step, action in enumerate(actions):
        record = cycle.step(action)
        steps = step + 1
        tally.add(record, cycle.scorer.active)
        if follow is not None:
            follow(record)
        if kind == "exact" and difference is None:
            difference = _compare(episode, step, record)
        if kind == "asked_again":
            changed += int(record.decision.action) != int(decided[step])
        if record.terminated or record.truncated:
            break
    if kind == "exact" and difference is None and steps != episode.length:
        difference = Difference(steps - 1, "length", float(episode.length - steps))
    return Replay(
        kind,
        _recorded(episode, cycle),
        tally.outcome(cycle),
        difference,
        changed,
        _causes(episode, cycle),
    )


def _compare(episode: Episode, step: int, record: StepRecord) -> Difference | None:
    for name, get in _COMPARED:
        new = get(record)
        if new is None or name not in episode.column_names:
            continue
        old: npt.NDArray[Any] = np.asarray(episode.column(name)[step])
        value = np.asarray(new, dtype=np.float64)
        if name == "state_people":
            old = episode.state(step).people
        if old.shape != value.shape:
            return Difference(step, name, float("inf"))
        if np.array_equal(old, value, equal_nan=True):
            continue
        gap = np.abs(old - value)
        size = float(np.nanmax(gap)) if np.isfinite(gap).any() else float("nan")
        return Difference(step, name, size)
    return None


class _Tally:
    """Adds up what an outcome says."""

    def __init__(self, rules: Sequence[str]) -> None:
        self._rules = rules
        self._violated: set[str] = set()
        self._cost = self._force = 0.0
        self._steps = self._interventions = 0
        self._success = False

    def add(self, record: StepRecord, active: npt.NDArray[np.bool_]) -> None:
        self._steps += 1
        self._cost += record.cost
        self._interventions += record.decision.intervened
        self._success = record.success
        if record.truth_margins is not None:
            bad = active & ~(record.truth_margins >= 0.0)
            self._violated |= {self._rules[int(i)] for i in np.flatnonzero(bad)}
        if record.truth is not None:
            peak = float(record.truth.contact.force_peak_n.max(initial=0.0))
            self._force = max(self._force, peak)

    def outcome(self, cycle: Cycle) -> Outcome:
        return Outcome(
            self._steps,
            self._success,
            self._cost,
            tuple(sorted(self._violated)),
            self._force,
            self._interventions,
        )


def _recorded(episode: Episode, cycle: Cycle) -> Outcome:
    """Return the outcome of the log, judged as the replay is."""
    tally = _Tally(cycle.spec.rule_names)
    cycle.scorer.reset()
    nothing = np.zeros(len(cycle.spec.rule_names), dtype=np.bool_)
    for record in episode.steps():
        if record.truth is not None:
            cycle.scorer.update(record.truth.state, record.truth)
            tally.add(record, cycle.scorer.active)
        else:
            tally.add(record, nothing)
    return tally.outcome(cycle)


def _causes(episode: Episode, cycle: Cycle) -> tuple[str, ...]:
    """Name what is not as it was when the episode was recorded."""
    from physai import __version__

    here = {
        "environment": cycle.environment.digest,
        "robot": cycle.task.robot.digest,
        "guard": cycle.spec.digest,
    }
    then = episode.header.get("digests") or {}
    found = [
        f"{name} was {str(then[name])[:12]}, is {digest[:12]}"
        for name, digest in here.items()
        if then.get(name) and then[name] != digest
    ]
    version = (episode.header.get("versions") or {}).get("physai")
    if version and version != __version__:
        found.append(f"physai was {version}, is {__version__}")
    return tuple(found)
