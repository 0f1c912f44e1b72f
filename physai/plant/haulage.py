"""Hauling with a crawler dump: load, localisation, crossing traffic, radio link.

Joined to the plant as a process. Its sensors: a satellite receiver with dead reckoning
(:mod:`physai.plant.satellite`), a load cell, an inclinometer, the position message of a
manned machine over the site's radio link, and the signal of the crossing that the site
control derives from that message. What runs out of the bed lies on the ground as a pile
(:mod:`physai.plant.bed_load`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, cast

import numpy as np
import numpy.typing as npt
from pydantic import Field

from physai.body.people import AnyPerson
from physai.config import Config
from physai.errors import ContractError
from physai.plant.bed_load import BedConfig, BedLoad, Pile, PileConfig
from physai.plant.contact import ContactModel
from physai.plant.haulage_kernel import bed_slopes, polygon_distance, rollover_margin
from physai.plant.manned_machine import MachineConfig, MannedMachine
from physai.plant.route import Route
from physai.plant.satellite import SatelliteConfig, SatelliteReceiver
from physai.plant.tracker import correlated_noise
from physai.randomness import generator
from physai.robot.description import Robot
from physai.robot.footprint import (
    box_corners,
    box_gap,
    footprint_of,
    inside_polygon,
    place_corners,
    polygon_near,
    polygon_reaches,
)
from physai.robot.kinematics import Kinematics
from physai.types import Array, Contact

if TYPE_CHECKING:
    from physai.plant.dynamics import Dynamics, MobileDynamics
    from physai.plant.scenario import Scenario

__all__ = ["Haulage", "HaulageConfig"]

NonNegative = Annotated[float, Field(ge=0.0)]
Positive = Annotated[float, Field(gt=0.0)]
Place = tuple[float, float]

_TOUCH_M = 0.3
"""Closer than this to another machine counts as a contact (project choice)."""
_CARRY_KG = 25.0
"""The engine is told of the load when it has changed by so much."""
_LOOK = 12
"""Places at which the site control looks ahead on a machine's way."""


class GaugeConfig(Config):
    """Load cell and inclinometer."""

    load_share_sigma: NonNegative
    """Error of the load cell over the load, constant over an episode."""
    tilt_sigma_rad: NonNegative
    correlation: Annotated[float, Field(ge=0.0, lt=1.0)]
    source: str


class CrossingConfig(Config):
    """A crossing with manned machines, and when the site control closes it."""

    polygon_m: Annotated[tuple[Place, ...], Field(min_length=3)]
    claim_s: Positive
    """Closed while the manned machine, as it drives, is there within this time."""
    margin_m: NonNegative
    source: str


class LinkConfig(Config):
    """Radio link to the site control."""

    latency_s: NonNegative
    source: str


class HaulageConfig(Config):
    """Section ``process`` of a plant, kind ``haulage``."""

    route_m: Annotated[tuple[Place, ...], Field(min_length=3)]
    """From the loading place to where it turns for dumping."""
    dump_pose_m_rad: tuple[float, float, float]
    """Where the base stands to dump: x, y and heading."""
    target_m: tuple[Place, Place]
    """Two corners of the rectangle in which the load is wanted."""
    area_m: Annotated[tuple[Place, ...], Field(min_length=3)]
    """The area that the machine may not leave."""
    bed: BedConfig
    pile: PileConfig
    localisation: SatelliteConfig
    gauges: GaugeConfig
    link: LinkConfig
    machine: MachineConfig
    crossing: CrossingConfig
    source: str


class Haulage:
    """One haul of one machine.

    Values of the scenario that it reads: ``gnss_drop_start_s``, ``gnss_drop_s``,
    ``link_drop_start_s``, ``link_drop_s``, ``manned_start_s``, ``manned_speed_m_s``,
    ``manned_attentive`` (below 0.5: the driver does not look).

    Args:
        config: Figures.
        scenario: Gives the load and the values above.
        robot: A machine with tracks, a payload and a bed.
        dynamics: An engine with a base that drives.
        steps: Control steps that the episode can have.

    Raises:
        ContractError: If the robot does not drive or carries no payload.

    Attributes:
        near: Never: nothing of it acts in a physics step.
        pile: What lies on the ground.
        load: What is in the bed.
        machine: The manned machine.
        receiver: The localisation.
    """

    Values: ClassVar[type[Config]] = HaulageConfig
    EXTRAS: ClassVar[tuple[str, ...]] = (
        "gnss_fix",
        "position_sigma_m",
        "link_age_s",
        "load_kg",
        "stability_margin_rad",
        "crossing_closed",
        "manned_x_in_world_m",
        "manned_y_in_world_m",
        "manned_velocity_x_in_world_m_s",
        "manned_velocity_y_in_world_m_s",
    )
    TRUTH_EXTRAS: ClassVar[tuple[str, ...]] = (
        "delivered_share",
        "spilled_share",
        "rollover_margin_rad",
        "fence_distance_m",
        "position_error_m",
        "route_error_m",
        "machine_distance_m",
        "machine_contact_m_s",
    )

    def __init__(
        self,
        config: HaulageConfig,
        scenario: Scenario,
        robot: Robot,
        dynamics: Dynamics,
        steps: int,
    ) -> None:
        if robot.base is None or robot.payload is None:
            raise ContractError(
                f"{robot.name}: hauling needs a base that drives and a payload"
            )
        mobile = cast("MobileDynamics", dynamics)
        ground = mobile.ground
        self.config, self._dynamics, self.near = config, mobile, False
        self._robot = robot
        values, seed = scenario.values, scenario.seed
        self._carried = self._loaded = scenario.payload_kg
        self.load = BedLoad(config.bed, scenario.payload_kg)
        self.pile = Pile(config.pile, ground)
        self.route = Route(config.route_m)
        turn, dump = config.route_m[-1], config.dump_pose_m_rad
        self._dump_way = Route((turn, (dump[0], dump[1])), smooth=False)
        self.receiver = SatelliteReceiver(
            config.localisation,
            (_window(values, "gnss_drop"),),
            seed,
            steps,
        )
        self._link_drop = _window(values, "link_drop")
        self.machine = MannedMachine(
            config.machine,
            ground,
            float(values.get("manned_start_s", math.inf)),
            float(values.get("manned_speed_m_s", 0.0)),
            float(values.get("manned_attentive", 1.0)) > 0.5,
            seed,
        )
        self._make_figures(seed, steps)

    def _make_figures(self, seed: int, steps: int) -> None:
        robot, config = self._robot, self.config
        assert robot.base is not None and robot.payload is not None
        tree = robot.tree
        self._mass, self._weighed = tree.mass.copy(), tree.mass.copy()
        self._link = tree.link_names.index(robot.payload.link)
        self._bed = tree.link_names.index(robot.tool.link)
        wheels = np.array([w.position_m for w in robot.base.wheels])
        self._half_length = float(wheels[:, 0].max() - wheels[:, 0].min()) / 2.0
        self._half_gauge = float(wheels[:, 1].max() - wheels[:, 1].min()) / 2.0
        rng = generator(seed, "sensor.gauges")
        self._scale = 1.0 + config.gauges.load_share_sigma * float(
            np.clip(rng.normal(), -3.0, 3.0)
        )
        self._tilt = correlated_noise(
            rng, (steps + 2, 2), config.gauges.tilt_sigma_rad, config.gauges.correlation
        )
        self._area = np.array(config.area_m)
        self._crossing = np.array(config.crossing.polygon_m)
        self._target = np.sort(np.array(config.target_m), axis=0)
        self._footprint = footprint_of(robot)
        self._corners, self._gap = np.zeros((4, 2)), np.zeros(4)
        self._center, self._slopes = np.zeros(3), np.zeros(2)
        self._ahead = np.zeros((4, 2))
        self._step, self._margin = 0, math.nan
        self._link_s, self._closed = 0.0, 0.0
        self._delivered = self._route_error = 0.0
        self._manned_age_s = 0.0

    def command(self, tool: Array, stopped: bool) -> None:
        """The bed is an actuator; there are no channels."""

    def act(self, dynamics: Dynamics, kinematics: Kinematics, dt_s: float) -> None:
        """Nothing of it acts in a physics step."""

    def touch(
        self,
        contact: ContactModel,
        people: Sequence[AnyPerson],
        fraction: float,
        kinematics: Kinematics,
    ) -> npt.NDArray[np.bool_] | None:
        """Bodies touch as everywhere."""
        return None

    def locate(
        self, time_s: float, step: int, pose: Array, kinematics: Kinematics
    ) -> Array:
        """Return where the machine believes to be."""
        self._kinematics = kinematics
        return self.receiver.locate(time_s, step, pose)

    def advance(
        self,
        dt_s: float,
        kinematics: Kinematics,
        people: Sequence[AnyPerson],
        contact: Contact,
    ) -> None:
        """Let the load run out and the manned machine drive on."""
        self._run_out(dt_s, kinematics)
        base = self._dynamics.base_pose
        place_corners(base, self._footprint, self._corners)
        inside = self._robot_crosses()
        time_s = (self._step + 1) * dt_s
        self.machine.advance(time_s, dt_s, self._blocked(inside))
        self._route_error = max(
            self._route_error, self._away(float(base[0]), float(base[1]))
        )

    def look(self, time_s: float, step: int, people: Sequence[AnyPerson]) -> None:
        """Let the radio link deliver what is due."""
        self._step = step
        start, end = self._link_drop
        linked = not start <= time_s < end
        self.machine.report(time_s, linked)
        if linked:
            self._link_s = max(0.0, time_s - self.config.link.latency_s)
            self._closed = float(self._claims(time_s))
        self._link_age_s = time_s - self._link_s
        self._manned_age_s = time_s - self.machine.message_s

    def extras(self, time_s: float) -> tuple[Array, Array]:
        """Return the extras as sensors give them, and their ages [s]."""
        values = np.array(
            [
                float(self.receiver.fixed),
                self.receiver.sigma_m,
                self._link_age_s,
                self.load.mass_kg * self._scale,
                self._measured_margin(),
                self._closed,
                *self.machine.message.tolist(),
            ]
        )
        ages = np.zeros(len(values))
        ages[5] = self._link_age_s
        ages[6:] = self._manned_age_s
        return values, ages

    def truth(
        self, kinematics: Kinematics, people: Array
    ) -> tuple[Array, Array, Array]:
        """Return exact extras, their ages and the true extras of the control step."""
        self._mass[self._link] = self.load.mass_kg
        margin = self._margin_of(self._mass, 0.0, 0.0)
        base = self._dynamics.base_pose
        place_corners(base, self._footprint, self._corners)
        distance = box_gap(self._corners, self.machine.corners, self._gap)
        machine = self.machine
        _, _, heading = machine.way_to(0.0)
        v = machine.speed_m_s
        exact = np.array(
            [
                float(self.receiver.fixed),
                self.receiver.sigma_m,
                self._link_age_s,
                self.load.mass_kg,
                margin,
                self._closed,
                machine.pose[0],
                machine.pose[1],
                v * math.cos(heading),
                v * math.sin(heading),
            ]
        )
        more = np.array(
            [
                self._delivered / self._loaded if self._loaded > 0.0 else 0.0,
                self._spilled_share(),
                margin,
                polygon_distance(self._corners, self._area),
                self.receiver.error_m,
                self._route_error,
                distance,
                self._closing(distance),
            ]
        )
        return exact, _NO_AGE, more

    def objects(self) -> Array:
        """Return the (1, 7) true pose of the manned machine's box."""
        return self.machine.pose[None].copy()

    def boxes(self) -> Array:
        """Return the (1, 10) box of the manned machine: pose and size [m]."""
        return np.concatenate([self.machine.pose, self.config.machine.size_m])[None]

    def _run_out(self, dt_s: float, kinematics: Kinematics) -> None:
        """Let soil leave the bed and lay it down."""
        rotation = kinematics.link_rotation[self._bed]
        bed_slopes(rotation, self._slopes)
        floor, tilt = self._slopes.tolist()
        rear, side = self.load.step(dt_s, floor, tilt)
        if rear > 0.0:
            edge = kinematics.tool_position
            ground = self._dynamics.ground.height(float(edge[0]), float(edge[1]))
            throw = self.load.throw_m(floor, float(edge[2]) - ground)
            size = max(math.hypot(rotation[0, 0], rotation[1, 0]), 1e-6)
            back = (rotation[0, 0] / size, rotation[1, 0] / size)
            self.pile.drop(edge[0] - throw * back[0], edge[1] - throw * back[1], rear)
        if side > 0.0:
            bed, across = kinematics.link_position[self._bed], rotation[:, 1]
            way = self.config.bed.half_width_m * (1.0 if across[2] < 0.0 else -1.0)
            middle = bed + 0.5 * self.config.bed.length_m * rotation[:, 0]
            self.pile.drop(
                middle[0] + way * across[0], middle[1] + way * across[1], side
            )
        self.pile.settle()
        if rear + side > 0.0:
            self._delivered = self.pile.mass_within(self._target[0], self._target[1])
        if self._carried - self.load.mass_kg > _CARRY_KG:
            self._carried = self.load.mass_kg
            self._dynamics.set_payload(self._carried)

    def _spilled_share(self) -> float:
        if not self._loaded > 0.0:
            return 0.0
        return (self.pile.mass_kg - self._delivered) / self._loaded

    def _margin_of(self, mass: Array, tilt_x: float, tilt_y: float) -> float:
        k = self._kinematics
        return rollover_margin(
            mass,
            self._robot.tree.center_of_mass,
            k.link_position,
            k.link_rotation,
            self._dynamics.base_pose,
            tilt_x,
            tilt_y,
            self._half_length,
            self._half_gauge,
            self._center,
        )

    def _measured_margin(self) -> float:
        """Roll-over margin by load cell and inclinometer [rad]."""
        self._weighed[self._link] = self.load.mass_kg * self._scale
        tilt = self._tilt[min(self._step, len(self._tilt) - 1)].tolist()
        return self._margin_of(self._weighed, tilt[0], tilt[1])

    def _away(self, x: float, y: float) -> float:
        """Distance from the way that is meant: the route, then back to the dump."""
        return min(self.route.distance(x, y), self._dump_way.distance(x, y))

    def _robot_crosses(self) -> bool:
        """Whether a corner of the robot is in the crossing."""
        return polygon_reaches(self._corners, self._crossing)

    def _blocked(self, crosses: bool) -> bool:
        """Whether the manned driver sees the robot in the way."""
        machine, c = self.machine, self.config.machine
        x, y, _ = machine.way_to(c.sight_m)
        ahead = inside_polygon(x, y, self._crossing)
        here = inside_polygon(
            float(machine.pose[0]), float(machine.pose[1]), self._crossing
        )
        if crosses and ahead and not here:
            return True
        for share in (0.33, 0.67, 1.0):
            x, y, heading = machine.way_to(share * c.sight_m)
            box_corners(x, y, heading, c.size_m[0], c.size_m[1] + 1.0, self._ahead)
            if box_gap(self._ahead, self._corners, self._gap) <= 0.0:
                return True
        return False

    def _claims(self, time_s: float) -> bool:
        """Whether the crossing is closed for the robot, by the machine's last message."""
        c, machine = self.config.crossing, self.machine
        x, y, vx, vy = machine.message.tolist()
        reach = 0.5 * self.config.machine.size_m[0] + c.margin_m
        age = time_s - machine.message_s
        for k in range(_LOOK + 1):
            t = age + c.claim_s * k / _LOOK
            if polygon_near(x + vx * t, y + vy * t, self._crossing, reach):
                return True
        return False

    def _closing(self, distance: float) -> float:
        """Own speed toward the manned machine while touching it [m/s]."""
        if distance > _TOUCH_M:
            return 0.0
        base, twist = self._dynamics.base_pose, self._dynamics.base_twist
        gx, gy, mx, my = self._gap.tolist()
        nx, ny = mx - gx, my - gy
        size = math.hypot(nx, ny)
        if size < 1e-6:
            return float(math.hypot(twist[0], twist[1]))
        vx = float(twist[0]) - float(twist[5]) * (gy - float(base[1]))
        vy = float(twist[1]) + float(twist[5]) * (gx - float(base[0]))
        return max(0.0, (vx * nx + vy * ny) / size)


_NO_AGE = np.zeros(len(Haulage.EXTRAS))
_NO_AGE.setflags(write=False)


def _window(values: dict[str, Any], name: str) -> tuple[float, float]:
    """Return start and end of a loss that a scenario's values name; never if absent."""
    start = float(values.get(f"{name}_start_s", math.inf))
    return start, start + float(values.get(f"{name}_s", 0.0))
