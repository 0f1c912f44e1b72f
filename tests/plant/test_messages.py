"""State and command survive the way to ROS and back."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from physai.errors import ContractError, LinkError
from physai.plant import messages
from physai.robot.description import LidarMountConfig
from physai.types import Command

JOINTS = messages.JointMap(
    ("a", "b", "c"), np.array([1.0, -1.0, 1.0]), np.array([0.0, 0.5, -0.25])
)
numbers = st.lists(st.floats(-10, 10), min_size=3, max_size=3)


def travel(message):
    return json.loads(json.dumps(message, allow_nan=False))


@given(numbers, numbers, numbers, st.permutations([0, 1, 2]))
def test_joint_states_come_back_in_any_order(position, velocity, effort, order):
    message = travel(
        messages.joint_message(
            JOINTS, np.array(position), np.array(velocity), np.array(effort), 12.5
        )
    )
    for key in ("name", "position", "velocity", "effort"):
        message[key] = [message[key][i] for i in order]
    back = messages.parse_joints(message, JOINTS)
    for given_values, values in zip((position, velocity, effort), back, strict=True):
        np.testing.assert_allclose(values, given_values, atol=1e-12)
    assert messages.stamp_of(message) == pytest.approx(12.5)


def test_not_a_number_travels_as_null_and_comes_back():
    message = travel(
        messages.joint_message(
            JOINTS, np.array([np.nan, 0, 0]), np.zeros(3), np.full(3, np.nan), 0.0
        )
    )
    assert message["position"][0] is None
    assert np.isnan(messages.parse_joints(message, JOINTS)[0][0])


def test_a_missing_joint_is_named():
    message = messages.joint_message(JOINTS, np.zeros(3), np.zeros(3), np.zeros(3), 0.0)
    message["name"][1] = "bb"
    with pytest.raises(LinkError, match='no joint "b"'):
        messages.parse_joints(message, JOINTS)


@given(numbers, st.integers(0, 10**9))
def test_commands_come_back(velocity, sequence):
    command = Command(np.array(velocity), np.zeros(0), 3.25, sequence)
    back = messages.parse_command(
        travel(messages.command_message(command, JOINTS)), JOINTS, 0
    )
    np.testing.assert_allclose(back.actuator_velocity, velocity)
    assert back.sequence == sequence and back.stamp_s == 3.25


def test_a_command_that_is_not_finite_is_never_made():
    command = Command(np.array([np.inf, 0, 0]), np.zeros(0), 0.0, 1)
    with pytest.raises(ContractError):
        messages.command_message(command, JOINTS)


@given(st.integers(0, 3))
def test_people_come_back(count):
    people = np.random.default_rng(count).normal(size=(count, 16, 7))
    ages = np.linspace(0.1, 0.2, count)
    back = messages.parse_people(travel(messages.people_message(people, ages, 0.07)))
    np.testing.assert_allclose(back[0], people)
    np.testing.assert_allclose(back[1], ages)
    assert back[2] == 0.07
    with pytest.raises(LinkError):
        messages.parse_people({"data": [count + 1.0, 0.0]})


LIDAR = LidarMountConfig(
    position_m=(0.5, 0.0, 0.2),
    rays=8,
    field_of_view_rad=3.0,
    range_max_m=10.0,
    source="test",
)
angles = st.floats(-3.1, 3.1)


@settings(deadline=None)
@given(numbers, numbers, numbers, angles)
def test_odometry_comes_back_in_the_world(place, linear, angular, yaw):
    pose = np.array([*place, 0.0, 0.0, np.sin(yaw / 2), np.cos(yaw / 2)])
    twist = np.array([*linear, *angular])
    message = travel(messages.odometry_message(pose, twist, 7.5))
    back = messages.parse_odometry(message)
    np.testing.assert_allclose(back[0], pose, atol=1e-12)
    np.testing.assert_allclose(back[1], twist, atol=1e-9)
    assert messages.stamp_of(message) == pytest.approx(7.5)


def test_the_twist_of_odometry_is_in_the_base_frame():
    half = np.pi / 4
    pose = np.array([0, 0, 0, 0, 0, np.sin(half), np.cos(half)])
    message = messages.odometry_message(pose, np.array([0, 1.0, 0, 0, 0, 0.2]), 0.0)
    assert message["twist"]["twist"]["linear"]["x"] == pytest.approx(1.0)
    assert message["twist"]["twist"]["angular"]["z"] == pytest.approx(0.2)


def test_a_scan_has_no_infinity_and_looks_where_the_robot_says():
    ranges = np.array([1.0, 2.0, np.inf, 4.0, np.nan, 6.0, 7.0, 8.0])
    message = travel(messages.scan_message(ranges, LIDAR, 1.0))
    back = messages.parse_scan(message, LIDAR)
    assert back[2] == LIDAR.range_max_m and np.isnan(back[4])
    message["angle_min"] = 0.0
    with pytest.raises(LinkError, match="begins at"):
        messages.parse_scan(message, LIDAR)
    message["ranges"] = message["ranges"][:5]
    with pytest.raises(LinkError, match="5 rays"):
        messages.parse_scan(message, LIDAR)


def test_objects_and_the_base_command_travel():
    poses, ages = np.arange(14.0).reshape(2, 7), np.array([0.1, 0.2])
    back = messages.parse_objects(travel(messages.objects_message(poses, ages)))
    np.testing.assert_array_equal(back[0], poses)
    np.testing.assert_array_equal(back[1], ages)
    command = Command(np.array([0.5, -0.2, 0.1]), np.zeros(0), 0.0, 1)
    twist = travel(messages.base_message(command, 2.0))["twist"]
    assert twist["linear"]["x"] == 0.5 and twist["angular"]["z"] == -0.2
    bad = Command(np.array([np.nan, 0.0]), np.zeros(0), 0.0, 1)
    with pytest.raises(ContractError, match="never sent"):
        messages.base_message(bad, 0.0)
    with pytest.raises(LinkError, match="odometry"):
        messages.parse_odometry({"pose": {}})
