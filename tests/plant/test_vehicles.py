"""Robots that drive, in Bullet, against independent numbers.

Every vehicle stands in a world of its own with its ground; a slope is tilted gravity.
"""

import math
from functools import lru_cache

import numpy as np
import pybullet
import pytest
from scipy.optimize import brentq

from physai.errors import ConfigError, ContractError
from physai.plant.bullet import BulletDynamics
from physai.plant.dynamics import BaseStart
from physai.plant.ground import Ground, GroundConfig
from physai.plant.scene import SceneConfig
from physai.robot.description import load_robot

G, HZ = 9.81, 240
ORIGIN = np.array([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0])
GROUND = {
    "truck": "epoxy_dry",
    "crawler_dump": "firm_earth",
    "mobile_manipulator": "epoxy_dry",
}
LEVEL = np.array([0.0, 0.0, -G])


@lru_cache(maxsize=8)
def world(name, material=None):
    return build(name, {"material": material or GROUND[name]})


def build(name, ground, **heights):
    robot = load_robot(name)
    assert robot.base is not None
    surface = Ground(GroundConfig(**ground), robot.base, **heights)
    return BulletDynamics(robot, ORIGIN, SceneConfig(), 1.0 / HZ, surface), robot


def start(name, material=None, lift=None, **base):
    """A world at its start on level ground."""
    dynamics, robot = world(name, material)
    position = robot.home_position.copy()
    if lift is not None:
        position[2] = lift
    dynamics.set_gravity(LEVEL)
    dynamics.reset(position, BaseStart(**base))
    return dynamics, robot


def run(dynamics, seconds, linear=0.0, angular=0.0):
    """Hold a command; rows: forward speed, yaw rate, x, y, z of the base."""
    target = np.zeros(len(dynamics.position))
    target[:2] = linear, angular
    dynamics.set_velocity(target)
    rows = []
    for _ in range(round(seconds * HZ)):
        dynamics.step()
        dynamics.read()
        rows.append([*dynamics.velocity[:2], *dynamics.base_pose[:3]])
    return np.array(rows)


def tilted(angle, heading):
    """Gravity of a slope of an angle that falls toward a heading of the base."""
    s = math.sin(angle)
    return G * np.array(
        [s * math.cos(heading), s * math.sin(heading), -math.cos(angle)]
    )


def travelled(rows):
    return float(np.hypot(*(rows[-1, 2:4] - rows[0, 2:4])))


def pitch_deg(dynamics):
    x, y, z, w = dynamics.base_pose[3:]
    return math.degrees(math.asin(2.0 * (w * y - z * x)))


# The engine's set-up


def test_a_base_in_the_air_falls_freely():
    dynamics, _ = world("crawler_dump")
    pose = np.array([0.0, 0.0, 50.0, 0.0, 0.0, 0.0, 1.0])
    dynamics.reset(np.zeros(3), BaseStart(pose=pose, settle=False))
    rows = run(dynamics, 2.0)
    assert 50.0 - rows[-1, 4] == pytest.approx(0.5 * G * 4.0, rel=0.005)
    assert np.abs(rows[:, 2:4]).max() < 1e-9


PENDULUM = """
<robot name="pendulum">
  <link name="stand"><inertial><mass value="1"/>
    <inertia ixx="1" iyy="1" izz="1" ixy="0" ixz="0" iyz="0"/></inertial></link>
  <link name="bob"><inertial><origin xyz="0 0 -0.5"/><mass value="2"/>
    <inertia ixx="0.1" iyy="0.1" izz="0.1" ixy="0" ixz="0" iyz="0"/></inertial></link>
  <joint name="hinge" type="revolute"><parent link="stand"/><child link="bob"/>
    <axis xyz="0 1 0"/><limit lower="-3" upper="3" velocity="9" effort="1e-9"/>
  </joint>
</robot>
"""
PENDULUM_YAML = """
name: pendulum
title: Pendulum
kind: arm
urdf: pendulum.urdf
licence: own
limits_source: test
actuators:
  - {joint: hinge, position_min_rad: -3.0, position_max_rad: 3.0,
     velocity_max_rad_s: 9.0, acceleration_max_rad_s2: 9.0, jerk_max_rad_s3: 9.0,
     torque_max_n_m: 1.0e-9}
home_position_rad: [0.1]
brakes: {kind: none}
tool: {name: bob, link: bob, frame: bob, safe_state: hold, mass_kg: 0.0}
shapes:
  - {name: bob, link: bob, from_m: [0, 0, 0], to_m: [0, 0, 0.1], radius_m: 0.1,
     edge_radius_m: 0.1, minimum_area_cm2: 1.0}
"""


def test_a_pendulum_has_its_period(tmp_path):
    (tmp_path / "pendulum.urdf").write_text(PENDULUM)
    (tmp_path / "robot.yaml").write_text(PENDULUM_YAML)
    robot = load_robot(str(tmp_path))
    dynamics = BulletDynamics(robot, ORIGIN, SceneConfig(), 1.0 / HZ)
    dynamics.reset(np.array([0.1]))
    seen = []
    for _ in range(20 * HZ):
        dynamics.step()
        dynamics.read()
        seen.append(float(dynamics.position[0]))
    dynamics.close()
    angle = np.array(seen)
    i = np.flatnonzero((angle[:-1] > 0.0) & (angle[1:] <= 0.0))
    crossing = (i + angle[i] / (angle[i] - angle[i + 1])) / HZ
    inertia = 0.1 + 2.0 * 0.5**2
    period = 2.0 * math.pi * math.sqrt(inertia / (2.0 * G * 0.5))
    assert np.diff(crossing).mean() == pytest.approx(
        period * (1.0 + 0.1**2 / 16.0), rel=1e-3
    )
    assert angle.max() == pytest.approx(0.1, rel=0.02), "no friction that nobody asked"


# Standing


@pytest.mark.parametrize(
    ("load", "front", "rear"), [(0, 1489, 1817), (2000, 4676, 630)]
)
def test_axle_loads_are_those_of_the_makers_sheet(load, front, rear):
    dynamics, _ = start("truck", lift=0.0, payload_kg=load)
    at_once = dynamics.wheel_load.copy()
    run(dynamics, 1.0)
    np.testing.assert_allclose(dynamics.wheel_load, at_once, rtol=0.005)
    kilograms = dynamics.wheel_load / G
    assert kilograms[:2].sum() == pytest.approx(front, rel=0.003)
    # The springs tilt the laden truck by 6 mrad, its centre of mass by 2 mm.
    assert kilograms[2] == pytest.approx(rear, rel=0.01)


@pytest.mark.parametrize("heading_deg", [0, 90, 180])
@pytest.mark.parametrize("name", list(GROUND))
def test_it_stands_still_on_ten_degrees(name, heading_deg):
    dynamics, _ = start(name, payload_kg=load_robot(name).payload.mass_max_kg)
    dynamics.set_gravity(tilted(math.radians(10.0), math.radians(heading_deg)))
    run(dynamics, 2.0)
    before = dynamics.base_pose.copy()
    run(dynamics, 10.0)
    assert np.abs(dynamics.base_pose - before).max() < 1e-4
    assert dynamics.wheel_load.min() >= 0.0


def test_a_reset_forgets_everything():
    dynamics, _ = start("truck")

    def digest():
        start("truck", payload_kg=500.0, friction_scale=0.5, linear_m_s=1.0)
        return run(dynamics, 1.0, 2.0, 0.4).tobytes()

    first = digest()
    start("truck", payload_kg=2000.0, linear_m_s=3.0)
    run(dynamics, 1.0, -1.0, 0.3)
    assert digest() == first
    start("truck")
    assert dynamics.position[:2].tolist() == [0.0, 0.0]


# Driving


@pytest.mark.parametrize(
    ("name", "linear", "angular"),
    [
        ("truck", 2.0, 0.0),
        ("truck", 1.5, 0.5),
        ("truck", -1.0, 0.4),
        ("crawler_dump", 2.0, 0.0),
        ("crawler_dump", 0.0, 0.4),
        ("crawler_dump", -1.0, 0.2),
        ("mobile_manipulator", 0.8, 0.0),
        ("mobile_manipulator", 0.0, 1.0),
        ("mobile_manipulator", 0.5, -0.7),
    ],
)
def test_speed_and_yaw_rate_are_tracked(name, linear, angular):
    dynamics, robot = start(name)
    rows = run(dynamics, 7.0, linear, angular)
    mean = rows[-HZ:, :2].mean(axis=0)
    assert mean[0] == pytest.approx(linear, rel=0.02, abs=0.005)
    assert mean[1] == pytest.approx(angular, rel=0.03, abs=0.003)
    rise = np.diff(rows[:, 0]) * HZ
    most = robot.acceleration_max[0]
    assert np.abs(rise).max() <= 1.2 * most + 0.02, "the ramp keeps its acceleration"
    turned = 2.0 * math.atan2(dynamics.base_pose[5], dynamics.base_pose[6])
    assert math.remainder(dynamics.position[1] - turned, 2 * math.pi) == pytest.approx(
        0.0, abs=0.02
    )


@pytest.mark.parametrize("load", [0.0, 10000.0])
def test_tracks_slip_as_the_balance_of_moments_says(load):
    """Every road wheel slides against its own slip; no net moment is left."""
    dynamics, robot = start("crawler_dump", payload_kg=load)
    base = robot.base
    friction = {f.ground: f for f in base.friction}["firm_earth"]
    run(dynamics, 4.0, 0.0, 0.4)
    loads = dynamics.wheel_load.copy()
    places = np.array([w.position_m for w in base.wheels])

    def moment(yaw):
        along = 0.4 * base.drive.yaw_slip * places[:, 1] - yaw * places[:, 1]
        across = -yaw * (places[:, 0] - loads @ places[:, 0] / loads.sum())
        size = np.hypot(along / friction.longitudinal, across / friction.lateral)
        turn = along * places[:, 1] + across * places[:, 0]
        return float((loads * turn / size).sum())

    yaw = brentq(moment, 1e-3, 0.79)
    assert dynamics.velocity[1] == pytest.approx(yaw, rel=0.02)
    assert yaw == pytest.approx(0.4, rel=0.02), "yaw_slip of robot.yaml"


def test_a_steered_base_turns_no_tighter_than_its_axle():
    dynamics, robot = start("truck")
    tightest = robot.base.steering.minimum_turning_radius_m
    rows = run(dynamics, 8.0, 0.4, 1.2)[-HZ:]
    assert rows[:, 0].mean() / rows[:, 1].mean() == pytest.approx(tightest, rel=0.03)
    assert -dynamics.steering_rad == pytest.approx(
        math.atan(1.508 / tightest), rel=0.01
    )
    run(dynamics, 3.0)
    standing = run(dynamics, 2.0, 0.0, 1.0)
    assert np.abs(standing[:, 1]).max() < 1e-3, "it cannot turn on the spot"


# Braking


@pytest.mark.parametrize(
    ("material", "scale", "speed"),
    [("epoxy_dry", 1.0, 4.0), ("epoxy_wet", 1.0, 4.0), ("epoxy_wet", 0.6, 3.0)],
)
def test_the_truck_stops_within_v2_over_2a_and_the_reaction(material, scale, speed):
    """It brakes with its front wheels: their load grows with the deceleration."""
    dynamics, robot = start(
        "truck", material, lift=0.0, linear_m_s=speed, friction_scale=scale
    )
    mass, base, height, reaction = 3306.0, 1.508, 0.6, 0.5
    to_rear = base - 0.829
    f = {f.ground: f for f in robot.base.friction}[material]
    mu, rolling = scale * f.longitudinal, scale * f.rolling
    drag = G * rolling * (1.0 - to_rear / base)
    slip = (mu * G * to_rear / base + drag) / (1.0 - (mu - rolling) * height / base)
    brake = robot.base.drive.brake_force_max_n / mass + drag
    a = min(slip, brake, robot.base.linear.emergency_braking_max_m_s2)
    assert (slip < brake) == (material == "epoxy_wet"), "wet ground decides, dry not"
    rows = np.vstack([run(dynamics, reaction, speed), run(dynamics, 8.0)])
    assert abs(rows[-1, 0]) < 1e-3
    expected = speed**2 / (2.0 * a) + speed * reaction
    assert travelled(rows) == pytest.approx(expected, rel=0.02)


@pytest.mark.parametrize("scale", [1.0, 0.08])
def test_the_crawler_stops_within_v2_over_2a_and_the_reaction(scale):
    speed, reaction = 2.5, 0.4
    dynamics, robot = start(
        "crawler_dump", linear_m_s=speed, friction_scale=scale, payload_kg=10000.0
    )
    mu = scale * 0.9
    a = min(mu * G, robot.base.linear.emergency_braking_max_m_s2)
    rows = np.vstack([run(dynamics, reaction, speed), run(dynamics, 6.0)])
    expected = speed**2 / (2.0 * a) + speed * reaction
    assert travelled(rows) == pytest.approx(expected, rel=0.02)


@pytest.mark.parametrize("material", ["epoxy_dry", "epoxy_wet"])
def test_the_mobile_manipulator_stops_within_its_protective_stop(material):
    speed, reaction = 1.0, 0.15
    dynamics, robot = start("mobile_manipulator", material, linear_m_s=speed)
    a = robot.base.linear.emergency_braking_max_m_s2
    rows = np.vstack([run(dynamics, reaction, speed), run(dynamics, 2.0)])
    expected = speed**2 / (2.0 * a) + speed * reaction
    assert travelled(rows) == pytest.approx(expected, rel=0.02)


def test_a_wet_patch_lengthens_the_stop_only_where_it_is():
    patch = {
        "name": "spill",
        "center_m": [0.0, 5.0],
        "size_m": [100.0, 4.0],
        "material": "epoxy_wet",
    }
    dynamics, robot = build("truck", {"material": "epoxy_dry", "patches": [patch]})
    stops = []
    for y in (0.0, 5.0):
        pose = np.array([0.0, y, 0.0, 0.0, 0.0, 0.0, 1.0])
        dynamics.reset(robot.home_position, BaseStart(pose=pose, linear_m_s=3.0))
        stops.append(travelled(run(dynamics, 4.0)))
    dynamics.close()
    assert stops[1] > 1.2 * stops[0]


# Friction


@pytest.mark.parametrize("heading_deg", [0.0, 22.5, 45.0, 67.5, 90.0, 180.0])
def test_friction_is_an_ellipse_in_every_direction(heading_deg):
    """Braked on a slope, it slides above the friction angle and not below."""
    heading, scale = math.radians(heading_deg), 0.3
    along, across = scale * 0.9, scale * 0.54
    mu = 1.0 / math.hypot(math.cos(heading) / along, math.sin(heading) / across)
    for share, slides in ((0.97, False), (1.03, True)):
        dynamics, _ = start("crawler_dump", friction_scale=scale)
        dynamics.set_gravity(tilted(math.atan(share * mu), heading))
        rows = run(dynamics, 4.0)
        assert (travelled(rows[HZ:]) > 0.02) == slides, (heading_deg, share)


# Stability


def tipping_angle(dynamics, heading, uphill, most_deg):
    """Angle of a slowly growing slope at which the uphill wheels lose the ground."""
    for step in range(round(most_deg * HZ)):
        angle = math.radians(step / HZ)
        dynamics.set_gravity(tilted(angle, heading))
        dynamics.step()
        if step > HZ and dynamics.wheel_load[uphill].sum() <= 0.0:
            return math.degrees(angle)
    return math.nan


@pytest.mark.parametrize(
    ("load", "height", "sideways", "expected_deg"),
    [
        (0.0, 1.1, True, 42.3),
        (10000.0, 1.5, True, 33.7),  # soil.md section 5
        (0.0, 1.1, False, 57.1),
    ],
)
def test_the_crawler_rolls_over_at_the_angle_of_its_geometry(
    load, height, sideways, expected_deg
):
    dynamics, _ = start("crawler_dump", payload_kg=load, friction_scale=4.0)
    half = 1.0 if sideways else 1.7
    assert math.degrees(math.atan(half / height)) == pytest.approx(
        expected_deg, abs=0.1
    )
    uphill = np.arange(5, 10) if sideways else np.array([0, 5])
    heading = 0.5 * math.pi if sideways else math.pi
    if not sideways:
        uphill = np.array([0, 1, 2, 3, 5, 6, 7, 8])
    found = tipping_angle(dynamics, heading, uphill, 70.0)
    # Its springs lean it over: less than two degrees.
    assert expected_deg - 2.0 < found < expected_deg + 0.2


def test_the_truck_rolls_over_the_side_of_its_support_triangle():
    dynamics, _ = start("truck", lift=0.0, friction_scale=3.0)
    half, base, behind, height = 0.457, 1.508, 0.829, 0.6
    # Moments about the line from a front wheel to the middle of the rear axle.
    angle = math.degrees(math.atan(half * (base - behind) / base / height))
    found = tipping_angle(dynamics, 0.5 * math.pi, np.array([1]), 40.0)
    assert found == pytest.approx(angle, abs=1.0)


@pytest.mark.parametrize("lift", [1.8, 2.4, 3.0])
def test_the_laden_truck_tips_forward_at_the_deceleration_of_its_axle_loads(lift):
    """a = g x / h: x from the sheet's laden axle loads, h from masses and lift.

    On the front springs alone it leans forward by m g / (k L), its centre of mass by h
    times that.
    """
    dynamics, robot = start("truck", lift=lift, payload_kg=2000.0, linear_m_s=4.0)
    behind = 630.0 * 1.508 / 5306.0
    height = (3306.0 * 0.6 + 2000.0 * 0.62 + 2250.0 * lift) / 5306.0
    rigid = G * behind / height
    stiffness = 2.0 * robot.base.wheels[0].stiffness_n_per_m
    lean = 5306.0 * G / stiffness / 1.508
    expected = G * (behind - height * lean) / height
    speed, target = 4.0, np.zeros(3)
    asked = 0.0
    while dynamics.wheel_load[2] > 0.0 or asked < 0.2:
        # The deceleration grows by 0.4 m/s2 a second: slowly against the springs.
        asked += 0.4 / HZ
        speed -= asked / HZ
        target[0] = speed
        dynamics.set_velocity(target)
        dynamics.step()
        assert asked < 1.5, "it never tipped"
    assert asked == pytest.approx(expected, rel=0.02)
    assert 0.9 * rigid < asked < rigid


@pytest.mark.parametrize(("lift", "tips"), [(0.1, False), (0.7, False), (2.6, True)])
def test_full_braking_tips_the_laden_truck_only_with_a_raised_mast(lift, tips):
    dynamics, _ = start("truck", lift=lift, payload_kg=2000.0, linear_m_s=4.0)
    run(dynamics, 0.5, 4.0)
    target = np.zeros(3)
    dynamics.set_velocity(target)
    worst = 0.0
    for _ in range(3 * HZ):
        dynamics.step()
        dynamics.read()
        worst = max(worst, pitch_deg(dynamics))
    assert (worst > 3.0) == tips, worst


# Uneven ground


def ramp(angle_deg, cells=61, cell=0.5):
    xs = (np.arange(cells) - cells // 2) * cell
    row = math.tan(math.radians(angle_deg)) * np.clip(xs, 0.0, None)
    return {
        "heights": np.tile(row, (cells, 1)),
        "origin_m": (float(xs[0]), float(xs[0])),
        "cell_m": cell,
    }


def test_a_height_map_carries_wheels_and_is_bullets_own():
    dynamics, robot = build("crawler_dump", {"material": "firm_earth"}, **ramp(8.0))
    pose = np.array([6.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0])
    dynamics.reset(robot.home_position, BaseStart(pose=pose))
    run(dynamics, 1.0)
    assert pitch_deg(dynamics) == pytest.approx(-8.0, abs=0.2)
    weight = 12000.0 * G * math.cos(math.radians(8.0))
    assert dynamics.wheel_load.sum() == pytest.approx(weight, rel=0.005)
    before = dynamics.base_pose[:3].copy()
    run(dynamics, 4.0, 1.0)
    x, _, z = dynamics.base_pose[:3] - before
    assert x > 2.0 and z / x == pytest.approx(math.tan(math.radians(8.0)), rel=0.02)
    ground = dynamics._base.traction.ground
    for x, y in ((-7.3, 2.1), (3.3, -4.2), (9.6, 9.9)):
        hit = pybullet.rayTest([x, y, 9], [x, y, -9], physicsClientId=dynamics._client)
        assert hit[0][3][2] == pytest.approx(ground.height(x, y), abs=0.01)
    dynamics.close()


def test_it_climbs_from_level_ground_onto_a_ramp():
    dynamics, robot = build("crawler_dump", {"material": "firm_earth"}, **ramp(10.0))
    pose = np.array([-5.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0])
    dynamics.reset(robot.home_position, BaseStart(pose=pose, payload_kg=10000.0))
    run(dynamics, 9.0, 1.5)
    assert pitch_deg(dynamics) == pytest.approx(-10.0, abs=0.5)
    assert dynamics.velocity[0] == pytest.approx(1.5, rel=0.02)
    assert abs(dynamics.base_pose[1]) < 0.02
    dynamics.close()


# Bad input


def test_bad_input_is_refused_in_one_sentence():
    robot = load_robot("truck")
    with pytest.raises(ConfigError, match="epoxy_dry"):
        Ground(GroundConfig(material="epoxy_dri"), robot.base)
    with pytest.raises(ConfigError, match="ground"):
        BulletDynamics(robot, ORIGIN, SceneConfig(), 1.0 / HZ)
    dynamics, _ = world("truck")
    for mass in (-1.0, 2001.0, math.nan):
        with pytest.raises(ContractError, match="0 to 2000 kg"):
            dynamics.reset(robot.home_position, BaseStart(payload_kg=mass))
