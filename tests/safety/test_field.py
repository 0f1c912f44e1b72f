"""The protective field against hand calculation."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from physai.errors import ConfigError
from physai.robot.description import load_robot
from physai.robot.kinematics import Kinematics
from physai.safety.rules import Signal
from physai.safety.sections import load_section
from physai.safety.sections.section import Caps, footprint_of
from physai.types import State

ROBOT = load_robot("truck")
LIDAR = ROBOT.lidar
assert LIDAR is not None
ANGLES = LIDAR.angles_rad
REACH = LIDAR.range_max_m
X0 = LIDAR.position_m[0]
FRONT, HALF = footprint_of(ROBOT)[1], footprint_of(ROBOT)[3]
A, TR, KEPT, SIDE = 1.3, 0.15, 0.3, 0.2
VALUES = {
    "deceleration_m_s2": A,
    "object_speed_m_s": 0.0,
    "side_margin_m": SIDE,
    "standstill_m": KEPT,
    "unseen_speed_m_s": 0.3,
    "source": "test",
}


def state_of(ranges, v=0.0, w=0.0, age=0.0):
    none = np.zeros(0)
    return State(
        0.0,
        0,
        np.array([0.0, 0.0, 0.3]),
        np.array([v, w, 0.0]),
        np.zeros(3),
        0.0,
        np.array([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0]),
        np.zeros(6),
        np.zeros(7),
        np.zeros(3),
        0.0,
        np.zeros((0, 16, 7)),
        np.zeros((0, 16, 3)),
        none,
        0.0,
        np.zeros((0, 7)),
        none,
        ranges,
        age,
        none,
        none,
    )


def look(ranges, v=0.0, w=0.0, age=0.0, truth=False, **changed):
    """Caps (forward, backward, left, right) and the signal."""
    made, values = load_section("field", {**VALUES, **changed})
    caps, signals = Caps(3), np.zeros(Signal.COUNT)
    section = made(values, ROBOT, truth, caps, 0.0 if truth else TR)
    section.update(state_of(ranges, v, w, age), Kinematics(ROBOT), signals)
    found = (caps.upper[0], -caps.lower[0], caps.upper[1], -caps.lower[1])
    return (*found, signals[Signal.PROTECTIVE_FIELD])


def free():
    return np.full(len(ANGLES), REACH)


def wall_ahead(distance):
    """Ranges to a wall across the way, at a distance from the front of the robot."""
    x = FRONT + distance - X0
    with np.errstate(divide="ignore"):
        r = x / np.cos(ANGLES)
    return np.where((np.cos(ANGLES) > 1e-6) & (r < REACH), r, REACH)


def stopping(way, tr=TR):
    if way <= 0.0:
        return 0.0
    return -A * tr + math.sqrt((A * tr) ** 2 + 2.0 * A * way)


@settings(max_examples=60, deadline=None)
@given(st.floats(0.4, 6.0), st.floats(0.0, 0.2))
def test_the_truck_stops_before_a_wall(distance, age):
    forward = look(wall_ahead(distance), age=age)[0]
    assert forward == pytest.approx(stopping(distance - KEPT, TR + age), rel=1e-6)
    # v Tr + v^2 / 2a is the way that was free.
    way = forward * (TR + age) + forward**2 / (2.0 * A)
    assert way == pytest.approx(distance - KEPT, rel=1e-6)


def test_what_stands_beside_the_corridor_does_not_count():
    for across, counts in ((HALF + SIDE + 0.02, False), (HALF + SIDE - 0.02, True)):
        bearing, r = math.atan2(across, FRONT + 1.0 - X0), 0.0
        ranges = free()
        place = int(np.argmin(np.abs(ANGLES - bearing)))
        r = across / math.sin(ANGLES[place])
        ranges[place] = r
        assert (look(ranges)[0] < stopping(REACH - KEPT) - 1e-6) == counts


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 40), st.integers(60, 110))
def test_a_gap_is_free_no_farther_than_it_could_hide_a_leg(count, first):
    ranges, step = free(), ANGLES[1] - ANGLES[0]
    ranges[first : first + count] = 0.0
    near = 0.07 / (2.0 * math.sin(0.5 * (count + 1) * step))
    places = X0 + near * np.cos(ANGLES[first : first + count])
    across = near * np.abs(np.sin(ANGLES[first : first + count]))
    ahead = places[across <= HALF + SIDE]
    expected = REACH
    if len(ahead) and near < REACH:
        expected = max(0.0, float(ahead.min()) - FRONT)
    assert look(ranges)[0] == pytest.approx(stopping(expected - KEPT), abs=1e-9)
    # The scorer judges what is there.
    assert look(ranges, truth=True)[0] == pytest.approx(stopping(REACH, 0.0))


@pytest.mark.parametrize("nothing", [0.0, math.nan])
def test_a_blind_lidar_holds_the_truck(nothing):
    forward, backward, left, right, _ = look(np.full(len(ANGLES), nothing))
    assert forward == 0.0
    assert backward <= 0.3
    assert left == 0.0 or right == 0.0 or forward == 0.0
    assert look(np.full(len(ANGLES), nothing), v=0.5)[4] == pytest.approx(0.5 / 4.2)


def test_a_scan_of_another_size_holds_the_truck():
    made, values = load_section("field", VALUES)
    caps, signals = Caps(3), np.zeros(Signal.COUNT)
    section = made(values, ROBOT, False, caps, TR)
    section.update(state_of(np.zeros(7)), Kinematics(ROBOT), signals)
    assert caps.upper[0] == 0.0 and caps.lower[0] == 0.0
    assert math.isnan(signals[Signal.LIDAR_AGE])


def test_nothing_sees_back_so_that_backing_is_slow():
    assert look(free())[1] == pytest.approx(0.3)


def aisle(half_width, yaw=0.0):
    """Ranges in an aisle whose faces are at +-half_width, for a heading."""
    ranges = free()
    for i, bearing in enumerate(ANGLES):
        s = math.sin(bearing + yaw)
        if abs(s) > 1e-6:
            y = X0 * math.sin(yaw)
            r = ((half_width if s > 0 else -half_width) - y) / s
            ranges[i] = min(REACH, r)
    return ranges


def test_in_an_aisle_it_may_go_straight_but_not_turn_into_the_rack():
    forward, _, left, right, signal = look(aisle(1.8), v=1.2)
    assert forward > 3.0
    assert signal < 0.0
    for turn in (left, right):
        # The arc on which the corridor's edge meets the rack is shorter than the way to
        # stop, if it turned faster by the search's factor.
        assert 0.05 < turn < 0.6
        for rate, enough in ((turn, True), (1.5 * turn, False)):
            permitted = look(aisle(1.8), v=1.2, w=rate, truth=False)[0]
            assert (permitted >= 1.2) == enough


def test_a_turn_is_judged_with_what_comes_when_it_ends():
    skewed = aisle(1.8, yaw=0.4)
    straight = look(skewed, v=0.8)[0]
    bent = look(skewed, v=0.8, w=-0.3)[0]
    assert bent <= straight + 1e-9


def test_a_robot_without_lidar_is_refused():
    bare = dataclasses.replace(
        ROBOT, config=ROBOT.config.model_copy(update={"lidar": None})
    )
    made, values = load_section("field", VALUES)
    with pytest.raises(ConfigError, match="no lidar"):
        made(values, bare, False, Caps(3), TR)


@pytest.mark.parametrize("count", [0, 1, len(ANGLES)])
def test_a_scan_without_a_number_is_no_scan(count):
    ranges = np.full(len(ANGLES), np.nan)
    ranges[:count] = REACH
    made, values = load_section("field", VALUES)
    caps, signals = Caps(3), np.zeros(Signal.COUNT)
    made(values, ROBOT, False, caps, TR).update(
        state_of(ranges), Kinematics(ROBOT), signals
    )
    assert np.isnan(signals[Signal.LIDAR_AGE]) == (count == 0)
    assert caps.upper[0] > 0.0 or count < len(ANGLES)
