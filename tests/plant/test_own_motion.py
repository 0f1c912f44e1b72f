"""A robot that is pushed is not charged with the motion of the push."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from physai.plant.own_motion import OwnMotion
from physai.robot.description import load_robot
from physai.robot.kinematics import Kinematics
from physai.tasks.task import no_contact

PERIOD = 0.05


@pytest.fixture
def robot():
    return load_robot("mobile_manipulator")


def touch(speed):
    nothing = no_contact(1)
    force, own = nothing.force_peak_n.copy(), nothing.robot_normal_speed_m_s.copy()
    force[0, 5], own[0, 5] = 100.0, speed
    return dataclasses.replace(nothing, force_peak_n=force, robot_normal_speed_m_s=own)


def drive(v):
    velocity = np.zeros(9)
    velocity[0] = v
    return velocity


def test_a_robot_at_rest_that_is_pushed_has_no_speed_of_its_own(robot):
    own, k = OwnMotion(robot, PERIOD), Kinematics(robot)
    own.judge(no_contact(1), drive(0.0), drive(0.0), k)
    for _ in range(10):
        judged = own.judge(touch(0.3), drive(-0.4), drive(0.0), k)
        assert judged.robot_normal_speed_m_s[0, 5] == 0.0
    # What reads the kinematics afterwards finds the measured motion.
    assert k.link_velocity[0, 0] == pytest.approx(-0.4)


def test_a_robot_that_drives_into_somebody_is_charged_with_its_speed(robot):
    own, k = OwnMotion(robot, PERIOD), Kinematics(robot)
    own.judge(no_contact(1), drive(0.3), drive(0.3), k)
    judged = own.judge(touch(0.28), drive(0.28), drive(0.3), k)
    assert judged.robot_normal_speed_m_s[0, 5] == pytest.approx(0.28)


def test_its_own_speed_falls_as_its_drive_brakes(robot):
    own, k = OwnMotion(robot, PERIOD), Kinematics(robot)
    own.judge(no_contact(1), drive(0.3), drive(0.3), k)
    braking = float(robot.braking_max[0])
    for step in range(1, 6):
        judged = own.judge(touch(0.5), drive(0.5), drive(0.0), k)
        before = max(0.0, 0.3 - (step - 1) * braking * PERIOD)
        assert judged.robot_normal_speed_m_s[0, 5] == pytest.approx(before, rel=1e-9)


def test_some_time_after_a_push_the_measured_motion_is_its_own_again(robot):
    own, k = OwnMotion(robot, PERIOD), Kinematics(robot)
    own.judge(touch(0.3), drive(0.3), drive(0.0), k)
    for _ in range(30):
        own.judge(no_contact(1), drive(0.1), drive(0.0), k)
    assert own.velocity[0] == pytest.approx(0.1)
