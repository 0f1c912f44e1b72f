"""Soil against published coefficients, geometry done by hand, and conservation."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from physai.config import parse
from physai.errors import ConfigError, ContractError
from physai.plant.earthmoving import (
    bearing_factors,
    blade_coefficients,
    blade_force,
    critical_height,
)
from physai.plant.soil import Soil
from physai.plant.soil_settings import BucketConfig, SoilConfig, load_bucket, load_kinds
from physai.plant.trench import Pipe, PipeConfig, Trench, TrenchConfig
from physai.randomness import generator

DT = 1.0 / 240.0
BUCKET = load_bucket("excavator")
FULL_TURN = 2.0 * math.pi


def make(kind: str = "sandy_loam", **more: object) -> Soil:
    """Even ground of 8 x 8 m around the origin."""
    return Soil(
        SoilConfig(kind=kind, origin_m=(-4.0, -4.0), size_m=(8.0, 8.0), **more), BUCKET
    )


def turned(dip: float, yaw: float = 0.0) -> np.ndarray:
    """Edge frame whose plate dips ahead, ahead being x turned by yaw."""
    c, s, cy, sy = math.cos(dip), math.sin(dip), math.cos(yaw), math.sin(yaw)
    pitch = np.array([[c, 0.0, s], [0.0, 1.0, 0.0], [-s, 0.0, c]])
    return np.array([[cy, -sy, 0.0], [sy, cy, 0.0], [0.0, 0.0, 1.0]]) @ pitch


def drag(soil: Soil, start, end, dip: float, yaw: float = 0.0, step: float = 0.002):
    """Move the edge along a line, settling as a plant would."""
    start, end, rotation = np.array(start), np.array(end), turned(dip, yaw)
    n = math.ceil(float(np.linalg.norm(end - start)) / step)
    for k in range(1, n + 1):
        soil.interact(start + (end - start) * k / n, rotation, DT)
        if k % 24 == 0:
            soil.settle()


def sink(soil: Soil, x: float, y: float, depth: float, dip: float) -> np.ndarray:
    """Push the edge in along its plate; where it is then."""
    rotation = turned(dip)
    start = np.array([x, y, 0.01])
    soil.place(start, rotation)
    end = start + rotation[:, 0] * (depth + 0.01) / math.sin(dip)
    drag(soil, start, end, dip)
    return end


# Sanity table: w = 1 m, no surcharge, no adhesion. Unit weight kN/m3, cohesion kPa, phi,
# delta deg, depth m; then for a rake of 40 and of 60 deg: beta deg, Ng, Nc, F kN.
TABLE = [
    ((15, 0, 32, 21, 0.3), (33.9, 1.53, 1.90, 2.1), (28.4, 1.69, 2.86, 2.3)),
    ((15, 10, 35, 22, 0.3), (32.8, 1.65, 1.97, 8.1), (27.0, 1.91, 3.07, 11.8)),
    ((15, 10, 35, 22, 0.5), (32.8, 1.65, 1.97, 16.0), (27.0, 1.91, 3.07, 22.5)),
    ((15, 20, 20, 10, 0.3), (43.9, 1.10, 1.48, 10.4), (38.5, 1.00, 1.93, 12.9)),
    ((14, 30, 10, 6, 0.3), (47.0, 0.91, 1.38, 13.6), (42.7, 0.75, 1.66, 15.9)),
    ((18, 0, 38, 25, 0.5), (30.5, 1.85, 2.14, 8.3), (24.6, 2.29, 3.53, 10.3)),
]


@pytest.mark.parametrize(("soil", "flat", "steep"), TABLE)
def test_the_equation_gives_every_row_of_the_sanity_table(soil, flat, steep):
    gamma, cohesion, phi, delta, depth = soil
    for rake, row in ((40.0, flat), (60.0, steep)):
        n = np.empty(6)
        angles = np.radians([rake, phi, delta])
        blade_coefficients(*angles, 0.0, n)
        force, _, _ = blade_force(
            1.0,
            depth,
            angles[0],
            unit_weight_n_m3=gamma * 1e3,
            cohesion_pa=cohesion * 1e3,
            friction_rad=angles[1],
            metal_friction_rad=angles[2],
        )
        assert math.degrees(n[0]) == pytest.approx(row[0], abs=0.1)
        assert n[1] == pytest.approx(row[1], abs=0.006)
        assert n[2] == pytest.approx(row[2], abs=0.006)
        assert force / 1e3 == pytest.approx(row[3], abs=0.055)


@pytest.mark.parametrize("phi", [5.0, 20.0, 35.0, 42.0])
def test_a_smooth_upright_wall_is_rankines(phi):
    n = np.empty(6)
    blade_coefficients(0.5 * math.pi, math.radians(phi), 0.0, 0.0, n)
    kp = math.tan(math.radians(45.0 + 0.5 * phi)) ** 2
    assert n[1] == pytest.approx(0.5 * kp, rel=1e-6)
    assert n[2] == pytest.approx(2.0 * math.sqrt(kp), rel=1e-3)
    assert math.degrees(n[0]) == pytest.approx(45.0 - 0.5 * phi, abs=0.02)


@settings(max_examples=100, deadline=None)
@given(
    st.floats(15.0, 90.0), st.floats(2.0, 45.0), st.floats(0.0, 1.0), st.floats(-1, 1)
)
def test_the_plane_found_is_the_weakest(rake, phi, part, rise):
    rho, f, d = math.radians(rake), math.radians(phi), math.radians(part * phi)
    alpha = rise * 0.7 * f
    n = np.empty(6)
    if rho + d + f > math.radians(170.0):
        return
    blade_coefficients(rho, f, d, alpha, n)
    top = min(math.radians(85), math.pi - rho - d - f - math.radians(0.5))
    beta = np.linspace(math.radians(5.0), max(top, math.radians(5.0)), 2000)
    ng = (
        0.5
        * (1.0 / math.tan(rho) + 1.0 / np.tan(beta))
        * np.sin(beta + f + alpha)
        / np.sin(rho + d + beta + f)
    )
    assert n[1] == pytest.approx(ng.min(), rel=1e-4)


@settings(max_examples=50, deadline=None)
@given(st.floats(20.0, 80.0), st.floats(10.0, 40.0), st.floats(-0.6, 1.0))
def test_on_a_slope_the_wedge_is_in_equilibrium(rake, phi, rise):
    """Forces on the wedge before the blade sum to nothing across the reaction."""
    rho, f, delta = math.radians(rake), math.radians(phi), math.radians(0.6 * phi)
    alpha = rise * 0.5 * f
    n = np.empty(6)
    blade_coefficients(rho, f, delta, alpha, n)
    beta, gamma, depth, cohesion = n[0], 15e3, 0.4, 10e3
    push = gamma * depth**2 * n[1] + cohesion * depth * n[2]
    area = 0.5 * depth**2 * (1 / math.tan(rho) + 1 / math.tan(beta))
    blade = push * np.array([math.sin(rho + delta), math.cos(rho + delta)])
    weight = -gamma * area * np.array([math.sin(alpha), math.cos(alpha)])
    plane = np.array([math.cos(beta), math.sin(beta)])
    hold = -cohesion * depth / math.sin(beta) * plane
    reaction = np.array([-math.sin(beta + f), math.cos(beta + f)])
    across = np.array([reaction[1], -reaction[0]])
    total = blade + weight + hold
    assert abs(total @ across) < 1e-6 * push
    # Without cohesion the ground under the wedge pushes and does not pull.
    loose = blade * gamma * depth**2 * n[1] / push + weight
    assert abs(loose @ across) < 1e-6 * push
    assert loose @ reaction < 0.0


def test_bearing_factors_and_critical_height_are_the_textbooks():
    assert bearing_factors(0.0)[:2] == pytest.approx((5.14, 1.0), abs=0.005)
    assert bearing_factors(math.radians(30.0))[:2] == pytest.approx(
        (30.1, 18.4), abs=0.1
    )
    assert critical_height(10e3, 15e3, 0.0) == pytest.approx(4 * 10 / 15)
    assert critical_height(0.0, 15e3, 0.5) == 0.0


@pytest.mark.parametrize(
    ("width", "depth", "rake", "delta"),
    [(-1.0, 0.3, 40, 20), (1.0, math.nan, 40, 20), (1, 0.3, 0, 20), (1, 0.3, 40, 40)],
)
def test_a_blade_that_cannot_be_is_refused(width, depth, rake, delta):
    with pytest.raises(ContractError):
        blade_force(
            width,
            depth,
            math.radians(rake),
            unit_weight_n_m3=15e3,
            cohesion_pa=0.0,
            friction_rad=math.radians(35.0),
            metal_friction_rad=math.radians(delta),
        )


@pytest.mark.parametrize(("dip", "depth"), [(40.0, 0.3), (60.0, 0.3), (40.0, 0.5)])
def test_the_bucket_feels_the_equation(dip, depth):
    """Even ground, an almost empty bucket: blade and side plates as the formula."""
    soil = make()
    rho = math.radians(dip)
    at = sink(soil, -2.0, 0.0, depth, rho)
    soil.load_m3 = 0.0
    soil.place(at, turned(rho))
    at[2] = -depth
    drag(soil, at, np.add(at, [0.05, 0.0, 0.0]), rho)
    kind = soil.kind
    force, push, pull = blade_force(
        BUCKET.width_m,
        soil.depth_m,
        soil.rake_rad,
        unit_weight_n_m3=1e3 * kind.unit_weight_kn_m3,
        cohesion_pa=1e3 * kind.cohesion_kpa,
        friction_rad=math.radians(kind.friction_deg),
        metal_friction_rad=math.radians(kind.metal_friction_deg),
        surcharge_pa=soil.load_kg * 9.81 / (BUCKET.width_m * BUCKET.mouth_length_m),
        speed_m_s=0.002 / DT,
    )
    assert soil.depth_m == pytest.approx(depth, rel=0.08)
    assert math.degrees(soil.rake_rad) == pytest.approx(dip, abs=5.0)
    # A few millimetres of loose soil lie on top, lighter and without cohesion.
    assert soil.resistance_n == pytest.approx(1.15 * force, rel=0.02)
    assert -soil.forces[0, 3] == pytest.approx(1.15 * push, rel=0.03)
    assert -soil.forces[0, 5] == pytest.approx(1.15 * pull, rel=0.15)


def test_resistance_mobilises_with_displacement_and_vanishes_on_the_way_back():
    soil = make()
    rho = math.radians(45.0)
    at = sink(soil, -2.0, 0.0, 0.3, rho)
    soil.place(at, turned(rho))
    pushed = []
    for x in (0.0, 0.002, 0.005, 0.02):
        for _ in range(2):  # the second time at rest: no damping
            soil.interact(np.add(at, [x, 0.0, 0.0]), turned(rho), DT)
        pushed.append(-soil.forces[0, 3] / soil.resistance_n)
    assert pushed[0] == 0.0 and pushed[0] < pushed[1] < pushed[2] < pushed[3]
    assert pushed[1] == pytest.approx(0.4 * pushed[2], rel=0.1)
    soil.interact(np.add(at, [0.005, 0.0, 0.0]), turned(rho), DT)
    assert np.all(soil.forces[:2, 3:] == 0.0)


def test_a_pass_removes_width_times_depth_times_length():
    soil = make()
    rho = math.radians(40.0)
    at = sink(soil, -2.0, 0.05, 0.3, rho)
    before = soil.dug_m3
    # One cell row across of 0.1 m may be in or out.
    drag(soil, at, np.add(at, [0.7, 0.0, 0.0]), rho)
    assert soil.dug_m3 - before == pytest.approx(0.7 * 1.0 * 0.3, rel=0.11)
    # What is in the bucket: swell and eta, as the model says.
    swell = 1.0 + soil.kind.swell_share
    assert soil.load_m3 == pytest.approx(0.95 * swell * soil.dug_m3, rel=0.05)
    # The ground where the edge has passed is as deep as the edge was.
    assert soil.height_at(-1.4, 0.05) == pytest.approx(at[2], abs=0.03)


def test_a_bucket_fills_to_its_heap_and_pushes_the_rest_ahead():
    soil = make()
    rho = math.radians(40.0)
    at = sink(soil, -3.0, 0.0, 0.3, rho)
    drag(soil, at, np.add(at, [3.5, 0.0, 0.0]), rho)
    heaped = BUCKET.heaped_m3 * soil.kind.fill_factor
    assert 0.97 * heaped < soil.load_m3 <= heaped
    assert soil.load_kg == pytest.approx(soil.load_m3 * 15e3 / 9.81 / 1.25)
    berm = soil.height_at(at[0] + 3.5 + 0.3, 0.0)
    assert berm > 0.1


@pytest.mark.parametrize("tilt", [0.0, 10.0, 30.0, 59.0, 70.0, 170.0])
def test_a_tilted_bucket_keeps_what_the_spill_model_lets_it(tilt):
    soil = make()
    # The mouth is level when the plate points up by the angle between them.
    rotation = turned(math.radians(tilt - BUCKET.mouth_angle_deg))
    at = np.array([0.0, 0.0, 2.0])
    heaped = BUCKET.heaped_m3 * soil.kind.fill_factor
    soil.load_m3 = heaped
    soil.place(at, rotation)
    kept = BUCKET.struck_m3 * max(0.0, 1.0 - tilt / 60.0) + (
        heaped - BUCKET.struck_m3
    ) * max(0.0, 1.0 - tilt / soil.kind.repose_deg)
    steps = round(0.4 / DT)
    for _ in range(steps):
        soil.interact(at, rotation, DT)
    # After one time constant the excess is down to 1/e.
    assert soil.load_m3 - kept == pytest.approx((heaped - kept) / math.e, abs=1e-9)
    assert soil.capacity_m3 == pytest.approx(kept)
    assert soil.spilled_m3 == pytest.approx(heaped - soil.load_m3)
    lying = soil.loose_m.sum() * soil.config.cell_m**2
    assert lying == pytest.approx(soil.spilled_m3)


def test_shaking_spills_a_heap_that_rest_would_keep():
    level = turned(math.radians(-BUCKET.mouth_angle_deg))
    spilled = []
    for acceleration in (0.0, 1.5, 5.0):
        soil = make()
        soil.load_m3 = 0.5
        soil.place(np.array([-2.0, 0.0, 2.0]), level)
        for k in range(1, 200):
            x = -2.0 + 0.5 * acceleration * (k * DT) ** 2
            soil.interact(np.array([x, 0.0, 2.0]), level, DT)
        spilled.append(soil.spilled_m3)
    assert spilled[0] == spilled[1] == 0.0
    # 5 m/s2 exceeds 2 by what tilts the vertical by 17 deg; 0.84 s are two time constants.
    tilt = math.degrees(math.atan(3.0 / 9.81))
    heap = BUCKET.heaped_m3 * soil.kind.fill_factor - BUCKET.struck_m3
    kept = BUCKET.struck_m3 * (1 - tilt / 60.0) + heap * (1 - tilt / 38.0)
    assert 0.75 * (0.5 - kept) < spilled[2] < 0.5 - kept


@pytest.mark.parametrize("kind", ["dry_sand", "sandy_loam", "gravel"])
def test_a_dumped_heap_comes_to_its_angle_of_repose(kind):
    soil = make(kind)
    for _ in range(20):
        soil.dump(0.03, -0.02, 0.05)
        soil.settle(20)
    for _ in range(100):
        if soil.settle(50) < math.radians(0.5):
            break
    top = soil.bank_m + soil.loose_m
    c = soil.config.cell_m
    slope = max(
        np.abs(np.diff(top, axis=0)).max() / c,
        np.abs(np.diff(top, axis=1)).max() / c,
        np.abs(top[1:, 1:] - top[:-1, :-1]).max() / c / math.sqrt(2.0),
    )
    repose = soil.kind.repose_deg
    assert math.degrees(math.atan(slope)) <= repose + 0.5
    # A cone of 1 m3 at the angle of repose: V = pi/3 h^3 / tan^2.
    height = (3.0 / math.pi * math.tan(math.radians(repose)) ** 2) ** (1.0 / 3.0)
    assert top.max() == pytest.approx(height, rel=0.12)
    assert soil.loose_m.sum() * c * c == pytest.approx(1.0, rel=1e-12)


def test_a_cohesive_wall_stands_and_a_sandy_one_slides():
    for kind, stands in (("sandy_loam", True), ("dry_sand", False)):
        soil = make(kind)
        step = np.zeros(soil.bank_m.shape)
        step[:40] = 1.0
        soil.reset(surface_m=step)
        soil.disturb()
        for _ in range(40):
            soil.settle(50)
        assert np.array_equal(soil.bank_m, step) is stands
    top = soil.bank_m + soil.loose_m
    steepest = np.abs(np.diff(top, axis=0)).max() / soil.config.cell_m
    assert math.degrees(math.atan(steepest)) <= soil.kind.repose_deg + 0.5


@settings(max_examples=20, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.floats(-4.5, 4.5),
            st.floats(-4.5, 4.5),
            st.floats(-0.6, 0.6),
            st.floats(-1.0, 3.0),
            st.floats(0.0, FULL_TURN),
        ),
        min_size=2,
        max_size=6,
    ),
    st.sampled_from(["sandy_loam", "dry_sand", "clay_loam", "rock_muck"]),
)
def test_no_soil_is_made_or_lost_whatever_the_bucket_does(path, kind):
    """Poses joined by straight lines: in and out, sideways, upside down, off the map."""
    soil = make(kind, level_m=1.0)
    before = soil.volume_m3
    for (x, y, z, _, _), (x1, y1, z1, dip, yaw) in itertools.pairwise(path):
        drag(soil, (x, y, z + 1.0), (x1, y1, z1 + 1.0), dip, yaw, step=0.02)
        soil.dump(x1, y1, 0.0)
    for _ in range(5):
        soil.settle(50)
    assert abs(soil.volume_m3 - before) < 1e-9 * before
    assert soil.loose_m.min() >= 0.0
    assert np.isfinite(soil.forces).all() and np.isfinite(soil.bank_m).all()
    assert 0.0 <= soil.load_m3 <= BUCKET.heaped_m3 * soil.kind.fill_factor + 1e-12


def test_a_cycle_of_dig_and_dump_conserves_to_a_billionth_of_what_it_moved():
    soil = make()
    rho = math.radians(40.0)
    at = sink(soil, -2.0, 0.0, 0.3, rho)
    drag(soil, at, np.add(at, [1.3, 0.0, 0.0]), rho)
    up = np.add(at, [1.3, 0.0, 0.0])
    for k in range(200):
        dip = rho * (1.0 - 2.0 * k / 200)
        soil.interact(np.add(up, [0.0, 0.0, 0.004 * k]), turned(dip), DT)
    loaded = soil.load_m3
    assert loaded > 0.3
    over = np.array([2.5, 0.0, 1.5])
    soil.place(over, turned(-rho))
    for _ in range(1000):
        soil.interact(over, turned(math.radians(120.0)), DT)
        soil.settle(1)
    assert soil.load_m3 < 1e-3 * loaded
    assert abs(soil.volume_m3) < 1e-9 * soil.dug_m3
    assert soil.height_at(2.5, 0.0) > 0.1 or soil.height_at(2.2, 0.0) > 0.1


def test_force_depends_on_the_ground_and_not_on_the_heading():
    forces = []
    for yaw in (0.0, 0.5 * math.pi, math.pi):
        soil = make()
        rotation = turned(math.radians(45.0), yaw)
        along = np.array([math.cos(yaw), math.sin(yaw), 0.0])
        at = np.array([0.0, 0.0, -0.25]) - 1.013 * along
        drag(soil, at, at + 0.7 * along, math.radians(45.0), yaw)
        local = rotation.T @ soil.force_n
        forces.append([*local, soil.load_m3])
    np.testing.assert_allclose(forces[1], forces[0], rtol=1e-6, atol=1e-3)
    np.testing.assert_allclose(forces[2], forces[0], rtol=1e-6, atol=1e-3)


def test_a_side_plate_feels_the_wall_that_it_is_swung_into():
    soil = make()
    at = sink(soil, -2.0, 0.0, 0.4, math.radians(40.0))
    drag(soil, at, np.add(at, [1.0, 0.0, 0.0]), math.radians(40.0))
    at = np.add(at, [1.0, 0.0, 0.0])
    for k in range(12):
        soil.interact(np.add(at, [0.0, 0.001 * k, 0.0]), turned(math.radians(40.0)), DT)
    assert soil.forces[2, 4] < -2e3
    for k in range(24):
        soil.interact(np.add(at, [0.0, 0.011 - 0.001 * k, 0.0]), turned(0.7), DT)
    assert soil.forces[2, 4] > 2e3


def test_a_plate_pressed_down_is_borne():
    soil = make()
    flat = turned(0.0)
    soil.place(np.array([0.0, 0.0, 0.005]), flat)
    for k in range(60):
        soil.interact(np.array([0.0, 0.0, 0.005 - 0.0005 * k]), flat, DT)
    area = BUCKET.width_m * BUCKET.plate_length_m
    nc, _, ngamma = bearing_factors(math.radians(35.0))
    capacity = area * (10e3 * nc + 0.5 * 15e3 * BUCKET.plate_length_m * ngamma)
    assert 0.5 * capacity < soil.forces[2, 5] <= 1.2 * capacity
    moment = soil.torque_n_m[1]
    assert moment == pytest.approx(0.3 * soil.forces[2, 5], rel=0.05)


def test_same_seed_same_soil_and_force_to_the_last_bit():
    runs = []
    for seed in (3, 3, 4):
        soil = make()
        soil.reset(generator(seed, "soil"))
        drag(soil, (-2, 0.1, -0.2), (-1, 0.3, -0.3), 0.7, 0.2)
        runs.append((soil.bank_m.copy(), soil.loose_m.copy(), soil.forces.copy()))
    for a, b in zip(runs[0], runs[1], strict=True):
        assert np.array_equal(a, b)
    assert not np.array_equal(runs[0][2], runs[2][2])
    kinds = []
    for seed in range(200):
        soil.reset(generator(seed, "soil"))
        kinds.append((soil.kind.cohesion_kpa, soil.kind.friction_deg))
    low, high = np.min(kinds, axis=0), np.max(kinds, axis=0)
    assert 5.0 <= low[0] < 5.5 and 19.0 < high[0] <= 20.0
    assert 30.0 <= low[1] < 31.0 and 39.0 < high[1] <= 40.0


def test_over_dig_is_the_geometry_done_by_hand():
    soil = make()
    trench = Trench(
        TrenchConfig(
            from_m=(-2.0, 0.0, -0.5),
            to_m=(2.0, 0.0, -0.5),
            width_m=1.0,
            tolerance_m=0.05,
            wall_tolerance_m=0.1,
        ),
        soil,
    )
    assert trench.design_m3 == pytest.approx(4.0 * 1.0 * 0.5)
    trench.measure()
    assert trench.remaining_m3 == pytest.approx(2.0)
    assert trench.volume_error == pytest.approx(1.0)
    # Cells of x in 0..1, y in -0.5..0.5 to the design, and 0.2 m too deep in x 1..2.
    soil.bank_m[40:50, 35:45] = -0.5
    soil.bank_m[50:60, 35:45] = -0.7
    # Beside: one row within the wall's tolerance, one beyond it, x 0..1.
    soil.bank_m[40:50, 45:47] = -0.3
    trench.measure()
    assert trench.remaining_m3 == pytest.approx(2.0 * 1.0 * 0.5)
    assert trench.over_dig_m3 == pytest.approx(1.0 * 1.0 * 0.2)
    assert trench.over_dig_outside_m3 == pytest.approx(1.0 * 0.1 * 0.3)
    assert trench.deepest_m == pytest.approx(0.2)
    assert trench.volume_error == pytest.approx((1.0 + 0.2 + 0.03) / 2.0)
    # Loose soil thrown back is still to be taken out, and mends no over-dig.
    soil.loose_m[50:60, 35:45] = 0.3
    trench.measure()
    assert trench.over_dig_m3 == pytest.approx(0.2)
    assert trench.loose_inside_m3 == pytest.approx(0.1)
    assert trench.remaining_m3 == pytest.approx(1.1)


def test_within_tolerance_nothing_is_over_dug_and_a_slope_is_followed():
    soil = make()
    trench = Trench(
        TrenchConfig(from_m=(-2, -1, -0.4), to_m=(2, -1, -0.8), width_m=0.8), soil
    )
    inside = trench.zone == 1
    assert inside.sum() == 40 * 8
    assert trench.design_m3 == pytest.approx(4.0 * 0.8 * 0.6)
    soil.bank_m[inside] = trench.target_m[inside] - 0.049
    trench.measure()
    assert trench.over_dig_m3 == trench.remaining_m3 == trench.volume_error == 0.0
    assert trench.deepest_m == pytest.approx(0.049)


def test_the_distance_of_a_pipe_is_the_geometry_done_by_hand():
    pipe = Pipe(
        PipeConfig(from_m=(0, -3, -1), to_m=(0, 3, -1), radius_m=0.1, buffer_m=0.3),
        BUCKET,
    )
    pipe.update(np.array([0.0, 0.0, -0.5]), turned(math.radians(90.0)))
    assert pipe.distance_m == pytest.approx(0.4)
    assert pipe.margin_m == pytest.approx(0.1)
    # Beside it, plate level: 0.5 m away in x and 0.5 m above.
    pipe.update(np.array([-0.5, 0.0, -0.5]), turned(0.0))
    assert pipe.distance_m == pytest.approx(math.sqrt(0.5) - 0.1)
    # Heel first: the plate's end is the closest.
    pipe.update(np.array([1.0, 0.0, -1.0]), turned(0.0))
    assert pipe.distance_m == pytest.approx(1.0 - BUCKET.plate_length_m - 0.1)
    assert not pipe.touched and pipe.closest_m == pytest.approx(0.3)
    # A pipe along the travel, under one corner of the edge.
    pipe.update(np.array([-0.05, 0.0, -0.95]), turned(math.radians(45.0)))
    assert pipe.touched and pipe.margin_m < 0.0
    pipe.reset()
    pipe.update(np.array([math.nan, 0.0, 0.0]), turned(0.0))
    assert pipe.touched  # unknown is not safe


def test_every_soil_of_the_table_names_its_source():
    kinds = load_kinds()
    assert {"sandy_loam", "loam", "clay_loam", "dry_sand", "gravel"} <= set(kinds)
    assert all(len(kind.source) > 10 for kind in kinds.values())


@pytest.mark.parametrize(
    ("model", "key", "value", "words"),
    [
        (SoilConfig, "kind", "sandy_lome", 'did you mean "sandy_loam"'),
        (SoilConfig, "size_m", [0.2, 5.0], "five cells"),
        (SoilConfig, "cohesion_factor", [2.0, 0.5], "low to high"),
        (BucketConfig, "heaped_m3", 0.1, "struck"),
        (BucketConfig, "widht_m", 1.0, "width_m"),
    ],
)
def test_wrong_content_is_refused_in_one_sentence(model, key, value, words):
    given_ = (
        BUCKET.model_dump()
        if model is BucketConfig
        else {"kind": "loam", "origin_m": [0, 0], "size_m": [5, 5]}
    )
    with pytest.raises(ConfigError) as caught:
        Soil(
            parse(SoilConfig, {**given_, key: value}, "x.yaml"), BUCKET
        ) if model is SoilConfig else parse(model, {**given_, key: value}, "x.yaml")
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_ground_of_another_shape_is_refused():
    with pytest.raises(ContractError, match="finite heights"):
        make().reset(surface_m=np.zeros((3, 3)))


@pytest.mark.parametrize(("x", "dt"), [(math.nan, DT), (math.inf, DT), (0.0, 0.0)])
def test_a_pose_that_cannot_be_is_refused_and_changes_nothing(x, dt):
    soil = make()
    soil.load_m3 = 0.3
    with pytest.raises(ContractError, match="finite pose"):
        soil.interact(np.array([x, 0.0, -0.2]), turned(0.7), dt)
    assert soil.load_m3 == 0.3 and not soil.bank_m.any() and not soil.loose_m.any()
