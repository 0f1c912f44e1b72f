"""The excavator against Bullet, its own URDF and figures of its class."""

from __future__ import annotations

import math
from xml.etree import ElementTree

import numpy as np
import pybullet
import pytest

from physai.robot.description import load_robot, rotation_from_rpy
from physai.robot.kinematics import Kinematics

ROBOT = load_robot("excavator")
LINKS = ROBOT.tree.link_names


@pytest.fixture(scope="module")
def bullet(tmp_path_factory):
    file = tmp_path_factory.mktemp("urdf") / "excavator.urdf"
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
    bucket, inside = LINKS.index("bucket"), np.array([0.9, 0.2, 0.3])
    rng = np.random.default_rng(0)
    for q in rng.uniform(ROBOT.position_min, ROBOT.position_max, (20, 4)):
        for joint, value in enumerate(q):
            pybullet.resetJointState(body, joint, value, physicsClientId=client)
        kinematics.update(q)
        for name, i in index.items():
            state = pybullet.getLinkState(
                body, i, computeForwardKinematics=True, physicsClientId=client
            )
            link = LINKS.index(name)
            np.testing.assert_allclose(
                kinematics.link_position[link], state[4], atol=1e-5
            )
            rotation = np.reshape(pybullet.getMatrixFromQuaternion(state[5]), (3, 3))
            np.testing.assert_allclose(
                kinematics.link_rotation[link], rotation, atol=1e-6
            )
        linear, angular = pybullet.calculateJacobian(
            body,
            index["bucket"],
            list(inside),
            list(q),
            [0.0] * 4,
            [0.0] * 4,
            physicsClientId=client,
        )
        point = (
            kinematics.link_position[bucket] + kinematics.link_rotation[bucket] @ inside
        )
        np.testing.assert_allclose(
            kinematics.jacobian(bucket, point), np.vstack([linear, angular]), atol=1e-9
        )
        mass = pybullet.calculateMassMatrix(body, list(q), physicsClientId=client)
        np.testing.assert_allclose(kinematics.mass_matrix(), mass, rtol=1e-6, atol=1e-3)


def test_the_edge_frame_looks_as_the_soil_expects():
    """x out over the edge along the plate, z into the bucket; the mouth at 50 deg."""
    kinematics = Kinematics(ROBOT)
    # Boom level, arm upright, bucket straight on: its mouth faces the machine.
    kinematics.update(np.array([0.0, 0.0, 0.5 * math.pi, 0.0]))
    x, z = kinematics.tool_rotation[:, 0], kinematics.tool_rotation[:, 2]
    dip = math.degrees(math.atan2(-x[2], -x[0]))
    assert dip == pytest.approx(90.0 - 50.0)
    mouth = x * math.sin(math.radians(50.0)) + z * math.cos(math.radians(50.0))
    np.testing.assert_allclose(mouth, [-1.0, 0.0, 0.0], atol=1e-9)
    np.testing.assert_allclose(
        kinematics.tool_position, [0.14 + 4.6, -0.164, 1.424 - 2.519 - 1.23], atol=1e-9
    )


def test_size_and_mass_are_those_of_the_class():
    total = float(ROBOT.tree.mass.sum())
    assert 12_000 < total < 14_600  # Cat 313, ZX120, PC130 (robots.csv)
    kinematics = Kinematics(ROBOT)
    depths, reaches = [], []
    for boom in np.linspace(ROBOT.position_min[1], ROBOT.position_max[1], 40):
        for arm in np.linspace(ROBOT.position_min[2], ROBOT.position_max[2], 40):
            kinematics.update(np.array([0.0, boom, arm, 0.0]))
            x, _, z = kinematics.tool_position
            depths.append(-z)
            reaches.append(x if abs(z) < 0.2 else 0.0)
    # Cat 313 GC digs 6.04 m deep (tabulated); the class reaches about 8 m at ground.
    assert max(depths) == pytest.approx(6.04, rel=0.1)
    assert 7.3 < max(reaches) < 8.6


def test_torques_give_the_digging_forces_of_the_class():
    """65 kN by the arm and 95 kN by the bucket at the edge; boom holds all it reaches."""
    kinematics = Kinematics(ROBOT)
    q = np.array([0.0, -0.2, 1.2, 0.6])
    kinematics.update(q)
    bucket = ROBOT.effort_max[3] / 1.23
    assert bucket == pytest.approx(95e3, rel=0.01)
    arm_joint = kinematics.link_position[LINKS.index("arm")]
    reach = float(np.linalg.norm(kinematics.tool_position - arm_joint))
    assert ROBOT.effort_max[2] / reach == pytest.approx(65e3, rel=0.1)
    kinematics.update(np.array([0.0, 0.0, 0.5236, 0.0]))
    moment = 0.0
    for link in range(1, len(LINKS)):
        if LINKS[link] in ("boom", "arm", "bucket"):
            center = (
                kinematics.link_position[link]
                + kinematics.link_rotation[link] @ ROBOT.tree.center_of_mass[link]
            )
            moment += ROBOT.tree.mass[link] * 9.81 * (center[0] - 0.14)
    moment += 0.5 * 1200.0 * 9.81 * 7.0  # a heaped load at full reach
    assert moment < 0.8 * ROBOT.effort_max[1]


def test_jerk_is_acceleration_within_the_valve_delay():
    np.testing.assert_allclose(ROBOT.jerk_max, ROBOT.acceleration_max / 0.15, rtol=0.01)


def test_inertias_are_possible_and_of_the_noted_boxes():
    for link, inertia in zip(LINKS, ROBOT.tree.inertia, strict=True):
        a, b, c = np.linalg.eigvalsh(inertia)
        assert 0.0 < a <= b <= c <= a + b + 1e-12, link
    boom = ROBOT.tree.inertia[LINKS.index("boom")]
    assert boom[1, 1] == pytest.approx(1000.0 / 12.0 * (4.7**2 + 0.6**2), rel=1e-5)


def boxes(link: ElementTree.Element):
    """Points on a grid through every box of a link's picture."""
    for visual in link.findall("visual"):
        origin = visual.find("origin")
        center = np.array([float(v) for v in origin.get("xyz").split()])
        rotation = rotation_from_rpy(*[float(v) for v in origin.get("rpy").split()])
        size = visual.find("geometry/box").get("size").split()
        half = 0.5 * np.array([float(v) for v in size])
        for share in np.ndindex(9, 9, 9):
            yield center + rotation @ (half * (np.array(share) / 4.0 - 1.0))


def test_capsules_enclose_what_is_seen_and_are_what_collides():
    for link in ElementTree.parse(ROBOT.urdf).getroot().findall("link"):
        name = link.get("name")
        rows = ROBOT.shapes.local[ROBOT.shapes.link == LINKS.index(name)]
        for point in boxes(link):
            a, b = rows[:, :3], rows[:, 3:6]
            t = ((point - a) * (b - a)).sum(1) / ((b - a) ** 2).sum(1)
            axis = a + np.clip(t, 0.0, 1.0)[:, None] * (b - a)
            gap = np.linalg.norm(point - axis, axis=1) - rows[:, 6]
            assert gap.min() <= 1e-9, (name, point)
        collisions = link.findall("collision")
        assert len(collisions) == len(rows)
        for collision, row in zip(collisions, rows, strict=True):
            capsule = collision.find("geometry/capsule")
            origin = collision.find("origin")
            rotation = rotation_from_rpy(*[float(v) for v in origin.get("rpy").split()])
            center = np.array([float(v) for v in origin.get("xyz").split()])
            half = 0.5 * float(capsule.get("length")) * rotation[:, 2]
            np.testing.assert_allclose(center - half, row[:3], atol=1e-5)
            np.testing.assert_allclose(center + half, row[3:6], atol=1e-5)
            assert float(capsule.get("radius")) == pytest.approx(row[6])
