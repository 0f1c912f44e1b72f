"""Plan, do, check, act: one iteration after the other, linked by digests, in a ledger.

*Plan* names a risk register, *do* a policy, *check* evaluation folders, *act* what was
decided by whom and what changes next. Entries hold digests of what they are about, so
that a later reader can find exactly that again; the ledger's chain keeps anybody from
changing them afterwards.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from physai import content
from physai.content import digest_text
from physai.errors import RefusedError, suggest
from physai.evaluation.verdict_file import read_verdict
from physai.governance.risks import assess_risks, load_register
from physai.policy.bundle import read_bundle
from physai.record.ledger import Ledger, read_ledger

__all__ = ["PHASES", "Iteration", "add_phase", "read_iterations"]

Phase = Literal["plan", "do", "check", "act"]
PHASES: tuple[Phase, ...] = get_args(Phase)

DECISIONS = ("release", "improve", "withdraw")


@dataclass
class Iteration:
    """One turn of the cycle.

    Attributes:
        number: From 1.
        phases: Facts of every phase that is done, by phase; a phase may be repeated,
            and the last one counts.
    """

    number: int
    phases: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def next_phase(self) -> str:
        """What is due; empty once somebody has acted."""
        return next((phase for phase in PHASES if phase not in self.phases), "")


def read_iterations(ledger: str | os.PathLike[str]) -> list[Iteration]:
    """Return every iteration of a ledger, the oldest first; empty without a file.

    Raises:
        RecordError: If the ledger does not verify.
    """
    if not Path(ledger).is_file():
        return []
    found: dict[int, Iteration] = {}
    for entry in read_ledger(ledger):
        if entry.kind != "cycle":
            continue
        number = int(entry.facts["iteration"])
        turn = found.setdefault(number, Iteration(number))
        turn.phases[str(entry.facts["phase"])] = dict(entry.facts)
    return [found[number] for number in sorted(found)]


def add_phase(
    ledger: str | os.PathLike[str],
    phase: str,
    person: str,
    *,
    register: str = "",
    policy: str = "",
    evaluations: Sequence[Path] = (),
    decision: str = "",
    note: str = "",
) -> dict[str, Any]:
    """Add the next phase to the open iteration, or begin one with a plan.

    Args:
        ledger: The ledger's file; made if it is not there.
        phase: ``plan``, ``do``, ``check`` or ``act``.
        person: Who enters it.
        register: Risk register, for ``plan``.
        policy: Bundle, for ``do``.
        evaluations: Evaluation folders, for ``check``.
        decision: ``release``, ``improve`` or ``withdraw``, for ``act``.
        note: What changes next, in words.

    Returns:
        The facts as entered.

    Raises:
        RefusedError: If nobody is named, the phase is not due, what it needs is
            missing, or a release is asked for although a check did not pass.
        PhysaiError: If what it names cannot be read.
    """
    if phase not in PHASES:
        raise RefusedError(f'no phase "{phase}": {suggest(phase, PHASES)}')
    if not person.strip():
        raise RefusedError("an entry is made by a person: name who with --by NAME")
    turns = read_iterations(ledger)
    turn = turns[-1] if turns and turns[-1].next_phase else None
    if turn is None:
        turn = Iteration(turns[-1].number + 1 if turns else 1)
    due = turn.next_phase
    if phase != due and phase not in turn.phases:
        raise RefusedError(f'iteration {turn.number}: "{due}" is due before "{phase}"')
    facts = {
        "plan": lambda: _plan(register),
        "do": lambda: _do(policy),
        "check": lambda: _check(evaluations, turn),
        "act": lambda: _act(decision, turn),
    }[phase]()
    entered = {
        "iteration": turn.number,
        "phase": phase,
        "person": person.strip(),
        "note": note,
        **facts,
    }
    with Ledger.open(Path(ledger)) as book:
        book.append("cycle", **entered)
    return entered


def _plan(name: str) -> dict[str, Any]:
    if not name:
        raise RefusedError("a plan names a risk register: --register NAME")
    register = load_register(name)
    risks = assess_risks(register)
    return {
        "register": register.id,
        "register_digest": register.digest,
        "episodes_needed": max(risk.episodes for risk in risks),
    }


def _do(name: str) -> dict[str, Any]:
    if not name:
        raise RefusedError("what was done is a policy: --policy BUNDLE")
    bundle = read_bundle(content.find("policies", name))
    return {
        "policy": bundle.manifest.name,
        "policy_digest": bundle.policy_digest,
        "guard_digest": bundle.contract.digests.get("safety", ""),
    }


def _check(folders: Sequence[Path], turn: Iteration) -> dict[str, Any]:
    if not folders:
        raise RefusedError("a check names evaluation folders: --evaluation DIR")
    rows = []
    wanted = turn.phases["do"]["policy_digest"]
    for folder in folders:
        verdict = read_verdict(folder)
        names = verdict.metrics["names"]
        if verdict.digests.get("policy") != wanted:
            raise RefusedError(
                f"{folder}: judges another policy than iteration {turn.number} made "
                f"({str(verdict.digests.get('policy'))[:12]}, not {wanted[:12]})"
            )
        rows.append(
            {
                "suite": names.get("suite"),
                "verdict": verdict.overall,
                "digest": digest_text((folder / "verdict.json").read_bytes()),
            }
        )
    return {"evaluations": rows}


def _act(decision: str, turn: Iteration) -> dict[str, Any]:
    if decision not in DECISIONS:
        raise RefusedError(
            f'a decision is one of {", ".join(DECISIONS)}, not "{decision}": '
            "--decision WORD"
        )
    rows = turn.phases["check"]["evaluations"]
    bad = [row["suite"] for row in rows if row["verdict"] != "pass"]
    if decision == "release" and bad:
        raise RefusedError(
            f"a release needs every check to pass; {', '.join(map(str, bad))} did not"
        )
    return {"decision": decision}
