"""Commands about release and its record: case, cycle."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from physai.cli.output import add_json, check_writable, print_result
from physai.errors import ContentError, RefusedError

__all__ = ["register"]


def register(commands: Any) -> None:
    """Add the commands of this module."""
    parser = commands.add_parser(
        "case", help="the assurance case, judged from stored verdicts"
    )
    parser.add_argument(
        "case",
        nargs="?",
        default="case_care_feeding",
        help="file, or name in configs/governance (default: %(default)s)",
    )
    parser.add_argument(
        "--evidence",
        action="append",
        default=[],
        metavar="DIR",
        help="an evaluation folder, or a folder of some; may be repeated",
    )
    parser.add_argument("--out", metavar="FILE", help="write it as an SVG picture")
    add_json(parser)
    parser.set_defaults(function=case)
    _register_cycle(commands)


def _register_cycle(commands: Any) -> None:
    parser = commands.add_parser("cycle", help="plan, do, check, act: show or add")
    parser.add_argument(
        "phase",
        nargs="?",
        default="show",
        choices=("show", "risks", "plan", "do", "check", "act", "permit"),
        help="what to add; show (default) and risks only print",
    )
    parser.add_argument("--ledger", default="cycle.jsonl", metavar="FILE")
    parser.add_argument("--by", default="", metavar="NAME", help="who answers for it")
    parser.add_argument(
        "--register", default="risks_care_feeding", help="of plan and risks"
    )
    parser.add_argument("--policy", default="", help="of do and permit")
    parser.add_argument(
        "--evaluation",
        action="append",
        default=[],
        metavar="DIR",
        help="of check and permit",
    )
    parser.add_argument("--decision", default="", help="of act")
    parser.add_argument("--note", default="")
    parser.add_argument("--hardware", default="franka", help="of permit")
    parser.add_argument("--stage", default="shadow", help="of permit")
    parser.add_argument("--key", default="default", help="of permit: who signs")
    parser.add_argument(
        "--out", default="permit.json", metavar="FILE", help="of permit"
    )
    add_json(parser)
    parser.set_defaults(function=cycle)


def case(options: argparse.Namespace) -> int:
    """``physai case``: 0 if the top claim stands, 1 otherwise."""
    from physai.governance.case import judge_case, load_case, to_json
    from physai.governance.drawing import draw_case

    loaded = load_case(options.case)
    folders = [Path(each) for each in options.evidence]
    for folder in folders:
        if not folder.is_dir():
            raise ContentError(f"--evidence {folder}: there is no such folder")
    findings = judge_case(loaded, folders)
    if options.out:
        file = Path(options.out)
        check_writable(file.parent)
        file.write_text(draw_case(loaded, findings), encoding="utf-8")
    lines = [
        f"{'holds ' if findings[node.id].holds else 'BROKEN'} {node.id:3s} "
        f"{node.text.en}"
        + (f" [{findings[node.id].reason}]" if findings[node.id].reason else "")
        for node in loaded.nodes
        if node.kind in ("goal", "strategy", "solution")
    ]
    print_result(options, to_json(loaded, findings), lines)
    return 0 if findings[loaded.top].holds else 1


def cycle(options: argparse.Namespace) -> int:
    """``physai cycle``: shows the record, or adds the next phase to it."""
    if options.phase == "risks":
        return _show_risks(options)
    if options.phase == "permit":
        return _issue(options)
    from physai.governance.cycle import add_phase, read_iterations

    if options.phase != "show":
        check_writable(Path(options.ledger).parent)
        add_phase(
            options.ledger,
            options.phase,
            options.by,
            register=options.register,
            policy=options.policy,
            evaluations=[Path(each) for each in options.evaluation],
            decision=options.decision,
            note=options.note,
        )
    turns = read_iterations(options.ledger)
    lines = []
    for turn in turns:
        lines.append(f"iteration {turn.number}")
        for phase, facts in turn.phases.items():
            about = (
                facts.get("register") or facts.get("policy") or facts.get("decision")
            )
            about = about or ", ".join(
                f"{row['suite']} {row['verdict']}" for row in facts["evaluations"]
            )
            lines.append(f"  {phase:6s} {about} ({facts['person']}) {facts['note']}")
        if turn.next_phase:
            lines.append(f"  due: {turn.next_phase}")
    value = [{"iteration": t.number, "phases": t.phases} for t in turns]
    print_result(options, value, lines or [f"{options.ledger}: nothing yet; due: plan"])
    return 0


def _show_risks(options: argparse.Namespace) -> int:
    from physai.governance.risks import assess_risks, load_register

    risks = assess_risks(load_register(options.register))
    lines = [
        f"{risk.hazard:20s} {risk.severity:8s} {risk.exposure:7s} {risk.avoidance:9s} "
        f"PLr {risk.level}  {risk.stop:6s} {risk.episodes:5d} episodes without a "
        f"violation; {', '.join(risk.rules) or 'no rule'}"
        for risk in risks
    ]
    lines.append("PLr is what a rated function outside this software has to reach.")
    print_result(options, [risk.to_json() for risk in risks], lines)
    return 0


def _issue(options: argparse.Namespace) -> int:
    from physai import content
    from physai.governance.stage import issue_permit
    from physai.plant.ros import load_bridge
    from physai.policy.bundle import read_bundle
    from physai.record.permit import save_permit
    from physai.record.signature import load_key

    if not options.policy:
        raise RefusedError("a permit is for a policy: --policy BUNDLE")
    permit = issue_permit(
        read_bundle(content.find("policies", options.policy)),
        load_bridge(options.hardware).name,
        options.stage,
        [Path(each) for each in options.evaluation],
        options.by,
    )
    file = save_permit(permit, options.out, load_key(options.key))
    print_result(
        options,
        permit.model_dump(mode="json"),
        [
            f"{file}: {permit.stage} on {permit.hardware} until {permit.expires:%Y-%m-%d}"
        ],
    )
    return 0
