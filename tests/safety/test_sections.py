"""Areas, fence, protective field and stability against hand calculation."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from physai.errors import ConfigError
from physai.plant.protective_field import turning_way
from physai.robot.description import load_robot
from physai.robot.kinematics import Kinematics
from physai.safety.rules import Signal
from physai.safety.sections import field, load_section
from physai.safety.sections.section import (
    Caps,
    edge_distance,
    footprint_of,
    inside_polygon,
    ray_distance,
    stopping_speed,
)
from physai.types import State

SQUARE = np.array([[-20.0, -20.0], [20.0, -20.0], [20.0, 20.0], [-20.0, 20.0]])
LAW = settings(max_examples=200, deadline=None)
coordinate = st.floats(-30.0, 30.0)


@pytest.fixture(scope="module")
def truck():
    return load_robot("truck")


def make_state(robot, x=0.0, y=0.0, yaw=0.0, v=0.0, w=0.0, people=None, age=0.1):
    n = len(robot.actuator_names)
    people = np.zeros((0, 16, 7)) if people is None else people
    velocity = np.zeros(n)
    velocity[:2] = v, w
    pose = np.array([x, y, 0.0, 0.0, 0.0, math.sin(yaw / 2), math.cos(yaw / 2)])
    return State(
        0.0, 0, np.array(robot.home_position), velocity, np.zeros(n), 0.0, pose,
        np.zeros(6), pose.copy(), np.zeros(3), 0.0, people,
        np.zeros((len(people), 16, 3)), np.full(len(people), age), 0.0,
        np.zeros((0, 7)), np.zeros(0), np.zeros(0), 0.0, np.zeros(0), np.zeros(0),
    )  # fmt: skip


def make(name, robot, values, truth=False, reaction=0.2):
    found, checked = load_section(name, values)
    caps = Caps(len(robot.actuator_names))
    return found(checked, robot, truth, caps, 0.0 if truth else reaction), caps


def update(section, robot, state):
    signals = np.zeros(Signal.COUNT)
    section.caps.clear()
    section.update(state, Kinematics(robot), signals)
    return signals


@LAW
@given(st.floats(0.01, 100.0), st.floats(0.1, 5.0), st.floats(0.0, 1.0))
def test_stopping_speed_stops_in_the_distance(distance, a, tr):
    v = stopping_speed(distance, a, tr)
    assert v * tr + v * v / (2 * a) == pytest.approx(distance, rel=1e-9)
    assert stopping_speed(math.nan, a, tr) == 0.0


@LAW
@given(coordinate, coordinate)
def test_polygon_distances_of_a_square(x, y):
    inside = abs(x) < 20.0 and abs(y) < 20.0
    if min(abs(abs(x) - 20.0), abs(abs(y) - 20.0)) > 1e-9:
        assert inside_polygon(x, y, SQUARE) == inside
    if inside:
        expected = min(20.0 - abs(x), 20.0 - abs(y))
        assert edge_distance(x, y, SQUARE) == pytest.approx(expected, abs=1e-9)
        assert ray_distance(x, y, 1.0, 0.0, SQUARE) == pytest.approx(20.0 - x)


FENCE = {
    "polygon_m": SQUARE.tolist(),
    "deceleration_m_s2": 1.2,
    "margin_m": 0.3,
    "source": "test",
}


@LAW
@given(st.floats(-17.0, 17.5))
def test_a_truck_stops_before_the_fence(x):
    robot = load_robot("truck")
    section, caps = make("fence", robot, FENCE)
    update(section, robot, make_state(robot, x=x))
    free = 20.0 - (x + footprint_of(robot)[1]) - 0.3
    v = caps.upper[0]
    assert v * 0.2 + v * v / 2.4 == pytest.approx(max(0.0, free), abs=1e-6)
    back = x + footprint_of(robot)[0] + 20.0 - 0.3
    v = -caps.lower[0]
    assert v * 0.2 + v * v / 2.4 == pytest.approx(max(0.0, back), abs=1e-6)


def test_outside_the_fence_only_the_way_back_is_open(truck):
    section, caps = make("fence", truck, FENCE)
    signals = update(section, truck, make_state(truck, x=25.0, v=1.0))
    assert caps.upper[0] == 0.0 and caps.lower[0] == pytest.approx(-0.2)
    assert signals[Signal.GEOFENCE] > 0.0


AREAS = {
    "areas": [
        {
            "name": "dig",
            "kind": "unmanned",
            "polygon_m": [[0, 0], [4, 0], [4, 4], [0, 4]],
        },
        {
            "name": "around",
            "kind": "restricted",
            "polygon_m": [[-4, -4], [8, -4], [8, 8], [-4, 8]],
            "speed_share": 0.3,
        },
        {
            "name": "crossing",
            "kind": "slow",
            "polygon_m": [[18, 18], [22, 18], [22, 22], [18, 22]],
            "speed_share": 0.5,
        },
    ],
    "uncertainty_m": 0.2,
    "source": "test",
}


def somebody(x, y):
    row = np.zeros((1, 16, 7))
    row[..., [0, 3]], row[..., [1, 4]], row[..., 6] = x, y, 0.1
    return row


@pytest.mark.parametrize(
    ("x", "y", "intrusion", "share"),
    [
        (2.0, 2.0, 1.0, 0.3),
        # 0.2 m of the tracker, 0.1 m of the body and 0.16 m of walking since.
        (4.45, 2.0, 1.0, 0.3),
        (4.48, 2.0, 0.0, 0.3),
        (8.45, 2.0, 0.0, 0.3),
        (8.48, 2.0, 0.0, 1.0),
    ],
)
def test_a_person_counts_where_they_could_be(truck, x, y, intrusion, share):
    section, caps = make("areas", truck, AREAS)
    signals = update(section, truck, make_state(truck, people=somebody(x, y)))
    assert signals[Signal.AREA_INTRUSION] == intrusion
    if share < 1.0:
        np.testing.assert_allclose(caps.upper, share * truck.velocity_max)
        np.testing.assert_allclose(caps.lower, -share * truck.velocity_max)
    else:
        assert np.isinf(caps.upper).all()


def test_a_robot_is_slow_in_its_zone_and_the_scorer_sees_it(truck):
    section, caps = make("areas", truck, AREAS, truth=True)
    state = make_state(truck, x=20.0, y=20.0, v=0.6 * truck.velocity_max[0])
    signals = update(section, truck, state)
    assert signals[Signal.AREA_SPEED] == pytest.approx(0.1)
    assert caps.upper[0] == pytest.approx(0.5 * truck.velocity_max[0])


STABILITY = {
    "roll_limit_rad": 0.2,
    "pitch_limit_rad": 0.3,
    "lateral_acceleration_m_s2": 1.0,
    "lift": {"joint": "mast_lift", "height_m": [0.3, 3.0], "speed_m_s": [4.0, 0.5]},
    "source": "test",
}


def tilted(robot, roll, pitch, **more):
    state = make_state(robot, **more)
    pose = state.base_pose_in_world.copy()
    cr, sr, cp, sp = (f(a / 2) for a in (roll, pitch) for f in (math.cos, math.sin))
    pose[3:] = [sr * cp, cr * sp, -sr * sp, cr * cp]
    return dataclasses.replace(state, base_pose_in_world=pose)


@LAW
@given(st.floats(-0.4, 0.4))
def test_inclination_is_the_share_of_the_permitted_angle(angle):
    robot = load_robot("truck")
    section, _ = make("stability", robot, STABILITY)
    rolled = update(section, robot, tilted(robot, angle, 0.0))
    assert rolled[Signal.INCLINATION] == pytest.approx(abs(angle) / 0.2, abs=1e-9)
    pitched = update(section, robot, tilted(robot, 0.0, angle))
    assert pitched[Signal.INCLINATION] == pytest.approx(abs(angle) / 0.3, abs=1e-9)


def test_a_lifted_load_and_a_curve_slow_the_truck(truck):
    section, caps = make("stability", truck, STABILITY)
    state = make_state(truck)
    high = state.actuator_position.copy()
    high[truck.actuator_names.index("mast_lift")] = 1.65
    update(section, truck, dataclasses.replace(state, actuator_position=high))
    assert caps.upper[0] == pytest.approx(2.25)
    update(section, truck, make_state(truck, v=2.0, w=0.8))
    assert caps.upper[0] == pytest.approx(1.0 / 0.8)
    assert caps.upper[1] == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("name", "values", "words"),
    [
        ("fenze", {}, "fence"),
        ("fence", {**FENCE, "polygon_m": [[0, 0], [1, 1]]}, "polygon_m"),
        ("fence", {**FENCE, "decel": 1}, "decel"),
        ("areas", {**AREAS, "areas": [{**AREAS["areas"][2], "speed_share": 1.0}]}, "below 1"),
        ("stability", {**STABILITY, "lift": {**STABILITY["lift"], "speed_m_s": [1.0, 2.0, 3.0]}}, "equally long"),
    ],
)  # fmt: skip
def test_a_wrong_section_is_refused_with_its_name(name, values, words):
    with pytest.raises(ConfigError, match=words):
        load_section(name, values)


@LAW
@given(
    st.integers(0, 2**32 - 1),
    st.floats(0.02, 8.0),
    st.sampled_from([-1.0, 1.0]),
    st.sampled_from([0, 1]),
    st.floats(0.3, 12.0),
)
def test_points_that_are_passed_over_never_shorten_a_way(seed, bend, turn, side, known):
    """The field leaves out what is too far away to matter; the way is exact all the same."""
    rng = np.random.default_rng(seed)
    box = np.array([-rng.uniform(0.2, 3.0), rng.uniform(0.1, 2.0), -0.6, 0.7])
    bearing = np.linspace(-2.4, 2.4, 121)
    ranges = rng.uniform(0.2, 10.0, 121)
    figures = np.array(
        [*box, 10.0, 0.0, 0.0, 1.0, 0.1, bearing[1] - bearing[0], 0.0, 1.0]
    )
    points = np.zeros((121, 3))
    directions = np.stack([np.cos(bearing), np.sin(bearing)], axis=1)
    count = field._place_points(ranges, directions, np.zeros(2), figures, points)
    assert count > 0
    curvature, sign = turn * bend, 1.0 if side == 0 else -1.0
    ways = [turning_way(x, y, box, curvature, sign) for x, y, _ in points[:count]]
    found = field._free_way(points, count, box, known, curvature, side, -1.0)
    assert found == min(known, *ways)
    # Where only a limit is asked, it is met or missed as the exact way does.
    enough = 0.5 * known
    quick = field._free_way(points, count, box, known, curvature, side, enough)
    assert (quick < enough) == (found < enough)
