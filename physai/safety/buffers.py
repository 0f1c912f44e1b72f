"""What the monitor's compiled pass works on: views of a few buffers.

A compiled function that takes forty arrays spends longer on taking them over than on
the arithmetic. So everything that belongs together lies in one buffer; a function here
returns its views, and a NamedTuple names them, in compiled code and outside alike.
Integers are stored bit by bit.
"""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np
import numpy.typing as npt

from physai.types import Array

__all__ = [
    "SIZE_PEOPLE",
    "Figures",
    "Intake",
    "Windows",
    "Work",
    "figures_of",
    "intake_length",
    "intake_of",
    "pack_figures",
    "windows_length",
    "windows_of",
    "work_length",
    "work_of",
]

Integers = npt.NDArray[np.int64]

# Places in the vector of sizes that belongs to the buffers of a monitor.
(
    SIZE_ACTUATORS,
    SIZE_SHAPES,
    SIZE_PEOPLE,
    SIZE_SEGMENTS,
    SIZE_EXTRAS,
    SIZE_RULES,
) = range(6)


class Intake(NamedTuple):
    """Copies of what a step brings; see :class:`physai.types.State`."""

    clock: Array
    """(4,) stamp, age of joints, of the newest people frame, of the tool force [s]."""
    position: Array
    velocity: Array
    base: Array
    force: Array
    people: Array
    people_age: Array
    extras: Array
    extras_age: Array


@numba.njit(cache=True)
def intake_of(buffer: Array, size: Integers) -> Intake:
    """Return the views of a buffer of :func:`intake_length` numbers."""
    n, people, segments = size[SIZE_ACTUATORS], size[SIZE_PEOPLE], size[SIZE_SEGMENTS]
    e, i = size[SIZE_EXTRAS], 14 + 2 * n
    bodies = 7 * people * segments
    return Intake(
        buffer[:4],
        buffer[14 : 14 + n],
        buffer[14 + n : i],
        buffer[4:11],
        buffer[11:14],
        buffer[i : i + bodies].reshape((people, segments, 7)),
        buffer[i + bodies : i + bodies + people],
        buffer[i + bodies + people : i + bodies + people + e],
        buffer[i + bodies + people + e : i + bodies + people + 2 * e],
    )


def intake_length(size: Integers) -> int:
    """Return the length of a buffer for :func:`intake_of`."""
    n, _, people, segments, extras, _ = size.tolist()
    return int(14 + 2 * n + people * (7 * segments + 1) + 2 * extras)


class Figures(NamedTuple):
    """Numbers of the specification for one view, and the robot's limits.

    Attributes:
        parameters: See :class:`physai.safety.kernel.Parameter`.
        gate: See :func:`physai.safety.kernel.evaluate_gate`.
        gate_place: (9,) places of the gate's extras.
        contact_speed: (S,) [m/s].
        minimum: (3,) of the workspace [m].
        maximum: (3,).
        floor_z_m: No shape goes below it.
        face_zone_m: Within it of the face its own rules hold.
        control_hz: Rate of the guard.
        people_expected: So many must be tracked.
        has_gate: Whether there is a gate.
        truth_view: Whether this is the scorer's view.
        tool_link: Index of the TCP frame.
        tip_shape: The utensil's foremost shape; -1 without one.
        utensil: (R,) whether a shape belongs to the utensil.
        position_min: (n,) [rad or m], with the other limits.
        position_max: (n,).
        velocity_max: (n,).
        acceleration_max: (n,).
    """

    parameters: Array
    gate: Array
    gate_place: Integers
    contact_speed: Array
    minimum: Array
    maximum: Array
    floor_z_m: float
    face_zone_m: float
    control_hz: float
    people_expected: int
    has_gate: bool
    truth_view: bool
    tool_link: int
    tip_shape: int
    utensil: Integers
    position_min: Array
    position_max: Array
    velocity_max: Array
    acceleration_max: Array


@numba.njit(cache=True)
def figures_of(buffer: Array, size: Integers) -> Figures:
    """Return the views of a buffer of :func:`pack_figures`."""
    n, shapes, segments = size[SIZE_ACTUATORS], size[SIZE_SHAPES], size[SIZE_SEGMENTS]
    i = 45
    limits = i + segments + shapes
    return Figures(
        buffer[0:13],
        buffer[13:22],
        buffer[22:31].view(np.int64),
        buffer[i : i + segments],
        buffer[31:34],
        buffer[34:37],
        buffer[37],
        buffer[38],
        buffer[39],
        int(buffer[40]),
        buffer[41] > 0.5,
        buffer[42] > 0.5,
        int(buffer[43]),
        int(buffer[44]),
        buffer[i + segments : limits].view(np.int64),
        buffer[limits : limits + n],
        buffer[limits + n : limits + 2 * n],
        buffer[limits + 2 * n : limits + 3 * n],
        buffer[limits + 3 * n : limits + 4 * n],
    )


def pack_figures(given: Figures) -> Array:
    """Return the buffer of figures; integers are stored bit by bit."""
    return np.concatenate(
        [
            given.parameters,
            given.gate,
            given.gate_place.view(np.float64),
            given.minimum,
            given.maximum,
            [given.floor_z_m, given.face_zone_m, given.control_hz],
            [given.people_expected, given.has_gate, given.truth_view],
            [given.tool_link, given.tip_shape],
            given.contact_speed,
            given.utensil.view(np.float64),
            given.position_min,
            given.position_max,
            given.velocity_max,
            given.acceleration_max,
        ]
    ).astype(np.float64)


class Work(NamedTuple):
    """Results that filter and scorer read after a step, and work space.

    Attributes:
        spheres: (S + 1, 4) scratch.
        near: (K, 7) see :func:`physai.safety.kernel.measure_pairs`, with pair (K, 3).
        rows: (K, n) see :func:`physai.safety.kernel.approach_rows`, with limits (K,)
            and segment (K,).
        shape_cap: (R,) permitted speed of every shape [m/s].
        shape_segment: (R,) body segment that it comes from; -1 for none.
        previous_velocity: (n,) of the step before.
        gate: (5,) see :func:`physai.safety.kernel.evaluate_gate`.
        joints: (3,) see :func:`physai.safety.kernel.measure_joints`.
        excess: (4,) see :func:`physai.safety.kernel.measure_pairs`.
        filled: (3,) rows, whether the utensil is at an open mouth, pairs.
    """

    spheres: Array
    near: Array
    pair: Integers
    rows: Array
    limits: Array
    segment: Integers
    shape_cap: Array
    shape_segment: Integers
    previous_velocity: Array
    gate: Array
    joints: Array
    excess: Array
    filled: Integers


@numba.njit(cache=True)
def work_of(buffer: Array, size: Integers) -> Work:
    """Return the views of a buffer of :func:`work_length` numbers."""
    n, shapes, segments = size[SIZE_ACTUATORS], size[SIZE_SHAPES], size[SIZE_SEGMENTS]
    most = size[SIZE_PEOPLE] * shapes * segments
    a = 15 + n + 2 * shapes
    b = a + 4 * (segments + 1)
    c = b + 7 * most
    d = c + 3 * most
    e = d + n * most
    return Work(
        buffer[a:b].reshape((segments + 1, 4)),
        buffer[b:c].reshape((most, 7)),
        buffer[c:d].view(np.int64).reshape((most, 3)),
        buffer[d:e].reshape((most, n)),
        buffer[e : e + most],
        buffer[e + most : e + 2 * most].view(np.int64),
        buffer[15 + n : 15 + n + shapes],
        buffer[15 + n + shapes : a].view(np.int64),
        buffer[15 : 15 + n],
        buffer[0:5],
        buffer[5:8],
        buffer[8:12],
        buffer[12:15].view(np.int64),
    )


def work_length(size: Integers) -> int:
    """Return the length of a buffer for :func:`work_of`."""
    n, shapes, people, segments, _, _ = size.tolist()
    most = people * shapes * segments
    return int(15 + n + 2 * shapes + 4 * (segments + 1) + (12 + n) * most)


class Windows(NamedTuple):
    """Limits and windows of the rules; see
    :func:`physai.safety.kernel.advance_windows`.
    """

    place: Integers
    elsewhere: Integers
    hold: Integers
    release: Integers
    action: Integers
    by_push: Integers
    below: Integers
    above: Integers
    worst: Integers
    """(3,) most restrictive action of an active rule, the rule, and how many are
    active; 0, -1, 0."""
    limit: Array
    scale: Array
    margins: Array


@numba.njit(cache=True)
def windows_of(buffer: Array, size: Integers) -> Windows:
    """Return the views of a buffer of :func:`windows_length` numbers."""
    r = size[SIZE_RULES]
    whole = buffer[: 8 * r + 3].view(np.int64)
    rest = buffer[8 * r + 3 :]
    return Windows(
        whole[:r],
        whole[r : 2 * r],
        whole[2 * r : 3 * r],
        whole[3 * r : 4 * r],
        whole[4 * r : 5 * r],
        whole[5 * r : 6 * r],
        whole[6 * r : 7 * r],
        whole[7 * r : 8 * r],
        whole[8 * r : 8 * r + 3],
        rest[:r],
        rest[r : 2 * r],
        rest[2 * r : 3 * r],
    )


def windows_length(size: Integers) -> int:
    """Return the length of a buffer for :func:`windows_of`."""
    return 11 * int(size[SIZE_RULES]) + 3
