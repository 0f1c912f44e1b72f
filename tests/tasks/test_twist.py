from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from physai.robot.description import load_robot
from physai.robot.kinematics import Kinematics
from physai.tasks.twist import joints_from_twist

ROBOT = load_robot("franka")


def decode(twist, q, gain=0.0, damping=0.01):
    k = Kinematics(ROBOT)
    k.update(q)
    out = np.empty(7)
    j = k.tool_jacobian().copy()
    joints_from_twist(
        j, twist, q, ROBOT.home_position, gain, damping, ROBOT.velocity_max, out
    )
    return out, j


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.0, 0.5))
def test_a_small_twist_is_followed_and_the_posture_stays_in_the_null_space(seed, gain):
    rng = np.random.default_rng(seed)
    q = ROBOT.home_position + rng.uniform(-0.2, 0.2, 7)
    twist = rng.uniform(-0.03, 0.03, 6)
    qd, j = decode(twist, q, gain)
    assert np.allclose(j @ qd, twist, atol=4e-3)


def test_it_agrees_with_the_matrix_formula():
    rng = np.random.default_rng(1)
    q = ROBOT.home_position + rng.uniform(-0.2, 0.2, 7)
    twist, gain, damping = rng.uniform(-0.05, 0.05, 6), 0.4, 0.05
    qd, j = decode(twist, q, gain, damping)
    z = gain * (ROBOT.home_position - q)
    a = j @ j.T + damping**2 * np.eye(6)
    assert np.allclose(qd, z + j.T @ np.linalg.solve(a, twist - j @ z), atol=1e-10)


def test_a_fast_twist_keeps_its_direction_within_the_joint_limits():
    q = ROBOT.home_position.copy()
    slow, _ = decode(np.array([0.01, 0, 0.01, 0, 0, 0]), q)
    fast, _ = decode(np.array([100.0, 0, 100.0, 0, 0, 0]), q)
    assert (np.abs(fast) <= ROBOT.velocity_max + 1e-9).all()
    cosine = slow @ fast / np.linalg.norm(slow) / np.linalg.norm(fast)
    assert cosine > 1 - 1e-9


def test_a_twist_that_is_not_finite_stays_not_finite():
    qd, _ = decode(np.array([np.nan, 0, 0, 0, 0, 0]), ROBOT.home_position.copy())
    assert np.isnan(qd).any()
