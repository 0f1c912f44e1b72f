"""The arithmetic of separation in numba: permitted speeds, pair rows, measurements.

One call per control step goes over all pairs of robot shape and person segment. It
fills preallocated arrays; nothing here decides anything.
"""

from __future__ import annotations

import enum

import numba
import numpy as np
import numpy.typing as npt

from physai.body.capsules import closest_points
from physai.robot.kinematics import Chain, fill_along
from physai.types import Array

__all__ = [
    "Parameter",
    "approach_rows",
    "measure_pairs",
    "permitted_speed",
    "time_to_rest",
]

HEAD_SEGMENTS = 3
"""Segments 0, 1, 2 are head, face and neck."""


class Parameter(enum.IntEnum):
    """Places in the parameter vector of the kernels (SI units)."""

    REACTION_TIME = 0
    BRAKING_TIME = 1
    DECELERATION = 2
    HUMAN_SPEED = 3
    HUMAN_SPEED_NEAR = 4
    NEAR_DISTANCE = 5
    OFFSET = 6
    """C + Zd + Zr [m]."""
    FLOOR = 7
    NEAR_SPEED = 8
    HEAD_FLOOR = 9
    """Permitted approach to head and neck while the gate is closed [m/s]."""
    CARRIER_DISTANCE = 10
    HORIZON = 11
    """Effective distance beyond which no pair can bind [m]."""
    FASTEST = 12
    """No shape is faster than this, so that no larger permission binds [m/s]."""
    COUNT = 13


@numba.njit(cache=True)
def permitted_speed(distance: float, human_speed: float, p: Array) -> float:
    """Permitted speed toward a person who walks on [m/s].

    Protective separation distance of ISO/TS 15066 5.5.4 and ISO 10218-2,
    Sp = vh (Tr + Ts) + v Tr + Ss + C + Zd + Zr, solved for v. With constant
    deceleration a, Ts = v/a and Ss = v^2 / 2a:

        v = -(a Tr + vh) + sqrt((a Tr + vh)^2 + 2 a (d - Z - vh Tr))

    A robot whose joints brake together needs Ts <= Tj even at low speed, so that the
    result is also bounded by the same condition with Ts = Tj and Ss = v Tj / 2:

        v = (d - Z - vh (Tr + Tj)) / (Tr + Tj / 2)

    Args:
        distance: Effective distance d of the surfaces [m].
        human_speed: vh [m/s].
        p: Parameter vector (:class:`Parameter`).

    Returns:
        The speed, never negative.
    """
    tr, tj, a = p[0], p[1], p[2]
    free = distance - p[6] - human_speed * tr
    if not free > 0.0:
        return 0.0
    b = a * tr + human_speed
    closed = -b + np.sqrt(b * b + 2.0 * a * free)
    together = (free - human_speed * tj) / (tr + 0.5 * tj)
    return float(max(0.0, min(closed, together)))


@numba.njit(cache=True)
def time_to_rest(velocity: Array, acceleration_max: Array) -> float:
    """Return in which time actuators that brake together all rest [s].

    Args:
        velocity: (n,) [rad/s or m/s].
        acceleration_max: (n,) [rad/s2 or m/s2].
    """
    longest = 0.0
    for i in range(velocity.shape[0]):
        longest = max(longest, abs(velocity[i]) / acceleration_max[i])
    return longest


@numba.njit(cache=True)
def _bound_capsule(capsule: Array, out: Array) -> None:
    """Write the (4,) sphere around a capsule: middle and radius [m]."""
    length = 0.0
    for i in range(3):
        out[i] = 0.5 * (capsule[i] + capsule[3 + i])
        length += (capsule[3 + i] - capsule[i]) ** 2
    out[3] = 0.5 * np.sqrt(length) + capsule[6]


@numba.njit(cache=True)
def _allowed_approach(
    segment: int,
    utensil: bool,
    distance: float,
    free: float,
    p: Array,
    gate_utensil: float,
    gate_carrier: float,
    gate_exempt: bool,
) -> float:
    """Permitted approach of a shape to a body segment [m/s]."""
    if segment >= HEAD_SEGMENTS:
        return float(max(free, p[7]))
    if utensil:
        return max(free, gate_utensil)
    if distance > p[10] or gate_exempt:
        # At an open mouth the axis row bounds the whole rigid tool, hand included;
        # the coarse body track would only deflect it.
        return max(free, gate_carrier)
    return float(max(free, min(p[9], gate_carrier)))


@numba.njit(cache=True)
def measure_pairs(
    capsules: Array,
    velocity: Array,
    utensil: npt.NDArray[np.int64],
    people: Array,
    people_age: Array,
    p: Array,
    gate_utensil: float,
    gate_carrier: float,
    gate_exempt: bool,
    contact_speed: Array,
    spheres: Array,
    near: Array,
    pair: npt.NDArray[np.int64],
    shape_cap: Array,
    shape_segment: npt.NDArray[np.int64],
    out: Array,
) -> int:
    """Measure every pair of robot shape and person segment that could bind.

    Head, face and neck use the gate's speeds instead of the floor. Pairs beyond the
    horizon are left out, most of them by the spheres around their capsules. So are
    those that are farther apart than a pair of the same shape and person whose cap they
    would obey and whose excess they cannot reach: nothing that is filled changes.

    Args:
        capsules: (R, 7) of the robot, world [m].
        velocity: (R, 6) of their end points [m/s].
        utensil: (R,) whether the shape belongs to the utensil.
        people: (P, S, 7) world [m].
        people_age: (P,) [s].
        p: Parameter vector.
        gate_utensil: Permitted approach of the utensil to the head [m/s].
        gate_carrier: Permitted approach of every other shape to the head beyond the
            carrier distance [m/s].
        gate_exempt: The utensil is at an open mouth: its pairs with the head are
            replaced by the gate's own row.
        contact_speed: (S,) power-and-force-limiting speeds [m/s].
        spheres: (S + 1, 4) scratch.
        near: (K, 7) out: point on the shape's axis [m], unit normal from person to
            robot, permitted approach [m/s].
        pair: (K, 3) out: shape, person, segment.
        shape_cap: (R,) out, permitted speed of each shape in any direction [m/s];
            infinite where no person is near.
        shape_segment: (R,) out, the segment that it comes from, -1 for none.
        out: (4,) out: worst excess of the approach over the permitted one away from
            the head and toward it [m/s], worst share of the contact speed of pairs
            closer than 50 mm, distance of the utensil from head or face [m].

    Returns:
        Number of pairs that are filled; not 0 if anybody is within the horizon.
    """
    count, segments = 0, people.shape[1]
    # Only then does a larger distance never permit less.
    ordered = p[4] >= p[3]
    out[0], out[1], out[2], out[3] = -np.inf, -np.inf, 0.0, np.inf
    on_robot, on_person, normal = np.empty(3), np.empty(3), np.empty(3)
    for r in range(capsules.shape[0]):
        shape_cap[r] = np.inf
        shape_segment[r] = -1
    for q in range(people.shape[0]):
        for s in range(segments):
            _bound_capsule(people[q, s], spheres[s])
        reach = p[11] + max(p[3], p[4]) * people_age[q]
        least = max(0.05, _distance_for(p[8], p) + max(p[3], p[4]) * people_age[q])
        for r in range(capsules.shape[0]):
            arm = spheres[segments]
            _bound_capsule(capsules[r], arm)
            fastest, enough, obeyed = _fastest_end(velocity[r]), np.inf, np.inf
            for s in range(segments):
                body, gap = spheres[s], 0.0
                for i in range(3):
                    gap += (arm[i] - body[i]) ** 2
                far = reach + arm[3] + body[3]
                if gap > far * far:
                    continue
                side = 1 if s < HEAD_SEGMENTS else 0
                far = enough + arm[3] + body[3]
                asked = s < 2 and utensil[r] != 0
                if gap >= far * far and not asked and fastest - obeyed <= out[side]:
                    continue
                d = closest_points(
                    capsules[r], people[q, s], on_robot, on_person, normal
                )
                if asked and d < out[3]:
                    out[3] = d
                vh = p[4] if d - p[3] * people_age[q] < p[5] else p[3]
                effective = d - vh * people_age[q]
                if effective > p[11]:
                    continue
                free = permitted_speed(effective, vh, p)
                cap = max(free, p[8])
                if cap < shape_cap[r]:
                    shape_cap[r] = cap
                    shape_segment[r] = s
                if s < HEAD_SEGMENTS and gate_exempt and utensil[r]:
                    continue
                allowed = _allowed_approach(
                    s,
                    utensil[r] != 0,
                    d,
                    free,
                    p,
                    gate_utensil,
                    gate_carrier,
                    gate_exempt,
                )
                for i in range(3):
                    near[count, i] = on_robot[i]
                    near[count, 3 + i] = normal[i]
                near[count, 6] = allowed
                pair[count, 0], pair[count, 1], pair[count, 2] = r, q, s
                count += 1
                if ordered and d < enough:
                    enough, obeyed = max(d, least) + 1e-9, min(obeyed, cap)
                if d >= 0.05 and fastest - allowed <= out[side]:
                    # Whatever its direction, it is not the worst.
                    continue
                approach = _approach(capsules[r], velocity[r], on_robot, normal)
                out[side] = max(out[side], approach - allowed)
                if d < 0.05:
                    out[2] = max(out[2], approach / contact_speed[s])
    return count


@numba.njit(cache=True)
def _distance_for(speed: float, p: Array) -> float:
    """Return the effective distance from which on a speed is permitted [m].

    The inverse of :func:`permitted_speed` for the faster of the two human speeds.
    """
    tr, tj, a, vh = p[0], p[1], p[2], max(p[3], p[4])
    b = a * tr + vh
    alone = ((speed + b) ** 2 - b * b) / (2.0 * a)
    together = vh * tj + speed * (tr + 0.5 * tj)
    return float(p[6] + vh * tr + max(alone, together))


@numba.njit(cache=True)
def _fastest_end(velocity: Array) -> float:
    """Return the speed of the faster end point, with room for rounding [m/s].

    No point of the capsule is faster along any direction.
    """
    x = velocity[0] ** 2 + velocity[1] ** 2 + velocity[2] ** 2
    y = velocity[3] ** 2 + velocity[4] ** 2 + velocity[5] ** 2
    return float(np.sqrt(max(x, y)) + 1e-9)


@numba.njit(cache=True)
def _approach(capsule: Array, velocity: Array, point: Array, normal: Array) -> float:
    """Speed of a point on a capsule's axis against a normal [m/s].

    Along the axis of a rigid capsule the velocity is affine.
    """
    along, length = 0.0, 0.0
    for i in range(3):
        edge = capsule[3 + i] - capsule[i]
        along += edge * (point[i] - capsule[i])
        length += edge * edge
    share = along / length if length > 1e-14 else 0.0
    speed = 0.0
    for i in range(3):
        speed -= normal[i] * (velocity[i] + share * (velocity[3 + i] - velocity[i]))
    return speed


@numba.njit(cache=True)
def approach_rows(
    count: int,
    near: Array,
    pair: npt.NDArray[np.int64],
    shape_cap: Array,
    chain: Chain,
    rows: Array,
    limits: Array,
    segment: npt.NDArray[np.int64],
) -> int:
    """Fill a row a . u <= b for every pair, with a = -n^T J.

    A pair that permits no less than its shape's cap needs none: a point that obeys
    the cap in every direction obeys it along the normal.

    Args:
        count: Number of pairs.
        near: (K, 7) of :func:`measure_pairs`.
        pair: (K, 3).
        shape_cap: (R,) [m/s].
        chain: The robot, placed.
        rows: (K, n) out.
        limits: (K,) out [m/s].
        segment: (K,) out: the row's body segment.

    Returns:
        Number of rows.
    """
    written = 0
    for k in range(count):
        r = pair[k, 0]
        if near[k, 6] >= shape_cap[r]:
            continue
        fill_along(
            chain.shape_link[r],
            near[k, 0],
            near[k, 1],
            near[k, 2],
            -near[k, 3],
            -near[k, 4],
            -near[k, 5],
            chain,
            rows[written],
        )
        limits[written] = near[k, 6]
        segment[written] = pair[k, 2]
        written += 1
    return written


@numba.njit(cache=True)
def evaluate_gate(
    extras: Array,
    place: npt.NDArray[np.int64],
    tip: Array,
    tool_x: Array,
    g: Array,
    tolerant: bool,
    out: Array,
) -> bool:
    """Decide how fast the utensil and the other links may approach the head.

    Args:
        extras: (E,) extras of the state.
        place: (9,) places of mouth x y z, axis x y z, opening, consent, stop signal.
        tip: (3,) tip of the utensil in the world [m].
        tool_x: (3,) direction in which the utensil points, world.
        g: Gate figures: stand-off, minimum opening, lateral tolerance, cosine of the
            axis tolerance, lip speed, maximum depth, approach speed outside the
            stand-off, speed of carriers, speed while closed.
        tolerant: The scorer's view: positions are exact, the gate's own approach
            speeds apply as soon as consent holds.
        out: (5,) approach of the utensil and of carriers [m/s], distance along the
            axis in front of the lips [m], lateral offset [m], permitted speed along
            the axis into the mouth [m/s].

    Returns:
        Whether the utensil is at an open mouth, so that the axis row applies instead
        of the pair rows against head, face and neck.
    """
    mx, my, mz = extras[place[0]], extras[place[1]], extras[place[2]]
    ax, ay, az = extras[place[3]], extras[place[4]], extras[place[5]]
    norm = np.sqrt(ax * ax + ay * ay + az * az)
    if not norm > 0.5:
        out[0], out[1], out[2], out[3], out[4] = 0.0, 0.0, np.inf, np.inf, 0.0
        return False
    ax, ay, az = ax / norm, ay / norm, az / norm
    dx, dy, dz = tip[0] - mx, tip[1] - my, tip[2] - mz
    along = dx * ax + dy * ay + dz * az
    lx, ly, lz = dx - along * ax, dy - along * ay, dz - along * az
    lateral = np.sqrt(lx * lx + ly * ly + lz * lz)
    out[2], out[3], out[4] = along, lateral, 0.0
    if not (extras[place[7]] > 0.5 and extras[place[8]] < 0.5):
        out[0], out[1] = g[8], g[8]
        return False
    facing = -(ax * tool_x[0] + ay * tool_x[1] + az * tool_x[2])
    opened = extras[place[6]] >= g[1]
    aligned = lateral <= g[2] and facing >= g[3]
    out[1] = g[7]
    if along <= g[0] and aligned and (opened or along < 0.0):
        # Inside the lips the gate stays: a mouth that closes around the utensil
        # stops the advance but must not turn the way out into a violation.
        out[0] = g[4]
        if tolerant:
            # How deep it went is judged by a rule of its own.
            out[4] = g[4]
        elif opened:
            out[4] = max(0.0, min(g[4], 2.0 * (along + g[5])))
        return True
    out[0] = g[6] if along > g[0] or tolerant else g[8]
    return False


@numba.njit(cache=True)
def shape_excess(
    velocity: Array, cap: Array, segment: npt.NDArray[np.int64]
) -> tuple[float, int]:
    """Return the largest excess of a shape's speed over its cap, and the shape.

    Args:
        velocity: (R, 6) velocities of both end points [m/s]; a capsule's largest speed
            is at one of them, since velocity is affine along its axis.
        cap: (R,) permitted speeds [m/s]; infinite where no person is near.
        segment: (R,) -1 where no person is near.
    """
    worst, index = -np.inf, -1
    for r in range(velocity.shape[0]):
        if segment[r] < 0:
            continue
        for e in range(2):
            x, y, z = velocity[r, 3 * e], velocity[r, 3 * e + 1], velocity[r, 3 * e + 2]
            excess = np.sqrt(x * x + y * y + z * z) - cap[r]
            if excess > worst:
                worst, index = excess, r
    return worst, index


@numba.njit(cache=True)
def _not_finite(values: Array) -> int:
    count = 0
    for value in values.flat:
        if not np.isfinite(value):
            count += 1
    return count


@numba.njit(cache=True)
def all_finite(values: Array) -> bool:
    """Return whether every number of a vector is finite."""
    return bool(_not_finite(values) == 0)


@numba.njit(cache=True)
def _not_an_age(age: float) -> int:
    return 0 if 0.0 <= age < np.inf else 1


@numba.njit(cache=True)
def count_missing(
    position: Array,
    velocity: Array,
    base: Array,
    people: Array,
    people_age: Array,
    extras: Array,
    extras_age: Array,
    force: Array,
    joint_age: float,
    frame_age: float,
    force_age: float,
    stamp: float,
) -> int:
    """Return how many inputs are NaN, infinite or of an age that cannot be.

    Args:
        position: (n,); with the others the fields of :class:`physai.types.State`.
        velocity: (n,).
        base: (7,).
        people: (P, S, 7).
        people_age: (P,) [s].
        extras: (E,).
        extras_age: (E,) [s].
        force: (3,) [N].
        joint_age: [s].
        frame_age: [s].
        force_age: [s].
        stamp: Plant clock [s].
    """
    count = _not_finite(position) + _not_finite(velocity) + _not_finite(base)
    count += _not_finite(people) + _not_finite(extras) + _not_finite(force)
    for age in people_age:
        count += _not_an_age(age)
    for age in extras_age:
        count += _not_an_age(age)
    count += _not_an_age(joint_age) + _not_an_age(frame_age) + _not_an_age(force_age)
    return count + (0 if np.isfinite(stamp) else 1)


@numba.njit(cache=True)
def lowest_point(capsules: Array, first: int) -> float:
    """Return the lowest z of the capsules from index ``first`` on [m]."""
    lowest = np.inf
    for r in range(first, capsules.shape[0]):
        z = min(capsules[r, 2], capsules[r, 5]) - capsules[r, 6]
        lowest = min(lowest, z)
    return lowest


@numba.njit(cache=True)
def measure_joints(
    position: Array,
    velocity: Array,
    previous: Array,
    hz: float,
    position_min: Array,
    position_max: Array,
    velocity_max: Array,
    acceleration_max: Array,
    out: Array,
) -> None:
    """Measure joints against the maker's limits, and keep the velocity.

    Args:
        position: (n,) [rad or m].
        velocity: (n,).
        previous: (n,) velocity of the step before, NaN for none; updated.
        hz: Control rate [Hz].
        position_min: (n,).
        position_max: (n,).
        velocity_max: (n,).
        acceleration_max: (n,).
        out: (3,) largest distance beyond a range, share of the velocity limit, share
            of the acceleration limit.
    """
    out[0], out[1], out[2] = -np.inf, 0.0, 0.0
    for i in range(position.shape[0]):
        beyond = max(position[i] - position_max[i], position_min[i] - position[i])
        out[0] = max(out[0], beyond)
        out[1] = max(out[1], abs(velocity[i]) / velocity_max[i])
        if np.isfinite(previous[i]):
            change = abs(velocity[i] - previous[i]) * hz
            out[2] = max(out[2], change / acceleration_max[i])
        previous[i] = velocity[i]


@numba.njit(cache=True)
def outside_box(position: Array, minimum: Array, maximum: Array) -> float:
    """Return how far a (3,) point is outside a box; negative inside [m]."""
    outside = -np.inf
    for i in range(3):
        outside = max(outside, minimum[i] - position[i], position[i] - maximum[i])
    return outside


@numba.njit(cache=True)
def advance_windows(
    signals: Array,
    place: npt.NDArray[np.int64],
    limit: Array,
    scale: Array,
    elsewhere: npt.NDArray[np.int64],
    hold: npt.NDArray[np.int64],
    release: npt.NDArray[np.int64],
    action: npt.NDArray[np.int64],
    margins: Array,
    below: npt.NDArray[np.int64],
    above: npt.NDArray[np.int64],
    active: npt.NDArray[np.bool_],
    worst: npt.NDArray[np.int64],
) -> None:
    """Turn signals into margins and move every rule's hold and release window on.

    A rule becomes active once it is violated for more than ``hold`` steps in a row,
    and stays active until it has held for more than ``release`` steps.

    Args:
        signals: (s,) signals of this step.
        place: (r,) which signal each rule judges.
        limit: (r,).
        scale: (r,).
        elsewhere: (r,) only the other view can judge it: never violated in this one.
        hold: (r,) [steps].
        release: (r,) [steps].
        action: (r,) what the guard does about each rule (:class:`Action`).
        margins: (r,) out.
        below: (r,) steps violated in a row, updated.
        above: (r,) steps held in a row, updated.
        active: (r,) updated.
        worst: (3,) out: most restrictive action among the active rules, the first
            rule that demands it (0 and -1 for none), and how many are active.
    """
    worst[0], worst[1], worst[2] = 0, -1, 0
    for i in range(margins.shape[0]):
        margin = 1.0 if elsewhere[i] else (limit[i] - signals[place[i]]) / scale[i]
        margins[i] = margin
        # NaN is a violation.
        if margin >= 0.0:
            below[i] = 0
            above[i] += 1
            active[i] = active[i] and above[i] <= release[i]
        else:
            below[i] += 1
            above[i] = 0
            active[i] = active[i] or below[i] > hold[i]
        if active[i]:
            worst[2] += 1
            if action[i] > worst[0]:
                worst[0], worst[1] = action[i], i


@numba.njit(cache=True)
def contact_ratio(
    peak: Array,
    mean: Array,
    pressure: Array,
    age: Array,
    robot_speed: Array,
    person_speed: Array,
    clamped: Array,
    link: Array,
    utensil: npt.NDArray[np.bool_],
    quasistatic: Array,
    transient: Array,
    permitted_pressure: Array,
    permitted: npt.NDArray[np.bool_],
    frailty: float,
    mouth_limit: float,
    moved: float,
    out: Array,
) -> None:
    """Judge the contacts of one step.

    Args:
        peak: (P, 30) transient peaks [N]; mean, age, speeds, clamped, link the same,
            see :class:`physai.types.Contact`.
        mean: (P, 30) [N].
        pressure: (P, 30) at the peak [N/cm2].
        age: (P, 30) [s].
        robot_speed: (P, 30) [m/s].
        person_speed: (P, 30) [m/s].
        clamped: (P, 30).
        link: (P, 30) robot shape.
        utensil: (R,) whether a shape is the utensil.
        quasistatic: (30,) limits [N].
        transient: (30,) limits [N].
        permitted_pressure: (30,) quasi-static limits [N/cm2]; twice as much while a
            contact is young and free.
        permitted: (30,) whether the table permits contact at all.
        frailty: Share of the limits for the people served.
        mouth_limit: The specification's own limit of a utensil on face or skull [N].
        moved: Speed above which the robot moved or pushed [m/s].
        out: (4,) worst force over limit; worst own speed of the robot [m/s]; 1 if a
            person pushes faster than the robot comes; worst pressure over limit.
    """
    out[:] = 0.0
    for p in range(peak.shape[0]):
        for a in range(1, peak.shape[1]):
            if not (peak[p, a] > 0.0 or mean[p, a] > 0.0):
                continue
            out[1] = max(out[1], robot_speed[p, a])
            if peak[p, a] > 0.0 and person_speed[p, a] > robot_speed[p, a]:
                out[2] = 1.0
            if not robot_speed[p, a] > moved:
                continue
            share = own_share(robot_speed[p, a], person_speed[p, a])
            shape = int(link[p, a])
            if not permitted[a]:
                soft = shape >= 0 and utensil[shape]
                limit = mouth_limit if soft else 1.0
                out[0] = max(out[0], share * peak[p, a] / limit)
                continue
            held = age[p, a] >= 0.5 or clamped[p, a] > 0.5
            most = frailty * permitted_pressure[a]
            if not held:
                out[0] = max(out[0], share * peak[p, a] / (frailty * transient[a]))
                out[3] = max(out[3], share * pressure[p, a] / (2.0 * most))
            else:
                out[0] = max(out[0], mean[p, a] / (frailty * quasistatic[a]))
                # The patch stays, so that pressure goes with force.
                part = mean[p, a] / max(peak[p, a], mean[p, a], 1e-9)
                out[3] = max(out[3], part * pressure[p, a] / most)


@numba.njit(cache=True)
def own_share(robot_speed: float, person_speed: float) -> float:
    """Return the robot's share of the closing speed of a contact.

    The peak of an impact is v sqrt(mu k), so that the robot's share of v is its share
    of the peak. NaN counts as all of it.

    Args:
        robot_speed: The robot's own speed toward the person [m/s], above 0.
        person_speed: The person's own speed toward the robot [m/s].
    """
    if not person_speed > 0.0:
        return 1.0
    return float(robot_speed / (robot_speed + person_speed))


@numba.njit(cache=True)
def differs(sent: Array, asked: Array, scale: Array, share: float) -> bool:
    """Return whether any (n,) entry differs by more than a share of its scale."""
    for i in range(sent.shape[0]):
        if not abs(sent[i] - asked[i]) <= share * scale[i]:
            return True
    return False
