"""Reward and outcome of a night round: pure functions of the truth.

What counts depends on the mission: a delivery, or a search after a bed-exit alarm.
"""

from __future__ import annotations

import numpy as np

from physai.plant.night_round_kernel import Figure
from physai.plant.night_round_settings import NightRoundConfig
from physai.tasks.care.night_round_kernel import (
    BED_EXIT,
    EXIT_ZONE,
    MISSION,
    TILT,
    follow,
)
from physai.tasks.care.night_round_settings import NightRoundSettings
from physai.tasks.task import Outcome, Reward
from physai.tasks.terms import nearness, ramp
from physai.types import Array, Truth

__all__ = ["NightRoundReward", "place_of"]

_DELIVERED, _SPILLED, _REPORTED, _FALSE, _UP_S, _FLOOR_S = 0, 1, 2, 3, 4, 5
_LOOKED_S, _CLEAR = 8, 9
"""Places of the true extras, as in the YAML."""

_ROUTE_SCALE_M = 10.0
"""About the longest way to go."""


def place_of(process: NightRoundConfig, settings: NightRoundSettings) -> Array:
    """Return the (3,) TCP when the item stands where it belongs, world [m]."""
    site, offset = process.site, settings.route.place_offset_m
    return np.array(
        [
            0.5 * (site.table.minimum_m[0] + site.table.maximum_m[0]) + offset[0],
            0.5 * (site.table.minimum_m[1] + site.table.maximum_m[1]) + offset[1],
            site.table_top_z_m + 0.5 * process.item.height_m,
        ]
    )


class NightRoundReward:
    """What a state of a night round is worth.

    Args:
        settings: Weights, route and what counts as done.
        process: Gives the item and the table.
        site: Figures of :class:`physai.plant.night_round_kernel.Figure`.
        control_hz: Of the environment.
        steps: Of a whole episode.
    """

    def __init__(
        self,
        settings: NightRoundSettings,
        process: NightRoundConfig,
        site: Array,
        control_hz: float,
        steps: float,
    ) -> None:
        self._settings, self._site = settings, site
        self._route = np.array(settings.route.points_m)
        self._place_m = place_of(process, settings)
        self._item_m = process.item.height_m
        self._control_hz, self._steps = control_hz, steps
        self._way = np.empty(4)

    def reward(self, truth: Truth) -> Reward:
        """Return progress of the mission; spill, false calls, blocking and time cost."""
        w, want = self._settings.reward, self._settings.success
        true, state = truth.extras.tolist(), truth.state
        pose = state.base_pose_in_world
        route = self._settings.route
        follow(
            float(pose[0]), float(pose[1]), self._route, route.look_ahead_m, self._way
        )
        left = float(self._way[1]) + abs(float(self._way[0]))
        if state.extras[MISSION] < 0.5:
            potential = w.route * nearness(left, _ROUTE_SCALE_M)
            potential += self._handling(truth)
        else:
            rest = max(0.0, left - route.lookout_m)
            potential = w.route * nearness(rest, _ROUTE_SCALE_M)
            potential += w.report * ramp(true[_REPORTED], 0.0, 1.0)
            potential += w.clear * ramp(true[_CLEAR], 0.0, want.clear_s)
        potential -= w.spill * ramp(true[_SPILLED], 0.0, 1.0)
        potential -= w.false_report * ramp(true[_FALSE], 0.0, 3.0)
        standing = 1.0 if state.extras[EXIT_ZONE] > 0.0 else 0.0
        rate = -w.blocked * standing / self._control_hz - w.time / self._steps
        if self.outcome(truth).finished:
            rate += w.success
        return Reward(potential, rate)

    def _handling(self, truth: Truth) -> float:
        """How far the item has come from the hand to the table, and the hand back."""
        w, want, tool = self._settings.reward, self._settings.success, truth.state
        delivered = ramp(truth.extras[_DELIVERED], 0.0, 1.0)
        away = float(np.linalg.norm(tool.tool_pose_in_world[:3] - self._place_m))
        above = float(tool.tool_pose_in_world[2]) - self._site[Figure.TABLE_TOP]
        near = w.reach * nearness(away, w.reach_scale_m)
        level = w.level * nearness(float(tool.extras[TILT]), 0.5)
        back = w.withdraw * ramp(above, self._item_m, want.withdrawn_m)
        return level + (1.0 - delivered) * near + delivered * (w.deliver + back)

    def outcome(self, truth: Truth) -> Outcome:
        """Return whether the mission is done, or rightly left at looking."""
        want, true, state = self._settings.success, truth.extras.tolist(), truth.state
        if state.extras[MISSION] < 0.5:
            above = float(state.tool_pose_in_world[2]) - self._site[Figure.TABLE_TOP]
            done = true[_DELIVERED] > 0.5 and true[_SPILLED] <= want.spilled_share
            finished = done and above >= want.withdrawn_m
            return Outcome(bool(finished), bool(done))
        clear = true[_CLEAR] >= want.clear_s and not true[_FALSE] > 0.0
        if true[_REPORTED] > 0.5 or state.extras[BED_EXIT] > 0.5:
            found = true[_REPORTED] > 0.5 and true[_UP_S] <= want.report_within_s
            fallen = not true[_FLOOR_S] > want.report_within_s
            done = found and fallen and clear
        else:
            done = true[_LOOKED_S] >= want.looked_s and clear
        return Outcome(bool(done), bool(done))
