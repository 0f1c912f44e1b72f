"""The watchdog: a process of its own beside the robot; no policy code in it.

It listens to commands, joint states and the emergency stop on its own link and asks
the robot to stop when commands fall silent while it moves, when nothing is heard of the
robot, or when the emergency stop is pressed.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import numpy as np

from physai.errors import LinkError
from physai.plant import messages
from physai.plant.bridge import Node
from physai.plant.ros import BridgeConfig
from physai.robot.description import Robot, load_robot

__all__ = ["Watchdog"]

_STILL_RAD_S = 0.02


class Watchdog:
    """Watches one robot.

    Args:
        hardware: Its profile.
        url: Overrides the profile's address.
        report: Told about every stop.
    """

    def __init__(
        self,
        hardware: BridgeConfig,
        url: str | None = None,
        report: Callable[[str], None] = lambda text: None,
    ) -> None:
        self.hardware, self._report = hardware, report
        robot: Robot = load_robot(hardware.robot)
        self._joints = hardware.joint_map(robot)
        self._speed, self._emergency = 0.0, False
        self._begun = time.monotonic()
        h = hardware
        self.node = Node("physai_watchdog", url or h.url, h.allowed())
        self._states = self.node.create_subscription(
            h.joint_states.type, h.joint_states.name, self._on_joints
        )
        self._commands = self.node.create_subscription(
            h.command.type, h.command.name, lambda message: None
        )
        self.node.create_subscription(
            h.emergency_stop_topic.type, h.emergency_stop_topic.name, self._on_emergency
        )
        self._stop = self.node.create_client(h.stop_service.type, h.stop_service.name)
        self.stops: list[str] = []
        self._confirmed = True

    def watch(self, seconds: float | None = None) -> list[str]:
        """Watch until interrupted, or for so many seconds; returns the stops."""
        end = None if seconds is None else time.monotonic() + seconds
        period = min(0.02, 0.2 * self.hardware.command_timeout_s)
        last = ""
        while end is None or time.monotonic() < end:
            reason = self.reason()
            # Once for every time that something goes wrong; again until it is heard.
            if reason and (reason != last or not self._confirmed):
                self._request(reason)
            last = reason
            time.sleep(period)
        return self.stops

    def reason(self) -> str:
        """Return why the robot must stop now; empty if it need not."""
        now, limit = time.monotonic(), 2.0 * self.hardware.command_timeout_s
        if self._emergency:
            return "emergency stop pressed"
        # A robot that was never heard of has a little longer to begin.
        heard = self._begun + self.hardware.state_timeout_s
        if self._states.received:
            heard = self._states.arrived_s
        if now - heard > limit:
            return "nothing heard of the robot"
        if (
            self._states.received
            and not self._speed < _STILL_RAD_S
            and (now - self._commands.arrived_s > limit)
        ):
            return "moving without commands"
        return ""

    def close(self) -> None:
        """Close the link."""
        self.node.destroy_node()

    def _request(self, reason: str) -> None:
        if not self.stops or self.stops[-1] != reason or self._confirmed:
            self.stops.append(reason)
            self._report(reason)
        try:
            self._stop.call({})
            self._confirmed = True
        except LinkError as error:
            if self._confirmed:
                self._report(str(error))
            self._confirmed = False

    def _on_joints(self, message: dict[str, object]) -> None:
        # What cannot be read counts as moving.
        self._speed = math.inf
        _, velocity, _ = messages.parse_joints(message, self._joints)
        self._speed = float(np.abs(velocity).max())

    def _on_emergency(self, message: dict[str, object]) -> None:
        self._emergency = bool(message.get("data", True))
