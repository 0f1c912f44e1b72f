"""How many steps a second do vector environments reach, as a share of all cores?

    python benchmarks/vectors.py [--out FILE] [--seconds S]

An environment burns a fixed processor time per step (200 us and 1 ms) and shows 40
numbers; eight of them are stepped by Stable-Baselines3's DummyVecEnv and SubprocVecEnv,
Gymnasium's AsyncVectorEnv with shared memory, and physai's SharedVectorEnv with a process
per core, and with the learner's own process stepping its share. 100 % is the rate of one
environment in a plain loop times the number of cores. Every figure is the best of
three; run it on a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.vector import AsyncVectorEnv
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv

from physai.provenance import environment_record
from physai.training.vector import SharedVectorEnv

COUNT, OBSERVATION, ACTION, EPISODE = 8, 40, 7, 500
STEPS_S = (200e-6, 1e-3)


class Burner(gymnasium.Env[Any, Any]):
    """Burns processor time, not wall-clock time: a core that is shared takes longer."""

    observation_space = spaces.Box(-1.0, 1.0, (OBSERVATION,), np.float32)
    action_space = spaces.Box(-1.0, 1.0, (ACTION,), np.float32)
    render_mode = None

    def __init__(self, step_s: float) -> None:
        self.step_s, self.steps = step_s, 0
        self.seen = np.zeros(OBSERVATION, np.float32)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.steps = 0
        return self.seen, {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        end = time.thread_time() + self.step_s
        while time.thread_time() < end:
            pass
        self.steps += 1
        return self.seen, 0.0, False, self.steps >= EPISODE, {}


def rate_of(vector: Any, count: int, seconds: float, step_s: float) -> float:
    """Return environment steps per second, best of three."""
    actions = np.zeros((count, ACTION), np.float32)
    steps = max(20, int(seconds / (count * step_s)))
    vector.reset()
    best = 0.0
    for _ in range(3):
        vector.step(actions)
        start = time.perf_counter()
        for _ in range(steps):
            vector.step(actions)
        best = max(best, count * steps / (time.perf_counter() - start))
    vector.close()
    return best


def vectors(step_s: float) -> dict[str, Callable[[], Any]]:
    """Return what is compared, by name."""
    makers = [functools.partial(Burner, step_s)] * COUNT
    cores = len(os.sched_getaffinity(0))
    return {
        "SB3 DummyVecEnv": lambda: DummyVecEnv(makers),
        "SB3 SubprocVecEnv": lambda: SubprocVecEnv(makers, start_method="spawn"),
        "Gymnasium AsyncVectorEnv, shared memory": lambda: AsyncVectorEnv(makers),
        "physai SharedVectorEnv, a process per core": lambda: SharedVectorEnv(
            makers, cores
        ),
        "physai SharedVectorEnv, learner steps its share": lambda: SharedVectorEnv(
            makers, cores - 1, 1.0 / cores
        ),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", default="benchmarks/results/vectors.json")
    parser.add_argument("--seconds", type=float, default=1.5)
    options = parser.parse_args()
    cores, rows = len(os.sched_getaffinity(0)), []
    for step_s in STEPS_S:
        one = rate_of(
            SharedVectorEnv([functools.partial(Burner, step_s)], 0),
            1,
            options.seconds,
            step_s,
        )
        for name, make in vectors(step_s).items():
            rate = rate_of(make(), COUNT, options.seconds, step_s)
            share = rate / (cores * one)
            rows.append(
                {"step_s": step_s, "vector": name, "rate": rate, "share": share}
            )
            print(f"{1e6 * step_s:6.0f} us  {name:50s} {rate:7.0f}/s {share:6.1%}")
    value = {"environments": COUNT, "rows": rows, "environment": environment_record()}
    Path(options.out).write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
