"""A driving base in Bullet: a free-floating body under the forces of its wheels.

Bullet integrates base, joints and gravity and keeps the body out of furniture and, when
it tips, off the ground. What wheels and ground do to each other comes from
:mod:`physai.plant.traction` as one force and one moment a step.
"""

from __future__ import annotations

import struct
from typing import Any

import numba
import numpy as np

from physai.errors import ContractError
from physai.plant.banner import without_banner
from physai.plant.dynamics import BaseStart
from physai.plant.ground import Ground
from physai.plant.rolling_kernel import SEEN, end_step, look
from physai.plant.traction import Traction
from physai.robot.description import Robot
from physai.robot.kinematics import Kinematics, rotation_from_quaternion
from physai.types import Array

with without_banner():
    import pybullet

__all__ = ["BulletBase"]

_REFRESH_STEPS = 12
"""Joints move slowly against the physics step: the common centre of mass follows them
at 20 Hz."""

_SEEN = struct.Struct(f"{SEEN}d")


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
        self._kinematics = Kinematics(robot)
        tree = robot.tree
        self._mass, self._inertia = tree.mass.copy(), tree.inertia.copy()
        self._payload = -1
        if robot.payload is not None:
            self._payload = tree.link_names.index(robot.payload.link)
        self._rolling = r = self.traction.rolling
        self._memory = self.traction.buffer.data
        self.gravity, self.pose, self.twist = r.gravity, r.pose, r.twist
        self.gravity[:] = (0.0, 0.0, -9.81)
        self.pose[:] = self._home
        self.odometry = r.moved[:2]
        local = self._call(pybullet.getDynamicsInfo, body, -1)[3]
        r.inertial[:] = local
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
            self.pose[:] = self.traction.rest_pose()
        rotation = self._rolling.rotation
        rotation_from_quaternion(self.pose[3:], rotation)
        x, z = rotation[:, 0], rotation[:, 2]
        linear, angular = start.linear_m_s * x, start.angular_rad_s * z
        arm = rotation @ self._rolling.inertial
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
        self._rolling.pushed[:] = 0.0
        self._count = 0
        self._see()
        look(self.traction.buffer, self.traction.count)
        self.traction.feel()

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
        self.traction.mass_kg = _gather(
            self._mass,
            self._robot.tree.center_of_mass,
            self._inertia,
            k.link_rotation,
            k.link_position,
            self._rolling.center,
            self._rolling.inertia,
        )

    @property
    def due(self) -> bool:
        """Whether :meth:`refresh` should be called before the next step."""
        return self._count % _REFRESH_STEPS == 0

    def feel(self, point: Array, force: Array) -> None:
        """Know of a force that acts during the next step, so that wheels hold it."""
        r = self._rolling
        arm = point - r.pose[:3] - r.rotation @ r.center
        r.pushed[:3] += force
        r.pushed[3:] += np.cross(arm, force)

    def press(self) -> None:
        """Apply what the ground does during the next step."""
        self.traction.press()
        push = self._rolling.push.tolist()
        body, client, world = self._body, self._client, pybullet.WORLD_FRAME
        pybullet.applyExternalForce(body, -1, push[:3], push[3:6], world, client)
        pybullet.applyExternalTorque(body, -1, push[6:], world, client)

    def advance(self) -> None:
        """Take in what the step did: pose, twist and odometry."""
        self._count += 1
        self._see()
        end_step(self.traction.buffer, self.traction.count, self._step_s)

    def _see(self) -> None:
        """Ask the engine where its own frame of the body is and how it moves."""
        body, client = self._body, self._client
        place, turn = pybullet.getBasePositionAndOrientation(body, client)
        linear, angular = pybullet.getBaseVelocity(body, client)
        _SEEN.pack_into(self._memory, 0, *place, *turn, *linear, *angular)

    @property
    def forward_speed(self) -> float:
        """Speed of the base's origin along its x [m/s]."""
        return float(self._rolling.moved[2])

    @property
    def yaw_rate(self) -> float:
        """Angular velocity about the base's z [rad/s]."""
        return float(self._rolling.moved[3])
