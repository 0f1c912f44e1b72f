"""A robot that is pushed is not charged with the motion of the push."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from physai.plant.own_motion import OwnMotion
from physai.robot.description import load_robot
from physai.robot.kinematics import Kinematics
from physai.tasks import registry
from physai.tasks.task import no_contact

PERIOD = 0.05
NOWHERE = np.zeros((1, 30, 6))
"""Where a contact is, is not known."""


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
    own.judge(no_contact(1), NOWHERE, drive(0.0), drive(0.0), k)
    for _ in range(10):
        judged = own.judge(touch(0.3), NOWHERE, drive(-0.4), drive(0.0), k)
        assert judged.robot_normal_speed_m_s[0, 5] == 0.0
    # What reads the kinematics afterwards finds the measured motion.
    assert k.link_velocity[0, 0] == pytest.approx(-0.4)


def test_a_robot_that_drives_into_somebody_is_charged_with_its_speed(robot):
    own, k = OwnMotion(robot, PERIOD), Kinematics(robot)
    own.judge(no_contact(1), NOWHERE, drive(0.3), drive(0.3), k)
    judged = own.judge(touch(0.28), NOWHERE, drive(0.28), drive(0.3), k)
    assert judged.robot_normal_speed_m_s[0, 5] == pytest.approx(0.28)


def test_its_own_speed_falls_as_its_drive_brakes(robot):
    own, k = OwnMotion(robot, PERIOD), Kinematics(robot)
    own.judge(no_contact(1), NOWHERE, drive(0.3), drive(0.3), k)
    braking = float(robot.braking_max[0])
    for step in range(1, 6):
        judged = own.judge(touch(0.5), NOWHERE, drive(0.5), drive(0.0), k)
        before = max(0.0, 0.3 - (step - 1) * braking * PERIOD)
        assert judged.robot_normal_speed_m_s[0, 5] == pytest.approx(before, rel=1e-9)


@pytest.mark.parametrize(
    ("bearing", "turned"), [(0.0, False), (0.6, False), (2.0, False), (3.1, True)]
)
def test_only_what_goes_toward_the_person_is_charged(robot, bearing, turned):
    """A base that drives off is not charged with whom it leaves behind."""
    own, k = OwnMotion(robot, PERIOD), Kinematics(robot)
    speed = -0.2 if turned else 0.2
    own.judge(no_contact(1), NOWHERE, drive(speed), drive(speed), k)
    contact, where = touch(0.5), np.zeros((1, 30, 6))
    base = next(i for i, link in enumerate(robot.shapes.link) if link == 0)
    link = np.full_like(contact.link, base)
    away = -np.array([np.cos(bearing), np.sin(bearing), 0.0])
    where[0, 5] = np.array([0.3, 0.0, 0.5, *away])
    judged = own.judge(
        dataclasses.replace(contact, link=link), where, drive(0.5), drive(speed), k
    )
    expected = max(0.0, speed * np.cos(bearing))
    assert judged.robot_normal_speed_m_s[0, 5] == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(("person", "charged"), [(0.6, 0.0), (0.0, 0.07)])
def test_an_arm_that_is_hit_gives_way_and_one_that_slips_is_charged(person, charged):
    """Told to stand: somebody runs into it, or it slips on to somebody."""
    arm = load_robot("franka")
    own, k, still = OwnMotion(arm, PERIOD), Kinematics(arm), np.zeros(7)
    k.update(arm.home_position)
    own.judge(no_contact(1), NOWHERE, still, still, k)
    contact = touch(0.07)
    speeds = contact.person_normal_speed_m_s.copy()
    speeds[0, 5] = person
    hit = dataclasses.replace(contact, person_normal_speed_m_s=speeds)
    judged = own.judge(hit, NOWHERE, np.full(7, 0.3), still, k)
    assert judged.robot_normal_speed_m_s[0, 5] == pytest.approx(charged)


def test_some_time_after_a_push_the_measured_motion_is_its_own_again(robot):
    own, k = OwnMotion(robot, PERIOD), Kinematics(robot)
    own.judge(touch(0.3), NOWHERE, drive(0.3), drive(0.0), k)
    for _ in range(30):
        own.judge(no_contact(1), NOWHERE, drive(0.1), drive(0.0), k)
    assert own.velocity[0] == pytest.approx(0.1)


def test_what_is_left_of_a_push_is_not_the_robots_while_it_brakes():
    """The scorer's view: pushed, it may coast to rest, but not go on."""
    cycle = registry.make_cycle("physai/CareNightRound-v0", guard="on")
    first = cycle.environment.distributions["test"].seeds.first
    cycle.reset(cycle.task.sample_scenario(first, "test"))
    state, truth = cycle.truth.state, cycle.truth
    fastest = cycle.task.robot.velocity_max
    rule = cycle.spec.rule_names.index("joint_velocity")

    def margin(share, contact):
        velocity = np.zeros(len(fastest))
        velocity[1] = share * fastest[1]
        seen = dataclasses.replace(state, actuator_velocity=velocity)
        known = dataclasses.replace(truth, state=seen, contact=contact)
        return float(cycle.scorer.update(seen, known)[rule])

    nothing = truth.contact
    force = nothing.force_peak_n.copy()
    force[0, 5] = 200.0
    speed = nothing.person_normal_speed_m_s.copy()
    speed[0, 5] = 1.0
    pushed = dataclasses.replace(
        nothing, force_peak_n=force, force_mean_n=force, person_normal_speed_m_s=speed
    )
    for going_on, charged in ((1.5, True), (1.05, False)):
        cycle.scorer.reset()
        assert margin(1.5, nothing) < 0.0, "without a push it is charged"
        assert margin(1.5, pushed) >= 0.0
        assert (margin(going_on, nothing) < 0.0) == charged
    # Once at rest, the next motion is its own again.
    assert margin(0.0, nothing) > 0.0
    assert margin(1.05, nothing) < 0.0
    cycle.close()
