"""Run a suite: episodes on disk first, then a verdict from what is on disk.

An evaluation folder holds ``episodes/``, ``evaluation.json`` (what was run with what),
``verdict.json`` and ``junit.xml``. A run that was cut short goes on where it stopped:
an episode that is there, complete and made with equal digests, is not run again.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from physai.errors import (
    ContractError,
    PhysaiError,
    RecordError,
    RefusedError,
    suggest,
)
from physai.evaluation.arm import Arm, Job
from physai.evaluation.cluster import Cluster, run_on_cluster
from physai.evaluation.facts import rule_facts
from physai.evaluation.scoring import score
from physai.evaluation.suite import (
    PlannedEpisode,
    SuiteConfig,
    check_suite,
    load_suite,
    plan_suite,
)
from physai.evaluation.verdict_file import write_junit, write_verdict
from physai.evaluation.workers import make_pool, starting_workers
from physai.record.episode import read_header
from physai.types import Verdict

__all__ = [
    "EXECUTORS",
    "Evaluation",
    "run_plan",
    "run_suite",
]

EXECUTORS = ("local", "ray")


@dataclass(frozen=True)
class Evaluation:
    """What :func:`run_suite` made.

    Attributes:
        folder: The evaluation folder.
        verdict: The verdict.
        run: Episodes that were run now; the others were there already.
    """

    folder: Path
    verdict: Verdict
    run: int = field(default=0)


def run_suite(
    policy: str,
    suite: str | SuiteConfig,
    guard: str = "on",
    plant: str = "bullet",
    workers: int = 1,
    executor: str = "local",
    out: str | os.PathLike[str] | None = None,
    *,
    trust: bool = False,
    cluster: Cluster | None = None,
    progress: bool = True,
) -> Evaluation:
    """Run a suite and judge it.

    Args:
        policy: Bundle, name, file or scripted policy.
        suite: Name, path or configuration.
        guard: ``on``, ``observe`` or ``off``.
        plant: Name of the plant.
        workers: Processes of the executor ``local``; results do not depend on them.
        executor: ``local`` or ``ray``.
        out: Evaluation folder; an existing one of the same run is continued. With the
            executor ``ray`` on storage that all nodes share.
        trust: Load what can run code or is not signed by a trusted key.
        cluster: Of the executor ``ray``: where, and what each episode takes.
        progress: Show a bar on stderr when it is a terminal.

    Returns:
        Folder and verdict. The report page is written by
        :func:`physai.report.report.write_report`.

    Raises:
        PhysaiError: If the suite, policy or plant cannot be used, or the folder holds
            another run.
    """
    from physai.tasks import registry

    if executor not in EXECUTORS:
        raise ContractError(f'no executor "{executor}": {suggest(executor, EXECUTORS)}')
    config = load_suite(suite) if isinstance(suite, str) else suite
    environment = registry.load_environment(config.environment)
    name = Path(policy).stem if "/" in policy else policy.replace(":", "_")
    folder = Path(out) if out is not None else Path(f"{config.id}_{name}_{guard}")
    job = Job(policy, config, guard, plant, folder.resolve(), trust=trust)
    arm = Arm(job)
    try:
        rules = rule_facts(arm.cycle.spec)
        check_suite(config, environment, [rule.id for rule in rules])
        hard = [(r.id, r.max_rate, r.confidence) for r in rules if r.kind == "hard"]
        plan = plan_suite(config, environment, hard)
        run = run_plan(arm, plan, workers, executor, cluster=cluster, progress=progress)
    finally:
        arm.close()
    verdict = score(job.folder, config)
    write_verdict(verdict, job.folder / "verdict.json")
    write_junit(verdict, job.folder / "junit.xml")
    return Evaluation(job.folder, verdict, run)


def run_plan(
    arm: Arm,
    plan: Sequence[PlannedEpisode],
    workers: int = 1,
    executor: str = "local",
    *,
    cluster: Cluster | None = None,
    progress: bool = True,
) -> int:
    """Run what is not yet there of a plan; episodes go to the folder of the arm's job.

    Args:
        arm: Policy and cycle.
        plan: Episodes of the arm's suite.
        workers: Processes of the executor ``local``; results do not depend on them.
        executor: ``local`` or ``ray``.
        cluster: Of the executor ``ray``.
        progress: Show a bar on stderr when it is a terminal.

    Returns:
        How many were run now.

    Raises:
        PhysaiError: If the folder holds another run.
    """
    arm.job = replace(arm.job, planned=len(plan))
    _prepare(arm, arm.job.policy, len(plan))
    left = [each for each in plan if not _is_there(arm.job, each, arm.digests)]
    done = _execute(arm, left, max(1, workers), executor, cluster or Cluster())
    for _ in _bar(done, len(plan), len(plan) - len(left), progress):
        pass
    return len(left)


def _prepare(arm: Arm, policy: str, planned: int) -> None:
    """Make the folder, or check that it holds this very run; say what it holds."""
    job, environment = arm.job, arm.cycle.environment
    file = job.folder / "evaluation.json"
    facts = {
        "schema": "physai/evaluation/1",
        "digests": arm.digests,
        "policy": policy,
        "guard_mode": job.guard,
        "plant": job.plant,
        "planned": planned,
        "suite": job.suite.model_dump(mode="json"),
        "environment": {
            "id": environment.id,
            "title": environment.title.model_dump(),
            "control_hz": environment.control_hz,
            "hazards": [h.model_dump(mode="json") for h in environment.hazards],
        },
        "robot": arm.cycle.task.robot.name,
        "specification": {
            "id": arm.cycle.spec.config.id,
            "version": arm.cycle.spec.config.version,
            "title": arm.cycle.spec.config.title.model_dump(),
            "frailty_factor": arm.cycle.spec.config.frailty_factor,
            "frailty_source": arm.cycle.spec.config.frailty_source,
        },
        "record": _record(),
    }
    try:
        (job.folder / "episodes").mkdir(parents=True, exist_ok=True)
        if file.exists():
            _check_continues(file, facts)
        else:
            text = json.dumps(facts, indent=1, sort_keys=True, ensure_ascii=False)
            file.write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise RecordError(
            f"{job.folder}: cannot be written ({error.strerror})"
        ) from None


def _check_continues(file: Path, facts: dict[str, Any]) -> None:
    try:
        there = json.loads(file.read_text(encoding="utf-8"))
    except ValueError:
        raise RecordError(f"{file}: is damaged") from None
    for key in ("digests", "guard_mode", "plant"):
        if there.get(key) != facts[key]:
            raise RefusedError(
                f"{file.parent}: holds an evaluation with another {_which(there, facts)}; "
                "choose another --out"
            )


def _which(there: dict[str, Any], facts: dict[str, Any]) -> str:
    for key in ("guard_mode", "plant"):
        if there.get(key) != facts[key]:
            return key.replace("_", " ")
    old, new = there.get("digests") or {}, facts["digests"]
    return next((key for key in new if old.get(key) != new[key]), "setting")


def _record() -> dict[str, Any]:
    from physai.provenance import environment_record

    record: dict[str, Any] = environment_record()
    return record


def _is_there(job: Job, planned: PlannedEpisode, digests: dict[str, str]) -> bool:
    """Whether an episode is on disk, complete, and made with equal digests."""
    try:
        header, outcome = read_header(
            job.folder / "episodes" / f"{planned.name}.parquet"
        )
    except RecordError:
        return False
    return header.get("digests") == digests and not outcome.get("interrupted")


def _execute(
    arm: Arm,
    left: Sequence[PlannedEpisode],
    workers: int,
    executor: str,
    cluster: Cluster,
) -> Iterator[Any]:
    if executor == "ray":
        return _run_cluster(arm.job, left, cluster)
    if workers == 1 or len(left) < 2:
        return (arm.run(planned) for planned in left)
    return _run_processes(arm.job, left, workers)


def _run_processes(
    job: Job, left: Sequence[PlannedEpisode], workers: int
) -> Iterator[Path]:
    from concurrent.futures import as_completed

    pool = make_pool(min(workers, len(left)))
    try:
        with starting_workers():
            waiting = [pool.submit(_work, job, planned) for planned in left]
        for future in as_completed(waiting):
            yield future.result()
    finally:
        # After an interrupt the episodes in work are given up, the finished stay.
        pool.shutdown(wait=True, cancel_futures=True)


def _work(job: Job, planned: PlannedEpisode) -> Path:
    return _arm_of(_Key(job)).run(planned)


class _Key:
    """A job as a cache key: by its digest, since it holds unhashable values."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self._text = repr(
            (job.policy, job.suite.digest, job.guard, job.plant, job.folder)
        )

    def __hash__(self) -> int:
        return hash(self._text)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Key) and other._text == self._text


@lru_cache(maxsize=1)
def _arm_of(key: _Key) -> Arm:
    return Arm(key.job)


def _run_cluster(
    job: Job, left: Sequence[PlannedEpisode], cluster: Cluster
) -> Iterator[Path]:
    """Run episodes on a cluster; one whose node dies is run again from its beginning."""
    tasks = [(job, planned) for planned in left]
    for place, file, lost in run_on_cluster(_work, tasks, cluster):
        if lost:
            raise PhysaiError(
                f"{left[place].name}: {lost}; the others stay, the same command goes on"
            )
        if not file.is_file():
            raise RecordError(
                f"{file}: is on a node whose files this machine does not see; --out must "
                "be on storage that all nodes share"
            )
        yield file


def _bar(done: Iterable[Any], total: int, there: int, progress: bool) -> Iterable[Any]:
    from tqdm import tqdm

    shown = progress and sys.stderr.isatty()
    bar: Iterable[Any] = tqdm(
        done, total=total, initial=there, unit="episode", disable=not shown, leave=False
    )
    return bar
