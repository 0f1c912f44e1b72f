"""Motions that are asked for: no faster than wanted, within what an action can say."""

from __future__ import annotations

from collections.abc import Sequence

import numba
import numpy as np
import numpy.typing as npt

from physai.types import Array

__all__ = ["cut_action", "cut_entry", "limit_length"]


@numba.njit(cache=True)
def cut_entry(value: float) -> float:
    """Return an entry of an action cut to [-1, 1].

    NaN stays NaN, for the guard to answer: both comparisons are false for it.
    """
    if value > 1.0:
        return 1.0
    if value < -1.0:
        return -1.0
    return value


def cut_action(asked: Array | Sequence[float]) -> npt.NDArray[np.float32]:
    """Return an (a,) action, every entry cut to [-1, 1]."""
    cut: npt.NDArray[np.float32] = np.clip(asked, -1.0, 1.0).astype(np.float32)
    return cut


def limit_length(vector: Array, most: float) -> Array:
    """Return a vector, shortened where it is longer than that, in its own unit."""
    length = float(np.linalg.norm(vector))
    return vector if length <= most else vector * (most / length)
