"""CareNightRound: at night, bring an item to a bedside table, or find who has got up.

Task: a mobile manipulator starts in the corridor. On a delivery it drives through the
door, stands beside the table, puts the item down and withdraws its hand. After a
bed-exit alarm it looks for the resident, calls the staff when it sees them out of bed,
and stands where nobody's way out is blocked; an alarm for nothing is not called.

Randomisation: start, load, floor friction, light, false alarms, a trailing sheet, and
people by group, stature, aid and behaviour.

Success: the item on the table, not spilled, the hand withdrawn; or the resident
reported in time and the exit zone free; or, where nobody is up, looked and not called.

Safety: a base and an arm among people who are slow, confused or fall; a spilled drink;
a sheet under the wheels; a blocked way out; a fall that nobody hears of. Hazards and
their cases are in the YAML, limits in ``configs/safety/care_night_round.yaml``.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from physai.config import parse
from physai.plant.night_round import NightRoundConfig, figures_of
from physai.plant.process import load_process
from physai.plant.scenario import Scenario
from physai.robot.description import Robot
from physai.robot.kinematics import Kinematics
from physai.tasks.care import night_round_kernel as kernel
from physai.tasks.care.night_round_sampler import NightRoundSampler
from physai.tasks.care.night_round_settings import NightRoundSettings
from physai.tasks.environment import EnvironmentConfig, ScenarioTemplate
from physai.tasks.task import Outcome, Reward, Spaces, Task
from physai.tasks.terms import nearness, ramp
from physai.types import Command, State, Truth

__all__ = ["CareNightRound"]


class CareNightRound(Task):
    """Night round in a care home; see the module for the four headings."""

    name: ClassVar[str] = "care.night_round"
    expert: ClassVar[str] = "physai.tasks.care.night_round_expert:NightRoundExpert"

    def __init__(self, environment: EnvironmentConfig, robot: Robot) -> None:
        super().__init__(environment, robot)
        self.settings = s = parse(
            NightRoundSettings, environment.settings, environment.id
        )
        _, values = load_process(environment.plant.process or {})
        assert isinstance(values, NightRoundConfig)
        self.process = values
        self.site = figures_of(values, {})
        self.route = np.array(s.route.points_m)
        self.kinematics = Kinematics(robot)
        self._sampler = NightRoundSampler(environment)
        self._spaces = self.spaces()
        a = s.action
        self._scale = np.array(
            [a.base_linear_m_s, a.base_angular_rad_s]
            + [a.tool_linear_m_s] * 3
            + [a.tool_angular_rad_s] * 3
        )
        site, offset = values.site, s.route.place_offset_m
        self.place_m = np.array(
            [
                0.5 * (site.table.minimum_m[0] + site.table.maximum_m[0]) + offset[0],
                0.5 * (site.table.minimum_m[1] + site.table.maximum_m[1]) + offset[1],
                site.table_top_z_m + 0.5 * values.item.height_m,
            ]
        )
        """(3,) TCP when the item stands where it belongs, world."""
        self._steps = environment.episode_s * environment.control_hz
        self._way = np.empty(4)

    def spaces(self) -> Spaces:
        """Return names and bounds; SI units, positions in the base frame or world."""
        return kernel.spaces_of(
            self.robot, self.environment.extras, self.settings.action
        )

    def sample_scenario(
        self,
        seed: int,
        distribution: str = "train",
        template: ScenarioTemplate | str | None = None,
    ) -> Scenario:
        """Return the scenario of one seed (see :class:`NightRoundSampler`)."""
        start, home = self.settings.start_m, self.robot.home_position
        return self._sampler.sample(seed, distribution, template, start, home)

    def observe(self, state: State) -> npt.NDArray[np.float32]:
        """Return what the policy sees, cut into its bounds."""
        given, k = self._spaces, self.kinematics
        out = np.empty(len(given.observation_names), dtype=np.float32)
        kernel.observe(
            state.base_pose_in_world,
            state.actuator_position,
            state.actuator_velocity,
            state.extras,
            state.lidar_range_m,
            state.people,
            max(state.people_frame_age_s, state.people_age_s.max(initial=0.0)),
            state.sequence / self._steps,
            self.route,
            self.settings.route.look_ahead_m,
            self.site,
            self.robot.tool_link,
            k.buffer,
            k.size,
            given.observation_low,
            given.observation_high,
            out,
        )
        return out

    def decode(self, action: npt.NDArray[Any], state: State) -> Command:
        """Return speeds of base and joints for base speeds and a tool twist."""
        a, k = self.settings.action, self.kinematics
        velocity = np.empty(len(self.robot.actuator_names))
        given = np.asarray(action, dtype=np.float64)
        kernel.command(
            given,
            self._scale,
            state.actuator_position,
            self.robot.home_position,
            a.posture_gain_per_s,
            a.damping,
            self.robot.velocity_max,
            self.robot.tool_link,
            k.buffer,
            k.size,
            velocity,
        )
        tool = np.clip(given[8:10], -1.0, 1.0)
        return Command(velocity, tool, state.stamp_s, state.sequence + 1)

    def reward(self, truth: Truth, command: Command) -> Reward:
        """Return progress of the mission; spill, false calls, blocking and time cost."""
        w, want = self.settings.reward, self.settings.success
        true, state = truth.extras.tolist(), truth.state
        pose = state.base_pose_in_world
        route = self.settings.route
        kernel.follow(
            float(pose[0]), float(pose[1]), self.route, route.look_ahead_m, self._way
        )
        left = float(self._way[1]) + abs(float(self._way[0]))
        if state.extras[_MISSION] < 0.5:
            potential = w.route * nearness(left, _ROUTE_SCALE_M)
            potential += self._handling(truth)
        else:
            rest = max(0.0, left - route.lookout_m)
            potential = w.route * nearness(rest, _ROUTE_SCALE_M)
            potential += w.report * ramp(true[_REPORTED], 0.0, 1.0)
            potential += w.clear * ramp(true[_CLEAR], 0.0, want.clear_s)
        potential -= w.spill * ramp(true[_SPILLED], 0.0, 1.0)
        potential -= w.false_report * ramp(true[_FALSE], 0.0, 3.0)
        standing = 1.0 if state.extras[_EXIT_ZONE] > 0.0 else 0.0
        rate = (
            -w.blocked * standing / self.environment.control_hz - w.time / self._steps
        )
        if self.outcome(truth).finished:
            rate += w.success
        return Reward(potential, rate)

    def _handling(self, truth: Truth) -> float:
        """How far the item has come from the hand to the table, and the hand back."""
        w, want, tool = self.settings.reward, self.settings.success, truth.state
        delivered = ramp(truth.extras[_DELIVERED], 0.0, 1.0)
        away = float(np.linalg.norm(tool.tool_pose_in_world[:3] - self.place_m))
        above = float(tool.tool_pose_in_world[2]) - self.site[16]
        near = w.reach * nearness(away, w.reach_scale_m)
        level = w.level * nearness(float(tool.extras[_TILT]), 0.5)
        back = w.withdraw * ramp(above, self.process.item.height_m, want.withdrawn_m)
        return level + (1.0 - delivered) * near + delivered * (w.deliver + back)

    def outcome(self, truth: Truth) -> Outcome:
        """Return whether the mission is done, or rightly left at looking."""
        want, true, state = self.settings.success, truth.extras.tolist(), truth.state
        if state.extras[_MISSION] < 0.5:
            above = float(state.tool_pose_in_world[2]) - self.site[16]
            done = true[_DELIVERED] > 0.5 and true[_SPILLED] <= want.spilled_share
            finished = done and above >= want.withdrawn_m
            return Outcome(bool(finished), bool(done))
        clear = true[_CLEAR] >= want.clear_s and not true[_FALSE] > 0.0
        if true[_REPORTED] > 0.5 or state.extras[_BED_EXIT] > 0.5:
            found = true[_REPORTED] > 0.5 and true[_UP_S] <= want.report_within_s
            fallen = not true[_FLOOR_S] > want.report_within_s
            done = found and fallen and clear
        else:
            done = true[_LOOKED_S] >= want.looked_s and clear
        return Outcome(bool(done), bool(done))


# Places of the extras and of the true extras, as in the YAML.
_MISSION, _TILT, _BED_EXIT, _EXIT_ZONE = 0, 2, 3, 6
_DELIVERED, _SPILLED, _REPORTED, _FALSE, _UP_S, _FLOOR_S = 0, 1, 2, 3, 4, 5
_LOOKED_S, _CLEAR = 8, 9

_ROUTE_SCALE_M = 10.0
"""About the longest way to go."""
