"""Compiled inner loops of the soil: survey, cut and deposit on the height map.

Arrays are owned by :class:`physai.plant.soil.Soil`, whose module gives the reasons.
``p`` holds parameters, ``s`` the lasting state, ``f`` the bucket's frame in plan, ``w``
sums of one survey; their columns are named below. Nothing is allocated in a call and
only cells around the bucket are visited.
"""

from __future__ import annotations

import math

import numba
import numpy.typing as npt
from numpy import int64

from physai.types import Array

__all__ = [
    "FRAME",
    "PARAMETERS",
    "SURVEY",
    "cut",
    "deposit_line",
    "frame",
    "survey",
    "widen",
]

Integers = npt.NDArray[int64]

# Parameters.
(
    P_CELL,
    P_X0,
    P_Y0,
    P_SWELL,
    P_REPOSE,
    P_CRITICAL,
    P_WIDTH,
    P_PLATE,
    P_GAMMA,
    P_COHESION,
    P_PHI,
    P_DELTA,
    P_ADHESION,
    P_NC,
    P_NQ,
    P_NGAMMA,
    P_SIDE_NG,
    P_SIDE_NC,
    P_STRUCK,
    P_HEAPED,
    P_LIP_AREA,
    P_LIP,
    P_MOUTH_SIN,
    P_MOUTH_COS,
    P_MOUTH,
    P_LOAD_X,
    P_LOAD_Z,
    P_TILT_FULL,
    P_SPILL_S,
    P_SPILL_ACC,
    P_ETA,
    P_SIDE_SHARE,
    P_YIELD_CUT,
    P_YIELD_BEAR,
    P_DAMP_S,
) = range(35)
PARAMETERS = 35

# The bucket in plan: edge, forward unit vector, dip of the plate, its footprint.
F_X, F_Y, F_Z, F_TX, F_TY, F_DIP, F_RUN, F_RISE, F_ROLL = range(9)
FRAME = 9

# Sums of one survey: cells just ahead (A), further ahead (B), beside (L, R), under the
# plate (C). DB: depth in bank, TL: loose soil above the edge.
(
    A_N,
    A_DB,
    A_DB2,
    A_TLDB,
    A_TL2,
    A_DEPTH,
    A_TOP,
    A_U,
    A_SIDE,
    B_N,
    B_TOP,
    B_U,
    L_N,
    L_DB,
    L_D2,
    R_N,
    R_DB,
    R_D2,
    C_N,
    C_TOUCH,
    C_BANK,
    CUT_BANK,
    CUT_LOOSE,
) = range(23)
SURVEY = 23

_NEAR = 1.5
"""How far ahead the depth is measured, in cells: never a cell that is cut already."""
_FAR_M = 0.3
"""Over how much ground beyond the slope is measured."""
_TOUCH_M = 0.01
_STEEP = math.radians(80.0)


@numba.njit(cache=True)
def frame(edge: Array, rotation: Array, p: Array, f: Array) -> None:
    """Write the bucket's frame in plan from the pose of its edge.

    Args:
        edge: (3,) middle of the edge [m].
        rotation: (3, 3) of the edge's frame: x along the plate out over the edge, y
            along the edge, z into the bucket.
        p: Parameters.
        f: (FRAME,) out.
    """
    lx, ly = rotation[0, 1], rotation[1, 1]
    length = max(math.hypot(lx, ly), 1e-9)
    tx, ty = ly / length, -lx / length
    along = rotation[0, 0] * tx + rotation[1, 0] * ty
    dip = math.atan2(-rotation[2, 0], along)
    f[F_X], f[F_Y], f[F_Z], f[F_TX], f[F_TY] = edge[0], edge[1], edge[2], tx, ty
    f[F_DIP] = dip
    f[F_ROLL] = rotation[2, 1] / length
    steep = abs(dip) > _STEEP
    # An upright plate still clears the row of cells that its edge passes.
    f[F_RUN] = max(0.0 if steep else p[P_PLATE] * math.cos(dip), 0.5 * p[P_CELL])
    f[F_RISE] = 0.0 if steep else math.tan(dip)


@numba.njit(cache=True)
def _window(
    f: Array, p: Array, u0: float, u1: float, half: float, shape: tuple[int, int]
) -> tuple[int, int, int, int]:
    """Cells whose centres may lie in u0..u1 ahead, half to either side."""
    middle, reach = 0.5 * (u0 + u1), 0.5 * (u1 - u0)
    x, y = f[F_X] + middle * f[F_TX], f[F_Y] + middle * f[F_TY]
    dx = reach * abs(f[F_TX]) + half * abs(f[F_TY])
    dy = reach * abs(f[F_TY]) + half * abs(f[F_TX])
    c = p[P_CELL]
    i0 = max(0, math.floor((x - dx - p[P_X0]) / c))
    i1 = min(shape[0], math.floor((x + dx - p[P_X0]) / c) + 1)
    j0 = max(0, math.floor((y - dy - p[P_Y0]) / c))
    j1 = min(shape[1], math.floor((y + dy - p[P_Y0]) / c) + 1)
    return i0, i1, j0, j1


@numba.njit(cache=True)
def _ahead(
    b: float, loose: float, u: float, v: float, z: float, near: float, w: Array
) -> None:
    """Add one cell before the edge to the sums."""
    top = b + loose
    if u > near:
        w[B_N] += 1.0
        w[B_TOP] += top
        w[B_U] += u
        return
    db, tl = max(0.0, b - z), max(0.0, top - max(b, z))
    w[A_N] += 1.0
    w[A_DB] += db
    w[A_DB2] += db * db
    w[A_TLDB] += tl * db
    w[A_TL2] += tl * tl
    w[A_DEPTH] += db + tl
    w[A_TOP] += top
    w[A_U] += u
    w[A_SIDE] += v * (db + tl)


@numba.njit(cache=True)
def survey(
    bank: Array, loose: Array, p: Array, f: Array, slope: float, w: Array
) -> None:
    """Sum up the ground ahead of the edge and beside the plate, before the cut.

    Args:
        bank: (nx, ny) top of the bank layer [m].
        loose: (nx, ny) thickness of the loose layer [m].
        p: Parameters.
        f: Frame of the bucket.
        slope: Tangent of the surface's rise ahead, as known so far.
        w: (SURVEY,) out.
    """
    w[:] = 0.0
    c, half = p[P_CELL], 0.5 * p[P_WIDTH]
    near = _NEAR * c
    i0, i1, j0, j1 = _window(f, p, -f[F_RUN], near + _FAR_M, half + near, bank.shape)
    for i in range(i0, i1):
        x = p[P_X0] + (i + 0.5) * c - f[F_X]
        for j in range(j0, j1):
            y = p[P_Y0] + (j + 0.5) * c - f[F_Y]
            u = x * f[F_TX] + y * f[F_TY]
            v = y * f[F_TX] - x * f[F_TY]
            if u > 0.0:
                if u <= near + _FAR_M and abs(v) <= half:
                    z = f[F_Z] + v * f[F_ROLL] + u * slope
                    _ahead(bank[i, j], loose[i, j], u, v, z, near, w)
            elif u >= -f[F_RUN] and half < abs(v) <= half + near:
                z = f[F_Z] + v * f[F_ROLL] - u * f[F_RISE]
                db = max(0.0, bank[i, j] - z)
                d = max(0.0, bank[i, j] + loose[i, j] - z)
                k = L_N if v > 0.0 else R_N
                w[k] += 1.0
                w[k + 1] += db
                w[k + 2] += d * d


@numba.njit(cache=True)
def cut(bank: Array, loose: Array, p: Array, f: Array, w: Array, box: Integers) -> None:
    """Take what lies above the plate from the map; loose soil first.

    Adds CUT_BANK and CUT_LOOSE [m3] and the contact under the plate to ``w`` and
    widens ``box`` by the cells that changed.
    """
    c, half = p[P_CELL], 0.5 * p[P_WIDTH]
    area = c * c
    i0, i1, j0, j1 = _window(f, p, -f[F_RUN], 0.0, half, bank.shape)
    for i in range(i0, i1):
        x = p[P_X0] + (i + 0.5) * c - f[F_X]
        for j in range(j0, j1):
            y = p[P_Y0] + (j + 0.5) * c - f[F_Y]
            u = x * f[F_TX] + y * f[F_TY]
            v = y * f[F_TX] - x * f[F_TY]
            if u > 0.0 or u < -f[F_RUN] or abs(v) > half:
                continue
            z = f[F_Z] + v * f[F_ROLL] - u * f[F_RISE]
            w[C_N] += 1.0
            excess = bank[i, j] + loose[i, j] - z
            if excess < -_TOUCH_M:
                continue
            if excess > 0.0:
                from_loose = min(loose[i, j], excess)
                from_bank = excess - from_loose
                loose[i, j] -= from_loose
                bank[i, j] -= from_bank
                w[CUT_LOOSE] += from_loose * area
                w[CUT_BANK] += from_bank * area
                widen(box, i, j)
            w[C_TOUCH] += 1.0
            if loose[i, j] < _TOUCH_M:
                w[C_BANK] += 1.0


@numba.njit(cache=True)
def widen(box: Integers, i: int, j: int) -> None:
    """Have the window i0, i1, j0, j1 include a cell."""
    box[0], box[1] = min(box[0], i), max(box[1], i + 1)
    box[2], box[3] = min(box[2], j), max(box[3], j + 1)


@numba.njit(cache=True)
def _deposit(
    loose: Array, p: Array, x: float, y: float, volume: float, box: Integers
) -> float:
    """Add loose soil at a point, shared among the four nearest cells; what fell out."""
    c = p[P_CELL]
    a, b = (x - p[P_X0]) / c - 0.5, (y - p[P_Y0]) / c - 0.5
    i, j = math.floor(a), math.floor(b)
    a, b = a - i, b - j
    height, outside = volume / (c * c), 0.0
    for di in range(2):
        for dj in range(2):
            share = (a if di else 1.0 - a) * (b if dj else 1.0 - b)
            m, n = i + di, j + dj
            if 0 <= m < loose.shape[0] and 0 <= n < loose.shape[1]:
                loose[m, n] += height * share
                widen(box, m, n)
            else:
                outside += volume * share
    return outside


@numba.njit(cache=True)
def deposit_line(
    loose: Array,
    p: Array,
    x0: float,
    y0: float,
    x1: float,
    y1: float,
    volume: float,
    box: Integers,
) -> float:
    """Spread loose soil evenly along a line on the map.

    Returns:
        The volume that fell outside of the map [m3].
    """
    if volume <= 0.0:
        return 0.0
    n = math.ceil(math.hypot(x1 - x0, y1 - y0) / p[P_CELL]) + 1
    outside = 0.0
    for k in range(n):
        t = (k + 0.5) / n
        outside += _deposit(
            loose, p, x0 + t * (x1 - x0), y0 + t * (y1 - y0), volume / n, box
        )
    return outside
