from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from physai.errors import ConfigError, PhysaiError
from physai.plant.meal import Meal, MealConfig
from physai.plant.process import load_process
from physai.policy.policy import Policy
from physai.record.episode import StepRecord
from physai.tasks import registry
from physai.tasks.cycle import Cycle

ENVIRONMENT = "physai/CareFeeding-v0"
SEED = 10_000_000


@pytest.fixture(scope="module")
def cycle() -> Iterator[Cycle]:
    made = registry.make_cycle(ENVIRONMENT, guard="on")
    yield made
    made.close()


def play(
    cycle: Cycle, policy: Policy, template: str, seed: int = SEED
) -> list[StepRecord]:
    observation = cycle.reset(cycle.task.sample_scenario(seed, "test", template))
    policy.reset()
    rows = []
    while True:
        row = cycle.step(policy.act(observation))
        observation = cycle.observation
        rows.append(row)
        if row.terminated or row.truncated:
            return rows


def true_extras(rows: list[StepRecord], name: str) -> np.ndarray:
    values = []
    for row in rows:
        assert row.truth is not None
        values.append(row.truth.extras[Meal.TRUTH_EXTRAS.index(name)])
    return np.array(values)


def test_a_bite_is_conserved_and_ends_in_the_mouth(cycle: Cycle) -> None:
    rows = play(cycle, cycle.scripted_policy("expert", 0), "nominal_rest")
    eaten, spilled = (true_extras(rows, n) for n in ("food_in_mouth", "food_spilled"))
    on_spoon = np.array(
        [
            row.truth.state.extras[Meal.EXTRAS.index("food_on_spoon")]
            for row in rows
            if row.truth
        ]
    )
    np.testing.assert_allclose(eaten + spilled + on_spoon, 1.0, atol=1e-9)
    assert np.all(np.diff(eaten) >= 0.0) and np.all(np.diff(spilled) >= 0.0)
    assert eaten[-1] >= 0.75
    depth = true_extras(rows, "insertion_depth_m")
    assert 0.018 <= depth.max() <= 0.045
    assert np.all(eaten[: int(np.argmax(depth > 0.0))] == 0.0)


def test_nobody_is_fed_against_their_will(cycle: Cycle) -> None:
    rows = play(cycle, cycle.scripted_policy("expert", 0), "refuse")
    assert true_extras(rows, "food_in_mouth")[-1] == 0.0
    assert true_extras(rows, "insertion_depth_m").max() == 0.0


def test_a_spoon_turned_over_is_empty() -> None:
    class Roll:
        def reset(self) -> None:
            pass

        def act(self, observation: np.ndarray) -> np.ndarray:
            action = np.zeros(6)
            action[3:] = 1.0
            return action

    cycle = registry.make_cycle(ENVIRONMENT, guard="off")
    try:
        rows = play(cycle, Roll(), "nominal_rest")
    finally:
        cycle.close()
    spilled = true_extras(rows, "food_spilled")
    assert spilled[0] < 0.01
    assert spilled[-1] > 0.9


def test_the_face_tracker_is_late_and_noisy_and_the_truth_is_not(cycle: Cycle) -> None:
    rows = play(cycle, cycle.scripted_policy("zero", 0), "nominal_turn")
    seen = np.array([row.state.extras[:3] for row in rows])
    exact = np.array([row.truth.state.extras[:3] for row in rows if row.truth])
    error = np.linalg.norm(seen - exact, axis=1)
    assert 0.0005 < np.median(error) < 0.02
    ages = np.array([row.state.extras_age_s[0] for row in rows])
    _, config = load_process(cycle.environment.plant.process or {})
    assert isinstance(config, MealConfig)
    assert np.all(ages[5:] >= config.face_tracker.latency_s - 1e-9)


def test_a_scenario_may_bring_thinner_food_and_nothing_absurd(cycle: Cycle) -> None:
    scenario = cycle.task.sample_scenario(SEED, "test", "nominal_rest")
    thin = scenario.model_copy(update={"values": {"spill_start_rad": 0.05}})
    cycle.reset(thin)
    with pytest.raises((PhysaiError, ConfigError, ValueError)):
        cycle.reset(scenario.model_copy(update={"values": {"spill_start_rad": -1.0}}))
