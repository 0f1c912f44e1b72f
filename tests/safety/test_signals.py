"""What the monitor measures, against a second calculation of every signal by hand."""

import dataclasses
import math

import numpy as np
import pytest

from physai.body.regions import SEGMENT_AREAS, load_regions
from physai.robot.kinematics import Kinematics
from physai.safety import Guard, Monitor
from physai.safety.rules import Signal
from physai.types import Truth
from tests.safety.conftest import BASE, EXTRAS, make_command, make_state, person
from tests.safety.test_scorer import touch

HEAD = 3


def measured(spec, state, view="guard", truth=None, before=None):
    """Return the signals of a state; ``before`` is a state one step earlier."""
    monitor = Monitor(spec, view)
    if before is not None:
        monitor.update(before)
    monitor.update(state, truth)
    return monitor.signals.copy()


def nearest(a, b):
    """Return the distance of two segments and where it is; alternating projection."""
    p, q = np.asarray(a[:3]), np.asarray(a[3:6])
    r, s = np.asarray(b[:3]), np.asarray(b[3:6])

    def project(x, start, end):
        along = end - start
        t = along @ (x - start) / max(along @ along, 1e-15)
        return start + np.clip(t, 0.0, 1.0) * along

    best = (np.inf, p, r)
    for share in (0.0, 0.5, 1.0):
        x = p + share * (q - p)
        for _ in range(80):
            y = project(x, r, s)
            x = project(y, p, q)
        gap = float(np.linalg.norm(x - y))
        if gap < best[0]:
            best = (gap, x, y)
    return best


def permitted(distance, age, spec, truth):
    """Return the closed form of the protective separation distance, by hand."""
    s = spec.config.separation
    tr = 0.0 if truth else s.reaction_time_s
    z = s.intrusion_distance_m
    if not truth:
        z += s.tracker_uncertainty_m + s.robot_uncertainty_m
    slow, fast = s.human_speed_m_s, s.human_speed_near_m_s
    vh = fast if distance - slow * age < s.near_distance_m else slow
    d, a, tj = distance - vh * age - z, s.deceleration_m_s2, s.braking_time_s
    if d - vh * tr <= 0.0:
        return 0.0
    b = a * tr + vh
    closed = -b + math.sqrt(b * b + 2.0 * a * (d - vh * tr))
    together = (d - vh * (tr + tj)) / (tr + 0.5 * tj)
    return max(0.0, min(closed, together))


def by_hand(robot, spec, state):
    """Return what the guard's view says of one person.

    Separation, near speed and contact share; the cap of every shape; and the permitted
    approach of every pair away from the head that permits less than its shape's cap.
    """
    s = spec.config.separation
    kinematics = Kinematics(robot, BASE)
    kinematics.update(state.actuator_position)
    capsules = kinematics.capsules().copy()
    speeds = kinematics.capsule_velocity(state.actuator_velocity).copy()
    separation = near = -np.inf
    contact = 0.0
    caps, limits = [], []
    for shape, capsule in enumerate(capsules):
        cap, allowed = np.inf, []
        for segment, body in enumerate(state.people[0]):
            gap, x, y = nearest(capsule, body)
            distance = gap - capsule[6] - body[6]
            free = permitted(distance, state.people_age_s[0], spec, truth=False)
            cap = min(cap, max(free, s.near_speed_m_s))
            length = np.linalg.norm(capsule[3:6] - capsule[:3])
            share = np.linalg.norm(x - capsule[:3]) / length if length > 1e-9 else 0.0
            velocity = speeds[shape, :3] + share * (
                speeds[shape, 3:] - speeds[shape, :3]
            )
            approach = -float(velocity @ (x - y)) / max(gap, 1e-12)
            if segment >= HEAD:
                allowed.append(max(free, s.contact_floor_m_s))
                separation = max(separation, approach - allowed[-1])
            if distance < 0.05:
                contact = max(contact, approach / spec.permitted_contact_speed[segment])
        fast = max(np.linalg.norm(speeds[shape, :3]), np.linalg.norm(speeds[shape, 3:]))
        near = max(near, fast - cap)
        caps.append(cap)
        limits += [a for a in allowed if a < cap]
    return separation, near, contact, np.array(caps), np.sort(limits)


@pytest.mark.parametrize("seed", range(24))
def test_separation_and_near_speed(robot, spec, seed):
    rng = np.random.default_rng(seed)
    q = robot.home_position + rng.uniform(-0.3, 0.3, 7)
    qd = rng.uniform(-0.6, 0.6, 7)
    people = person(rng.uniform(0.75, 1.3), rng.uniform(-0.4, 0.4))
    age = float(rng.uniform(0.0, 0.3))
    state = make_state(robot, q, qd, people=people, people_age_s=np.array([age]))
    signals = measured(spec, state)
    separation, near, contact, caps, limits = by_hand(robot, spec, state)
    assert signals[Signal.SEPARATION] == pytest.approx(max(separation, -1.0), abs=1e-6)
    assert signals[Signal.NEAR_SPEED] == pytest.approx(max(near, -1.0), abs=1e-6)
    assert signals[Signal.CONTACT_SPEED] == pytest.approx(contact, abs=1e-6)
    # Pairs that the monitor leaves out change neither caps nor rows.
    monitor = Monitor(spec, "guard")
    monitor.update(state)
    assert monitor.shape_cap[2:] == pytest.approx(caps[2:], abs=1e-6)
    rows = monitor.row_count
    body = monitor.work.segment[:rows] >= HEAD
    assert np.sort(monitor.limits[:rows][body]) == pytest.approx(limits, abs=1e-6)


def test_contact_speed_of_a_touching_hand(robot, spec):
    """A shape that touches and comes on: v / v_PFL of ISO/TS 15066 A.3.5 by hand,
    with a robot of any mass.
    """
    state = make_state(robot, qd=np.array([0.0, 0.5, 0, 0.2, 0, 0, 0]))
    kinematics = Kinematics(robot, BASE)
    kinematics.update(state.actuator_position)
    tip = kinematics.capsules()[-1]
    people = state.people + 0.0
    middle = 0.5 * (tip[:3] + tip[3:6])
    velocity = kinematics.capsule_velocity(state.actuator_velocity)[-1, 3:]
    way = velocity / np.linalg.norm(velocity)
    ahead = middle + (tip[6] + 0.035 + 0.02) * way
    people[0, 10, :6] = [*ahead, *(ahead + 1e-6)]
    signals = measured(spec, dataclasses.replace(state, people=people))
    regions, frailty = load_regions(), spec.config.frailty_factor
    slowest = min(
        frailty
        * regions.force_transient_n[area]
        / math.sqrt(regions.spring_n_per_m[area] * regions.effective_mass_kg[area])
        for area in SEGMENT_AREAS[10]
    )
    assert spec.permitted_contact_speed[10] == pytest.approx(slowest)
    contact = by_hand(robot, spec, dataclasses.replace(state, people=people))[2]
    assert contact > 0.05
    assert signals[Signal.CONTACT_SPEED] == pytest.approx(contact, abs=1e-6)


@pytest.mark.parametrize(
    ("signal", "changes", "value"),
    [
        (Signal.JOINT_AGE, {"actuator_age_s": 0.07}, 0.07),
        (Signal.PEOPLE_AGE, {"people_age_s": np.array([0.31])}, 0.31),
        (Signal.PEOPLE_AGE, {"people_frame_age_s": 0.42}, 0.42),
        (Signal.TOOL_FORCE_AGE, {"tool_force_age_s": 0.08}, 0.08),
        (
            Signal.INTERFACE_AGE,
            {"extras_age_s": np.array([0.0] * 7 + [0.2, 0.3, 0.0])},
            0.3,
        ),
        (
            Signal.UTENSIL_FORCE,
            {"tool_force_in_world_n": np.array([0.3, -0.4, 1.2])},
            1.3,
        ),
        (Signal.PEOPLE_MISSING, {}, 0.0),
        (Signal.MISSING, {}, 0.0),
    ],
)
def test_a_signal_is_what_the_state_says(robot, spec, signal, changes, value):
    signals = measured(spec, make_state(robot, **changes))
    assert signals[signal] == pytest.approx(value)


def test_nobody_tracked_is_one_missing(robot, spec):
    state = make_state(robot, people=person()[:0])
    assert measured(spec, state)[Signal.PEOPLE_MISSING] == 1.0


def test_inputs_that_are_none_are_counted(robot, spec):
    state = make_state(robot)
    bad = dataclasses.replace(
        state, actuator_velocity=np.array([0, np.nan, 0, 0, np.inf, 0, 0])
    )
    assert measured(spec, bad)[Signal.MISSING] == 2.0


def beside_the_face(robot, **changes):
    """Return a state with the spoon's tip 6 cm in front of the mouth."""
    kinematics = Kinematics(robot, BASE)
    kinematics.update(robot.home_position)
    tip = kinematics.tool_position
    people = person(1.0, 0.0)
    face = people[0, 1, :3].copy()
    ahead = np.array([0.06 + people[0, 1, 6], 0.0, -0.02])
    shift = tip + ahead - face
    people[0, :, 0:3] += shift
    people[0, :, 3:6] += shift
    return make_state(robot, people=people, **changes)


def test_the_age_of_the_face_counts_near_the_face_only(robot, spec):
    ages = np.zeros(len(EXTRAS))
    ages[EXTRAS.index("mouth_x_in_world_m")] = 0.12
    ages[EXTRAS.index("mouth_opening_m")] = 0.34
    near = beside_the_face(robot, extras_age_s=ages)
    assert measured(spec, near)[Signal.FACE_AGE] == pytest.approx(0.34)
    far = make_state(robot, people=person(3.0), extras_age_s=ages)
    assert measured(spec, far)[Signal.FACE_AGE] == 0.0


def test_the_speed_beside_the_face_is_the_tools(robot, spec):
    qd = np.array([0.1, 0.05, 0, -0.1, 0, 0.1, 0])
    near = beside_the_face(robot, qd=qd)
    signals = measured(spec, near)
    assert signals[Signal.FACE_SPEED] == pytest.approx(signals[Signal.TCP_SPEED])
    far = make_state(robot, qd=qd, people=person(3.0))
    assert measured(spec, far)[Signal.FACE_SPEED] == 0.0


def test_refusal_counts_near_the_face_and_the_signal_everywhere(robot, spec):
    no = EXTRAS.index("consent"), EXTRAS.index("stop_signal")
    for state, consent, stop, expected in (
        (beside_the_face(robot), 1.0, 0.0, 0.0),
        (beside_the_face(robot), 0.0, 0.0, 1.0),
        (make_state(robot, people=person(3.0)), 0.0, 0.0, 0.0),
        (make_state(robot, people=person(3.0)), 1.0, 1.0, 1.0),
    ):
        state.extras[no[0]], state.extras[no[1]] = consent, stop
        assert measured(spec, state)[Signal.STOP_SIGNAL] == expected


def test_the_gate_bounds_the_way_to_a_closed_mouth(robot, spec):
    """Toward the head of somebody whose mouth is closed, nothing is permitted."""
    qd = np.zeros(7)
    kinematics = Kinematics(robot, BASE)
    kinematics.update(robot.home_position)
    jacobian = kinematics.tool_jacobian()[:3]
    qd = np.linalg.pinv(jacobian) @ np.array([0.03, 0.0, 0.0])
    open_mouth, closed = beside_the_face(robot, qd=qd), beside_the_face(robot, qd=qd)
    closed.extras[EXTRAS.index("mouth_opening_m")] = 0.0
    signal = measured(spec, closed)[Signal.FACE_GATE]
    # The whole speed of the tip, since no approach at all is permitted.
    assert signal == pytest.approx(0.03, abs=0.004)
    assert measured(spec, open_mouth)[Signal.FACE_GATE] < signal
    away = beside_the_face(robot, qd=-qd)
    assert measured(spec, away)[Signal.FACE_GATE] < 0.0


def test_joints_against_their_limits(robot, spec):
    q = robot.home_position.copy()
    q[3] = robot.position_max[3] + 0.02
    qd = np.zeros(7)
    qd[5] = -1.5 * robot.velocity_max[5]
    state = make_state(robot, q, qd, people=person(6.0))
    signals = measured(spec, state, before=make_state(robot, q, people=person(6.0)))
    assert signals[Signal.JOINT_POSITION] == pytest.approx(0.02)
    assert signals[Signal.JOINT_VELOCITY] == pytest.approx(1.5)
    most = max(robot.acceleration_max[5], robot.braking_max[5])
    assert signals[Signal.JOINT_ACCELERATION] == pytest.approx(-qd[5] * 20.0 / most)


def test_the_tools_speed_is_a_finite_difference(robot, spec):
    qd = np.array([0.2, -0.3, 0.1, 0.4, -0.2, 0.3, 0.1])
    state = make_state(robot, qd=qd, people=person(6.0))
    places, h = [], 1e-6
    for sign in (1.0, -1.0):
        kinematics = Kinematics(robot, BASE)
        kinematics.update(robot.home_position + sign * h * qd)
        places.append(kinematics.tool_position.copy())
    speed = np.linalg.norm(places[0] - places[1]) / (2 * h)
    assert measured(spec, state)[Signal.TCP_SPEED] == pytest.approx(speed, rel=1e-6)


def test_the_workspace_is_a_box_and_a_floor(robot, spec):
    box, seen = spec.config.workspace, set()
    for seed in range(60):
        rng = np.random.default_rng(seed)
        q = rng.uniform(robot.position_min, robot.position_max)
        kinematics = Kinematics(robot, BASE)
        kinematics.update(q)
        tcp, capsules = kinematics.tool_position, kinematics.capsules()
        sides = [
            *(np.array(box.minimum_m) - tcp),
            *(tcp - np.array(box.maximum_m)),
        ]
        low = min(
            min(capsule[2], capsule[5]) - capsule[6]
            for capsule, link in zip(capsules, robot.shapes.link, strict=True)
            if robot.tree.link_names[link] not in ("panda_link0", "panda_link1")
        )
        outside = max(sides)
        below = box.floor_z_m - low
        seen.add(outside > below)
        signal = measured(spec, make_state(robot, q, people=person(6.0)))
        if max(outside, below) > 0.0:
            assert signal[Signal.WORKSPACE] == pytest.approx(max(outside, below))
    assert seen == {True, False}


def of_contact(spec, robot, contact, extras=None):
    state = make_state(robot)
    truth = Truth(state, contact, np.zeros(4) if extras is None else extras)
    return measured(spec, state, "truth", truth)


@pytest.mark.parametrize("area", [6, 8, 14, 20, 26])
def test_force_and_pressure_over_the_limits_of_the_area(spec, robot, area):
    regions, frailty = load_regions(), spec.config.frailty_factor
    young = touch(60.0, robot=0.2, area=area)
    young.pressure_n_per_cm2[0, area] = 120.0
    young.age_s[0, area] = 0.1
    signals = of_contact(spec, robot, young)
    limit = frailty * regions.force_transient_n[area]
    assert signals[Signal.CONTACT_FORCE] == pytest.approx(60.0 / limit)
    most = frailty * regions.pressure_quasistatic_n_per_cm2[area]
    assert signals[Signal.CONTACT_PRESSURE] == pytest.approx(120.0 / (2.0 * most))
    assert signals[Signal.MOVING_CONTACT] == pytest.approx(0.2)
    held = touch(60.0, robot=0.2, area=area)
    held.force_mean_n[0, area], held.age_s[0, area] = 30.0, 0.9
    held.pressure_n_per_cm2[0, area] = 120.0
    signals = of_contact(spec, robot, held)
    limit = frailty * regions.force_quasistatic_n[area]
    assert signals[Signal.CONTACT_FORCE] == pytest.approx(30.0 / limit)
    # Half of the peak's force is half of its pressure.
    assert signals[Signal.CONTACT_PRESSURE] == pytest.approx(60.0 / most)


def test_what_a_person_does_to_a_standing_robot_is_not_its_force(spec, robot):
    signals = of_contact(spec, robot, touch(200.0, robot=0.0, person=1.0))
    assert signals[Signal.CONTACT_FORCE] == 0.0
    assert signals[Signal.CONTACT_PRESSURE] == 0.0


def test_the_mouths_truth_is_taken_over(spec, robot):
    signals = of_contact(spec, robot, touch(), np.array([0.0, 0.0, 0.031, 4.5]))
    assert signals[Signal.INSERTION_DEPTH] == pytest.approx(0.031)
    assert signals[Signal.MOUTH_FORCE] == pytest.approx(4.5)


def test_an_old_track_permits_less(robot, spec):
    """The guard ages a track by the walking speed times its age."""
    people = person(1.1)
    fresh = make_state(robot, people=people, people_age_s=np.array([0.0]))
    old = make_state(robot, people=people, people_age_s=np.array([0.3]))
    guards = Guard(spec), Guard(spec)
    for guard, state in zip(guards, (fresh, old), strict=True):
        guard.certify(state, make_command(np.zeros(7)))
    young, aged = (guard.monitor.shape_cap for guard in guards)
    free = young > spec.config.separation.near_speed_m_s
    assert free.any() and (aged[free] < young[free]).all()


def test_into_an_open_mouth_the_spoon_is_as_slow_as_the_gate_permits(robot, spec):
    """min(lip speed, 2 / s times the way to the greatest depth), along the axis alone."""
    gate, guard = spec.config.gate, Guard(spec)
    guard.monitor.update(beside_the_face(robot))
    jacobian = guard.monitor.kinematics.tool_jacobian()[:3].copy()
    asked = make_command(np.linalg.pinv(jacobian) @ np.array([0.04, 0.0, 0.0]))
    sent, decision = guard.certify(beside_the_face(robot), asked)
    assert guard.monitor.gate_exempt and decision.rule == "face_gate"
    speed = jacobian @ sent.actuator_velocity
    permitted = min(gate.lip_speed_m_s, 2.0 * (0.06 + gate.maximum_depth_m))
    assert speed[0] == pytest.approx(permitted, abs=1e-6)
    assert np.abs(speed[1:]).max() < 1e-3
