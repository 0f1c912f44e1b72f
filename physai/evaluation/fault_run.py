"""Run fault matrices and judge what is stored of them.

Of a fault that an input can reveal, a stop is demanded within the budget: the guard's
(stop2, stop1 or stop0), or that the robot stands still for as long as the fault lasts.
Of any other, that the limits of contact force hold. Contacts with a moving robot are
counted apart, and everything that does not hold is listed with the scenario and seed.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from physai.evaluation.arm import Arm, Job
from physai.evaluation.covering import missing_combinations
from physai.evaluation.facts import RuleFacts
from physai.evaluation.fault_matrix import (
    FaultMatrix,
    FaultMatrixConfig,
    MatrixRow,
    load_matrix,
)
from physai.evaluation.metrics import measure
from physai.evaluation.run import run_plan
from physai.evaluation.statistics import upper_bound
from physai.record.episode import Episode
from physai.robot.description import load_robot
from physai.types import Action

__all__ = ["RowResult", "judge_row", "matrix_lines", "run_matrices", "run_matrix"]

_FORCE, _MOVING = "contact_force", "moving_contact"
_STANDS = 0.02
"""Share of an actuator's speed limit below which it stands, as for a latched stop."""
_SLACK_PERIODS = 2
"""A plant follows a command within so many periods."""


@dataclass(frozen=True)
class RowResult:
    """What became of one row.

    Attributes:
        case: Of the row.
        seed: Of its scenario.
        policy: Who drove.
        levels: Factor to level.
        reached: The episode was still on when the fault began.
        detectable: A stop was demanded.
        stopped: It came in time.
        reaction_s: From the fault to the guard's stop; None without one.
        budget_s: Within which it was due; None where none was demanded.
        rule: Rule of the guard's first stop after the fault; empty without one.
        force_held: The limits of contact force held.
        force_ratio: Largest force over its limit.
        moving_contact: There was a contact with a moving robot.
        violations: Hard rules and the steps in which the truth violated them.
    """

    case: str
    seed: int
    policy: str
    levels: dict[str, str]
    reached: bool
    detectable: bool
    stopped: bool
    reaction_s: float | None
    budget_s: float | None
    rule: str
    force_held: bool
    force_ratio: float
    moving_contact: bool
    violations: dict[str, int]

    @property
    def holds(self) -> bool:
        """Whether the criterion of the row is met; a row that was not reached has none."""
        return not self.reached or (
            self.stopped if self.detectable else self.force_held
        )


def run_matrices(
    names: Sequence[str],
    workers: int = 2,
    out: str | os.PathLike[str] = "fault_matrix",
    *,
    progress: bool = True,
) -> list[dict[str, Any]]:
    """Run matrices one after the other.

    Args:
        names: Names in ``configs/faults``, or paths.
        workers: Processes.
        out: Where episodes go; what is there is continued.
        progress: Show bars on stderr when it is a terminal.

    Returns:
        One JSON value per matrix, see :func:`run_matrix`.

    Raises:
        PhysaiError: If a matrix is wrong, a library lacks or the folder holds another.
    """
    configs = [load_matrix(name) for name in names]
    return [
        run_matrix(config, workers, Path(out) / config.id, progress=progress)
        for config in configs
    ]


def run_matrix(
    config: FaultMatrixConfig, workers: int, out: Path, *, progress: bool = True
) -> dict[str, Any]:
    """Run one matrix and judge it.

    Args:
        config: The matrix.
        workers: Processes.
        out: One folder per policy is made there.
        progress: Show bars on stderr when it is a terminal.

    Returns:
        JSON values: ``id``, ``digest``, ``digests`` (of environment, robot and guard),
        ``seeds``, ``factors``, ``coverage``, ``detectable`` and ``undetectable`` with
        their counts, ``by_fault`` and ``failures``.

    Raises:
        PhysaiError: As :func:`run_matrices`.
    """
    from physai.tasks import registry

    environment = registry.load_environment(config.environment)
    results: list[RowResult] = []
    matrix: FaultMatrix | None = None
    digests: dict[str, str] = {}
    for policy in config.policies:
        if matrix is None:
            with_spec = registry.make_cycle(environment, guard="on")
            matrix = FaultMatrix(config, environment, with_spec.spec)
            with_spec.close()
        suite, plan = matrix.plan(policy)
        folder = (out / policy).resolve()
        arm = Arm(Job(policy, suite, "on", "bullet", folder))
        try:
            digests = {k: arm.digests[k] for k in ("environment", "robot", "guard")}
            run_plan(arm, plan, workers, progress=progress)
        finally:
            arm.close()
        rows = {row.case: row for row in matrix.rows}
        results += [
            judge_row(
                rows[each.case],
                Episode.load(folder / "episodes" / f"{each.name}.parquet"),
            )
            for each in plan
        ]
    assert matrix is not None
    return _summary(config, matrix, results, digests)


def judge_row(row: MatrixRow, episode: Episode) -> RowResult:
    """Judge one stored episode.

    Args:
        row: What was run.
        episode: What is stored of it.
    """
    rules = [RuleFacts.from_json(rule) for rule in episode.header["rules"]]
    metrics = measure(episode, rules)
    start = row.faults[0].start_s
    times, actions = episode.column("time_s"), episode.column("decision_action")
    after = np.flatnonzero((actions >= int(Action.STOP2)) & (times >= start - 1e-9))
    reaction = float(times[after[0]]) - start if len(after) else math.nan
    guard = reaction <= row.budget_s + 1e-9 and not row.by_robot
    stopped = row.detectable and (guard or _stands(row, episode))
    ratio = metrics.force_ratio[np.isfinite(metrics.force_ratio)]
    return RowResult(
        case=row.case,
        seed=row.seed,
        policy=row.levels["policy"],
        levels=dict(row.levels),
        reached=bool(times[-1] > start),
        detectable=row.detectable,
        stopped=stopped,
        reaction_s=reaction if math.isfinite(reaction) else None,
        budget_s=row.budget_s if row.detectable else None,
        rule=str(episode.column("decision_rule")[after[0]]) if len(after) else "",
        force_held=not metrics.violations.get(_FORCE, 0),
        force_ratio=float(ratio.max(initial=0.0)),
        moving_contact=bool(metrics.violations.get(_MOVING, 0)),
        violations={k: v for k, v in metrics.violations.items() if v},
    )


def _stands(row: MatrixRow, episode: Episode) -> bool:
    """Whether the robot, braking from the budget on, rests until the fault ends."""
    robot = load_robot(str(episode.header["robot"]))
    times = episode.column("time_s") - row.faults[0].start_s
    speed = np.abs(episode.column("truth_state_actuator_velocity"))
    at = min(int(np.searchsorted(times, row.budget_s - 1e-9)), len(times) - 1)
    brakes_s = float((speed[at] / robot.braking_max).max())
    due = row.budget_s + brakes_s + _SLACK_PERIODS / float(episode.header["control_hz"])
    end = max(fault.duration_s for fault in row.faults)
    mine = (times >= due - 1e-9) & (times <= max(end, due))
    if not mine.any():
        # It ended before: by a latched stop at rest, or because the task was done.
        mine = times == times[-1]
    return bool((speed[mine] <= _STANDS * robot.velocity_max).all())


def _summary(
    config: FaultMatrixConfig,
    matrix: FaultMatrix,
    results: Sequence[RowResult],
    digests: dict[str, str],
) -> dict[str, Any]:
    missing = missing_combinations(
        [row.levels for row in matrix.rows], matrix.factors, matrix.conflicts
    )
    reached = [r for r in results if r.reached]
    return {
        "id": config.id,
        "environment": config.environment,
        "digest": config.digest,
        "digests": digests,
        "seeds": config.seeds.model_dump(),
        "duration_s": config.duration_s,
        "factors": {name: list(levels) for name, levels in matrix.factors.items()},
        "coverage": {
            "strength": 3,
            "rows": len(results),
            "missing_triples": len(missing),
            "reached": len(reached),
        },
        "detectable": _count([r for r in reached if r.detectable], "stopped"),
        "undetectable": _count([r for r in reached if not r.detectable], "force_held"),
        "by_fault": _by_fault(reached),
        "failures": [asdict(r) for r in reached if not r.holds],
        "force_exceeded": [
            _name(r) for r in reached if r.detectable and not r.force_held
        ],
        "moving_contacts": [_name(r) for r in reached if r.moving_contact],
    }


def _count(results: Sequence[RowResult], criterion: str) -> dict[str, Any]:
    held = sum(bool(getattr(r, criterion)) for r in results)
    failed = len(results) - held
    reactions = [r.reaction_s for r in results if r.reaction_s is not None]
    return {
        "rows": len(results),
        criterion: held,
        "failed": failed,
        "upper_bound_95": upper_bound(failed, max(1, len(results)), 0.95),
        "moving_contact": sum(r.moving_contact for r in results),
        "force_exceeded": sum(not r.force_held for r in results),
        "largest_force_ratio": max((r.force_ratio for r in results), default=0.0),
        "slowest_reaction_s": max(reactions, default=None),
    }


def _by_fault(results: Sequence[RowResult]) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for r in results:
        row = found.setdefault(
            r.levels["fault"],
            {"rows": 0, "demanded": 0, "failed": 0, "moving_contact": 0, "force": 0},
        )
        row["rows"] += 1
        row["demanded"] += r.detectable
        row["failed"] += not r.holds
        row["moving_contact"] += r.moving_contact
        row["force"] += not r.force_held
    return found


def _name(r: RowResult) -> str:
    return f"{r.case} {r.policy} seed {r.seed}"


def matrix_lines(matrices: Sequence[dict[str, Any]]) -> list[str]:
    """Return the table that a person reads, failures with scenario and seed."""
    lines = [
        f"{'fault matrix':26s} {'rows':>5s} {'stop demanded':>13s} {'in time':>8s} "
        f"{'not shown':>9s} {'forces held':>11s} {'moving contact':>14s}"
    ]
    for m in matrices:
        shown, hidden = m["detectable"], m["undetectable"]
        moving = shown["moving_contact"] + hidden["moving_contact"]
        lines.append(
            f"{m['id']:26s} {m['coverage']['rows']:5d} {shown['rows']:13d} "
            f"{shown['stopped']:8d} {hidden['rows']:9d} {hidden['force_held']:11d} "
            f"{moving:14d}"
        )
    for m in matrices:
        for failure in m["failures"]:
            what = (
                f"no stop within {failure['budget_s']:.2f} s"
                if failure["detectable"]
                else f"force {failure['force_ratio']:.1f} times its limit"
            )
            second = failure["levels"]["second"]
            lines.append(
                f"  {m['id']} {failure['case']} ({failure['levels']['level']}, "
                f"{failure['levels']['situation']}, second {second}, "
                f"{failure['policy']}, seed {failure['seed']}): {what}"
            )
    return lines
