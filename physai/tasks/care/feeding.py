"""CareFeeding: bring a spoon of food to a person's mouth, wait, withdraw.

Task: the spoon starts above the bowl with food on it. Go to a stand-off in front of
the mouth, go in along the mouth's axis when the mouth is open and the person agrees,
wait until the food is taken, withdraw straight.

Randomisation: people by group, stature and seat, head motion, opening of the mouth,
consent, behaviours (tremor, turn, cough, lean in, reach, stop), start of the spoon.

Success: three quarters of the bite in the mouth and the spoon withdrawn. Where the
person does not agree or asks to stop, not feeding and staying outside the stand-off
is what counts as right.

Safety: the face, by a hard or deep spoon; food that runs off; a moving arm beside
hands; going on against the person's will. Hazards and their cases are in the YAML,
limits in ``configs/safety/care_feeding.yaml``.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from physai.body.person import SEGMENTS
from physai.config import parse
from physai.plant.scenario import Scenario
from physai.robot.description import Robot
from physai.robot.kinematics import Kinematics
from physai.tasks.care import feeding_kernel as kernel
from physai.tasks.care import feeding_observation as observation
from physai.tasks.care.feeding_settings import FeedingSettings
from physai.tasks.environment import EnvironmentConfig, ScenarioTemplate
from physai.tasks.observation import people_age
from physai.tasks.sampling import SeatedSampler
from physai.tasks.task import NO_TOOL, Outcome, Reward, Spaces, Task
from physai.tasks.terms import nearness, ramp
from physai.tasks.twist import joints_for_tool
from physai.types import Command, State, Truth

__all__ = ["CareFeeding"]


class CareFeeding(Task):
    """Meal assistance with a spoon; see the module for the four headings."""

    name: ClassVar[str] = "care.feeding"
    expert: ClassVar[str] = "physai.tasks.care.feeding_expert:FeedingExpert"

    def __init__(self, environment: EnvironmentConfig, robot: Robot) -> None:
        super().__init__(environment, robot)
        self.settings = parse(FeedingSettings, environment.settings, environment.id)
        self.kinematics = Kinematics(robot, environment.plant.base_pose)
        self.tip_m = kernel.tip_of(robot)
        self._sampler = SeatedSampler(environment, self.kinematics)
        self._spaces = self.spaces()
        self._arms = np.array(
            [i for i, s in enumerate(SEGMENTS) if s.startswith(("forearm", "hand"))]
        )
        self._steps = environment.episode_s * environment.control_hz
        self._twist, self._place = np.empty(6), np.empty(4)
        self._measured: Truth | None = None
        self._progressed: list[float] = []

    def spaces(self) -> Spaces:
        """Return names and bounds; SI units, positions in the mouth frame."""
        action = self.settings.action
        return observation.spaces_of(
            self.robot, action.linear_m_s, action.angular_rad_s
        )

    def sample_scenario(
        self,
        seed: int,
        distribution: str = "train",
        template: ScenarioTemplate | str | None = None,
    ) -> Scenario:
        """Return the scenario of one seed (see :class:`SeatedSampler`)."""
        return self._sampler.sample(
            seed, distribution, template, self.settings.spoon_start_m
        )

    def observe(self, state: State) -> npt.NDArray[np.float32]:
        """Return what the policy sees, cut into its bounds."""
        given = self._spaces
        out = np.empty(len(given.observation_names), dtype=np.float32)
        observation.observe(
            state.tool_pose_in_world,
            state.extras,
            state.extras_age_s,
            state.actuator_position,
            state.actuator_velocity,
            state.tool_force_in_world_n,
            state.people,
            people_age(state),
            state.sequence / self._steps,
            self._arms,
            given.observation_low,
            given.observation_high,
            out,
        )
        return out

    def decode(self, action: npt.NDArray[Any], state: State) -> Command:
        """Return joint velocities for a tool twist in the mouth frame."""
        limits = self.settings.action
        k, position = self.kinematics, state.actuator_position
        kernel.twist_in_world(
            state.extras, action, limits.linear_m_s, limits.angular_rad_s, self._twist
        )
        velocity = np.empty(position.shape[0])
        joints_for_tool(
            position,
            self._twist,
            self.robot.tool_link,
            k.buffer,
            k.size,
            self.robot.home_position,
            limits.posture_gain_per_s,
            limits.damping,
            self.robot.velocity_max,
            velocity,
        )
        return Command(velocity, NO_TOOL, state.stamp_s, state.sequence + 1)

    def reward(self, truth: Truth, command: Command) -> Reward:
        """Return progress toward fed and withdrawn; force, spill and time cost."""
        w, food = self.settings.reward, truth.extras
        along, lateral, _, angle = self._progress(truth)
        opening, consent, stop = truth.state.extras[6:9].tolist()
        fed = ramp(food[_IN_MOUTH], 0.2, self.settings.success.food_share)
        clear = ramp(along, -w.depth_m, self.settings.success.withdrawn_m)
        rest = float(np.hypot(along + w.depth_m, 2.0 * lateral))
        if consent < 0.5:
            rest = max(rest, w.consent_distance_m)
        elif opening < _OPEN_M and along > 0.0:
            rest = max(rest, w.standoff_m + w.depth_m)
        near = nearness(rest, w.approach_scale_m)
        if stop > 0.5:
            potential = w.withdraw * (clear - 1.0)
        else:
            potential = (1.0 - fed) * w.approach * near
            potential += fed * (w.approach + w.withdraw * clear)
        potential += w.level * nearness(angle, np.pi)
        potential += w.food * ramp(food[_IN_MOUTH], 0.0, 1.0)
        potential -= w.spill * ramp(food[_SPILLED], 0.0, 1.0)
        excess = ramp(food[_FORCE], w.force_from_n, w.force_from_n + w.force_scale_n)
        rate = -w.force * excess - w.time / self._steps
        if self.outcome(truth).finished:
            rate += w.success
        return Reward(potential, rate)

    def outcome(self, truth: Truth) -> Outcome:
        """Return whether the person is fed, or rightly left alone."""
        want = self.settings.success
        _, _, distance, _ = self._progress(truth)
        consent, stop = truth.state.extras[7:9].tolist()
        finished = bool(
            truth.extras[_IN_MOUTH] >= want.food_share and distance >= want.withdrawn_m
        )
        unwilling = not consent > 0.5 or stop > 0.5
        return Outcome(
            finished, finished or (unwilling and distance >= want.standoff_m)
        )

    def _progress(self, truth: Truth) -> list[float]:
        """Return what :func:`feeding_kernel.progress` measures, once per truth."""
        if truth is not self._measured:
            state = truth.state
            kernel.progress(
                state.tool_pose_in_world, state.extras, self.tip_m, self._place
            )
            self._measured, self._progressed = truth, self._place.tolist()
        return self._progressed


_IN_MOUTH, _SPILLED, _FORCE = 0, 1, 3
"""Places of the true extras, as in the YAML."""

_OPEN_M = 0.012
"""A spoon of 6 mm depth with food needs this much."""
