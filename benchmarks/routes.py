"""How much processor time a route to a policy takes: one core, three seeds, two tasks.

    python benchmarks/routes.py [--out FILE] [--only NAME ...] [--tasks NAME ...]
                                [--seeds 0,1,2] [--cap SECONDS]

90 % is the first of two evaluations in a row with at least 18 of 20 deterministic held-out
episodes in which the task succeeds and no hard rule is violated, guard on. Counted is the
processor time of everything but the evaluations: the expert, the environments, the
updates. A route that has not got there is given up at the cap.

The anchor is panda-gym's PandaReachDense-v3 with PPO by the same criterion, run where
panda-gym is installed (``pip install panda-gym``; it is no dependency of the project).
Routes and seeds that are not run again keep their rows in the file.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from tqdm import tqdm

from physai.evaluation.held_out import count_held_out
from physai.policy.residual import ResidualPolicy
from physai.provenance import environment_record, git_revision
from physai.randomness import derive_seed
from physai.tasks import registry
from physai.training.config import TrainConfig
from physai.training.demonstration import Collector, Demonstrations, Driver
from physai.training.hyperparameters import make_learner
from physai.training.imitation import fit, remember
from physai.training.train import load_config, make_vector

_HEAD = """# Routes to a policy, by processor time

Made by `benchmarks/routes.py` (results: `benchmarks/results/routes.json`). 90 % is the first
of two evaluations in a row with at least 18 of 20 deterministic held-out episodes in which
the task succeeds and no hard rule is violated, guard on; processor time of everything but
the evaluations, one core. What corrects the expert begins with the expert's own success.
A policy that stands still succeeds in 4 of the 20 scenarios of the feeding, where nobody is
to be fed. Routes and seeds that are not in the table were not run.
"""

TASKS = ("logistics_crossing", "care_feeding")
RARER = {"physai/LogisticsCrossing-v0": 3}
"""Learners from reinforcement are evaluated so many times less often: an episode takes as
many times as long, and the evaluations are most of the benchmark's own time."""
ANCHOR = "panda-gym reach, PPO"
_EVALUATED, _WANTED = 20, 18

_ONE_CORE = ["vector={environments: 4, kind: dummy}", "torch_threads=1", "device=cpu"]
_FINE = [
    "normalize_observation=false",
    "policy_kwargs={net_arch: [256, 256], features_extractor_class: MultiScaleFeatures}",
]
_ON_POLICY = [
    "hyperparameters={n_steps: 512, batch_size: 256, n_epochs: 10, learning_rate: 3.0e-4, "
    "gae_lambda: 0.95}",
]
_OFF_POLICY = [
    "hyperparameters={learning_rate: 1.0e-3, batch_size: 256, learning_starts: 1000, "
    "gradient_steps: 1}",
]


class _Clock:
    """Processor time without what is spent inside ``paused``."""

    def __init__(self) -> None:
        self._spent, self._since = 0.0, time.process_time()

    def read(self) -> float:
        return self._spent + time.process_time() - self._since

    def pause(self) -> float:
        """Stop, and return what was spent so far [s]."""
        self._spent += time.process_time() - self._since
        return self._spent

    def go_on(self) -> None:
        self._since = time.process_time()


class _Record:
    """What evaluations along a route found, and when it got there."""

    def __init__(self) -> None:
        self.rows = list[dict[str, Any]]()
        self.reached = False

    def add(self, spent_s: float, steps: int, safe: int) -> None:
        self.rows.append({"cpu_s": round(spent_s, 1), "steps": steps, "safe": safe})
        last = [row["safe"] >= _WANTED for row in self.rows[-2:]]
        self.reached = len(last) == 2 and all(last)

    def result(self) -> dict[str, Any]:
        first = self.rows[-2] if self.reached else None
        return {
            "cpu_s_to_90": first and first["cpu_s"],
            "steps_to_90": first and first["steps"],
            "best_of_20": max(row["safe"] for row in self.rows),
            "course": self.rows,
        }


class _Course:
    """Evaluates along a route and says when it is over."""

    def __init__(self, config: TrainConfig, cap_s: float) -> None:
        self._cycle = registry.make_cycle(config.environment)
        self._residual = config.residual
        self._cap_s, self.record = cap_s, _Record()
        # Compiled and warm before the clock runs, as it is for every later run.
        self._count(self._cycle.scripted_policy("zero"), 1)
        self.clock = _Clock()

    def _count(self, policy: Any, episodes: int) -> dict[str, Any]:
        first = int(0.8 * self._cycle.environment.distributions["test"].seeds.count)
        return count_held_out(self._cycle, policy, episodes, first=first)

    def evaluate(self, driver: Any, steps: int) -> bool:
        """Return whether the route is over: twice in a row enough, or out of time."""
        spent = self.clock.pause()
        if self._residual is not None:
            expert = self._cycle.scripted_policy("expert")
            driver = ResidualPolicy(expert, driver, self._residual.scale)
        found = self._count(driver, _EVALUATED)
        self.record.add(spent, steps, found["table"]["safe_success"])
        over = self.record.reached or spent >= self._cap_s
        self.clock.go_on()
        return over

    def close(self) -> None:
        self._cycle.close()


def _imitate(config: TrainConfig, course: _Course, corrected: bool) -> None:
    """Few episodes of the expert, then ever more; with DAgger the policy drives."""
    vector, normalizer = make_vector(config)
    model = make_learner(config, vector, config.seed)
    try:
        collector = Collector(partial(registry.make, config.environment), 1)
        data, count = Demonstrations(), 4
        for turn in range(100):
            driver = Driver(model, normalizer) if corrected and turn else None
            seed = derive_seed(config.seed, "route", turn)
            data.episodes += collector.collect(count, seed, 0.05, driver)
            fit(model, normalizer, data, config.demonstrations, config.seed)
            if course.evaluate(Driver(model, normalizer), len(data)):
                break
            # As much again as there is, so that fitting stays a part of it.
            count = len(data.episodes) if not corrected else 4
        collector.close()
    finally:
        vector.close()


class _Watch(BaseCallback):
    def __init__(self, course: _Course, normalizer: Any, every: int) -> None:
        super().__init__()
        self.course, self.normalizer, self.every = course, normalizer, every
        self._next = every

    def _on_step(self) -> bool:
        if self.num_timesteps < self._next:
            return True
        self._next += self.every
        driver = Driver(self.model, self.normalizer)
        return not self.course.evaluate(driver, self.num_timesteps)


def _reinforce(config: TrainConfig, course: _Course, shown: int, every: int) -> None:
    """Reinforcement learning, from ``shown`` episodes of the expert or from nothing."""
    vector, normalizer = make_vector(config)
    model = make_learner(config, vector, config.seed)
    try:
        if shown:
            collector = Collector(partial(registry.make, config.environment), 1)
            data = Demonstrations([*collector.collect(shown, config.seed, 0.05)])
            collector.close()
            fit(model, normalizer, data, config.demonstrations, config.seed)
            remember(model, data)
        apart = every * RARER.get(config.environment, 1)
        model.learn(10**9, callback=_Watch(course, normalizer, apart))
    finally:
        vector.close()


Route = tuple[list[str], Callable[[TrainConfig, _Course], None]]
ROUTES: dict[str, Route] = {
    "cloning": (_FINE, partial(_imitate, corrected=False)),
    "DAgger": (_FINE, partial(_imitate, corrected=True)),
    "SAC from demonstrations": (
        [*_FINE, "algorithm=SAC", *_OFF_POLICY],
        partial(_reinforce, shown=8, every=500),
    ),
    "PPO that corrects the expert": (
        [*_FINE, *_ON_POLICY, "residual={scale: 0.3}", "demonstrations.episodes=0"],
        partial(_reinforce, shown=0, every=2048),
    ),
    "SAC from nothing": (
        [*_FINE, "algorithm=SAC", *_OFF_POLICY],
        partial(_reinforce, shown=0, every=1000),
    ),
    "PPO from nothing": (
        [*_FINE, *_ON_POLICY],
        partial(_reinforce, shown=0, every=6144),
    ),
}


def run(task: str, name: str, seed: int, cap_s: float) -> dict[str, Any]:
    """Follow one route once."""
    settings, follow = ROUTES[name]
    plan = ["demonstrations.epochs=20", "demonstrations.learning_rate=0.001"]
    config = load_config(task, [*plan, *settings, *_ONE_CORE], seed, "cpu")
    course = _Course(config, cap_s)
    try:
        follow(config, course)
        return course.record.result()
    finally:
        course.close()


def run_anchor(seed: int, cap_s: float) -> dict[str, Any] | None:
    """PPO on panda-gym's reach by the same criterion; None where it is not installed."""
    if importlib.util.find_spec("panda_gym") is None:
        return None
    importlib.import_module("panda_gym")  # registers its environments
    env, judge = (gymnasium.make("PandaReachDense-v3") for _ in range(2))
    model = PPO(
        "MultiInputPolicy",
        env,
        n_steps=256,
        batch_size=64,
        learning_rate=1e-3,
        gamma=0.95,
        seed=seed,
        device="cpu",
    )
    clock, record = _Clock(), _Record()
    while not record.reached and clock.read() < cap_s:
        model.learn(256, reset_num_timesteps=False)
        spent = clock.pause()
        safe = sum(_reaches(model, judge, 1000 + k) for k in range(_EVALUATED))
        record.add(spent, model.num_timesteps, safe)
        clock.go_on()
    return record.result()


def _reaches(model: PPO, env: Any, seed: int) -> bool:
    observation, _ = env.reset(seed=seed)
    while True:
        action, _ = model.predict(observation, deterministic=True)
        observation, _, terminated, truncated, info = env.step(action)
        if terminated or truncated:
            return bool(info["is_success"])


def _lines(rows: list[dict[str, Any]]) -> Iterator[str]:
    yield "| task | route | CPU seconds to 90 % per seed | steps | best of 20 |"
    yield "|---|---|---|---|---|"
    pairs = list(dict.fromkeys((row["task"], row["route"]) for row in rows))
    for task, route in pairs:
        mine = [row for row in rows if (row["task"], row["route"]) == (task, route)]
        cap = f"not in {mine[0]['cap_s']:g}"
        told = [
            [cap if row[key] is None else f"{row[key]:g}" for row in mine]
            for key in ("cpu_s_to_90", "steps_to_90")
        ]
        best = ", ".join(str(row["best_of_20"]) for row in mine)
        yield f"| {task} | {route} | {', '.join(told[0])} | {', '.join(told[1])} | {best} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", default="benchmarks/results/routes.json")
    parser.add_argument("--table", default="docs/routes.md")
    parser.add_argument("--only", nargs="*", default=[ANCHOR, *ROUTES])
    parser.add_argument("--tasks", nargs="*", default=list(TASKS))
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--cap", type=float, default=60.0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    out, rows = Path(options.out), dict[tuple[str, str, int], dict[str, Any]]()
    if out.is_file():
        for row in json.loads(out.read_text())["rows"]:
            rows[row["task"], row["route"], row["seed"]] = row
    seeds = [int(seed) for seed in options.seeds.split(",")]
    plan = [
        (task, route, seed)
        for task in options.tasks
        for route in options.only
        if route != ANCHOR
        for seed in seeds
    ]
    if ANCHOR in options.only:
        plan += [("PandaReachDense-v3", ANCHOR, seed) for seed in seeds]
    for task, route, seed in tqdm(plan):
        made = (
            run_anchor(seed, 2.0 * options.cap)
            if route == ANCHOR
            else run(task, route, seed, options.cap)
        )
        if made is None:
            print(f"{ANCHOR}: panda-gym is not installed, left out")
            continue
        rows[task, route, seed] = {
            "task": task,
            "route": route,
            "seed": seed,
            "cap_s": options.cap,
            **made,
            "git_revision": git_revision(),
        }
        result = {"rows": list(rows.values()), **environment_record()}
        out.write_text(json.dumps(result, indent=1) + "\n")
    table = "\n".join(_lines(list(rows.values())))
    print(table)
    Path(options.table).write_text(f"{_HEAD}\n{table}\n")


if __name__ == "__main__":
    main()
