"""Does training use the graphics processor where there is one, and is it worth it?

    python benchmarks/gpu.py [--out FILE] [--updates N]

Two learners of the shapes that the configs use (PPO, SAC) make the same number of updates
on recorded noise, on the processor and on the graphics processor, with small and large
batches; then a whole ``physai train`` with ``device: auto`` runs on it. Told are updates
per second, their ratio, and the utilisation that the driver reports meanwhile. Where there
is no CUDA device it says so and measures nothing (exit code 2).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3 import PPO, SAC
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.vec_env import DummyVecEnv

from physai.provenance import environment_record

OBSERVATIONS, ACTIONS = 48, 6
BATCHES = (256, 4096, 32768)


class _Spaces(gymnasium.Env[Any, Any]):
    """Has spaces; nothing is stepped here."""

    observation_space = spaces.Box(-1.0, 1.0, (OBSERVATIONS,), np.float32)
    action_space = spaces.Box(-1.0, 1.0, (ACTIONS,), np.float32)


class _Utilisation:
    """Asks the driver ten times a second how busy the device is, while inside."""

    def __enter__(self) -> _Utilisation:
        self.percent: list[int] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        asked = ["nvidia-smi", "--query-gpu=utilization.gpu"]
        while not self._over.wait(0.1):
            told = subprocess.run(
                [*asked, "--format=csv,noheader,nounits"],
                capture_output=True,
                text=True,
            )
            if told.returncode == 0:
                self.percent.append(int(told.stdout.split()[0]))

    @property
    def mean(self) -> float | None:
        return float(np.mean(self.percent)) if self.percent else None


def updates_per_s(kind: type[Any], device: str, batch: int, updates: int) -> float:
    """Return gradient steps per second of a learner on recorded noise."""
    rng = np.random.default_rng(0)
    more: dict[str, Any] = {"policy_kwargs": {"net_arch": [256, 256]}, "device": device}
    env = DummyVecEnv([_Spaces])
    size = max(batch, 8192)
    if kind is SAC:
        model = SAC("MlpPolicy", env, buffer_size=size, **more)
        buffer: Any = model.replay_buffer
        names = ("observations", "next_observations", "actions", "rewards")
    else:
        model = PPO(
            "MlpPolicy", env, n_steps=size, batch_size=batch, n_epochs=1, **more
        )
        buffer = model.rollout_buffer
        names = (
            "observations",
            "actions",
            "advantages",
            "returns",
            "values",
            "log_probs",
        )
    for name in names:
        array = getattr(buffer, name)
        array[:] = rng.normal(size=array.shape)
    buffer.full = True
    model.set_logger(Logger(None, []))

    def learn(count: int) -> None:
        if kind is SAC:
            model.train(gradient_steps=count, batch_size=batch)
            return
        per_epoch = -(-size // batch)
        model.n_epochs = max(1, -(-count // per_epoch))
        model.train()

    learn(10)
    before = model._n_updates
    start = time.perf_counter()
    learn(updates)
    if device == "cuda":
        torch.cuda.synchronize()
    seconds = time.perf_counter() - start
    done = updates if kind is SAC else (model._n_updates - before) * -(-size // batch)
    return done / seconds


def train_once(place: Path) -> dict[str, Any]:
    """Run a short training with ``device: auto``; returns its figures."""
    command = [sys.executable, "-m", "physai", "train", "care_feeding"]
    command += ["--out", str(place), "--device", "auto"]
    for setting in (
        "demonstrations.episodes=2",
        "demonstrations.dagger_rounds=0",
        "total_steps=16384",
        "evaluation={every_steps: 100000, episodes: 1, final_episodes: 2}",
    ):
        command += ["--set", setting]
    start = time.perf_counter()
    with _Utilisation() as busy:
        done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr.strip().splitlines()[-1])
    return {"seconds": time.perf_counter() - start, "utilisation_percent": busy.mean}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", default="benchmarks/results/gpu.json")
    parser.add_argument("--updates", type=int, default=200)
    options = parser.parse_args()
    if not torch.cuda.is_available():
        print("there is no CUDA device here: nothing was measured", file=sys.stderr)
        raise SystemExit(2)
    rows = []
    for kind in (PPO, SAC):
        for batch in BATCHES:
            row: dict[str, Any] = {"algorithm": kind.__name__, "batch": batch}
            for device in ("cpu", "cuda"):
                with _Utilisation() as busy:
                    rate = updates_per_s(kind, device, batch, options.updates)
                row[f"{device}_updates_per_s"] = rate
                if device == "cuda":
                    row["utilisation_percent"] = busy.mean
            row["ratio"] = row["cuda_updates_per_s"] / row["cpu_updates_per_s"]
            rows.append(row)
            print(json.dumps(row), flush=True)
    with tempfile.TemporaryDirectory() as place:
        whole = train_once(Path(place) / "run")
    print(json.dumps(whole))
    result = {
        "device": torch.cuda.get_device_name(),
        "updates": rows,
        "training": whole,
        **environment_record(),
    }
    Path(options.out).write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
