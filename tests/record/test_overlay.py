from __future__ import annotations

import math

import numpy as np
import pytest

from physai.errors import ContractError
from physai.record.overlay import (
    SLOW_COLOR,
    STOP_COLOR,
    Overlay,
    Zone,
    circle_zone,
    draw_overlay,
    label_region,
)
from physai.record.privacy import mask_pixels
from physai.types import Action

pytest.importorskip("cv2")


def drawn(overlay: Overlay, size: tuple[int, int] = (480, 640)) -> np.ndarray:
    image = np.full((*size, 3), 128, np.uint8)
    draw_overlay(image, overlay)
    return image.astype(int)


def count(image: np.ndarray, color: tuple[int, int, int]) -> int:
    return int((np.abs(image - np.array(color)).max(axis=2) < 6).sum())


@pytest.mark.parametrize(
    ("action", "color"),
    [
        (Action.NONE, (46, 150, 84)),
        (Action.SLOW, SLOW_COLOR),
        (Action.STOP1, STOP_COLOR),
        (None, (112, 122, 132)),
    ],
)
def test_the_badge_tells_the_state_by_its_colour(
    action: Action | None, color: tuple[int, int, int]
) -> None:
    image = drawn(Overlay(1.0, "Feeding", "rest", action))
    assert count(image[:44, :120], color) > 800
    every = {tuple(drawn(Overlay(1.0, action=a))[30, 12]) for a in Action}
    assert len(every) == 6, "six states, six colours"


def test_the_tightest_margins_are_shown_in_order_and_unknown_counts_as_tightest() -> (
    None
):
    names = [("wide", 0.9), ("near", 0.3), ("over", -0.2), ("blind", math.nan)]
    image = drawn(Overlay(0.0, margins=names, shown=2))
    below = image[300:]
    assert count(below, STOP_COLOR) > 150 and count(below, (46, 150, 84)) == 0
    image = drawn(Overlay(0.0, margins=[("a", 0.2)], shown=1))
    short = count(image[300:], SLOW_COLOR)
    assert short > 0 and count(image[300:], STOP_COLOR) == 0
    # A wider margin is a longer bar.
    half = count(drawn(Overlay(0.0, margins=[("a", 0.5)]))[300:], (46, 150, 84))
    full = count(drawn(Overlay(0.0, margins=[("a", 1.0)]))[300:], (46, 150, 84))
    assert full > 1.7 * half > 0


def test_the_outcome_is_green_or_red_and_absent_before_the_end() -> None:
    before = drawn(Overlay(0.0))[400:, 400:]
    good = drawn(Overlay(0.0, outcome="success"))[400:, 400:]
    bad = drawn(Overlay(0.0, outcome="stopped", good=False))[400:, 400:]
    assert (before == 128).all()
    assert count(good, (46, 150, 84)) > 500 and count(bad, STOP_COLOR) > 500


@pytest.mark.parametrize("size", [(120, 160), (240, 320), (720, 1280), (600, 200)])
def test_any_size_of_picture_and_any_length_of_words(size: tuple[int, int]) -> None:
    long = Overlay(
        123.4,
        "A very long title of an environment " * 4,
        "case",
        Action.STOP0,
        "a reason that goes on and on " * 6,
        [("a_rule_with_a_long_name_indeed", 0.1)] * 8,
        8,
        "success",
    )
    assert (drawn(long, size) != 128).any()


def test_zones_are_checked() -> None:
    with pytest.raises(ContractError, match="three corners"):
        Zone(np.zeros((2, 2)))
    with pytest.raises(ContractError, match="finite"):
        Zone(np.full((3, 2), np.nan))
    ring = circle_zone(np.array([1.0, 2.0]), 0.5, STOP_COLOR)
    away = np.linalg.norm(ring.corners - [1.0, 2.0], axis=1)
    np.testing.assert_allclose(away, 0.5)


def test_a_word_is_written_where_there_is_room_or_not_at_all() -> None:
    image = np.full((480, 640, 3), 200, np.uint8)
    region = np.zeros((480, 640), dtype=bool)
    region[200:205, 100:400] = True
    label_region(image, region, "slow", SLOW_COLOR)
    assert (image == 200).all()
    region[150:300, 100:400] = True
    label_region(image, region, "slow", SLOW_COLOR)
    changed = (image != 200).any(axis=2)
    assert changed.sum() > 30 and not changed[~region].any()
    before = image.copy()
    label_region(image, region, "", SLOW_COLOR)
    np.testing.assert_array_equal(before, image)


def test_masked_pixels_keep_nothing() -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 255, (20, 30, 3)).astype(np.uint8)
    before = image.copy()
    chosen = rng.random((20, 30)) < 0.3
    mask_pixels(image, chosen)
    assert len(np.unique(image[chosen], axis=0)) == 1
    np.testing.assert_array_equal(image[~chosen], before[~chosen])
    mask_pixels(image, np.zeros((20, 30), dtype=bool))
    with pytest.raises(ContractError, match="of bool"):
        mask_pixels(image, np.zeros((20, 20), dtype=bool))
