"""Commands that look for failures and run episodes again: search, replay."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from physai.cli.output import (
    add_json,
    add_trust,
    check_writable,
    count,
    natural,
    need_simulator,
    print_result,
)

if TYPE_CHECKING:
    from physai.evaluation.replay import Outcome, Replay

__all__ = ["register"]


def register(commands: Any) -> None:
    """Add the commands of this module."""
    _register_search(commands)
    parser = commands.add_parser(
        "replay", help="run a stored episode again, exactly or with a change"
    )
    parser.add_argument("episode", help="a .parquet file of an evaluation")
    parser.add_argument("--guard", choices=("on", "observe", "off"))
    parser.add_argument(
        "--set",
        dest="settings",
        action="append",
        default=[],
        metavar="path=value",
        help="change the scenario, for example people.0.stature_m=1.6",
    )
    parser.add_argument(
        "--plant",
        choices=("bullet", "mujoco", "replay"),
        help="replay plays the log to the guard instead of simulating",
    )
    parser.add_argument("--video", metavar="FILE", help="an .mp4 of the replay")
    add_json(parser)
    parser.set_defaults(function=replay)


def _register_search(commands: Any) -> None:
    parser = commands.add_parser("search", help="look for rare failures of a policy")
    parser.add_argument("policy", help="bundle, run folder, file or scripted policy")
    parser.add_argument("--suite", required=True, help="whose cases are searched")
    parser.add_argument(
        "--budget", type=count, required=True, metavar="N", help="episodes in all"
    )
    parser.add_argument("--seed", type=natural, default=0)
    parser.add_argument(
        "--out", default="search", metavar="DIR", help="default: %(default)s"
    )
    parser.add_argument("--guard", default="on", choices=("on", "observe", "off"))
    parser.add_argument("--plant", default="bullet", choices=("bullet", "mujoco"))
    add_trust(parser)
    add_json(parser)
    parser.set_defaults(function=search)


def search(options: argparse.Namespace) -> int:
    """``physai search``: 0 if nothing was found, 1 otherwise."""
    if options.plant == "bullet":
        need_simulator("a search in simulation")
    from physai.evaluation.search import search as search_it

    result = search_it(
        options.policy,
        options.suite,
        options.budget,
        options.seed,
        check_writable(options.out),
        options.guard,
        plant=options.plant,
        trust=options.trust,
        progress=not options.json,
    )
    lines = [
        f"{case['case']:24s} {case['episodes']:4d} episodes, smallest margin "
        f"{case['best_margin']:7.3f}, {len(case['found'])} failures"
        for case in result["cases"]
    ]
    lines += [
        f"  {found['episode']}: {', '.join(found['rules'])}"
        for case in result["cases"]
        for found in case["found"][:3]
    ]
    print_result(options, result, [*lines, result["note"]])
    return 1 if result["failures"] else 0


def replay(options: argparse.Namespace) -> int:
    """``physai replay EPISODE``: 0 if nothing changed that must not, 1 otherwise."""
    from physai.evaluation.replay import replay as replay_it

    films: list[Any] = []

    def film(cycle: Any) -> Any:
        from physai.report.film import Film

        films.append(Film(cycle, Path(options.video)))
        return films[0].take

    result = replay_it(
        options.episode,
        options.guard,
        options.settings,
        options.plant,
        film if options.video else None,
    )
    for each in films:
        each.close()
    print_result(options, result.to_json(), _lines(result))
    return 0 if result.same else 1


def _lines(result: Replay) -> list[str]:
    if result.kind == "exact":
        lines = [
            "identical to the last bit"
            if result.difference is None
            else f"differs from step {result.difference.step} on: "
            f"{result.difference.quantity} by {result.difference.size:.3g}"
        ]
    elif result.kind == "asked_again":
        lines = [f"{result.decisions_changed} decisions of the guard differ today"]
    else:
        lines = ["what if:"]
    lines += [
        f"  recorded  {_outcome(result.before)}",
        f"  replayed  {_outcome(result.after)}",
    ]
    return lines + [f"  {cause}" for cause in result.causes]


def _outcome(outcome: Outcome) -> str:
    bad = ", ".join(outcome.violated) or "no rule violated"
    done = "success" if outcome.success else "no success"
    return (
        f"{outcome.steps} steps, {done}, cost {outcome.cost:.2f}, "
        f"{outcome.interventions} interventions, largest force "
        f"{outcome.largest_force_n:.0f} N, {bad}"
    )
