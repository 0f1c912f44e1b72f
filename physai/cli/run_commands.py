"""Commands that run things: demo, train, sweep, run."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from physai.cli.output import (
    add_executor,
    add_json,
    add_settings,
    add_trust,
    check_writable,
    cluster_of,
    count,
    natural,
    need_simulator,
    print_result,
)
from physai.errors import ContractError, MissingExtraError

__all__ = ["register"]


def register(commands: Any) -> None:
    """Add the commands of this module."""
    parser = commands.add_parser("demo", help="the whole story in under three minutes")
    parser.add_argument(
        "--out", default="demo", metavar="DIR", help="for report and evidence"
    )
    add_json(parser)
    parser.set_defaults(function=run_demo)
    _register_train(commands)
    _register_sweep(commands)
    _register_run(commands)


def _register_train(commands: Any) -> None:
    parser = commands.add_parser("train", help="train from a config file")
    parser.add_argument(
        "config", help="file, name in configs/train, or a run folder with --resume"
    )
    add_settings(parser)
    parser.add_argument("--seed", type=natural, help="instead of the config's")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"))
    parser.add_argument("--out", metavar="DIR", help="run folder to make")
    parser.add_argument(
        "--resume", action="store_true", help="go on from the newest checkpoint"
    )
    add_json(parser)
    parser.set_defaults(function=train)


def _register_sweep(commands: Any) -> None:
    parser = commands.add_parser("sweep", help="several training runs, compared")
    parser.add_argument("config", help="file, or name in configs/train")
    parser.add_argument(
        "--seeds", default="0-2", metavar="0-4", help="range or list (default: 0-2)"
    )
    parser.add_argument(
        "--grid",
        action="append",
        default=[],
        metavar="key=a,b",
        help="values to try; several --grid are combined",
    )
    parser.add_argument(
        "--search",
        type=count,
        metavar="N",
        help="instead of a grid: N trials proposed by Optuna, each with all seeds",
    )
    parser.add_argument(
        "--space",
        action="append",
        default=[],
        metavar="key=low:high[:log]|a,b",
        help="what --search may change; whole numbers if both ends are",
    )
    add_settings(parser)
    add_executor(parser, "run")
    parser.add_argument(
        "--workers", type=count, default=1, metavar="N", help="runs at a time"
    )
    parser.add_argument("--out", default="sweep", metavar="DIR")
    add_json(parser)
    parser.set_defaults(function=sweep)


def _register_run(commands: Any) -> None:
    parser = commands.add_parser("run", help="run episodes")
    parser.add_argument("env", help="id of an environment, see physai list envs")
    parser.add_argument(
        "--policy",
        default="expert",
        help="bundle, run folder, file, module:factory, ws://..., expert (default), "
        "random, zero or adversary",
    )
    parser.add_argument(
        "--plant", default="bullet", choices=("bullet", "mujoco", "ros")
    )
    parser.add_argument("--guard", default="on", choices=("on", "observe", "off"))
    parser.add_argument(
        "--observation",
        choices=("state", "rgbd", "tags"),
        help="what the policy is shown: tracked positions, camera images in their "
        "place, or object poses from tags in images; default: what it was made for",
    )
    parser.add_argument("--episodes", type=count, default=1, metavar="N")
    parser.add_argument(
        "--seed", type=natural, default=0, help="first scenario of the test seeds"
    )
    parser.add_argument("--video", metavar="FILE", help="an .mp4 of all episodes")
    parser.add_argument("--log", metavar="DIR", help="store every step of each episode")
    add_trust(parser)
    add_json(parser)
    parser.set_defaults(function=run)


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
    videos = _film(folder)
    figures = json.loads((folder / "evaluation" / "held_out.json").read_text())
    low, high = figures["safe_success_interval_95"]
    print_result(
        options,
        {"folder": str(folder), **figures, "videos": [str(file) for file in videos]},
        [
            f"{folder}: bundle, curves.svg, evaluation"
            + (f", {len(videos)} videos in evaluation" if videos else ""),
            f"safe success on held-out seeds {figures['safe_success']:.1%} "
            f"(95 % interval {low:.1%} to {high:.1%}, {figures['episodes']} episodes)",
        ],
    )
    return 0


def _film(folder: Path) -> list[Path]:
    """Film held-out episodes of a run if its config says so; returns the files."""
    from physai import config as configuration
    from physai.training.config import TrainConfig

    config = configuration.load(TrainConfig, folder / "config.yaml")
    if not config.evaluation.video:
        return []
    from physai.report.film import film_held_out

    return film_held_out(
        folder / "bundle",
        config.environment,
        config.guard,
        config.evaluation.video,
        folder / "evaluation",
    )


def sweep(options: argparse.Namespace) -> int:
    """``physai sweep CONFIG``."""
    try:
        from physai.training.sweep import parse_seeds
        from physai.training.sweep import sweep as sweep_it
        from physai.training.tuning import tune
    except ModuleNotFoundError as error:
        raise MissingExtraError("train", "training") from error
    if options.space and options.search is None:
        raise ContractError("--space needs --search N, the number of trials")
    if options.grid and options.search is not None:
        raise ContractError("--grid and --search exclude each other; use --space")
    cluster, seeds = cluster_of(options), parse_seeds(options.seeds)
    out = check_writable(options.out)
    where = (options.settings, options.executor, options.workers, out)
    shown = not options.json
    if options.search is None:
        result = sweep_it(
            options.config,
            seeds,
            options.grid,
            *where,
            cluster=cluster,
            progress=shown,
        )
    else:
        result = tune(
            options.config,
            options.search,
            options.space,
            seeds,
            *where,
            cluster=cluster,
            progress=shown,
        )
    from physai.report.sweep import write_sweep_report

    page = write_sweep_report(out)
    print_result(options, result, [*result["lines"], "", str(page)])
    return 0


def run(options: argparse.Namespace) -> int:
    """``physai run ENV``."""
    if options.plant == "bullet":
        need_simulator("a simulated run")
    from physai.evaluation.arm import episode_header
    from physai.policy.adapters import load_policy, observation_of
    from physai.record.episode import EpisodeWriter
    from physai.runtime.loop import run_loop
    from physai.tasks import registry

    if options.plant == "ros":
        print(
            "a robot is watched and nothing is sent to it: physai deploy moves one",
            file=sys.stderr,
        )
    observation = options.observation or observation_of(options.policy)
    cycle = registry.make_cycle(
        options.env,
        plant=options.plant,
        guard=options.guard,
        observation=observation,
    )
    log = check_writable(options.log, "--log") if options.log else None
    rows: list[dict[str, Any]] = []
    try:
        policy = load_policy(
            options.policy, env=cycle, trust=options.trust, seed=options.seed
        )
        film = None
        if options.video:
            from physai.report.film import Film

            film = Film(cycle, Path(options.video))
        seeds = cycle.environment.distributions["test"].seeds
        first = seeds.first
        if options.seed + options.episodes > seeds.count:
            raise ContractError(
                f"--seed {options.seed}: the environment has {seeds.count} test seeds"
            )
        for episode in range(options.episodes):
            scenario = cycle.task.sample_scenario(
                first + options.seed + episode, "test"
            )
            writer = (
                EpisodeWriter(
                    log / f"episode_{scenario.seed}.parquet",
                    episode_header(cycle, scenario, observation=observation),
                )
                if log
                else None
            )
            report = run_loop(
                cycle,
                policy,
                scenario,
                writer=writer,
                on_step=film.add if film else None,
            )
            rows.append(
                {
                    "seed": scenario.seed,
                    "case": scenario.case,
                    "success": report.success,
                    "cost": report.cost,
                    "ended": report.ended,
                    "time_s": report.steps / cycle.environment.control_hz,
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
