"""Digging in Bullet: the excavator with the force of the soil on its bucket."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pytest

from tests.plant.excavation import DT, Excavation, posture

UPRIGHT = math.radians(90.0)
STILL = np.zeros(4)


@pytest.fixture(scope="module")
def machine() -> Iterator[Excavation]:
    made = Excavation()
    yield made
    made.close()


def approach(machine: Excavation, depth: float, steps: int = 2000) -> None:
    """Drive the edge in along its plate."""
    slope = math.tan(math.radians(40.0))
    for _ in range(steps):
        if machine.kinematics.tool_position[2] <= -depth:
            return
        machine.step(machine.rates(-0.35, -0.35 * slope, 0.0))
    pytest.fail("the bucket does not get into the ground")


@pytest.mark.parametrize(
    "q",
    [
        [0.0, -0.7, 1.8, 1.9],
        [0.4, 0.1, 0.6, -0.2],
        [-1.0, -1.1, 0.7, 0.5],
    ],
)
@pytest.mark.parametrize("load_m3", [0.0, 0.5])
def test_motors_hold_machine_and_load_at_zero_command(machine, q, load_m3):
    machine.reset(np.array(q))
    heights = []
    machine.soil.load_m3 = load_m3
    for k in range(480):
        machine.soil.load_m3 = load_m3  # nothing spills while it is watched
        machine.step(STILL)
        if k % 240 == 239:
            machine.look()
            heights.append(machine.kinematics.tool_position.copy())
    assert np.linalg.norm(heights[1] - heights[0]) < 1e-3  # less than 1 mm in 1 s


def test_it_digs_sandy_loam_at_0_3_m_without_stall_or_explosion(machine):
    machine.reset(posture(7.0, 0.2, UPRIGHT))
    approach(machine, 0.3)
    start = machine.kinematics.tool_position.copy()
    share, fastest, hardest = [], 0.0, 0.0
    wanted = -0.35
    for _ in range(700):
        z = machine.kinematics.tool_position[2]
        machine.step(machine.rates(wanted, 2.0 * (-0.3 - z), 0.08))
        share.append(np.abs(machine.dynamics.effort) / machine.robot.effort_max)
        limit = machine.robot.velocity_max
        fastest = max(fastest, float((np.abs(machine.dynamics.velocity) / limit).max()))
        hardest = max(hardest, float(np.linalg.norm(machine.soil.force_n)))
    machine.look()
    end = machine.kinematics.tool_position
    assert end[0] - start[0] == pytest.approx(wanted * 700 * DT, rel=0.03)
    assert abs(end[2] + 0.3) < 0.03
    assert np.array(share)[:, 1:].max() < 0.6  # far from stalling
    assert fastest < 1.0 and hardest < 40e3
    assert hardest > 12e3  # and the ground was felt
    soil = machine.soil
    assert soil.load_m3 > 0.6 * 0.5
    # All soil is where it should be: on the map, in the bucket.
    assert abs(soil.volume_m3) < 1e-9 * soil.dug_m3


def test_a_whole_cycle_fills_carries_and_dumps_beside(machine):
    """Dig, curl, lift, swing by 0.3 rad, dump: where the soil is, and that it is all."""
    machine.reset(posture(7.0, 0.2, UPRIGHT))
    soil, dynamics = machine.soil, machine.dynamics
    approach(machine, 0.3)
    while soil.fill < 0.85:
        z = machine.kinematics.tool_position[2]
        machine.step(machine.rates(-0.35, 2.0 * (-0.3 - z), 0.1))
        assert machine.kinematics.tool_position[0] > 4.0
    while dynamics.position[1:].sum() < math.radians(175.0):
        machine.step(machine.rates(-0.1, 0.15, 0.7))
    for _ in range(700):
        machine.step(machine.rates(0.0, 0.5, 0.0))
    carried, dug = soil.load_m3, soil.dug_m3
    assert carried > 0.7 * 0.5
    for _ in range(round(0.3 / 0.3 / DT)):
        machine.step(np.array([0.3, 0.0, 0.0, 0.0]))
    # 0.6 rad/s2 at 5 m is 3 m/s2: a little of the heap is shaken off.
    assert 0.85 * carried < soil.load_m3 < carried
    carried = soil.load_m3
    for _ in range(1000):
        machine.step(np.array([0.0, 0.0, 0.0, -0.8]))
    assert soil.load_m3 < 0.02
    aside = soil.loose_m[:, 35:].sum() * soil.config.cell_m**2
    assert soil.outside_m3 == 0.0
    assert aside == pytest.approx(carried, rel=0.15)
    assert soil.dug_m3 == dug
    missing = soil.initial_m.sum() - soil.bank_m.sum()
    assert missing * soil.config.cell_m**2 == pytest.approx(dug, rel=1e-9)
    assert abs(soil.volume_m3) < 1e-9 * dug


def test_load_is_felt_by_the_boom_and_dumped_on_the_map(machine):
    machine.reset(np.array([0.5, -0.7, 1.8, 1.85]))
    for _ in range(60):
        machine.step(STILL)
    empty = machine.dynamics.effort.copy()
    machine.soil.load_m3 = 0.4
    volume = machine.soil.volume_m3
    for _ in range(20):
        machine.step(STILL)
    kinematics = machine.kinematics
    weight = machine.soil.load_kg * 9.81
    lever = machine.soil.forces[3, :2] - kinematics.link_position[2][:2]
    expected = weight * float(np.linalg.norm(lever))
    # The boom's axis is level; the load is nearly in its plane.
    change = float(machine.dynamics.effort[1] - empty[1])
    assert abs(change) == pytest.approx(expected, rel=0.03)
    for _ in range(700):
        machine.step(np.array([0.0, 0.0, 0.0, -0.8]))
    assert machine.soil.load_m3 < 0.02
    assert machine.soil.loose_m.sum() > 0.0
    assert abs(machine.soil.volume_m3 - volume) < 1e-9


def test_ground_bears_a_bucket_that_is_pressed_on_it(machine):
    """The boom stalls on even ground; nothing chatters, and at rest all rests."""
    machine.reset(posture(5.0, 0.05, math.radians(130.0)))
    for _ in range(240):
        machine.step(np.array([0.0, 0.2, 0.0, 0.0]))
        assert np.abs(machine.dynamics.velocity).max() < 0.5
    assert machine.kinematics.tool_position[2] > -0.05
    lift = machine.soil.force_n[2]
    assert lift > 30e3
    for _ in range(120):
        machine.step(STILL)
    machine.look()
    before = machine.kinematics.tool_position.copy()
    for _ in range(240):
        machine.step(STILL)
    machine.look()
    assert np.linalg.norm(machine.kinematics.tool_position - before) < 1e-3


def test_a_bucket_in_a_trench_does_not_swing_through_its_wall(machine):
    machine.reset(posture(6.0, 0.2, UPRIGHT))
    approach(machine, 0.5)
    for _ in range(240):
        machine.step(np.array([0.3, 0.0, 0.0, 0.0]))
        assert np.abs(machine.dynamics.velocity).max() < 0.5
    # 39 kN m at 5.5 m is 7 kN; the wall of cohesive soil bears more.
    assert abs(machine.dynamics.position[0]) < 0.01
    assert abs(machine.soil.force_n[1]) > 3e3


def test_hard_clay_too_deep_stalls_without_chatter():
    machine = Excavation("clay_loam")
    try:
        machine.reset(posture(6.5, 0.1, math.radians(70.0)))
        for _ in range(900):
            machine.step(machine.rates(-0.25, -0.3, 0.0))
        assert np.isfinite(machine.dynamics.position).all()
        assert machine.soil.resistance_n > 50e3
        for _ in range(240):
            machine.step(STILL)
        assert np.abs(machine.dynamics.velocity).max() < 0.02
    finally:
        machine.close()


def test_soil_only_takes_energy_even_from_a_bucket_deep_in_clay():
    """Pulled by the arm 1.2 m under the surface: boom and arm at their limits."""
    machine = Excavation("clay_loam")
    try:
        machine.reset(posture(6.5, -1.2, math.radians(70.0)))
        work, least, back = 0.0, 0.0, 0.0
        before = machine.kinematics.tool_position.copy()
        for _ in range(720):
            machine.step(np.array([0.0, 0.0, 0.5, 0.0]))
            now = machine.kinematics.tool_position
            work += float(machine.soil.forces[:3, 3:].sum(axis=0) @ (now - before))
            before[:] = now
            least = min(least, work)
            back = max(back, work - least)
        assert work < -10e3
        # What comes back at once is elastic: 500 kN x 10 mm / 2, and a little turning.
        assert back < 5e3
        assert np.abs(machine.dynamics.velocity).max() < 0.02  # it has stalled
    finally:
        machine.close()


def test_two_runs_are_equal_to_the_last_bit(machine):
    ends = []
    for _ in range(2):
        machine.reset(posture(7.0, 0.05, UPRIGHT))
        for _ in range(400):
            machine.step(machine.rates(-0.3, -0.25, 0.1))
        ends.append((machine.dynamics.position.copy(), machine.soil.bank_m.copy()))
    assert np.array_equal(ends[0][0], ends[1][0])
    assert np.array_equal(ends[0][1], ends[1][1])
