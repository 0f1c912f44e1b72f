"""What mixed precision is worth in imitation: time of a fit, and the error that is left.

    python benchmarks/precision.py [--out FILE]

The shipped configs of the feeding (a small network), of the feeding with layers of 1024
and of the trench (a network with memory, also with four times the batch) imitate the same
40 episodes of their expert with ``demonstrations.precision`` float32 and bfloat16: processor
time of ten epochs on one core, and mean squared error in float32 on 10 further episodes. It
depends on the processor: without bfloat16 of its own it is slower.
"""

from __future__ import annotations

import argparse
import json
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from physai.provenance import environment_record
from physai.tasks import registry
from physai.training.config import TrainConfig
from physai.training.demonstration import Collector, Demonstrations, Driver
from physai.training.hyperparameters import make_learner
from physai.training.imitation import fit
from physai.training.train import load_config, make_vector

_WIDE = [
    "policy_kwargs.net_arch=[1024, 1024]",
    "demonstrations.batch_size=1024",
]
_SMALL = ["vector={environments: 1, kind: dummy}", "device=cpu"]
CASES: dict[str, tuple[str, list[str]]] = {
    "feeding": ("care_feeding", []),
    "feeding, layers of 1024": ("care_feeding", _WIDE),
    "trench": ("construction_trench", []),
    "trench, batch of 4096": (
        "construction_trench",
        ["demonstrations.batch_size=4096"],
    ),
}
_SHOWN, _HELD_OUT, _EPOCHS = 40, 10, 10


def error_of(driver: Driver, data: Demonstrations) -> float:
    """Return the mean squared error of a policy as it acts."""
    total = 0.0
    for episode in data.episodes:
        driver.reset()
        acted = [driver.act(each) for each in episode.observations[:-1]]
        total += float(((np.stack(acted) - episode.labels) ** 2).sum())
    return total / data.labels.size


def measure(
    config: TrainConfig, shown: Demonstrations, held_out: Demonstrations, precision: str
) -> dict[str, Any]:
    """Fit once; return time and error."""
    changed = {"precision": precision, "epochs": _EPOCHS}
    plan = config.demonstrations.model_copy(update=changed)
    vector, normalizer = make_vector(config)
    try:
        model = make_learner(config, vector, config.seed)
        start = time.process_time()
        fit(model, normalizer, shown, plan, config.seed)
        spent = time.process_time() - start
        return {
            "precision": precision,
            "cpu_s": spent,
            "error": error_of(Driver(model, normalizer), held_out),
        }
    finally:
        vector.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", default="benchmarks/results/precision.json")
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for name, (file, settings) in tqdm(CASES.items()):
        config = load_config(file, [*settings, *_SMALL])
        collector = Collector(partial(registry.make, config.environment), 1)
        episodes = list(collector.collect(_SHOWN + _HELD_OUT, 7, 0.05))
        collector.close()
        shown = Demonstrations(episodes[:_SHOWN])
        held_out = Demonstrations(episodes[_SHOWN:])
        both = [
            measure(config, shown, held_out, precision)
            for precision in ("float32", "bfloat16")
        ]
        ratio = both[1]["cpu_s"] / both[0]["cpu_s"]
        rows.append({"case": name, "rows": both, "time_ratio": ratio})
        print(
            f"{name}: time x {ratio:.2f}, error {both[0]['error']:.2e} and "
            f"{both[1]['error']:.2e}"
        )
    value = {
        "rows": rows,
        "processor": torch.backends.cpu.get_cpu_capability(),
        "environment": environment_record(),
    }
    Path(options.out).write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
