"""Heights of the ground against the elevation data itself."""

from __future__ import annotations

import math

import numpy as np
import pytest

from physai.errors import ConfigError
from physai.plant.ground import Ground, GroundConfig
from physai.plant.terrain import (
    ElevationConfig,
    RollingConfig,
    build_heights,
    read_elevation,
)
from physai.robot.description import load_robot

CROP = {
    "kind": "elevation",
    "first_row": 30,
    "first_column": 296,
    "rows": 40,
    "columns": 50,
    "horizontal_divisor": 100.0,
    "vertical_divisor": 100.0,
    "cell_m": 0.5,
    "source": "test",
}


def build(**changes):
    return build_heights(ElevationConfig(**{**CROP, **changes}))


def test_elevation_is_the_documented_one():
    """344 x 403 points from 236 to 1076 m, row 0 in the north."""
    whole = read_elevation()
    assert whole.shape == (344, 403)
    assert (whole.min(), whole.max()) == (236.0, 1076.0)


def test_map_goes_through_the_data():
    """With rows a metre apart and 0.5 m cells, every second row is the data's."""
    made = build(horizontal_divisor=92.5, vertical_divisor=50.0)
    crop = read_elevation()[30:70, 296:346]
    crop = (crop - crop.mean()) / 50.0
    south_first = crop[::-1]
    np.testing.assert_allclose(made.heights[::2, 0], south_first[:, 0], atol=1e-9)
    assert made.cell_m == 0.5
    # 49 columns of 74.4 m, scaled by 92.5, at 0.5 m.
    assert made.heights.shape == (79, math.floor(49 * 74.4 / 92.5 / 0.5) + 1)


def test_equal_divisors_keep_slopes_and_others_scale_them():
    """Half the height is half the slope at every place, the size of the map the same."""
    same, flat = build(), build(vertical_divisor=200.0)
    np.testing.assert_allclose(flat.heights, 0.5 * same.heights, atol=1e-12)
    # Mean slope over the crop, from the raw data at its real cells.
    raw = read_elevation()[30:70, 296:346]
    down, across = np.gradient(raw, 92.5, 74.4)
    real = np.median(np.hypot(down, across))
    down, across = np.gradient(same.heights, 0.5)
    assert np.median(np.hypot(down, across)) == pytest.approx(real, rel=0.25)


def test_crop_outside_is_refused():
    with pytest.raises(ConfigError, match="ends at row 350"):
        build(first_row=310)


def test_rolling_ground_has_the_slope_that_it_says():
    config = RollingConfig(
        kind="rolling",
        seed=3,
        size_m=(30.0, 20.0),
        cell_m=0.25,
        wavelength_m=(8.0, 20.0),
        slope_max_rad=0.2,
    )
    one, other = build_heights(config), build_heights(config)
    np.testing.assert_array_equal(one.heights, other.heights)
    down, across = np.gradient(one.heights, 0.25)
    assert np.hypot(down, across).max() == pytest.approx(math.tan(0.2))


def test_ground_takes_its_heights_from_the_configuration():
    robot = load_robot("crawler_dump")
    ground = Ground(GroundConfig(material="loose_earth", heights=CROP), robot.base)
    made = build()
    assert ground.height(5.0, 7.5) == pytest.approx(made.heights[15, 10])
    assert ground.grid.tolist() == [0.0, 0.0, 0.5]
