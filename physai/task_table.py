"""One table over every environment: can it be done, does the guard hold, what it costs.

Each environment is measured in a process of its own, so that memory is its own and a
crash costs one row.
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from physai.evaluation.held_out import count_held_out
from physai.evaluation.workers import make_pool
from physai.provenance import environment_record, git_revision
from physai.tasks import registry
from physai.tasks.cycle import Cycle

__all__ = ["run_task_table", "step_cost"]

_STEPS = 40


def run_task_table(
    ids: Sequence[str] | None = None,
    episodes: int = 200,
    challenges: int = 50,
    progress: bool = True,
    kept: Sequence[dict[str, Any]] = (),
    save: Callable[[dict[str, Any]], None] = lambda result: None,
) -> dict[str, Any]:
    """Measure every environment and return JSON values; ``lines`` is what a person reads.

    Args:
        ids: Environments; None takes all.
        episodes: Held-out episodes of the expert.
        challenges: Episodes of the adversary, with the guard off and on.
        progress: Show a bar on stderr when it is a terminal.
        kept: Rows of an earlier table; those of environments that are not measured
            now stay in the new one.
        save: Called with the table after every environment.
    """
    from tqdm import tqdm

    chosen = list(ids or registry.ids())
    rows = {row["id"]: row for row in kept}
    shown = progress and sys.stderr.isatty()
    for name in tqdm(chosen, unit="environment", disable=not shown, leave=False):
        with make_pool(1) as pool:
            rows[name] = pool.submit(_row, name, episodes, challenges).result()
        save(_table(rows))
    return _table(rows)


def _table(rows: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Return the table of rows by environment, in the order of the registry."""
    known = [name for name in registry.ids() if name in rows]
    others = [name for name in rows if name not in known]
    result: dict[str, Any] = {"environment": environment_record()}
    result["tasks"] = [rows[name] for name in (*known, *others)]
    result["lines"] = _lines(result)
    return result


def step_cost(cycle: Cycle, blocks: int = 10) -> dict[str, float]:
    """Measure a control step and the time of it inside Bullet's own stepping.

    Both are told by the same clock in the same steps, so that a busy machine favours
    neither. Everything but ``stepSimulation`` is outside: also the forces of the ground
    under a base that drives.

    Args:
        cycle: Reset and with time left.
        blocks: Blocks of steps.

    Returns:
        ``share`` of a step outside ``stepSimulation`` with its quartiles over the
        blocks, ``step_us`` and ``real_time_factor``.
    """
    from physai.plant.bullet import engine_time

    rng = np.random.default_rng(0)
    size = len(cycle.spaces.action_names)
    actions = 0.2 * rng.uniform(-1.0, 1.0, (_STEPS, size))

    def steps() -> float:
        start = time.perf_counter()
        for action in actions:
            if cycle.step(action).terminated:
                cycle.reset(cycle.scenario)  # type: ignore[arg-type]
        return time.perf_counter() - start

    steps()
    ratios, times = [], []
    with engine_time() as inside:
        for _ in range(blocks):
            before = inside[0]
            whole = steps()
            ratios.append(1.0 - (inside[0] - before) / whole)
            times.append(whole / _STEPS)
    low, middle, high = np.quantile(ratios, [0.25, 0.5, 0.75])
    step_s = float(np.median(times))
    return {
        "share": float(middle),
        "quartile_low": float(low),
        "quartile_high": float(high),
        "step_us": 1e6 * step_s,
        "real_time_factor": 1.0 / (step_s * cycle.environment.control_hz),
    }


def _row(name: str, episodes: int, challenges: int) -> dict[str, Any]:
    """Everything about one environment."""
    cycle = registry.make_cycle(name, guard="on")
    row: dict[str, Any] = {
        "id": name,
        "git_revision": git_revision(),
        "environment_digest": cycle.environment.digest,
        "safety_digest": cycle.spec.digest,
    }
    row["expert"] = count_held_out(cycle, cycle.scripted_policy("expert"), episodes)
    first = cycle.environment.distributions["test"].seeds.first
    scenario = cycle.task.sample_scenario(first, "test")
    cycle.reset(scenario.model_copy(update={"duration_s": 3600.0}))
    row["step"] = step_cost(cycle)
    cycle.close()
    for guard in ("off", "on"):
        cycle = registry.make_cycle(name, guard=guard)
        enemy = cycle.scripted_policy("adversary", 1)
        row[f"adversary_{guard}"] = count_held_out(
            cycle, enemy, challenges, first=100_000
        )
        cycle.close()
    # Kilobytes on Linux.
    row["memory_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024.0
    return row


def _lines(result: dict[str, Any]) -> list[str]:
    lines = [
        f"{'environment':32s} {'expert safe success':>24s} {'unsafe off':>10s} "
        f"{'unsafe on':>10s} {'steps/s':>8s} {'outside':>8s} {'x real':>7s} {'MB':>5s}"
    ]
    for row in result["tasks"]:
        expert, step = row["expert"], row["step"]
        low, high = expert["safe_success_interval_95"]
        off, on = (_unsafe(row[f"adversary_{guard}"]) for guard in ("off", "on"))
        lines.append(
            f"{row['id']:32s} {expert['safe_success']:8.1%} [{low:.1%}, {high:.1%}] "
            f"{off:>10s} {on:>10s} {1e6 / step['step_us']:8.0f} {step['share']:8.0%} "
            f"{step['real_time_factor']:7.0f} {row['memory_mb']:5.0f}"
        )
    lines.append(
        "unsafe: episodes of the adversary with a violated hard rule; outside: share of a "
        "control step outside the engine's stepping"
    )
    return lines


def _unsafe(counts: dict[str, Any]) -> str:
    table = counts["table"]
    unsafe = table["unsafe_success"] + table["unsafe_failure"]
    return f"{unsafe}/{counts['episodes']}"
