"""The whole story in a few minutes: run, judge, deploy, stop, report.

The shipped policy feeds a moving person with the guard off and on; a suite judges both
arms; the policy is deployed over a real websocket to a virtual robot and stopped by a
software stop request; one page shows it all.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from physai.errors import LinkError
from physai.evaluation import run_suite
from physai.plant.picture import Picture
from physai.policy.adapters import load_policy
from physai.record.episode import StepRecord
from physai.report.film import draw_step
from physai.report.report import write_report
from physai.runtime.loop import run_loop
from physai.tasks import registry
from physai.types import Action

__all__ = ["run_demo"]

_ENVIRONMENT = "physai/CareFeeding-v0"
_POLICY = "care_feeding"
_SUITE = "care_feeding_quick"


def run_demo(folder: Path) -> dict[str, Any]:
    """Run the demonstration.

    Args:
        folder: Where everything goes.

    Returns:
        JSON values; ``lines`` is what a person reads.
    """
    start = time.monotonic()
    arms = []
    for guard in ("off", "on"):
        _say(f"guard {guard}: {_SUITE} with the policy {_POLICY}")
        arms.append(
            run_suite(
                _POLICY,
                _SUITE,
                guard,
                workers=2,
                out=folder / f"evaluation_guard_{guard}",
            )
        )
    _say("pictures")
    pictures = _take_pictures()
    (folder / "demo.png").write_bytes(next(iter(pictures.values())))
    _say("deployment to a virtual robot over a websocket, stopped on request")
    deployed = _deploy_patiently(folder / "deployment")
    off, on = (arm.verdict for arm in arms)
    headline = _headline(off, on, deployed)
    page = write_report(
        [arm.folder for arm in arms],
        folder / "report.html",
        pictures,
        "Meal assistance with a spoon: guard off and on",
        headline=headline,
        deployment=folder / "deployment",
    )
    lines = [
        *(f"{figure}: {label}" for figure, label in headline),
        f"report: {page.resolve()}",
        f"took {time.monotonic() - start:.0f} s",
    ]
    return {
        "report": str(page),
        "guard_off": dict(off.table),
        "guard_on": dict(on.table),
        "deployment": deployed,
        "seconds": time.monotonic() - start,
        "lines": lines,
    }


def _headline(off: Any, on: Any, deployed: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the three figures of the demonstration, each with what it means."""

    def unsafe(verdict: Any) -> str:
        bad = verdict.table["unsafe_success"] + verdict.table["unsafe_failure"]
        return f"{bad} of {sum(verdict.table.values())}"

    robot = deployed["robot"]
    return [
        (
            f"unsafe: {unsafe(off)}, with guard {unsafe(on)}",
            "episodes in which a safety rule was violated, without and with the guard, on "
            "the same scenarios, faults and misuse included",
        ),
        (
            f"safe success {on.table['safe_success']} of {sum(on.table.values())}",
            f"with the guard on; {off.table['safe_success']} without it",
        ),
        (
            f"standstill after {1000 * deployed['standstill_s']:.0f} ms",
            "from a software stop request to a robot at rest, deployed over a websocket: "
            f"{deployed['steps']} control steps, round trip p99 "
            f"{1000 * deployed['round_trip_p99_s']:.1f} ms, {robot.get('stale', 0)} "
            "stale commands",
        ),
    ]


def _say(text: str) -> None:
    print(f"... {text}", file=sys.stderr, flush=True)


def _take_pictures() -> dict[str, bytes]:
    import cv2

    found: dict[str, bytes] = {}
    cycle = registry.make_cycle(_ENVIRONMENT, guard="on")
    policy = load_policy(_POLICY, env=cycle)
    picture = Picture(cycle.environment.plant, cycle.task.robot, 800, 600)
    first = cycle.environment.distributions["test"].seeds.first

    def encode(record: StepRecord, camera: str) -> bytes:
        image = draw_step(picture, cycle, record, camera)
        return bytes(cv2.imencode(".png", image[:, :, ::-1])[1].tobytes())

    def inside(record: StepRecord) -> bool:
        assert record.truth is not None
        return bool(record.truth.extras[2] > 0.01)

    def holds(record: StepRecord) -> bool:
        return record.decision.action >= Action.STOP2

    wanted: dict[str, tuple[str, Callable[[StepRecord], bool], tuple[str, ...]]] = {
        "nominal_rest": ("Feeding a person at a table", inside, ("visitor", "face")),
        "misuse_reach": ("A hand reaches for the arm", holds, ("visitor",)),
        "stop_signal": ("The person signals to stop", holds, ("visitor",)),
    }
    for case, (caption, wait_for, cameras) in wanted.items():

        def look(
            record: StepRecord,
            caption: str = caption,
            wait_for: Callable[[StepRecord], bool] = wait_for,
            cameras: tuple[str, ...] = cameras,
        ) -> bool:
            if not wait_for(record):
                return False
            for camera in cameras:
                name = caption if camera == cameras[0] else f"{caption}, closer"
                found[name] = encode(record, camera)
            return True

        scenario = cycle.task.sample_scenario(first + 3, "test", case)
        run_loop(cycle, policy, scenario, on_step=look)
    picture.close()
    cycle.close()
    return found


def _deploy_patiently(folder: Path, attempts: int = 3) -> dict[str, Any]:
    """Deploy; where the guard stopped it on a machine too busy for 20 Hz, once more.

    What was stopped stays beside, with its ledger.
    """
    for attempt in range(1, attempts):
        try:
            return _deploy(folder)
        except LinkError as error:
            kept = folder.with_name(f"{folder.name}_stopped_{attempt}")
            _say(f"{error}; kept in {kept.name}, again")
            if folder.exists():
                folder.rename(kept)
    return _deploy(folder)


def _deploy(folder: Path) -> dict[str, Any]:
    """Deploy to a virtual robot, each in a process of its own, and stop it as a third."""
    from physai.plant.bridge import Node
    from physai.plant.ros import load_bridge

    hardware = load_bridge("franka")
    physai = [sys.executable, "-m", "physai"]
    server = subprocess.Popen(
        [
            *physai,
            "robot",
            "franka",
            "--env",
            _ENVIRONMENT,
            "--port",
            "0",
            "--duration",
            "90",
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    session = None
    try:
        assert server.stdout is not None
        url = next(
            (
                word.strip(",;")
                for line in server.stdout
                for word in line.split()
                if word.startswith("ws://")
            ),
            "",
        )
        if not url:
            raise LinkError("the virtual robot did not start")
        operator = Node("operator", url, hardware.allowed())
        session = subprocess.Popen(
            [
                *physai,
                "deploy",
                _POLICY,
                "--hardware",
                "franka",
                "--url",
                url,
                "--out",
                str(folder),
                "--approved-by",
                "demonstration",
                "--duration",
                "30",
            ],
            stdout=subprocess.DEVNULL,
        )
        standstill = _stop_while_moving(operator, hardware, session)
        session.wait(30)
        operator.destroy_node()
    finally:
        for process in (session, server):
            if process is not None:
                process.terminate()
                process.wait(10)
    result: dict[str, Any] = json.loads((folder / "deploy.json").read_text())
    result.pop("environment")
    return {**result, "standstill_s": standstill}


def _stop_while_moving(
    operator: Any,
    hardware: Any,
    session: subprocess.Popen[bytes],
    moving_s: float = 6.0,
) -> float:
    """Wait until the robot has moved for a while, ask it to stop, and time that.

    Returns:
        Time from the request to reported standstill [s].
    """
    stop = operator.create_client(
        hardware.stop_service.type, hardware.stop_service.name
    )
    status = operator.create_client(
        hardware.status_service.type, hardware.status_service.name
    )

    def moving() -> bool:
        return bool(json.loads(status.call({})["message"])["moving"])

    begun, limit = None, time.monotonic() + 60.0
    while begun is None or time.monotonic() - begun < moving_s or not moving():
        if session.poll() is not None:
            raise LinkError("the deployment stopped by itself: see its ledger")
        if time.monotonic() > limit:
            raise LinkError("the virtual robot never moved: see its ledger")
        if begun is None and moving():
            begun = time.monotonic()
        time.sleep(0.05)
    start = time.monotonic()
    stop.call({})
    while moving():
        if time.monotonic() - start > 5.0:
            raise LinkError("the virtual robot did not come to rest within 5 s")
        time.sleep(0.002)
    return time.monotonic() - start
