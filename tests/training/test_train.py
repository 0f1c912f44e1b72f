"""Training through the real command, at a tiny size: what a run leaves, and resuming."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("stable_baselines3")

from stable_baselines3.common.save_util import load_from_zip_file

from physai.cli import main
from physai.policy.bundle import read_bundle
from physai.training.checkpoint import latest_checkpoint, read_progress
from physai.training.run_folder import held

TINY = [
    "demonstrations.episodes=2",
    "demonstrations.dagger_rounds=1",
    "demonstrations.dagger_episodes=1",
    "demonstrations.epochs=2",
    "hyperparameters.n_steps=128",
    "hyperparameters.batch_size=64",
    "hyperparameters.n_epochs=2",
    "vector={environments: 2, processes: 2}",
    "evaluation={every_steps: 100000, episodes: 1, final_episodes: 2}",
    "checkpoint_every_steps=256",
]


def command(*arguments: str, steps: int = 512) -> list[str]:
    settings = [f"--set={each}" for each in (*TINY, f"total_steps={steps}")]
    return [sys.executable, "-m", "physai", "train", *arguments, *settings]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Keys and caches of a person who is not the one who runs the tests."""
    folder = tmp_path_factory.mktemp("home")
    return {**os.environ, "HOME": str(folder), "XDG_CONFIG_HOME": str(folder)}


def run(
    arguments: list[str], home: dict[str, str], check: bool = True
) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        arguments, env=home, capture_output=True, text=True, timeout=240
    )
    assert not check or done.returncode == 0, done.stderr
    return done


@pytest.fixture(scope="module")
def finished(
    tmp_path_factory: pytest.TempPathFactory, home: dict[str, str]
) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("runs") / "one"
    run(command("care_feeding", "--seed", "3", "--out", str(folder)), home)
    yield folder


@pytest.mark.slow
def test_a_run_leaves_everything_that_the_contract_names(
    finished: Path, home: dict[str, str]
) -> None:
    for name in ("config.yaml", "environment.json", "curves.svg"):
        assert (finished / name).stat().st_size > 100
    for name in ("checkpoints", "tensorboard", "evaluation", "bundle"):
        assert any((finished / name).iterdir())
    record = json.loads((finished / "environment.json").read_text())
    assert record["versions"]["stable-baselines3"]
    assert record["git_revision"] is None or len(record["git_revision"]) >= 40
    figures = json.loads((finished / "evaluation" / "held_out.json").read_text())
    assert sum(figures["table"].values()) == figures["episodes"] == 2
    verified = run(
        [sys.executable, "-m", "physai", "verify", str(finished / "bundle"), "--json"],
        home,
    )
    assert json.loads(verified.stdout)["ok"] is True
    bundle = read_bundle(finished / "bundle", require_signature=False)
    assert bundle.manifest.name == "care_feeding"
    assert bundle.manifest.training["parity"] < 1e-4
    assert not [p for p in (finished / "bundle").iterdir() if p.suffix == ".pkl"]
    config = (finished / "config.yaml").read_text()
    assert "gamma: 0.998" in config


def curves(folder: Path) -> dict[str, Any]:
    """Return the learning curves of a run, without what a clock says."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    board = EventAccumulator(str(folder / "tensorboard" / "run_0"))
    board.Reload()
    found: dict[str, Any] = {
        tag: [(event.step, event.value) for event in board.Scalars(tag)]
        for tag in board.Tags()["scalars"]
        if not tag.startswith("time/")
    }
    place = latest_checkpoint(folder / "checkpoints")
    assert place is not None
    found["curve"] = [
        {k: v for k, v in row.items() if "seconds" not in k}
        for row in read_progress(place)["curve"]
    ]
    return found


def assert_same(first: Path, second: Path) -> None:
    """Two runs are the same run: configuration, learning curves, policy."""
    one, two = (
        read_bundle(folder / "bundle", require_signature=False)
        for folder in (first, second)
    )
    for key in ("config_digest", "best", "steps"):
        assert one.manifest.training[key] == two.manifest.training[key]
    assert curves(first) == curves(second)
    assert one.policy_digest == two.policy_digest


@pytest.mark.slow
def test_the_stored_config_makes_the_same_run(
    finished: Path, tmp_path: Path, home: dict[str, str]
) -> None:
    again = tmp_path / "again"
    config = str(finished / "config.yaml")
    run([sys.executable, "-m", "physai", "train", config, "--out", str(again)], home)
    assert_same(finished, again)


@pytest.mark.slow
def test_an_update_during_steps_makes_the_same_run_again(
    tmp_path: Path, home: dict[str, str]
) -> None:
    runs = [tmp_path / "first", tmp_path / "second"]
    for folder in runs:
        overlapped = "--set=vector={environments: 2, processes: 1, overlap: true}"
        # The last that is said of a key holds.
        asked = command("care_feeding", "--out", str(folder), steps=500)
        run([*asked, overlapped], home)
    assert_same(*runs)
    # Rollouts are whole: it has 512 steps, and can still be judged at greater length.
    more = ["--resume", "--set=evaluation.final_episodes=3"]
    run([sys.executable, "-m", "physai", "train", str(runs[0]), *more], home)
    figures = json.loads((runs[0] / "evaluation" / "held_out.json").read_text())
    assert figures["episodes"] == 3
    bundles = [read_bundle(each / "bundle", require_signature=False) for each in runs]
    assert bundles[0].policy_digest == bundles[1].policy_digest


@pytest.mark.slow
def test_off_policy_the_stored_config_makes_the_same_run(
    tmp_path: Path, home: dict[str, str]
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    settings = [
        "--set=algorithm=SAC",
        "--set=demonstrations.episodes=0",
        "--set=hyperparameters={learning_starts: 64, buffer_size: 2000, train_freq: 4}",
        "--set=policy_kwargs={net_arch: [16]}",
    ]
    settings = [*(f"--set={each}" for each in TINY if "hyper" not in each), *settings]
    train = [sys.executable, "-m", "physai", "train"]
    run(
        [
            *train,
            "care_feeding",
            "--out",
            str(first),
            *settings,
            "--set=total_steps=1500",
        ],
        home,
    )
    run([*train, str(first / "config.yaml"), "--out", str(second)], home)
    assert_same(first, second)
    assert curves(first)["curve"] != []


def processes_of(group: int) -> list[int]:
    """Return the processes of a group that are alive."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, its = stat.read_text().rsplit(")", 1)[1].split()[:3]
        except OSError:
            continue
        if int(its) == group and state != "Z":
            found.append(int(stat.parent.name))
    return found


def wait_for_step(process: subprocess.Popen[str], folder: Path, step: int) -> Path:
    """Wait until a run has a checkpoint of a step, or of a later one."""
    limit = time.monotonic() + 150.0
    while time.monotonic() < limit and process.poll() is None:
        place = latest_checkpoint(folder / "checkpoints")
        if place is not None and place.name >= f"step_{step:010d}":
            return place
        time.sleep(0.01)
    raise AssertionError(f"no step {step}: {process.communicate(timeout=60)[1]}")


def start(arguments: list[str], home: dict[str, str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        arguments,
        env=home,
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        # A shell's background job ignores Ctrl-C, and so does all that it starts.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


@pytest.mark.slow
def test_killed_and_resumed(tmp_path: Path, home: dict[str, str]) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    folder, twin = tmp_path / "killed", tmp_path / "twin"
    process = start(command("care_feeding", "--out", str(folder), steps=1024), home)
    wait_for_step(process, folder, 256)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert processes_of(process.pid) == []
    place = latest_checkpoint(folder / "checkpoints")
    assert place is not None and not (folder / "bundle").exists()
    before = read_progress(place)
    # A write that was cut short leaves a draft, which nobody reads.
    draft = folder / "checkpoints" / ".step_0000009999.part"
    draft.mkdir()
    (draft / "model.zip").write_bytes(b"half")
    shutil.copytree(folder, twin)
    for each in (folder, twin):
        run([sys.executable, "-m", "physai", "train", str(each), "--resume"], home)
    last = latest_checkpoint(folder / "checkpoints")
    assert last is not None and last.name >= "step_0000001024"
    after = read_progress(last)
    assert after["demonstration"] == before["demonstration"]
    steps = [row["steps"] for row in after["curve"]]
    assert steps == sorted(set(steps))
    assert after["curve"][: len(before["curve"])] == before["curve"]
    data = load_from_zip_file(last / "model.zip")[0]
    assert data is not None and data["_n_updates"] == 4 * 2
    board = EventAccumulator(str(folder / "tensorboard" / "run_0"))
    board.Reload()
    assert [e.step for e in board.Scalars("time/fps")] == [256, 512, 768, 1024]
    assert_same(folder, twin)


@pytest.mark.slow
def test_a_worker_killed_and_ctrl_c_in_every_phase(
    tmp_path: Path, home: dict[str, str]
) -> None:
    """Training goes on without the worker; Ctrl-C is one sentence, and nothing is lost."""
    folder = tmp_path / "run"
    resume = [sys.executable, "-m", "physai", "train", str(folder), "--resume"]
    shown = "--set=demonstrations.episodes=200"
    for phase in ("demonstrations", "learning", "learning again"):
        begin = command("care_feeding", "--out", str(folder), shown, steps=100_000)
        if phase == "demonstrations":
            process = start(begin, home)
            limit = time.monotonic() + 100.0
            while not (folder / "environment.json").is_file():
                assert time.monotonic() < limit and process.poll() is None
                time.sleep(0.05)
        else:
            process = start([*resume, "--set=demonstrations.episodes=0"], home)
            there = latest_checkpoint(folder / "checkpoints")
            step = read_progress(there)["steps"] if there else 0
            wait_for_step(process, folder, step + 256)
            if phase == "learning":
                workers = [
                    each
                    for each in processes_of(process.pid)
                    if b"spawn_main" in Path(f"/proc/{each}/cmdline").read_bytes()
                ]
                assert len(workers) == 2
                os.kill(workers[0], signal.SIGKILL)
                wait_for_step(process, folder, step + 1024)
        os.killpg(process.pid, signal.SIGINT)
        said = process.communicate(timeout=120)[1]
        assert process.returncode == 130, said
        told = [line for line in said.splitlines() if line.startswith(str(folder))]
        assert len(told) == 1 and "--resume" in told[0], said
        assert "Traceback" not in said
        assert ("died (SIGKILL)" in said) == (phase == "learning"), said
        # The last helper of the workers ends when it sees that its parent has.
        limit = time.monotonic() + 20.0
        while processes_of(process.pid) and time.monotonic() < limit:
            time.sleep(0.05)
        assert processes_of(process.pid) == []
    place = latest_checkpoint(folder / "checkpoints")
    assert place is not None and read_progress(place)["steps"] % 256 == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (["environment=physai/CareNightRound-v0"], "was made with environment"),
        (["policy_kwargs.net_arch=[8]"], "was made with policy_kwargs"),
        (["normalize_reward=false"], "was made with normalize_reward"),
        (["constraint={budget: 1}"], "was made with constraint null"),
        (
            [
                *("algorithm=SAC", "hyperparameters={}", "policy_kwargs={}"),
                "total_steps=2000",
            ],
            'was made with algorithm "PPO", not "SAC"',
        ),
        (["seed=9"], "was made with seed 3, not 9"),
        (["total_steps=300"], "has 512 steps already, total_steps is 300"),
    ],
)
def test_what_a_checkpoint_cannot_go_on_with_is_refused(
    finished: Path, settings: list[str], words: str, capsys, monkeypatch
) -> None:
    monkeypatch.setattr("physai.training.train.make_vector", None)
    before = (finished / "config.yaml").read_text()
    given = [f"--set={each}" for each in settings]
    assert main(["train", str(finished), "--resume", *given]) == 2
    said = capsys.readouterr().err.strip()
    assert words in said and len(said.splitlines()) == 1
    assert (finished / "config.yaml").read_text() == before


@pytest.mark.slow
def test_other_entries_of_the_observation_are_refused(
    finished: Path, tmp_path: Path, capsys
) -> None:
    folder = tmp_path / "older"
    shutil.copytree(finished, folder)
    for file in folder.glob("checkpoints/*/progress.json"):
        value = json.loads(file.read_text())
        value["observations"].remove(value["observations"][3])
        file.write_text(json.dumps(value))
    assert main(["train", str(folder), "--resume"]) == 2
    assert "was made for other observations" in capsys.readouterr().err


@pytest.mark.slow
def test_a_folder_in_which_another_process_trains_is_refused(
    finished: Path, capsys
) -> None:
    with held(finished):
        assert main(["train", str(finished), "--resume"]) == 2
    assert "another process is training there" in capsys.readouterr().err


@pytest.mark.slow
def test_killed_after_the_last_step(
    finished: Path, tmp_path: Path, home: dict[str, str]
) -> None:
    folder = tmp_path / "late"
    shutil.copytree(finished, folder)
    for name in ("bundle", "evaluation"):
        shutil.rmtree(folder / name)
    run([sys.executable, "-m", "physai", "train", str(folder), "--resume"], home)
    first, second = (
        read_bundle(each / "bundle", require_signature=False)
        for each in (finished, folder)
    )
    assert first.policy_digest == second.policy_digest


@pytest.mark.slow
def test_a_damaged_checkpoint_is_one_sentence(
    finished: Path, tmp_path: Path, home: dict[str, str]
) -> None:
    folder = tmp_path / "damaged"
    shutil.copytree(finished, folder)
    place = latest_checkpoint(folder / "checkpoints")
    assert place is not None
    data = (place / "model.zip").read_bytes()
    (place / "model.zip").write_bytes(data[: len(data) // 2])
    done = run(
        [
            sys.executable,
            "-m",
            "physai",
            "train",
            str(folder),
            "--resume",
            "--set=total_steps=2048",
        ],
        home,
        check=False,
    )
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "checkpoint cannot be read" in done.stderr
    assert (folder / "bundle" / "policy.onnx").is_file()


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["care_feeding", "--set=hyperparameters.n_step=5"], "n_step"),
        (["care_feeding", "--set=vector.environment=2"], "environments"),
        (["care_feeding", "--device", "cuda"], "cuda"),
        (["care_feeding", "--resume"], "no run to go on"),
        (["care_feeding", "--set=evaluation.suite=nope"], "care_feeding_quick"),
        (["care_feeding", "--out=/proc/nowhere"], "cannot be written"),
        (["care_feeding", "--set=constraint.budgets=1"], "budget"),
        (
            [
                "care_feeding",
                "--set=algorithm=RecurrentPPO",
                "--set=policy=MlpLstmPolicy",
                "--set=constraint={budget: 1}",
            ],
            "constraint: RecurrentPPO is not supported",
        ),
    ],
)
def test_what_cannot_run_is_one_sentence(
    arguments: list[str], word: str, tmp_path: Path, home: dict[str, str]
) -> None:
    import torch

    if "cuda" in arguments and torch.cuda.is_available():
        pytest.skip("a CUDA device is present")
    if not any(each.startswith("--out") for each in arguments):
        arguments = [*arguments, f"--out={tmp_path / 'run'}"]
    done = run([sys.executable, "-m", "physai", "train", *arguments], home, check=False)
    assert done.returncode == 2, done.stderr
    assert word in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.slow
def test_a_folder_in_use_is_kept(finished: Path, home: dict[str, str]) -> None:
    before = sorted(p.name for p in finished.rglob("*"))
    done = run(command("care_feeding", "--out", str(finished)), home, check=False)
    assert done.returncode == 2
    assert "--resume" in done.stderr
    assert sorted(p.name for p in finished.rglob("*")) == before


@pytest.mark.slow
def test_a_zip_of_stable_baselines_needs_trust(
    finished: Path, home: dict[str, str]
) -> None:
    model = finished / "best_model.zip"
    assert zipfile.is_zipfile(model)
    arguments = [sys.executable, "-m", "physai", "run", "physai/CareFeeding-v0"]
    done = run([*arguments, "--policy", str(model)], home, check=False)
    assert done.returncode == 2
    assert "--trust" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.slow
def test_a_run_killed_before_its_first_checkpoint_begins_again(
    tmp_path: Path, home: dict[str, str]
) -> None:
    folder = tmp_path / "run"
    process = subprocess.Popen(
        command("care_feeding", "--out", str(folder)),
        env=home,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 60.0
    while not (folder / "environment.json").is_file():
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.1)
    process.kill()
    process.wait()
    assert not list(folder.glob("checkpoints/step_*"))
    run(command(str(folder), "--resume"), home)
    assert (folder / "bundle" / "manifest.json").is_file()


def test_a_zip_for_other_spaces_is_refused_in_one_sentence(tmp_path: Path) -> None:
    import gymnasium
    from stable_baselines3 import PPO

    from physai.errors import ContractError
    from physai.training.adapters import load_sb3

    file = tmp_path / "pendulum.zip"
    PPO("MlpPolicy", gymnasium.make("Pendulum-v1"), n_steps=8, batch_size=8).save(file)
    assert load_sb3(file).act(np.zeros(3, dtype=np.float32)).shape == (1,)
    with pytest.raises(ContractError, match="observations of the shape"):
        load_sb3(file, 32, 6)
    with pytest.raises(ContractError, match="actions of the shape"):
        load_sb3(file, 3, 6)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["A2C", "PPO", "RecurrentPPO", "SAC", "TD3", "TQC", "CrossQ"]
)
@pytest.mark.parametrize("fine", [False, True])
def test_every_kind_of_actor_is_exported_as_it_acts(
    name: str, fine: bool, tmp_path: Path
) -> None:
    """Off-policy actors squash a Gaussian, which cannot be traced as a distribution."""
    import gymnasium
    from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

    from physai.training.export import check_parity, export_onnx
    from physai.training.features import MultiScaleFeatures
    from physai.training.hyperparameters import algorithms

    pendulum = gymnasium.wrappers.RescaleAction(
        gymnasium.make("Pendulum-v1"), -1.0, 1.0
    )
    normalizer = VecNormalize(DummyVecEnv([lambda: pendulum]), norm_obs=not fine)
    kwargs = {"features_extractor_class": MultiScaleFeatures} if fine else None
    policy = "MlpLstmPolicy" if name == "RecurrentPPO" else "MlpPolicy"
    model = algorithms()[name](policy, normalizer, seed=0, policy_kwargs=kwargs)
    model.learn(150)
    file = tmp_path / "policy.onnx"
    export_onnx(model, normalizer, file)
    # The exporter would note the files of this machine.
    assert b".py" not in file.read_bytes()
    seen = np.random.default_rng(1).normal(size=(50, 3)).astype(np.float32)
    assert check_parity(model, normalizer, file, seen) < 1e-4


def test_a_recurrent_policy_remembers_its_episode_and_no_other(tmp_path: Path) -> None:
    """Its zip and its graph act alike, as long as the network has two layers, too."""
    import gymnasium
    from sb3_contrib import RecurrentPPO

    from physai.policy.network import OnnxPolicy
    from physai.training.adapters import load_sb3
    from physai.training.export import export_onnx

    env = gymnasium.wrappers.RescaleAction(gymnasium.make("Pendulum-v1"), -1.0, 1.0)
    sizes = {"lstm_hidden_size": 8, "n_lstm_layers": 2}
    model = RecurrentPPO(
        "MlpLstmPolicy", env, n_steps=32, batch_size=32, seed=0, policy_kwargs=sizes
    )
    model.learn(64)
    model.save(tmp_path / "policy.zip")
    export_onnx(model, None, tmp_path / "policy.onnx")
    network = OnnxPolicy((tmp_path / "policy.onnx").read_bytes())
    learner = load_sb3(tmp_path / "policy.zip")
    seen = np.random.default_rng(1).normal(size=(20, 3)).astype(np.float32)

    def acted(policy: Any) -> np.ndarray:
        policy.reset()
        return np.stack([policy.act(each) for each in seen])

    first = acted(network)
    np.testing.assert_allclose(first, np.clip(acted(learner), -1, 1), atol=1e-5)
    # Nothing is left of an episode, and within one the same thing is not the same again.
    np.testing.assert_array_equal(first, acted(network))
    assert not np.allclose(network.act(seen[0]), first[0], atol=1e-6)


def test_parity_sees_another_network(tmp_path: Path) -> None:
    """The exported network is compared with the trained one on real observations."""
    from stable_baselines3 import PPO

    from physai.errors import PhysaiError
    from physai.tasks import registry
    from physai.training.export import check_parity, export_onnx

    env = registry.make("physai/CareFeeding-v0", guard="off")
    try:
        model = PPO("MlpPolicy", env, n_steps=16, batch_size=16, seed=0, device="cpu")
        observations = [env.reset(seed=k)[0] for k in range(8)]
    finally:
        env.close()
    file = tmp_path / "policy.onnx"
    export_onnx(model, None, file)
    seen = np.stack(observations).astype(np.float32)
    assert check_parity(model, None, file, seen) < 1e-4
    other = PPO("MlpPolicy", env, n_steps=16, batch_size=16, seed=1, device="cpu")
    with pytest.raises(PhysaiError):
        check_parity(other, None, file, seen)
