"""Imitation with memory: what was seen once is remembered, and is checked step by step."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest

pytest.importorskip("sb3_contrib")

import torch
from sb3_contrib import RecurrentPPO
from stable_baselines3 import PPO
from stable_baselines3.common.base_class import BaseAlgorithm

from physai.training.config import DemonstrationConfig
from physai.training.demonstration import Demonstrations, Driver, Episode
from physai.training.imitation import fit


class Told(gymnasium.Env):
    """Spaces, and nothing else: what is seen is in the demonstrations."""

    observation_space = gymnasium.spaces.Box(-1.0, 1.0, (2,))
    action_space = gymnasium.spaces.Box(-1.0, 1.0, (1,))


def data() -> Demonstrations:
    """Episodes of 90 to 150 steps whose first observation tells every later label."""
    rng = np.random.default_rng(0)
    episodes = []
    for k in range(24):
        steps, side = int(rng.integers(90, 150)), 0.5 if k % 2 else -0.5
        seen = rng.normal(0.0, 0.1, (steps + 1, 2)).astype(np.float32)
        seen[:, 0], seen[0, 0] = 0.0, 2.0 * side
        labels = np.full((steps, 1), side, np.float32)
        zeros = np.zeros(steps, np.float32)
        episodes.append(Episode(seen, labels, labels, zeros, zeros, False, True))
    return Demonstrations(episodes)


def driven(model: BaseAlgorithm, shown: Demonstrations) -> float:
    """Return the mean squared error of the model as it acts, one step after another."""
    driver, total = Driver(model, None), 0.0
    for episode in shown.episodes:
        driver.reset()
        acted = np.stack([driver.act(each) for each in episode.observations[:-1]])
        total += float(((acted - episode.labels) ** 2).sum())
    return total / len(shown)


def make(kind: type[BaseAlgorithm]) -> BaseAlgorithm:
    torch.set_num_threads(1)
    if kind is PPO:
        return PPO("MlpPolicy", Told(), seed=0, device="cpu")
    sizes = {"lstm_hidden_size": 16, "net_arch": [16]}
    return RecurrentPPO(
        "MlpLstmPolicy", Told(), seed=0, policy_kwargs=sizes, device="cpu"
    )


def test_what_was_seen_once_is_remembered() -> None:
    shown = data()
    plan = DemonstrationConfig(
        episodes=1, epochs=60, batch_size=512, learning_rate=1e-2
    )
    errors = {}
    for kind in (PPO, RecurrentPPO):
        model = make(kind)
        fit(model, None, shown, plan, 0)
        errors[kind] = driven(model, shown)
    # Without memory there is nothing better than the middle: 0.25.
    assert errors[RecurrentPPO] < 0.01 < 0.2 < errors[PPO]


@pytest.mark.parametrize("kind", [PPO, RecurrentPPO])
def test_rounded_products_teach_nearly_the_same_and_weights_stay_as_fine(
    kind: type[BaseAlgorithm],
) -> None:
    shown, errors = data(), {}
    for precision in ("float32", "bfloat16"):
        plan = DemonstrationConfig(
            episodes=1,
            epochs=60,
            batch_size=512,
            learning_rate=1e-2,
            precision=precision,
        )
        model = make(kind)
        fit(model, None, shown, plan, 0)
        errors[precision] = driven(model, shown)
        kinds = {each.dtype for each in model.policy.state_dict().values()}
        assert kinds == {torch.float32}
    assert errors["float32"] != errors["bfloat16"]
    assert abs(errors["float32"] - errors["bfloat16"]) < 0.01


def test_the_error_is_that_of_the_policy_as_it_acts() -> None:
    """Episodes of different length are learned side by side: nothing is padded into it."""
    shown, model = data(), make(RecurrentPPO)
    plan = DemonstrationConfig(
        episodes=1, epochs=1, batch_size=512, learning_rate=1e-12
    )
    error = fit(model, None, shown, plan, 0)
    assert error == pytest.approx(driven(model, shown), rel=1e-4)
