"""Handling of cases: infeed, suction, a stack on a pallet, and their sensors.

One case after the other arrives on the infeed; the tool channel ``vacuum`` draws it to
the cups (:mod:`physai.plant.suction`), the engine's constraint carries it, and its
reaction breaks the seal when it asks for more than the vacuum holds. Whether a stack
stands is the engine's business alone: a case is *placed* when it has come to rest in its
slot and stays there. While the robot is stopped the vacuum stays as it was.

No force model covers a case that falls on a person; a fall is recorded with its energy
m g h where somebody is within reach of it. A held case that touches a person is recorded
by its own speed toward them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import numpy.typing as npt

from physai.body.person import Person
from physai.config import Config
from physai.errors import ContractError
from physai.plant.case_tracker import CaseSource, CaseTracker
from physai.plant.contact import ContactModel
from physai.plant.dynamics import ObjectStart, ObjectWorld
from physai.plant.handling_kernel import (
    HELD,
    QUEUED,
    READY,
    RELEASED,
    describe,
    judge,
    touch_speed,
)
from physai.plant.handling_settings import (
    EXTRAS,
    TRUTH_EXTRAS,
    HandlingConfig,
    plan_of,
)
from physai.plant.suction import MARGIN_MOST, Grip, find_seal
from physai.randomness import generator
from physai.robot.description import Robot
from physai.robot.kinematics import Kinematics
from physai.types import Array, Contact

if TYPE_CHECKING:
    from physai.plant.dynamics import Dynamics
    from physai.plant.scenario import PlantConfig, Scenario
    from physai.plant.tag_vision import TagVision

__all__ = ["Handling"]


class Handling:
    """Cases, suction and their sensors over one episode.

    Args:
        config: Figures.
        scenario: Its values hold a :class:`LoadPlan` under ``load``.
        robot: Gives the tool.
        dynamics: An engine with objects.
        steps: Control steps that the episode can have.

    Raises:
        ContractError: If the engine has no objects or the plan does not fit.

    Attributes:
        near: False: the engine itself looks at the held case in every physics step.
        vacuum_kpa: In the cups, gauge.
    """

    Values: ClassVar[type[Config]] = HandlingConfig
    EXTRAS: ClassVar[tuple[str, ...]] = EXTRAS
    TRUTH_EXTRAS: ClassVar[tuple[str, ...]] = TRUTH_EXTRAS

    def __init__(
        self,
        config: HandlingConfig,
        scenario: Scenario,
        robot: Robot,
        dynamics: Dynamics,
        steps: int,
    ) -> None:
        if dynamics.objects is None:
            raise ContractError(
                f"{scenario.case}: handling needs an engine with objects that move"
            )
        self.config, self.near = config, False
        self.world: ObjectWorld = dynamics.objects
        self.plan = plan_of(scenario, len(self.world.sizes))
        self._link, self._seed = robot.tool_link, scenario.seed
        self._command = False
        self._time_s, self._supply_s = 0.0, 0.0
        self.vacuum_kpa, self._quality = 0.0, 1.0
        self._set_cases()
        self._set_sensors(scenario.seed, steps)
        self._supply()

    def command(self, tool: Array, stopped: bool) -> None:
        """Take the channel ``vacuum``: on above 0.5; a stop changes nothing."""
        self.world.begin_period()
        if not stopped:
            self._command = bool(tool[0] > 0.5)

    def touch(
        self,
        contact: ContactModel,
        people: Sequence[Person],
        fraction: float,
        kinematics: Kinematics,
    ) -> npt.NDArray[np.bool_] | None:
        """Cases touch people only by geometry, at the end of a period."""
        return None

    def act(self, dynamics: Dynamics, kinematics: Kinematics, dt_s: float) -> None:
        """The engine's constraint carries the case."""

    def advance(
        self,
        dt_s: float,
        kinematics: Kinematics,
        people: Sequence[Person],
        contact: Contact,
    ) -> None:
        """Move vacuum, infeed and the judgement of every case on."""
        self._time_s += dt_s
        world = self.world
        world.read()
        self._suck(dt_s, kinematics)
        self._supply_s += dt_s
        self._supply()
        bodies = _NOBODY
        if people:
            bodies = np.concatenate([p.capsules for p in people])
        place = self.config.placing
        judge(
            self._status,
            self._object,
            world.pose,
            world.velocity,
            world.sizes,
            world.mass,
            self._slot,
            self._peak,
            self._rest,
            self._flags,
            bodies,
            dt_s,
            place.tolerance_m,
            place.tolerance_yaw_rad,
            place.tilt_rad,
            place.rest_speed_m_s,
            place.rest_s,
            place.fall_m,
            place.person_reach_m,
            self._figures,
        )
        self._contact_speed = 0.0
        held = world.attached
        if held >= 0 and len(bodies):
            self._contact_speed = touch_speed(
                world.pose[held], world.velocity[held], world.sizes[held], bodies
            )

    def look(self, time_s: float, step: int, people: Sequence[Person]) -> None:
        """Let the cameras take and deliver what is due."""
        self._step = step
        self._tracker.look(time_s, step, self.world, people)

    def extras(self, time_s: float) -> tuple[Array, Array]:
        """Return the extras as sensors give them, and their ages [s]."""
        self._fill_exact()
        noise = self._noise[min(self._step, len(self._noise) - 1)]
        out = self._exact.copy()
        out[0] = max(0.0, out[0] + self.config.vacuum_sigma_kpa * noise[0])
        share = 1.0 + self.config.margin_sigma_share * noise[1]
        out[1] = min(MARGIN_MOST, out[1] * share)
        out[10] *= 1.0 + self.config.mass_sigma_share * self._mass_error[self._now]
        ages = np.full(len(out), self.config.interface_latency_s)
        ages[7:] = 0.0
        index, held = self._objects[self._now], self.world.attached >= 0
        self._tracker.describe(index, held, out[3:7])
        if not held:
            ages[3:7] = self._tracker.ages(time_s)[index]
        return out, ages

    def truth(
        self, kinematics: Kinematics, people: Array
    ) -> tuple[Array, Array, Array]:
        """Return exact extras, their ages and the true extras of the control step."""
        figures = self._figures
        hours = max(self._time_s, 1e-9) / 3600.0
        more = np.array(
            [
                figures[0],
                len(self._status) - figures[0],
                figures[1],
                figures[2],
                self.world.margin,
                figures[3],
                figures[4],
                self._contact_speed,
                figures[0] / hours if self._time_s > 0.0 else 0.0,
            ]
        )
        return self._exact.copy(), _NO_AGE, more

    def objects(self) -> Array:
        """Return the (K, 7) true poses."""
        return self.world.pose.copy()

    def measured_objects(self, time_s: float) -> tuple[Array, Array]:
        """Return the (K, 7) poses as cameras give them, and their (K,) ages [s]."""
        return self._tracker.poses, self._tracker.ages(time_s)

    @staticmethod
    def vision(
        config: HandlingConfig, plant: PlantConfig, kinematics: Kinematics
    ) -> TagVision:
        """Return what sees the cases by their tags, for all episodes of a plant.

        Raises:
            ContractError: If the section has no tags.
        """
        if config.tags is None:
            raise ContractError("plant.process.tags: there is none, so nothing is seen")
        from physai.plant.tag_vision import TagVision

        sizes = np.array([thing.size_m for thing in plant.objects]).reshape(-1, 3)
        return TagVision(config.tags, plant.scene, kinematics, sizes)

    def see_by(self, vision: TagVision) -> None:
        """Take the poses of cases from tags, from the first look on."""
        vision.reset(self._seed, self.config.infeed.position_m)
        self._tracker: CaseSource = vision

    def _set_cases(self) -> None:
        plan, count = self.plan, len(self.plan.cases)
        self._object = np.array([c.object for c in plan.cases], dtype=np.int64)
        self._objects = [c.object for c in plan.cases]
        self._status = np.full(count, QUEUED, dtype=np.int64)
        self._peak, self._rest = np.full(count, -np.inf), np.zeros(count)
        self._flags = np.zeros((count, 3), dtype=np.bool_)
        self._figures, self._contact_speed = np.zeros(5), 0.0
        self._now = 0
        self._slot: Array = np.zeros((count, 4))
        top = np.zeros(count)
        for index, slot in enumerate(plan.slots):
            height = float(self.world.sizes[self._object[index], 2])
            base = max(
                (top[below] for below in slot.on),
                default=self.config.placing.pallet_top_m,
            )
            top[index] = base + height
            self._slot[index] = slot.x_m, slot.y_m, top[index], slot.yaw_rad

    def _set_sensors(self, seed: int, steps: int) -> None:
        self._tracker = CaseTracker(self.config.tracker, self.world.sizes, seed, steps)
        rng = generator(seed, "sensor.handling")
        self._noise = np.clip(rng.normal(0.0, 1.0, (steps + 4, 2)), -3.0, 3.0)
        self._mass_error = np.clip(
            rng.normal(0.0, 1.0, len(self.plan.cases)), -3.0, 3.0
        )
        self._step = 0
        self._exact = np.zeros(len(self.EXTRAS))
        self._found = np.zeros(2)

    def _supply(self) -> None:
        """Bring the next case to the infeed once it is free for long enough."""
        infeed, world = self.config.infeed, self.world
        status = self._status.tolist()
        if QUEUED not in status or READY in status:
            self._supply_s = 0.0
            return
        x, y, z = infeed.position_m
        gap = np.hypot(world.pose[:, 0] - x, world.pose[:, 1] - y)
        above = (world.mass > 0.0) & (world.pose[:, 2] > z)
        if ((gap < infeed.clear_m) & above).any():
            self._supply_s = 0.0
            return
        index = status.index(QUEUED)
        if index > 0 and self._supply_s < infeed.supply_s:
            return
        case, size = self.plan.cases[index], world.sizes[self._object[index]]
        half = 0.5 * case.offset_yaw_rad
        pose = np.array(
            [
                x + case.offset_x_m,
                y + case.offset_y_m,
                z + 0.5 * float(size[2]),
                0.0,
                0.0,
                math.sin(half),
                math.cos(half),
            ]
        )
        world.place(
            int(self._object[index]), ObjectStart(pose, case.mass_kg, case.friction)
        )
        self._status[index], self._peak[index] = READY, pose[2]
        self._choose()

    def _choose(self) -> None:
        """Look at the held case, else at the one that waits, else at the last."""
        status = self._status.tolist()
        for wanted in (HELD, READY):
            if wanted in status:
                self._now = status.index(wanted)
                return

    def _suck(self, dt_s: float, kinematics: Kinematics) -> None:
        """Vacuum, seal and release of one control period."""
        suction, world = self.config.suction, self.world
        if world.broken:
            self._let_go()
        if not self._command:
            self.vacuum_kpa = 0.0
            if world.attached >= 0:
                world.detach()
                self._let_go()
            return
        if world.attached < 0:
            self._seal(kinematics)
        goal = suction.leak_vacuum_kpa
        if world.attached >= 0:
            leaking = self._time_s >= self.plan.leak_start_s
            goal = suction.working_vacuum_kpa * self._quality
            goal *= self.plan.leak_share if leaking else 1.0
        share = 1.0 - math.exp(-math.log(10.0) * dt_s / suction.evacuation_time_s)
        self.vacuum_kpa += share * (goal - self.vacuum_kpa)
        if world.attached >= 0:
            world.set_grip(self._grip())

    def _seal(self, kinematics: Kinematics) -> None:
        suction, world = self.config.suction, self.world
        index = find_seal(
            kinematics.tool_pose(),
            world.pose,
            world.sizes,
            suction.cup_half_x_m,
            suction.cup_half_y_m,
            suction.cup_radius_m,
            suction.seal_gap_m,
            suction.seal_tilt_rad,
            self._found,
        )
        cases = np.flatnonzero(self._object == index)
        if index < 0 or not len(cases) or not world.mass[index] > 0.0:
            return
        case = int(cases[0])
        # Bellows close a gap; on a tilted face one side of every lip leaks.
        loose = self._found[1] / suction.seal_tilt_rad
        self._quality = self.plan.cases[case].seal * (1.0 - 0.4 * loose * loose)
        self._tracker.grasp(index, world.pose[index])
        world.attach(index, self._link, kinematics.tool_rotation, self._grip())
        self._status[case], self._flags[case] = HELD, False
        self._now = case

    def _let_go(self) -> None:
        for case in np.flatnonzero(self._status == HELD):
            self._status[case] = RELEASED
            self._rest[case] = 0.0
            self._peak[case] = self.world.pose[self._object[case], 2]
        self._choose()

    def _grip(self) -> Grip:
        suction = self.config.suction
        return Grip(
            1000.0 * self.vacuum_kpa * suction.effective_area_m2,
            suction.cup_half_x_m,
            suction.cup_half_y_m,
            suction.friction,
            suction.give_time_s,
        )

    def _fill_exact(self) -> None:
        world, now = self.world, self._now
        index = self._objects[now]
        describe(
            self.vacuum_kpa,
            world.margin,
            world.attached >= 0,
            world.pose[index],
            world.sizes[index],
            self.plan.cases[now].mass_kg,
            self._slot[now],
            self._status,
            self._exact,
        )


_NOBODY = np.zeros((0, 7))
_NO_AGE = np.zeros(len(Handling.EXTRAS))
_NO_AGE.setflags(write=False)
