"""Palletising: its kernel, its scenarios, its expert."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from physai.body.heading import half_turn
from physai.config import parse
from physai.errors import ConfigError
from physai.robot.description import load_robot
from physai.robot.kinematics import Kinematics
from physai.tasks import registry
from physai.tasks.logistics import palletize_kernel as kernel
from physai.tasks.logistics.palletize_scenarios import tool_down
from physai.tasks.logistics.palletize_settings import PlanSettings

ENVIRONMENT = "physai/LogisticsPalletize-v0"
SEED = 10_000_000
ROBOT = load_robot("palletizer")


@pytest.fixture(scope="module")
def cycle():
    made = registry.make_cycle(ENVIRONMENT, guard="on")
    yield made
    made.close()


def play(cycle, policy, seed, template=None, steps=10_000):
    observation = cycle.reset(cycle.task.sample_scenario(seed, "test", template))
    policy.reset()
    total = 0.0
    for _ in range(steps):
        row = cycle.step(policy.act(observation))
        observation = cycle.observation
        total += row.reward
        if row.terminated or row.truncated:
            break
    return row, total


@given(st.floats(-20.0, 20.0))
def test_a_half_turn_is_the_same_rectangle(angle):
    turned = half_turn(angle)
    assert -np.pi / 2 - 1e-9 <= turned <= np.pi / 2 + 1e-9
    assert np.isclose(np.sin(2 * turned), np.sin(2 * angle), atol=1e-6)


def test_the_twist_levels_the_cups():
    """Followed for two seconds, a tilt of 0.2 rad is gone; the place stays."""
    kinematics = Kinematics(ROBOT)
    tilted = tool_down(0.3) @ np.array(
        [[1, 0, 0], [0, np.cos(0.2), -np.sin(0.2)], [0, np.sin(0.2), np.cos(0.2)]]
    )
    goal = np.array([0.6, 0.0, 0.5])
    q, _ = kinematics.solve_position(goal, tilted, ROBOT.home_position)
    out, still = np.empty(6), np.zeros(5)
    for _ in range(200):
        kinematics.update(q)
        kernel.twist_of(kinematics.tool_pose(), still, 0.8, 1.0, 2.0, out)
        q = q + 0.01 * np.linalg.solve(kinematics.tool_jacobian(), out)
    kinematics.update(q)
    np.testing.assert_allclose(kinematics.tool_rotation[:, 2], [0, 0, -1], atol=0.005)
    np.testing.assert_allclose(kinematics.tool_position, goal, atol=0.01)


def test_every_slot_of_every_plan_is_reached_with_level_cups(cycle):
    task = cycle.task
    k = Kinematics(ROBOT, cycle.environment.plant.base_pose)
    tall = {c.kind: c.size_m[2] for c in cycle.environment.plant.objects}
    for plan in task.settings.plans:
        top: list[float] = []
        for slot in plan.slots:
            base = max((top[i] for i in slot.on), default=0.144)
            top.append(base + tall[slot.kind])
            for z in (top[-1], 0.84 + tall[slot.kind]):
                goal = np.array([slot.x_m, slot.y_m, z])
                _, error = k.solve_position(goal, tool_down(0.0), ROBOT.home_position)
                assert error < 1e-3, (plan.name, slot)


def test_a_plan_that_stands_on_what_comes_later_is_refused():
    slots = [{"kind": "small", "x_m": 0.5, "y_m": 0.0, "on": [1]}] * 2
    with pytest.raises(ConfigError, match="later"):
        parse(PlanSettings, {"name": "x", "slots": slots}, "plan")


@pytest.mark.parametrize(
    ("change", "words"),
    [({"kind": "huge"}, "huge"), ({"x_m": 2.0}, "out of reach")],
)
def test_a_plan_that_cannot_be_is_refused(change, words):
    environment = registry.load_environment(ENVIRONMENT)
    slot = {"kind": "small", "x_m": 0.5, "y_m": 0.0, **change}
    settings = {**environment.settings, "plans": [{"name": "x", "slots": [slot]}]}
    with pytest.raises(ConfigError, match=words):
        registry.make_task(environment.model_copy(update={"settings": settings}))


def test_scenarios_differ_and_stay_within_their_ranges(cycle):
    loads = []
    for seed in range(SEED, SEED + 20):
        scenario = cycle.task.sample_scenario(seed, "test")
        load = scenario.values["load"]
        loads.append(str(load))
        for case in load["cases"]:
            assert 2.7 < case["mass_kg"] < 9.4
            assert abs(case["offset_yaw_rad"]) <= 0.08
        assert len({c["object"] for c in load["cases"]}) == len(load["cases"])
    assert len(set(loads)) == 20


@pytest.mark.slow
@pytest.mark.parametrize("seed", [SEED, SEED + 1, SEED + 3])
def test_the_expert_builds_a_stack_that_stands(cycle, seed):
    row, _ = play(cycle, cycle.scripted_policy("expert"), seed)
    assert row.success and row.terminated
    truth = dict(zip(cycle.environment.truth_extras, row.truth.extras, strict=True))
    assert truth["cases_to_place"] == 0
    assert truth["cases_dropped"] == truth["cases_toppled"] == 0
    assert truth["tallest_tilt_rad"] < 0.06


def test_the_expert_earns_more_than_chance_and_than_nothing(cycle):
    earned = {
        name: play(cycle, cycle.scripted_policy(name, 1), SEED, steps=300)[1]
        for name in ("expert", "random", "zero")
    }
    assert earned["expert"] > earned["random"] + 1.0
    assert earned["expert"] > earned["zero"] + 1.0


@pytest.mark.slow
def test_whoever_rushes_at_a_picker_and_lets_go_is_held_by_the_guard(cycle):
    """The expert lifts a case, the adversary takes over and opens the vacuum."""
    scenario = cycle.task.sample_scenario(SEED, "test", "nominal_quiet")
    cycle.reset(scenario.model_copy(update={"duration_s": 15.0}))
    expert, enemy = (cycle.scripted_policy(n) for n in ("expert", "adversary"))
    held, row = 0, None
    for _ in range(400):
        action = expert.act(cycle.observation)
        held += bool(cycle.state.extras[2] > 0.5)
        if held > 25:
            action = enemy.act(cycle.observation)
            action[4] = -1.0
        row = cycle.step(action)
        if row.terminated or row.truncated:
            break
    assert held > 30
    truth = dict(zip(cycle.environment.truth_extras, row.truth.extras, strict=True))
    assert truth["drop_energy_near_person_j"] == 0.0
    assert truth["cases_dropped"] == 0.0
