from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("stable_baselines3")

from physai.cli import main
from physai.errors import ConfigError, RecordError
from physai.report.sweep import write_sweep_report
from physai.training.comparison import compare_runs, interquartile_mean
from physai.training.cost import Meter
from physai.training.process import _LEASH, RunProcess
from physai.training.sweep import parse_seeds, plan_runs
from physai.training.tuning import parse_space, tune

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
    mean, low, high = interquartile_mean(values)
    assert mean == pytest.approx(0.85)
    assert 0.0 <= low <= mean <= high <= 1.0
    assert np.isnan(interquartile_mean(np.array([0.5]))[1])


def finished(
    out: Path,
    name: str,
    seed: int,
    success: float,
    cost: float = 0.0,
    steps: int = 1000,
) -> RunProcess:
    """What a run leaves of itself for a comparison."""
    run = RunProcess(name, "care_feeding", (), seed, out)
    run.figures_file.parent.mkdir(parents=True)
    figures = {"safe_success": success, "mean_cost": cost}
    run.figures_file.write_text(json.dumps(figures))
    place = run.folder / "checkpoints" / f"step_{steps:010d}"
    place.mkdir(parents=True)
    curve = [
        {
            "steps": step,
            "success": success * step / steps,
            "cost": cost,
            "cpu_seconds": 0.1 * step,
        }
        for step in range(0, steps + 1, 100)
    ]
    progress = {
        "steps": steps,
        "seconds": 60.0,
        "cpu_seconds": 90.0,
        "curve": curve,
        "evaluations": [{"steps": steps, "safe_success": success}],
    }
    (place / "progress.json").write_text(json.dumps(progress))
    return run


def test_a_comparison_tells_of_spread_and_cost(tmp_path: Path) -> None:
    runs = [
        finished(tmp_path, f"a_seed{k}", k, value, 2.0 * value)
        for k, value in enumerate((0.2, 0.6, 0.7, 0.9))
    ]
    other = finished(tmp_path, "b<i>", 0, 0.5)
    runs[1].note_start()
    runs[1].note_start()
    result = compare_runs({"a": runs, "b<i>": [other]}, tmp_path)
    row, single = result["rows"]
    assert row["interquartile_mean"] == pytest.approx(0.65)
    low, high = row["interval_95"]
    assert 0.2 <= low < 0.65 < high <= 0.9
    assert single["interval_95"] == [None, None]
    assert row["starts"] == [1, 2, 1, 1]
    assert row["cpu_seconds"] == [90.0] * 4
    # 90 s of one core at 12 W.
    assert row["energy_wh"] == [pytest.approx(0.3)] * 4
    curve = row["curves"]["success"]
    assert curve["x"][0] == 0.0 and curve["x"][-1] == 1000.0
    assert curve["mean"][-1] == pytest.approx(0.65)
    assert curve["low"][-1] == pytest.approx(low)
    assert row["curves"]["success_by_cpu"]["x"][-1] == pytest.approx(100.0)
    json.loads((tmp_path / "sweep.json").read_text(), parse_constant=pytest.fail)

    page = write_sweep_report(tmp_path).read_text()
    for text in ("65.0%", "one seed", "12.0 W", "b&lt;i&gt;", "<svg", "a_seed1"):
        assert text in page
    assert "b<i>" not in page.replace("<!-- b<i> -->", "")
    for outside in ("<script", "src=", "<link", "@import"):
        assert outside not in page
    with pytest.raises(RecordError, match="no comparison of runs"):
        write_sweep_report(tmp_path / "starts")


def test_curves_end_where_the_shortest_does_and_old_runs_have_none(
    tmp_path: Path,
) -> None:
    runs = [
        finished(tmp_path, "long", 0, 0.5, steps=2000),
        finished(tmp_path, "short", 1, 0.5, steps=600),
    ]
    file = next(runs[1].folder.glob("checkpoints/*/progress.json"))
    progress = json.loads(file.read_text())
    for row in progress["curve"]:
        del row["cpu_seconds"]
    del progress["cpu_seconds"]
    file.write_text(json.dumps(progress))
    (row,) = compare_runs({"both": runs}, tmp_path)["rows"]
    assert row["curves"]["success"]["x"][-1] == 600.0
    assert row["curves"]["success_by_cpu"] is None
    assert row["energy_wh"][1] is None
    assert "no processor time is known" in write_sweep_report(tmp_path).read_text()


def test_a_run_is_begun_or_gone_on_with_by_what_its_folder_holds(
    tmp_path: Path,
) -> None:
    run = RunProcess("one", "care_feeding", ("guard=off",), 4, tmp_path)
    assert run.command[3:6] == ["train", "care_feeding", "--seed"]
    assert run.command[-1] == "--set=guard=off"
    run.folder.mkdir()
    (run.folder / "config.yaml").touch()
    assert run.command[-2:] == [str(run.folder), "--resume"]
    run.note_start()
    (run.folder / "checkpoints" / "step_0000000750").mkdir(parents=True)
    run.note_start()
    assert [start["steps"] for start in run.starts] == [0, 750]


@pytest.mark.skipif(sys.platform != "linux", reason="asks the Linux kernel")
def test_a_run_ends_with_the_process_that_waits_for_it() -> None:
    text = (
        "import os, subprocess, sys; "
        "c = [sys.executable, '-c', sys.argv[1], str(os.getpid())]; "
        "p = subprocess.Popen([*c, sys.executable, '-c', "
        "'import time; print(1, flush=True); time.sleep(60)']); "
        "print(p.pid, flush=True); p.wait()"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", text, _LEASH], stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    assert parent.stdout.readline() == "1\n"
    parent.kill()
    parent.wait()
    end = time.monotonic() + 10.0
    while Path(f"/proc/{child}/cmdline").exists() and (
        Path(f"/proc/{child}/cmdline").read_bytes()
    ):
        assert time.monotonic() < end
        time.sleep(0.02)


def test_processor_time_is_that_of_children_too() -> None:
    progress = {"seconds": 5.0, "cpu_seconds": 3.0}
    meter = Meter(progress)
    burn = "import time\nwhile time.process_time() < 0.5: pass"
    subprocess.run([sys.executable, "-c", burn], check=True)
    meter.lap()
    assert 3.45 < progress["cpu_seconds"] < 4.5
    assert progress["seconds"] >= 5.0 + 0.4
    before = dict(progress)
    running = subprocess.Popen(
        [sys.executable, "-c", burn + "\nprint(1, flush=True)\ntime.sleep(60)"],
        stdout=subprocess.PIPE,
    )
    assert running.stdout is not None and running.stdout.readline()
    meter.lap()
    running.kill()
    running.wait()
    assert progress["cpu_seconds"] > before["cpu_seconds"] + 0.45


def test_spaces() -> None:
    space = parse_space(["a.b=1e-5:1e-3:log", "n=16:512", "c=on,off"])
    assert space["a.b"] == {"low": 1e-5, "high": 1e-3, "log": True}
    assert space["n"] == {"low": 16, "high": 512, "log": False}
    assert space["c"] == {"values": ["on", "off"]}
    for wrong in ("a", "a=2:1", "a=0:1:log", "a=1:2:lin", "a=x:y", "a=nan:1"):
        with pytest.raises(ConfigError, match="--space"):
            parse_space([wrong])
    with pytest.raises(ConfigError, match="twice"):
        parse_space(["a=1:2", "a=1:3"])


SPACE = ("hyperparameters.learning_rate=1e-5:1e-3:log", "guard=on,off")


def test_a_search_goes_on_with_the_same_proposals(tmp_path: Path) -> None:
    pytest.importorskip("optuna")
    # The runs are there already, so that only the search itself is run.
    figures = [(0.5, 0.0), (0.8, 3.0), (0.8, 1.0), (0.2, 0.0), (0.7, 0.0)]
    figures += [(0.6, 0.0), (0.79, 0.0), (0.1, 0.0)]
    found = {}
    for way in ("whole", "parts"):
        out = tmp_path / way
        out.mkdir()
        for number, (success, cost) in enumerate(figures):
            finished(out, f"trial{number:04d}_seed0", 0, success, cost)
        for trials in (8,) if way == "whole" else (3, 8):
            found[way] = tune("care_feeding", trials, SPACE, [0], out=out)
    assert found["whole"]["lines"] == found["parts"]["lines"]
    # Of equal success, the lower cost; less success never wins by cost.
    assert found["parts"]["best"]["trial"] == 2
    assert [row["label"].split(":")[0] for row in found["parts"]["rows"]][:3] == [
        "trial 2",
        "trial 1",
        "trial 6",
    ]
    page = write_sweep_report(tmp_path / "parts").read_text()
    assert "8 trials" in page and "flatter" in page
    with pytest.raises(Exception, match="another space"):
        tune("care_feeding", 8, SPACE[:1], [0], out=tmp_path / "parts")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--space", "guard=on,off"], "--search N"),
        (["--search", "2"], "--space"),
        (["--search", "2", "--grid", "guard=on,off"], "exclude each other"),
        (["--search", "2", "--space", "hyperparameters.gama=1:2"], "gama"),
        (["--search", "2", "--space", "guard=on,of"], "guard"),
        (["--gpus", "1"], "--gpus needs --executor ray"),
    ],
)
def test_bad_searches_are_one_sentence(
    arguments: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if "--search" in arguments and "--grid" not in arguments:
        pytest.importorskip("optuna")
    out = tmp_path / "sweep"
    assert main(["sweep", "care_feeding", *arguments, "--out", str(out)]) == 2
    error = capsys.readouterr().err.strip()
    assert words in error and len(error.splitlines()) == 1


@pytest.mark.parametrize(
    ("module", "extra", "arguments"),
    [
        ("optuna", "search", ["--search", "2", "--space", "guard=on,off"]),
        ("ray", "ray", ["--executor", "ray"]),
        ("wandb", "wandb", ["--set", "tracking={wandb: {project: x}}"]),
    ],
)
def test_a_missing_extra_is_named(
    module: str,
    extra: str,
    arguments: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    out = tmp_path / "sweep"
    assert main(["sweep", "care_feeding", *arguments, "--out", str(out)]) == 2
    error = capsys.readouterr().err.strip()
    assert f'extra "{extra}"' in error and len(error.splitlines()) == 1
    assert not any(out.iterdir())


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
    assert (tmp_path / "sweep" / "sweep.html").stat().st_size > 1000
    assert row["starts"] == [1, 1] and min(row["cpu_seconds"]) > 1.0
    stamp = (tmp_path / "sweep" / "seed0" / "policy.onnx").stat().st_mtime_ns
    again = subprocess.run(command, env=home, capture_output=True, text=True)
    assert json.loads(again.stdout)["rows"] == [row]
    assert (tmp_path / "sweep" / "seed0" / "policy.onnx").stat().st_mtime_ns == stamp
