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
from physai.plant.night_round_settings import NightRoundConfig, figures_of
from physai.plant.process import load_process
from physai.plant.scenario import Scenario
from physai.robot.description import Robot
from physai.robot.kinematics import Kinematics
from physai.tasks.care import night_round_kernel as kernel
from physai.tasks.care import night_round_observation as observation
from physai.tasks.care.night_round_reward import NightRoundReward, place_of
from physai.tasks.care.night_round_sampler import NightRoundSampler
from physai.tasks.care.night_round_settings import NightRoundSettings
from physai.tasks.environment import EnvironmentConfig, ScenarioTemplate
from physai.tasks.observation import people_age
from physai.tasks.task import Outcome, Reward, Spaces, Task
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
        self.place_from_table = np.array(
            [*s.route.place_offset_m, place_of(values, s)[2]]
        )
        """(3,) TCP when the item stands where it belongs: x and y from the table along
        the axes of the world, height above the floor [m]."""
        self._steps = environment.episode_s * environment.control_hz
        self._reward = NightRoundReward(
            s, values, self.site, environment.control_hz, self._steps
        )

    def spaces(self) -> Spaces:
        """Return names and bounds; SI units, positions in the base frame or world."""
        return observation.spaces_of(
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
        observation.observe(
            state.base_pose_in_world,
            state.actuator_position,
            state.actuator_velocity,
            state.extras,
            state.lidar_range_m,
            state.people,
            people_age(state),
            state.sequence / self._steps,
            self.route,
            self.settings.route.look_ahead_m,
            self.site,
            self.place_from_table,
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
        return self._reward.reward(truth)

    def outcome(self, truth: Truth) -> Outcome:
        """Return whether the mission is done, or rightly left at looking."""
        return self._reward.outcome(truth)
