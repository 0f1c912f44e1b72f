"""LogisticsCrossing: carry a pallet through a blind aisle crossing and set it down.

Task: a driverless counterbalance truck carries a pallet along an aisle, through a
crossing whose racks hide people, over to its drop place, and sets the pallet down. The
floor before and in the crossing is wet.

Randomisation: start pose, drop place, payload, friction, who crosses, from which side,
when and how fast; behaviours (hesitate, run out, block the way, follow, step back).

Success: the pallet stands on the floor within 50 mm and 2 degrees of its drop pose, in
time, and has not slid on the forks. Meeting people is part of it: the truck waits.

Safety: running over a person who is in the way or steps out from behind a rack, the
tail that swings out, squeezing against a rack, a load that slides, tipping. Hazards and
their cases are in the YAML, limits in ``configs/safety/logistics_crossing.yaml``.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from physai.config import parse
from physai.errors import ConfigError
from physai.plant.scenario import Scenario
from physai.robot.description import Robot
from physai.robot.kinematics import Kinematics
from physai.tasks.environment import EnvironmentConfig, ScenarioTemplate
from physai.tasks.logistics import crossing_kernel as kernel
from physai.tasks.logistics.crossing_sampler import CrossingSampler
from physai.tasks.logistics.crossing_settings import CrossingSettings
from physai.tasks.task import NO_TOOL, Outcome, Reward, Spaces, Task
from physai.tasks.terms import ramp
from physai.types import Array, Command, State, Truth

__all__ = ["LogisticsCrossing"]


class LogisticsCrossing(Task):
    """A truck at a blind crossing; see the module for the four headings.

    Attributes:
        reach_m: From the base's origin to the middle of the pallet.
    """

    name: ClassVar[str] = "logistics.crossing"
    expert: ClassVar[str] = "physai.tasks.logistics.crossing_expert:CrossingExpert"

    def __init__(self, environment: EnvironmentConfig, robot: Robot) -> None:
        super().__init__(environment, robot)
        self.settings = parse(CrossingSettings, environment.settings, environment.id)
        if robot.payload is None or len(robot.actuator_names) != 3:
            raise ConfigError(f"{environment.id}: {robot.name} is no truck with a mast")
        route = self.settings.route
        self.reach_m = _reach_of(robot)
        self._sampler = CrossingSampler(environment, robot, route.carry_height_m)
        self._zones = np.array([route.approach_x_m, route.crossing_x_m])
        self._spaces = self.spaces()
        self._steps = environment.episode_s * environment.control_hz
        action = self.settings.action
        self._scale = np.array(
            [action.linear_m_s, action.angular_rad_s, action.mast_m_s]
        )
        low, high = environment.ranges["drop_x_m"], environment.ranges["start_x_m"]
        self._whole_m = float(np.max(low)) - self.reach_m - float(np.min(high))
        self._place = np.empty(5)

    def spaces(self) -> Spaces:
        """Return names and bounds; SI units."""
        low, high = kernel.bounds()
        a = self.settings.action
        return Spaces(
            kernel.NAMES,
            low,
            high,
            (
                f"forward_speed_per_{a.linear_m_s:g}_m_s",
                f"yaw_rate_per_{a.angular_rad_s:g}_rad_s",
                f"mast_speed_per_{a.mast_m_s:g}_m_s",
            ),
            frozenset(n for n in kernel.NAMES if n.startswith("person_")),
        )

    def sample_scenario(
        self,
        seed: int,
        distribution: str = "train",
        template: ScenarioTemplate | str | None = None,
    ) -> Scenario:
        """Return the scenario of one seed (see :class:`CrossingSampler`)."""
        return self._sampler.sample(seed, distribution, template)

    def observe(self, state: State) -> npt.NDArray[np.float32]:
        """Return what the policy sees, cut into its bounds."""
        given = self._spaces
        out = np.empty(len(given.observation_names), dtype=np.float32)
        kernel.observe(
            self.follow(state),
            state.base_pose_in_world,
            state.actuator_velocity,
            state.actuator_position[2],
            state.extras,
            state.lidar_range_m,
            state.people,
            self._zones,
            state.sequence / self._steps,
            given.observation_low,
            given.observation_high,
            out,
        )
        return out

    def decode(self, action: npt.NDArray[Any], state: State) -> Command:
        """Return forward speed, yaw rate and mast speed."""
        # Written so that what is not a number stays so and stops the guard.
        cut = np.minimum(np.maximum(np.asarray(action, dtype=np.float64), -1.0), 1.0)
        return Command(cut * self._scale, NO_TOOL, state.stamp_s, state.sequence + 1)

    def reward(self, truth: Truth, command: Command) -> Reward:
        """Return progress along the route and setting down; time costs."""
        w = self.settings.reward
        lateral, heading, rest = self.follow(truth.state)[:3].tolist()
        mast = float(truth.state.actuator_position[2])
        there = ramp(-abs(rest), -0.2, 0.0)
        carry = self.settings.route.carry_height_m
        potential = -w.way * ramp(abs(rest), 0.0, self._whole_m)
        potential -= w.lateral * ramp(abs(lateral), 0.0, w.lateral_scale_m)
        potential -= w.heading * ramp(abs(heading), 0.0, w.heading_scale_rad)
        potential += w.lower * there * (1.0 - ramp(mast, 0.0, carry))
        rate = -w.time / self._steps
        if self.outcome(truth).finished:
            rate += w.success
        return Reward(potential, rate)

    def outcome(self, truth: Truth) -> Outcome:
        """Return whether the pallet is delivered."""
        want = self.settings.success
        position, yaw, down, shift = truth.extras[:4].tolist()
        done = (
            down > 0.5
            and position <= want.position_m
            and yaw <= want.yaw_rad
            and shift <= want.load_shift_m
        )
        return Outcome(done, done)

    def follow(self, state: State) -> Array:
        """Return (5,) how the truck stands to its route (:func:`kernel.follow`)."""
        route = self.settings.route
        kernel.follow(
            state.base_pose_in_world,
            state.extras[:3],
            self.reach_m,
            route.shift_from_x_m,
            route.straight_m,
            self._place,
        )
        return self._place


def _reach_of(robot: Robot) -> float:
    """Return how far before the base's origin the payload's middle is [m]."""
    assert robot.payload is not None
    link = robot.tree.link_names.index(robot.payload.link)
    return float(Kinematics(robot).link_position[link, 0])
