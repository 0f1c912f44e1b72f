"""Kinematics against Bullet, finite differences and the textbook."""

import numpy as np
import pybullet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from physai.errors import ConfigError, ContentError
from physai.robot.description import load_robot
from physai.robot.kinematics import (
    Kinematics,
    quaternion_from_rotation,
    rotation_from_quaternion,
)

ROBOT = load_robot("franka")


@pytest.fixture(scope="module")
def bullet(tmp_path_factory):
    file = tmp_path_factory.mktemp("urdf") / "franka.urdf"
    file.write_text(ROBOT.urdf_text({}, visuals=False))
    client = pybullet.connect(pybullet.DIRECT)
    body = pybullet.loadURDF(
        str(file),
        useFixedBase=True,
        flags=pybullet.URDF_USE_INERTIA_FROM_FILE,
        physicsClientId=client,
    )
    yield client, body
    pybullet.disconnect(client)


def link_indices(client, body):
    count = pybullet.getNumJoints(body, physicsClientId=client)
    return {
        pybullet.getJointInfo(body, i, physicsClientId=client)[12].decode(): i
        for i in range(count)
    }


def postures(count, seed=0):
    rng = np.random.default_rng(seed)
    return rng.uniform(ROBOT.position_min, ROBOT.position_max, (count, 7))


def test_every_link_pose_jacobian_and_mass_matrix_equal_bullets(bullet):
    client, body = bullet
    kinematics = Kinematics(ROBOT)
    spoon = ROBOT.tree.link_names.index("spoon")
    indices = link_indices(client, body)
    for q in postures(20):
        for joint, value in enumerate(q):
            pybullet.resetJointState(body, joint, value, physicsClientId=client)
        kinematics.update(q)
        for name, index in indices.items():
            state = pybullet.getLinkState(
                body, index, computeForwardKinematics=True, physicsClientId=client
            )
            link = ROBOT.tree.link_names.index(name)
            np.testing.assert_allclose(
                kinematics.link_position[link], state[4], atol=1e-6
            )
            rotation = np.reshape(pybullet.getMatrixFromQuaternion(state[5]), (3, 3))
            np.testing.assert_allclose(
                kinematics.link_rotation[link], rotation, atol=1e-6
            )
        linear, angular = pybullet.calculateJacobian(
            body,
            indices["spoon"],
            [0.1, 0, 0.02],
            list(q),
            [0] * 7,
            [0] * 7,
            physicsClientId=client,
        )
        point = kinematics.link_position[spoon] + kinematics.link_rotation[
            spoon
        ] @ np.array([0.1, 0, 0.02])
        np.testing.assert_allclose(
            kinematics.jacobian(spoon, point), np.vstack([linear, angular]), atol=1e-9
        )
        mass = pybullet.calculateMassMatrix(body, list(q), physicsClientId=client)
        np.testing.assert_allclose(kinematics.mass_matrix(), mass, atol=1e-8)


def test_capsule_velocity_equals_the_finite_difference():
    kinematics = Kinematics(ROBOT)
    rng = np.random.default_rng(1)
    for q in postures(10, seed=2):
        velocity, dt = rng.normal(size=7), 1e-6
        kinematics.update(q - velocity * dt)
        before = kinematics.capsules().copy()
        kinematics.update(q + velocity * dt)
        after = kinematics.capsules().copy()
        kinematics.update(q)
        kinematics.capsules()
        np.testing.assert_allclose(
            kinematics.capsule_velocity(velocity),
            (after - before)[:, :6] / (2 * dt),
            atol=1e-6,
        )


def test_capsules_enclose_the_collision_meshes_of_the_arm():
    from pathlib import Path

    import pybullet_data

    folder = Path(pybullet_data.getDataPath()) / "franka_panda/meshes/collision"
    for name in ["link1", "link2", "link3", "link4", "link5", "link6", "link7", "hand"]:
        lines = (folder / f"{name}.obj").read_text().splitlines()
        points = np.array(
            [line.split()[1:4] for line in lines if line.startswith("v ")], dtype=float
        )
        capsule = ROBOT.shapes.local[ROBOT.shapes.names.index(name)]
        a, b, radius = capsule[:3], capsule[3:6], capsule[6]
        t = np.clip((points - a) @ (b - a) / ((b - a) @ (b - a)), 0, 1)
        distance = np.linalg.norm(points - (a + t[:, None] * (b - a)), axis=1)
        assert distance.max() <= radius + 1.5e-3, name


def test_reflected_mass_is_the_mass_that_an_impulse_feels():
    kinematics = Kinematics(ROBOT)
    kinematics.update(ROBOT.home_position)
    normal = np.array([1.0, 0.0, 0.0])
    point = kinematics.tool_position.copy()
    mass = kinematics.reflected_mass(ROBOT.shapes.names.index("hand"), point, normal)
    hand = int(ROBOT.shapes.link[ROBOT.shapes.names.index("hand")])
    row = normal @ kinematics.jacobian(hand, point)[:3]
    change = np.linalg.solve(kinematics.mass_matrix(), row * 2.0)
    assert row @ change == pytest.approx(2.0 / mass)
    assert 1.0 < mass < ROBOT.moving_mass_kg


def test_solve_position_reaches_poses_within_limits():
    kinematics = Kinematics(ROBOT)
    rng = np.random.default_rng(3)
    for _ in range(10):
        target = ROBOT.home_position + rng.uniform(-0.3, 0.3, 7)
        kinematics.update(target)
        position = kinematics.tool_position.copy()
        rotation = kinematics.tool_rotation.copy()
        q, error = kinematics.solve_position(position, rotation, ROBOT.home_position)
        assert error < 1e-4
        assert (q >= ROBOT.position_min).all() and (q <= ROBOT.position_max).all()


@settings(max_examples=200, deadline=None)
@given(st.lists(st.floats(-1, 1), min_size=4, max_size=4))
def test_quaternion_and_rotation_are_inverse(values):
    quaternion = np.array(values)
    if np.linalg.norm(quaternion) < 1e-2:
        return
    quaternion /= np.linalg.norm(quaternion)
    rotation, back = np.empty((3, 3)), np.empty(4)
    rotation_from_quaternion(quaternion, rotation)
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-12)
    quaternion_from_rotation(rotation, back)
    assert abs(abs(back @ quaternion) - 1.0) < 1e-9


def test_base_pose_moves_everything():
    kinematics = Kinematics(ROBOT)
    before = kinematics.tool_position.copy()
    moved = Kinematics(ROBOT, np.array([1.0, 2.0, 0.5, 0.0, 0.0, 1.0, 0.0]))
    np.testing.assert_allclose(
        moved.tool_position, [1.0 - before[0], 2.0 - before[1], 0.5 + before[2]]
    )


def copy_robot(tmp_path, change):
    text = (ROBOT.folder / "robot.yaml").read_text()
    (tmp_path / "robot.yaml").write_text(change(text))
    (tmp_path / "franka.urdf").write_text(ROBOT.urdf.read_text())
    return tmp_path


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("joint: panda_joint3", "joint: panda_joint33", "no joint"),
        ("velocity_max_rad_s: 2.61", "velocity_max_rad_s: 3.0", "differs"),
        ("velocity_max_rad_s", "velocity_max", "velocity_max_rad_s"),
        ("link: panda_link4", "link: panda_link44", "did you mean"),
        ("home_position_rad: [0.0, ", "home_position_rad: [", "6 numbers"),
        ("radius_m: 0.077", "radius_m: -0.077", "greater than 0"),
    ],
)
def test_a_wrong_robot_is_refused_in_one_sentence(tmp_path, old, new, words):
    folder = copy_robot(tmp_path, lambda text: text.replace(old, new, 1))
    with pytest.raises(ConfigError) as caught:
        load_robot(str(folder))
    assert words in str(caught.value) and "robot.yaml" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_unknown_robot_names_the_known_ones():
    with pytest.raises(ContentError, match="franka"):
        load_robot("frankka")


def test_the_digest_changes_with_any_number(tmp_path):
    folder = copy_robot(
        tmp_path, lambda t: t.replace("mass_kg: 0.018", "mass_kg: 0.019")
    )
    assert load_robot(str(folder)).digest != ROBOT.digest
