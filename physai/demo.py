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
from physai.plant.picture import Image, Picture, Surroundings
from physai.policy.adapters import load_policy
from physai.record.episode import StepRecord
from physai.record.overlay import Overlay, draw_overlay
from physai.report.report import write_report
from physai.runtime.loop import run_loop
from physai.tasks import registry
from physai.tasks.cycle import Cycle, GuardMode

__all__ = ["Film", "run_demo"]

_ENVIRONMENT = "physai/CareFeeding-v0"
_POLICY = "care_feeding"
_SUITE = "care_feeding_quick"


class Film:
    """A video of an episode: scene, zones, tightest margins and the guard's state.

    Args:
        cycle: The cycle that is filmed.
        file: An ``.mp4``.
        every: Take every so many steps.
        surroundings: Gives objects, ground and zones of a step, where there are any.

    Raises:
        MissingExtraError: Without OpenCV.
    """

    def __init__(
        self,
        cycle: Cycle,
        file: Path,
        every: int = 2,
        surroundings: Callable[[StepRecord], Surroundings] | None = None,
    ) -> None:
        from physai.record.video import VideoWriter

        self.cycle, self.every, self._surroundings = cycle, every, surroundings
        self.picture = Picture(cycle.environment.plant, cycle.task.robot, 640, 480)
        self._rate = cycle.environment.control_hz / every
        self.writer = VideoWriter(file, self._rate)
        self._count = 0

    def take(self, record: StepRecord) -> None:
        """Add a step; the last one of an episode stays for a moment."""
        from physai.record.video import MASKED

        self._count += 1
        last = record.terminated or record.truncated
        if self._count % self.every and not last:
            return
        around = (
            Surroundings() if self._surroundings is None else self._surroundings(record)
        )
        image = draw_step(self.picture, self.cycle, record, surroundings=around)
        for _ in range(max(1, round(1.5 * self._rate)) if last else 1):
            self.writer.write(image, MASKED)

    def close(self) -> None:
        """Write the file."""
        self.writer.close()
        self.picture.close()


def draw_step(
    picture: Picture,
    cycle: Cycle,
    record: StepRecord,
    camera: str = "",
    surroundings: Surroundings | None = None,
) -> Image:
    """Return a picture of a step, faces masked, with the guard's state drawn over it.

    Args:
        picture: Where to draw.
        cycle: Gives the names of the rules.
        record: The step.
        camera: Name of a camera of the scene.
        surroundings: Objects, ground and zones, where there are any.
    """
    state = record.state if record.truth is None else record.truth.state
    mouth = None
    if "mouth_x_in_world_m" in cycle.environment.extras:
        first = cycle.environment.extras.index("mouth_x_in_world_m")
        mouth = state.extras[first : first + 3]
    around = Surroundings() if surroundings is None else surroundings
    image = picture.draw(state, camera, mouth, **around._asdict())
    decision = record.decision
    outcome, good = "", record.success
    if record.terminated or record.truncated:
        outcome = "success" if record.success else "time over"
        if record.terminated and not record.success:
            outcome = "stopped" if decision.latched else "not done"
    guarded = cycle.mode is not GuardMode.OFF
    margins = record.truth_margins
    draw_overlay(
        image,
        Overlay(
            record.time_s,
            cycle.environment.title.en,
            cycle.scenario.case if cycle.scenario is not None else "",
            decision.action if guarded else None,
            f"{decision.rule}: {decision.sentence}" if decision.rule else "",
            ()
            if margins is None
            else tuple(zip(cycle.spec.rule_names, margins.tolist(), strict=True)),
            outcome=outcome,
            good=good,
        ),
    )
    return image


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
    for caption, data in pictures.items():
        if caption.startswith("Feeding"):
            (folder / "demo.png").write_bytes(data)
    _say("deployment to a virtual robot over a websocket, stopped on request")
    deployed = _deploy(folder / "deployment")
    off, on = (arm.verdict for arm in arms)
    lines = _headline(off, on, deployed)
    page = write_report(
        [arm.folder for arm in arms],
        folder / "report.html",
        pictures,
        "Meal assistance with a spoon: guard off and on",
        lines,
    )
    lines = [
        *lines,
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


def _headline(off: Any, on: Any, deployed: dict[str, Any]) -> list[str]:
    def unsafe(verdict: Any) -> str:
        bad = verdict.table["unsafe_success"] + verdict.table["unsafe_failure"]
        moving = verdict.metrics["figures"]["episodes_with_moving_contact"]["count"]
        return (
            f"{bad} of {sum(verdict.table.values())} episodes unsafe, {moving} with a "
            "moving contact"
        )

    return [
        f"guard off: {unsafe(off)}",
        f"guard on:  {unsafe(on)}; safe success {on.table['safe_success']} of "
        f"{sum(on.table.values())}",
        f"deployed over a websocket for {deployed['steps']} steps, round trip p99 "
        f"{1000 * deployed['round_trip_p99_s']:.1f} ms, stopped on request: standstill after "
        f"{1000 * deployed['standstill_s']:.0f} ms, {deployed['robot'].get('stale', 0)} stale "
        "commands",
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

    wanted = {
        "nominal_rest": ("Feeding a person at a table, guard on", "visitor", 0.01),
        "misuse_reach": ("A hand reaches for the arm, guard on", "visitor", 0.0),
    }
    for case, (caption, camera, depth) in wanted.items():

        def look(
            record: StepRecord,
            caption: str = caption,
            camera: str = camera,
            depth: float = depth,
        ) -> bool:
            truth = record.truth
            assert truth is not None
            touched = bool(truth.contact.force_peak_n[:, 1:].any())
            here = truth.extras[2] > depth if depth else touched
            if here and caption not in found:
                found[caption] = encode(record, camera)
                found[caption.replace("guard on", "closer")] = encode(record, "face")
            return caption in found

        run_loop(
            cycle,
            policy,
            cycle.task.sample_scenario(first + 3, "test", case),
            on_step=look,
        )
    picture.close()
    cycle.close()
    return found


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
        standstill = _stop_while_moving(operator, hardware)
        session.wait(30)
        operator.destroy_node()
    finally:
        server.terminate()
        server.wait(10)
    result: dict[str, Any] = json.loads((folder / "deploy.json").read_text())
    result.pop("environment")
    return {**result, "standstill_s": standstill}


def _stop_while_moving(operator: Any, hardware: Any, moving_s: float = 6.0) -> float:
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
        if time.monotonic() > limit:
            raise LinkError(
                "the virtual robot never moved: see the deployment's ledger"
            )
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
