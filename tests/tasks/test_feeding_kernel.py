from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from physai.robot.description import load_robot, rotation_from_rpy
from physai.robot.kinematics import quaternion_from_rotation
from physai.tasks.care import feeding_kernel as kernel
from physai.tasks.care import feeding_observation as observation

ANGLE = st.floats(-0.7, 0.7)


def extras(axis, mouth=(0.83, 0.0, 1.1)):
    return np.array([*mouth, *axis, 0.03, 1.0, 0.0, 1.0])


def axis_of(yaw, pitch):
    return np.array(
        [-np.cos(pitch) * np.cos(yaw), -np.cos(pitch) * np.sin(yaw), np.sin(pitch)]
    )


def pose(position, rotation):
    quaternion = np.empty(4)
    quaternion_from_rotation(np.ascontiguousarray(rotation), quaternion)
    return np.array([*position, *quaternion])


@settings(deadline=None, max_examples=50)
@given(ANGLE, ANGLE)
def test_the_mouth_frame_is_a_rotation_with_its_x_out_of_the_mouth(yaw, pitch):
    frame, axis = np.empty((3, 3)), axis_of(yaw, pitch)
    kernel.mouth_frame(extras(axis), frame)
    assert np.allclose(frame.T @ frame, np.eye(3), atol=1e-12)
    assert np.isclose(np.linalg.det(frame), 1.0)
    assert np.allclose(frame[:, 0], axis)
    assert abs(frame[2, 1]) < 1e-12 and frame[2, 2] > 0


def test_a_missing_axis_gives_the_frame_of_somebody_who_faces_the_robot():
    frame = np.empty((3, 3))
    for axis in ((0, 0, 0), (np.nan, 0, 0), (0, 0, 1), (np.inf, 0, 0)):
        kernel.mouth_frame(extras(axis), frame)
        assert np.allclose(frame, [[-1, 0, 0], [0, -1, 0], [0, 0, 1]])


@settings(deadline=None, max_examples=50)
@given(ANGLE, ANGLE, ANGLE, ANGLE, ANGLE)
def test_turning_by_the_angle_shown_makes_the_spoon_level(yaw, pitch, r, p, y):
    """The rotation vector that is observed is the turn that is still to be made."""
    robot = load_robot("franka")
    spoon = rotation_from_rpy(r, p, y)
    given_extras, frame = extras(axis_of(yaw, pitch)), np.empty((3, 3))
    kernel.mouth_frame(given_extras, frame)
    spaces = observation.spaces_of(robot, 0.1, 0.5)
    out = np.empty(len(spaces.observation_names), dtype=np.float32)
    observation.observe(
        pose((0.6, 0.0, 1.0), spoon),
        given_extras,
        np.zeros(10),
        robot.home_position,
        np.zeros(7),
        np.zeros(3),
        np.zeros((0, 16, 7)),
        0.0,
        0.0,
        np.array([8, 9, 10, 11]),
        spaces.observation_low,
        spaces.observation_high,
        out,
    )
    vector = frame @ out[3:6]
    angle = float(np.linalg.norm(vector))
    k = vector / max(angle, 1e-12)
    cross = np.array([[0, -k[2], k[1]], [k[2], 0, -k[0]], [-k[1], k[0], 0]])
    turn = np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross
    level = turn @ spoon
    flat = -frame[:, 0] * [1, 1, 0]
    assert np.allclose(level[:, 0], flat / np.linalg.norm(flat), atol=2e-4)
    assert np.allclose(level[:, 2], [0, 0, 1], atol=2e-4)


def test_the_tip_is_measured_along_the_axis():
    out = np.empty(4)
    where = pose((0.60, 0.01, 1.1), np.eye(3))
    kernel.progress(where, extras((-1, 0, 0)), 0.015, out)
    assert np.allclose(out, [0.83 - 0.615, 0.01, np.hypot(0.215, 0.01), 0.0], atol=1e-9)


def test_an_action_is_cut_to_its_range_and_turned_into_the_world():
    out = np.empty(6)
    action = np.array([2.0, 0.0, 0.0, 0.0, 0.0, -5.0])
    kernel.twist_in_world(extras((-1, 0, 0)), action, 0.1, 0.5, out)
    assert np.allclose(out, [-0.1, 0, 0, 0, 0, -0.5])
    action[0] = np.nan
    kernel.twist_in_world(extras((-1, 0, 0)), action, 0.1, 0.5, out)
    assert np.isnan(out[0])


def test_the_tip_of_the_franka_spoon():
    assert np.isclose(kernel.tip_of(load_robot("franka")), 0.015, atol=1e-6)
