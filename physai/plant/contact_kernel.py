"""Compiled inner loops of the contact model: find touching pairs, integrate them.

One row of work per touching pair of capsules; columns are named below. Nothing is
allocated in a call. The formulas and their reasons are in
:mod:`physai.plant.contact`, which owns the arrays.
"""

from __future__ import annotations

import math

import numba
import numpy as np
import numpy.typing as npt

from physai.body.capsules import closest_fractions
from physai.body.regions import area_of
from physai.types import Array

__all__ = [
    "AREA_COLUMNS",
    "NEAR_COLUMNS",
    "NEAR_INTEGERS",
    "PAIR_COLUMNS",
    "PAIR_INTEGERS",
    "RECORD_COLUMNS",
    "detect",
    "integrate",
    "pressure",
    "record",
]

Integers = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

# Lasting state of a pair (person, segment, shape).
(
    P_COMPRESSION,
    P_PREDICTED,
    P_DRIVE,
    P_AHEAD,
    P_USED,
    P_LATE,
    P_LAST,
    P_NX,
    P_NY,
    P_NZ,
    P_MASS,
) = range(11)
PAIR_COLUMNS = 11
I_PHASE, I_AREA, I_AGE, I_OTHER = range(4)
PAIR_INTEGERS = 4
FREE, WAITING, TOUCHED = 0, 1, 2

# Work of one near pair in one substep.
(
    N_X,
    N_Y,
    N_Z,
    N_NX,
    N_NY,
    N_NZ,
    N_GAP,
    N_ROBOT,
    N_PERSON,
    N_P,
    N_V,
    N_DRIVE,
    N_FORCE,
    N_PEAK,
    N_SPRING,
    N_DAMP,
    N_NOW,
) = range(17)
NEAR_COLUMNS = 17
J_PERSON, J_SEGMENT, J_SHAPE, J_PAIR, J_AREA, J_REFRESH, J_FROM = range(7)
NEAR_INTEGERS = 7

# Sums over the pairs of one (person, area) in one substep.
(
    A_FORCE,
    A_PEAK,
    A_PRESSURE,
    A_ROBOT,
    A_PERSON,
    A_CLAMPED,
    A_LINK,
    A_LARGEST,
    A_FROM,
    A_WHERE,
) = range(10)
AREA_COLUMNS = 15
"""The last six: point of the largest peak, and direction from person to robot there."""

# What a control step keeps of them, in the order of physai.types.Contact; then where.
(
    R_PEAK,
    R_MEAN,
    R_PRESSURE,
    R_AGE,
    R_ROBOT,
    R_PERSON,
    R_CLAMPED,
    R_LINK,
    R_WHERE,
) = range(9)
RECORD_COLUMNS = 14

# Settings that the loops need.
(
    C_STEPS,
    C_DAMPING,
    C_PULL,
    C_PULL_AFTER,
    C_FORWARD,
    C_AHEAD,
    C_RETURN,
    C_HERTZ,
) = range(8)

HEAD_SEGMENTS = 2
"""Head and face, the first two segments: the utensil inside the mouth is spared them."""

NEAR_M = 0.01
"""Pairs nearer than this are followed, so that the motors' drive is known at touch."""

SETTLE_SUBSTEPS = 12
"""A pair goes over to another area after so many substeps on it (50 ms)."""

_SLACK_M = 1e-4


@numba.njit(cache=True)
def detect(
    robot: Array,
    robot_velocity: Array,
    people: Array,
    people_velocity: Array,
    rotation: Array,
    exempt: Flags,
    yields: Array,
    pair: Array,
    pair_integer: Integers,
    near: Array,
    near_integer: Integers,
    dt: float,
    refresh: int,
    body: Array,
    out: Array,
) -> int:
    """Find the pairs that touch or can touch within this substep.

    Args:
        robot: (R, 7) capsules in the world.
        robot_velocity: (R, 6) of their end points [m/s].
        people: (P, S, 7).
        people_velocity: (P, S, 6).
        rotation: (P, S, 3, 3) segment frames in the world.
        exempt: (P, R) the shape is inside that person's mouth.
        yields: (P, S, 6) displacement [m] and velocity of each yielding segment.
        pair: (P * S * R, PAIR_COLUMNS) lasting state.
        pair_integer: (P * S * R, PAIR_INTEGERS).
        near: Work rows, filled.
        near_integer: Work rows, filled.
        dt: Substep [s].
        refresh: Substeps between two evaluations of the reflected mass.
        body: (7,) scratch for a capsule displaced by its yield.
        out: (1,) smallest gap of any pair [m].

    Returns:
        Number of work rows.
    """
    count = 0
    smallest = np.inf
    shapes = robot.shape[0]
    segments = people.shape[1]
    for p in range(people.shape[0]):
        for s in range(segments):
            y = yields[p, s]
            for c in range(3):
                body[c] = people[p, s, c] + y[c]
                body[3 + c] = people[p, s, 3 + c] + y[c]
            body[6] = people[p, s, 6]
            for r in range(shapes):
                index = (p * segments + s) * shapes + r
                flags = pair_integer[index]
                if s < HEAD_SEGMENTS and exempt[p, r]:
                    flags[I_PHASE] = FREE
                    continue
                arm = robot[r]
                a, b = closest_fractions(body, arm)
                distance = _distance(body, a, arm, b)
                gap = distance - body[6] - arm[6]
                smallest = min(smallest, gap)
                if gap > NEAR_M:
                    flags[I_PHASE] = FREE
                    continue
                state, row, work = pair[index], near[count], near_integer[count]
                _geometry(body, arm, a, b, distance, flags[I_PHASE] != FREE, state, row)
                nx, ny, nz = row[N_NX], row[N_NY], row[N_NZ]
                v, w = robot_velocity[r], people_velocity[p, s]
                row[N_ROBOT] = -(
                    (v[0] + b * (v[3] - v[0])) * nx
                    + (v[1] + b * (v[4] - v[1])) * ny
                    + (v[2] + b * (v[5] - v[2])) * nz
                )
                row[N_PERSON] = (
                    (w[0] + a * (w[3] - w[0])) * nx
                    + (w[1] + a * (w[4] - w[1])) * ny
                    + (w[2] + a * (w[5] - w[2])) * nz
                )
                closing = row[N_ROBOT] + row[N_PERSON]
                closing += y[3] * nx + y[4] * ny + y[5] * nz
                _track(row[N_GAP], max(closing, 0.0) * dt, refresh, state, flags, work)
                work[J_PERSON], work[J_SEGMENT], work[J_SHAPE] = p, s, r
                work[J_PAIR] = index
                _settle(_area(s, a, rotation[p, s], nx, ny, nz), flags, work)
                count += 1
    out[0] = smallest
    return count


@numba.njit(cache=True)
def _distance(body: Array, a: float, arm: Array, b: float) -> float:
    """Distance of two points on two axes [m]."""
    x = arm[0] + b * (arm[3] - arm[0]) - body[0] - a * (body[3] - body[0])
    y = arm[1] + b * (arm[4] - arm[1]) - body[1] - a * (body[4] - body[1])
    z = arm[2] + b * (arm[5] - arm[2]) - body[2] - a * (body[5] - body[2])
    return math.sqrt(x * x + y * y + z * z)


@numba.njit(cache=True)
def _geometry(
    body: Array,
    arm: Array,
    a: float,
    b: float,
    distance: float,
    known: bool,
    state: Array,
    row: Array,
) -> None:
    """Write point on the robot, normal (person to robot) and gap of one pair."""
    cx = arm[0] + b * (arm[3] - arm[0])
    cy = arm[1] + b * (arm[4] - arm[1])
    cz = arm[2] + b * (arm[5] - arm[2])
    nx = cx - body[0] - a * (body[3] - body[0])
    ny = cy - body[1] - a * (body[4] - body[1])
    nz = cz - body[2] - a * (body[5] - body[2])
    ox, oy, oz = state[P_NX], state[P_NY], state[P_NZ]
    if distance > 1e-9:
        nx, ny, nz = nx / distance, ny / distance, nz / distance
        # The axes have passed through each other: keep pushing the same way out.
        if known and nx * ox + ny * oy + nz * oz < 0.0:
            nx, ny, nz, distance = -nx, -ny, -nz, -distance
    elif known:
        nx, ny, nz = ox, oy, oz
    else:
        nx, ny, nz = 0.0, 0.0, 1.0
    state[P_NX], state[P_NY], state[P_NZ] = nx, ny, nz
    row[N_NX], row[N_NY], row[N_NZ] = nx, ny, nz
    row[N_X], row[N_Y], row[N_Z] = cx - arm[6] * nx, cy - arm[6] * ny, cz - arm[6] * nz
    row[N_GAP] = distance - body[6] - arm[6]


@numba.njit(cache=True)
def _track(
    gap: float,
    approach: float,
    refresh: int,
    state: Array,
    flags: Integers,
    work: Integers,
) -> None:
    """Carry the compression of one near pair to the start of this substep."""
    if flags[I_PHASE] == FREE:
        flags[I_PHASE] = WAITING
        flags[I_AREA] = -1
        flags[I_AGE] = 0
        state[P_DRIVE] = 0.0
        state[P_AHEAD] = 0.0
        state[P_LATE] = 0.0
        state[P_LAST] = 0.0
        state[P_PREDICTED] = np.nan
    if flags[I_PHASE] == TOUCHED and gap > 0.0 and state[P_COMPRESSION] <= 0.0:
        flags[I_PHASE] = WAITING
    if flags[I_PHASE] == WAITING:
        # In overlap without having approached (a reset, a jump of the script): grow
        # in through the pull instead of exploding.
        state[P_COMPRESSION] = min(-gap, approach)
        if gap < 0.0:
            flags[I_PHASE] = TOUCHED
    # Half again as far as one substep of approach: the motors may still accelerate.
    possible = flags[I_PHASE] == TOUCHED or gap <= 1.5 * approach + _SLACK_M
    work[J_REFRESH] = 1 if possible and flags[I_AGE] % refresh == 0 else 0
    flags[I_AGE] = flags[I_AGE] + 1 if possible else 0


@numba.njit(cache=True)
def _settle(area: int, flags: Integers, work: Integers) -> None:
    """Keep a touching pair on its area until it has been on another for a while.

    A contact held on a boundary would else flicker between two areas by rounding, and
    each would show half of the force.
    """
    work[J_FROM] = -1
    if flags[I_PHASE] != TOUCHED or flags[I_AREA] < 0 or flags[I_AREA] == area:
        flags[I_AREA] = area
        flags[I_OTHER] = 0
    else:
        flags[I_OTHER] += 1
        if flags[I_OTHER] >= SETTLE_SUBSTEPS:
            work[J_FROM] = flags[I_AREA]
            flags[I_AREA] = area
            flags[I_OTHER] = 0
    work[J_AREA] = flags[I_AREA]


@numba.njit(cache=True)
def _area(
    segment: int, fraction: float, rotation: Array, nx: float, ny: float, nz: float
) -> int:
    return area_of(
        segment,
        fraction,
        rotation[0, 0] * nx + rotation[1, 0] * ny + rotation[2, 0] * nz,
        rotation[0, 1] * nx + rotation[1, 1] * ny + rotation[2, 1] * nz,
        rotation[0, 2] * nx + rotation[1, 2] * ny + rotation[2, 2] * nz,
    )


@numba.njit(cache=True)
def integrate(
    count: int,
    near: Array,
    near_integer: Integers,
    pair: Array,
    pair_integer: Integers,
    yields: Array,
    travel: Array,
    support: Array,
    table: Array,
    shape: Array,
    constants: Array,
    dt: float,
    area_now: Array,
    forces: Array,
) -> int:
    """Advance every near pair by one substep and collect forces by area.

    Args:
        count: Number of work rows.
        near: Work rows of :func:`detect`.
        near_integer: The same.
        pair: Lasting state of every pair.
        pair_integer: The same.
        yields: (P, S, 6) displacement and velocity of each segment, advanced.
        travel: (P, S) how far a segment can yield [m].
        support: (P, S, 3) unit direction of the obstacle behind it; zero: all around.
        table: (30, 2) effective mass [kg] and spring [N/m] of each area.
        shape: (R, 3) stiffness in series [N/m], edge radius [m], smallest patch [cm2].
        constants: See :meth:`physai.plant.contact.ContactModel`.
        dt: Substep [s].
        area_now: (P, 30, AREA_COLUMNS) sums, must be zero; filled.
        forces: (K, 7) person to robot: shape, point, force on the robot; filled.

    Returns:
        Number of rows written to ``forces``.
    """
    written = 0
    first = 0
    while first < count:
        last = first + 1
        p, s = near_integer[first, J_PERSON], near_integer[first, J_SEGMENT]
        while (
            last < count
            and near_integer[last, J_PERSON] == p
            and near_integer[last, J_SEGMENT] == s
        ):
            last += 1
        mass = 0.0
        for i in range(first, last):
            mass = max(mass, table[near_integer[i, J_AREA], 0])
        y = yields[p, s]
        _prepare(
            first,
            last,
            near,
            near_integer,
            pair,
            pair_integer,
            mass,
            _blocked(y, travel[p, s], support[p, s]),
            table,
            shape,
            constants,
            dt,
        )
        blocked = _inner_steps(
            first,
            last,
            near,
            near_integer,
            pair,
            mass,
            y,
            travel[p, s],
            support[p, s],
            constants,
            dt,
        )
        blocked = blocked or _squeezed(first, last, near)
        for i in range(first, last):
            written = _collect(
                i,
                near,
                near_integer,
                pair,
                pair_integer,
                blocked,
                table,
                shape,
                constants,
                dt,
                area_now,
                forces,
                written,
            )
        first = last
    _relax(count, near_integer, yields, constants[C_RETURN], dt)
    return written


@numba.njit(cache=True)
def _blocked(y: Array, travel: float, support: Array) -> bool:
    """Whether a segment stands at the obstacle behind it."""
    along = y[0] * support[0] + y[1] * support[1] + y[2] * support[2]
    if support[0] != 0.0 or support[1] != 0.0 or support[2] != 0.0:
        return bool(along >= travel - 1e-9)
    size = math.sqrt(y[0] * y[0] + y[1] * y[1] + y[2] * y[2])
    return bool(size >= travel - 1e-9)


@numba.njit(cache=True)
def _prepare(
    first: int,
    last: int,
    near: Array,
    near_integer: Integers,
    pair: Array,
    pair_integer: Integers,
    mass: float,
    blocked: bool,
    table: Array,
    shape: Array,
    constants: Array,
    dt: float,
) -> None:
    """Bring the work rows of one segment up to the start of the substep."""
    for i in range(first, last):
        row, state = near[i], pair[near_integer[i, J_PAIR]]
        flags = pair_integer[near_integer[i, J_PAIR]]
        k = table[near_integer[i, J_AREA], 1]
        tool = shape[near_integer[i, J_SHAPE], 0]
        if tool < 1e12:
            k = k * tool / (k + tool)
        p = state[P_COMPRESSION]
        if near_integer[i, J_FROM] >= 0 and p > 0.0:
            # Sliding to an area with another spring must not make the force jump.
            old = table[near_integer[i, J_FROM], 1]
            if tool < 1e12:
                old = old * tool / (old + tool)
            p *= old / k
        # Not within the first moments: the engine's positions lag the exact ones by
        # half a substep of lost speed, which would lower the peak of a short impact.
        if flags[I_PHASE] == TOUCHED and flags[I_AGE] * dt > constants[C_PULL_AFTER]:
            p += (-row[N_GAP] - p) * min(1.0, dt / constants[C_PULL])
        if not math.isnan(state[P_PREDICTED]):
            _drive(state, (row[N_ROBOT] - state[P_PREDICTED]) / dt, k, constants, dt)
        reduced = state[P_MASS]
        if not blocked:
            reduced = reduced * mass / (reduced + mass)
        row[N_P], row[N_V] = p, row[N_ROBOT]
        row[N_DRIVE] = max(0.0, state[P_DRIVE] + state[P_AHEAD])
        state[P_USED] = row[N_DRIVE]
        row[N_FORCE], row[N_PEAK] = 0.0, 0.0
        row[N_SPRING] = k
        row[N_DAMP] = 2.0 * constants[C_DAMPING] * math.sqrt(k * reduced)


@numba.njit(cache=True)
def _drive(
    state: Array, measured: float, spring: float, constants: Array, dt: float
) -> None:
    """Estimate what motors and gravity will do to the robot in this substep.

    A servo that holds its speed answers a contact within the same substep, up to its
    force limit, so the estimate rises at once (falling, it is smoothed), runs ahead by
    a share of its last rise, and what the last substep's peak missed is added late.

    Args:
        state: Lasting state of the pair.
        measured: Acceleration that the contact force does not explain [m/s2].
        spring: Stiffness of the pair [N/m].
        constants: Settings.
        dt: Substep [s].
    """
    old = max(0.0, state[P_DRIVE])
    share = constants[C_FORWARD] if measured < state[P_DRIVE] else 1.0
    state[P_DRIVE] += share * (measured - state[P_DRIVE])
    state[P_AHEAD] = constants[C_AHEAD] * max(0.0, state[P_DRIVE] - old)
    state[P_LATE] = 0.0
    if state[P_LAST] > 0.0:
        # A force that sets in on an undamped oscillator raises its force by
        # 1 - cos(omega dt) of itself within dt; taken 2.5 times, at most 1.2 of it.
        missed = max(0.0, measured - state[P_USED]) * state[P_MASS]
        phase = min(math.pi, dt * math.sqrt(spring / state[P_MASS]))
        state[P_LATE] = missed * min(1.2, 2.5 * (1.0 - math.cos(phase)))


@numba.njit(cache=True)
def _inner_steps(
    first: int,
    last: int,
    near: Array,
    near_integer: Integers,
    pair: Array,
    mass: float,
    y: Array,
    travel: float,
    support: Array,
    constants: Array,
    dt: float,
) -> bool:
    """Leapfrog through one substep; return whether the segment got blocked."""
    steps = int(constants[C_STEPS])
    h = dt / steps
    kret = constants[C_RETURN]
    damp = 2.0 * math.sqrt(kret)
    blocked = _limit(y, travel, support)
    for _ in range(steps):
        fx, fy, fz = 0.0, 0.0, 0.0
        for i in range(first, last):
            row = near[i]
            nx, ny, nz = row[N_NX], row[N_NY], row[N_NZ]
            u = row[N_V] + row[N_PERSON] + y[3] * nx + y[4] * ny + y[5] * nz
            p = row[N_P] + 0.5 * h * u
            row[N_P] = p
            force = 0.0
            if p > 0.0:
                force = row[N_SPRING] * p
                if u < 0.0:
                    force = max(0.0, force + row[N_DAMP] * u)
            row[N_FORCE] += force
            row[N_PEAK] = max(row[N_PEAK], force)
            row[N_V] += h * (
                row[N_DRIVE] - force / pair[near_integer[i, J_PAIR], P_MASS]
            )
            fx, fy, fz = fx - force * nx, fy - force * ny, fz - force * nz
        y[3] += h * (fx / mass - kret * y[0] - damp * y[3])
        y[4] += h * (fy / mass - kret * y[1] - damp * y[4])
        y[5] += h * (fz / mass - kret * y[2] - damp * y[5])
        y[0] += h * y[3]
        y[1] += h * y[4]
        y[2] += h * y[5]
        blocked = _limit(y, travel, support) or blocked
        for i in range(first, last):
            row = near[i]
            row[N_P] += (
                0.5
                * h
                * (
                    row[N_V]
                    + row[N_PERSON]
                    + y[3] * row[N_NX]
                    + y[4] * row[N_NY]
                    + y[5] * row[N_NZ]
                )
            )
    for i in range(first, last):
        near[i, N_FORCE] /= steps
    return blocked


@numba.njit(cache=True)
def _limit(y: Array, travel: float, support: Array) -> bool:
    """Stop a yielding segment at the obstacle behind it, without rebound."""
    sx, sy, sz = support[0], support[1], support[2]
    if sx != 0.0 or sy != 0.0 or sz != 0.0:
        excess = y[0] * sx + y[1] * sy + y[2] * sz - travel
        if excess < 0.0:
            return False
        y[0], y[1], y[2] = y[0] - excess * sx, y[1] - excess * sy, y[2] - excess * sz
    else:
        if travel <= 0.0:
            y[:] = 0.0
            return True
        length = math.sqrt(y[0] * y[0] + y[1] * y[1] + y[2] * y[2])
        if length < travel:
            return False
        sx, sy, sz = y[0] / length, y[1] / length, y[2] / length
        y[0], y[1], y[2] = travel * sx, travel * sy, travel * sz
    outward = y[3] * sx + y[4] * sy + y[5] * sz
    if outward > 0.0:
        y[3], y[4], y[5] = y[3] - outward * sx, y[4] - outward * sy, y[5] - outward * sz
    return True


@numba.njit(cache=True)
def _collect(
    i: int,
    near: Array,
    near_integer: Integers,
    pair: Array,
    pair_integer: Integers,
    blocked: bool,
    table: Array,
    shape: Array,
    constants: Array,
    dt: float,
    area_now: Array,
    forces: Array,
    written: int,
) -> int:
    """Store one row's results; return the new number of rows in ``forces``."""
    row = near[i]
    index, r = near_integer[i, J_PAIR], near_integer[i, J_SHAPE]
    area = near_integer[i, J_AREA]
    state = pair[index]
    state[P_COMPRESSION] = row[N_P]
    state[P_PREDICTED] = row[N_ROBOT] - row[N_FORCE] * dt / state[P_MASS]
    late = state[P_LAST] + state[P_LATE]
    state[P_LAST] = row[N_PEAK]
    if row[N_PEAK] <= 0.0:
        return written
    row[N_PEAK] = max(row[N_PEAK], late)
    pair_integer[index, I_PHASE] = TOUCHED
    out = forces[written]
    out[0] = r
    out[1], out[2], out[3] = row[N_X], row[N_Y], row[N_Z]
    out[4] = row[N_FORCE] * row[N_NX]
    out[5] = row[N_FORCE] * row[N_NY]
    out[6] = row[N_FORCE] * row[N_NZ]
    now = area_now[near_integer[i, J_PERSON], area]
    if now[A_PEAK] <= 0.0:
        now[A_LINK] = r
    now[A_FORCE] += row[N_FORCE]
    now[A_PEAK] += row[N_PEAK]
    felt = pressure(row[N_PEAK], table[area, 1], shape[r, 1], shape[r, 2])
    now[A_PRESSURE] = max(now[A_PRESSURE], felt * constants[C_HERTZ])
    now[A_ROBOT] = max(now[A_ROBOT], row[N_ROBOT])
    now[A_PERSON] = max(now[A_PERSON], row[N_PERSON])
    if blocked:
        now[A_CLAMPED] = 1.0
    if near_integer[i, J_FROM] >= 0:
        now[A_FROM] = near_integer[i, J_FROM] + 1.0
    if row[N_PEAK] > now[A_LARGEST]:
        now[A_LARGEST], now[A_LINK] = row[N_PEAK], r
        now[A_WHERE:] = row[N_X : N_NZ + 1]
    return written + 1


@numba.njit(cache=True)
def pressure(force: float, spring: float, edge: float, smallest_cm2: float) -> float:
    """Mean pressure [N/cm2] under an edge of given radius pressed by ``force``."""
    patch = 1e4 * math.pi * min(2.0 * edge * force / spring, edge * edge)
    return force / max(patch, smallest_cm2)


@numba.njit(cache=True)
def _squeezed(first: int, last: int, near: Array) -> bool:
    """Whether the robot presses one segment from two sides."""
    if last - first < 2:
        return False
    fx, fy, fz, total = 0.0, 0.0, 0.0, 0.0
    for i in range(first, last):
        force = near[i, N_FORCE]
        fx += force * near[i, N_NX]
        fy += force * near[i, N_NY]
        fz += force * near[i, N_NZ]
        total += force
    return math.sqrt(fx * fx + fy * fy + fz * fz) < 0.5 * total


@numba.njit(cache=True)
def _relax(
    count: int, near_integer: Integers, yields: Array, kret: float, dt: float
) -> None:
    """Lead the segments that nothing pushes back to where the person holds them."""
    damp = 2.0 * math.sqrt(kret)
    for p in range(yields.shape[0]):
        for s in range(yields.shape[1]):
            y = yields[p, s]
            if y[0] == 0.0 and y[1] == 0.0 and y[2] == 0.0:
                continue
            pushed = False
            for i in range(count):
                if near_integer[i, J_PERSON] == p and near_integer[i, J_SEGMENT] == s:
                    pushed = True
            if pushed:
                continue
            size, speed = 0.0, 0.0
            for c in range(3):
                y[3 + c] -= dt * (kret * y[c] + damp * y[3 + c])
                y[c] += dt * y[3 + c]
                size += y[c] * y[c]
                speed += y[3 + c] * y[3 + c]
            # Under 0.1 mm and 1 mm/s the segment counts as back, so that a plant
            # may rest again between contacts.
            if size < 1e-8 and speed < 1e-6:
                y[:] = 0.0


@numba.njit(cache=True)
def record(
    area_now: Array,
    yields: Array,
    clock: Array,
    window: Array,
    position: int,
    dt: float,
    gap_memory: float,
    step: Array,
) -> bool:
    """Fold one substep into ages, moving means and the record of the control step.

    Args:
        area_now: (P, 30, AREA_COLUMNS) sums of this substep; zeroed again.
        yields: (P, S, 6) segments' displacement.
        clock: (P, 30, 2) age of the contact and time since it was last felt [s];
            an infinite second number marks an area without history.
        window: (P, 30, W) mean forces of the last substeps [N].
        position: Place in the window to write.
        dt: Substep [s].
        gap_memory: Shorter gaps do not end a contact [s].
        step: (P, 30, RECORD_COLUMNS) maxima of the control step.

    Returns:
        Whether anything must still be advanced, even with nobody near.
    """
    busy = False
    width = window.shape[2]
    for p in range(area_now.shape[0]):
        for a in range(area_now.shape[1]):
            now, time = area_now[p, a], clock[p, a]
            felt = now[A_PEAK] > 0.0
            if not felt and time[1] == np.inf:
                continue
            busy = True
            ring = window[p, a]
            if now[A_FROM] > 0.0:
                # A contact that slid here brings its age and its mean along.
                old = int(now[A_FROM]) - 1
                time[0] = max(time[0], clock[p, old, 0])
                for i in range(width):
                    ring[i] = max(ring[i], window[p, old, i])
            ring[position] = now[A_FORCE]
            if felt:
                time[0] += dt
                time[1] = 0.0
            else:
                time[1] += dt
                time[0] = time[0] + dt if time[1] < gap_memory else 0.0
            mean = 0.0
            for i in range(width):
                mean += ring[i]
            mean /= width
            kept = step[p, a]
            kept[R_MEAN] = max(kept[R_MEAN], mean)
            if felt:
                if now[A_PEAK] >= kept[R_PEAK]:
                    kept[R_PEAK], kept[R_LINK] = now[A_PEAK], now[A_LINK]
                    kept[R_WHERE:] = now[A_WHERE:]
                kept[R_PRESSURE] = max(kept[R_PRESSURE], now[A_PRESSURE])
                kept[R_AGE] = max(kept[R_AGE], time[0])
                kept[R_ROBOT] = max(kept[R_ROBOT], now[A_ROBOT])
                kept[R_PERSON] = max(kept[R_PERSON], now[A_PERSON])
                kept[R_CLAMPED] = max(kept[R_CLAMPED], now[A_CLAMPED])
                now[:] = 0.0
            elif mean <= 0.0 and time[1] >= gap_memory:
                time[0], time[1] = 0.0, np.inf
    for p in range(yields.shape[0]):
        for s in range(yields.shape[1]):
            y = yields[p, s]
            if y[0] != 0.0 or y[1] != 0.0 or y[2] != 0.0:
                busy = True
    return busy
