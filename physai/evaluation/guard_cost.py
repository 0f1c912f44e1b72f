"""What the guard costs where nothing is wrong: stops, success and time.

A guard that is never wrong because the robot never moves is a failure too. The task's
expert runs nominal scenarios with the guard off and on, the same ones: how often does it
stop for want of a reading or by its own watch over drives (a *needless* stop, since
nothing is broken), how often because somebody or something asked for it, what becomes of
success, and how much longer does a success take.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from physai.evaluation.statistics import clopper_pearson
from physai.evaluation.workers import make_pool
from physai.provenance import git_revision
from physai.tasks import registry
from physai.types import Action

if TYPE_CHECKING:
    from physai.tasks.cycle import Cycle

__all__ = ["measure_guard_cost"]

_NEEDLESS = frozenset(
    {
        "input_integrity",
        "joint_age",
        "people_age",
        "people_missing",
        "face_age",
        "interface_age",
        "tool_force_age",
        "lidar_age",
        "load_age",
        "extra_age",
        "frozen_source",
        "plausibility",
        "pose_jump",
        "period_overrun",
        "unexpected_motion",
        "following",
        "joint_effort",
        "exception",
    }
)
"""Kinds of rules that stop for a fault; in a nominal scenario there is none."""


@dataclass
class _Arm:
    """What one guard mode did."""

    success: list[bool] = field(default_factory=list)
    time_s: list[float] = field(default_factory=list)
    stops: Counter[str] = field(default_factory=Counter)
    needless: int = 0
    held_steps: int = 0
    changed_steps: int = 0
    steps: int = 0


def measure_guard_cost(
    ids: Sequence[str] | None = None,
    episodes: int = 60,
    workers: int = 2,
    *,
    progress: bool = True,
    kept: Sequence[dict[str, Any]] = (),
) -> dict[str, Any]:
    """Run every task's expert in nominal scenarios, guard off and on.

    Args:
        ids: Environments; None takes all.
        episodes: Per environment and guard mode.
        workers: Processes, one environment each.
        progress: Show a bar on stderr when it is a terminal.
        kept: Rows of an earlier table, for the environments that are not run.

    Returns:
        JSON values: ``tasks``, one row each with the revision that it is of, and
        ``lines``, what a person reads.
    """
    from tqdm import tqdm

    chosen = list(ids or registry.ids())
    shown = progress and sys.stderr.isatty()
    with make_pool(max(1, workers), max_tasks_per_child=1) as pool:
        done = pool.map(_measure, chosen, [episodes] * len(chosen))
        rows = list(tqdm(done, total=len(chosen), disable=not shown))
    revision = git_revision()
    made = {row["id"]: {**row, "git_revision": revision} for row in rows}
    rows = list({**{row["id"]: row for row in kept}, **made}.values())
    return {"tasks": rows, "lines": _lines(rows)}


def _measure(name: str, episodes: int) -> dict[str, Any]:
    arms = {guard: _run(name, guard, episodes) for guard in ("off", "on")}
    off, on = arms["off"], arms["on"]
    both = [
        (slow, fast)
        for slow, fast, a, b in zip(
            on.time_s, off.time_s, on.success, off.success, strict=True
        )
        if a and b
    ]
    control_hz = registry.load_environment(name).control_hz
    hours = on.steps / control_hz / 3600.0
    return {
        "id": name,
        "episodes": episodes,
        "success_off": _share(off.success),
        "success_on": _share(on.success),
        "lost_points": 100.0 * (np.mean(off.success) - np.mean(on.success)),
        "time_ratio": float(np.mean([a / b for a, b in both])) if both else None,
        "hours": hours,
        "needless_stops_per_hour": on.needless / hours,
        "stops_per_hour": {
            rule: count / hours for rule, count in on.stops.most_common()
        },
        "share_of_time_held": on.held_steps / on.steps,
        "share_of_time_changed": on.changed_steps / on.steps,
    }


def _share(values: Sequence[bool]) -> dict[str, float]:
    low, high = clopper_pearson(sum(values), len(values))
    return {"share": float(np.mean(values)), "low": low, "high": high}


def _run(name: str, guard: str, episodes: int) -> _Arm:
    cycle, arm = registry.make_cycle(name, guard=guard), _Arm()
    environment = cycle.environment
    kinds = {rule.id: rule.rule for rule in cycle.spec.config.rules}
    nominal = [t.name for t in environment.templates if t.kind == "nominal"]
    first = environment.distributions["test"].seeds.first
    try:
        for number in range(episodes):
            scenario = cycle.task.sample_scenario(
                first + number, "test", nominal[number % len(nominal)]
            )
            _episode(cycle, scenario, kinds, arm)
    finally:
        cycle.close()
    return arm


def _episode(cycle: Cycle, scenario: Any, kinds: dict[str, str], arm: _Arm) -> None:
    expert = cycle.scripted_policy("expert", scenario.seed)
    expert.reset()
    cycle.reset(scenario)
    stopped = False
    while True:
        record = cycle.step(expert.act(cycle.observation))
        decision = record.decision
        holds = decision.action >= Action.STOP2
        if holds and not stopped:
            arm.stops[decision.rule] += 1
            arm.needless += kinds.get(decision.rule, decision.rule) in _NEEDLESS
        stopped = holds
        arm.held_steps += holds
        arm.changed_steps += decision.intervened
        arm.steps += 1
        if record.terminated or record.truncated:
            break
    arm.success.append(bool(record.success))
    arm.time_s.append(record.time_s)


def _lines(rows: Sequence[dict[str, Any]]) -> list[str]:
    lines = [
        "expert in nominal scenarios, guard off and on:",
        f"{'environment':30s} {'success off':>11s} {'on':>6s} {'time':>6s} "
        f"{'needless stops/h':>17s} {'held':>6s} {'changed':>8s}  stops/h by rule",
    ]
    for row in rows:
        ratio = row["time_ratio"]
        stops = ", ".join(
            f"{rule} {n:.1f}" for rule, n in list(row["stops_per_hour"].items())[:4]
        )
        lines.append(
            f"{row['id']:30s} {row['success_off']['share']:11.1%} "
            f"{row['success_on']['share']:6.1%} "
            f"{'-' if ratio is None else f'x{ratio:.2f}':>6s} "
            f"{row['needless_stops_per_hour']:17.2f} {row['share_of_time_held']:6.1%} "
            f"{row['share_of_time_changed']:8.1%}  {stops}"
        )
    return lines
