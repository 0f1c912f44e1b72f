"""Bullet as the engine of a simulated plant.

The world is built once; a reset sets joint states and motor targets and never reloads
a model (loading and removing a mesh robot leaks tens of megabytes, and a restored
state does not restore motor targets). Physics is stepped one by one, since contacts of
inner sub-steps cannot be seen and multiply the motors' force limits.
"""

from __future__ import annotations

import contextlib
import math
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from physai.errors import ConfigError, ContractError
from physai.plant.banner import without_banner
from physai.plant.bullet_base import BulletBase
from physai.plant.bullet_objects import BulletObjects
from physai.plant.dynamics import BaseStart
from physai.plant.ground import Ground
from physai.plant.scenario import PlantConfig
from physai.plant.scene import ObjectConfig, SceneConfig
from physai.plant.simulation import SimulatedPlant
from physai.robot.description import Robot
from physai.types import Array

with without_banner():
    import pybullet

__all__ = ["BulletDynamics", "BulletPlant", "engine_time"]


@contextlib.contextmanager
def engine_time() -> Iterator[list[float]]:
    """Measure the time inside Bullet's own stepping, of every world, while it is on.

    Yields:
        One number that grows: seconds inside ``stepSimulation``.
    """
    inside, original, clock = [0.0], pybullet.stepSimulation, time.perf_counter

    def timed(client: int) -> None:
        start = clock()
        original(client)
        inside[0] += clock() - start

    pybullet.stepSimulation = timed
    try:
        yield inside
    finally:
        pybullet.stepSimulation = original


_END_STOP_N_M = 1.0e7
"""More than the drives of every machine here bring about together."""


class BulletDynamics:
    """One robot and its furniture in a Bullet world of its own.

    Args:
        robot: The robot.
        base_pose: (7,) pose of its base in the world.
        scene: Furniture.
        step_s: Physics step [s].
        ground: What a robot that drives drives on; a bolted one has none.
        objects: Boxes that move.
        solver_iterations: In each physics step.

    Raises:
        ConfigError: If a robot that drives has no ground.

    Attributes:
        base_pose: (7,) pose of the base in the world at the last :meth:`read`.
        base_twist: (6,) velocity of its origin [m/s] and angular velocity [rad/s].
        steering_rad: Angle of the steered axle; 0 without one.
        wheel_load: (W,) normal force of every wheel in the last step [N].
    """

    def __init__(
        self,
        robot: Robot,
        base_pose: Array,
        scene: SceneConfig,
        step_s: float,
        ground: Ground | None = None,
        objects: tuple[ObjectConfig, ...] = (),
        solver_iterations: int = 50,
    ) -> None:
        if robot.base is not None and ground is None:
            raise ConfigError(f"{robot.name} drives and needs a ground")
        self._client = pybullet.connect(pybullet.DIRECT)
        self._open = True
        self._set_world(step_s, solver_iterations)
        self._body = self._load(robot, base_pose)
        self._furnish(scene)
        names = {}
        for index in range(self._call(pybullet.getNumJoints, self._body)):
            info = self._call(pybullet.getJointInfo, self._body, index)
            names[info[1].decode()] = index
            names["link:" + info[12].decode()] = index
        self._joints = [names[name] for name in robot.joint_names]
        self._links = [names.get("link:" + name, -1) for name in robot.tree.link_names]
        count, joints = len(robot.actuator_names), len(self._joints)
        self._first = count - joints
        self._stepped = False
        self._targets: list[float] = []
        """What the motors were told last; empty where they must be told anew."""
        self._efforts = [float(value) for value in robot.effort_max[self._first :]]
        self.position, self.velocity = np.zeros(count), np.zeros(count)
        self.effort = np.zeros(count)
        self.objects: BulletObjects | None = None
        if objects:
            self.objects = BulletObjects(
                self._client, self._body, self._links, objects, step_s
            )
        self.base_pose, self.base_twist = np.array(base_pose), np.zeros(6)
        self.steering_rad, self.wheel_load = 0.0, np.zeros(0)
        self._base: BulletBase | None = None
        if ground is not None and robot.base is not None:
            self._base = BulletBase(
                self._client, self._body, robot, base_pose, ground, step_s
            )
            self.wheel_load = self._base.traction.load

    def _call(self, function: Any, *arguments: Any, **named: Any) -> Any:
        return function(*arguments, **named, physicsClientId=self._client)

    def _set_world(self, step_s: float, solver_iterations: int) -> None:
        self._call(pybullet.setTimeStep, step_s)
        self._call(pybullet.setGravity, 0.0, 0.0, -9.81)
        # The solver's default threshold ends it early: an arm told to stand still would
        # then sink by 0.6 mm/s at the tool.
        self._call(
            pybullet.setPhysicsEngineParameter,
            deterministicOverlappingPairs=1,
            solverResidualThreshold=0.0,
            numSolverIterations=solver_iterations,
        )

    def _load(self, robot: Robot, base_pose: Array) -> int:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "robot.urdf"
            file.write_text(robot.urdf_text({}, visuals=False))
            # The loader's own inertias would move contact forces by a factor of two.
            body = self._call(
                pybullet.loadURDF,
                str(file),
                base_pose[:3].tolist(),
                base_pose[3:].tolist(),
                useFixedBase=robot.base is None,
                flags=pybullet.URDF_USE_INERTIA_FROM_FILE,
            )
        for index in range(-1, self._call(pybullet.getNumJoints, body)):
            self._call(
                pybullet.changeDynamics,
                body,
                index,
                linearDamping=0.0,
                angularDamping=0.0,
                jointDamping=0.0,
                # An end stop is steel: the engine's own gives way to a digging arm.
                jointLimitForce=_END_STOP_N_M,
            )
        return int(body)

    def _furnish(self, scene: SceneConfig) -> None:
        for box in scene.boxes:
            if not box.solid:
                continue
            shape = self._call(
                pybullet.createCollisionShape,
                pybullet.GEOM_BOX,
                halfExtents=[0.5 * s for s in box.size_m],
            )
            body = self._call(
                pybullet.createMultiBody, 0.0, shape, -1, list(box.center_m)
            )
            self._call(
                pybullet.changeDynamics,
                body,
                -1,
                lateralFriction=math.sqrt(box.friction),
            )
        for cylinder in scene.cylinders:
            shape = self._call(
                pybullet.createCollisionShape,
                pybullet.GEOM_CYLINDER,
                radius=cylinder.radius_m,
                height=cylinder.height_m,
            )
            self._call(
                pybullet.createMultiBody, 0.0, shape, -1, list(cylinder.center_m)
            )

    def set_gravity(self, gravity: Array) -> None:
        """Set the (3,) gravity [m/s2]: tilted, it makes a slope of flat ground."""
        self._call(pybullet.setGravity, *(float(value) for value in gravity))
        if self._base is not None:
            self._base.gravity[:] = gravity

    def reset(self, position: Array, base: BaseStart | None = None) -> None:
        """Put the robot's joints at rest at (n,) positions; nothing of before remains.

        Args:
            position: (n,) [rad or m]; those of a base are odometry and start at 0.
            base: How a base that drives starts: at rest where it was built if None.

        Raises:
            ContractError: If the robot cannot carry the payload.
        """
        if self.objects is not None:
            self.objects.clear()
        self._stepped = False
        self._targets = []
        zero = [[0.0]] * len(self._joints)
        self._call(
            pybullet.resetJointStatesMultiDof,
            self._body,
            self._joints,
            [[float(q)] for q in position[self._first :]],
            zero,
        )
        speeds = np.zeros(len(self.position))
        if self._base is not None:
            start = base or BaseStart()
            self._base.reset(position, self._links, start)
            speeds[:2] = start.linear_m_s, start.angular_rad_s
        self.set_velocity(speeds)
        self.read()

    @property
    def ground(self) -> Ground:
        """What the robot drives on.

        Raises:
            ContractError: If it is bolted down.
        """
        if self._base is None:
            raise ContractError("a robot that is bolted down drives on no ground")
        return self._base.traction.ground

    def set_payload(self, mass_kg: float) -> None:
        """Change the mass of the robot's payload while it moves.

        Raises:
            ContractError: If the robot cannot carry so much.
        """
        if self._base is None:
            raise ContractError("a robot that is bolted down carries no payload")
        self._read_joints()
        self._base.load(mass_kg, self.position, self._links)

    def set_velocity(self, target: Array) -> None:
        """Set the (n,) velocity targets of the motors, within the maker's torque."""
        speeds = target.tolist()
        if self._base is not None:
            self._base.traction.set_velocity(speeds[0], speeds[1])
            speeds = speeds[2:]
        if speeds == self._targets:
            # A motor keeps its target, so that telling it again changes nothing.
            return
        self._targets = speeds
        pybullet.setJointMotorControlArray(
            self._body,
            self._joints,
            pybullet.VELOCITY_CONTROL,
            targetVelocities=speeds,
            forces=self._efforts,
            physicsClientId=self._client,
        )

    def apply_force(self, link: int, point: Array, force: Array) -> None:
        """Apply a force on a link of the robot's tree at a world point."""
        pybullet.applyExternalForce(
            self._body,
            self._links[link],
            force.tolist(),
            point.tolist(),
            pybullet.WORLD_FRAME,
            physicsClientId=self._client,
        )
        if self._base is not None:
            self._base.feel(point, force)

    def step(self, count: int = 1) -> None:
        """Advance by so many physics steps."""
        step, client, base = pybullet.stepSimulation, self._client, self._base
        objects = self.objects
        self._stepped = self._stepped or count > 0
        for _ in range(count):
            if base is None:
                step(client)
                if objects is not None and objects.attached >= 0:
                    objects.feel()
                continue
            if base.due:
                self._read_joints()
                base.refresh(self.position)
            base.press()
            step(client)
            if objects is not None and objects.attached >= 0:
                objects.feel()
            base.advance()

    def read(self) -> None:
        """Update position, velocity and effort, and pose and twist of the base."""
        self._read_joints()
        base = self._base
        if base is not None:
            self.position[:2] = base.odometry
            self.velocity[0], self.velocity[1] = base.forward_speed, base.yaw_rate
            self.effort[:2] = base.traction.effort()
            self.base_pose[:], self.base_twist[:] = base.pose, base.twist
            self.steering_rad = base.traction.steering_rad

    def _read_joints(self) -> None:
        states = pybullet.getJointStates(
            self._body, self._joints, physicsClientId=self._client
        )
        position, velocity, effort = self.position, self.velocity, self.effort
        for i, state in enumerate(states, self._first):
            position[i], velocity[i], _, effort[i] = state
        if not self._stepped:
            # Right after a reset the engine still has the torques of what was before.
            effort[self._first :] = 0.0

    def close(self) -> None:
        """Disconnect; twice does no harm."""
        if self._open:
            self._open = False
            pybullet.disconnect(physicsClientId=self._client)


class BulletPlant(SimulatedPlant):
    """The plant in Bullet.

    Args:
        config: Section ``plant`` of the environment.
        robot: The robot.
    """

    def __init__(self, config: PlantConfig, robot: Robot) -> None:
        ground = None
        if robot.base is not None and config.ground is not None:
            ground = Ground(config.ground, robot.base)
        super().__init__(
            config,
            robot,
            BulletDynamics(
                robot,
                config.base_pose,
                config.scene,
                1.0 / config.physics_hz,
                ground,
                config.objects,
                config.solver_iterations,
            ),
        )
