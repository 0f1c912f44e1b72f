"""Faults of the link between guard and robot, one way or both.

A :class:`Way` carries anything: states and commands in simulation, frames of the
rosbridge protocol at the virtual robot. Without a fault everything arrives at once.
What the failures of a link look like in practice, queues that are flushed after an
outage and peers that only seem connected, was measured on roslibpy and rosbridge.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from typing import Generic, NamedTuple, TypeVar

from physai.plant.fault_kind import FaultCourse, FaultKind, FaultValues, Sign, nothing

__all__ = ["LINK_FAULTS", "Arrival", "Way"]

M = TypeVar("M")


class Arrival(NamedTuple):
    """How a message arrives.

    Attributes:
        due_s: When.
        behind: Not before the message that was sent next.
    """

    due_s: float
    behind: bool = False


def delay(course: FaultCourse, arrival: Arrival) -> tuple[Arrival, ...]:
    """Every message takes ``magnitude`` seconds longer."""
    return (arrival._replace(due_s=arrival.due_s + course.fault.magnitude),)


def loss(course: FaultCourse, arrival: Arrival) -> tuple[Arrival, ...]:
    """A share of the messages is lost."""
    return () if course.draw() < course.fault.magnitude else (arrival,)


def reorder(course: FaultCourse, arrival: Arrival) -> tuple[Arrival, ...]:
    """A share of the messages is overtaken by the next one."""
    # The one that overtakes is not itself overtaken, or nothing would ever arrive.
    course.kept = not course.kept and course.draw() < course.fault.magnitude
    return (arrival._replace(behind=course.kept),)


def duplicate(course: FaultCourse, arrival: Arrival) -> tuple[Arrival, ...]:
    """A share of the messages comes again, behind the next one."""
    if not course.draw() < course.fault.magnitude:
        return (arrival,)
    return (arrival, arrival._replace(behind=True))


def stale_flush(course: FaultCourse, arrival: Arrival) -> tuple[Arrival, ...]:
    """For ``magnitude`` seconds nothing arrives, then all of it at once, in order."""
    fault = course.fault
    end = fault.start_s + min(fault.magnitude, fault.duration_s)
    return (arrival._replace(due_s=max(arrival.due_s, end)),)


def half_open(course: FaultCourse, arrival: Arrival) -> tuple[Arrival, ...]:
    """Nothing arrives on this way while the other goes on and the link seems to stand."""
    return ()


class Way(Generic[M]):
    """One way of a link.

    Args:
        courses: The faults of this way.
    """

    def __init__(self, courses: Sequence[FaultCourse]) -> None:
        self._courses = tuple(courses)
        self._apply = {kind.name: kind.apply for kind in LINK_FAULTS}
        self._queue: list[tuple[float, int, M]] = []
        self._behind: list[tuple[float, M]] = []
        self._count = 0

    def send(self, message: M, time_s: float) -> None:
        """Put a message on its way.

        Args:
            message: Anything.
            time_s: Now.
        """
        arrivals: tuple[Arrival, ...] = (Arrival(time_s),)
        for course in self._courses:
            if course.fault.active(time_s):
                apply = self._apply[course.fault.kind]
                arrivals = tuple(new for old in arrivals for new in apply(course, old))
        waiting, self._behind = self._behind, []
        latest = None
        for arrival in arrivals:
            if arrival.behind:
                self._behind.append((arrival.due_s, message))
            else:
                self._push(arrival.due_s, message)
                latest = arrival.due_s
        if latest is None:
            self._behind = waiting + self._behind
            return
        for due, old in waiting:
            self._push(max(due, latest), old)

    def receive(self, time_s: float) -> list[M]:
        """Return what has arrived by now, in the order of arrival."""
        found = []
        while self._queue and self._queue[0][0] <= time_s + 1e-9:
            found.append(heapq.heappop(self._queue)[2])
        return found

    @property
    def next_s(self) -> float | None:
        """When the next message is due; None if nothing is on its way."""
        return self._queue[0][0] if self._queue else None

    def _push(self, due_s: float, message: M) -> None:
        heapq.heappush(self._queue, (due_s, self._count, message))
        self._count += 1


def _shown(fault: FaultValues, size_s: float) -> tuple[Sign, ...]:
    """Old states show to the guard; commands that stay out, to the robot itself."""
    signs = {"command": ("command_timeout",), "states": ("joint_age",)}
    rules = signs.get(fault.target, ("joint_age", "command_timeout"))
    return tuple(Sign(rule, size_s) for rule in rules)


def _when_late(fault: FaultValues) -> tuple[Sign, ...]:
    return _shown(fault, min(fault.magnitude, fault.duration_s))


def _when_all_is_lost(fault: FaultValues) -> tuple[Sign, ...]:
    return _shown(fault, fault.duration_s) if fault.magnitude >= 1.0 else ()


def _when_silent(fault: FaultValues) -> tuple[Sign, ...]:
    return _shown(fault, fault.duration_s)


_WAYS = ("command", "states", "link")
_ONE_WAY = ("command", "states")

LINK_FAULTS = (
    FaultKind("delay", "link", _WAYS, delay, "s", _when_late),
    FaultKind("loss", "link", _WAYS, loss, "share of the messages", _when_all_is_lost),
    FaultKind("reorder", "link", _WAYS, reorder, "share of the messages", nothing),
    FaultKind("duplicate", "link", _WAYS, duplicate, "share of the messages", nothing),
    FaultKind("stale_flush", "link", _WAYS, stale_flush, "s", _when_late),
    FaultKind("half_open", "link", _ONE_WAY, half_open, "", _when_silent),
)
"""A new kind is one function and one line here."""
