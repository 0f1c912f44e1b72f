"""Digging as a process of the plant: site, volumes, sensors, moments, stopping."""

from __future__ import annotations

import math

import numpy as np
import pybullet
import pytest

from physai.errors import ContractError
from physai.plant.bullet import BulletDynamics
from physai.plant.digging_site import STATIONS, Site, overturning_share
from physai.plant.scene import SceneConfig
from physai.robot.description import load_robot
from physai.robot.kinematics import Kinematics
from physai.tasks import registry
from physai.types import Command

ID = "physai/ConstructionTrench-v0"


@pytest.fixture(scope="module")
def cycle():
    made = registry.make_cycle(ID, guard="off")
    yield made
    made.close()


def start(cycle, seed=10_000_000, **values):
    scenario = cycle.task.sample_scenario(seed, "test", "nominal_alone")
    scenario = scenario.model_copy(update={"values": {**scenario.values, **values}})
    cycle.reset(scenario)
    return cycle.plant._process, scenario


def true_extra(cycle, name):
    return float(cycle.truth.extras[cycle.environment.truth_extras.index(name)])


def extra(cycle, name, state=None):
    state = cycle.state if state is None else state
    return float(state.extras[cycle.environment.extras.index(name)])


def test_the_design_volume_is_that_of_a_trapezoid(cycle):
    _, scenario = start(cycle, trench_bearing_rad=0.0, trench_depth_m=0.45)
    v = scenario.values
    expected = 1.0 * (v["trench_length_m"] - 0.5) * 0.45
    # The grid's cells are 0.1 m: a row more or less at every edge.
    assert true_extra(cycle, "design_m3") == pytest.approx(expected, rel=0.12)
    remaining = true_extra(cycle, "remaining_m3")
    assert remaining == pytest.approx(true_extra(cycle, "design_m3"), rel=1e-12)


def test_soil_is_neither_made_nor_lost_by_work_of_any_kind(cycle):
    process, _ = start(cycle)
    rng = np.random.default_rng(4)
    for k in range(150):
        action = np.array([-0.6, -0.5, 0.1, 0.0]) if k < 60 else rng.uniform(-1, 1, 4)
        cycle.step(action)
    soil = process.soil
    assert soil.dug_m3 > 0.01
    assert abs(soil.volume_m3) < 1e-9 * max(soil.dug_m3, 1.0)


def test_what_is_put_on_the_heap_counts_as_dumped_in_bank_volume(cycle):
    process, _ = start(cycle)
    process.soil.dump(*process.site.heap, 0.5)
    process.soil.dump(3.0, -2.0, 0.1)
    cycle.step(np.zeros(4))
    swell = 1.0 + process.soil.kind.swell_share
    assert true_extra(cycle, "dumped_m3") == pytest.approx(0.5 / swell, rel=0.02)
    assert true_extra(cycle, "stray_m3") == pytest.approx(0.1 / swell, rel=0.02)


def test_the_scanner_lags_and_errs_within_its_bounds(cycle):
    process, _ = start(cycle)
    sensors = process.config.sensors
    place = cycle.environment.extras.index("ground_0_above_design_m")
    for step in range(30):
        cycle.step(np.zeros(4))
        age = cycle.state.extras_age_s[place]
        if step < 2:
            continue  # the first scan is there from the start
        assert sensors.scan_latency_s - 1e-9 <= age
        assert age <= sensors.scan_latency_s + 1.0 / sensors.scan_rate_hz + 1e-9
        told = cycle.state.extras[place : place + STATIONS]
        exact = cycle.truth.state.extras[place : place + STATIONS]
        assert np.abs(told - exact).max() <= 3.0 * sensors.scan_sigma_m + 1e-12
    assert cycle.state.extras_age_s[0] == 0.0


def test_the_ground_around_the_edge_is_that_of_the_map(cycle):
    process, _ = start(cycle)
    for _ in range(40):
        cycle.step(np.array([-0.3, -0.8, 0.0, 0.2]))
    kinematics = cycle.plant.kinematics
    edge, rotation = kinematics.tool_position, kinematics.tool_rotation
    ahead = np.array([rotation[1, 1], -rotation[0, 1]])
    ahead /= np.linalg.norm(ahead)
    for name, way in (("behind", -0.3), ("before", 0.3), ("ahead", 0.7)):
        place = edge[:2] + way * ahead
        expected = process.soil.height_at(*place) - edge[2]
        found = extra(cycle, f"ground_{name}_above_edge_m", cycle.truth.state)
        assert found == pytest.approx(expected, abs=1e-12)


def test_the_load_is_told_with_its_noise_and_scale(cycle):
    process, _ = start(cycle)
    process.soil.load_m3 = 0.3
    cycle.step(np.zeros(4))
    true = true_extra(cycle, "true_load_kg")
    sensors = process.config.sensors
    most = sensors.load_scale_error_share * true + 3.0 * sensors.load_sigma_kg
    assert true == pytest.approx(process.soil.load_kg, rel=1e-9)
    assert abs(extra(cycle, "load_kg") - true) <= most


def test_the_load_moment_is_told_with_the_scale_of_the_load(cycle):
    seen = []
    for seed in range(10_000_000, 10_000_008):
        start(cycle, seed)
        cycle.step(np.zeros(4))
        true = true_extra(cycle, "true_overturning_share")
        seen.append(extra(cycle, "overturning_share") / true - 1.0)
    share = cycle.plant._process.config.sensors.load_scale_error_share
    assert 0.0 < max(map(abs, seen)) <= share
    assert len(set(seen)) == len(seen)


def test_the_pipe_by_plan_is_off_by_no_more_than_the_survey(cycle):
    off = []
    for seed in range(10_000_000, 10_000_020):
        process, _ = start(cycle, seed)
        survey = process.config.sensors.pipe_survey_m
        gap = np.array(
            [
                extra(cycle, f"pipe_from_{c}_in_world_m")
                - extra(cycle, f"pipe_from_{c}_in_world_m", cycle.truth.state)
                for c in "xyz"
            ]
        )
        assert np.linalg.norm(gap[:2]) <= survey + 1e-9
        assert abs(gap[2]) <= survey + 1e-9
        off.append(float(np.linalg.norm(gap)))
    assert max(off) > 0.03


def test_the_distance_of_the_pipe_is_that_of_geometry(cycle):
    process, _ = start(
        cycle, pipe_skew_rad=0.0, trench_bearing_rad=0.0, start_swing_rad=0.0
    )
    kinematics = cycle.plant.kinematics
    ends = process.pipe.config
    axis = np.array([ends.from_m, ends.to_m])
    # The plate's outline sampled finely against the axis sampled finely.
    half = 0.5 * process.soil.bucket.width_m
    plate = process.soil.bucket.plate_length_m
    t = np.linspace(0.0, 1.0, 201)
    across = np.stack([np.zeros(201), half * (2.0 * t - 1.0), np.zeros(201)], axis=1)
    along = np.stack([-plate * t, np.full(201, half), np.zeros(201)], axis=1)
    outline = np.concatenate(
        [across, across - [plate, 0, 0], along, along * [1, -1, 1]]
    )
    world = kinematics.tool_position + outline @ kinematics.tool_rotation.T
    points = axis[0] + t[:, None] * (axis[1] - axis[0])
    gap = np.linalg.norm(world[:, None] - points[None], axis=2).min()
    expected = float(gap) - ends.radius_m
    assert true_extra(cycle, "true_pipe_distance_m") == pytest.approx(
        expected, abs=0.01
    )


def test_the_overturning_share_is_that_of_moments_by_hand():
    robot = load_robot("excavator")
    k = Kinematics(robot)
    k.update(np.array([0.0, -0.5, 1.2, 1.2]))
    half = np.array([1.615, 1.25])
    tree, chain = robot.tree, k.chain
    x = np.array(
        [
            (chain.link_position[i] + chain.link_rotation[i] @ tree.center_of_mass[i])[
                0
            ]
            for i in range(len(tree.mass))
        ]
    )
    moment = tree.mass * 9.81 * (x - 1.615)
    load = np.zeros((4, 6))
    load[3] = [*k.tool_position, 0.0, 0.0, -6000.0]
    lever = k.tool_position[0] - 1.615
    over = moment[moment > 0].sum() + 6000.0 * lever
    expected = over / -moment[moment < 0].sum()
    found = overturning_share(
        chain.link_position,
        chain.link_rotation,
        tree.mass,
        tree.center_of_mass,
        load,
        half,
    )
    assert found == pytest.approx(expected, rel=1e-6)
    # Ground that bears the bucket does not pull the machine over.
    load[2] = [*k.tool_position, 0.0, 0.0, 50_000.0]
    again = overturning_share(
        chain.link_position,
        chain.link_rotation,
        tree.mass,
        tree.center_of_mass,
        load,
        half,
    )
    assert again == found


def test_a_swing_stops_within_its_ramp(cycle):
    start(cycle, start_swing_rad=0.0)
    plant, rate = cycle.plant, 0.55

    def command(swing):
        state = plant.read()
        velocity = np.array([swing, 0.0, 0.0, 0.0])
        plant.apply(Command(velocity, np.zeros(0), state.stamp_s, state.sequence + 1))
        plant.advance()
        return float(plant.truth().state.actuator_position[0])

    for _ in range(14):
        begin = command(rate)
    speed = float(plant.truth().state.actuator_velocity[0])
    assert speed == pytest.approx(rate, rel=0.03)
    for _ in range(25):
        end = command(0.0)
    assert abs(float(plant.truth().state.actuator_velocity[0])) < 1e-3
    # v^2 / 2a with the class's 0.6 rad/s^2; the motors' torque is not what limits.
    assert end - begin == pytest.approx(speed**2 / (2.0 * 0.6), rel=0.05)


def test_a_machine_at_rest_does_not_sink(cycle):
    process, _ = start(cycle)
    process.soil.load_m3 = 0.2
    for _ in range(5):
        cycle.step(np.zeros(4))
    before = cycle.truth.state.tool_pose_in_world[:3].copy()
    for _ in range(20):
        plant = cycle.plant
        state = plant.read()
        plant.apply(
            Command(np.zeros(4), np.zeros(0), state.stamp_s, state.sequence + 1)
        )
        plant.advance()
    moved = plant.truth().state.tool_pose_in_world[:3] - before
    assert np.linalg.norm(moved) < 1e-3


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"trench_depth_m": "deep"}, "needs the value"),
        ({"trench_depth_m": math.nan}, "needs the value"),
        ({"trench_length_m": -1.0}, "must be positive"),
        ({"pipe_gap_m": -0.1}, "below the bottom"),
        ({"heap_distance_m": 30.0}, "on the ground's map"),
    ],
)
def test_a_site_that_cannot_be_is_refused_with_the_reason(cycle, values, reason):
    with pytest.raises(ContractError, match=reason):
        start(cycle, **values)


def test_the_site_turns_with_its_bearing():
    base = {
        "trench_distance_m": 4.0,
        "trench_length_m": 2.0,
        "trench_depth_m": 0.4,
        "trench_bearing_rad": 0.3,
        "trench_offset_m": 0.0,
        "heap_distance_m": 5.0,
        "heap_bearing_rad": 0.5,
        "pipe_share": 0.5,
        "pipe_gap_m": 0.5,
        "pipe_skew_rad": 0.0,
        "level_m": 0.0,
    }
    site = Site(**base)
    near, far = np.array(site.trench)
    assert np.hypot(*near[:2]) == pytest.approx(4.0)
    assert math.atan2(far[1], far[0]) == pytest.approx(0.3)
    assert math.atan2(site.heap[1], site.heap[0]) == pytest.approx(0.8)
    a, b = np.array(site.pipe(0.1, 2.0))
    # The pipe crosses the middle of the trench at a right angle, 0.1 m of radius lower.
    assert np.allclose(0.5 * (a + b)[:2], 0.5 * (near + far)[:2])
    assert (b - a)[:2] @ (far - near)[:2] == pytest.approx(0.0, abs=1e-9)
    assert a[2] == pytest.approx(-0.4 - 0.5 - 0.1)


def test_an_end_stop_holds_against_a_digging_machine():
    """What the soil gives back, 250 kN at the bucket, against the end of the arm's range.

    The engine's own limit gives way by 0.2 rad under it.
    """
    robot = load_robot("excavator")
    base = np.array([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0])
    dynamics = BulletDynamics(robot, base, SceneConfig(), 1.0 / 240.0)
    try:
        place = robot.actuator_names.index("arm_joint")
        position = robot.home_position.copy()
        position[place] = robot.position_min[place] + 0.02
        dynamics.reset(position)
        body, client = dynamics._body, dynamics._client
        last = pybullet.getNumJoints(body, physicsClientId=client) - 1
        for _ in range(480):
            at = pybullet.getLinkState(body, last, physicsClientId=client)[0]
            pybullet.applyExternalForce(
                body, last, [2.5e5, 0.0, 1.0e5], at,
                pybullet.WORLD_FRAME, physicsClientId=client,
            )  # fmt: skip
            pybullet.stepSimulation(physicsClientId=client)
        dynamics.read()
        assert dynamics.position[place] > robot.position_min[place] - 0.01
    finally:
        dynamics.close()
