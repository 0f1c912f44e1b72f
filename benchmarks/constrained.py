"""Does a budget hold? Two tasks, five seeds each, with and without the constraint.

    python benchmarks/constrained.py [--out FILE] [--picture FILE] [--runs DIR]
                                     [--seeds 0,1,2,3,4] [--tasks NAME ...]

Both arms learn by PPO from nothing, without the guard, so that the policy alone has to keep
the budget; they differ in the section ``constraint`` only, which aims at half of the budget:
a multiplier holds a mean at its aim, and the upper bound of a mean that is at the budget
is beyond it. Judged is the deterministic policy at the end of each run on the same 40
held-out episodes: the one-sided upper 95 % bound of the mean episode cost over seeds
(Student's t; every seed counts once, however many episodes it has) has to be inside the
budget. Runs that are finished are not run again.

Budgets, gains and exploration were chosen after pilot runs with the seeds 0 to 2, so that
the seeds 3 and 4 alone are fresh. With more exploration beside a face the budget held for
the policy that explores, and not for its deterministic mode.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats
from tqdm import tqdm

from physai.provenance import environment_record, git_revision
from physai.training.checkpoint import latest_checkpoint, read_progress

BUDGETS = {"logistics_crossing": 100.0, "care_feeding": 20.0}
"""Per episode; what the policy costs that knows of none is 100 and 4 times as much."""
_AIM = 0.5
"""Of the budget, in training."""
_EXPLORATION = {"logistics_crossing": -0.5, "care_feeding": -2.5}
"""Logarithm of the first standard deviation of actions, in both arms. A truck that creeps
past a limit has to see the way back; beside a face noise alone costs."""

_SHARED = [
    "guard=off",
    "total_steps=150000",
    "demonstrations.episodes=0",
    "normalize_observation=false",
    "hyperparameters={n_steps: 256, batch_size: 256, n_epochs: 10, "
    "learning_rate: {linear: [1.0e-3, 1.0e-5]}, gae_lambda: 0.95, clip_range: 0.2}",
    "vector={environments: 4, processes: 1}",
    "evaluation={every_steps: 1000000, episodes: 1, final_episodes: 40, "
    "compared_episodes: 0, processes: 1}",
    "checkpoint_every_steps=50000",
]
_GAINS = "proportional: 0.05, integral: 0.01, smoothing: 0.8"
"""Of the multiplier."""


def train(task: str, seed: int, budget: float | None, runs: Path) -> dict[str, Any]:
    """Train one run, or go on with it; returns its figures."""
    arm = "free" if budget is None else "constrained"
    folder = runs / f"{task}_{arm}_seed{seed}"
    file = folder / "evaluation" / "held_out.json"
    if not file.is_file():
        command = [sys.executable, "-m", "physai", "train"]
        if (folder / "config.yaml").is_file():
            command += [str(folder), "--resume"]
        else:
            command += [task, "--seed", str(seed), "--out", str(folder)]
            settings = [
                *_SHARED,
                f"policy_kwargs={{net_arch: [64, 64], log_std_init: {_EXPLORATION[task]}, "
                "features_extractor_class: MultiScaleFeatures}",
            ]
            if budget is not None:
                settings.append(f"constraint={{budget: {_AIM * budget}, {_GAINS}}}")
            for setting in settings:
                command += ["--set", setting]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(done.stderr.strip().splitlines()[-1])
    figures = json.loads(file.read_text())
    place = latest_checkpoint(folder / "checkpoints")
    assert place is not None
    curve = read_progress(place)["curve"]
    return {
        "task": task,
        "arm": arm,
        "seed": seed,
        "mean_cost": figures["mean_cost"],
        "safe_success": figures["safe_success"],
        "unsafe": figures["table"]["unsafe_success"]
        + figures["table"]["unsafe_failure"],
        "return": curve[-1]["return"],
        "curve": [{k: row[k] for k in ("steps", "cost", "return")} for row in curve],
    }


def judge(rows: list[dict[str, Any]], task: str, arm: str) -> dict[str, Any]:
    """Return mean, upper bound and return of one arm over its seeds."""
    mine = [row for row in rows if (row["task"], row["arm"]) == (task, arm)]
    costs = np.array([row["mean_cost"] for row in mine])
    bound = float(costs[0])
    if len(costs) > 1:
        error = stats.sem(costs)
        bound = float(costs.mean() + stats.t.ppf(0.95, len(costs) - 1) * error)
    return {
        "task": task,
        "arm": arm,
        "seeds": len(costs),
        "budget": BUDGETS[task],
        "mean_cost": float(costs.mean()),
        "upper_95": bound,
        "inside": bound <= BUDGETS[task],
        "return": float(np.mean([row["return"] for row in mine])),
        "safe_success": float(np.mean([row["safe_success"] for row in mine])),
    }


def draw(rows: list[dict[str, Any]], judged: list[dict[str, Any]], file: Path) -> None:
    """Draw cost and return while learning, and the held-out cost of every seed."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    tasks = list(dict.fromkeys(row["task"] for row in rows))
    figure, axes = pyplot.subplots(
        len(tasks),
        3,
        figsize=(11.0, 3.2 * len(tasks)),
        squeeze=False,
        constrained_layout=True,
    )
    colours = {"free": "#b3362c", "constrained": "#1f5fa8"}
    for line, task in zip(axes, tasks, strict=True):
        for place, (arm, colour) in enumerate(colours.items()):
            mine = [row for row in rows if (row["task"], row["arm"]) == (task, arm)]
            for axis, key in ((line[0], "cost"), (line[1], "return")):
                for row in mine:
                    axis.plot(
                        [each["steps"] for each in row["curve"]],
                        [each[key] for each in row["curve"]],
                        color=colour,
                        linewidth=0.9,
                        alpha=0.7,
                        label=arm if row is mine[0] else None,
                    )
                axis.set_xlabel("environment steps")
            verdict = next(j for j in judged if (j["task"], j["arm"]) == (task, arm))
            line[2].plot(
                [place] * len(mine),
                [row["mean_cost"] for row in mine],
                "o",
                color=colour,
                markersize=4,
            )
            line[2].plot(
                [place - 0.2, place + 0.2], [verdict["upper_95"]] * 2, color=colour
            )
        for axis in (line[0], line[2]):
            axis.axhline(BUDGETS[task], color="black", linestyle="--", linewidth=0.9)
            axis.set_yscale("symlog", linthresh=1.0)
            axis.set_ylim(0.0, 2.0 * max(BUDGETS[task], axis.dataLim.ymax))
        line[0].set_ylabel(f"{task}\ncost, mean of 100 episodes, exploring")
        line[0].legend(frameon=False, fontsize=8)
        line[1].set_ylabel("return per episode")
        line[2].set_ylabel("held-out cost per episode")
        line[2].set_xticks([0, 1], list(colours))
        line[2].set_xlim(-0.5, 1.5)
        line[2].set_title(
            "dot: a seed, bar: upper 95 % bound, dashed: budget", fontsize=7
        )
    figure.savefig(file)
    pyplot.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", default="benchmarks/results/constrained.json")
    parser.add_argument("--picture", default="docs/constrained.svg")
    parser.add_argument("--runs", default="runs/constrained")
    parser.add_argument("--seeds", default="0,1,2,3,4")
    parser.add_argument("--tasks", nargs="*", default=list(BUDGETS))
    options = parser.parse_args()
    plan = [
        (task, int(seed), budget)
        for seed in options.seeds.split(",")
        for task in options.tasks
        for budget in (BUDGETS[task], None)
    ]
    rows = [train(*each, Path(options.runs)) for each in tqdm(plan)]
    judged = [
        judge(rows, task, arm)
        for task in options.tasks
        for arm in ("free", "constrained")
    ]
    for row in judged:
        print(json.dumps(row))
    draw(rows, judged, Path(options.picture))
    result = {
        "judged": judged,
        "rows": rows,
        "settings": _SHARED,
        "git_revision": git_revision(),
        **environment_record(),
    }
    Path(options.out).write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
