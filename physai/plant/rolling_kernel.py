"""What surrounds a physics step of a driving base, compiled: one call before, one after.

Before it the drive moves on and the ground's forces follow; after it pose, twist and
odometry are taken in. Everything that lasts lies in one buffer, since handing over an
array costs as much as the arithmetic on it.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numba
import numpy as np
import numpy.typing as npt

from physai.plant.traction_kernel import DRIVEN, press_wheels
from physai.robot.kinematics import rotation_from_quaternion
from physai.types import Array

__all__ = [
    "SEEN",
    "Rolling",
    "begin_step",
    "end_step",
    "look",
    "press_still",
    "rolling_length",
    "rolling_of",
    "steering_for",
]

Integers = npt.NDArray[np.int64]

SEEN = 13
"""The first numbers of a buffer: position, quaternion, velocity and angular velocity of
the body's own frame as the engine gives them."""

_STANDING_M_S = 0.1
"""Speed below which the parking brake engages (project choice)."""


class Rolling(NamedTuple):
    """Views of the numbers of one base on W wheels.

    Attributes:
        seen: (13,) see :data:`SEEN`.
        push: (9,) force of the ground [N], the point that it acts on [m], moment [N m].
        force: (3,) of the ground on the base in the world, part of ``push``.
        torque: (3,) of the same about the centre of mass, part of ``push``.
        center: (3,) centre of mass of everything in the base frame [m].
        inertia: (3, 3) about it, base axes [kg m2].
        pose: (7,) of the base frame in the world.
        twist: (6,) velocity of its origin [m/s] and angular velocity [rad/s].
        pull: (6,) force [N] and moment [N m] besides the ground's.
        pushed: (6,) the part of ``pull`` that is not weight.
        gravity: (3,) [m/s2].
        rotation: (3, 3) of the base frame in the world.
        inertial: (3,) origin of the body's own frame in the base frame [m].
        moved: (4,) travelled way [m] and yaw [rad], forward speed, yaw rate.
        wheels: (W, 5) see :func:`physai.plant.traction_kernel.press_wheels`.
        role: (W,) the same.
        asked: (2,) forward speed and yaw rate that the drive is asked for.
        speed: (2,) the same as the drive has them now.
        up: (2,) most that they gain in a step.
        down: (2,) most that they lose.
        forces: (4,) of the drive: driving, braking, holding [N], slip in yaw.
        most: (3,) fastest forward speed and yaw rate, smallest turning radius.
        steering: (3,) wheelbase [m] (0: not steered), largest angle, change in a step.
        angle: (1,) of the steered axle.
        target: (W,) speed of the driven wheels' rims [m/s].
        power: (2,) largest force of each side [N].
        point: (W, 3) contact points.
        frame: (W, 3, 3) axes of the contacts.
        load: (W,) normal forces [N].
        impulse: (W, 2) friction's [N s].
        grid: (3,) of the ground's heights.
    """

    seen: Array
    push: Array
    force: Array
    torque: Array
    center: Array
    inertia: Array
    pose: Array
    twist: Array
    pull: Array
    pushed: Array
    gravity: Array
    rotation: Array
    inertial: Array
    moved: Array
    wheels: Array
    role: Integers
    asked: Array
    speed: Array
    up: Array
    down: Array
    forces: Array
    most: Array
    steering: Array
    angle: Array
    target: Array
    power: Array
    point: Array
    frame: Array
    load: Array
    impulse: Array
    grid: Array


_FIXED, _EACH = 102, 23


def rolling_length(wheels: int) -> int:
    """Return the length of a buffer for :func:`rolling_of`."""
    return _FIXED + _EACH * wheels


@numba.njit(cache=True)
def rolling_of(buffer: Array, wheels: int) -> Rolling:
    """Return a buffer's views.

    Args:
        buffer: (rolling_length(wheels),) numbers; integers are stored bit by bit.
        wheels: How many.
    """
    i = _FIXED
    places = buffer[i : i + 5 * wheels].reshape((wheels, 5))
    i += 5 * wheels
    role = buffer[i : i + wheels].view(np.int64)
    i += wheels
    target = buffer[i : i + wheels]
    i += wheels
    point = buffer[i : i + 3 * wheels].reshape((wheels, 3))
    i += 3 * wheels
    frame = buffer[i : i + 9 * wheels].reshape((wheels, 3, 3))
    i += 9 * wheels
    load = buffer[i : i + wheels]
    i += wheels
    impulse = buffer[i : i + 2 * wheels].reshape((wheels, 2))
    return Rolling(
        buffer[0:13],
        buffer[13:22],
        buffer[13:16],
        buffer[19:22],
        buffer[22:25],
        buffer[25:34].reshape((3, 3)),
        buffer[34:41],
        buffer[41:47],
        buffer[47:53],
        buffer[53:59],
        buffer[59:62],
        buffer[62:71].reshape((3, 3)),
        buffer[71:74],
        buffer[74:78],
        places,
        role,
        buffer[78:80],
        buffer[80:82],
        buffer[82:84],
        buffer[84:86],
        buffer[86:90],
        buffer[99:102],
        buffer[90:93],
        buffer[93:94],
        target,
        buffer[94:96],
        point,
        frame,
        load,
        impulse,
        buffer[96:99],
    )


@numba.njit(cache=True)
def steering_for(asked: Array, steering: Array, last: float) -> float:
    """Angle at which the steered axle's wheels roll; as before while standing."""
    if steering[0] <= 0.0 or abs(asked[0]) < 1e-3:
        return last
    angle = math.atan(-asked[1] * steering[0] / asked[0])
    return float(min(max(angle, -steering[1]), steering[1]))


@numba.njit(cache=True)
def _limit(asked: Array, most: Array) -> None:
    """Bring forward speed and yaw rate within what the base may do."""
    asked[0] = min(max(asked[0], -most[0]), most[0])
    asked[1] = min(max(asked[1], -most[1]), most[1])
    if most[2] > 0.0:
        turn = abs(asked[0]) / most[2]
        asked[1] = min(max(asked[1], -turn), turn)


@numba.njit(cache=True)
def _advance_drive(r: Rolling) -> None:
    """Ramp the drive by one step: speeds, steering, wheel speeds, force limits."""
    asked, speed, steering = r.asked, r.speed, r.steering
    _limit(asked, r.most)
    slower = False
    for k in (1, 0):
        slower = asked[k] * speed[k] < 0.0 or abs(asked[k]) < abs(speed[k])
        most = r.down[k] if slower else r.up[k]
        speed[k] += min(max(asked[k] - speed[k], -most), most)
    linear, angular = speed[0], speed[1]
    if steering[0] > 0.0:
        change = steering_for(asked, steering, r.angle[0]) - r.angle[0]
        r.angle[0] += min(max(change, -steering[2]), steering[2])
        # The two driven wheels follow the steered axle, so that none of them drags.
        angular = -linear * math.tan(r.angle[0]) / steering[0]
    for i in range(r.role.shape[0]):
        rim = linear - angular * r.forces[3] * r.wheels[i, 1]
        r.target[i] = rim if r.role[i] == DRIVEN else 0.0
    most = r.forces[1] if slower or asked[0] == 0.0 else r.forces[0]
    moving = r.twist[0] ** 2 + r.twist[1] ** 2 + r.twist[2] ** 2 >= _STANDING_M_S**2
    if not moving and linear == 0.0 and asked[0] == 0.0 and asked[1] == 0.0:
        most = r.forces[2]
    r.power[:] = 0.5 * most


@numba.njit(cache=True)
def _pull(r: Rolling, mass: float) -> None:
    """Gravity and whatever pushes the robot during the next step."""
    for k in range(6):
        r.pull[k] = r.pushed[k]
        r.pushed[k] = 0.0
    for k in range(3):
        r.pull[k] += mass * r.gravity[k]


@numba.njit(cache=True)
def _press(
    r: Rolling,
    mass: float,
    heights: Array,
    patches: Array,
    friction: Array,
    material: int,
    step: float,
) -> None:
    press_wheels(
        mass,
        r.center,
        r.inertia,
        r.pose,
        r.twist,
        r.pull,
        r.wheels,
        r.role,
        r.angle[0],
        r.target,
        r.power,
        heights,
        r.grid,
        patches,
        material,
        friction,
        step,
        r.point,
        r.frame,
        r.load,
        r.impulse,
        r.force,
        r.torque,
    )


@numba.njit(cache=True)
def begin_step(
    buffer: Array,
    wheels: int,
    mass: float,
    heights: Array,
    patches: Array,
    friction: Array,
    material: int,
    step: float,
) -> None:
    """Fill ``push`` for the next physics step.

    Args:
        buffer: See :func:`rolling_of`; its ``pushed`` is used up.
        wheels: How many.
        mass: Of everything [kg].
        heights: Of the ground, see :func:`physai.plant.ground.ground_height`.
        patches: (P, 5) see :class:`physai.plant.ground.Ground`.
        friction: (K, 3) the same.
        material: Kind of ground outside the patches.
        step: Length of the step [s].
    """
    r = rolling_of(buffer, wheels)
    _pull(r, mass)
    _advance_drive(r)
    _press(r, mass, heights, patches, friction, material, step)
    rotation_from_quaternion(r.pose[3:], r.rotation)
    place = r.push[3:6]
    np.dot(r.rotation, r.center, place)
    for k in range(3):
        place[k] += r.pose[k]


@numba.njit(cache=True)
def press_still(
    buffer: Array,
    wheels: int,
    mass: float,
    heights: Array,
    patches: Array,
    friction: Array,
    material: int,
    step: float,
) -> None:
    """Fill the wheels' loads of a base that has just been placed.

    Arguments as of :func:`begin_step`.
    """
    r = rolling_of(buffer, wheels)
    _pull(r, mass)
    _press(r, mass, heights, patches, friction, material, step)
    r.impulse[:] = 0.0
    r.force[:] = 0.0
    r.torque[:] = 0.0


@numba.njit(cache=True)
def _look(r: Rolling) -> None:
    """Pose, twist and speeds of the base frame from what the engine says."""
    seen, pose, twist = r.seen, r.pose, r.twist
    pose[3:7] = seen[3:7]
    rotation_from_quaternion(pose[3:7], r.rotation)
    arm = r.rotation @ r.inertial
    linear, angular = seen[7:10], seen[10:13]
    pose[:3] = seen[:3] - arm
    twist[3:6] = angular
    twist[0] = linear[0] - (angular[1] * arm[2] - angular[2] * arm[1])
    twist[1] = linear[1] - (angular[2] * arm[0] - angular[0] * arm[2])
    twist[2] = linear[2] - (angular[0] * arm[1] - angular[1] * arm[0])
    axis = np.empty(3)
    for k in range(3):
        axis[k] = r.rotation[k, 0]
    r.moved[2] = axis @ twist[:3]
    for k in range(3):
        axis[k] = r.rotation[k, 2]
    r.moved[3] = axis @ twist[3:]


@numba.njit(cache=True)
def look(buffer: Array, wheels: int) -> None:
    """Take in what the engine says (``seen``) of a base that has not moved."""
    _look(rolling_of(buffer, wheels))


@numba.njit(cache=True)
def end_step(buffer: Array, wheels: int, step: float) -> None:
    """Take in what a physics step of that length [s] did; it counts as odometry."""
    r = rolling_of(buffer, wheels)
    _look(r)
    r.moved[0] += r.moved[2] * step
    r.moved[1] += r.moved[3] * step
