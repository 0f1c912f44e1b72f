"""The scripted expert of ConstructionTrench: proof that it can be done, and a baseline.

It sees what the policy sees (the observation of the state) and nothing else. Each cycle
is a cut from the far end to the near end, down the slope, along a layer and up the
slope, until the bucket is full; then curl, lift, swing, dump, return. The layer is
chosen so that what the scanner says lies above the design fills the bucket.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from physai.plant.digging_site import STATIONS
from physai.tasks.construction.trench import ConstructionTrench
from physai.tasks.construction.trench_observation import SEEN
from physai.tasks.motion import cut_action
from physai.types import Array, State

__all__ = ["TrenchExpert"]

_CUT_M_S = 0.45
_ENTER_M_S = 0.35
_PASS_M3 = 0.34
"""Bank volume of one cut. A bucket that is fuller than struck takes less and less of
what it cuts and pushes the rest ahead as a berm."""
_FULL_KG = 490.0
_EMPTY_KG = 25.0
_LEVEL_RAD = -0.85
"""Dip of the plate at which the mouth is level and the load stays in."""
_OUT_RAD = 1.15
_CLEAR_M = 1.5
"""Edge above the ground while it swings: the bucket hangs below it."""
_OVER_HEAP_M = 1.7
_SWING_RAD_S2 = 0.28
"""Below what shakes a heaped bucket: 2 m/s2 at 6 m is 0.33 rad/s2."""
_SWING_RAD_S = 0.45
_GAIN_PER_S = 1.6
_AHEAD_S = 0.25
"""Motion of the edge that a command needs to take hold."""


class TrenchExpert:
    """Acts on the observation of a state.

    Args:
        task: The task; gives observation, limits of the action and the end slope.
    """

    def __init__(self, task: ConstructionTrench) -> None:
        self.task = task
        design = (task.environment.plant.process or {})["design"]
        self._slope_m = float(design["end_slope_m"])
        self._width_m = float(design["width_m"])
        self._dt_s = 1.0 / task.environment.control_hz
        self.reset()

    def reset(self) -> None:
        """Start an episode."""
        self.phase = "return"
        self._swing_rate = 0.0
        self._layer_m = 0.2
        self._surface = np.zeros(STATIONS)

    def act(self, state: State) -> npt.NDArray[np.float32]:
        """Return the action for a state."""
        seen = self.task.observe(state).astype(np.float64)
        self._x, self._z = float(seen[0]), float(seen[2])
        # A trench of no length is what a broken sensor says.
        self._length, self._depth = max(float(seen[3]), 0.1), -float(seen[4])
        self._dip, self._load = float(seen[5]), float(seen[10])
        self._ground = seen[SEEN : SEEN + STATIONS]
        self._to_trench, self._to_heap = float(seen[7]), float(seen[8])
        self._beyond = float(seen[9])
        move = getattr(self, f"_{self.phase}")()
        return self._action(*move)

    # Phases: each returns reach, lift [m/s], curl [rad/s] and the swing angle to go.

    def _return(self) -> tuple[float, float, float, float]:
        """Back over the far end, the plate ready to enter."""
        start = self._length - 0.05
        high = self._depth + (_CLEAR_M if abs(self._to_trench) > 0.12 else 0.10)
        if abs(self._to_trench) < 0.03 and abs(self._x - start) < 0.25:
            high = self._depth + 0.03
        arrived = abs(self._to_trench) < 0.012 and abs(self._x - start) < 0.10
        if arrived and self._z < self._depth + 0.12 and abs(self._dip - 0.85) < 0.25:
            self._plan()
            self.phase = "cut"
        curl = self._dip - 0.85
        return (
            self._go(start - self._x),
            self._go(high - self._z),
            curl,
            self._to_trench,
        )

    def _plan(self) -> None:
        """Choose the layer that fills the bucket from what the scanner says."""
        self._surface = self._ground.copy()
        area = self._length / STATIONS * self._width_m
        low, high = 0.03, 0.6
        for _ in range(20):
            middle = 0.5 * (low + high)
            volume = float(np.clip(self._surface, 0.0, middle).sum()) * area
            low, high = (middle, high) if volume < _PASS_M3 else (low, middle)
        self._layer_m = 0.5 * (low + high)

    def _cut(self) -> tuple[float, float, float, float]:
        """Down the far slope, along the layer, up the near slope."""
        ahead = self._x - _AHEAD_S * _CUT_M_S
        slope = (self._floor(ahead) - self._floor(ahead - 0.1)) / 0.1
        speed = _ENTER_M_S if slope > 0.3 else _CUT_M_S
        vx = -speed
        vz = -speed * slope + 2.5 * (self._floor(self._x) - self._z)
        angle = math.atan2(slope, 1.0)
        # The plate a little steeper than its way, so that the heel stays clear.
        wanted = max(angle + 0.30, 0.30) if slope > -0.2 else -0.25
        if self._load > _FULL_KG or self._x < 0.05:
            self.phase = "curl"
        return vx, float(np.clip(vz, -0.6, 0.6)), 1.5 * (self._dip - wanted), 0.0

    def _floor(self, x: float) -> float:
        """Height of this cut above the bottom of the design at a place."""
        share = min(1.0, max(0.0, x / self._length))
        design = self._design(x)
        places = (np.arange(STATIONS) + 0.5) / STATIONS
        above = float(np.interp(share, places, self._surface))
        return max(design, design + above - self._layer_m)

    def _design(self, x: float) -> float:
        near = min(x, self._length - x) / self._slope_m
        return self._depth * min(1.0, max(0.0, 1.0 - near))

    def _curl(self) -> tuple[float, float, float, float]:
        """Close the bucket while it comes up."""
        if self._dip < _LEVEL_RAD + 0.15:
            self.phase = "lift"
        return -0.10, 0.20, self._dip - _LEVEL_RAD + 0.3, 0.0

    def _lift(self) -> tuple[float, float, float, float]:
        high = self._depth + _OVER_HEAP_M
        clear = self._z > self._depth + 0.9
        if clear and abs(self._to_heap) < 0.05 and self._z > high - 0.3:
            self.phase = "dump"
        swing = self._to_heap if clear else 0.0
        reach = self._go(self._beyond) if clear else 0.0
        return reach, self._go(high - self._z), self._dip - _LEVEL_RAD, swing

    def _dump(self) -> tuple[float, float, float, float]:
        if self._load < _EMPTY_KG and self._dip > 0.8:
            self.phase = "return"
        lift = self._go(self._depth + _OVER_HEAP_M - self._z)
        return self._go(self._beyond), lift, 1.5 * (self._dip - _OUT_RAD), self._to_heap

    def _go(self, way: float) -> float:
        return float(np.clip(_GAIN_PER_S * way, -0.7, 0.7))

    def _action(
        self, reach: float, lift: float, curl: float, swing_rad: float
    ) -> npt.NDArray[np.float32]:
        """Scale a motion; the swing starts and stops gently."""
        stopping = math.sqrt(2.0 * 0.7 * _SWING_RAD_S2 * abs(swing_rad))
        speed = min(_SWING_RAD_S, stopping, 1.5 * abs(swing_rad))
        wanted = math.copysign(speed, swing_rad)
        change = _SWING_RAD_S2 * self._dt_s
        self._swing_rate += float(np.clip(wanted - self._swing_rate, -change, change))
        given: Array = np.array([reach, lift, curl, self._swing_rate])
        return cut_action(given / self.task.scale)
