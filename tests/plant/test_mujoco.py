"""MuJoCo carries the same arm as Bullet does, by other means."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import numpy as np
import pytest

mujoco = pytest.importorskip("mujoco")

from physai.cli import main  # noqa: E402
from physai.plant.mujoco import MujocoDynamics  # noqa: E402
from physai.robot.kinematics import Kinematics  # noqa: E402
from physai.tasks import registry  # noqa: E402
from physai.tasks.cycle import Cycle  # noqa: E402

SEED = 10_000_000


@pytest.fixture(scope="module")
def cycle() -> Iterator[Cycle]:
    made = registry.make_cycle("physai/CareFeeding-v0", plant="mujoco", guard="on")
    yield made
    made.close()


@pytest.fixture
def dynamics(cycle: Cycle) -> MujocoDynamics:
    made = cycle.plant.dynamics  # type: ignore[attr-defined]
    made.reset(cycle.task.robot.home_position)
    return made  # type: ignore[no-any-return]


def test_mass_matrix_and_links_are_those_of_our_kinematics(
    cycle: Cycle, dynamics: MujocoDynamics
) -> None:
    robot = cycle.task.robot
    kinematics = Kinematics(robot, cycle.environment.plant.base_pose)
    rng = np.random.default_rng(0)
    for _ in range(5):
        q = rng.uniform(robot.position_min, robot.position_max)
        dynamics.reset(q)
        kinematics.update(q)
        full = np.zeros((7, 7))
        for column, unit in enumerate(np.eye(7)):
            mujoco.mj_mulM(dynamics.model, dynamics.data, full[column], unit)
        np.testing.assert_allclose(full, kinematics.mass_matrix(), atol=1e-9)
        for index, body in enumerate(dynamics._bodies):
            np.testing.assert_allclose(
                dynamics.data.xpos[body], kinematics.link_position[index], atol=1e-9
            )


def test_it_holds_still_and_tracks(dynamics: MujocoDynamics, cycle: Cycle) -> None:
    home = cycle.task.robot.home_position
    dynamics.set_velocity(np.zeros(7))
    for _ in range(240):
        dynamics.step()
    dynamics.read()
    np.testing.assert_allclose(dynamics.position, home, atol=1e-4)
    # The weight is carried by the motors, not taken away.
    assert np.abs(dynamics.effort).max() > 5.0
    target = np.array([0.2, -0.1, 0.1, 0.15, -0.2, 0.1, 0.3])
    for step in range(60):
        dynamics.set_velocity(target * min(1.0, step / 12))
        dynamics.step()
    dynamics.read()
    np.testing.assert_allclose(dynamics.velocity, target, atol=0.005)


def test_the_maker_s_torque_is_all_there_is(
    dynamics: MujocoDynamics, cycle: Cycle
) -> None:
    robot = cycle.task.robot
    dynamics.set_velocity(np.full(7, 5.0))
    for _ in range(30):
        dynamics.step()
        dynamics.read()
        assert (np.abs(dynamics.effort) <= robot.effort_max * (1 + 1e-9)).all()


def test_a_push_moves_it_and_only_while_it_lasts(
    dynamics: MujocoDynamics, cycle: Cycle
) -> None:
    link = cycle.task.robot.tool_link
    dynamics.set_velocity(np.zeros(7))
    point = dynamics.data.xpos[dynamics._bodies[link]].copy()
    dynamics.apply_force(link, point, np.array([0.0, 150.0, 0.0]))
    assert np.abs(dynamics.data.qfrc_applied).max() > 1.0
    dynamics.step()
    assert not dynamics.data.qfrc_applied.any()
    dynamics.read()
    assert np.abs(dynamics.velocity).max() > 1e-4


@pytest.mark.parametrize("template", ["nominal_rest", "nominal_turn", "refuse"])
def test_the_expert_works_here_too(cycle: Cycle, template: str) -> None:
    policy = cycle.scripted_policy("expert", 0)
    observation = cycle.reset(cycle.task.sample_scenario(SEED, "test", template))
    policy.reset()
    while True:
        record = cycle.step(policy.act(observation))
        observation = cycle.observation
        if record.terminated or record.truncated:
            break
    assert record.success
    assert cycle.figures.cost == 0.0


def test_the_same_seed_is_the_same_in_another_process() -> None:
    code = (
        "import hashlib, numpy as np\n"
        "from physai.tasks import registry\n"
        "cycle = registry.make_cycle('physai/CareFeeding-v0', plant='mujoco')\n"
        "cycle.reset(cycle.task.sample_scenario(10000005, 'test', 'misuse_reach'))\n"
        "value, rng = hashlib.sha256(), np.random.default_rng(1)\n"
        "for _ in range(60):\n"
        "    record = cycle.step(rng.uniform(-1, 1, 6))\n"
        "    value.update(record.state.actuator_position.tobytes())\n"
        "    value.update(record.truth.contact.force_peak_n.tobytes())\n"
        "print(value.hexdigest())\n"
    )
    outs = {
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        ).stdout
        for _ in range(2)
    }
    assert len(outs) == 1


def test_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["run", "physai/CareFeeding-v0", "--plant", "mujoco", "--json"]
    assert main(arguments) == 0
    assert '"success": true' in capsys.readouterr().out
