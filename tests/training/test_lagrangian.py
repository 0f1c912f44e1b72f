"""A budget for the cost of an episode, where the right answer is known.

In :class:`Trade` a step earns u and costs u^2, ten steps an episode. With a budget d the
best is u = sqrt(d / 10), and the price at which it is the best is 1 / (2 u).
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

pytest.importorskip("stable_baselines3")

import torch
from gymnasium import spaces
from stable_baselines3 import PPO, SAC
from stable_baselines3.common.vec_env import DummyVecEnv, VecMonitor, VecNormalize

from physai.errors import ConfigError
from physai.training.config import ConstraintConfig
from physai.training.hyperparameters import algorithms
from physai.training.lagrangian import CostCritic, Multiplier, constrained
from physai.training.vector import SharedVectorEnv

STEPS = 10


class Trade(gymnasium.Env[Any, Any]):
    observation_space = spaces.Box(-1.0, 1.0, (1,), np.float32)
    action_space = spaces.Box(-2.0, 2.0, (1,), np.float32)
    render_mode = None
    costs = True

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.steps = 0
        return np.zeros(1, np.float32), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        u, self.steps = self.amount(float(action[0])), self.steps + 1
        info = {"cost": u * u} if self.costs else {}
        return np.zeros(1, np.float32), u, False, self.steps >= STEPS, info

    @staticmethod
    def amount(action: float) -> float:
        return math.exp(action)


class Share(Trade):
    """The same with u from 0 to 1: a squashed policy does not get stuck at the end."""

    action_space = spaces.Box(-1.0, 1.0, (1,), np.float32)

    @staticmethod
    def amount(action: float) -> float:
        return 0.5 * (action + 1.0)


class Silent(Trade):
    costs = False


def make(kind: type[Any], budget: float, **more: Any) -> Any:
    torch.set_num_threads(1)
    trade = Share if kind is SAC else Trade
    vector = VecMonitor(SharedVectorEnv([trade] * 4, 0))
    plan = ConstraintConfig(budget=budget, episodes_per_update=8)
    return constrained(kind)(
        "MlpPolicy", vector, constraint=plan, gamma=0.9, seed=0, device="cpu", **more
    )


def small_ppo(budget: float) -> Any:
    return make(
        PPO,
        budget,
        n_steps=100,
        batch_size=100,
        n_epochs=5,
        learning_rate=1e-3,
        policy_kwargs={"log_std_init": -1.5},
    )


def chosen(model: Any) -> float:
    action = model.predict(np.zeros((1, 1), np.float32), deterministic=True)[0]
    trade = Share if isinstance(model, SAC) else Trade
    return trade.amount(float(action[0, 0]))


@pytest.mark.slow
def test_on_policy_the_known_optimum_is_found_at_its_price() -> None:
    model = small_ppo(2.5)
    model.learn(50_000)
    assert chosen(model) == pytest.approx(0.5, abs=0.04)
    assert model.multiplier.price == pytest.approx(1.0, abs=0.08)


@pytest.mark.slow
def test_off_policy_the_known_optimum_is_found_at_its_price() -> None:
    model = make(
        SAC,
        2.5,
        learning_starts=200,
        learning_rate=1e-3,
        batch_size=64,
        train_freq=4,
        gradient_steps=4,
        ent_coef=0.005,
        policy_kwargs={"net_arch": [32, 32]},
    )
    model.learn(9_000)
    assert chosen(model) == pytest.approx(0.5, abs=0.04)
    assert model.multiplier.price == pytest.approx(1.0, abs=0.08)


@pytest.mark.slow
def test_a_budget_that_does_not_bind_costs_nothing() -> None:
    model = small_ppo(1000.0)
    model.learn(20_000)
    assert model.multiplier.price == 0.0
    assert chosen(model) > 4.0


def test_the_multiplier_follows_its_formula() -> None:
    plan = ConstraintConfig(
        budget=2.0,
        proportional=0.3,
        integral=0.05,
        derivative=0.2,
        smoothing=0.6,
        delay=3,
        start=0.4,
    )
    multiplier, costs = Multiplier(plan), [5.0, 1.0, 0.0, 7.0, 9.0, 3.0, 0.5, 8.0]
    summed, excess, smoothed = 0.4, 0.0, []
    for k, cost in enumerate(costs):
        summed = max(0.0, summed + 0.05 * (cost - 2.0))
        excess = cost - 2.0 if k == 0 else 0.6 * excess + 0.4 * (cost - 2.0)
        smoothed.append(cost if k == 0 else 0.6 * smoothed[-1] + 0.4 * cost)
        rise = smoothed[k] - smoothed[k - 3] if k >= 3 else 0.0
        expected = max(0.0, 0.3 * excess + summed + 0.2 * max(0.0, rise))
        assert multiplier.update(cost) == pytest.approx(expected), k
    copy = Multiplier(plan)
    copy.load_state_dict(multiplier.state_dict())
    assert copy.update(4.0) == multiplier.update(4.0)


def test_the_integral_alone_is_gradient_ascent_within_its_bounds() -> None:
    plan = ConstraintConfig(
        budget=1.0, proportional=0.0, integral=0.1, derivative=0.0, maximum=0.55
    )
    multiplier = Multiplier(plan)
    assert [round(multiplier.update(3.0), 9) for _ in range(4)] == [
        0.2,
        0.4,
        0.55,
        0.55,
    ]
    assert [round(multiplier.update(0.0), 9) for _ in range(2)] == [0.45, 0.35]
    assert all(multiplier.update(0.0) >= 0.0 for _ in range(9))
    assert multiplier.price == 0.0


def test_the_advantage_of_cost_is_that_of_rewards() -> None:
    """The same numbers as Stable-Baselines3's, when cost and reward are the same."""
    model = small_ppo(1.0)
    with torch.no_grad():
        for ours, theirs in (
            (model.cost_critic.layers[0], model.policy.mlp_extractor.value_net[0]),
            (model.cost_critic.layers[2], model.policy.mlp_extractor.value_net[2]),
            (model.cost_critic.layers[4], model.policy.value_net),
        ):
            ours.weight.copy_(theirs.weight)
            ours.bias.copy_(theirs.bias)
        model.cost_critic.scale.fill_(1.0)

    class Same(Trade):
        def step(self, action: Any) -> Any:
            observation, gain, ended, cut, _ = super().step(action)
            return observation + gain, gain, ended, cut, {"cost": gain}

    vector = VecMonitor(DummyVecEnv([Same] * 4))
    model.set_env(vector)
    seen = {}

    def train() -> None:
        buffer = model.rollout_buffer
        features = model._features(buffer.observations.reshape(-1, 1))
        seen["cost"] = model._returns_of_costs(features)[0]
        seen["reward"] = buffer.advantages.copy()

    model.train = train
    model.learn(400)
    np.testing.assert_allclose(seen["cost"], seen["reward"], atol=1e-4)


@pytest.mark.parametrize("size", [0.05, 1.0, 4000.0])
def test_the_critic_learns_costs_of_any_size_equally_fast(size: float) -> None:
    torch.manual_seed(0)
    features = torch.randn(256, 4)
    wanted = size * (1.0 + 0.2 * features[:, :1])
    critic = CostCritic(4, (16,))
    optimizer = torch.optim.Adam(critic.parameters(), lr=1e-3)
    critic.adapt(wanted)
    for _ in range(400):
        unit = float(critic.scale)
        loss = ((critic(features) - wanted) / unit).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    error = (critic(features) - wanted).abs().mean()
    assert float(error.detach()) < 0.1 * size
    # Another unit does not change what it says.
    before = critic(features).detach()
    critic.adapt(20.0 * wanted)
    assert float(critic.scale) > 15.0 * unit
    assert torch.allclose(critic(features), before, rtol=1e-4)


def test_a_run_goes_on_with_critic_and_price(tmp_path: Path) -> None:
    model = small_ppo(0.5)
    model.learn(800)
    model.save(tmp_path / "model.zip")
    other = small_ppo(0.5)
    assert other.multiplier.price != model.multiplier.price > 0.0
    other.set_parameters(str(tmp_path / "model.zip"), device="cpu")
    assert other.multiplier.price == model.multiplier.price
    for ours, theirs in zip(
        model.cost_critic.parameters(), other.cost_critic.parameters(), strict=True
    ):
        assert torch.equal(ours, theirs)


def test_priced_rewards_are_of_the_step_that_was_drawn() -> None:
    model = make(SAC, 1.0, learning_starts=10_000, buffer_size=400)
    model.learn(200)
    model.multiplier.state[0] = 0.7
    for _ in range(5):
        drawn = model.replay_buffer.sample(64)
        u = 0.5 * (drawn.actions + 1.0)
        expected = (u - 0.7 * u * u) / 1.7
        assert torch.allclose(drawn.rewards, expected, atol=1e-4)


def test_normalised_rewards_are_priced_after_they_are_scaled() -> None:
    vector = VecNormalize(VecMonitor(SharedVectorEnv([Trade] * 2, 0)), norm_obs=False)
    plan = ConstraintConfig(budget=1.0)
    model: Any = constrained(SAC)(
        "MlpPolicy", vector, constraint=plan, learning_starts=9999, device="cpu"
    )
    model.learn(100)
    model.multiplier.state[0] = 0.5
    drawn = model.replay_buffer.sample(32, env=vector)
    u = torch.exp(2.0 * drawn.actions).numpy()
    expected = (vector.normalize_reward(u) - 0.5 * u * u) / 1.5
    np.testing.assert_allclose(drawn.rewards.numpy(), expected, atol=1e-4)


@pytest.mark.parametrize("kind", [PPO, SAC])
def test_an_environment_without_cost_is_refused(kind: type[Any]) -> None:
    vector = VecMonitor(DummyVecEnv([Silent]))
    plan = ConstraintConfig(budget=1.0)
    model: Any = constrained(kind)("MlpPolicy", vector, constraint=plan, device="cpu")
    with pytest.raises(ConfigError, match='no "cost" in info'):
        model.learn(50)


def test_every_algorithm_is_constrained_or_refused_in_one_sentence() -> None:
    refused = []
    for name, algorithm in algorithms().items():
        try:
            assert constrained(algorithm).__name__ == f"Constrained{name}"
        except ConfigError as error:
            refused.append(name)
            assert str(error).startswith("constraint: ")
    assert {"PPO", "SAC", "TQC", "TD3", "A2C"}.isdisjoint(refused)
    assert "RecurrentPPO" in refused
