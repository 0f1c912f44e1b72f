"""What a bucket does in one physics step, compiled: place it, dig, look at the pipe."""

from __future__ import annotations

import numba
import numpy as np
import numpy.typing as npt

from physai.plant.digging_kernel import S_RESISTANCE, dig
from physai.plant.trench import look_at_pipe
from physai.robot.kinematics import chain_of, place
from physai.types import Array

__all__ = ["CLOSEST", "WORST", "act"]

Integers = npt.NDArray[np.int64]

CLOSEST, WORST = range(2)
"""What is kept from step to step: least distance of the pipe, largest resistance."""


@numba.njit(cache=True)
def act(
    position: Array,
    size: Integers,
    buffer: Array,
    tool: int,
    dt: float,
    bank: Array,
    loose: Array,
    p: Array,
    s: Array,
    f: Array,
    w: Array,
    step: Array,
    n: Array,
    box: Integers,
    forces: Array,
    capsule: Array,
    plate: Array,
    side: Array,
    seen: Array,
    near: float,
    kept: Array,
    pushes: Array,
) -> int:
    """Do one physics step.

    Args:
        position: (n,) of the actuators [rad].
        size: Of the robot's kinematics.
        buffer: The same; its base is placed, its links are placed here.
        tool: Link of the edge's frame.
        dt: Length of the step [s].
        bank: As :func:`physai.plant.digging_kernel.dig` takes it, as the next nine.
        loose: The same.
        p: The same.
        s: The same.
        f: The same.
        w: The same.
        step: The same.
        n: The same.
        box: The same.
        forces: The same.
        capsule: As :func:`physai.plant.trench.look_at_pipe` takes it, as the next
            three.
        plate: The same.
        side: The same.
        seen: The same.
        near: From this distance on the pipe is looked at [m].
        kept: (2,) see :data:`CLOSEST`; updated.
        pushes: (FORCES, 6) filled with the forces that are not 0.

    Returns:
        How many forces there are; -1 if the pose is not finite or dt not positive.
    """
    chain = chain_of(buffer, size)
    place(position, chain)
    edge, rotation = chain.link_position[tool], chain.link_rotation[tool]
    if not dig(bank, loose, p, s, f, w, edge, rotation, dt, step, n, box, forces):
        return -1
    count = 0
    for i in range(forces.shape[0]):
        if forces[i, 3] != 0.0 or forces[i, 4] != 0.0 or forces[i, 5] != 0.0:
            for k in range(6):
                pushes[count, k] = forces[i, k]
            count += 1
    if seen[0] < near:
        look_at_pipe(capsule, edge, rotation, plate, side, seen)
        kept[CLOSEST] = min(kept[CLOSEST], seen[0])
    kept[WORST] = max(kept[WORST], s[S_RESISTANCE])
    return count
