"""Bad input through the real command: one clear sentence, exit code 2, no traceback."""

import json
import os
import subprocess
import sys

import pytest


def physai(*arguments, cwd=None, **environment):
    return subprocess.run(
        [sys.executable, "-m", "physai", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=cwd,
        env={**os.environ, **environment},
    )


def sentence(result):
    assert result.returncode == 2, (result.returncode, result.stdout, result.stderr)
    lines = [line for line in result.stderr.splitlines() if "pybullet" not in line]
    assert len(lines) == 1, result.stderr
    assert "Traceback" not in result.stderr
    return lines[0]


@pytest.fixture
def site(tmp_path):
    result = physai("init", str(tmp_path / "site"))
    assert result.returncode == 0, result.stderr
    return tmp_path / "site"


def test_unknown_command_and_choice_have_a_near_match():
    assert 'did you mean "evaluate"' in sentence(physai("evaluat"))
    assert 'did you mean "robots"' in sentence(physai("list", "robotz"))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run", "physai/CareFeding-v0"], "physai/CareFeeding-v0"),
        (["run", "physai/CareFeeding-v0", "--policy", "nobody"], "no policy"),
        (["evaluate", "expert", "--suite", "care_feeding_qick"], "care_feeding_quick"),
        (["train", "no_such_config"], "care_feeding"),
        (["train", "care_feeding", "--set", "algorithm=PPOO", "--out", "x"], "PPO"),
        (
            ["train", "care_feeding", "--set", "total_steps=many", "--out", "x"],
            "total_steps",
        ),
        (
            ["train", "care_feeding", "--set", "totl_steps=5", "--out", "x"],
            "total_steps",
        ),
        (["train", "care_feeding", "--set", "seed", "--out", "x"], "key=value"),
        (["verify", "no/such/folder"], "no such"),
        (["deploy", "expert", "--hardware", "franca", "--stage", "shadow"], "franka"),
        (["deploy", "expert", "--hardware", "franka"], "approve"),
        (["check", "no_such.yaml"], "no such"),
    ],
)
def test_bad_arguments(arguments, words, tmp_path):
    assert words in sentence(physai(*arguments, cwd=tmp_path))


def test_an_unreachable_bridge(tmp_path):
    text = sentence(
        physai(
            "deploy",
            "expert",
            "--hardware",
            "franka",
            "--url",
            "ws://127.0.0.1:9",
            "--stage",
            "shadow",
            cwd=tmp_path,
        )
    )
    assert "no rosbridge answers" in text


def test_a_plain_socket_to_another_machine_is_refused(tmp_path):
    arguments = ["deploy", "expert", "--hardware", "franka", "--stage", "shadow"]
    text = sentence(physai(*arguments, "--url", "ws://192.0.2.1:9090", cwd=tmp_path))
    assert "wss://" in text


@pytest.mark.parametrize(
    ("file", "old", "new", "words"),
    [
        (
            "configs/safety/care_feeding.yaml",
            "reaction_time_s",
            "reaction_tim_s",
            "reaction_time_s",
        ),
        ("configs/safety/care_feeding.yaml", "unit: m/s", "unit: km/h", "m/s"),
        (
            "configs/safety/care_feeding.yaml",
            "frailty_factor: 0.5",
            "frailty_factor: .nan",
            "frailty_factor",
        ),
        (
            "configs/safety/care_feeding.yaml",
            "version: 1",
            "version: 1\nversion: 2",
            "duplicate",
        ),
        ("envs/care/feeding.yaml", "control_hz: 20", "control_hz: fast", "control_hz"),
        (
            "hardware/franka/bridge.yaml",
            "joint: panda_joint7",
            "joint: panda_joint8",
            "panda_joint",
        ),
        (
            "robots/franka/robot.yaml",
            "velocity_max_rad_s: 2.61",
            "velocity_max_rad_s: 26.1",
            "differs",
        ),
    ],
)
def test_a_wrong_content_file_names_itself(site, file, old, new, words):
    path = site / file
    path.write_text(path.read_text().replace(old, new, 1))
    if file.startswith("hardware"):
        result = physai(
            "--content",
            str(site),
            "deploy",
            "expert",
            "--hardware",
            "franka",
            "--stage",
            "shadow",
            cwd=site,
        )
        assert words in sentence(result)
        return
    result = physai(
        "--content",
        str(site),
        "check",
        str(path if "robot" not in file else path.parent),
        "--json",
    )
    assert result.returncode == 2
    if words == "duplicate":
        assert words in sentence(result)
        return
    errors = [row["error"] for row in json.loads(result.stdout) if not row["ok"]]
    assert errors and words in errors[0] and path.name in errors[0]


def test_an_altered_bundle_is_refused(tmp_path, site):
    bundle = site / "policies" / "care_feeding"
    model = bundle / "policy.onnx"
    data = bytearray(model.read_bytes())
    data[len(data) // 2] ^= 1
    model.write_bytes(bytes(data))
    assert "policy.onnx" in sentence(
        physai("--content", str(site), "verify", str(bundle))
    )
    (bundle / "signature.json").unlink()
    text = sentence(
        physai(
            "--content",
            str(site),
            "run",
            "physai/CareFeeding-v0",
            "--policy",
            str(bundle),
        )
    )
    assert "care_feeding" in text


def test_a_folder_that_cannot_be_written(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    text = sentence(physai("demo", "--out", str(blocked / "demo")))
    assert "cannot be written" in text


def test_init_keeps_what_is_there(tmp_path):
    (tmp_path / "mine").write_text("x")
    assert "not empty" in sentence(physai("init", str(tmp_path)))
    assert (tmp_path / "mine").read_text() == "x"


def test_list_and_check_of_the_shipped_site():
    result = physai("list", "--json")
    assert result.returncode == 0
    found = json.loads(result.stdout)
    assert "physai/CareFeeding-v0" in found["envs"] and "franka" in found["robots"]
    assert physai("check").returncode == 0
