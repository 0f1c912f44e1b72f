"""The control loop over a websocket: round trip, jitter and an outage, on loopback.

    python benchmarks/link.py [--out FILE] [--echoes N] [--seconds S]

One run, three figures (design: round trip at most 1.3 times a raw `websockets` client,
period jitter p99 at most 2 ms on an idle machine, no stale command):

- echo: a joint velocity command goes to a server and comes back to a subscriber, once
  through the project's bridge (roslibpy) and once through a raw client of the package
  `websockets`, in blocks that alternate, against the same server in another process;
- jitter: periods of `run_loop` with the expert, guard on, on a virtual robot;
- outage: the server is killed while commands flow and started again three seconds
  later; counted is what it then takes for execution that is older than its time-out.
  For contrast the same with roslibpy's own publishing, which queues: a robot that has
  just started cannot tell an old command from a slow clock, so that the gate on this
  side is what counts.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import websockets

from physai.plant import messages
from physai.plant.bridge import Node
from physai.plant.ros import BridgeConfig, RosPlant, load_bridge
from physai.policy.adapters import load_policy
from physai.provenance import environment_record
from physai.record.episode import StepRecord
from physai.runtime.loop import run_loop
from physai.runtime.robot_server import RobotServer
from physai.tasks import registry
from physai.tasks.environment import EnvironmentConfig
from physai.types import Command

ENVIRONMENT = "physai/CareFeeding-v0"
SEED = 0
BLOCK = 50
ECHO_HZ = 50.0
OUTAGE_S = 3.0


class AgeingServer(RobotServer):
    """A virtual robot that notes how old accepted commands are; one machine, one clock."""

    def _accept(self, command: Command) -> None:
        before = self.statistics["commands"]
        super()._accept(command)
        age = time.time() - command.stamp_s
        old = age > self.hardware.command_timeout_s
        counts = self.statistics
        counts["arrived_old"] = counts.get("arrived_old", 0) + int(old)
        taken = counts["commands"] > before
        counts["executed_old"] = counts.get("executed_old", 0) + int(old and taken)


def environment_at(control_hz: float) -> EnvironmentConfig:
    """Return the environment at another rate; 50 Hz needs a physics rate that divides."""
    environment = registry.load_environment(ENVIRONMENT)
    physics = environment.plant.physics_hz if control_hz == 20.0 else 5 * control_hz
    contact = environment.plant.contact.model_copy(update={"substep_s": 1.0 / physics})
    plant = environment.plant.model_copy(
        update={"control_hz": control_hz, "physics_hz": physics, "contact": contact}
    )
    return environment.model_copy(update={"control_hz": control_hz, "plant": plant})


def serve(control_hz: float, port: int) -> None:
    """Serve a virtual robot until killed."""
    environment = environment_at(control_hz)
    cycle = registry.make_cycle(environment, guard="off")
    first = environment.distributions["test"].seeds.first
    scenario = cycle.task.sample_scenario(first + SEED, "test", "nominal_rest")
    robot = cycle.task.robot
    with AgeingServer(
        cycle.plant, robot, load_bridge("franka"), scenario, control_hz, port=port
    ) as server:
        print(server.url, flush=True)
        threading.Event().wait()


def start(control_hz: float, port: int = 0) -> tuple[subprocess.Popen[str], str]:
    """Start a server in a process of its own; returns it and its address."""
    command = [sys.executable, __file__, "--serve", str(control_hz)]
    process = subprocess.Popen(
        [*command, "--port", str(port)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    url = next((line.strip() for line in process.stdout if "ws://" in line), "")
    return process, url


@contextmanager
def robot(control_hz: float) -> Iterator[str]:
    process, url = start(control_hz)
    try:
        yield url
    finally:
        process.kill()
        process.wait()


class BridgeEcho:
    """A command through the project's bridge and back."""

    def __init__(self, url: str, hardware: BridgeConfig) -> None:
        self.node = Node("benchmark", url, hardware.allowed())
        command = hardware.command
        self.topic = command.name
        self.publisher = self.node.create_motion_publisher(command.type, command.name)
        self.arrived = threading.Event()
        self.node.create_subscription(
            command.type, command.name, lambda message: self.arrived.set()
        )
        time.sleep(0.5)

    def switch(self, on: bool) -> None:
        """Let the server send to this client, or not."""
        operation = "subscribe" if on else "unsubscribe"
        self.node.send({"op": operation, "topic": self.topic})

    def measure(self, message: dict[str, Any]) -> float:
        self.arrived.clear()
        begin = time.perf_counter()
        self.publisher.publish(message)
        if not self.arrived.wait(2.0):
            raise RuntimeError("no echo through the bridge within 2 s")
        return time.perf_counter() - begin

    def close(self) -> None:
        self.node.destroy_node()


class RawEcho:
    """The same through a bare asyncio client of the package websockets."""

    def __init__(self, url: str, hardware: BridgeConfig) -> None:
        self.loop = asyncio.new_event_loop()
        self.topic = hardware.command.name
        self.socket = self.loop.run_until_complete(self._open(url))

    async def _open(self, url: str) -> Any:
        return await websockets.connect(url, compression=None, proxy=None)

    def switch(self, on: bool) -> None:
        """Let the server send to this client, or not."""
        operation = "subscribe" if on else "unsubscribe"
        self._send({"op": operation, "topic": self.topic})

    def _send(self, frame: dict[str, Any]) -> None:
        self.loop.run_until_complete(self.socket.send(json.dumps(frame)))

    async def _echo(self, message: dict[str, Any]) -> float:
        begin = time.perf_counter()
        frame = {"op": "publish", "topic": self.topic, "msg": message}
        await self.socket.send(json.dumps(frame))
        json.loads(await asyncio.wait_for(self.socket.recv(), 2.0))
        return time.perf_counter() - begin

    def measure(self, message: dict[str, Any]) -> float:
        return self.loop.run_until_complete(self._echo(message))

    def close(self) -> None:
        self.loop.run_until_complete(self.socket.close())
        self.loop.close()


def measure_echo(echoes: int) -> dict[str, Any]:
    """Return the round trips of both clients against one server."""
    hardware = load_bridge("franka")
    joints = hardware.joint_map(registry.make_task(environment_at(20.0)).robot)
    zero, sequence = np.zeros(len(joints.names)), 0
    times: dict[str, list[float]] = {name: [] for name in CLIENTS}
    with robot(20.0) as url:
        clients = {name: make(url, hardware) for name, make in CLIENTS.items()}
        for client in clients.values():
            client.switch(False)
        for block in range(max(2, 2 * echoes // BLOCK)):
            name = list(clients)[block % 2]
            clients[name].switch(True)
            time.sleep(0.2)
            for _ in range(BLOCK):
                sequence += 1
                sent = Command(zero, np.zeros(0), time.time(), sequence)
                message = messages.command_message(sent, joints)
                times[name].append(clients[name].measure(message))
                time.sleep(1.0 / ECHO_HZ)
            clients[name].switch(False)
            time.sleep(0.2)
        for client in clients.values():
            client.close()
    figures = {name: summary(values) for name, values in times.items()}
    ratio = figures["bridge"]["p50_ms"] / figures["websockets"]["p50_ms"]
    return {"rate_hz": ECHO_HZ, **figures, "ratio_of_medians": ratio, "target": 1.3}


CLIENTS: dict[str, Callable[[str, BridgeConfig], Any]] = {
    "bridge": BridgeEcho,
    "websockets": RawEcho,
}


def summary(seconds: list[float]) -> dict[str, float]:
    values = 1000.0 * np.array(seconds)
    figures = {f"p{q}_ms": float(np.percentile(values, q)) for q in (50, 90, 99)}
    return {"count": len(values), **figures, "max_ms": float(values.max())}


def measure_jitter(control_hz: float, seconds: float) -> dict[str, Any]:
    """Return how far periods of the loop are from nominal [s]."""
    environment = environment_at(control_hz)
    with robot(control_hz) as url:
        cycle = registry.make_cycle(environment, plant="ros", guard="on", url=url)
        plant = cycle.plant
        assert isinstance(plant, RosPlant)
        first = environment.distributions["test"].seeds.first
        scenario = cycle.task.sample_scenario(first + SEED, "test", "nominal_rest")
        policy = load_policy("expert", env=cycle)
        stamps: list[float] = []

        def note(record: StepRecord) -> bool:
            stamps.append(time.perf_counter())
            return False

        # The first session loads compiled code and is not counted.
        for steps in (10, round(seconds * control_hz)):
            stamps.clear()
            report = run_loop(
                cycle,
                policy,
                scenario,
                on_start=lambda: plant.arm("benchmark"),
                on_step=note,
                maximum_steps=steps,
            )
        status = json.loads(plant.status()["message"])
        plant.stop(1)
        cycle.close()
    jitter = [abs(period - 1.0 / control_hz) for period in np.diff(stamps[2:])]
    return {
        "control_hz": control_hz,
        "periods": len(jitter),
        **summary(jitter),
        "late_periods": report.late_periods,
        "ended": report.ended,
        "commands": status["commands"],
        "stale": status["stale"],
        "target_p99_ms": 2.0,
    }


def measure_outage(queueing: bool) -> dict[str, Any]:
    """Kill and restart the server while commands flow; return what became of them."""
    hardware = load_bridge("franka")
    environment = environment_at(20.0)
    task = registry.make_task(environment)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server, url = start(20.0, port)
    plant = RosPlant(environment.plant, task.robot, hardware, url)
    first = environment.distributions["test"].seeds.first
    plant.reset(task.sample_scenario(first, "test"))
    plant.arm("benchmark")
    topic = plant.node.create_publisher(hardware.command.type, hardware.command.name)
    epoch, begun, sequence = time.time(), time.monotonic(), 0
    speed = np.full(len(plant.joints.names), 0.01)
    killed = restarted = reconnected_s = 0.0
    withheld = 0
    while time.monotonic() - begun < 3.0 + OUTAGE_S + 10.0:
        sequence += 1
        elapsed = time.monotonic() - begun
        command = Command(speed, np.zeros(0), epoch + elapsed, sequence)
        if queueing:
            topic.publish(messages.command_message(command, plant.joints))
        else:
            withheld += not plant.apply(command).actuator_velocity.any()
        if not killed and elapsed > 3.0:
            os.kill(server.pid, signal.SIGKILL)
            server.wait()
            killed = elapsed
        if killed and not restarted and elapsed > 3.0 + OUTAGE_S:
            server = start_later(port)
            restarted = elapsed
        if restarted and plant.node.is_connected and not plant.armed:
            reconnected_s = reconnected_s or elapsed
            plant.arm("benchmark")
        time.sleep(0.05)
    status = json.loads(plant.status()["message"])
    plant.close()
    server.kill()
    server.wait()
    return {
        "published": sequence,
        "outage_s": restarted - killed,
        "reconnected_after_s": reconnected_s - killed if reconnected_s else None,
        "withheld_by_the_gate": None if queueing else withheld,
        "arrived_older_than_timeout": status.get("arrived_old", 0),
        "executed_older_than_timeout": status.get("executed_old", 0),
        "refused_as_stale": status["stale"],
        "taken_after_restart": status["commands"],
    }


def start_later(port: int) -> subprocess.Popen[str]:
    """Start a server without waiting for it, so that commands go on flowing."""
    command = [sys.executable, __file__, "--serve", "20.0", "--port", str(port)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, text=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", default="benchmarks/results/link.json")
    parser.add_argument("--echoes", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--serve", type=float, help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, default=0, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.serve, options.port)
        return
    load = os.getloadavg()[0]
    result = {
        "load_average_before": load,
        "niceness": os.nice(0),
        "real_time_scheduling": os.sched_getscheduler(0) == os.SCHED_FIFO,
        "seed": SEED,
        "echo": measure_echo(options.echoes),
        "jitter": [measure_jitter(hz, options.seconds) for hz in (20.0, 50.0)],
        "outage": measure_outage(queueing=False),
        "outage_with_roslibpy_publish": measure_outage(queueing=True),
        "load_average_after": os.getloadavg()[0],
        "environment": environment_record(),
    }
    Path(options.out).write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps({k: v for k, v in result.items() if k != "environment"}, indent=2))


if __name__ == "__main__":
    main()
