"""Forces between wheels and ground, compiled: see :mod:`physai.plant.traction`.

Normal forces are springs with dampers. Friction is solved for the impulses of one step by
projected Gauss-Seidel (Catto 2005, "Iterative dynamics with temporal coherence") with
the impulses of the last step as a start.
"""

from __future__ import annotations

import numba
import numpy as np
import numpy.typing as npt

from physai.plant.ground import ground_height
from physai.robot.kinematics import rotation_from_quaternion
from physai.types import Array

__all__ = ["CASTER", "DRIVEN", "STEERED", "find_unbalance", "press_wheels"]

DRIVEN, STEERED, CASTER = 0, 1, 2
"""Roles of wheels."""

_SWEEPS = 24
_TOLERANCE = 1e-8
"""The sweeps end when no impulse changes by more than this share of the weight's."""


@numba.njit(cache=True)
def _cross(a: Array, b: Array, out: Array) -> None:
    out[0] = a[1] * b[2] - a[2] * b[1]
    out[1] = a[2] * b[0] - a[0] * b[2]
    out[2] = a[0] * b[1] - a[1] * b[0]


@numba.njit(cache=True)
def _dot(a: Array, b: Array) -> float:
    return float(a[0] * b[0] + a[1] * b[1] + a[2] * b[2])


@numba.njit(cache=True)
def _apply(matrix: Array, vector: Array, out: Array) -> None:
    for r in range(3):
        out[r] = _dot(matrix[r], vector)


@numba.njit(cache=True)
def _between(start: Array, end: Array, out: Array) -> None:
    for r in range(3):
        out[r] = end[r] - start[r]


@numba.njit(cache=True)
def _mobility(rotation: Array, inertia: Array, out: Array, work: Array) -> None:
    """Inverse of an inertia (base axes) in world axes; ``work`` is (7, 3)."""
    inverse, part, row = work[:3], work[3:6], work[6]
    for r in range(3):
        _cross(inertia[(r + 1) % 3], inertia[(r + 2) % 3], row)
        for c in range(3):
            inverse[c, r] = row[c]
    _cross(inertia[1], inertia[2], row)
    determinant = _dot(inertia[0], row)
    for r in range(3):
        for c in range(3):
            part[r, c] = _dot(rotation[r], inverse[:, c]) / determinant
    for r in range(3):
        for c in range(3):
            out[r, c] = _dot(part[r], rotation[c])


@numba.njit(cache=True)
def _material(x: float, y: float, patches: Array, material: int) -> int:
    kind = material
    for p in range(patches.shape[0]):
        if (
            abs(x - patches[p, 0]) <= patches[p, 2]
            and abs(y - patches[p, 1]) <= patches[p, 3]
        ):
            kind = int(patches[p, 4])
    return kind


@numba.njit(cache=True)
def _touch(
    rotation: Array,
    origin: Array,
    wheels: Array,
    role: npt.NDArray[np.int64],
    steering: float,
    heights: Array,
    grid: Array,
    point: Array,
    frame: Array,
    depth: Array,
    work: Array,
) -> None:
    """Contact point, axes (normal, forward, left) and depth of every wheel.

    A wheel is a thin disc: it touches where its rim is lowest along the normal.
    ``work`` is (7, 3).
    """
    ground, center, left, down = work[:2].reshape(6), work[2], work[3], work[4]
    for i in range(wheels.shape[0]):
        radius = wheels[i, 2]
        angle = steering if role[i] == STEERED else 0.0
        c, s = np.cos(angle), np.sin(angle)
        for r in range(3):
            center[r] = (
                origin[r]
                + rotation[r, 0] * wheels[i, 0]
                + rotation[r, 1] * wheels[i, 1]
                + rotation[r, 2] * radius
            )
            left[r] = c * rotation[r, 1] - s * rotation[r, 0]
        ground_height(center[0], center[1], heights, grid, ground)
        normal = ground[1:4]
        across = _dot(normal, left)
        for r in range(3):
            down[r] = -normal[r] + across * left[r]
        size = max(np.sqrt(_dot(down, down)), 1e-9)
        for r in range(3):
            point[i, r] = center[r] + down[r] * radius / size
            frame[i, 0, r] = normal[r]
            frame[i, 2, r] = left[r] - across * normal[r]
        side = max(np.sqrt(_dot(frame[i, 2], frame[i, 2])), 1e-9)
        for r in range(3):
            frame[i, 2, r] /= side
        _cross(frame[i, 2], normal, frame[i, 1])
        ground_height(point[i, 0], point[i, 1], heights, grid, ground)
        depth[i] = (ground[0] - point[i, 2]) * normal[2]


@numba.njit(cache=True)
def _load(
    center: Array,
    velocity: Array,
    angular: Array,
    wheels: Array,
    point: Array,
    frame: Array,
    depth: Array,
    load: Array,
    work: Array,
) -> None:
    """Normal force of every wheel [N]; a damper cannot pull. ``work`` is (7, 3)."""
    arm, speed = work[0], work[1]
    for i in range(wheels.shape[0]):
        load[i] = 0.0
        if depth[i] > 0.0:
            _between(center, point[i], arm)
            _cross(angular, arm, speed)
            for r in range(3):
                speed[r] += velocity[r]
            closing = -_dot(speed, frame[i, 0])
            load[i] = max(0.0, wheels[i, 3] * depth[i] + wheels[i, 4] * closing)


@numba.njit(cache=True)
def _bounds(
    wheels: Array,
    role: npt.NDArray[np.int64],
    point: Array,
    load: Array,
    friction: Array,
    patches: Array,
    material: int,
    force: Array,
    step: float,
    bound: Array,
    side: Array,
) -> None:
    """Largest impulses (W, 3): friction along and across, and what the drive gives.

    Half of the drive's force belongs to each side and is shared by load. Wheels that
    are not driven resist along their direction by rolling alone. ``side`` is (2,) work.
    """
    side[0] = side[1] = 0.0
    for i in range(wheels.shape[0]):
        if role[i] == DRIVEN:
            side[0 if wheels[i, 1] > 0.0 else 1] += load[i]
    for i in range(wheels.shape[0]):
        mu = friction[_material(point[i, 0], point[i, 1], patches, material)]
        along = mu[0] if role[i] == DRIVEN else mu[2]
        across = mu[2] if role[i] == CASTER else mu[1]
        bound[i, 0], bound[i, 1] = along * load[i] * step, across * load[i] * step
        bound[i, 2] = bound[i, 0]
        if role[i] == DRIVEN and load[i] > 0.0:
            which = 0 if wheels[i, 1] > 0.0 else 1
            bound[i, 2] = force[which] * step * load[i] / side[which]


@numba.njit(cache=True)
def _project(role: int, bound: Array, impulse: Array) -> None:
    """Bring one wheel's impulse back within friction, then within the drive's force."""
    if role == DRIVEN:
        if bound[0] <= 0.0 or bound[1] <= 0.0:
            impulse[0] = impulse[1] = 0.0
            return
        size = np.sqrt((impulse[0] / bound[0]) ** 2 + (impulse[1] / bound[1]) ** 2)
        if size > 1.0:
            impulse[0] /= size
            impulse[1] /= size
        impulse[0] = min(max(impulse[0], -bound[2]), bound[2])
    else:
        impulse[0] = min(max(impulse[0], -bound[0]), bound[0])
        impulse[1] = min(max(impulse[1], -bound[1]), bound[1])


@numba.njit(cache=True)
def _solve(
    mass: float,
    mobility: Array,
    center: Array,
    velocity: Array,
    angular: Array,
    role: npt.NDArray[np.int64],
    target: Array,
    point: Array,
    frame: Array,
    load: Array,
    bound: Array,
    step: float,
    impulse: Array,
    work: Array,
    rows: Array,
) -> None:
    """Friction impulses (W, 2) that take contact points to their target speeds.

    ``velocity`` (of the centre of mass) and ``angular`` are what the step would end
    without friction; they are changed to what it ends with. ``work`` is (7, 3) and
    ``rows`` (5, W, 3), of which the first four are lever arms and turns.
    """
    count = role.shape[0]
    lever = rows[:2].reshape((count, 2, 3))
    turn = rows[2:4].reshape((count, 2, 3))
    inverse, arm, new = rows[4].reshape(3 * count)[:count], work[0], work[1]
    for i in range(count):
        _between(center, point[i], arm)
        for k in range(2):
            _cross(arm, frame[i, k + 1], lever[i, k])
            _apply(mobility, lever[i, k], turn[i, k])
        # One figure for both directions, so that friction opposes the slip.
        inverse[i] = 1.0 / (
            1.0 / mass
            + max(_dot(lever[i, 0], turn[i, 0]), _dot(lever[i, 1], turn[i, 1]))
        )
        if load[i] <= 0.0:
            impulse[i] = 0.0
        for k in range(2):
            for r in range(3):
                velocity[r] += frame[i, k + 1, r] * (impulse[i, k] / mass)
                angular[r] += turn[i, k, r] * impulse[i, k]
    enough = _TOLERANCE * load.sum() * step
    for _ in range(_SWEEPS):
        most = 0.0
        for i in range(count):
            if load[i] <= 0.0:
                continue
            for k in range(2):
                slip = -target[i] if k == 0 else 0.0
                for r in range(3):
                    slip += velocity[r] * frame[i, k + 1, r]
                    slip += angular[r] * lever[i, k, r]
                new[k] = impulse[i, k] - slip * inverse[i]
            _project(role[i], bound[i], new)
            for k in range(2):
                change = new[k] - impulse[i, k]
                impulse[i, k] = new[k]
                most = max(most, abs(change))
                for r in range(3):
                    velocity[r] += frame[i, k + 1, r] * (change / mass)
                    angular[r] += turn[i, k, r] * change
        if most <= enough:
            break


@numba.njit(cache=True)
def _place(pose: Array, center_in_base: Array, rotation: Array, center: Array) -> None:
    rotation_from_quaternion(pose[3:7], rotation)
    for r in range(3):
        center[r] = pose[r] + _dot(rotation[r], center_in_base)


@numba.njit(cache=True)
def press_wheels(
    mass: float,
    center_in_base: Array,
    inertia_in_base: Array,
    pose: Array,
    twist: Array,
    pull: Array,
    wheels: Array,
    role: npt.NDArray[np.int64],
    steering: float,
    target: Array,
    power: Array,
    heights: Array,
    grid: Array,
    patches: Array,
    material: int,
    friction: Array,
    step: float,
    point: Array,
    frame: Array,
    load: Array,
    impulse: Array,
    force: Array,
    torque: Array,
) -> None:
    """Compute one step of all wheels: normal forces, then friction.

    The first six arguments are the body of :class:`physai.plant.traction.Body`.

    Args:
        mass: [kg].
        center_in_base: (3,) [m].
        inertia_in_base: (3, 3) [kg m2].
        pose: (7,) of the base frame in the world.
        twist: (6,) of its origin in the world [m/s, rad/s].
        pull: (6,) force [N] and moment [N m] besides the ground's.
        wheels: (W, 5) x, y [m], radius [m], stiffness [N/m], damping [N s/m].
        role: (W,) driven, steered or caster.
        steering: Angle of the steered wheels, left positive [rad].
        target: (W,) speed of the driven wheels' rims [m/s].
        power: (2,) largest force of the drive, left and right side [N].
        heights: Of the ground, see :func:`physai.plant.ground.ground_height`.
        grid: The same.
        patches: (P, 5) see :class:`physai.plant.ground.Ground`.
        material: Kind of ground outside them.
        friction: (K, 3) longitudinal, lateral and rolling coefficients.
        step: [s].
        point: (W, 3) contact points in the world [m], filled.
        frame: (W, 3, 3) normal, forward and left of each contact, filled.
        load: (W,) normal forces [N], filled.
        impulse: (W, 2) along and across [N s]: of the last step, then of this one.
        force: (3,) of the ground on the base [N], filled.
        torque: (3,) of the same about the centre of mass [N m], filled.
    """
    count = role.shape[0]
    # One block of scratch each: making an array costs as much as the work on it.
    vectors, rows = np.empty((18, 3)), np.empty((7, count, 3))
    rotation, mobility, work = vectors[:3], vectors[3:6], vectors[11:]
    center, velocity, angular = vectors[6], vectors[7], vectors[8]
    arm, moment = vectors[9], vectors[10]
    bound, depth = rows[5], rows[6].reshape(3 * count)[:count]
    _place(pose, center_in_base, rotation, center)
    _mobility(rotation, inertia_in_base, mobility, work)
    _between(pose, center, arm)
    for r in range(3):
        angular[r] = twist[3 + r]
    _cross(angular, arm, velocity)
    for r in range(3):
        velocity[r] += twist[r]
    _touch(
        rotation,
        pose,
        wheels,
        role,
        steering,
        heights,
        grid,
        point,
        frame,
        depth,
        work,
    )
    _load(center, velocity, angular, wheels, point, frame, depth, load, work)
    force[:] = 0.0
    torque[:] = 0.0
    for i in range(count):
        _between(center, point[i], arm)
        _cross(arm, frame[i, 0], moment)
        for r in range(3):
            force[r] += load[i] * frame[i, 0, r]
            torque[r] += load[i] * moment[r]
    for r in range(3):
        arm[r] = pull[3 + r] + torque[r]
    _apply(mobility, arm, moment)
    for r in range(3):
        velocity[r] += (pull[r] + force[r]) * (step / mass)
        angular[r] += moment[r] * step
    _bounds(
        wheels,
        role,
        point,
        load,
        friction,
        patches,
        material,
        power,
        step,
        bound,
        work[0],
    )
    _solve(
        mass,
        mobility,
        center,
        velocity,
        angular,
        role,
        target,
        point,
        frame,
        load,
        bound,
        step,
        impulse,
        work,
        rows,
    )
    for i in range(count):
        _between(center, point[i], arm)
        for k in range(2):
            share = impulse[i, k] / step
            _cross(arm, frame[i, k + 1], moment)
            for r in range(3):
                force[r] += share * frame[i, k + 1, r]
                torque[r] += share * moment[r]


@numba.njit(cache=True)
def find_unbalance(
    mass: float,
    center_in_base: Array,
    pose: Array,
    gravity: Array,
    wheels: Array,
    role: npt.NDArray[np.int64],
    heights: Array,
    grid: Array,
    out: Array,
) -> None:
    """Compute what keeps a still base from rest.

    Arguments as in :func:`press_wheels`.

    Args:
        mass: [kg].
        center_in_base: (3,) [m].
        pose: (7,) of the base frame in the world.
        gravity: (3,) [m/s2].
        wheels: (W, 5).
        role: (W,).
        heights: Of the ground.
        grid: The same.
        out: (3,) vertical force [N], moments about x and y through the base's origin
            [N m], filled. Friction lies in the ground and has no part in them.
    """
    count = role.shape[0]
    rotation, center = np.empty((3, 3)), np.empty(3)
    _place(pose, center_in_base, rotation, center)
    point, frame = np.empty((count, 3)), np.empty((count, 3, 3))
    depth, moment, work = np.empty(count), np.empty(3), np.empty((7, 3))
    _touch(rotation, pose, wheels, role, 0.0, heights, grid, point, frame, depth, work)
    weight = mass * gravity
    _cross(center - pose[:3], weight, moment)
    out[0], out[1], out[2] = weight[2], moment[0], moment[1]
    for i in range(count):
        load = wheels[i, 3] * depth[i] if depth[i] > 0.0 else 0.0
        _cross(point[i] - pose[:3], frame[i, 0], moment)
        out[0] += load * frame[i, 0, 2]
        out[1] += load * moment[0]
        out[2] += load * moment[1]
