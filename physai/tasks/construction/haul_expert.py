"""The scripted expert of ConstructionHaul: proof that it can be done, and a baseline.

It sees what the policy sees (the observation of the state) and nothing else: follows the
route by pure pursuit, slows on slopes, waits before a closed crossing, turns on the spot
with the rear to the dump place, backs up, tips while it creeps forward, lowers the bed.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from physai.tasks.construction.haul import ConstructionHaul
from physai.tasks.motion import cut_action
from physai.types import State

__all__ = ["HaulExpert"]

_CRUISE_M_S = 1.7
_BACK_M_S = 0.28
_CREEP_M_S = 0.22
_TURN_RAD_S = 0.30
_GAIN_PER_S = 0.9
_STEER_PER_S = 1.0
_AHEAD_M = 2.0
_BRAKING_M_S2 = 0.45
_LINE_M = 1.2
"""Kept before the line of a closed crossing."""
_ARRIVED_M = 0.35
_ALIGNED_RAD = 0.06
_TIP_RAD = 1.0
_BED_RAD_S = 0.14
_EMPTY_SHARE = 0.02
_PITCH_RAD, _ROLL_RAD = 0.35, 0.175
"""Limits of the machine's slope table: 20 and 10 degrees."""


class HaulExpert:
    """Acts on the observation of a state.

    Args:
        task: The task; gives observation and limits of the action.
    """

    def __init__(self, task: ConstructionHaul) -> None:
        self.task = task
        names = task.spaces().observation_names
        self._place = {name: k for k, name in enumerate(names)}
        self.reset()

    def reset(self) -> None:
        """Start an episode."""
        self._phase = "follow"

    def act(self, state: State) -> npt.NDArray[np.float32]:
        """Return the action for a state."""
        seen = self.task.observe(state).astype(np.float64)
        see = {name: float(seen[k]) for name, k in self._place.items()}
        linear, angular, bed = getattr(self, f"_{self._phase}")(see)
        a = self.task.settings.action
        return cut_action(
            [linear / a.linear_m_s, angular / a.angular_rad_s, bed / a.bed_rad_s]
        )

    def _follow(self, see: dict[str, float]) -> tuple[float, float, float]:
        """Along the route to where it turns."""
        if see["route_to_go_m"] < _ARRIVED_M:
            self._phase = "turn"
            return 0.0, 0.0, 0.0
        v = min(
            self._cruise(see), math.sqrt(2.0 * _BRAKING_M_S2 * see["route_to_go_m"])
        )
        if see["crossing_closed"] > 0.5 and see["crossing_to_go_m"] > 0.0:
            free = max(0.0, see["crossing_to_go_m"] - _LINE_M)
            v = min(v, math.sqrt(2.0 * _BRAKING_M_S2 * free))
        # Heading to that of the route a little ahead, and back to the route.
        error = see["heading_from_route_rad"] + math.atan(0.9 * see["route_left_m"])
        feed = see["base_linear_m_s"] * see["route_turn_in_2_m_rad"] / _AHEAD_M
        turn = feed - _STEER_PER_S * error
        turn = max(-_TURN_RAD_S, min(_TURN_RAD_S, turn))
        if abs(error) > 0.7:
            return 0.2, turn, 0.0
        return max(0.0, v) * max(0.3, 1.0 - abs(error)), turn, 0.0

    def _cruise(self, see: dict[str, float]) -> float:
        """Speed by the steeper of the slopes here and ahead, and by the curve."""
        pitch = max(abs(see["pitch_rad"]), abs(see["slope_ahead_rad"]))
        roll = max(abs(see["roll_rad"]), abs(see["cross_slope_ahead_rad"]))
        share = max(
            abs(see["pitch_rad"]) / _PITCH_RAD, abs(see["roll_rad"]) / _ROLL_RAD
        )
        ahead = max(pitch / _PITCH_RAD, roll / _ROLL_RAD)
        v = min(_CRUISE_M_S, 2.3 * max(0.2, 1.0 - 0.8 * share))
        v = min(v, 2.6 * max(0.25, 1.0 - 0.8 * min(ahead, 1.0)))
        turn = abs(see["base_angular_rad_s"])
        v = min(v, 0.35 / max(turn, 1e-3))
        if see["gnss_fix"] < 0.5:
            v = min(v, 1.0)
        return v

    def _turn(self, see: dict[str, float]) -> tuple[float, float, float]:
        """On the spot, until the rear looks at the dump place."""
        error = self._dump_bearing(see)
        if abs(error) < _ALIGNED_RAD and abs(see["base_angular_rad_s"]) < 0.05:
            self._phase = "back"
        return 0.0, max(-_TURN_RAD_S, min(_TURN_RAD_S, _GAIN_PER_S * error)), 0.0

    def _dump_bearing(self, see: dict[str, float]) -> float:
        """Turn that makes the rear look at the dump place [rad]."""
        x, y = see["dump_x_in_base_m"], see["dump_y_in_base_m"]
        return math.atan2(-y, -x)

    def _back(self, see: dict[str, float]) -> tuple[float, float, float]:
        """Backward to the dump pose, slowly: nobody sees what is behind."""
        x, y = see["dump_x_in_base_m"], see["dump_y_in_base_m"]
        if x > -0.15:
            self._phase = "tip"
            return 0.0, 0.0, 0.0
        if math.hypot(x, y) > 1.5:
            error = self._dump_bearing(see)
        else:
            error = see["dump_heading_in_base_rad"]
        turn = max(-0.09, min(0.09, 0.6 * error))
        return -min(_BACK_M_S, 0.1 + 0.5 * abs(x)), turn, 0.0

    def _tip(self, see: dict[str, float]) -> tuple[float, float, float]:
        """Bed up; while the load runs out, creep ahead of the pile."""
        if see["load_share"] < _EMPTY_SHARE:
            self._phase = "lower"
        up = _BED_RAD_S if see["bed_rad"] < _TIP_RAD else 0.0
        ahead = see["dump_x_in_base_m"] > -1.8 and see["bed_rad"] > 0.6
        return (_CREEP_M_S if ahead else 0.0), 0.0, up

    def _lower(self, see: dict[str, float]) -> tuple[float, float, float]:
        """Bed down."""
        return 0.0, 0.0, -_BED_RAD_S
