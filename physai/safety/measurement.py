"""All signals of one control step in one compiled pass.

The monitor copies what a step brings into an :class:`Intake` and calls
:func:`measure`; it fills signals, rows and margins. One pass instead of twenty calls
keeps the guard's share of a control period small. Nothing is allocated, and nothing
here decides anything: the arithmetic of separation and gate is in
:mod:`physai.safety.kernel`.
"""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np
import numpy.typing as npt

from physai.robot.kinematics import Chain, chain_of, move, place
from physai.safety.kernel import (
    advance_windows,
    approach_rows,
    count_missing,
    evaluate_gate,
    lowest_point,
    measure_joints,
    measure_pairs,
    outside_box,
    shape_excess,
)
from physai.safety.rules import Signal
from physai.types import Array

__all__ = [
    "Figures",
    "Intake",
    "Windows",
    "Work",
    "figures_of",
    "intake_length",
    "intake_of",
    "measure",
    "move_windows",
    "pack_figures",
    "windows_length",
    "windows_of",
    "work_length",
    "work_of",
]

Integers = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

(
    CLOCK_STAMP,
    CLOCK_JOINTS,
    CLOCK_FRAME,
    CLOCK_FORCE,
) = range(4)

# What the gate says, in the order of physai.safety.kernel.evaluate_gate.
GATE_ALONG, GATE_LATERAL, GATE_AXIS_SPEED = 2, 3, 4

# Places among the gate's extras.
MOUTH_X, MOUTH_AXIS, MOUTH_OPENING, CONSENT, STOP = 0, 3, 6, 7, 8

_MISSING = int(Signal.MISSING)
_JOINT_AGE = int(Signal.JOINT_AGE)
_PEOPLE_AGE = int(Signal.PEOPLE_AGE)
_FACE_AGE = int(Signal.FACE_AGE)
_INTERFACE_AGE = int(Signal.INTERFACE_AGE)
_TOOL_FORCE_AGE = int(Signal.TOOL_FORCE_AGE)
_PEOPLE_MISSING = int(Signal.PEOPLE_MISSING)
_JOINT_POSITION = int(Signal.JOINT_POSITION)
_TCP_SPEED = int(Signal.TCP_SPEED)
_WORKSPACE = int(Signal.WORKSPACE)
_SEPARATION = int(Signal.SEPARATION)
_NEAR_SPEED = int(Signal.NEAR_SPEED)
_CONTACT_SPEED = int(Signal.CONTACT_SPEED)
_FACE_GATE = int(Signal.FACE_GATE)
_FACE_SPEED = int(Signal.FACE_SPEED)
_UTENSIL_FORCE = int(Signal.UTENSIL_FORCE)
_STOP_SIGNAL = int(Signal.STOP_SIGNAL)


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


@numba.njit(cache=True)
def measure(
    size: Integers,
    intake_buffer: Array,
    chain_size: Integers,
    chain_buffer: Array,
    figures_buffer: Array,
    work_buffer: Array,
    windows_buffer: Array,
    signals: Array,
    active: Flags,
    complete: bool,
    pushed: bool,
    finish: bool,
) -> bool:
    """Fill signals, rows and margins of one step.

    Args:
        size: (6,) sizes of the buffers.
        intake_buffer: What the step brings, see :class:`Intake`.
        chain_size: (4,) of the robot's kinematics.
        chain_buffer: The same, filled.
        figures_buffer: Numbers of the specification, see :class:`Figures`.
        work_buffer: Rows and caps, filled, see :class:`Work`.
        windows_buffer: Limits and windows, advanced, see :class:`Windows`.
        signals: (Signal.COUNT,) filled; what contacts give is there already.
        active: (r,) whether each rule is active, updated.
        complete: Whether every input has its size.
        pushed: Whether a person pushes the robot faster than it comes: it is not
            charged with motion that a push can bring about.
        finish: Whether to turn signals into margins; False where more signals follow.

    Returns:
        Whether every input was there.
    """
    intake, work = intake_of(intake_buffer, size), work_of(work_buffer, size)
    figures, windows = (
        figures_of(figures_buffer, size),
        windows_of(windows_buffer, size),
    )
    chain = chain_of(chain_buffer, chain_size)
    missing = 1
    if complete:
        c = intake.clock
        missing = count_missing(
            intake.position,
            intake.velocity,
            intake.base,
            intake.people,
            intake.people_age,
            intake.extras,
            intake.extras_age,
            intake.force,
            c[CLOCK_JOINTS],
            c[CLOCK_FRAME],
            c[CLOCK_FORCE],
            c[CLOCK_STAMP],
        )
    if missing > 0:
        for i in range(signals.shape[0]):
            signals[i] = np.nan
        work.filled[:] = 0
    else:
        _measure_approach(intake, chain, figures, work)
        _fill_ages(intake, figures, work, signals)
        _fill_motion(intake, chain, figures, work, signals)
        if pushed:
            for i in range(windows.place.shape[0]):
                if windows.by_push[i]:
                    place = windows.place[i]
                    signals[place] = min(signals[place], windows.limit[i])
    signals[_MISSING] = float(missing)
    if finish or missing > 0:
        _advance(windows, signals, active)
    return missing == 0


@numba.njit(cache=True)
def move_windows(
    size: Integers, windows_buffer: Array, signals: Array, active: Flags
) -> None:
    """Turn signals into margins and move every rule's windows on."""
    _advance(windows_of(windows_buffer, size), signals, active)


@numba.njit(cache=True)
def _advance(windows: Windows, signals: Array, active: Flags) -> None:
    advance_windows(
        signals,
        windows.place,
        windows.limit,
        windows.scale,
        windows.elsewhere,
        windows.hold,
        windows.release,
        windows.action,
        windows.margins,
        windows.below,
        windows.above,
        active,
        windows.worst,
    )


@numba.njit(cache=True)
def _measure_approach(
    intake: Intake, chain: Chain, figures: Figures, work: Work
) -> None:
    """Place and move the robot, ask the gate, measure every pair that could bind."""
    place(intake.position, chain)
    move(intake.velocity, chain)
    exempt = False
    if figures.has_gate:
        tip = chain.link_position[figures.tool_link]
        if figures.tip_shape >= 0:
            tip = chain.capsules[figures.tip_shape, 3:6]
        exempt = evaluate_gate(
            intake.extras,
            figures.gate_place,
            tip,
            chain.link_rotation[figures.tool_link, :, 0],
            figures.gate,
            figures.truth_view,
            work.gate,
        )
    if figures.truth_view:
        _brake_as_it_moves(intake, chain, figures)
    pairs = measure_pairs(
        chain.capsules,
        chain.capsule_velocity,
        figures.utensil,
        intake.people,
        intake.people_age,
        figures.parameters,
        work.gate[0],
        work.gate[1],
        exempt,
        figures.contact_speed,
        work.spheres,
        work.near,
        work.pair,
        work.shape_cap,
        work.shape_segment,
        work.excess,
    )
    work.filled[1], work.filled[2] = 1 if exempt else 0, pairs
    if figures.truth_view:
        # Rows are for a filter, and nobody filters what has happened.
        work.filled[0] = 0
        return
    work.filled[0] = approach_rows(
        pairs,
        work.near,
        work.pair,
        work.shape_cap,
        chain,
        work.rows,
        work.limits,
        work.segment,
    )


@numba.njit(cache=True)
def _brake_as_it_moves(intake: Intake, chain: Chain, figures: Figures) -> None:
    """Have the scorer judge with the time in which the joints really stop from here.

    The declared braking time is what the guard plans with. A machine that brakes, or
    creeps, needs less of it, and one that is too fast for it needs more.
    """
    first = 2 if chain.actuator[0] >= 0 else 0
    longest = 1e-3
    for i in range(first, intake.velocity.shape[0]):
        needed = abs(intake.velocity[i]) / figures.acceleration_max[i]
        longest = max(longest, needed)
    figures.parameters[1] = longest


@numba.njit(cache=True)
def _fill_ages(intake: Intake, figures: Figures, work: Work, signals: Array) -> None:
    """How old every source is, who is not seen, and what the person says."""
    signals[_JOINT_AGE] = intake.clock[CLOCK_JOINTS]
    oldest = intake.clock[CLOCK_FRAME]
    for age in intake.people_age:
        oldest = max(oldest, age)
    signals[_PEOPLE_AGE] = oldest
    seen = intake.people.shape[0]
    signals[_PEOPLE_MISSING] = float(max(0, figures.people_expected - seen))
    signals[_TOOL_FORCE_AGE] = intake.clock[CLOCK_FORCE]
    signals[_FACE_AGE] = signals[_INTERFACE_AGE] = signals[_STOP_SIGNAL] = 0.0
    if not figures.has_gate:
        return
    place, age = figures.gate_place, intake.extras_age
    near = work.excess[3] <= figures.face_zone_m
    signals[_INTERFACE_AGE] = max(age[place[CONSENT]], age[place[STOP]])
    if near:
        signals[_FACE_AGE] = max(age[place[MOUTH_X]], age[place[MOUTH_OPENING]])
    refused = not intake.extras[place[CONSENT]] > 0.5
    if intake.extras[place[STOP]] > 0.5 or (near and refused):
        signals[_STOP_SIGNAL] = 1.0


@numba.njit(cache=True)
def _fill_motion(
    intake: Intake, chain: Chain, figures: Figures, work: Work, signals: Array
) -> None:
    """Joints, tool, walls, and the approach to people."""
    measure_joints(
        intake.position,
        intake.velocity,
        work.previous_velocity,
        figures.control_hz,
        figures.position_min,
        figures.position_max,
        figures.velocity_max,
        figures.acceleration_max,
        work.joints,
    )
    for i in range(3):
        signals[_JOINT_POSITION + i] = work.joints[i]
    tool = chain.link_velocity[figures.tool_link]
    speed = np.sqrt(tool[0] * tool[0] + tool[1] * tool[1] + tool[2] * tool[2])
    signals[_TCP_SPEED] = speed
    below = figures.floor_z_m - lowest_point(chain.capsules, 2)
    outside = outside_box(
        chain.link_position[figures.tool_link], figures.minimum, figures.maximum
    )
    signals[_WORKSPACE] = max(outside, below)
    toward_head = work.excess[1]
    signals[_SEPARATION] = max(work.excess[0], -1.0)
    near = False
    if figures.has_gate:
        if work.filled[1]:
            place, extras = figures.gate_place, intake.extras
            x, y, z = (
                extras[place[MOUTH_AXIS]],
                extras[place[MOUTH_AXIS + 1]],
                extras[place[MOUTH_AXIS + 2]],
            )
            size = max(np.sqrt(x * x + y * y + z * z), 1e-9)
            inward = -(tool[0] * x + tool[1] * y + tool[2] * z) / size
            toward_head = max(toward_head, inward - work.gate[GATE_AXIS_SPEED])
        signals[_FACE_GATE] = max(toward_head, -1.0)
        near = work.excess[3] <= figures.face_zone_m
    else:
        signals[_SEPARATION] = max(signals[_SEPARATION], toward_head)
        signals[_FACE_GATE] = -1.0
    signals[_FACE_SPEED] = speed if near else 0.0
    signals[_CONTACT_SPEED] = work.excess[2]
    excess, _ = shape_excess(chain.capsule_velocity, work.shape_cap, work.shape_segment)
    signals[_NEAR_SPEED] = max(excess, -1.0)
    force = intake.force
    signals[_UTENSIL_FORCE] = np.sqrt(force[0] ** 2 + force[1] ** 2 + force[2] ** 2)
