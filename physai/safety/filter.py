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

import daqp
import numba
import numpy as np
import numpy.typing as npt

from physai.robot.kinematics import point_jacobian
from physai.safety.kernel import Parameter
from physai.safety.monitor import Monitor
from physai.types import Array, State

__all__ = ["Filter", "Outcome", "Solution"]

_ROW_TOLERANCE = 1e-6
_ROUNDS = 6
_ACCELERATION_SHARE = 0.9
"""The filter asks for at most this share of the maker's acceleration."""
_POSITION_MARGIN_RAD = 0.02
_WALL_RATE = 2.0
"""Approach to a wall of the workspace at most this rate times the distance [1/s]."""


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
    position_min: Array,
    position_max: Array,
    velocity_max: Array,
    acceleration_max: Array,
    near: bool,
    braking_time: float,
    dt: float,
    reaction: float,
    capsules: Array,
    shape_link: npt.NDArray[np.int64],
    cap: Array,
    segment: npt.NDArray[np.int64],
    tool_link: int,
    minimum: Array,
    maximum: Array,
    floor: float,
    tool_cap: float,
    mouth_axis: Array,
    axis_speed: float,
    parent: npt.NDArray[np.int64],
    actuator: npt.NDArray[np.int64],
    prismatic: npt.NDArray[np.bool_],
    link_position: Array,
    link_axis: Array,
    pair_rows: Array,
    pair_limits: Array,
    pairs: int,
    lower: Array,
    upper: Array,
    kind: npt.NDArray[np.int64],
    jacobian: Array,
    rows: Array,
    limits: Array,
    blocks: Array,
    caps: Array,
    counts: npt.NDArray[np.int64],
) -> None:
    """Everything a command is held against, in one pass.

    Rows are the pairs of the monitor, then walls and floor, then the gate's axis where
    the tool is at an open mouth (``mouth_axis`` finite); ``blocks`` are the speed
    caps, the TCP's last. ``counts``: pairs, walls, all rows, blocks.
    """
    n = rows.shape[1]
    _box(
        position,
        last,
        position_min,
        position_max,
        velocity_max,
        acceleration_max,
        near,
        braking_time,
        dt,
        reaction,
        lower,
        upper,
        kind,
    )
    for k in range(pairs):
        for j in range(n):
            rows[k, j] = pair_rows[k, j]
        limits[k] = pair_limits[k]
    tool = link_position[tool_link]
    walls = _static_rows(
        capsules,
        shape_link,
        tool_link,
        tool,
        minimum,
        maximum,
        floor,
        parent,
        actuator,
        prismatic,
        link_position,
        link_axis,
        jacobian,
        rows[pairs:],
        limits[pairs:],
    )
    total = pairs + walls
    count = _cap_jacobians(
        capsules,
        shape_link,
        cap,
        segment,
        parent,
        actuator,
        prismatic,
        link_position,
        link_axis,
        jacobian,
        blocks,
        caps,
    )
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
    for i in range(3):
        for j in range(n):
            blocks[count, i, j] = jacobian[i, j]
    caps[count] = tool_cap
    if np.isfinite(mouth_axis[0]):
        for j in range(n):
            rows[total, j] = -(
                mouth_axis[0] * jacobian[0, j]
                + mouth_axis[1] * jacobian[1, j]
                + mouth_axis[2] * jacobian[2, j]
            )
        limits[total] = axis_speed
        total += 1
    counts[0], counts[1], counts[2], counts[3] = pairs, walls, total, count + 1


@numba.njit(cache=True)
def _norms(blocks: Array, count: int, u: Array, speeds: Array) -> None:
    """Speed |J u| of every capped point."""
    for k in range(count):
        total = 0.0
        for i in range(3):
            v = 0.0
            for j in range(u.shape[0]):
                v += blocks[k, i, j] * u[j]
            total += v * v
        speeds[k] = np.sqrt(total)


@numba.njit(cache=True)
def _excess(rows: Array, limits: Array, count: int, u: Array, out: Array) -> float:
    """Write rows u - limits into ``out`` and return the largest."""
    worst = -np.inf
    for k in range(count):
        total = -limits[k]
        for j in range(u.shape[0]):
            total += rows[k, j] * u[j]
        out[k] = total
        worst = max(worst, total)
    return worst


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
        n, shapes = len(robot.actuator_names), len(robot.shapes.link)
        self._n = n
        self._hessian = np.eye(n)
        self._lower, self._upper = np.zeros(n), np.zeros(n)
        self._kind = np.zeros(n, dtype=np.int64)
        self._walls_most = 6 + 2 * shapes + 1
        self._counts = np.zeros(4, dtype=np.int64)
        self._blocks = np.zeros((2 * shapes + 1, 3, n))
        self._caps, self._speeds = np.zeros(2 * shapes + 1), np.zeros(2 * shapes + 1)
        self._work = np.zeros((6, n))
        self._rows, self._limits = np.zeros((0, n)), np.zeros(0)
        self._excess = np.zeros(0)
        box = spec.config.workspace
        self._minimum, self._maximum = np.array(box.minimum_m), np.array(box.maximum_m)
        self._tcp_limit = min(
            (
                limit
                for rule, limit in zip(spec.config.rules, spec.guard_limit, strict=True)
                if rule.rule == "tcp_speed"
            ),
            default=math.inf,
        )
        self._floor = box.floor_z_m

    def solve(self, state: State, asked: Array, last: Array) -> Solution:
        """Return the nearest command that satisfies every row.

        :meth:`Monitor.update` must have seen ``state`` just before.

        Args:
            state: What the guard sees.
            asked: (n,) finite command asked for.
            last: (n,) command sent in the step before.
        """
        self._collect(state, last)
        u, violation, rule = self._first_look(asked)
        if rule == "":
            return Solution(u, Outcome.UNCHANGED, "", 0.0)
        scaled = self._scaled(u)
        if self.monitor.gate_exempt:
            # A spoon between lips is slowed along its way, never pushed sideways.
            scaled = self._shrunk(scaled)
        if self._satisfied(scaled):
            outcome = (
                Outcome.SCALED
                if rule in ("near_speed", "tcp_speed")
                else Outcome.PROJECTED
            )
            return Solution(scaled, outcome, rule, violation)
        projected = self._project(scaled)
        if projected is not None:
            return Solution(projected, Outcome.PROJECTED, rule, violation)
        return Solution(np.zeros(self._n), Outcome.STANDSTILL, rule, violation)

    def _collect(self, state: State, last: Array) -> None:
        m, robot, spec = self.monitor, self.monitor.spec.robot, self.monitor.spec
        k, tree, p = m.kinematics, robot.tree, m.parameters
        room = m.row_count + self._walls_most
        if len(self._limits) < room:
            self._rows = np.zeros((room + 256, self._n))
            self._limits, self._excess = np.zeros(room + 256), np.zeros(room + 256)
        cap, gate = self._tcp_limit, spec.config.gate
        # The zone begins where the face could be, not where the tracker puts it.
        zone = p[Parameter.OFFSET]
        if gate is not None and m.face_distance_m <= gate.face_zone_m + zone:
            cap = min(cap, 0.9 * gate.face_speed_m_s)
        _collect(
            state.actuator_position,
            last,
            robot.position_min,
            robot.position_max,
            robot.velocity_max,
            robot.acceleration_max,
            m.row_count > 0,
            p[Parameter.BRAKING_TIME],
            1.0 / spec.control_hz,
            p[Parameter.REACTION_TIME],
            k.capsules(),
            robot.shapes.link,
            m.shape_cap,
            m.shape_segment,
            robot.tool_link,
            self._minimum,
            self._maximum,
            self._floor,
            cap,
            m.mouth_axis(state) if m.gate_exempt else _NO_AXIS,
            m.gate[4],
            tree.parent,
            tree.actuator,
            tree.prismatic,
            k.link_position,
            k.link_axis,
            m.rows,
            m.limits,
            m.row_count,
            self._lower,
            self._upper,
            self._kind,
            self._work,
            self._rows,
            self._limits,
            self._blocks,
            self._caps,
            self._counts,
        )
        counts = self._counts.tolist()
        self._pairs, self._statics, self._total, self._cap_count = counts

    def _first_look(self, asked: Array) -> tuple[Array, float, str]:
        """Clip to the box; name the rule that the command violates most."""
        u = np.minimum(np.maximum(asked, self._lower), self._upper)
        worst, rule = 0.0, ""
        over = np.abs(asked - u)
        index = int(over.argmax())
        if over[index] > _ROW_TOLERANCE:
            worst = float(over[index])
            rule = _BOX_RULES[int(self._kind[index])]
            if (
                abs(asked[index]) <= self.monitor.spec.robot.velocity_max[index] * 0.98
                and rule == "joint_velocity"
            ):
                rule = "joint_acceleration"
        excess = _excess(self._rows, self._limits, self._total, u, self._excess)
        if excess > _ROW_TOLERANCE:
            worst, rule = (
                excess,
                self._rule_of(int(self._excess[: self._total].argmax())),
            )
        _norms(self._blocks, self._cap_count, u, self._speeds)
        beyond = self._speeds[: self._cap_count] - self._caps[: self._cap_count]
        index = int(beyond.argmax())
        if beyond[index] > max(_ROW_TOLERANCE, worst):
            worst = float(beyond[index])
            rule = "near_speed" if index < self._cap_count - 1 else self._tcp_rule()
        return u, worst, rule

    def _rule_of(self, row: int) -> str:
        if row >= self._pairs + self._statics:
            return "face_gate"
        if row >= self._pairs:
            return "workspace"
        head = self.monitor.pair[row, 2] < 3
        return "face_gate" if head and self.monitor.spec.config.gate else "separation"

    def _tcp_rule(self) -> str:
        return (
            "tcp_speed"
            if self._caps[self._cap_count - 1] >= self._tcp_limit
            else "face_speed"
        )

    def _scaled(self, u: Array) -> Array:
        """Slow down along the same direction until every speed cap holds."""
        _norms(self._blocks, self._cap_count, u, self._speeds)
        caps, speeds = self._caps[: self._cap_count], self._speeds[: self._cap_count]
        over = speeds > caps
        if not over.any():
            return u
        factor = float((caps[over] / speeds[over]).min())
        return u * (factor * (1.0 - 1e-9))

    def _shrunk(self, u: Array) -> Array:
        """Slow down along the same direction until every row holds, if that helps."""
        count = self._total
        _excess(self._rows, self._limits, count, u, self._excess)
        over = self._excess[:count] > 0.0
        if not over.any():
            return u
        limits = self._limits[:count][over]
        if (limits < 0.0).any():
            return u
        speeds = self._excess[:count][over] + limits
        return u * (float((limits / speeds).min()) * (1.0 - 1e-9))

    def _satisfied(self, u: Array) -> bool:
        """Evaluate every row, bound and cap again; braking may exceed the box."""
        if not bool(np.isfinite(u).all()):
            return False
        slack = _ROW_TOLERANCE
        inside = ((u <= self._upper + slack) & (u >= self._lower - slack)).all()
        if not inside:
            return False
        if not _excess(self._rows, self._limits, self._total, u, self._excess) <= slack:
            return False
        _norms(self._blocks, self._cap_count, u, self._speeds)
        caps = self._caps[: self._cap_count]
        return bool(
            (self._speeds[: self._cap_count] <= caps * (1 + 1e-6) + slack).all()
        )

    def _project(self, asked: Array) -> Array | None:
        """Solve the QP over the rows that bind, adding rows until all hold."""
        u, n = asked, self._n
        _excess(self._rows, self._limits, self._total, u, self._excess)
        chosen = self._excess[: self._total] > -0.02
        cuts_a: list[Array] = []
        cuts_b: list[float] = []
        for attempt in range(_ROUNDS):
            index = np.flatnonzero(chosen)
            a = np.vstack([self._rows[index], *cuts_a]) if cuts_a else self._rows[index]
            b = np.concatenate([self._limits[index], cuts_b])
            solved = _solve_qp(
                self._hessian,
                asked,
                np.ascontiguousarray(a),
                b,
                self._lower,
                self._upper,
            )
            if solved is None:
                return None
            u = self._scaled(solved) if attempt == _ROUNDS - 1 else solved
            if self._satisfied(u):
                return u
            chosen |= self._excess[: self._total] > -1e-9
            _norms(self._blocks, self._cap_count, u, self._speeds)
            for i in np.flatnonzero(
                self._speeds[: self._cap_count] > self._caps[: self._cap_count]
            ):
                direction = self._blocks[i] @ u / self._speeds[i]
                cuts_a.append((direction @ self._blocks[i]).reshape(1, n))
                cuts_b.append(float(self._caps[i]) * (1.0 - 1e-9))
        final = self._scaled(u)
        return final if self._satisfied(final) else None


def _solve_qp(
    hessian: Array, asked: Array, a: Array, b: Array, lower: Array, upper: Array
) -> Array | None:
    """Return the solution, or None unless everything about it is in order."""
    n = len(asked)
    count = n + len(b)
    bounds_up = np.concatenate([upper, b])
    bounds_low = np.concatenate([lower, np.full(len(b), -1e30)])
    if not (
        np.isfinite(a).all()
        and np.isfinite(bounds_up).all()
        and np.isfinite(lower).all()
        and np.isfinite(asked).all()
    ):
        return None
    if (lower > upper).any():
        return None
    x, _, flag, _ = daqp.solve(
        hessian,
        -asked,
        a if len(b) else np.zeros((0, n)),
        bounds_up,
        bounds_low,
        np.zeros(count, dtype=np.int32),
    )
    if flag != 1:
        return None
    solution = np.asarray(x, dtype=np.float64)
    return solution if bool(np.isfinite(solution).all()) else None
