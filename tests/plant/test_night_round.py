"""Item, reports, exit zone, sheet and bed sensor of a night round."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from physai.plant.night_round import NightRound
from physai.plant.night_round_kernel import (
    Figure,
    Status,
    advance,
    sees,
    sheet_ahead,
)
from physai.plant.night_round_settings import figures_of
from physai.plant.process import load_process
from physai.plant.scenario import Scenario
from physai.robot.description import load_robot, rotation_from_rpy
from physai.robot.kinematics import Kinematics, quaternion_from_rotation
from physai.tasks import registry

DT = 0.05
LAW = settings(deadline=None, max_examples=100)


@pytest.fixture(scope="module")
def robot():
    return load_robot("mobile_manipulator")


@pytest.fixture(scope="module")
def config():
    environment = registry.load_environment("physai/CareNightRound-v0")
    return load_process(environment.plant.process)[1]


class Round:
    """One kernel's state with a robot that is placed by hand."""

    def __init__(self, robot, config, values=None):
        self.k = Kinematics(robot)
        self.f = figures_of(config, values or {})
        self.s = np.zeros(Status.COUNT)
        self.s[Status.HELD] = 1.0
        self.s[Status.VELOCITY : Status.VELOCITY + 3] = np.nan
        self.wheels = np.array([w.position_m for w in robot.base.wheels])
        self.bodies = np.zeros((1, 16, 7))
        self.put_person(1.0, 4.6, 0.65)
        self.place(-0.95, 4.95, 0.5 * math.pi)

    def place(self, x, y, yaw, rpy=(0.0, 0.0)):
        q = np.empty(4)
        quaternion_from_rotation(rotation_from_rpy(*rpy, yaw), q)
        self.k.set_base(np.array([x, y, 0.0, *q]))
        self.k.update(self.k.robot.home_position)
        self.k.capsule_velocity(np.zeros(9))

    def put_person(self, x, y, z):
        self.bodies[0, :, :3] = self.bodies[0, :, 3:6] = x, y, z

    def hold_at(self, x, y, bottom):
        """Put the tool's frame so that the item's bottom is at a place."""
        height = self.f[Figure.ITEM_HEIGHT]
        self.k.link_position[self.k.robot.tool_link] = x, y, bottom + 0.5 * height

    def step(self, opens=False, reports=False, count=1):
        for _ in range(count):
            advance(
                self.k.buffer, self.k.size, self.k.robot.tool_link, self.wheels,
                self.bodies, opens, reports, DT, self.f, self.s,
            )  # fmt: skip


def middle_of_table(f):
    x0, y0, x1, y1 = f[Figure.TABLE : Figure.TABLE + 4]
    return 0.5 * (x0 + x1), 0.5 * (y0 + y1)


def test_a_hand_that_feels_the_weight_does_not_open(robot, config):
    night = Round(robot, config)
    night.step(opens=True, count=20)
    assert night.s[Status.HELD] == 1.0 and night.s[Status.PLACED] == 0.0


def test_the_item_stands_where_the_hand_opens_on_the_table(robot, config):
    night = Round(robot, config)
    x, y = middle_of_table(night.f)
    top = night.f[Figure.TABLE_TOP]
    night.hold_at(x, y, top + 0.01)
    night.step()
    assert night.s[Status.PLACED] == 0.0
    night.step(opens=True)
    assert night.s[Status.PLACED] == 1.0 and night.s[Status.HELD] == 0.0
    assert night.s[Status.ITEM + 2] == pytest.approx(top + 0.1)
    night.hold_at(0.0, 0.0, 1.5)
    night.step(count=5)
    assert night.s[Status.ITEM] == pytest.approx(x)


def test_at_the_edge_of_the_table_nothing_stands(robot, config):
    night = Round(robot, config)
    _, y = middle_of_table(night.f)
    edge = night.f[Figure.TABLE]
    night.hold_at(edge + 0.5 * night.f[Figure.ITEM_RADIUS], y, night.f[16] + 0.01)
    night.step(opens=True, count=5)
    assert night.s[Status.PLACED] == 0.0 and night.s[Status.HELD] == 1.0


def test_an_item_pushed_into_the_table_falls_over(robot, config):
    night = Round(robot, config)
    x, y = middle_of_table(night.f)
    night.hold_at(x, y, night.f[Figure.TABLE_TOP] - 0.05)
    night.step()
    assert night.s[Status.SPILLED] == 1.0 and night.s[Status.PLACED] == 0.0


@pytest.mark.parametrize("excess", [0.05, 0.2])
def test_what_a_tilted_cup_keeps_falls_exponentially(robot, config, excess):
    night = Round(robot, config)
    start, rate = night.f[Figure.SPILL_START], night.f[Figure.SPILL_RATE]
    night.place(-0.95, 3.0, 0.0, rpy=(start + excess, 0.0))
    night.step(count=10)
    assert night.s[Status.TILT] == pytest.approx(start + excess, abs=1e-6)
    expected = 1.0 - math.exp(-rate * excess * 10 * DT)
    assert night.s[Status.SPILLED] == pytest.approx(expected, rel=1e-6)


def test_a_level_cup_keeps_everything_at_any_heading(robot, config):
    night = Round(robot, config)
    for yaw in np.linspace(-3.0, 3.0, 7):
        night.place(-0.95, 3.0, yaw)
        night.step(count=3)
    assert night.s[Status.SPILLED] == 0.0


def test_braking_tilts_by_the_ratio_to_gravity(robot, config):
    night = Round(robot, config)
    velocity = np.zeros(9)
    for v in (0.30, 0.30 - 0.7 * DT):
        velocity[0] = v
        night.k.capsule_velocity(velocity)
        night.step()
    assert night.s[Status.TILT] == pytest.approx(math.atan(0.7 / 9.81), abs=1e-6)


@LAW
@given(
    st.floats(-3.0, 1.0), st.floats(-1.0, 4.0), st.floats(-3.0, 1.0),
    st.floats(-1.0, 4.0),
)  # fmt: skip
def test_nothing_is_seen_through_the_wall_but_by_the_door(x, y, tx, ty):
    environment = registry.load_environment("physai/CareNightRound-v0")
    f = figures_of(load_process(environment.plant.process)[1], {})
    wall, low, high = f[Figure.WALL_Y], f[Figure.DOOR_LOW], f[Figure.DOOR_HIGH]
    assume(abs(y - wall) > 1e-3 and abs(ty - wall) > 1e-3)
    yaw = math.atan2(ty - y, tx - x)
    # Walk along the line in small steps and look whether it hits the wall.
    along = np.linspace(0.0, 1.0, 4001)
    px, py = x + along * (tx - x), y + along * (ty - y)
    crossed = np.flatnonzero(np.diff(py > wall))
    free = all(low <= px[i] <= high for i in crossed)
    if len(crossed):
        gap = min(abs(px[crossed[0]] - low), abs(px[crossed[0]] - high))
        assume(gap > 0.01)
    assert sees(x, y, yaw, tx, ty, 20.0, f) == free
    assert not sees(x, y, yaw, tx, ty, 0.99 * math.hypot(tx - x, ty - y), f) or (
        math.hypot(tx - x, ty - y) < 1e-9
    )
    assert not sees(x, y, yaw + math.pi, tx, ty, 20.0, f) or (tx, ty) == (x, y)


def test_a_report_counts_only_for_somebody_who_is_up_and_in_view(robot, config):
    night = Round(robot, config)
    night.place(-0.95, 2.6, 0.8)
    night.step(reports=True)
    assert night.s[Status.FALSE_REPORTS] == 1.0 and night.s[Status.REPORTED] == 0.0
    night.put_person(0.0, 3.0, 0.9)
    night.step(count=20)
    assert night.s[Status.UP_UNREPORTED] == pytest.approx(1.0)
    night.step(reports=True)
    assert night.s[Status.REPORTED] == 1.0
    night.step(count=20)
    assert night.s[Status.UP_UNREPORTED] == pytest.approx(1.0)


def test_who_falls_after_a_report_is_reported_again(robot, config):
    night = Round(robot, config)
    night.place(-0.95, 2.6, 0.5)
    night.put_person(0.2, 3.2, 0.9)
    night.step(reports=True)
    night.put_person(0.2, 3.2, 0.15)
    night.step(count=10)
    assert night.s[Status.ON_FLOOR] == 1.0
    assert night.s[Status.FLOOR_UNREPORTED] == pytest.approx(0.5)
    night.step(reports=True, count=2)
    night.step(count=10)
    assert night.s[Status.FLOOR_UNREPORTED] == pytest.approx(0.5)


def test_standing_in_the_door_is_counted_and_driving_through_is_not(robot, config):
    night = Round(robot, config)
    velocity = np.zeros(9)
    velocity[0] = 0.15
    night.place(-0.95, 1.4, 0.5 * math.pi)
    night.k.capsule_velocity(velocity)
    night.step(count=40)
    assert night.s[Status.EXIT_BLOCKED] == 0.0
    night.k.capsule_velocity(np.zeros(9))
    night.step(count=40)
    assert night.s[Status.EXIT_STANDING] == pytest.approx(2.0)
    night.place(-0.95, 3.0, 0.5 * math.pi)
    night.step(count=40)
    assert night.s[Status.EXIT_STANDING] == 0.0
    assert night.s[Status.EXIT_BLOCKED] == pytest.approx(2.0)
    assert night.s[Status.CLEAR] == pytest.approx(2.0)


@pytest.mark.parametrize("gap", [0.2, 0.5, 1.0])
def test_the_way_to_a_sheet_is_measured_from_the_front_wheels(config, gap):
    values = {"sheet_reach_m": 1.6, "sheet_y_m": 3.5}
    f = figures_of(config, values)
    near = f[Figure.SHEET + 1]
    y = near - 0.3 - gap
    measured = sheet_ahead(-0.95, y, 0.5 * math.pi, f)
    assert gap <= measured + 1e-9 <= gap + 0.05 + 1e-9
    # Beside it, and without one, the way is free.
    assert sheet_ahead(-1.45, y, 0.5 * math.pi, f) == 1.5
    assert sheet_ahead(-0.95, y, 0.5 * math.pi, figures_of(config, {})) == 1.5


def test_only_wheels_that_move_catch_a_sheet(robot, config):
    night = Round(robot, config, {"sheet_reach_m": 1.8, "sheet_y_m": 3.5})
    night.place(-0.95, 3.5, 0.5 * math.pi)
    night.step(count=5)
    assert night.s[Status.SHEET_CAUGHT] == 0.0
    velocity = np.zeros(9)
    velocity[0] = 0.1
    night.k.capsule_velocity(velocity)
    night.step()
    assert night.s[Status.SHEET_CAUGHT] == 1.0


def scenario(**values) -> Scenario:
    task = registry.make_task(registry.load_environment("physai/CareNightRound-v0"))
    made = task.sample_scenario(10_000_000, "test", "deliver_asleep")
    return made.model_copy(update={"values": {**made.values, **values}})


class Lying:
    """A person whose pelvis alone matters."""

    def __init__(self, x, y):
        self.capsules = np.zeros((16, 7))
        self.capsules[:, :3] = self.capsules[:, 3:6] = x, y, 0.65


def run(process, robot, person, seconds):
    k = Kinematics(robot)
    k.capsule_velocity(np.zeros(9))
    heard = []
    for step in range(round(seconds / DT)):
        if step:
            process.advance(DT, k, [person], None)
        process.look(step * DT, step, [person])
        values, ages = process.extras(step * DT)
        assert np.isfinite(values).all() and (ages >= 0.0).all()
        heard.append(values[3])
    return np.array(heard)


def test_the_bed_sensor_is_late_by_its_delay(robot, config):
    process = NightRound(config, scenario(), robot, None, 400)
    heard = run(process, robot, Lying(1.0, 4.6), 1.0)
    assert not heard.any()
    person = Lying(1.0, 4.6)
    process = NightRound(config, scenario(), robot, None, 400)
    run(process, robot, person, DT)
    person.capsules[:] = Lying(0.0, 3.0).capsules
    heard = run(process, robot, person, 5.0)
    first = np.flatnonzero(heard)[0] * DT
    late = config.sensors.bed_exit_delay_s + config.sensors.latency_s
    assert first == pytest.approx(late, abs=2.5 * DT)


def test_a_false_alarm_rings_and_a_silent_sensor_does_not(robot, config):
    process = NightRound(config, scenario(false_alarm_s=0.5), robot, None, 400)
    assert run(process, robot, Lying(1.0, 4.6), 1.0)[-1] == 1.0
    process = NightRound(config, scenario(bed_sensor_missed=1.0), robot, None, 400)
    assert not run(process, robot, Lying(0.0, 3.0), 6.0).any()


def test_in_the_dark_a_sheet_is_seen_later(robot, config):
    seen = {}
    for light in (1.0, 100.0):
        given_ = scenario(light_lx=light, sheet_reach_m=1.6, sheet_y_m=3.5)
        process = NightRound(config, given_, robot, None, 400)
        process.status[Status.SHEET_AHEAD] = 1.0
        for step in range(6):
            process.look(step * DT, step, [])
        seen[light] = process.extras(5 * DT)[0][7]
    assert seen[1.0] == 1.5
    assert seen[100.0] == pytest.approx(1.0, abs=0.1)
