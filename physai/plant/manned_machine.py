"""A manned machine on a site: a box that drives along a track, and what it says of itself.

It is kinematic: it follows its track over the ground at its speed and is not pushed by
anything. Its driver, if attentive, stops before a robot in the way or in a crossing.
Other machines know it by its position message, which is late, coarse and lost with the
link, and by their own sensors.
"""

from __future__ import annotations

import math
from collections import deque
from typing import Annotated

import numba
import numpy as np
from pydantic import Field

from physai.config import Config
from physai.plant.ground import Ground
from physai.plant.route import Route, place_on_way
from physai.randomness import generator
from physai.robot.footprint import (
    box_corners,
    box_gap,
    inside_polygon,
    polygon_near,
)
from physai.types import Array

__all__ = ["MachineConfig", "MannedMachine", "MessageConfig"]

Positive = Annotated[float, Field(gt=0.0)]
NonNegative = Annotated[float, Field(ge=0.0)]

_ROOM_M = 1.0
"""Kept free beside its way by an attentive driver, both sides together."""
_LOOK = 12
"""Places at which the site control looks ahead on its way."""


class MessageConfig(Config):
    """The machine's own position message over the site's radio link."""

    rate_hz: Positive
    latency_s: NonNegative
    sigma_m: NonNegative
    source: str


class MachineConfig(Config):
    """A manned machine."""

    size_m: tuple[Positive, Positive, Positive]
    """Length, width, height."""
    track_m: Annotated[tuple[tuple[float, float], ...], Field(min_length=2)]
    """Places that it drives through, in the world."""
    braking_m_s2: Positive
    sight_m: NonNegative
    """An attentive driver stops so far before a robot in the way."""
    message: MessageConfig
    source: str


@numba.njit(cache=True)
def _is_blocked(
    places: Array,
    along: float,
    sight: float,
    length: float,
    width: float,
    pose: Array,
    robot: Array,
    crossing: Array,
    crosses: bool,
    box: Array,
    gap: Array,
) -> bool:
    """Whether a robot is in the way, or in a crossing ahead.

    Args:
        places: Of the track, as :func:`physai.plant.route.place_on_way` takes them.
        along: How far the machine is [m].
        sight: How far its driver looks ahead [m].
        length: Of the place that it needs [m].
        width: The same.
        pose: (7,) of the machine.
        robot: (4, 2) corners of the robot's footprint.
        crossing: (K, 2) polygon.
        crosses: Whether the robot is in it.
        box: (4, 2) work.
        gap: (4,) work.
    """
    x, y, _ = place_on_way(along + sight, places)
    if (
        crosses
        and inside_polygon(x, y, crossing)
        and not inside_polygon(pose[0], pose[1], crossing)
    ):
        return True
    for share in (0.33, 0.67, 1.0):
        x, y, heading = place_on_way(along + share * sight, places)
        box_corners(x, y, heading, length, width, box)
        if box_gap(box, robot, gap) <= 0.0:
            return True
    return False


@numba.njit(cache=True)
def _is_near_soon(
    message: Array, crossing: Array, age: float, claim: float, reach: float
) -> bool:
    """Whether what a message says will be near a crossing within the claim's time."""
    for k in range(_LOOK + 1):
        t = age + claim * k / _LOOK
        x, y = message[0] + message[2] * t, message[1] + message[3] * t
        if polygon_near(x, y, crossing, reach):
            return True
    return False


class MannedMachine:
    """One manned machine over one episode.

    Args:
        config: Figures.
        ground: What it drives on.
        start_s: When it sets off; before that it stands at the start of its track.
        speed_m_s: At which it drives.
        attentive: Whether its driver stops for a robot in the way.
        seed: Of the episode.

    Attributes:
        pose: (7,) of the middle of its box in the world.
        corners: (4, 2) of its footprint.
        speed_m_s: Now.
        message: (4,) x, y [m] and velocity x, y [m/s] as last received.
        message_s: When that was measured [s].
    """

    def __init__(
        self,
        config: MachineConfig,
        ground: Ground,
        start_s: float,
        speed_m_s: float,
        attentive: bool,
        seed: int,
    ) -> None:
        self.config, self._ground = config, ground
        self._track = Route(config.track_m, smooth=False)
        self._start_s, self._cruise, self._attentive = start_s, speed_m_s, attentive
        self._rng = generator(seed, "manned.message")
        self._along = self.speed_m_s = 0.0
        self.pose, self.corners = np.zeros(7), np.zeros((4, 2))
        self._sent: deque[tuple[float, Array]] = deque()
        self._next = 0
        self._ahead, self._gap = np.zeros((4, 2)), np.zeros(4)
        self._place()
        self.message = np.array([self.pose[0], self.pose[1], 0.0, 0.0])
        self.message_s = 0.0

    @property
    def arrived(self) -> bool:
        """Whether it is at the end of its track."""
        return self._along >= self._track.length_m

    def advance(self, time_s: float, dt_s: float, blocked: bool) -> None:
        """Drive on over one control period.

        Args:
            time_s: At its end [s].
            dt_s: Control period [s].
            blocked: Whether a robot is in the way, or in a crossing ahead.
        """
        c = self.config
        wanted = self._cruise if time_s >= self._start_s and not self.arrived else 0.0
        if blocked and self._attentive:
            wanted = 0.0
        change = c.braking_m_s2 * dt_s
        self.speed_m_s += min(max(wanted - self.speed_m_s, -change), change)
        self._along = min(self._track.length_m, self._along + self.speed_m_s * dt_s)
        if self.arrived:
            self.speed_m_s = 0.0
        self._place()

    def report(self, time_s: float, linked: bool) -> None:
        """Send a position message if one is due, and take in those that arrive.

        Args:
            time_s: Plant clock [s].
            linked: Whether the radio link works; without it, messages are lost.
        """
        m = self.config.message
        if time_s * m.rate_hz >= self._next - 1e-9:
            self._next = int(time_s * m.rate_hz + 1e-9) + 1
            noise = self._rng.normal(0.0, m.sigma_m, 2).clip(
                -3 * m.sigma_m, 3 * m.sigma_m
            )
            x, y, heading = self._track.at(self._along)
            v = self.speed_m_s
            row = [
                x + noise[0],
                y + noise[1],
                v * math.cos(heading),
                v * math.sin(heading),
            ]
            if linked:
                self._sent.append((time_s, np.array(row)))
        while self._sent and self._sent[0][0] + m.latency_s <= time_s + 1e-9:
            self.message_s, self.message = self._sent.popleft()

    def way_to(self, distance_m: float) -> tuple[float, float, float]:
        """Return x, y and heading so far ahead on its track."""
        return self._track.at(self._along + distance_m)

    def blocked_by(self, robot: Array, crossing: Array, crosses: bool) -> bool:
        """Return whether an attentive driver would see a robot in the way.

        Args:
            robot: (4, 2) corners of its footprint.
            crossing: (K, 2) polygon; who is in it has it.
            crosses: Whether the robot is in it.
        """
        c = self.config
        return bool(
            _is_blocked(
                self._track.places,
                self._along,
                c.sight_m,
                c.size_m[0],
                c.size_m[1] + _ROOM_M,
                self.pose,
                robot,
                crossing,
                crosses,
                self._ahead,
                self._gap,
            )
        )

    def claims(
        self, crossing: Array, time_s: float, claim_s: float, margin_m: float
    ) -> bool:
        """Return whether it is in a crossing soon, by its last message.

        Args:
            crossing: (K, 2) polygon.
            time_s: Plant clock [s].
            claim_s: How far to look ahead [s].
            margin_m: Around the crossing, besides half its length [m].
        """
        reach, age = 0.5 * self.config.size_m[0] + margin_m, time_s - self.message_s
        return bool(_is_near_soon(self.message, crossing, age, claim_s, reach))

    def _place(self) -> None:
        x, y, heading = self._track.at(self._along)
        length, width, height = self.config.size_m
        z = self._ground.height(x, y) + 0.5 * height
        half = 0.5 * heading
        self.pose[:] = (x, y, z, 0.0, 0.0, math.sin(half), math.cos(half))
        box_corners(x, y, heading, length, width, self.corners)
