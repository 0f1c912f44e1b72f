"""All signals of one control step in one compiled pass.

The monitor copies what a step brings into an :class:`~physai.safety.buffers.Intake` and calls
:func:`measure`; it fills signals, rows and margins. One pass instead of twenty calls
keeps the guard's share of a control period small. Nothing is allocated, and nothing
here decides anything: the arithmetic of separation and gate is in
:mod:`physai.safety.kernel`.
"""

from __future__ import annotations

import numba
import numpy as np
import numpy.typing as npt

from physai.robot.kinematics import Chain, chain_of, move, place
from physai.safety.buffers import (
    Figures,
    Intake,
    Windows,
    Work,
    figures_of,
    intake_of,
    windows_of,
    work_of,
)
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

__all__ = ["measure", "move_windows"]

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
        intake_buffer: What the step brings, see :class:`~physai.safety.buffers.Intake`.
        chain_size: (4,) of the robot's kinematics.
        chain_buffer: The same, filled.
        figures_buffer: Numbers of the specification, see :class:`~physai.safety.buffers.Figures`.
        work_buffer: Rows and caps, filled, see :class:`~physai.safety.buffers.Work`.
        windows_buffer: Limits and windows, advanced, see :class:`~physai.safety.buffers.Windows`.
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
    signals[_MISSING] = float(missing)
    if finish or missing > 0:
        _advance(windows, signals, active, pushed and missing == 0)
    return missing == 0


@numba.njit(cache=True)
def move_windows(
    size: Integers,
    windows_buffer: Array,
    signals: Array,
    active: Flags,
    pushed: bool,
) -> None:
    """Turn signals into margins and move every rule's windows on.

    Args:
        size: (6,) sizes of the buffers.
        windows_buffer: As :func:`measure` takes it.
        signals: (Signal.COUNT,) of the step.
        active: (r,) whether each rule is active, updated.
        pushed: As :func:`measure` takes it.
    """
    _advance(windows_of(windows_buffer, size), signals, active, pushed)


@numba.njit(cache=True)
def _advance(windows: Windows, signals: Array, active: Flags, pushed: bool) -> None:
    if pushed:
        for i in range(windows.place.shape[0]):
            if windows.by_push[i]:
                place = windows.place[i]
                signals[place] = min(signals[place], windows.limit[i])
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
