"""Handling on a night round: over the table, down, let go, up again.

The *base frame* is the robot's: x forward, y left, z up.
"""

from __future__ import annotations

import math

import numpy as np

from physai.body.heading import heading_of, wrap
from physai.tasks.care.night_round import CareNightRound
from physai.tasks.care.night_round_kernel import HELD, TABLE_X, TABLE_Y, placed
from physai.tasks.motion import limit_length
from physai.types import Array, State

__all__ = ["NightRoundHandling"]

_GAIN_PER_S = 2.4
_ABOVE_M = 0.06
"""The item is carried over the table at this height above it."""
_ON_M = 0.015
"""Near enough to the table top to open the hand."""
_OPENING_M = 0.01
"""Over this distance the command to open grows from 0 to 1."""
_OVER_M = 0.04
"""As far across, or nearer, the item begins to go down."""
_AT_M = 0.008
"""As near across, it may go down to the table."""
_LIFT_M = 0.16
_ARM_M_S = 0.10
_LEVEL_PER_S = 1.0
_LOWER_M_S = 0.05
_TURN_RAD = 0.4
"""Ahead of where the tool is, on its way round the base's column."""


class NightRoundHandling:
    """Moves the tool by the state.

    Args:
        task: The task; gives the arm and the place of the item.
    """

    def __init__(self, task: CareNightRound) -> None:
        self.task = task

    def beside(self, state: State) -> bool:
        """Whether the base stands where the arm can put the item down."""
        ahead, across = self._goal(state)[:2].tolist()
        still = abs(float(state.actuator_velocity[0])) < 0.01
        return ahead < 0.05 and abs(across) < 0.8 and still

    def handle(self, state: State) -> tuple[Array, float]:
        """Velocity of the tool in the base frame, and whether the hand opens."""
        task, goal = self.task, self._goal(state)
        k = task.kinematics
        k.update(state.actuator_position)
        tool = k.tool_position
        away = float(np.hypot(*(tool - goal)[:2]))
        if state.extras[HELD] < 0.5:
            return _toward(tool, [tool[0], tool[1], goal[2] + _LIFT_M], _ARM_M_S), 0.0
        if away > _OVER_M:
            # Over the table first: round the base's column, not through it.
            via = goal + np.array([0.0, 0.0, _ABOVE_M])
            radius = float(np.hypot(tool[0], tool[1]))
            bearing = math.atan2(tool[1], tool[0])
            turn = wrap(math.atan2(via[1], via[0]) - bearing)
            if abs(turn) > 0.15:
                ahead = bearing + min(_TURN_RAD, max(-_TURN_RAD, turn))
                reach = max(radius, 0.32)
                via = np.array(
                    [reach * math.cos(ahead), reach * math.sin(ahead), tool[2]]
                )
            elif tool[2] - via[2] < -0.02:
                via[:2] = tool[:2]
            return _toward(tool, via, _ARM_M_S), 0.0
        height = float(tool[2] - goal[2])
        # A funnel: the lower, the nearer. What sinks by a threshold alone hovers at it
        # in whoever imitates it.
        wide = (away - _AT_M) / (_OVER_M - _AT_M)
        goal[2] += _ABOVE_M * max(0.0, wide)
        down = _toward(tool, goal, _LOWER_M_S)
        # It opens above one half: on the table and in place. A press of one step of
        # thousands shows nobody when it is due.
        near = _ON_M - max(height, away)
        return down, min(1.0, max(0.0, 0.5 + near / _OPENING_M))

    def level(self, state: State) -> Array:
        """Turn of the tool that brings its z straight down, base frame."""
        k = self.task.kinematics
        k.update(state.actuator_position)
        up = -k.tool_rotation[:, 2]
        return _LEVEL_PER_S * np.array([up[1], -up[0], 0.0])

    def _goal(self, state: State) -> Array:
        """(3,) TCP of the placed item in the base frame, by the measured table."""
        e, yaw, goal = state.extras, heading_of(state.base_pose_in_world), np.empty(3)
        c, s = math.cos(yaw), math.sin(yaw)
        placed(e[TABLE_X], e[TABLE_Y], c, s, self.task.place_from_table, goal)
        return goal


def _toward(place: Array, goal: Array | list[float], speed: float) -> Array:
    return limit_length(_GAIN_PER_S * (np.asarray(goal) - place), speed)
