"""The monitor: from a state (or the truth) to one margin per rule.

The same object is the guard's eye and the scorer's: the *guard view* sees estimates
that have aged and keeps something back from every limit; the *truth view* sees what
really is and judges the limits themselves. ``not (margin >= 0)`` is a violation, so
that NaN is one.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import numpy.typing as npt

from physai.body.person import SEGMENT_COUNT
from physai.robot.kinematics import Kinematics
from physai.safety.kernel import contact_ratio
from physai.safety.measurement import (
    Figures,
    Intake,
    Posture,
    Robotics,
    Windows,
    Work,
    measure,
    move_windows,
)
from physai.safety.rules import Signal
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
        robotics: Shapes and limits of the robot as the compiled passes take them.
        posture: Kinematics of the last step.
        work: Everything that the last step left for the filter.
    """

    def __init__(self, spec: CompiledSpec, view: Literal["guard", "truth"]) -> None:
        self.spec = spec
        self.view = view
        self.truth_view = view == "truth"
        self.kinematics = k = Kinematics(spec.robot)
        self.posture = Posture(
            k.link_rotation,
            k.link_position,
            k.link_axis,
            k.link_velocity,
            k.link_angular_velocity,
            k.capsules(),
            k.capsule_velocity(np.zeros(len(spec.robot.actuator_names))),
        )
        self.signals = np.zeros(Signal.COUNT)
        self._windows = self._make_windows()
        self.margins, self.active = self._windows.margins, self._windows.active
        self.robotics = self._make_robotics()
        self._gate_places = np.array(
            [spec.extras.get(name, -1) for name in _MOUTH], dtype=np.int64
        )
        self._figures = self._make_figures()
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
        self._contact_result = np.zeros(3)
        self._base: tuple[float, ...] = ()
        self._allocate(max(1, spec.config.people_expected))

    def reset(self) -> None:
        """Forget windows and the previous step."""
        self._windows.below[:] = 0
        self._windows.above[:] = 0
        self.active[:] = False
        self.work.previous_velocity[:] = np.nan

    @property
    def parameters(self) -> Array:
        """Vector of the separation kernels for this view."""
        return self._figures.parameters

    @property
    def position(self) -> Array:
        """(n,) joint positions of the last step [rad or m]."""
        return self._intake.position

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
        pushed = self._judge_contacts(truth)
        measure(
            self._intake,
            self.kinematics.arrays,
            self.robotics,
            self.posture,
            self._figures,
            self.work,
            self._windows,
            self.signals,
            complete,
            pushed,
        )
        return self.margins

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
            self._resize(people.shape[0])
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
            c.age_s,
            c.robot_normal_speed_m_s,
            c.person_normal_speed_m_s,
            c.clamped,
            c.link,
            self.spec.robot.shapes.utensil,
            regions.force_quasistatic_n,
            regions.force_transient_n,
            regions.contact_permitted,
            self.spec.config.frailty_factor,
            self._mouth_limit,
            _MOVED_M_S,
            result,
        )
        signals[Signal.CONTACT_FORCE] = result[0]
        signals[Signal.MOVING_CONTACT] = result[1]
        return bool(result[2] > 0.0)

    def _margins(self) -> None:
        move_windows(self._windows, self.signals)

    def _make_windows(self) -> Windows:
        spec, r = self.spec, len(self.spec.rule_names)
        other = "guard" if self.truth_view else "truth"
        return Windows(
            spec.signal,
            spec.truth_limit if self.truth_view else spec.guard_limit,
            spec.scale,
            np.array([rule.view == other for rule in spec.rules]),
            spec.hold_steps,
            spec.release_steps,
            spec.action,
            np.array([rule.by_push for rule in spec.rules]),
            np.zeros(r),
            np.zeros(r, dtype=np.int64),
            np.zeros(r, dtype=np.int64),
            np.zeros(r, dtype=np.bool_),
            np.array([0, -1, 0]),
        )

    def _make_robotics(self) -> Robotics:
        robot = self.spec.robot
        utensils = np.flatnonzero(robot.shapes.utensil)
        return Robotics(
            robot.shapes.utensil,
            robot.position_min,
            robot.position_max,
            robot.velocity_max,
            robot.acceleration_max,
            int(robot.tool_link),
            int(utensils[-1]) if len(utensils) else -1,
        )

    def _make_figures(self) -> Figures:
        spec = self.spec
        box, gate = spec.config.workspace, spec.config.gate
        return Figures(
            spec.truth_parameters if self.truth_view else spec.parameters,
            self._gate_vector(),
            self._gate_places,
            spec.permitted_contact_speed,
            np.array(box.minimum_m),
            np.array(box.maximum_m),
            float(box.floor_z_m),
            0.0 if gate is None else float(gate.face_zone_m),
            float(spec.control_hz),
            int(spec.config.people_expected),
            gate is not None,
            self.truth_view,
        )

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

    def _resize(self, people: int) -> None:
        """Make room for another number of people."""
        if people > self._capacity:
            previous = self.work.previous_velocity
            self._allocate(people)
            self.work.previous_velocity[:] = previous
        else:
            self._intake = self._make_intake(people)

    def _allocate(self, people: int) -> None:
        n, shapes = (
            len(self.spec.robot.actuator_names),
            len(self.spec.robot.shapes.link),
        )
        count = people * shapes * SEGMENT_COUNT
        self._capacity = people
        self._intake = self._make_intake(people)
        w: Work = Work(
            np.zeros((6, n)),
            np.zeros((SEGMENT_COUNT + 1, 4)),
            np.zeros((count, 7)),
            np.zeros((count, 3), dtype=np.int64),
            np.zeros((count, n)),
            np.zeros(count),
            np.zeros(count, dtype=np.int64),
            np.zeros(shapes),
            np.full(shapes, -1, dtype=np.int64),
            np.full(n, np.nan),
            np.array([0.0, 0.0, math.inf, math.inf, 0.0]),
            np.zeros(3),
            np.array([-math.inf, -math.inf, 0.0, math.inf]),
            np.zeros(3, dtype=np.int64),
        )
        self.work: Work = w
        self.rows, self.limits = w.rows, w.limits
        self.shape_cap, self.shape_segment = w.shape_cap, w.shape_segment
        self.gate = w.gate

    def _make_intake(self, people: int) -> Intake:
        n, extras = len(self.spec.robot.actuator_names), len(self.spec.extras)
        return Intake(
            np.zeros(4),
            np.zeros(n),
            np.zeros(n),
            np.zeros(7),
            np.zeros(3),
            np.zeros((people, SEGMENT_COUNT, 7)),
            np.zeros(people),
            np.zeros(extras),
            np.zeros(extras),
        )
