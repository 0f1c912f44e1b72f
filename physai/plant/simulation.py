"""The simulated plant: everything about it that does not depend on the engine.

One control step: the person moves (once), the command is ramped within the joints'
accelerations so that all joints arrive together, and for every physics step in which
anything could touch, the contact model gets the robot's true motion and gives its
forces back. Afterwards trackers and sensors look at the result.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from physai.body.behaviour import PersonView
from physai.body.people import AnyPerson, make_person
from physai.body.person import SEGMENT_COUNT
from physai.body.regions import load_regions
from physai.body.walker import Walker
from physai.errors import ConfigError, ContractError
from physai.plant.contact import ContactModel
from physai.plant.dynamics import BaseStart, Dynamics, MobileDynamics
from physai.plant.faults import FaultInjector
from physai.plant.ground import Ground
from physai.plant.lidar import Lidar, mounted_lidar
from physai.plant.motion import (
    closing_speed,
    follow,
    middle_velocity,
    place_between,
    ramp,
    see_robot,
)
from physai.plant.own_motion import OwnMotion
from physai.plant.placement import Placement
from physai.plant.process import Locator, Process, load_process
from physai.plant.scenario import PlantConfig, Scenario
from physai.plant.scene import Outline, Surface
from physai.plant.sensors import ForceSensor, JointSensor, PoseSensor
from physai.plant.sight import Sight
from physai.plant.tracker import BodyTracker
from physai.robot.description import Robot
from physai.robot.kinematics import Kinematics
from physai.types import Array, Command, Contact, State, Truth

if TYPE_CHECKING:
    from physai.plant.camera_rig import CameraRig
    from physai.plant.tag_vision import TagVision

__all__ = ["SimulatedPlant"]

_NONE = np.zeros(0)
_NO_OBJECTS, _NO_GOALS = np.zeros((0, 7)), np.zeros((0, 3))
_STILL_BASE = np.zeros(6)
_PUSH_N = 300.0
"""How hard a person on their feet pushes at most (design default)."""
_MOVES = 0.02
"""Share of an actuator's speed limit above which the robot counts as moving."""
_ALARM_M = 3.0
"""How near a person is when a moving robot sounds its alarm (project choice)."""
for _constant in (_NONE, _NO_OBJECTS, _STILL_BASE):
    _constant.setflags(write=False)


class SimulatedPlant:
    """A plant on an engine.

    Args:
        config: Section ``plant`` of the environment.
        robot: The robot.
        dynamics: The engine with robot and furniture in it.

    Attributes:
        vision: What sees objects by their tags; None unless :meth:`see_tags` was called.
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
        self._mobile: MobileDynamics | None = None
        self._ground: Ground | None = None
        if robot.base is not None:
            self._mobile = cast(MobileDynamics, dynamics)
            uneven = config.ground is not None and config.ground.heights.kind != "flat"
            self._ground = self._mobile.ground if uneven else None
        self.kinematics = Kinematics(robot, self.base_pose)
        self._placement = Placement(robot, config.scene, self._ground)
        self._count = len(robot.actuator_names)
        self._fingers = (
            robot.shapes.names.index("fingers")
            if "fingers" in robot.shapes.names
            else -1
        )
        utensils = np.flatnonzero(robot.shapes.utensil)
        self._tip = int(utensils[-1]) if len(utensils) else -1
        self._regions = load_regions()
        self._make_process: Any = None
        if config.process is not None:
            self._make_process, self._values = load_process(config.process)
        self._lidar: Lidar | None = None
        if config.lidar is not None:
            self._lidar = self._make_lidar(config)
        eye = config.tracker.eye
        self._sight = None if eye is None else Sight(eye, config.scene, self.kinematics)
        self._rig: CameraRig | None = None
        self.vision: TagVision | None = None
        things = (*config.objects, *config.scene.props)
        self._sizes = np.array([thing.size_m for thing in things]).reshape(-1, 3)
        self.people: list[AnyPerson] = []
        self._contact: ContactModel | None = None
        self._own = OwnMotion(robot, self.period_s)
        self._view = PersonView(np.zeros(3), np.zeros(3), math.inf)
        self.time_s, self.step_count = 0.0, 0
        self.last_contact: Contact
        self._speeds = np.zeros((0, SEGMENT_COUNT, 6))
        self._set_points = np.zeros((config.substeps, self._count))
        self._fresh = False
        self._capsules: Array
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
        self._place_robot(scenario)
        self._place_people(scenario)
        seed = scenario.seed
        self._joints = JointSensor(self.config.sensors, self._count, seed, steps)
        self._force = ForceSensor(self.config.sensors, seed, steps, self.substep_s)
        self._tracker = BodyTracker(
            self.config.tracker,
            len(self.people),
            seed,
            steps,
            self.config.control_hz,
            self._sight,
        )
        if self._lidar is not None:
            self._lidar.reset(seed)
        if self._rig is not None:
            self._rig.reset(seed)
        self._pose_sensor = (
            PoseSensor(self.config.localisation, seed, steps)
            if self.config.localisation is not None
            else None
        )
        self._process: Process | None = (
            self._make_process(self._values, scenario, self.robot, self.dynamics, steps)
            if self._make_process is not None
            else None
        )
        if self.vision is not None:
            self._process.see_by(self.vision)  # type: ignore[union-attr]
        self._acting = bool(getattr(self._process, "acting", False))
        self._locator = self._process if isinstance(self._process, Locator) else None
        self._measure_objects = getattr(self._process, "measured_objects", None)
        self._faults = (
            FaultInjector(scenario.faults, seed, self.robot, self.period_s)
            if scenario.faults
            else None
        )
        self._alarmed = any(
            behaviour.kind == "react_to_alarm"
            or (behaviour.trigger is not None and behaviour.trigger.signal == "alarm_s")
            for person in scenario.people
            for behaviour in person.behaviours
        )
        goals = getattr(self._process, "goals", None)
        self._placement.check(
            scenario,
            self.kinematics,
            self.people,
            _NO_GOALS if goals is None else goals(self.people),
        )
        self._look()
        self._assemble()
        return self._state

    def _make_lidar(self, config: PlantConfig) -> Lidar:
        if self.robot.lidar is None:
            raise ConfigError(f"plant.lidar: {self.robot.name} carries no lidar")
        assert config.lidar is not None
        mounted = mounted_lidar(self.robot.lidar, config.lidar)
        if self._ground is not None:
            # What uneven ground returns is taken out by the site's map.
            mounted = mounted.model_copy(update={"floor_z_m": None})
        return Lidar(mounted, self.robot, config.scene)

    def watch(self) -> None:
        """Switch the cameras on: from the next reset on, states have images.

        Raises:
            ConfigError: If the plant has no camera.
        """
        from physai.plant.camera_rig import CameraRig

        if not self.config.cameras:
            raise ConfigError("plant.cameras: there is none, so nothing can be watched")
        if self._rig is None:
            self._rig = CameraRig(self.config, self.robot)

    def see_tags(self) -> None:
        """From the next reset on, object poses come from tags in cameras' images.

        Raises:
            ContractError: If the plant's process has no section ``tags``.
        """
        make = getattr(self._make_process, "vision", None)
        if make is None:
            raise ContractError("plant.process.tags: nothing here has tags")
        if self.vision is None:
            self.vision = make(self._values, self.config, self.kinematics)

    def read(self) -> State:
        """Return what sensors and trackers say."""
        return self._state

    def truth(self) -> Truth | None:
        """Return what really is."""
        return self._truth

    def apply(self, command: Command) -> Command:
        """Take a command; after a stop of category 1 or 0 it stays at rest."""
        asked = command
        if self._faults is not None:
            asked = self._faults.apply_to_command(command, self.time_s)
        if self._stopped is None:
            self._target[:] = asked.actuator_velocity
        if self._process is not None:
            self._process.command(asked.tool, self._stopped is not None)
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
        self._look_at_robot()
        assert self._contact is not None
        self.last_contact = self._own.judge(
            self._contact.contact(),
            self._contact.where(),
            self.dynamics.velocity,
            self._velocity,
            self.kinematics,
        )
        if self._process is not None:
            self._process.advance(
                self.period_s, self.kinematics, self.people, self.last_contact
            )
        self._look()
        self._assemble()

    def surface(self) -> Surface | None:
        """Return ground that a process changes, or else uneven ground, for pictures;
        None where the floor is even.
        """
        look = getattr(self._process, "surface", None)
        if look is not None:
            changed: Surface = look()
            return changed
        if self._ground is None:
            return None
        heights, cell = self._ground.heights.T, float(self._ground.grid[2])
        origin = self._ground.grid[:2] - 0.5 * cell
        return Surface(origin, cell, heights, np.zeros(heights.shape, dtype=np.bool_))

    def outlines(self) -> list[Outline]:
        """Return lines that a process has drawn over pictures."""
        look = getattr(self._process, "outlines", None)
        return [] if look is None else look()

    def close(self) -> None:
        """Release the engine; twice does no harm."""
        self.dynamics.close()
        for eyes in (self._rig, self.vision):
            if eyes is not None:
                eyes.close()

    def _place_robot(self, scenario: Scenario) -> None:
        position = np.array(scenario.robot_position_rad)
        if self._mobile is None:
            self.dynamics.reset(position)
        else:
            pose = self.base_pose if scenario.base is None else scenario.base.pose
            self._mobile.reset(
                position,
                BaseStart(
                    pose=pose,
                    payload_kg=scenario.payload_kg,
                    friction_scale=scenario.friction_scale,
                ),
            )
        self._look_at_robot()

    def _look_at_robot(self) -> None:
        """Take posture and velocity of the robot out of the engine."""
        self.dynamics.read()
        self._follow()
        self.kinematics.capsule_velocity(self.dynamics.velocity)
        self._fresh = True

    def _follow(self) -> None:
        """Place the kinematics where the engine has the robot."""
        moves = self._mobile is not None
        pose = self._mobile.base_pose if self._mobile is not None else self.base_pose
        k = self.kinematics
        follow(pose, moves, self.dynamics.position, k.buffer, k.size)

    def _place_people(self, scenario: Scenario) -> None:
        self.people = [
            make_person(person, scenario.seed, f"person{index}")
            for index, person in enumerate(scenario.people)
        ]
        count = len(self.people)
        if self._contact is None or len(self._speeds) != count:
            self._contact = ContactModel(
                self._regions, self.robot.shapes, count, self.config.contact
            )
            self._between = np.zeros((count, SEGMENT_COUNT, 7))
            self._speeds = np.zeros((count, SEGMENT_COUNT, 6))
            self._rotations = np.zeros((count, SEGMENT_COUNT, 3, 3))
            self._no_age = np.zeros(count)
            self._no_age.setflags(write=False)
        self._contact.reset()
        self._own.reset()
        self._speeds[:] = 0.0
        self.last_contact = self._contact.contact()

    def _update_view(self) -> None:
        view, k = self._view, self.kinematics
        forward = k.link_rotation[0, :, 0]
        view.base_position[:] = k.link_position[0]
        view.base_yaw_rad = math.atan2(forward[1], forward[0])
        if self._alarmed:
            view.alarm = self._sounds_alarm()
        view.utensil_distance_m = see_robot(
            k.capsules(),
            k.tool_position,
            self._fingers,
            self._tip if self.people else -1,
            self.people[0].mouth_frame[0] if self.people else k.tool_position,
            view.tool_position,
            view.gripper_position,
        )

    def _sounds_alarm(self) -> bool:
        """Whether the robot moves while it knows of a person nearby.

        It goes by what it is told: nobody is warned whom its tracker does not show.
        """
        people = self._state.people
        moving = np.abs(self.dynamics.velocity) > _MOVES * self.robot.velocity_max
        if not (len(people) and moving.any()):
            return False
        robot = self.kinematics.capsules()[:, np.newaxis, :3]
        apart = np.linalg.norm(robot - people[..., :3].reshape(1, -1, 3), axis=-1)
        return bool(apart.min() < _ALARM_M)

    def _move_people(self) -> None:
        self._update_view()
        end_s = self.time_s + self.period_s
        for index, person in enumerate(self.people):
            if self._ground is not None and isinstance(person, Walker):
                person.set_floor(self._ground.height(*person.place))
            if isinstance(person, Walker) and self._is_blocked(index, person):
                person.halt()
            else:
                person.advance(end_s, self.period_s, self._view)
            self._speeds[index] = person.capsule_velocity

    def _is_blocked(self, index: int, person: Walker) -> bool:
        """Whether a person on their feet pushes against the robot as hard as they can.

        Who walks follows a path whatever stands in it; without this end of their
        strength they would shove a truck aside.
        """
        force = float(self.last_contact.force_mean_n[index].max())
        return force > _PUSH_N and not person.fallen > 0.0

    def _step_physics(self) -> None:
        """All physics steps of a control period, with contacts where possible."""
        n, h, dynamics = self.config.substeps, self.substep_s, self.dynamics
        contact, k = self._contact, self.kinematics
        assert contact is not None
        contact.begin_step()
        self._force.begin_step()
        bound = closing_speed(
            self._velocity,
            self._target,
            k.buffer,
            k.size,
            self._speeds,
        )
        count = ramp(
            self._velocity,
            self._target,
            self.robot.acceleration_max,
            self.robot.braking_max,
            h,
            self._set_points,
        )
        i = 0
        while i < n:
            free = self._free_substeps(bound)
            if free > 0:
                free = min(free, n - i)
                contact.skip(free, bound)
                self._force.feel(None, free)
            else:
                free = 1
                self._touch(i / n)
            if self._acting:
                self._step_acting(i, i + free, count)
            else:
                for j in range(i, min(i + free, count)):
                    dynamics.set_velocity(self._set_points[j])
                    dynamics.step(1)
                dynamics.step(min(free, i + free - max(i, count)))
            self._fresh = False
            i += free

    def _step_acting(self, first: int, end: int, count: int) -> None:
        """Physics steps with the forces of a process in each of them."""
        dynamics, k, process = self.dynamics, self.kinematics, self._process
        assert process is not None
        fresh, mobile, step_s = self._fresh, self._mobile, self.substep_s
        for j in range(first, end):
            if not fresh:
                dynamics.read()
                if mobile is not None:
                    k.set_base(mobile.base_pose)
            process.act(dynamics, k, step_s)
            if j < count:
                dynamics.set_velocity(self._set_points[j])
            dynamics.step(1)
            fresh = False

    def _free_substeps(self, bound_m_s: float) -> int:
        """Return how many substeps need no look at contacts."""
        if self._process is not None and self._process.near:
            return 0
        if not self.people or self._contact is None:
            return self.config.substeps
        return self._contact.substeps_until_possible(bound_m_s)

    def _touch(self, fraction: float) -> None:
        """One substep of the contact model; its forces go to the engine."""
        contact, dynamics, k = self._contact, self.dynamics, self.kinematics
        assert contact is not None
        if not self._fresh:
            dynamics.read()
            self._follow()
            self._fresh = True
        capsules = k.capsules()
        velocity = k.capsule_velocity(dynamics.velocity)
        for index, person in enumerate(self.people):
            place_between(
                person.previous, person.capsules, fraction, self._between[index]
            )
            self._rotations[index] = person.segment_rotation
        exempt = None
        if self._process is not None:
            exempt = self._process.touch(contact, self.people, fraction, k)
            if self._process.near and not self._acting:
                self._process.act(dynamics, k, self.substep_s)
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
        capsules = np.empty((len(self.people), SEGMENT_COUNT, 7))
        for index, person in enumerate(self.people):
            capsules[index] = person.capsules
        self._capsules = capsules
        self._tracker.observe(self.time_s, capsules)
        if self._lidar is not None:
            self._lidar.observe(self.time_s, self.kinematics, capsules, self.boxes())
        if self._process is not None:
            self._process.look(self.time_s, self.step_count, self.people)
        if self._rig is not None:
            self._rig.observe(
                self.time_s,
                self.kinematics,
                capsules,
                self._visible_boxes(),
                self.surface,
            )

    def boxes(self) -> Array | None:
        """Return (K, 10) pose and size of a process's boxes that move; None without."""
        boxes = getattr(self._process, "boxes", None)
        return None if boxes is None else boxes()

    def _visible_boxes(self) -> Array | None:
        """Return (K, 10) objects that the scene knows, and then :meth:`boxes`."""
        if self._process is None:
            return None
        poses = self._process.objects()[: len(self._sizes)]
        found = np.concatenate([poses, self._sizes[: len(poses)]], axis=1)
        boxes = self.boxes()
        return found if boxes is None else np.concatenate([found, boxes])

    def _whereabouts(self) -> tuple[Array, Array, Array]:
        """Return true pose and twist of the base, and where the robot believes it is."""
        if self._mobile is None:
            return self.base_pose, _STILL_BASE, self.base_pose
        base, twist = self._mobile.base_pose.copy(), self._mobile.base_twist.copy()
        if self._locator is not None:
            time_s, step = self.time_s, self.step_count
            return (
                base,
                twist,
                self._locator.locate(time_s, step, base, self.kinematics),
            )
        if self._pose_sensor is not None:
            return base, twist, self._pose_sensor.read(self.step_count, base)
        return base, twist, base

    def _assemble(self) -> None:
        """Build State and Truth; nothing of them is written to again."""
        d = self.dynamics
        position, velocity = d.position.copy(), d.velocity.copy()
        effort, tool = d.effort.copy(), self.kinematics.tool_pose().copy()
        measured, rate = self._joints.read(self.step_count, position, velocity)
        people = len(self.people)
        tracks, drift = self._tracker.capsules, self._tracker.velocity
        track_ages = self._tracker.ages(self.time_s)
        listed = self._tracker.listed(self.time_s)
        if listed is not None:
            tracks, drift = tracks[listed], drift[listed]
            track_ages = track_ages[listed]
        ranges, range_age, true_ranges = _NONE, 0.0, _NONE
        if self._lidar is not None:
            ranges, range_age = self._lidar.range_m, self._lidar.age(self.time_s)
            true_ranges = self._lidar.exact_range_m
        extras, ages, exact, none, more = _NONE, _NONE, _NONE, _NONE, _NONE
        objects = seen = _NO_OBJECTS
        still = found = _NONE
        base, twist, place = self._whereabouts()
        if self._process is not None:
            exact, none, more = self._process.truth(self.kinematics, self._capsules)
            extras, ages = self._process.extras(self.time_s)
            objects = seen = self._process.objects()
            still = found = np.zeros(len(objects))
            if self._measure_objects is not None:
                seen, found = self._measure_objects(self.time_s)
        force = self._force.read(self.step_count)
        state = State(
            self.time_s,
            self.step_count,
            measured,
            rate,
            effort,
            0.0,
            place,
            twist,
            tool,
            force,
            0.0,
            tracks,
            drift,
            track_ages,
            self._tracker.frame_age(self.time_s) if people else 0.0,
            seen,
            found,
            ranges,
            range_age,
            extras,
            ages,
            None if self._rig is None else self._rig.images(),
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
                base,
                twist,
                tool,
                force,
                0.0,
                self._capsules,
                middle_velocity(self._speeds),
                self._no_age,
                0.0,
                objects,
                still,
                true_ranges,
                0.0,
                exact,
                none,
            ),
            self.last_contact,
            more,
        )
