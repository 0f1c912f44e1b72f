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
import numpy as np

from physai.safety.filter_kernel import (
    BOUND,
    BOX_RULES,
    NOTHING,
    ROW,
    Problem,
    check,
    collect,
    demands_length,
    demands_of,
    look,
    pose,
    slow_down,
)
from physai.safety.kernel import Parameter
from physai.safety.monitor import Monitor
from physai.types import Array, State

__all__ = ["Filter", "Outcome", "Solution"]

_ROUNDS = 6


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


_NO_AXIS = np.full(3, np.nan)


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
        size, buffer, u = self._size, self._buffer, self._u
        what, index, worst = look(asked, size, buffer, u)
        if what == NOTHING:
            return Solution(u.copy(), Outcome.UNCHANGED, "", 0.0)
        rule = self._rule_of(what, index, asked)
        # A spoon between lips is slowed along its way, never pushed sideways.
        if slow_down(u, self.monitor.gate_exempt, size, buffer):
            slowed = rule in ("near_speed", "tcp_speed")
            outcome = Outcome.SCALED if slowed else Outcome.PROJECTED
            return Solution(u.copy(), outcome, rule, worst)
        projected = self._project(u)
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
        collect(
            last,
            m.mouth_axis(state) if m.gate_exempt else _NO_AXIS,
            cap,
            self._braking_time_s,
            self._reaction_time_s,
            m.caps.lower,
            m.caps.upper,
            m.caps.rule,
            m.caps.rows,
            m.caps.row_count,
            m.size,
            m.figures_buffer,
            m.work_buffer,
            m.position,
            m.velocity,
            m.kinematics.size,
            m.kinematics.buffer,
            self._size,
            self._buffer,
        )

    def _allocate(self, pairs: int) -> None:
        n, shapes = self._n, len(self.monitor.spec.robot.shapes.link)
        self._pairs_most = pairs
        asked = len(self.monitor.caps.rows)
        rows, blocks = pairs + 6 + 2 * shapes + asked + 1, 2 * shapes + 1
        most = rows + _ROUNDS * blocks
        self._size = np.array([n, rows, blocks])
        self._buffer = np.zeros(demands_length(self._size))
        self.demands = demands_of(self._buffer, self._size)
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
        """Return the kind of the rule behind what :func:`look` found."""
        d, m = self.demands, self.monitor
        pairs, walls, _, caps = d.counts.tolist()
        if what == BOUND:
            kind = int(d.kind[index])
            if kind >= len(BOX_RULES):
                return m.caps.kinds[kind - len(BOX_RULES)]
            rule = BOX_RULES[kind]
            fastest = 0.98 * float(m.spec.robot.velocity_max[index])
            if rule == "joint_velocity" and abs(float(asked[index])) <= fastest:
                return "joint_acceleration"
            return rule
        if what == ROW:
            own = int(index - pairs - walls)
            if own >= int(m.caps.row_count[0]):
                return "face_gate"
            if own >= 0:
                return m.caps.kinds[int(m.caps.row_rule[own])]
            if index >= pairs:
                return "workspace"
            head = m.work.segment[index] < 3 and m.spec.config.gate is not None
            return "face_gate" if head else "separation"
        if index < caps - 1:
            return "near_speed"
        return "tcp_speed" if d.caps[index] >= self._tcp_limit else "face_speed"

    def _project(self, asked: Array) -> Array | None:
        """Solve the QP over the rows that bind, adding rows until all hold."""
        size, buffer, u, cuts = self._size, self._buffer, self._trial, 0
        u[:] = asked
        for attempt in range(_ROUNDS):
            count, cuts = pose(u, attempt == 0, cuts, size, buffer, self._problem)
            solved = self._solve_qp(asked, count)
            if solved is None:
                return None
            u[:] = solved
            if check(u, size, buffer):
                return u.copy()
        return u.copy() if slow_down(u, False, size, buffer) else None

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
