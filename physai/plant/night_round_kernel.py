"""What happens on a night round, step by step, in numba.

One call per control step moves the item in the hand, the resident's status, the exit
zone, the trailing sheet and the reports on, all in one vector of numbers.
"""

from __future__ import annotations

import enum

import numba
import numpy as np
import numpy.typing as npt

from physai.plant.food import apparent_tilt
from physai.robot.kinematics import Chain, chain_of
from physai.types import Array

__all__ = ["Figure", "Status", "advance", "locate", "on_bed", "sees", "sheet_ahead"]

PELVIS, CHEST = 5, 3
"""Segments of :data:`physai.body.person.SEGMENTS`."""

SHEET_VIEW_M = 1.5
"""No sensor looks farther ahead for what lies on the floor."""


class Figure(enum.IntEnum):
    """Places in the vector of figures (SI units, world frame)."""

    BED = 0
    """x and y of the least corner, then of the largest; the same for the others."""
    TABLE = 4
    EXIT = 8
    SHEET = 12
    """NaN where none trails."""
    TABLE_TOP = 16
    WALL_Y = 17
    DOOR_LOW = 18
    DOOR_HIGH = 19
    ITEM_HEIGHT = 20
    ITEM_RADIUS = 21
    SPILL_START = 22
    SPILL_RATE = 23
    PLACE_GAP = 24
    PLACE_SPEED = 25
    REPORT_DISTANCE = 26
    VIEW_ANGLE = 27
    LOOK_DISTANCE = 28
    FLOOR_HEIGHT = 29
    STANDING_SPEED = 30
    BASE_RADIUS = 31
    HALF_WIDTH = 32
    COUNT = 33


class Status(enum.IntEnum):
    """Places in the vector of what is so now."""

    HELD = 0
    PLACED = 1
    SPILLED = 2
    TILT = 3
    VELOCITY = 4
    """(3,) of the tool in the step before [m/s]; NaN at first."""
    ITEM = 7
    """(3,) middle of the item, world [m]."""
    UP = 10
    ON_FLOOR = 11
    UP_UNREPORTED = 12
    FLOOR_UNREPORTED = 13
    REPORTED = 14
    FLOOR_REPORTED = 15
    FALSE_REPORTS = 16
    EXIT_STANDING = 17
    EXIT_BLOCKED = 18
    SHEET_CAUGHT = 19
    LOOKED = 20
    CLEAR = 21
    IN_VIEW = 22
    OUT_OF_BED = 23
    SHEET_AHEAD = 24
    TABLE_X = 25
    TABLE_Y = 26
    COUNT = 27


@numba.njit(cache=True)
def _inside(x: float, y: float, f: Array, k: int, more: float) -> bool:
    """Whether a place is in a rectangle made larger by so much; NaN is nowhere."""
    return bool(
        f[k] - more <= x <= f[k + 2] + more and f[k + 1] - more <= y <= f[k + 3] + more
    )


@numba.njit(cache=True)
def sees(
    x: float, y: float, yaw: float, tx: float, ty: float, reach: float, f: Array
) -> bool:
    """Whether a place is in view: near, ahead, and not behind the wall.

    Args:
        x: Of the robot's base [m].
        y: The same.
        yaw: Its heading [rad].
        tx: The place.
        ty: The place.
        reach: As far as it sees [m].
        f: Figures.
    """
    dx, dy = tx - x, ty - y
    if dx * dx + dy * dy > reach * reach:
        return False
    turn = np.arctan2(dy, dx) - yaw
    if abs(np.arctan2(np.sin(turn), np.cos(turn))) > f[27]:
        return False
    wall = f[17]
    if (y - wall) * (ty - wall) >= 0.0:
        return True
    across = x + dx * (wall - y) / dy
    return bool(f[18] <= across <= f[19])


@numba.njit(cache=True)
def sheet_ahead(x: float, y: float, yaw: float, f: Array) -> float:
    """Free way of the base's own width ahead of its front wheels to the sheet [m].

    Args:
        x: Of the base [m].
        y: The same.
        yaw: Its heading [rad].
        f: Figures.
    """
    if not f[12] < f[14]:
        return SHEET_VIEW_M
    c, s, half = np.cos(yaw), np.sin(yaw), f[32]
    for step in range(31):
        along = 0.05 * step
        for lane in range(9):
            across = half * (lane / 4.0 - 1.0)
            px = x + (0.3 + along) * c - across * s
            py = y + (0.3 + along) * s + across * c
            if _inside(px, py, f, 12, 0.0):
                return along
    return SHEET_VIEW_M


@numba.njit(cache=True)
def on_bed(place: Array, f: Array) -> bool:
    """Whether a (2,) place is on the mattress."""
    return _inside(place[0], place[1], f, 0, 0.0)


@numba.njit(cache=True)
def locate(x: float, y: float, yaw: float, f: Array, s: Array) -> None:
    """Write where table and sheet are, seen from a base at x, y, yaw."""
    s[24] = sheet_ahead(x, y, yaw, f)
    c, sine = np.cos(yaw), np.sin(yaw)
    tx, ty = 0.5 * (f[4] + f[6]) - x, 0.5 * (f[5] + f[7]) - y
    s[25], s[26] = tx * c + ty * sine, -tx * sine + ty * c


@numba.njit(cache=True)
def _carry(c: Chain, tool: int, opens: bool, dt: float, f: Array, s: Array) -> None:
    """Tilt, spill and place the item."""
    velocity, acceleration = c.link_velocity[tool], np.zeros(3)
    for i in range(3):
        if s[4 + i] == s[4 + i]:
            acceleration[i] = (velocity[i] - s[4 + i]) / dt
        s[4 + i] = velocity[i]
    s[3] = apparent_tilt(-c.link_rotation[tool, :, 2], acceleration)
    if s[0] < 0.5:
        return
    place = c.link_position[tool]
    for i in range(3):
        s[7 + i] = place[i]
    excess = max(0.0, s[3] - f[22])
    s[2] += (1.0 - s[2]) * -np.expm1(-f[23] * excess * dt)
    gap = place[2] - 0.5 * f[20] - f[16]
    if gap < -f[24] and _inside(place[0], place[1], f, 4, f[21]):
        # Pushed into the table or against its side: it falls over.
        s[0], s[2] = 0.0, 1.0
        return
    carried = gap <= f[24] and _inside(place[0], place[1], f, 4, -f[21])
    speed = np.sqrt(velocity[0] ** 2 + velocity[1] ** 2 + velocity[2] ** 2)
    # A hand that feels the whole weight does not open, so that nothing is dropped.
    if opens and carried and speed <= f[25]:
        s[0], s[1] = 0.0, 1.0
        s[9] = f[16] + 0.5 * f[20]


@numba.njit(cache=True)
def _watch(
    x: float, y: float, yaw: float, bodies: Array, reports: bool, dt: float, f: Array,
    s: Array,
) -> None:  # fmt: skip
    """Where the resident is, and what was reported."""
    s[10] = s[11] = s[22] = 0.0
    if bodies.shape[0] > 0:
        body = bodies[0]
        px = 0.5 * (body[PELVIS, 0] + body[PELVIS, 3])
        py = 0.5 * (body[PELVIS, 1] + body[PELVIS, 4])
        low = 0.5 * (body[PELVIS, 2] + body[PELVIS, 5])
        high = 0.5 * (body[CHEST, 2] + body[CHEST, 5])
        if not _inside(px, py, f, 0, 0.0):
            s[10] = 1.0
            if low < f[29] and high < 1.5 * f[29]:
                s[11] = 1.0
        if sees(x, y, yaw, px, py, f[26], f):
            s[22] = 1.0
    s[23] = s[23] + dt if s[10] > 0.5 else 0.0
    if reports:
        if s[10] > 0.5 and s[22] > 0.5:
            s[14] = 1.0
            s[15] = max(s[15], s[11])
        else:
            s[16] += 1.0
    if s[10] > 0.5 and s[14] < 0.5:
        s[12] += dt
    if s[11] > 0.5 and s[15] < 0.5:
        s[13] += dt
    bed_x, bed_y = 0.5 * (f[0] + f[2]), 0.5 * (f[1] + f[3])
    if sees(x, y, yaw, bed_x, bed_y, f[28], f):
        s[20] += dt


@numba.njit(cache=True)
def advance(
    chain_buffer: Array,
    chain_size: npt.NDArray[np.int64],
    tool: int,
    wheels: Array,
    bodies: Array,
    opens: bool,
    reports: bool,
    dt: float,
    f: Array,
    s: Array,
) -> None:
    """Move everything on by one control period.

    Args:
        chain_buffer: Of the robot's kinematics, placed and moved.
        chain_size: The same.
        tool: Link of the tool's frame.
        wheels: (W, 2) contacts of the wheels in the base frame [m].
        bodies: (P, S, 7) people; the first is the resident.
        opens: Whether the hand is told to open.
        reports: Whether a report is sent in this period.
        dt: Control period [s].
        f: (Figure.COUNT,) figures.
        s: (Status.COUNT,) what is so, moved on.
    """
    c = chain_of(chain_buffer, chain_size)
    x, y = c.link_position[0, 0], c.link_position[0, 1]
    ux, uy = c.link_rotation[0, 0, 0], c.link_rotation[0, 1, 0]
    yaw = np.arctan2(uy, ux)
    _carry(c, tool, opens, dt, f, s)
    _watch(x, y, yaw, bodies, reports, dt, f, s)
    v = np.sqrt(c.link_velocity[0, 0] ** 2 + c.link_velocity[0, 1] ** 2)
    standing = v < f[30]
    if _inside(x, y, f, 8, f[31]):
        s[17] = s[17] + dt if standing else 0.0
        s[18] += dt if standing else 0.0
        s[21] = 0.0
    else:
        s[17] = 0.0
        s[21] = s[21] + dt if standing else 0.0
    if v > 0.02 or abs(c.link_angular[0, 2]) > 0.05:
        for w in range(wheels.shape[0]):
            wx = x + wheels[w, 0] * ux - wheels[w, 1] * uy
            wy = y + wheels[w, 0] * uy + wheels[w, 1] * ux
            if _inside(wx, wy, f, 12, 0.0):
                s[19] = 1.0
    locate(x, y, yaw, f, s)
