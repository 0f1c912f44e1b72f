"""Bad input through the real command: one clear sentence, exit code 2, no traceback."""

import json
import os
import shutil
import socket
import subprocess
import sys
import threading

import pytest
import websockets.sync.server

from physai import content
from physai.cli import main
from physai.record.ledger import Ledger


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
def ask(tmp_path, monkeypatch, capsys):
    """Run a command in this process: imports are paid once; returns its sentence."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        code = main(list(arguments))
        captured = capsys.readouterr()
        lines = [line for line in captured.err.splitlines() if "pybullet" not in line]
        assert code == 2, (code, captured)
        assert captured.out == ""
        assert len(lines) == 1, captured.err
        return lines[0]

    return run


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
        (["run", "physai/CareFeeding-v0", "--observation", "tags"], "has no tags"),
        (["run", "physai/CareFeeding-v0", "--observation", "smell"], "tags"),
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
        (["run", "physai/CareFeeding-v0", "--polcy", "zero"], 'mean "--policy"'),
        (["run", "physai/CareFeeding-v0", "stray"], "one argument too many"),
        (["run", "physai/CareFeeding-v0", "--seed", "-5"], "at least 0"),
        (["run", "physai/CareFeeding-v0", "--seed", "10000000"], "test seeds"),
        (["run", "physai/CareFeeding-v0", "--episodes", "0"], "at least 1"),
        (["run", "physai/CareFeeding-v0", "--guard", "onn"], 'mean "on"'),
        (["run", "physai/CareFeeding-v0", "--video", "film.gif"], ".mp4"),
        (
            ["evaluate", "expert", "--suite", "care_feeding_quick", "--workers", "-1"],
            "at least 1",
        ),
        (
            ["search", "expert", "--suite", "care_feeding_quick", "--budget", "0"],
            "at least 1",
        ),
        (["score", "nowhere", "--suite", "care_feeding_quick"], "no such folder"),
        (["compare", "nowhere", "elsewhere"], "no such folder"),
        (["report", "nowhere"], "cannot be read"),
        (["replay", "nowhere.parquet"], "no such episode"),
        (["convert", "nowhere", "--to", "lerobot"], "no such folder"),
        (["case", "--evidence", "nowhere"], "no such folder"),
        (["cycle", "plan"], "--by NAME"),
        (["cycle", "permit", "--policy", "nobody", "--by", "me"], "care_feeding"),
        (["keys", "trust", "nowhere.json"], "no such file"),
        (["keys", "export", "nobody"], "physai keys create"),
        (["bench", "--blocks", "0"], "at least 1"),
        (["bench", "--out", "."], "is a folder"),
        (["robot", "franka", "--port", "99999"], "0 to 65535"),
        (["robot", "franka", "--duration", "-1"], "seconds above 0"),
        (["robot", "franka", "--faults", "nowhere.yaml"], "cannot be read"),
        (["robot", "franka", "--env", "physai/CareFeding-v0"], "did you mean"),
        (["bench", "--faults", "care_feding"], 'mean "care_feeding"'),
        (["watchdog", "--hardware", "franca"], 'mean "franka"'),
        (["console", "--hardware", "franca"], 'mean "franka"'),
        (["deploy", "expert", "--hardware", "franka", "--duration", "nan"], "above 0"),
        (
            ["deploy", "expert", "--hardware", "franka", "--stage", "slow"],
            "approve",
        ),
        (["sweep", "care_feeding", "--seeds", "3-1"], "range such as 0-4"),
        (["sweep", "care_feeding", "--grid", "totl_steps=1,2"], "total_steps"),
        (["--content", "nowhere", "list"], "not a folder"),
    ],
)
def test_bad_arguments(arguments, words, ask):
    assert words in ask(*arguments)


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("{kind: half_opn, target: command}", 'mean "half_open"'),
        ("{kind: stuck, target: joints}", 'no target "joints"'),
        ("{kind: drop, target: lidar}", "no lidar"),
        ("{kind: drop, target: pose}", "no pose"),
    ],
)
def test_a_robot_with_a_fault_that_cannot_be(fault, words, ask, tmp_path):
    (tmp_path / "faults.yaml").write_text(f"faults: [{fault}]\n")
    assert words in ask(
        "robot", "franka", "--faults", "faults.yaml", "--port", "0", "--duration", "1"
    )


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:9090",
        "nonsense",
        "ws://127.0.0.1",
        "ws://127.0.0.1:99999",
        "ws://:9090",
    ],
)
def test_a_malformed_address(url, ask):
    arguments = ["deploy", "expert", "--hardware", "franka", "--stage", "shadow"]
    text = ask(*arguments, "--url", url)
    assert "is not the address of a rosbridge" in text


def test_a_port_in_use(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        text = sentence(physai("robot", "franka", "--port", port, cwd=tmp_path))
    assert port in text and "another port" in text


def test_a_bridge_that_sends_messages_of_another_type(tmp_path):
    """Nothing on a rosbridge says so; the robot must not move on what is not a state."""
    wrong = json.dumps(
        {"op": "publish", "topic": "/joint_states", "msg": {"data": "hello"}}
    )

    def speak(connection):
        for frame in connection:
            message = json.loads(frame)
            if message["op"] == "call_service":
                answer = {"op": "service_response", "result": True, "values": {}}
                service, number = message["service"], message["id"]
                connection.send(json.dumps(answer | {"service": service, "id": number}))
            elif message.get("topic") == "/joint_states":
                connection.send(wrong)

    with websockets.sync.server.serve(speak, "127.0.0.1", 0) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"ws://127.0.0.1:{server.socket.getsockname()[1]}"
        arguments = ["deploy", "expert", "--hardware", "franka", "--stage", "shadow"]
        text = sentence(physai(*arguments, "--url", url, cwd=tmp_path))
        server.shutdown()
    assert "joint states: the message has no list of names" in text


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: [1,\n b: :\n", "line 2 is not valid YAML"),
        ("- 1\n- 2\n", "mapping"),
        ("", "mapping"),
        ("algorithm: PPO\nenvironment: 3\ntotal_steps: 9\n", "environment"),
        ("\x00\x01", "YAML"),
    ],
)
def test_a_file_with_bad_syntax_names_itself(text, words, tmp_path, ask):
    file = tmp_path / "mine.yaml"
    file.write_text(text)
    found = ask("train", "mine.yaml", "--out", "run")
    assert words in found and "mine.yaml" in found
    assert not (tmp_path / "run").exists()


POLICIES = """
import numpy as np

class Constant:
    def __init__(self, action):
        self.action = action
    def reset(self):
        pass
    def act(self, observation):
        if self.action is None:
            raise RuntimeError("inside act")
        return self.action

def wrong_shape(env): return Constant(np.zeros(9))
def not_a_number(env): return Constant(np.full(6, np.nan))
def text(env): return Constant("left")
def fails(env): return Constant(None)
def nothing(env): return None
"""


@pytest.mark.parametrize(
    ("name", "guard", "words"),
    [
        ("wrong_shape", "on", "shape (9,), expected (6,)"),
        ("text", "on", "not an array of numbers"),
        ("not_a_number", "off", "not finite"),
        ("not_a_number", "observe", "not finite"),
        ("fails", "on", "raised RuntimeError: inside act (mine.py, line"),
        ("nothing", "on", "without reset and act"),
        ("unknown", "on", 'has no "unknown"'),
    ],
)
def test_an_action_that_is_none(name, guard, words, tmp_path):
    (tmp_path / "mine.py").write_text(POLICIES)
    arguments = ["run", "physai/CareFeeding-v0", "--policy", f"mine:{name}"]
    path = f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    result = physai(*arguments, "--guard", guard, cwd=tmp_path, PYTHONPATH=path)
    assert words in sentence(result)


def test_the_guard_stops_an_action_that_is_not_a_number(tmp_path):
    (tmp_path / "mine.py").write_text(POLICIES)
    arguments = ["run", "physai/CareFeeding-v0", "--policy", "mine:not_a_number"]
    path = f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    result = physai(*arguments, "--json", cwd=tmp_path, PYTHONPATH=path)
    assert result.returncode == 0
    row = json.loads(result.stdout, parse_constant=pytest.fail)[0]
    assert row["ended"] == "latched stop" and not row["success"]


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


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda b: (b / "signature.json").unlink(), "not signed"),
        (lambda b: (b / "manifest.json").write_text("{"), "not JSON"),
        (lambda b: (b / "policy.onnx").unlink(), "missing"),
        (lambda b: (b / "more.txt").write_text("x"), "not in the manifest"),
        (lambda b: (b / "more.pkl").write_text("x"), "more.pkl"),
        (
            lambda b: (b / "card.md").write_text((b / "card.md").read_text() + "!"),
            "card.md",
        ),
    ],
)
def test_a_damaged_bundle_says_what_is_wrong(damage, words, tmp_path, ask):
    bundle = tmp_path / "bundle"
    shutil.copytree(content.path("policies", "care_feeding"), bundle)
    damage(bundle)
    assert words in ask("verify", str(bundle))
    assert words in ask("run", "physai/CareFeeding-v0", "--policy", "bundle")


@pytest.mark.parametrize(
    "arguments",
    [
        ["demo", "--out"],
        ["run", "physai/CareFeeding-v0", "--log"],
        ["evaluate", "expert", "--suite", "care_feeding_quick", "--out"],
        ["search", "zero", "--suite", "care_feeding_quick", "--budget", "30", "--out"],
        ["train", "care_feeding", "--out"],
        ["sweep", "care_feeding", "--out"],
        ["deploy", "expert", "--hardware", "franka", "--stage", "shadow", "--out"],
        ["check", "--schema"],
        ["init"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_a_folder_that_cannot_be_written(arguments, tmp_path, ask):
    """Below a file, and the file itself: that works for a superuser too."""
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    for place in (blocked, blocked / "below"):
        assert "file" in ask(*arguments, str(place))
    assert blocked.read_text() == "in the way"


def test_a_ledger_with_one_changed_byte(tmp_path):
    file = tmp_path / "ledger.jsonl"
    with Ledger.open(file) as ledger:
        for k in range(4):
            ledger.append("intervention", time_s=0.1 * k)
    assert physai("verify", str(file)).returncode == 0
    data = file.read_bytes()
    for place in (20, len(data) // 2, len(data) - 20):
        altered = tmp_path / "altered.jsonl"
        altered.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
        assert "altered.jsonl: line" in sentence(physai("verify", str(altered)))
        report = physai("verify", str(altered), "--json")
        assert report.returncode == 2
        assert json.loads(report.stdout)["ok"] is False
    # A power cut is no forgery: what was written before it verifies.
    file.write_bytes(data[:-15])
    torn = physai("verify", str(file))
    assert torn.returncode == 1 and "3 entries before it verify" in torn.stdout


def test_a_permit_for_another_policy_is_refused(site, tmp_path):
    keys = {"PHYSAI_KEYS": str(tmp_path / "keys")}
    here = ["--content", str(site)]
    assert physai("keys", "create", "office", **keys).returncode == 0
    assert physai(*here, "keys", "trust", "office", **keys).returncode == 0
    permit = tmp_path / "permit.json"
    issue = ["cycle", "permit", "--policy", "care_feeding", "--by", "A. Assessor"]
    issue += ["--key", "office", "--out", str(permit)]
    result = physai(*here, *issue, **keys)
    assert result.returncode == 0, result.stderr
    ask = ["deploy", "expert", "--hardware", "franka", "--stage", "shadow"]
    text = sentence(physai(*here, *ask, "--permit", str(permit), cwd=tmp_path, **keys))
    assert "the permit is for the policy" in text


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
