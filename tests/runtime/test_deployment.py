"""A policy on a virtual robot over a real websocket."""

import json
import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import websockets.sync.server

from physai.errors import LinkError, RefusedError
from physai.plant import messages
from physai.plant.bridge import Node
from physai.plant.ros import RosPlant, load_bridge
from physai.record.ledger import read_ledger, verify_ledger
from physai.runtime.robot_server import RobotServer
from physai.runtime.session import deploy
from physai.runtime.watchdog import Watchdog
from physai.tasks import registry
from physai.types import Command

ENVIRONMENT = "physai/CareFeeding-v0"


@pytest.fixture(scope="module")
def robot():
    """A virtual robot in a process of its own."""
    process = subprocess.Popen(
        [sys.executable, "-m", "physai", "robot", "franka", "--port", "0"],
        stdout=subprocess.PIPE,
        text=True,
    )
    url = next(
        word.strip(",;")
        for line in process.stdout
        for word in line.split()
        if word.startswith("ws://")
    )
    yield url
    process.terminate()
    process.wait(10)


def status(node, hardware):
    client = node.create_client(
        hardware.status_service.type, hardware.status_service.name
    )
    return json.loads(client.call({})["message"])


def reset_stop(url):
    hardware = load_bridge("franka")
    with Node("operator", url, hardware.allowed()) as node:
        node.create_client(
            hardware.reset_service.type, hardware.reset_service.name
        ).call({})


def deploy_in_time(url, out, **arguments):
    """Deploy; again if this machine was too busy for the loop, which then ends itself."""
    for attempt in range(5):
        reset_stop(url)
        result = deploy(
            "expert", "franka", url=url, out=out / str(attempt), **arguments
        )
        if result["ended"] != "period overrun":
            break
    return result, out / str(attempt)


def test_shadow_sends_nothing_and_full_moves_and_stops(robot, tmp_path):
    hardware = load_bridge("franka")
    shadow, _ = deploy_in_time(
        robot, tmp_path / "shadow", stage="shadow", duration_s=1.0
    )
    assert shadow["steps"] == 20 and shadow["robot"]["commands"] == 0
    full, folder = deploy_in_time(
        robot, tmp_path / "full", stage="full", person="Hanako", duration_s=3.0
    )
    assert full["steps"] == 60 and full["robot"]["commands"] >= 55
    assert full["robot"]["stale"] == 0 and full["stop_confirmed"]
    # Nothing measures the food on a real robot: unknown is not a failure.
    assert full["success"] is None
    assert verify_ledger(folder / "ledger.jsonl", {}).ok
    with Node("operator", robot, hardware.allowed()) as node:
        time.sleep(0.5)
        answer = status(node, hardware)
        assert answer["stopped"] and not answer["moving"]


def test_a_session_without_a_person_is_refused(robot, tmp_path):
    with pytest.raises(RefusedError, match="person"):
        deploy("expert", "franka", url=robot, stage="full", out=tmp_path)


def test_a_killed_session_leaves_a_stopped_robot_and_a_ledger_that_verifies(
    robot, tmp_path
):
    reset_stop(robot)
    hardware = load_bridge("franka")
    session = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "physai",
            "deploy",
            "expert",
            "--hardware",
            "franka",
            "--url",
            robot,
            "--approved-by",
            "Hanako",
            "--out",
            str(tmp_path),
            "--duration",
            "60",
        ],
        stdout=subprocess.DEVNULL,
    )
    with Node("observer", robot, hardware.allowed()) as node:
        deadline = time.monotonic() + 60
        while not status(node, hardware)["moving"]:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        time.sleep(1.0)
        os.kill(session.pid, signal.SIGKILL)
        session.wait()
        start = time.monotonic()
        while status(node, hardware)["moving"]:
            assert time.monotonic() - start < 1.0, (
                "its own watchdog must stop the robot"
            )
            time.sleep(0.01)
        assert status(node, hardware)["timeouts"] >= 1
    report = verify_ledger(tmp_path / "ledger.jsonl", {})
    assert report.ok and report.entries >= 2


def test_the_watchdog_lets_a_healthy_session_be_and_stops_a_silent_one(plants):
    """It listens on a link of its own, so the bridge must deliver commands to it."""
    server, plant, _ = plants
    dog = Watchdog(load_bridge("franka"), server.url)
    watching = threading.Thread(target=dog.watch, args=(4.0,))
    watching.start()
    plant.arm("Hanako")
    for k in range(30):
        plant.apply(command(k + 1, 0.2))
        plant.advance()
    assert server.largest_speed > 0.1
    assert dog.stops == []
    # Motion goes on, commands do not: the robot's own time-out is kept out of the way.
    server.gate.timeout_s = 5.0
    watching.join()
    assert dog.stops == ["moving without commands"]
    assert server.stopped
    dog.close()


def test_a_watchdog_that_never_hears_of_the_robot_says_so():
    hardware = load_bridge("franka").model_copy(update={"state_timeout_s": 0.2})
    silent = websockets.sync.server.serve(
        lambda connection: [None for _ in connection], "127.0.0.1", 0
    )
    thread = threading.Thread(target=silent.serve_forever, daemon=True)
    thread.start()
    url = f"ws://127.0.0.1:{silent.socket.getsockname()[1]}"
    dog = Watchdog(hardware, url)
    try:
        time.sleep(0.8)
        assert dog.reason() == "nothing heard of the robot"
    finally:
        dog.close()
        silent.shutdown()


def test_the_watchdog_stops_a_robot_that_moves_without_commands(robot):
    """The watchdog is its own process and loads no policy code."""
    code = (
        "import sys, physai.runtime.watchdog; "
        "bad = [m for m in sys.modules if m.startswith('physai.policy') or m == 'torch']; "
        "sys.exit(', '.join(bad) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    dog = Watchdog(load_bridge("franka"), robot)
    time.sleep(0.5)
    assert dog.reason() == ""
    dog._speed = 0.5
    assert dog.reason() == "moving without commands"
    dog.close()


@pytest.fixture
def plants():
    """A robot server and a client in this process."""
    environment = registry.load_environment(ENVIRONMENT)
    cycle = registry.make_cycle(environment, guard="off")
    hardware = load_bridge("franka")
    scenario = cycle.task.sample_scenario(
        environment.distributions["test"].seeds.first, "test"
    )
    with RobotServer(cycle.plant, cycle.task.robot, hardware, scenario, 20.0) as server:
        plant = RosPlant(environment.plant, cycle.task.robot, hardware, server.url)
        plant.reset(scenario)
        yield server, plant, scenario
        plant.close()


def command(sequence, speed=0.05):
    return Command(np.full(7, speed), np.zeros(0), 0.0, sequence)


def test_nothing_is_sent_before_a_person_arms(plants):
    server, plant, _ = plants
    sent = plant.apply(command(1))
    assert not sent.actuator_velocity.any()
    time.sleep(0.2)
    assert server.statistics["commands"] == 0
    plant.arm("Hanako")
    assert plant.apply(command(2)).actuator_velocity.any()
    time.sleep(0.2)
    assert server.statistics["commands"] == 1


def test_old_and_repeated_commands_are_not_executed(plants):
    server, plant, _ = plants
    plant.arm("Hanako")
    plant.apply(command(5))
    assert not plant.apply(command(5)).actuator_velocity.any()
    hardware = plant.hardware
    stale = messages.command_message(
        Command(np.full(7, 0.5), np.zeros(0), -0.9, 6), plant.joints
    )
    plant.node.send({"op": "publish", "topic": hardware.command.name, "msg": stale})
    time.sleep(0.2)
    assert server.statistics["stale"] == 1


def test_commands_that_were_held_up_are_refused_also_after_a_long_outage(plants):
    """What a client queued during an outage arrives at once, the oldest first."""
    server, plant, _ = plants
    plant.arm("Hanako")
    plant.apply(command(1))
    time.sleep(2.0)
    taken, now = server.statistics["commands"], time.time()
    for k in range(20):
        old = Command(np.full(7, 0.5), np.zeros(0), now - 1.9 + 0.05 * k, 2 + k)
        held_up = messages.command_message(old, plant.joints)
        plant.node.send(
            {"op": "publish", "topic": plant.hardware.command.name, "msg": held_up}
        )
    time.sleep(0.3)
    assert server.statistics["stale"] == 20
    assert server.statistics["commands"] == taken
    # A new session on the same clock is heard at once.
    plant.apply(command(30))
    time.sleep(0.2)
    assert server.statistics["commands"] == taken + 1


def test_a_joint_state_without_a_stamp_has_no_known_age(plants):
    _, plant, _ = plants
    message = messages.joint_message(
        plant.joints, np.zeros(7), np.zeros(7), np.zeros(7), 0.0
    )
    with pytest.raises(LinkError, match="no time stamp"):
        plant._on_joints(message)
    assert plant.read().actuator_age_s == np.inf


def test_the_stop_that_ends_a_session_is_in_its_ledger(robot, tmp_path):
    """A latched stop is the last step; its entry must not be lost with it."""
    reset_stop(robot)
    code = "import numpy as np\n\ndef act(o): return np.full(6, np.nan)\n"
    code += "class P:\n    reset = lambda s: None\n    act = lambda s, o: act(o)\n"
    code += "def make(env): return P()\n"
    (tmp_path / "not_a_number.py").write_text(code)
    sys.path.insert(0, str(tmp_path))
    try:
        result = deploy(
            "not_a_number:make", "franka", url=robot, person="Hanako", out=tmp_path
        )
    finally:
        sys.path.remove(str(tmp_path))
    assert result["ended"] == "latched stop"
    stops = [e for e in read_ledger(tmp_path / "ledger.jsonl") if e.kind == "stop"]
    assert [entry.facts["rule"] for entry in stops] == ["input_integrity"]
    assert result["stop_confirmed"]


def test_a_second_session_keeps_the_episode_and_report_of_the_first(robot, tmp_path):
    for _ in range(2):
        deploy(
            "expert",
            "franka",
            url=robot,
            stage="shadow",
            duration_s=0.5,
            out=tmp_path,
        )
    kept = {path.name for path in tmp_path.iterdir()}
    sessions = [
        entry
        for entry in read_ledger(tmp_path / "ledger.jsonl")
        if entry.kind == "deployment"
    ]
    assert {entry.facts["episode"] for entry in sessions} <= kept
    assert len(sessions) == 2
    assert {"deploy.json", f"deploy_{sessions[0].sequence:04d}.json"} <= kept
    # Strict JSON: what was never measured is null.
    json.loads((tmp_path / "deploy.json").read_text(), parse_constant=pytest.fail)


def test_a_malformed_command_is_counted_and_not_executed(plants):
    server, plant, _ = plants
    for data in ([1, 2, 3], [None] * 9, "text", [float(i) for i in range(20)]):
        plant.node.send(
            {
                "op": "publish",
                "topic": plant.hardware.command.name,
                "msg": {"data": data},
            }
        )
    plant.node.send(
        {"op": "publish", "topic": plant.hardware.command.name, "msg": None}
    )
    time.sleep(0.3)
    assert server.statistics["rejected"] == 5 and server.statistics["commands"] == 0


def test_a_stop_holds_until_a_person_resets_it(plants):
    server, plant, _ = plants
    plant.arm("Hanako")
    plant.stop(1)
    time.sleep(0.2)
    plant.arm("Hanako")
    plant.apply(command(9))
    time.sleep(0.3)
    assert server.stopped and plant.stopped
    assert np.abs(plant.read().actuator_velocity).max() < 0.02


def test_a_lost_link_disarms_and_ages_grow():
    environment = registry.load_environment(ENVIRONMENT)
    cycle = registry.make_cycle(environment, guard="off")
    hardware = load_bridge("franka")
    scenario = cycle.task.sample_scenario(
        environment.distributions["test"].seeds.first, "test"
    )
    server = RobotServer(
        cycle.plant, cycle.task.robot, hardware, scenario, 20.0
    ).start()
    plant = RosPlant(environment.plant, cycle.task.robot, hardware, server.url)
    plant.reset(scenario)
    plant.arm("Hanako")
    assert plant.apply(command(1)).actuator_velocity.any()
    server.close()
    time.sleep(0.7)
    assert plant.read().actuator_age_s > 0.5
    assert not plant.apply(command(2)).actuator_velocity.any()
    assert not plant.armed
    plant.close()


def test_the_allow_list_is_enforced(plants):
    _, plant, _ = plants
    with pytest.raises(RefusedError, match="allow-list"):
        plant.node.create_publisher("std_msgs/String", "/somewhere_else")


def test_addresses_that_are_none_are_refused():
    with pytest.raises(LinkError, match="ws://"):
        Node("x", "http://127.0.0.1:1")
    with pytest.raises(RefusedError, match="wss"):
        Node("x", "ws://10.0.0.1:9090")


def test_a_permit_must_allow_what_is_asked(tmp_path):
    from physai import content
    from physai.governance.stage import issue_permit
    from physai.policy.bundle import read_bundle
    from physai.record.permit import save_permit
    from physai.record.signature import create_key

    bundle = read_bundle(content.find("policies", "care_feeding"))
    permit = issue_permit(bundle, "franka", "shadow", [], "A. Assessor")
    key = create_key("stranger", tmp_path / "keys")
    file = save_permit(permit, tmp_path / "permit.json", key)
    # Nobody at this site trusts the key for permits, so it never gets to the robot.
    with pytest.raises(RefusedError, match="permit"):
        deploy(
            "care_feeding",
            "franka",
            url="ws://127.0.0.1:9",
            stage="shadow",
            out=tmp_path / "out",
            permit=file,
        )
