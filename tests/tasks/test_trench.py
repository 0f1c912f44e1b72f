"""ConstructionTrench: the edge goes where it should, the expert digs, intruders stop it."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from physai.errors import ContractError
from physai.robot.description import load_robot
from physai.robot.kinematics import Kinematics
from physai.tasks import registry
from physai.tasks.construction import trench_kernel as kernel

ID = "physai/ConstructionTrench-v0"
ROBOT = load_robot("excavator")
LENGTHS = kernel.lengths_of(ROBOT)
SCALE = np.array([0.8, 0.8, 0.8, 0.58])
FREE = np.full(4, 1e6)


def rates(action, position, velocity=None, fastest=FREE, change=FREE, ends=None):
    out = np.empty(4)
    low, high = (-FREE, FREE) if ends is None else ends
    kernel.joint_rates(
        np.asarray(action, dtype=np.float64),
        np.asarray(position, dtype=np.float64),
        np.zeros(4) if velocity is None else velocity,
        SCALE,
        LENGTHS,
        fastest,
        change,
        low,
        high,
        out,
    )
    return out


def edge_motion(position, rate):
    """Reach and lift velocity of the edge and turn of the bucket, by the Jacobian."""
    k = Kinematics(ROBOT)
    k.update(np.asarray(position, dtype=np.float64))
    twist = k.tool_jacobian() @ rate
    c, s = np.cos(position[0]), np.sin(position[0])
    return c * twist[0] + s * twist[1], twist[2], c * twist[4] - s * twist[3]


def test_lengths_are_those_of_the_machine():
    assert pytest.approx([4.6, 2.519, 1.23], abs=1e-6) == LENGTHS


@settings(deadline=None, max_examples=60)
@given(
    st.floats(-1.0, 1.0),
    st.floats(-1.0, 0.2),
    st.floats(0.6, 2.4),
    st.floats(-0.3, 2.2),
    st.tuples(*[st.floats(-1.0, 1.0)] * 3),
)
def test_the_edge_moves_as_asked(swing, boom, arm, bucket, wanted):
    position = np.array([swing, boom, arm, bucket])
    rate = rates([*wanted, 0.0], position)
    assert edge_motion(position, rate) == pytest.approx(
        SCALE[:3] * np.array(wanted), abs=1e-9
    )
    assert rates([0, 0, 0, 0.5], position)[0] == pytest.approx(0.29)


@settings(deadline=None, max_examples=40)
@given(st.floats(-1.0, 0.0), st.floats(0.8, 1.8), st.tuples(*[st.floats(-1, 1)] * 2))
def test_at_the_end_of_its_cylinder_the_bucket_goes_with_the_arm(boom, arm, wanted):
    position = np.array([0.0, boom, arm, 1.0])
    ends = (np.array([-9.0, -9.0, -9.0, 1.0]), np.array([9.0, 9.0, 9.0, 1.0]))
    rate = rates([*wanted, 1.0, 0.0], position, ends=ends)
    assert rate[3] == 0.0
    lever = LENGTHS[0] * (
        LENGTHS[1] * np.sin(arm) + LENGTHS[2] * np.sin(arm + position[3])
    )
    if abs(lever) > 0.6:
        reach, lift, _ = edge_motion(position, rate)
        assert (reach, lift) == pytest.approx(SCALE[:2] * np.array(wanted), abs=1e-9)


@settings(deadline=None, max_examples=40)
@given(st.tuples(*[st.floats(-1.0, 1.0)] * 4))
def test_what_is_asked_keeps_to_rates_and_ramps(action):
    position = np.array(ROBOT.home_position)
    change = 0.08 * ROBOT.acceleration_max
    rate = rates(action, position, fastest=0.95 * ROBOT.velocity_max, change=change)
    assert (np.abs(rate) <= 0.95 * ROBOT.velocity_max + 1e-12).all()
    assert (np.abs(rate) <= change + 1e-12).all()


def test_an_action_that_is_no_number_gives_a_command_that_is_none():
    position = np.array(ROBOT.home_position)
    assert not np.isfinite(rates([np.nan, 0, 0, 0], position)[1:]).all()
    assert not np.isfinite(rates([0, 0, 0, np.nan], position)[0])


@pytest.fixture(scope="module")
def guarded():
    made = registry.make_cycle(ID, guard="on")
    yield made
    made.close()


def play(cycle, policy, scenario):
    observation = cycle.reset(scenario)
    policy.reset()
    total, hard = 0.0, set()
    rules = cycle.spec.config.rules
    while True:
        record = cycle.step(policy.act(observation))
        observation = cycle.observation
        total += record.reward
        hard |= {
            rule.id
            for rule, active in zip(rules, cycle.scorer.active, strict=True)
            if active and rule.verdict.kind == "hard"
        }
        if record.terminated or record.truncated:
            return record, total, hard


@pytest.mark.parametrize("seed", [10_000_001, 10_000_006, 10_000_008])
def test_the_expert_digs_and_beats_chance(guarded, seed):
    scenario = guarded.task.sample_scenario(seed, "test")
    record, total, hard = play(guarded, guarded.scripted_policy("expert"), scenario)
    assert record.success and not hard
    short = scenario.model_copy(update={"duration_s": 30.0})
    _, chance, _ = play(guarded, guarded.scripted_policy("random", 3), short)
    assert total > chance + 3.0


def test_an_intruder_stops_the_machine_before_it_is_reached(guarded):
    """The episode goes on until the machine stands: what it hits meanwhile counts."""
    scenario = guarded.task.sample_scenario(10_000_002, "test", "misuse_run_in")
    values = {**scenario.values, "person_bearing_rad": 0.3}
    adversary = guarded.scripted_policy("adversary", 1)
    record, _, hard = play(
        guarded, adversary, scenario.model_copy(update={"values": values})
    )
    assert record.decision.latched and record.decision.rule == "area_intrusion"
    assert not record.success and not hard
    speed = np.abs(record.truth.state.actuator_velocity)
    assert (speed <= 0.02 * ROBOT.velocity_max).all()
    assert record.truth.contact.force_peak_n.max(initial=0.0) == 0.0


def test_without_a_guard_a_machine_that_goes_on_is_charged():
    cycle = registry.make_cycle(ID, guard="off")
    scenario = cycle.task.sample_scenario(10_000_002, "test", "misuse_run_in")
    scenario = scenario.model_copy(update={"duration_s": 25.0})
    _, _, hard = play(cycle, cycle.scripted_policy("expert"), scenario)
    cycle.close()
    assert "area_motion" in hard


def test_success_needs_the_heap_and_not_only_the_hole(guarded):
    guarded.reset(guarded.task.sample_scenario(10_000_000, "test"))
    names, truth = guarded.environment.truth_extras, guarded.truth
    done = truth.extras.copy()
    place = {name: names.index(name) for name in names}
    done[place["remaining_m3"]] = 0.0
    done[place["dumped_m3"]] = done[place["design_m3"]]
    assert _outcome(guarded, done).success
    for name, value in (
        ("dumped_m3", 0.5 * done[place["design_m3"]]),
        ("over_dig_m3", 0.5),
        ("pipe_touched", 1.0),
        ("true_load_kg", 300.0),
        ("remaining_m3", 0.5),
        ("remaining_m3", np.nan),
    ):
        wrong = done.copy()
        wrong[place[name]] = value
        assert not _outcome(guarded, wrong).success, name


def _outcome(cycle, extras):
    return cycle.task.outcome(dataclasses.replace(cycle.truth, extras=extras))


def test_a_bucket_that_cannot_start_there_is_refused(guarded):
    with pytest.raises(ContractError, match="cannot start"):
        guarded.task.sampler.posture(12.0, 0.0, 1.5)
