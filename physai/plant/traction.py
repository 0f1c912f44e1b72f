"""Wheels and tracks on the ground: normal, driving and lateral forces of a base.

Every wheel carries a spring and a damper along the ground's normal. Along the ground,
Coulomb friction in an ellipse (longitudinal and lateral coefficient times normal force)
takes the wheel's contact point to the speed that its drive asks for: projected
Gauss-Seidel over the impulses of one step, as contact solvers do (Catto 2005), on the
rigid body that base, joints and load form at this instant. At rest this is static
friction: a braked base does not creep on a slope.

Why not the engine's own contacts: with wheels as bodies on velocity motors, a locked
vehicle that slides in Bullet at 240 Hz is braked by 0.29 to 1.41 times mu g, by the
direction in which it slides (cone and pyramid of its multibody solver), a standing one
creeps down a slope of 10 degrees by 2 mm/s, and ten road wheels cost twice the step of an
arm. Here the ellipse is exact in every direction and any engine can use it.

What is left out: the wheels' rotational inertia, rolling resistance of driven wheels,
camber, tyre relaxation. Wheels feel the ground alone: objects that lie on it are not
driven over.
"""

from __future__ import annotations

import math

import numpy as np

from physai.plant.ground import Ground, ground_height
from physai.plant.rolling_kernel import (
    begin_step,
    press_still,
    rolling_length,
    rolling_of,
    steering_for,
)
from physai.plant.traction_kernel import CASTER, DRIVEN, STEERED, find_unbalance
from physai.robot.base import BaseConfig
from physai.robot.kinematics import (
    quaternion_from_rotation,
    rotation_from_quaternion,
)
from physai.types import Array

__all__ = ["Traction"]

_ROLES = {"driven": DRIVEN, "steered": STEERED, "caster": CASTER}


class Traction:
    """Forces of the ground on one base, step by step.

    Args:
        base: The base.
        ground: What it drives on.
        step_s: Physics step [s].

    Attributes:
        buffer: All numbers of :class:`physai.plant.rolling_kernel.Rolling`.
        rolling: Views of it.
        mass_kg: Of base, joints and load together.
        load: (W,) normal force of every wheel [N].
    """

    def __init__(self, base: BaseConfig, ground: Ground, step_s: float) -> None:
        self.base, self.ground, self.step_s = base, ground, step_s
        self.count, self.mass_kg = len(base.wheels), 0.0
        self.buffer = np.zeros(rolling_length(self.count))
        self.rolling = r = rolling_of(self.buffer, self.count)
        r.role[:] = [_ROLES[w.role] for w in base.wheels]
        r.wheels[:] = [
            [*w.position_m, w.radius_m, w.stiffness_n_per_m, w.damping_n_s_per_m]
            for w in base.wheels
        ]
        r.grid[:] = ground.grid
        self.load = r.load
        self._given = (
            ground.heights,
            ground.patches,
            ground.friction,
            ground.material,
            step_s,
        )
        self._driven = (r.role == DRIVEN).astype(np.float64)
        self._arms = -self._driven * r.wheels[:, 1]
        self._limits()

    def _limits(self) -> None:
        linear, angular = self.base.linear, self.base.angular
        up = np.array([linear.acceleration_max_m_s2, angular.acceleration_max_rad_s2])
        down = np.array(
            [linear.emergency_braking_max_m_s2, angular.emergency_braking_max_rad_s2]
        )
        r, drive, steering = self.rolling, self.base.drive, self.base.steering
        r.up[:], r.down[:] = up * self.step_s, down * self.step_s
        r.forces[:] = (
            drive.force_max_n,
            drive.brake_force_max_n,
            drive.holding_force_max_n,
            drive.yaw_slip,
        )
        r.most[:2] = linear.velocity_max_m_s, angular.velocity_max_rad_s
        if steering is not None:
            r.most[2] = steering.minimum_turning_radius_m
            r.steering[:] = (
                self.base.wheelbase_m,
                steering.angle_max_rad,
                steering.rate_max_rad_s * self.step_s,
            )

    @property
    def steering_rad(self) -> float:
        """Angle of the steered axle, left positive; 0 without one."""
        return float(self.rolling.angle[0])

    def reset(self, linear_m_s: float, angular_rad_s: float) -> None:
        """Forget everything; the drive runs at these speeds from the start."""
        r = self.rolling
        r.impulse[:] = 0.0
        r.push[:] = 0.0
        r.asked[:] = r.speed[:] = (linear_m_s, angular_rad_s)
        r.angle[0] = steering_for(r.asked, r.steering, 0.0)

    def set_velocity(self, linear_m_s: float, angular_rad_s: float) -> None:
        """Ask the drive for a forward speed and a yaw rate.

        The drive limits them to what the base may do: both speeds, and for a steered
        base the yaw rate by the turning radius.
        """
        asked = self.rolling.asked
        asked[0], asked[1] = linear_m_s, angular_rad_s

    def press(self) -> None:
        """Compute what the ground does to the base during the next step.

        Advances the drive by one step; writes push, load and what :meth:`effort` tells.
        """
        begin_step(self.buffer, self.count, self.mass_kg, *self._given)

    def feel(self) -> None:
        """Compute the wheels' loads of a base that has just been placed."""
        press_still(self.buffer, self.count, self.mass_kg, *self._given)

    def effort(self) -> tuple[float, float]:
        """Return what the driven wheels gave: force along x [N], moment about z [N m]."""
        along = self.rolling.impulse[:, 0]
        force, moment = along @ self._driven, along @ self._arms
        return float(force) / self.step_s, float(moment) / self.step_s

    def _lie(self, pose: Array) -> Array:
        """Set the height of a (7,) pose by the plane under its wheels; the rotation.

        The ground just under the middle may slope otherwise, from which Newton's method
        finds the pose in which the base balances on one side.
        """
        heading = np.empty((3, 3))
        rotation_from_quaternion(pose[3:], heading)
        ahead = heading[:2, 0] / max(float(np.hypot(*heading[:2, 0])), 1e-9)
        place, out = self.rolling.wheels[:, :2], np.zeros(4)
        heights = np.empty(len(place))
        for i, (x, y) in enumerate(place.tolist()):
            ground_height(
                pose[0] + x * ahead[0] - y * ahead[1],
                pose[1] + x * ahead[1] + y * ahead[0],
                self.ground.heights,
                self.ground.grid,
                out,
            )
            heights[i] = out[0]
        plane = np.column_stack([np.ones(len(place)), place])
        pose[2], along, across = np.linalg.lstsq(plane, heights, rcond=None)[0]
        turned = np.array([[ahead[0], -ahead[1]], [ahead[1], ahead[0]]])
        normal = np.array([*(turned @ [-along, -across]), 1.0])
        normal /= np.linalg.norm(normal)
        left = np.cross(normal, heading[:, 0])
        left /= np.linalg.norm(left)
        return np.column_stack([np.cross(left, normal), left, normal])

    def rest_pose(self) -> Array:
        """Return the (7,) pose in which the base stands still at its place and heading.

        Newton's method on height, roll and pitch; x, y and yaw are the body's own. If
        the base would fall over there, the pose is merely near the ground.
        """
        ground, r = self.ground, self.rolling
        pose = r.pose.copy()
        rotation = self._lie(pose)

        def unbalance(change: Array) -> Array:
            new, result = pose.copy(), np.empty(3)
            new[2] += change[0]
            turned = _turn(float(change[1]), float(change[2])) @ rotation
            quaternion_from_rotation(turned, new[3:])
            find_unbalance(
                self.mass_kg,
                r.center,
                new,
                r.gravity,
                r.wheels,
                r.role,
                ground.heights,
                ground.grid,
                result,
            )
            return result

        pose[2] -= self.mass_kg * np.linalg.norm(r.gravity) / r.wheels[:, 3].sum()
        for _ in range(60):
            rest, slope = unbalance(np.zeros(3)), np.empty((3, 3))
            for k in range(3):
                nudge = np.zeros(3)
                nudge[k] = 1e-6
                slope[:, k] = (unbalance(nudge) - rest) / 1e-6
            step = np.asarray(np.linalg.lstsq(slope, -rest, rcond=None)[0], float)
            step *= min(1.0, 0.02 / max(np.abs(step).max(), 1e-12))
            # Where a wheel leaves the ground the slope is another: a whole step may
            # lead away, and from there to a base that lies on its side.
            before = np.linalg.norm(rest)
            for _ in range(_HALVINGS):
                if np.linalg.norm(unbalance(step)) < before:
                    break
                step *= 0.5
            pose[2] += step[0]
            rotation = _turn(step[1], step[2]) @ rotation
            if np.abs(step).max() < 1e-9:
                break
        quaternion_from_rotation(rotation, pose[3:])
        return pose


_HALVINGS = 6
"""Of a step that does not help; after them it is taken all the same."""


def _turn(roll: float, pitch: float) -> Array:
    """Small rotation about the world's x and y."""
    size = math.hypot(roll, pitch)
    if size == 0.0:
        return np.eye(3)
    skew = np.array([[0.0, 0.0, pitch], [0.0, 0.0, -roll], [-pitch, roll, 0.0]])
    matrix: Array = (
        np.eye(3)
        + math.sin(size) / size * skew
        + (1.0 - math.cos(size)) / (size * size) * (skew @ skew)
    )
    return matrix
