from __future__ import annotations

import dataclasses
import socket
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from physai.errors import PhysaiError
from physai.plant.faults import (
    FAULTS,
    FaultConfig,
    FaultInjector,
    detectable,
    load_faults,
)
from physai.plant.ros import load_bridge
from physai.runtime.robot_server import RobotServer
from physai.tasks import registry
from physai.tasks.cycle import Cycle
from physai.types import Action, Command, State

SEED = 10_000_000
MAGNITUDE = {"delay": 1.0, "bias": 0.2, "spike": 0.3, "clock_jump": -5.0, "loss": 0.5}
TARGETS = ("joints", "people", "face", "tool_force")


def faults(start_s: float = 0.0) -> list[FaultConfig]:
    found = []
    for kind, (_, wants, _) in FAULTS.items():
        targets = ("people",) if kind == "missed_person" else TARGETS
        if wants != "state":
            targets = (wants,)
        for target in targets:
            magnitude = MAGNITUDE.get(kind, 0.5)
            if kind == "lag":
                magnitude = 3.0
            found.append(
                FaultConfig.model_validate(
                    {
                        "kind": kind,
                        "target": target,
                        "start_s": start_s,
                        "magnitude": magnitude,
                    }
                )
            )
    return found


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


@pytest.mark.parametrize("fault", faults(start_s=1.0), ids=name_of)
def test_before_its_time_a_fault_changes_nothing_and_then_something(
    fault: FaultConfig, states: list[State]
) -> None:
    run = FaultInjector((fault,), 3)
    sent = [
        Command(np.full(7, 0.1 * k), np.zeros(0), s.stamp_s, k)
        for k, s in enumerate(states)
    ]
    changed = 0
    for state, command in zip(states, sent, strict=True):
        before = {name: value.copy() for name, value in arrays(state).items()}
        seen = run.apply_to_state(state, state.stamp_s)
        got = run.apply_to_command(command, state.stamp_s)
        if state.stamp_s < 1.0:
            assert seen is state
            assert got is command
        else:
            changed += seen is not state or got is not command
        # What really was is never touched.
        for name, value in before.items():
            np.testing.assert_array_equal(getattr(state, name), value)
    assert changed > 0


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


def test_the_same_seed_is_the_same_fault(states: list[State]) -> None:
    fault = FaultConfig(kind="spike", target="people", magnitude=0.3)

    def run(seed: int) -> np.ndarray:
        injector = FaultInjector((fault,), seed)
        return np.array([injector.apply_to_state(s, s.stamp_s).people for s in states])

    np.testing.assert_array_equal(run(1), run(1))
    assert not np.array_equal(run(1), run(2))


RULES = {
    "joints": ("joint_age",),
    "people": ("people_age", "people_missing"),
    "face": ("face_age", "interface_age"),
    "tool_force": ("tool_force_age",),
}
DETECTABLE = [f for f in faults(start_s=1.5) if detectable(f)]


def budget_s(fault: FaultConfig, cycle: Cycle) -> float:
    """How long the specification lets a fault go unanswered.

    What is silent or late shows when the age of the source passes its limit; what is
    missing, impossible or runs backwards shows at once. Two periods are added: one until
    the next state, one for the decision.
    """
    periods = 2.0 / cycle.environment.control_hz
    if fault.kind not in ("drop", "delay"):
        return periods
    rules = {rule.id: rule for rule in cycle.spec.config.rules}
    limits = [
        rules[name].limit.value + rules[name].window.hold_s
        for name in RULES[fault.target]
        if name in rules and name != "people_missing"
    ]
    return max(limits) + periods


@pytest.mark.parametrize("fault", DETECTABLE, ids=name_of)
def test_the_guard_stops_for_what_an_input_can_reveal(
    fault: FaultConfig, cycle: Cycle
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
    assert stopped - fault.start_s <= budget_s(fault, cycle) + 1e-9


@pytest.mark.slow
@pytest.mark.parametrize("fault", DETECTABLE, ids=name_of)
def test_the_guard_stops_over_the_bridge_too(fault: FaultConfig, cycle: Cycle) -> None:
    """The same faults on a virtual robot: messages carry what reveals them."""
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
        observation = client.reset(scenario)
        client.plant.arm("A. Tester")
        stopped = None
        while stopped is None and server.plant.step_count < 80:
            record = client.step(policy.act(observation))
            observation = client.observation
            if record.decision.action >= Action.STOP2:
                stopped = server.plant.step_count / 20.0
        client.close()
    assert stopped is not None
    assert stopped >= fault.start_s
    # One more period, since the two sides do not run in step.
    assert stopped - fault.start_s <= budget_s(fault, cycle) + 0.05 + 1e-9


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
        ({"kind": "drop", "start_s": -1.0}, "start_s"),
        ({"kind": "drop", "strength": 1.0}, "strength"),
    ],
)
def test_a_wrong_fault_is_refused(values: dict[str, object], word: str) -> None:
    with pytest.raises(ValidationError, match=word):
        FaultConfig.model_validate(values)
