"""What a policy sees of a trench: edge, design, heap, pipe, people, scanner, joints.

The *trench frame* has its origin at the near end of the design on its bottom, x along
the trench away from the machine, y to the left, z up. Extras come in the order of
:class:`physai.plant.digging.Digging`.
"""

from __future__ import annotations

import math

import numba
import numpy as np
import numpy.typing as npt

from physai.plant.digging import Digging
from physai.robot.description import Robot
from physai.tasks.observation import Entry, bound, joint_entries, spaces_from
from physai.tasks.task import Spaces
from physai.types import Array, State

__all__ = ["SCAN", "SEEN", "length_of", "observe", "spaces_of", "way_to_go"]

_EXTRAS = Digging.EXTRAS
LOAD, NEAR, FAR, BOTTOM, HEAP, PIPE = (
    _EXTRAS.index("load_kg"),
    _EXTRAS.index("trench_near_x_in_world_m"),
    _EXTRAS.index("trench_far_x_in_world_m"),
    _EXTRAS.index("trench_bottom_z_in_world_m"),
    _EXTRAS.index("heap_x_in_world_m"),
    _EXTRAS.index("pipe_from_x_in_world_m"),
)
PIPE_DISTANCE = _EXTRAS.index("pipe_distance_m")
SCAN = _EXTRAS.index("ground_0_above_design_m")
SCANNED = len(_EXTRAS) - SCAN

SEEN = 16
"""Entries of an observation before what the scanner tells."""


@numba.njit(cache=True)
def _wrap(angle: float) -> float:
    return float((angle + math.pi) % (2.0 * math.pi) - math.pi)


@numba.njit(cache=True)
def observe(
    pose: Array,
    base: Array,
    extras: Array,
    scan_age: float,
    position: Array,
    velocity: Array,
    effort: Array,
    effort_max: Array,
    people: Array,
    people_age: float,
    time_share: float,
    low: npt.NDArray[np.float32],
    high: npt.NDArray[np.float32],
    out: npt.NDArray[np.float32],
) -> None:
    """Fill the observation, cut into its bounds; what is not finite becomes 0.

    Args:
        pose: (7,) edge of the bucket in the world.
        base: (7,) of the machine.
        extras: (E,).
        scan_age: [s].
        position: (4,) joints [rad].
        velocity: (4,) [rad/s].
        effort: (4,) [N m].
        effort_max: (4,).
        people: (P, S, 7) capsules.
        people_age: Age of the oldest track [s].
        time_share: Time since reset over the time of an episode.
        low: (o,) bounds.
        high: (o,).
        out: (o,).
    """
    nx, ny = extras[NEAR], extras[NEAR + 1]
    dx, dy = extras[FAR] - nx, extras[FAR + 1] - ny
    length = max(math.hypot(dx, dy), 1e-6)
    ux, uy = dx / length, dy / length
    ex, ey = pose[0] - nx, pose[1] - ny
    out[0] = ex * ux + ey * uy
    out[1] = ey * ux - ex * uy
    out[2] = pose[2] - extras[BOTTOM]
    out[3] = length
    out[4] = extras[BOTTOM] - base[2]
    # The plate points along the edge frame's x, toward the machine where it digs.
    qx, qy, qz, qw = pose[3], pose[4], pose[5], pose[6]
    down = -2.0 * (qx * qz - qy * qw)
    flat = 1.0 - 2.0 * (qy * qy + qz * qz)
    side = 2.0 * (qx * qy + qz * qw)
    rx, ry = pose[0] - base[0], pose[1] - base[1]
    reach = math.hypot(rx, ry)
    swing = position[0]
    forward = flat * math.cos(swing) + side * math.sin(swing)
    out[5] = math.atan2(down, -forward)
    out[6] = reach
    out[7] = _wrap(math.atan2(uy, ux) - swing)
    hx, hy = extras[HEAP] - base[0], extras[HEAP + 1] - base[1]
    out[8] = _wrap(math.atan2(hy, hx) - math.atan2(ry, rx))
    out[9] = math.hypot(hx, hy) - reach
    out[10] = extras[LOAD]
    px = 0.5 * (extras[PIPE] + extras[PIPE + 3]) - pose[0]
    py = 0.5 * (extras[PIPE + 1] + extras[PIPE + 4]) - pose[1]
    out[11] = px * ux + py * uy
    pz = 0.5 * (extras[PIPE + 2] + extras[PIPE + 5]) + extras[PIPE + 6]
    out[12] = extras[BOTTOM] - pz
    out[13] = extras[PIPE_DISTANCE]
    nearest = 1e3
    for p in range(people.shape[0]):
        for s in range(people.shape[1]):
            d = math.hypot(people[p, s, 0] - base[0], people[p, s, 1] - base[1])
            nearest = min(nearest, d)
    out[14], out[15] = nearest, people_age
    for k in range(SCANNED):
        out[SEEN + k] = extras[SCAN + k]
    i = SEEN + SCANNED
    out[i], out[i + 1] = scan_age, time_share
    for k in range(4):
        out[i + 2 + k] = position[k]
        out[i + 6 + k] = velocity[k]
        out[i + 10 + k] = effort[k] / effort_max[k]
    bound(low, high, out)


def length_of(state: State) -> float:
    """Return the length of the trench by plan [m]."""
    x = state.extras
    return math.hypot(x[FAR] - x[NEAR], x[FAR + 1] - x[NEAR + 1])


def way_to_go(state: State, full: float) -> float:
    """Return how far the edge is from where it is wanted, in plan [m].

    Args:
        state: Exact.
        full: Share of a full load: empty it is wanted at the trench, full at the heap.
    """
    x, edge = state.extras, state.tool_pose_in_world
    middle = 0.5 * (x[NEAR : NEAR + 2] + x[FAR : FAR + 2])
    to_trench = math.hypot(*(edge[:2] - middle).tolist())
    to_heap = math.hypot(*(edge[:2] - x[HEAP : HEAP + 2]).tolist())
    return full * to_heap + (1.0 - full) * to_trench


_TRACKED = ("nearest_person", "people_age")
"""What a camera shows of people; the scan of the soil is a sensor of the machine."""


def spaces_of(robot: Robot, scale: Array) -> Spaces:
    """Return names and bounds in the order that :func:`observe` fills.

    Args:
        robot: Gives joints and their limits.
        scale: (4,) what an action of 1.0 stands for.
    """
    entries: list[Entry] = [
        ("edge_x_in_trench_m", -12.0, 12.0),
        ("edge_y_in_trench_m", -12.0, 12.0),
        ("edge_z_in_trench_m", -4.0, 10.0),
        ("trench_length_m", 0.0, 10.0),
        ("trench_bottom_z_in_base_m", -4.0, 1.0),
        ("plate_dip_rad", -np.pi, np.pi),
        ("edge_reach_m", 0.0, 10.0),
        ("swing_to_trench_rad", -np.pi, np.pi),
        ("bearing_to_heap_rad", -np.pi, np.pi),
        ("heap_beyond_edge_m", -10.0, 10.0),
        ("load_kg", 0.0, 1500.0),
        ("pipe_ahead_of_edge_m", -12.0, 12.0),
        ("pipe_top_below_trench_m", -2.0, 4.0),
        ("pipe_distance_m", -1.0, 12.0),
        ("nearest_person_from_swing_axis_m", 0.0, 30.0),
        ("people_age_s", 0.0, 2.0),
        *((name, -3.0, 3.0) for name in _EXTRAS[SCAN : SCAN + SCANNED - 3]),
        *((name, -10.0, 5.0) for name in _EXTRAS[-3:]),
        ("scan_age_s", 0.0, 2.0),
        ("time_share_of_episode", 0.0, 1.0),
        *joint_entries(robot),
        *((f"{name}_effort_share", -1.0, 1.0) for name in robot.joint_names),
    ]
    reach, lift, curl, swing = scale.tolist()
    return spaces_from(
        entries,
        (
            f"edge_reach_velocity_{reach:g}_m_s",
            f"edge_lift_velocity_{lift:g}_m_s",
            f"bucket_curl_velocity_{curl:g}_rad_s",
            f"swing_velocity_{swing:g}_rad_s",
        ),
        _TRACKED,
    )
