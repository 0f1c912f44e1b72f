"""From a tool twist to joint velocities: damped least squares with a posture."""

from __future__ import annotations

import numba
import numpy as np
import numpy.typing as npt

from physai.robot.kinematics import chain_of, fill_jacobian, place
from physai.types import Array

__all__ = ["joints_for_tool", "joints_from_twist"]


@numba.njit(cache=True)
def joints_for_tool(
    position: Array,
    twist: Array,
    tool_link: int,
    buffer: Array,
    size: npt.NDArray[np.int64],
    posture: Array,
    gain: float,
    damping: float,
    velocity_max: Array,
    out: Array,
) -> None:
    """Place the robot and write the joint velocities of a TCP twist.

    Args:
        position: (n,) joint positions [rad].
        twist: (6,) of the TCP, world frame.
        tool_link: Index of the TCP frame.
        buffer: Of a :class:`physai.robot.kinematics.Kinematics`; placed.
        size: The same.
        posture: As in :func:`joints_from_twist`, with what follows.
        gain: [1/s].
        damping: Share of the identity.
        velocity_max: (n,) [rad/s].
        out: (n,) result [rad/s].
    """
    c = chain_of(buffer, size)
    place(position, c)
    tool = c.link_position[tool_link]
    fill_jacobian(tool_link, tool[0], tool[1], tool[2], c)
    joints_from_twist(
        c.jacobian, twist, position, posture, gain, damping, velocity_max, out
    )


@numba.njit(cache=True)
def joints_from_twist(
    jacobian: Array,
    twist: Array,
    position: Array,
    posture: Array,
    gain: float,
    damping: float,
    velocity_max: Array,
    out: Array,
) -> None:
    """Write the joint velocities of a tool twist.

    With A = J J^T + damping^2 I and a motion z = gain (posture - q) toward the
    preferred posture,

        qd = z + J^T A^-1 (v - J z)

    which is damped least squares (Nakamura and Hanafusa 1986) plus z projected into
    the null space. The whole vector is scaled down where a joint would exceed its
    limit, so that the direction stays.

    Args:
        jacobian: (6, n) world frame, linear above angular.
        twist: (6,) wanted [m/s] and [rad/s], world frame.
        position: (n,) q.
        posture: (n,) preferred q.
        gain: Pull toward it [1/s].
        damping: Share of the identity, bounds joint speed near singular postures.
        velocity_max: (n,) limits [rad/s].
        out: (n,) result [rad/s].
    """
    n = jacobian.shape[1]
    a = np.empty((6, 6))
    y = np.empty(6)
    for i in range(6):
        rest = twist[i]
        for k in range(n):
            rest -= jacobian[i, k] * gain * (posture[k] - position[k])
        y[i] = rest
        for j in range(i + 1):
            total = damping * damping if i == j else 0.0
            for k in range(n):
                total += jacobian[i, k] * jacobian[j, k]
            a[i, j] = total
    # Cholesky in place, then two triangular solves: A is small and well conditioned
    # by the damping, and nothing is allocated by a library call.
    for i in range(6):
        for j in range(i + 1):
            total = a[i, j]
            for k in range(j):
                total -= a[i, k] * a[j, k]
            a[i, j] = np.sqrt(total) if i == j else total / a[j, j]
    for i in range(6):
        for k in range(i):
            y[i] -= a[i, k] * y[k]
        y[i] /= a[i, i]
    for i in range(5, -1, -1):
        for k in range(i + 1, 6):
            y[i] -= a[k, i] * y[k]
        y[i] /= a[i, i]
    largest = 1.0
    for k in range(n):
        total = gain * (posture[k] - position[k])
        for i in range(6):
            total += jacobian[i, k] * y[i]
        out[k] = total
        largest = max(largest, abs(total) / velocity_max[k])
    for k in range(n):
        out[k] /= largest
