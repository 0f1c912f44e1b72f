"""Driving on a night round: along the route, around a sheet, out of the way.

Speeds are those of the base, forward [m/s] and to the left [rad/s].
"""

from __future__ import annotations

import math

import numpy as np

from physai.body.heading import heading_of, wrap
from physai.plant.night_round_kernel import Figure
from physai.tasks.care.night_round import CareNightRound
from physai.tasks.care.night_round_kernel import SHEET, follow
from physai.types import Array, State

__all__ = ["CRUISE_M_S", "DOOR_M_S", "NightRoundDriving"]

CRUISE_M_S = 0.28
DOOR_M_S = 0.14
_TURN_RAD_S = 0.42
_GAIN_PER_S = 1.2
_ARRIVED_M = 0.02
_CLEAR_M = 0.08
"""How far from where somebody would leave it stands."""
_SIDE_M = 0.13
"""How far it gives way to a sheet."""


class NightRoundDriving:
    """Drives a base by the state.

    Args:
        task: The task; gives the route and the room.
    """

    def __init__(self, task: CareNightRound) -> None:
        self.task = task
        self._way = np.empty(4)
        self.reset()

    def reset(self) -> None:
        """Start an episode."""
        self._side = 0.0

    def drive(self, state: State, rest_m: float) -> Array:
        """Base speeds along the route to so far before its end."""
        task, pose = self.task, state.base_pose_in_world
        x, y = float(pose[0]), float(pose[1])
        follow(x, y, task.route, task.settings.route.look_ahead_m, self._way)
        left = float(self._way[1]) - rest_m
        goal = self._way[2:4].copy()
        goal[0] += self._give_way(state, y)
        if left <= _ARRIVED_M:
            return np.zeros(2)
        fastest = DOOR_M_S if self._near_door(x, y) else CRUISE_M_S
        return self.steer(state, goal, min(fastest, 0.02 + _GAIN_PER_S * left))

    def steer(self, state: State, goal: Array, speed: float) -> Array:
        """Base speeds toward a place: turn on the spot first, then drive in a bow."""
        pose = state.base_pose_in_world
        turn = wrap(math.atan2(goal[1] - pose[1], goal[0] - pose[0]) - heading_of(pose))
        if abs(turn) > 0.35:
            return np.array([0.0, _limited(2.0 * turn, _TURN_RAD_S)])
        return np.array([speed * (1.0 - abs(turn)), _limited(1.8 * turn, _TURN_RAD_S)])

    def turn_to(self, state: State, place: Array) -> Array:
        """Turn on the spot until a place is ahead."""
        pose = state.base_pose_in_world
        turn = math.atan2(place[1] - pose[1], place[0] - pose[0]) - heading_of(pose)
        return np.array([0.0, _limited(wrap(turn), _TURN_RAD_S)])

    def in_exit_zone(self, state: State) -> bool:
        """Return whether the base stands where somebody would leave the room."""
        f, k = self.task.site, Figure.EXIT
        x, y = state.base_pose_in_world[:2].tolist()
        more = f[Figure.BASE_RADIUS] + _CLEAR_M
        return bool(
            f[k] - more < x < f[k + 2] + more and f[k + 1] - more < y < f[k + 3] + more
        )

    def _near_door(self, x: float, y: float) -> bool:
        f, k = self.task.site, Figure.EXIT
        return bool(f[k + 1] - 0.7 < y < f[k + 3] and f[k] - 0.2 < x < f[k + 2] + 0.2)

    def _give_way(self, state: State, y: float) -> float:
        """How far west of the route to drive, for a sheet that trails from the bed."""
        if state.extras[SHEET] < 1.2:
            self._side = _SIDE_M
        if y > self.task.site[Figure.TABLE + 1] - 0.6:
            self._side = 0.0
        return -self._side


def _limited(value: float, most: float) -> float:
    return min(most, max(-most, value))
