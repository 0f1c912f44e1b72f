"""What a formula over a stored episode costs: rtamt, mstlo (if installed) and numpy.

    python benchmarks/temporal.py [--out FILE] [--steps 1200]

One response, historically[0, 0.3 s](A < 0) implies B >= 0, over the margins of an
episode at 20 Hz. mstlo has no past operators, so that it is given the same in future
form. All three must agree in sign.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

from physai.evaluation.facts import RuleFacts
from physai.evaluation.temporal import robustness
from physai.provenance import environment_record
from physai.types import Array

HZ = 20.0
RESPONSE = {"trigger": "a", "judged": "b", "within_s": 0.3, "threshold": 0.0}


def by_mstlo(a: Array, b: Array) -> Array:
    import mstlo_python as mstlo

    formula = mstlo.parse_formula("(G[0,0.3](a < 0)) -> (F[0.3,0.3](b >= 0))")
    monitor = mstlo.Monitor(formula, semantics="DelayedQuantitative")
    values = np.ones(len(a))
    for step, (x, y) in enumerate(zip(a.tolist(), b.tolist(), strict=True)):
        for name, value in (("a", x), ("b", y)):
            answer = monitor.update(name, value, step / HZ).to_dict()
            for evaluation in answer["evaluations"]:
                for output in evaluation["outputs"]:
                    at = round(output["timestamp"] * HZ) + 6
                    if at < len(values):
                        values[at] = output["value"]
    return values


def timed(function: Callable[[], Array], repeats: int) -> tuple[float, Array]:
    """Return the best time of a call [s] and its result."""
    best, result = np.inf, np.zeros(0)
    for _ in range(repeats):
        start = time.perf_counter()
        result = function()
        best = min(best, time.perf_counter() - start)
    return float(best), result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", default="benchmarks/results/temporal.json")
    parser.add_argument("--steps", type=int, default=1200)
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    runs = np.repeat(rng.normal(size=options.steps), rng.integers(1, 12, options.steps))
    a, b = runs[: options.steps], rng.normal(0.5, 0.7, options.steps)
    rule = RuleFacts("r", "", "", "", "hard", "both", 0.01, 0.95, response=RESPONSE)
    ways: dict[str, Callable[[], Array]] = {
        "numpy": lambda: robustness(rule, a, b, HZ, by="numpy"),
        "rtamt": lambda: robustness(rule, a, b, HZ, by="rtamt"),
        "mstlo-python": lambda: by_mstlo(a, b),
    }
    result: dict[str, object] = {
        "environment": environment_record(),
        "steps": options.steps,
    }
    reference = ways["numpy"]() >= 0.0
    for name, function in ways.items():
        try:
            number = version(name)
        except PackageNotFoundError:
            print(f"{name:14s} not installed")
            continue
        seconds, values = timed(function, 10)
        # In future form the first samples have no answer.
        agree = bool((((values >= 0.0) == reference)[6:]).all())
        result[name] = {
            "version": number,
            "us_per_step": 1e6 * seconds / options.steps,
            "same_sign": agree,
        }
        print(f"{name:14s} {1e6 * seconds / options.steps:6.2f} us a step, "
              f"same sign: {agree}")  # fmt: skip
    Path(options.out).write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
