"""The palletising arm against Bullet, its own URDF and figures of its class."""

from __future__ import annotations

from xml.etree import ElementTree

import numpy as np
import pybullet
import pytest

from physai.robot.description import load_robot, rotation_from_rpy
from physai.robot.kinematics import Kinematics

ROBOT = load_robot("palletizer")
LINKS = ROBOT.tree.link_names


@pytest.fixture(scope="module")
def bullet(tmp_path_factory):
    file = tmp_path_factory.mktemp("urdf") / "palletizer.urdf"
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


def test_every_link_pose_jacobian_and_mass_matrix_equal_bullets(bullet):
    client, body = bullet
    kinematics = Kinematics(ROBOT)
    index = {
        pybullet.getJointInfo(body, i, physicsClientId=client)[12].decode(): i
        for i in range(pybullet.getNumJoints(body, physicsClientId=client))
    }
    inside = np.array([0.05, 0.02, 0.1])
    gripper = LINKS.index("gripper")
    rng = np.random.default_rng(0)
    movable = [
        i
        for i in range(pybullet.getNumJoints(body, physicsClientId=client))
        if pybullet.getJointInfo(body, i, physicsClientId=client)[2]
        == pybullet.JOINT_REVOLUTE
    ]
    for q in rng.uniform(ROBOT.position_min, ROBOT.position_max, (20, 6)):
        for joint, value in zip(movable, q, strict=True):
            pybullet.resetJointState(body, joint, value, physicsClientId=client)
        kinematics.update(q)
        for name, i in index.items():
            state = pybullet.getLinkState(
                body, i, computeForwardKinematics=True, physicsClientId=client
            )
            link = LINKS.index(name)
            np.testing.assert_allclose(
                kinematics.link_position[link], state[4], atol=1e-6
            )
            rotation = np.reshape(pybullet.getMatrixFromQuaternion(state[5]), (3, 3))
            np.testing.assert_allclose(
                kinematics.link_rotation[link], rotation, atol=1e-6
            )
        linear, angular = pybullet.calculateJacobian(
            body,
            index["gripper"],
            list(inside),
            list(q),
            [0.0] * 6,
            [0.0] * 6,
            physicsClientId=client,
        )
        point = (
            kinematics.link_position[gripper]
            + kinematics.link_rotation[gripper] @ inside
        )
        np.testing.assert_allclose(
            kinematics.jacobian(gripper, point), np.vstack([linear, angular]), atol=1e-7
        )
        mass = pybullet.calculateMassMatrix(body, list(q), physicsClientId=client)
        np.testing.assert_allclose(kinematics.mass_matrix(), mass, atol=1e-6)


def test_size_and_mass_are_those_of_the_class():
    # 29.1 kg of moving links (robots.csv, sum of the description's) and the gripper.
    assert ROBOT.moving_mass_kg == pytest.approx(29.1 + 0.9, abs=0.05)
    kinematics = Kinematics(ROBOT)
    # Stretched out: 0.613 + 0.571 m to the first wrist, 0.120 m beyond by the second.
    kinematics.update(np.zeros(6))
    wrist = kinematics.link_position[LINKS.index("wrist_2_link")]
    shoulder = kinematics.link_position[LINKS.index("upper_arm_link")]
    assert wrist[0] - shoulder[0] == pytest.approx(0.613 + 0.571)
    assert wrist[1] == pytest.approx(0.174)  # d4


def test_the_tool_looks_straight_down_at_home():
    kinematics = Kinematics(ROBOT)
    kinematics.update(ROBOT.home_position)
    np.testing.assert_allclose(
        kinematics.tool_rotation, np.diag([1.0, -1.0, -1.0]), atol=1e-3
    )


def test_the_shoulder_holds_the_heaviest_case_where_it_is_carried():
    """10 kg and the gripper at 0.83 m, static; 330 N m by the maker."""
    kinematics = Kinematics(ROBOT)
    down = np.diag([1.0, -1.0, -1.0])
    q, error = kinematics.solve_position(
        np.array([0.83, 0.0, 0.2]), down, ROBOT.home_position
    )
    assert error < 1e-3
    kinematics.update(q)
    moment = 10.0 * 9.81 * kinematics.tool_position[0]
    for link in range(2, len(LINKS)):
        center = (
            kinematics.link_position[link]
            + kinematics.link_rotation[link] @ ROBOT.tree.center_of_mass[link]
        )
        moment += ROBOT.tree.mass[link] * 9.81 * center[0]
    assert moment < 0.8 * ROBOT.effort_max[1]


def test_inertias_are_possible():
    for link, inertia in zip(LINKS, ROBOT.tree.inertia, strict=True):
        a, b, c = np.linalg.eigvalsh(inertia)
        assert 0.0 < a <= b <= c <= a + b + 1e-12, link


def cylinder(visual: ElementTree.Element):
    """Points on the rims of a picture's cylinder or on the corners of its box."""
    origin = visual.find("origin")
    center = np.array([float(v) for v in origin.get("xyz").split()])
    rotation = rotation_from_rpy(*[float(v) for v in origin.get("rpy").split()])
    box = visual.find("geometry/box")
    if box is not None:
        half = 0.5 * np.array([float(v) for v in box.get("size").split()])
        for corner in np.ndindex(2, 2, 2):
            yield center + rotation @ (half * (2.0 * np.array(corner) - 1.0))
        return
    shape = visual.find("geometry/cylinder")
    radius, half = float(shape.get("radius")), 0.5 * float(shape.get("length"))
    for angle in np.linspace(0.0, 2.0 * np.pi, 24):
        for z in (-half, 0.0, half):
            local = np.array([radius * np.cos(angle), radius * np.sin(angle), z])
            yield center + rotation @ local


def test_capsules_enclose_what_is_seen():
    for link in ElementTree.parse(ROBOT.urdf).getroot().findall("link"):
        name = link.get("name")
        rows = ROBOT.shapes.local[ROBOT.shapes.link == LINKS.index(name)]
        if name == "base_link":
            continue  # it does not move
        for visual in link.findall("visual"):
            for point in cylinder(visual):
                a, b = rows[:, :3], rows[:, 3:6]
                t = ((point - a) * (b - a)).sum(1) / ((b - a) ** 2).sum(1)
                axis = a + np.clip(t, 0.0, 1.0)[:, None] * (b - a)
                gap = np.linalg.norm(point - axis, axis=1) - rows[:, 6]
                assert gap.min() <= 1e-6, (name, point)


def test_what_collides_is_what_is_measured_but_for_the_cups():
    names = [n for n in ROBOT.shapes.names if n != "cups"]
    collisions = 0
    for link in ElementTree.parse(ROBOT.urdf).getroot().findall("link"):
        for collision in link.findall("collision"):
            if link.get("name") == "base_link":
                continue
            capsule, origin = (
                collision.find("geometry/capsule"),
                collision.find("origin"),
            )
            rotation = rotation_from_rpy(*[float(v) for v in origin.get("rpy").split()])
            center = np.array([float(v) for v in origin.get("xyz").split()])
            half = 0.5 * float(capsule.get("length")) * rotation[:, 2]
            row = ROBOT.shapes.local[ROBOT.shapes.names.index(names[collisions])]
            np.testing.assert_allclose(center - half, row[:3], atol=1e-5)
            np.testing.assert_allclose(center + half, row[3:6], atol=1e-5)
            assert float(capsule.get("radius")) == pytest.approx(row[6])
            collisions += 1
    assert collisions == len(names)
