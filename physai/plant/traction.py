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
from dataclasses import dataclass

import numba
import numpy as np
import numpy.typing as npt

from physai.plant.ground import Ground, ground_height
from physai.plant.traction_kernel import (
    CASTER,
    DRIVEN,
    STEERED,
    find_unbalance,
    press_wheels,
)
from physai.robot.base import BaseConfig
from physai.robot.kinematics import (
    quaternion_from_rotation,
    rotation_from_quaternion,
)
from physai.types import Array

__all__ = ["Body", "Traction"]

_STANDING_M_S = 0.1
"""Speed below which the parking brake engages (project choice)."""

_ROLES = {"driven": DRIVEN, "steered": STEERED, "caster": CASTER}


@dataclass(eq=False)
class Body:
    """The rigid body that base, joints and load form at one instant; written in place.

    Attributes:
        mass_kg: Of everything.
        center: (3,) its centre of mass in the base frame [m].
        inertia: (3, 3) about it, base axes [kg m2].
        pose: (7,) of the base frame in the world.
        twist: (6,) velocity of the base frame's origin [m/s] and angular velocity
            [rad/s] in the world.
        pull: (6,) what acts on it besides the ground (gravity, contacts): force [N] and
            moment about the centre of mass [N m] in the world.
    """

    mass_kg: float
    center: Array
    inertia: Array
    pose: Array
    twist: Array
    pull: Array


@numba.njit(cache=True)
def _steering_for(asked: Array, steering: Array, last: float) -> float:
    """Angle at which the steered axle's wheels roll; as before while standing."""
    if steering[0] <= 0.0 or abs(asked[0]) < 1e-3:
        return last
    angle = math.atan(-asked[1] * steering[0] / asked[0])
    return float(min(max(angle, -steering[1]), steering[1]))


@numba.njit(cache=True)
def _advance_drive(
    asked: Array,
    speed: Array,
    up: Array,
    down: Array,
    forces: Array,
    steering: Array,
    angle: Array,
    twist: Array,
    wheels: Array,
    role: npt.NDArray[np.int64],
    target: Array,
    power: Array,
) -> None:
    """Ramp the drive by one step: speeds, steering, wheel speeds, force limits."""
    slower = False
    for k in (1, 0):
        slower = asked[k] * speed[k] < 0.0 or abs(asked[k]) < abs(speed[k])
        most = down[k] if slower else up[k]
        speed[k] += min(max(asked[k] - speed[k], -most), most)
    linear, angular = speed[0], speed[1]
    if steering[0] > 0.0:
        change = _steering_for(asked, steering, angle[0]) - angle[0]
        angle[0] += min(max(change, -steering[2]), steering[2])
        # The two driven wheels follow the steered axle, so that none of them drags.
        angular = -linear * math.tan(angle[0]) / steering[0]
    for i in range(role.shape[0]):
        rim = linear - angular * forces[3] * wheels[i, 1]
        target[i] = rim if role[i] == DRIVEN else 0.0
    most = forces[1] if slower or asked[0] == 0.0 else forces[0]
    moving = twist[0] ** 2 + twist[1] ** 2 + twist[2] ** 2 >= _STANDING_M_S**2
    if not moving and linear == 0.0 and asked[0] == 0.0 and asked[1] == 0.0:
        most = forces[2]
    power[:] = 0.5 * most


class Traction:
    """Forces of the ground on one base, step by step.

    Args:
        base: The base.
        ground: What it drives on.
        step_s: Physics step [s].

    Attributes:
        force: (3,) of the ground on the base in the world, last step [N].
        torque: (3,) of the same about the centre of mass [N m].
        load: (W,) normal force of every wheel [N].
    """

    def __init__(self, base: BaseConfig, ground: Ground, step_s: float) -> None:
        self.base, self.ground, self.step_s = base, ground, step_s
        self._role = np.array([_ROLES[w.role] for w in base.wheels], dtype=np.int64)
        self._wheels = np.array(
            [
                [*w.position_m, w.radius_m, w.stiffness_n_per_m, w.damping_n_s_per_m]
                for w in base.wheels
            ]
        )
        self._driven = (self._role == DRIVEN).astype(np.float64)
        self._arms = -self._driven * self._wheels[:, 1]
        count = len(self._role)
        self._point, self._frame = np.zeros((count, 3)), np.zeros((count, 3, 3))
        self.load, self._impulse = np.zeros(count), np.zeros((count, 2))
        self._target, self._power = np.zeros(count), np.zeros(2)
        self.force, self.torque = np.zeros(3), np.zeros(3)
        self._asked, self._speed = np.zeros(2), np.zeros(2)
        self._angle = np.zeros(1)
        self._limits()

    def _limits(self) -> None:
        linear, angular = self.base.linear, self.base.angular
        self._fastest = (linear.velocity_max_m_s, angular.velocity_max_rad_s)
        steering = self.base.steering
        self._turning_radius_m = (
            0.0 if steering is None else steering.minimum_turning_radius_m
        )
        up = np.array([linear.acceleration_max_m_s2, angular.acceleration_max_rad_s2])
        down = np.array(
            [linear.emergency_braking_max_m_s2, angular.emergency_braking_max_rad_s2]
        )
        self._up, self._down = up * self.step_s, down * self.step_s
        drive, steering = self.base.drive, self.base.steering
        self._forces = np.array(
            [
                drive.force_max_n,
                drive.brake_force_max_n,
                drive.holding_force_max_n,
                drive.yaw_slip,
            ]
        )
        self._steering = np.zeros(3)
        if steering is not None:
            self._steering[:] = (
                self.base.wheelbase_m,
                steering.angle_max_rad,
                steering.rate_max_rad_s * self.step_s,
            )

    @property
    def steering_rad(self) -> float:
        """Angle of the steered axle, left positive; 0 without one."""
        return float(self._angle[0])

    def reset(self, linear_m_s: float, angular_rad_s: float) -> None:
        """Forget everything; the drive runs at these speeds from the start."""
        self._impulse[:] = 0.0
        self.force[:] = 0.0
        self.torque[:] = 0.0
        self._asked[:] = self._speed[:] = (linear_m_s, angular_rad_s)
        self._angle[0] = _steering_for(self._asked, self._steering, 0.0)

    def set_velocity(self, linear_m_s: float, angular_rad_s: float) -> None:
        """Ask the drive for a forward speed and a yaw rate.

        They are limited by what the base may do: both speeds, and for a steered base
        the yaw rate by the turning radius.
        """
        fastest, fastest_turn = self._fastest
        linear = min(max(float(linear_m_s), -fastest), fastest)
        angular = min(max(float(angular_rad_s), -fastest_turn), fastest_turn)
        if self._turning_radius_m > 0.0:
            most = abs(linear) / self._turning_radius_m
            angular = min(max(angular, -most), most)
        self._asked[0], self._asked[1] = linear, angular

    def press(self, body: Body) -> None:
        """Compute what the ground does to the base during the next step.

        Advances the drive by one step and writes force, torque, load and effort.
        """
        _advance_drive(
            self._asked,
            self._speed,
            self._up,
            self._down,
            self._forces,
            self._steering,
            self._angle,
            body.twist,
            self._wheels,
            self._role,
            self._target,
            self._power,
        )
        self._press(body)

    def feel(self, body: Body) -> None:
        """Compute the wheels' loads of a body that has just been placed."""
        self._press(body)
        self._impulse[:] = 0.0
        self.force[:] = 0.0
        self.torque[:] = 0.0

    def _press(self, body: Body) -> None:
        ground = self.ground
        press_wheels(
            body.mass_kg,
            body.center,
            body.inertia,
            body.pose,
            body.twist,
            body.pull,
            self._wheels,
            self._role,
            self._angle[0],
            self._target,
            self._power,
            ground.heights,
            ground.grid,
            ground.patches,
            ground.material,
            ground.friction,
            self.step_s,
            self._point,
            self._frame,
            self.load,
            self._impulse,
            self.force,
            self.torque,
        )

    def effort(self) -> tuple[float, float]:
        """Return what the driven wheels gave: force along x [N], moment about z [N m]."""
        along = self._impulse[:, 0]
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
        place, out = self._wheels[:, :2], np.zeros(4)
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

    def rest_pose(self, body: Body, gravity: Array) -> Array:
        """Return the (7,) pose in which the base stands still at its place and heading.

        Newton's method on height, roll and pitch; x, y and yaw are the body's own. If
        the base would fall over there, the pose is merely near the ground.

        Args:
            body: Mass, centre of mass and the wanted place.
            gravity: (3,) [m/s2].
        """
        ground, pose = self.ground, body.pose.copy()
        rotation = self._lie(pose)

        def unbalance(change: Array) -> Array:
            new, result = pose.copy(), np.empty(3)
            new[2] += change[0]
            quaternion_from_rotation(_turn(change[1], change[2]) @ rotation, new[3:])
            find_unbalance(
                body.mass_kg,
                body.center,
                new,
                gravity,
                self._wheels,
                self._role,
                ground.heights,
                ground.grid,
                result,
            )
            return result

        pose[2] -= body.mass_kg * np.linalg.norm(gravity) / self._wheels[:, 3].sum()
        for _ in range(30):
            rest, slope = unbalance(np.zeros(3)), np.empty((3, 3))
            for k in range(3):
                nudge = np.zeros(3)
                nudge[k] = 1e-6
                slope[:, k] = (unbalance(nudge) - rest) / 1e-6
            step = np.clip(np.linalg.lstsq(slope, -rest, rcond=None)[0], -0.02, 0.02)
            pose[2] += step[0]
            rotation = _turn(step[1], step[2]) @ rotation
            if np.abs(step).max() < 1e-9:
                break
        quaternion_from_rotation(rotation, pose[3:])
        return pose


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
