"""A pallet on forks against hand calculation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from physai.errors import ConfigError
from physai.plant.delivery import Delivery, DeliveryValues, slide
from physai.plant.scenario import Scenario
from physai.robot.description import load_robot
from physai.robot.kinematics import Kinematics
from physai.types import Contact

G, DT = 9.81, 0.05
VALUES = DeliveryValues(
    friction=0.3,
    fork_height_m=0.075,
    still_m_s=0.02,
    bumper_force_n=30.0,
    weighing_share=0.02,
    source="test",
)


def brake(speed, deceleration, friction, dt=1e-4):
    """Slide of a block on a support that brakes to rest, and until it rests too."""
    own, way, v = np.array([speed, 0.0]), np.zeros(2), speed
    while v > 0.0 or own[0] > 1e-9:
        v = max(0.0, v - deceleration * dt)
        slide(own, np.array([v, 0.0]), friction, dt, way)
    return way[0]


@settings(max_examples=30, deadline=None)
@given(st.floats(0.5, 2.0), st.floats(0.2, 0.35), st.floats(1.2, 3.0))
def test_a_block_braked_too_hard_slides_by_the_difference_of_two_ways(v, mu, factor):
    a = factor * mu * G
    expected = 0.5 * v * v * (1.0 / (mu * G) - 1.0 / a)
    assert brake(v, a, mu) == pytest.approx(expected, rel=0.01, abs=1e-3)


def test_a_block_braked_gently_stays():
    assert abs(brake(1.5, 1.5, 0.3)) < 1e-9
    assert abs(brake(1.5, 0.29 * G, 0.3)) < 1e-9


def scenario(**values):
    given = {"drop_x_m": 2.0, "drop_y_m": 0.1, "drop_yaw_rad": 0.0, **values}
    return Scenario(
        seed=3,
        case="test",
        group="adult_man",
        distribution="test",
        expect="deliver",
        duration_s=10.0,
        people=(),
        robot_position_rad=(0.0, 0.0, 0.3),
        payload_kg=500.0,
        values=given,
    )


class Wheels:
    """What a delivery reads of the engine: loads of the wheels."""

    wheel_load = np.array([20_000.0, 20_000.0, 10_000.0])


def made(robot):
    return Delivery(VALUES, scenario(), robot, Wheels(), 100)


def contact(force):
    table = np.zeros((1, 30))
    peak = table.copy()
    peak[0, 14] = force
    return Contact(peak, table, table, table, table, table, table, table)


def placed(robot, x, y, yaw, lift):
    k = Kinematics(robot)
    k.set_base(np.array([x, y, 0.0, 0.0, 0.0, math.sin(yaw / 2), math.cos(yaw / 2)]))
    k.update(np.array([0.0, 0.0, lift]))
    k.capsule_velocity(np.zeros(3))
    return k


def test_the_pallet_stands_where_its_middle_is_and_only_on_the_floor():
    robot = load_robot("truck")
    delivery = made(robot)
    reach = 0.894998
    k = placed(robot, 2.0 - reach, 0.1, 0.0, 0.3)
    delivery.advance(DT, k, [], contact(0.0))
    exact, _, more = delivery.truth(k, np.zeros((0, 16, 7)))
    assert more[0] == pytest.approx(0.0, abs=1e-9)
    assert more[2] == 0.0
    k = placed(robot, 2.0 - reach + 0.03, 0.1 - 0.04, 0.02, 0.02)
    delivery.advance(DT, k, [], contact(0.0))
    _, _, more = delivery.truth(k, np.zeros((0, 16, 7)))
    off = (
        np.array([2.03 - reach, 0.06])
        + reach * np.array([math.cos(0.02), math.sin(0.02)])
        - [2.0, 0.1]
    )
    assert more[0] == pytest.approx(np.linalg.norm(off))
    assert more[1] == pytest.approx(0.02)
    assert more[2] == 1.0
    assert more[4] == pytest.approx(0.2)
    assert exact[3] == pytest.approx(500.0, rel=0.02)


def test_the_bumper_gives_its_signal_above_its_force():
    robot = load_robot("truck")
    delivery, k = made(robot), placed(robot, 0.0, 0.0, 0.0, 0.3)
    for force, signal in ((0.0, 0.0), (29.0, 0.0), (31.0, 1.0), (0.0, 0.0)):
        delivery.advance(DT, k, [], contact(force))
        assert delivery.extras(0.0)[0][5] == signal


def test_a_robot_without_payload_or_a_scenario_without_drop_pose_is_refused():
    with pytest.raises(ConfigError, match="carries no pallet"):
        Delivery(VALUES, scenario(), load_robot("franka"), Wheels(), 10)
    bare = scenario().model_copy(update={"values": {}})
    with pytest.raises(ConfigError, match="drop_x_m"):
        Delivery(VALUES, bare, load_robot("truck"), Wheels(), 10)
