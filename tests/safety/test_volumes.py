"""Volumes that a robot stays out of, and a tool that stays level."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar

from physai.errors import ConfigError
from physai.robot.kinematics import Kinematics
from physai.safety import Guard, compile_spec, load_spec
from physai.safety.rules import Signal
from physai.safety.sections.orientation import Orientation, OrientationValues
from physai.safety.sections.section import Caps, stopping_speed
from physai.safety.sections.volumes import Volumes, VolumesValues, nearest_in_box
from tests.safety.conftest import (
    BASE,
    EXTRAS,
    TRUTH_EXTRAS,
    make_command,
    make_state,
    person,
)
from tests.safety.test_guard_laws import LAW

DT = 0.05
BOX = {"name": "cupboard", "minimum_m": [0.2, 0.35, 0.7], "maximum_m": [0.9, 0.9, 1.6]}
coordinate = st.floats(-1.0, 1.0)


@LAW
@given(st.lists(coordinate, min_size=6, max_size=6), st.floats(0.01, 0.1))
def test_the_distance_to_a_box_is_the_least_along_the_axis(ends, radius):
    low, high = np.array([-0.3, -0.2, -0.4]), np.array([0.2, 0.5, 0.1])
    capsule, out = np.array([*ends, radius]), np.zeros(6)
    a, b = capsule[:3], capsule[3:6]

    def outside(t):
        x = a + t * (b - a)
        return float(np.linalg.norm(np.maximum(np.maximum(low - x, x - high), 0.0)))

    grid = np.linspace(0.0, 1.0, 2001)
    best = min(outside(t) for t in grid)
    fine = minimize_scalar(outside, bounds=(0.0, 1.0), method="bounded").fun
    found = nearest_in_box(capsule, low, high, out)
    if best > 1e-3:
        assert found == pytest.approx(min(best, fine) - radius, abs=1e-6)
        assert np.linalg.norm(out[3:]) == pytest.approx(1.0)
        x = out[:3]
        on_box = np.clip(x, low, high)
        np.testing.assert_allclose(x - on_box, (found + radius) * out[3:], atol=1e-9)
    else:
        assert found <= -radius + 1.1e-3


def test_inside_a_box_the_shortest_way_out_is_shown():
    low, high, out = np.zeros(3), np.ones(3), np.zeros(6)
    depth = nearest_in_box(
        np.array([0.5, 0.5, 0.9, 0.5, 0.5, 0.95, 0.02]), low, high, out
    )
    np.testing.assert_allclose(out[3:], [0.0, 0.0, 1.0])
    assert depth == pytest.approx(-(0.1 + 0.02))


def specification(robot, **sections):
    base = load_spec("care_feeding").model_dump(mode="json")
    base["sections"] = {**base["sections"], **sections}
    if "volumes" not in sections:
        del base["sections"]["volumes"]
        base["rules"] = [r for r in base["rules"] if r["rule"] != "keep_out"]
    spec = type(load_spec("care_feeding")).model_validate(base)
    return compile_spec(spec, robot, 20.0, EXTRAS, TRUTH_EXTRAS)


def volumes(**changes):
    return {
        "keep_out": [BOX],
        "links": ["panda_hand", "spoon"],
        "deceleration_m_s2": 2.5,
        "margin_m": 0.02,
        "source": "test",
        **changes,
    }


@pytest.mark.parametrize("seed", range(12))
def test_no_command_brings_a_shape_into_a_volume(robot, seed):
    """Whatever is asked for, for ten seconds, kinematics only."""
    spec = specification(robot, volumes=volumes())
    guard, rng = Guard(spec), np.random.default_rng(seed)
    q, qd = robot.home_position.copy(), np.zeros(7)
    kinematics, nearest = Kinematics(robot, BASE), np.inf
    low, high = np.array(BOX["minimum_m"]), np.array(BOX["maximum_m"])
    shapes = [
        i
        for i, link in enumerate(robot.shapes.link)
        if robot.tree.link_names[link] in ("panda_hand", "spoon")
    ]
    asked, out = rng.uniform(-1.0, 1.0, 7), np.zeros(6)
    for step in range(200):
        if step % 25 == 0:
            asked = rng.uniform(-1.0, 1.0, 7)
            # The shoulder swings toward the box.
            asked[0] = abs(asked[0])
        state = make_state(robot, q, qd, people=person(6.0), stamp_s=step * DT)
        sent, _ = guard.certify(state, make_command(asked))
        before, qd = qd, sent.actuator_velocity.copy()
        q = q + 0.5 * (before + qd) * DT
        kinematics.update(q)
        for shape in shapes:
            capsule = kinematics.capsules()[shape]
            nearest = min(nearest, nearest_in_box(capsule, low, high, out))
    assert nearest > 0.0, nearest
    assert not guard.latch.engaged


def test_without_the_rows_a_shape_enters_the_volume(robot):
    """The law above is not empty: the same motion ends inside without the section."""
    spec = specification(robot)
    guard = Guard(spec)
    q, qd = robot.home_position.copy(), np.zeros(7)
    kinematics, nearest = Kinematics(robot, BASE), np.inf
    low, high, out = np.array(BOX["minimum_m"]), np.array(BOX["maximum_m"]), np.zeros(6)
    for step in range(200):
        state = make_state(robot, q, qd, people=person(6.0), stamp_s=step * DT)
        asked = np.array([0.5, 0, 0, 0, 0, 0, 0])
        sent, _ = guard.certify(state, make_command(asked))
        before, qd = qd, sent.actuator_velocity.copy()
        q = q + 0.5 * (before + qd) * DT
        kinematics.update(q)
        nearest = min(
            nearest, *(nearest_in_box(c, low, high, out) for c in kinematics.capsules())
        )
    assert nearest < -0.05


def test_the_scorer_sees_how_deep_a_shape_is_inside(robot):
    inside = {
        "name": "hand",
        "minimum_m": [0.0, -1.0, 0.7],
        "maximum_m": [1.0, 1.0, 2.0],
    }
    values = VolumesValues.model_validate(volumes(keep_out=[inside]))
    section = Volumes(values, robot, True, Caps(7), 0.0)
    state = make_state(robot)
    kinematics, signals = Kinematics(robot, BASE), np.zeros(Signal.COUNT)
    kinematics.update(state.actuator_position)
    section.update(state, kinematics, signals)
    assert signals[Signal.KEEP_OUT] > 0.1


def test_every_pair_that_a_joint_speed_could_break_has_a_row(robot):
    """Also where more shapes are near boxes than any fixed number of rows."""
    boxes = [
        {
            "name": f"post {i}",
            "minimum_m": [0.5 * np.cos(a) - 0.02, 0.5 * np.sin(a) - 0.02, 0.0],
            "maximum_m": [0.5 * np.cos(a) + 0.02, 0.5 * np.sin(a) + 0.02, 1.6],
        }
        for i, a in enumerate(np.linspace(-2.0, 2.0, 8))
    ]
    given_values = volumes(keep_out=boxes, links=[], margin_m=0.0)
    caps = Caps(7)
    section = Volumes(
        VolumesValues.model_validate(given_values), robot, False, caps, 0.1
    )
    kinematics, signals = Kinematics(robot, BASE), np.zeros(Signal.COUNT)
    q = robot.home_position
    kinematics.update(q)
    section.update(make_state(robot, q), kinematics, signals)
    rows, before = caps.rows[: caps.row_count[0]], kinematics.capsules().copy()
    assert len(rows) > 20, "the test needs more rows than a section ever asks for"
    rng, h, out = np.random.default_rng(0), 1e-6, np.zeros(6)
    for _ in range(20):
        u = rng.choice([-1.0, 1.0], 7) * robot.velocity_max
        kinematics.update(q + h * u)
        broken = 0
        for capsule, moved in zip(before, kinematics.capsules(), strict=True):
            for box in boxes:
                low, high = np.array(box["minimum_m"]), np.array(box["maximum_m"])
                d = nearest_in_box(capsule, low, high, out)
                x, n = out[:3].copy(), out[3:].copy()
                rate = (nearest_in_box(moved, low, high, out) - d) / h
                broken += -rate > 1e-3 + stopping_speed(d, 2.5, 0.1)
                for end in (slice(0, 3), slice(3, 6)) if d <= 0.3 else ():
                    # From the plane that parts the two.
                    if not np.array_equal(capsule[end], x):
                        way = d + n @ (capsule[end] - x)
                        rate = n @ (moved[end] - capsule[end]) / h
                        broken += -rate > 1e-3 + stopping_speed(way, 2.5, 0.1)
        found = int((rows[:, :-1] @ u > rows[:, -1] + 1e-3).sum())
        assert found == broken


def test_fast_joints_leave_an_approach_the_time_that_they_brake(robot):
    """Joints that stop together stop an approach no sooner than the fastest of them."""
    caps, values = Caps(7), VolumesValues.model_validate(volumes())
    section = Volumes(values, robot, False, caps, 0.1)
    kinematics, signals = Kinematics(robot, BASE), np.zeros(Signal.COUNT)
    kinematics.update(robot.home_position)
    limits = []
    for share in (0.0, 1.0):
        caps.clear()
        qd = np.zeros(7)
        qd[4] = share * robot.velocity_max[4]
        section.update(make_state(robot, qd=qd), kinematics, signals)
        limits.append(caps.rows[: caps.row_count[0], -1].copy())
    lasts = robot.velocity_max[4] / robot.acceleration_max[4]
    slow = [stopping_speed(d, 2.5, 0.1) for d in np.linspace(0.0, 1.0, 20_001)]
    for before, after in zip(*limits, strict=True):
        way = np.interp(before, slow, np.linspace(0.0, 1.0, 20_001))
        assert after == pytest.approx(min(before, way / (0.1 + lasts)), abs=1e-3)
    assert (limits[1] < limits[0] - 0.02).any()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"links": ["panda_hnd"]}, 'no link "panda_hnd"; did you mean "panda_hand"'),
        ({"keep_out": []}, "keep_out"),
        (
            {"keep_out": [{**BOX, "maximum_m": [0.1, 0.9, 1.6]}]},
            'volume "cupboard": minimum_m must be below maximum_m',
        ),
    ],
)
def test_wrong_volumes_are_refused(robot, changes, words):
    with pytest.raises((ConfigError, ValueError), match=words):
        values = VolumesValues.model_validate(volumes(**changes))
        Volumes(values, robot, False, Caps(7), 0.1)


def tilt(robot, q):
    kinematics = Kinematics(robot, BASE)
    kinematics.update(q)
    return float(np.arccos(np.clip(kinematics.tool_rotation[2, 2], -1.0, 1.0)))


@pytest.mark.parametrize("seed", range(12))
def test_no_command_tips_the_spoon(robot, spec, seed):
    """Far from everybody, food on the spoon, ten seconds of anything."""
    guard, rng = Guard(spec), np.random.default_rng(seed)
    q, qd, most = robot.home_position.copy(), np.zeros(7), 0.0
    for step in range(200):
        if step % 20 == 0:
            asked = rng.uniform(-2.0, 2.0, 7)
        state = make_state(robot, q, qd, people=person(6.0), stamp_s=step * DT)
        sent, _ = guard.certify(state, make_command(asked))
        before, qd = qd, sent.actuator_velocity.copy()
        q = q + 0.5 * (before + qd) * DT
        most = max(most, tilt(robot, q))
    assert 0.2 < most <= 0.436, most


def test_without_food_the_spoon_may_tip(robot, spec):
    guard, q, qd, most = Guard(spec), robot.home_position.copy(), np.zeros(7), 0.0
    asked = np.array([0, 0, 0, 0, 0, 2.0, 0])
    for step in range(100):
        state = make_state(robot, q, qd, people=person(6.0), stamp_s=step * DT)
        state.extras[EXTRAS.index("food_on_spoon")] = 0.0
        sent, _ = guard.certify(state, make_command(asked))
        before, qd = qd, sent.actuator_velocity.copy()
        q = q + 0.5 * (before + qd) * DT
        most = max(most, tilt(robot, q))
    assert most > 0.5


@LAW
@given(st.lists(st.floats(-1.5, 1.5), min_size=7, max_size=7), st.integers(0, 10**6))
def test_the_row_is_the_rate_of_the_angle(robot, velocity, seed):
    """Against a finite difference of the angle."""
    rng = np.random.default_rng(seed)
    q = np.clip(
        robot.home_position + rng.uniform(-0.6, 0.6, 7),
        robot.position_min,
        robot.position_max,
    )
    values = OrientationValues(
        axis_in_tool=(0, 0, 2),
        axis_in_world=(0, 0, 1),
        limit_rad=0.4,
        gain_per_s=5,
        source="test",
    )
    caps = Caps(7)
    section = Orientation(values, robot, False, caps, 0.1)
    section.bind({})
    kinematics, signals = Kinematics(robot, BASE), np.zeros(Signal.COUNT)
    kinematics.update(q)
    section.update(make_state(robot, q), kinematics, signals)
    assert signals[Signal.TOOL_ORIENTATION] == pytest.approx(tilt(robot, q))
    if not caps.row_count[0]:
        assert signals[Signal.TOOL_ORIENTATION] <= 0.3 * 0.4 + 1e-9
        return
    u, h = np.array(velocity), 1e-6
    rate = (tilt(robot, q + h * u) - tilt(robot, q - h * u)) / (2 * h)
    assert caps.rows[0, :-1] @ u == pytest.approx(rate, abs=1e-4)
