"""Compiled slumping of a height map: slopes above the angle of repose slide.

Loose soil goes first; bank soil only from a face higher than an upright cut can stand.
Nothing is allocated in a call and only the disturbed window is visited.
"""

from __future__ import annotations

import math

import numba
import numpy.typing as npt
from numpy import int64

from physai.plant.soil_kernel import P_CELL, P_CRITICAL, P_REPOSE, P_SWELL, widen
from physai.types import Array

__all__ = ["slump"]

Integers = npt.NDArray[int64]


@numba.njit(cache=True)
def _flow_out(
    bank: Array,
    loose: Array,
    d_bank: Array,
    d_loose: Array,
    i: int,
    j: int,
    p: Array,
    box: Integers,
) -> float:
    """Write what slides from one cell to its eight neighbours; the largest slope."""
    nx, ny = bank.shape
    c, limit = p[P_CELL], p[P_REPOSE]
    diagonal = c * math.sqrt(2.0)
    top = bank[i, j] + loose[i, j]
    total, steepest = 0.0, 0.0
    for di in range(-1, 2):
        for dj in range(-1, 2):
            m, n = i + di, j + dj
            if (di == 0 and dj == 0) or not (0 <= m < nx and 0 <= n < ny):
                continue
            drop = top - bank[m, n] - loose[m, n]
            dist = c if di * dj == 0 else diagonal
            if drop > limit * dist and (
                loose[i, j] > 1e-9
                or bank[i, j] - bank[m, n] - loose[m, n]
                > max(p[P_CRITICAL], limit * dist)
            ):
                total += 0.125 * (drop - limit * dist)
                steepest = max(steepest, drop / dist)
    if total <= 0.0:
        return 0.0
    share = min(1.0, loose[i, j] / total)
    for di in range(-1, 2):
        for dj in range(-1, 2):
            m, n = i + di, j + dj
            if (di == 0 and dj == 0) or not (0 <= m < nx and 0 <= n < ny):
                continue
            below = bank[m, n] + loose[m, n]
            dist = c if di * dj == 0 else diagonal
            flow = 0.125 * (top - below - limit * dist)
            if flow <= 0.0:
                continue
            falls = bank[i, j] - below > max(p[P_CRITICAL], limit * dist)
            if not falls and loose[i, j] <= 1e-9:
                continue
            from_loose = flow * share
            from_bank = flow - from_loose if falls else 0.0
            d_loose[i, j] -= from_loose
            d_bank[i, j] -= from_bank
            d_loose[m, n] += from_loose + from_bank * (1.0 + p[P_SWELL])
            widen(box, m, n)
    widen(box, i, j)
    return steepest


@numba.njit(cache=True)
def slump(
    bank: Array,
    loose: Array,
    d_bank: Array,
    d_loose: Array,
    p: Array,
    box: Integers,
    sweeps: int,
    tolerance_rad: float,
) -> float:
    """Let slopes above the angle of repose slide, in Jacobi form.

    Flows are summed on the old field and then added, each subtracted and added once,
    so volume is conserved. A pair of neighbours exchanges k (s - limit) dist / 2 with
    k = 0.25, which no sweep of eight neighbours can overshoot.

    Args:
        bank: (nx, ny) [m].
        loose: (nx, ny) [m].
        d_bank: (nx, ny) zeros; zeros again afterwards.
        d_loose: (nx, ny) the same.
        p: Parameters.
        box: (4,) window i0, i1, j0, j1 of disturbed cells; the remaining one after.
        sweeps: At most so many.
        tolerance_rad: Excess over the angle of repose that counts as settled.

    Returns:
        The largest excess over the angle of repose [rad] that the last sweep found.
    """
    nx, ny = bank.shape
    excess = 0.0
    repose = math.atan(p[P_REPOSE])
    for _ in range(sweeps):
        i0, i1 = max(0, box[0] - 1), min(nx, box[1] + 1)
        j0, j1 = max(0, box[2] - 1), min(ny, box[3] + 1)
        box[0], box[1], box[2], box[3] = nx, 0, ny, 0
        steepest = 0.0
        for i in range(i0, i1):
            for j in range(j0, j1):
                steepest = max(
                    steepest, _flow_out(bank, loose, d_bank, d_loose, i, j, p, box)
                )
        for i in range(box[0], box[1]):
            for j in range(box[2], box[3]):
                bank[i, j] += d_bank[i, j]
                # A difference of rounding must not leave a negative layer.
                loose[i, j] = max(0.0, loose[i, j] + d_loose[i, j])
                d_bank[i, j] = d_loose[i, j] = 0.0
        excess = max(0.0, math.atan(steepest) - repose)
        if excess < tolerance_rad:
            box[0], box[1], box[2], box[3] = nx, 0, ny, 0
            break
    return excess
