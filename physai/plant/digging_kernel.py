"""Compiled step of a bucket in soil: forces, what enters it and what leaves it.

One call of :func:`dig` is one physics step. The reasons are in
:mod:`physai.plant.soil`, which owns the arrays.
"""

from __future__ import annotations

import math

import numba
import numpy.typing as npt
from numpy import int64

from physai.plant.earthmoving import (
    GRAVITY,
    N_A,
    N_C,
    N_G,
    N_Q,
    N_V,
    RAKE_MIN,
    blade_coefficients,
)
from physai.plant.soil_kernel import (
    A_DB,
    A_DB2,
    A_DEPTH,
    A_N,
    A_SIDE,
    A_TL2,
    A_TLDB,
    A_TOP,
    A_U,
    B_N,
    B_TOP,
    B_U,
    C_BANK,
    C_N,
    C_TOUCH,
    CUT_BANK,
    CUT_LOOSE,
    F_DIP,
    F_RUN,
    F_TX,
    F_TY,
    L_N,
    P_ADHESION,
    P_CELL,
    P_COHESION,
    P_DAMP_S,
    P_DELTA,
    P_ETA,
    P_GAMMA,
    P_HEAPED,
    P_LIP,
    P_LIP_AREA,
    P_LOAD_X,
    P_LOAD_Z,
    P_MOUTH,
    P_MOUTH_COS,
    P_MOUTH_SIN,
    P_NC,
    P_NGAMMA,
    P_NQ,
    P_PHI,
    P_PLATE,
    P_REPOSE,
    P_SIDE_NC,
    P_SIDE_NG,
    P_SIDE_SHARE,
    P_SPILL_ACC,
    P_SPILL_S,
    P_STRUCK,
    P_SWELL,
    P_TILT_FULL,
    P_WIDTH,
    P_YIELD_BEAR,
    P_YIELD_CUT,
    R_N,
    cut,
    deposit_line,
    frame,
    survey,
)
from physai.types import Array

__all__ = ["FORCES", "STATE", "capacity", "dig"]

Integers = npt.NDArray[int64]

# Lasting state of the bucket in the soil.
(
    S_LOAD,
    S_OUTSIDE,
    S_SLOPE,
    S_CUT,
    S_LIP,
    S_BEAR,
    S_SIDE,
    S_X,
    S_Y,
    S_Z,
    S_VX,
    S_VY,
    S_AX,
    S_AY,
    S_DEPTH,
    S_RAKE,
    S_RESISTANCE,
    S_TILT,
    S_CAPACITY,
    S_DUG,
    S_SPILLED,
    S_TOUCHED,
) = range(22)
STATE = 22

FORCES = 4
"""Rows of forces: blade, lip, plate and side, weight of the load."""

_FULL_FROM, _FULL_OVER = 0.6, 0.1
_SEAL_M = 0.05
_ACC_FILTER_S = 0.1
_SLOPE_SHARE = 0.2
_SLOPE_TAN = math.tan(math.radians(40.0))


@numba.njit(cache=True)
def _mobilise(
    m: float, step: float, yield_m: float, dt: float, damp_s: float, low: float
) -> tuple[float, float]:
    """Elastic, then plastic: share of the full resistance, and with damping."""
    m = min(1.0, max(low, m + step / yield_m))
    return m, min(1.0, max(low, m + damp_s * step / (yield_m * dt)))


@numba.njit(cache=True)
def _blade(
    p: Array, s: Array, w: Array, speed: float, n: Array
) -> tuple[float, float, float]:
    """Full resistance of the ground to the blade: F, H, V [N] (module earthmoving)."""
    fill = s[S_LOAD] / p[P_HEAPED]
    slope = math.atan(s[S_SLOPE])
    level = math.cos(slope)
    # Soil in a filling bucket forms a wedge before the plate: flatter, soil on soil.
    wedge = min(1.0, max(0.0, (fill - _FULL_FROM) / _FULL_OVER))
    upright = 0.25 * math.pi + 0.5 * p[P_PHI]
    rake = max(s[S_RAKE], RAKE_MIN)
    rake -= wedge * max(0.0, rake - upright)
    delta = p[P_DELTA] + wedge * (p[P_PHI] - p[P_DELTA])
    blade_coefficients(rake, p[P_PHI], delta, slope, n)
    rake = min(max(rake, RAKE_MIN), 0.5 * math.pi)
    db, count = w[A_DB] / w[A_N] * level, w[A_N]
    loose_weight = p[P_GAMMA] / (1.0 + p[P_SWELL])
    weight = p[P_GAMMA] * w[A_DB2] + loose_weight * (2.0 * w[A_TLDB] + w[A_TL2])
    load = s[S_LOAD] * loose_weight / (p[P_WIDTH] * p[P_MOUTH])
    force = p[P_WIDTH] * (
        weight / count * level * level * n[N_G]
        + db
        * (
            p[P_COHESION] * n[N_C]
            + load * n[N_Q]
            + p[P_ADHESION] * n[N_A]
            + p[P_GAMMA] / GRAVITY * speed * speed * n[N_V]
        )
    )
    force = max(0.0, force)
    stick = p[P_ADHESION] * db * p[P_WIDTH]
    return (
        force,
        force * math.sin(rake + delta) + stick / math.tan(rake),
        force * math.cos(rake + delta) - stick,
    )


@numba.njit(cache=True)
def _look(p: Array, s: Array, f: Array, w: Array) -> None:
    """Depth, slope and rake from the survey into the state."""
    if w[A_N] == 0.0:
        s[S_DEPTH] = 0.0
        return
    if w[B_N] > 0.0:
        near, far = w[A_U] / w[A_N], w[B_U] / w[B_N]
        rise = (w[B_TOP] / w[B_N] - w[A_TOP] / w[A_N]) / (far - near)
        rise = min(_SLOPE_TAN, max(-_SLOPE_TAN, rise))
        s[S_SLOPE] += _SLOPE_SHARE * (rise - s[S_SLOPE])
    slope = math.atan(s[S_SLOPE])
    s[S_DEPTH] = w[A_DEPTH] / w[A_N] * math.cos(slope)
    s[S_RAKE] = f[F_DIP] + slope


@numba.njit(cache=True)
def _push_blade(
    p: Array,
    s: Array,
    f: Array,
    w: Array,
    r: Array,
    step: Array,
    dt: float,
    n: Array,
    out: Array,
) -> None:
    """Write the force of the ground on blade and side plates into ``out[0]``."""
    s[S_RESISTANCE] = 0.0
    if not (s[S_DEPTH] > 0.0 and math.cos(f[F_DIP]) > 0.0):
        s[S_CUT] = 0.0
        return
    slope = math.atan(s[S_SLOPE])
    ca, sa = math.cos(slope), math.sin(slope)
    tx, ty = f[F_TX] * ca, f[F_TY] * ca
    ahead = step[0] * tx + step[1] * ty + step[2] * sa
    full, H, V = _blade(p, s, w, max(0.0, ahead / dt), n)
    s[S_RESISTANCE] = full * (1.0 + p[P_SIDE_SHARE])
    # Along the force itself: a blade that the ground pulls down loses that pull by
    # going down, so that soil only takes energy (but for its elastic part).
    out_of_ground = step[2] * ca - (step[0] * f[F_TX] + step[1] * f[F_TY]) * sa
    against = (H * ahead + V * out_of_ground) / max(math.hypot(H, V), 1e-9)
    s[S_CUT], m = _mobilise(s[S_CUT], against, p[P_YIELD_CUT], dt, p[P_DAMP_S], 0.0)
    m *= 1.0 + p[P_SIDE_SHARE]
    # A third of the depth above the edge, along the plate.
    back = s[S_DEPTH] / 3.0 / math.sin(min(max(s[S_RAKE], RAKE_MIN), 0.5 * math.pi))
    back = min(p[P_PLATE], back)
    v = w[A_SIDE] / max(w[A_DEPTH], 1e-12)
    for k in range(3):
        out[0, k] += v * r[k, 1] - back * r[k, 0]
    out[0, 3] = m * (V * f[F_TX] * sa - H * tx)
    out[0, 4] = m * (V * f[F_TY] * sa - H * ty)
    out[0, 5] = m * (-H * sa - V * ca)


@numba.njit(cache=True)
def _push_lip(
    p: Array, s: Array, w: Array, r: Array, step: Array, dt: float, out: Array
) -> None:
    """Write the force on a lip (or teeth) pressed along the plate into ``out[1]``."""
    depth = s[S_DEPTH]
    if not depth > 0.0:
        s[S_LIP] = 0.0
        return
    lip = step[0] * r[0, 0] + step[1] * r[1, 0] + step[2] * r[2, 0]
    cohesion = p[P_COHESION] if w[A_DB] > 0.0 else 0.0
    pressure = cohesion * p[P_NC] + p[P_GAMMA] * depth * p[P_NQ]
    full = p[P_LIP_AREA] * pressure * min(1.0, depth / p[P_LIP])
    s[S_LIP], m = _mobilise(s[S_LIP], lip, p[P_YIELD_CUT], dt, p[P_DAMP_S], 0.0)
    for k in range(3):
        out[1, 3 + k] = -m * full * r[k, 0]


@numba.njit(cache=True)
def _press_plate(
    p: Array, s: Array, w: Array, r: Array, step: Array, dt: float, out: Array
) -> None:
    """Write the ground's bearing under the plate into ``out[2]``."""
    for k in range(3):
        out[2, k] -= 0.5 * p[P_PLATE] * r[k, 0]
    if not w[C_TOUCH] > 0.0:
        s[S_BEAR] = 0.0
        return
    down = -(step[0] * r[0, 2] + step[1] * r[1, 2] + step[2] * r[2, 2])
    pressure = (
        p[P_COHESION] * p[P_NC] * w[C_BANK] / w[C_TOUCH]
        + p[P_GAMMA] * max(0.0, s[S_DEPTH]) * p[P_NQ]
        + 0.5 * p[P_GAMMA] * min(p[P_PLATE], p[P_WIDTH]) * p[P_NGAMMA]
    )
    full = w[C_TOUCH] / w[C_N] * p[P_PLATE] * p[P_WIDTH] * pressure
    s[S_BEAR], m = _mobilise(s[S_BEAR], down, p[P_YIELD_BEAR], dt, p[P_DAMP_S], 0.0)
    for k in range(3):
        out[2, 3 + k] = m * full * r[k, 2]


@numba.njit(cache=True)
def _push_side(
    p: Array, s: Array, f: Array, w: Array, step: Array, dt: float, out: Array
) -> None:
    """Add the force of a wall that a side plate is swung into to ``out[2]``."""
    side = -step[0] * f[F_TY] + step[1] * f[F_TX]
    s[S_SIDE], m = _mobilise(s[S_SIDE], side, p[P_YIELD_CUT], dt, p[P_DAMP_S], -1.0)
    k = L_N if m > 0.0 else R_N
    full = 0.0
    if w[k] > 0.0:
        # The two columns after the count: depth in bank, squared depth.
        full = f[F_RUN] * (
            p[P_GAMMA] * w[k + 2] / w[k] * p[P_SIDE_NG]
            + p[P_COHESION] * w[k + 1] / w[k] * p[P_SIDE_NC]
        )
    if not full > 0.0:
        s[S_SIDE] = 0.0
        return
    out[2, 3] += m * full * f[F_TY]
    out[2, 4] -= m * full * f[F_TX]


@numba.njit(cache=True)
def capacity(p: Array, tilt: float) -> float:
    """Return how much loose soil a bucket holds whose mouth is tilted [m3].

    Struck part to nothing at the full tilt, heap to nothing at the angle of repose.
    """
    heap = p[P_HEAPED] - p[P_STRUCK]
    held: float = p[P_STRUCK] * max(0.0, 1.0 - tilt / p[P_TILT_FULL])
    held += heap * max(0.0, 1.0 - tilt / math.atan(p[P_REPOSE]))
    return held


@numba.njit(cache=True)
def _line(
    loose: Array,
    p: Array,
    f: Array,
    s: Array,
    u: float,
    v0: float,
    v1: float,
    volume: float,
    box: Integers,
) -> None:
    """Deposit across the bucket's path, u ahead of the edge."""
    x, y = f[0] + u * f[F_TX], f[1] + u * f[F_TY]
    s[S_OUTSIDE] += deposit_line(
        loose,
        p,
        x - v0 * f[F_TY],
        y + v0 * f[F_TX],
        x - v1 * f[F_TY],
        y + v1 * f[F_TX],
        volume,
        box,
    )


@numba.njit(cache=True)
def _fill(
    loose: Array, p: Array, s: Array, f: Array, w: Array, step: Array, box: Integers
) -> None:
    """Share what was cut between the bucket and a berm before what moved it."""
    s[S_DUG] += w[CUT_BANK]
    volume = w[CUT_BANK] * (1.0 + p[P_SWELL]) + w[CUT_LOOSE]
    if volume <= 0.0:
        return
    ahead = step[0] * f[F_TX] + step[1] * f[F_TY]
    side = -step[0] * f[F_TY] + step[1] * f[F_TX]
    leads = math.cos(f[F_DIP]) > 0.0 and ahead > -1e-9 and ahead >= 0.5 * abs(side)
    half, c = 0.5 * p[P_WIDTH], p[P_CELL]
    taken = 0.0
    if leads:
        room = p[P_HEAPED] - s[S_LOAD]
        heap = max(p[P_HEAPED] - p[P_STRUCK], 1e-9)
        share = p[P_ETA] * min(1.0, max(0.0, room / heap))
        taken = min(share * volume, max(0.0, room))
        s[S_LOAD] += taken
        # A berm as long as the cut is deep: pushed soil does not stand as a wall.
        lines = 1 + int(max(0.0, s[S_DEPTH]) / (2.0 * c))
        for k in range(lines):
            u = 2.0 * c * (k + 1)
            _line(loose, p, f, s, u, -half, half, (volume - taken) / lines, box)
    elif abs(side) > abs(ahead):
        v = math.copysign(half + 1.5 * c, side)
        _line(loose, p, f, s, -0.5 * f[F_RUN], v, v, volume, box)
    else:
        _line(loose, p, f, s, -f[F_RUN] - 1.5 * c, -half, half, volume, box)


@numba.njit(cache=True)
def _spill(
    loose: Array,
    p: Array,
    s: Array,
    f: Array,
    r: Array,
    step: Array,
    dt: float,
    box: Integers,
) -> None:
    """Let out what the tilted or shaken bucket cannot hold."""
    vx, vy = step[0] / dt, step[1] / dt
    share = min(1.0, dt / _ACC_FILTER_S)
    s[S_AX] += share * ((vx - s[S_VX]) / dt - s[S_AX])
    s[S_AY] += share * ((vy - s[S_VY]) / dt - s[S_AY])
    s[S_VX], s[S_VY] = vx, vy
    up = r[2, 0] * p[P_MOUTH_SIN] + r[2, 2] * p[P_MOUTH_COS]
    s[S_TILT] = math.acos(min(1.0, max(-1.0, up)))
    tilt, acc = s[S_TILT], math.hypot(s[S_AX], s[S_AY])
    if acc > p[P_SPILL_ACC]:
        tilt += math.atan((acc - p[P_SPILL_ACC]) / GRAVITY)
    s[S_CAPACITY] = capacity(p, tilt)
    excess = s[S_LOAD] - s[S_CAPACITY]
    # The ground ahead closes the mouth of a bucket whose edge is in it.
    open_share = 1.0 - min(1.0, max(0.0, s[S_DEPTH] / _SEAL_M))
    if excess <= 0.0 or open_share <= 0.0:
        return
    volume = excess * open_share * (1.0 - math.exp(-dt / p[P_SPILL_S]))
    s[S_LOAD] -= volume
    s[S_SPILLED] += volume
    # Over the lip; with the mouth down, from its middle.
    u = 0.0
    if up < 0.0:
        along = -r[0, 0] * p[P_MOUTH_COS] + r[0, 2] * p[P_MOUTH_SIN]
        across = -r[1, 0] * p[P_MOUTH_COS] + r[1, 2] * p[P_MOUTH_SIN]
        u = 0.5 * p[P_MOUTH] * (along * f[F_TX] + across * f[F_TY])
    half = 0.5 * p[P_WIDTH]
    _line(loose, p, f, s, u, -half, half, volume, box)


@numba.njit(cache=True)
def dig(
    bank: Array,
    loose: Array,
    p: Array,
    s: Array,
    f: Array,
    w: Array,
    position: Array,
    rotation: Array,
    dt: float,
    step: Array,
    n: Array,
    box: Integers,
    forces: Array,
) -> bool:
    """One physics step of a bucket that has moved to a new pose.

    Args:
        bank: (nx, ny) top of the bank layer [m].
        loose: (nx, ny) thickness of the loose layer [m].
        p: (PARAMETERS,) parameters.
        s: (STATE,) state.
        f: (FRAME,) work: the bucket in plan.
        w: (SURVEY,) work: sums.
        position: (3,) middle of the edge in the world [m].
        rotation: (3, 3) of the edge's frame in the world.
        dt: Length of the step [s].
        step: (6,) work: motion of the edge, edge.
        n: (COEFFICIENTS,) work.
        box: (4,) window of disturbed cells, widened.
        forces: (FORCES, 6) out: point [m] and force [N] on the bucket, in the world.

    Returns:
        False, with nothing changed, if the pose is not finite or dt not positive.
    """
    total = dt
    for k in range(3):
        total += position[k] + rotation[k, 0] + rotation[k, 1] + rotation[k, 2]
    if not (dt > 0.0 and math.isfinite(total)):
        return False
    for k in range(3):
        step[k] = position[k] - s[S_X + k]
        step[3 + k] = position[k]
        s[S_X + k] = position[k]
    frame(position, rotation, p, f)
    survey(bank, loose, p, f, s[S_SLOPE], w)
    _look(p, s, f, w)
    cut(bank, loose, p, f, w, box)
    s[S_TOUCHED] = w[C_TOUCH]
    forces[:, 3:] = 0.0
    forces[:, :3] = position
    _push_blade(p, s, f, w, rotation, step, dt, n, forces)
    _push_lip(p, s, w, rotation, step, dt, forces)
    _press_plate(p, s, w, rotation, step, dt, forces)
    _push_side(p, s, f, w, step, dt, forces)
    _fill(loose, p, s, f, w, step, box)
    _spill(loose, p, s, f, rotation, step, dt, box)
    weight = s[S_LOAD] * p[P_GAMMA] / (1.0 + p[P_SWELL])
    for k in range(3):
        forces[3, k] += p[P_LOAD_X] * rotation[k, 0] + p[P_LOAD_Z] * rotation[k, 2]
    forces[3, 5] = -weight
    return True
