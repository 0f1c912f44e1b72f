"""Robots that drive: base columns, energy, content."""

from xml.etree import ElementTree

import numpy as np
import pytest

from physai.errors import ConfigError
from physai.robot.description import load_robot, rotation_from_rpy
from physai.robot.kinematics import Kinematics, quaternion_from_rotation

NAMES = ["truck", "crawler_dump", "mobile_manipulator"]
ROBOTS = {name: load_robot(name) for name in NAMES}


def posture(robot, rng):
    """A random tilted base pose and joint positions inside their ranges."""
    first = len(robot.actuator_names) - len(robot.joint_names)
    q = np.zeros(len(robot.actuator_names))
    q[first:] = rng.uniform(robot.position_min[first:], robot.position_max[first:])
    pose = np.zeros(7)
    pose[:3] = rng.normal(size=3)
    rotation = rotation_from_rpy(*rng.uniform([-0.3, -0.3, -3.0], [0.3, 0.3, 3.0]))
    quaternion_from_rotation(rotation, pose[3:])
    return q, pose, rotation


def drive(pose, rotation, linear, angular, dt):
    """Pose after dt of forward speed and yaw rate in the base's own frame."""
    turn = rotation_from_rpy(0.0, 0.0, angular * dt)
    middle = rotation_from_rpy(0.0, 0.0, 0.5 * angular * dt)
    new = pose.copy()
    new[:3] += rotation @ middle[:, 0] * linear * dt
    quaternion_from_rotation(rotation @ turn, new[3:])
    return new


@pytest.mark.parametrize("name", NAMES)
def test_jacobian_and_capsule_velocity_equal_finite_differences(name):
    robot, rng, dt = ROBOTS[name], np.random.default_rng(0), 1e-6
    k = Kinematics(robot)
    for _ in range(10):
        q, pose, rotation = posture(robot, rng)
        velocity = rng.normal(size=len(q))
        sides = []
        for sign in (-0.5, 0.5):
            k.set_base(drive(pose, rotation, velocity[0], velocity[1], sign * dt))
            moved = q.copy()
            moved[2:] += sign * dt * velocity[2:]
            k.update(moved)
            sides.append((k.tool_position.copy(), k.capsules()[:, :6].copy()))
        k.set_base(pose)
        k.update(q)
        k.capsules()
        expected = (sides[1][0] - sides[0][0]) / dt
        np.testing.assert_allclose(
            (k.tool_jacobian() @ velocity)[:3], expected, atol=1e-7 / dt * 1e-2
        )
        np.testing.assert_allclose(
            k.capsule_velocity(velocity), (sides[1][1] - sides[0][1]) / dt, atol=1e-3
        )


@pytest.mark.parametrize("name", NAMES)
def test_base_columns_are_those_of_the_definition(name):
    robot, rng = ROBOTS[name], np.random.default_rng(1)
    assert robot.actuator_names[:2] == ("base_linear", "base_angular")
    q, pose, rotation = posture(robot, rng)
    k = Kinematics(robot)
    k.set_base(pose)
    k.update(q)
    point = rng.normal(size=3)
    for link in range(len(robot.tree.parent)):
        jacobian = k.jacobian(link, point)
        np.testing.assert_allclose(jacobian[:3, 0], rotation[:, 0], atol=1e-12)
        np.testing.assert_array_equal(jacobian[3:, 0], 0.0)
        z = rotation[:, 2]
        np.testing.assert_allclose(
            jacobian[:3, 1], np.cross(z, point - pose[:3]), atol=1e-12
        )
        np.testing.assert_allclose(jacobian[3:, 1], z, atol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_mass_matrix_gives_the_kinetic_energy_of_all_links(name):
    robot, rng = ROBOTS[name], np.random.default_rng(2)
    tree, k = robot.tree, Kinematics(robot)
    for _ in range(5):
        q, pose, _ = posture(robot, rng)
        velocity = rng.normal(size=len(q))
        k.set_base(pose)
        k.update(q)
        energy = 0.0
        for link in range(len(tree.parent)):
            rotation = k.link_rotation[link]
            center = k.link_position[link] + rotation @ tree.center_of_mass[link]
            twist = k.jacobian(link, center) @ velocity
            inertia = rotation @ tree.inertia[link] @ rotation.T
            energy += 0.5 * tree.mass[link] * twist[:3] @ twist[:3]
            energy += 0.5 * twist[3:] @ inertia @ twist[3:]
        mass = k.mass_matrix()
        assert 0.5 * velocity @ mass @ velocity == pytest.approx(energy, rel=1e-12)
        assert mass[0, 0] == pytest.approx(tree.mass.sum())
    assert robot.moving_mass_kg == pytest.approx(tree.mass.sum())


def test_solving_for_a_tool_pose_leaves_the_base_alone():
    robot = ROBOTS["mobile_manipulator"]
    k = Kinematics(robot, np.array([1.0, 2.0, 0.0, 0.0, 0.0, 0.6, 0.8]))
    start = robot.home_position
    k.update(start)
    goal, turn = k.tool_position + np.array([0.05, -0.08, 0.1]), k.tool_rotation.copy()
    q, error = k.solve_position(goal, turn, start)
    assert error < 1e-3
    np.testing.assert_array_equal(q[:2], 0.0)


def test_a_bolted_arm_computes_as_without_bases():
    """The columns of a fixed robot, bit by bit, by the formula that knows no base."""
    robot = load_robot("franka")
    k, tree, rng = Kinematics(robot), robot.tree, np.random.default_rng(3)
    assert k.link_axis.shape == (len(tree.parent), 3) and tree.actuator[0] == -1
    for _ in range(20):
        q = rng.uniform(robot.position_min, robot.position_max)
        k.update(q)
        point = k.tool_position
        expected, link = np.zeros((6, 7)), robot.tool_link
        while link > 0:
            a = tree.actuator[link]
            if a >= 0:
                (u, v, w), (x, y, z) = k.link_axis[link], point - k.link_position[link]
                expected[:, a] = v * z - w * y, w * x - u * z, u * y - v * x, u, v, w
            link = tree.parent[link]
        assert k.tool_jacobian().tobytes() == expected.tobytes()


@pytest.mark.parametrize("name", NAMES)
def test_capsules_enclose_the_boxes_of_the_body(name):
    robot, steps = ROBOTS[name], np.linspace(-0.5, 0.5, 9)
    grid = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(-1, 3)
    surface = grid[np.abs(grid).max(axis=1) == 0.5]
    for link in ElementTree.parse(robot.urdf).getroot().findall("link"):
        for collision in link.findall("collision"):
            box = collision.find("geometry/box")
            if box is None:
                continue
            size = np.array(box.get("size").split(), dtype=float)
            center = np.array(collision.find("origin").get("xyz").split(), dtype=float)
            points = center + surface * size
            nearest = np.full(len(points), np.inf)
            index = robot.tree.link_names.index(link.get("name"))
            for capsule in robot.shapes.local[robot.shapes.link == index]:
                a, b = capsule[:3], capsule[3:6]
                along = (b - a) / max((b - a) @ (b - a), 1e-12)
                t = np.clip((points - a) @ along, 0.0, 1.0)
                gap = np.linalg.norm(points - a - t[:, None] * (b - a), axis=1)
                nearest = np.minimum(nearest, gap - capsule[6])
            assert nearest.max() <= 2e-3, (link.get("name"), center, nearest.max())


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("angle_max_rad: 1.309", "angle_max_rad: 1.2", "permits no"),
        ("kind: steered", "kind: differential", "steering"),
        ("ground: epoxy_wet", "ground: epoxy_dry", "twice"),
        ("link: load\n", "link: lod\n", "did you mean"),
        ("role: driven, position_m: [0.0, -0.457]", "role: caster, position_m: [0.0, -0.457]", "left and right"),
        ("force_max_n: 9000.0", "force_max_n: 0.0", "greater than 0"),
    ],
)  # fmt: skip
def test_a_wrong_base_is_refused_in_one_sentence(tmp_path, old, new, words):
    source = ROBOTS["truck"].folder
    text = (source / "robot.yaml").read_text()
    assert old in text
    (tmp_path / "robot.yaml").write_text(text.replace(old, new, 1))
    (tmp_path / "truck.urdf").write_text((source / "truck.urdf").read_text())
    with pytest.raises(ConfigError) as caught:
        load_robot(str(tmp_path))
    assert words in str(caught.value) and "\n" not in str(caught.value)
