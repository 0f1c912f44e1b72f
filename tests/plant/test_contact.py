"""The contact model against closed forms, over every body area.

Free impact: two bodies and a linear spring, F = v sqrt(mu k). Clamped: a mass that a
motor of force limit F drives against a fixed spring, F + v sqrt(m k) at most, F when
it has come to rest (facts of the contact study; ISO/TS 15066 A.3).
"""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from physai.plant.contact import ContactModel
from tests.plant.pusher import REGIONS, places, push, shape_table

PLACES = places()
AREAS = sorted(PLACES)


@pytest.fixture(scope="module")
def model() -> ContactModel:
    return ContactModel(REGIONS, shape_table(), 1)


def reduced(mass: float, area: int) -> float:
    return 1.0 / (1.0 / mass + 1.0 / REGIONS.effective_mass_kg[area])


def test_every_area_of_the_table_can_be_touched() -> None:
    assert list(range(1, 30)) == AREAS


@pytest.mark.parametrize("area", AREAS)
def test_a_free_impact_is_the_two_body_formula(area: int, model: ContactModel) -> None:
    k = REGIONS.spring_n_per_m[area]
    for mass in (1.0, 5.0, 100.0):
        for speed in (0.1, 0.25, 1.0):
            for phase in (0.1, 0.6, 0.98):
                mu = reduced(mass, area)
                run = push(
                    area,
                    mass,
                    speed,
                    phase,
                    seconds=0.03 + 1.5 * math.pi * math.sqrt(mu / k),
                    model=model,
                    place=PLACES[area],
                )
                ratio = max(run.peak) / (speed * math.sqrt(mu * k))
                assert 0.98 <= ratio <= 1.05, (mass, speed, phase)


@pytest.mark.parametrize("area", AREAS)
def test_a_clamped_push_is_the_motor_and_the_impact(
    area: int, model: ContactModel
) -> None:
    k = REGIONS.spring_n_per_m[area]
    for mass, speed, motor in ((1.0, 0.5, 150.0), (5.0, 0.1, 50.0), (30.0, 0.5, 50.0)):
        run = push(
            area,
            mass,
            speed,
            0.6,
            travel=0.0,
            motor=motor,
            seconds=2.0,
            model=model,
            place=PLACES[area],
        )
        ratio = max(run.peak) / (motor + speed * math.sqrt(mass * k))
        assert 0.99 <= ratio <= 1.25, (mass, speed, motor)
        assert run.clamped
        assert run.mean[-1] == pytest.approx(motor, rel=0.02)


@settings(max_examples=60, deadline=None)
@given(
    area=st.sampled_from(AREAS),
    mass=st.floats(1.0, 100.0),
    speed=st.floats(0.1, 1.0),
    phase=st.floats(0.01, 0.99),
)
def test_anywhere_in_the_range_the_peak_is_credible(
    area: int, mass: float, speed: float, phase: float
) -> None:
    k, mu = REGIONS.spring_n_per_m[area], reduced(mass, area)
    seconds = 0.03 + 1.5 * math.pi * math.sqrt(mu / k)
    run = push(area, mass, speed, phase, seconds=seconds, place=PLACES[area])
    assert 0.98 <= max(run.peak) / (speed * math.sqrt(mu * k)) <= 1.05
    assert run.areas == {area}
    # The force pushes the robot away and never gives it more than it had.
    assert min(run.force) >= -1e-9
    assert min(run.speed) >= -speed * 1.02


def test_the_robot_is_charged_with_its_own_speed_only(model: ContactModel) -> None:
    area = 17
    own = push(area, 5.0, 0.3, model=model, place=PLACES[area])
    assert own.robot_speed == pytest.approx(0.3, rel=0.05)
    standing = push(
        area, 5.0, 0.0, person_speed=0.3, model=model, place=PLACES[area], seconds=0.2
    )
    assert max(standing.peak) > 1.0
    assert standing.robot_speed < 0.02


def test_a_contact_ages_and_is_forgotten(model: ContactModel) -> None:
    area = 17
    run = push(
        area,
        5.0,
        0.1,
        travel=0.0,
        motor=50.0,
        seconds=1.0,
        model=model,
        place=PLACES[area],
    )
    assert run.age[-1] > 0.8
    model.reset()
    assert float(model.contact().force_peak_n.max()) == 0.0
    assert float(model.contact().age_s.max()) == 0.0


def test_a_spring_in_series_softens_the_blow() -> None:
    area = 5
    hard = push(area, 5.0, 0.2, place=PLACES[area])
    soft = push(area, 5.0, 0.2, stiffness=500.0, place=PLACES[area], seconds=0.6)
    k = 1.0 / (1.0 / 500.0 + 1.0 / REGIONS.spring_n_per_m[area])
    wanted = 0.2 * math.sqrt(reduced(5.0, area) * k)
    assert max(soft.peak) == pytest.approx(wanted, rel=0.05)
    assert max(soft.peak) < 0.5 * max(hard.peak)
