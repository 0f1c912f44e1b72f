"""Adversaries: what they are paid for, and that what is frozen is what was searched."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from physai.evaluation.suite import load_suite
from physai.policy.adapters import load_policy
from physai.tasks import registry
from physai.training.adversary import (
    Adversary,
    LinearPolicy,
    ViolationEnv,
    learn_adversary,
    write_contract,
)


@pytest.fixture
def env():
    suite = load_suite("care_feeding_guard")
    made = ViolationEnv(suite, "off", Adversary("test", suite.id, "none"))
    yield made
    made.close()


def test_the_reward_grows_with_the_violation(env) -> None:
    env.reset(seed=0)
    _, still, *_ = env.step(np.zeros(env.action_space.shape, dtype=np.float32))
    wildest = still
    for _ in range(60):
        observation, wild, ended, *_ = env.step(
            np.ones(env.action_space.shape, dtype=np.float32)
        )
        assert wild >= 0.0 and np.isfinite(observation).all()
        wildest = max(wild, wildest)
        if ended:
            break
    assert wildest > still + 0.2, "without a guard full lever violates something"
    assert env.record.smallest_margin < 0.0


def test_the_same_number_is_the_same_episode_of_a_training_seed(env) -> None:
    seen = []
    for number in (3, 4, 3):
        observation, _ = env.reset(seed=number)
        scenario = env._scenario
        seen.append((scenario.case, scenario.seed, observation.tobytes()))
    assert seen[0] == seen[2] and seen[0] != seen[1]
    assert all(seed < 10_000_000 for _, seed, _ in seen), "of the training range"


def test_what_is_frozen_is_what_was_searched(tmp_path: Path) -> None:
    cycle = registry.make_cycle("physai/CareFeeding-v0")
    size, rng = len(cycle.spaces.observation_names), np.random.default_rng(0)
    policy = LinearPolicy(
        rng.normal(size=size).astype(np.float32),
        rng.uniform(0.1, 2.0, size).astype(np.float32),
        len(cycle.spaces.action_names),
    )
    policy.set(rng.normal(0.0, 0.3, policy.size))
    file = tmp_path / "linear.onnx"
    policy.save(file)
    write_contract(cycle, file)
    loaded = load_policy(str(file), cycle)
    for _ in range(50):
        observation = rng.normal(0.0, 2.0, size).astype(np.float32)
        np.testing.assert_allclose(
            loaded.act(observation), policy.act(observation), atol=1e-5
        )
    cycle.close()


@pytest.mark.slow
def test_a_learned_adversary_runs_in_its_environment(tmp_path: Path) -> None:
    file = tmp_path / "learned.onnx"
    made = learn_adversary("care_feeding_guard", file, steps=2048)
    assert made.steps >= 2048 and made.episodes > 1
    cycle = registry.make_cycle("physai/CareFeeding-v0")
    loaded = load_policy(str(file), cycle)
    cycle.reset(cycle.task.sample_scenario(10_000_000, "test"))
    action = loaded.act(cycle.observation)
    assert (np.abs(action) <= 1.0).all()
    cycle.close()
