"""The scripted expert of LogisticsPalletize: proof that it can be done, and a baseline.

It sees the state and nothing else: go above the case, down, draw, wait for the vacuum,
up, over, down into the slot, let go, up again. It moves no faster than the case's vacuum
margin invites and leaves everything about people to the guard: where it is stopped or
slowed, it waits and goes on.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from physai.body.heading import half_turn, heading_of
from physai.tasks.logistics.palletize import LogisticsPalletize
from physai.tasks.logistics.palletize_kernel import (
    CASE,
    CASE_YAW,
    HELD,
    LEFT,
    MARGIN,
    MASS,
    SIZE,
    SLOT,
    SLOT_YAW,
    VACUUM,
    to_people,
)
from physai.tasks.motion import cut_action
from physai.types import Array, State

__all__ = ["PalletizeExpert"]

_GAIN_PER_S = 2.2
_YAW_GAIN_PER_S = 2.0
_CRUISE_M_S = 0.65
_ACCELERATION_M_S2 = 1.2
_CLEAR_Z_M = 0.84
"""Lower edge of a carried case on its way: over conveyor and every stack's layer."""
_EMPTY_Z_M = 0.98
"""Cups without a case on their way."""
_ABOVE_M = 0.10
_DOWN_M_S = 0.25
_TOUCH_M_S = 0.06
_TOUCH_FROM_M = 0.035
_ACROSS_M = 0.015
"""Sideways error with which it goes down."""
_YAW_RAD = 0.03
_READY_KPA = 46.0
_WAIT_STEPS = 20
_LET_GO_M = 0.009
_YAW_MIDDLE_RAD = -0.6
_NEAR_M = 1.85
_NEAR_RAD_S = 0.6
_FAR_RAD_S = 1.2
_HOLDS_N_PER_KPA = 3.2
"""Four cups of 8 cm2."""


class PalletizeExpert:
    """Acts on the state.

    Args:
        task: The task; gives the limits of the action.
    """

    def __init__(self, task: LogisticsPalletize) -> None:
        self.task = task
        self.reset()

    def reset(self) -> None:
        """Start an episode."""
        self._velocity = np.zeros(3)
        self._rising = self._down = False
        self._release_z = 0.0
        self._wait = 0
        self._gently = 1.0
        self._near = np.empty(3)

    def act(self, state: State) -> npt.NDArray[np.float32]:
        """Return the action for a state."""
        if state.extras[HELD] > 0.5:
            return self._carry(state)
        return self._fetch(state)

    def _fetch(self, state: State) -> npt.NDArray[np.float32]:
        """To the case that waits; where none is left, stay."""
        seen, tool = state.extras, state.tool_pose_in_world
        case = seen[CASE : CASE + 3]
        self._wait, self._gently = 0, 1.0
        away = case - tool[:3]
        across = math.hypot(away[0], away[1])
        turn = _turn(float(seen[CASE_YAW]), tool)
        if seen[LEFT] < 0.5 and not self._rising:
            return self._action(state, tool[:3].copy(), _DOWN_M_S, 0.0, False)
        if self._rising:
            # Straight up first, so that nothing beside is swept away.
            goal = np.array([tool[0], tool[1], tool[2] + 0.3])
            self._rising = bool(tool[2] < self._release_z + 0.06)
            return self._action(state, goal, _DOWN_M_S, 0.0, False)
        if self._straight(across, turn):
            gap = tool[2] - case[2]
            speed = _DOWN_M_S if gap > _TOUCH_FROM_M else _TOUCH_M_S
            goal = np.array([case[0], case[1], case[2] - 0.006])
            return self._action(state, goal, speed, turn, gap < _TOUCH_FROM_M)
        goal = np.array([case[0], case[1], max(_EMPTY_Z_M, case[2] + _ABOVE_M)])
        if across > 0.08 and tool[2] < goal[2] - 0.04:
            goal[:2] = tool[:2]
        elif across < 0.15:
            goal[2] = case[2] + 0.5 * _ABOVE_M
        return self._action(state, goal, _CRUISE_M_S, turn, False)

    def _carry(self, state: State) -> npt.NDArray[np.float32]:
        """Up, over and down into the slot."""
        seen, tool = state.extras, state.tool_pose_in_world
        height, mass = float(seen[SIZE + 2]), max(0.1, float(seen[MASS]))
        if seen[VACUUM] < _READY_KPA and self._wait < _WAIT_STEPS:
            self._wait += 1
            return self._action(state, tool[:3].copy(), _TOUCH_M_S, 0.0, True)
        self._wait = _WAIT_STEPS
        case, slot = seen[CASE : CASE + 3], seen[SLOT : SLOT + 3]
        away = slot - case
        across = math.hypot(away[0], away[1])
        turn = _turn(heading_of(tool) + float(seen[SLOT_YAW] - seen[CASE_YAW]), tool)
        margin = _HOLDS_N_PER_KPA * float(seen[VACUUM]) / (9.81 * mass)
        cruise = _CRUISE_M_S * min(1.0, max(0.35, margin - 1.0))
        # What is felt counts too: a case that is heavier on one side peels.
        felt = 1.5 * (float(seen[MARGIN]) - 1.15)
        self._gently = min(1.0, max(0.15, min(margin - 1.2, felt)))
        cruise = min(cruise, _CRUISE_M_S * max(0.4, self._gently))
        over = tool[:3] + away
        if self._straight(across, turn):
            drop = -float(away[2])
            if drop < _LET_GO_M:
                self._rising, self._release_z = True, float(tool[2])
                return self._action(state, tool[:3].copy(), _TOUCH_M_S, 0.0, False)
            speed = _DOWN_M_S if drop > 0.06 else _TOUCH_M_S
            return self._action(state, over, speed, turn, True)
        travel = max(_CLEAR_Z_M + height, float(slot[2]) + _ABOVE_M)
        goal = np.array([over[0], over[1], travel])
        if across > 0.08 and tool[2] < travel - 0.05:
            goal[:2] = tool[:2]
            turn = 0.0
        elif across < 0.12:
            goal[2] = max(float(slot[2]) + 0.6 * _ABOVE_M, min(travel, tool[2]))
        return self._action(state, goal, cruise, turn, True)

    def _action(
        self, state: State, goal: Array, speed: float, turn: float, vacuum: bool
    ) -> npt.NDArray[np.float32]:
        limits, tool = self.task.settings.action, state.tool_pose_in_world
        wanted = _GAIN_PER_S * (goal - tool[:3])
        length = float(np.linalg.norm(wanted))
        if length > speed:
            wanted *= speed / length
        change = wanted - self._velocity
        most = _ACCELERATION_M_S2 * self._gently / self.task.environment.control_hz
        size = float(np.linalg.norm(change))
        if size > most:
            change *= most / size
        self._velocity = self._velocity + change
        yaw = float(np.clip(_YAW_GAIN_PER_S * turn, -0.8, 0.8))
        action = np.array(
            [
                *(self._velocity / limits.linear_m_s),
                yaw / limits.yaw_rad_s,
                1.0 if vacuum else -1.0,
            ]
        )
        # Beside people no joint may be faster than it stops in: asked for less, the arm
        # keeps its path, which bounds joint by joint would bend.
        to_people(tool[0], tool[1], state.people, self._near)
        most = _NEAR_RAD_S if self._near[0] < _NEAR_M else _FAR_RAD_S
        asked = np.abs(self.task.decode(action, state).actuator_velocity).max()
        if asked > most:
            action[:4] *= most / asked
            self._velocity *= most / asked
        return cut_action(action)

    def _straight(self, across: float, turn: float) -> bool:
        """Whether it goes down; once it does, a larger error is mended on the way."""
        more = 2.5 if self._down else 1.0
        self._down = across < more * _ACROSS_M and abs(turn) < more * _YAW_RAD
        return self._down


def _turn(yaw: float, tool: Array) -> float:
    """Turn of the cups to a yaw or the one half a turn from it [rad].

    Of the two the one is taken that keeps the last wrist joint in the middle of its range
    all along; half a turn each time would wind it up.
    """
    return half_turn(yaw - _YAW_MIDDLE_RAD) + _YAW_MIDDLE_RAD - heading_of(tool)
