"""Commands that run things: demo, train, sweep, run, bench."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from physai.cli.output import (
    add_json,
    add_settings,
    add_trust,
    check_writable,
    count,
    natural,
    need_simulator,
    print_result,
)
from physai.errors import ContentError, ContractError, MissingExtraError

__all__ = ["register"]

_TABLES = {"tasks": "environments", "matrices": "fault matrices"}


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
    _register_bench(commands)


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
    add_settings(parser)
    parser.add_argument("--executor", default="local", choices=("local", "ray"))
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
        default="state",
        choices=("state", "tags"),
        help="where object poses come from: a modelled tracker, or tags in images",
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


def _register_bench(commands: Any) -> None:
    parser = commands.add_parser("bench", help="the benchmark table")
    parser.add_argument("--out", metavar="FILE", help="also write it as JSON")
    parser.add_argument(
        "--blocks", type=count, default=20, metavar="N", help="repeats per figure"
    )
    parser.add_argument(
        "--guard",
        action="store_true",
        help="instead: the guard against random and adversarial policies, off and on",
    )
    parser.add_argument(
        "--tasks",
        action="store_true",
        help="instead: one row per environment: expert, adversary, speed, memory",
    )
    parser.add_argument(
        "--count", type=count, default=200, metavar="N", help="episodes of --tasks"
    )
    parser.add_argument(
        "--only",
        nargs="+",
        metavar="ID",
        help="environments of --tasks; the others keep their rows in --out",
    )
    parser.add_argument(
        "--faults",
        nargs="*",
        metavar="MATRIX",
        help="instead: fault matrices, by name in configs/faults or by file "
        "(default: all); the others keep their place in --out",
    )
    parser.add_argument(
        "--suite",
        default="care_feeding_guard",
        help="of --guard (default: %(default)s)",
    )
    parser.add_argument(
        "--workers",
        type=count,
        default=2,
        metavar="N",
        help="processes of --guard and --faults",
    )
    parser.add_argument(
        "--episodes",
        metavar="DIR",
        help="where --guard and --faults keep their episodes (default: "
        "guard_challenge, fault_matrix)",
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

    if options.plant == "ros":
        print(
            "a robot is watched and nothing is sent to it: physai deploy moves one",
            file=sys.stderr,
        )
    cycle = registry.make_cycle(
        options.env,
        plant=options.plant,
        guard=options.guard,
        observation=options.observation,
    )
    log = check_writable(options.log, "--log") if options.log else None
    rows: list[dict[str, Any]] = []
    try:
        policy = load_policy(
            options.policy, env=cycle, trust=options.trust, seed=options.seed
        )
        film = _Film(cycle, options.video) if options.video else None
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
                    episode_header(cycle, scenario, observation=options.observation),
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


class _Film:
    """Takes a picture of every second step."""

    def __init__(self, cycle: Any, file: str) -> None:
        from physai.report.film import Film

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
        if Path(options.out).is_dir():
            raise ContentError(f"{options.out}: is a folder; --out names a file here")
    if options.guard:
        from physai.evaluation.challenge import challenge_guard
        from physai.provenance import environment_record

        folder = options.episodes or "guard_challenge"
        check_writable(folder, "--episodes")
        result = challenge_guard(
            options.suite,
            workers=options.workers,
            out=folder,
            progress=not options.json,
        )
        result["environment"] = environment_record()
    elif options.faults is not None:
        return _bench_faults(options)
    elif options.tasks:
        from physai.task_table import run_task_table
        from physai.tasks.registry import load_environment

        for name in options.only or ():
            load_environment(name)
        result = run_task_table(
            options.only,
            options.count,
            max(1, options.count // 4),
            progress=not options.json,
            kept=_earlier_rows(options.out),
            save=lambda table: _write_table(options.out, table),
        )
    else:
        from physai.bench import run_bench

        result = run_bench(options.blocks)
    _write_table(options.out, result)
    print_result(options, result, result["lines"])
    sys.stdout.flush()
    return 0


def _bench_faults(options: argparse.Namespace) -> int:
    """``physai bench --faults``: 0 if every row holds, 1 otherwise."""
    import time

    from physai.content import names
    from physai.evaluation.fault_run import matrix_lines, run_matrices
    from physai.provenance import environment_record

    kept = _earlier_rows(options.out, "matrices")
    folder = options.episodes or "fault_matrix"
    check_writable(folder, "--episodes")
    start = time.monotonic()
    made = run_matrices(
        options.faults or list(names("faults")),
        options.workers,
        folder,
        progress=not options.json,
    )
    record = {
        "environment": environment_record(),
        "time_s": round(time.monotonic() - start, 1),
    }
    done = {matrix["id"] for matrix in made}
    matrices = [m for m in kept if m["id"] not in done]
    matrices += [{**matrix, **record} for matrix in made]
    matrices.sort(key=lambda matrix: str(matrix["id"]))
    lines = matrix_lines(matrices)
    result = {"matrices": matrices, "lines": lines}
    _write_table(options.out, result)
    print_result(options, result, lines)
    return 1 if any(matrix["failures"] for matrix in made) else 0


def _write_table(out: str | None, result: dict[str, Any]) -> None:
    """Write figures to the file of ``--out``, if there is one."""
    if out:
        Path(out).write_text(json.dumps(result, indent=2) + "\n")


def _earlier_rows(out: str | None, key: str = "tasks") -> list[dict[str, Any]]:
    """Return the rows of an earlier table in the file of ``--out``.

    Args:
        out: The file; None for none.
        key: Under which they stand: of environments, or of fault matrices.

    Raises:
        ContentError: If the file is something else, which would be lost.
    """
    if not out or not Path(out).exists():
        return []
    try:
        rows = json.loads(Path(out).read_text())[key]
        return [{**row, "id": str(row["id"])} for row in rows]
    except (ValueError, KeyError, TypeError, OSError):
        raise ContentError(
            f"{out}: is there and is no table of {_TABLES[key]}; name another --out"
        ) from None
