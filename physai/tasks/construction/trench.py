"""ConstructionTrench: dig a short section of trench to its design and heap the spoil.

Task: an excavator of the 13 t class stands before a section of trench that is marked
out ahead of it. Cut the ground down to the design in a few passes, carry each bucket to
the spoil heap beside the trench and dump it there. A pipe crosses below the bottom.

The action moves the bucket's edge in the machine's plane (reach, lift, curl) and swings
the machine. A cut is a straight line at a set depth: with joint rates that needs three
cylinders in step, and chance would wave the edge about by metres; so the cylinders are
solved for here, as assistance systems of such machines do.

Randomisation: place, length, depth and bearing of the trench, cohesion, friction and
weight of the soil, the pipe and its plan, the heap, start of the bucket, errors of load
and scanner, the surveyor.

Success: mean height left above the design and mean over-dig within tolerance, the
design's volume (less a share) on the heap, the pipe untouched, the bucket empty.

Safety: a person struck by bucket or counterweight (MLIT's three areas, speed and
separation, swing sector), the pipe, burial, the machine pulled over. Hazards and their
cases are in the YAML, limits in ``configs/safety/construction_trench.yaml``.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from physai.config import parse
from physai.plant.digging import Digging
from physai.plant.scenario import Scenario
from physai.robot.description import Robot
from physai.robot.kinematics import Kinematics
from physai.tasks.construction import trench_kernel as kernel
from physai.tasks.construction import trench_observation as observation
from physai.tasks.construction.site_sampling import SiteSampler
from physai.tasks.construction.trench_settings import TrenchSettings
from physai.tasks.environment import EnvironmentConfig, ScenarioTemplate
from physai.tasks.observation import people_age
from physai.tasks.task import NO_TOOL, Outcome, Reward, Spaces, Task
from physai.tasks.terms import nearness, ramp
from physai.types import Command, State, Truth

__all__ = ["ConstructionTrench"]


class ConstructionTrench(Task):
    """Trench digging to a design; see the module for the four headings."""

    name: ClassVar[str] = "construction.trench"
    expert: ClassVar[str] = "physai.tasks.construction.trench_expert:TrenchExpert"

    def __init__(self, environment: EnvironmentConfig, robot: Robot) -> None:
        super().__init__(environment, robot)
        self.settings = parse(TrenchSettings, environment.settings, environment.id)
        a = self.settings.action
        self.scale = np.array([a.reach_m_s, a.lift_m_s, a.curl_rad_s, a.swing_rad_s])
        self.lengths = kernel.lengths_of(robot)
        self._fastest = _SPEED_SHARE * robot.velocity_max
        change = robot.acceleration_max / environment.control_hz
        self._change = _CHANGE_SHARE * change
        self._ends = (
            robot.position_min + _END_RAD,
            robot.position_max - _END_RAD,
        )
        k = Kinematics(robot)
        foot = k.chain.link_position[robot.tree.link_names.index("boom")]
        self.sampler = SiteSampler(
            environment, self.lengths, np.array([foot[0], foot[2]])
        )
        process = environment.plant.process or {}
        self._width_m = float(process["design"]["width_m"])
        self._spaces = self.spaces()
        self._steps = environment.episode_s * environment.control_hz

    def spaces(self) -> Spaces:
        """Return names and bounds; SI units, the trench's frame."""
        return observation.spaces_of(self.robot, self.scale)

    def sample_scenario(
        self,
        seed: int,
        distribution: str = "train",
        template: ScenarioTemplate | str | None = None,
    ) -> Scenario:
        """Return the scenario of one seed (see :class:`SiteSampler`)."""
        return self.sampler.sample(seed, distribution, template, _START_PITCH_RAD)

    def observe(self, state: State) -> npt.NDArray[np.float32]:
        """Return what the policy sees, cut into its bounds."""
        given = self._spaces
        out = np.empty(len(given.observation_names), dtype=np.float32)
        observation.observe(
            state.tool_pose_in_world,
            state.base_pose_in_world,
            state.extras,
            float(state.extras_age_s[observation.SCAN]),
            state.actuator_position,
            state.actuator_velocity,
            state.actuator_effort,
            self.robot.effort_max,
            state.people,
            people_age(state),
            state.sequence / self._steps,
            given.observation_low,
            given.observation_high,
            out,
        )
        return out

    def decode(self, action: npt.NDArray[Any], state: State) -> Command:
        """Return the joint rates for a motion of the edge and a swing."""
        velocity = np.empty(4)
        kernel.joint_rates(
            np.asarray(action, dtype=np.float64),
            state.actuator_position,
            state.actuator_velocity,
            self.scale,
            self.lengths,
            self._fastest,
            self._change,
            self._ends[0],
            self._ends[1],
            velocity,
        )
        return Command(velocity, NO_TOOL, state.stamp_s, state.sequence + 1)

    def reward(self, truth: Truth, command: Command) -> Reward:
        """Return progress of the work; over-dig, stray soil, force and time cost."""
        w, e = self.settings.reward, truth.extras
        design = max(float(e[_DESIGN]), 1e-9)
        removed = ramp(1.0 - e[_REMAINING] / design, 0.0, 1.0)
        dumped = ramp(e[_DUMPED] / design, 0.0, 1.0)
        wrong = (e[_OVER] + e[_OUTSIDE]) / design
        full = ramp(e[_LOAD], 0.0, w.full_load_kg)
        potential = w.removed * removed + w.dumped * dumped
        way = observation.way_to_go(truth.state, full)
        potential += w.approach * nearness(way, w.approach_scale_m)
        potential -= w.over_dig * ramp(wrong, 0.0, 1.0)
        potential -= w.stray * ramp(e[_STRAY] / design, 0.0, 1.0)
        excess = ramp(
            e[_RESISTANCE],
            w.resistance_from_n,
            w.resistance_from_n + w.resistance_scale_n,
        )
        rate = -(w.resistance * excess + w.time) / self._steps
        if self.outcome(truth).finished:
            rate += w.success
        return Reward(potential, rate)

    def outcome(self, truth: Truth) -> Outcome:
        """Return whether the section is dug, and rightly."""
        want, e = self.settings.success, truth.extras
        area = observation.length_of(truth.state) * self._width_m
        finished = bool(
            e[_REMAINING] <= want.residual_m * area
            and e[_OVER] + e[_OUTSIDE] <= want.over_dig_m * area
            and e[_DUMPED] >= want.dumped_share * e[_DESIGN]
            and e[_LOAD] <= want.load_left_kg
            and e[_TOUCHED] < 0.5
        )
        return Outcome(finished, finished)


_TRUTH = Digging.TRUTH_EXTRAS
_DESIGN, _REMAINING, _OVER, _OUTSIDE, _DUMPED, _STRAY, _LOAD, _RESISTANCE, _TOUCHED = (
    _TRUTH.index(name)
    for name in (
        "design_m3",
        "remaining_m3",
        "over_dig_m3",
        "over_dig_outside_m3",
        "dumped_m3",
        "stray_m3",
        "true_load_kg",
        "resistance_n",
        "pipe_touched",
    )
)

_START_PITCH_RAD = 1.6
"""The plate dips by about 40 degrees: ready to enter."""

_SPEED_SHARE, _CHANGE_SHARE = 0.95, 0.8
"""Of the robot's limits: what an action asks for stays clear of what a guard cuts."""

_END_RAD = 0.03
