"""Sector, services, envelope and the braking of a heavy machine, by hand and driven."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from physai.errors import ConfigError, ContractError
from physai.robot.description import load_robot
from physai.robot.kinematics import Kinematics
from physai.safety.rules import Signal
from physai.safety.sections import load_section
from physai.safety.sections.section import ROWS_MOST, Caps, stopping_speed
from physai.tasks import registry
from physai.types import Command, State

ROBOT = load_robot("excavator")
SECTOR = {
    "joint": "swing_joint",
    "minimum_rad": -0.5,
    "maximum_rad": 1.0,
    "deceleration_rad_s2": 0.5,
    "margin_rad": 0.02,
    "source": "test",
}
SERVICES = {
    "pipe_extra": 0,
    "buffer_m": 0.3,
    "uncertainty_m": 0.1,
    "deceleration_m_s2": 1.0,
    "width_m": 1.0,
    "plate_length_m": 0.6,
    "source": "test",
}
ENVELOPE = {
    "minimum_m": [3.0, -5.0, -0.8],
    "maximum_m": [9.0, 5.0, 5.0],
    "deceleration_m_s2": 1.0,
    "margin_m": 0.05,
    "source": "test",
}


def make(name, values, truth=False, reaction=0.25):
    found, checked = load_section(name, values)
    caps = Caps(4)
    return found(checked, ROBOT, truth, caps, 0.0 if truth else reaction), caps


def look(section, q, qd=(0.0, 0.0, 0.0, 0.0), extras=()):
    k = Kinematics(ROBOT)
    k.update(np.array(q, dtype=np.float64))
    base = np.array([0.0, 0, 0, 0, 0, 0, 1])
    state = State(
        0.0, 0, np.array(q, dtype=np.float64), np.array(qd, dtype=np.float64),
        np.zeros(4), 0.0, base, np.zeros(6), k.tool_pose().copy(), np.zeros(3), 0.0,
        np.zeros((0, 16, 7)), np.zeros((0, 16, 3)), np.zeros(0), 0.0,
        np.zeros((0, 7)), np.zeros(0), np.zeros(0), 0.0,
        np.array(extras, dtype=np.float64), np.zeros(len(extras)),
    )  # fmt: skip
    signals = np.zeros(Signal.COUNT)
    section.caps.clear()
    section.update(state, k, signals)
    return signals, k


def asked_rows(caps):
    """Return the rows that hold and their limits."""
    held = caps.rows[: caps.row_count[0]]
    return held[:, :-1], held[:, -1]


HOME = [0.0, -0.7, 1.8, 1.9]
DIG = [0.0, -0.525, 1.087, 1.039]
"""Ready to enter the ground: the edge is the bucket's lowest part."""


def test_a_sector_caps_toward_its_ends_only():
    section, caps = make("sector", SECTOR)
    signals, _ = look(section, [0.8, *HOME[1:]])
    assert signals[Signal.SWING_SECTOR] == pytest.approx(0.8 - 0.98)
    assert caps.upper[0] == pytest.approx(stopping_speed(0.18, 0.5, 0.25))
    assert caps.lower[0] == pytest.approx(-stopping_speed(1.28, 0.5, 0.25))
    assert np.isinf(caps.upper[1:]).all()
    signals, _ = look(section, [1.1, *HOME[1:]])
    assert caps.upper[0] == 0.0 and caps.lower[0] < -0.5
    assert signals[Signal.SWING_SECTOR] == pytest.approx(0.12)


def test_a_sector_of_an_unknown_joint_names_the_nearest():
    with pytest.raises(ConfigError, match="swing_joint"):
        make("sector", {**SECTOR, "joint": "swing"})


def test_rows_toward_a_pipe_leave_the_way_out_open():
    section, caps = make("services", SERVICES)
    _, k = look(section, DIG, extras=[5.0, -2, -9, 5, 2, -9, 0.1])
    assert caps.row_count[0] == 0, "far away nothing binds"
    edge = k.tool_position.copy()
    # The pipe lies 0.45 m below the edge: 0.05 m is left before buffer and reserve.
    pipe = [edge[0], edge[1] - 2, edge[2] - 0.55, edge[0], edge[1] + 2, edge[2] - 0.55]
    _, k = look(section, DIG, extras=[*pipe, 0.1])
    rows, limits = asked_rows(caps)
    assert limits.min() == pytest.approx(stopping_speed(0.05, 1.0, 0.25), rel=0.02)
    nearest = rows[int(np.argmin(limits))]
    jacobian = k.tool_jacobian()
    down = np.linalg.lstsq(jacobian[:3], [0.0, 0.0, -1.0], rcond=None)[0]
    assert nearest @ down == pytest.approx(1.0, abs=0.05)
    # Inside the buffer the way out is open and the way in is shut.
    pipe[2] = pipe[5] = edge[2] - 0.3
    signals, _ = look(section, DIG, qd=0.2 * down, extras=[*pipe, 0.1])
    rows, limits = asked_rows(caps)
    assert limits.min() == 0.0
    row = rows[int(np.argmin(limits))]
    assert row @ -down < 0.0 < row @ down
    assert signals[Signal.SERVICE_APPROACH] == pytest.approx(0.2, abs=0.02)


def test_the_scorer_keeps_nothing_back_of_a_pipe():
    guard, guard_caps = make("services", SERVICES)
    scorer, scorer_caps = make("services", SERVICES, truth=True)
    k = Kinematics(ROBOT)
    k.update(np.array(DIG))
    x, y, z = k.tool_position
    extras = [x, y - 2, z - 0.9, x, y + 2, z - 0.9, 0.1]
    look(guard, DIG, extras=extras)
    look(scorer, DIG, extras=extras)
    ours = asked_rows(guard_caps)[1].min()
    theirs = asked_rows(scorer_caps)[1].min()
    assert theirs == pytest.approx(math.sqrt(2.0 * 1.0 * 0.5), rel=0.02)
    assert ours < 0.7 * theirs


def test_an_envelope_bounds_the_speed_toward_its_sides():
    k = Kinematics(ROBOT)
    k.update(np.array(HOME))
    z = float(k.tool_position[2])
    low = {**ENVELOPE, "minimum_m": [3.0, -5.0, z - 0.25]}
    section, caps = make("envelope", low)
    signals, k = look(section, HOME)
    assert signals[Signal.ENVELOPE] == pytest.approx(-0.2, abs=1e-9)
    rows, limits = asked_rows(caps)
    place = int(np.argmin(limits))
    assert limits[place] == pytest.approx(stopping_speed(0.2, 1.0, 0.25))
    assert np.allclose(rows[place], -k.tool_jacobian()[2])


def test_outside_an_envelope_no_joint_moves_the_edge_farther_out():
    """Also not two whose motions would cancel: one of them may yield."""
    k = Kinematics(ROBOT)
    k.update(np.array(DIG))
    z = float(k.tool_position[2])
    section, caps = make("envelope", {**ENVELOPE, "minimum_m": [3.0, -5.0, z]})
    _, k = look(section, DIG)
    down = -k.tool_jacobian()[2]
    assert caps.upper[0] == np.inf and caps.lower[0] == -np.inf, "it may swing"
    for joint in (1, 2, 3):
        if abs(down[joint]) < 0.1:
            continue
        forward, backward = caps.upper[joint], caps.lower[joint]
        assert (forward == 0.0) == (down[joint] > 0.0)
        assert (backward == 0.0) == (down[joint] < 0.0)


@pytest.mark.parametrize("name", ["envelope", "services"])
def test_a_tool_that_does_not_follow_is_told_to_stand(name):
    """It nears a side, or a pipe, faster than anything that was permitted."""
    k = Kinematics(ROBOT)
    k.update(np.array(DIG))
    x, y, z = k.tool_position
    low = {**ENVELOPE, "minimum_m": [3.0, -5.0, z - 0.1]}
    section, caps = make(name, low if name == "envelope" else SERVICES)
    down = np.linalg.lstsq(k.tool_jacobian()[:3], [0.0, 0.0, -1.0], rcond=None)[0]
    pipe = [x, y - 2, z - 0.55, x, y + 2, z - 0.55, 0.1]
    for speed, held in ((0.05, False), (0.6, True)):
        look(section, DIG, qd=speed * down, extras=pipe)
        still = (caps.upper == 0.0).all() and (caps.lower == 0.0).all()
        assert bool(still) == held


def test_an_envelope_turned_inside_out_is_refused():
    with pytest.raises(ConfigError, match="below maximum_m"):
        make("envelope", {**ENVELOPE, "maximum_m": [9.0, 5.0, -0.75]})


def test_sections_may_not_ask_for_more_rows_than_there_is_room_for():
    caps = Caps(2)
    for _ in range(ROWS_MOST):
        caps.row(np.ones(2), math.nan, caps.kind("envelope"))
    assert (caps.rows[:, -1] == 0.0).all(), "what is not a number permits nothing"
    with pytest.raises(ContractError, match="more than"):
        caps.row(np.ones(2), 1.0, 0)
    caps.clear()
    assert caps.row_count[0] == 0


@pytest.fixture(scope="module")
def cycle():
    made = registry.make_cycle("physai/ConstructionTrench-v0", guard="on")
    yield made
    made.close()


@pytest.mark.parametrize(
    ("edge", "rule"),
    [
        ([0.0, -1.0, 0.0, 0.0], "envelope"),
        ([0.0, 1.0, 0.0, 0.0], "envelope"),
        ([-1.0, 0.2, 0.0, 0.0], "envelope"),
        ([1.0, 0.0, 0.0, 0.0], "envelope"),
        ([0.0, 0.2, 0.0, 1.0], "swing_sector"),
        ([0.0, 0.2, 0.0, -1.0], "swing_sector"),
    ],
)
def test_driven_at_full_lever_the_machine_stops_inside(cycle, edge, rule):
    cycle.reset(cycle.task.sample_scenario(10_000_003, "test", "nominal_alone"))
    place = cycle.spec.rule_names.index(rule)
    smallest = 9.0
    for _ in range(120):
        record = cycle.step(np.array(edge))
        smallest = min(smallest, float(record.truth_margins[place]))
        if record.terminated:
            break
    assert smallest >= 0.0
    assert not record.decision.latched


def test_a_bucket_driven_down_on_a_pipe_stops_before_its_buffer(cycle):
    """In soil that does not hold it: the pipe lies in the open air above the ground."""
    scenario = cycle.task.sample_scenario(10_000_004, "test", "nominal_alone")
    cycle.reset(scenario)
    plant = cycle.plant
    process = plant._process
    x, y, z = plant.kinematics.tool_position
    for pipe in (process.pipe, process._planned):
        pipe.capsule[:] = [x, y - 2, z - 1.2, x, y + 2, z - 1.2, 0.1]
    process._plan[:] = [x, y - 2, z - 1.2, x, y + 2, z - 1.2, 0.1]
    process._exact[8:15] = process._plan
    nearest = 9.0
    names = cycle.environment.truth_extras
    for k in range(80):
        record = cycle.step(np.array([0.0, -1.0, 0.0, 0.0]))
        if k > 0:  # the first state was made before the pipe was moved
            distance = record.truth.extras[names.index("true_pipe_distance_m")]
            nearest = min(nearest, float(distance))
    buffer = process.config.pipe.buffer_m
    assert buffer < nearest < buffer + 0.35
    assert not record.decision.latched


def test_the_scorer_takes_the_time_that_a_machine_really_needs(cycle):
    """A slow swing beside a person stops in less than the declared second."""
    cycle.reset(cycle.task.sample_scenario(10_000_005, "test", "nominal_alone"))
    scorer = cycle.scorer
    place = cycle.spec.rule_names.index("separation")
    k = Kinematics(ROBOT)
    k.update(cycle.truth.state.actuator_position)
    people = cycle.truth.state.people.copy()
    tip = k.tool_position
    # Half a metre clear of the bucket's side, to its left: the swing closes in on it.
    for s in range(people.shape[1]):
        people[0, s] = [tip[0], tip[1] + 1.6, tip[2], tip[0], tip[1] + 1.6, tip[2], 0.1]

    def margin(swing):
        state = dataclasses.replace(
            cycle.truth.state,
            people=people,
            actuator_velocity=np.array([swing, 0.0, 0.0, 0.0]),
        )
        return float(scorer.update(state, cycle.truth)[place])

    # At 0.03 rad/s: 0.05 s to stop; at 0.6 rad/s: 1 s, in which a person walks 1.6 m.
    assert margin(0.03) >= 0.0
    assert margin(0.6) < 0.0


def test_the_guard_holds_a_command_that_goes_on(cycle):
    """After the latch nothing that is asked gets through."""
    scenario = cycle.task.sample_scenario(10_000_002, "test", "misuse_run_in")
    cycle.reset(scenario)
    latched = False
    for _ in range(250):
        record = cycle.step(np.array([0.0, 0.3, 0.0, 1.0]))
        if record.decision.latched:
            latched = True
            assert not record.command_sent.actuator_velocity.any()
        if record.terminated or record.truncated:
            break
    assert latched
    command = Command(np.ones(4), np.zeros(0), cycle.state.stamp_s, 10_000)
    sent, decision = cycle.guard.certify(cycle.state, command)
    assert decision.latched and not sent.actuator_velocity.any()
