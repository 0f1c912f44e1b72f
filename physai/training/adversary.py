"""Adversaries: policies that look for a way past the guard.

A guard that holds against chance and against one scripted enemy may still have a gap
that somebody has to look for. Two look for it here, on scenarios of the training seeds
in the cases of a guard suite, with the guard on:

- **searched**: CMA-ES over the weights of a linear policy toward small margins of the
  hard rules of the truth;
- **learned**: PPO whose reward is how near those margins are to a violation.

A guard holds a command exactly at a limit, so that the smallest margin alone is 0 in
nearly every episode and shows no way. Both therefore look at the mean over the rules too.

Both are exported as ONNX and frozen before any rate is measured
(:mod:`physai.evaluation.challenge`). What the search itself ran into is kept apart: it
is a list of failures, never a rate.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gymnasium
import numpy as np
import numpy.typing as npt

from physai.errors import MissingExtraError
from physai.evaluation.suite import SuiteConfig, load_suite, template_of
from physai.policy.policy import PolicyContract
from physai.randomness import derive_seed, generator
from physai.tasks.env import PhysaiEnv

if TYPE_CHECKING:
    from physai.tasks.cycle import Cycle

__all__ = [
    "Adversary",
    "LinearPolicy",
    "ViolationEnv",
    "learn_adversary",
    "search_adversary",
    "write_contract",
]

FloatArray = npt.NDArray[np.float32]

_VIOLATION = 10.0
"""Weight of a violation beside small margins."""
_FINDERS_KEPT = 5
_STEEPNESS = 3.0
"""Of the tanh behind a linear policy: far from the middle it pushes with full lever."""


@dataclass
class Adversary:
    """What making one adversary gave.

    Attributes:
        kind: ``searched`` or ``learned``.
        suite: Suite whose cases it was made in.
        file: The ONNX file.
        episodes: Episodes that it took.
        steps: Control steps that it took.
        seconds: Wall-clock time [s].
        smallest_margin: Smallest margin of a hard rule on the way.
        found: Episodes on the way in which a hard rule was violated: name of the case,
            seed, rules, number of the episode, and the policy where it was saved.
    """

    kind: str
    suite: str
    file: str
    episodes: int = 0
    steps: int = 0
    seconds: float = 0.0
    smallest_margin: float = float("inf")
    found: list[dict[str, Any]] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Return JSON values."""
        return asdict(self)


class ViolationEnv(gymnasium.Wrapper[Any, FloatArray, Any, FloatArray]):
    """An environment that rewards coming near a violation, in the cases of a suite.

    The reward of a step is the mean over the hard rules of the truth of 1 - m, m their
    margins cut to [-1, 1], and ten times what the worst is below 0. It is never
    negative, so that an episode that the guard ends is a loss.

    Args:
        suite: Whose cases are drawn, by weight.
        guard: ``on``, or ``off`` for an adversary of a robot without one.
        record: Keeps what is found.

    Attributes:
        lowest: (h,) smallest margin of every hard rule in this episode, cut to [-1, 1].
    """

    def __init__(self, suite: SuiteConfig, guard: str, record: Adversary) -> None:
        super().__init__(PhysaiEnv(suite.environment, guard=guard))
        self.suite, self.record = suite, record
        cycle = self.cycle
        self._hard = np.flatnonzero(cycle.spec.hard).tolist()
        self._weights = np.array([float(case.weight) for case in suite.cases])
        self._weights /= self._weights.sum()
        self._drawn = 0
        self._seeds = cycle.environment.distributions["train"].seeds
        self._scenario: Any = None
        self._violated: set[str] = set()
        self.lowest = np.ones(len(self._hard))

    @property
    def cycle(self) -> Cycle:
        """The cycle of the environment."""
        env: Any = self.env.unwrapped
        cycle: Cycle = env.cycle
        return cycle

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Start the next case; the seed says which and with what in it.

        Args:
            seed: Number of the episode; None counts on.
            options: Not used.
        """
        number = self._drawn if seed is None else seed
        self._drawn = number + 1
        rng = generator(number, "adversary.case")
        case = self.suite.cases[int(rng.choice(len(self._weights), p=self._weights))]
        env: Any = self.env.unwrapped
        self._scenario = self.cycle.task.sample_scenario(
            self._seeds.first + number % self._seeds.count,
            "train",
            template_of(case, env.environment),
        )
        self._violated, self.lowest = set(), np.ones(len(self._hard))
        self.record.episodes += 1
        return self.env.reset(options={"scenario": self._scenario})

    def step(self, action: FloatArray) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Do one control step; the reward is the adversary's."""
        observation, _, terminated, truncated, info = self.env.step(action)
        scorer, record = self.cycle.scorer, self.record
        margins = np.nan_to_num(scorer.margins[self._hard], nan=-1.0)
        smallest = float(margins.min())
        record.steps += 1
        record.smallest_margin = min(record.smallest_margin, smallest)
        for place in self._hard:
            if scorer.active[place]:
                self._violated.add(self.cycle.spec.rule_names[place])
        if (terminated or truncated) and self._violated:
            record.found.append(
                {
                    "case": self._scenario.case,
                    "seed": self._scenario.seed,
                    "rules": sorted(self._violated),
                    "number": self._drawn - 1,
                }
            )
        self.lowest = np.minimum(self.lowest, np.clip(margins, -1.0, 1.0))
        reward = float(np.mean(1.0 - np.clip(margins, -1.0, 1.0)))
        reward += _VIOLATION * max(0.0, -smallest)
        return observation, reward, terminated, truncated, info


class LinearPolicy:
    """tanh(k (W z + b)) with z the observation in standard units.

    Args:
        mean: (d,) of the observation.
        scale: (d,) standard deviation.
        actions: Entries of the action.
    """

    def __init__(self, mean: FloatArray, scale: FloatArray, actions: int) -> None:
        self.mean, self.scale, self.actions = mean, scale, actions
        self.size = actions * (len(mean) + 1)
        self.weights = np.zeros((actions, len(mean)), dtype=np.float32)
        self.bias = np.zeros(actions, dtype=np.float32)

    def set(self, parameters: npt.NDArray[np.float64]) -> None:
        """Take (size,) parameters: weights row by row, then the bias."""
        given = np.asarray(parameters, dtype=np.float32)
        self.weights = given[: -self.actions].reshape(self.weights.shape)
        self.bias = given[-self.actions :]

    def act(self, observation: FloatArray) -> FloatArray:
        """Return the (a,) action."""
        z = np.clip((observation - self.mean) / self.scale, -5.0, 5.0)
        acted: FloatArray = np.tanh(_STEEPNESS * (self.weights @ z + self.bias))
        return acted

    def save(self, file: Path) -> None:
        """Write it as ONNX: ``observation`` (1, d) to ``action`` (1, a)."""
        import onnx
        from onnx import TensorProto, helper, numpy_helper

        constants = {
            "mean": self.mean,
            "scale": self.scale,
            "low": np.float32(-5.0),
            "high": np.float32(5.0),
            "weights": np.ascontiguousarray(_STEEPNESS * self.weights.T),
            "bias": _STEEPNESS * self.bias,
        }
        nodes = [
            helper.make_node("Sub", ["observation", "mean"], ["centred"]),
            helper.make_node("Div", ["centred", "scale"], ["standard"]),
            helper.make_node("Clip", ["standard", "low", "high"], ["z"]),
            helper.make_node("Gemm", ["z", "weights", "bias"], ["sum"]),
            helper.make_node("Tanh", ["sum"], ["action"]),
        ]
        graph = helper.make_graph(
            nodes,
            "linear_policy",
            [
                helper.make_tensor_value_info(
                    "observation", TensorProto.FLOAT, [1, len(self.mean)]
                )
            ],
            [
                helper.make_tensor_value_info(
                    "action", TensorProto.FLOAT, [1, self.actions]
                )
            ],
            [
                numpy_helper.from_array(np.asarray(value, dtype=np.float32), name)
                for name, value in constants.items()
            ],
        )
        model = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9
        )
        onnx.checker.check_model(model)
        file.write_bytes(model.SerializeToString())


def search_adversary(
    suite: str | SuiteConfig,
    file: Path,
    *,
    generations: int = 20,
    seed: int = 0,
    guard: str = "on",
) -> Adversary:
    """Search a linear policy by CMA-ES (diagonal covariance) and save it.

    A policy that violates a rule on the way is saved beside it, for whoever mends.

    Every candidate of a generation runs the same two episodes; a new generation runs
    two others. Its value is their mean of the smallest margins of all hard rules, and
    ten times the worst where it is below 0.

    Args:
        suite: Name, path or configuration of a guard suite.
        file: ONNX file to write, with its contract beside it.
        generations: Of the search.
        seed: Of the search.
        guard: ``on``, ``observe`` or ``off``.

    Raises:
        MissingExtraError: Without the library ``cma``.
        PhysaiError: If the suite cannot be used.
    """
    try:
        import cma
    except ImportError:
        raise MissingExtraError("search", "a search for adversaries") from None
    config = load_suite(suite) if isinstance(suite, str) else suite
    made, start = Adversary("searched", config.id, file.name), time.perf_counter()
    env = ViolationEnv(config, guard, made)
    try:
        policy = _standard_linear(env, seed)
        strategy = cma.CMAEvolutionStrategy(
            np.zeros(policy.size),
            0.5,
            {
                "seed": derive_seed(seed, "adversary.search") % 2**31 or 1,
                "verbose": -9,
                "CMA_diagonal": True,
                "maxiter": generations,
                "popsize": 16,
            },
        )
        best, best_value = np.zeros(policy.size), np.inf
        finders: list[Path] = []
        for generation in range(generations):
            points = strategy.ask()
            values = []
            for point in points:
                policy.set(point)
                before = len(made.found)
                pair = [_value(env, policy, 2 * generation + k) for k in (0, 1)]
                values.append(float(np.mean(pair)))
                if len(made.found) > before and len(finders) < _FINDERS_KEPT:
                    finders.append(
                        file.with_name(f"{file.stem}_finder{len(finders)}.onnx")
                    )
                    policy.save(finders[-1])
                    for each in made.found[before:]:
                        each["policy"] = finders[-1].name
            strategy.tell(points, values)
            if min(values) <= best_value:
                best_value, best = min(values), points[int(np.argmin(values))]
        # The middle of the last generation did well on many scenarios, the best point
        # on two: what is frozen is the better of both on eight others.
        middle = np.asarray(strategy.result.xfavorite)
        rated = []
        for candidate in (best, middle):
            policy.set(candidate)
            lows = [_value(env, policy, 10_000 + k) for k in range(8)]
            rated.append((float(np.mean(lows)), candidate))
        policy.set(min(rated, key=lambda entry: entry[0])[1])
        policy.save(file)
        write_contract(env.cycle, file)
    finally:
        env.close()
    made.seconds = time.perf_counter() - start
    return made


def learn_adversary(
    suite: str | SuiteConfig,
    file: Path,
    *,
    steps: int = 40_000,
    seed: int = 0,
    guard: str = "on",
) -> Adversary:
    """Train a policy with PPO to violate, and save it.

    Args:
        suite: Name, path or configuration of a guard suite.
        file: ONNX file to write, with its contract beside it.
        steps: Control steps of the training.
        seed: Of the training.
        guard: ``on``, ``observe`` or ``off``.

    Raises:
        PhysaiError: If the suite cannot be used.
    """
    from stable_baselines3 import PPO
    from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

    from physai.training.export import export_onnx

    config = load_suite(suite) if isinstance(suite, str) else suite
    made, start = Adversary("learned", config.id, file.name), time.perf_counter()
    env = ViolationEnv(config, guard, made)
    normalized = VecNormalize(
        DummyVecEnv([lambda: env]), norm_reward=True, gamma=0.98, clip_obs=5.0
    )
    try:
        model = PPO(
            "MlpPolicy",
            normalized,
            n_steps=2048,
            batch_size=256,
            gamma=0.98,
            ent_coef=0.003,
            learning_rate=1e-3,
            use_sde=True,
            sde_sample_freq=8,
            seed=seed,
            device="cpu",
        )
        model.learn(steps)
        export_onnx(model, normalized, file)
        write_contract(env.cycle, file)
    finally:
        normalized.close()
    made.seconds = time.perf_counter() - start
    return made


def _value(env: ViolationEnv, policy: LinearPolicy, number: int) -> float:
    """Run one episode; returns how far the guard was from a violation in it."""
    observation, _ = env.reset(seed=number)
    ended = False
    while not ended:
        observation, _, terminated, truncated, _ = env.step(policy.act(observation))
        ended = terminated or truncated
    return float(env.lowest.mean() + _VIOLATION * min(0.0, env.lowest.min()))


def _standard_linear(env: ViolationEnv, seed: int) -> LinearPolicy:
    """Return a linear policy with mean and scale of what chance sees in six episodes."""
    seen, rng = [], generator(seed, "adversary.chance")
    size = env.action_space.shape or (0,)
    for number in range(6):
        observation, _ = env.reset(seed=20_000 + number)
        ended, action = False, np.zeros(size, dtype=np.float32)
        while not ended:
            if rng.random() < 0.1:
                action = rng.uniform(-1.0, 1.0, size).astype(np.float32)
            observation, _, terminated, truncated, _ = env.step(action)
            seen.append(observation)
            ended = terminated or truncated
    values = np.stack(seen)
    scale = np.maximum(values.std(axis=0), 1e-2).astype(np.float32)
    return LinearPolicy(values.mean(axis=0).astype(np.float32), scale, size[0])


def write_contract(cycle: Cycle, file: Path) -> None:
    """Write the contract beside a policy; it names no guard, since it attacks any.

    Args:
        cycle: A cycle of its environment.
        file: The ONNX file.
    """
    contract = PolicyContract(
        environment=cycle.environment.id,
        observation_names=cycle.spaces.observation_names,
        action_names=cycle.spaces.action_names,
        control_hz=cycle.environment.control_hz,
    )
    text = json.dumps(contract.to_json(), indent=1)
    file.with_suffix(".json").write_text(text + "\n", encoding="utf-8")
