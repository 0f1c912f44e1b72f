"""The assurance case: claims, arguments and what they rest on, in GSN.

Goal Structuring Notation (GSN Community Standard 3): goals are argued by strategies
and rest on solutions. A solution here is a stored verdict, or one rule of it. What is
missing, failed, not enough, or made with another policy, guard, robot or environment
than those in use breaks every claim above it; nobody has to notice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from physai import content
from physai.config import Config, load
from physai.errors import PhysaiError, suggest
from physai.evaluation.verdict_file import read_verdict
from physai.governance.risks import Text
from physai.policy.bundle import read_bundle
from physai.safety import compile_spec, load_spec
from physai.tasks import registry
from physai.types import Verdict

__all__ = ["AssuranceCase", "Finding", "judge_case", "load_case"]

Kind = Literal["goal", "strategy", "solution", "context", "assumption"]


class EvidenceConfig(Config):
    """What a solution points at."""

    suite: str
    rule: str | None = None
    """One rule of the verdict; None takes the verdict as a whole."""
    policy: str | None = None
    """Scripted policy that was run; None takes the case's own."""


class NodeConfig(Config):
    """One element of the argument."""

    id: Annotated[str, Field(pattern=r"^[A-Z][0-9]+$")]
    kind: Kind
    text: Text
    supported_by: tuple[str, ...] = ()
    in_context_of: tuple[str, ...] = ()
    evidence: EvidenceConfig | None = None

    @model_validator(mode="after")
    def _fits(self) -> NodeConfig:
        if (self.kind == "solution") != (self.evidence is not None):
            raise ValueError(f"{self.id}: a solution, and nothing else, has evidence")
        if self.kind in ("goal", "strategy") and not self.supported_by:
            raise ValueError(f"{self.id}: a {self.kind} rests on something")
        if self.kind not in ("goal", "strategy") and self.supported_by:
            raise ValueError(f"{self.id}: a {self.kind} is not supported by others")
        return self


class AssuranceCase(Config):
    """``configs/governance/case_<name>.yaml``."""

    id: str
    version: Annotated[int, Field(ge=1)]
    title: Text
    environment: str
    policy: str
    """Bundle that the case is about."""
    top: str
    nodes: Annotated[tuple[NodeConfig, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _is_a_tree_of_known_nodes(self) -> AssuranceCase:
        ids = [node.id for node in self.nodes]
        if len(set(ids)) != len(ids):
            raise ValueError("node ids must differ")
        for node in self.nodes:
            for other in (*node.supported_by, *node.in_context_of):
                if other not in ids:
                    raise ValueError(
                        f'{node.id}: no node "{other}"; {suggest(other, ids)}'
                    )
        if self.top not in ids:
            raise ValueError(f'top: no node "{self.top}"; {suggest(self.top, ids)}')
        self._check_loops(self.top, ())
        return self

    def _check_loops(self, name: str, above: tuple[str, ...]) -> None:
        if name in above:
            raise ValueError(f"{name} supports itself: {' > '.join((*above, name))}")
        for other in self.node(name).supported_by:
            self._check_loops(other, (*above, name))

    def node(self, name: str) -> NodeConfig:
        """Return a node by id."""
        return next(node for node in self.nodes if node.id == name)


@dataclass(frozen=True)
class Finding:
    """What was found about one node.

    Attributes:
        holds: Whether the claim stands; contexts and assumptions always do.
        reason: Why not, in one sentence; for a solution that holds, what it shows.
    """

    holds: bool
    reason: str


def load_case(name: str) -> AssuranceCase:
    """Load a case by name (of ``configs/governance``) or path.

    Raises:
        ContentError: If there is none.
        ConfigError: If it is wrong.
    """
    return load(AssuranceCase, content.find("governance", name))


def judge_case(case: AssuranceCase, folders: Sequence[Path]) -> dict[str, Finding]:
    """Judge every node from stored verdicts.

    Args:
        case: The case.
        folders: Evaluation folders, or folders that hold some.

    Returns:
        Findings by node id; the case stands if its top does.

    Raises:
        RecordError: If a verdict is damaged.
    """
    verdicts = [read_verdict(path) for path in _verdict_files(folders)]
    current = _current(case)
    findings: dict[str, Finding] = {}
    _judge(case, case.top, verdicts, current, findings)
    for node in case.nodes:
        if node.id not in findings:
            findings[node.id] = Finding(True, "")
    return findings


def _verdict_files(folders: Sequence[Path]) -> list[Path]:
    found: list[Path] = []
    for folder in folders:
        found += (
            [folder / "verdict.json"]
            if (folder / "verdict.json").is_file()
            else sorted(folder.glob("*/verdict.json"))
        )
    return found


def _current(case: AssuranceCase) -> dict[str, str]:
    """Return the digests of what is in use now."""
    environment = registry.load_environment(case.environment)
    task = registry.make_task(environment)
    spec = compile_spec(
        load_spec(environment.safety),
        task.robot,
        environment.control_hz,
        environment.extras,
        environment.truth_extras,
    )
    found = {
        "environment": environment.digest,
        "robot": task.robot.digest,
        "guard": spec.digest,
    }
    try:
        bundle = read_bundle(content.find("policies", case.policy))
        found["policy"] = bundle.policy_digest
    except PhysaiError:
        # A policy that cannot be verified is in use by nobody: nothing matches it.
        found["policy"] = "unverified"
    return found


def _judge(
    case: AssuranceCase,
    name: str,
    verdicts: Sequence[Verdict],
    current: Mapping[str, str],
    findings: dict[str, Finding],
) -> Finding:
    if name in findings:
        return findings[name]
    node = case.node(name)
    if node.evidence is not None:
        finding = _judge_evidence(node.evidence, verdicts, current)
    elif node.supported_by:
        below = {
            other: _judge(case, other, verdicts, current, findings)
            for other in node.supported_by
        }
        broken = [other for other, each in below.items() if not each.holds]
        finding = Finding(not broken, f"rests on {', '.join(broken)}" if broken else "")
    else:
        finding = Finding(True, "")
    findings[name] = finding
    return finding


def _judge_evidence(
    evidence: EvidenceConfig,
    verdicts: Sequence[Verdict],
    current: Mapping[str, str],
) -> Finding:
    suites = [v for v in verdicts if v.metrics["names"].get("suite") == evidence.suite]
    suites = [
        v
        for v in suites
        if v.metrics["names"].get("guard_mode") == "on"
        and (
            evidence.policy is None
            or v.metrics["names"].get("policy") == evidence.policy
        )
    ]
    if not suites:
        return Finding(False, f"no verdict of {evidence.suite} with the guard on")
    reasons = [_stale(v, evidence, current) for v in suites]
    fresh = [v for v, reason in zip(suites, reasons, strict=True) if not reason]
    if not fresh:
        return Finding(False, reasons[0])
    return _worst([_said(v, evidence) for v in fresh])


def _stale(
    verdict: Verdict, evidence: EvidenceConfig, current: Mapping[str, str]
) -> str:
    names = ["environment", "robot", "guard"]
    if evidence.policy is None:
        names.append("policy")
    wanted = {**current, "suite": _suite_digest(evidence.suite)}
    for name in (*names, "suite"):
        if verdict.digests.get(name) != wanted[name]:
            return f"stale: {evidence.suite} was run with another {name}"
    return ""


def _suite_digest(name: str) -> str:
    from physai.evaluation.suite import load_suite

    return load_suite(name).digest


def _said(verdict: Verdict, evidence: EvidenceConfig) -> Finding:
    if evidence.rule is None:
        what = verdict.overall
        return Finding(what == "pass", f"{evidence.suite}: {what.replace('_', ' ')}")
    rule = verdict.rules.get(evidence.rule)
    if rule is None:
        return Finding(False, f"{evidence.suite} does not judge {evidence.rule}")
    what = str(rule.get("verdict", ""))
    return Finding(
        what == "pass",
        f"{evidence.suite}, {evidence.rule}: {what.replace('_', ' ')}, "
        f"{rule.get('violations', 0)} of {rule.get('episodes', 0)} episodes",
    )


def _worst(findings: Sequence[Finding]) -> Finding:
    return next((each for each in findings if not each.holds), findings[0])


def to_json(case: AssuranceCase, findings: Mapping[str, Finding]) -> dict[str, Any]:
    """Return JSON values of a judged case."""
    return {
        "case": case.id,
        "title": case.title.en,
        "holds": findings[case.top].holds,
        "nodes": {
            node.id: {
                "kind": node.kind,
                "text": node.text.en,
                "holds": findings[node.id].holds,
                "reason": findings[node.id].reason,
            }
            for node in case.nodes
        },
    }
