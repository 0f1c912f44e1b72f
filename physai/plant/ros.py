"""The plant on the other side of a rosbridge: a real robot, or a virtual one.

Commands pass a gate: nothing is sent before a person has armed it, and every reconnect
disarms it again. Ages are measured here, from arrival and stamp, and grow when nothing
comes; the guard decides what is too old. The stop is a service and a topic: a *software* stop. A
hardware emergency stop is a separate circuit whose state is only read.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from physai import content
from physai.body.person import SEGMENT_COUNT
from physai.config import Config, load
from physai.errors import ContractError, LinkError
from physai.plant import messages
from physai.plant.bridge import Node
from physai.plant.lateness import Lateness
from physai.plant.scenario import PlantConfig, Scenario
from physai.robot.description import Robot
from physai.robot.kinematics import Kinematics
from physai.types import Command, State, Truth

__all__ = ["BridgeConfig", "RosPlant", "load_bridge"]

Positive = Annotated[float, Field(gt=0.0)]

_FRESH_S = 0.2
"""Every source must be at most this old before an episode begins."""


class TopicConfig(Config):
    """A topic or service with its message type."""

    name: Annotated[str, Field(pattern=r"^/[A-Za-z0-9_/]+$")]
    type: str


class JointConfig(Config):
    """How one joint is called and counted on the ROS side."""

    ros: str
    joint: str
    sign: Annotated[int, Field(ge=-1, le=1)] = 1
    offset_rad: float = 0.0


class BridgeConfig(Config):
    """``hardware/<name>/bridge.yaml``."""

    name: str
    robot: str
    environment: str
    url: str
    joints: tuple[JointConfig, ...]
    joint_states: TopicConfig
    command: TopicConfig
    tool_force: TopicConfig
    people: TopicConfig
    extras: TopicConfig
    odometry: TopicConfig | None = None
    """``nav_msgs/Odometry``; a robot that drives needs it."""
    base_command: TopicConfig | None = None
    """``geometry_msgs/TwistStamped``: the base's part of every command again, for a
    base with a controller of its own."""
    scan: TopicConfig | None = None
    """``sensor_msgs/LaserScan``; a robot with a lidar needs it. Its driver must report
    no return as the largest range: JSON has no infinity, and null counts as near."""
    objects: TopicConfig | None = None
    stop_topic: TopicConfig
    emergency_stop_topic: TopicConfig
    stop_service: TopicConfig
    reset_service: TopicConfig
    status_service: TopicConfig
    command_timeout_s: Positive
    """The robot's own watchdog stops it when no command came for so long."""
    state_timeout_s: Positive
    """How long to wait for the first complete state."""
    maximum_actuator_delay_s: Positive
    """Declared delay from a command's arrival to motion; part of the reaction time."""
    source: str

    def allowed(self) -> tuple[str, ...]:
        """Return the allow-list of topics and services."""
        return tuple(value.name for _, value in self if isinstance(value, TopicConfig))

    def joint_map(self, robot: Robot) -> messages.JointMap:
        """Return the map in the order of robot.yaml.

        Raises:
            ContractError: If a joint is missing or unknown, or a sign is 0.
        """
        by_name = {joint.joint: joint for joint in self.joints}
        if set(by_name) != set(robot.actuator_names) or len(self.joints) != len(
            by_name
        ):
            wrong = sorted(set(by_name) ^ set(robot.actuator_names))
            raise ContractError(
                f"hardware {self.name}: joints do not match robot "
                f"{robot.name}: {', '.join(wrong) or 'one is given twice'}"
            )
        ordered = [by_name[name] for name in robot.actuator_names]
        if any(joint.sign == 0 for joint in ordered):
            raise ContractError(
                f"hardware {self.name}: a joint's sign is 1 or -1, not 0"
            )
        return messages.JointMap(
            tuple(j.ros for j in ordered),
            np.array([float(j.sign) for j in ordered]),
            np.array([j.offset_rad for j in ordered]),
        )


def load_bridge(name: str) -> BridgeConfig:
    """Load ``hardware/<name>/bridge.yaml``.

    Raises:
        ContentError: If there is no such hardware.
        ConfigError: If the file is wrong.
    """
    folder = content.find("hardware", name)
    return load(
        BridgeConfig, folder / "bridge.yaml" if Path(folder).is_dir() else folder
    )


class RosPlant:
    """A robot behind a rosbridge.

    Args:
        config: Section ``plant`` of the environment: rate and base pose.
        robot: The robot.
        hardware: Name of its hardware profile, or the profile.
        url: Overrides the profile's address.

    Attributes:
        armed: Whether commands are sent.
        stopped: Whether the robot's side reports a software stop.
        emergency_stop: Whether its emergency stop is pressed.
        late_periods: Control periods that ended after their deadline.
        consecutive_late: How many of them in a row just now.

    Raises:
        ContractError: If the profile does not fit the robot.
    """

    def __init__(
        self,
        config: PlantConfig,
        robot: Robot,
        hardware: str | BridgeConfig = "franka",
        url: str | None = None,
    ) -> None:
        self.hardware = (
            hardware if isinstance(hardware, BridgeConfig) else load_bridge(hardware)
        )
        h = self.hardware
        if h.robot != robot.name:
            raise ContractError(
                f"hardware {h.name} is for robot {h.robot}, the environment "
                f"needs {robot.name}"
            )
        self.config, self.robot = config, robot
        self.joints = h.joint_map(robot)
        self.period_s = 1.0 / config.control_hz
        self.kinematics = Kinematics(robot, config.base_pose)
        self._base = config.base_pose
        self._lock = threading.Lock()
        n = len(robot.actuator_names)
        self._position, self._velocity = np.full(n, np.nan), np.full(n, np.nan)
        self._effort, self._force = np.full(n, np.nan), np.full(3, np.nan)
        self._people = np.zeros((0, SEGMENT_COUNT, 7))
        self._people_age, self._frame_age = np.zeros(0), math.inf
        self._extras, self._extras_age = np.zeros(0), np.zeros(0)
        self._twist = np.zeros(6)
        self._ranges, self._objects = np.zeros(0), np.zeros((0, 7))
        self._objects_age = np.zeros(0)
        self._sources = self._list_sources()
        self._arrived = dict.fromkeys(self._sources, -math.inf)
        self._late = dict.fromkeys(self._sources, 0.0)
        self._lateness = {name: Lateness() for name in self._sources}
        self._node: Node | None = None
        self.armed = False
        self.late_periods = self.consecutive_late = 0
        self._steps, self._deadline = 0, math.inf
        self._sent = Command(np.zeros(n), np.zeros(len(robot.tool_channels)), 0.0, -1)
        self._start = time.monotonic()
        # Commands are stamped on one clock over all sessions, so that the robot can
        # tell an old command from a new session; a step of that clock shows there.
        self._epoch = time.time() - time.monotonic()
        self._url = url or h.url
        self.emergency_stop = self.stopped = False

    def _list_sources(self) -> dict[str, tuple[TopicConfig, Callable[[Any], None]]]:
        """Return every source of the state with its topic and who takes it in.

        Raises:
            ContractError: If the profile lacks one that the robot needs.
        """
        h = self.hardware
        found: dict[str, tuple[TopicConfig, Callable[[Any], None]]] = {
            "joints": (h.joint_states, self._on_joints),
            "force": (h.tool_force, self._on_force),
            "people": (h.people, self._on_people),
            "extras": (h.extras, self._on_extras),
        }
        for name, topic, take, needed in (
            ("odometry", h.odometry, self._on_odometry, self.robot.base),
            ("scan", h.scan, self._on_scan, self.robot.lidar),
            ("objects", h.objects, self._on_objects, None),
        ):
            if topic is not None:
                found[name] = (topic, take)
            elif needed is not None:
                raise ContractError(
                    f"hardware {h.name}: {self.robot.name} needs the topic {name}"
                )
        return found

    def connect(self) -> None:
        """Open the link; :meth:`reset` does it if nobody did.

        Raises:
            LinkError: If nothing answers.
        """
        if self._node is not None:
            return
        h = self.hardware
        self._node = Node("physai", self._url, h.allowed())
        self._subscriptions = [
            self.node.create_subscription(topic.type, topic.name, take)
            for topic, take in self._sources.values()
        ]
        self.node.create_subscription(
            h.emergency_stop_topic.type,
            h.emergency_stop_topic.name,
            self._on_emergency_stop,
        )
        self.node.create_subscription(
            h.stop_topic.type, h.stop_topic.name, self._on_stop
        )
        self._commands = self.node.create_motion_publisher(
            h.command.type, h.command.name
        )
        self._base_commands = (
            self.node.create_motion_publisher(h.base_command.type, h.base_command.name)
            if h.base_command is not None
            else None
        )
        self._stop_topic = self.node.create_publisher(
            h.stop_topic.type, h.stop_topic.name
        )
        self._stop = self.node.create_client(h.stop_service.type, h.stop_service.name)
        self._status = self.node.create_client(
            h.status_service.type, h.status_service.name
        )
        self._connections = self.node.connections

    @property
    def node(self) -> Node:
        """The link.

        Raises:
            LinkError: If it was never opened.
        """
        if self._node is None:
            raise LinkError("the robot is not connected yet: reset the plant first")
        return self._node

    @property
    def dropped_commands(self) -> int:
        """Commands that were dropped because there was no link."""
        return self._commands.dropped

    def reset(self, scenario: Scenario) -> State:
        """Wait for a complete state; a real robot is not moved by a reset.

        Raises:
            ContractError: If the scenario has faults: they are of the robot's side.
            LinkError: If a source stays silent or sends what cannot be used.
        """
        if scenario.faults:
            raise ContractError(
                f'{scenario.case}: the fault "{scenario.faults[0].kind}" cannot be put '
                "into a robot behind a bridge; a virtual robot has faults: "
                "physai robot HARDWARE --faults FILE"
            )
        self.connect()
        end = time.monotonic() + self.hardware.state_timeout_s
        while min(self._arrived.values()) < time.monotonic() - _FRESH_S:
            if time.monotonic() > end:
                silent = [
                    k
                    for k, v in self._arrived.items()
                    if v < time.monotonic() - _FRESH_S
                ]
                errors = [s.error for s in self._subscriptions if s.error]
                raise LinkError(
                    f"{self.node.url}: {errors[0]}"
                    if errors
                    else f"{self.node.url}: nothing arrives for {', '.join(silent)}: check topic "
                    f"names and types in hardware/{self.hardware.name}/bridge.yaml"
                )
            time.sleep(0.01)
        self._steps = 0
        self._start = time.monotonic()
        self._deadline = self._start + self.period_s
        self.late_periods = self.consecutive_late = 0
        return self.read()

    def arm(self, person: str) -> None:
        """Let commands through; a person's decision, again after every reconnect.

        Raises:
            ContractError: If nobody is named.
        """
        if not person.strip():
            raise ContractError("commands are armed by a person: name who does it")
        self._connections = self.node.connections
        self.armed = True

    def measure_round_trip(self, count: int = 20) -> list[float]:
        """Return so many round-trip times of the link [s], by the status service."""
        times = []
        for _ in range(count):
            start = time.monotonic()
            self._status.call()
            times.append(time.monotonic() - start)
        return times

    def status(self) -> Any:
        """Return what the robot's side says of itself.

        Raises:
            LinkError: If it does not answer.
        """
        return self._status.call()

    def read(self) -> State:
        """Return the newest state; every age grows until something new arrives."""
        now = time.monotonic()
        with self._lock:
            age = {
                name: now - arrived + self._late[name]
                for name, arrived in self._arrived.items()
            }
            position = self._position.copy()
            if "odometry" in age:
                self.kinematics.set_base(self._base)
            if np.isfinite(position).all():
                self.kinematics.update(position)
            return State(
                now - self._start,
                self._steps,
                position,
                self._velocity.copy(),
                self._effort.copy(),
                max(age["joints"], age.get("odometry", 0.0)),
                self._base.copy(),
                self._twist.copy(),
                self.kinematics.tool_pose().copy(),
                self._force.copy(),
                age["force"],
                self._people.copy(),
                np.full((len(self._people), SEGMENT_COUNT, 3), np.nan),
                self._people_age + age["people"],
                self._frame_age + age["people"],
                self._objects.copy(),
                self._objects_age + age.get("objects", 0.0),
                self._ranges.copy(),
                age.get("scan", 0.0),
                self._extras.copy(),
                self._extras_age + age["extras"],
            )

    def truth(self) -> Truth | None:
        """Nobody knows."""
        return None

    def apply(self, command: Command) -> Command:
        """Send a command if armed and linked; returns what was really sent."""
        if self.node.connections != self._connections or not self.node.is_connected:
            self.armed = False
        zero = Command(
            np.zeros_like(command.actuator_velocity),
            command.tool,
            command.stamp_s,
            command.sequence,
        )
        if not self.armed or command.sequence <= self._sent.sequence:
            return zero
        stamped = Command(
            command.actuator_velocity,
            command.tool,
            time.monotonic() - self._start,
            command.sequence,
        )
        wire = Command(
            stamped.actuator_velocity,
            stamped.tool,
            self._epoch + time.monotonic(),
            stamped.sequence,
        )
        sent = self._commands.publish(messages.command_message(wire, self.joints))
        if sent and self._base_commands is not None:
            sent = self._base_commands.publish(
                messages.base_message(stamped, wire.stamp_s)
            )
        if not sent:
            self.armed = False
            return zero
        self._sent = stamped
        return stamped

    def advance(self) -> None:
        """Sleep until the end of the control period, counted on absolute deadlines."""
        now = time.monotonic()
        if now > self._deadline:
            self.late_periods += 1
            self.consecutive_late += 1
            self._deadline = now + self.period_s
        else:
            self.consecutive_late = 0
            time.sleep(self._deadline - now)
            self._deadline += self.period_s
        self._steps += 1

    def stop(self, category: int) -> None:
        """Ask the robot to stop, by service and by topic, and disarm.

        Raises:
            LinkError: If the service does not confirm it.
        """
        self.armed = False
        self._stop_topic.publish({"data": True})
        answer = self._stop.call({})
        if not answer.get("success", False):
            raise LinkError(
                f"the robot did not confirm the stop: {answer.get('message', '')}"
            )

    def close(self) -> None:
        """Disarm and close the link; twice does no harm."""
        self.armed = False
        if self._node is not None:
            self._node.destroy_node()

    def _on_joints(self, message: dict[str, Any]) -> None:
        position, velocity, effort = messages.parse_joints(message, self.joints)
        with self._lock:
            self._position, self._velocity, self._effort = position, velocity, effort
            self._note("joints", message)

    def _on_force(self, message: dict[str, Any]) -> None:
        force = messages.parse_wrench(message)
        with self._lock:
            self._force = force
            self._note("force", message)

    def _note(self, source: str, message: dict[str, Any]) -> None:
        """Keep when a stamped source arrived, and how late it was."""
        now = time.monotonic()
        late = self._lateness[source].measure(now, messages.stamp_of(message))
        self._arrived[source], self._late[source] = now, late
        if not math.isfinite(late):
            raise LinkError(
                f"{source}: the header carries no time stamp, so its age is unknown"
            )

    def _on_people(self, message: dict[str, Any]) -> None:
        people, ages, frame_age = messages.parse_people(message)
        with self._lock:
            self._people, self._people_age, self._frame_age = people, ages, frame_age
            self._arrived["people"] = time.monotonic()

    def _on_extras(self, message: dict[str, Any]) -> None:
        data = message.get("data")
        values = messages.parse_array(
            message, len(data) if isinstance(data, list) else 0, "extras"
        )
        if len(values) % 2:
            raise LinkError("extras: values and ages must be equally many")
        with self._lock:
            self._extras, self._extras_age = np.split(values, 2)
            self._arrived["extras"] = time.monotonic()

    def _on_odometry(self, message: dict[str, Any]) -> None:
        pose, twist = messages.parse_odometry(message)
        with self._lock:
            self._base, self._twist = pose, twist
            self._note("odometry", message)

    def _on_scan(self, message: dict[str, Any]) -> None:
        assert self.robot.lidar is not None
        ranges = messages.parse_scan(message, self.robot.lidar)
        with self._lock:
            self._ranges = ranges
            self._note("scan", message)

    def _on_objects(self, message: dict[str, Any]) -> None:
        poses, ages = messages.parse_objects(message)
        with self._lock:
            self._objects, self._objects_age = poses, ages
            self._arrived["objects"] = time.monotonic()

    def _on_stop(self, message: dict[str, Any]) -> None:
        self.stopped = bool(message.get("data", True))
        if self.stopped:
            self.armed = False

    def _on_emergency_stop(self, message: dict[str, Any]) -> None:
        self.emergency_stop = bool(message.get("data", True))
        if self.emergency_stop:
            self.armed = False
