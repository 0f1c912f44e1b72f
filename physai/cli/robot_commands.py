"""Commands about robots: robot, deploy, watchdog, console."""

from __future__ import annotations

import argparse
import contextlib
import sys
import time
from pathlib import Path
from typing import Any

from physai.cli.output import (
    add_json,
    add_trust,
    check_writable,
    natural,
    need_simulator,
    port,
    print_result,
    seconds,
)
from physai.errors import ContractError, MissingExtraError, RefusedError, suggest

__all__ = ["register"]


def register(commands: Any) -> None:
    """Add the commands of this module."""
    _register_robot(commands)
    _register_deploy(commands)
    parser = commands.add_parser(
        "watchdog", help="stops the robot from a process of its own"
    )
    _add_link(parser)
    add_json(parser)
    parser.set_defaults(function=watchdog)
    parser = commands.add_parser(
        "console", help="operator page in the browser: scene, margins, stop, ledger"
    )
    _add_link(parser)
    parser.add_argument("--port", type=port, default=8080, help="of the page")
    parser.add_argument("--ledger", metavar="FILE", help="show its last entries")
    parser.set_defaults(function=console)


def _register_robot(commands: Any) -> None:
    parser = commands.add_parser(
        "robot", help="a virtual robot behind the rosbridge protocol"
    )
    parser.add_argument("hardware", help="profile in hardware/, such as franka")
    parser.add_argument(
        "--env", help="whose scene it stands in; default: the profile's"
    )
    parser.add_argument("--seed", type=natural, default=0, help="of the scenario")
    parser.add_argument("--plant", default="bullet", choices=("bullet", "mujoco"))
    parser.add_argument(
        "--port", type=port, default=9090, help="0 lets the system choose"
    )
    parser.add_argument(
        "--faults",
        metavar="FILE",
        help="YAML list of faults of its sensors, actuators, clock and link",
    )
    parser.add_argument(
        "--duration", type=seconds, metavar="S", help="end after so long"
    )
    add_json(parser)
    parser.set_defaults(function=robot)


def _register_deploy(commands: Any) -> None:
    parser = commands.add_parser(
        "deploy", help="the control loop on a robot over rosbridge"
    )
    parser.add_argument("policy", help="bundle, run folder, file or scripted policy")
    _add_link(parser)
    parser.add_argument(
        "--stage",
        default="full",
        choices=("shadow", "slow", "supervised", "full"),
        help="shadow computes and logs, and sends nothing",
    )
    parser.add_argument(
        "--out", default="deployment", metavar="DIR", help="ledger and episodes"
    )
    parser.add_argument(
        "--approved-by",
        default="",
        metavar="NAME",
        help="the person who lets the robot move; asked for at a terminal",
    )
    parser.add_argument(
        "--permit", metavar="FILE", help="must allow this, signed by a key of the site"
    )
    add_trust(parser)
    add_json(parser)
    parser.set_defaults(function=deploy)


def _add_link(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--hardware", required=True, help="profile in hardware/")
    parser.add_argument("--url", help="ws://HOST:PORT instead of the profile's")
    parser.add_argument(
        "--duration", type=seconds, metavar="S", help="end after so long"
    )


def robot(options: argparse.Namespace) -> int:
    """``physai robot HARDWARE``: serves until interrupted."""
    if options.plant == "bullet":
        need_simulator("a virtual robot")
    from physai.plant.faults import load_faults
    from physai.plant.ros import load_bridge
    from physai.runtime.robot_server import RobotServer
    from physai.tasks import registry

    hardware = load_bridge(options.hardware)
    faults = load_faults(options.faults) if options.faults else ()
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
    scenario = scenario.model_copy(update={"faults": (*scenario.faults, *faults)})
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
            file=sys.stderr if options.json else sys.stdout,
            flush=True,
        )
        _wait(options.duration)
        counted = dict(server.statistics)
    text = ", ".join(f"{value} {key}" for key, value in counted.items())
    print_result(options, counted, [text])
    return 0


def _wait(duration_s: float | None) -> None:
    end = None if duration_s is None else time.monotonic() + duration_s
    # Ending a server by Ctrl-C is how it is meant to end.
    with contextlib.suppress(KeyboardInterrupt):
        while end is None or time.monotonic() < end:
            time.sleep(0.1)


def deploy(options: argparse.Namespace) -> int:
    """``physai deploy POLICY --hardware H``: 1 if a safety stop ended the session."""
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
            f"{out}/deploy.json, ledger.jsonl, {result['episode']}",
        ],
    )
    bad = result["ended"] in ("period overrun", "latched stop")
    return 0 if result["stop_confirmed"] and not bad else 1


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

    def tell(text: str) -> None:
        print(text, file=sys.stderr if options.json else sys.stdout, flush=True)

    dog = Watchdog(
        load_bridge(options.hardware),
        options.url,
        report=lambda text: tell(f"stop requested: {text}"),
    )
    try:
        tell(f"watching {dog.node.url}; Ctrl-C ends it")
        with contextlib.suppress(KeyboardInterrupt):
            dog.watch(options.duration)
    finally:
        dog.close()
    print_result(options, {"stops": dog.stops}, [f"{len(dog.stops)} stops requested"])
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
        with contextlib.suppress(KeyboardInterrupt):
            page.run(options.duration)
    finally:
        page.close()
    return 0
