"""Compiled passes of the filter: gather what a command is held against, look, slow
down, pose the quadratic program. :mod:`physai.safety.filter` says in which order.
"""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np
import numpy.typing as npt

from physai.robot.kinematics import Chain, chain_of, fill_along, fill_linear
from physai.safety.buffers import figures_of, work_of
from physai.safety.kernel import Parameter, time_to_rest
from physai.safety.measurement import GATE_AXIS_SPEED
from physai.types import Array

__all__ = [
    "BOUND",
    "BOX_RULES",
    "CAP",
    "NOTHING",
    "ROW",
    "Demands",
    "Problem",
    "check",
    "collect",
    "demands_length",
    "demands_of",
    "look",
    "pose",
    "slow_down",
]

BOX_RULES = ("joint_position", "joint_velocity", "joint_acceleration", "separation")
_BOX_COUNT = len(BOX_RULES)
_FASTEST = int(Parameter.FASTEST)


_WALL_GAIN_PER_S = 2.0
"""Approach to a wall over the way left, at most (project choice)."""
_LIKELY = 0.02
"""Rows within so much of binding go into the first round of the projection [m/s]."""


class Demands(NamedTuple):
    """Everything a command is held against in one step.

    Rows are the pairs of the monitor, then walls and floor, then those of sections, then
    the gate's axis where the tool is at an open mouth; ``blocks`` are the points whose
    speed is capped, the TCP last.

    Attributes:
        lower: (n,) bounds [rad/s or m/s].
        upper: (n,).
        kind: (n,) which rule gives each bound, an index of ``BOX_RULES``.
        counts: (4,) pairs, walls with the sections' rows, all rows, blocks.
        rows: (K, n).
        limits: (K,) [m/s].
        excess: (K,) rows u - limits of the command last measured.
        blocks: (B, 3, n) linear Jacobians.
        caps: (B,) [m/s].
        speeds: (B,) of the command last measured [m/s].
    """

    lower: Array
    upper: Array
    kind: npt.NDArray[np.int64]
    counts: npt.NDArray[np.int64]
    rows: Array
    limits: Array
    excess: Array
    blocks: Array
    caps: Array
    speeds: Array


@numba.njit(cache=True)
def demands_of(buffer: Array, size: npt.NDArray[np.int64]) -> Demands:
    """Return the views of a buffer of :func:`demands_length` numbers.

    Args:
        buffer: One array instead of ten, since handing over an array costs as much
            as the arithmetic on it; integers are stored bit by bit.
        size: (3,) actuators, most rows, most blocks.
    """
    n, most, points = size[0], size[1], size[2]
    a = 3 * n + 4
    b = a + n * most
    c = b + 2 * most
    d = c + 3 * n * points
    return Demands(
        buffer[:n],
        buffer[n : 2 * n],
        buffer[2 * n : 3 * n].view(np.int64),
        buffer[3 * n : a].view(np.int64),
        buffer[a:b].reshape((most, n)),
        buffer[b : b + most],
        buffer[b + most : c],
        buffer[c:d].reshape((points, 3, n)),
        buffer[d : d + points],
        buffer[d + points : d + 2 * points],
    )


def demands_length(size: npt.NDArray[np.int64]) -> int:
    """Return the length of a buffer for :func:`demands_of`."""
    n, most, points = size.tolist()
    return int(3 * n + 4 + (n + 2) * most + (3 * n + 2) * points)


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
    velocity: Array,
    last: Array,
    position_min: Array,
    position_max: Array,
    velocity_max: Array,
    acceleration_max: Array,
    first_braked: int,
    braking_time: float,
    together: float,
    dt: float,
    reaction: float,
    cap_lower: Array,
    cap_upper: Array,
    cap_rule: npt.NDArray[np.int64],
    lower: Array,
    upper: Array,
    kind: npt.NDArray[np.int64],
) -> None:
    """Velocity bounds from range, speed, acceleration and common braking.

    The range uses half the acceleration for v = sqrt(2 a x) and what the joint still
    covers during the reaction. Joints may brake together, so that the way of a joint
    also suffices for as long as the slowest of them needs, ``together``. Bounds of range and speed win
    over acceleration: a joint at its end must stop whatever that asks for. Acceleration
    counts from the command before, or from the reading where the drive has not followed:
    a command that ran ahead of one joint would hold up the braking of the others. From
    ``first_braked`` on, joints keep to what they can brake together near a person; caps
    are the sections'.
    """
    for i in range(position.shape[0]):
        limit, kind[i] = 0.98 * velocity_max[i], 1
        if i >= first_braked and acceleration_max[i] * braking_time < limit:
            limit, kind[i] = acceleration_max[i] * braking_time, 3
        covered = abs(last[i]) * reaction
        up = position_max[i] - 0.02 - position[i] - covered * (last[i] > 0.0)
        down = position[i] - position_min[i] - 0.02 - covered * (last[i] < 0.0)
        high, low, a = 0.0, 0.0, acceleration_max[i]
        # And for the time by which a command may run ahead.
        slowest = together + dt + reaction
        if up > 0.0:
            high = min(limit, np.sqrt(a * up), up / slowest)
        if down > 0.0:
            low = max(-limit, -np.sqrt(a * down), -down / slowest)
        if high < limit or low > -limit:
            kind[i] = 0 if min(up, down) < 0.2 else kind[i]
        if cap_upper[i] < high or cap_lower[i] > low:
            kind[i] = _BOX_COUNT + cap_rule[i]
            high, low = min(high, cap_upper[i]), max(low, cap_lower[i])
        change, ahead = 0.9 * a * dt, a * (dt + reaction)
        before = min(max(last[i], velocity[i] - ahead), velocity[i] + ahead)
        # Zero stays inside: braking to standstill is always permitted, and the
        # plant's own ramp keeps it within what the joints can do.
        upper[i] = max(0.0, min(high, max(before + change, low)))
        lower[i] = min(0.0, max(low, min(before - change, high)))


@numba.njit(cache=True)
def _static_rows(
    chain: Chain,
    tool_link: int,
    minimum: Array,
    maximum: Array,
    floor: float,
    gain: float,
    rows: Array,
    limits: Array,
) -> int:
    """Rows against walls: the TCP's box and the floor under every shape.

    The approach is at most ``gain`` [1/s] times the way left.
    """
    count = 0
    tool = chain.link_position[tool_link]
    x, y, z = tool[0], tool[1], tool[2]
    for axis in range(3):
        for side in range(2):
            free = maximum[axis] - tool[axis] if side else tool[axis] - minimum[axis]
            if free < 0.3:
                sign = 1.0 if side else -1.0
                u, v, w = sign * (axis == 0), sign * (axis == 1), sign * (axis == 2)
                fill_along(tool_link, x, y, z, u, v, w, chain, rows[count])
                limits[count] = max(0.0, gain * free)
                count += 1
    for r in range(2, chain.capsules.shape[0]):
        capsule = chain.capsules[r]
        for e in range(2):
            x, y, z = capsule[3 * e], capsule[3 * e + 1], capsule[3 * e + 2]
            free = z - capsule[6] - floor
            if free < 0.15:
                link = chain.shape_link[r]
                fill_along(link, x, y, z, 0.0, 0.0, -1.0, chain, rows[count])
                limits[count] = max(0.0, gain * free)
                count += 1
    return count


@numba.njit(cache=True)
def collect(
    last: Array,
    mouth_axis: Array,
    tool_cap: float,
    braking_time: float,
    reaction: float,
    cap_lower: Array,
    cap_upper: Array,
    cap_rule: npt.NDArray[np.int64],
    cap_rows: Array,
    cap_row_count: npt.NDArray[np.int64],
    size: npt.NDArray[np.int64],
    figures_buffer: Array,
    work_buffer: Array,
    position: Array,
    velocity: Array,
    chain_size: npt.NDArray[np.int64],
    chain_buffer: Array,
    demands_size: npt.NDArray[np.int64],
    demands_buffer: Array,
) -> None:
    """Gather bounds, rows and caps of one step.

    Args:
        last: (n,) command sent in the step before.
        mouth_axis: (3,) unit; NaN unless the tool is at an open mouth.
        tool_cap: Speed of the TCP [m/s].
        braking_time: Time in which the joints stop together near a person [s].
        reaction: Reaction time [s].
        cap_lower: (n,) of :class:`physai.safety.sections.section.Caps`.
        cap_upper: (n,).
        cap_rule: (n,).
        cap_rows: (M, n + 1) of the same: rows and their limits.
        cap_row_count: (1,) how many of them hold.
        size: Of the monitor's buffers.
        figures_buffer: Of the monitor.
        work_buffer: Of the monitor's step.
        position: (n,) joints.
        velocity: (n,).
        chain_size: Of the monitor's kinematics.
        chain_buffer: The same, placed.
        demands_size: See :func:`demands_of`.
        demands_buffer: The same, filled.
    """
    figures, work = figures_of(figures_buffer, size), work_of(work_buffer, size)
    chain, d = (
        chain_of(chain_buffer, chain_size),
        demands_of(demands_buffer, demands_size),
    )
    n = d.rows.shape[1]
    together = time_to_rest(velocity, figures.acceleration_max)
    # A base stops by the closed form of the separation, which its rows have.
    braked = n if work.filled[2] == 0 else 2 if chain.actuator[0] >= 0 else 0
    _box(
        position,
        velocity,
        last,
        figures.position_min,
        figures.position_max,
        figures.velocity_max,
        figures.acceleration_max,
        braked,
        braking_time,
        together,
        1.0 / figures.control_hz,
        reaction,
        cap_lower,
        cap_upper,
        cap_rule,
        d.lower,
        d.upper,
        d.kind,
    )
    pairs = work.filled[0]
    for k in range(pairs):
        for j in range(n):
            d.rows[k, j] = work.rows[k, j]
        d.limits[k] = work.limits[k]
    walls = _static_rows(
        chain,
        figures.tool_link,
        figures.minimum,
        figures.maximum,
        figures.floor_z_m,
        # The way left suffices for as long as the fastest joint brakes.
        min(_WALL_GAIN_PER_S, 1.0 / (reaction + together)),
        d.rows[pairs:],
        d.limits[pairs:],
    )
    total, count = pairs + walls, 0
    for k in range(cap_row_count[0]):
        for j in range(n):
            d.rows[total, j] = cap_rows[k, j]
        d.limits[total] = cap_rows[k, n]
        total += 1
    for r in range(chain.capsules.shape[0]):
        fastest = figures.parameters[_FASTEST]
        if work.shape_segment[r] < 0 or not work.shape_cap[r] < fastest:
            continue
        link, capsule = chain.shape_link[r], chain.capsules[r]
        for e in range(2):
            x, y, z = capsule[3 * e], capsule[3 * e + 1], capsule[3 * e + 2]
            fill_linear(link, x, y, z, chain, d.blocks[count])
            d.caps[count] = work.shape_cap[r]
            count += 1
    tool = chain.link_position[figures.tool_link]
    block = d.blocks[count]
    fill_linear(figures.tool_link, tool[0], tool[1], tool[2], chain, block)
    d.caps[count] = tool_cap
    if np.isfinite(mouth_axis[0]):
        for j in range(n):
            d.rows[total, j] = -(
                mouth_axis[0] * block[0, j]
                + mouth_axis[1] * block[1, j]
                + mouth_axis[2] * block[2, j]
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
def look(
    asked: Array, size: npt.NDArray[np.int64], buffer: Array, out: Array
) -> tuple[int, int, float]:
    """Cut a command to its bounds and find what it violates most.

    Returns:
        What kind of demand, which one, and by how much.
    """
    d = demands_of(buffer, size)
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
def slow_down(
    u: Array, along_rows: bool, size: npt.NDArray[np.int64], buffer: Array
) -> bool:
    """Slow down along the same direction until every speed cap holds.

    Args:
        u: (n,) command, changed.
        along_rows: Also until every row holds, where slowing down helps.
        size: Of the demands.
        buffer: Of the demands.

    Returns:
        Whether the command now satisfies every demand.
    """
    d = demands_of(buffer, size)
    _shorten(u, along_rows, d)
    return _satisfies(u, d)


@numba.njit(cache=True)
def _shorten(u: Array, along_rows: bool, d: Demands) -> None:
    _measure_speeds(u, d)
    factor = 1.0
    for k in range(d.counts[3]):
        if d.speeds[k] > d.caps[k]:
            factor = min(factor, d.caps[k] / d.speeds[k] * (1.0 - 1e-9))
    for i in range(u.shape[0]):
        u[i] *= factor
    if not along_rows:
        return
    _measure_excess(u, d)
    factor = 1.0
    for k in range(d.counts[2]):
        if d.excess[k] > 0.0:
            if d.limits[k] < 0.0:
                return
            share = d.limits[k] / (d.excess[k] + d.limits[k])
            factor = min(factor, share * (1.0 - 1e-9))
    for i in range(u.shape[0]):
        u[i] *= factor


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
def _add_cuts(u: Array, d: Demands, problem: Problem, cuts: int) -> int:
    """Choose the rows that bind, and cut off what breaks a cap.

    Returns:
        New number of cuts.
    """
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
def pose(
    u: Array,
    first: bool,
    cuts: int,
    size: npt.NDArray[np.int64],
    buffer: Array,
    problem: Problem,
) -> tuple[int, int]:
    """Choose rows and cuts, and write them and the bounds for the solver.

    Args:
        u: (n,) the command asked for at first, then the last solution.
        first: Whether this is the first round.
        cuts: Cuts so far.
        size: Of the demands.
        buffer: Of the demands.
        problem: Filled.

    Returns:
        Number of rows, and of cuts; rows are -1 where something is not finite or
        bounds cross, since the solver would ignore that silently.
    """
    d, n, count = demands_of(buffer, size), u.shape[0], 0
    if first:
        _measure_excess(u, d)
        for k in range(d.counts[2]):
            problem.chosen[k] = d.excess[k] > -_LIKELY
    else:
        cuts = _add_cuts(u, d, problem, cuts)
    for i in range(n):
        if not (np.isfinite(u[i]) and d.lower[i] <= d.upper[i]):
            return -1, cuts
        problem.lower[i], problem.upper[i] = d.lower[i], d.upper[i]
        problem.sense[i] = 0
    for k in range(d.counts[2] + cuts):
        cut = k - d.counts[2]
        if cut < 0 and not problem.chosen[k]:
            continue
        limit = problem.cut_limits[cut] if cut >= 0 else d.limits[k]
        if not np.isfinite(limit):
            return -1, cuts
        for j in range(n):
            value = problem.cuts[cut, j] if cut >= 0 else d.rows[k, j]
            if not np.isfinite(value):
                return -1, cuts
            problem.rows[count, j] = value
        problem.upper[n + count] = limit
        problem.sense[n + count] = 0
        count += 1
    return count, cuts


@numba.njit(cache=True)
def check(u: Array, size: npt.NDArray[np.int64], buffer: Array) -> bool:
    """Return whether a command satisfies every bound, row and cap."""
    return _satisfies(u, demands_of(buffer, size))
