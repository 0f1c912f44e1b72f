"""The scripted expert of CareFeeding: proof that it can be done, and a baseline.

It sees what the policy sees (the observation of the state) and nothing else. It waits
outside the face zone until the person agrees, goes to the stand-off, waits for the
open mouth, goes in along the mouth's axis, waits until the spoon is empty and
withdraws along the axis. Asked to stop, it withdraws at once.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from physai.tasks.care.feeding import CareFeeding
from physai.tasks.care.feeding_kernel import mouth_frame
from physai.tasks.motion import cut_action, limit_length
from physai.types import Array, State

__all__ = ["FeedingExpert"]

_CRUISE_M_S = 0.034
"""Below the contact floor of 0.035 m/s, which holds for the whole way."""
_INSERT_M_S = 0.018
_WITHDRAW_M_S = 0.038
_TURN_RAD_S = 0.08
_GAIN_PER_S = 1.6
_WAIT_M = 0.34
"""Tip from the lips until the person agrees: outside the face zone."""
_STANDOFF_M = 0.115
_CLEAR_M = 0.17
_DEPTH_M = 0.022
_CENTRE_M_S = 0.012
_CENTRED_M = 0.006
"""Inside the lips nothing advances that is farther from the axis."""
_ALIGNED_M = 0.012
_LEVEL_RAD = 0.12
_OPEN_M = 0.016
_FILTER = 0.25
_JUMP_M = 0.03
"""A head that moved so far is followed at once."""
_EMPTY = 0.12
"""Share of the bite that may stay on a spoon."""


class FeedingExpert:
    """Acts on the observation of a state.

    Args:
        task: The task; gives observation and limits of the action.
    """

    def __init__(self, task: CareFeeding) -> None:
        self.task = task
        self.reset()

    def reset(self) -> None:
        """Start an episode."""
        self._done = False
        self._mouth = np.full(3, np.nan)
        self._frame = np.empty((3, 3))

    def act(self, state: State) -> npt.NDArray[np.float32]:
        """Return the action for a state."""
        seen = self._steadied(state, self.task.observe(state).astype(np.float64))
        opening, consent, stop, food = seen[7:11]
        slope = float(np.clip(seen[6], -0.9, 0.9))
        spoon = np.array([-np.sqrt(1.0 - slope * slope), 0.0, slope])
        tip = seen[:3] + self.task.tip_m * spoon
        self._done = self._done or food < _EMPTY
        if self._done or stop > 0.5:
            velocity = self._toward(tip, [_CLEAR_M, 0.0, 0.0], _WITHDRAW_M_S)
            if tip[0] > _CLEAR_M:
                velocity[:] = 0.0
        elif consent < 0.5:
            return self._action(self._wait(tip), np.zeros(3))
        else:
            velocity = self._approach(tip, float(np.linalg.norm(seen[3:6])), opening)
        turn = limit_length(_GAIN_PER_S * seen[3:6], _TURN_RAD_S)
        return self._action(velocity, turn)

    def _steadied(self, state: State, seen: Array) -> Array:
        """Low-pass the mouth's place in the world: the face tracker is noisy."""
        mouth = state.extras[:3]
        if not np.linalg.norm(mouth - self._mouth) < _JUMP_M:
            self._mouth = mouth.copy()
        self._mouth += _FILTER * (mouth - self._mouth)
        mouth_frame(state.extras, self._frame)
        seen[:3] += self._frame.T @ (mouth - self._mouth)
        return seen

    def _wait(self, tip: Array) -> Array:
        """Stay out of the face zone; a person who has not agreed is not crowded."""
        distance = float(np.linalg.norm(tip))
        outward = tip / max(distance, 1e-6)
        return limit_length(
            _GAIN_PER_S * max(0.0, _WAIT_M - distance) * outward, _CRUISE_M_S
        )

    def _approach(self, tip: Array, angle: float, opening: float) -> Array:
        lateral = float(np.hypot(tip[1], tip[2]))
        inside = tip[0] < _STANDOFF_M - 0.02
        aligned = lateral < (0.016 if inside else _ALIGNED_M) and angle < _LEVEL_RAD
        near = tip[0] < _STANDOFF_M + 0.02
        if near and aligned and (opening > _OPEN_M or tip[0] < 0.005):
            return self._insert(tip)
        if tip[0] < 0.005:
            return self._insert(tip) * [0.0, 1.0, 1.0]
        if inside and not aligned:
            return self._toward(tip, [_STANDOFF_M, 0.0, 0.0], _INSERT_M_S)
        # A funnel: the farther from the axis, the farther out the goal.
        goal = [_STANDOFF_M + 0.3 * max(0.0, lateral - _ALIGNED_M), 0.0, 0.0]
        return self._toward(tip, goal, _CRUISE_M_S)

    def _insert(self, tip: Array) -> Array:
        """Along the axis, and to its middle first where the lips are near."""
        across = limit_length(_GAIN_PER_S * tip[1:] * -1.0, _CENTRE_M_S)
        lateral = float(np.hypot(tip[1], tip[2]))
        share = min(1.0, max(0.0, 2.0 - lateral / _CENTRED_M)) if tip[0] < 0.03 else 1.0
        ahead = limit_length(_GAIN_PER_S * np.array([-_DEPTH_M - tip[0]]), _INSERT_M_S)
        return np.array([share * ahead[0], *across])

    def _toward(self, tip: Array, goal: list[float], speed: float) -> Array:
        return limit_length(_GAIN_PER_S * (np.array(goal) - tip), speed)

    def _action(self, velocity: Array, turn: Array) -> npt.NDArray[np.float32]:
        limits = self.task.settings.action
        return cut_action(
            np.concatenate([velocity / limits.linear_m_s, turn / limits.angular_rad_s])
        )
