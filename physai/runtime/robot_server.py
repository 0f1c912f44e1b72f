"""A virtual robot: any plant behind the rosbridge protocol, in real time.

It behaves as a robot with the official bridge does, silence on bad messages included,
and keeps its own last line of safety: without a fresh command it stops by itself, a
stop holds until a person resets it, and a stale command is counted, never executed.

Faults of its sensors, actuators and clock are the plant's; those of the link are applied
here, to whole frames of the protocol, so that a stop that a half-open link swallows is
swallowed too. Pings go on: such a link looks connected.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import os
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from websockets.asyncio.server import Server, ServerConnection, serve

from physai.errors import LinkError
from physai.plant import messages
from physai.plant.command_gate import CommandGate
from physai.plant.fault_kind import FaultCourse
from physai.plant.faults import split_link, way_of
from physai.plant.link_faults import Way
from physai.plant.plant import Plant
from physai.plant.ros import BridgeConfig
from physai.plant.scenario import Scenario
from physai.robot.description import Robot
from physai.types import Command, State

__all__ = ["RobotServer"]


class RobotServer:
    """Serves one plant.

    Args:
        plant: The plant; usually a simulated one.
        robot: The robot.
        hardware: Topic names, joint names and the command timeout.
        scenario: What happens in it; begins again when its time is over.
        control_hz: Rate of the plant [Hz].
        host: Loopback unless a firewall and TLS proxy stand before it.
        port: 0 lets the system choose.

    Attributes:
        port: The port in use.
        statistics: Counts for tests and for the status service.
        gate: Its own check of commands.
    """

    def __init__(
        self,
        plant: Plant,
        robot: Robot,
        hardware: BridgeConfig,
        scenario: Scenario,
        control_hz: float,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        self.plant, self.robot, self.hardware = plant, robot, hardware
        link, others = split_link(scenario.faults)
        self.scenario = scenario.model_copy(update={"faults": others})
        self.period_s = 1.0 / control_hz
        courses = [
            FaultCourse(fault, scenario.seed, index) for index, fault in enumerate(link)
        ]
        self._out: Way[Callable[[], None]] = Way(way_of(courses, "states"))
        self._in: Way[Callable[[], None]] = Way(way_of(courses, "command"))
        self._began_s = math.inf
        self.host, self.port = host, port
        self.joints = hardware.joint_map(robot)
        self._clients: dict[ServerConnection, set[str]] = {}
        self._loop = asyncio.new_event_loop()
        self._running = threading.Event()
        self._ready = threading.Event()
        self._error: OSError | OverflowError | None = None
        self._lock = threading.Lock()
        self.gate = CommandGate(hardware.command_timeout_s)
        self._waiting, self._tool = False, np.zeros(len(robot.tool_channels))
        self._epoch = time.time() - time.monotonic()
        self.stopped = False
        self._moving = False
        self.statistics = {
            "commands": 0,
            "stale": 0,
            "rejected": 0,
            "timeouts": 0,
            "steps": 0,
            "late": 0,
        }
        self.largest_speed = 0.0

    def start(self) -> RobotServer:
        """Start serving in threads of its own; returns when the port is open.

        Raises:
            LinkError: If the port cannot be opened.
        """
        # Compiled code is loaded on first use: before anybody measures the link.
        self.plant.reset(self.scenario)
        for _ in range(3):
            self.plant.advance()
        self._running.set()
        self._network = threading.Thread(target=self._serve, daemon=True)
        self._network.start()
        self._ready.wait(10.0)
        if self._error is not None:
            raise LinkError(
                f"{self.host}:{self.port} cannot be opened "
                f"({_reason(self._error)}); choose another port"
            )
        self._motion = threading.Thread(target=self._run, daemon=True)
        self._motion.start()
        return self

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"ws://{self.host}:{self.port}"

    def close(self) -> None:
        """Stop moving and serving."""
        if not self._running.is_set():
            return
        self._running.clear()
        self._motion.join(5.0)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._network.join(5.0)
        self.plant.close()

    def __enter__(self) -> RobotServer:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)

        async def begin() -> Server:
            return await serve(self._handle, self.host, self.port, compression=None)

        try:
            server = self._loop.run_until_complete(begin())
        except (OSError, OverflowError) as error:
            self._error = error
            self._ready.set()
            return
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        self._loop.run_forever()
        server.close()
        with contextlib.suppress(Exception):
            self._loop.run_until_complete(asyncio.wait_for(server.wait_closed(), 1.0))

    async def _handle(self, connection: ServerConnection) -> None:
        self._clients[connection] = set()
        try:
            async for frame in connection:
                self._carry(self._in, partial(self._receive, connection, frame))
        except Exception:
            # A broken client is not the robot's business; its watchdog is.
            pass
        finally:
            self._clients.pop(connection, None)

    def _receive(self, connection: ServerConnection, frame: str | bytes) -> None:
        reply = self._answer(connection, frame)
        if reply is not None:
            text = json.dumps(reply)
            self._carry(self._out, lambda: self._send_soon(connection, text))

    def _send_soon(self, connection: ServerConnection, text: str) -> None:
        self._loop.create_task(_send(connection, text))

    def _carry(self, way: Way[Callable[[], None]], message: Callable[[], None]) -> None:
        """Put a message on its way; it runs when it arrives. On the link's thread."""
        way.send(message, self._now())
        self._deliver(way)

    def _deliver(self, way: Way[Callable[[], None]]) -> None:
        for message in way.receive(self._now()):
            message()
        if way.next_s is not None:
            self._loop.call_later(
                max(0.001, way.next_s - self._now()), self._deliver, way
            )

    def _now(self) -> float:
        """Time since the robot began to move [s]; 0 before."""
        return max(0.0, time.monotonic() - self._began_s)

    def _answer(
        self, connection: ServerConnection, frame: str | bytes
    ) -> dict[str, Any] | None:
        try:
            message = json.loads(frame)
            operation = message.get("op")
        except (ValueError, AttributeError):
            return None
        if operation == "subscribe":
            self._clients[connection].add(str(message.get("topic")))
        elif operation == "unsubscribe":
            self._clients[connection].discard(str(message.get("topic")))
        elif operation == "publish":
            topic = str(message.get("topic"))
            self._take(topic, message.get("msg"))
            # A bridge delivers to every subscriber; a watchdog listens to commands.
            relayed = {"op": "publish", "topic": topic, "msg": message.get("msg")}
            self._broadcast({topic: json.dumps(relayed)})
        elif operation == "call_service":
            return self._serve_call(message)
        return None

    def _take(self, topic: str, message: Any) -> None:
        if topic == self.hardware.stop_topic.name and isinstance(message, dict):
            if message.get("data", True):
                self._stop()
        elif topic == self.hardware.command.name:
            try:
                command = messages.parse_command(
                    message, self.joints, len(self.robot.tool_channels)
                )
            except (LinkError, AttributeError, ValueError):
                self.statistics["rejected"] += 1
                return
            self._accept(command)

    def _accept(self, command: Command) -> None:
        """Take a command for execution, unless it is late, repeated or out of order.

        The reset service forgets what came before, for a client whose clock was set
        back.
        """
        with self._lock:
            taken = self.gate.offer(command, command.stamp_s, time.monotonic())
            self._waiting = self._waiting or taken
            self.statistics["commands" if taken else "stale"] += 1

    def _reset(self) -> None:
        self.stopped = False
        with self._lock:
            self.gate.forget()
            self._waiting = False
        release = getattr(self.plant, "release", None)
        if release is not None:
            release()

    def _serve_call(self, message: dict[str, Any]) -> dict[str, Any]:
        name, h = message.get("service"), self.hardware
        success, text = True, ""
        if name == h.stop_service.name:
            self._stop()
            text = "stopped"
        elif name == h.reset_service.name:
            self._reset()
            text = "reset"
        elif name == h.status_service.name:
            text = json.dumps(
                {
                    **self.statistics,
                    "stopped": self.stopped,
                    "largest_speed_rad_s": self.largest_speed,
                    "moving": self._moving,
                }
            )
        else:
            success = False
            text = f"no service {name}"
        return {
            "op": "service_response",
            "service": name,
            "id": message.get("id"),
            "result": success,
            "values": {"success": success, "message": text},
        }

    def _stop(self) -> None:
        self.stopped = True

    def _run(self) -> None:
        """Step the plant on absolute deadlines."""
        self.plant.reset(self.scenario)
        deadline, limit = time.monotonic(), self.scenario.duration_s
        self._began_s = deadline
        halted = False
        while self._running.is_set():
            deadline += self.period_s
            if self.stopped and not halted:
                self.plant.stop(1)
            halted = self.stopped
            self.plant.apply(self._current())
            self.plant.advance()
            state = self.plant.read()
            # The period is simulated in a moment; what it ended in is told at its end.
            wait = deadline - time.monotonic()
            if wait > 0.0:
                time.sleep(wait)
            else:
                self.statistics["late"] += 1
                deadline = time.monotonic()
            speed = float(np.abs(state.actuator_velocity).max())
            self._moving = speed > 0.01
            self.largest_speed = max(self.largest_speed, speed)
            self.statistics["steps"] += 1
            self._publish(state)
            if state.sequence * self.period_s > limit:
                self.plant.reset(self.scenario)

    def _current(self) -> Command:
        """Return the command to execute: the newest if fresh, otherwise standstill."""
        with self._lock:
            command = self.gate.current(time.monotonic())
            if command is None and self._waiting:
                self.statistics["timeouts"] += 1
                self._waiting = False
        if command is not None and not self.stopped:
            self._tool = command.tool
            return command
        if self.robot.tool.safe_state != "keep_on":
            self._tool = np.zeros_like(self._tool)
        # What is held stays held, whatever became of the link.
        still = np.zeros(len(self.robot.actuator_names))
        return Command(still, self._tool, 0.0, 0)

    def _publish(self, state: State) -> None:
        """Send a state; every header says when its values were measured."""
        h = self.hardware
        jump = state.stamp_s - state.sequence * self.period_s
        now = self._epoch + time.monotonic() + jump
        frames = {
            h.joint_states.name: messages.joint_message(
                self.joints,
                state.actuator_position,
                state.actuator_velocity,
                state.actuator_effort,
                now - state.actuator_age_s,
            ),
            h.tool_force.name: messages.wrench_message(
                state.tool_force_in_world_n, now - state.tool_force_age_s
            ),
            h.people.name: messages.people_message(
                state.people, state.people_age_s, state.people_frame_age_s
            ),
            h.extras.name: messages.array_message(
                np.concatenate([state.extras, state.extras_age_s])
            ),
            h.stop_topic.name: {"data": self.stopped},
            h.emergency_stop_topic.name: {"data": False},
        }
        if h.odometry is not None:
            frames[h.odometry.name] = messages.odometry_message(
                state.base_pose_in_world,
                state.base_twist_in_world,
                now - state.actuator_age_s,
            )
        if h.scan is not None and self.robot.lidar is not None:
            frames[h.scan.name] = messages.scan_message(
                state.lidar_range_m, self.robot.lidar, now - state.lidar_age_s
            )
        if h.objects is not None:
            frames[h.objects.name] = messages.objects_message(
                state.objects_pose_in_world, state.objects_age_s
            )
        texts = {
            topic: json.dumps({"op": "publish", "topic": topic, "msg": message})
            for topic, message in frames.items()
        }
        self._loop.call_soon_threadsafe(
            self._carry, self._out, partial(self._broadcast, texts)
        )

    def _broadcast(self, texts: dict[str, str]) -> None:
        for connection, topics in list(self._clients.items()):
            for topic in topics & texts.keys():
                # A slow client must not hold up the robot: skip what it cannot take.
                if connection.transport.get_write_buffer_size() < 200_000:
                    self._loop.create_task(_send(connection, texts[topic]))


def _reason(error: OSError | OverflowError) -> str:
    """Return why a port cannot be opened, without asyncio's long sentence."""
    number = getattr(error, "errno", None)
    return os.strerror(number) if number else str(error)


async def _send(connection: ServerConnection, text: str) -> None:
    with contextlib.suppress(Exception):
        await connection.send(text)
