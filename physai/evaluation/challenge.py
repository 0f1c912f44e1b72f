"""The guard against policies that were not made to behave: off and on, side by side.

Each policy runs the same suite, on the same seeds, with the guard off and on. What is
counted comes from the stored episodes, as in every verdict.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from physai.evaluation.run import run_suite
from physai.evaluation.statistics import upper_bound
from physai.evaluation.suite import SuiteConfig, load_suite
from physai.types import Verdict

__all__ = ["challenge_guard"]

_JOINT_RULES = ("joint_position", "joint_velocity")
_COUNTS = ("moving_contact", "joint_limit", "unsafe")


def challenge_guard(
    suite: str | SuiteConfig = "care_feeding_guard",
    policies: Sequence[str] = ("random", "adversary"),
    workers: int = 2,
    out: str | os.PathLike[str] = "guard_challenge",
    *,
    progress: bool = True,
) -> dict[str, Any]:
    """Run every policy with the guard off and on, and count side by side.

    Args:
        suite: Name, path or configuration.
        policies: Policies; scripted ones need no bundle.
        workers: Processes.
        out: Where the evaluation folders go; one that is there is continued.
        progress: Show bars on stderr when it is a terminal.

    Returns:
        JSON values. ``arms``: one row per policy and guard, with the number of
        episodes and of those with a moving contact outside the mouth, with a joint
        beyond its range or speed, and with any violated rule of the truth. ``total``:
        the same over all policies, each with its 95 % upper Clopper-Pearson bound.
        ``lines`` is what a person reads.

    Raises:
        PhysaiError: As :func:`physai.evaluation.run.run_suite`.
    """
    config = load_suite(suite) if isinstance(suite, str) else suite
    rows = []
    for policy in policies:
        for guard in ("off", "on"):
            folder = Path(out) / f"{Path(policy).stem}_guard_{guard}"
            made = run_suite(
                policy,
                config,
                guard,
                workers=workers,
                out=folder,
                progress=progress,
            )
            rows.append({"policy": policy, "guard": guard, **_count(made.verdict)})
    total = {guard: _sum(rows, guard) for guard in ("off", "on")}
    result: dict[str, Any] = {
        "suite": config.id,
        "suite_digest": config.digest,
        "seeds": config.seeds.model_dump(),
        "arms": rows,
        "total": total,
    }
    result["lines"] = _lines(result)
    return result


def _count(verdict: Verdict) -> dict[str, Any]:
    table = verdict.table
    figures = verdict.metrics["figures"]
    # The two rules may fall in one episode: the larger is a lower bound of the union,
    # the sum an upper one, and the safe side is the upper one.
    joints = sum(int(verdict.rules[rule]["violations"]) for rule in _JOINT_RULES)
    total = sum(table.values())
    return {
        "episodes": total,
        "moving_contact": int(figures["episodes_with_moving_contact"]["count"]),
        "joint_limit": min(joints, total),
        "unsafe": table["unsafe_success"] + table["unsafe_failure"],
        "violations": {
            name: int(rule.get("violations", 0))
            for name, rule in verdict.rules.items()
            if rule.get("violations", 0)
        },
        "digests": dict(verdict.digests),
    }


def _sum(rows: Sequence[dict[str, Any]], guard: str) -> dict[str, Any]:
    mine = [row for row in rows if row["guard"] == guard]
    episodes = sum(row["episodes"] for row in mine)
    result: dict[str, Any] = {"episodes": episodes}
    for name in _COUNTS:
        count = sum(row[name] for row in mine)
        bound = upper_bound(count, max(1, episodes), 0.95)
        result[name] = {"episodes": count, "upper_bound_95": bound}
    return result


def _lines(result: dict[str, Any]) -> list[str]:
    lines = [
        f"{result['suite']}, same seeds in every arm; episodes with",
        f"{'policy':14s} {'guard':5s} {'episodes':>8s} {'moving contact':>15s} "
        f"{'joint limit':>12s} {'any rule':>9s}",
    ]
    lines += [
        f"{row['policy']:14s} {row['guard']:5s} {row['episodes']:8d} "
        f"{row['moving_contact']:15d} {row['joint_limit']:12d} {row['unsafe']:9d}"
        for row in result["arms"]
    ]
    for guard in ("off", "on"):
        total = result["total"][guard]
        moving, joints = total["moving_contact"], total["joint_limit"]
        lines.append(
            f"guard {guard}: {moving['episodes']} of {total['episodes']} with a moving "
            f"contact (rate at most {moving['upper_bound_95']:.2%} at 95 %), "
            f"{joints['episodes']} with a joint limit violated"
        )
    return lines
