"""Another machine on the site: its message, by hand, and driven against."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from physai.errors import ConfigError
from physai.robot.description import load_robot
from physai.robot.kinematics import Kinematics
from physai.safety.rules import Signal
from physai.safety.sections import load_section
from physai.safety.sections.section import Caps, approach_speed, footprint_of
from tests.safety.test_field import state_of as truck_state
from tests.safety.test_guard_laws import LAW

ROBOT = load_robot("crawler_dump")
REAR, FRONT, RIGHT, LEFT = footprint_of(ROBOT).tolist()
A, TR, MARGIN, LENGTH, WIDTH = 0.8, 0.5, 0.8, 5.5, 2.5
NAMES = ("x", "y", "u", "w")
VALUES = {
    "position": ["x", "y"],
    "velocity": ["u", "w"],
    "length_m": LENGTH,
    "width_m": WIDTH,
    "deceleration_m_s2": A,
    "margin_m": MARGIN,
    "source": "test",
}


def make(truth=False, robot=ROBOT, **changed):
    made, values = load_section("traffic", {**VALUES, **changed})
    caps = Caps(len(robot.actuator_names))
    section = made(values, robot, truth, caps, 0.0 if truth else TR)
    section.bind({name: place for place, name in enumerate(NAMES)})
    return section


def look(section, message, velocity=(0.0, 0.0, 0.0), age=0.0):
    state = dataclasses.replace(
        truck_state(np.zeros(0)),
        actuator_velocity=np.array(velocity, dtype=float),
        extras=np.array(message, dtype=float),
        extras_age_s=np.full(4, age),
    )
    signals = np.zeros(Signal.COUNT)
    section.caps.clear()
    section.update(state, Kinematics(ROBOT), signals)
    return signals[Signal.TRAFFIC], section.caps


def test_a_machine_that_stands_ahead_is_stopped_for_and_left_freely():
    section = make()
    # It has driven along x, and stands now.
    look(section, (20.0, 0.0, 2.0, 0.0))
    x = FRONT + 3.0 + 0.5 * LENGTH
    excess, caps = look(section, (x, 0.0, 0.0, 0.0), (1.0, 0.0, 0.0))
    row, limit = caps.rows[0, :-1], caps.rows[0, -1]
    assert limit == pytest.approx(-A * TR + math.sqrt((A * TR) ** 2 + 2 * A * 2.2))
    assert row[:2] @ [1.0, 0.0] == pytest.approx(1.0)
    assert row[:2] @ [-1.0, 0.0] < 0.0, "the way back is free"
    assert np.isinf(caps.upper).all() and np.isinf(caps.lower).all()
    assert excess == pytest.approx(1.0 - limit)


def test_a_machine_that_has_not_moved_could_stand_any_way_round():
    unknown, known = make(), make()
    look(known, (20.0, 0.0, 0.0, 2.0))
    x = FRONT + 5.0
    _, seen = look(known, (x, 0.0, 0.0, 0.0))
    _, unseen = look(unknown, (x, 0.0, 0.0, 0.0))
    half = 0.5 * math.hypot(LENGTH, WIDTH)
    assert seen.rows[0, -1] == pytest.approx(
        approach_speed(5.0 - 0.5 * WIDTH - MARGIN, 0.0, A, TR)
    )
    assert unseen.rows[0, -1] == pytest.approx(
        approach_speed(5.0 - half - MARGIN, 0.0, A, TR)
    )


@LAW
@given(st.floats(4.0, 12.0), st.floats(0.5, 3.0), st.floats(0.0, 0.6))
def test_while_it_comes_no_motion_is_faster_whichever_way(gap, speed, age):
    x = FRONT + gap + 0.5 * LENGTH
    _, caps = look(make(), (x, 0.0, -speed, 0.0), age=age)
    left = gap - age * speed - MARGIN
    limit = approach_speed(left, speed, A, TR)
    # The closed form, by hand: what both cover until the robot stands fits in.
    if limit > 0.0:
        way = limit * TR + limit**2 / (2 * A) + speed * (TR + limit / A)
        assert way == pytest.approx(left)
    assert caps.rows[0, -1] == pytest.approx(limit)
    assert caps.upper[0] == pytest.approx(limit)
    assert -caps.lower[0] == pytest.approx(limit)
    assert caps.upper[1] == pytest.approx(limit / max(FRONT, -REAR))


@LAW
@given(st.floats(-1.0, 1.0), st.floats(-0.5, 0.5), st.floats(-8.0, 8.0))
def test_what_the_rows_permit_keeps_the_gap(v, w, y):
    """Against the distance of the two boxes after a short drive."""
    section = make()
    look(section, (30.0, y, 2.0, 0.0))
    middle = FRONT + 1.0 + 0.5 * LENGTH
    _, caps = look(section, (middle, y, 0.0, 0.0))
    rows = caps.rows[: caps.row_count[0]]
    wanted = np.array([v, w, 0.0])
    share = min(
        [
            1.0,
            *(
                b / max(a @ wanted, 1e-9)
                for a, b in zip(rows[:, :-1], rows[:, -1], strict=True)
                if a @ wanted > b
            ),
        ]
    )
    h = 1e-4
    sides = np.array(
        [(a, b) for a in np.linspace(REAR, FRONT, 300) for b in (RIGHT, LEFT)]
        + [(a, b) for a in (REAR, FRONT) for b in np.linspace(RIGHT, LEFT, 300)]
    )

    def gap(dt):
        move, turn = share * v * dt, share * w * dt
        c, s = math.cos(turn), math.sin(turn)
        places = sides @ np.array([[c, s], [-s, c]]) + (move, 0.0)
        out = np.abs(places - (middle, y)) - (0.5 * LENGTH, 0.5 * WIDTH)
        out = np.maximum(out, 0.0)
        return float(np.hypot(out[:, 0], out[:, 1]).min())

    closing = (gap(0.0) - gap(h)) / h
    assert closing <= approach_speed(gap(0.0) - MARGIN, 0.0, A, TR) + 0.02


def test_an_arm_has_no_traffic_and_an_extra_must_be_there():
    with pytest.raises(ConfigError, match="does not drive"):
        make(robot=load_robot("palletizer"))
    made, values = load_section("traffic", {**VALUES, "position": ["x", "yy"]})
    section = made(values, ROBOT, False, Caps(3), TR)
    with pytest.raises(ConfigError, match='no extra "yy"; did you mean "y"'):
        section.bind({name: place for place, name in enumerate(NAMES)})
