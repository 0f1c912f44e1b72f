"""Commands that run things: demo, train, sweep, run, bench."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from physai.cli.output import add_json, check_writable, need_simulator, print_result
from physai.errors import MissingExtraError

__all__ = ["register"]


def register(commands: Any) -> None:
    """Add the commands of this module."""
    parser = commands.add_parser("demo", help="the whole story in under three minutes")
    parser.add_argument("--out", default="demo", metavar="DIR")
    add_json(parser)
    parser.set_defaults(function=run_demo)
    parser = commands.add_parser("train", help="train from a config file")
    parser.add_argument("config")
    parser.add_argument(
        "--set", dest="settings", action="append", default=[], metavar="key=value"
    )
    parser.add_argument("--seed", type=int)
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), metavar="device")
    parser.add_argument("--out", metavar="DIR")
    parser.add_argument("--resume", action="store_true")
    add_json(parser)
    parser.set_defaults(function=train)
    parser = commands.add_parser("sweep", help="several training runs, compared")
    parser.add_argument("config")
    parser.add_argument("--seeds", default="0-2", metavar="0-4")
    parser.add_argument("--grid", action="append", default=[], metavar="key=a,b")
    parser.add_argument(
        "--set", dest="settings", action="append", default=[], metavar="key=value"
    )
    parser.add_argument(
        "--executor", default="local", choices=("local", "ray"), metavar="executor"
    )
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--out", default="sweep", metavar="DIR")
    add_json(parser)
    parser.set_defaults(function=sweep)
    parser = commands.add_parser("run", help="run episodes")
    parser.add_argument("env")
    parser.add_argument("--policy", default="expert")
    parser.add_argument(
        "--plant",
        default="bullet",
        choices=("bullet", "mujoco", "ros"),
        metavar="plant",
    )
    parser.add_argument(
        "--guard", default="on", choices=("on", "observe", "off"), metavar="guard"
    )
    parser.add_argument("--episodes", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--video", metavar="FILE")
    parser.add_argument("--log", metavar="DIR")
    parser.add_argument(
        "--trust",
        action="store_true",
        help="load what can run code or is not signed by a trusted key",
    )
    add_json(parser)
    parser.set_defaults(function=run)
    parser = commands.add_parser("bench", help="the benchmark table")
    parser.add_argument("--out", metavar="FILE", help="also write it as JSON")
    parser.add_argument("--blocks", type=int, default=20)
    parser.add_argument(
        "--guard",
        action="store_true",
        help="instead: the guard against random and adversarial policies, off and on",
    )
    parser.add_argument("--suite", default="care_feeding_guard")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument(
        "--episodes", default="guard_challenge", metavar="DIR", help="of --guard"
    )
    add_json(parser)
    parser.set_defaults(function=bench)


def run_demo(options: argparse.Namespace) -> int:
    """``physai demo``."""
    need_simulator("the demo")
    folder = check_writable(options.out)
    from physai.demo import run_demo as run_it

    result = run_it(folder)
    print_result(options, result, result["lines"])
    return 0


def train(options: argparse.Namespace) -> int:
    """``physai train CONFIG``."""
    try:
        from physai.training.train import train as train_it
    except ModuleNotFoundError as error:
        raise MissingExtraError("train", "training") from error
    folder = train_it(
        options.config,
        options.settings,
        options.seed,
        options.device,
        options.out,
        options.resume,
    )
    figures = json.loads((folder / "evaluation" / "held_out.json").read_text())
    low, high = figures["safe_success_interval_95"]
    print_result(
        options,
        {"folder": str(folder), **figures},
        [
            f"{folder}: bundle, curves.svg, evaluation",
            f"safe success on held-out seeds {figures['safe_success']:.1%} "
            f"(95 % interval {low:.1%} to {high:.1%}, {figures['episodes']} episodes)",
        ],
    )
    return 0


def sweep(options: argparse.Namespace) -> int:
    """``physai sweep CONFIG``."""
    try:
        from physai.training.sweep import parse_seeds
        from physai.training.sweep import sweep as sweep_it
    except ModuleNotFoundError as error:
        raise MissingExtraError("train", "training") from error
    result = sweep_it(
        options.config,
        parse_seeds(options.seeds),
        options.grid,
        options.settings,
        options.executor,
        options.workers,
        check_writable(options.out),
        progress=not options.json,
    )
    print_result(options, result, result["lines"])
    return 0


def run(options: argparse.Namespace) -> int:
    """``physai run ENV``."""
    if options.plant == "bullet":
        need_simulator("a simulated run")
    from physai.evaluation.arm import episode_header
    from physai.policy.adapters import load_policy
    from physai.record.episode import EpisodeWriter
    from physai.runtime.loop import run_loop
    from physai.tasks import registry

    cycle = registry.make_cycle(options.env, plant=options.plant, guard=options.guard)
    log = check_writable(options.log) if options.log else None
    rows: list[dict[str, Any]] = []
    try:
        policy = load_policy(
            options.policy, env=cycle, trust=options.trust, seed=options.seed
        )
        film = _Film(cycle, options.video) if options.video else None
        first = cycle.environment.distributions["test"].seeds.first
        for episode in range(options.episodes):
            scenario = cycle.task.sample_scenario(
                first + options.seed + episode, "test"
            )
            writer = (
                EpisodeWriter(
                    log / f"episode_{scenario.seed}.parquet",
                    episode_header(cycle, scenario),
                )
                if log
                else None
            )
            report = run_loop(
                cycle,
                policy,
                scenario,
                writer=writer,
                on_step=film.take if film else None,
            )
            rows.append(
                {
                    "seed": scenario.seed,
                    "case": scenario.case,
                    "success": report.success,
                    "cost": report.cost,
                    "ended": report.ended,
                    "time_s": report.steps / 20.0,
                    "interventions": report.interventions,
                    **report.figures,
                }
            )
            if not options.json:
                last = rows[-1]
                print(
                    f"{last['case']:24s} success {last['success']!s:5s} cost "
                    f"{last['cost']:.2f} time {last['time_s']:.1f} s interventions "
                    f"{last['interventions']:.0f} ({last['ended']})",
                    flush=True,
                )
        if film:
            film.close()
    finally:
        cycle.close()
    if options.json:
        print_result(options, rows, [])
    elif options.video:
        print(options.video)
    return 0


class _Film:
    """Takes a picture of every second step."""

    def __init__(self, cycle: Any, file: str) -> None:
        from physai.demo import Film

        self._film = Film(cycle, Path(file))

    def take(self, record: Any) -> bool:
        """Add a step; never ends the run."""
        self._film.take(record)
        return False

    def close(self) -> None:
        """Write the file."""
        self._film.close()


def bench(options: argparse.Namespace) -> int:
    """``physai bench``."""
    need_simulator("the benchmark")
    if options.out:
        check_writable(Path(options.out).parent)
    if options.guard:
        from physai.evaluation.challenge import challenge_guard
        from physai.provenance import environment_record

        check_writable(options.episodes)
        result = challenge_guard(
            options.suite,
            workers=options.workers,
            out=options.episodes,
            progress=not options.json,
        )
        result["environment"] = environment_record()
    else:
        from physai.bench import run_bench

        result = run_bench(options.blocks)
    if options.out:
        Path(options.out).write_text(json.dumps(result, indent=2) + "\n")
    print_result(options, result, result["lines"])
    sys.stdout.flush()
    return 0
