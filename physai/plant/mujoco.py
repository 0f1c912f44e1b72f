"""MuJoCo as an independent second engine for the same plant.

A policy trained in Bullet must survive here: another solver, another integrator,
another model of the motors. People, contacts with them and the meal are the plant's
own and the same in both. The model is built from the robot's kinematic tree and its
identified inertias; furniture and the robot's capsules collide as primitives.
"""

from __future__ import annotations

from typing import Any

import mujoco
import numpy as np

from physai.errors import ConfigError
from physai.plant.dynamics import ObjectWorld
from physai.plant.scenario import PlantConfig
from physai.plant.scene import SceneConfig
from physai.plant.simulation import SimulatedPlant
from physai.robot.description import Robot
from physai.robot.kinematics import quaternion_from_rotation
from physai.types import Array

__all__ = ["MujocoDynamics", "MujocoPlant"]

_GAIN_PER_S = 5.0
"""Torque of the velocity servo per rad/s of error, as a share of the joint's torque
limit: a joint is at its limit when it is off by 1/400 of a rad/s. Implicit integration
keeps it stable at 240 Hz (project choice)."""

_ROBOT_GROUP, _FURNITURE_GROUP = 1, 2


class MujocoDynamics:
    """One robot and its furniture in a MuJoCo world of its own.

    Args:
        robot: The robot.
        base_pose: (7,) pose of its base in the world.
        scene: Furniture.
        step_s: Physics step [s].
    """

    def __init__(
        self, robot: Robot, base_pose: Array, scene: SceneConfig, step_s: float
    ) -> None:
        self.model = _build(robot, base_pose, scene, step_s)
        self.data = mujoco.MjData(self.model)
        names = robot.actuator_names
        joints = [self.model.joint(name) for name in names]
        self._places = np.array([int(joint.qposadr[0]) for joint in joints])
        self._degrees = np.array([int(joint.dofadr[0]) for joint in joints])
        self._bodies = [
            int(self.model.body(name).id) for name in _body_names(robot.tree.link_names)
        ]
        self._force = np.zeros(self.model.nv)
        self._nothing = np.zeros(3)
        count = len(names)
        self.position, self.velocity = np.zeros(count), np.zeros(count)
        self.effort = np.zeros(count)
        self.objects: ObjectWorld | None = None

    def reset(self, position: Array) -> None:
        """Put the robot at rest at (n,) positions; nothing of before remains."""
        mujoco.mj_resetData(self.model, self.data)
        self.data.qpos[self._places] = position
        mujoco.mj_forward(self.model, self.data)
        self.read()

    def set_velocity(self, target: Array) -> None:
        """Set the (n,) velocity targets of the motors, within the maker's torque."""
        self.data.ctrl[:] = target

    def apply_force(self, link: int, point: Array, force: Array) -> None:
        """Apply a force on a link of the robot's tree at a world point."""
        mujoco.mj_applyFT(
            self.model,
            self.data,
            np.ascontiguousarray(force),
            self._nothing,
            np.ascontiguousarray(point),
            self._bodies[link],
            self.data.qfrc_applied,
        )

    def step(self, count: int = 1) -> None:
        """Advance by so many physics steps."""
        for _ in range(count):
            mujoco.mj_step(self.model, self.data)
            self.data.qfrc_applied[:] = 0.0

    def read(self) -> None:
        """Update position, velocity and effort."""
        self.position[:] = self.data.qpos[self._places]
        self.velocity[:] = self.data.qvel[self._degrees]
        self.effort[:] = self.data.qfrc_actuator[self._degrees]

    def close(self) -> None:
        """Nothing to release."""


class MujocoPlant(SimulatedPlant):
    """The plant in MuJoCo.

    Args:
        config: Section ``plant`` of the environment.
        robot: The robot.
    """

    def __init__(self, config: PlantConfig, robot: Robot) -> None:
        if robot.base is not None:
            raise ConfigError(
                f"{robot.name} drives; the plant mujoco has robots that are bolted down"
            )
        super().__init__(
            config,
            robot,
            MujocoDynamics(
                robot, config.base_pose, config.scene, 1.0 / config.physics_hz
            ),
        )


def _body_names(names: tuple[str, ...]) -> list[str]:
    return [f"link_{name}" for name in names]


def _quaternion(rotation: Array) -> list[float]:
    """Return w x y z, as MuJoCo has it."""
    out = np.zeros(4)
    quaternion_from_rotation(np.ascontiguousarray(rotation), out)
    return [float(out[3]), float(out[0]), float(out[1]), float(out[2])]


def _build(robot: Robot, base_pose: Array, scene: SceneConfig, step_s: float) -> Any:
    spec = mujoco.MjSpec()
    spec.option.timestep = step_s
    spec.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    spec.option.gravity = [0.0, 0.0, -9.81]
    spec.compiler.balanceinertia = False
    _add_robot(spec, robot, base_pose)
    _add_furniture(spec, scene)
    return spec.compile()


def _add_robot(spec: mujoco.MjSpec, robot: Robot, base_pose: Array) -> None:
    tree = robot.tree
    bodies: list[Any] = []
    for index, name in enumerate(_body_names(tree.link_names)):
        if index == 0:
            x, y, z, w = base_pose[3:].tolist()
            body = spec.worldbody.add_body(
                name=name, pos=base_pose[:3].tolist(), quat=[w, x, y, z]
            )
        else:
            body = bodies[int(tree.parent[index])].add_body(
                name=name,
                pos=tree.translation[index].tolist(),
                quat=_quaternion(tree.rotation[index]),
            )
        bodies.append(body)
        # The motors carry the arm's weight out of their own torque.
        body.gravcomp = 1.0
        if tree.mass[index] > 0.0:
            inertia = tree.inertia[index]
            body.explicitinertial = True
            body.mass = float(tree.mass[index])
            body.ipos = tree.center_of_mass[index].tolist()
            body.fullinertia = [
                inertia[0, 0],
                inertia[1, 1],
                inertia[2, 2],
                inertia[0, 1],
                inertia[0, 2],
                inertia[1, 2],
            ]
        actuator = int(tree.actuator[index])
        if actuator >= 0:
            _add_joint(spec, robot, body, index, actuator)
    for shape, local in enumerate(robot.shapes.local):
        body = bodies[int(robot.shapes.link[shape])]
        _add_capsule(body, local)


def _add_joint(
    spec: mujoco.MjSpec, robot: Robot, body: Any, index: int, actuator: int
) -> None:
    tree, name = robot.tree, robot.actuator_names[actuator]
    limit = float(robot.effort_max[actuator])
    slides = bool(tree.prismatic[index])
    joint = body.add_joint(
        name=name,
        type=mujoco.mjtJoint.mjJNT_SLIDE if slides else mujoco.mjtJoint.mjJNT_HINGE,
        axis=tree.axis[index].tolist(),
    )
    joint.actgravcomp = True
    joint.actfrclimited = mujoco.mjtLimited.mjLIMITED_TRUE
    joint.actfrcrange = [-limit, limit]
    motor = spec.add_actuator(name=name, target=name)
    motor.trntype = mujoco.mjtTrn.mjTRN_JOINT
    motor.set_to_velocity(kv=_GAIN_PER_S * limit)
    motor.forcelimited = mujoco.mjtLimited.mjLIMITED_TRUE
    motor.forcerange = [-limit, limit]


def _add_capsule(body: Any, local: Array) -> None:
    length = float(np.linalg.norm(local[3:6] - local[:3]))
    geometry: dict[str, Any] = {
        "mass": 0.0,
        "contype": _ROBOT_GROUP,
        "conaffinity": _FURNITURE_GROUP,
    }
    if length > 1e-6:
        geometry |= {
            "type": mujoco.mjtGeom.mjGEOM_CAPSULE,
            "fromto": local[:6].tolist(),
            "size": [float(local[6]), 0.0, 0.0],
        }
    else:
        geometry |= {
            "type": mujoco.mjtGeom.mjGEOM_SPHERE,
            "pos": local[:3].tolist(),
            "size": [float(local[6]), 0.0, 0.0],
        }
    body.add_geom(**geometry)


def _add_furniture(spec: mujoco.MjSpec, scene: SceneConfig) -> None:
    groups = {"contype": _FURNITURE_GROUP, "conaffinity": _ROBOT_GROUP}
    for box in scene.boxes:
        if box.solid:
            spec.worldbody.add_geom(
                type=mujoco.mjtGeom.mjGEOM_BOX,
                size=[0.5 * side for side in box.size_m],
                pos=list(box.center_m),
                **groups,
            )
    for cylinder in scene.cylinders:
        spec.worldbody.add_geom(
            type=mujoco.mjtGeom.mjGEOM_CYLINDER,
            size=[cylinder.radius_m, 0.5 * cylinder.height_m, 0.0],
            pos=list(cylinder.center_m),
            **groups,
        )
