"""State and command survive the way to ROS and back."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from physai.errors import ContractError, LinkError
from physai.plant import messages
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
