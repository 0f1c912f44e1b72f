"""The scripted expert of CareNightRound: proof that it can be done, and a baseline.

It sees the state and nothing else. It follows the route, keeps clear of a sheet that the
floor camera shows, calls the staff when a track that is nobody's badge is off the bed
and in view, delivers with the base at rest, and waits where it blocks nobody.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from physai.plant.night_round_kernel import PELVIS, Figure, on_bed, sees
from physai.tasks.care.night_round import CareNightRound
from physai.tasks.care.night_round_kernel import follow, yaw_of
from physai.types import Array, State

__all__ = ["NightRoundExpert"]

_CRUISE_M_S = 0.28
_DOOR_M_S = 0.14
_TURN_RAD_S = 0.42
_GAIN_PER_S = 1.2
_ARRIVED_M = 0.02
_ABOVE_M = 0.06
"""The item is carried over the table at this height above it."""
_ON_M = 0.015
"""Near enough to the table top to open the hand."""
_AT_M = 0.012
_LIFT_M = 0.16
_ARM_M_S = 0.10
_LEVEL_PER_S = 1.0
_LOWER_M_S = 0.05
_REPORT_SHARE = 0.9
"""Of the distance at which a report counts."""
_BADGE_M = 0.9
"""A track so near to the badge is the carer."""
_BED_MARGIN_M = 0.12
_SIDE_M = 0.13
"""How far it gives way to a sheet."""
_REPORT_PAUSE = 60
"""Steps between two reports."""

(
    _MISSION,
    _HELD,
    _TILT,
    _BED_EXIT,
    _ACKNOWLEDGED,
    _LIGHT,
    _EXIT_S,
    _SHEET,
    _TABLE_X,
    _TABLE_Y,
    _BADGE_X,
    _BADGE_Y,
) = range(12)


class NightRoundExpert:
    """Acts on a state.

    Args:
        task: The task; gives route, places and what an action of 1.0 stands for.
    """

    def __init__(self, task: CareNightRound) -> None:
        self.task = task
        self._bed = task.site.copy()
        self._bed[Figure.BED : Figure.BED + 2] -= _BED_MARGIN_M
        self._bed[Figure.BED + 2 : Figure.BED + 4] += _BED_MARGIN_M
        # What the expert takes for in view is so in spite of the tracker's errors.
        self._view = task.site.copy()
        self._view[Figure.VIEW_ANGLE] -= 0.15
        self._view[Figure.DOOR_LOW] += 0.12
        self._view[Figure.DOOR_HIGH] -= 0.12
        self._way = np.empty(4)
        self.reset()

    def reset(self) -> None:
        """Start an episode."""
        self._handling = False
        self._reporting, self._told, self._told_fall = 0, False, False
        self._retreat = -_DOOR_M_S
        self._side = 0.0

    def act(self, state: State) -> npt.NDArray[np.float32]:
        """Return the action for a state."""
        base, arm, turn, opens = np.zeros(2), np.zeros(3), np.zeros(3), 0.0
        found = self._resident(state)
        if state.extras[_MISSION] > 0.5:
            base = self._search(state, found)
        elif self._handling or self._beside(state):
            self._handling = True
            arm, opens = self._handle(state)
            turn = self._level(state)
        elif found is not None and self._in_the_way(state, found):
            base = self._leave_door(state, found)
        elif self._told and self._in_exit_zone(state) and self._retreat:
            base = np.array([self._retreat, 0.0])
        else:
            base = self._drive(state, 0.0)
        return self._action(base, arm, turn, opens, self._report(state, found))

    # Driving

    def _drive(self, state: State, rest_m: float) -> Array:
        """Base speeds along the route to so far before its end."""
        task, pose = self.task, state.base_pose_in_world
        x, y = float(pose[0]), float(pose[1])
        follow(x, y, task.route, task.settings.route.look_ahead_m, self._way)
        left = float(self._way[1]) - rest_m
        goal = self._way[2:4].copy()
        goal[0] += self._give_way(state, y)
        if left <= _ARRIVED_M:
            return np.zeros(2)
        fastest = _DOOR_M_S if self._near_door(x, y) else _CRUISE_M_S
        return self._steer(state, goal, min(fastest, 0.02 + _GAIN_PER_S * left))

    def _steer(self, state: State, goal: Array, speed: float) -> Array:
        """Base speeds toward a place: turn on the spot first, then drive in a bow."""
        pose = state.base_pose_in_world
        turn = _wrapped(math.atan2(goal[1] - pose[1], goal[0] - pose[0]) - yaw_of(pose))
        if abs(turn) > 0.35:
            return np.array([0.0, _limited(2.0 * turn, _TURN_RAD_S)])
        return np.array([speed * (1.0 - abs(turn)), _limited(1.8 * turn, _TURN_RAD_S)])

    def _near_door(self, x: float, y: float) -> bool:
        f, k = self.task.site, Figure.EXIT
        return bool(f[k + 1] - 0.7 < y < f[k + 3] and f[k] - 0.2 < x < f[k + 2] + 0.2)

    def _give_way(self, state: State, y: float) -> float:
        """How far west of the route to drive, for a sheet that trails from the bed."""
        if state.extras[_SHEET] < 1.2:
            self._side = _SIDE_M
        if y > self.task.site[Figure.TABLE + 1] - 0.6:
            self._side = 0.0
        return -self._side

    def _beside(self, state: State) -> bool:
        """Whether the base stands where the arm can put the item down."""
        ahead, across = self._goal(state)[:2].tolist()
        still = abs(float(state.actuator_velocity[0])) < 0.01
        return ahead < 0.05 and abs(across) < 0.8 and still

    # Handling

    def _goal(self, state: State) -> Array:
        """(3,) TCP of the placed item in the base frame, by the measured table."""
        task, e = self.task, state.extras
        yaw = yaw_of(state.base_pose_in_world)
        dx, dy = task.settings.route.place_offset_m
        c, s = math.cos(yaw), math.sin(yaw)
        return np.array(
            [
                e[_TABLE_X] + dx * c + dy * s,
                e[_TABLE_Y] - dx * s + dy * c,
                task.place_m[2],
            ]
        )

    def _handle(self, state: State) -> tuple[Array, float]:
        """Velocity of the tool in the base frame, and whether the hand opens."""
        task, goal = self.task, self._goal(state)
        k = task.kinematics
        k.update(state.actuator_position)
        tool = k.tool_position
        away = float(np.hypot(*(tool - goal)[:2]))
        if state.extras[_HELD] < 0.5:
            return _toward(tool, [tool[0], tool[1], goal[2] + _LIFT_M], _ARM_M_S), 0.0
        if away > _AT_M:
            # Over the table first: round the base's column, not through it.
            via = goal + np.array([0.0, 0.0, _ABOVE_M])
            radius = float(np.hypot(tool[0], tool[1]))
            bearing = math.atan2(tool[1], tool[0])
            turn = _wrapped(math.atan2(via[1], via[0]) - bearing)
            if abs(turn) > 0.15:
                ahead = bearing + _limited(turn, 0.4)
                reach = max(radius, 0.32)
                via = np.array(
                    [reach * math.cos(ahead), reach * math.sin(ahead), tool[2]]
                )
            elif tool[2] - via[2] < -0.02:
                via[:2] = tool[:2]
            return _toward(tool, via, _ARM_M_S), 0.0
        height = float(tool[2] - goal[2])
        down = _toward(tool, goal, _LOWER_M_S)
        return down, 1.0 if height < _ON_M else 0.0

    # Searching and reporting

    def _search(self, state: State, found: Array | None) -> Array:
        """Base speeds of a search: look, turn toward who is up, get out of the way."""
        inside, pose = self._in_exit_zone(state), state.base_pose_in_world
        if found is None:
            if self._told:
                return np.array([self._retreat if inside else 0.0, 0.0])
            return self._drive(state, self.task.settings.route.lookout_m)
        if self._told or self._in_view(state, found):
            return self._leave_door(state, found)
        wall = self.task.site[Figure.WALL_Y]
        if found[1] < wall:
            lane = self.task.route[0, 1]
            return self._steer(state, np.array([found[0] - 1.0, lane]), _CRUISE_M_S)
        if not inside and pose[1] > wall:
            return self._turn_to(state, found)
        return self._drive(state, self.task.settings.route.lookout_m)

    def _leave_door(self, state: State, found: Array) -> Array:
        """Back out of the exit zone, away from whoever may want through; or stand."""
        if not self._in_exit_zone(state):
            return np.zeros(2)
        pose = state.base_pose_in_world
        yaw = yaw_of(pose)
        ahead = (found[0] - pose[0]) * math.cos(yaw) + (found[1] - pose[1]) * math.sin(
            yaw
        )
        self._retreat = -_DOOR_M_S if ahead > 0.0 else _DOOR_M_S
        return np.array([self._retreat, 0.0])

    def _in_the_way(self, state: State, place: Array) -> bool:
        """Whether somebody is up in the room, told of, and the robot not yet in it."""
        room, y = self.task.site[Figure.WALL_Y], state.base_pose_in_world[1]
        known = self._told or self._in_view(state, place)
        return bool(known and place[1] > room and -0.2 < y < room + 1.1)

    def _turn_to(self, state: State, place: Array) -> Array:
        """Turn on the spot until a place is ahead."""
        pose = state.base_pose_in_world
        turn = math.atan2(place[1] - pose[1], place[0] - pose[0]) - yaw_of(pose)
        return np.array([0.0, _limited(_wrapped(turn), _TURN_RAD_S)])

    def _in_exit_zone(self, state: State) -> bool:
        f, k = self.task.site, Figure.EXIT
        x, y = state.base_pose_in_world[:2].tolist()
        more = f[Figure.BASE_RADIUS] + 0.05
        return bool(
            f[k] - more < x < f[k + 2] + more and f[k + 1] - more < y < f[k + 3] + more
        )

    def _resident(self, state: State) -> Array | None:
        """Place of the nearest track off the bed that is not a carer's; or None."""
        best, found = math.inf, None
        for body in state.people:
            place = 0.5 * (body[PELVIS, :3] + body[PELVIS, 3:6])
            badge = math.dist(place[:2], state.extras[_BADGE_X : _BADGE_Y + 1])
            if badge < _BADGE_M or on_bed(place, self._bed):
                continue
            away = math.dist(place[:2], state.base_pose_in_world[:2])
            if away < best:
                best, found = away, place
        return found

    def _in_view(self, state: State, place: Array) -> bool:
        f, pose = self._view, state.base_pose_in_world
        reach = _REPORT_SHARE * f[Figure.REPORT_DISTANCE]
        yaw = yaw_of(pose)
        return sees(pose[0], pose[1], yaw, place[0], place[1], reach, f)

    def _report(self, state: State, found: Array | None) -> float:
        """1 for one step when a resident is seen who is not yet reported."""
        self._reporting -= 1
        self._told = bool(state.extras[_ACKNOWLEDGED] > 0.5)
        if found is None or not self._in_view(state, found):
            return 0.0
        low = bool(found[2] < self.task.site[Figure.FLOOR_HEIGHT])
        known = self._told_fall if low else self._told
        if known or self._reporting > 0:
            return 0.0
        self._told_fall, self._reporting = low, _REPORT_PAUSE
        self._retreat = -_DOOR_M_S
        return 1.0

    def _action(
        self, base: Array, arm: Array, turn: Array, opens: float, report: float
    ) -> npt.NDArray[np.float32]:
        a = self.task.settings.action
        action = np.concatenate(
            [
                base / [a.base_linear_m_s, a.base_angular_rad_s],
                arm / a.tool_linear_m_s,
                turn / a.tool_angular_rad_s,
                [opens, report],
            ]
        )
        cut: npt.NDArray[np.float32] = np.clip(action, -1.0, 1.0).astype(np.float32)
        return cut

    def _level(self, state: State) -> Array:
        """Turn of the tool that brings its z straight down, base frame."""
        k = self.task.kinematics
        k.update(state.actuator_position)
        up = -k.tool_rotation[:, 2]
        return _LEVEL_PER_S * np.array([up[1], -up[0], 0.0])


def _toward(place: Array, goal: Array | list[float], speed: float) -> Array:
    way = _GAIN_PER_S * 2.0 * (np.asarray(goal) - place)
    size = float(np.linalg.norm(way))
    return way if size <= speed else way * (speed / size)


def _limited(value: float, most: float) -> float:
    return min(most, max(-most, value))


def _wrapped(angle: float) -> float:
    return math.atan2(math.sin(angle), math.cos(angle))
