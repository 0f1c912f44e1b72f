"""LogisticsCrossing: route and sight against geometry, stopping, guard and expert."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from physai.body.behaviour import BehaviourConfig, TriggerConfig
from physai.body.person import SEGMENTS
from physai.plant.faults import FaultConfig
from physai.plant.sight import Sight
from physai.robot.kinematics import Kinematics
from physai.safety.sections.section import footprint_of
from physai.tasks import registry
from physai.tasks.logistics import crossing_kernel as kernel
from physai.tasks.logistics.crossing_expert import gap_to_people

ID = "physai/LogisticsCrossing-v0"
FIRST = 10_000_000


@pytest.fixture(scope="module")
def guarded():
    cycle = registry.make_cycle(ID, guard="on")
    yield cycle
    cycle.close()


@pytest.fixture(scope="module")
def unguarded():
    cycle = registry.make_cycle(ID, guard="off")
    yield cycle
    cycle.close()


def ahead(cycle, action=(1.0, 0.0, 0.0)):
    """A policy that asks for one thing only."""
    return lambda: np.array(action, dtype=np.float32)


def drive(cycle, scenario, act, seconds=None):
    """Run an episode; return its records."""
    cycle.reset(scenario)
    records = []
    while True:
        records.append(cycle.step(act()))
        last = records[-1]
        over = seconds is not None and last.time_s >= seconds
        if last.terminated or last.truncated or over:
            return records


def expert(cycle):
    policy = cycle.scripted_policy("expert")
    return lambda: policy.act(cycle.observation)


def violated(cycle, records, rule):
    place = cycle.spec.rule_names.index(rule)
    return any(not r.truth_margins[place] >= 0.0 for r in records)


# The route


@settings(max_examples=60, deadline=None)
@given(st.floats(-2.0, 12.0), st.floats(-0.4, 0.4))
def test_heading_and_curvature_are_the_derivatives_of_the_route(x, offset):
    h, at = 1e-4, np.empty(3)

    def y(place):
        out = np.empty(3)
        kernel.route_at(place, 4.0, 8.0, offset, out)
        return out[0]

    kernel.route_at(x, 4.0, 8.0, offset, at)
    slope = (y(x + h) - y(x - h)) / (2 * h)
    bend = (y(x + h) - 2 * y(x) + y(x - h)) / h**2
    assert at[1] == pytest.approx(math.atan(slope), abs=1e-6)
    assert at[2] == pytest.approx(bend / (1 + slope**2) ** 1.5, abs=1e-4)
    assert abs(at[2]) <= 5.774 * abs(offset) / 16.0 + 1e-9


def test_offsets_and_headings_are_positive_to_the_left():
    out = np.empty(5)
    pose = np.array([0.0, 0.2, 0.0, 0.0, 0.0, math.sin(0.05), math.cos(0.05)])
    kernel.follow(pose, np.array([9.0, 0.3, 0.0]), 0.9, 4.0, 1.0, out)
    assert out[0] == pytest.approx(0.2)
    assert out[1] == pytest.approx(0.1)
    assert out[2] == pytest.approx(8.1)


def test_zones_that_the_policy_sees_are_those_of_the_specification(guarded):
    areas = guarded.spec.config.sections["areas"]["areas"]
    route = guarded.task.settings.route
    for area, zone in zip(areas, (route.crossing_x_m, route.approach_x_m), strict=True):
        xs = [corner[0] for corner in area["polygon_m"]]
        assert (min(xs), max(xs)) == zone


# What can be seen at the crossing, and when


def person_at(x, y):
    rows = np.zeros((1, len(SEGMENTS), 7))
    rows[0, :, [0, 3]], rows[0, :, [1, 4]] = x, y
    rows[0, :, [2, 5]], rows[0, :, 6] = 1.0, 0.2
    return rows


def first_sight(cycle, base_x, person_x):
    """How near the surfaces are when a person who comes along a line is first seen."""
    plant = cycle.environment.plant
    kinematics = Kinematics(cycle.task.robot)
    pose = np.array([base_x, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0])
    kinematics.set_base(pose)
    kinematics.update(np.array([0.0, 0.0, 0.3]))
    sight = Sight(plant.tracker.eye, plant.scene, kinematics)
    box, none = footprint_of(cycle.task.robot), np.zeros(1)
    for y in np.arange(6.0, 0.9, -0.02):
        people = person_at(person_x, y)
        if sight.look(people)[0]:
            return gap_to_people(pose, box, people, none, 0.0)
    return 0.0


def test_the_zone_leaves_room_for_who_steps_out(guarded):
    """From first sight the truck stops before a person who walks on at 1.6 m/s."""
    s, tracker = guarded.spec.config.separation, guarded.environment.plant.tracker
    limit = float(guarded.task.robot.velocity_max[0])
    for area in guarded.spec.config.sections["areas"]["areas"]:
        v = area["speed_share"] * limit
        xs = [corner[0] for corner in area["polygon_m"]]
        # Frame, latency, and one control period until the truck brakes.
        delay = 1.0 / tracker.rate_hz + tracker.latency_s + 1.0 / 20.0
        needed = (v + s.human_speed_m_s) * delay + v**2 / (2 * s.deceleration_m_s2)
        needed += s.human_speed_m_s * v / s.deceleration_m_s2
        # It goes on at the speed of the zone before until it has braked.
        start = min(xs) + 0.4
        for base_x in np.arange(start, min(max(xs), -1.6), 0.2):
            for person_x in (-1.5, -1.2, -0.6, 0.0, 0.6, 1.2):
                assert first_sight(guarded, base_x, person_x) >= needed - 1e-9


# Stopping


@pytest.mark.parametrize("payload", [0.0, 500.0, 1000.0])
@pytest.mark.parametrize("place", [-6.0, 5.0])
def test_the_truck_stops_as_the_specification_says(unguarded, payload, place):
    """On the wet patch and on the dry floor, with the least friction."""
    task, s = unguarded.task, unguarded.spec.config.separation
    scenario = task.sample_scenario(FIRST, "test", "nominal_free")
    base = scenario.base.model_copy(
        update={"position_m": (place - 2.0, 0.0, 0.0), "yaw_rad": 0.0}
    )
    scenario = scenario.model_copy(
        update={"payload_kg": payload, "friction_scale": 0.85, "base": base}
    )
    speed = 1.6
    cycle = unguarded
    cycle.reset(scenario)
    act = np.array([speed / task.settings.action.linear_m_s, 0.0, 0.0])
    while cycle.truth.state.base_pose_in_world[0] < place:
        cycle.step(act)
    before = cycle.truth.state
    v, x = float(before.actuator_velocity[0]), float(before.base_pose_in_world[0])
    assert v == pytest.approx(speed, abs=0.05)
    while abs(cycle.truth.state.actuator_velocity[0]) > 0.005:
        cycle.step(np.zeros(3))
    way = float(cycle.truth.state.base_pose_in_world[0]) - x
    permitted = v * s.reaction_time_s + v**2 / (2 * s.deceleration_m_s2)
    # Faster than its brakes it cannot stop.
    assert v**2 / (2 * 2.5) < way < permitted
    extras = cycle.truth.extras
    assert extras[3] < 0.005, "the load stayed where it was"
    assert extras[4] > 0.2, "the rear axle stayed on the ground"


# Guard


def test_unguarded_full_speed_runs_a_person_over_and_guarded_it_does_not(
    guarded, unguarded
):
    task = guarded.task
    template = task.environment.template("misuse_run_out_near")
    hit = 0
    for seed in range(FIRST, FIRST + 4):
        scenario = task.sample_scenario(seed, "test", template)
        scenario = scenario.model_copy(update={"duration_s": 20.0})
        records = drive(unguarded, scenario, ahead(unguarded))
        hit += violated(unguarded, records, "moving_contact")
        records = drive(guarded, scenario, ahead(guarded))
        for rule in ("moving_contact", "separation", "near_speed", "geofence"):
            assert not violated(guarded, records, rule), rule
    assert hit >= 1


def test_a_bumper_latches_and_nothing_but_a_person_releases_it(guarded):
    task = guarded.task
    scenario = task.sample_scenario(FIRST, "test", "nominal_free")
    person = scenario.people[0]
    path = person.path.model_copy(
        update={
            "position_m": (-5.0, 1.2, 0.0),
            "waypoints_m": ((-5.0, 1.2), (-10.0, 0.0)),
        }
    )
    walks = BehaviourConfig(kind="cross", speed_m_s=1.2)
    person = person.model_copy(update={"path": path, "behaviours": (walks,)})
    scenario = scenario.model_copy(update={"people": (person,)})
    records = drive(guarded, scenario, expert(guarded))
    last = records[-1]
    assert last.decision.latched and last.decision.rule == "bumper"
    assert not last.success
    assert not violated(guarded, records, "moving_contact")
    # More commands move nothing.
    state = guarded.plant.read()
    command, decision = guarded.guard.certify(
        state, guarded.task.decode(np.array([1.0, 0.0, 0.0]), state)
    )
    assert decision.latched and not command.actuator_velocity.any()


def test_a_hold_releases_by_itself_when_the_way_has_been_clear(guarded):
    """A person in the way is a hold, not a latched stop: the pallet is delivered."""
    scenario = guarded.task.sample_scenario(FIRST + 1, "test", "misuse_block_way")
    records = drive(guarded, scenario, expert(guarded))
    speeds = np.array([r.truth.state.actuator_velocity[0] for r in records])
    waiting = np.abs(speeds[60:-60]) < 0.01
    assert waiting.sum() >= 40, "it waited two seconds at least"
    assert records[-1].success
    assert not any(r.decision.latched for r in records)


def test_who_the_cameras_miss_is_still_an_obstacle_to_the_lidar(guarded):
    task = guarded.task
    scenario = task.sample_scenario(FIRST, "test", "nominal_free")
    person = scenario.people[0]
    path = person.path.model_copy(
        update={"position_m": (-4.0, 0.1, 0.0), "waypoints_m": ()}
    )
    person = person.model_copy(update={"path": path, "behaviours": ()})
    scenario = scenario.model_copy(
        update={
            "people": (person,),
            "faults": (FaultConfig(kind="missed_person"),),
            "duration_s": 15.0,
        }
    )
    records = drive(guarded, scenario, ahead(guarded))
    assert not violated(guarded, records, "moving_contact")
    end = records[-1].truth.state
    box, none = footprint_of(task.robot), np.zeros(1)
    gap = gap_to_people(end.base_pose_in_world, box, end.people, none, 0.0)
    assert abs(end.actuator_velocity[0]) < 0.01
    assert 0.1 < gap < 1.0


def test_with_the_load_lowered_the_lidar_is_blind_and_the_truck_stays(guarded):
    scenario = guarded.task.sample_scenario(FIRST, "test", "nominal_free")
    low = scenario.model_copy(
        update={"robot_position_rad": (0.0, 0.0, 0.02), "duration_s": 3.0}
    )
    records = drive(guarded, low, ahead(guarded))
    x = [r.truth.state.base_pose_in_world[0] for r in records]
    assert abs(x[-1] - x[0]) < 0.01
    assert (records[-1].state.lidar_range_m[80:101] == 0.0).all()


# Expert


@pytest.mark.parametrize("case", ["nominal_cross", "boundary_wet_heavy"])
def test_the_expert_delivers_safely(guarded, case):
    scenario = guarded.task.sample_scenario(FIRST + 2, "test", case)
    records = drive(guarded, scenario, expert(guarded))
    assert records[-1].success
    extras = records[-1].truth.extras
    assert extras[0] <= 0.05 and extras[1] <= 0.035
    hard = [r.id for r in guarded.spec.config.rules if r.verdict.kind == "hard"]
    assert not any(violated(guarded, records, rule) for rule in hard)


def test_the_expert_earns_more_than_chance(guarded):
    scenario = guarded.task.sample_scenario(FIRST + 3, "test", "nominal_free")
    earned = []
    for name in ("expert", "random"):
        policy = guarded.scripted_policy(name, 1)
        records = drive(
            guarded, scenario, lambda p=policy: p.act(guarded.observation), 40.0
        )
        earned.append(sum(r.reward for r in records))
    assert earned[0] > earned[1] + 5.0


def test_a_trigger_of_the_robots_distance_reaches_people_who_walk(guarded):
    """The plant tells people where the truck is."""
    scenario = guarded.task.sample_scenario(FIRST, "test", "nominal_cross")
    never = BehaviourConfig(
        kind="cross",
        speed_m_s=1.0,
        trigger=TriggerConfig(signal="robot_distance_m", below=0.5),
    )
    person = scenario.people[0].model_copy(update={"behaviours": (never,)})
    still = scenario.model_copy(update={"people": (person,)})
    for given_scenario, moves in ((scenario, True), (still, False)):
        records = drive(guarded, given_scenario, expert(guarded), 14.0)
        y = [r.truth.state.people[0, 5, 1] for r in records]
        assert (max(y) - min(y) > 1.0) == moves
