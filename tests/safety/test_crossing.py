"""A crossing that is closed while another machine comes: by hand, and all round it."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from physai.errors import ConfigError
from physai.robot.description import load_robot
from physai.robot.kinematics import Kinematics
from physai.safety.rules import Signal
from physai.safety.sections import load_section
from physai.safety.sections.section import Caps, footprint_of
from physai.tasks import registry
from tests.safety.test_field import state_of as truck_state

ROBOT = load_robot("crawler_dump")
REAR, FRONT, RIGHT, LEFT = footprint_of(ROBOT).tolist()
A, TR, MARGIN = 0.8, 0.5, 0.6
SQUARE = [[10.0, -4.0], [18.0, -4.0], [18.0, 4.0], [10.0, 4.0]]


def make(truth=False, **changed):
    values = {
        "polygon_m": SQUARE,
        "extra": "closed",
        "deceleration_m_s2": A,
        "margin_m": MARGIN,
        "source": "test",
        **changed,
    }
    made, values = load_section("crossing", values)
    section = made(
        values, ROBOT, truth, Caps(len(ROBOT.actuator_names)), 0.0 if truth else TR
    )
    section.bind({"closed": 0})
    return section


def look(section, x, y=0.0, yaw=0.0, closed=1.0, speed=0.0):
    pose = np.array([x, y, 0.0, 0.0, 0.0, math.sin(yaw / 2), math.cos(yaw / 2)])
    state = dataclasses.replace(
        truck_state(np.zeros(0)),
        base_pose_in_world=pose,
        actuator_velocity=np.array([speed, 0.0, 0.0]),
        extras=np.array([closed]),
        extras_age_s=np.zeros(1),
    )
    signals = np.zeros(Signal.COUNT)
    section.caps.clear()
    section.update(state, Kinematics(ROBOT), signals)
    return signals[Signal.CROSSING], section.caps


def stopping(way, reaction=TR):
    if way <= 0.0:
        return 0.0
    return -A * reaction + math.sqrt((A * reaction) ** 2 + 2.0 * A * way)


def test_before_a_closed_crossing_the_speed_stops_before_its_edge():
    section, way = make(), 2.5
    excess, caps = look(section, 10.0 - FRONT - way, speed=1.8)
    limit = stopping(way - MARGIN)
    assert caps.upper[0] == pytest.approx(limit)
    assert np.isinf(caps.lower[0]), "nothing is behind"
    assert caps.kinds[int(caps.rule[0])] == "crossing"
    assert excess == pytest.approx((1.8 - limit) / ROBOT.velocity_max[0])
    # The scorer keeps nothing back.
    truth, _ = look(make(truth=True), 10.0 - FRONT - way, speed=1.8)
    assert truth < excess


def test_backing_up_toward_it_is_bounded_too():
    way = 1.2
    _, caps = look(make(), 18.0 + way - REAR, 0.0)
    assert caps.lower[0] == pytest.approx(-stopping(way - MARGIN))
    assert np.isinf(caps.upper[0])


@pytest.mark.parametrize("closed", [0.0, 0.5])
def test_an_open_crossing_asks_nothing(closed):
    excess, caps = look(make(), 10.0 - FRONT - 1.0, closed=closed, speed=2.0)
    assert np.isinf(caps.upper).all() and np.isinf(caps.lower).all()
    assert excess == -1.0


def test_who_is_in_it_already_may_leave_and_unknown_is_closed():
    _, inside = look(make(), 14.0, speed=1.0)
    assert np.isinf(inside.upper).all() and np.isinf(inside.lower).all()
    _, unknown = look(make(), 10.0 - FRONT - 1.0, closed=math.nan)
    assert unknown.upper[0] == pytest.approx(stopping(1.0 - MARGIN))


def test_a_corner_that_passes_it_by_is_not_stopped():
    _, caps = look(make(), 5.0, 4.0 - RIGHT + 0.1)
    assert np.isinf(caps.upper[0])
    _, caps = look(make(), 5.0, 4.0 - RIGHT - 0.1)
    assert caps.upper[0] == pytest.approx(stopping(5.0 - FRONT - MARGIN))


def test_a_signal_that_is_not_there_is_refused():
    with pytest.raises(ConfigError, match=r"crossing\.extra"):
        make().bind({"open": 0})


def test_the_guard_of_the_haul_holds_before_its_closed_crossing():
    """Through the whole guard: the signal is found, and its cap reaches the command."""
    cycle = registry.make_cycle("physai/ConstructionHaul-v0", guard="on")
    try:
        first = cycle.environment.distributions["train"].seeds.first
        cycle.reset(cycle.task.sample_scenario(first, "train"))
        spec, guard = cycle.spec, cycle.guard
        polygon = np.array(spec.config.sections["crossing"]["polygon_m"])
        edge, following = polygon[0], polygon[1]
        inward = np.array([following[1] - edge[1], edge[0] - following[0]])
        inward /= np.linalg.norm(inward)
        if inward @ (polygon.mean(0) - edge) < 0.0:
            inward = -inward
        place = 0.5 * (edge + following) - (FRONT + 0.7) * inward
        yaw = math.atan2(inward[1], inward[0])
        pose = [*place, 0.0, 0.0, 0.0, math.sin(yaw / 2), math.cos(yaw / 2)]
        cap = {}
        for closed in (0.0, 1.0):
            extras = cycle.state.extras.copy()
            extras[spec.extras["crossing_closed"]] = closed
            state = dataclasses.replace(
                cycle.state, base_pose_in_world=np.array(pose), extras=extras
            )
            guard.reset()
            guard.monitor.update(state)
            cap[closed] = float(guard.monitor.caps.upper[0])
        values = spec.config.sections["crossing"]
        way = 0.7 - values["margin_m"]
        assert values["deceleration_m_s2"] == A
        limit = stopping(way, guard.monitor.parameters[0])
        assert cap[1.0] == pytest.approx(limit, abs=1e-6)
        assert cap[0.0] > cap[1.0] + 0.02
    finally:
        cycle.close()
