"""Constrained reinforcement learning: a budget for the cost of an episode.

The mean cost of an episode, undiscounted and in the units of the safety specification,
shall not exceed a budget. A multiplier prices the cost; while the budget is exceeded it
rises, and the policy learns from reward less priced cost (constrained Markov decision
processes, Altman 1999; PID control of the multiplier: Stooke, Achiam and Abbeel, ICML
2020). It holds on average, not in every state: hard rules stay with the guard.

:func:`constrained` makes such a learner of any algorithm of Stable-Baselines3 that learns
on-policy (a second critic, for the cost) or off-policy (the cost in the replay buffer,
priced as of the moment when it is sampled).
"""

from __future__ import annotations

import functools
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from gymnasium import spaces
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.buffers import ReplayBuffer, RolloutBuffer
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.torch_layers import create_mlp
from stable_baselines3.common.type_aliases import ReplayBufferSamples
from stable_baselines3.common.utils import obs_as_tensor
from stable_baselines3.common.vec_env import VecNormalize

from physai.errors import ConfigError
from physai.training.config import ConstraintConfig
from physai.training.vector_worker import COST

__all__ = ["CostCritic", "Multiplier", "constrained"]

_SCALE_MINIMUM = 1e-2
_SCALE_KEPT = 0.95
"""Of the critic's unit per rollout, when costs fall."""


class Multiplier(torch.nn.Module):
    """The price of cost: a PID controller on its excess over the budget.

    Args:
        config: Budget and gains.

    Attributes:
        config: The same.
    """

    def __init__(self, config: ConstraintConfig) -> None:
        super().__init__()
        self.config = config
        state = torch.zeros(4 + config.delay, dtype=torch.float64)
        state[0], state[1] = config.start, config.start
        # Price, integral, smoothed excess, number of updates, and smoothed costs.
        self.register_buffer("state", state)

    @property
    def price(self) -> float:
        """The multiplier lambda, at least 0."""
        return float(cast(torch.Tensor, self.state)[0])

    def update(self, cost: float) -> float:
        """Move the price by the mean cost of the newest episodes; return it.

        With e = cost - budget, averages E of e and J of the cost:

            I <- clip(I + ki e, 0, maximum)
            lambda = clip(kp E + I + kd max(0, J - J delay updates ago), 0, maximum)
        """
        c, s = self.config, cast(torch.Tensor, self.state)
        excess, updates = cost - c.budget, int(s[3])
        weight = c.smoothing if updates else 0.0
        s[1] = min(c.maximum, max(0.0, float(s[1]) + c.integral * excess))
        s[2] = weight * float(s[2]) + (1.0 - weight) * excess
        past = s[4:]
        # The oldest of the delayed costs is overwritten by the newest.
        newest, oldest = (updates - 1) % c.delay, updates % c.delay
        smoothed = weight * float(past[newest]) + (1.0 - weight) * cost
        before = float(past[oldest]) if updates >= c.delay else smoothed
        past[oldest] = smoothed
        price = c.proportional * float(s[2]) + float(s[1])
        price += c.derivative * max(0.0, smoothed - before)
        s[0], s[3] = min(c.maximum, max(0.0, price)), updates + 1
        return self.price


class _Costs:
    """Counts the cost of every environment's episode.

    Attributes:
        finished: Costs of the episodes that have ended since :meth:`take`.
    """

    def __init__(self, count: int) -> None:
        self._running = np.zeros(count)
        self.finished: list[float] = []

    def add(
        self, infos: list[dict[str, Any]], ends: npt.NDArray[np.bool_]
    ) -> npt.NDArray[np.float64]:
        """Add one step; return (n,) its costs.

        Raises:
            ConfigError: If the environment tells no cost.
        """
        try:
            costs = np.array([float(info[COST]) for info in infos])
        except KeyError:
            raise ConfigError(
                'constraint: the environment has no "cost" in info, so that there is '
                "nothing to constrain"
            ) from None
        self._running += costs
        for i in np.flatnonzero(ends).tolist():
            self.finished.append(float(self._running[i]))
            self._running[i] = 0.0
        return costs

    def take(self) -> list[float]:
        """Return the costs of the episodes that have ended, and forget them."""
        finished = list(self.finished)
        self.finished.clear()
        return finished


class CostCritic(torch.nn.Module):
    """The cost that is still to come, learned in units of its own size.

    An episode may cost 0.1 or 5,000. Fitted to such numbers as they are, a network of
    usual size and learning rate is behind by hundreds of updates; so that it learns them
    divided by their root mean square, which follows what is met. When that changes, the last
    layer is scaled so that what the critic says does not (van Hasselt et al. 2016,
    "Learning values across many orders of magnitude", without its shift: a critic of a
    cost should say 0 where nothing was ever charged).

    Args:
        size: Number of features.
        layers: Widths of the hidden layers.

    Attributes:
        scale: One in these units is so much cost.
    """

    scale: torch.Tensor

    def __init__(self, size: int, layers: tuple[int, ...]) -> None:
        super().__init__()
        made = create_mlp(size, 1, list(layers), torch.nn.Tanh)
        self.layers = torch.nn.Sequential(*made)
        self.register_buffer("scale", torch.tensor(_SCALE_MINIMUM))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Return (n, 1) costs of (n, size) features."""
        return cast(torch.Tensor, self.layers(features) * self.scale)

    def adapt(self, returns: torch.Tensor) -> None:
        """Follow the size of newly met costs: upward at once, downward slowly.

        Args:
            returns: (n, 1) costs.
        """
        met = max(float(returns.square().mean().sqrt()), _SCALE_MINIMUM)
        wanted = max(met, _SCALE_KEPT * float(self.scale))
        last = cast(torch.nn.Linear, self.layers[-1])
        with torch.no_grad():
            ratio = self.scale / wanted
            last.weight.mul_(ratio)
            last.bias.mul_(ratio)
            self.scale.fill_(wanted)


class _OnPolicy(OnPolicyAlgorithm):
    """On-policy learning with a critic for the cost.

    A = (A_r - lambda (A_c - mean(A_c))) / (1 + lambda), with generalised advantage
    estimates of both. Neither is scaled before they are mixed: with A_r at unit variance
    the price of the same trade would rise as exploration falls, and the multiplier would
    run after it. The algorithm's own ``normalize_advantage`` acts on the mixture.
    """

    def __init__(self, *args: Any, constraint: ConstraintConfig, **more: Any) -> None:
        self.constraint = constraint
        super().__init__(*args, **more)

    def _setup_model(self) -> None:
        super()._setup_model()
        plan = self.constraint
        self.multiplier = Multiplier(plan)
        size = self.policy.features_extractor.features_dim
        self.cost_critic = CostCritic(size, plan.critic_layers).to(self.device)
        self.cost_optimizer = torch.optim.Adam(
            self.cost_critic.parameters(), lr=plan.critic_learning_rate
        )
        self._count = _Costs(self.n_envs)
        self._step_costs: list[npt.NDArray[np.float64]] = []
        self._cut_off: list[tuple[int, int, Any]] = []

    def collect_rollouts(self, *args: Any, **more: Any) -> bool:
        """Collect a rollout and the costs of its steps."""
        self._step_costs, self._cut_off = [], []
        return bool(super().collect_rollouts(*args, **more))

    def _update_info_buffer(
        self, infos: list[dict[str, Any]], dones: npt.NDArray[np.bool_] | None = None
    ) -> None:
        super()._update_info_buffer(infos, dones)
        assert dones is not None
        step = len(self._step_costs)
        self._step_costs.append(self._count.add(infos, dones))
        for i in np.flatnonzero(dones).tolist():
            if infos[i].get("TimeLimit.truncated", False):
                self._cut_off.append((step, i, infos[i]["terminal_observation"]))
        self._ends = dones

    def train(self) -> None:
        """Price the cost, learn from what is left, then learn the cost."""
        finished = self._count.take()
        if finished:
            self.multiplier.update(float(np.mean(finished)))
            self.logger.record("constraint/episode_cost", float(np.mean(finished)))
        price = self.multiplier.price
        self.logger.record("constraint/price", price)
        buffer = cast(Any, self.rollout_buffer)
        observations = buffer.observations
        features = self._features(_flattened(observations))
        costs = self._returns_of_costs(features)
        losses = costs[0] - costs[0].mean()
        mixed = (buffer.advantages - price * losses) / (1.0 + price)
        buffer.advantages = mixed.astype(np.float32)
        super().train()
        self._fit_critic(features, costs[1])

    def _features(self, observations: Any) -> torch.Tensor:
        """Return what the policy's own extractor makes of observations."""
        with torch.no_grad():
            given = obs_as_tensor(observations, self.device)
            found = self.policy.extract_features(
                cast(Any, given), self.policy.features_extractor
            )
        return cast(torch.Tensor, found)

    def _returns_of_costs(
        self, features: torch.Tensor
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Return (T, n) advantages and returns of the cost, by its critic."""
        steps, count = len(self._step_costs), self.n_envs
        discount = self.constraint.discount or self.gamma
        with torch.no_grad():
            values = self.cost_critic(features).cpu().numpy().reshape(steps, count)
            last = self._features(self._last_obs)
            following = self.cost_critic(last).cpu().numpy().reshape(count)
        costs = np.array(self._step_costs)
        for step, i, observation in self._cut_off:
            one = (
                {key: value[None] for key, value in observation.items()}
                if isinstance(observation, dict)
                else np.asarray(observation)[None]
            )
            with torch.no_grad():
                beyond = float(self.cost_critic(self._features(one)))
            costs[step, i] += discount * beyond
        box = spaces.Box(0.0, 1.0, (1,))
        buffer = RolloutBuffer(
            steps, box, box, "cpu", self.gae_lambda, discount, self.n_envs
        )
        buffer.rewards[:], buffer.values[:] = costs, values
        buffer.episode_starts[:] = self.rollout_buffer.episode_starts
        buffer.compute_returns_and_advantage(torch.as_tensor(following), self._ends)
        return buffer.advantages, buffer.returns

    def _fit_critic(
        self, features: torch.Tensor, returns: npt.NDArray[np.float32]
    ) -> None:
        """Fit the critic of the cost to the returns of this rollout."""
        plan = self.constraint
        wanted = torch.as_tensor(
            returns.reshape(-1, 1), dtype=torch.float32, device=self.device
        )
        losses = []
        self.cost_critic.adapt(wanted)
        unit = float(self.cost_critic.scale)
        for _ in range(plan.critic_epochs):
            order = np.random.permutation(len(wanted))
            for start in range(0, len(order), plan.critic_batch_size):
                batch = torch.as_tensor(order[start : start + plan.critic_batch_size])
                found = self.cost_critic(features[batch])
                loss = torch.nn.functional.mse_loss(found / unit, wanted[batch] / unit)
                self.cost_optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                self.cost_optimizer.step()
                losses.append(float(loss.detach()))
        self.logger.record("constraint/critic_loss", float(np.mean(losses)))

    def _get_torch_save_params(self) -> tuple[list[str], list[str]]:
        names, variables = super()._get_torch_save_params()
        return [*names, "cost_critic", "cost_optimizer", "multiplier"], variables

    def _excluded_save_params(self) -> list[str]:
        return [
            *super()._excluded_save_params(),
            "cost_critic",
            "cost_optimizer",
            "multiplier",
            "_count",
            "_step_costs",
            "_cut_off",
            "_ends",
        ]


def _flattened(observations: Any) -> Any:
    """Join the first two axes, step and environment."""
    if isinstance(observations, dict):
        return {key: _flattened(value) for key, value in observations.items()}
    return observations.reshape(-1, *observations.shape[2:])


class CostReplayBuffer(ReplayBuffer):
    """A replay buffer that keeps costs and prices them when they are sampled.

    Attributes:
        multiplier: Whose price holds at that moment.
    """

    multiplier: Multiplier

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        if self.optimize_memory_usage:
            raise ConfigError(
                "constraint: optimize_memory_usage leaves no room for costs"
            )
        self.costs = np.zeros((self.buffer_size, self.n_envs), dtype=np.float32)

    def add(
        self,
        obs: npt.NDArray[Any],
        next_obs: npt.NDArray[Any],
        action: npt.NDArray[Any],
        reward: npt.NDArray[Any],
        done: npt.NDArray[Any],
        infos: list[dict[str, Any]],
    ) -> None:
        """Keep one step of every environment, with its cost."""
        self.costs[self.pos] = [info[COST] for info in infos]
        super().add(obs, next_obs, action, reward, done, infos)

    def _get_samples(
        self, batch_inds: npt.NDArray[Any], env: VecNormalize | None = None
    ) -> ReplayBufferSamples:
        # The parent draws the environments from the same generator: draw them here,
        # and have it draw them again.
        state = np.random.get_state()
        which = np.random.randint(0, high=self.n_envs, size=(len(batch_inds),))
        np.random.set_state(state)
        found = super()._get_samples(batch_inds, env)
        costs = self.to_torch(self.costs[batch_inds, which].reshape(-1, 1))
        price = self.multiplier.price
        mixed = (found.rewards - price * costs) / (1.0 + price)
        return found._replace(rewards=mixed)


class _OffPolicy(OffPolicyAlgorithm):
    """Off-policy learning from reward less priced cost."""

    def __init__(self, *args: Any, constraint: ConstraintConfig, **more: Any) -> None:
        self.constraint = constraint
        more.setdefault("replay_buffer_class", CostReplayBuffer)
        super().__init__(*args, **more)

    def _setup_model(self) -> None:
        super()._setup_model()
        self.multiplier = Multiplier(self.constraint)
        self._count = _Costs(self.n_envs)
        # Of ended episodes that no update of the price has seen: kept with the model.
        self.unjudged_costs = self._count.finished
        self._share()

    def _share(self) -> None:
        """Give the replay buffer the multiplier, which is none of its data."""
        if not isinstance(self.replay_buffer, CostReplayBuffer):
            raise ConfigError(
                "constraint: needs a replay buffer that keeps costs; leave out "
                "replay_buffer_class, and observe a vector"
            )
        self.replay_buffer.multiplier = self.multiplier

    def load_replay_buffer(self, *args: Any, **more: Any) -> None:
        """Load the buffer of a run to go on with."""
        super().load_replay_buffer(*args, **more)
        self._share()

    def _update_info_buffer(
        self, infos: list[dict[str, Any]], dones: npt.NDArray[np.bool_] | None = None
    ) -> None:
        super()._update_info_buffer(infos, dones)
        assert dones is not None
        self._count.add(infos, dones)
        if len(self._count.finished) >= self.constraint.episodes_per_update:
            cost = float(np.mean(self._count.take()))
            self.multiplier.update(cost)
            self.logger.record("constraint/episode_cost", cost)
        self.logger.record("constraint/price", self.multiplier.price)

    def _get_torch_save_params(self) -> tuple[list[str], list[str]]:
        names, variables = super()._get_torch_save_params()
        return [*names, "multiplier"], variables

    def _excluded_save_params(self) -> list[str]:
        return [*super()._excluded_save_params(), "multiplier", "_count"]


@functools.cache
def constrained(algorithm: type[BaseAlgorithm]) -> type[BaseAlgorithm]:
    """Return an algorithm that also takes ``constraint``.

    Raises:
        ConfigError: If it learns neither on-policy nor off-policy, or keeps the hidden
            state of a recurrent policy, which the cost critic does not have.
    """
    name = f"Constrained{algorithm.__name__}"
    if algorithm.__name__ == "RecurrentPPO":
        raise ConfigError("constraint: RecurrentPPO is not supported")
    if issubclass(algorithm, OnPolicyAlgorithm):
        return cast(type[BaseAlgorithm], type(name, (_OnPolicy, algorithm), {}))
    if issubclass(algorithm, OffPolicyAlgorithm):
        return cast(type[BaseAlgorithm], type(name, (_OffPolicy, algorithm), {}))
    raise ConfigError(f"constraint: {algorithm.__name__} is not supported")
