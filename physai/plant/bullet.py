"""Bullet as the engine of a simulated plant.

The world is built once; a reset sets joint states and motor targets and never reloads
a model (loading and removing a mesh robot leaks tens of megabytes, and a restored
state does not restore motor targets). Physics is stepped one by one, since contacts of
inner sub-steps cannot be seen and multiply the motors' force limits.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from physai.plant.banner import without_banner
from physai.plant.scenario import PlantConfig
from physai.plant.scene import SceneConfig
from physai.plant.simulation import SimulatedPlant
from physai.robot.description import Robot
from physai.types import Array

with without_banner():
    import pybullet

__all__ = ["BulletDynamics", "BulletPlant"]


class BulletDynamics:
    """One robot and its furniture in a Bullet world of its own.

    Args:
        robot: The robot.
        base_pose: (7,) pose of its base in the world.
        scene: Furniture.
        step_s: Physics step [s].
    """

    def __init__(
        self, robot: Robot, base_pose: Array, scene: SceneConfig, step_s: float
    ) -> None:
        self._client = pybullet.connect(pybullet.DIRECT)
        self._open = True
        self._set_world(step_s)
        self._body = self._load(robot, base_pose)
        self._furnish(scene)
        names = {}
        for index in range(self._call(pybullet.getNumJoints, self._body)):
            info = self._call(pybullet.getJointInfo, self._body, index)
            names[info[1].decode()] = index
            names["link:" + info[12].decode()] = index
        self._joints = [names[name] for name in robot.actuator_names]
        self._links = [names.get("link:" + name, -1) for name in robot.tree.link_names]
        self._efforts = [float(value) for value in robot.effort_max]
        count = len(self._joints)
        self.position, self.velocity = np.zeros(count), np.zeros(count)
        self.effort = np.zeros(count)

    def _call(self, function: Any, *arguments: Any, **named: Any) -> Any:
        return function(*arguments, **named, physicsClientId=self._client)

    def _set_world(self, step_s: float) -> None:
        self._call(pybullet.setTimeStep, step_s)
        self._call(pybullet.setGravity, 0.0, 0.0, -9.81)
        # The solver's default threshold ends it early: an arm told to stand still would
        # then sink by 0.6 mm/s at the tool.
        self._call(
            pybullet.setPhysicsEngineParameter,
            deterministicOverlappingPairs=1,
            solverResidualThreshold=0.0,
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
                useFixedBase=True,
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
            self._call(pybullet.createMultiBody, 0.0, shape, -1, list(box.center_m))
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

    def reset(self, position: Array) -> None:
        """Put the robot at rest at (n,) positions; nothing of before remains."""
        zero = [[0.0]] * len(self._joints)
        self._call(
            pybullet.resetJointStatesMultiDof,
            self._body,
            self._joints,
            [[float(q)] for q in position],
            zero,
        )
        self.set_velocity(np.zeros(len(self._joints)))
        self.read()

    def set_velocity(self, target: Array) -> None:
        """Set the (n,) velocity targets of the motors, within the maker's torque."""
        pybullet.setJointMotorControlArray(
            self._body,
            self._joints,
            pybullet.VELOCITY_CONTROL,
            targetVelocities=target.tolist(),
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

    def step(self, count: int = 1) -> None:
        """Advance by so many physics steps."""
        step, client = pybullet.stepSimulation, self._client
        for _ in range(count):
            step(physicsClientId=client)

    def read(self) -> None:
        """Update position, velocity and effort in one call."""
        states = pybullet.getJointStates(
            self._body, self._joints, physicsClientId=self._client
        )
        for i, state in enumerate(states):
            self.position[i] = state[0]
            self.velocity[i] = state[1]
            self.effort[i] = state[3]

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
        super().__init__(
            config,
            robot,
            BulletDynamics(
                robot, config.base_pose, config.scene, 1.0 / config.physics_hz
            ),
        )
