"""Responses: loop, numpy and rtamt agree about the same traces."""

from __future__ import annotations

import numpy as np
import pytest

from physai.evaluation.facts import RuleFacts, rule_facts
from physai.evaluation.temporal import (
    evaluator,
    formula,
    judge_responses,
    robustness,
)
from physai.safety.monitor import Monitor
from physai.tasks import registry

HZ = 20.0


@pytest.fixture(scope="module")
def spec():
    cycle = registry.make_cycle("physai/CareFeeding-v0")
    yield cycle.spec
    cycle.close()


@pytest.fixture(scope="module")
def rule(spec) -> RuleFacts:
    return next(fact for fact in rule_facts(spec) if fact.response is not None)


def traces(seed: int, length: int = 60):
    """Return a trigger that comes and goes in runs, and a judged margin."""
    rng = np.random.default_rng(seed)
    runs = np.repeat(rng.normal(size=length), rng.integers(1, 12, length))[:length]
    return runs, rng.normal(0.5, 0.7, length)


def test_loop_numpy_and_rtamt_agree_in_sign_on_a_thousand_traces(spec, rule) -> None:
    assert evaluator() == "rtamt", "the extra stl belongs to the development install"
    own = spec.rule_names.index(rule.id)
    trigger, judged = (
        spec.rule_names.index(rule.response[key]) for key in ("trigger", "judged")
    )
    monitor = Monitor(spec, "truth")
    nothing = np.zeros(99), np.zeros(99), np.zeros(99)
    violated = 0
    for seed in range(1000):
        a, b = traces(seed)
        by = {
            name: robustness(rule, a, b, HZ, by=name) >= 0.0
            for name in ("numpy", "rtamt")
        }
        monitor.reset()
        looped = np.zeros(len(a), dtype=bool)
        for step in range(len(a)):
            for index, margin in ((trigger, a[step]), (judged, b[step])):
                monitor.signals[spec.signal[index]] = (
                    spec.truth_limit[index] - margin * spec.scale[index]
                )
            monitor._respond(*nothing)
            monitor._margins()
            looped[step] = monitor.margins[own] >= 0.0
        np.testing.assert_array_equal(by["numpy"], by["rtamt"])
        np.testing.assert_array_equal(by["numpy"], looped)
        violated += not by["numpy"].all()
    assert 200 < violated < 1000, violated


def test_the_value_is_the_textbook_robustness(rule) -> None:
    """max over the window of A, or B: written out by hand for one trace."""
    a = np.array([0.4, -0.2, -0.1, -0.3, -0.5, -0.6, -0.7, -0.8, -0.9, -1.0])
    steps = int(rule.response["within_s"] * HZ)
    b = np.full(10, -0.25) + rule.response["threshold"]
    expected = [
        max([1.0] * max(0, steps - i) + a[max(0, i - steps) : i + 1].tolist() + [-0.25])
        for i in range(10)
    ]
    for by in ("numpy", "rtamt"):
        np.testing.assert_allclose(robustness(rule, a, b, HZ, by=by), expected)
    assert f"historically[0:{steps}]" in formula(rule, HZ)


@pytest.mark.parametrize("by", ["numpy", "rtamt"])
def test_what_is_not_a_number_is_violated(rule, by: str) -> None:
    a, b = np.full(20, np.nan), np.full(20, np.nan)
    assert (robustness(rule, a, b, HZ, by=by)[10:] < 0.0).all()


def test_a_trigger_that_only_the_guard_sees_is_taken_from_the_guard(spec, rule) -> None:
    facts = rule_facts(spec)
    ids = [fact.id for fact in facts]
    own, trigger = ids.index(rule.id), ids.index(rule.response["trigger"])
    judged = ids.index(rule.response["judged"])
    margins = np.ones((30, len(facts)))
    margins[:, judged] = rule.response["threshold"] - 0.5
    seen = np.ones((30, len(facts)))
    seen[10:, trigger] = -1.0
    result = judge_responses(margins, seen, facts, ids, HZ)
    steps = int(rule.response["within_s"] * HZ)
    assert (result[: 10 + steps, own] >= 0.0).all()
    assert (result[10 + steps :, own] < 0.0).all()
    assert (margins[:, own] == 1.0).all(), "the stored margins stay as they were"
    unseen = judge_responses(margins, None, facts, ids, HZ)
    assert (unseen[:, own] == 1.0).all()
