"""LogisticsPalletize: stack mixed cases on a pallet beside a picker.

Task: cases of two kinds arrive one by one at the end of a conveyor. Draw each to the
suction cups, carry it over, set it down in its slot of a given plan of two or three
layers, let go, until the stack is complete.

Randomisation: plan, sizes, masses, seal of the faces, friction, place on the infeed, the
picker by group, stature and place, behaviours (reaches for the case or into its way,
leans in), leaks, start of the arm.

Success: every case in its slot, level and at rest, none dropped or toppled; physics
decides. Cases per hour are reported.

Safety: a hand between case and stack, a case that falls on or beside somebody, a stack
that falls, a case thrown when the vacuum is lost. Hazards and their cases are in the
YAML, limits in ``configs/safety/logistics_palletize.yaml``.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from physai.config import parse
from physai.plant.scenario import Scenario
from physai.robot.description import Robot
from physai.robot.kinematics import Kinematics
from physai.tasks.environment import EnvironmentConfig, ScenarioTemplate
from physai.tasks.logistics import palletize_kernel as kernel
from physai.tasks.logistics import palletize_observation as observation
from physai.tasks.logistics.palletize_scenarios import PalletizeSampler
from physai.tasks.logistics.palletize_settings import PalletizeSettings
from physai.tasks.observation import people_age
from physai.tasks.task import Outcome, Reward, Spaces, Task
from physai.tasks.terms import nearness
from physai.tasks.twist import joints_for_tool
from physai.types import Command, State, Truth

__all__ = ["LogisticsPalletize"]


class LogisticsPalletize(Task):
    """Mixed-case palletising; see the module for the four headings."""

    name: ClassVar[str] = "logistics.palletize"
    expert: ClassVar[str] = "physai.tasks.logistics.palletize_expert:PalletizeExpert"

    def __init__(self, environment: EnvironmentConfig, robot: Robot) -> None:
        super().__init__(environment, robot)
        self.settings = parse(PalletizeSettings, environment.settings, environment.id)
        self.kinematics = Kinematics(robot, environment.plant.base_pose)
        self._sampler = PalletizeSampler(environment, self.kinematics, self.settings)
        self._spaces = self.spaces()
        self._steps = environment.episode_s * environment.control_hz
        self._twist, self._away = np.empty(6), np.empty(2)

    def spaces(self) -> Spaces:
        """Return names and bounds; SI units, world frame."""
        action = self.settings.action
        return observation.spaces_of(self.robot, action.linear_m_s, action.yaw_rad_s)

    def sample_scenario(
        self,
        seed: int,
        distribution: str = "train",
        template: ScenarioTemplate | str | None = None,
    ) -> Scenario:
        """Return the scenario of one seed (see :class:`PalletizeSampler`)."""
        return self._sampler.sample(
            seed, distribution, template, self.settings.tool_start_m
        )

    def observe(self, state: State) -> npt.NDArray[np.float32]:
        """Return what the policy sees, cut into its bounds."""
        given = self._spaces
        out = np.empty(len(given.observation_names), dtype=np.float32)
        observation.observe(
            state.tool_pose_in_world,
            state.extras,
            float(state.extras_age_s[kernel.CASE]),
            state.actuator_position,
            state.actuator_velocity,
            state.people,
            people_age(state),
            state.sequence / self._steps,
            given.observation_low,
            given.observation_high,
            out,
        )
        return out

    def decode(self, action: npt.NDArray[Any], state: State) -> Command:
        """Return joint velocities for a twist of the level cups, and the vacuum."""
        limits = self.settings.action
        k, position = self.kinematics, state.actuator_position
        kernel.twist_of(
            state.tool_pose_in_world,
            action,
            limits.linear_m_s,
            limits.yaw_rad_s,
            limits.level_gain_per_s,
            self._twist,
        )
        velocity = np.empty(position.shape[0])
        joints_for_tool(
            position,
            self._twist,
            self.robot.tool_link,
            k.buffer,
            k.size,
            self.robot.home_position,
            0.0,
            limits.damping,
            self.robot.velocity_max,
            velocity,
        )
        wish = float(action[4])
        # NaN is no wish: the guard sees it and stops, with the vacuum as it was.
        vacuum = 1.0 if wish > 0.0 else wish if wish != wish else 0.0
        return Command(velocity, np.array([vacuum]), state.stamp_s, state.sequence + 1)

    def reward(self, truth: Truth, command: Command) -> Reward:
        """Return cases in place and the way to the next; losses and time cost."""
        w, state, found = self.settings.reward, truth.state, truth.extras
        kernel.progress(state.tool_pose_in_world, state.extras, self._away)
        to_case, to_slot = self._away.tolist()
        stage = w.approach * nearness(to_case, w.scale_m)
        if state.extras[kernel.HELD] > 0.5:
            stage = w.approach + w.held + w.carry * nearness(to_slot, w.scale_m)
        elif state.extras[kernel.LEFT] < 0.5:
            stage = 0.0
        lost = _number(found[_DROPPED]) + _number(found[_TOPPLED])
        potential = w.placed * _number(found[_PLACED]) + stage - w.lost * lost
        rate = -w.time / self._steps
        if self.outcome(truth).finished:
            rate += w.success
        return Reward(potential, rate)

    def outcome(self, truth: Truth) -> Outcome:
        """Return whether the stack is complete and stands."""
        done = bool(truth.extras[_TO_PLACE] < 0.5)
        return Outcome(done, done)


_PLACED, _TO_PLACE, _DROPPED, _TOPPLED = range(4)
"""Places of the true extras, as in the YAML."""


def _number(value: float) -> float:
    """Return a true figure; a plant without truth has none."""
    return float(value) if value == value else 0.0
