"""Forces between a mouth and a utensil, in numba; see :mod:`physai.plant.mouth`.

Coordinates are the mouth's own: depth along the inward axis from the plane of the
lips, height along ``up``, side across.
"""

from __future__ import annotations

import math

import numba
import numpy as np

from physai.types import Array

__all__ = ["mouth_contact"]

_SAMPLES = 24
"""Spheres along each capsule: every 5 mm on a 104 mm handle, less than a lip."""

# Settings and lasting state, as the compiled loop takes them.
(
    S_LIP,
    S_TISSUE,
    S_THICKNESS,
    S_DEPTH,
    S_HEIGHT,
    S_WIDTH,
    S_CLOSING,
    S_MINIMUM,
    S_MARGIN,
) = range(9)
T_INSIDE, T_CENTER, T_HALF, T_WIDEST, T_AT_LIPS = range(5)

# Results.
O_EXEMPT, O_DEPTH, O_FORCE, O_PINCH, O_DEEP, O_SHAPE, O_ROBOT, O_PERSON = range(8)
O_VECTOR, O_POINT = 8, 11
OUT_COLUMNS = 14


@numba.njit(cache=True)
def _lens(half: float, width: float, side: float) -> tuple[float, float]:
    """Half height of the opening at a distance from its middle, and its slope."""
    share = side / width
    if abs(share) > 1.0:
        slope = -2.0 * half / width * (1.0 if side > 0.0 else -1.0)
        return slope * (side - (width if side > 0.0 else -width)), slope
    return half * (1.0 - share * share), -2.0 * half * share / width


@numba.njit(cache=True)
def _enter(
    utensil: Array,
    frame: Array,
    half: float,
    width: float,
    settings: Array,
    state: Array,
    out: Array,
) -> bool:
    """Follow the utensil's deepest point through the lips; return whether inside."""
    depth, side, height = -np.inf, 0.0, 0.0
    for u in range(utensil.shape[0]):
        for e in range(2):
            x = utensil[u, 3 * e] - frame[0, 0]
            y = utensil[u, 3 * e + 1] - frame[0, 1]
            z = utensil[u, 3 * e + 2] - frame[0, 2]
            d = utensil[u, 6] - (x * frame[1, 0] + y * frame[1, 1] + z * frame[1, 2])
            if d > depth:
                depth = d
                height = x * frame[2, 0] + y * frame[2, 1] + z * frame[2, 2]
                side = x * frame[3, 0] + y * frame[3, 1] + z * frame[3, 2]
    edge, _ = _lens(half, width, side)
    aligned = 2.0 * half >= settings[S_MINIMUM] and abs(height) < edge
    if depth < 0.0:
        state[T_INSIDE] = 0.0
    elif state[T_INSIDE] < 0.5 and aligned:
        state[T_INSIDE] = 1.0
        state[T_CENTER], state[T_AT_LIPS] = 0.0, height
        state[T_HALF], state[T_WIDEST] = half, half
    inside = bool(state[T_INSIDE] > 0.5)
    out[O_EXEMPT] = 1.0 if inside or (aligned and depth > -settings[S_MARGIN]) else 0.0
    out[O_DEPTH] = depth if inside else 0.0
    return inside


@numba.njit(cache=True)
def _close_around(state: Array, half: float) -> None:
    """Let closing lips go to where the utensil is, each at most the whole way."""
    state[T_WIDEST] = max(state[T_WIDEST], half)
    closed = max(0.0, state[T_HALF] - half)
    way = state[T_AT_LIPS] - state[T_CENTER]
    state[T_CENTER] += min(closed, max(-closed, way))
    room = state[T_WIDEST] - half
    state[T_CENTER] = min(room, max(-room, state[T_CENTER]))
    state[T_HALF] = half


@numba.njit(cache=True)
def _blend(way: float, length: float) -> tuple[float, float]:
    """Rise from 0 to 1 over a length without a kink, and the slope there."""
    share = min(1.0, max(0.0, way / length))
    return share * share * (3.0 - 2.0 * share), 6.0 * share * (1.0 - share) / length


@numba.njit(cache=True)
def _lip_window(depth: float, thickness: float, radius: float) -> tuple[float, float]:
    """How much of a sphere is between the lips (0 to 1), and its slope by depth."""
    if depth <= -radius or depth >= thickness + radius:
        return 0.0, 0.0
    if depth < 0.0:
        return _blend(depth + radius, radius)
    if depth > thickness:
        share, slope = _blend(thickness + radius - depth, radius)
        return share, -slope
    return 1.0, 0.0


@numba.njit(cache=True)
def mouth_contact(
    utensil: Array,
    velocity: Array,
    mouth_velocity: Array,
    frame: Array,
    opening: float,
    width: float,
    settings: Array,
    stiffness: float,
    state: Array,
    best: Array,
    out: Array,
) -> None:
    """Compute what the mouth does with the utensil.

    Args:
        utensil: (U, 7) capsules of the utensil, world [m].
        velocity: (U, 6) of their end points [m/s].
        mouth_velocity: (3,) of the lips [m/s].
        frame: (4, 3) middle of the lips [m], outward axis, up, side; world.
        opening: Height of the opening [m].
        width: Half of its width [m].
        settings: Numbers of :class:`MouthSettings` in order of the ``S_`` names.
        stiffness: The utensil's own [N/m].
        state: (5,) lasting state, advanced.
        best: (7, 8) scratch.
        out: (OUT_COLUMNS,) results, see the ``O_`` names.
    """
    out[:] = 0.0
    out[O_SHAPE] = -1.0
    half = 0.5 * max(0.0, opening)
    if not _enter(utensil, frame, half, width, settings, state, out):
        return
    _close_around(state, half)
    best[:] = 0.0
    nearest = np.inf
    for u in range(utensil.shape[0]):
        r = utensil[u, 6]
        for j in range(_SAMPLES):
            f = j / (_SAMPLES - 1.0)
            x = utensil[u, 0] + f * (utensil[u, 3] - utensil[u, 0]) - frame[0, 0]
            y = utensil[u, 1] + f * (utensil[u, 4] - utensil[u, 1]) - frame[0, 1]
            z = utensil[u, 2] + f * (utensil[u, 5] - utensil[u, 2]) - frame[0, 2]
            d = -(x * frame[1, 0] + y * frame[1, 1] + z * frame[1, 2])
            h = x * frame[2, 0] + y * frame[2, 1] + z * frame[2, 2]
            s = x * frame[3, 0] + y * frame[3, 1] + z * frame[3, 2]
            if abs(d - 0.5 * settings[S_THICKNESS]) < nearest:
                nearest = abs(d - 0.5 * settings[S_THICKNESS])
                state[T_AT_LIPS] = h
            _touch_lips(d, h - state[T_CENTER], s, r, half, width, settings, u, f, best)
            _touch_cavity(d, h, s, r, settings, u, f, best)
    _sum_forces(
        utensil, velocity, mouth_velocity, frame, settings, stiffness, best, out
    )


@numba.njit(cache=True)
def _keep(
    row: Array, overlap: float, u: int, f: float, gd: float, gh: float, gs: float
) -> None:
    """Keep the largest overlap with one tissue, where it is, and a mean gradient.

    The gradients are weighed by the overlaps' squares: the largest one's alone would
    jump where the tissue goes over from the bowl to the handle.
    """
    if overlap <= 1e-9:
        return
    weight = overlap * overlap
    row[3] += weight * gd
    row[4] += weight * gh
    row[5] += weight * gs
    row[7] += weight
    if overlap > row[0]:
        row[0], row[1], row[2] = overlap, u, f


@numba.njit(cache=True)
def _touch_lips(
    d: float,
    h: float,
    s: float,
    r: float,
    half: float,
    width: float,
    settings: Array,
    u: int,
    f: float,
    best: Array,
) -> None:
    window, ramp = _lip_window(d, settings[S_THICKNESS], r)
    if window <= 0.0:
        return
    edge, slope = _lens(half, width, s)
    norm = math.sqrt(1.0 + slope * slope)
    upper = r - (edge - h) / norm
    lower = r - (edge + h) / norm
    across = -slope * window / norm
    _keep(best[0], upper * window, u, f, upper * ramp, window / norm, across)
    _keep(best[1], lower * window, u, f, lower * ramp, -window / norm, across)


@numba.njit(cache=True)
def _touch_cavity(
    d: float,
    h: float,
    s: float,
    r: float,
    settings: Array,
    u: int,
    f: float,
    best: Array,
) -> None:
    behind = d - settings[S_THICKNESS]
    if behind <= 0.0:
        return
    window, ramp = _blend(behind, r)
    high, wide = settings[S_HEIGHT], settings[S_WIDTH]
    _keep(best[2], (h + r - high) * window, u, f, (h + r - high) * ramp, window, 0.0)
    _keep(best[3], (r - h - high) * window, u, f, (r - h - high) * ramp, -window, 0.0)
    _keep(best[4], (s + r - wide) * window, u, f, (s + r - wide) * ramp, 0.0, window)
    _keep(best[5], (r - s - wide) * window, u, f, (r - s - wide) * ramp, 0.0, -window)
    _keep(best[6], d + r - settings[S_DEPTH], u, f, 1.0, 0.0, 0.0)


@numba.njit(cache=True)
def _sum_forces(
    utensil: Array,
    velocity: Array,
    mouth_velocity: Array,
    frame: Array,
    settings: Array,
    stiffness: float,
    best: Array,
    out: Array,
) -> None:
    lip = settings[S_LIP] * stiffness / (settings[S_LIP] + stiffness)
    tissue = settings[S_TISSUE] * stiffness / (settings[S_TISSUE] + stiffness)
    for i in range(7):
        best[i, 6] = (lip if i < 2 else tissue) * best[i, 0]
    # Both lips at once is the person's closing, which ends at its own force.
    pinch = min(best[0, 6], best[1, 6])
    over = max(0.0, pinch - settings[S_CLOSING])
    best[0, 6] -= over
    best[1, 6] -= over
    out[O_PINCH] = pinch - over
    weight, largest = 0.0, 0.0
    vx, vy, vz = 0.0, 0.0, 0.0
    for i in range(7):
        force = best[i, 6]
        if force <= 0.0:
            continue
        u, f = int(best[i, 1]), best[i, 2]
        total = best[i, 7]
        gd, gh, gs = best[i, 3] / total, best[i, 4] / total, best[i, 5] / total
        weight += force
        for c in range(3):
            # Depth runs against the outward axis.
            out[O_VECTOR + c] -= force * (
                gh * frame[2, c] + gs * frame[3, c] - gd * frame[1, c]
            )
            out[O_POINT + c] += force * (
                utensil[u, c] + f * (utensil[u, 3 + c] - utensil[u, c])
            )
        vx += force * (velocity[u, 0] + f * (velocity[u, 3] - velocity[u, 0]))
        vy += force * (velocity[u, 1] + f * (velocity[u, 4] - velocity[u, 1]))
        vz += force * (velocity[u, 2] + f * (velocity[u, 5] - velocity[u, 2]))
        if i >= 2:
            out[O_DEEP] += force
        if force > largest:
            largest = force
            out[O_SHAPE] = u
    if weight <= 0.0:
        return
    out[O_FORCE] = weight
    for c in range(3):
        out[O_POINT + c] /= weight
    fx, fy, fz = out[O_VECTOR], out[O_VECTOR + 1], out[O_VECTOR + 2]
    size = math.sqrt(fx * fx + fy * fy + fz * fz)
    if size > 1e-9:
        speed = -(vx * fx + vy * fy + vz * fz) / (weight * size)
        m = mouth_velocity
        out[O_ROBOT] = max(0.0, speed)
        out[O_PERSON] = max(0.0, (m[0] * fx + m[1] * fy + m[2] * fz) / size)
