from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from physai.plant.food import GRAVITY_M_S2, FoodModel, FoodSettings, apparent_tilt

LEVEL = np.array([0.0, 0.0, 1.0])
STILL = np.zeros(3)


def tilted(angle: float) -> np.ndarray:
    return np.array([math.sin(angle), 0.0, math.cos(angle)])


def step(model: FoodModel, **changes: object) -> None:
    values: dict[str, object] = {
        "dt_s": 0.05,
        "normal_in_world": LEVEL,
        "acceleration_m_s2": STILL,
        "inside": False,
        "insertion_depth_m": 0.0,
        "willing": True,
        "touches_face": False,
    }
    model.step(**{**values, **changes})  # type: ignore[arg-type]


@given(angle=st.floats(0.0, math.pi))
def test_tilt_at_rest_is_the_angle_to_the_vertical(angle: float) -> None:
    assert apparent_tilt(tilted(angle), STILL) == pytest.approx(angle, abs=1e-6)


@given(a=st.floats(-5.0, 5.0))
def test_tilting_into_an_acceleration_keeps_the_food(a: float) -> None:
    angle = math.atan2(a, GRAVITY_M_S2)
    assert apparent_tilt(tilted(angle), np.array([a, 0.0, 0.0])) < 1e-6
    level = apparent_tilt(LEVEL, np.array([a, 0.0, 0.0]))
    assert level == pytest.approx(abs(angle), abs=1e-6)


def test_free_fall_holds_nothing_down() -> None:
    fall = np.array([0.0, 0.0, -GRAVITY_M_S2])
    assert apparent_tilt(LEVEL, fall) == pytest.approx(0.5 * math.pi)


def test_a_level_spoon_keeps_its_food() -> None:
    model = FoodModel()
    for _ in range(1000):
        step(model, normal_in_world=tilted(math.radians(24.9)))
    assert model.on_spoon == 1.0


@given(
    angles=st.lists(st.floats(0.0, math.pi), min_size=2, max_size=2).map(sorted),
    dt=st.floats(0.001, 1.0),
)
def test_more_tilt_spills_more(angles: list[float], dt: float) -> None:
    left = []
    for angle in angles:
        model = FoodModel()
        step(model, normal_in_world=tilted(angle), dt_s=dt)
        left.append(model.on_spoon)
    assert left[1] <= left[0] + 1e-12


def test_the_length_of_the_step_does_not_matter() -> None:
    fine, coarse = FoodModel(), FoodModel()
    step(coarse, dt_s=0.4, normal_in_world=tilted(0.7))
    for _ in range(400):
        step(fine, dt_s=0.001, normal_in_world=tilted(0.7))
    assert fine.on_spoon == pytest.approx(coarse.on_spoon, rel=1e-9)


def test_the_person_takes_it_inside_the_mouth_only() -> None:
    model = FoodModel()
    step(model, inside=True, insertion_depth_m=0.02)
    assert model.in_mouth == 0.0
    step(model, inside=True, insertion_depth_m=0.03, willing=False)
    assert model.in_mouth == 0.0
    for _ in range(40):
        step(model, inside=True, insertion_depth_m=0.03)
    assert model.in_mouth > 0.94
    assert model.spilled == pytest.approx(0.0, abs=1e-12)


def test_what_spills_in_the_mouth_is_in_the_mouth() -> None:
    model = FoodModel()
    step(model, inside=True, insertion_depth_m=0.03, normal_in_world=tilted(1.5))
    assert model.in_mouth > 0.2
    assert model.spilled == pytest.approx(0.0, abs=1e-12)


def test_touching_the_face_smears() -> None:
    model = FoodModel(FoodSettings(smear_rate_per_s=1.0))
    step(model, touches_face=True, dt_s=1.0)
    assert model.smeared == pytest.approx(1.0 - math.exp(-1.0))
    assert model.spilled == pytest.approx(model.smeared)


@given(
    st.lists(
        st.tuples(
            st.floats(0.0, math.pi),
            st.booleans(),
            st.floats(0.0, 0.07),
            st.booleans(),
            st.booleans(),
        ),
        max_size=60,
    )
)
def test_nothing_appears_or_vanishes(
    steps: list[tuple[float, bool, float, bool, bool]],
) -> None:
    model = FoodModel()
    for angle, inside, depth, willing, face in steps:
        before = model.on_spoon
        step(
            model,
            normal_in_world=tilted(angle),
            inside=inside,
            insertion_depth_m=depth,
            willing=willing,
            touches_face=face,
        )
        assert 0.0 <= model.on_spoon <= before
        total = model.on_spoon + model.in_mouth + model.spilled
        assert total == pytest.approx(1.0, abs=1e-12)
        assert model.smeared <= model.spilled + 1e-12
