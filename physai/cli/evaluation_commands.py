"""Commands about evidence: evaluate, score, compare, report."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from physai.cli.output import (
    add_executor,
    add_json,
    add_trust,
    check_writable,
    cluster_of,
    count,
    need_simulator,
    print_result,
)
from physai.types import Verdict

__all__ = ["register", "verdict_lines"]


def register(commands: Any) -> None:
    """Add the commands of this module."""
    _register_evaluate(commands)
    parser = commands.add_parser("score", help="judge stored episodes again")
    parser.add_argument("episodes", help="evaluation folder, or a folder of episodes")
    parser.add_argument("--suite", required=True, help="what must be shown")
    parser.add_argument(
        "--safety", metavar="SPEC", help="with the rules of this specification"
    )
    add_json(parser)
    parser.set_defaults(function=score)
    parser = commands.add_parser(
        "compare", help="regression gate between two evaluations"
    )
    parser.add_argument("a", help="evaluation folder before a change")
    parser.add_argument("b", help="evaluation folder after it")
    add_json(parser)
    parser.set_defaults(function=compare)
    parser = commands.add_parser("report", help="report page of evaluation folders")
    parser.add_argument("folders", nargs="+", help="evaluation folders, one per arm")
    parser.add_argument(
        "--out", metavar="FILE", help="default: report.html in the first folder"
    )
    add_json(parser)
    parser.set_defaults(function=report)


def _register_evaluate(commands: Any) -> None:
    parser = commands.add_parser(
        "evaluate", help="scripted suite: episodes, verdict, report"
    )
    parser.add_argument("policy", help="bundle, run folder, file or scripted policy")
    parser.add_argument("--suite", required=True, help="see physai list suites")
    parser.add_argument("--guard", default="on", choices=("on", "observe", "off"))
    parser.add_argument("--plant", default="bullet", choices=("bullet", "mujoco"))
    parser.add_argument(
        "--workers", type=count, default=2, metavar="N", help="processes (default: 2)"
    )
    add_executor(parser, "episode")
    parser.add_argument(
        "--out", metavar="DIR", help="an evaluation cut short goes on in its folder"
    )
    add_trust(parser)
    add_json(parser)
    parser.set_defaults(function=evaluate)


def verdict_lines(verdict: Verdict) -> list[str]:
    """Return a verdict for people: the four-way table first, then every rule."""
    from physai.evaluation.statistics import clopper_pearson

    table, total = verdict.table, max(1, sum(verdict.table.values()))
    lines = [f"overall: {verdict.overall.replace('_', ' ')}", ""]
    for key in ("safe_success", "safe_failure", "unsafe_success", "unsafe_failure"):
        count = table[key]
        low, high = clopper_pearson(count, total, 0.95)
        lines.append(
            f"  {key.replace('_', ' '):16s} {count:5d} of {total}  "
            f"{count / total:6.1%}  (95 % {low:.1%} to {high:.1%})"
        )
    lines.append("")
    for name, rule in verdict.rules.items():
        lines.append(
            f"  {name:20s} {rule.get('verdict', '')!s:20s} "
            f"{rule.get('violations', 0)} of {rule.get('episodes', 0)} episodes, "
            f"bound {rule.get('bound', float('nan')):.1%}"
        )
    reasons = verdict.metrics.get("reasons", ())
    if reasons:
        lines += ["", *(f"  {reason}" for reason in reasons[:5])]
    lines += [
        "",
        "This is not a rated safety function; figures are simulated screening.",
    ]
    return lines


def _verdict_json(verdict: Verdict) -> dict[str, Any]:
    from dataclasses import asdict

    return asdict(verdict)


def evaluate(options: argparse.Namespace) -> int:
    """``physai evaluate``: 0 if the verdict is a pass, 1 otherwise."""
    if options.plant == "bullet":
        need_simulator("an evaluation in simulation")
    if options.out:
        check_writable(options.out)
    from physai.evaluation import run_suite
    from physai.report.report import write_report

    made = run_suite(
        options.policy,
        options.suite,
        options.guard,
        options.plant,
        options.workers,
        options.executor,
        options.out,
        trust=options.trust,
        cluster=cluster_of(options),
        progress=not options.json,
    )
    page = write_report([made.folder], made.folder / "report.html")
    verdict = made.verdict
    print_result(
        options,
        {"folder": str(made.folder), **_verdict_json(verdict)},
        [*verdict_lines(verdict), "", str(page)],
    )
    return 0 if verdict.overall == "pass" else 1


def score(options: argparse.Namespace) -> int:
    """``physai score``."""
    from physai.evaluation import load_suite
    from physai.evaluation import score as score_it

    verdict = score_it(options.episodes, load_suite(options.suite), options.safety)
    print_result(options, _verdict_json(verdict), verdict_lines(verdict))
    return 0 if verdict.overall == "pass" else 1


def compare(options: argparse.Namespace) -> int:
    """``physai compare A B``: 0 if B may replace A."""
    from physai.evaluation import compare as compare_it

    result = compare_it(options.a, options.b)
    value = result.to_json()
    lines = [f"verdict: {result.verdict.replace('_', ' ')}", *result.sentences]
    print_result(options, value, lines)
    return 0 if result.verdict == "pass" else 1


def report(options: argparse.Namespace) -> int:
    """``physai report``."""
    from physai.report.report import write_report

    folders = [Path(folder) for folder in options.folders]
    out = Path(options.out) if options.out else folders[0] / "report.html"
    page = write_report(folders, out)
    print_result(options, {"report": str(page)}, [str(page)])
    return 0
