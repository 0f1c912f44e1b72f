"""Arm and base take turns, and what is carried stays level."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from physai.errors import ConfigError
from physai.robot.description import load_robot
from physai.robot.kinematics import Kinematics
from physai.safety.rules import Signal
from physai.safety.sections import load_section
from physai.safety.sections.section import Caps
from tests.safety.test_sections import make_state

VALUES = {
    "standing_m_s": 0.03,
    "standing_rad_s": 0.05,
    "still_rad_s": 0.04,
    "creep_share": 0.02,
    "stowed_radius_m": 0.48,
    "stretched_m_s": 0.05,
    "stretched_rad_s": 0.05,
    "tilt_limit_rad": 0.25,
    "tilt_gain_per_s": 3.0,
    "source": "test",
}
ROBOT = load_robot("mobile_manipulator")
joints = st.lists(st.floats(-0.25, 0.25), min_size=7, max_size=7)
shares = st.lists(st.floats(0.0, 1.0), min_size=7, max_size=7)
signs = st.lists(st.sampled_from([-1.0, 1.0]), min_size=7, max_size=7)


def look(posture, velocity=None):
    """Return caps, signals and tilt of a posture."""
    found, checked = load_section("carrying", VALUES)
    caps = Caps(len(ROBOT.actuator_names))
    section = found(checked, ROBOT, False, caps, 0.1)
    state, k = make_state(ROBOT), Kinematics(ROBOT)
    if velocity is not None:
        state.actuator_velocity[:] = velocity
    k.update(posture)
    signals = np.zeros(Signal.COUNT)
    caps.clear()
    section.update(state, k, signals)
    return caps, signals, k


def tilt_of(k):
    return float(np.arccos(np.clip(-k.tool_rotation[2, 2], -1.0, 1.0)))


@settings(deadline=None, max_examples=200)
@given(joints, shares, signs)
def test_no_command_within_the_caps_tilts_beyond_the_limit(offset, share, sign):
    posture = np.array(ROBOT.home_position)
    posture[2:] += offset
    caps, signals, k = look(posture)
    before = tilt_of(k)
    assert signals[Signal.LOAD_TILT] == pytest.approx(before, abs=1e-6)
    velocity = np.where(np.array(sign) > 0.0, caps.upper[2:], caps.lower[2:]) * share
    # One control period at constant joint speeds; second order in the step.
    posture[2:] += velocity * 0.05
    k.update(posture)
    assert tilt_of(k) <= max(before, VALUES["tilt_limit_rad"]) + 0.01


def test_joints_about_the_vertical_are_free():
    caps, _, _ = look(np.array(ROBOT.home_position))
    fastest = ROBOT.velocity_max
    assert caps.upper[2] == pytest.approx(fastest[2])
    assert caps.upper[3] < 0.2 * fastest[3]


def test_while_the_base_drives_the_arm_creeps_and_the_other_way_round():
    fastest = ROBOT.velocity_max
    velocity = np.zeros(9)
    velocity[0] = 0.2
    caps, signals, _ = look(np.array(ROBOT.home_position), velocity)
    assert (caps.upper[2:] <= 0.02 * fastest[2:] + 1e-12).all()
    assert signals[Signal.CARRYING_SPEED] <= 0.0
    velocity = np.zeros(9)
    velocity[2] = 0.3
    caps, _, _ = look(np.array(ROBOT.home_position), velocity)
    assert caps.upper[0] == pytest.approx(0.02 * fastest[0])
    velocity[0] = 0.2
    _, signals, _ = look(np.array(ROBOT.home_position), velocity)
    assert signals[Signal.CARRYING_SPEED] == pytest.approx(
        max(0.2 / fastest[0], 0.3 / fastest[2]) - 0.02, abs=1e-9
    )


def test_a_stretched_arm_slows_the_base():
    posture = np.array(ROBOT.home_position)
    posture[3], posture[5] = 0.6, -1.2
    caps, _, k = look(posture)
    assert np.hypot(*k.tool_position[:2]) > VALUES["stowed_radius_m"]
    assert caps.upper[0] == VALUES["stretched_m_s"]
    assert caps.lower[1] == -VALUES["stretched_rad_s"]


def test_a_robot_that_is_bolted_down_is_refused():
    found, checked = load_section("carrying", VALUES)
    franka = load_robot("franka")
    with pytest.raises(ConfigError, match="no base"):
        found(checked, franka, False, Caps(7), 0.1)
