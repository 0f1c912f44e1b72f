"""Labelled episodes: the same from any number of processes, and what is made of them."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

pytest.importorskip("stable_baselines3")
pytest.importorskip("pybullet")

import torch
from gymnasium import spaces
from stable_baselines3 import PPO, SAC
from stable_baselines3.common.vec_env import DummyVecEnv

from physai.errors import ConfigError
from physai.evaluation.held_out import HeldOut, count_held_out, measure_held_out
from physai.tasks import registry
from physai.training.config import DemonstrationConfig
from physai.training.demonstration import Collector, Demonstrations, Driver
from physai.training.features import MultiScaleFeatures
from physai.training.imitation import fit, remember

ENVIRONMENT = "physai/CareFeeding-v0"
MAKE = partial(registry.make, ENVIRONMENT)


@pytest.fixture(scope="module")
def learner() -> SAC:
    torch.set_num_threads(1)
    kwargs = {"features_extractor_class": MultiScaleFeatures, "net_arch": [16]}
    vector = DummyVecEnv([MAKE, MAKE])
    return SAC("MlpPolicy", vector, buffer_size=5000, policy_kwargs=kwargs, seed=0)


@pytest.fixture(scope="module")
def data(learner: SAC) -> Demonstrations:
    collector = Collector(MAKE, 2)
    try:
        shown = [*collector.collect(2, 5, 0.1)]
        driven = [*collector.collect(1, 6, 0.0, Driver(learner, None))]
    finally:
        collector.close()
    return Demonstrations([*shown, *driven])


def test_the_number_of_processes_changes_nothing(
    learner: SAC, data: Demonstrations
) -> None:
    collector = Collector(MAKE, 1)
    shown = [*collector.collect(2, 5, 0.1)]
    driven = [*collector.collect(1, 6, 0.0, Driver(learner, None))]
    collector.close()
    for one, other in zip([*shown, *driven], data.episodes, strict=True):
        assert np.array_equal(one.observations, other.observations)
        assert np.array_equal(one.labels, other.labels)
        assert np.array_equal(one.actions, other.actions)
    assert len(data) == sum(len(e.rewards) for e in data.episodes)
    assert not np.array_equal(data.episodes[2].labels, data.episodes[2].actions)


def test_imitation_comes_nearer_to_the_labels(
    learner: SAC, data: Demonstrations
) -> None:
    plan = DemonstrationConfig(episodes=2, epochs=6, batch_size=64)
    first = fit(learner, None, data, plan.model_copy(update={"epochs": 1}), 0)
    assert fit(learner, None, data, plan, 0) < first
    scaled = learner.policy.actor.features_extractor(
        torch.as_tensor(data.observations)
    ).detach()
    varied = scaled.std(dim=0) > 0.1
    assert varied.sum() > 20
    assert torch.allclose(scaled.mean(dim=0)[varied], torch.zeros(1), atol=0.2)


def test_a_replay_buffer_begins_with_what_was_done(
    learner: SAC, data: Demonstrations
) -> None:
    remember(learner, data)
    buffer = learner.replay_buffer
    assert buffer is not None
    assert buffer.pos == len(data) // 2
    first = data.episodes[0]
    assert np.array_equal(buffer.observations[0, 1], first.observations[1])
    assert np.array_equal(buffer.next_observations[0, 0], first.observations[1])
    assert np.array_equal(buffer.actions[1, 0], first.actions[2])
    assert buffer.dones.sum() in (len(data.episodes), len(data.episodes) - 1)
    cut = sum(not episode.terminated for episode in data.episodes)
    assert abs(int(buffer.timeouts.sum()) - cut) <= 1


def test_who_has_no_replay_buffer_is_told(data: Demonstrations) -> None:
    model = PPO("MlpPolicy", DummyVecEnv([MAKE]), n_steps=64, device="cpu")
    with pytest.raises(ConfigError, match="PPO learns without a replay buffer"):
        remember(model, data)


def test_a_small_error_on_a_long_way_is_seen() -> None:
    space = spaces.Box(np.float32([-20.0]), np.float32([20.0]))
    features = MultiScaleFeatures(space)
    near = features(torch.tensor([[0.0], [0.008]]))
    assert abs(float(near[1, 0] - near[0, 0])) < 0.001
    assert abs(float(near[1, 1] - near[0, 1])) > 0.05
    expected = [0.008 / 20.0, float(np.arcsinh(0.8) / np.arcsinh(2000.0))]
    assert near[1].tolist() == pytest.approx(expected, rel=1e-4)


def test_held_out_episodes_are_the_same_from_several_processes() -> None:
    asked = HeldOut(ENVIRONMENT, "random")
    made = measure_held_out(asked, 3, processes=2)
    assert made == measure_held_out(asked, 3, processes=1)
    cycle = registry.make_cycle(ENVIRONMENT)
    expert = count_held_out(cycle, cycle.scripted_policy("expert"), 2)
    cycle.close()
    assert expert == measure_held_out(HeldOut(ENVIRONMENT, "expert"), 2)
    assert expert["table"]["safe_success"] == 2
