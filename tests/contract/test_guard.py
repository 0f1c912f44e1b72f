"""Laws of the guard, over every registered environment and its robot."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from physai.plant.motion import ramp
from physai.safety import Guard
from physai.tasks import registry
from physai.types import Action, Command

IDS = registry.ids()
LAW = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
READ = (
    "stamp_s",
    "actuator_position",
    "actuator_velocity",
    "actuator_age_s",
    "base_pose_in_world",
    "tool_force_in_world_n",
    "tool_force_age_s",
    "people",
    "people_age_s",
    "people_frame_age_s",
    "extras",
    "extras_age_s",
)
"""What every guard reads, whatever its specification says."""


@pytest.fixture(scope="module", params=IDS)
def cycle(request):
    """A cycle in which somebody is seen."""
    made = registry.make_cycle(request.param, guard="on")
    first = made.environment.distributions["test"].seeds.first
    rng = np.random.default_rng(0)
    for seed in range(first, first + 20):
        made.reset(made.task.sample_scenario(seed, "test"))
        for _ in range(12):
            made.step(0.3 * rng.uniform(-1.0, 1.0, len(made.spaces.action_names)))
        if len(made.state.people) and not made.guard.latch.engaged:
            break
    assert len(made.state.people)
    yield made
    made.close()


def command(cycle, sequence, velocity=None, rng=None):
    """Return a command within the speed limits."""
    robot = cycle.task.robot
    if velocity is None:
        velocity = rng.uniform(-1.0, 1.0, len(robot.actuator_names))
        velocity = velocity * robot.velocity_max
    tool = np.zeros(len(robot.tool_channels))
    return Command(velocity, tool, cycle.state.stamp_s, sequence)


def spoiled(state, field, place, value):
    """Return the state with one number of a field replaced."""
    given = getattr(state, field)
    if np.ndim(given) == 0:
        return dataclasses.replace(state, **{field: value})
    changed = given.copy()
    changed.reshape(-1)[place % changed.size] = value
    return dataclasses.replace(state, **{field: changed})


@LAW
@given(
    st.sampled_from(READ),
    st.integers(0, 10**6),
    st.sampled_from([np.nan, np.inf, -np.inf]),
)
def test_one_number_that_is_none_stops(cycle, field, place, value) -> None:
    if np.size(getattr(cycle.state, field)) == 0:
        return
    guard = Guard(cycle.spec)
    bad = spoiled(cycle.state, field, place, value)
    rng = np.random.default_rng(place)
    sent, decision = guard.certify(bad, command(cycle, 0, rng=rng))
    assert not sent.actuator_velocity.any()
    assert decision.action >= Action.STOP1 and decision.latched
    assert decision.sentence and decision.sentence_ja


@pytest.mark.parametrize("field", [name for name in READ if name != "stamp_s"])
def test_a_field_of_another_size_stops(cycle, field) -> None:
    given = getattr(cycle.state, field)
    if np.ndim(given) == 0:
        return
    guard = Guard(cycle.spec)
    shorter = dataclasses.replace(cycle.state, **{field: given[..., :-1]})
    sent, decision = guard.certify(
        shorter, command(cycle, 0, rng=np.random.default_rng(0))
    )
    assert decision.action >= Action.STOP1 and not sent.actuator_velocity.any()


events = st.lists(
    st.tuples(
        st.sampled_from(["good", "good", "nan state", "nan command", "old joints"]),
        st.integers(0, 10**6),
    ),
    min_size=2,
    max_size=25,
)


@LAW
@given(events)
def test_a_latched_stop_stays_until_a_person_releases_it(cycle, sequence) -> None:
    guard, latched = Guard(cycle.spec), Action.NONE
    for step, (kind, seed) in enumerate(sequence):
        rng = np.random.default_rng(seed)
        state = dataclasses.replace(
            cycle.state,
            stamp_s=cycle.state.stamp_s + step / cycle.environment.control_hz,
        )
        asked = command(cycle, step, rng=rng)
        if kind == "nan state":
            state = spoiled(state, "actuator_position", seed, np.nan)
        elif kind == "old joints":
            state = dataclasses.replace(state, actuator_age_s=9.0)
        elif kind == "nan command":
            asked = command(cycle, step, np.full(asked.actuator_velocity.shape, np.nan))
        sent, decision = guard.certify(state, asked)
        if kind != "good":
            assert decision.latched
        if latched or decision.latched:
            assert decision.latched and not sent.actuator_velocity.any()
            assert decision.action >= latched, "a stop is never weakened"
            latched = decision.action
    if latched:
        guard.release("Hanako Suzuki")
        later = dataclasses.replace(cycle.state, stamp_s=cycle.state.stamp_s + 1e3)
        still = command(cycle, 999, np.zeros(len(cycle.task.robot.actuator_names)))
        assert not guard.certify(later, still)[1].latched


@LAW
@given(st.integers(0, 10**6))
def test_what_is_sent_satisfies_everything_it_was_held_against(cycle, seed) -> None:
    """Bounds, rows and capped points, for any command within or beyond the limits."""
    guard, robot = Guard(cycle.spec), cycle.task.robot
    rng = np.random.default_rng(seed)
    asked = rng.uniform(-3.0, 3.0, len(robot.actuator_names)) * robot.velocity_max
    sent, decision = guard.certify(cycle.state, command(cycle, 0, asked))
    u = sent.actuator_velocity
    assert np.isfinite(u).all() and (np.abs(u) <= robot.velocity_max + 1e-9).all()
    if decision.action >= Action.STOP2:
        return
    d = guard.filter.demands
    _, _, rows, blocks = d.counts
    assert (u <= d.upper + 1e-6).all() and (u >= d.lower - 1e-6).all()
    assert (d.rows[:rows] @ u <= d.limits[:rows] + 1e-5).all()
    speeds = np.linalg.norm(d.blocks[:blocks] @ u, axis=1)
    assert (speeds <= d.caps[:blocks] + 1e-5).all()


@LAW
@given(
    st.floats(0.0, 2.0 * np.pi),
    st.floats(0.3, 4.0),
    st.floats(0.0, 6.0),
)
def test_a_person_farther_away_never_permits_less(cycle, heading, near_m, more) -> None:
    """The permitted speed of every shape grows with its distance from everybody."""
    guards = Guard(cycle.spec), Guard(cycle.spec)
    state, way = cycle.state, np.array([np.cos(heading), np.sin(heading), 0.0])
    middle = state.people[:, :, :3].mean(axis=1, keepdims=True)
    placed = []
    for guard, distance in zip(guards, (near_m, near_m + more), strict=True):
        to = state.tool_pose_in_world[:3] + distance * way
        people = state.people.copy()
        people[:, :, 0:2] += (to - middle)[:, :, :2]
        people[:, :, 3:5] += (to - middle)[:, :, :2]
        guard.monitor.update(dataclasses.replace(state, people=people))
        placed.append(people)
    near, far = (guard.monitor for guard in guards)
    for shape, capsule in enumerate(near.kinematics.capsules()):
        if (_distances(capsule, placed[1]) >= _distances(capsule, placed[0])).all():
            assert far.shape_cap[shape] >= near.shape_cap[shape] - 1e-9


def _distances(capsule, people) -> np.ndarray:
    from physai.body.capsules import closest_points

    work = np.zeros((3, 3))
    rows = people.reshape(-1, 7)
    return np.array([closest_points(capsule, row, *work) for row in rows])


def test_the_answer_equals_an_independent_solvers(cycle) -> None:
    """Over rows and bounds the projection is the one that quadprog finds.

    Cases in which a speed cap binds are left out: a norm is not a row.
    """
    import quadprog

    from physai.safety.filter import Outcome

    guard, robot = Guard(cycle.spec), cycle.task.robot
    n = len(robot.actuator_names)
    rng, compared = np.random.default_rng(7), 0
    state = cycle.state
    middle = state.people[:, :, :3].mean(axis=(0, 1)) - state.tool_pose_in_world[:3]
    placed = state
    guard.monitor.update(placed)
    for attempt in range(1600):
        if attempt >= 600 and attempt % 100 == 0:
            # Somebody else's place, nearer or farther.
            heading, away = rng.uniform(0.0, 2.0 * np.pi), rng.uniform(0.5, 2.0)
            shift = away * np.array([np.cos(heading), np.sin(heading), 0.0]) - middle
            people = state.people.copy()
            people[:, :, 0:2] += shift[:2]
            people[:, :, 3:5] += shift[:2]
            placed = dataclasses.replace(state, people=people)
            guard.monitor.update(placed)
        asked = rng.uniform(-1.0, 1.0, n) * robot.velocity_max
        asked *= rng.choice([0.05, 0.2, 1.0])
        last = 0.9 * asked
        solution = guard.filter.solve(placed, asked, last)
        if solution.outcome is not Outcome.PROJECTED:
            continue
        d = guard.filter.demands
        _, _, total, caps = d.counts
        a = np.vstack([np.eye(n), -np.eye(n), d.rows[:total]])
        b = np.concatenate([d.upper, -d.lower, d.limits[:total]])
        start = np.clip(asked, d.lower, d.upper)
        blocks = d.blocks[:caps]
        fast = np.linalg.norm(blocks @ start, axis=1)
        if (fast > d.caps[:caps]).any():
            continue
        try:
            expected = quadprog.solve_qp(np.eye(n), start, -a.T, -b)[0]
        except ValueError:
            # Only slowing down is left, which the bound on acceleration never forbids.
            slowed = solution.velocity
            assert (d.rows[:total] @ slowed <= d.limits[:total] + 1e-6).all()
            assert (np.abs(slowed) <= np.abs(asked) + 1e-9).all()
            continue
        if (np.linalg.norm(blocks @ expected, axis=1) < d.caps[:caps]).all():
            # Where rows are nearly parallel the solvers differ by their tolerances.
            np.testing.assert_allclose(solution.velocity, expected, atol=5e-5)
            compared += 1
    assert compared > 20, compared


def test_joints_that_brake_together_stay_in_their_ranges(cycle) -> None:
    """The drives arrive together, so that the slowest holds up the others.

    Kinematics only: the guard's answer goes through the plant's own ramp. Full speed one
    way and the other, turned round when it is worst for somebody.
    """
    robot, rng = cycle.task.robot, np.random.default_rng(5)
    guard, period = Guard(cycle.spec), 1.0 / cycle.environment.control_hz
    bounded = np.isfinite(robot.position_min)
    arm = bounded & (np.arange(len(bounded)) >= (0 if robot.base is None else 2))
    points, fastest = np.zeros((20, len(bounded))), 0.0
    for trial in range(6):
        guard.reset()
        q, qd = cycle.state.actuator_position.copy(), np.zeros(len(bounded))
        asked = np.zeros(len(bounded))
        for step in range(120):
            if rng.random() < 0.15:
                asked = rng.choice([-1.0, 1.0], len(bounded)) * robot.velocity_max * arm
            pose = cycle.state.base_pose_in_world.copy()
            people = cycle.state.people + 60.0 + 1e-4 * step
            pose[2] += 1e-6 * step
            state = dataclasses.replace(
                cycle.state,
                stamp_s=cycle.state.stamp_s + (trial * 200 + step) * period,
                actuator_position=q.copy(),
                actuator_velocity=qd.copy(),
                base_pose_in_world=pose,
                people=people,
            )
            sent, _ = guard.certify(state, command(cycle, step, asked))
            count = ramp(
                qd,
                np.ascontiguousarray(sent.actuator_velocity),
                robot.acceleration_max,
                robot.braking_max,
                period / len(points),
                points,
            )
            points[count:] = qd
            q = q + points.sum(axis=0) * period / len(points)
            beyond = np.maximum(q - robot.position_max, robot.position_min - q)
            assert not (beyond[arm] > 0.0).any(), (trial, step, beyond)
            fastest = max(fastest, float(np.abs(qd[arm]).max(initial=0.0)))
    assert fastest > 0.0 or arm.sum() < 2
