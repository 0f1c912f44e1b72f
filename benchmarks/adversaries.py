"""Search and train the adversaries of the guard challenge, then freeze them.

    python benchmarks/adversaries.py [--out benchmarks/adversaries] [--only TASK ...]

Two per task: searched by CMA-ES, learned with PPO. Their ONNX files are what
`physai bench --guard` runs on fresh seeds; what they ran into on the way is written
beside them and is no rate.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from physai.provenance import environment_record
from physai.training.adversary import learn_adversary, search_adversary

TASKS = (
    "care_feeding",
    "care_night_round",
    "construction_trench",
    "construction_haul",
    "logistics_palletize",
    "logistics_crossing",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", default="benchmarks/adversaries")
    parser.add_argument("--only", nargs="+", default=list(TASKS), choices=TASKS)
    parser.add_argument("--generations", type=int, default=20)
    parser.add_argument("--steps", type=int, default=40_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    out = Path(options.out)
    out.mkdir(parents=True, exist_ok=True)
    for task in options.only:
        suite = f"{task}_guard"
        made = [
            search_adversary(
                suite,
                out / f"{task}_searched.onnx",
                generations=options.generations,
                seed=options.seed,
            ),
            learn_adversary(
                suite,
                out / f"{task}_learned.onnx",
                steps=options.steps,
                seed=options.seed,
            ),
        ]
        for each in made:
            print(f"{task:20s} {each.kind:9s} {each.episodes:5d} episodes "
                  f"{each.steps:7d} steps {each.seconds:6.0f} s, smallest margin "
                  f"{each.smallest_margin:.3f}, {len(each.found)} found")  # fmt: skip
        value = {
            "environment": environment_record(),
            "seed": options.seed,
            "adversaries": [each.to_json() for each in made],
        }
        file = out / f"{task}_making.json"
        file.write_text(json.dumps(value, indent=1) + "\n")


if __name__ == "__main__":
    main()
