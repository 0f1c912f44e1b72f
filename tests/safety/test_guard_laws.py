"""Laws of the guard, whatever the policy asks for."""

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from physai.errors import RefusedError
from physai.robot.kinematics import Kinematics
from physai.safety import Guard
from physai.types import Action, Command
from tests.safety.conftest import BASE, make_command, make_state, person

LAW = settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
velocities = st.lists(st.floats(-5, 5), min_size=7, max_size=7)
seeds = st.integers(0, 10**6)


def posture(robot, seed):
    rng = np.random.default_rng(seed)
    return np.clip(
        robot.home_position + rng.uniform(-0.4, 0.4, 7),
        robot.position_min + 0.05,
        robot.position_max - 0.05,
    )


def link_speeds(robot, q, velocity):
    kinematics = Kinematics(robot, BASE)
    kinematics.update(q)
    kinematics.capsules()
    ends = kinematics.capsule_velocity(np.asarray(velocity, dtype=float))
    return np.maximum(
        np.linalg.norm(ends[:, :3], axis=1), np.linalg.norm(ends[:, 3:], axis=1)
    )


@LAW
@given(velocities, seeds, st.floats(0.55, 1.6), st.floats(-0.5, 0.5))
def test_never_faster_than_permitted_near_a_person(robot, spec, asked, seed, x, y):
    """No link moves faster than max(near speed, permitted speed) in any direction."""
    guard = Guard(spec)
    q = posture(robot, seed)
    state = make_state(robot, q, people=person(x, y))
    sent, _ = guard.certify(state, make_command(asked))
    speeds = link_speeds(robot, q, sent.actuator_velocity)
    near = guard.monitor.shape_segment >= 0
    assert (speeds[near] <= guard.monitor.shape_cap[near] + 1e-5).all()
    rows, limits = guard.monitor.rows, guard.monitor.limits
    count = guard.monitor.row_count
    assert (rows[:count] @ sent.actuator_velocity <= limits[:count] + 1e-5).all()


@LAW
@given(velocities, seeds)
def test_never_outside_the_joint_limits(robot, spec, asked, seed):
    guard = Guard(spec)
    state = make_state(robot, posture(robot, seed), people=person(6.0))
    sent, _ = guard.certify(state, make_command(asked))
    assert (np.abs(sent.actuator_velocity) <= robot.velocity_max).all()
    assert (
        np.abs(sent.actuator_velocity) <= robot.acceleration_max / 20.0 + 1e-9
    ).all(), "from standstill no joint gains more than one period of acceleration"


def test_a_joint_driven_at_its_end_stops_before_it(robot, spec):
    guard = Guard(spec)
    q, velocity = robot.home_position.copy(), np.zeros(7)
    for step in range(400):
        state = make_state(robot, q, velocity, people=person(6.0), stamp_s=0.05 * step)
        sent, _ = guard.certify(state, make_command([2.0, 0, 0, 0, 0, 0, 2.0]))
        velocity = sent.actuator_velocity
        q = q + 0.05 * velocity
        assert (q <= robot.position_max).all() and (q >= robot.position_min).all()
    assert abs(velocity[6]) < 1e-3


@LAW
@given(seeds, st.floats(0.0, 0.02))
def test_identity_when_safe(robot, spec, seed, size):
    """A slow command far from everybody passes untouched, to the bit."""
    guard = Guard(spec)
    rng = np.random.default_rng(seed)
    asked = rng.uniform(-size, size, 7)
    state = make_state(robot, people=person(6.0))
    sent, decision = guard.certify(state, make_command(asked))
    np.testing.assert_array_equal(sent.actuator_velocity, asked)
    assert decision.action is Action.NONE and not decision.intervened
    assert decision.rule == "" and decision.sentence == ""


@LAW
@given(velocities, seeds, st.floats(0.6, 1.2), st.floats(0.0, 1.0))
def test_more_distance_never_permits_less(robot, spec, asked, seed, x, more):
    near, far = Guard(spec), Guard(spec)
    q = posture(robot, seed)
    near.certify(make_state(robot, q, people=person(x)), make_command(asked))
    far.certify(
        make_state(robot, q, people=person(x + more + 2.0)), make_command(asked)
    )
    assert (near.monitor.shape_cap <= far.monitor.shape_cap + 1e-12).all()


BAD_STATES = {
    "position": lambda s: {"actuator_position": np.full(7, np.nan)},
    "one joint": lambda s: {
        "actuator_velocity": np.array([0, 0, np.inf, 0, 0, 0, 0], dtype=float)
    },
    "people": lambda s: {"people": np.full_like(s.people, np.nan)},
    "extras": lambda s: {"extras": np.full_like(s.extras, np.nan)},
    "force": lambda s: {"tool_force_in_world_n": np.array([0.0, np.nan, 0.0])},
    "stamp": lambda s: {"stamp_s": math.nan},
    "age": lambda s: {"actuator_age_s": math.nan},
    "negative age": lambda s: {"people_age_s": np.array([-1.0])},
    "wrong size": lambda s: {"actuator_position": np.zeros(6)},
    "no extras": lambda s: {"extras": np.zeros(0), "extras_age_s": np.zeros(0)},
    "old joints": lambda s: {"actuator_age_s": 1.0},
}


@pytest.mark.parametrize("name", BAD_STATES)
def test_bad_input_stops_and_latches(robot, guard, name):
    state = make_state(robot)
    bad = dataclasses.replace(state, **BAD_STATES[name](state))
    sent, decision = guard.certify(bad, make_command(np.full(7, 0.3)))
    np.testing.assert_array_equal(sent.actuator_velocity, np.zeros(7))
    assert decision.action is Action.STOP1 and decision.latched
    assert decision.sentence and decision.sentence_ja
    sent, decision = guard.certify(state, make_command(np.full(7, 0.01)))
    assert decision.latched, "good input again is no reason to move again"
    assert not sent.actuator_velocity.any()


HOLDS = {
    "person lost": lambda s: {
        "people": s.people[:0],
        "people_velocity": s.people_velocity[:0],
        "people_age_s": s.people_age_s[:0],
    },
    "old track": lambda s: {"people_age_s": np.array([2.0])},
    "old frame": lambda s: {"people_frame_age_s": 2.0},
    "old channel": lambda s: {"extras_age_s": np.full(10, 2.0)},
    "old force": lambda s: {"tool_force_age_s": 1.0},
    "stop signal": lambda s: {"extras": np.where(np.arange(10) == 8, 1.0, s.extras)},
    "utensil force": lambda s: {"tool_force_in_world_n": np.array([1.5, 0.0, 0.0])},
}


@pytest.mark.parametrize("name", HOLDS)
def test_what_may_pass_holds_and_releases_by_itself(robot, guard, name):
    state = make_state(robot)
    bad = dataclasses.replace(state, **HOLDS[name](state))
    sent, decision = guard.certify(bad, make_command(np.full(7, 0.02)))
    assert decision.action is Action.STOP2 and not decision.latched
    assert not sent.actuator_velocity.any()
    # What is seen again is not what was last seen before, to the last bit.
    state = make_state(robot, people=person(1.0, 1e-6))
    actions = []
    for _ in range(60):
        _, decision = guard.certify(state, make_command(np.full(7, 0.005)))
        actions.append(decision.action)
    assert actions[0] is Action.STOP2, "the release window comes first"
    assert actions[-1] < Action.STOP2


@pytest.mark.parametrize(
    "command",
    [
        Command(np.full(7, np.nan), np.zeros(0), 0.0, 1),
        Command(np.full(7, np.inf), np.zeros(0), 0.0, 1),
        Command(np.zeros(6), np.zeros(0), 0.0, 1),
        Command(np.zeros(7), np.zeros(0), math.nan, 1),
        Command(np.zeros(7), np.array([np.nan]), 0.0, 1),
        Command(None, np.zeros(0), 0.0, 1),
    ],
)
def test_a_bad_command_stops(robot, guard, command):
    sent, decision = guard.certify(make_state(robot), command)
    assert decision.action is Action.STOP1 and decision.latched
    assert not sent.actuator_velocity.any() and sent.actuator_velocity.shape == (7,)


def test_a_repeated_or_older_command_stops(robot, guard):
    command = make_command(np.zeros(7))
    guard.certify(make_state(robot), command)
    _, decision = guard.certify(make_state(robot), command)
    assert decision.latched and "repeats" in decision.sentence


def test_a_clock_that_runs_backwards_stops(robot, guard):
    guard.certify(make_state(robot, stamp_s=5.0), make_command(np.zeros(7)))
    _, decision = guard.certify(
        make_state(robot, stamp_s=4.9), make_command(np.zeros(7))
    )
    assert decision.latched and "clock" in decision.sentence


def test_any_exception_stops(robot, spec, monkeypatch):
    guard = Guard(spec)

    def fail(*arguments):
        raise RuntimeError("solver")

    monkeypatch.setattr(guard.filter, "solve", fail)
    sent, decision = guard.certify(make_state(robot), make_command(np.full(7, 0.1)))
    assert decision.action is Action.STOP1 and not sent.actuator_velocity.any()
    assert "RuntimeError" in decision.sentence


def test_a_weaker_stop_never_replaces_a_stronger(robot, guard):
    guard.latch.engage(Action.STOP0, "unexpected_motion", 0.0)
    _, decision = guard.certify(
        make_state(robot), Command(np.full(7, np.nan), np.zeros(0), 0.0, 0)
    )
    assert decision.action is Action.STOP0 and decision.rule == "unexpected_motion"


def test_only_a_person_releases_a_latched_stop(robot, guard):
    guard.certify(make_state(robot), Command(np.full(7, np.nan), np.zeros(0), 0.0, 0))
    assert guard.latch.engaged
    with pytest.raises(RefusedError, match="person"):
        guard.release("  ")
    record = guard.release("Hanako Suzuki")
    assert record.rule == "input_integrity" and record.person == "Hanako Suzuki"
    _, decision = guard.certify(make_state(robot), make_command(np.full(7, 0.001)))
    assert not decision.latched
    with pytest.raises(RefusedError, match="nothing to release"):
        guard.release("Hanako Suzuki")


def test_the_answer_equals_an_independent_solvers(robot, spec):
    """Over rows and bounds the projection is the one that quadprog finds.

    Cases in which a speed cap binds are left out: a norm is not a row.
    """
    import quadprog

    compared = 0
    for seed in range(1500):
        rng = np.random.default_rng(seed)
        guard = Guard(spec)
        q = posture(robot, seed)
        away = person(rng.uniform(0.6, 2.5), rng.uniform(-0.4, 0.4))
        state = make_state(robot, q, people=away)
        guard.monitor.update(state)
        asked = rng.uniform(-1.0, 1.0, 7) * rng.choice([0.05, 0.2, 1.0])
        f = guard.filter
        solution = f.solve(state, asked, np.zeros(7))
        demands = f.demands
        _, _, total, caps = demands.counts
        if solution.rule not in ("separation", "face_gate", "workspace"):
            continue
        rows, blocks = demands.rows[:total], demands.blocks[:caps]
        a = np.vstack([np.eye(7), -np.eye(7), rows])
        b = np.concatenate([demands.upper, -demands.lower, demands.limits[:total]])
        start = np.clip(asked, demands.lower, demands.upper)
        fast = np.linalg.norm(blocks @ start, axis=1)
        start *= min(1.0, (demands.caps[:caps] / np.maximum(fast, 1e-12)).min())
        expected = quadprog.solve_qp(np.eye(7), start, -a.T, -b)[0]
        if (np.linalg.norm(blocks @ expected, axis=1) < demands.caps[:caps]).all():
            np.testing.assert_allclose(solution.velocity, expected, atol=1e-6)
            compared += 1
    assert compared > 50, compared


def test_every_intervention_names_rule_limit_and_source(robot, guard):
    asked = np.array([0.0, 0.4, 0.0, 0.4, 0.0, 0.0, 0.0])
    _, decision = guard.certify(
        make_state(robot, people=person(0.95)), make_command(asked)
    )
    assert decision.intervened and decision.rule in guard.spec.rule_names
    index = guard.spec.rule_names.index(decision.rule)
    assert guard.spec.config.rules[index].limit.source in decision.sentence
    assert decision.sentence_ja


@pytest.mark.parametrize(
    "answer",
    [
        (np.zeros(7), 0.0, -1, {}),
        (np.full(7, np.nan), 0.0, 1, {}),
        (np.full(7, 0.1), 0.0, 4, {}),
    ],
    ids=["infeasible", "not a number", "cycled"],
)
def test_a_solver_that_gives_up_means_standstill(robot, spec, monkeypatch, answer):
    """What the quadratic program cannot answer is answered with no motion."""
    for seed in range(300):
        rng = np.random.default_rng(seed)
        q = rng.uniform(robot.position_min + 0.1, robot.position_max - 0.1)
        state = make_state(robot, q, people=person(6.0))
        asked = make_command(rng.uniform(-1.0, 1.0, 7))
        solved, decision = Guard(spec).certify(state, asked)
        if decision.rule == "workspace" and decision.action is Action.LIMIT:
            break
    assert np.abs(solved.actuator_velocity).max() > 1e-3, "a case for the program"
    monkeypatch.setattr("physai.safety.filter.daqp.solve", lambda *given: answer)
    sent, decision = Guard(spec).certify(state, asked)
    assert not sent.actuator_velocity.any()
    assert decision.action is Action.STOP2 and decision.intervened
