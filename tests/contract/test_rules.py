"""One contract over every rule class and every rule of every shipped specification."""

from __future__ import annotations

import numpy as np
import pytest

from physai import content
from physai.safety import load_spec
from physai.safety.rules import RULES, Signal
from physai.safety.spec import RuleConfig, SafetySpec
from physai.tasks import registry

SPECS = sorted(content.names("safety"))
ENTRIES = [(name, rule) for name in SPECS for rule in load_spec(name).rules]


@pytest.mark.parametrize("name", sorted(RULES))
def test_a_rule_class_says_what_it_judges(name: str) -> None:
    rule = RULES[name]
    assert rule.__doc__ and len(rule.__doc__) > 30
    if rule.signal is None:
        # The specification says it, with the name of the extra, where the rule does not.
        assert rule.unit in ("", "s", "m", "1", "kg", "J")
    else:
        assert rule.signal in set(Signal)
        assert rule.signal is not Signal.COUNT
        assert rule.unit
    assert rule.view in ("both", "guard", "truth")


def test_no_signal_is_judged_by_two_classes_and_none_is_forgotten() -> None:
    signals = [rule.signal for rule in RULES.values() if rule.signal is not None]
    assert len(set(signals)) == len(signals)
    assert set(signals) == set(Signal) - {Signal.COUNT}


@pytest.mark.parametrize(
    ("spec", "rule"), ENTRIES, ids=[f"{s}-{r.id}" for s, r in ENTRIES]
)
def test_a_limit_carries_its_source_and_two_languages(
    spec: str, rule: RuleConfig
) -> None:
    assert rule.limit.source.strip()
    assert rule.limit.unit == (RULES[rule.rule].unit or rule.limit.unit)
    for text in (rule.title, rule.sentence):
        assert text.en.strip()
        assert any(ord(letter) > 0x3000 for letter in text.ja)
    words = {"value": 1.0, "limit": rule.limit.value}
    assert rule.sentence.en.format(**words).endswith(".")
    assert rule.sentence.ja.format(**words).endswith("。")


@pytest.mark.parametrize("name", SPECS)
def test_every_hazard_of_an_environment_is_met_by_a_rule(name: str) -> None:
    spec: SafetySpec = load_spec(name)
    for env_id in registry.ids():
        environment = registry.load_environment(env_id)
        if environment.safety != name:
            continue
        covered = {rule.hazard for rule in spec.rules}
        # Food that falls is a matter of the task's figures, not of a limit.
        needed = {
            hazard.id for hazard in environment.hazards if hazard.severity != "minor"
        }
        assert needed <= covered


@pytest.mark.parametrize("env_id", registry.ids())
def test_margins_fall_one_for_one_with_their_signal(env_id: str) -> None:
    cycle = registry.make_cycle(env_id, guard="on")
    try:
        cycle.reset(
            cycle.task.sample_scenario(
                cycle.environment.distributions["test"].seeds.first, "test"
            )
        )
        monitor, spec = cycle.guard.monitor, cycle.spec
        monitor.reset()
        before = monitor.update(cycle.state).copy()
        assert np.isfinite(before).all()
        for index, rule in enumerate(spec.rules):
            signal = int(spec.signal[index])
            monitor.reset()
            monitor.update(cycle.state)
            given = spec.config.rules[index]
            sign = -1.0 if rule.sign < 0 else 1.0
            expected = (
                sign * given.limit.value - given.uncertainty - monitor.signals[signal]
            ) / given.scale
            assert rule.view == "truth" or before[index] == pytest.approx(expected)
            monitor.signals[signal] += 2.0 * spec.scale[index]
            monitor._margins()
            if rule.view == "truth":
                assert monitor.margins[index] == 1.0
            else:
                assert monitor.margins[index] == pytest.approx(before[index] - 2.0)
            monitor.signals[signal] = np.nan
            monitor._margins()
            assert rule.view == "truth" or not monitor.margins[index] >= 0.0
    finally:
        cycle.close()
