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
from physai.safety.kernel import (
    advance_windows,
    contact_ratio,
    count_missing,
    evaluate_gate,
    lowest_point,
    measure_joints,
    outside_box,
    row_excess,
    separation_rows,
    shape_excess,
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
    """

    def __init__(self, spec: CompiledSpec, view: Literal["guard", "truth"]) -> None:
        self.spec = spec
        self.view = view
        self.truth_view = view == "truth"
        self.kinematics = Kinematics(spec.robot)
        shapes, n = len(spec.robot.shapes.link), len(spec.robot.actuator_names)
        self._actuators, self._shapes = n, shapes
        self.signals = np.zeros(Signal.COUNT)
        """(Signal.COUNT,) signals of the last step."""
        self.margins = np.zeros(len(spec.rule_names))
        """(r,) normalised margins of the last step."""
        self.active = np.zeros(len(spec.rule_names), dtype=np.bool_)
        """(r,) violated for longer than its hold window and not yet released."""
        self.jacobian = np.zeros((6, n))
        self.shape_cap = np.zeros(shapes)
        self.shape_segment = np.zeros(shapes, dtype=np.int64)
        self.row_count = 0
        self.gate = np.array([0.0, 0.0, math.inf, math.inf, 0.0])
        self.gate_exempt = False
        self.face_distance_m = math.inf
        self._row_result = np.zeros(4)
        self._face_distance = np.full(1, math.inf)
        self._contact_result = np.zeros(3)
        self._below = np.zeros(len(spec.rule_names), dtype=np.int64)
        self._above = np.zeros(len(spec.rule_names), dtype=np.int64)
        limits = spec.truth_limit if self.truth_view else spec.guard_limit
        self._limit = limits
        other = "guard" if self.truth_view else "truth"
        self._elsewhere = np.array([rule.view == other for rule in spec.rules])
        self._by_push = [
            (int(place), float(limit))
            for rule, place, limit in zip(spec.rules, spec.signal, limits, strict=True)
            if rule.by_push
        ]
        self._previous_velocity = np.full(n, np.nan)
        self._joint_result = np.zeros(3)
        box = spec.config.workspace
        self._minimum, self._maximum = np.array(box.minimum_m), np.array(box.maximum_m)
        self._base: tuple[float, ...] = ()
        self._gate_places = np.array(
            [spec.extras.get(name, -1) for name in _MOUTH], dtype=np.int64
        )
        self._has_gate = spec.config.gate is not None
        self._gate_figures = self._gate_vector()
        self._utensils = np.flatnonzero(spec.robot.shapes.utensil)
        self._mouth_limit = next(
            (r.limit.value for r in spec.config.rules if r.rule == "mouth_force"), 1.0
        )
        self._truth_places = [
            spec.truth_extras.get(name, -1)
            for name in ("mouth_force_n", "insertion_depth_m")
        ]
        self._allocate(max(1, spec.config.people_expected))

    def reset(self) -> None:
        """Forget windows and the previous step."""
        self._below[:] = 0
        self._above[:] = 0
        self.active[:] = False
        self._previous_velocity[:] = np.nan

    @property
    def parameters(self) -> Array:
        """Vector of the separation kernels for this view."""
        spec = self.spec
        return spec.truth_parameters if self.truth_view else spec.parameters

    def update(self, state: State, truth: Truth | None = None) -> Array:
        """Compute the margins of one step.

        Args:
            state: What the guard sees; in the truth view, the exact state.
            truth: Contacts and true extras; None in the guard's view or where the
                plant has no truth.

        Returns:
            (r,) normalised margins, order of ``spec.rule_names``; reused.
        """
        signals = self.signals
        missing = self._missing(state)
        signals[Signal.MISSING] = missing
        if missing:
            signals[1:] = np.nan
            self.row_count = 0
        else:
            self._geometry(state)
            self._ages(state)
            self._motion(state)
            self._contacts(truth)
        self._margins()
        return self.margins

    def violated(self) -> npt.NDArray[np.bool_]:
        """Return (r,) whether each rule is violated in this step, windows aside."""
        result: npt.NDArray[np.bool_] = ~(self.margins >= 0.0)
        return result

    def _allocate(self, people: int) -> None:
        rows = people * self._shapes * SEGMENT_COUNT
        self.rows = np.zeros((rows, self._actuators))
        self.limits = np.zeros(rows)
        self.pair = np.zeros((rows, 4), dtype=np.int64)
        self.distances = np.full((people, self._shapes, SEGMENT_COUNT), np.inf)
        self._people_capacity = people

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

    def _missing(self, state: State) -> int:
        """Count inputs that are absent, not finite or of the wrong size."""
        n, people = self._actuators, state.people
        if (
            state.actuator_position.shape != (n,)
            or state.actuator_velocity.shape != (n,)
            or state.base_pose_in_world.shape != (7,)
            or people.ndim != 3
            or people.shape[1:] != (SEGMENT_COUNT, 7)
            or state.people_age_s.shape != (people.shape[0],)
            or state.extras.shape != (len(self.spec.extras),)
            or state.extras_age_s.shape != state.extras.shape
            or state.tool_force_in_world_n.shape != (3,)
        ):
            return 1
        return int(
            count_missing(
                state.actuator_position,
                state.actuator_velocity,
                state.base_pose_in_world,
                people,
                state.people_age_s,
                state.extras,
                state.extras_age_s,
                state.tool_force_in_world_n,
                state.actuator_age_s,
                state.people_frame_age_s,
                state.tool_force_age_s,
                state.stamp_s,
            )
        )

    def _geometry(self, state: State) -> None:
        k, robot = self.kinematics, self.spec.robot
        base = tuple(state.base_pose_in_world.tolist())
        if base != self._base:
            self._base = base
            k.set_base(state.base_pose_in_world)
        k.update(state.actuator_position)
        capsules = k.capsules()
        people = state.people
        if people.shape[0] > self._people_capacity:
            self._allocate(people.shape[0])
        self.gate_exempt = False
        if self._has_gate:
            tip = (
                capsules[self._utensils[-1], 3:6]
                if len(self._utensils)
                else k.tool_position
            )
            self.gate_exempt = bool(
                evaluate_gate(
                    state.extras,
                    self._gate_places,
                    tip,
                    k.tool_rotation[:, 0],
                    self._gate_figures,
                    self.truth_view,
                    self.gate,
                )
            )
        tree = robot.tree
        self.row_count = separation_rows(
            capsules,
            robot.shapes.link,
            robot.shapes.utensil,
            people,
            state.people_age_s,
            tree.parent,
            tree.actuator,
            tree.prismatic,
            k.link_position,
            k.link_axis,
            self.parameters,
            self.gate[0],
            self.gate[1],
            self.gate_exempt,
            self.jacobian,
            self.rows,
            self.limits,
            self.pair,
            self.distances,
            self.shape_cap,
            self.shape_segment,
            self._face_distance,
        )
        self.face_distance_m = float(self._face_distance[0])

    def _ages(self, state: State) -> None:
        signals, extras = self.signals, state.extras
        signals[Signal.JOINT_AGE] = state.actuator_age_s
        ages = state.people_age_s
        oldest = float(ages.max()) if len(ages) else 0.0
        signals[Signal.PEOPLE_AGE] = max(state.people_frame_age_s, oldest)
        signals[Signal.PEOPLE_MISSING] = max(
            0, self.spec.config.people_expected - state.people.shape[0]
        )
        signals[Signal.TOOL_FORCE_AGE] = state.tool_force_age_s
        signals[Signal.FACE_AGE] = signals[Signal.INTERFACE_AGE] = 0.0
        signals[Signal.STOP_SIGNAL] = 0.0
        gate = self.spec.config.gate
        if gate is None:
            return
        places, age = self._gate_places, state.extras_age_s
        near = self.face_distance_m <= gate.face_zone_m
        signals[Signal.INTERFACE_AGE] = max(age[places[7]], age[places[8]])
        if near:
            signals[Signal.FACE_AGE] = max(age[places[0]], age[places[6]])
        if extras[places[8]] > 0.5 or (near and not extras[places[7]] > 0.5):
            signals[Signal.STOP_SIGNAL] = 1.0

    def _motion(self, state: State) -> None:
        signals, robot, k = self.signals, self.spec.robot, self.kinematics
        qd = state.actuator_velocity
        measure_joints(
            state.actuator_position,
            qd,
            self._previous_velocity,
            self.spec.control_hz,
            robot.position_min,
            robot.position_max,
            robot.velocity_max,
            robot.acceleration_max,
            self._joint_result,
        )
        signals[Signal.JOINT_POSITION : Signal.JOINT_ACCELERATION + 1] = (
            self._joint_result
        )
        velocity = k.capsule_velocity(qd)
        tcp = k.link_velocity[robot.tool_link]
        speed = math.sqrt(tcp[0] * tcp[0] + tcp[1] * tcp[1] + tcp[2] * tcp[2])
        signals[Signal.TCP_SPEED] = speed
        signals[Signal.WORKSPACE] = self._outside()
        result = self._row_result
        row_excess(
            self.rows,
            self.limits,
            self.row_count,
            self.pair,
            qd,
            self.distances,
            self.spec.permitted_contact_speed,
            result,
        )
        signals[Signal.SEPARATION] = max(result[0], -1.0)
        toward_head = result[1]
        gate = self.spec.config.gate
        if gate is None:
            signals[Signal.SEPARATION] = max(signals[Signal.SEPARATION], toward_head)
            signals[Signal.FACE_GATE] = -1.0
        else:
            if self.gate_exempt:
                axis = self.mouth_axis(state)
                toward_head = max(toward_head, -float(tcp @ axis) - self.gate[4])
            signals[Signal.FACE_GATE] = max(toward_head, -1.0)
        near = gate is not None and self.face_distance_m <= gate.face_zone_m
        signals[Signal.FACE_SPEED] = speed if near else 0.0
        signals[Signal.CONTACT_SPEED] = result[2]
        excess, _ = shape_excess(velocity, self.shape_cap, self.shape_segment)
        signals[Signal.NEAR_SPEED] = max(excess, -1.0)
        force = state.tool_force_in_world_n
        signals[Signal.UTENSIL_FORCE] = math.sqrt(
            force[0] ** 2 + force[1] ** 2 + force[2] ** 2
        )

    def mouth_axis(self, state: State) -> Array:
        """Return the (3,) unit outward axis of the mouth as the state gives it."""
        axis: Array = state.extras[self._gate_places[3:6]]
        return axis / max(float(np.linalg.norm(axis)), 1e-9)

    def _outside(self) -> float:
        """Return how far the TCP is outside its box, or a shape below the floor."""
        k = self.kinematics
        below = self.spec.config.workspace.floor_z_m - lowest_point(k.last_capsules, 2)
        return max(outside_box(k.tool_position, self._minimum, self._maximum), below)

    def _contacts(self, truth: Truth | None) -> None:
        signals = self.signals
        for signal in (
            Signal.CONTACT_FORCE,
            Signal.MOUTH_FORCE,
            Signal.INSERTION_DEPTH,
            Signal.MOVING_CONTACT,
        ):
            signals[signal] = 0.0
        if truth is None:
            return
        c, regions = truth.contact, self.spec.regions
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
            self._contact_result,
        )
        signals[Signal.CONTACT_FORCE] = self._contact_result[0]
        signals[Signal.MOVING_CONTACT] = self._contact_result[1]
        if self._contact_result[2] > 0.0:
            for place, limit in self._by_push:
                signals[place] = min(signals[place], limit)
        for place, signal in zip(
            self._truth_places,
            (Signal.MOUTH_FORCE, Signal.INSERTION_DEPTH),
            strict=True,
        ):
            if place >= 0:
                signals[signal] = truth.extras[place]

    def _margins(self) -> None:
        spec = self.spec
        advance_windows(
            self.signals,
            spec.signal,
            self._limit,
            spec.scale,
            self._elsewhere,
            spec.hold_steps,
            spec.release_steps,
            self.margins,
            self._below,
            self._above,
            self.active,
        )
