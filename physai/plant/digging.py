"""Digging: an excavator's bucket in soil, a design profile, a pipe and their sensors.

In every physics step the ground pushes on the bucket (:mod:`physai.plant.soil`); once a
control step the soil slides, the work is compared with the design
(:mod:`physai.plant.trench`) and the pipe's distance is taken. The *site* (where trench,
spoil heap and pipe are) follows from the scenario's values, see :class:`Site`.

What the machine is told: its load from cylinder pressure (noise and a scale error), the
design and the place of the heap (exact, from the plan), the pipe by plan (a survey
error that stays for the episode), the ground by a scanner (rate, latency, noise) as mean
heights at stations along the trench and at three places around the edge.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import numpy as np
import numpy.typing as npt
from pydantic import Field

from physai.body.people import AnyPerson
from physai.config import Config
from physai.errors import ContractError
from physai.plant import digging_site as site
from physai.plant.bucket_kernel import CLOSEST, WORST, act
from physai.plant.contact import ContactModel
from physai.plant.digging_site import STATIONS, Site
from physai.plant.scene import Outline, Surface
from physai.plant.soil import Soil
from physai.plant.soil_settings import SoilConfig, load_bucket
from physai.plant.tracker import correlated_noise
from physai.plant.trench import Pipe, PipeConfig, Trench, TrenchConfig
from physai.randomness import generator
from physai.robot.description import Robot
from physai.robot.kinematics import Kinematics
from physai.types import Array, Contact

if TYPE_CHECKING:
    from physai.plant.dynamics import Dynamics
    from physai.plant.scenario import Scenario

__all__ = ["Digging", "DiggingConfig"]

Positive = Annotated[float, Field(gt=0.0)]
NonNegative = Annotated[float, Field(ge=0.0)]
Share = Annotated[float, Field(ge=0.0, lt=1.0)]

_AROUND = np.array([-0.3, 0.3, 0.7])
"""Places around the edge at which the ground is told, ahead of it in its plane."""


class DesignConfig(Config):
    """What is common to all trenches of an environment."""

    width_m: Positive
    end_slope_m: NonNegative
    tolerance_m: Positive
    wall_tolerance_m: NonNegative
    heap_radius_m: Positive
    """Loose soil within it of the heap's middle counts as dumped."""


class BuriedPipeConfig(Config):
    """The pipe and the buffer around it."""

    radius_m: Positive
    half_length_m: Positive
    buffer_m: NonNegative


class DiggingSensors(Config):
    """How well the machine knows ground, load and pipe."""

    scan_rate_hz: Positive
    scan_latency_s: NonNegative
    scan_sigma_m: NonNegative
    """Of a mean height, in every scan anew; bounded at three sigma."""
    load_sigma_kg: NonNegative
    load_correlation: Share
    load_scale_error_share: NonNegative
    """Largest error of scale, drawn once an episode."""
    pipe_survey_m: NonNegative
    """Largest displacement of the pipe by plan, across and in depth."""


class DiggingConfig(Config):
    """Section ``process`` of a plant, kind ``digging``."""

    soil: SoilConfig
    design: DesignConfig
    pipe: BuriedPipeConfig
    sensors: DiggingSensors
    support_half_m: tuple[Positive, Positive]
    """Half of the length and of the width over which the tracks stand."""
    source: str


class Digging:
    """Ground, design, pipe and their sensors over one episode.

    Args:
        config: Figures.
        scenario: Its values place the site (:class:`Site`); ``cohesion_octaves`` scales
            the cohesion of the soil by a power of two.
        robot: Gives bucket and masses.
        dynamics: Not kept; :meth:`act` gets it.
        steps: Control steps that the episode can have.

    Raises:
        ContractError: If a value is missing or the site is impossible.

    Attributes:
        near: False: contacts with people do not depend on the soil.
        acting: True: the ground acts in every physics step.
        soil: The ground.
        trench: Design and work.
        pipe: The pipe where it really is.
    """

    Values: ClassVar[type[Config]] = DiggingConfig
    EXTRAS: ClassVar[tuple[str, ...]] = (
        "load_kg",
        "trench_near_x_in_world_m",
        "trench_near_y_in_world_m",
        "trench_far_x_in_world_m",
        "trench_far_y_in_world_m",
        "trench_bottom_z_in_world_m",
        "heap_x_in_world_m",
        "heap_y_in_world_m",
        *(f"pipe_from_{c}_in_world_m" for c in "xyz"),
        *(f"pipe_to_{c}_in_world_m" for c in "xyz"),
        "pipe_radius_m",
        "pipe_distance_m",
        "overturning_share",
        *(f"ground_{k}_above_design_m" for k in range(STATIONS)),
        "ground_behind_above_edge_m",
        "ground_before_above_edge_m",
        "ground_ahead_above_edge_m",
    )
    TRUTH_EXTRAS: ClassVar[tuple[str, ...]] = (
        "design_m3",
        "remaining_m3",
        "over_dig_m3",
        "over_dig_outside_m3",
        "dumped_m3",
        "stray_m3",
        "true_load_kg",
        "resistance_n",
        "true_pipe_distance_m",
        "pipe_touched",
        "true_overturning_share",
    )
    near: bool = False
    acting: bool = True

    def __init__(
        self,
        config: DiggingConfig,
        scenario: Scenario,
        robot: Robot,
        dynamics: Dynamics,
        steps: int,
    ) -> None:
        self.config = config
        self.site = Site.of(scenario, config.soil.level_m)
        factor = 2.0 ** float(scenario.values.get("cohesion_octaves", 0.0))
        ground = config.soil.model_copy(update={"cohesion_factor": (factor, factor)})
        bucket = load_bucket(robot.name)
        self.soil = Soil(ground, bucket)
        self.soil.reset(generator(scenario.seed, "process.soil"))
        near, far = self.site.trench
        d = config.design
        self.trench = Trench(
            TrenchConfig(
                from_m=near,
                to_m=far,
                width_m=d.width_m,
                end_slope_m=d.end_slope_m,
                tolerance_m=d.tolerance_m,
                wall_tolerance_m=d.wall_tolerance_m,
            ),
            self.soil,
        )
        self.zone = self.site.zone(self.trench, ground, d.heap_radius_m)
        half, p = config.pipe.half_length_m, config.pipe
        from_m, to_m = self.site.pipe(p.radius_m, half)
        self.pipe = Pipe(
            PipeConfig(
                from_m=from_m, to_m=to_m, radius_m=p.radius_m, buffer_m=p.buffer_m
            ),
            bucket,
        )
        self._draw_errors(scenario.seed, steps)
        self._link = robot.tree.link_names.index(robot.tool.link)
        self._mass, self._com = robot.tree.mass, robot.tree.center_of_mass
        self._support = np.array(config.support_half_m)
        self._exact = np.zeros(len(self.EXTRAS))
        self._exact[1:8] = self.site.plan
        self._exact[8:15] = (*from_m, *to_m, p.radius_m)
        self._truth = np.zeros(len(self.TRUTH_EXTRAS))
        self._truth[0] = self.trench.design_m3
        self._volumes = np.zeros(2 + STATIONS)
        self._map = np.array([*ground.origin_m, ground.cell_m])
        self._kept = np.array([math.inf, 0.0])
        self._pushes = np.zeros_like(self.soil.forces)
        self._arrays: tuple[Any, ...] = (
            *self.soil.arrays,
            *self.pipe.arrays,
            _LOOK_M,
            self._kept,
            self._pushes,
        )
        self._placed = False
        self._step = 0
        self._scans: deque[tuple[float, Array]] = deque()
        self._scan, self._scan_stamp, self._next = np.zeros(_SCANNED), -math.inf, 0
        self._age = np.zeros(len(self.EXTRAS))

    def _draw_errors(self, seed: int, steps: int) -> None:
        """Draw the errors of load, scanner and plan for the whole episode."""
        s = self.config.sensors
        self._load_noise = correlated_noise(
            generator(seed, "sensor.load"),
            (steps + 2, 1),
            s.load_sigma_kg,
            s.load_correlation,
        )[:, 0]
        rng = generator(seed, "sensor.plan")
        scale = s.load_scale_error_share
        self._load_scale = 1.0 + float(rng.uniform(-scale, scale))
        across, down = rng.uniform(-s.pipe_survey_m, s.pipe_survey_m, 2).tolist()
        capsule = self.site.displaced(across, down)
        p, half = self.config.pipe, self.config.pipe.half_length_m
        from_m, to_m = capsule.pipe(p.radius_m, half)
        self._planned = Pipe(
            PipeConfig(
                from_m=from_m, to_m=to_m, radius_m=p.radius_m, buffer_m=p.buffer_m
            ),
            self.soil.bucket,
        )
        self._plan = np.array([*from_m, *to_m, p.radius_m])
        scans = math.ceil(steps * s.scan_rate_hz) + 4
        rng = generator(seed, "sensor.scan")
        self._scan_noise = s.scan_sigma_m * np.clip(
            rng.normal(0.0, 1.0, (min(scans, steps + 4), _SCANNED)), -3.0, 3.0
        )

    def command(self, tool: Array, stopped: bool) -> None:
        """A bucket has no channels of its own: its joint is an actuator."""

    def touch(
        self,
        contact: ContactModel,
        people: Sequence[AnyPerson],
        fraction: float,
        kinematics: Kinematics,
    ) -> npt.NDArray[np.bool_] | None:
        """Soil does not change contacts with people."""
        return None

    def act(self, dynamics: Dynamics, kinematics: Kinematics, dt_s: float) -> None:
        """Let the ground push on the bucket in the coming physics step.

        Raises:
            ContractError: If the pose is not finite or the step not positive.
        """
        count = act(
            dynamics.position,
            kinematics.size,
            kinematics.buffer,
            kinematics.robot.tool_link,
            dt_s,
            *self._arrays,
        )
        if count == 0:
            return
        if count < 0:
            raise ContractError("a bucket in soil needs a finite pose and a time step")
        for row in self._pushes[:count]:
            dynamics.apply_force(self._link, row[:3], row[3:])

    def advance(
        self,
        dt_s: float,
        kinematics: Kinematics,
        people: Sequence[AnyPerson],
        contact: Contact,
    ) -> None:
        """Let slopes slide and compare the work with the design."""
        self.soil.settle()
        self._step += 1
        self._measure(kinematics)

    def look(self, time_s: float, step: int, people: Sequence[AnyPerson]) -> None:
        """The scanner looks in :meth:`extras`, at the pose of the same moment."""

    def extras(self, time_s: float) -> tuple[Array, Array]:
        """Return the extras as sensors give them, and their ages [s]."""
        s, exact = self.config.sensors, self._exact
        if time_s * s.scan_rate_hz >= self._next - 1e-9:
            noise = self._scan_noise[min(self._next, len(self._scan_noise) - 1)]
            self._scans.append((time_s, exact[_SCAN_FROM:] + noise))
            self._next = int(time_s * s.scan_rate_hz + 1e-9) + 1
        first = self._scan_stamp == -math.inf
        while self._scans and (
            first or time_s - self._scans[0][0] >= s.scan_latency_s - 1e-9
        ):
            self._scan_stamp, self._scan = self._scans.popleft()
            first = False
        told = exact.copy()
        noise_kg = self._load_noise[min(self._step, len(self._load_noise) - 1)]
        told[0] = max(0.0, self._load_scale * exact[0] + noise_kg)
        told[8:15] = self._plan
        told[15] = self._planned.distance_m
        # Moments come from the pressures that tell the load, with the same error.
        told[16] = self._load_scale * exact[16]
        told[_SCAN_FROM:] = self._scan
        age = np.zeros(len(told))
        age[_SCAN_FROM:] = time_s - self._scan_stamp
        return told, age

    def truth(
        self, kinematics: Kinematics, people: Array
    ) -> tuple[Array, Array, Array]:
        """Return exact extras, their ages and the true extras of the control step."""
        if not self._placed:
            self.soil.place(kinematics.tool_position, kinematics.tool_rotation)
            self.pipe.update(kinematics.tool_position, kinematics.tool_rotation)
            self._measure(kinematics)
            self._placed = True
        more = self._truth.copy()
        more[6], more[7] = self.soil.load_kg, self._kept[WORST]
        more[8], more[9] = self._kept[CLOSEST], float(self.pipe.touched)
        more[10] = self._exact[16]
        self._kept[:] = math.inf, 0.0
        return self._exact.copy(), _NO_AGE, more

    def surface(self) -> Surface:
        """Return the ground, for pictures."""
        soil = self.soil
        return Surface(
            np.array(soil.config.origin_m),
            soil.config.cell_m,
            soil.bank_m + soil.loose_m,
            soil.loose_m > _SEEN_LOOSE_M,
        )

    def outlines(self) -> list[Outline]:
        """Return design (white), heap (brown) and pipe (blue), for pictures."""
        return self.site.outlines(
            self.config.design.width_m,
            self.config.design.heap_radius_m,
            self._plan,
        )

    def objects(self) -> Array:
        """Return no objects: soil is no rigid body."""
        return np.zeros((0, 7))

    def _measure(self, kinematics: Kinematics) -> None:
        """Bring exact and true extras up to date with the ground and the pose."""
        edge, rotation = kinematics.tool_position, kinematics.tool_rotation
        soil, trench = self.soil, self.trench
        trench.measure()
        self._planned.update(edge, rotation)
        self.pipe.update(edge, rotation)
        self._kept[CLOSEST] = min(float(self._kept[CLOSEST]), self.pipe.distance_m)
        site.measure(
            soil.bank_m,
            soil.loose_m,
            trench.target_m,
            trench.along,
            self.zone,
            soil.config.cell_m**2,
            self._volumes,
        )
        swell = 1.0 + soil.kind.swell_share
        true, exact = self._truth, self._exact
        true[1], true[2] = trench.remaining_m3, trench.over_dig_m3
        true[3] = trench.over_dig_outside_m3
        true[4], true[5] = self._volumes[0] / swell, self._volumes[1] / swell
        exact[0], exact[15] = soil.load_kg, self.pipe.distance_m
        exact[_SCAN_FROM : _SCAN_FROM + STATIONS] = self._volumes[2:]
        site.look_around(
            soil.bank_m,
            soil.loose_m,
            self._map,
            edge,
            rotation,
            _AROUND,
            exact[_SCAN_FROM + STATIONS :],
        )
        chain = kinematics.chain
        exact[16] = site.overturning_share(
            chain.link_position,
            chain.link_rotation,
            self._mass,
            self._com,
            soil.forces,
            self._support,
        )


_LOOK_M = 0.6
"""Nearer than this the pipe is looked at in every physics step: in a control step of
0.1 s no edge comes so far."""
_SEEN_LOOSE_M = 0.02
_SCAN_FROM = 17
_SCANNED = STATIONS + len(_AROUND)
_NO_AGE = np.zeros(len(Digging.EXTRAS))
_NO_AGE.setflags(write=False)
