"""The kinematic chain of a robot in one posture, in compiled passes.

Forward kinematics, velocities, Jacobians and joint-space inertia for any tree of
joints, also on a base that drives; everything in the world frame.
"""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np
import numpy.typing as npt

from physai.types import Array

__all__ = [
    "Chain",
    "chain_length",
    "chain_of",
    "fill_along",
    "fill_jacobian",
    "fill_linear",
    "mass_matrix",
    "move",
    "move_buffer",
    "place",
    "place_buffer",
    "point_jacobian",
    "point_jacobian_of",
    "quaternion_from_rotation",
    "rotation_from_quaternion",
]

Integers = npt.NDArray[np.int64]


class Chain(NamedTuple):
    """A robot in one posture: what it is, and where its links and shapes are.

    Attributes:
        parent: (L,) as in :class:`physai.robot.description.Tree`, with actuator,
            prismatic (0 or 1), rotation, translation and axis.
        shape_link: (R,) link of each collision capsule.
        shape_local: (R, 7) capsules in link frames [m].
        link_rotation: (L, 3, 3) rotation of every link in the world.
        link_position: (L, 3) origin of every link in the world [m].
        link_axis: (L, 3) joint axis of every link in the world; for a base that drives
            row 0 is its x, and a row L more its z.
        link_velocity: (L, 3) velocity of every link's origin [m/s].
        link_angular: (L, 3) angular velocity of every link [rad/s].
        capsules: (R, 7) collision capsules in the world [m].
        capsule_velocity: (R, 6) velocities of their end points [m/s].
        jacobian: (6, n) work space.
    """

    parent: Integers
    actuator: Integers
    prismatic: Integers
    shape_link: Integers
    rotation: Array
    translation: Array
    axis: Array
    shape_local: Array
    link_rotation: Array
    link_position: Array
    link_axis: Array
    link_velocity: Array
    link_angular: Array
    capsules: Array
    capsule_velocity: Array
    jacobian: Array


@numba.njit(cache=True)
def chain_of(buffer: Array, size: Integers) -> Chain:
    """Return a buffer's views.

    Compiled code takes one buffer instead of sixteen arrays, since handing over an
    array costs as much as the arithmetic on it.

    Args:
        buffer: (chain_length(size),) numbers; integers are stored bit by bit.
        size: (4,) links L, shapes R, actuators n, rows of link_axis.
    """
    links, shapes, n, axes = size[0], size[1], size[2], size[3]
    i = 0
    parent = buffer[i : i + links].view(np.int64)
    i += links
    actuator = buffer[i : i + links].view(np.int64)
    i += links
    prismatic = buffer[i : i + links].view(np.int64)
    i += links
    shape_link = buffer[i : i + shapes].view(np.int64)
    i += shapes
    rotation = buffer[i : i + 9 * links].reshape((links, 3, 3))
    i += 9 * links
    translation = buffer[i : i + 3 * links].reshape((links, 3))
    i += 3 * links
    axis = buffer[i : i + 3 * links].reshape((links, 3))
    i += 3 * links
    shape_local = buffer[i : i + 7 * shapes].reshape((shapes, 7))
    i += 7 * shapes
    link_rotation = buffer[i : i + 9 * links].reshape((links, 3, 3))
    i += 9 * links
    link_position = buffer[i : i + 3 * links].reshape((links, 3))
    i += 3 * links
    link_axis = buffer[i : i + 3 * axes].reshape((axes, 3))
    i += 3 * axes
    link_velocity = buffer[i : i + 3 * links].reshape((links, 3))
    i += 3 * links
    link_angular = buffer[i : i + 3 * links].reshape((links, 3))
    i += 3 * links
    capsules = buffer[i : i + 7 * shapes].reshape((shapes, 7))
    i += 7 * shapes
    capsule_velocity = buffer[i : i + 6 * shapes].reshape((shapes, 6))
    i += 6 * shapes
    jacobian = buffer[i : i + 6 * n].reshape((6, n))
    return Chain(
        parent,
        actuator,
        prismatic,
        shape_link,
        rotation,
        translation,
        axis,
        shape_local,
        link_rotation,
        link_position,
        link_axis,
        link_velocity,
        link_angular,
        capsules,
        capsule_velocity,
        jacobian,
    )


def chain_length(size: Integers) -> int:
    """Return the length of a buffer for :func:`chain_of`."""
    links, shapes, n, axes = size.tolist()
    return int(36 * links + 21 * shapes + 6 * n + 3 * axes)


@numba.njit(cache=True)
def quaternion_from_rotation(rotation: Array, out: Array) -> None:
    """Write the unit quaternion x y z w (w >= 0) of a 3x3 rotation into ``out``."""
    m = rotation
    trace = m[0, 0] + m[1, 1] + m[2, 2]
    if trace > 0.0:
        s = 2.0 * np.sqrt(trace + 1.0)
        x, y = (m[2, 1] - m[1, 2]) / s, (m[0, 2] - m[2, 0]) / s
        z, w = (m[1, 0] - m[0, 1]) / s, 0.25 * s
    elif m[0, 0] > m[1, 1] and m[0, 0] > m[2, 2]:
        s = 2.0 * np.sqrt(1.0 + m[0, 0] - m[1, 1] - m[2, 2])
        x, y = 0.25 * s, (m[0, 1] + m[1, 0]) / s
        z, w = (m[0, 2] + m[2, 0]) / s, (m[2, 1] - m[1, 2]) / s
    elif m[1, 1] > m[2, 2]:
        s = 2.0 * np.sqrt(1.0 + m[1, 1] - m[0, 0] - m[2, 2])
        x, y = (m[0, 1] + m[1, 0]) / s, 0.25 * s
        z, w = (m[1, 2] + m[2, 1]) / s, (m[0, 2] - m[2, 0]) / s
    else:
        s = 2.0 * np.sqrt(1.0 + m[2, 2] - m[0, 0] - m[1, 1])
        x, y = (m[0, 2] + m[2, 0]) / s, (m[1, 2] + m[2, 1]) / s
        z, w = 0.25 * s, (m[1, 0] - m[0, 1]) / s
    sign = -1.0 if w < 0.0 else 1.0
    out[0], out[1], out[2], out[3] = sign * x, sign * y, sign * z, sign * w


@numba.njit(cache=True)
def rotation_from_quaternion(quaternion: Array, out: Array) -> None:
    """Write the 3x3 rotation of a unit quaternion x y z w into ``out``."""
    x, y, z, w = quaternion[0], quaternion[1], quaternion[2], quaternion[3]
    out[0, 0], out[0, 1], out[0, 2] = (
        1 - 2 * (y * y + z * z),
        2 * (x * y - z * w),
        2 * (x * z + y * w),
    )
    out[1, 0], out[1, 1], out[1, 2] = (
        2 * (x * y + z * w),
        1 - 2 * (x * x + z * z),
        2 * (y * z - x * w),
    )
    out[2, 0], out[2, 1], out[2, 2] = (
        2 * (x * z - y * w),
        2 * (y * z + x * w),
        1 - 2 * (x * x + y * y),
    )


@numba.njit(cache=True)
def _forward(
    q: Array,
    parent: Integers,
    actuator: Integers,
    prismatic: Integers,
    rotation: Array,
    translation: Array,
    axis: Array,
    out_rotation: Array,
    out_position: Array,
    out_axis: Array,
) -> None:
    """Pose of every link; index 0 must hold the base pose already."""
    local = np.empty((3, 3))
    for i in range(1, parent.shape[0]):
        p, a = parent[i], actuator[i]
        for r in range(3):
            out_position[i, r] = out_position[p, r] + (
                out_rotation[p, r, 0] * translation[i, 0]
                + out_rotation[p, r, 1] * translation[i, 1]
                + out_rotation[p, r, 2] * translation[i, 2]
            )
        if a >= 0 and not prismatic[i]:
            x, y, z = axis[i, 0], axis[i, 1], axis[i, 2]
            c, s = np.cos(q[a]), np.sin(q[a])
            k = 1.0 - c
            j00, j01, j02 = c + x * x * k, x * y * k - z * s, x * z * k + y * s
            j10, j11, j12 = y * x * k + z * s, c + y * y * k, y * z * k - x * s
            j20, j21, j22 = z * x * k - y * s, z * y * k + x * s, c + z * z * k
            for r in range(3):
                u, v, w = rotation[i, r, 0], rotation[i, r, 1], rotation[i, r, 2]
                local[r, 0] = u * j00 + v * j10 + w * j20
                local[r, 1] = u * j01 + v * j11 + w * j21
                local[r, 2] = u * j02 + v * j12 + w * j22
        else:
            for r in range(3):
                for c3 in range(3):
                    local[r, c3] = rotation[i, r, c3]
        for r in range(3):
            for c3 in range(3):
                out_rotation[i, r, c3] = (
                    out_rotation[p, r, 0] * local[0, c3]
                    + out_rotation[p, r, 1] * local[1, c3]
                    + out_rotation[p, r, 2] * local[2, c3]
                )
        for r in range(3):
            out_axis[i, r] = (
                out_rotation[i, r, 0] * axis[i, 0]
                + out_rotation[i, r, 1] * axis[i, 1]
                + out_rotation[i, r, 2] * axis[i, 2]
            )
        if a >= 0 and prismatic[i]:
            for r in range(3):
                out_position[i, r] += out_axis[i, r] * q[a]


@numba.njit(cache=True)
def point_jacobian(
    link: int,
    x: float,
    y: float,
    z: float,
    parent: Integers,
    actuator: Integers,
    prismatic: Integers,
    position: Array,
    axis: Array,
    out: Array,
) -> None:
    """Geometric Jacobian (6, n) of a world point that moves with a link.

    A base that drives has its x in the first row of ``axis`` and its z in one row more
    than there are links; its columns are x, and z with z x (point - origin).
    """
    _linear_columns(link, x, y, z, parent, actuator, prismatic, position, axis, out)
    out[3:] = 0.0
    i = link
    while i > 0:
        a = actuator[i]
        if a >= 0 and not prismatic[i]:
            out[3, a], out[4, a], out[5, a] = axis[i, 0], axis[i, 1], axis[i, 2]
        i = parent[i]
    b, k = actuator[0], parent.shape[0]
    if b >= 0:
        out[3, b + 1], out[4, b + 1] = axis[k, 0], axis[k, 1]
        out[5, b + 1] = axis[k, 2]


@numba.njit(cache=True)
def _turn(
    k: int, i: int, x: float, y: float, z: float, position: Array, axis: Array
) -> tuple[float, float, float]:
    """Return the velocity of a point that turns about axis k through origin i."""
    u, v, w = axis[k, 0], axis[k, 1], axis[k, 2]
    dx, dy, dz = x - position[i, 0], y - position[i, 1], z - position[i, 2]
    return v * dz - w * dy, w * dx - u * dz, u * dy - v * dx


@numba.njit(cache=True)
def _linear_columns(
    link: int,
    x: float,
    y: float,
    z: float,
    parent: Integers,
    actuator: Integers,
    prismatic: Integers,
    position: Array,
    axis: Array,
    out: Array,
) -> None:
    """Write the first three rows of a Jacobian; see :func:`point_jacobian`."""
    out[:3] = 0.0
    i = link
    while i > 0:
        a = actuator[i]
        if a >= 0:
            if prismatic[i]:
                out[0, a], out[1, a], out[2, a] = axis[i, 0], axis[i, 1], axis[i, 2]
            else:
                p, q, r = _turn(i, i, x, y, z, position, axis)
                out[0, a], out[1, a], out[2, a] = p, q, r
        i = parent[i]
    b = actuator[0]
    if b >= 0:
        out[0, b], out[1, b], out[2, b] = axis[0, 0], axis[0, 1], axis[0, 2]
        p, q, r = _turn(parent.shape[0], 0, x, y, z, position, axis)
        out[0, b + 1], out[1, b + 1], out[2, b + 1] = p, q, r


@numba.njit(cache=True)
def _place_capsules(
    local: Array,
    link: Integers,
    rotation: Array,
    position: Array,
    out: Array,
) -> None:
    for s in range(local.shape[0]):
        i = link[s]
        for e in range(2):
            for r in range(3):
                out[s, 3 * e + r] = position[i, r] + (
                    rotation[i, r, 0] * local[s, 3 * e]
                    + rotation[i, r, 1] * local[s, 3 * e + 1]
                    + rotation[i, r, 2] * local[s, 3 * e + 2]
                )
        out[s, 6] = local[s, 6]


@numba.njit(cache=True)
def _link_twists(
    qd: Array,
    parent: Integers,
    actuator: Integers,
    prismatic: Integers,
    position: Array,
    axis: Array,
    out_linear: Array,
    out_angular: Array,
) -> None:
    """Velocity of every link frame's origin, and its angular velocity.

    Row 0 of both is the base's own: that of its two actuators, or 0 as it is.
    """
    b, k = actuator[0], parent.shape[0]
    if b >= 0:
        for r in range(3):
            out_linear[0, r] = axis[0, r] * qd[b]
            out_angular[0, r] = axis[k, r] * qd[b + 1]
    for i in range(1, parent.shape[0]):
        p, a = parent[i], actuator[i]
        dx = position[i, 0] - position[p, 0]
        dy = position[i, 1] - position[p, 1]
        dz = position[i, 2] - position[p, 2]
        wx, wy, wz = out_angular[p, 0], out_angular[p, 1], out_angular[p, 2]
        out_linear[i, 0] = out_linear[p, 0] + wy * dz - wz * dy
        out_linear[i, 1] = out_linear[p, 1] + wz * dx - wx * dz
        out_linear[i, 2] = out_linear[p, 2] + wx * dy - wy * dx
        out_angular[i, 0], out_angular[i, 1], out_angular[i, 2] = wx, wy, wz
        if a >= 0:
            target = out_linear if prismatic[i] else out_angular
            for r in range(3):
                target[i, r] += axis[i, r] * qd[a]


@numba.njit(cache=True)
def _capsule_velocity(
    capsules: Array,
    link: Integers,
    position: Array,
    linear: Array,
    angular: Array,
    out: Array,
) -> None:
    for s in range(capsules.shape[0]):
        i = link[s]
        for e in range(2):
            dx = capsules[s, 3 * e] - position[i, 0]
            dy = capsules[s, 3 * e + 1] - position[i, 1]
            dz = capsules[s, 3 * e + 2] - position[i, 2]
            out[s, 3 * e] = linear[i, 0] + angular[i, 1] * dz - angular[i, 2] * dy
            out[s, 3 * e + 1] = linear[i, 1] + angular[i, 2] * dx - angular[i, 0] * dz
            out[s, 3 * e + 2] = linear[i, 2] + angular[i, 0] * dy - angular[i, 1] * dx


@numba.njit(cache=True)
def place(q: Array, c: Chain) -> None:
    """Compute links and capsules of a chain for (n,) joint positions [rad or m]."""
    _forward(
        q,
        c.parent,
        c.actuator,
        c.prismatic,
        c.rotation,
        c.translation,
        c.axis,
        c.link_rotation,
        c.link_position,
        c.link_axis,
    )
    _place_capsules(
        c.shape_local, c.shape_link, c.link_rotation, c.link_position, c.capsules
    )


@numba.njit(cache=True)
def move(qd: Array, c: Chain) -> None:
    """Compute the velocities of a placed chain for (n,) actuator velocities."""
    _link_twists(
        qd,
        c.parent,
        c.actuator,
        c.prismatic,
        c.link_position,
        c.link_axis,
        c.link_velocity,
        c.link_angular,
    )
    _capsule_velocity(
        c.capsules,
        c.shape_link,
        c.link_position,
        c.link_velocity,
        c.link_angular,
        c.capsule_velocity,
    )


@numba.njit(cache=True)
def fill_jacobian(link: int, x: float, y: float, z: float, c: Chain) -> None:
    """Write the Jacobian of a world point that moves with a link of a placed chain."""
    point_jacobian(
        link,
        x,
        y,
        z,
        c.parent,
        c.actuator,
        c.prismatic,
        c.link_position,
        c.link_axis,
        c.jacobian,
    )


@numba.njit(cache=True)
def fill_linear(link: int, x: float, y: float, z: float, c: Chain, out: Array) -> None:
    """Write the linear Jacobian of a world point that moves with a link.

    Args:
        link: The link.
        x: Of the point [m], with ``y`` and ``z``.
        y: The same.
        z: The same.
        c: The chain, placed.
        out: (3, n) filled.
    """
    _linear_columns(
        link,
        x,
        y,
        z,
        c.parent,
        c.actuator,
        c.prismatic,
        c.link_position,
        c.link_axis,
        out,
    )


@numba.njit(cache=True)
def fill_along(
    link: int,
    x: float,
    y: float,
    z: float,
    u: float,
    v: float,
    w: float,
    c: Chain,
    out: Array,
) -> None:
    """Write how fast each actuator moves a world point along a direction.

    That is d^T J without J itself.

    Args:
        link: The link that the point moves with.
        x: Of the point [m], with ``y`` and ``z``.
        y: The same.
        z: The same.
        u: Of the direction d in the world, with ``v`` and ``w``.
        v: The same.
        w: The same.
        c: The chain, placed.
        out: (n,) filled.
    """
    position, axis = c.link_position, c.link_axis
    out[:] = 0.0
    i = link
    while i > 0:
        a = c.actuator[i]
        if a >= 0:
            if c.prismatic[i]:
                out[a] = u * axis[i, 0] + v * axis[i, 1] + w * axis[i, 2]
            else:
                p, q, r = _turn(i, i, x, y, z, position, axis)
                out[a] = u * p + v * q + w * r
        i = c.parent[i]
    b = c.actuator[0]
    if b >= 0:
        out[b] = u * axis[0, 0] + v * axis[0, 1] + w * axis[0, 2]
        p, q, r = _turn(c.parent.shape[0], 0, x, y, z, position, axis)
        out[b + 1] = u * p + v * q + w * r


@numba.njit(cache=True)
def place_buffer(q: Array, buffer: Array, size: Integers) -> None:
    """Call :func:`place` on a buffer."""
    place(q, chain_of(buffer, size))


@numba.njit(cache=True)
def move_buffer(qd: Array, buffer: Array, size: Integers) -> None:
    """Call :func:`move` on a buffer."""
    move(qd, chain_of(buffer, size))


@numba.njit(cache=True)
def point_jacobian_of(
    link: int, point: Array, buffer: Array, size: Integers, out: Array
) -> None:
    """Write the (6, n) Jacobian of a (3,) world point into ``out``."""
    c = chain_of(buffer, size)
    fill_jacobian(link, point[0], point[1], point[2], c)
    for i in range(6):
        for j in range(out.shape[1]):
            out[i, j] = c.jacobian[i, j]


@numba.njit(cache=True)
def mass_matrix(
    parent: Integers,
    actuator: Integers,
    prismatic: Integers,
    rotation: Array,
    position: Array,
    axis: Array,
    mass: Array,
    com: Array,
    inertia: Array,
    jacobian: Array,
    out: Array,
) -> None:
    """Joint-space inertia: sum over links of m Jv^T Jv + Jw^T I Jw.

    A base that drives counts with its own mass; its wheels do not slip sideways.
    """
    n = out.shape[0]
    out[:] = 0.0
    world = np.empty((3, 3))
    first = 0 if actuator[0] >= 0 else 1
    for i in range(first, parent.shape[0]):
        if mass[i] <= 0.0:
            continue
        c = rotation[i] @ com[i]
        point_jacobian(
            i,
            position[i, 0] + c[0],
            position[i, 1] + c[1],
            position[i, 2] + c[2],
            parent,
            actuator,
            prismatic,
            position,
            axis,
            jacobian,
        )
        world[:] = rotation[i] @ inertia[i] @ rotation[i].T
        for a in range(n):
            wx = (
                world[0, 0] * jacobian[3, a]
                + world[0, 1] * jacobian[4, a]
                + world[0, 2] * jacobian[5, a]
            )
            wy = (
                world[1, 0] * jacobian[3, a]
                + world[1, 1] * jacobian[4, a]
                + world[1, 2] * jacobian[5, a]
            )
            wz = (
                world[2, 0] * jacobian[3, a]
                + world[2, 1] * jacobian[4, a]
                + world[2, 2] * jacobian[5, a]
            )
            for b in range(n):
                out[a, b] += (
                    mass[i]
                    * (
                        jacobian[0, a] * jacobian[0, b]
                        + jacobian[1, a] * jacobian[1, b]
                        + jacobian[2, a] * jacobian[2, b]
                    )
                    + wx * jacobian[3, b]
                    + wy * jacobian[4, b]
                    + wz * jacobian[5, b]
                )
