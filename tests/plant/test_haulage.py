"""Hauling against independent numbers: geometry, closed forms, conservation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from physai.evaluation.suite import load_suite, template_of
from physai.plant.bed_load import BedConfig, BedLoad, Pile, PileConfig
from physai.plant.bullet import BulletDynamics
from physai.plant.dynamics import BaseStart
from physai.plant.ground import Ground, GroundConfig
from physai.plant.haulage_kernel import polygon_distance, rollover_margin
from physai.plant.manned_machine import MachineConfig, MannedMachine
from physai.plant.route import Route
from physai.plant.satellite import SatelliteConfig, SatelliteReceiver
from physai.plant.scene import SceneConfig
from physai.robot.description import load_robot
from physai.robot.footprint import box_corners, box_gap
from physai.robot.kinematics import Kinematics
from physai.tasks.registry import load_environment, make_cycle
from physai.types import Command

G = 9.81
STEP_S = 1.0 / 240.0
ROBOT = load_robot("crawler_dump")
HAUL = "physai/ConstructionHaul-v0"
BED = BedConfig(
    length_m=3.3,
    half_width_m=1.25,
    friction_angle_rad=0.384,
    struck_kg=8200.0,
    heaped_kg=1800.0,
    repose_rad=0.663,
    full_tilt_rad=1.047,
    spill_time_s=0.4,
    source="test",
)
PILE = PileConfig(
    center_m=(0.0, 0.0),
    size_m=(12.0, 12.0),
    cell_m=0.25,
    density_kg_m3=1223.0,
    repose_rad=0.663,
    source="test",
)


def lean(roll: float, pitch: float) -> np.ndarray:
    """Pose of a base that leans about its x and then its y."""
    a, b = 0.5 * roll, 0.5 * pitch
    x = np.array([math.sin(a), 0.0, 0.0, math.cos(a)])
    y = np.array([0.0, math.sin(b), 0.0, math.cos(b)])
    w = y[3] * x[3] - y[:3] @ x[:3]
    v = y[3] * x[:3] + x[3] * y[:3] + np.cross(y[:3], x[:3])
    return np.array([3.0, -2.0, 1.0, *v, w])


def margin(load_kg: float, pose: np.ndarray, bed_rad: float = 0.0) -> float:
    k = Kinematics(ROBOT)
    k.set_base(pose)
    k.update(np.array([0.0, 0.0, bed_rad]))
    mass = ROBOT.tree.mass.copy()
    mass[ROBOT.tree.link_names.index("load")] = load_kg
    return rollover_margin(
        mass,
        ROBOT.tree.center_of_mass,
        k.link_position,
        k.link_rotation,
        pose,
        0.0,
        0.0,
        1.7,
        1.0,
        np.zeros(3),
    )


@pytest.mark.parametrize(
    ("load_kg", "expected_deg"),
    # Half gauge over the height of the centre of mass: atan(1 / 1.1), atan(1 / 1.5).
    [(0.0, 42.3), (10000.0, 33.7)],
)
def test_rollover_margin_is_that_of_geometry(load_kg, expected_deg):
    level = margin(load_kg, lean(0.0, 0.0))
    assert math.degrees(level) == pytest.approx(expected_deg, abs=1.0)
    for roll in (-0.3, -0.1, 0.2):
        assert margin(load_kg, lean(roll, 0.0)) == pytest.approx(level - abs(roll))


def test_rollover_margin_sees_a_raised_bed_and_is_negative_beyond():
    level = margin(9000.0, lean(0.0, 0.0))
    assert margin(9000.0, lean(0.0, 0.0), bed_rad=0.9) < level - 0.1
    assert margin(9000.0, lean(0.8, 0.0)) < 0.0


def test_polygon_distance_is_signed():
    square = np.array([[0.0, 0.0], [10.0, 0.0], [10.0, 10.0], [0.0, 10.0]])
    corners = np.zeros((4, 2))
    box_corners(5.0, 5.0, 0.0, 4.0, 2.0, corners)
    assert polygon_distance(corners, square) == pytest.approx(3.0)
    box_corners(9.0, 5.0, 0.0, 4.0, 2.0, corners)
    assert polygon_distance(corners, square) == pytest.approx(-1.0)


@given(
    st.floats(-6.0, 6.0),
    st.floats(-6.0, 6.0),
    st.floats(-3.2, 3.2),
    st.floats(-3.2, 3.2),
)
@settings(max_examples=60, deadline=None)
def test_gap_of_boxes_is_symmetric_and_that_of_dense_points(x, y, one_rad, other_rad):
    one, other = np.zeros((4, 2)), np.zeros((4, 2))
    box_corners(0.0, 0.0, one_rad, 4.0, 2.0, one)
    box_corners(x, y, other_rad, 3.0, 1.0, other)
    ends = np.zeros(4)
    gap = box_gap(one, other, ends)
    assert gap == pytest.approx(box_gap(other, one, np.zeros(4)), abs=1e-9)
    share = np.linspace(0.0, 1.0, 201)[:, None]

    def edge(box):
        return np.concatenate(
            [box[k] + share * (box[(k + 1) % 4] - box[k]) for k in range(4)]
        )

    points, others = edge(one), edge(other)
    near = np.sqrt(((points[:, None] - others[None]) ** 2).sum(-1)).min()
    if gap > 0.0:
        assert gap == pytest.approx(near, abs=0.02)
        assert np.hypot(*(ends[:2] - ends[2:])) == pytest.approx(gap, abs=1e-9)


def test_bed_keeps_its_load_below_the_friction_angle_and_empties_above():
    """m = m0 exp(-t / T), T = sqrt(2 L / a), a = g (sin t - mu cos t)."""
    bed = BedLoad(BED, 8000.0)
    for _ in range(100):
        assert bed.step(0.1, 0.35, 0.0) == (0.0, 0.0)
    angle = 0.9
    pull = math.sin(angle) - math.tan(0.384) * math.cos(angle)
    emptying = math.sqrt(2.0 * 3.3 / (G * pull))
    for _ in range(20):
        bed.step(0.1, angle, 0.0)
    stuck = 0.005 * 8000.0
    expected = stuck + (8000.0 - stuck) * math.exp(-2.0 / emptying)
    assert bed.mass_kg == pytest.approx(expected, rel=1e-6)


def test_heaped_load_spills_on_a_slope_and_a_struck_one_does_not():
    struck, heaped = BedLoad(BED, 6000.0), BedLoad(BED, 10000.0)
    for _ in range(50):
        assert struck.step(0.1, 0.0, 0.17) == (0.0, 0.0)
        heaped.step(0.1, 0.0, 0.17)
    held = 8200.0 * (1.0 - 0.17 / 1.047) + 1800.0 * (1.0 - 0.17 / 0.663)
    assert heaped.mass_kg == pytest.approx(held, rel=1e-3)


@given(st.lists(st.tuples(st.floats(-7, 7), st.floats(-7, 7)), min_size=1, max_size=20))
@settings(max_examples=25, deadline=None)
def test_pile_conserves_mass(places):
    ground = Ground(GroundConfig(material="loose_earth"), ROBOT.base)
    pile = Pile(PILE, ground)
    for x, y in places:
        pile.drop(x, y, 500.0)
        pile.settle()
    assert pile.mass_kg == pytest.approx(500.0 * len(places), rel=1e-9)


def test_pile_is_a_cone_at_the_angle_of_repose():
    """A cone of volume V and slope t is as high as (3 V tan^2 t / pi)^(1/3)."""
    ground = Ground(GroundConfig(material="loose_earth"), ROBOT.base)
    pile = Pile(PILE, ground)
    for _ in range(60):
        pile.drop(0.1, 0.1, 100.0)
        for _ in range(20):
            pile.settle()
    volume = 6000.0 / 1223.0
    expected = (3.0 * volume * math.tan(0.663) ** 2 / math.pi) ** (1.0 / 3.0)
    assert pile.loose.max() == pytest.approx(expected, rel=0.15)
    down, across = np.gradient(pile.loose, 0.25)
    assert np.hypot(down, across).max() < math.tan(0.663) * 1.15


SATELLITE = SatelliteConfig(
    position_sigma_m=1e-6,
    yaw_sigma_rad=0.0,
    correlation=0.0,
    drift_share=0.02,
    drift_yaw_rad_s=0.002,
    return_s=1.0,
    source="test",
)


def dead_reckon(seed, speed=1.5, lost_s=10.0, back_s=0.0):
    """Drive straight along x without satellites; receiver and estimate at the end."""
    receiver = SatelliteReceiver(SATELLITE, ((0.0, lost_s),), seed, 400)
    pose, place = np.array([0.0, 0, 0, 0, 0, 0, 1]), None
    for step in range(round((lost_s + back_s) * 20)):
        pose[0] = speed * step / 20.0
        place = receiver.locate(step / 20.0, step, pose)
    return receiver, place - pose


def test_dead_reckoning_drifts_by_scale_and_gyroscope():
    """e_x = k v t, e_y = b v t^2 / 2 for the drawn k and b."""
    rng_errors = []
    for seed in range(40):
        receiver, error = dead_reckon(seed)
        k, b = receiver._scale, receiver._bias
        assert error[0] == pytest.approx(k * 15.0, abs=0.02)
        assert error[1] == pytest.approx(b * 1.5 * 50.0, abs=0.02)
        rng_errors.append(receiver.error_m / receiver.sigma_m)
    # The receiver's own figure is honest: most errors are within two of its sigma.
    assert np.mean(np.array(rng_errors) < 2.0) > 0.9
    assert np.mean(rng_errors) > 0.3


def test_fix_returns_within_seconds_and_not_in_one_jump():
    lost, error = dead_reckon(5)
    _, soon = dead_reckon(5, back_s=0.5)
    back, later = dead_reckon(5, back_s=6.0)
    assert not lost.fixed and back.fixed
    size = np.hypot(error[0], error[1])
    assert 0.4 * size < np.hypot(soon[0], soon[1]) < 0.8 * size
    assert np.hypot(later[0], later[1]) < 0.01 * size
    assert back.sigma_m < 0.01


def test_manned_machine_drives_waits_and_reports_late():
    config = MachineConfig(
        size_m=(5.0, 2.5, 2.8),
        track_m=((0.0, 0.0), (30.0, 0.0)),
        braking_m_s2=2.0,
        sight_m=7.0,
        message={"rate_hz": 5.0, "latency_s": 0.3, "sigma_m": 0.0, "source": "test"},
        source="test",
    )
    ground = Ground(GroundConfig(material="loose_earth"), ROBOT.base)
    machine = MannedMachine(config, ground, 1.0, 2.0, True, 0)
    for step in range(1, 61):
        machine.advance(step * 0.1, 0.1, False)
        machine.report(step * 0.1, True)
    # 5 s of driving less half of the second that it takes to get going; a step is 0.2 m.
    assert machine.pose[0] == pytest.approx(2.0 * 5.0 - 0.5 * 2.0**2 / 2.0, abs=0.35)
    assert 0.3 <= 6.0 - machine.message_s <= 0.5 + 1e-9
    assert machine.pose[0] - machine.message[0] == pytest.approx(
        2.0 * (6.0 - machine.message_s), abs=0.05
    )
    start = machine.pose[0]
    for step in range(61, 100):
        machine.advance(step * 0.1, 0.1, True)
    assert machine.speed_m_s == 0.0
    assert machine.pose[0] - start == pytest.approx(2.0**2 / 4.0, abs=0.2)


def test_route_goes_through_its_places_and_measures_along():
    places = [(0.0, 0.0), (4.0, 1.0), (8.0, 0.0), (12.0, 3.0)]
    route = Route(places)
    for x, y in places:
        assert route.distance(x, y) < 1e-6
    for s in np.linspace(0.5, route.length_m - 0.5, 7):
        x, y, heading = route.at(float(s))
        left = (x - 0.3 * math.sin(heading), y + 0.3 * math.cos(heading))
        along, aside, _ = route.project(*left)
        assert along == pytest.approx(s, abs=0.1)
        assert aside == pytest.approx(0.3, abs=0.02)


def stop_from(speed, slope_rad, load_kg, friction_scale):
    """Roll down a slope, ask for standstill; way until it stands [m]."""
    ground = Ground(GroundConfig(material="loose_earth"), ROBOT.base)
    dynamics = BulletDynamics(
        ROBOT, np.array([0, 0, 0, 0, 0, 0, 1.0]), SceneConfig(), STEP_S, ground
    )
    try:
        dynamics.set_gravity(
            G * np.array([math.sin(slope_rad), 0, -math.cos(slope_rad)])
        )
        start = BaseStart(
            linear_m_s=speed, payload_kg=load_kg, friction_scale=friction_scale
        )
        dynamics.reset(np.zeros(3), start)
        dynamics.set_velocity(np.array([speed, 0.0, 0.0]))
        dynamics.step(120)
        dynamics.read()
        begin, fast = dynamics.base_pose[0], dynamics.velocity[0]
        dynamics.set_velocity(np.zeros(3))
        dynamics.step(1200)
        dynamics.read()
        assert abs(dynamics.velocity[0]) < 0.02
        return dynamics.base_pose[0] - begin, fast
    finally:
        dynamics.close()


@pytest.mark.parametrize("slope_deg", [0.0, 10.0, 20.0])
@pytest.mark.parametrize("speed", [1.0, 2.2])
def test_stops_within_the_declared_deceleration(slope_deg, speed):
    """Laden, on loose earth at 0.8 of its friction, down the steepest slope permitted.

    v^2 / 2a with the 0.8 m/s2 of the specification's separation, fence and crossing.
    """
    way, fast = stop_from(speed, math.radians(slope_deg), 10000.0, 0.8)
    assert fast == pytest.approx(speed, abs=0.1)
    assert way <= fast**2 / (2.0 * 0.8) + 0.02
    assert way >= fast**2 / (2.0 * 1.2)


def test_specification_declares_no_more_than_was_measured():
    from physai.safety import load_spec

    spec = load_spec("construction_haul")
    sections = spec.sections
    assert spec.separation.deceleration_m_s2 <= 0.8
    assert sections["fence"]["deceleration_m_s2"] <= 0.8
    assert sections["crossing"]["deceleration_m_s2"] <= 0.8
    site = load_environment(HAUL).plant.process
    assert [list(p) for p in sections["fence"]["polygon_m"]] == [
        list(p) for p in site["area_m"]
    ]
    assert sections["crossing"]["polygon_m"] == site["crossing"]["polygon_m"]


@pytest.fixture(scope="module")
def cycle():
    made = make_cycle(HAUL, "bullet", "off")
    yield made
    made.close()


def test_engine_and_traction_stand_on_the_same_ground(cycle):
    import pybullet

    dynamics = cycle.plant.dynamics
    rng = np.random.default_rng(0)
    cycle.reset(cycle.task.sample_scenario(1, "train", "nominal_clear"))
    for x, y in rng.uniform([20.0, 5.0], [60.0, 60.0], (40, 2)):
        if math.hypot(x - 8.0, y - 40.0) < 6.0:
            continue
        hit = pybullet.rayTest(
            [x, y, 10.0], [x, y, -10.0], physicsClientId=dynamics._client
        )
        # The engine's triangles and the bilinear cell agree at the corners.
        assert hit[0][3][2] == pytest.approx(dynamics.ground.height(x, y), abs=0.06)


def test_load_is_conserved_through_a_dump(cycle):
    """Bed, pile and what fell beside it are the load at every step."""
    scenario = cycle.task.sample_scenario(4, "train", "nominal_clear")
    cycle.reset(scenario)
    process, loaded = cycle.plant._process, scenario.payload_kg
    for step in range(140):
        up = np.array([0.0, 0.0, 1.0 if step < 90 else 0.0])
        cycle.step(up.astype(np.float32))
        total = process.load.mass_kg + process.pile.mass_kg
        assert total == pytest.approx(loaded, rel=1e-9)
    assert process.load.mass_kg < 0.02 * loaded
    # The engine was told: the wheels carry the empty machine.
    weight = cycle.plant.dynamics.wheel_load.sum()
    assert weight == pytest.approx(12000.0 * G, rel=0.02)


def test_believed_place_is_off_by_what_the_receiver_says(cycle):
    scenario = cycle.task.sample_scenario(4, "train", "nominal_clear")
    values = {**scenario.values, "gnss_drop_start_s": 1.0, "gnss_drop_s": 30.0}
    cycle.reset(scenario.model_copy(update={"values": values}))
    for _ in range(100):
        cycle.step(np.array([0.4, 0.0, 0.0], dtype=np.float32))
    believed, true = (
        cycle.state.base_pose_in_world,
        cycle.truth.state.base_pose_in_world,
    )
    place = cycle.environment.truth_extras.index("position_error_m")
    apart = np.hypot(*(believed[:2] - true[:2]))
    assert apart == pytest.approx(cycle.truth.extras[place])
    assert cycle.state.extras[0] == 0.0 and cycle.state.extras[1] > 0.04


def test_command_of_the_task_is_what_the_machine_does(cycle):
    cycle.reset(cycle.task.sample_scenario(4, "train", "nominal_clear"))
    command = cycle.task.decode(np.array([0.5, -0.25, 2.0]), cycle.state)
    assert isinstance(command, Command)
    np.testing.assert_allclose(command.actuator_velocity, [1.1, -0.1, 0.15])


@pytest.mark.parametrize(
    ("along", "left", "yaw"),
    [(30.97, 0.38, 0.15), (31.4, 0.0, -0.66), (33.0, 0.0, 1.2)],
)
def test_it_is_set_down_where_it_stands(cycle, along, left, yaw):
    """Also where the ground under a track is bent: it does not move when time begins."""
    template = template_of(
        load_suite("construction_haul_guard").case("crossing"), cycle.environment
    )
    start = {"start_along_m": along, "start_left_m": left, "start_yaw_rad": yaw}
    ranges = {**template.ranges, **start}
    template = template.model_copy(update={"ranges": ranges})
    cycle.reset(cycle.task.sample_scenario(246, "train", template))
    for _ in range(3):
        cycle.step(np.zeros(len(cycle.spaces.action_names)))
        assert np.abs(cycle.truth.state.base_twist_in_world).max() < 0.02
