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

import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from physai.evaluation.arm import Arm, Job
from physai.evaluation.covering import missing_combinations
from physai.evaluation.fault_judgement import RowResult, judge_row
from physai.evaluation.fault_matrix import (
    FaultMatrix,
    FaultMatrixConfig,
    load_matrix,
)
from physai.evaluation.run import run_plan
from physai.evaluation.statistics import upper_bound
from physai.evaluation.suite import PlannedEpisode
from physai.record.episode import Episode

__all__ = ["matrix_lines", "run_matrices", "run_matrix"]


def run_matrices(
    names: Sequence[str],
    workers: int = 2,
    out: str | os.PathLike[str] = "fault_matrix",
    *,
    progress: bool = True,
) -> Iterator[dict[str, Any]]:
    """Run matrices one after the other; each is given as soon as it is judged.

    Args:
        names: Names in ``configs/faults``, or paths.
        workers: Processes.
        out: Where episodes go; what is there is continued.
        progress: Show bars on stderr when it is a terminal.

    Yields:
        One JSON value per matrix, see :func:`run_matrix`.

    Raises:
        PhysaiError: If a matrix is wrong, a library lacks or the folder holds another.
    """
    for config in [load_matrix(name) for name in names]:
        yield run_matrix(config, workers, Path(out) / config.id, progress=progress)


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
        "stops_not_followed": [_name(r) for r in reached if not r.stop_followed],
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
        f"{'moving contact':>14s} {'by fault':>8s} {'stop not followed':>17s}"
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
            f"{hidden['force_exceeded_by_fault']:8d} {moving:14d} {due:8d} "
            f"{len(m['stops_not_followed']):17d}"
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
