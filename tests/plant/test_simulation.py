"""Laws of the simulated plant in Bullet."""

import hashlib
import subprocess
import sys

import numpy as np
import pytest

from physai.body.behaviour import BehaviourConfig
from physai.plant.faults import FaultConfig
from physai.tasks import registry
from physai.types import Command


@pytest.fixture(scope="module")
def cycle():
    made = registry.make_cycle("physai/CareFeeding-v0", guard="off")
    yield made
    made.close()


def scenario(cycle, seed=0, case="nominal_rest"):
    first = cycle.environment.distributions["test"].seeds.first
    return cycle.task.sample_scenario(first + seed, "test", case)


def command(velocity, step):
    return Command(np.asarray(velocity, dtype=float), np.zeros(0), 0.0, step)


def drive(plant, velocity, steps):
    seen = []
    for step in range(steps):
        plant.apply(command(velocity, step))
        plant.advance()
        seen.append(plant.truth().state.actuator_velocity.copy())
    return np.array(seen)


def digest(plant, cycle, seed):
    plant.reset(scenario(cycle, seed, "misuse_reach"))
    rng = np.random.default_rng(seed)
    value = hashlib.sha256()
    for step in range(60):
        plant.apply(command(rng.uniform(-0.3, 0.3, 7), step))
        plant.advance()
        state = plant.read()
        value.update(state.actuator_position.tobytes() + state.people.tobytes())
        value.update(plant.truth().contact.force_peak_n.tobytes())
    return value.hexdigest()


def test_the_arm_holds_against_gravity(cycle):
    state = cycle.plant.reset(scenario(cycle))
    before = state.actuator_position.copy()
    drive(cycle.plant, np.zeros(7), 40)
    after = cycle.plant.truth().state.actuator_position
    np.testing.assert_allclose(after, before, atol=1e-4)


def test_velocity_is_tracked_and_ramped_together(cycle):
    plant = cycle.plant
    plant.reset(scenario(cycle))
    target = np.array([0.2, -0.1, 0.1, 0.15, -0.2, 0.1, 0.3])
    seen = drive(plant, target, 12)
    np.testing.assert_allclose(seen[-1], target, atol=0.01)
    change = np.abs(np.diff(seen, axis=0, prepend=np.zeros((1, 7)))) * 20.0
    assert (change <= 1.1 * plant.robot.acceleration_max).all()


@pytest.mark.parametrize("category", [0, 1, 2])
def test_every_stop_category_brings_the_arm_to_rest(cycle, category):
    plant = cycle.plant
    plant.reset(scenario(cycle))
    drive(plant, np.full(7, 0.3), 10)
    plant.stop(category)
    plant.advance()
    plant.advance()
    assert np.abs(plant.truth().state.actuator_velocity).max() < 0.01
    plant.apply(command(np.full(7, 0.3), 99))
    plant.advance()
    moving = np.abs(plant.truth().state.actuator_velocity).max() > 0.1
    assert moving == (category == 2), "stop 1 and 0 hold until a person releases them"


def test_a_reset_forgets_the_last_episode(cycle):
    first = digest(cycle.plant, cycle, 3)
    digest(cycle.plant, cycle, 4)
    assert digest(cycle.plant, cycle, 3) == first


def test_two_processes_agree_to_the_last_bit(cycle):
    code = (
        "from physai.tasks import registry; from tests.plant.test_simulation import "
        "digest; c = registry.make_cycle('physai/CareFeeding-v0', guard='off'); "
        "print(digest(c.plant, c, 3))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.split()[-1] == digest(cycle.plant, cycle, 3)


def test_the_tracker_is_late_noisy_and_bounded(cycle):
    plant, tracker = cycle.plant, cycle.environment.plant.tracker
    plant.reset(scenario(cycle, 7))
    errors, ages = [], []
    for step in range(200):
        plant.apply(command(np.zeros(7), step))
        plant.advance()
        state, truth = plant.read(), plant.truth().state
        errors.append(
            np.linalg.norm(state.people[0, 3:6, :3] - truth.people[0, 3:6, :3], axis=1)
        )
        ages.append(state.people_age_s[0])
    errors, ages = np.array(errors), np.array(ages)
    assert errors.max() <= tracker.bound_m + 0.02
    assert (
        0.5 * tracker.sigma_m < errors.std() + errors.mean() / 2 < 3 * tracker.sigma_m
    )
    assert ages[10:].min() >= tracker.latency_s - 1e-9 and np.median(ages) < 0.25


def test_a_hand_that_grips_the_arm_is_felt_by_both(cycle):
    plant = cycle.plant
    touched = 0.0
    for seed in range(8):
        plant.reset(scenario(cycle, seed, "misuse_reach"))
        drive(plant, np.zeros(7), 320)
        contact = plant.truth().contact
        touched = max(touched, contact.force_peak_n[:, 1:].max())
        moved = contact.robot_normal_speed_m_s[contact.force_peak_n > 0]
        assert (moved < 0.05).all(), "an arm at rest has no moving contact"
        if touched > 0:
            break
    assert touched > 0.0


@pytest.mark.parametrize("missed", [False, True])
def test_a_moving_robot_warns_whom_it_knows_of_and_who_heeds_it_stops(
    missed: bool,
) -> None:
    """Nobody is warned whom the tracker does not show, nor heeds it who ignores it."""
    cycle = registry.make_cycle("physai/LogisticsCrossing-v0", guard="off")
    template = cycle.environment.template("nominal_cross")
    cross = {"kind": "cross", "speed_m_s": 1.0, "start_s": 0.0}
    place = {
        "start_x_m": -6.0,
        "person_x_m": 0.0,
        "person_y_m": 3.0,
        "person_to_x_m": 0.0,
    }
    fault = FaultConfig(kind="missed_person") if missed else None
    walked = {}
    for name, more in (
        ("heeds", [{"kind": "react_to_alarm"}]),
        ("ignores", [{"kind": "react_to_alarm"}, {"kind": "ignore_alarm"}]),
        ("neither", []),
    ):
        made = template.model_copy(
            update={
                "behaviours": tuple(
                    BehaviourConfig.model_validate(given) for given in [cross, *more]
                ),
                "ranges": place,
                "faults": (fault,) if fault else (),
                "duration_s": 6.0,
            }
        )
        plant = cycle.plant
        plant.reset(cycle.task.sample_scenario(10_000_003, "test", made))
        robot = cycle.task.robot
        forward = np.zeros(len(robot.actuator_names))
        forward[0] = 1.0
        for step in range(100):
            plant.apply(Command(forward, np.zeros(0), 0.05 * step, step))
            plant.advance()
        walked[name] = plant.people[0].path_m
    cycle.close()
    assert walked["ignores"] == walked["neither"]
    if missed:
        assert walked["heeds"] == walked["neither"]
    else:
        assert walked["heeds"] < walked["neither"] - 0.5
