"""Commands about robots: robot, deploy, watchdog, console."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

from physai.cli.output import add_json, check_writable, need_simulator, print_result
from physai.errors import ContractError, MissingExtraError, RefusedError, suggest

__all__ = ["register"]


def register(commands: Any) -> None:
    """Add the commands of this module."""
    parser = commands.add_parser(
        "robot", help="a virtual robot behind the rosbridge protocol"
    )
    parser.add_argument("hardware")
    parser.add_argument("--env")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--plant", default="bullet", choices=("bullet", "mujoco"), metavar="plant"
    )
    parser.add_argument("--port", type=int, default=9090)
    parser.add_argument("--duration", type=float, metavar="S")
    parser.set_defaults(function=robot)
    parser = commands.add_parser(
        "deploy", help="the control loop on a robot over rosbridge"
    )
    parser.add_argument("policy")
    parser.add_argument("--hardware", required=True)
    parser.add_argument("--url")
    parser.add_argument(
        "--stage",
        default="full",
        choices=("shadow", "slow", "supervised", "full"),
        metavar="stage",
    )
    parser.add_argument("--duration", type=float, metavar="S")
    parser.add_argument("--out", default="deployment", metavar="DIR")
    parser.add_argument(
        "--approved-by",
        default="",
        metavar="NAME",
        help="the person who lets the robot move; asked for at a terminal",
    )
    parser.add_argument(
        "--permit", metavar="FILE", help="must allow this, signed by a key of the site"
    )
    parser.add_argument("--trust", action="store_true")
    add_json(parser)
    parser.set_defaults(function=deploy)
    parser = commands.add_parser(
        "watchdog", help="stops the robot from a process of its own"
    )
    parser.add_argument("--hardware", required=True)
    parser.add_argument("--url")
    parser.add_argument("--duration", type=float, metavar="S")
    parser.set_defaults(function=watchdog)
    parser = commands.add_parser(
        "console", help="operator page in the browser: scene, margins, stop, ledger"
    )
    parser.add_argument("--hardware", required=True)
    parser.add_argument("--url")
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("--ledger", metavar="FILE", help="show its last entries")
    parser.add_argument("--duration", type=float, metavar="S")
    parser.set_defaults(function=console)


def robot(options: argparse.Namespace) -> int:
    """``physai robot HARDWARE``: serves until interrupted."""
    if options.plant == "bullet":
        need_simulator("a virtual robot")
    from physai.plant.ros import load_bridge
    from physai.runtime.robot_server import RobotServer
    from physai.tasks import registry

    hardware = load_bridge(options.hardware)
    name = options.env or hardware.environment
    cycle = registry.make_cycle(name, plant=options.plant, guard="off")
    if cycle.task.robot.name != hardware.robot:
        raise ContractError(
            f"{name} has the robot {cycle.task.robot.name}, the hardware "
            f"{hardware.name} is a {hardware.robot}; "
            f"{suggest(cycle.task.robot.name, [hardware.robot])}"
        )
    first = cycle.environment.distributions["test"].seeds.first
    scenario = cycle.task.sample_scenario(first + options.seed, "test")
    with RobotServer(
        cycle.plant,
        cycle.task.robot,
        hardware,
        scenario,
        cycle.environment.control_hz,
        port=options.port,
    ) as server:
        print(
            f"virtual {hardware.name} at {server.url}, {scenario.case}; Ctrl-C ends it",
            flush=True,
        )
        end = None if options.duration is None else time.monotonic() + options.duration
        while end is None or time.monotonic() < end:
            time.sleep(0.1)
        print(server.statistics)
    return 0


def deploy(options: argparse.Namespace) -> int:
    """``physai deploy POLICY --hardware H``."""
    out = check_writable(options.out)
    from physai.runtime.session import deploy as deploy_it

    person = options.approved_by
    if options.stage != "shadow" and not person:
        person = _ask()
    result = deploy_it(
        options.policy,
        options.hardware,
        url=options.url,
        stage=options.stage,
        person=person,
        duration_s=options.duration,
        out=Path(out),
        trust=options.trust,
        permit=Path(options.permit) if options.permit else None,
    )
    print_result(
        options,
        result,
        [
            f"ended: {result['ended']} after {result['steps']} steps; interventions "
            f"{result['interventions']}, stops {', '.join(result['stops']) or 'none'}",
            f"round trip p99 {1000 * result['round_trip_p99_s']:.1f} ms, late periods "
            f"{result['late_periods']}, commands dropped {result['dropped_commands']}",
            f"robot stopped and confirmed: {result['stop_confirmed']}; ledger verified: "
            f"{result['ledger_verified']}",
            f"{out}/deploy.json, ledger.jsonl, episode.parquet",
        ],
    )
    return 0 if result["stop_confirmed"] and result["ended"] != "period overrun" else 1


def _ask() -> str:
    if not sys.stdin.isatty():
        raise RefusedError(
            "a robot moves only when a person approves: name who does with "
            "--approved-by NAME, or use --stage shadow"
        )
    print(
        "The arm will move. The emergency stop is at hand, the area is clear.",
        file=sys.stderr,
    )
    return input("Your name, to approve (empty to refuse): ").strip()


def watchdog(options: argparse.Namespace) -> int:
    """``physai watchdog --hardware H``."""
    from physai.plant.ros import load_bridge
    from physai.runtime.watchdog import Watchdog

    dog = Watchdog(
        load_bridge(options.hardware),
        options.url,
        report=lambda text: print(f"stop requested: {text}", flush=True),
    )
    try:
        print(f"watching {dog.node.url}; Ctrl-C ends it", flush=True)
        dog.watch(options.duration)
    finally:
        dog.close()
    return 0


def console(options: argparse.Namespace) -> int:
    """``physai console --hardware H``: serves until interrupted."""
    from physai.plant.ros import load_bridge

    try:
        from physai.console import Console
    except ModuleNotFoundError as error:
        raise MissingExtraError("console", "the operator's page") from error
    page = Console(
        load_bridge(options.hardware),
        options.url,
        port=options.port,
        ledger=Path(options.ledger) if options.ledger else None,
    )
    try:
        print(f"http://127.0.0.1:{page.port} (Ctrl-C ends it)", flush=True)
        page.run(options.duration)
    finally:
        page.close()
    return 0
