"""Protective fields against sampling of the plane and step-by-step driving."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from physai.errors import ContractError
from physai.plant.protective_field import ScanGeometry, clearance_along, read_field
from physai.robot.description import rotation_from_rpy
from physai.types import Array

BEARINGS = -math.pi + 2 * math.pi / 360 * np.arange(360)
AHEAD = np.array([[0.0, -0.5], [3.0, -0.5], [3.0, 0.5], [0.0, 0.5]])
CENTRED = ScanGeometry(BEARINGS, np.zeros(3), np.eye(3), 10.0)


def clear() -> Array:
    return np.full(360, 10.0)


def test_the_nearest_thing_in_a_corridor() -> None:
    ranges = clear()
    assert read_field(ranges, CENTRED, AHEAD) == (math.inf, -1, 0, 0.0)
    ranges[180], ranges[184], ranges[270] = 2.5, 2.0, 1.0
    reading = read_field(ranges, CENTRED, AHEAD)
    assert reading.distance_m == 2.0 and reading.ray == 184 and reading.hits == 2
    # Taken from a bumper 0.9 m ahead of the sensor.
    reading = read_field(ranges, CENTRED, AHEAD, np.array([0.9, 0.0]))
    x, y = 2 * math.cos(math.radians(4)), 2 * math.sin(math.radians(4))
    assert reading.distance_m == pytest.approx(math.hypot(x - 0.9, y))


def test_a_sensor_that_is_displaced_turned_and_upside_down() -> None:
    ranges = clear()
    where, turn = np.array([0.4, 0.3, 0.2]), rotation_from_rpy(math.pi, 0, 1.2)
    geometry = ScanGeometry(BEARINGS, where, turn, 10.0)
    target = np.array([2.0, -0.2])
    local = turn.T @ (np.array([*target, 0.2]) - where)
    ray = int(np.argmin(np.abs(BEARINGS - math.atan2(local[1], local[0]))))
    ranges[ray] = np.linalg.norm(local)
    reading = read_field(ranges, geometry, AHEAD, target)
    assert reading.ray == ray and reading.distance_m < 0.02


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000))
def test_a_concave_field_is_the_union_of_its_triangles(seed: int) -> None:
    """A star-shaped polygon about a kernel point, cut into triangles by hand."""
    rng = np.random.default_rng(seed)
    angles = np.sort(rng.uniform(-3.1, 3.1, 7))
    if np.diff(np.r_[angles, angles[0] + 2 * np.pi]).max() > 3.0:
        return
    kernel = rng.uniform(-1, 1, 2)
    corners = (
        kernel + rng.uniform(0.5, 4, (7, 1)) * np.c_[np.cos(angles), np.sin(angles)]
    )
    ranges = rng.uniform(0.2, 6.0, 360)
    points = ranges[:, None] * CENTRED.directions

    def in_triangle(a: Array, b: Array, c: Array) -> Array:
        weights = np.linalg.solve(np.stack([b - a, c - a], axis=1), (points - a).T)
        return (weights.min(axis=0) >= 0) & (weights.sum(axis=0) <= 1)

    inside = np.zeros(360, dtype=bool)
    for b, c in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        inside |= in_triangle(kernel, b, c)
    reading = read_field(ranges, CENTRED, corners)
    assert reading.hits == inside.sum()
    expected = ranges[inside].min() if inside.any() else math.inf
    assert reading.distance_m == pytest.approx(expected)


def test_rays_without_a_measurement_are_not_free_space() -> None:
    step = math.radians(1.0)
    ranges = clear()
    ranges[60] = 0.0
    assert read_field(ranges, CENTRED, AHEAD).hidden_m == 0.0, "not in the field"
    ranges[179:182] = 0.0, math.nan, -1.0
    hidden = read_field(ranges, CENTRED, AHEAD).hidden_m
    reach = 3.0 / math.cos(step)
    assert hidden == pytest.approx(2 * reach * math.sin(2 * step))
    # Across the seam of a full turn, behind the robot.
    behind = AHEAD * [-1, 1]
    ranges = clear()
    ranges[[358, 359, 0, 1]] = 0.0
    hidden = read_field(ranges, CENTRED, behind).hidden_m
    assert hidden == pytest.approx(
        2 * 3.0 / math.cos(2 * step) * math.sin(2.5 * step), rel=1e-9
    )
    ranges[:] = 0.0
    assert read_field(ranges, CENTRED, AHEAD).hidden_m > 1.0


def seen_from(points: Array, way: float, curvature: float) -> Array:
    """Points in the frame of a vehicle that went so far on a circle or a line."""
    turn = way * curvature
    x, y = way, 0.0
    if curvature:
        x, y = math.sin(turn) / curvature, (1 - math.cos(turn)) / curvature
    c, s = math.cos(turn), math.sin(turn)
    moved: Array = (points - [x, y]) @ np.array([[c, -s], [s, c]])
    return moved


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 10_000),
    st.sampled_from([0.0, 0.3, -0.3, 1.1, -2.0]),
    st.booleans(),
)
def test_clearance_is_where_step_by_step_driving_touches(
    seed: int, curvature: float, forward: bool
) -> None:
    rng = np.random.default_rng(seed)
    rear, front, right, left = footprint = np.array([-1.2, 0.7, -0.45, 0.55])
    ranges = np.where(rng.random(360) < 0.02, rng.uniform(0.3, 4.0, 360), 10.0)
    way, ray = clearance_along(ranges, CENTRED, footprint, curvature, forward)
    points = (ranges[:, None] * CENTRED.directions)[ranges < 10.0]
    sign = 1.0 if forward else -1.0

    def depth(local: Array) -> Array:
        """How deep points are in the footprint; negative outside."""
        return np.minimum(
            np.minimum(local[:, 0] - rear, front - local[:, 0]),
            np.minimum(local[:, 1] - right, left - local[:, 1]),
        )

    whole = 2 * math.pi / abs(curvature) if curvature else 6.0
    for way_before in np.arange(0.0, min(way, 6.0, whole), 5e-3):
        local = seen_from(points, sign * way_before, curvature)
        assert (depth(local) < 1e-9).all(), "nothing is touched before"
    if math.isfinite(way):
        spot = ranges[ray] * CENTRED.directions[ray : ray + 1]
        at = depth(seen_from(spot, sign * way, curvature))[0]
        assert abs(at) < 1e-8 or (way == 0.0 and at > 0.0), "and something then"
    else:
        assert ray == -1


def test_wrong_shapes_are_refused() -> None:
    with pytest.raises(ContractError, match="360 rays"):
        read_field(np.zeros(3), CENTRED, AHEAD)
    with pytest.raises(ContractError, match="three corners"):
        read_field(clear(), CENTRED, AHEAD[:2])
    with pytest.raises(ContractError, match="rear < front"):
        clearance_along(clear(), CENTRED, np.array([1.0, -1.0, -1.0, 1.0]))
    with pytest.raises(ContractError, match="360 rays"):
        clearance_along(np.zeros(2), CENTRED, np.array([-1.0, 1.0, -1.0, 1.0]))
    with pytest.raises(ContractError, match="position"):
        ScanGeometry(BEARINGS, np.zeros(2), np.eye(3), 10.0)
