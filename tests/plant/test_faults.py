from __future__ import annotations

import dataclasses
import socket
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from physai.errors import ConfigError, ContractError, LinkError, PhysaiError
from physai.evaluation.fault_matrix import answers_of
from physai.plant.command_gate import CommandGate
from physai.plant.fault_kind import FaultCourse
from physai.plant.faults import (
    FAULTS,
    FaultConfig,
    FaultInjector,
    answered_within,
    detectable,
    kind_of,
    load_faults,
)
from physai.plant.link_faults import Way
from physai.plant.ros import RosPlant, load_bridge
from physai.robot.description import load_robot
from physai.runtime.robot_server import RobotServer
from physai.tasks import registry
from physai.tasks.cycle import Cycle
from physai.types import Action, Command, State

SEED = 10_000_000
ROBOT = load_robot("franka")
MAGNITUDE = {
    "delay": 1.0,
    "bias": 0.2,
    "spike": 0.3,
    "misplaced_person": 0.5,
    "false_person": 2.0,
    "lag": 3.0,
    "stuck": 0.5,
    "runaway": 0.2,
    "clock_jump": -5.0,
    "clock_drift": 0.2,
    "stale_flush": 0.5,
    "loss": 1.0,
}
LACKING = ("lidar", "objects", "pose", "extras")
"""What the arm on a table has not; its extras are those of the face."""


def faults(start_s: float = 0.0) -> list[FaultConfig]:
    """Every kind at every place that the arm has."""
    return [
        FaultConfig.model_validate(
            {
                "kind": kind.name,
                "target": target,
                "start_s": start_s,
                "magnitude": MAGNITUDE.get(kind.name, 0.5),
            }
        )
        for kind in FAULTS
        for target in kind.targets
        if target not in LACKING
    ]


def name_of(fault: FaultConfig) -> str:
    return f"{fault.kind}-{fault.target}"


@pytest.fixture(scope="module")
def cycle() -> Iterator[Cycle]:
    made = registry.make_cycle("physai/CareFeeding-v0", guard="on")
    yield made
    made.close()


@pytest.fixture(scope="module")
def states(cycle: Cycle) -> list[State]:
    policy = cycle.scripted_policy("expert", 0)
    scenario = cycle.task.sample_scenario(SEED, "test", "nominal_turn")
    observation = cycle.reset(scenario)
    rows = [cycle.state]
    for _ in range(60):
        cycle.step(policy.act(observation))
        rows.append(cycle.state)
    return rows


def arrays(state: State) -> dict[str, np.ndarray]:
    return {
        field.name: getattr(state, field.name)
        for field in dataclasses.fields(state)
        if isinstance(getattr(state, field.name), np.ndarray)
    }


FIELDS = {
    "joints": {"actuator_position", "actuator_velocity", "actuator_age_s"},
    "people": {"people", "people_velocity", "people_age_s", "people_frame_age_s"},
    "face": {"extras", "extras_age_s"},
    "tool_force": {"tool_force_in_world_n", "tool_force_age_s"},
    "clock": {"stamp_s"},
    "command": set(),
}
OTHERS = {"stamp_s", "sequence"}
"""What a link that hands out old states may not change: the clock is the guard's."""


def changed_fields(one: State, other: State) -> set[str]:
    return {
        field.name
        for field in dataclasses.fields(State)
        if field.name != "images"
        and not np.array_equal(
            getattr(one, field.name), getattr(other, field.name), equal_nan=True
        )
    }


def play(
    fault: FaultConfig, states: list[State], seed: int = 3
) -> tuple[list[State], list[Command]]:
    """Return what guard and actuators get of an episode with one fault."""
    run = FaultInjector((fault,), seed, ROBOT)
    seen, got = [], []
    for k, state in enumerate(states):
        time_s = 0.05 * k
        seen.append(run.apply_to_state(state, time_s))
        asked = Command(np.full(7, 0.01 * (k + 1)), np.zeros(0), time_s, k + 1)
        got.append(run.apply_to_command(asked, time_s))
    return seen, got


@pytest.mark.parametrize("fault", faults(start_s=1.0), ids=name_of)
def test_a_fault_changes_its_own_from_its_start_on_and_nothing_else(
    fault: FaultConfig, states: list[State]
) -> None:
    before = [
        {f.name: np.copy(getattr(s, f.name)) for f in dataclasses.fields(State)[:-1]}
        for s in states
    ]
    seen, got = play(fault, states)
    touched: set[str] = set()
    moved = 0
    for k, (state, shown, sent) in enumerate(zip(states, seen, got, strict=True)):
        changed = changed_fields(state, shown)
        asked = np.full(7, 0.01 * (k + 1))
        other = not np.array_equal(sent.actuator_velocity, asked)
        if 0.05 * k < 1.0:
            assert not changed and not other
        touched |= changed
        moved += other
        # What really was is never touched.
        for name, value in before[k].items():
            np.testing.assert_array_equal(getattr(state, name), value)
    wants, target = kind_of(fault).acts_on, fault.target
    if wants in ("sensor", "clock"):
        assert touched and touched <= FIELDS[target] and not moved
    elif wants == "actuator":
        assert moved and not touched
    else:
        assert bool(touched) == (target in ("states", "link"))
        assert not touched & OTHERS
        # The gate lets a command that comes twice through once.
        none = target == "states" or fault.kind == "duplicate"
        assert bool(moved) == (not none)


@pytest.mark.parametrize("fault", faults(start_s=1.0), ids=name_of)
def test_the_same_seed_is_the_same_fault(
    fault: FaultConfig, states: list[State]
) -> None:
    one, other = play(fault, states), play(fault, states)
    for a, b in zip(one[0], other[0], strict=True):
        assert not changed_fields(a, b)
    for c, d in zip(one[1], other[1], strict=True):
        np.testing.assert_array_equal(c.actuator_velocity, d.actuator_velocity)


def test_a_dropped_source_ages_and_a_frozen_one_claims_to_be_fresh(
    states: list[State],
) -> None:
    drop = FaultInjector((FaultConfig(kind="drop", target="people"),), 0)
    freeze = FaultInjector((FaultConfig(kind="freeze", target="people"),), 0)
    for state in states:
        dropped = drop.apply_to_state(state, state.stamp_s)
        frozen = freeze.apply_to_state(state, state.stamp_s)
    np.testing.assert_array_equal(dropped.people, states[0].people)
    np.testing.assert_array_equal(frozen.people, states[0].people)
    gone = states[-1].stamp_s - states[0].stamp_s
    assert dropped.people_age_s[0] == pytest.approx(states[0].people_age_s[0] + gone)
    assert frozen.people_age_s[0] == states[-1].people_age_s[0]
    # Other sources go on.
    np.testing.assert_array_equal(dropped.extras, states[-1].extras)


def test_a_bias_stays_and_has_its_size(states: list[State]) -> None:
    fault = FaultConfig(kind="bias", target="people", magnitude=0.15)
    run = FaultInjector((fault,), 5)
    shifts = [
        run.apply_to_state(s, s.stamp_s).people[0, :, :3] - s.people[0, :, :3]
        for s in states
    ]
    assert np.linalg.norm(shifts[0][0]) == pytest.approx(0.15)
    np.testing.assert_allclose(np.array(shifts) - shifts[0][0], 0.0, atol=1e-12)


def test_what_is_random_follows_the_seed(states: list[State]) -> None:
    fault = FaultConfig(kind="spike", target="people", magnitude=0.3)

    def run(seed: int) -> np.ndarray:
        return np.array([state.people for state in play(fault, states, seed)[0]])

    np.testing.assert_array_equal(run(1), run(1))
    assert not np.array_equal(run(1), run(2))


def two_people(state: State) -> State:
    """The same state with somebody else half a metre to the left."""
    other = state.people + np.array([0.0, 0.5, 0.0, 0.0, 0.5, 0.0, 0.0])
    return dataclasses.replace(
        state,
        people=np.concatenate([state.people, other]),
        people_velocity=np.concatenate([state.people_velocity] * 2),
        people_age_s=np.append(state.people_age_s, 0.1),
    )


def test_a_misplaced_person_is_one_person_beside_themselves(
    states: list[State],
) -> None:
    fault = FaultConfig(kind="misplaced_person", magnitude=0.7)
    run = FaultInjector((fault,), 5)
    for state in map(two_people, states[:5]):
        moved = run.apply_to_state(state, 0.0).people - state.people
        shift = np.linalg.norm(moved[..., :3], axis=-1).max(axis=1)
        np.testing.assert_allclose(sorted(shift), [0.0, 0.7])
        np.testing.assert_allclose(moved[..., 2], 0.0, atol=1e-12)


def test_a_false_person_stands_there_and_claims_to_be_fresh(
    states: list[State],
) -> None:
    fault = FaultConfig(kind="false_person", magnitude=2.0)
    run = FaultInjector((fault,), 5)
    shown = [run.apply_to_state(state, 0.0) for state in states]
    ghost = shown[-1].people[1]
    np.testing.assert_array_equal(ghost, shown[0].people[1])
    np.testing.assert_array_equal(shown[-1].people[:1], states[-1].people)
    apart = np.linalg.norm(ghost[:, :2] - states[0].base_pose_in_world[:2], axis=-1)
    assert 1.0 < apart.mean() < 3.0
    assert 1.2 < ghost[:, 2].max() < 2.1
    assert shown[-1].people_age_s[1] == states[-1].people_frame_age_s


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_one_stuck_actuator_stays_or_goes_on(share: float, states: list[State]) -> None:
    fault = FaultConfig(kind="stuck", target="command", start_s=1.0, magnitude=share)
    _, got = play(fault, states)
    # The command before the fault was 0.01 * 20.
    assert (np.abs(got[-1].actuator_velocity - 0.2 * share) < 1e-12).sum() == 1
    assert (got[-1].actuator_velocity == 0.01 * len(states)).sum() == 6


def test_a_runaway_takes_its_share_of_the_limit_whatever_is_asked(
    states: list[State],
) -> None:
    fault = FaultConfig(kind="runaway", target="command", start_s=1.0, magnitude=0.3)
    _, got = play(fault, states)
    late = np.array([command.actuator_velocity for command in got[20:]])
    (actuator,) = np.flatnonzero(np.ptp(late, axis=0) == 0.0)
    limit = ROBOT.velocity_max[actuator]
    assert abs(late[0, actuator]) == pytest.approx(0.3 * limit)


@pytest.mark.parametrize(
    ("kind", "magnitude", "arrivals"),
    [
        # Message k is sent at second k; what is listed arrives at second k.
        ("delay", 1.5, [[], [], [0], [1], [2], [3]]),
        ("loss", 1.0, [[], [], [], [], [], []]),
        ("reorder", 1.0, [[], [1, 0], [], [3, 2], [], [5, 4]]),
        ("duplicate", 1.0, [[0], [1, 0], [2, 1], [3, 2], [4, 3], [5, 4]]),
        ("stale_flush", 3.0, [[], [], [], [0, 1, 2, 3], [4], [5]]),
        ("half_open", 0.0, [[], [], [], [], [], []]),
    ],
)
def test_how_messages_arrive(
    kind: str, magnitude: float, arrivals: list[list[int]]
) -> None:
    fault = FaultConfig.model_validate(
        {"kind": kind, "target": "command", "magnitude": magnitude}
    )
    way: Way[int] = Way([FaultCourse(fault, 0, 0)])
    got = []
    for k in range(6):
        way.send(k, float(k))
        got.append(way.receive(float(k)))
    assert got == arrivals


def test_a_link_that_reorders_loses_nothing_and_recovers() -> None:
    fault = FaultConfig(
        kind="reorder", target="command", magnitude=0.5, duration_s=50.0
    )
    way: Way[int] = Way([FaultCourse(fault, 7, 0)])
    got: list[int] = []
    for k in range(60):
        way.send(k, float(k))
        got += way.receive(float(k))
    assert sorted(got) == list(range(60))
    assert got[:50] != sorted(got[:50])
    assert got[-8:] == list(range(52, 60))


def test_the_robot_refuses_what_is_late_or_out_of_order_and_stands() -> None:
    gate = CommandGate(0.15)
    commands = [Command(np.ones(1), np.zeros(0), 0.0, k) for k in range(4)]
    assert gate.offer(commands[1], 10.0, 100.0)
    assert not gate.offer(commands[0], 9.95, 100.05)
    assert not gate.offer(commands[2], 10.05, 100.5)
    assert gate.current(100.15) is commands[1]
    assert gate.current(100.2) is None
    assert gate.offer(commands[3], 10.5, 100.5)


def test_in_simulation_a_robot_without_commands_stands(cycle: Cycle) -> None:
    fault = FaultConfig(kind="half_open", target="command", start_s=1.0)
    template = cycle.environment.template("nominal_rest")
    scenario = cycle.task.sample_scenario(
        SEED, "test", template.model_copy(update={"faults": (fault,)})
    )
    policy = cycle.scripted_policy("expert", 0)
    observation = cycle.reset(scenario)
    fastest, held = {}, []
    while cycle.state.sequence < 40:
        record = cycle.step(policy.act(observation))
        observation = cycle.observation
        assert record.truth is not None
        speed = np.abs(record.truth.state.actuator_velocity).max()
        fastest[round(record.time_s, 2)] = float(speed)
        # The guard is told nothing of it, but an arm that does not follow is held.
        if record.decision.action >= Action.STOP2:
            held.append((record.time_s, record.decision.rule))
    assert held[0][0] > 1.1 and {rule for _, rule in held} == {"following"}
    assert fastest[1.0] > 0.02
    assert max(v for t, v in fastest.items() if t > 1.4) < 1e-3


@pytest.fixture(scope="module")
def answers(cycle: Cycle) -> dict[str, float]:
    return {k: v for k, v in answers_of(cycle.spec).items() if k != "command_timeout"}


def test_what_shows_depends_on_size_place_and_specification(
    answers: dict[str, float],
) -> None:
    def shows(**values: object) -> bool:
        return detectable(FaultConfig.model_validate(values), answers)

    assert shows(kind="drop", target="joints")
    assert not shows(kind="drop", target="joints", duration_s=0.2)
    assert shows(kind="delay", target="people", magnitude=1.0)
    assert not shows(kind="delay", target="people", magnitude=0.3)
    assert shows(kind="clock_jump", target="clock", magnitude=-0.1)
    assert not shows(kind="clock_jump", target="clock", magnitude=0.1)
    assert shows(kind="missed_person")
    assert not shows(kind="bias", magnitude=5.0)
    assert shows(kind="freeze", target="people")
    assert not shows(kind="freeze", target="people", duration_s=0.2)
    assert shows(kind="clock_jump", target="clock", magnitude=5.0)
    # A rule that the specification does not have shows nothing, and once it has it,
    # the same fault is one that must be answered.
    frozen = FaultConfig(kind="freeze", target="people")
    assert not detectable(frozen, {"joint_age": 0.2})
    assert answered_within(frozen, {"frozen_source": 0.4}) == 0.4
    # When a drive that runs away shows is the policy's to say.
    runaway = FaultConfig(kind="runaway", target="command", magnitude=0.2)
    assert not detectable(runaway, {"unexpected_motion": 0.3})
    assert not detectable(FaultConfig(kind="missed_person"), {"people_age": 0.7})


SHOWN = [
    fault
    for fault in faults(start_s=1.5)
    if (
        kind_of(fault).acts_on != "actuator"
        and fault.kind
        in (
            "drop",
            "delay",
            "nan",
            "missed_person",
            "clock_jump",
            "loss",
            "half_open",
            "stale_flush",
        )
        and fault.target != "command"
    )
    or (fault.kind == "freeze" and fault.target == "people")
]
"""What the guard must answer on the arm; the next test says that these are all."""


def test_nothing_that_the_guard_must_answer_is_left_out(
    answers: dict[str, float],
) -> None:
    assert [f for f in faults(start_s=1.5) if detectable(f, answers)] == SHOWN


@pytest.mark.parametrize("fault", SHOWN, ids=name_of)
def test_the_guard_stops_for_what_an_input_can_reveal(
    fault: FaultConfig, cycle: Cycle, answers: dict[str, float]
) -> None:
    template = cycle.environment.template("nominal_rest")
    scenario = cycle.task.sample_scenario(
        SEED, "test", template.model_copy(update={"faults": (fault,)})
    )
    policy = cycle.scripted_policy("expert", 0)
    observation = cycle.reset(scenario)
    stopped = None
    while stopped is None and cycle.state.sequence < 80:
        record = cycle.step(policy.act(observation))
        observation = cycle.observation
        if record.time_s < fault.start_s:
            assert record.decision.action < Action.STOP2
        elif record.decision.action >= Action.STOP2:
            stopped = record.time_s
        if record.terminated or record.truncated:
            break
    assert stopped is not None
    assert stopped - fault.start_s <= answered_within(fault, answers) + 1e-9


def stop_over_the_bridge(fault: FaultConfig) -> tuple[float | None, str]:
    """Serve a faulty virtual robot; return when the guard stopped it, and why."""
    served = registry.make_cycle("physai/CareFeeding-v0", guard="off")
    scenario = served.task.sample_scenario(SEED, "test", "nominal_rest")
    scenario = scenario.model_copy(update={"faults": (fault,)})
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"ws://127.0.0.1:{port}"
    # The client is made first: the clock of the fault runs once the robot serves.
    client = registry.make_cycle("physai/CareFeeding-v0", plant="ros", url=url)
    hardware, arm = load_bridge("franka"), served.task.robot
    with RobotServer(served.plant, arm, hardware, scenario, 20.0, port=port) as server:
        policy = client.scripted_policy("expert", 0)
        observation = client.reset(scenario.model_copy(update={"faults": ()}))
        client.plant.arm("A. Tester")
        stopped, rule = None, ""
        while stopped is None and server.plant.step_count < 80:
            record = client.step(policy.act(observation))
            observation = client.observation
            if record.decision.action >= Action.STOP2:
                stopped = server.plant.step_count / 20.0
                rule = record.decision.rule
        client.close()
    return stopped, rule


@pytest.mark.slow
@pytest.mark.parametrize("fault", SHOWN, ids=name_of)
def test_the_guard_stops_over_the_bridge_too(
    fault: FaultConfig, answers: dict[str, float]
) -> None:
    """The same faults on a virtual robot: messages carry what reveals them."""
    for _ in range(4):
        stopped, rule = stop_over_the_bridge(fault)
        assert stopped is not None
        # The robot runs in real time: a busy machine makes a reading late, and the guard
        # rightly stops for that before the fault has begun. Only then is it run again.
        if stopped >= fault.start_s or rule != "joint_age":
            break
    assert stopped >= fault.start_s, rule
    # One more period, since the two sides do not run in step.
    budget = answered_within(fault, answers)
    assert stopped - fault.start_s <= budget + 0.05 + 1e-9


def drive_over(
    fault: FaultConfig, seconds: float
) -> tuple[RobotServer, RosPlant, list[tuple[float, float]], str]:
    """Drive a virtual robot with a faulty link, without any guard.

    Returns:
        The server, the client's plant, when which speed was reached, and what a stop
        at the end was answered with; empty if it was confirmed.
    """
    served = registry.make_cycle("physai/CareFeeding-v0", guard="off")
    scenario = served.task.sample_scenario(SEED, "test", "nominal_rest")
    scenario = scenario.model_copy(update={"faults": (fault,)})
    hardware, arm = load_bridge("franka"), served.task.robot
    with RobotServer(served.plant, arm, hardware, scenario, 20.0) as server:
        plant = RosPlant(served.environment.plant, arm, hardware, server.url)
        plant.reset(scenario.model_copy(update={"faults": ()}))
        plant.arm("A. Tester")
        speeds, refusal = [], ""
        for k in range(round(20 * seconds)):
            turn = np.zeros(7)
            turn[6] = 0.2
            plant.apply(Command(turn, np.zeros(0), 0.05 * k, k))
            plant.advance()
            truth = served.plant.truth()
            assert truth is not None
            speed = float(np.abs(truth.state.actuator_velocity).max())
            speeds.append((served.plant.time_s, speed))
        try:
            plant.stop(1)
        except LinkError as error:
            refusal = str(error)
        plant.close()
    return server, plant, speeds, refusal


@pytest.mark.slow
def test_on_a_half_open_bridge_the_robot_stands_and_no_stop_is_confirmed() -> None:
    fault = FaultConfig(kind="half_open", target="command", start_s=1.5)
    server, plant, speeds, refusal = drive_over(fault, 3.0)
    assert max(v for t, v in speeds if t < 1.4) == pytest.approx(0.2, abs=0.02)
    # 0.15 s without a command, and time to brake.
    assert max(v for t, v in speeds if t > 2.1) < 0.01
    assert plant.node.url == server.url
    assert "did not answer" in refusal
    assert server.statistics["timeouts"] == 1
    assert plant.dropped_commands == 0


@pytest.mark.slow
def test_what_a_bridge_flushes_after_an_outage_is_not_executed() -> None:
    fault = FaultConfig(
        kind="stale_flush", target="command", start_s=1.0, magnitude=0.8
    )
    server, _, speeds, refusal = drive_over(fault, 3.0)
    assert refusal == ""
    # Sixteen were queued; the last three are young enough to be executed.
    assert server.statistics["stale"] >= 10
    assert max(v for t, v in speeds if 1.5 < t < 1.7) < 0.01
    assert max(v for t, v in speeds if t > 2.4) == pytest.approx(0.2, abs=0.02)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["reorder", "duplicate"])
def test_a_bridge_that_shuffles_commands_has_none_executed_late(kind: str) -> None:
    fault = FaultConfig.model_validate(
        {"kind": kind, "target": "command", "start_s": 0.5, "magnitude": 1.0}
    )
    server, _, speeds, refusal = drive_over(fault, 2.5)
    assert refusal == ""
    assert server.statistics["stale"] >= 10
    assert server.statistics["timeouts"] == 0
    assert max(v for t, v in speeds if t > 1.0) == pytest.approx(0.2, abs=0.02)


def test_a_robot_behind_a_bridge_takes_no_faults_of_a_scenario(cycle: Cycle) -> None:
    plant = RosPlant(cycle.environment.plant, cycle.task.robot, "franka")
    scenario = cycle.task.sample_scenario(SEED, "test", "nominal_rest")
    fault = FaultConfig(kind="drop", target="people")
    with pytest.raises(ContractError, match="physai robot HARDWARE --faults FILE"):
        plant.reset(scenario.model_copy(update={"faults": (fault,)}))


@pytest.mark.parametrize("target", ["lidar", "pose", "objects"])
def test_a_fault_of_what_the_robot_lacks_is_refused(target: str, cycle: Cycle) -> None:
    fault = FaultConfig.model_validate({"kind": "drop", "target": target})
    scenario = cycle.task.sample_scenario(SEED, "test", "nominal_rest")
    with pytest.raises(ConfigError, match=f"no {target}"):
        cycle.plant.reset(scenario.model_copy(update={"faults": (fault,)}))


def test_a_file_of_faults_is_checked(tmp_path: Path) -> None:
    file = tmp_path / "faults.yaml"
    file.write_text("faults:\n  - {kind: drop, target: face, start_s: 2.0}\n")
    assert load_faults(file) == (FaultConfig(kind="drop", target="face", start_s=2.0),)
    file.write_text("faults:\n  - {kind: drop, start: 2.0}\n")
    with pytest.raises(PhysaiError, match="start_s"):
        load_faults(file)


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ({"kind": "droop"}, "drop"),
        ({"kind": "lag", "target": "people"}, "no target"),
        ({"kind": "drop", "target": "command"}, "no target"),
        ({"kind": "half_open", "target": "link"}, "no target"),
        ({"kind": "stuck", "target": "joints"}, "command"),
        ({"kind": "drop", "start_s": -1.0}, "start_s"),
        ({"kind": "drop", "strength": 1.0}, "strength"),
    ],
)
def test_a_wrong_fault_is_refused(values: dict[str, object], word: str) -> None:
    with pytest.raises(ValidationError, match=word):
        FaultConfig.model_validate(values)
