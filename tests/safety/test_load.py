"""A load on suction cups: what the guard permits, whatever the policy asks."""

from __future__ import annotations

import numpy as np
import pytest

from physai.plant.handling import Handling
from physai.robot.description import load_robot
from physai.robot.kinematics import Kinematics
from physai.safety import Guard, Monitor, compile_spec, load_spec
from physai.safety.kernel import permitted_speed
from physai.types import Command, State
from tests.safety.conftest import person

ROBOT = load_robot("palletizer")
BASE = np.array([0.0, 0.0, 0.60, 0.0, 0.0, 0.0, 1.0])
SPEC = compile_spec(
    load_spec("logistics_palletize"),
    ROBOT,
    20.0,
    Handling.EXTRAS,
    Handling.TRUTH_EXTRAS,
)
NAMES = list(Handling.EXTRAS)


def state_of(people, velocity=None, sequence=0, **extras) -> State:
    """Return a fresh state with a case of 6 kg on the cups, far from its slot."""
    kinematics = Kinematics(ROBOT, BASE)
    q = np.array(ROBOT.home_position)
    kinematics.update(q)
    x, y, z = kinematics.tool_position.tolist()
    seen = dict(
        zip(
            NAMES,
            [
                60.0,
                3.0,
                1.0,
                x,
                y,
                z,
                0.0,
                0.3,
                0.22,
                0.2,
                6.0,
                0.6,
                0.5,
                0.4,
                0.0,
                3.0,
            ],
            strict=True,
        )
    )
    seen.update(extras)
    return State(
        stamp_s=0.05 * sequence,
        sequence=sequence,
        actuator_position=q,
        actuator_velocity=np.zeros(6) if velocity is None else velocity,
        actuator_effort=np.zeros(6),
        actuator_age_s=0.0,
        base_pose_in_world=BASE,
        base_twist_in_world=np.zeros(6),
        tool_pose_in_world=kinematics.tool_pose().copy(),
        tool_force_in_world_n=np.zeros(3),
        tool_force_age_s=0.0,
        people=people,
        people_velocity=np.full((len(people), people.shape[1], 3), np.nan),
        people_age_s=np.full(len(people), 0.1),
        people_frame_age_s=0.1,
        objects_pose_in_world=np.zeros((0, 7)),
        objects_age_s=np.zeros(0),
        lidar_range_m=np.zeros(0),
        lidar_age_s=0.0,
        extras=np.array([seen[name] for name in NAMES]),
        extras_age_s=np.zeros(len(NAMES)),
    )


def tool_velocity(joints):
    kinematics = Kinematics(ROBOT, BASE)
    kinematics.update(ROBOT.home_position)
    return kinematics.tool_jacobian()[:3] @ joints


def toward(direction):
    """Joint velocities that move the cups at 0.3 m/s."""
    kinematics = Kinematics(ROBOT, BASE)
    kinematics.update(ROBOT.home_position)
    twist = np.array([*(0.3 * np.array(direction)), 0.0, 0.0, 0.0])
    return np.linalg.solve(kinematics.tool_jacobian(), twist)


def certify(guard, state, joints, vacuum=1.0):
    asked = Command(np.asarray(joints), np.array([vacuum]), state.stamp_s, 1)
    return guard.certify(state, asked)


def above(distance):
    """Somebody whose whole body is far below the case, so far away in plan."""
    # One knee straight ahead of the cups.
    people = person(x=1.0, y=-0.12)
    low, x = people[0, :, [0, 3]].min(), people
    front = (x[0, :, [0, 3]] - x[0, :, 6]).min()
    assert low > 0.0
    people[0, :, [0, 3]] += 0.6 + 0.186 + distance - front
    people[0, :, [2, 5]] -= 6.0
    return people


@pytest.mark.parametrize("distance", [0.7, 0.8, 0.82, 2.5])
def test_a_case_approaches_people_by_the_horizontal_closed_form(distance):
    """They are 6 m below: only the load knows them, and height does not count."""
    people = above(distance)
    guard = Guard(SPEC)
    asked = toward([1.0, 0.0, 0.0])
    # Speeding up is capped too, so that the last command is that of a moving arm.
    guard._last[:] = asked
    sent, decision = certify(guard, state_of(people, velocity=asked), asked)
    speed = tool_velocity(sent.actuator_velocity)[0]
    section = guard.monitor._sections[-1]
    allowed = permitted_speed(distance - 1.6 * 0.1, 1.6, section._parameters)
    assert speed == pytest.approx(min(0.3, allowed), abs=1e-3)
    assert decision.rule == ("load_approach" if allowed < 0.3 else "")


def test_without_a_case_nobody_below_matters():
    guard, asked = Guard(SPEC), toward([1.0, 0.0, 0.0])
    guard._last[:] = asked
    state = state_of(above(0.7), velocity=asked, case_held=0.0)
    sent, _ = certify(guard, state, asked)
    np.testing.assert_allclose(sent.actuator_velocity, asked)


def test_the_vacuum_stays_on_away_from_the_slot_and_opens_in_it():
    far = above(3.0)
    sent, decision = certify(Guard(SPEC), state_of(far), np.zeros(6), vacuum=0.0)
    assert sent.tool[0] == 1.0
    assert decision.intervened and decision.rule == "load_release"
    assert "vacuum" in decision.sentence
    x, y, z = state_of(far).tool_pose_in_world[:3].tolist()
    there = {"slot_x_in_world_m": x + 0.02, "slot_y_in_world_m": y}
    placed = state_of(far, slot_z_in_world_m=z - 0.03, **there)
    sent, decision = certify(Guard(SPEC), placed, np.zeros(6), vacuum=0.0)
    assert sent.tool[0] == 0.0 and not decision.intervened
    high = state_of(far, slot_z_in_world_m=z - 0.2, **there)
    sent, _ = certify(Guard(SPEC), high, np.zeros(6), vacuum=0.0)
    assert sent.tool[0] == 1.0


def test_every_stop_leaves_the_vacuum_as_it_was():
    far = above(3.0)
    guard = Guard(SPEC)
    certify(guard, state_of(far), np.zeros(6), vacuum=1.0)
    # An empty list of people holds, a command that is no number latches.
    hold = state_of(far[:0], sequence=1)
    sent, decision = guard.certify(
        hold, Command(np.zeros(6), np.array([0.0]), hold.stamp_s, 2)
    )
    assert decision.action.name == "STOP2" and sent.tool[0] == 1.0
    late = state_of(far, sequence=2)
    sent, decision = guard.certify(
        late, Command(np.full(6, np.nan), np.array([0.0]), late.stamp_s, 3)
    )
    assert decision.latched and sent.tool[0] == 1.0
    guard.reset()
    sent, _ = certify(guard, state_of(far, case_held=0.0), np.zeros(6), vacuum=0.0)
    assert sent.tool[0] == 0.0


def test_a_poor_vacuum_slows_down_and_speeds_up_gently():
    far, asked = above(4.0), np.array([0.9, 0.0, 0.0, 0.0, 0.0, 0.0])
    steps = {}
    for vacuum in (60.0, 45.0, 30.0):
        guard = Guard(SPEC)
        state = state_of(far, vacuum_kpa=vacuum, case_mass_kg=8.5)
        steps[vacuum] = certify(guard, state, asked)[0].actuator_velocity[0]
    assert steps[60.0] > steps[45.0] > steps[30.0] > 0.0
    # Static margin 1.63 at 30 kPa and 6 kg: a share of 0.54 of the speed.
    guard = Guard(SPEC)
    fast = np.array([2.0, 0.0, 0.0, 0.0, 0.0, 0.0])
    guard._last[:] = fast
    state = state_of(far, velocity=fast, vacuum_kpa=30.0)
    sent, _ = certify(guard, state, fast)
    margin = 30.0e3 * 0.0032 / (6.0 * 9.81)
    share = (margin - 1.2) / (2.0 - 1.2)
    most = share * ROBOT.velocity_max[0]
    assert sent.actuator_velocity[0] <= most + 1e-9
    # Braking is never limited.
    sent, _ = certify(Guard(SPEC), state_of(far, velocity=fast), np.zeros(6))
    np.testing.assert_allclose(sent.actuator_velocity, 0.0)


def test_letting_go_away_from_the_slot_is_seen_by_the_scorer():
    far, monitor = above(3.0), Monitor(SPEC, "truth")
    place = SPEC.rule_names.index("load_release")
    monitor.update(state_of(far))
    assert monitor.margins[place] >= 0.0
    monitor.update(state_of(far, sequence=1, case_held=0.0))
    assert monitor.margins[place] < 0.0
    monitor.update(state_of(far, sequence=2, case_held=0.0))
    assert monitor.margins[place] >= 0.0


@pytest.mark.parametrize("name", ["vacuum_kpa", "case_x_in_world_m", "case_mass_kg"])
def test_what_is_not_a_number_stops(name):
    sent, decision = certify(
        Guard(SPEC), state_of(above(3.0), **{name: np.nan}), toward([1.0, 0.0, 0.0])
    )
    assert decision.latched
    np.testing.assert_allclose(sent.actuator_velocity, 0.0)
