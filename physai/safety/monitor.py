"""The monitor: from a state (or the truth) to one margin per rule.

The same object is the guard's eye and the scorer's: the *guard view* sees estimates
that have aged and keeps something back from every limit; the *truth view* sees what
really is and judges the limits themselves. ``not (margin >= 0)`` is a violation, so
that NaN is one.
"""

from __future__ import annotations

import math
from typing import Literal

import numba
import numpy as np
import numpy.typing as npt

from physai.body.person import SEGMENT_COUNT
from physai.robot.kinematics import Kinematics
from physai.safety.buffers import (
    SIZE_PEOPLE,
    Figures,
    Work,
    intake_length,
    intake_of,
    pack_figures,
    windows_length,
    windows_of,
    work_length,
    work_of,
)
from physai.safety.kernel import Parameter, contact_ratio
from physai.safety.measurement import measure, move_windows
from physai.safety.rules import Signal
from physai.safety.sections import load_section
from physai.safety.sections.drives import Drives
from physai.safety.sections.section import Caps, Section
from physai.safety.spec import CompiledSpec
from physai.types import Array, State, Truth

__all__ = ["Monitor"]

_MOUTH = (
    "mouth_x_in_world_m",
    "mouth_y_in_world_m",
    "mouth_z_in_world_m",
    "mouth_axis_x_in_world",
    "mouth_axis_y_in_world",
    "mouth_axis_z_in_world",
    "mouth_opening_m",
    "consent",
    "stop_signal",
)

_MOVED_M_S = 0.005
"""Below this own speed the robot did not move or push (project choice)."""
_RESTING = 0.02
"""Share of its fastest speed at which a robot that was pushed has come to rest (project)."""


Integers = npt.NDArray[np.int64]
_NOTHING = np.zeros(0)


@numba.njit(cache=True)
def _judge_late(
    judged: Array,
    extras: Array,
    ages: Array,
    true_extras: Array,
    responses: Integers,
    since: Integers,
    place: Integers,
    limit: Array,
    signals: Array,
) -> None:
    """Write the signals of extras that rules judge, and of responses.

    A response judges what must have followed once something else has lasted long
    enough.

    Args:
        judged: (J, 4) place of the signal, place of the extra, whether it is a true
            extra, sign; sign 0 asks for the age.
        extras: (e,) of the state.
        ages: (e,) [s].
        true_extras: Of the truth; one that is not there gives NaN.
        responses: (K, 5) place of the signal, the rule itself, the one that triggers it,
            the one that it judges, steps.
        since: (K,) for how many steps each trigger has been violated; updated.
        place: (r,) of the rules' signals.
        limit: (r,) of the rules.
        signals: Filled.
    """
    for k in range(judged.shape[0]):
        slot, where, sign = int(judged[k, 0]), int(judged[k, 1]), judged[k, 3]
        source = true_extras if judged[k, 2] > 0.0 else extras
        value = source[where] if 0 <= where < source.shape[0] else np.nan
        signals[slot] = sign * value if sign != 0.0 else ages[where]
    for k in range(responses.shape[0]):
        slot, own, trigger, judged_rule, steps = responses[k]
        held = limit[trigger] - signals[place[trigger]] >= 0.0
        since[k] = 0 if held else since[k] + 1
        value = signals[place[judged_rule]]
        # NaN is a violation, whether or not it is time.
        due = since[k] > steps or np.isnan(value)
        signals[slot] = value if due else min(value, limit[own])


class Monitor:
    """Computes signals and margins of a compiled specification, step by step.

    Args:
        spec: The compiled specification.
        view: ``guard`` or ``truth``.

    Attributes:
        signals: (Signal.COUNT,) signals of the last step.
        margins: (r,) normalised margins of the last step.
        active: (r,) violated for longer than its hold window and not yet released.
        rows: (K, n) approach rows of the last step, the first :attr:`row_count` valid.
        limits: (K,) permitted approach speeds [m/s].
        shape_cap: (R,) permitted speed of every shape [m/s].
        shape_segment: (R,) body segment that it comes from; -1 for none.
        gate: (5,) what the gate says (:func:`physai.safety.kernel.evaluate_gate`).
        caps: Speed caps of the specification's sections in the last step.
        work: Everything that the last step left for the filter.
        size: (6,) sizes of the buffers; a new number of people changes it.
        figures_buffer: Numbers of the specification as compiled passes take them.
        work_buffer: :attr:`work` as compiled passes take it.
    """

    def __init__(self, spec: CompiledSpec, view: Literal["guard", "truth"]) -> None:
        self.spec = spec
        self.view = view
        self.truth_view = view == "truth"
        self.kinematics = Kinematics(spec.robot)
        self.signals = np.zeros(
            Signal.COUNT + len(spec.judged_extras) + len(spec.responses)
        )
        self._judged = np.array(spec.judged_extras, dtype=np.float64).reshape(-1, 4)
        self._gate_places = np.array(
            [spec.extras.get(name, -1) for name in _MOUTH], dtype=np.int64
        )
        self.size = np.array(
            [
                len(spec.robot.actuator_names),
                len(spec.robot.shapes.link),
                max(1, spec.config.people_expected),
                SEGMENT_COUNT,
                len(spec.extras),
                len(spec.rule_names),
            ]
        )
        self.caps = Caps(len(spec.robot.actuator_names), len(spec.robot.tool_channels))
        self._sections = self._make_sections()
        self._drives = next((s for s in self._sections if isinstance(s, Drives)), None)
        self._more = bool(self._sections or spec.judged_extras or spec.responses)
        self._responses = np.array(spec.responses, dtype=np.int64).reshape(-1, 5)
        self._since = np.zeros(len(spec.responses), dtype=np.int64)
        self._most_people = 0
        self.work: Work
        self.figures_buffer = pack_figures(self._make_figures())
        self._windows_buffer = np.zeros(windows_length(self.size))
        self._windows = windows_of(self._windows_buffer, self.size)
        self._set_windows()
        self.margins = self._windows.margins
        self.active = np.zeros(len(spec.rule_names), dtype=np.bool_)
        self._mouth_limit = next(
            (r.limit.value for r in spec.config.rules if r.rule == "mouth_force"), 1.0
        )
        self._truth_places = [
            (spec.truth_extras.get(name, -1), int(signal))
            for name, signal in (
                ("mouth_force_n", Signal.MOUTH_FORCE),
                ("insertion_depth_m", Signal.INSERTION_DEPTH),
            )
        ]
        self._contact_result = np.zeros(4)
        robot = spec.robot
        braking = float((robot.braking_max / robot.velocity_max).min())
        self._braking_share = 0.5 * braking / spec.control_hz
        self._pushed_share = 0.0
        self._base: tuple[float, ...] = ()
        self._allocate(int(self.size[SIZE_PEOPLE]))

    def reset(self) -> None:
        """Forget windows and the previous step."""
        self._windows.below[:] = 0
        self._windows.above[:] = 0
        self.active[:] = False
        self.caps.clear()
        for section in self._sections:
            section.reset()
        self.work.previous_velocity[:] = np.nan
        self._pushed_share = 0.0
        self._since[:] = 0

    def follow(self, velocity: Array) -> None:
        """Tell the sections the (n,) command that was really sent in this step."""
        for section in self._sections:
            section.follow(velocity)

    @property
    def parameters(self) -> Array:
        """Vector of the separation kernels for this view."""
        spec = self.spec
        return spec.truth_parameters if self.truth_view else spec.parameters

    @property
    def drives(self) -> Drives | None:
        """The section that watches the drives; None without one."""
        return self._drives

    @property
    def position(self) -> Array:
        """(n,) joint positions of the last step [rad or m]."""
        return self._intake.position

    @property
    def velocity(self) -> Array:
        """(n,) joint velocities of the last step [rad/s or m/s]."""
        return self._intake.velocity

    @property
    def row_count(self) -> int:
        """Number of rows of the last step."""
        return int(self.work.filled[0])

    @property
    def gate_exempt(self) -> bool:
        """Whether the utensil was at an open mouth in the last step."""
        return bool(self.work.filled[1])

    @property
    def person_near(self) -> bool:
        """Whether a person was within the horizon of the separation."""
        return bool(self.work.filled[2] > 0)

    @property
    def worst_action(self) -> tuple[int, int]:
        """Most restrictive action of an active rule, and the rule; 0 and -1."""
        action, rule, _ = self._windows.worst.tolist()
        return action, rule

    @property
    def any_active(self) -> bool:
        """Whether any rule is active."""
        return bool(self._windows.worst[2] > 0)

    @property
    def face_distance_m(self) -> float:
        """Distance of the utensil from head or face in the last step [m]."""
        return float(self.work.excess[3])

    def update(self, state: State, truth: Truth | None = None) -> Array:
        """Compute the margins of one step.

        Args:
            state: What the guard sees; in the truth view, the exact state.
            truth: Contacts and true extras; None in the guard's view or where the
                plant has no truth.

        Returns:
            (r,) normalised margins, order of ``spec.rule_names``; reused.
        """
        complete = self._take_in(state)
        pushed = self._is_pushed(state, self._judge_contacts(truth))
        finish = not self._more
        whole = measure(
            self.size,
            self._intake_buffer,
            self.kinematics.size,
            self.kinematics.buffer,
            self.figures_buffer,
            self.work_buffer,
            self._windows_buffer,
            self.signals,
            self.active,
            complete,
            pushed,
            finish,
        )
        if whole and not finish:
            self._measure_more(state, truth)
            self._margins(pushed)
        return self.margins

    def _measure_more(self, state: State, truth: Truth | None) -> None:
        """Let the specification's sections measure and cap; read extras."""
        self.caps.clear()
        for section in self._sections:
            section.update(state, self.kinematics, self.signals)
        if len(self._judged) or len(self._responses):
            self._respond(
                np.ascontiguousarray(state.extras),
                np.ascontiguousarray(state.extras_age_s),
                _NOTHING if truth is None else np.ascontiguousarray(truth.extras),
            )

    def _respond(self, extras: Array, ages: Array, true_extras: Array) -> None:
        """Judge extras, and what must have followed something else."""
        windows = self._windows
        _judge_late(
            self._judged,
            extras,
            ages,
            true_extras,
            self._responses,
            self._since,
            windows.place,
            windows.limit,
            self.signals,
        )

    def violated(self) -> npt.NDArray[np.bool_]:
        """Return (r,) whether each rule is violated in this step, windows aside."""
        result: npt.NDArray[np.bool_] = ~(self.margins >= 0.0)
        return result

    def mouth_axis(self, state: State) -> Array:
        """Return the (3,) unit outward axis of the mouth as the state gives it."""
        axis: Array = state.extras[self._gate_places[3:6]]
        return axis / max(float(np.linalg.norm(axis)), 1e-9)

    def _take_in(self, state: State) -> bool:
        """Copy what the step brings; return whether every input has its size."""
        intake, people = self._intake, state.people
        if people.shape != intake.people.shape:
            if people.ndim != 3 or people.shape[1:] != (SEGMENT_COUNT, 7):
                return False
            self._allocate(people.shape[0])
            intake = self._intake
        pairs = (
            (intake.position, state.actuator_position),
            (intake.velocity, state.actuator_velocity),
            (intake.base, state.base_pose_in_world),
            (intake.force, state.tool_force_in_world_n),
            (intake.people, people),
            (intake.people_age, state.people_age_s),
            (intake.extras, state.extras),
            (intake.extras_age, state.extras_age_s),
        )
        for ours, theirs in pairs:
            if theirs.shape != ours.shape:
                return False
            ours[...] = theirs
        clock = intake.clock
        clock[0], clock[1] = state.stamp_s, state.actuator_age_s
        clock[2], clock[3] = state.people_frame_age_s, state.tool_force_age_s
        base = tuple(intake.base.tolist())
        if base != self._base:
            self._base = base
            self.kinematics.set_base(intake.base)
        return True

    def _judge_contacts(self, truth: Truth | None) -> bool:
        """Write what contacts give; return whether a person pushes the robot."""
        signals = self.signals
        signals[Signal.CONTACT_FORCE] = signals[Signal.MOVING_CONTACT] = 0.0
        signals[Signal.CONTACT_PRESSURE] = 0.0
        for place, signal in self._truth_places:
            known = truth is not None and place >= 0
            signals[signal] = truth.extras[place] if known else 0.0  # type: ignore[union-attr]
        if truth is None:
            return False
        c, regions, result = truth.contact, self.spec.regions, self._contact_result
        if not (c.force_peak_n.any() or c.force_mean_n.any()):
            return False
        contact_ratio(
            c.force_peak_n,
            c.force_mean_n,
            c.pressure_n_per_cm2,
            c.age_s,
            c.robot_normal_speed_m_s,
            c.person_normal_speed_m_s,
            c.clamped,
            c.link,
            self.spec.robot.shapes.utensil,
            regions.force_quasistatic_n,
            regions.force_transient_n,
            regions.pressure_quasistatic_n_per_cm2,
            regions.contact_permitted,
            self.spec.config.frailty_factor,
            self._mouth_limit,
            _MOVED_M_S,
            result,
        )
        signals[Signal.CONTACT_FORCE] = result[0]
        signals[Signal.MOVING_CONTACT] = result[1]
        signals[Signal.CONTACT_PRESSURE] = result[3]
        return bool(result[2] > 0.0)

    def _margins(self, pushed: bool = False) -> None:
        move_windows(self.size, self._windows_buffer, self.signals, self.active, pushed)

    def _is_pushed(self, state: State, now: bool) -> bool:
        """Return whether the robot moves by a person's push.

        So it does while it is pushed, and after it for as long as it slows down at
        least half as fast as its brakes can: what it does then is to come to rest.

        Args:
            state: The exact state.
            now: Whether a person pushes it in this step.
        """
        if not now and self._pushed_share <= 0.0:
            return False
        robot = self.spec.robot
        share = float((np.abs(state.actuator_velocity) / robot.velocity_max).max())
        slower = share <= max(_RESTING, self._pushed_share - self._braking_share)
        # A speed that is no number is not slower.
        self._pushed_share = share if now or (slower and share > _RESTING) else 0.0
        return now or self._pushed_share > 0.0

    def _set_windows(self) -> None:
        spec, w = self.spec, self._windows
        other = "guard" if self.truth_view else "truth"
        w.place[:], w.scale[:] = spec.signal, spec.scale
        w.limit[:] = spec.truth_limit if self.truth_view else spec.guard_limit
        w.elsewhere[:] = [rule.view == other for rule in spec.rules]
        w.hold[:], w.release[:] = spec.hold_steps, spec.release_steps
        w.action[:] = spec.action
        w.by_push[:] = [rule.by_push for rule in spec.rules]
        w.worst[1] = -1

    def _make_figures(self) -> Figures:
        spec, robot = self.spec, self.spec.robot
        box, gate = spec.config.workspace, spec.config.gate
        utensils = np.flatnonzero(robot.shapes.utensil)
        return Figures(
            parameters=self.parameters,
            gate=self._gate_vector(),
            gate_place=self._gate_places,
            contact_speed=spec.permitted_contact_speed,
            minimum=np.array(box.minimum_m) if box else np.full(3, -np.inf),
            maximum=np.array(box.maximum_m) if box else np.full(3, np.inf),
            floor_z_m=box.floor_z_m if box else -np.inf,
            face_zone_m=0.0 if gate is None else gate.face_zone_m,
            control_hz=spec.control_hz,
            people_expected=spec.config.people_expected,
            has_gate=gate is not None,
            truth_view=self.truth_view,
            tool_link=robot.tool_link,
            tip_shape=int(utensils[-1]) if len(utensils) else -1,
            utensil=robot.shapes.utensil.astype(np.int64),
            position_min=robot.position_min,
            position_max=robot.position_max,
            velocity_max=robot.velocity_max,
            acceleration_max=np.maximum(robot.acceleration_max, robot.braking_max),
        )

    def _make_sections(self) -> list[Section]:
        spec = self.spec
        reaction = float(self.parameters[Parameter.REACTION_TIME])
        made = []
        for name, given in spec.config.sections.items():
            found, values = load_section(name, given)
            section = found(values, spec.robot, self.truth_view, self.caps, reaction)
            section.period_s = 1.0 / spec.control_hz
            section.bind(spec.extras)
            made.append(section)
        return made

    def _gate_vector(self) -> Array:
        gate, s = self.spec.config.gate, self.spec.config.separation
        if gate is None:
            return np.zeros(9)
        fast = s.moving_contact_m_s if self.truth_view else s.contact_floor_m_s
        lip = s.moving_contact_m_s if self.truth_view else gate.lip_speed_m_s
        closed = gate.lip_speed_m_s if self.truth_view else 0.0
        return np.array(
            [
                gate.standoff_m,
                gate.minimum_opening_m,
                gate.lateral_tolerance_m,
                math.cos(gate.axis_tolerance_rad),
                lip,
                gate.maximum_depth_m,
                fast,
                fast,
                closed,
            ]
        )

    def _allocate(self, people: int) -> None:
        """Make room for a number of people; what was is forgotten but the windows."""
        previous = self.work.previous_velocity if self._most_people else np.nan
        self._most_people = max(self._most_people, people)
        self.size[SIZE_PEOPLE] = people
        self._intake_buffer = np.zeros(intake_length(self.size))
        self._intake = intake_of(self._intake_buffer, self.size)
        self.work_buffer = np.zeros(work_length(self.size))
        self.work = w = work_of(self.work_buffer, self.size)
        w.previous_velocity[:] = previous
        # Without a gate, nothing but the floor toward head and neck is permitted there.
        w.gate[:2] = self.parameters[Parameter.HEAD_FLOOR]
        w.gate[2:4] = w.excess[3] = np.inf
        w.excess[:2] = -np.inf
        w.shape_segment[:] = -1
        self.rows, self.limits = w.rows, w.limits
        self.shape_cap, self.shape_segment = w.shape_cap, w.shape_segment
        self.gate = w.gate
