"""ConstructionHaul: the task's laws, its expert, and what the guard keeps."""

from __future__ import annotations

import math

import numpy as np
import pytest

from physai.body.heading import heading_of, wrap
from physai.tasks.registry import make_cycle

HAUL = "physai/ConstructionHaul-v0"


@pytest.fixture(scope="module")
def cycle():
    made = make_cycle(HAUL, "bullet", "on")
    yield made
    made.close()


def scenario(cycle, template, seed=0, duration_s=None, **values):
    """A scenario of the test range with some of its values set."""
    made = cycle.task.sample_scenario(10_000_000 + seed, "test", template)
    changed = {"values": {**made.values, **values}}
    if duration_s is not None:
        changed["duration_s"] = duration_s
    return made.model_copy(update=changed)


def run(cycle, made, action):
    """Play an episode; the true extras of every step by name, and the last record."""
    cycle.reset(made)
    rows = []
    while True:
        record = cycle.step(action(cycle))
        rows.append(record.truth.extras.copy())
        if record.terminated or record.truncated:
            break
    table = np.array(rows)
    names = cycle.environment.truth_extras
    return {name: table[:, k] for k, name in enumerate(names)}, record


def see(cycle):
    return dict(zip(cycle.spaces.observation_names, cycle.observation, strict=True))


def test_wrap_and_heading():
    for angle in (-3.0, 0.0, 1.0, 3.1):
        assert wrap(angle + 4.0 * math.pi) == pytest.approx(angle)
        half = 0.5 * angle
        pose = np.array([0, 0, 0, 0, 0, math.sin(half), math.cos(half)])
        assert heading_of(pose) == pytest.approx(angle)


def test_observation_names_the_place_on_the_route(cycle):
    cycle.reset(scenario(cycle, "nominal_clear"))
    seen, start = see(cycle), cycle.scenario.values
    assert seen["route_to_go_m"] == pytest.approx(
        cycle.task.route.length_m - start["start_along_m"], abs=0.2
    )
    assert seen["route_left_m"] == pytest.approx(start["start_left_m"], abs=0.15)
    assert seen["heading_from_route_rad"] == pytest.approx(
        start["start_yaw_rad"], abs=0.1
    )
    true = cycle.truth.state.base_pose_in_world
    dump = cycle.task.site.dump_pose_m_rad
    far = math.hypot(dump[0] - true[0], dump[1] - true[1])
    apart = math.hypot(seen["dump_x_in_base_m"], seen["dump_y_in_base_m"])
    assert apart == pytest.approx(far, abs=0.2)
    assert seen["load_share"] == pytest.approx(
        cycle.scenario.payload_kg / 1e4, rel=0.07
    )


def test_slope_that_is_announced_is_the_slope_that_comes(cycle):
    """What the map says ahead is the inclination when the machine is there."""
    cycle.reset(scenario(cycle, "nominal_clear"))
    expert = cycle.scripted_policy("expert")
    announced, felt = [], []
    for _ in range(250):
        cycle.step(expert.act(cycle.observation))
        seen = see(cycle)
        announced.append(abs(seen["slope_ahead_rad"]))
        felt.append(abs(seen["pitch_rad"]))
    # Five metres later, at about 1 m/s.
    assert np.corrcoef(announced[:-50], felt[50:])[0, 1] > 0.5


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 2, 9])
def test_expert_hauls(cycle, seed):
    expert = cycle.scripted_policy("expert")
    made = cycle.task.sample_scenario(10_000_000 + seed, "test")
    extras, record = run(cycle, made, lambda c: expert.act(c.observation))
    assert record.success
    assert extras["delivered_share"][-1] >= 0.9
    assert extras["rollover_margin_rad"].min() > 0.2
    assert extras["fence_distance_m"].min() > 0.0


@pytest.mark.slow
def test_expert_earns_more_than_chance(cycle):
    earned = {}
    for name in ("expert", "random"):
        policy = cycle.scripted_policy(name, seed=3)
        cycle.reset(scenario(cycle, "nominal_clear", start_along_m=0.5))
        earned[name] = 0.0
        while True:
            record = cycle.step(policy.act(cycle.observation))
            earned[name] += record.reward
            if record.terminated or record.truncated:
                break
    assert earned["expert"] > earned["random"] + 3.0


@pytest.mark.parametrize("yaw", [-1.4, 1.2])
def test_full_speed_at_the_fence_stops_before_it(cycle, yaw):
    made = scenario(cycle, "nominal_clear", seed=3, duration_s=25)
    base = made.base.model_copy(update={"yaw_rad": made.base.yaw_rad + yaw})
    ahead = np.array([1.0, 0.0, 0.0], dtype=np.float32)
    extras, _ = run(cycle, made.model_copy(update={"base": base}), lambda c: ahead)
    # It went there, and no corner crossed the line.
    assert extras["fence_distance_m"].min() < 1.5
    assert extras["fence_distance_m"].min() > 0.0
    assert abs(cycle.truth.state.actuator_velocity[0]) < 0.1


@pytest.mark.parametrize(
    ("template", "rule", "place"),
    [
        ("fault_satellites_gone", "position_quality", "gnss_drop_start_s"),
        ("fault_link_gone", "link_age", "link_drop_start_s"),
    ],
)
def test_stops_without_position_or_link(cycle, template, rule, place):
    made = scenario(cycle, template, seed=1, duration_s=40)
    expert = cycle.scripted_policy("expert")
    extras, record = run(cycle, made, lambda c: expert.act(c.observation))
    assert record.decision.rule == rule
    assert np.abs(cycle.truth.state.actuator_velocity[:2]).max() < 0.02
    assert extras["position_error_m"].max() < 0.6
    assert cycle.truth.state.stamp_s > made.values[place]


def test_waits_for_the_manned_machine(cycle):
    """Straight at the crossing while a machine comes: it holds, and goes on after."""
    made = scenario(
        cycle, "nominal_crossing", seed=5, duration_s=60, manned_start_s=0.5
    )
    x, y, heading = cycle.task.route.at(30.0)
    base = made.base.model_copy(update={"position_m": (x, y, 0.0), "yaw_rad": heading})
    expert = cycle.scripted_policy("expert")
    closed, inside = [], []
    cycle.reset(made.model_copy(update={"base": base}))
    for _ in range(400):
        record = cycle.step(expert.act(cycle.observation))
        closed.append(see(cycle)["crossing_closed"] > 0.5)
        inside.append(see(cycle)["crossing_to_go_m"] < 0.0)
        assert record.truth.extras[7] == 0.0
    assert any(closed)
    assert not (np.array(closed) & np.array(inside)).any()
    assert inside[-1]


def test_person_in_the_area_stops_and_latches(cycle):
    made = scenario(cycle, "misuse_intruder", seed=1)
    expert = cycle.scripted_policy("expert")
    _extras, record = run(cycle, made, lambda c: expert.act(c.observation))
    assert record.decision.latched
    assert record.decision.rule == "area_intrusion"
    assert record.truth.contact.force_peak_n.max() == 0.0
    assert not record.success


def test_backs_up_slowly_and_raises_no_bed_on_a_slope(cycle):
    cycle.reset(scenario(cycle, "nominal_clear", seed=2, duration_s=20))
    back = np.array([-1.0, 0.5, 0.0], dtype=np.float32)
    fastest = 0.0
    for _ in range(40):
        cycle.step(back)
        fastest = max(fastest, -cycle.truth.state.actuator_velocity[0])
    assert 0.2 < fastest < 0.6
    x, y, heading = cycle.task.route.at(24.0)
    made = scenario(cycle, "nominal_clear", seed=2, duration_s=20)
    base = made.base.model_copy(
        update={"position_m": (x, y, 0.0), "yaw_rad": heading + 1.2}
    )
    cycle.reset(made.model_copy(update={"base": base}))
    roll = abs(see(cycle)["roll_rad"])
    assert roll > 0.6 * 0.1745
    for _ in range(40):
        cycle.step(np.array([0.0, 0.0, 1.0], dtype=np.float32))
    assert cycle.truth.state.actuator_position[2] < 0.05


def test_people_stand_on_the_ground(cycle):
    made = scenario(cycle, "nominal_worker_beside", seed=2, duration_s=40)
    cycle.reset(made)
    nothing = np.zeros(3, dtype=np.float32)
    heights = []
    for _ in range(300):
        cycle.step(nothing)
        person = cycle.truth.state.people[0]
        lowest = min(person[:, 2].min(), person[:, 5].min())
        x, y = person[:, 0].mean(), person[:, 1].mean()
        ground = cycle.plant.dynamics.ground.height(float(x), float(y))
        heights.append(ground)
        assert lowest - ground == pytest.approx(0.05, abs=0.2)
    assert np.ptp(heights) > 0.1
