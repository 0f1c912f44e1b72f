from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("stable_baselines3")

from physai.cli import main
from physai.errors import ConfigError
from physai.training.sweep import (
    _interquartile_mean,
    parse_seeds,
    plan_runs,
)

TINY = [
    "demonstrations.episodes=1",
    "demonstrations.dagger_rounds=0",
    "demonstrations.epochs=1",
    "hyperparameters={n_steps: 64, batch_size: 64, n_epochs: 1}",
    "vector={environments: 1, processes: 0}",
    "evaluation={every_steps: 100000, episodes: 1, final_episodes: 1}",
    "total_steps=64",
]


def test_seeds() -> None:
    assert parse_seeds("0-4") == [0, 1, 2, 3, 4]
    assert parse_seeds("3,1") == [3, 1]
    for wrong in ("4-0", "a", "", "1,,2"):
        with pytest.raises(ConfigError, match="--seeds"):
            parse_seeds(wrong)


def test_a_grid_is_every_combination_and_checked_first() -> None:
    grid = ["hyperparameters.learning_rate=1e-4,3e-4", "guard=on,off"]
    runs = plan_runs("care_feeding", [0, 1], grid)
    assert len(runs) == 8
    assert len({run.name for run in runs}) == 8
    with pytest.raises(ConfigError, match="guard"):
        plan_runs("care_feeding", [0], ["guard=on,of"])
    with pytest.raises(ConfigError, match="total_steps"):
        plan_runs("care_feeding", [0], ["totl_steps=1,2"])
    with pytest.raises(ConfigError, match="key=a,b"):
        plan_runs("care_feeding", [0], ["guard"])


def test_the_interquartile_mean_leaves_the_ends_out() -> None:
    values = np.array([0.0, 0.8, 0.9, 1.0])
    mean, low, high = _interquartile_mean(values)
    assert mean == pytest.approx(0.85)
    assert 0.0 <= low <= mean <= high <= 1.0
    assert np.isnan(_interquartile_mean(np.array([0.5]))[1])


def test_bad_requests(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(tmp_path / "sweep")
    assert main(["sweep", "care_feeding", "--seeds", "x", "--out", out]) == 2
    assert main(["sweep", "care_feeding", "--grid", "x=1,2", "--out", out]) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 2
    assert not any((tmp_path / "sweep").iterdir())


@pytest.mark.slow
def test_a_sweep_is_compared_and_not_run_twice(tmp_path: Path) -> None:
    home = {**os.environ, "HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path)}
    command = [sys.executable, "-m", "physai", "sweep", "care_feeding", "--json"]
    command += ["--seeds", "0-1", "--out", str(tmp_path / "sweep")]
    for setting in TINY:
        command += ["--set", setting]
    done = subprocess.run(command, env=home, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (row,) = json.loads(done.stdout)["rows"]
    assert row["seeds"] == [0, 1]
    assert len(row["safe_success"]) == 2
    assert (tmp_path / "sweep" / "sweep.svg").stat().st_size > 1000
    stamp = (tmp_path / "sweep" / "seed0" / "policy.onnx").stat().st_mtime_ns
    again = subprocess.run(command, env=home, capture_output=True, text=True)
    assert json.loads(again.stdout)["rows"] == [row]
    assert (tmp_path / "sweep" / "seed0" / "policy.onnx").stat().st_mtime_ns == stamp
