"""What sections, extras and responses measure reaches the margins and the caps unchanged.

Every environment is shown states that no task would bring about, drawn anew in every
step. Its monitor is held against sections of the test's own, extras read by name from
the specification, and responses counted here: a rule whose signal is lost, turned round
or scaled on the way to its margin is found, and so is a demand that the filter never
hears of.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from physai.body.person import SEGMENT_COUNT
from physai.robot.kinematics import Kinematics
from physai.safety import Monitor
from physai.safety.rules import RULES, ExtraAge, Signal
from physai.safety.sections import load_section
from physai.safety.sections.section import Caps
from physai.tasks import registry

STEPS = 120


@pytest.fixture(scope="module", params=registry.ids())
def cycle(request):
    made = registry.make_cycle(request.param, guard="on")
    first = made.environment.distributions["test"].seeds.first
    made.reset(made.task.sample_scenario(first, "test"))
    for _ in range(5):
        made.step(np.zeros(len(made.spaces.action_names)))
    yield made
    made.close()


def draw(cycle, rng, step, before):
    """Return a state of any kind near the real one, and the truth that belongs to it."""
    robot, real = cycle.task.robot, cycle.state
    n, period = len(robot.actuator_names), 1.0 / cycle.environment.control_hz
    low = np.where(np.isfinite(robot.position_min), robot.position_min, -1.0)
    high = np.where(np.isfinite(robot.position_max), robot.position_max, 1.0)
    pose = real.base_pose_in_world.copy()
    if robot.base is not None:
        far = rng.choice([2.0, 40.0])
        pose[:3] += rng.uniform(-1.0, 1.0, 3) * (far, far, 0.05)
        pose[3:] += rng.uniform(-0.1, 0.1, 4)
        pose[3:] /= np.linalg.norm(pose[3:])
    people = np.zeros((1, SEGMENT_COUNT, 7))
    reach = 1.0 if step % 60 == 25 else rng.choice([3.0, 20.0])
    middle = pose[:3] + rng.uniform(-1.0, 1.0, 3) * (reach, reach, 1.0)
    people[0, :, :3] = middle + rng.uniform(-0.4, 0.4, (SEGMENT_COUNT, 3))
    people[0, :, 3:6] = people[0, :, :3] + rng.uniform(-0.2, 0.2, (SEGMENT_COUNT, 3))
    people[0, :, 6] = rng.uniform(0.03, 0.15, SEGMENT_COUNT)
    lidar = real.lidar_range_m
    if robot.lidar is not None:
        lidar = rng.uniform(0.1, 1.2 * robot.lidar.range_max_m, lidar.shape)
        lidar[rng.random(len(lidar)) < 0.1] = np.nan
    extras = real.extras * rng.uniform(0.0, 2.0, len(real.extras))
    extras += rng.uniform(-1.0, 1.0, len(extras)) * (rng.random(len(extras)) < 0.5)
    state = dataclasses.replace(
        real,
        stamp_s=before.stamp_s + period * rng.uniform(0.5, 3.0),
        sequence=step,
        actuator_position=rng.uniform(low, high),
        actuator_velocity=rng.uniform(-1.2, 1.2, n) * robot.velocity_max,
        actuator_effort=rng.uniform(-1.5, 1.5, n) * robot.effort_max,
        actuator_age_s=float(rng.uniform(0.0, 0.3)),
        base_pose_in_world=pose,
        base_twist_in_world=rng.uniform(-1.0, 1.0, 6),
        people=people,
        people_velocity=rng.uniform(-1.0, 1.0, (1, SEGMENT_COUNT, 3)),
        people_age_s=rng.uniform(0.0, 0.5, 1),
        people_frame_age_s=float(rng.uniform(0.0, 0.3)),
        lidar_range_m=lidar,
        lidar_age_s=float(rng.uniform(0.0, 0.5)),
        extras=extras,
        extras_age_s=rng.uniform(0.0, 1.0, len(extras)),
    )
    if step % 60 == 25:
        state = dataclasses.replace(state, extras=np.abs(extras) + 1.0)
    if step % 60 > 25:
        # So long that what must follow within a time is due.
        state = dataclasses.replace(
            state,
            extras=before.extras,
            people=before.people + 1e-3 * step,
            base_pose_in_world=before.base_pose_in_world,
        )
    if step % 3 == 2:
        # A source that repeats itself.
        state = dataclasses.replace(
            state,
            people=before.people,
            base_pose_in_world=before.base_pose_in_world,
            lidar_range_m=before.lidar_range_m,
            actuator_position=before.actuator_position,
        )
    truth = cycle.truth
    scale = rng.uniform(0.0, 3.0, len(truth.extras))
    true_extras = truth.extras * scale + rng.uniform(-1.0, 1.0, len(truth.extras))
    return state, dataclasses.replace(truth, state=state, extras=true_extras)


class Independent:
    """The same specification, put together once more."""

    def __init__(self, cycle, view):
        self.cycle, self.spec, robot = cycle, cycle.spec, cycle.task.robot
        self.truth_view = view == "truth"
        self.kinematics = Kinematics(robot)
        self.caps = Caps(len(robot.actuator_names), len(robot.tool_channels))
        self.signals = np.zeros(Signal.COUNT)
        reaction = self.spec.config.separation.reaction_time_s
        self.sections = []
        for name, given in self.spec.config.sections.items():
            made, values = load_section(name, given)
            section = made(
                values, robot, self.truth_view, self.caps,
                0.0 if self.truth_view else reaction,
            )  # fmt: skip
            section.period_s = 1.0 / cycle.environment.control_hz
            section.bind(self.spec.extras)
            self.sections.append(section)
        self.since = {}

    def follow(self, velocity):
        for section in self.sections:
            section.follow(velocity)

    def update(self, state):
        self.kinematics.set_base(state.base_pose_in_world)
        self.kinematics.update(state.actuator_position)
        self.kinematics.capsule_velocity(state.actuator_velocity)
        self.caps.clear()
        for section in self.sections:
            section.update(state, self.kinematics, self.signals)

    def expected(self, state, truth, monitor):
        """Yield every rule that is measured late, with the value that it must have."""
        environment, rules = self.cycle.environment, self.spec.config.rules
        by_id = {}
        for given in rules:
            kind = RULES[given.rule]
            sign = -1.0 if kind.sign < 0 else 1.0
            if given.extra is not None:
                if given.extra in environment.extras:
                    place = environment.extras.index(given.extra)
                    old = issubclass(kind, ExtraAge)
                    value = (state.extras_age_s if old else state.extras)[place]
                else:
                    value = truth.extras[environment.truth_extras.index(given.extra)]
            elif given.response is not None:
                continue
            elif kind.section:
                value = self.signals[kind.signal]
            else:
                value = monitor.signals[kind.signal]
            by_id[given.id] = (value, sign)
            if given.extra is not None or kind.section:
                yield given, value, sign
        for given in rules:
            if (r := given.response) is None:
                continue
            trigger = next(rule for rule in rules if rule.id == r.trigger)
            held = margin_of(trigger, *by_id[r.trigger], self.truth_view) >= 0.0
            self.since[given.id] = 0 if held else self.since.get(given.id, 0) + 1
            value, sign = by_id[r.judged]
            steps = math.ceil(r.within_s * environment.control_hz - 1e-9)
            if self.since[given.id] <= steps and not np.isnan(value):
                least = given.limit.value - (
                    0.0 if self.truth_view else given.uncertainty
                )
                value = max(value, least) if sign < 0 else min(value, least)
            yield given, value, sign


def margin_of(given, value, sign, truth_view):
    """Return the margin by the specification's own numbers."""
    kept = 0.0 if truth_view else given.uncertainty
    return (sign * (given.limit.value - value) - kept) / given.scale


@pytest.mark.parametrize("view", ["guard", "truth"])
def test_what_is_measured_late_reaches_its_margin_and_the_caps(cycle, view):
    rng, spec = np.random.default_rng(3), cycle.spec
    monitor, own = Monitor(spec, view), Independent(cycle, view)
    other = "guard" if view == "truth" else "truth"
    state, varied = cycle.state, {}
    for step in range(STEPS):
        state, truth = draw(cycle, rng, step, state)
        if step:
            sent = rng.uniform(-1.0, 1.0, len(cycle.task.robot.actuator_names))
            monitor.follow(sent)
            own.follow(sent)
        monitor.update(state, truth if view == "truth" else None)
        own.update(state)
        for given, value, sign in own.expected(state, truth, monitor):
            index = spec.rule_names.index(given.id)
            if spec.rules[index].view == other:
                assert monitor.margins[index] == 1.0, given.id
                continue
            margin = margin_of(given, value, sign, view == "truth")
            np.testing.assert_allclose(
                monitor.margins[index], margin, rtol=1e-9, atol=1e-9, err_msg=given.id
            )
            varied.setdefault(given.id, set()).add(round(float(margin), 6))
        count = int(own.caps.row_count[0])
        assert int(monitor.caps.row_count[0]) == count
        for name in ("upper", "lower", "rule", "tool_floor"):
            ours, theirs = getattr(own.caps, name), getattr(monitor.caps, name)
            np.testing.assert_array_equal(theirs, ours, err_msg=name)
        for name in ("rows", "row_rule"):
            ours, theirs = getattr(own.caps, name), getattr(monitor.caps, name)
            np.testing.assert_array_equal(theirs[:count], ours[:count], err_msg=name)
        assert monitor.caps.tool_rule == own.caps.tool_rule
    # What never changed would not be missed.
    assert not {name for name, seen in varied.items() if len(seen) < 2}
