"""The filter: the nearest command that satisfies every row.

    min 1/2 ||u - u_asked||^2   subject to   rows u <= limits,  lower <= u <= upper

u is the vector of actuator velocities. The solver is daqp, called directly. It is
trusted with nothing: finite check in, exit flag exactly 1, finite check out, and every
row is evaluated again on the answer. Rows that protect people are never softened; if no
command satisfies them all, the answer is standstill, and the caller stops.
"""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass
from typing import NamedTuple

import daqp
import numba
import numpy as np
import numpy.typing as npt

from physai.robot.kinematics import TreeArrays, point_jacobian
from physai.safety.kernel import Parameter
from physai.safety.measurement import GATE_AXIS_SPEED, Posture, Robotics, Work
from physai.safety.monitor import Monitor
from physai.types import Array, State

__all__ = ["Filter", "Outcome", "Solution"]

_ROW_TOLERANCE = 1e-6
_ROUNDS = 6
_LIKELY = 0.02
"""Rows within so much of binding go into the first round of the projection [m/s]."""


class Outcome(enum.IntEnum):
    """What the filter had to do."""

    UNCHANGED = 0
    SCALED = 1
    PROJECTED = 2
    STANDSTILL = 3
    """No command satisfied all rows: standstill."""


@dataclass(slots=True)
class Solution:
    """The filter's answer.

    Attributes:
        velocity: (n,) actuator velocities [rad/s or m/s].
        outcome: What had to be done.
        rule: Kind of the rule whose row was violated most by the command asked for.
        value: That violation, in the row's unit.
    """

    velocity: Array
    outcome: Outcome
    rule: str
    value: float


class Demands(NamedTuple):
    """Everything a command is held against in one step.

    Rows are the pairs of the monitor, then walls and floor, then the gate's axis where
    the tool is at an open mouth; ``blocks`` are the points whose speed is capped, the
    TCP last.
    """

    lower: Array
    upper: Array
    kind: npt.NDArray[np.int64]
    """(n,) which rule gives each bound, an index of :data:`_BOX_RULES`."""
    rows: Array
    limits: Array
    excess: Array
    blocks: Array
    caps: Array
    speeds: Array
    counts: npt.NDArray[np.int64]
    """(4,) pairs, walls, all rows, blocks."""
    jacobian: Array


class Problem(NamedTuple):
    """The quadratic program as the solver takes it."""

    rows: Array
    upper: Array
    lower: Array
    chosen: npt.NDArray[np.bool_]
    cuts: Array
    cut_limits: Array
    sense: npt.NDArray[np.int32]


@numba.njit(cache=True)
def _box(
    position: Array,
    last: Array,
    position_min: Array,
    position_max: Array,
    velocity_max: Array,
    acceleration_max: Array,
    near: bool,
    braking_time: float,
    dt: float,
    reaction: float,
    lower: Array,
    upper: Array,
    kind: npt.NDArray[np.int64],
) -> None:
    """Velocity bounds from range, speed, acceleration and common braking.

    The range uses half the acceleration for v = sqrt(2 a x) and what the joint still
    covers during the reaction. Bounds of range and speed win over acceleration: a
    joint at its end must stop whatever that asks for.
    """
    for i in range(position.shape[0]):
        limit, kind[i] = 0.98 * velocity_max[i], 1
        if near and acceleration_max[i] * braking_time < limit:
            limit, kind[i] = acceleration_max[i] * braking_time, 3
        covered = abs(last[i]) * reaction
        up = position_max[i] - 0.02 - position[i] - covered * (last[i] > 0.0)
        down = position[i] - position_min[i] - 0.02 - covered * (last[i] < 0.0)
        high = min(limit, np.sqrt(acceleration_max[i] * up)) if up > 0.0 else 0.0
        low = max(-limit, -np.sqrt(acceleration_max[i] * down)) if down > 0.0 else 0.0
        if high < limit or low > -limit:
            kind[i] = 0 if min(up, down) < 0.2 else kind[i]
        change = 0.9 * acceleration_max[i] * dt
        # Zero stays inside: braking to standstill is always permitted, and the
        # plant's own ramp keeps it within what the joints can do.
        upper[i] = max(0.0, min(high, max(last[i] + change, low)))
        lower[i] = min(0.0, max(low, min(last[i] - change, high)))


@numba.njit(cache=True)
def _static_rows(
    capsules: Array,
    shape_link: npt.NDArray[np.int64],
    tool_link: int,
    tool: Array,
    minimum: Array,
    maximum: Array,
    floor: float,
    parent: npt.NDArray[np.int64],
    actuator: npt.NDArray[np.int64],
    prismatic: npt.NDArray[np.bool_],
    link_position: Array,
    link_axis: Array,
    jacobian: Array,
    rows: Array,
    limits: Array,
) -> int:
    """Rows against walls: the TCP's box and the floor under every shape."""
    count, n = 0, rows.shape[1]
    point_jacobian(
        tool_link,
        tool[0],
        tool[1],
        tool[2],
        parent,
        actuator,
        prismatic,
        link_position,
        link_axis,
        jacobian,
    )
    for axis in range(3):
        for side in range(2):
            free = maximum[axis] - tool[axis] if side else tool[axis] - minimum[axis]
            if free < 0.3:
                sign = 1.0 if side else -1.0
                for j in range(n):
                    rows[count, j] = sign * jacobian[axis, j]
                limits[count] = max(0.0, 2.0 * free)
                count += 1
    for r in range(2, capsules.shape[0]):
        for e in range(2):
            free = capsules[r, 3 * e + 2] - capsules[r, 6] - floor
            if free < 0.15:
                point_jacobian(
                    shape_link[r],
                    capsules[r, 3 * e],
                    capsules[r, 3 * e + 1],
                    capsules[r, 3 * e + 2],
                    parent,
                    actuator,
                    prismatic,
                    link_position,
                    link_axis,
                    jacobian,
                )
                for j in range(n):
                    rows[count, j] = -jacobian[2, j]
                limits[count] = max(0.0, 2.0 * free)
                count += 1
    return count


@numba.njit(cache=True)
def _cap_jacobians(
    capsules: Array,
    shape_link: npt.NDArray[np.int64],
    cap: Array,
    segment: npt.NDArray[np.int64],
    parent: npt.NDArray[np.int64],
    actuator: npt.NDArray[np.int64],
    prismatic: npt.NDArray[np.bool_],
    link_position: Array,
    link_axis: Array,
    jacobian: Array,
    out: Array,
    limits: Array,
) -> int:
    """Linear Jacobians (3, n) of both ends of every shape that is near a person."""
    count = 0
    for r in range(capsules.shape[0]):
        if segment[r] < 0 or not cap[r] < 1.0:
            continue
        for e in range(2):
            point_jacobian(
                shape_link[r],
                capsules[r, 3 * e],
                capsules[r, 3 * e + 1],
                capsules[r, 3 * e + 2],
                parent,
                actuator,
                prismatic,
                link_position,
                link_axis,
                jacobian,
            )
            for i in range(3):
                for j in range(out.shape[2]):
                    out[count, i, j] = jacobian[i, j]
            limits[count] = cap[r]
            count += 1
    return count


@numba.njit(cache=True)
def _collect(
    position: Array,
    last: Array,
    mouth_axis: Array,
    tool_cap: float,
    minimum: Array,
    maximum: Array,
    floor: float,
    braking_time: float,
    dt: float,
    reaction: float,
    tree: TreeArrays,
    robot: Robotics,
    posture: Posture,
    work: Work,
    demands: Demands,
) -> None:
    """Gather bounds, rows and caps of one step.

    Args:
        position: (n,) joints.
        last: (n,) command sent in the step before.
        mouth_axis: (3,) unit; NaN unless the tool is at an open mouth.
        tool_cap: Speed of the TCP [m/s].
        minimum: (3,) of the workspace [m].
        maximum: (3,).
        floor: Height under which no shape goes [m].
        braking_time: Time in which the joints stop together near a person [s].
        dt: Control period [s].
        reaction: Reaction time [s].
        tree: Tree and shapes.
        robot: Limits.
        posture: Of the monitor's step.
        work: Rows and caps of the monitor's step.
        demands: Filled.
    """
    d = demands
    n = d.rows.shape[1]
    _box(
        position,
        last,
        robot.position_min,
        robot.position_max,
        robot.velocity_max,
        robot.acceleration_max,
        work.filled[2] > 0,
        braking_time,
        dt,
        reaction,
        d.lower,
        d.upper,
        d.kind,
    )
    pairs = work.filled[0]
    for k in range(pairs):
        for j in range(n):
            d.rows[k, j] = work.rows[k, j]
        d.limits[k] = work.limits[k]
    tool = posture.position[robot.tool_link]
    walls = _static_rows(
        posture.capsules,
        tree.shape_link,
        robot.tool_link,
        tool,
        minimum,
        maximum,
        floor,
        tree.parent,
        tree.actuator,
        tree.prismatic,
        posture.position,
        posture.axis,
        d.jacobian,
        d.rows[pairs:],
        d.limits[pairs:],
    )
    total = pairs + walls
    count = _cap_jacobians(
        posture.capsules,
        tree.shape_link,
        work.shape_cap,
        work.shape_segment,
        tree.parent,
        tree.actuator,
        tree.prismatic,
        posture.position,
        posture.axis,
        d.jacobian,
        d.blocks,
        d.caps,
    )
    point_jacobian(
        robot.tool_link,
        tool[0],
        tool[1],
        tool[2],
        tree.parent,
        tree.actuator,
        tree.prismatic,
        posture.position,
        posture.axis,
        d.jacobian,
    )
    for i in range(3):
        for j in range(n):
            d.blocks[count, i, j] = d.jacobian[i, j]
    d.caps[count] = tool_cap
    if np.isfinite(mouth_axis[0]):
        for j in range(n):
            d.rows[total, j] = -(
                mouth_axis[0] * d.jacobian[0, j]
                + mouth_axis[1] * d.jacobian[1, j]
                + mouth_axis[2] * d.jacobian[2, j]
            )
        d.limits[total] = work.gate[GATE_AXIS_SPEED]
        total += 1
    d.counts[0], d.counts[1], d.counts[2], d.counts[3] = pairs, walls, total, count + 1


@numba.njit(cache=True)
def _measure_speeds(u: Array, demands: Demands) -> None:
    """Write the speed |J u| of every capped point."""
    for k in range(demands.counts[3]):
        total = 0.0
        for i in range(3):
            v = 0.0
            for j in range(u.shape[0]):
                v += demands.blocks[k, i, j] * u[j]
            total += v * v
        demands.speeds[k] = np.sqrt(total)


@numba.njit(cache=True)
def _measure_excess(u: Array, demands: Demands) -> int:
    """Write rows u - limits; return the row with the largest, -1 without rows."""
    worst, index = -np.inf, -1
    for k in range(demands.counts[2]):
        total = -demands.limits[k]
        for j in range(u.shape[0]):
            total += demands.rows[k, j] * u[j]
        demands.excess[k] = total
        if total > worst:
            worst, index = total, k
    return index


# What the first look says a command violates most.
NOTHING, BOUND, ROW, CAP = range(4)


@numba.njit(cache=True)
def _look(asked: Array, demands: Demands, out: Array) -> tuple[int, int, float]:
    """Cut a command to its bounds and find what it violates most.

    Returns:
        What kind of demand, which one, and by how much.
    """
    d = demands
    what, index, worst = NOTHING, -1, 1e-6
    for i in range(asked.shape[0]):
        out[i] = min(max(asked[i], d.lower[i]), d.upper[i])
        over = abs(asked[i] - out[i])
        if over > worst:
            what, index, worst = BOUND, i, over
    row = _measure_excess(out, d)
    if row >= 0 and d.excess[row] > 1e-6:
        what, index, worst = ROW, row, d.excess[row]
    _measure_speeds(out, d)
    most, point = -np.inf, -1
    for k in range(d.counts[3]):
        if d.speeds[k] - d.caps[k] > most:
            most, point = d.speeds[k] - d.caps[k], k
    if most > worst:
        what, index, worst = CAP, point, most
    return what, index, worst


@numba.njit(cache=True)
def _slow_down(u: Array, demands: Demands, along_rows: bool, out: Array) -> None:
    """Slow down along the same direction until every speed cap holds.

    Args:
        u: (n,) command.
        demands: Caps and rows.
        along_rows: Also until every row holds, where slowing down helps.
        out: (n,) filled; may be ``u``.
    """
    d = demands
    _measure_speeds(u, d)
    factor = 1.0
    for k in range(d.counts[3]):
        if d.speeds[k] > d.caps[k]:
            factor = min(factor, d.caps[k] / d.speeds[k] * (1.0 - 1e-9))
    for i in range(u.shape[0]):
        out[i] = u[i] * factor
    if not along_rows:
        return
    _measure_excess(out, d)
    factor = 1.0
    for k in range(d.counts[2]):
        if d.excess[k] > 0.0:
            if d.limits[k] < 0.0:
                return
            share = d.limits[k] / (d.excess[k] + d.limits[k])
            factor = min(factor, share * (1.0 - 1e-9))
    for i in range(u.shape[0]):
        out[i] *= factor


@numba.njit(cache=True)
def _satisfies(u: Array, demands: Demands) -> bool:
    """Evaluate every row, bound and cap again on a command."""
    d, slack = demands, 1e-6
    for i in range(u.shape[0]):
        # Written so that NaN is a violation.
        if not (d.lower[i] - slack <= u[i] <= d.upper[i] + slack):
            return False
    row = _measure_excess(u, d)
    if row >= 0 and not d.excess[row] <= slack:
        return False
    _measure_speeds(u, d)
    for k in range(d.counts[3]):
        if not d.speeds[k] <= d.caps[k] * (1.0 + 1e-6) + slack:
            return False
    return True


@numba.njit(cache=True)
def _add_cuts(u: Array, demands: Demands, problem: Problem, cuts: int) -> int:
    """Choose the rows that bind, and cut off what breaks a cap.

    Returns:
        New number of cuts.
    """
    d = demands
    _measure_excess(u, d)
    for k in range(d.counts[2]):
        problem.chosen[k] = problem.chosen[k] or d.excess[k] > -1e-9
    _measure_speeds(u, d)
    for k in range(d.counts[3]):
        if not d.speeds[k] > d.caps[k] or cuts >= problem.cuts.shape[0]:
            continue
        for j in range(u.shape[0]):
            total = 0.0
            for i in range(3):
                v = 0.0
                for c in range(u.shape[0]):
                    v += d.blocks[k, i, c] * u[c]
                total += v / d.speeds[k] * d.blocks[k, i, j]
            problem.cuts[cuts, j] = total
        problem.cut_limits[cuts] = d.caps[k] * (1.0 - 1e-9)
        cuts += 1
    return cuts


@numba.njit(cache=True)
def _pose(asked: Array, demands: Demands, problem: Problem, cuts: int) -> int:
    """Write bounds, chosen rows and cuts for the solver.

    Returns:
        Number of rows; -1 where something is not finite or bounds cross, since the
        solver would ignore that silently.
    """
    d, n, count = demands, asked.shape[0], 0
    for i in range(n):
        if not (np.isfinite(asked[i]) and d.lower[i] <= d.upper[i]):
            return -1
        problem.lower[i], problem.upper[i] = d.lower[i], d.upper[i]
        problem.sense[i] = 0
    for k in range(d.counts[2] + cuts):
        cut = k - d.counts[2]
        if cut < 0 and not problem.chosen[k]:
            continue
        limit = problem.cut_limits[cut] if cut >= 0 else d.limits[k]
        if not np.isfinite(limit):
            return -1
        for j in range(n):
            value = problem.cuts[cut, j] if cut >= 0 else d.rows[k, j]
            if not np.isfinite(value):
                return -1
            problem.rows[count, j] = value
        problem.upper[n + count] = limit
        problem.sense[n + count] = 0
        count += 1
    return count


_NO_AXIS = np.full(3, np.nan)
_BOX_RULES = ("joint_position", "joint_velocity", "joint_acceleration", "separation")


class Filter:
    """Finds the nearest safe command for one robot.

    Args:
        monitor: The guard's monitor; its rows of the current step are used.
    """

    def __init__(self, monitor: Monitor) -> None:
        self.monitor = monitor
        spec, robot = monitor.spec, monitor.spec.robot
        self._n = n = len(robot.actuator_names)
        self._hessian = np.eye(n)
        self._u, self._trial = np.zeros(n), np.zeros(n)
        box = spec.config.workspace
        self._minimum, self._maximum = np.array(box.minimum_m), np.array(box.maximum_m)
        self._floor = float(box.floor_z_m)
        p = monitor.parameters.tolist()
        self._braking_time_s = p[Parameter.BRAKING_TIME]
        self._reaction_time_s = p[Parameter.REACTION_TIME]
        gate = spec.config.gate
        # The zone begins where the face could be, not where the tracker puts it.
        self._face_zone_m = (
            gate.face_zone_m + p[Parameter.OFFSET] if gate is not None else 0.0
        )
        self._tcp_limit = min(
            (
                float(limit)
                for rule, limit in zip(spec.config.rules, spec.guard_limit, strict=True)
                if rule.rule == "tcp_speed"
            ),
            default=math.inf,
        )
        self._allocate(len(monitor.limits))

    def solve(self, state: State, asked: Array, last: Array) -> Solution:
        """Return the nearest command that satisfies every row.

        :meth:`Monitor.update` must have seen ``state`` just before.

        Args:
            state: What the guard sees.
            asked: (n,) finite command asked for.
            last: (n,) command sent in the step before.
        """
        self.collect(state, last)
        asked = np.ascontiguousarray(asked, dtype=np.float64)
        what, index, worst = _look(asked, self.demands, self._u)
        if what == NOTHING:
            return Solution(self._u.copy(), Outcome.UNCHANGED, "", 0.0)
        rule = self._rule_of(what, index, asked)
        # A spoon between lips is slowed along its way, never pushed sideways.
        _slow_down(self._u, self.demands, self.monitor.gate_exempt, self._u)
        if _satisfies(self._u, self.demands):
            slowed = rule in ("near_speed", "tcp_speed")
            outcome = Outcome.SCALED if slowed else Outcome.PROJECTED
            return Solution(self._u.copy(), outcome, rule, worst)
        projected = self._project(self._u)
        if projected is not None:
            return Solution(projected, Outcome.PROJECTED, rule, worst)
        return Solution(np.zeros(self._n), Outcome.STANDSTILL, rule, worst)

    def collect(self, state: State, last: Array) -> None:
        """Gather everything a command is held against into :attr:`demands`.

        Args:
            state: What the guard sees.
            last: (n,) command sent in the step before.
        """
        m, gate = self.monitor, self.monitor.spec.config.gate
        if len(m.limits) > self._pairs_most:
            self._allocate(len(m.limits))
        cap = self._tcp_limit
        if gate is not None and m.face_distance_m <= self._face_zone_m:
            cap = min(cap, 0.9 * gate.face_speed_m_s)
        _collect(
            m.position,
            last,
            m.mouth_axis(state) if m.gate_exempt else _NO_AXIS,
            cap,
            self._minimum,
            self._maximum,
            self._floor,
            self._braking_time_s,
            1.0 / m.spec.control_hz,
            self._reaction_time_s,
            m.kinematics.arrays,
            m.robotics,
            m.posture,
            m.work,
            self.demands,
        )

    def _allocate(self, pairs: int) -> None:
        n, shapes = self._n, len(self.monitor.spec.robot.shapes.link)
        self._pairs_most = pairs
        rows, blocks = pairs + 6 + 2 * shapes + 1, 2 * shapes + 1
        most = rows + _ROUNDS * blocks
        self.demands = Demands(
            np.zeros(n),
            np.zeros(n),
            np.zeros(n, dtype=np.int64),
            np.zeros((rows, n)),
            np.zeros(rows),
            np.zeros(rows),
            np.zeros((blocks, 3, n)),
            np.zeros(blocks),
            np.zeros(blocks),
            np.zeros(4, dtype=np.int64),
            np.zeros((6, n)),
        )
        self._problem = Problem(
            np.zeros((most, n)),
            np.zeros(n + most),
            np.full(n + most, -1e30),
            np.zeros(rows, dtype=np.bool_),
            np.zeros((_ROUNDS * blocks, n)),
            np.zeros(_ROUNDS * blocks),
            np.zeros(n + most, dtype=np.int32),
        )

    def _rule_of(self, what: int, index: int, asked: Array) -> str:
        """Return the kind of the rule behind what :func:`_look` found."""
        d, m = self.demands, self.monitor
        pairs, walls, _, caps = d.counts.tolist()
        if what == BOUND:
            rule = _BOX_RULES[int(d.kind[index])]
            fastest = 0.98 * float(m.spec.robot.velocity_max[index])
            if rule == "joint_velocity" and abs(float(asked[index])) <= fastest:
                return "joint_acceleration"
            return rule
        if what == ROW:
            if index >= pairs + walls:
                return "face_gate"
            if index >= pairs:
                return "workspace"
            head = m.work.segment[index] < 3 and m.spec.config.gate is not None
            return "face_gate" if head else "separation"
        if index < caps - 1:
            return "near_speed"
        return "tcp_speed" if d.caps[index] >= self._tcp_limit else "face_speed"

    def _project(self, asked: Array) -> Array | None:
        """Solve the QP over the rows that bind, adding rows until all hold."""
        d, problem = self.demands, self._problem
        _measure_excess(asked, d)
        count = int(d.counts[2])
        np.greater(d.excess[:count], -_LIKELY, out=problem.chosen[:count])
        u, cuts = self._trial, 0
        for _ in range(_ROUNDS):
            solved = self._solve_qp(asked, _pose(asked, d, problem, cuts))
            if solved is None:
                return None
            u[:] = solved
            if _satisfies(u, d):
                return u.copy()
            cuts = _add_cuts(u, d, problem, cuts)
        _slow_down(u, d, False, u)
        return u.copy() if _satisfies(u, d) else None

    def _solve_qp(self, asked: Array, count: int) -> Array | None:
        """Return the solution, or None unless everything about it is in order."""
        if count < 0:
            return None
        n, problem = self._n, self._problem
        x, _, flag, _ = daqp.solve(
            self._hessian,
            -asked,
            problem.rows[:count],
            problem.upper[: n + count],
            problem.lower[: n + count],
            problem.sense[: n + count],
        )
        if flag != 1:
            return None
        solution = np.asarray(x, dtype=np.float64)
        return solution if bool(np.isfinite(solution).all()) else None
