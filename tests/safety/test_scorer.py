"""The truth view: what the robot did is judged, what a person did to it is not."""

import numpy as np
import pytest

from physai.safety import Monitor
from physai.types import AREA_COUNT, Contact, Truth
from tests.safety.conftest import make_state


def touch(force=0.0, robot=0.0, person=0.0, area=14):
    """Return the contact table of one person who is touched in one area."""
    rows = {
        name: np.zeros((1, AREA_COUNT))
        for name in (
            "force_peak_n",
            "force_mean_n",
            "pressure_n_per_cm2",
            "age_s",
            "robot_normal_speed_m_s",
            "person_normal_speed_m_s",
            "clamped",
        )
    }
    rows["link"] = np.full((1, AREA_COUNT), -1.0)
    if force > 0.0:
        rows["force_peak_n"][0, area] = force
        rows["robot_normal_speed_m_s"][0, area] = robot
        rows["person_normal_speed_m_s"][0, area] = person
        rows["link"][0, area] = 0.0
    return Contact(**rows)


def violated(spec, state, contact):
    monitor = Monitor(spec, "truth")
    margins = monitor.update(state, Truth(state, contact, np.zeros(4)))
    return {
        name
        for name, margin in zip(spec.rule_names, margins, strict=True)
        if not margin >= 0.0
    }


@pytest.fixture
def moving(robot):
    """A state in which the arm moves too fast beside a person."""
    return make_state(robot, qd=np.array([0.0, 0.9, 0.0, 0.9, 0.0, 0.0, 0.0]))


def test_too_fast_beside_a_person_is_charged(spec, moving):
    bad = violated(spec, moving, touch())
    assert {"near_speed", "tcp_speed"} <= bad


def test_motion_by_a_push_is_not(spec, moving):
    assert violated(spec, moving, touch(50.0, robot=0.0, person=0.5)) == set()


def test_running_into_somebody_is_whatever_they_do(spec, moving):
    bad = violated(spec, moving, touch(50.0, robot=0.3, person=0.1))
    assert {"near_speed", "moving_contact"} <= bad
    bad = violated(spec, moving, touch(50.0, robot=0.2, person=0.5))
    assert "moving_contact" in bad


def test_force_is_judged_where_the_robot_moved(spec, robot):
    """Of an impact the robot is charged with its share of the closing speed."""
    still = make_state(robot)
    hard = 400.0
    assert "contact_force" in violated(spec, still, touch(hard, robot=0.04, person=0.0))
    assert "contact_force" in violated(
        spec, still, touch(hard, robot=0.04, person=0.03)
    )
    assert "contact_force" not in violated(
        spec, still, touch(hard, robot=0.01, person=1.0)
    )
    assert "contact_force" not in violated(spec, still, touch(hard, person=1.0))
    nobody_knows = touch(hard, robot=0.01, person=np.nan)
    assert "contact_force" in violated(spec, still, nobody_knows)


def test_a_push_that_is_held_is_charged_whole(spec, robot):
    still = make_state(robot)
    for name, value in (("age_s", 0.6), ("clamped", 1.0)):
        contact = touch(400.0, robot=0.01, person=1.0)
        contact.force_mean_n[0, 14] = 400.0
        getattr(contact, name)[0, 14] = value
        assert "contact_force" in violated(spec, still, contact)
