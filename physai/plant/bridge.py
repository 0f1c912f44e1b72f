"""rosbridge for Python without ROS, in the shape of rclpy.

    with Node("physai", url="ws://127.0.0.1:9090") as node:
        publisher = node.create_publisher("std_msgs/Float64MultiArray", "/command")
        node.create_subscription("sensor_msgs/JointState", "/joint_states", print)

roslibpy does the protocol, on its asyncio transport. What it gets wrong for robots is
mended here: motion is never queued across an outage, a half-open link is noticed
within two seconds, a plain socket leaves the machine only over loopback, and only topics
on the allow-list are touched.
"""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import urlsplit

from roslibpy import Message, Ros, Service, ServiceRequest, Topic
from roslibpy.comm.comm_asyncio import AsyncioRosBridgeClientFactory
from roslibpy.core import ServiceException

from physai.errors import LinkError, RefusedError, suggest

__all__ = ["Client", "MotionPublisher", "Node", "Publisher", "Subscription", "Timer"]

for _name in ("roslibpy", "autobahn"):
    logging.getLogger(_name).setLevel(logging.CRITICAL)

_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_CONNECT_S = 5.0
TOKEN_VARIABLE = "PHYSAI_BRIDGE_TOKEN"
"""Environment variable with the bearer token of a proxy before the bridge."""


class Publisher:
    """Publishes on one topic; for anything but motion.

    Args:
        topic: roslibpy's topic.
    """

    def __init__(self, topic: Topic) -> None:
        self._topic = topic

    def publish(self, message: dict[str, Any]) -> None:
        """Publish a message; may be queued until the link is back."""
        self._topic.publish(Message(message))


class MotionPublisher:
    """Publishes motion: sent at once or dropped, never queued.

    roslibpy's own publish queues without bound during an outage and delivers the
    oldest first afterwards, up to minutes later; a robot must never see those.

    Attributes:
        sent: How many were handed to the socket.
        dropped: How many were dropped because there was no link.
    """

    def __init__(self, node: Node, topic: str, kind: str) -> None:
        self._node, self._topic, self._kind = node, topic, kind
        self.sent = self.dropped = 0
        node.on_connected(self._advertise)

    def _advertise(self) -> None:
        self._node.send(
            {
                "op": "advertise",
                "topic": self._topic,
                "type": self._kind,
                "latch": False,
                "queue_size": 1,
            }
        )

    def publish(self, message: dict[str, Any]) -> bool:
        """Send a message now; returns False if there is no link."""
        if self._node.send({"op": "publish", "topic": self._topic, "msg": message}):
            self.sent += 1
            return True
        self.dropped += 1
        return False


class Subscription:
    """A subscription; keeps when the last message arrived.

    Args:
        callback: Called with every message, on the link's own thread.
    """

    def __init__(self, callback: Callable[[dict[str, Any]], None]) -> None:
        self._callback = callback
        self.received = 0
        self.arrived_s = float("-inf")
        self.error = ""

    def _receive(self, message: dict[str, Any]) -> None:
        self.arrived_s = time.monotonic()
        self.received += 1
        try:
            self._callback(message)
        except Exception as error:
            # A callback that raises would silence the other listeners of the topic.
            self.error = str(error)


class Client:
    """Calls one service.

    Args:
        service: roslibpy's service.
    """

    def __init__(self, service: Service) -> None:
        self._service = service

    def call(
        self, request: dict[str, Any] | None = None, timeout_s: float = 2.0
    ) -> Any:
        """Call and wait; never from a callback.

        Raises:
            LinkError: If it fails or no answer comes in time.
        """
        try:
            return self._service.call(ServiceRequest(request or {}), timeout=timeout_s)
        except ServiceException as error:
            raise LinkError(f"service {self._service.name} failed: {error}") from None
        except Exception as error:
            raise LinkError(
                f"service {self._service.name} did not answer within "
                f"{timeout_s:g} s ({type(error).__name__})"
            ) from None


class Timer:
    """Calls a function every so often from :meth:`Node.spin`.

    Args:
        period_s: Period [s].
        callback: The function.
    """

    def __init__(self, period_s: float, callback: Callable[[], None]) -> None:
        self.period_s, self.callback = period_s, callback
        self.due_s = time.monotonic() + period_s


class Node:
    """One connection to a rosbridge, with publishers, subscriptions and clients.

    Args:
        name: For people; rosbridge does not carry it.
        url: ``ws://HOST:PORT`` (loopback only) or ``wss://HOST:PORT``.
        topics: Allow-list of topics and services; None allows all.
        timeout_s: How long to wait for the connection.

    Raises:
        RefusedError: If the url is not encrypted and not loopback.
        LinkError: If nothing answers in time.
    """

    def __init__(
        self,
        name: str,
        url: str,
        topics: Iterable[str] | None = None,
        timeout_s: float = _CONNECT_S,
    ) -> None:
        self.name, self.url = name, url
        self._allowed = None if topics is None else frozenset(topics)
        host, port, secure = _checked_url(url)
        self._listeners: list[Callable[[], None]] = []
        self._timers: list[Timer] = []
        self.connections = 0
        self._ready = threading.Event()
        token = os.environ.get(TOKEN_VARIABLE)
        AsyncioRosBridgeClientFactory.initialDelay = 0.2
        AsyncioRosBridgeClientFactory.maxDelay = 1.0
        self._ros = Ros(
            host,
            port,
            is_secure=secure,
            transport="asyncio",
            headers={"Authorization": f"Bearer {token}"} if token else None,
        )
        # Without pings a dead Wi-Fi link looks connected for ever. The library counts
        # these timers in whole seconds, so that less than 1.5 s drops good links.
        self._ros.factory.setProtocolOptions(
            autoPingInterval=0.5,
            autoPingTimeout=1.5,
            openHandshakeTimeout=2.0,
            closeHandshakeTimeout=1.0,
        )
        self._ros.on("ready", self._connected)
        self._ros.factory.on("ready", self._connected)
        self._ros.factory.on("close", self._lost)
        if self._ros.is_connected:
            self._connected()
        if not self._ready.wait(timeout_s):
            self.destroy_node()
            raise LinkError(
                f"no rosbridge answers at {url} within {timeout_s:g} s: is the "
                "robot's bridge (or physai robot) running, and the port right?"
            )

    def __enter__(self) -> Node:
        return self

    def __exit__(self, *_: object) -> None:
        self.destroy_node()

    @property
    def is_connected(self) -> bool:
        """Whether the link is up, as far as pings tell."""
        return bool(self._ros.factory.is_connected)

    def on_connected(self, listener: Callable[[], None]) -> None:
        """Call a function now (if connected) and after every reconnect."""
        self._listeners.append(listener)
        if self.is_connected:
            listener()

    def send(self, frame: dict[str, Any]) -> bool:
        """Send one protocol frame now; returns False if there is no link."""
        protocol = self._ros.factory._proto
        if protocol is None:
            return False
        protocol.send_message(json.dumps(frame, allow_nan=False).encode())
        return True

    def create_publisher(self, kind: str, topic: str) -> Publisher:
        """Advertise a topic of a message type, for anything but motion."""
        return Publisher(Topic(self._ros, self._permitted(topic), kind))

    def create_motion_publisher(self, kind: str, topic: str) -> MotionPublisher:
        """Advertise a topic for motion: sent at once or dropped."""
        return MotionPublisher(self, self._permitted(topic), kind)

    def create_subscription(
        self, kind: str, topic: str, callback: Callable[[dict[str, Any]], None]
    ) -> Subscription:
        """Subscribe to a topic; only the newest message is kept on the way."""
        subscription = Subscription(callback)
        Topic(self._ros, self._permitted(topic), kind, queue_length=1).subscribe(
            subscription._receive
        )
        return subscription

    def create_client(self, kind: str, service: str) -> Client:
        """Return a client of a service."""
        return Client(Service(self._ros, self._permitted(service), kind))

    def create_timer(self, period_s: float, callback: Callable[[], None]) -> Timer:
        """Call a function every ``period_s`` seconds while spinning."""
        timer = Timer(period_s, callback)
        self._timers.append(timer)
        return timer

    def spin_once(self, timeout_s: float = 0.1) -> None:
        """Wait for the next timer, at most so long, and run what is due."""
        now = time.monotonic()
        due = min((t.due_s for t in self._timers), default=now + timeout_s)
        time.sleep(max(0.0, min(due - now, timeout_s)))
        now = time.monotonic()
        for timer in self._timers:
            if timer.due_s <= now:
                timer.due_s += timer.period_s * max(
                    1, int((now - timer.due_s) / timer.period_s) + 1
                )
                timer.callback()

    def spin(self, seconds: float | None = None) -> None:
        """Run timers until interrupted, or for so many seconds."""
        end = None if seconds is None else time.monotonic() + seconds
        while end is None or time.monotonic() < end:
            self.spin_once()

    def destroy_node(self) -> None:
        """Close the connection; twice does no harm."""
        factory = self._ros.factory
        factory._stop = True
        protocol = factory._proto
        if protocol is not None:
            protocol.send_close()

    def _permitted(self, name: str) -> str:
        if self._allowed is not None and name not in self._allowed:
            raise RefusedError(
                f'"{name}" is not on the allow-list of this bridge; '
                f"{suggest(name, self._allowed)}"
            )
        return name

    def _connected(self, *_: object) -> None:
        if self._ready.is_set() and self.connections and not self._gone:
            return
        self._gone = False
        self.connections += 1
        self._ready.set()
        for listener in self._listeners:
            listener()

    _gone = False

    def _lost(self, *_: object) -> None:
        self._gone = True


def _checked_url(url: str) -> tuple[str, int, bool]:
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError:
        port = None
    if parts.scheme not in ("ws", "wss") or not parts.hostname or port is None:
        raise LinkError(
            f'"{url}" is not the address of a rosbridge; write '
            "ws://127.0.0.1:9090 or wss://HOST:PORT"
        )
    if parts.scheme == "ws" and parts.hostname not in _LOOPBACK:
        raise RefusedError(
            f"{url}: a plain socket leaves this machine only over "
            "loopback; use wss:// with a certificate and a token"
        )
    return parts.hostname, port, parts.scheme == "wss"
