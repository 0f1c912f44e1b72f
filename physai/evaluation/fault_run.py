"""Run fault matrices and judge what is stored of them.

Of a fault that an input can reveal, a stop is demanded within the budget: the guard's
(stop2, stop1 or stop0), or that the robot stands still for as long as the fault lasts.
Of any other, that the limits of contact force hold. Contacts with a moving robot are
counted apart, and everything that does not hold is listed with the scenario and seed.

People here walk on into the robot, which no stop prevents. So every row in which a force
or a moving contact counts is run again on the same seed without its faults: what happens
there too is not due to the fault, and is said to be so.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

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
from physai.evaluation.suite import PlannedEpisode
from physai.record.episode import Episode
from physai.robot.description import load_robot
from physai.types import Action

__all__ = ["RowResult", "judge_row", "matrix_lines", "run_matrices", "run_matrix"]

_FORCE, _MOVING = "contact_force", "moving_contact"
_STANDS = 0.02
"""Share of an actuator's speed limit below which it stands, as for a latched stop."""
_PUSHED_S = 1.0
"""How long a push moves a robot that brakes."""
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
        force_held_without: The same without the faults; None where that was not run.
        moving_contact_without: The same.
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
    force_held_without: bool | None = None
    moving_contact_without: bool | None = None

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
    cycle = registry.make_cycle(environment, guard="on")
    matrix = FaultMatrix(config, environment, cycle.spec)
    cycle.close()
    results: list[RowResult] = []
    digests: dict[str, str] = {}
    for policy in config.policies:
        suite, plan = matrix.plan(policy)
        job = Job(policy, suite, "on", "bullet", (out / policy).resolve())
        digests = _run(job, plan, workers, progress)
        results += _compared(matrix, policy, _judged(matrix, job, plan), job, workers)
    kept = ("environment", "robot", "guard")
    return _summary(config, matrix, results, {key: digests[key] for key in kept})


def _run(
    job: Job, plan: Sequence[PlannedEpisode], workers: int, progress: bool
) -> dict[str, str]:
    """Run what is not there yet; return the digests of what decides the outcome."""
    arm = Arm(job)
    try:
        run_plan(arm, plan, workers, progress=progress)
        return arm.digests
    finally:
        arm.close()


def _judged(
    matrix: FaultMatrix, job: Job, plan: Sequence[PlannedEpisode]
) -> list[RowResult]:
    rows = {row.case: row for row in matrix.rows}
    folder = job.folder / "episodes"
    return [
        judge_row(rows[each.case], Episode.load(folder / f"{each.name}.parquet"))
        for each in plan
    ]


def _compared(
    matrix: FaultMatrix,
    policy: str,
    results: list[RowResult],
    job: Job,
    workers: int,
) -> list[RowResult]:
    """Run the rows with a force or a moving contact again without their faults."""
    doubtful = {r.case for r in results if not r.force_held or r.moving_contact}
    suite, plan = matrix.plan(policy, with_faults=False)
    again = [each for each in plan if each.case in doubtful]
    if not again:
        return results
    folder = job.folder.with_name(f"{policy}_without_faults")
    other = replace(job, suite=suite, folder=folder)
    _run(other, again, workers, False)
    without = {r.case: r for r in _judged(matrix, other, again)}
    return [
        replace(
            r,
            force_held_without=without[r.case].force_held,
            moving_contact_without=without[r.case].moving_contact,
        )
        if r.case in without
        else r
        for r in results
    ]


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
    rests = (speed <= _STANDS * robot.velocity_max).all(axis=1)
    # Who is pushed by somebody and told to stand, stands.
    told = np.abs(episode.column("command_sent_actuator_velocity")).max(axis=1)
    rests |= (told == 0.0) & _touched(episode)
    at = min(int(np.searchsorted(times, row.budget_s - 1e-9)), len(times) - 1)
    brakes_s = float((speed[at] / robot.braking_max).max())
    due = row.budget_s + brakes_s + _SLACK_PERIODS / float(episode.header["control_hz"])
    end = max(fault.duration_s for fault in row.faults)
    mine = (times >= due - 1e-9) & (times <= max(end, due))
    if not mine.any():
        # It ended before: by a latched stop at rest, or because the task was done.
        mine = times == times[-1]
    return bool(rests[mine].all())


def _touched(episode: Episode) -> npt.NDArray[np.bool_]:
    """Return (t,) whether somebody touched the robot within the last second."""
    peak = episode.column("truth_contact_force_peak_n").reshape(episode.length, -1)
    window = round(_PUSHED_S * float(episode.header["control_hz"]))
    touched = np.zeros(episode.length, dtype=np.bool_)
    for step in np.flatnonzero((peak > 0.0).any(axis=1)).tolist():
        touched[step : step + window + 1] = True
    return touched


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
            "not_reached": [_name(r) for r in results if not r.reached],
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
    reactions = [
        r.reaction_s
        for r in results
        if r.stopped
        and r.reaction_s is not None
        and r.reaction_s <= (r.budget_s or 0.0)
    ]
    return {
        "rows": len(results),
        criterion: held,
        "failed": failed,
        "upper_bound_95": upper_bound(failed, max(1, len(results)), 0.95),
        "moving_contact": sum(r.moving_contact for r in results),
        "force_exceeded": sum(not r.force_held for r in results),
        "moving_contact_by_fault": sum(
            r.moving_contact and r.moving_contact_without is False for r in results
        ),
        "force_exceeded_by_fault": sum(
            not r.force_held and r.force_held_without is True for r in results
        ),
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
        f"{'not shown':>9s} {'forces held':>11s} {'by fault':>8s} "
        f"{'moving contact':>14s} {'by fault':>8s}"
    ]
    for m in matrices:
        shown, hidden = m["detectable"], m["undetectable"]
        moving, due = (
            sum(part[key] for part in (shown, hidden))
            for key in ("moving_contact", "moving_contact_by_fault")
        )
        lines.append(
            f"{m['id']:26s} {m['coverage']['rows']:5d} {shown['rows']:13d} "
            f"{shown['stopped']:8d} {hidden['rows']:9d} {hidden['force_held']:11d} "
            f"{hidden['force_exceeded_by_fault']:8d} {moving:14d} {due:8d}"
        )
    for m in matrices:
        for failure in m["failures"]:
            what = (
                f"no stop within {failure['budget_s']:.2f} s"
                if failure["detectable"]
                else f"force {failure['force_ratio']:.1f} times its limit"
                + ("" if failure["force_held_without"] else ", without the fault too")
            )
            second = failure["levels"]["second"]
            lines.append(
                f"  {m['id']} {failure['case']} ({failure['levels']['level']}, "
                f"{failure['levels']['situation']}, second {second}, "
                f"{failure['policy']}, seed {failure['seed']}): {what}"
            )
    return lines
