"""Drives: motion that nobody asked for, joints that do not follow, readings that lie."""

import gymnasium
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from physai.errors import ConfigError
from physai.plant.faults import FaultValues
from physai.safety import Guard
from physai.safety.rules import Signal
from physai.safety.sections.drives import DrivesValues, pose_jump, predict
from physai.types import Action
from tests.safety.conftest import make_command, make_state, person
from tests.safety.test_guard_laws import LAW

DT = 0.05


class Arm:
    """Joints that follow a command with a lag of one period, as a plant does."""

    def __init__(self, robot):
        self.robot, self.q, self.qd = robot, robot.home_position.copy(), np.zeros(7)
        self.step = 0

    def state(self, **changes):
        stamp = self.step * DT
        return make_state(
            self.robot,
            self.q.copy(),
            self.qd.copy(),
            people=person(6.0),
            stamp_s=stamp,
            **changes,
        )

    def move(self, velocity):
        before, self.qd = self.qd, np.asarray(velocity, dtype=float)
        self.q = self.q + 0.5 * (before + self.qd) * DT
        self.step += 1


def run(guard, arm, asked, steps, fault=lambda step, sent: sent, **changes):
    """Drive for some steps; return the decisions."""
    decisions = []
    for step in range(steps):
        sent, decision = guard.certify(arm.state(**changes), make_command(asked))
        decisions.append(decision)
        arm.move(fault(step, sent.actuator_velocity.copy()))
    return decisions


SLOW = np.array([0.1, -0.05, 0.08, 0.05, 0.1, -0.1, 0.2])


def test_a_healthy_arm_is_left_alone(robot, guard):
    decisions = run(guard, Arm(robot), SLOW, 40)
    assert all(d.action < Action.STOP2 for d in decisions)
    m = guard.monitor.signals
    for signal in (Signal.UNEXPECTED_MOTION, Signal.FOLLOWING, Signal.PLAUSIBILITY):
        assert m[signal] < 0.01


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_a_runaway_removes_the_power(robot, guard, sign):
    def fault(step, sent):
        if step >= 10:
            sent[0] = sign * 0.5 * robot.velocity_max[0]
        return sent

    decisions = run(guard, Arm(robot), np.zeros(7), 20, fault)
    first = next(i for i, d in enumerate(decisions) if d.action is Action.STOP0)
    assert 10 < first <= 14, "hold window of 0.1 s and one reading"
    assert decisions[-1].latched and decisions[-1].rule == "unexpected_motion"


def test_an_arm_that_goes_on_after_a_stop_loses_its_power(robot, guard):
    """A stop of category 1 that is not obeyed grows to category 0."""
    arm = Arm(robot)
    run(guard, arm, 4.0 * SLOW, 20)
    kept = arm.qd.copy()
    decisions = run(guard, arm, np.full(7, np.nan), 20, lambda step, sent: kept.copy())
    assert decisions[0].action is Action.STOP1
    assert decisions[-1].action is Action.STOP0


def test_a_blocked_arm_gives_way_and_then_rests(robot, guard):
    arm = Arm(robot)
    run(guard, arm, 4.0 * SLOW, 20)
    sent_at = []

    def blocked(step, sent):
        sent_at.append(sent.copy())
        return np.where(sent * SLOW > 0.0, 0.0, sent)

    decisions = run(guard, arm, 4.0 * SLOW, 12, blocked)
    hold = next(i for i, d in enumerate(decisions) if d.action is Action.STOP2)
    assert decisions[hold].rule == "following" and not decisions[hold].latched
    back = sent_at[hold]
    assert (back * SLOW <= 0.0).all() and back.any(), "back along the way it came"
    share = np.abs(back) / robot.velocity_max
    assert share.max() == pytest.approx(0.02, rel=0.05)


def test_slowing_down_is_not_being_blocked(robot, guard):
    arm = Arm(robot)
    run(guard, arm, 4.0 * SLOW, 20)
    decisions = run(guard, arm, np.zeros(7), 20)
    assert all(d.action < Action.STOP2 for d in decisions)


@pytest.mark.parametrize("joint", range(7))
def test_a_jump_of_a_reading_stops(robot, spec, joint):
    guard, arm = Guard(spec), Arm(robot)
    run(guard, arm, SLOW, 10)
    arm.q[joint] += 0.3 * robot.velocity_max[joint] * DT
    (decision,) = run(guard, arm, SLOW, 1)
    assert decision.action is Action.STOP1 and decision.rule == "plausibility"


def test_a_frozen_position_under_a_live_speed_stops(robot, guard):
    arm = Arm(robot)
    run(guard, arm, 4.0 * SLOW, 20)
    frozen = arm.q.copy()
    for _ in range(3):
        sent, decision = guard.certify(
            arm.state(actuator_position=frozen), make_command(4.0 * SLOW)
        )
        arm.move(sent.actuator_velocity)
    assert decision.latched and decision.rule == "plausibility"


def test_a_frozen_joint_reading_is_found_by_not_following(robot, guard):
    """Position and speed frozen at rest agree with each other, not with the command."""
    arm = Arm(robot)
    still = {"actuator_position": arm.q.copy(), "actuator_velocity": np.zeros(7)}
    decisions = run(guard, arm, 4.0 * SLOW, 20, **still)
    assert any(d.action is Action.STOP2 and d.rule == "following" for d in decisions)


@pytest.mark.parametrize(("missed", "stops"), [(1, False), (2, False), (3, True)])
def test_more_than_two_missed_periods_stop(robot, guard, missed, stops):
    arm = Arm(robot)
    run(guard, arm, np.zeros(7), 5)
    arm.step += missed
    (decision,) = run(guard, arm, np.zeros(7), 1)
    assert decision.latched is stops
    assert decision.rule == ("period_overrun" if stops else "")


def test_an_effort_that_is_promised_and_missing_holds(robot, guard):
    run(guard, Arm(robot), np.zeros(7), 1, actuator_effort=np.full(7, np.nan))
    assert not guard.monitor.margins[guard.spec.rule_names.index("joint_effort")] >= 0
    decisions = run(
        guard, Arm(robot), np.zeros(7), 8, actuator_effort=np.full(7, np.nan)
    )
    assert decisions[-1].action is Action.STOP2
    assert decisions[-1].rule == "joint_effort"


def test_a_released_stop_starts_from_standstill(robot, guard):
    arm = Arm(robot)
    run(guard, arm, 4.0 * SLOW, 20)
    run(guard, arm, np.full(7, np.nan), 3)
    guard.release("Hanako Suzuki")
    decisions = run(guard, arm, np.zeros(7), 5)
    assert all(not d.latched for d in decisions)


@LAW
@given(
    st.lists(st.floats(-2.0, 2.0), min_size=20, max_size=20),
    st.floats(0.5, 10.0),
    st.floats(0.5, 10.0),
)
def test_the_prediction_is_a_ramp(commands, acceleration, braking):
    """Within the limits of every step, and at the command when there was time."""
    ring, v = np.zeros((3, 1)), 0.0
    a, b = np.array([acceleration]), np.array([braking])
    for step, command in enumerate(commands):
        predict(np.array([command]), a, b, DT, ring, step % 3)
        now = ring[step % 3, 0]
        assert abs(now - v) <= max(acceleration, braking) * DT + 1e-12
        assert min(v, command) - 1e-12 <= now <= max(v, command) + 1e-12
        v = now


def test_an_unknown_actuator_is_named(robot):
    from physai.safety.sections.drives import Drives
    from physai.safety.sections.section import Caps

    values = DrivesValues(window_s=0.1, following=("panda_joint9",), source="test")
    with pytest.raises(ConfigError, match=r"panda_joint9.*panda_joint"):
        Drives(values, robot, False, Caps(7), 0.1)


PLACE = st.floats(-50.0, 50.0)


@LAW
@given(
    st.lists(PLACE, min_size=2, max_size=2),
    st.lists(st.floats(-3.0, 3.0), min_size=4, max_size=4),
    st.floats(0.02, 0.3),
    st.lists(st.floats(-1.0, 1.0), min_size=2, max_size=2),
)
def test_a_pose_that_jumps_is_measured(place, twists, elapsed, jump):
    before, pose = np.full(4, np.nan), np.array([*place, 0.0, 0.0, 0.0, 0.0, 1.0])
    first, second = np.zeros(6), np.zeros(6)
    first[:2], second[:2] = twists[:2], twists[2:]
    assert pose_jump(pose, first, before, np.nan) == 0.0
    there = pose.copy()
    there[:2] += 0.5 * elapsed * (first + second)[:2] + jump
    found = pose_jump(there, second, before, elapsed)
    assert found == pytest.approx(float(np.hypot(*jump)), abs=1e-9)
    # From here on the new place is what it was.
    assert pose_jump(there, 0.0 * second, before, 0.0) == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize(
    "name", ["CareNightRound", "ConstructionHaul", "LogisticsCrossing"]
)
def test_a_base_whose_localisation_jumps_stops(name):
    """In the running environment: nothing without the fault, stop 1 with it."""
    seen = []
    for magnitude in (0.0, 0.4):
        env = gymnasium.make(f"physai/{name}-v0", guard="on").unwrapped
        scenario = env.cycle.task.sample_scenario(
            env.environment.distributions["train"].seeds.first, "train"
        )
        bias = FaultValues(kind="bias", target="pose", start_s=1.0, magnitude=magnitude)
        env.reset(options={"scenario": scenario.model_copy(update={"faults": (bias,)})})
        stopped, still = "", np.zeros(env.action_space.shape, dtype=np.float32)
        for _ in range(30):
            *_, ended, cut, _ = env.step(still)
            stopped = env.cycle.guard.latch.rule
            if ended or cut:
                break
        seen.append(stopped)
        env.close()
    assert seen == ["", "pose_jump"]
