"""A driving base in Bullet: a free-floating body under the forces of its wheels.

Bullet integrates base, joints and gravity and keeps the body out of furniture and, when
it tips, off the ground. What wheels and ground do to each other comes from
:mod:`physai.plant.traction` as one force and one moment a step.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from physai.errors import ContractError
from physai.plant.banner import without_banner
from physai.plant.dynamics import BaseStart
from physai.plant.ground import Ground
from physai.plant.traction import Body, Traction
from physai.robot.description import Robot
from physai.robot.kinematics import Kinematics, rotation_from_quaternion
from physai.types import Array

with without_banner():
    import pybullet

__all__ = ["BulletBase"]

_REFRESH_STEPS = 12
"""Joints move slowly against the physics step: the common centre of mass follows them
at 20 Hz."""


@numba.njit(cache=True)
def _gather(
    mass: Array,
    com: Array,
    inertia: Array,
    rotation: Array,
    position: Array,
    center: Array,
    out: Array,
) -> float:
    """Mass of all links together, their centre of mass and their inertia about it."""
    total = 0.0
    center[:] = 0.0
    place = np.empty((mass.shape[0], 3))
    for i in range(mass.shape[0]):
        place[i] = position[i] + rotation[i] @ com[i]
        total += mass[i]
        center += mass[i] * place[i]
    center /= total
    out[:] = 0.0
    for i in range(mass.shape[0]):
        if mass[i] <= 0.0:
            continue
        d = place[i] - center
        out += rotation[i] @ inertia[i] @ rotation[i].T
        out += mass[i] * ((d @ d) * np.eye(3) - np.outer(d, d))
    return total


class BulletBase:
    """The base of one robot in one Bullet world.

    Args:
        client: The world.
        body: The robot in it.
        robot: The robot.
        pose: (7,) where the base stands unless a reset says otherwise.
        ground: What it drives on.
        step_s: Physics step [s].

    Attributes:
        pose: (7,) of the base frame in the world after the last step.
        twist: (6,) of its origin in the world [m/s, rad/s].
        odometry: (2,) travelled length [m] and yaw [rad] since the reset.
        gravity: (3,) [m/s2].
        traction: The forces of the ground.
    """

    def __init__(
        self,
        client: int,
        body: int,
        robot: Robot,
        pose: Array,
        ground: Ground,
        step_s: float,
    ) -> None:
        assert robot.base is not None
        self._client, self._body, self._robot = client, body, robot
        self._home, self._step_s = np.array(pose, dtype=np.float64), step_s
        self.traction = Traction(robot.base, ground, step_s)
        self.gravity = np.array([0.0, 0.0, -9.81])
        self._kinematics = Kinematics(robot)
        tree = robot.tree
        self._mass, self._inertia = tree.mass.copy(), tree.inertia.copy()
        self._payload = -1
        if robot.payload is not None:
            self._payload = tree.link_names.index(robot.payload.link)
        self._rigid = Body(
            0.0, np.zeros(3), np.zeros((3, 3)), np.zeros(7), np.zeros(6), np.zeros(6)
        )
        self.pose, self.twist = self._rigid.pose, self._rigid.twist
        self.pose[:] = self._home
        self.odometry = np.zeros(2)
        self._rotation, self._point = np.eye(3), np.zeros(3)
        self._pushed = np.zeros(6)
        local = self._call(pybullet.getDynamicsInfo, body, -1)[3]
        self._inertial = np.array(local)
        self._count = 0
        self._lay(ground)

    def _call(self, function: Any, *arguments: Any) -> Any:
        return function(*arguments, physicsClientId=self._client)

    def _lay(self, ground: Ground) -> None:
        """Give the world a ground for the body (wheels feel the traction model's)."""
        heights = ground.heights
        if heights.size == 1:
            shape = self._call(pybullet.createCollisionShape, pybullet.GEOM_PLANE)
            middle = [0.0, 0.0, 0.0]
        else:
            rows, columns = heights.shape
            cell = float(ground.grid[2])
            shape = pybullet.createCollisionShape(
                pybullet.GEOM_HEIGHTFIELD,
                meshScale=[cell, cell, 1.0],
                heightfieldData=heights.ravel().tolist(),
                numHeightfieldRows=columns,
                numHeightfieldColumns=rows,
                physicsClientId=self._client,
            )
            # Bullet puts the middle of a height-field's box at its origin.
            middle = [
                float(ground.grid[0]) + 0.5 * cell * (columns - 1),
                float(ground.grid[1]) + 0.5 * cell * (rows - 1),
                0.5 * float(heights.min() + heights.max()),
            ]
        self._call(pybullet.createMultiBody, 0.0, shape, -1, middle)

    def reset(self, position: Array, links: list[int], start: BaseStart) -> None:
        """Place the base and set speeds, load and friction; nothing of before remains.

        Args:
            position: (n,) positions of all actuators, those of the base first.
            links: Bullet's index of every link of the tree.
            start: How it starts.

        Raises:
            ContractError: If the robot cannot carry the payload.
        """
        self._carry(start.payload_kg, links)
        ground = self.traction.ground
        ground.scale_friction(start.friction_scale)
        self.traction.reset(start.linear_m_s, start.angular_rad_s)
        self.refresh(position)
        self.pose[:] = self._home if start.pose is None else start.pose
        if start.settle:
            self.pose[:] = self.traction.rest_pose(self._rigid, self.gravity)
        rotation_from_quaternion(self.pose[3:], self._rotation)
        x, z = self._rotation[:, 0], self._rotation[:, 2]
        linear, angular = start.linear_m_s * x, start.angular_rad_s * z
        arm = self._rotation @ self._inertial
        self._call(
            pybullet.resetBasePositionAndOrientation,
            self._body,
            (self.pose[:3] + arm).tolist(),
            self.pose[3:].tolist(),
        )
        self._call(
            pybullet.resetBaseVelocity,
            self._body,
            (linear + np.cross(angular, arm)).tolist(),
            angular.tolist(),
        )
        self.odometry[:] = 0.0
        self._pushed[:] = 0.0
        self._count = 0
        self.look()
        self._pull()
        self.traction.feel(self._rigid)

    def _pull(self) -> None:
        """Gravity and whatever pushes the robot during the next step."""
        self._rigid.pull[:] = self._pushed
        self._rigid.pull[:3] += self._rigid.mass_kg * self.gravity
        self._pushed[:] = 0.0

    def _carry(self, mass_kg: float, links: list[int]) -> None:
        """Set the mass of the payload, a solid box."""
        payload = self._robot.payload
        if payload is None:
            if mass_kg != 0.0:
                raise ContractError(f"{self._robot.name} carries no payload")
            return
        if not 0.0 <= mass_kg <= payload.mass_max_kg:
            raise ContractError(
                f"{self._robot.name} carries 0 to {payload.mass_max_kg:g} kg, "
                f"not {mass_kg:g}"
            )
        a, b, c = (s * s for s in payload.size_m)
        inertia = np.array([b + c, a + c, a + b]) * (mass_kg / 12.0)
        self._mass[self._payload] = mass_kg
        self._inertia[self._payload] = np.diag(inertia)
        index = links[self._payload]
        for change in ({"mass": mass_kg}, {"localInertiaDiagonal": inertia.tolist()}):
            pybullet.changeDynamics(
                self._body, index, **change, physicsClientId=self._client
            )

    def load(self, mass_kg: float, position: Array, links: list[int]) -> None:
        """Change the mass of the payload while the robot moves.

        Args:
            mass_kg: Of the payload now.
            position: (n,) of all actuators.
            links: Bullet's index of every link of the tree.

        Raises:
            ContractError: If the robot cannot carry so much.
        """
        self._carry(mass_kg, links)
        self.refresh(position)

    def refresh(self, position: Array) -> None:
        """Take the joints' (n,) positions into the common centre of mass."""
        k = self._kinematics
        k.update(position)
        self._rigid.mass_kg = _gather(
            self._mass,
            self._robot.tree.center_of_mass,
            self._inertia,
            k.link_rotation,
            k.link_position,
            self._rigid.center,
            self._rigid.inertia,
        )

    @property
    def due(self) -> bool:
        """Whether :meth:`refresh` should be called before the next step."""
        return self._count % _REFRESH_STEPS == 0

    def feel(self, point: Array, force: Array) -> None:
        """Know of a force that acts during the next step, so that wheels hold it."""
        rotation_from_quaternion(self.pose[3:], self._rotation)
        arm = point - self.pose[:3] - self._rotation @ self._rigid.center
        self._pushed[:3] += force
        self._pushed[3:] += np.cross(arm, force)

    def press(self) -> None:
        """Apply what the ground does during the next step."""
        body, traction = self._rigid, self.traction
        self._pull()
        traction.press(body)
        rotation_from_quaternion(self.pose[3:], self._rotation)
        np.dot(self._rotation, body.center, out=self._point)
        self._point += self.pose[:3]
        pybullet.applyExternalForce(
            self._body,
            -1,
            traction.force.tolist(),
            self._point.tolist(),
            pybullet.WORLD_FRAME,
            physicsClientId=self._client,
        )
        pybullet.applyExternalTorque(
            self._body,
            -1,
            traction.torque.tolist(),
            pybullet.WORLD_FRAME,
            physicsClientId=self._client,
        )

    def advance(self) -> None:
        """Take in what the step did: pose, twist and odometry."""
        self._count += 1
        self.look()
        self.odometry[0] += self.forward_speed * self._step_s
        self.odometry[1] += self.yaw_rate * self._step_s

    def look(self) -> None:
        """Update pose and twist of the base frame from the body's centre of mass."""
        place, turn = pybullet.getBasePositionAndOrientation(
            self._body, physicsClientId=self._client
        )
        linear, angular = pybullet.getBaseVelocity(
            self._body, physicsClientId=self._client
        )
        self.pose[3:] = turn
        _shift(
            np.array(place),
            np.array(linear),
            np.array(angular),
            self._inertial,
            self.pose,
            self.twist,
            self._rotation,
        )

    @property
    def forward_speed(self) -> float:
        """Speed of the base's origin along its x [m/s]."""
        return float(self._rotation[:, 0] @ self.twist[:3])

    @property
    def yaw_rate(self) -> float:
        """Angular velocity about the base's z [rad/s]."""
        return float(self._rotation[:, 2] @ self.twist[3:])


@numba.njit(cache=True)
def _shift(
    place: Array,
    linear: Array,
    angular: Array,
    inertial: Array,
    pose: Array,
    twist: Array,
    rotation: npt.NDArray[np.float64],
) -> None:
    """Pose and twist of the base frame from those of the centre of mass."""
    rotation_from_quaternion(pose[3:7], rotation)
    arm = rotation @ inertial
    pose[:3] = place - arm
    twist[3:6] = angular
    twist[0] = linear[0] - (angular[1] * arm[2] - angular[2] * arm[1])
    twist[1] = linear[1] - (angular[2] * arm[0] - angular[0] * arm[2])
    twist[2] = linear[2] - (angular[0] * arm[1] - angular[1] * arm[0])
