"""A guard, a person at a table and states around them, without a simulator."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from physai.body.person import SEGMENT_COUNT
from physai.robot.description import load_robot
from physai.robot.kinematics import Kinematics
from physai.safety import Guard, compile_spec, load_spec
from physai.types import Command, State

EXTRAS = (
    "mouth_x_in_world_m",
    "mouth_y_in_world_m",
    "mouth_z_in_world_m",
    "mouth_axis_x_in_world",
    "mouth_axis_y_in_world",
    "mouth_axis_z_in_world",
    "mouth_opening_m",
    "consent",
    "stop_signal",
    "food_on_spoon",
)
TRUTH_EXTRAS = ("food_in_mouth", "food_spilled", "insertion_depth_m", "mouth_force_n")
BASE = np.array([0.0, 0.0, 0.70, 0.0, 0.0, 0.0, 1.0])


def person(x=1.0, y=0.0):
    """Return (1, S, 7) capsules of somebody seated who faces the robot (-x)."""
    rows = np.zeros((SEGMENT_COUNT, 7))

    def put(index, a, b, radius):
        rows[index] = [x + a[0], y + a[1], a[2], x + b[0], y + b[1], b[2], radius]

    put(0, (0.02, 0, 1.22), (0.02, 0, 1.26), 0.09)
    put(1, (-0.03, 0, 1.14), (-0.03, 0, 1.20), 0.06)
    put(2, (0.02, 0, 1.02), (0.02, 0, 1.10), 0.055)
    put(3, (0, -0.1, 0.92), (0, 0.1, 0.92), 0.11)
    put(4, (0, -0.08, 0.75), (0, 0.08, 0.75), 0.11)
    put(5, (0, -0.1, 0.58), (0, 0.1, 0.58), 0.12)
    for side, sign in ((0, 1), (1, -1)):
        put(6 + side, (0, 0.2 * sign, 0.95), (-0.03, 0.24 * sign, 0.70), 0.045)
        put(8 + side, (-0.03, 0.24 * sign, 0.70), (-0.22, 0.14 * sign, 0.64), 0.04)
        put(10 + side, (-0.22, 0.14 * sign, 0.64), (-0.32, 0.1 * sign, 0.63), 0.035)
        put(12 + side, (0, 0.1 * sign, 0.55), (-0.4, 0.12 * sign, 0.55), 0.07)
        put(14 + side, (-0.4, 0.12 * sign, 0.5), (-0.4, 0.12 * sign, 0.1), 0.05)
    return rows[None]


def make_state(robot, q=None, qd=None, people=None, **changes):
    """Return a fresh, complete state."""
    n = len(robot.actuator_names)
    q = np.array(robot.home_position if q is None else q, dtype=float)
    qd = np.zeros(n) if qd is None else np.asarray(qd, dtype=float)
    people = person() if people is None else people
    # A tracker never says the same twice to the last bit.
    people = people * (1.0 + 1e-12 * (1.0 + changes.get("stamp_s", 0.0)))
    kinematics = Kinematics(robot, BASE)
    kinematics.update(q)
    mouth = people[0, 1, :3] + [-people[0, 1, 6], 0, 0.02] if len(people) else [9, 9, 9]
    extras = np.array([*mouth, -1.0, 0.0, 0.0, 0.025, 1.0, 0.0, 1.0])
    state = State(
        stamp_s=0.0,
        sequence=0,
        actuator_position=q,
        actuator_velocity=qd,
        actuator_effort=np.zeros(n),
        actuator_age_s=0.0,
        base_pose_in_world=BASE,
        base_twist_in_world=np.zeros(6),
        tool_pose_in_world=kinematics.tool_pose().copy(),
        tool_force_in_world_n=np.zeros(3),
        tool_force_age_s=0.0,
        people=people,
        people_velocity=np.full((len(people), SEGMENT_COUNT, 3), np.nan),
        people_age_s=np.full(len(people), 0.1),
        people_frame_age_s=0.1,
        objects_pose_in_world=np.zeros((0, 7)),
        objects_age_s=np.zeros(0),
        lidar_range_m=np.zeros(0),
        lidar_age_s=0.0,
        extras=extras,
        extras_age_s=np.full(len(extras), 0.05),
    )
    return dataclasses.replace(state, **changes)


_counter = iter(range(10**9))


def make_command(velocity):
    """Return a command with the next sequence number."""
    return Command(np.asarray(velocity, dtype=float), np.zeros(0), 0.0, next(_counter))


@pytest.fixture(scope="session")
def robot():
    return load_robot("franka")


@pytest.fixture(scope="session")
def spec(robot):
    return compile_spec(load_spec("care_feeding"), robot, 20.0, EXTRAS, TRUTH_EXTRAS)


@pytest.fixture
def guard(spec):
    return Guard(spec)
