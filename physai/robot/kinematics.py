"""Kinematics and reflected mass of a robot, in numba, for any tree of joints.

One :class:`Kinematics` holds preallocated results for one posture: :meth:`update`
first, then read. Everything is in the world frame. A call costs a few
microseconds, where the physics engine's own calls cost 10 to 150.
"""

from __future__ import annotations

import numpy as np

from physai.robot.chain import (
    Chain,
    chain_length,
    chain_of,
    fill_along,
    fill_jacobian,
    fill_linear,
    mass_matrix,
    move,
    move_buffer,
    place,
    place_buffer,
    point_jacobian,
    point_jacobian_of,
    quaternion_from_rotation,
    rotation_from_quaternion,
)
from physai.robot.description import Robot
from physai.types import Array

__all__ = [
    "Chain",
    "Kinematics",
    "chain_of",
    "fill_along",
    "fill_jacobian",
    "fill_linear",
    "move",
    "place",
    "point_jacobian",
    "quaternion_from_rotation",
    "rotation_from_quaternion",
]


class Kinematics:
    """Kinematics of one robot at one posture; results are preallocated arrays.

    The arrays are reused by the next :meth:`update`: copy what must last.

    Args:
        robot: The robot.
        base_pose_in_world: (7,) pose of link 0; the world's origin if None.
    """

    def __init__(self, robot: Robot, base_pose_in_world: Array | None = None) -> None:
        self.robot = robot
        tree, shapes = robot.tree, robot.shapes
        links, n = len(tree.parent), len(robot.actuator_names)
        self._mobile = robot.base is not None
        axes = links + 1 if self._mobile else links
        self.size = np.array([links, len(shapes.link), n, axes])
        """(4,) sizes that belong to :attr:`buffer`; see :func:`chain_of`."""
        self.buffer = np.zeros(chain_length(self.size))
        """Everything below as compiled code takes it."""
        self.chain = c = chain_of(self.buffer, self.size)
        c.parent[:], c.actuator[:] = tree.parent, tree.actuator
        c.prismatic[:], c.shape_link[:] = tree.prismatic, shapes.link
        c.rotation[:], c.translation[:] = tree.rotation, tree.translation
        c.axis[:], c.shape_local[:] = tree.axis, shapes.local
        c.link_rotation[:] = np.eye(3)
        self.link_rotation = c.link_rotation
        """(L, 3, 3) rotation of every link in the world."""
        self.link_position = c.link_position
        """(L, 3) origin of every link in the world [m]."""
        self.link_axis = c.link_axis
        """(L, 3) joint axis of every link in the world; for a base that drives row 0
        is its x and row L its z."""
        self.link_velocity = c.link_velocity
        """(L, 3) velocity of every link's origin by the last
        :meth:`capsule_velocity` [m/s]."""
        self._work = np.zeros((6, n))
        self._mass = np.zeros((n, n))
        self._tool_pose = np.zeros(7)
        self.set_base(base_pose_in_world)
        self.update(robot.home_position)

    def set_base(self, pose_in_world: Array | None) -> None:
        """Place the robot's base.

        Args:
            pose_in_world: (7,) pose; the origin if None.
        """
        if pose_in_world is None:
            self.link_position[0] = 0.0
            self.link_rotation[0] = np.eye(3)
        else:
            self.link_position[0] = pose_in_world[:3]
            rotation_from_quaternion(
                np.asarray(pose_in_world[3:7], dtype=np.float64), self.link_rotation[0]
            )
        if self._mobile:
            self.link_axis[0] = self.link_rotation[0, :, 0]
            self.link_axis[-1] = self.link_rotation[0, :, 2]

    def update(self, position: Array) -> None:
        """Compute links and capsules for (n,) joint positions [rad or m]."""
        place_buffer(position, self.buffer, self.size)

    def tool_pose(self) -> Array:
        """Return the (7,) pose of the TCP in the world."""
        link = self.robot.tool_link
        self._tool_pose[:3] = self.link_position[link]
        quaternion_from_rotation(self.link_rotation[link], self._tool_pose[3:])
        return self._tool_pose

    @property
    def tool_rotation(self) -> Array:
        """(3, 3) rotation of the TCP frame in the world."""
        rotation: Array = self.link_rotation[self.robot.tool_link]
        return rotation

    @property
    def tool_position(self) -> Array:
        """(3,) position of the TCP in the world [m]."""
        position: Array = self.link_position[self.robot.tool_link]
        return position

    @property
    def tool_velocity(self) -> Array:
        """(3,) velocity of the TCP by the last :meth:`capsule_velocity` [m/s]."""
        velocity: Array = self.link_velocity[self.robot.tool_link]
        return velocity

    def capsules(self) -> Array:
        """Return the (R, 7) collision capsules in the world [m]."""
        return self.chain.capsules

    def capsule_velocity(self, velocity: Array) -> Array:
        """Return (R, 6) velocities of the capsules' end points [m/s].

        Args:
            velocity: (n,) actuator velocities [rad/s or m/s]; a base moves as its two
                actuators say.
        """
        move_buffer(velocity, self.buffer, self.size)
        return self.chain.capsule_velocity

    def jacobian(
        self, link: int, point_in_world: Array, out: Array | None = None
    ) -> Array:
        """Return the (6, n) Jacobian of a point that moves with a link.

        Args:
            link: Index of the link.
            point_in_world: (3,) the point [m].
            out: Where to write it; a reused array if None.

        Returns:
            Rows: linear x y z [m/s], angular x y z [rad/s], world frame.
        """
        target = self._work if out is None else out
        point_jacobian_of(link, point_in_world, self.buffer, self.size, target)
        return target

    def tool_jacobian(self, out: Array | None = None) -> Array:
        """Return the (6, n) Jacobian of the TCP (see :meth:`jacobian`)."""
        return self.jacobian(self.robot.tool_link, self.tool_position, out)

    def mass_matrix(self) -> Array:
        """Return the (n, n) joint-space inertia without rotor inertia [kg m2]."""
        t, c = self.robot.tree, self.chain
        mass_matrix(
            c.parent,
            c.actuator,
            c.prismatic,
            self.link_rotation,
            self.link_position,
            self.link_axis,
            t.mass,
            t.center_of_mass,
            t.inertia,
            self._work,
            self._mass,
        )
        return self._mass

    def reflected_mass(self, shape: int, point_in_world: Array, normal: Array) -> float:
        """Return the effective mass of the robot at a contact [kg].

        m_R = 1 / (n^T J M^-1 J^T n), Khatib 1995; the exact counterpart of
        M/2 + mL in ISO/TS 15066 A.3.5.

        Args:
            shape: Index of the collision shape that touches.
            point_in_world: (3,) contact point [m].
            normal: (3,) unit direction in which the contact pushes.
        """
        mass = self.mass_matrix()
        jacobian = self.jacobian(int(self.chain.shape_link[shape]), point_in_world)
        row = np.asarray(normal) @ jacobian[:3]
        mobility = float(row @ np.linalg.solve(mass, row))
        return 1.0 / max(mobility, 1e-6)

    def solve_position(
        self,
        position_in_world: Array,
        rotation_in_world: Array,
        start: Array,
        iterations: int = 200,
        tolerance: float = 1e-5,
    ) -> tuple[Array, float]:
        """Find joint positions for a TCP pose by damped least squares.

        Stays inside the joint limits and leans toward ``start`` in the null space. A
        base stays where it is.

        Args:
            position_in_world: (3,) [m].
            rotation_in_world: (3, 3).
            start: (n,) first guess and preferred posture [rad or m].
            iterations: At most so many steps.
            tolerance: Stop when the pose error (m and rad together) is below it.

        Returns:
            Joint positions and the remaining pose error.
        """
        q = np.array(start, dtype=np.float64)
        best, best_error = q.copy(), np.inf
        n = len(q)
        for _ in range(iterations):
            self.update(q)
            turn = rotation_in_world @ self.tool_rotation.T
            vector = 0.5 * np.array(
                [
                    turn[2, 1] - turn[1, 2],
                    turn[0, 2] - turn[2, 0],
                    turn[1, 0] - turn[0, 1],
                ]
            )
            if np.trace(turn) < 1.0:
                # Beyond 90 degrees the sine shrinks again: keep the step long.
                vector = vector / max(float(np.linalg.norm(vector)), 1e-9)
            error = np.concatenate([position_in_world - self.tool_position, vector])
            size = float(np.linalg.norm(error))
            if size < best_error:
                best, best_error = q.copy(), size
            if size < tolerance:
                break
            jacobian = self.tool_jacobian().copy()
            if self._mobile:
                jacobian[:, :2] = 0.0
            damped = jacobian @ jacobian.T + 1e-4 * np.eye(6)
            inverse = jacobian.T @ np.linalg.inv(damped)
            step = inverse @ error
            step += (np.eye(n) - inverse @ jacobian) @ (0.05 * (start - q))
            q = np.clip(
                q + np.clip(step, -0.2, 0.2),
                self.robot.position_min,
                self.robot.position_max,
            )
        self.update(best)
        return best, best_error
