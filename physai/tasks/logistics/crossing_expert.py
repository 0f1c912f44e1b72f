"""The scripted expert of LogisticsCrossing: proof that it can be done, and a baseline.

It follows the route with its front axle, slows down before the blind crossing so that
it can stop for whoever steps out, holds for people by the same closed form as the guard
with more kept back, waits until they have been away for a while, and sets the pallet
down at its place. After a hold it goes on by itself; a latched stop is never released
by software.
"""

from __future__ import annotations

import math

import numba
import numpy as np
import numpy.typing as npt

from physai.safety.kernel import Parameter, permitted_speed
from physai.safety.sections.section import footprint_of
from physai.tasks.logistics.crossing import LogisticsCrossing
from physai.tasks.motion import cut_action
from physai.types import Array, State

__all__ = ["CrossingExpert", "gap_to_people"]

_CRUISE_M_S, _APPROACH_M_S, _CROSSING_M_S, _DROP_M_S = 1.5, 0.85, 0.42, 0.9
"""Below the site's 1.67 m/s, 0.9 m/s and 0.45 m/s of the specification."""
_BRAKE_M_S2 = 0.7
"""Comfortable; the guard counts on 1.3."""
_ACCELERATION_M_S2, _STOP_M_S2 = 0.6, 0.4
_REACTION_S, _DECELERATION_M_S2, _KEPT_M = 0.25, 1.2, 0.30
"""Of the closed form for people: a little more careful than the guard's."""
_WALKING_M_S = 1.6
_CLEAR_S = 2.0
"""How long the way must be clear before it sets off again."""
_LATERAL_PER_M2, _HEADING_PER_M = 0.7, 1.7
"""Feedback per metre driven: critically damped over 1.2 m."""
_CREEP_M_S = 0.05
_THERE_M, _STILL_M_S = 0.008, 0.02
_LOWER_M_S = 0.25


@numba.njit(cache=True)
def gap_to_people(
    pose: Array, footprint: Array, people: Array, ages: Array, walking: float
) -> float:
    """Return how near a person is, or could by now be, to a rectangle [m].

    Args:
        pose: (7,) of the base in the world.
        footprint: (4,) rear, front, right, left of the robot in its base frame [m].
        people: (P, S, 7) tracks.
        ages: (P,) [s].
        walking: Speed at which they may have come nearer since [m/s].

    Returns:
        Distance of the surfaces in the plane; infinity without people.
    """
    c = 1.0 - 2.0 * pose[5] * pose[5]
    s = 2.0 * pose[5] * pose[6]
    best = np.inf
    for p in range(people.shape[0]):
        for k in range(people.shape[1]):
            for e in range(2):
                dx = people[p, k, 3 * e] - pose[0]
                dy = people[p, k, 3 * e + 1] - pose[1]
                x, y = c * dx + s * dy, c * dy - s * dx
                u = max(0.0, max(footprint[0] - x, x - footprint[1]))
                v = max(0.0, max(footprint[2] - y, y - footprint[3]))
                d = math.sqrt(u * u + v * v) - people[p, k, 6] - walking * ages[p]
                best = min(best, d)
    return best


class CrossingExpert:
    """Acts on a state; sees no truth.

    Args:
        task: The task.
    """

    def __init__(self, task: LogisticsCrossing) -> None:
        self.task = task
        route = task.settings.route
        self._approach, self._crossing = route.approach_x_m, route.crossing_x_m
        self._carry_m = route.carry_height_m
        self._footprint = footprint_of(task.robot)
        p = np.zeros(Parameter.COUNT)
        p[Parameter.REACTION_TIME] = _REACTION_S
        p[Parameter.DECELERATION] = _DECELERATION_M_S2
        p[Parameter.OFFSET] = _KEPT_M
        self._parameters = p
        self._period_s = 1.0 / task.environment.control_hz
        self.reset()

    def reset(self) -> None:
        """Start an episode."""
        self._speed = 0.0
        self._clear_s = _CLEAR_S
        self._down = False

    def act(self, state: State) -> npt.NDArray[np.float32]:
        """Return the action for a state."""
        lateral, heading, rest, bend, _ = self.task.follow(state).tolist()
        mast = float(state.actuator_position[2])
        driven = float(state.actuator_velocity[0])
        there = abs(rest) < _THERE_M and abs(driven) < _STILL_M_S
        self._down = self._down or there
        if self._down:
            return self._action(0.0, 0.0, -_LOWER_M_S if mast > 0.005 else 0.0)
        lift = 0.0 if abs(mast - self._carry_m) < 0.02 else 0.1
        lift = math.copysign(lift, self._carry_m - mast)
        goal = min(self._planned(state, rest), self._beside_people(state))
        change = _ACCELERATION_M_S2 * self._period_s
        self._speed = min(max(goal, 0.0), max(driven, 0.0) + change + 0.02)
        if rest < 0.0:
            self._speed = -_CREEP_M_S if rest < -_THERE_M else 0.0
        turn = bend - _LATERAL_PER_M2 * lateral - _HEADING_PER_M * math.sin(heading)
        if self._speed < 0.0:
            turn = 0.0
        return self._action(self._speed, self._speed * turn, lift)

    def _planned(self, state: State, rest: float) -> float:
        """Speed by route and zones, without regard to people."""
        x = float(state.base_pose_in_world[0])
        speed = _CRUISE_M_S if x < self._approach[1] else _DROP_M_S
        for (start, end), limit in (
            (self._approach, _APPROACH_M_S),
            (self._crossing, _CROSSING_M_S),
        ):
            if x <= end:
                before = max(0.0, start - 0.1 - x)
                speed = min(speed, math.sqrt(limit**2 + 2.0 * _BRAKE_M_S2 * before))
        left = rest - 0.5 * _THERE_M
        if not left > 0.0:
            return 0.0
        # Slower and slower over the last 0.7 m, then creeping.
        stop = math.sqrt(2.0 * _STOP_M_S2 * left) * min(1.0, 0.3 + rest)
        return min(speed, max(stop, _CREEP_M_S))

    def _beside_people(self, state: State) -> float:
        """Speed from which it stops before people who walk on; 0 while it waits."""
        gap = gap_to_people(
            state.base_pose_in_world,
            self._footprint,
            state.people,
            state.people_age_s,
            _WALKING_M_S,
        )
        speed = permitted_speed(gap, _WALKING_M_S, self._parameters)
        if speed < 0.10:
            self._clear_s = 0.0
            return 0.0
        self._clear_s += self._period_s
        return speed if self._clear_s >= _CLEAR_S else 0.0

    def _action(
        self, linear: float, angular: float, mast: float
    ) -> npt.NDArray[np.float32]:
        a = self.task.settings.action
        asked = [linear / a.linear_m_s, angular / a.angular_rad_s, mast / a.mast_m_s]
        return cut_action(asked)
