"""A scenario that cannot be is refused before its first step, in one sentence."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from physai.config import parse
from physai.errors import PhysaiError
from physai.plant.placement import reach_of
from physai.plant.scenario import Scenario
from physai.robot.description import load_robot
from physai.robot.kinematics import Kinematics
from physai.tasks import registry
from physai.tasks.cycle import Cycle

PERSON, SEAT = ("people", 0), ("people", 0, "seat", "position_m")


def way(x: float, y: float) -> dict[str, Any]:
    return {"position_m": [x, y, 0], "yaw_rad": 0.0, "waypoints_m": [[x, y], [x, 9.0]]}


WRONG: list[tuple[str, tuple[str | int, ...], Any, str]] = [
    ("CareFeeding", SEAT, [0.15, 0.0, 0.4], "people.0: the .* inside the robot"),
    ("CareFeeding", SEAT, [3.0, 0.0, 0.4], "out of reach: .* reaches"),
    ("CareFeeding", ("robot_position_rad",), [9.0] * 7, "panda_joint1 starts at 9"),
    ("CareFeeding", ("robot_position_rad",), [0.0] * 6, "6 joint positions"),
    ("CareFeeding", (*PERSON, "mass_kg"), -70.0, "mass_kg: .* greater than"),
    ("CareFeeding", (*PERSON, "behaviours"), [{"kind": "jump"}], "valid: block_way"),
    ("CareFeeding", ("payload_kg",), -1.0, "payload_kg: .* greater than"),
    ("LogisticsCrossing", (*PERSON, "path"), way(-10.8, 0.0), "inside the robot"),
    ("LogisticsCrossing", ("values", "drop_x_m"), 500.0, "off the ground"),
    ("LogisticsCrossing", ("base", "position_m"), [-10.8, 3.0, 0.0], "inside \"rack"),
    ("LogisticsCrossing", ("friction_scale",), -1.0, "friction_scale"),
    ("CareNightRound", (*PERSON, "path"), way(-3.84, -0.41), "inside the robot"),
    ("CareNightRound", ("base", "position_m"), [-3.0, 1.4, 0.0], "inside \"wall_north"),
    ("ConstructionHaul", ("base", "position_m"), [500.0, 0.0, 0.0], "off the ground"),
    ("ConstructionHaul", ("payload_kg",), 1e6, "10000 kg"),
    ("ConstructionTrench", (*PERSON, "path"), way(0.5, 0.0), "inside the robot"),
    ("ConstructionTrench", ("values", "trench_distance_m"), 30.0, "ground's map"),
    ("LogisticsPalletize", SEAT, [0.1, 0.0, 0.4], "inside the robot"),
]  # fmt: skip


@pytest.fixture(scope="module")
def cycles() -> Iterator[dict[str, Cycle]]:
    made = {
        name: registry.make_cycle(f"physai/{name}-v0", guard="on")
        for name in {row[0] for row in WRONG}
    }
    yield made
    for cycle in made.values():
        cycle.close()


@pytest.mark.parametrize(("name", "key", "value", "words"), WRONG)
def test_what_cannot_be_is_refused(
    cycles: dict[str, Cycle],
    name: str,
    key: tuple[str | int, ...],
    value: Any,
    words: str,
) -> None:
    cycle = cycles[name]
    first = cycle.environment.distributions["test"].seeds.first
    good = cycle.task.sample_scenario(first, "test")
    for k in range(20):
        if good.people or key[0] != "people":
            break
        good = cycle.task.sample_scenario(first + k, "test")
    values = good.model_dump(mode="json")
    inner: Any = values
    for part in key[:-1]:
        inner = inner[part]
    inner[key[-1]] = value
    with pytest.raises(PhysaiError, match=words) as caught:
        cycle.reset(parse(Scenario, values, "scenario"))
    assert "\n" not in str(caught.value)
    # Nothing is broken by it: the good scenario runs.
    cycle.reset(good)
    cycle.step(np.zeros(len(cycle.spaces.action_names)))


@pytest.mark.parametrize("name", ["franka", "palletizer", "excavator"])
def test_no_posture_gets_farther_than_the_reach(name: str) -> None:
    robot = load_robot(name)
    kinematics = Kinematics(robot)
    rng = np.random.default_rng(0)
    away = []
    for _ in range(3000):
        kinematics.update(rng.uniform(robot.position_min, robot.position_max))
        away.append(np.linalg.norm(kinematics.tool_position))
    assert max(away) <= reach_of(robot) + 1e-9
    assert max(away) >= 0.5 * reach_of(robot)
