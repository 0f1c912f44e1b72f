"""What learning while the environments step saves: steps per second with and without.

    python benchmarks/overlap.py [--out FILE] [--steps N] [--step-ms MS]

Eight environments that burn a fixed processor time per step (:mod:`benchmarks.vectors`) are
stepped by one process beside the learner's, which has one thread: PPO and SAC, each with and
without ``vector.overlap``, in turn, the best of three. Overlap can save at most the shorter
of the two parts; run it on a machine with two cores or more that does nothing else.
"""

from __future__ import annotations

import argparse
import functools
import json
import time
from pathlib import Path
from typing import Any

import torch
from stable_baselines3 import PPO, SAC
from stable_baselines3.common.vec_env import VecMonitor
from vectors import COUNT, Burner

from physai.provenance import environment_record
from physai.training.overlap import Interleaved, overlapped
from physai.training.vector import SharedVectorEnv

LEARNERS: dict[str, tuple[Any, dict[str, Any]]] = {
    "PPO": (PPO, {"n_steps": 256, "batch_size": 256, "n_epochs": 10}),
    "SAC": (SAC, {"learning_starts": 0, "batch_size": 256, "gradient_steps": 2}),
}


def rate_of(kind: Any, more: dict[str, Any], steps: int, step_s: float) -> float:
    """Return steps per second of one training, without its start."""
    env = Interleaved(
        VecMonitor(SharedVectorEnv([functools.partial(Burner, step_s)] * COUNT, 1))
    )
    model = kind("MlpPolicy", env, seed=0, device="cpu", **more)
    model.learn(COUNT * 256)
    start = time.perf_counter()
    model.learn(steps, reset_num_timesteps=False)
    spent = time.perf_counter() - start
    env.close()
    return steps / spent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", default="benchmarks/results/overlap.json")
    parser.add_argument("--steps", type=int, default=10 * COUNT * 256)
    parser.add_argument("--step-ms", type=float, default=0.5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for name, (kind, more) in LEARNERS.items():
        rates = {"apart": 0.0, "overlapped": 0.0}
        for _ in range(3):
            for way in rates:
                chosen = overlapped(kind) if way == "overlapped" else kind
                rate = rate_of(chosen, more, options.steps, options.step_ms / 1e3)
                rates[way] = max(rates[way], rate)
        ratio = rates["overlapped"] / rates["apart"]
        rows.append({"learner": name, **rates, "ratio": ratio})
        print(
            f"{name}: {rates['apart']:.0f}/s apart, {rates['overlapped']:.0f}/s "
            f"overlapped, {ratio:.2f} times"
        )
    value = {
        "environments": COUNT,
        "step_s": options.step_ms / 1e3,
        "steps": options.steps,
        "rows": rows,
        "environment": environment_record(),
    }
    Path(options.out).write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
