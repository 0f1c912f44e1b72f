"""The scripted expert of CareNightRound: proof that it can be done, and a baseline.

It sees the state and nothing else. It follows the route, keeps clear of a sheet that the
floor camera shows, calls the staff when a track that is nobody's badge is off the bed
and in view, delivers with the base at rest, and waits where it blocks nobody.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from physai.body.heading import heading_of
from physai.plant.night_round_kernel import PELVIS, Figure, on_bed, sees
from physai.tasks.care.night_round import CareNightRound
from physai.tasks.care.night_round_driving import (
    CRUISE_M_S,
    DOOR_M_S,
    NightRoundDriving,
)
from physai.tasks.care.night_round_handling import NightRoundHandling
from physai.tasks.care.night_round_kernel import (
    ACKNOWLEDGED,
    BADGE_X,
    BADGE_Y,
    MISSION,
)
from physai.tasks.motion import cut_action
from physai.types import Array, State

__all__ = ["NightRoundExpert"]

_REPORT_SHARE = 0.9
"""Of the distance at which a report counts."""
_BADGE_M = 0.9
"""A track so near to the badge is the carer."""
_BED_MARGIN_M = 0.12
_REPORT_HELD = 80
"""Steps of a press that is not acknowledged. It is held until it is: a press that lasts
is one report, and shows who imitates it when it is due."""
_REPORT_PAUSE = 50
"""Steps for which the button is let go before it is pressed again."""


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
        self._view = _narrowed(task.site, 0.15, 0.04, _REPORT_SHARE)
        # It goes on a little until it stands well in view: who stands at the edge is lost
        # by the next step of either, and who imitates that neither goes nor stays.
        self._well = _narrowed(task.site, 0.25, 0.12, _REPORT_SHARE - 0.1)
        self._driving = NightRoundDriving(task)
        self._hand = NightRoundHandling(task)
        self.reset()

    def reset(self) -> None:
        """Start an episode."""
        self._handling = False
        self._pressed, self._told, self._told_fall = 0, False, False
        self._retreat = 0.0
        self._driving.reset()

    def act(self, state: State) -> npt.NDArray[np.float32]:
        """Return the action for a state."""
        base, arm, turn, opens = np.zeros(2), np.zeros(3), np.zeros(3), 0.0
        found = self._resident(state)
        if state.extras[MISSION] > 0.5:
            base = self._search(state, found)
        elif self._handling or self._hand.beside(state):
            self._handling = True
            arm, opens = self._hand.handle(state)
            turn = self._hand.level(state)
        elif found is not None and self._in_the_way(state, found):
            base = self._leave_door(state, found)
        elif self._told and self._driving.in_exit_zone(state) and self._retreat:
            base = np.array([self._retreat, 0.0])
        else:
            base = self._driving.drive(state, 0.0)
        return self._action(base, arm, turn, opens, self._report(state, found))

    # Searching and reporting

    def _search(self, state: State, found: Array | None) -> Array:
        """Base speeds of a search: look, turn toward who is up, get out of the way."""
        inside, pose = self._driving.in_exit_zone(state), state.base_pose_in_world
        if found is None:
            if self._told:
                back = self._retreat or -DOOR_M_S
                return np.array([back if inside else 0.0, 0.0])
            return self._driving.drive(state, self.task.settings.route.lookout_m)
        if self._told:
            return self._leave_door(state, found)
        if _in_view(state, found, self._well):
            return np.zeros(2)
        wall = self.task.site[Figure.WALL_Y]
        if found[1] < wall:
            lane = self.task.route[0, 1]
            return self._driving.steer(
                state, np.array([found[0] - 1.0, lane]), CRUISE_M_S
            )
        if not inside and pose[1] > wall:
            return self._driving.turn_to(state, found)
        return self._driving.drive(state, self.task.settings.route.lookout_m)

    def _leave_door(self, state: State, found: Array) -> Array:
        """Back out of the exit zone, away from whoever may want through; or stand."""
        if not self._driving.in_exit_zone(state):
            self._retreat = 0.0
            return np.zeros(2)
        pose = state.base_pose_in_world
        yaw = heading_of(pose)
        ahead = (found[0] - pose[0]) * math.cos(yaw) + (found[1] - pose[1]) * math.sin(
            yaw
        )
        self._retreat = -DOOR_M_S if ahead > 0.0 else DOOR_M_S
        return np.array([self._retreat, 0.0])

    def _in_the_way(self, state: State, place: Array) -> bool:
        """Whether somebody is up in the room, told of, and the robot not yet in it."""
        room, y = self.task.site[Figure.WALL_Y], state.base_pose_in_world[1]
        known = self._told or _in_view(state, place, self._view)
        return bool(known and place[1] > room and -0.2 < y < room + 1.1)

    def _resident(self, state: State) -> Array | None:
        """Place of the nearest track off the bed that is not a carer's; or None."""
        best, found = math.inf, None
        for body in state.people:
            place = 0.5 * (body[PELVIS, :3] + body[PELVIS, 3:6])
            badge = math.dist(place[:2], state.extras[BADGE_X : BADGE_Y + 1])
            if badge < _BADGE_M or on_bed(place, self._bed):
                continue
            away = math.dist(place[:2], state.base_pose_in_world[:2])
            if away < best:
                best, found = away, place
        return found

    def _report(self, state: State, found: Array | None) -> float:
        """1 while a resident is seen who is not yet reported, until it is acknowledged."""
        told = bool(state.extras[ACKNOWLEDGED] > 0.5)
        low = found is not None and found[2] < self.task.site[Figure.FLOOR_HEIGHT]
        # What is acknowledged first includes that somebody lies. Of a fall after that no
        # acknowledgement tells: it is told when the button was held.
        held = self._pressed >= _REPORT_HELD
        self._told_fall |= bool(low and told and (held or not self._told))
        self._told = told
        known = self._told_fall if low else told
        if known or found is None or not _in_view(state, found, self._view):
            self._pressed = 0
            return 0.0
        self._pressed += 1
        if self._pressed > _REPORT_HELD + _REPORT_PAUSE:
            self._pressed = 0
        return 1.0 if self._pressed <= _REPORT_HELD else 0.0

    def _action(
        self, base: Array, arm: Array, turn: Array, opens: float, report: float
    ) -> npt.NDArray[np.float32]:
        a = self.task.settings.action
        return cut_action(
            np.concatenate(
                [
                    base / [a.base_linear_m_s, a.base_angular_rad_s],
                    arm / a.tool_linear_m_s,
                    turn / a.tool_angular_rad_s,
                    [opens, report],
                ]
            )
        )


def _narrowed(site: Array, angle_rad: float, door_m: float, share: float) -> Array:
    """Return the figures of a room with less of it in view."""
    view = site.copy()
    view[Figure.VIEW_ANGLE] -= angle_rad
    view[Figure.DOOR_LOW] += door_m
    view[Figure.DOOR_HIGH] -= door_m
    view[Figure.REPORT_DISTANCE] *= share
    return view


def _in_view(state: State, place: Array, view: Array) -> bool:
    """Return whether a place is in view from the base."""
    pose = state.base_pose_in_world
    reach = view[Figure.REPORT_DISTANCE]
    return sees(pose[0], pose[1], heading_of(pose), place[0], place[1], reach, view)
