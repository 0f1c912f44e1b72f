from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from physai.plant.mouth import MouthModel, MouthSettings

AXIS = np.array([1.0, 0.0, 0.0])  # out of the mouth
UP = np.array([0.0, 0.0, 1.0])
ORIGIN = np.zeros(3)
STILL = np.zeros(3)
HALF_WIDTH = 0.025
SPOON = 500.0
RADIUS = 0.006


def spoon(depth: float, height: float = 0.0, side: float = 0.0) -> np.ndarray:
    """Handle and bowl, pointing straight in, deepest point at ``depth``."""
    tip = -depth + RADIUS
    y = side
    return np.array(
        [
            [tip + 0.146, y, height, tip + 0.042, y, height, 0.004],
            [tip + 0.030, y, height, tip, y, height, RADIUS],
        ]
    )


def feel(
    model: MouthModel,
    capsules: np.ndarray,
    opening: float = 0.025,
    velocity: np.ndarray | None = None,
) -> float:
    speeds = np.zeros((2, 6)) if velocity is None else np.tile(velocity, (2, 2))
    return model.substep(capsules, speeds, ORIGIN, AXIS, UP, opening, HALF_WIDTH, STILL)


def entered(depth: float = 0.03, opening: float = 0.025) -> MouthModel:
    model = MouthModel(SPOON)
    for d in np.arange(-0.02, depth, 0.001):
        feel(model, spoon(d), opening)
    return model


def test_straight_through_an_open_mouth_touches_nothing() -> None:
    model = MouthModel(SPOON)
    for d in np.arange(-0.05, 0.06, 0.001):
        assert feel(model, spoon(d)) == 0.0
        assert model.insertion_depth_m == pytest.approx(max(0.0, d), abs=1e-12)
        assert model.inside == (d >= 0.0)
    assert model.exempt
    for d in np.arange(0.06, -0.05, -0.001):
        assert feel(model, spoon(d)) == 0.0
    assert not model.inside
    assert not model.exempt


@given(
    height=st.floats(-0.2, 0.2),
    side=st.floats(-0.2, 0.2),
    depth=st.floats(-0.3, -1e-6),
    opening=st.floats(0.0, 0.05),
)
def test_no_force_outside(
    height: float, side: float, depth: float, opening: float
) -> None:
    model = MouthModel(SPOON)
    assert feel(model, spoon(depth, height, side), opening) == 0.0
    assert not np.any(model.force)


@pytest.mark.parametrize(
    ("opening", "height", "side"),
    [(0.0, 0.0, 0.0), (0.005, 0.0, 0.0), (0.02, 0.02, 0.0), (0.02, 0.0, 0.03)],
)
def test_a_closed_or_missed_mouth_leaves_the_utensil_to_the_face(
    opening: float, height: float, side: float
) -> None:
    model = MouthModel(SPOON)
    for d in np.arange(-0.02, 0.01, 0.001):
        feel(model, spoon(d, height, side), opening)
        assert not model.exempt
        assert not model.inside
        assert model.force_n == 0.0


@settings(max_examples=60)
@given(depth=st.floats(0.012, 0.06), first=st.floats(0.0, 0.02))
def test_lip_force_grows_with_overlap_with_a_bounded_slope(
    depth: float, first: float
) -> None:
    model = entered(depth)
    stiffest = 300.0 * SPOON / (300.0 + SPOON)
    step = 1e-4
    before = feel(model, spoon(depth, first))
    after = feel(model, spoon(depth, first + step))
    assert after >= before - 1e-12
    # Lip and, past the lips, the palate: at most both in series with the spoon.
    assert after - before <= (stiffest + SPOON) * step + 1e-9
    assert model.force[2] <= 0.0


@settings(max_examples=40, deadline=None)
@given(
    height=st.floats(-0.009, 0.009),
    side=st.floats(-0.012, 0.012),
    opening=st.floats(0.012, 0.03),
)
def test_force_is_continuous_along_a_whole_insertion(
    height: float, side: float, opening: float
) -> None:
    model = MouthModel(SPOON)
    last = np.zeros(4)
    for d in np.arange(-0.01, 0.09, 2e-4):
        was_inside = model.inside
        total = feel(model, spoon(d, height, side), opening)
        now = np.array([*model.force, total])
        if was_inside == model.inside and was_inside:
            assert np.abs(now - last).max() < 0.35
        last = now


def test_throat_pushes_out_in_series_with_the_spoon() -> None:
    model = entered(0.069)
    assert feel(model, spoon(0.0699)) == 0.0
    force = feel(model, spoon(0.080))
    k = 20000.0 * SPOON / (20000.0 + SPOON)
    assert force == pytest.approx(k * 0.010, rel=1e-9)
    assert model.force[0] == pytest.approx(force)
    assert model.deep_n == pytest.approx(force)
    assert model.shape == 1


def test_closing_pinches_without_pushing_wherever_the_spoon_is() -> None:
    for height in (0.0, 0.004, -0.004):
        model = entered(0.03)
        feel(model, spoon(0.03, height))
        for opening in np.arange(0.025, -0.0005, -0.0005):
            feel(model, spoon(0.03, height), max(0.0, opening))
        assert model.pinch_n > 0.5
        assert np.abs(model.force).max() < 0.1


def test_pinch_ends_at_the_closing_force() -> None:
    model = MouthModel(SPOON, MouthSettings(closing_force_n=0.3))
    for d in np.arange(-0.02, 0.03, 0.001):
        feel(model, spoon(d))
    feel(model, spoon(0.03), 0.0)
    assert model.pinch_n == pytest.approx(0.3)
    assert model.force_n == pytest.approx(0.6)


def test_a_lateral_push_does_as_much_work_back_as_it_took() -> None:
    model = entered(0.03)
    work = 0.0
    path = np.concatenate([np.linspace(0, 0.015, 400), np.linspace(0.015, 0, 400)])
    last = np.zeros(3)
    for a, b in itertools.pairwise(path):
        feel(model, spoon(0.03, b))
        work += 0.5 * (model.force[2] + last[2]) * (b - a)
        last = model.force.copy()
    assert abs(work) < 1e-5


def test_own_speed_counts_only_against_the_touched_tissue() -> None:
    model = entered(0.03)
    feel(model, spoon(0.03, 0.012), velocity=np.array([0.0, 0.0, 0.04]))
    assert model.force_n > 0.0
    assert model.robot_speed_m_s == pytest.approx(0.04, rel=0.05)
    feel(model, spoon(0.03, 0.012), velocity=np.array([0.0, 0.0, -0.04]))
    assert model.robot_speed_m_s == 0.0


def test_reset_takes_it_out() -> None:
    model = entered(0.03)
    model.reset()
    assert not model.inside
    assert model.insertion_depth_m == 0.0
    assert model.force_n == 0.0
