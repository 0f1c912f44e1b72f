"""Boxes that move, in Bullet, against laws and independent numbers."""

from __future__ import annotations

import math

import numpy as np
import pytest

from physai.config import parse
from physai.errors import ConfigError
from physai.plant.bullet import BulletDynamics
from physai.plant.dynamics import ObjectStart
from physai.plant.scene import ObjectConfig, SceneConfig
from physai.plant.suction import Grip
from physai.robot.description import load_robot
from physai.robot.kinematics import Kinematics

ROBOT = load_robot("palletizer")
BASE = np.array([0.0, 0.0, 0.6, 0.0, 0.0, 0.0, 1.0])
STEP = 1.0 / 240.0
FLOOR = {
    "name": "floor",
    "center_m": [3.0, 0.0, -0.05],
    "size_m": [4.0, 4.0, 0.1],
    "friction": 0.4,
}
OBJECTS = tuple(
    parse(ObjectConfig, value, "object")
    for value in (
        {"name": "a", "kind": "box", "size_m": [0.4, 0.3, 0.2]},
        {"name": "b", "kind": "box", "size_m": [0.4, 0.3, 0.2]},
        {"name": "c", "kind": "box", "size_m": [0.4, 0.3, 0.2]},
        {
            "name": "d",
            "kind": "odd",
            "size_m": [0.4, 0.3, 0.2],
            "com_offset_m": [0.1, 0.0, 0.0],
        },
    )
)


@pytest.fixture(scope="module")
def dynamics():
    scene = parse(SceneConfig, {"boxes": [FLOOR]}, "scene")
    made = BulletDynamics(ROBOT, BASE, scene, STEP, None, OBJECTS)
    made.reset(ROBOT.home_position)
    yield made
    made.close()


def at(x, y, z, mass=5.0, friction=0.4, tilt=0.0):
    s, c = math.sin(0.5 * tilt), math.cos(0.5 * tilt)
    return ObjectStart(np.array([x, y, z, 0.0, s, 0.0, c]), mass, friction)


def run(dynamics, seconds):
    dynamics.step(round(seconds / STEP))
    dynamics.objects.read()
    return dynamics.objects


def test_free_fall_does_not_depend_on_mass(dynamics):
    world = dynamics.objects
    world.reset({0: at(3, 0, 3.0, mass=1.0), 1: at(3, 1, 3.0, mass=20.0)})
    n = 96
    run(dynamics, n * STEP)
    # Semi-implicit Euler: n (n + 1) / 2 steps of g dt^2, g t^2 / 2 and a little.
    fallen = 9.81 * STEP * STEP * n * (n + 1) / 2
    assert fallen == pytest.approx(0.5 * 9.81 * (n * STEP) ** 2, rel=0.02)
    np.testing.assert_allclose(world.pose[:2, 2], 3.0 - fallen, atol=1e-3)
    np.testing.assert_allclose(world.velocity[:2, 2], -9.81 * n * STEP, rtol=1e-3)


@pytest.mark.parametrize(("share", "slides"), [(0.9, False), (1.1, True)])
def test_a_box_slides_where_the_slope_leaves_the_friction_cone(dynamics, share, slides):
    mu = 0.4
    angle = share * math.atan(mu)
    world = dynamics.objects
    try:
        dynamics.set_gravity(9.81 * np.array([math.sin(angle), 0.0, -math.cos(angle)]))
        world.reset({0: at(2, 0, 0.1, friction=mu)})
        run(dynamics, 1.0)
    finally:
        dynamics.set_gravity(np.array([0.0, 0.0, -9.81]))
    way = world.pose[0, 0] - 2.0
    expected = 0.5 * 9.81 * (math.sin(angle) - mu * math.cos(angle))
    if slides:
        assert way == pytest.approx(expected, rel=0.1)
    else:
        assert abs(way) < 2e-3


def test_a_straight_stack_stands_still(dynamics):
    world = dynamics.objects
    world.reset({k: at(3, 0, 0.1 + 0.2 * k) for k in range(3)})
    run(dynamics, 5.0)
    expected = np.array([[3.0, 0.0, 0.1 + 0.2 * k] for k in range(3)])
    np.testing.assert_allclose(world.pose[:3, :3], expected, atol=2e-3)


@pytest.mark.parametrize(("overhang", "topples"), [(0.19, False), (0.21, True)])
def test_an_overhanging_box_topples_at_half_of_its_length(dynamics, overhang, topples):
    world = dynamics.objects
    world.reset({0: at(3, 0, 0.1, mass=20.0), 1: at(3 + overhang, 0, 0.3)})
    run(dynamics, 3.0)
    assert (world.pose[1, 2] < 0.25) == topples


@pytest.mark.parametrize(("overhang", "topples"), [(0.09, False), (0.11, True)])
def test_a_centre_of_mass_off_the_middle_moves_that_limit(dynamics, overhang, topples):
    world = dynamics.objects
    world.reset({0: at(3, 0, 0.1, mass=20.0), 3: at(3 + overhang, 0, 0.3)})
    np.testing.assert_allclose(world.pose[3, :3], [3 + overhang, 0, 0.3], atol=1e-9)
    run(dynamics, 3.0)
    assert (world.pose[3, 2] < 0.25) == topples


def test_a_tilted_box_falls_over_beyond_its_diagonal(dynamics):
    world = dynamics.objects
    limit = math.atan(0.4 / 0.2)
    for share in (0.93, 1.07):
        tilt = share * limit
        # Standing on its lower edge: middle above it by half of the diagonal.
        half = 0.5 * math.hypot(0.4, 0.2)
        z = half * math.sin(math.atan2(0.2, 0.4) + tilt)
        world.reset({0: at(3, 0, z, friction=1.0, tilt=tilt)})
        run(dynamics, 3.0)
        upright = abs(world.pose[0, 2] - 0.2) < 0.01
        assert upright == (share > 1.0)


def test_what_is_parked_is_out_of_the_way_and_comes_back(dynamics):
    world = dynamics.objects
    world.reset({0: at(3, 0, 0.1)})
    run(dynamics, 0.5)
    assert (world.mass > 0).tolist() == [True, False, False, False]
    assert (world.pose[1:, 2] < -10.0).all()
    # A box falls through the place where a parked one was.
    world.reset({1: at(3, 0, 0.5)})
    run(dynamics, 1.0)
    assert world.pose[1, 2] == pytest.approx(0.1, abs=1e-3)
    assert world.pose[0, 2] < -10.0


def test_a_reset_forgets_everything(dynamics):
    def trajectory():
        dynamics.reset(ROBOT.home_position)
        dynamics.objects.reset(
            {0: at(3, 0, 0.1), 1: at(3.15, 0.02, 0.31), 2: at(3.1, 0, 0.7, tilt=0.2)}
        )
        return run(dynamics, 2.0).pose.copy()

    first = trajectory()
    dynamics.objects.reset({0: at(3, 1, 0.1, mass=9.0, friction=0.1), 2: at(3, 0, 2.0)})
    run(dynamics, 4.0)  # long enough for the engine to put boxes to sleep
    np.testing.assert_array_equal(trajectory(), first)


@pytest.fixture
def held(dynamics):
    """A box of 6 kg on the cups, held still, and the kinematics there."""
    kinematics = Kinematics(ROBOT, BASE)
    dynamics.reset(ROBOT.home_position)
    kinematics.update(ROBOT.home_position)
    x, y, z = kinematics.tool_position.tolist()
    world = dynamics.objects
    world.reset({0: at(x, y, z - 0.1, mass=6.0)})
    dynamics.set_velocity(np.zeros(6))
    world.attach(0, ROBOT.tool_link, kinematics.tool_rotation, grip(100.0))
    run(dynamics, 0.5)
    yield dynamics, kinematics
    world.reset({})
    dynamics.reset(ROBOT.home_position)


def grip(cup_force_n):
    return Grip(cup_force_n, 0.09, 0.06, 0.5, 0.01)


def test_the_gripper_feels_the_weight(held):
    dynamics, _ = held
    world = dynamics.objects
    assert world.attached == 0
    np.testing.assert_allclose(
        world.load, [0.0, 0.0, 6.0 * 9.81, 0.0, 0.0, 0.0], atol=0.3
    )
    world.begin_period()
    run(dynamics, 0.05)
    assert world.margin == pytest.approx(4 * 100.0 / (6.0 * 9.81), rel=0.02)


@pytest.mark.parametrize(("share", "holds"), [(1.04, True), (0.96, False)])
def test_it_lets_go_of_m_g_at_the_formula(held, share, holds):
    dynamics, _ = held
    world = dynamics.objects
    world.set_grip(grip(share * 6.0 * 9.81 / 4.0))
    run(dynamics, 0.3)
    assert (world.attached == 0) == holds
    assert world.broken != holds
    fallen = world.pose[0, 2] < 0.85
    assert fallen != holds


@pytest.mark.parametrize(("share", "holds"), [(1.06, True), (0.92, False)])
def test_it_lets_go_of_m_g_plus_a_at_the_formula(held, share, holds):
    """The joint under the shoulder lifts the case with a known acceleration."""
    dynamics, kinematics = held
    world, lift = dynamics.objects, 2.0
    wanted = np.array([0.0, 0.0, lift, 0.0, 0.0, 0.0])
    world.set_grip(grip(share * 6.0 * (9.81 + lift) / 4.0))
    for k in range(36):
        dynamics.read()
        kinematics.update(dynamics.position)
        joints = np.linalg.solve(kinematics.tool_jacobian(), wanted)
        dynamics.set_velocity(joints * (k + 1) * STEP)
        dynamics.step(1)
    assert (world.attached == 0) == holds


def test_a_pull_off_the_middle_peels(dynamics):
    """A centre of mass 0.1 m off the middle: t = N / 4 + N 0.1 / (4 a_x)."""
    kinematics = Kinematics(ROBOT, BASE)
    dynamics.reset(ROBOT.home_position)
    kinematics.update(ROBOT.home_position)
    x, y, z = kinematics.tool_position.tolist()
    world = dynamics.objects
    world.reset({3: at(x, y, z - 0.1, mass=4.0)})
    dynamics.set_velocity(np.zeros(6))
    world.attach(3, ROBOT.tool_link, kinematics.tool_rotation, grip(200.0))
    run(dynamics, 0.5)
    world.begin_period()
    run(dynamics, 0.05)
    weight = 4.0 * 9.81
    tension = 0.25 * (weight + weight * 0.1 / 0.09)
    assert world.margin == pytest.approx(200.0 / tension, rel=0.02)
    world.reset({})


def test_a_centre_of_mass_outside_is_refused():
    value = {"name": "x", "kind": "x", "size_m": [0.4, 0.3, 0.2]}
    with pytest.raises(ConfigError, match="outside"):
        parse(ObjectConfig, {**value, "com_offset_m": [0.3, 0.0, 0.0]}, "object")
