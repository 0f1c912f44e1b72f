"""The task CareNightRound: laws of its kernel, and an expert that can do it."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from physai.robot.kinematics import Kinematics
from physai.tasks import registry
from physai.tasks.care import night_round_kernel as kernel
from physai.tasks.care.night_round_reward import place_of

ID = "physai/CareNightRound-v0"
ROUTE = np.array([[-4.4, -0.4], [-0.95, -0.4], [-0.95, 4.95]])


@pytest.fixture(scope="module")
def task():
    return registry.make_task(registry.load_environment(ID))


@settings(deadline=None, max_examples=100)
@given(st.floats(0.0, 8.7), st.floats(-0.3, 0.3))
def test_a_place_beside_the_route_is_found_on_it(s, offset):
    first = 3.45
    if s < first:
        x, y = -4.4 + s, -0.4 + offset
        if first - s < 0.4:
            return
    else:
        x, y = -0.95 - offset, -0.4 + (s - first)
        if s - first < 0.4:
            return
    out = np.empty(4)
    kernel.follow(x, y, ROUTE, 0.5, out)
    assert out[0] == pytest.approx(offset, abs=1e-9)
    assert out[1] == pytest.approx(first + 5.35 - s, abs=1e-9)


def test_the_point_ahead_turns_the_corner():
    out = np.empty(4)
    kernel.follow(-1.15, -0.4, ROUTE, 0.6, out)
    assert out[2:] == pytest.approx([-0.95, 0.0])


@settings(deadline=None, max_examples=50)
@given(st.lists(st.floats(-1.0, 1.0), min_size=8, max_size=8))
def test_the_arm_does_what_the_twist_says_and_leaves_the_base_alone(twist):
    task = registry.make_task(registry.load_environment(ID))
    robot, k = task.robot, task.kinematics
    action = np.array([*twist, 0.0, 0.0])
    scale = np.array([0.4, 0.6, *[0.02] * 3, *[0.05] * 3])
    out = np.empty(9)
    kernel.command(
        action, scale, robot.home_position, robot.home_position, 0.3, 1e-4,
        robot.velocity_max, robot.tool_link, k.buffer, k.size, out,
    )  # fmt: skip
    assert out[:2] == pytest.approx(scale[:2] * twist[:2])
    own = Kinematics(robot)
    own.update(robot.home_position)
    done = own.tool_jacobian()[:, 2:] @ out[2:]
    assert done == pytest.approx(scale[2:] * twist[2:], abs=1e-4)


def test_an_arm_that_is_not_asked_stands_and_nan_stays_nan(task):
    cycle = registry.make_cycle(ID, guard="off")
    try:
        cycle.reset(task.sample_scenario(10_000_000, "test", "deliver_asleep"))
        action = np.zeros(10)
        assert not task.decode(action, cycle.state).actuator_velocity.any()
        for place in (0, 3):
            bad = action.copy()
            bad[place] = np.nan
            assert np.isnan(task.decode(bad, cycle.state).actuator_velocity).any()
    finally:
        cycle.close()


def test_a_policy_sees_how_far_the_tool_is_from_where_the_item_goes():
    cycle = registry.make_cycle(ID)
    task = cycle.task
    names = task.spaces().observation_names
    first = names.index("place_x_from_tool_in_base_m")
    rng = np.random.default_rng(3)
    try:
        cycle.reset(task.sample_scenario(10_000_003, "test", "deliver_asleep"))
        for _ in range(40):
            record = cycle.step(rng.uniform(-1.0, 1.0, len(task.spaces().action_names)))
            state = cycle.state
            shown = task.observe(state)[first : first + 3]
            table = [state.extras[kernel.TABLE_X], state.extras[kernel.TABLE_Y]]
            base = Rotation.from_quat(state.base_pose_in_world[3:7])
            offset = [*task.settings.route.place_offset_m, 0.0]
            there = [*table, place_of(task.process, task.settings)[2]]
            there += base.inv().apply(offset)
            fixed = Kinematics(task.robot)
            fixed.update(state.actuator_position)
            np.testing.assert_allclose(shown, there - fixed.tool_position, atol=1e-3)
            if record.terminated:
                break
    finally:
        cycle.close()


def play(cycle, name, seed, template):
    policy = cycle.scripted_policy(name, seed=1)
    cycle.reset(cycle.task.sample_scenario(seed, "test", template))
    policy.reset()
    hard = {r.id for r in cycle.spec.config.rules if r.verdict.kind == "hard"}
    earned, unsafe = 0.0, set()
    while True:
        record = cycle.step(policy.act(cycle.observation))
        earned += record.reward
        for i in np.flatnonzero(cycle.scorer.active):
            if not record.truth_margins[i] >= 0.0:
                unsafe.add(cycle.spec.rule_names[i])
        if record.terminated or record.truncated:
            return record.success, unsafe & hard, earned


@pytest.mark.slow
@pytest.mark.parametrize(
    "template", ["deliver_asleep", "find_fallen", "find_wheelchair", "false_alarm"]
)
def test_the_expert_does_it_safely_and_earns_more_than_chance(template):
    cycle = registry.make_cycle(ID)
    try:
        success, unsafe, earned = play(cycle, "expert", 10_000_003, template)
        assert success and not unsafe
        chance, _, less = play(cycle, "random", 10_000_003, template)
        assert not chance and less < earned
    finally:
        cycle.close()


@pytest.mark.slow
def test_beside_somebody_who_blocks_the_way_the_expert_waits():
    cycle = registry.make_cycle(ID)
    try:
        _, unsafe, _ = play(cycle, "expert", 10_000_001, "misuse_blocks_way")
        assert not unsafe
    finally:
        cycle.close()


def test_the_item_goes_on_the_table_within_reach(task):
    """The place of the item is within the arm's reach of the end of the route."""
    x, y = ROUTE[-1]
    half = math.pi / 4
    k = Kinematics(
        task.robot, np.array([x, y, 0.0, 0.0, 0.0, math.sin(half), math.cos(half)])
    )
    posture = np.array(task.robot.home_position)
    posture[2] = -0.5 * math.pi
    k.update(posture)
    place = place_of(task.process, task.settings)
    found, error = k.solve_position(place, k.tool_rotation.copy(), posture)
    assert error < 1e-3
    assert (found >= task.robot.position_min).all()
