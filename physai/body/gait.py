"""The walking cycle: a periodic table of pelvis, feet, trunk and arms.

Source of the cycle is the motion-capture clip ``humanoid3d_walk`` of the *installed*
``pybullet_data`` (read by path, never copied: no licence lies beside it); where that
package is missing, a synthetic gait with the same columns. Both are turned into
curves over one cycle of two steps, kept as a Fourier series of few harmonics, so that
they are smooth and have no seam.

The legs are not played back as angles. The ankles' tracks on the floor are kept, in
shares of the stride, and the legs follow by inverse kinematics: at any speed the foot
on the floor then moves back under the body as fast as the body goes forward, and
segment lengths never change.

Facts of the clip (forward kinematics with the shipped humanoid of 1.62 m): stride
1.239 m in 1.267 s, 0.978 m/s, 94.7 steps/min, ankle track width 0.14 m; last and
first pose differ by up to 28 degrees.
"""

from __future__ import annotations

import importlib.util
import json
import math
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numba
import numpy as np

from physai.errors import ConfigError
from physai.types import Array

__all__ = [
    "COLUMNS",
    "NATURAL_SPEED_M_S",
    "NATURAL_STRIDE",
    "PHASES",
    "REFERENCE_STATURE_M",
    "Gait",
    "load_gait",
    "read_table",
    "stride_scale",
]

PHASES = 128
"""Samples per cycle."""

COLUMNS = (
    "pelvis_forward",
    "pelvis_left",
    "pelvis_up",
    "ankle_left_forward",
    "ankle_left_left",
    "ankle_left_up",
    "ankle_right_forward",
    "ankle_right_left",
    "ankle_right_up",
    "pelvis_yaw",
    "chest_yaw",
    "chest_roll",
    "chest_pitch",
    "arm_left_flexion",
    "arm_left_abduction",
    "elbow_left",
    "arm_right_flexion",
    "arm_right_abduction",
    "elbow_right",
)
"""Lengths in shares of stature, except ``ankle_*_forward`` in shares of the stride
(one at natural speed); angles in rad. ``pelvis_*`` and ``chest_*`` are deviations
from the cycle's mean, ``ankle_*_up`` from the ankle's lowest place."""

REFERENCE_STATURE_M = 1.62
"""Stature of the humanoid that the clip was retargeted to."""

NATURAL_SPEED_M_S = 0.978
"""Mean speed of the clip."""

NATURAL_STRIDE = 1.239 / REFERENCE_STATURE_M
"""Stride of the clip in shares of stature."""

LEG_SEGMENT = 0.235
"""Thigh and shank in shares of stature (:mod:`physai.body.person`)."""
HIP_HEIGHT = 0.513
"""Hip joint of a standing person in shares of stature (ANSUR II medians 0.512 men,
0.519 women); with two leg segments it leaves :data:`ANKLE_HEIGHT`."""
ANKLE_HEIGHT = HIP_HEIGHT - 2.0 * LEG_SEGMENT
"""0.043 of stature (ANSUR II 0.042 men, 0.039 women)."""
HIP_HALF_WIDTH = 0.055
_FULL_LEG, _HEEL_REACH = 0.9925, 0.0375
"""Length to which a leg is stretched, in shares of its length, and what a foot far
ahead or behind may miss besides: the rigid foot of this body then lands a centimetre
short, where a real foot reaches the floor with its heel."""
_BOUNCE = 1.5
"""The clip's bounce is enlarged, since legs here are 0.47 of stature and the clip's
0.51: otherwise the knee of the standing leg would be bent by 40 degrees (people: about
20). Peak to peak it is then 4 cm, as people's at this speed (project figure)."""

DROP_STEP = 0.1
_DROPS = 16
_HARMONICS = 8
_SEAM_FRAMES = 5
_CLIP = ("data", "motions", "humanoid3d_walk.txt")

# Bodies of the clip's humanoid [m], x forward, y up, z right.
_THIGH_M, _SHANK_M, _HALF_HIP_M = 0.4215, 0.410, 0.085
_TO_Z_UP = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]])


@dataclass(frozen=True, eq=False)
class Gait:
    """One walking cycle.

    Attributes:
        table: (PHASES, 19) of :data:`COLUMNS`.
        drop: (16,) how far the pelvis sinks below its standing height so that both
            legs reach the floor, in shares of stature, for strides of 0, 0.1, ... of
            the natural one.
        source: ``"clip"`` or ``"synthetic"``.
    """

    table: Array
    drop: Array
    source: str

    @property
    def arm_rate(self) -> float:
        """Largest change of an arm's flexion over the phase [rad per cycle]."""
        arms = self.table[:, [13, 16]]
        return float(np.abs(np.diff(arms, axis=0)).max() * PHASES)


@numba.njit(cache=True)
def stride_scale(speed_m_s: float, stature_m: float) -> float:
    """Return the stride as a share of the natural one at a speed.

    A change of speed is split evenly over cadence and stride, so both grow with its
    square root; the stride stays within 0.6 and 1.25 of the natural one, cadence
    takes the rest.

    Args:
        speed_m_s: Walking speed.
        stature_m: Natural speed is 0.978 m/s for 1.62 m and grows with stature.
    """
    natural = NATURAL_SPEED_M_S * stature_m / REFERENCE_STATURE_M
    return min(1.25, max(0.6, math.sqrt(max(0.0, speed_m_s) / natural)))


@numba.njit(cache=True)
def read_table(table: Array, phase: float, out: Array) -> None:
    """Interpolate the (PHASES, C) table at a phase in [0, 1) into ``out`` (C,)."""
    place = phase * table.shape[0]
    low = int(place)
    share = place - low
    low %= table.shape[0]
    high = (low + 1) % table.shape[0]
    for c in range(table.shape[1]):
        out[c] = table[low, c] + share * (table[high, c] - table[low, c])


def clip_path() -> Path | None:
    """Return the installed clip, or None; nothing is imported."""
    found = importlib.util.find_spec("pybullet_data")
    for folder in (found and found.submodule_search_locations) or ():
        path = Path(folder).joinpath(*_CLIP)
        if path.is_file():
            return path
    return None


@lru_cache(maxsize=3)
def load_gait(source: str = "auto") -> Gait:
    """Return the walking cycle; it is worked out once in a process.

    Args:
        source: ``"clip"``, ``"synthetic"``, or ``"auto"`` for the clip where
            pybullet_data is installed.

    Raises:
        ConfigError: If the clip is asked for and not installed, or cannot be read.
    """
    path = clip_path() if source != "synthetic" else None
    if source not in ("auto", "clip", "synthetic"):
        raise ConfigError(f'no gait "{source}"; valid: auto, clip, synthetic')
    if path is None and source == "clip":
        raise ConfigError("the walking clip needs the package pybullet_data")
    if path is None:
        table = _smooth(_synthetic_curves(np.arange(PHASES) / PHASES))
    else:
        table = _smooth(_clip_curves(_read_frames(path)))
    _mirror(table)
    table[:, 2] *= 1.0 if path is None else _BOUNCE
    table[:, [5, 8]] -= table[:, [5, 8]].min(axis=0)
    for first in (3, 6):
        table[:, first] = _hold_on_floor(table[:, first], table[:, first + 2])
    drop = np.array([_needed_drop(table, DROP_STEP * i) for i in range(_DROPS)])
    table.setflags(write=False)
    drop.setflags(write=False)
    return Gait(table, drop, "synthetic" if path is None else "clip")


def _read_frames(path: Path) -> Array:
    """Return the clip's (F, 44) frames."""
    try:
        frames = np.array(json.loads(path.read_text("utf-8"))["Frames"], dtype=float)
    except (OSError, ValueError, KeyError) as error:
        raise ConfigError(
            f"{path}: not a readable motion clip ({type(error).__name__})"
        ) from None
    if frames.ndim != 2 or frames.shape[1] != 44 or len(frames) < 10:
        raise ConfigError(f"{path}: a motion clip has frames of 44 numbers")
    return frames


def _matrix(quaternion: Array) -> Array:
    """Rotation of a quaternion in the clip's order w x y z."""
    w, x, y, z = quaternion / np.linalg.norm(quaternion)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )


def _hinge(angle: float) -> Array:
    """Rotation about the clip's z axis."""
    c, s = math.cos(angle), math.sin(angle)
    return np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])


def _blend_seam(frames: Array) -> Array:
    """Turn the last frames into the first, so that the cycle closes."""
    frames = frames.copy()
    last = len(frames) - 1
    for step in range(_SEAM_FRAMES):
        index = last - _SEAM_FRAMES + 1 + step
        share = (step + 1.0) / _SEAM_FRAMES
        mixed = (1.0 - share) * frames[index] + share * frames[0]
        # A quaternion and its negative are one rotation: mix the nearer one.
        for first in (4, 8, 12, 16, 21, 25, 30, 35, 39):
            part = slice(first, first + 4)
            sign = math.copysign(1.0, float(frames[index, part] @ frames[0, part]))
            mixed[part] = (1.0 - share) * frames[index, part] + share * sign * frames[
                0, part
            ]
        frames[index, 2] = mixed[2]
        frames[index, 4:] = mixed[4:]
    return frames


def _clip_curves(frames: Array) -> Array:
    """Return (F - 1, 19) columns of the clip by forward kinematics."""
    times = np.concatenate([[0.0], np.cumsum(frames[:-1, 0])])
    frames = frames.copy()
    # Walk on the spot: take the mean speed out of x and z (y is up here).
    for axis in (1, 3):
        start, end = frames[0, axis], frames[-1, axis]
        frames[:, axis] -= start + (end - start) * times / times[-1]
    rows = [_clip_row(frame) for frame in _blend_seam(frames)[:-1]]
    curves = np.array(rows)
    curves[:, :3] -= curves[:, :3].mean(axis=0)
    curves[:, 9:13] -= curves[:, 9:13].mean(axis=0)
    curves[:, [0, 1, 2, 4, 5, 7, 8]] /= REFERENCE_STATURE_M
    curves[:, [3, 6]] /= NATURAL_STRIDE * REFERENCE_STATURE_M
    middle = 0.5 * curves[:, [3, 6]].mean()
    curves[:, [3, 6]] -= middle
    return curves


def _clip_row(frame: Array) -> list[float]:
    root_turn = _matrix(frame[4:8])
    chest_turn = root_turn @ _matrix(frame[8:12])
    root = frame[1:4]
    row: list[Any] = list(_TO_Z_UP @ root)
    for hip, knee, sign in ((slice(30, 34), 34, -1.0), (slice(16, 20), 20, 1.0)):
        thigh = root_turn @ _matrix(frame[hip])
        ankle = root + root_turn @ np.array([0.0, 0.0, sign * _HALF_HIP_M])
        ankle = ankle + thigh @ np.array([0.0, -_THIGH_M, 0.0])
        ankle = ankle + thigh @ _hinge(frame[knee]) @ np.array([0.0, -_SHANK_M, 0.0])
        row.extend(_TO_Z_UP @ ankle)
    pelvis = _TO_Z_UP @ root_turn @ _TO_Z_UP.T
    chest = _TO_Z_UP @ chest_turn @ _TO_Z_UP.T
    row.append(math.atan2(pelvis[1, 0], pelvis[0, 0]))
    row.append(math.atan2(chest[1, 0], chest[0, 0]))
    row.append(math.asin(chest[2, 1]))
    row.append(math.asin(-chest[2, 0]))
    down = np.array([0.0, -1.0, 0.0])
    for shoulder, elbow, out in ((slice(39, 43), 43, 1.0), (slice(25, 29), 29, -1.0)):
        upper = _TO_Z_UP @ _matrix(frame[shoulder]) @ down
        row.append(math.atan2(upper[0], -upper[2]))
        row.append(math.asin(out * upper[1]))
        row.append(frame[elbow])
    return [float(value) for value in row]


def _synthetic_curves(phase: Array) -> Array:
    """Return (N, 19) columns of a gait made of plain curves.

    Hips swing by 22 degrees (which gives the stride), shoulders by 15 degrees against
    them, the root bounces by 36 mm at twice the frequency (project figures); each foot
    is down for 0.62 of the cycle.
    """
    curves = np.zeros((len(phase), len(COLUMNS)))
    turn = 2.0 * math.pi * phase
    curves[:, 2] = -0.5 * 0.036 / REFERENCE_STATURE_M * np.cos(2.0 * turn)
    curves[:, 1] = 0.010 * np.sin(turn)
    for first, shift in ((3, 0.0), (6, 0.5)):
        forward, up = _foot((phase + shift) % 1.0)
        curves[:, first], curves[:, first + 2] = forward, up
        curves[:, first + 1] = 0.0432 if first == 3 else -0.0432
    # The left foot lands at phase 0, so the left side of the pelvis is then ahead
    # (turned to the right) and the left arm behind.
    curves[:, 9], curves[:, 10] = -0.07 * np.cos(turn), 0.09 * np.cos(turn)
    swing = math.radians(15.0) * np.cos(turn)
    curves[:, 13], curves[:, 16] = 0.05 - swing, 0.05 + swing
    curves[:, [14, 17]] = 0.20
    curves[:, 15], curves[:, 18] = 0.35 - 0.6 * swing, 0.35 + 0.6 * swing
    return curves


def _foot(phase: Array, down: float = 0.62) -> tuple[Array, Array]:
    """Ankle of a foot that lands at phase 0: forward (strides) and up (statures)."""
    swing = np.clip((phase - down) / (1.0 - down), 0.0, 1.0)
    # A cubic from the end of the stance to its start with the stance's slope at
    # both ends, so that the foot neither kicks nor drags.
    slope = -(1.0 - down)
    cubic = swing**2 * (3.0 - 2.0 * swing)
    edge = slope * (swing * (1.0 - swing) ** 2 - swing**2 * (1.0 - swing))
    forward = np.where(
        phase < down, 0.5 * down - phase, -0.5 * down + down * cubic + edge
    )
    heel_off = np.exp(-(((phase - 0.72) / 0.10) ** 2))
    return forward, 0.105 * heel_off + 0.015 * np.exp(-(((phase - 0.97) / 0.05) ** 2))


def _smooth(curves: Array) -> Array:
    """Resample periodic curves to PHASES with few harmonics."""
    spectrum = np.fft.rfft(curves, axis=0)
    spectrum[_HARMONICS + 1 :] = 0.0
    count = PHASES // 2 + 1
    full = np.zeros((count, curves.shape[1]), dtype=complex)
    kept = min(count, len(spectrum))
    full[:kept] = spectrum[:kept]
    result: Array = np.fft.irfft(full, n=PHASES, axis=0) * PHASES / len(curves)
    return result


def _mirror(table: Array) -> None:
    """Make the two steps of a cycle mirror images: one walker's limp is nobody's."""
    half = PHASES // 2
    shifted = np.roll(table, half, axis=0)
    mirrored = shifted.copy()
    mirrored[:, [1, 9, 10, 11]] *= -1.0
    for left, right in ((3, 6), (13, 16)):
        mirrored[:, left : left + 3] = shifted[:, right : right + 3]
        mirrored[:, right : right + 3] = shifted[:, left : left + 3]
    mirrored[:, [4, 7]] *= -1.0
    table += mirrored
    table *= 0.5


def _hold_on_floor(forward: Array, up: Array) -> Array:
    """Let a foot on the floor move back as fast as the body goes forward.

    Where the ankle is low and goes back, its speed is set to one stride per cycle; the
    swing takes up the difference.
    """
    rate = PHASES * (np.roll(forward, -1) - forward)
    held = np.clip((0.016 - up) / 0.008, 0.0, 1.0) * (rate < 0.3)
    wide = np.concatenate([held[-3:], held, held[:3]])
    held = np.convolve(wide, np.full(7, 1.0 / 7.0), mode="valid")
    rate = held * -1.0 + (1.0 - held) * rate
    free = (1.0 - held) ** 2
    rate -= rate.sum() * free / free.sum()
    track = np.concatenate([[0.0], np.cumsum(rate[:-1])]) / PHASES
    return np.asarray(track - track.mean() + forward.mean(), dtype=np.float64)


def _needed_drop(table: Array, scale: float) -> float:
    """How far the pelvis must sink for a stride, in shares of stature."""
    worst = 0.0
    for first, side in ((3, 1.0), (6, -1.0)):
        hip_x = scale * table[:, 0] - side * HIP_HALF_WIDTH * np.sin(
            scale * table[:, 9]
        )
        hip_y = scale * table[:, 1] + side * HIP_HALF_WIDTH
        x = scale * NATURAL_STRIDE * table[:, first] - hip_x
        y = table[:, first + 1] - hip_y
        far = np.minimum(1.0, (x / 0.2) ** 2)
        leg = (_FULL_LEG + _HEEL_REACH * far) * 2.0 * LEG_SEGMENT
        reach = np.sqrt(np.maximum(0.0, leg**2 - x**2 - y**2))
        up = scale**2 * table[:, 2] + HIP_HEIGHT
        ankle = ANKLE_HEIGHT + min(1.0, scale) * table[:, first + 2]
        worst = max(worst, float((up - ankle - reach).max()))
    return worst
