"""Trackers: what reaches them, that a run goes on there, and that they are optional."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import gymnasium
import pytest

pytest.importorskip("stable_baselines3")

from stable_baselines3 import PPO
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from physai.cli import main
from physai.errors import PhysaiError
from physai.training.board import open_board
from physai.training.config import TrainConfig
from physai.training.tracking import Tracking, open_tracking

PLAIN: dict[str, Any] = {
    "environment": "physai/CareFeeding-v0",
    "algorithm": "PPO",
    "total_steps": 128,
}


def config(**tracking: Any) -> TrainConfig:
    return TrainConfig.model_validate({**PLAIN, "tracking": tracking})


def learn(tracking: Tracking) -> None:
    """Train for two updates on a pendulum."""
    tracking.begin()
    env = gymnasium.make("Pendulum-v1")
    model = PPO("MlpPolicy", env, n_steps=64, batch_size=64, n_epochs=1, device="cpu")
    model.learn(128, callback=[tracking.callback()])


def test_what_changes_nothing_is_not_in_the_digest() -> None:
    plain = TrainConfig.model_validate(PLAIN)
    tracked = TrainConfig.model_validate(
        {
            **PLAIN,
            "tracking": {"mlflow": {"experiment": "x"}},
            "evaluation": {"video": True},
        }
    )
    assert tracked.evaluation.video == 1
    assert tracked.distinctive() == plain.distinctive()
    other = {**PLAIN, "evaluation": {"video": 2, "episodes": 3}}
    value = TrainConfig.model_validate(other).distinctive()
    assert value["evaluation"] == {"episodes": 3}


@pytest.mark.parametrize("name", ["wandb", "mlflow"])
def test_a_missing_tracker_is_one_sentence_before_any_work(
    name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    key = {"wandb": "project", "mlflow": "experiment"}[name]
    setting = f"tracking={{{name}: {{{key}: x}}}}"
    folder = tmp_path / "run"
    code = main(["train", "care_feeding", "--set", setting, "--out", str(folder)])
    error = capsys.readouterr().err.strip()
    assert code == 2 and f'extra "{name}"' in error
    assert len(error.splitlines()) == 1
    assert not folder.exists()


def test_nothing_is_written_without_a_tracker(tmp_path: Path) -> None:
    with open_tracking(config(), tmp_path) as tracking:
        learn(tracking)
        tracking.finish({})
    assert not any(tmp_path.iterdir())


def test_mlflow_gets_scalars_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mlflow = pytest.importorskip("mlflow")
    pytest.importorskip("alembic")
    monkeypatch.chdir(tmp_path)
    uri = f"sqlite:///{tmp_path}/store.db"
    plan = config(mlflow={"experiment": "pendulum", "uri": uri})
    with pytest.raises(ZeroDivisionError), open_tracking(plan, tmp_path) as tracking:
        learn(tracking)
        raise ZeroDivisionError
    client = mlflow.MlflowClient(tracking_uri=uri)
    run = json.loads((tmp_path / "tracking.json").read_text())["mlflow"]
    assert client.get_run(run).info.status == "FAILED"

    with open_tracking(plan, tmp_path) as tracking:
        tracking.begin()
        tracking.write({"train/loss": 0.5}, 192)
    assert json.loads((tmp_path / "tracking.json").read_text())["mlflow"] == run
    kept = client.get_run(run)
    assert kept.info.status == "FINISHED"
    assert kept.data.params["algorithm"] == "PPO"
    assert not [key for key in kept.data.params if "tracking" in key]
    steps = [m.step for m in client.get_metric_history(run, "train/loss")]
    assert steps == [128, 192]
    assert len(client.search_runs([kept.info.experiment_id])) == 1

    # A service that fails is told of once; the run goes on.
    with open_tracking(plan, tmp_path) as tracking:
        tracking.begin()
        client.delete_run(run)
        with pytest.warns(RuntimeWarning, match="the run goes on") as told:
            tracking.write({"train/loss": 0.4}, 256)
            tracking.write({"train/loss": 0.4}, 320)
        assert len(told) == 1


def test_wandb_offline_gets_files_and_goes_on(tmp_path: Path) -> None:
    pytest.importorskip("wandb")
    plan = config(wandb={"project": "pendulum"})
    for _ in range(2):
        with open_tracking(plan, tmp_path) as tracking:
            learn(tracking)
    run = json.loads((tmp_path / "tracking.json").read_text())["wandb"]
    stored = sorted((tmp_path / "wandb").glob("offline-run-*/*.wandb"))
    assert {file.name for file in stored} == {f"run-{run}.wandb"}
    data = stored[0].read_bytes()
    assert b"train/loss" in data and b"CareFeeding" in data
    assert str(tmp_path).encode() not in data


def test_a_server_that_is_not_there_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    plan = config(mlflow={"experiment": "x", "uri": "http://127.0.0.1:9"})
    with (
        pytest.raises(PhysaiError, match=r"tracking\.mlflow: cannot begin"),
        open_tracking(plan, tmp_path) as tracking,
    ):
        tracking.begin()
    assert not (tmp_path / "tracking.json").exists()


@pytest.mark.parametrize("kept", [0, 512])
def test_what_a_lost_start_wrote_is_not_shown_twice(tmp_path: Path, kept: int) -> None:
    for steps, value in ((0, 1.0), (kept, 2.0)):
        board = open_board(tmp_path, steps)
        for step in (512, 1024):
            if step > steps:
                board.record("rollout/ep_rew_mean", value)
                board.dump(step)
        board.close()
    shown = EventAccumulator(str(tmp_path / "run_0"))
    shown.Reload()
    events = [(e.step, e.value) for e in shown.Scalars("rollout/ep_rew_mean")]
    assert events == [(512, 2.0 if kept == 0 else 1.0), (1024, 2.0)]
