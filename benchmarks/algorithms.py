"""Which route to a CareFeeding policy: a small comparison, one seed each.

    python benchmarks/algorithms.py [--out FILE] [--runs DIR] [--only NAME ...]

Routes that are not run again keep their rows in the file.

Every route is a training run through the real command; safe success is measured on the
same held-out scenarios. Steps differ, since an update of an off-policy algorithm costs
far more than a step here: compare seconds.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

from physai.provenance import environment_record, git_revision

NO_DEMONSTRATIONS = ["demonstrations.episodes=0"]
ROUTES: dict[str, list[str]] = {
    "imitation and PPO (as shipped)": [],
    "imitation only": ["hyperparameters.learning_rate=0.0", "total_steps=8192"],
    "PPO only": [
        *NO_DEMONSTRATIONS,
        "hyperparameters={n_steps: 1024, batch_size: 256, n_epochs: 5, "
        "learning_rate: 3.0e-4, gae_lambda: 0.95, clip_range: 0.2}",
        "policy_kwargs={net_arch: [128, 128], log_std_init: -1.0}",
    ],
    "SAC only": [
        *NO_DEMONSTRATIONS,
        "algorithm=SAC",
        "hyperparameters={learning_rate: 3.0e-4, batch_size: 256, learning_starts: 2000}",
        "policy_kwargs={net_arch: [128, 128]}",
        "total_steps=24000",
    ],
}


def run(
    name: str, settings: list[str], folder: Path, episodes: int
) -> dict[str, object]:
    """Train one route; returns its figures."""
    place = folder / name.split(" (")[0].replace(" ", "_").lower()
    command = [sys.executable, "-m", "physai", "train", "care_feeding"]
    command += ["--out", str(place), "--seed", "1"]
    for setting in [*settings, f"evaluation.final_episodes={episodes}"]:
        command += ["--set", setting]
    start = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True)
    seconds = time.monotonic() - start
    if done.returncode != 0:
        return {"route": name, "error": done.stderr.strip().splitlines()[-1]}
    held_out = json.loads((place / "evaluation" / "held_out.json").read_text())
    manifest = json.loads((place / "bundle" / "manifest.json").read_text())
    training = manifest["training"]
    return {
        "route": name,
        "safe_success": held_out["safe_success"],
        "interval_95": held_out["safe_success_interval_95"],
        "episodes": episodes,
        "table": held_out["table"],
        "steps": training["steps"],
        "best_at_step": training["best"]["steps"],
        "demonstration_pairs": training["demonstration"].get("samples", 0),
        "seconds_with_evaluation": round(seconds, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", default="benchmarks/results/algorithms.json")
    parser.add_argument("--runs", default="runs/algorithms")
    parser.add_argument("--episodes", type=int, default=100)
    parser.add_argument("--only", nargs="*", default=sorted(ROUTES))
    options = parser.parse_args()
    rows, out = {}, Path(options.out)
    if out.is_file():
        rows = {row["route"]: row for row in json.loads(out.read_text())["rows"]}
    for name in options.only:
        rows[name] = run(name, ROUTES[name], Path(options.runs), options.episodes)
        rows[name]["git_revision"] = git_revision()
        print(json.dumps(rows[name]), flush=True)
        result = {"seed": 1, "rows": [*rows.values()], **environment_record()}
        out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
