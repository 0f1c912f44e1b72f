"""A tracker that repeats itself bit by bit is not fresh, whatever age it claims."""

import numpy as np
import pytest

from physai.errors import ConfigError
from physai.safety import Guard
from physai.safety.rules import Signal
from physai.safety.sections.liveness import Liveness, LivenessValues
from physai.safety.sections.section import Caps
from physai.types import Action
from tests.safety.conftest import make_command, make_state, person

DT = 0.05


def looks(robot, people, age, steps):
    """Return states of so many steps: people and the age that they claim, by step."""
    made = []
    for step in range(steps):
        state = make_state(robot, stamp_s=step * DT, people_age_s=np.array([age(step)]))
        state.people[:] = people(step)
        made.append(state)
    return made


def pretended(robot, states):
    section = Liveness(
        LivenessValues(sources=("people",), source="test"), robot, False, Caps(7), 0.1
    )
    signals, seen = np.zeros(Signal.COUNT), []
    for state in states:
        section.update(state, None, signals)
        seen.append(signals[Signal.FROZEN])
    return seen


def test_a_slow_tracker_that_says_how_old_it_is_pretends_nothing(robot):
    """Frames of 15 Hz with 0.12 s latency, held in between and ageing."""

    def frame(step):
        return int(step * DT * 15.0)

    def age(step):
        return 0.12 + step * DT - frame(step) / 15.0

    states = looks(robot, lambda s: person(1.0, 1e-3 * frame(s)), age, 60)
    assert max(pretended(robot, states)) < 1e-9


def test_the_time_that_a_frozen_tracker_pretends_is_measured(robot):
    states = looks(robot, lambda s: person(1.0, 1e-3 * min(s, 10)), lambda s: 0.1, 40)
    seen = pretended(robot, states)
    assert seen[:11] == pytest.approx([0.0] * 11)
    assert seen[39] == pytest.approx(29 * DT)


def test_nobody_tracked_pretends_nothing(robot):
    states = [
        make_state(robot, people=person()[:0], stamp_s=step * DT) for step in range(20)
    ]
    assert max(pretended(robot, states)) == 0.0


def test_the_guard_holds_and_lets_go_when_it_is_alive_again(robot, spec):
    guard, actions = Guard(spec), []

    def place(step):
        return person(1.0, 1e-3 * (step if step < 10 or step > 30 else 10))

    for state in looks(robot, place, lambda s: 0.1, 60):
        _, decision = guard.certify(state, make_command(np.zeros(7)))
        actions.append(decision.action)
    held = [step for step, action in enumerate(actions) if action is Action.STOP2]
    assert held[0] == pytest.approx(10 + 0.3 / DT + 1, abs=1)
    assert 31 < held[-1] < 40 and actions[-1] < Action.STOP2


def test_a_source_that_the_robot_lacks_is_refused(robot):
    values = LivenessValues(sources=("people", "pose"), source="test")
    with pytest.raises(ConfigError, match='franka has no "pose"'):
        Liveness(values, robot, False, Caps(7), 0.1)
