"""ConstructionHaul: drive a load over uneven ground, tip it where it is wanted.

Task: a crawler dump starts loaded at the loading place. Follow the route through the gap
in the ridge, let the manned machine have the crossing, turn with the rear to the dump
place, back up blind, tip the load, lower the bed.

Randomisation: load, friction of the ground, place and heading at the start, losses of
satellites and of the radio link, the manned machine's time, speed and driver, people at
the edge of the area and in it.

Success: nine tenths of the load inside the target, bed down, route kept.

Safety: run-over, roll-over on slopes, leaving the unmanned area, blind reversing,
collision at the crossing, a position or a link that is lost. Hazards and their cases are
in the YAML, limits in ``configs/safety/construction_haul.yaml``.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from physai.body.heading import heading_of, wrap
from physai.config import parse
from physai.errors import ConfigError
from physai.plant.ground import ground_height
from physai.plant.haulage_settings import HaulageConfig
from physai.plant.process import load_process
from physai.plant.route import Route
from physai.plant.scenario import Scenario
from physai.plant.terrain import build_heights
from physai.robot.description import Robot
from physai.robot.footprint import footprint_of, inside_polygon
from physai.tasks.construction import haul_observation as observation
from physai.tasks.construction.haul_sampler import HaulSampler
from physai.tasks.construction.haul_settings import HaulSettings
from physai.tasks.environment import EnvironmentConfig, ScenarioTemplate
from physai.tasks.observation import people_age
from physai.tasks.task import NO_TOOL, Outcome, Reward, Spaces, Task
from physai.tasks.terms import nearness, ramp
from physai.types import Array, Command, State, Truth

__all__ = ["ConstructionHaul"]

_DELIVERED, _SPILLED, _MARGIN, _, _, _ROUTE = range(6)
"""Places of the true extras, as in the YAML."""
_OVERTURNED_RAD = -0.35
_BED = 2


class ConstructionHaul(Task):
    """A haul with a crawler dump; see the module for the four headings."""

    name: ClassVar[str] = "construction.haul"
    expert: ClassVar[str] = "physai.tasks.construction.haul_expert:HaulExpert"

    def __init__(self, environment: EnvironmentConfig, robot: Robot) -> None:
        super().__init__(environment, robot)
        self.settings = parse(HaulSettings, environment.settings, environment.id)
        plant = environment.plant
        site = load_process(plant.process or {})[1]
        if not isinstance(site, HaulageConfig) or plant.ground is None:
            raise ConfigError(f"{environment.id}: needs a ground and a haulage process")
        if robot.payload is None:
            raise ConfigError(f"{environment.id}: {robot.name} carries no payload")
        self.site, self.route = site, Route(site.route_m)
        self._load_max = robot.payload.mass_max_kg
        surface = build_heights(plant.ground.heights)
        self._heights = surface.heights
        self._grid = np.array([*surface.origin_m, surface.cell_m])
        self._dump = np.array(site.dump_pose_m_rad)
        self._area = np.array(site.area_m)
        rear, front, _, _ = footprint_of(robot).tolist()
        self._nose = np.array([front, rear])
        self._look = np.array(self.settings.look_ahead_m) + front
        self._reach = 25.0 if robot.lidar is None else robot.lidar.range_max_m
        self.crossing_m = self._find_crossing()
        self._spaces = self.spaces()
        self._steps = environment.episode_s * environment.control_hz
        self._sampler = HaulSampler(environment, self.route, self._height)

    def _height(self, x: float, y: float) -> float:
        """Return the height of the site's map [m]."""
        out = np.empty(4)
        ground_height(x, y, self._heights, self._grid, out)
        return float(out[0])

    def _find_crossing(self) -> Array:
        """Return at which lengths the route enters and leaves the crossing [m]."""
        polygon = np.array(self.site.crossing.polygon_m)
        inside = [
            s for x, y, _, s in self.route.places if inside_polygon(x, y, polygon)
        ]
        if not inside:
            raise ConfigError(f"{self.environment.id}: the route misses the crossing")
        return np.array([min(inside), max(inside)])

    def spaces(self) -> Spaces:
        """Return names and bounds; SI units, frames in the names."""
        a = self.settings.action
        scale = (a.linear_m_s, a.angular_rad_s, a.bed_rad_s)
        return observation.spaces_of(
            self.robot, self.route.length_m, self._reach, scale
        )

    def sample_scenario(
        self,
        seed: int,
        distribution: str = "train",
        template: ScenarioTemplate | str | None = None,
    ) -> Scenario:
        """Return the scenario of one seed (see :class:`HaulSampler`)."""
        return self._sampler.sample(seed, distribution, template)

    def observe(self, state: State) -> npt.NDArray[np.float32]:
        """Return what the policy sees, cut into its bounds."""
        given = self._spaces
        out = np.empty(len(given.observation_names), dtype=np.float32)
        observation.observe(
            np.ascontiguousarray(state.base_pose_in_world),
            state.actuator_position,
            state.actuator_velocity,
            state.extras,
            np.ascontiguousarray(state.people),
            people_age(state),
            np.ascontiguousarray(state.lidar_range_m),
            self._reach,
            state.sequence / self._steps,
            self.route.places,
            self._dump,
            self.crossing_m,
            self._area,
            self._nose,
            self._look,
            self._load_max,
            self._heights,
            self._grid,
            given.observation_low,
            given.observation_high,
            out,
        )
        return out

    def decode(self, action: npt.NDArray[Any], state: State) -> Command:
        """Return speeds of base and bed; NaN stays NaN for the guard to answer."""
        a = self.settings.action
        share = np.clip(np.asarray(action, dtype=np.float64), -1.0, 1.0)
        velocity = share * (a.linear_m_s, a.angular_rad_s, a.bed_rad_s)
        return Command(velocity, NO_TOOL, state.stamp_s, state.sequence + 1)

    def reward(self, truth: Truth, command: Command) -> Reward:
        """Return progress toward delivered; spill, leaving the route and time cost."""
        w, extras, state = self.settings.reward, truth.extras, truth.state
        pose = state.base_pose_in_world
        along, _, _ = self.route.project(float(pose[0]), float(pose[1]))
        delivered = ramp(float(extras[_DELIVERED]), 0.0, 1.0)
        turn = wrap(float(self._dump[2]) - heading_of(pose))
        far = float(np.hypot(*(self._dump[:2] - pose[:2])))
        rest = far + w.turn_length_m_rad * abs(turn)
        bed = float(state.actuator_position[_BED])
        progress = w.route * along / self.route.length_m
        progress += w.dock * nearness(rest, w.dock_scale_m)
        done = w.route + w.dock + w.deliver * delivered
        done += w.lower * delivered * (1.0 - ramp(bed, 0.0, 1.0))
        share = ramp(delivered, 0.0, 0.2)
        potential = (1.0 - share) * progress + share * done
        potential -= w.spill * ramp(float(extras[_SPILLED]), 0.0, 1.0)
        away = float(extras[_ROUTE]) > self.settings.success.route_tolerance_m
        rate = -(w.time + w.away * away) / self._steps
        outcome = self.outcome(truth)
        if outcome.success:
            rate += w.success
        return Reward(potential, rate)

    def outcome(self, truth: Truth) -> Outcome:
        """Return whether the load is where it belongs and the bed is down."""
        want, extras = self.settings.success, truth.extras
        if extras[_MARGIN] < _OVERTURNED_RAD:
            return Outcome(True, False)
        lowered = truth.state.actuator_position[_BED] <= want.lowered_rad
        finished = bool(extras[_DELIVERED] >= want.delivered_share and lowered)
        kept = bool(extras[_ROUTE] <= want.route_tolerance_m)
        return Outcome(finished, finished and kept)
