"""Kill a real ``physai train`` at random moments, resume it each time, see what is lost.

Four learners of a small config (PPO, SAC, PPO with a constraint, PPO that updates during
steps) are each killed ten times with SIGKILL: at random moments, and some of them while a
checkpoint is being written or while the expert demonstrates; by turns the process alone,
whose own processes have to end with it, and its whole group at once. Then the run is finished
and read back: curve, TensorBoard, counters, multiplier, what is left over.

    python benchmarks/kills.py [--kills 10] [--out benchmarks/results/kills.json]
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import pickle
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from stable_baselines3.common.save_util import load_from_zip_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from physai.policy.bundle import read_bundle
from physai.provenance import environment_record, git_revision
from physai.training.checkpoint import latest_checkpoint, read_progress

SMALL = {
    "total_steps": 6144,
    "vector": "{environments: 4, processes: 2}",
    "demonstrations": (
        "{episodes: 4, dagger_rounds: 2, dagger_episodes: 3, epochs: 2}"
    ),
    "evaluation": "{every_steps: 3072, episodes: 1, final_episodes: 2}",
    "checkpoint_every_steps": 512,
}
LEARNERS: dict[str, dict[str, Any]] = {
    "PPO": {"hyperparameters": "{n_steps: 128, batch_size: 128, n_epochs: 2}"},
    "SAC": {
        "algorithm": "SAC",
        # A start that is killed gives up its episodes: longer, so that some end.
        "total_steps": 9216,
        "hyperparameters": (
            "{buffer_size: 20000, learning_starts: 512, batch_size: 64, "
            "learning_rate: {linear: [3.0e-4, 1.0e-5]}, gamma: 0.998, "
            "train_freq: 8, gradient_steps: 4}"
        ),
        "policy_kwargs": "{net_arch: [32, 32]}",
    },
    "PPO, constraint": {
        "hyperparameters": (
            "{n_steps: 128, batch_size: 128, n_epochs: 2, "
            "learning_rate: {linear: [3.0e-4, 1.0e-5]}}"
        ),
        "constraint": "{budget: 0.0, integral: 0.05, start: 0.5}",
    },
    "PPO, overlap": {
        "hyperparameters": "{n_steps: 128, batch_size: 128, n_epochs: 2}",
        "vector": "{environments: 4, processes: 2, overlap: true}",
    },
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=tuple(LEARNERS), action="append")
    parser.add_argument(
        "--out", type=Path, default=Path("benchmarks/results/kills.json")
    )
    options = parser.parse_args()
    rows: dict[str, Any] = {}
    if options.out.is_file():
        # Learners that are not run again keep their rows.
        rows = json.loads(options.out.read_text())["learners"]
    with tempfile.TemporaryDirectory() as place:
        for name in options.only or LEARNERS:
            folder = Path(place) / name.replace(", ", "_")
            rows[name] = torture(name, folder, options.kills, options.seed)
            print(name, json.dumps(rows[name], indent=1), flush=True)
            result = {
                "schema": "physai/kills/1",
                "learners": rows,
                "environment": environment_record(),
            }
            options.out.write_text(json.dumps(result, indent=1) + "\n")
    if not all(row["ok"] for row in rows.values()):
        raise SystemExit(1)


def torture(name: str, folder: Path, kills: int, seed: int) -> dict[str, Any]:
    """Kill a run again and again, finish it, and return what was found."""
    rng = random.Random(f"{name} {seed}")
    settings = [f"--set={k}={v}" for k, v in {**SMALL, **LEARNERS[name]}.items()]
    train = [sys.executable, "-m", "physai", "train"]
    begin = [*train, "care_feeding", f"--out={folder}", *settings]
    killed = []
    before = shared_memory()
    for turn in range(kills):
        resume = (folder / "config.yaml").is_file()
        command = [*train, str(folder), "--resume"] if resume else begin
        process = subprocess.Popen(
            command,
            start_new_session=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        moment = ("learning", "write", "any")[turn % 3]
        wait_for(moment, folder, process, rng)
        if process.poll() is not None:
            # It came to its end first: fewer kills, which the result tells.
            said = process.stderr.read().decode() if process.stderr else ""
            if process.returncode:
                raise SystemExit(f"{name}: ended by itself: {said}")
            break
        place = latest_checkpoint(folder / "checkpoints")
        writing = bool(list(folder.glob("checkpoints/.step_*.part")))
        alone = turn % 2 == 0
        if alone:
            process.kill()
        else:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        outlived = members_after(process.pid, 15.0)
        for each in outlived:
            os.kill(each, signal.SIGKILL)
        progress = read_progress(place) if place else {"steps": 0}
        killed.append(
            {
                "moment": moment,
                "checkpoint": place.name if place else None,
                "phase": "learning"
                if progress.get("demonstrated")
                else "demonstrations",
                "rounds_kept": len(progress.get("demonstration", {}).get("errors", [])),
                "while_writing": writing,
                "alone": alone,
                "outlived": len(outlived),
            }
        )
        print(f"{name}: {killed[-1]}", file=sys.stderr, flush=True)
    subprocess.run([*train, str(folder), "--resume"], check=True, capture_output=True)
    found = {**examine(folder), "kills": killed, **left_over(folder, before)}
    found["ok"] &= not any(each["outlived"] for each in killed)
    return {"seed": seed, "git_revision": git_revision(), **found}


def members_after(group: int, seconds: float) -> list[int]:
    """Return what of a process group is still alive after so long [s], none at best."""
    deadline = time.monotonic() + seconds
    while True:
        left = []
        for each in Path("/proc").glob("[0-9]*/stat"):
            try:
                state, _, of = each.read_text().rsplit(")", 1)[1].split()[:3]
            except OSError:
                continue
            if int(of) == group and state != "Z":
                left.append(int(each.parent.name))
        if not left or time.monotonic() > deadline:
            return left
        time.sleep(0.1)


def wait_for(
    moment: str, folder: Path, process: subprocess.Popen[bytes], rng: random.Random
) -> None:
    """Wait for the moment of the kill.

    Half of the random ones come at any time from the start on, half after this start has
    written a first checkpoint: else a slow machine would see starts only.
    """
    drafts = folder / "checkpoints"
    begun = set(drafts.glob("step_*"))
    if moment == "learning":
        while process.poll() is None and set(drafts.glob("step_*")) <= begun:
            time.sleep(0.01)
    wait = 120.0 if moment == "write" else rng.uniform(0.0, 15.0)
    deadline = time.monotonic() + wait
    while process.poll() is None and time.monotonic() < deadline:
        if moment == "write" and any(drafts.glob(".step_*.part")):
            time.sleep(rng.uniform(0.0, 0.02))
            return
        time.sleep(0.0005 if moment == "write" else 0.01)


def examine(folder: Path) -> dict[str, Any]:
    """Return what a finished run says of itself, with ``ok``."""
    place = latest_checkpoint(folder / "checkpoints")
    assert place is not None
    progress = read_progress(place)
    config = progress["config"]
    steps = [row["steps"] for row in progress["curve"]]
    gaps = [b - a for a, b in itertools.pairwise(steps)]
    evaluated = [row["steps"] for row in progress["evaluations"]]
    board = EventAccumulator(str(folder / "tensorboard" / "run_0"))
    board.Reload()
    series = {
        tag: [event.step for event in board.Scalars(tag)]
        for tag in board.Tags()["scalars"]
        if not tag.startswith("evaluation/")
    }
    lines = {
        tag: all(a < b for a, b in itertools.pairwise(found))
        for tag, found in series.items()
    }
    data, parameters, _ = load_from_zip_file(place / "model.zip", device="cpu")
    optimizers = {
        key: max(float(state["step"]) for state in value["state"].values())
        for key, value in parameters.items()
        if "optimizer" in key and value["state"]
    }
    normalizer = vars(pickle.loads((place / "normalizer.pkl").read_bytes()))
    rates = [event.value for event in board.Scalars("train/learning_rate")]
    found: dict[str, Any] = {
        "steps": progress["steps"],
        "curve_rows": len(steps),
        "curve_increasing": all(gap > 0 for gap in gaps),
        "largest_gap_steps": max(gaps, default=0),
        "checkpoint_every_steps": config["checkpoint_every_steps"],
        "evaluations": evaluated,
        "tensorboard_tags": len(series),
        "tensorboard_increasing": all(lines.values()),
        "tensorboard_largest_gap_steps": max(
            b - a for a, b in itertools.pairwise(series["train/learning_rate"])
        ),
        "updates": data["_n_updates"],
        "updates_expected": updates_expected(config, progress["steps"]),
        "optimizer_steps": optimizers,
        "normalizer_count": float(normalizer["ret_rms"].count),
        "learning_rate_falls": all(b <= a for a, b in itertools.pairwise(rates)),
        "last_learning_rate": rates[-1],
        "episodes_in_curve": len(data["ep_info_buffer"]),
        "bundle": read_bundle(folder / "bundle", require_signature=False).policy_digest,
    }
    if "multiplier" in parameters:
        state = parameters["multiplier"]["state"]
        found["multiplier"] = {"price": float(state[0]), "updates": int(state[3])}
    found["ok"] = bool(
        found["steps"] >= config["total_steps"]
        and found["curve_increasing"]
        and found["largest_gap_steps"] <= found["checkpoint_every_steps"]
        and found["tensorboard_increasing"]
        and found["learning_rate_falls"]
        and found["updates"] == found["updates_expected"]
        and evaluated == sorted(set(evaluated))
    )
    return found


def updates_expected(config: dict[str, Any], steps: int) -> int:
    """Return how often a learner that was never killed has updated after some steps."""
    given, count = config["hyperparameters"], config["vector"]["environments"]
    if "n_steps" in given:
        rollouts: int = steps // (given["n_steps"] * count)
        return rollouts * int(given["n_epochs"])
    per_round = given["train_freq"] * count
    rounds = range(per_round, steps + 1, per_round)
    learning = [n for n in rounds if n > given["learning_starts"]]
    return len(learning) * int(given["gradient_steps"])


def shared_memory() -> set[str]:
    return {each.name for each in Path("/dev/shm").iterdir()}


def in_use() -> set[str]:
    """Return the names of shared memory that some living process maps."""
    names = set()
    for each in Path("/proc").glob("[0-9]*/maps"):
        try:
            lines = each.read_text().splitlines()
        except OSError:
            continue
        names |= {ln.rsplit("/", 1)[1] for ln in lines if "/dev/shm/" in ln}
    return names


def left_over(folder: Path, before: set[str]) -> dict[str, Any]:
    """Return what is left of killed runs: processes, shared memory, drafts."""
    time.sleep(1.0)
    processes = []
    for each in Path("/proc").glob("[0-9]*/environ"):
        try:
            orphan = b"multiprocessing" in (each.parent / "cmdline").read_bytes()
            parent = (each.parent / "stat").read_text().rsplit(")", 1)[1].split()[1]
        except OSError:
            continue
        if orphan and parent == "1":
            processes.append(each.parent.name)
    return {
        "orphan_processes": processes,
        "shared_memory_left": sorted(shared_memory() - before - in_use()),
        "drafts_left": [p.name for p in folder.glob("checkpoints/.*")],
    }


if __name__ == "__main__":
    main()
