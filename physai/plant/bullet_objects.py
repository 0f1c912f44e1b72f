"""Boxes that move, in a Bullet world: cases, totes, boards.

All are made once. A reset puts them where they belong with their masses and frictions,
and parks the rest far below as static bodies that collide with nothing, where a step
costs a third of a microsecond each. Boxes at rest sleep, which is what makes a stack
cheap. One box at a time may be joined to a link by a constraint; its reaction is what
the gripper feels, and what breaks the joint.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numba
import numpy as np

from physai.plant.banner import without_banner
from physai.plant.dynamics import ObjectStart
from physai.plant.scene import ObjectConfig
from physai.plant.suction import MARGIN_MOST, Grip, holding_margin
from physai.types import Array

with without_banner():
    import pybullet

__all__ = ["BulletObjects"]

_PARKED_Z_M = -20.0
_SLEEP_THRESHOLD = 1e-4
"""Square of the speed below which a box may fall asleep: 1 cm/s."""

_STRONG_N = 1.0e5


@numba.njit(cache=True)
def _shifted(pose: Array, offset: Array, sign: float, out: Array) -> None:
    """Write a pose whose position is moved by an offset in its own frame."""
    x, y, z, w = pose[3], pose[4], pose[5], pose[6]
    ox, oy, oz = sign * offset[0], sign * offset[1], sign * offset[2]
    # v + 2 w (q x v) + 2 q x (q x v)
    cx, cy, cz = y * oz - z * oy, z * ox - x * oz, x * oy - y * ox
    out[0] = pose[0] + ox + 2.0 * (w * cx + y * cz - z * cy)
    out[1] = pose[1] + oy + 2.0 * (w * cy + z * cx - x * cz)
    out[2] = pose[2] + oz + 2.0 * (w * cz + x * cy - y * cx)
    out[3], out[4], out[5], out[6] = x, y, z, w


@numba.njit(cache=True)
def _feel(
    state: Array,
    tool: Array,
    share: float,
    cup_force: float,
    half_x: float,
    half_y: float,
    friction: float,
    load: Array,
) -> float:
    """Let the lips feel one physics step; return the margin with which they hold.

    Args:
        state: (6,) reaction of the constraint: force of the box on the link in the
            world, moment in the link's axes.
        tool: (3, 3) rotation of the link, z out of the cups.
        share: Of the new reaction in what is felt.
        cup_force: Of one cup [N].
        half_x: Places of the cups [m].
        half_y: The same.
        friction: Between cup and face.
        load: (6,) force along the tool's axes and moments as felt, updated.
    """
    for i in range(3):
        value = 0.0
        for j in range(3):
            value += tool[j, i] * state[j]
        load[i] += share * (value - load[i])
        load[3 + i] += share * (state[3 + i] - load[3 + i])
    return holding_margin(
        load[2],
        math.sqrt(load[0] * load[0] + load[1] * load[1]),
        load[3],
        load[4],
        load[5],
        cup_force,
        half_x,
        half_y,
        friction,
    )


class BulletObjects:
    """The boxes of one world.

    Args:
        client: Of the engine.
        robot: Body of the robot.
        links: Engine's index of every link of the robot's tree.
        configs: What there is.
        step_s: Physics step [s].

    Attributes:
        configs: The same.
        sizes: (K, 3) [m].
        pose: (K, 7) of the boxes' middles at the last :meth:`read`.
        velocity: (K, 6) linear [m/s] and angular [rad/s].
        mass: (K,) [kg]; 0 where parked.
        attached: Index of the box that is held; -1 for none.
        margin: Smallest holding margin since the last :meth:`read`.
        load: (6,) force along the tool's axes [N] and moments about them [N m] as the
            gripper feels them.
        broken: Whether the held box broke loose since the last :meth:`read`.
    """

    def __init__(
        self,
        client: int,
        robot: int,
        links: Sequence[int],
        configs: tuple[ObjectConfig, ...],
        step_s: float,
    ) -> None:
        self._step_s = step_s
        self._client, self._robot, self._links = client, robot, links
        self.configs = configs
        count = len(configs)
        self.sizes = np.array([c.size_m for c in configs]).reshape(count, 3)
        self._offset = np.array([c.com_offset_m for c in configs]).reshape(count, 3)
        self._bodies = [self._make(c) for c in configs]
        self.pose, self.velocity = np.zeros((count, 7)), np.zeros((count, 6))
        self._center = np.zeros((count, 7))
        self.mass = np.zeros(count)
        self.attached, self.margin, self.broken = -1, MARGIN_MOST, False
        self.load = np.zeros(6)
        self._constraint = -1
        self._grip: Grip | None = None
        self._rotation, self._state = np.eye(3), np.zeros(6)
        for index in range(count):
            self._park(index)
        self.read()

    def _call(self, function: Any, *arguments: Any, **named: Any) -> Any:
        return function(*arguments, **named, physicsClientId=self._client)

    def _make(self, config: ObjectConfig) -> int:
        shape = self._call(
            pybullet.createCollisionShape,
            pybullet.GEOM_BOX,
            halfExtents=[0.5 * s for s in config.size_m],
            collisionFramePosition=[-o for o in config.com_offset_m],
        )
        body = self._call(pybullet.createMultiBody, 1.0, shape, -1, [0.0, 0.0, 0.0])
        self._call(
            pybullet.changeDynamics,
            body,
            -1,
            linearDamping=0.0,
            angularDamping=0.0,
            sleepThreshold=_SLEEP_THRESHOLD,
        )
        return int(body)

    def _park(self, index: int) -> None:
        body = self._bodies[index]
        self.mass[index] = 0.0
        self._call(
            pybullet.changeDynamics,
            body,
            -1,
            mass=0.0,
            activationState=pybullet.ACTIVATION_STATE_WAKE_UP
            | pybullet.ACTIVATION_STATE_DISABLE_SLEEPING,
        )
        self._call(pybullet.setCollisionFilterGroupMask, body, -1, 0, 0)
        self._put(index, np.array([2.0 * index, 0.0, _PARKED_Z_M, 0.0, 0.0, 0.0, 1.0]))

    def _put(self, index: int, pose: Array) -> None:
        body, center = self._bodies[index], self._center[index]
        _shifted(pose, self._offset[index], 1.0, center)
        self._call(
            pybullet.resetBasePositionAndOrientation,
            body,
            center[:3].tolist(),
            center[3:].tolist(),
        )
        self._call(pybullet.resetBaseVelocity, body, (0, 0, 0), (0, 0, 0))
        self.pose[index] = pose
        self.velocity[index] = 0.0

    def reset(self, starts: Mapping[int, ObjectStart]) -> None:
        """Put boxes where they start, at rest; park all others.

        Args:
            starts: Index to start.
        """
        self.clear()
        for index, start in sorted(starts.items()):
            self.place(index, start)
        self.read()

    def clear(self) -> None:
        """Park every box, so that nothing is left of an episode.

        A body that becomes static or dynamic goes to the end of the engine's list: all
        of them go there in the same order. One that slept is still taken for asleep
        until the end of the next step, without contact with what never moves: hence a
        step with all of them out of the way.
        """
        self.detach()
        for index in range(len(self._bodies)):
            self._park(index)
        self._call(pybullet.stepSimulation)
        self.margin, self.broken = MARGIN_MOST, False

    def place(self, index: int, start: ObjectStart) -> None:
        """Put one box into the world, at rest."""
        body, mass = self._bodies[index], start.mass_kg
        self.mass[index] = mass
        x, y, z = (s * s for s in self.sizes[index].tolist())
        self._call(
            pybullet.changeDynamics,
            body,
            -1,
            mass=mass,
            lateralFriction=math.sqrt(start.friction),
            localInertiaDiagonal=[
                mass / 12.0 * (y + z),
                mass / 12.0 * (x + z),
                mass / 12.0 * (x + y),
            ],
        )
        self._call(pybullet.setCollisionFilterGroupMask, body, -1, 1, -1)
        self._put(index, start.pose)
        self._call(
            pybullet.changeDynamics,
            body,
            -1,
            activationState=pybullet.ACTIVATION_STATE_WAKE_UP
            | pybullet.ACTIVATION_STATE_ENABLE_SLEEPING,
        )

    def read(self) -> None:
        """Update poses and velocities of the boxes that are in use."""
        client = self._client
        for index, body in enumerate(self._bodies):
            if not self.mass[index] > 0.0:
                continue
            place, turn = pybullet.getBasePositionAndOrientation(body, client)
            linear, angular = pybullet.getBaseVelocity(body, client)
            center = self._center[index]
            center[:3], center[3:] = place, turn
            _shifted(center, self._offset[index], -1.0, self.pose[index])
            velocity = self.velocity[index]
            velocity[:3], velocity[3:] = linear, angular

    def begin_period(self) -> None:
        """Forget the smallest margin and whether a box broke loose."""
        self.margin, self.broken = MARGIN_MOST, False

    def attach(self, index: int, link: int, rotation: Array, grip: Grip) -> None:
        """Join a box to a link of the robot's tree as they are now.

        Args:
            index: Which box.
            link: Link of the robot's tree, its z axis out of the cups.
            rotation: (3, 3) of the link.
            grip: What holds it.
        """
        self.detach()
        engine, body = self._links[link], self._bodies[index]
        state = self._call(
            pybullet.getLinkState, self._robot, engine, computeForwardKinematics=1
        )
        base = self._call(pybullet.getBasePositionAndOrientation, body)
        # The tool frame has its centre of mass in its origin: both frames agree.
        inverse = pybullet.invertTransform(*base)
        position, turn = pybullet.multiplyTransforms(*inverse, state[4], state[5])
        self._constraint = self._call(
            pybullet.createConstraint,
            self._robot,
            engine,
            body,
            -1,
            pybullet.JOINT_FIXED,
            (0, 0, 0),
            (0, 0, 0),
            position,
            (0, 0, 0, 1),
            turn,
        )
        self._call(pybullet.changeConstraint, self._constraint, maxForce=_STRONG_N)
        self.attached, self._grip = index, grip
        self._rotation = rotation
        self.load[:] = 0.0

    def set_grip(self, grip: Grip) -> None:
        """Change what the held box is held with."""
        self._grip = grip

    def detach(self) -> None:
        """Let go of the held box, if there is one."""
        if self.attached < 0:
            return
        self._call(pybullet.removeConstraint, self._constraint)
        body = self._bodies[self.attached]
        self._call(
            pybullet.changeDynamics,
            body,
            -1,
            activationState=pybullet.ACTIVATION_STATE_WAKE_UP,
        )
        self.attached, self._constraint, self._grip = -1, -1, None
        self.load[:] = 0.0

    def feel(self) -> None:
        """After a physics step: measure the reaction, let go where it is too much."""
        grip = self._grip
        if grip is None:
            return
        self._state[:] = pybullet.getConstraintState(self._constraint, self._client)
        margin = _feel(
            self._state,
            self._rotation,
            self._step_s / (grip.give_time_s + self._step_s),
            grip.cup_force_n,
            grip.half_x_m,
            grip.half_y_m,
            grip.friction,
            self.load,
        )
        self.margin = min(self.margin, margin)
        if not margin >= 1.0:
            self.detach()
            self.broken = True
