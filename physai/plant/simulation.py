"""The simulated plant: everything about it that does not depend on the engine.

One control step: the person moves (once), the command is ramped within the joints'
accelerations so that all joints arrive together, and for every physics step in which
anything could touch, the contact model gets the robot's true motion and gives its
forces back. Afterwards trackers and sensors look at the result.
"""

from __future__ import annotations

import math

import numpy as np

from physai.body.behaviour import PersonView
from physai.body.person import SEGMENT_COUNT, Person
from physai.body.regions import load_regions
from physai.errors import ConfigError, ContractError
from physai.plant.contact import ContactModel
from physai.plant.dynamics import Dynamics
from physai.plant.faults import FaultInjector
from physai.plant.meal import Meal
from physai.plant.scenario import PlantConfig, Scenario
from physai.plant.sensors import ForceSensor, JointSensor
from physai.plant.tracker import BodyTracker
from physai.robot.description import Robot
from physai.robot.kinematics import Kinematics
from physai.types import Array, Command, Contact, State, Truth

__all__ = ["SimulatedPlant"]

_NONE = np.zeros(0)
_NO_OBJECTS = np.zeros((0, 7))
_STILL_BASE = np.zeros(6)
for _constant in (_NONE, _NO_OBJECTS, _STILL_BASE):
    _constant.setflags(write=False)


class SimulatedPlant:
    """A plant on an engine.

    Args:
        config: Section ``plant`` of the environment.
        robot: The robot.
        dynamics: The engine with robot and furniture in it.
    """

    def __init__(self, config: PlantConfig, robot: Robot, dynamics: Dynamics) -> None:
        self.config, self.robot, self.dynamics = config, robot, dynamics
        self.period_s, self.substep_s = 1.0 / config.control_hz, 1.0 / config.physics_hz
        if abs(config.substeps * self.substep_s - self.period_s) > 1e-9:
            raise ConfigError(
                f"physics_hz {config.physics_hz:g} must be a multiple of "
                f"control_hz {config.control_hz:g}"
            )
        self.base_pose = config.base_pose
        self.base_pose.setflags(write=False)
        self.kinematics = Kinematics(robot, self.base_pose)
        self._count = len(robot.actuator_names)
        self._fingers = (
            robot.shapes.names.index("fingers")
            if "fingers" in robot.shapes.names
            else -1
        )
        utensils = np.flatnonzero(robot.shapes.utensil)
        self._tip = int(utensils[-1]) if len(utensils) else -1
        self._regions = load_regions()
        self.people: list[Person] = []
        self._contact: ContactModel | None = None
        self._view = PersonView(np.zeros(3), np.zeros(3), math.inf)
        self.time_s, self.step_count = 0.0, 0
        self.last_contact: Contact
        self._capsules = np.zeros((0, SEGMENT_COUNT, 7))
        self._state: State
        self._truth: Truth

    def reset(self, scenario: Scenario) -> State:
        """Build the start of a scenario; the world itself is reused.

        Raises:
            ContractError: If the scenario does not fit the robot.
        """
        if len(scenario.robot_position_rad) != self._count:
            raise ContractError(
                f"the scenario gives {len(scenario.robot_position_rad)} joint positions "
                f"for the {self._count} actuators of {self.robot.name}"
            )
        steps = math.ceil(scenario.duration_s * self.config.control_hz) + 1
        self.scenario = scenario
        self.time_s, self.step_count = 0.0, 0
        self._target, self._velocity = np.zeros(self._count), np.zeros(self._count)
        self._stopped: int | None = None
        self.dynamics.reset(np.array(scenario.robot_position_rad))
        self._place_people(scenario)
        seed = scenario.seed
        self._joints = JointSensor(self.config.sensors, self._count, seed, steps)
        self._force = ForceSensor(self.config.sensors, seed, steps, self.substep_s)
        self._tracker = BodyTracker(
            self.config.tracker, len(self.people), seed, steps, self.config.control_hz
        )
        self._meal = (
            Meal(self.config.meal, scenario, self.robot, steps)
            if self.config.meal is not None and self.people
            else None
        )
        self._faults = FaultInjector(scenario.faults, seed) if scenario.faults else None
        self._look()
        self._assemble()
        return self._state

    def read(self) -> State:
        """Return what sensors and trackers say."""
        return self._state

    def truth(self) -> Truth | None:
        """Return what really is."""
        return self._truth

    def apply(self, command: Command) -> Command:
        """Take a command; after a stop of category 1 or 0 it stays at rest."""
        asked: Command | None = command
        if self._faults is not None:
            asked = self._faults.apply_to_command(command, self.time_s)
        if asked is None:
            return Command(
                self._target.copy(), command.tool, command.stamp_s, command.sequence
            )
        if self._stopped is None:
            self._target[:] = asked.actuator_velocity
        return Command(self._target.copy(), asked.tool, asked.stamp_s, asked.sequence)

    def stop(self, category: int) -> None:
        """Stop: 2 holds, 1 brakes and then holds by its brakes, 0 brakes at once."""
        if category not in (0, 1, 2):
            raise ContractError(f"a stop category is 0, 1 or 2, not {category}")
        self._target[:] = 0.0
        if category == 0:
            self._velocity[:] = 0.0
            self.dynamics.set_velocity(self._velocity)
        if category < 2:
            self._stopped = category

    def release(self) -> None:
        """Let commands through again after a stop; a person's decision."""
        self._stopped = None

    def advance(self) -> None:
        """Let one control period pass."""
        self._move_people()
        self._step_physics()
        self.step_count += 1
        self.time_s = self.step_count * self.period_s
        self.dynamics.read()
        self.kinematics.update(self.dynamics.position)
        assert self._contact is not None
        self.last_contact = self._contact.contact()
        if self._meal is not None:
            self._meal.advance(
                self.period_s,
                self.kinematics,
                self.dynamics.velocity,
                self.people[0],
                self.last_contact,
            )
        self._look()
        self._assemble()

    def close(self) -> None:
        """Release the engine; twice does no harm."""
        self.dynamics.close()

    def _place_people(self, scenario: Scenario) -> None:
        self.people = [
            Person(
                person, person.seat, person.behaviours, scenario.seed, f"person{index}"
            )
            for index, person in enumerate(scenario.people)
        ]
        count = len(self.people)
        if self._contact is None or len(self._capsules) != count:
            self._contact = ContactModel(
                self._regions, self.robot.shapes, count, self.config.contact
            )
            self._capsules = np.zeros((count, SEGMENT_COUNT, 7))
            self._between = np.zeros((count, SEGMENT_COUNT, 7))
            self._speeds = np.zeros((count, SEGMENT_COUNT, 6))
            self._rotations = np.zeros((count, SEGMENT_COUNT, 3, 3))
        self._contact.reset()
        self.kinematics.update(self.dynamics.position)
        self._update_view()
        for index, person in enumerate(self.people):
            self._capsules[index] = person.capsules
            self._rotations[index] = person.segment_rotation
        self.last_contact = self._contact.contact()

    def _update_view(self) -> None:
        capsules = self.kinematics.capsules()
        self._view.tool_position = self.kinematics.tool_position.copy()
        self._view.gripper_position = capsules[self._fingers, :3].copy()
        if self.people and self._tip >= 0:
            tip = capsules[self._tip, 3:6]
            mouth = self.people[0].mouth.position
            self._view.utensil_distance_m = float(np.linalg.norm(tip - mouth))

    def _move_people(self) -> None:
        self._update_view()
        for index, person in enumerate(self.people):
            person.advance(self.time_s + self.period_s, self.period_s, self._view)
            self._speeds[index] = person.capsule_velocity
            self._rotations[index] = person.segment_rotation

    def _step_physics(self) -> None:
        """All physics steps of a control period, with contacts where possible."""
        n, h, dynamics = self.config.substeps, self.substep_s, self.dynamics
        change = self._target - self._velocity
        ramp_s = float((np.abs(change) / self.robot.acceleration_max).max())
        start = self._velocity.copy()
        contact = self._contact
        assert contact is not None
        contact.begin_step()
        self._force.begin_step()
        bound = self._speed_bound(start)
        skip = 0 if self.people else n
        settled = ramp_s <= 0.0
        for k in range(n):
            if not settled:
                share = 1.0 if ramp_s <= 0.0 else min(1.0, (k + 1) * h / ramp_s)
                np.multiply(change, share, out=self._velocity)
                self._velocity += start
                dynamics.set_velocity(self._velocity)
                settled = share >= 1.0
            if skip > 0:
                skip -= 1
                contact.skip()
                self._force.feel(None)
            else:
                self._touch(k / n)
                skip = contact.substeps_until_possible(bound)
                if self._meal is not None and self._meal.near:
                    skip = 0
            dynamics.step()

    def _speed_bound(self, velocity: Array) -> float:
        """How fast any point of robot and person can close in during this period."""
        self.kinematics.capsules()
        now = float(np.abs(self.kinematics.capsule_velocity(velocity)).max())
        then = float(np.abs(self.kinematics.capsule_velocity(self._target)).max())
        person = float(np.abs(self._speeds).max()) if self.people else 0.0
        return math.sqrt(3.0) * (max(now, then) + person) * 1.2 + 0.05

    def _touch(self, fraction: float) -> None:
        """One substep of the contact model; its forces go to the engine."""
        contact, dynamics, k = self._contact, self.dynamics, self.kinematics
        assert contact is not None
        dynamics.read()
        k.update(dynamics.position)
        capsules = k.capsules()
        velocity = k.capsule_velocity(dynamics.velocity)
        for index, person in enumerate(self.people):
            np.subtract(person.capsules, person.previous, out=self._between[index])
            self._between[index] *= fraction
            self._between[index] += person.previous
        exempt = None
        if self._meal is not None:
            exempt = self._meal.touch(
                contact, self.people[0], fraction, capsules, velocity
            )
        count = contact.substep(
            self.substep_s,
            capsules,
            velocity,
            self._between,
            self._speeds,
            self._rotations,
            k.reflected_mass,
            exempt,
        )
        if count == 0:
            self._force.feel(None)
            return
        total = np.zeros(3)
        for row in contact.forces:
            shape = int(row[0])
            link = int(self.robot.shapes.link[shape])
            dynamics.apply_force(link, row[1:4], row[4:7])
            if self.robot.shapes.utensil[shape]:
                total += row[4:7]
        self._force.feel(total)

    def _look(self) -> None:
        """Let trackers look at the end of a control period."""
        for index, person in enumerate(self.people):
            self._capsules[index] = person.capsules
        self._tracker.observe(self.time_s, self._capsules)
        if self._meal is not None:
            self._meal.look(self.time_s, self.step_count, self.people[0])

    def _assemble(self) -> None:
        """Build State and Truth; nothing of them is written to again."""
        d = self.dynamics
        position, velocity = d.position.copy(), d.velocity.copy()
        effort, tool = d.effort.copy(), self.kinematics.tool_pose().copy()
        measured, rate = self._joints.read(self.step_count, position, velocity)
        people = len(self.people)
        zero = np.zeros(people)
        middle = (
            0.5 * (self._speeds[:, :, :3] + self._speeds[:, :, 3:])
            if people
            else np.zeros((0, SEGMENT_COUNT, 3))
        )
        extras, ages, exact, more = _NONE, _NONE, _NONE, _NONE
        if self._meal is not None:
            extras, ages = self._meal.extras(self.time_s)
            exact, more = self._meal.truth(
                self.kinematics, self._capsules[0], d.velocity
            )
        force = self._force.read(self.step_count)
        state = State(
            self.time_s,
            self.step_count,
            measured,
            rate,
            effort,
            0.0,
            self.base_pose,
            _STILL_BASE,
            tool,
            force,
            0.0,
            self._tracker.capsules.copy(),
            self._tracker.velocity,
            self._tracker.ages(self.time_s),
            self._tracker.frame_age(self.time_s) if people else 0.0,
            _NO_OBJECTS,
            _NONE,
            _NONE,
            0.0,
            extras,
            ages,
        )
        if self._faults is not None:
            state = self._faults.apply_to_state(state, self.time_s)
        self._state = state
        self._truth = Truth(
            State(
                self.time_s,
                self.step_count,
                position,
                velocity,
                effort,
                0.0,
                self.base_pose,
                _STILL_BASE,
                tool,
                force,
                0.0,
                self._capsules.copy(),
                middle,
                zero,
                0.0,
                _NO_OBJECTS,
                _NONE,
                _NONE,
                0.0,
                exact,
                np.zeros(len(exact)),
            ),
            self.last_contact,
            more,
        )
