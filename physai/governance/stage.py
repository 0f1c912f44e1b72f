"""Release stages: shadow, slow, supervised, full, each gated by stored evidence.

A permit says who lets which policy run on which hardware, up to which stage, until
when, and what it rests on. It is issued here from evaluation folders, never from what
somebody types, and read by the session that moves the robot.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from physai.content import digest_text
from physai.errors import RefusedError
from physai.evaluation.verdict_file import read_verdict
from physai.policy.bundle import Bundle
from physai.record.permit import STAGES, Evidence, Permit, Stage

__all__ = ["collect_evidence", "issue_permit", "required_suites"]

_REQUIRED: dict[Stage, tuple[str, ...]] = {
    "shadow": (),
    "slow": ("_quick",),
    "supervised": ("_core",),
    "full": ("_core", "_guard"),
}


def required_suites(stage: Stage) -> tuple[str, ...]:
    """Return endings of the suites that must have passed before a stage.

    The endings are those that every task has (``<task>_quick`` and so on). Beyond
    them, ``full`` on hardware needs the commissioning list of ``hardware/<name>/``,
    which a person signs.
    """
    return _REQUIRED[stage]


def collect_evidence(folder: Path) -> Evidence:
    """Return an evaluation folder as evidence.

    Raises:
        RecordError: If the folder holds no verdict.
    """
    verdict = read_verdict(folder)
    table = {name: float(count) for name, count in verdict.table.items()}
    return Evidence(
        kind="suite",
        name=str(verdict.metrics["names"]["suite"]),
        verdict=verdict.overall,
        digest=digest_text((folder / "verdict.json").read_bytes()),
        digests=dict(verdict.digests),
        figures={**table, "episodes": sum(table.values())},
    )


def issue_permit(
    bundle: Bundle,
    hardware: str,
    stage: Stage,
    folders: Sequence[Path],
    person: str,
    days: float = 30.0,
    now: datetime | None = None,
) -> Permit:
    """Return a permit, if the evidence carries it.

    Args:
        bundle: The policy.
        hardware: Name of the hardware.
        stage: Highest stage allowed.
        folders: Evaluation folders.
        person: Who answers for it.
        days: How long it is valid.
        now: The time; None asks the clock.

    Raises:
        RefusedError: If nobody is named, a required suite is missing, did not pass,
            or was run with another policy, guard, robot or environment.
        RecordError: If a folder holds no verdict.
    """
    if not person.strip():
        raise RefusedError("a permit is given by a person: name who answers for it")
    if stage not in STAGES:
        raise RefusedError(f'no stage "{stage}"; valid: {", ".join(STAGES)}')
    evidence = tuple(collect_evidence(folder) for folder in folders)
    contract = bundle.contract.digests
    wanted = {
        "policy": bundle.policy_digest,
        "environment": contract.get("environment", ""),
        "robot": contract.get("robot", ""),
        "guard": contract.get("safety", ""),
    }
    for each in evidence:
        _check_subject(each, wanted)
    for ending in required_suites(stage):
        found = [each for each in evidence if each.name.endswith(ending)]
        if not found:
            raise RefusedError(
                f'stage "{stage}" needs a passed suite "<task>{ending}": run '
                "physai evaluate with it and name the folder"
            )
        for each in found:
            if each.verdict != "pass":
                raise RefusedError(
                    f'stage "{stage}" needs "{each.name}" to pass; its verdict is '
                    f"{each.verdict.replace('_', ' ')}"
                )
    time = now or datetime.now(UTC)
    digests = {name: digest for name, digest in wanted.items() if name != "policy"}
    return Permit(
        policy=bundle.policy_digest,
        hardware=hardware,
        stage=stage,
        digests=digests,
        approved_by=person.strip(),
        approved=time,
        expires=time + timedelta(days=days),
        evidence=evidence,
    )


def _check_subject(evidence: Evidence, wanted: dict[str, str]) -> None:
    for name, digest in wanted.items():
        if digest and evidence.digests.get(name) != digest:
            raise RefusedError(
                f'"{evidence.name}" was run with another {name} (digest '
                f"{evidence.digests.get(name, 'none')[:12]}, wanted {digest[:12]}): "
                "evaluate again"
            )
