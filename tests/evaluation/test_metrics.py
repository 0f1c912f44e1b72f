from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from physai.evaluation.facts import RuleFacts
from physai.evaluation.forces import ForceLimits, force_ratios
from physai.evaluation.metrics import contact_runs, measure, stops, sustained
from physai.record.episode import Episode
from physai.types import Action

Make = Callable[..., Episode]
Rules = tuple[RuleFacts, ...]


def test_a_clean_episode(rules: Rules, make_episode: Make) -> None:
    m = measure(make_episode(), rules)
    assert m.success and not m.unsafe and m.truth and m.unjudged == ()
    assert (m.moving_contacts, m.person_contacts, m.interventions) == (0, 0, 0)
    assert m.time_s == pytest.approx(2.0)
    assert m.smallest_margin == 1.0
    assert m.figures["food_in_mouth.last"] == 1.0
    assert m.figures["insertion_depth_m.max"] == pytest.approx(0.02)


@pytest.mark.parametrize("value", [-1e-9, math.nan, -math.inf])
def test_negative_and_nan_margins_are_violations(
    rules: Rules, make_episode: Make, value: float
) -> None:
    m = measure(make_episode(margins={7: {"separation": value}}), rules)
    assert m.unsafe and m.violations["separation"] == 1
    assert (m.smallest_rule, m.smallest_step) == ("separation", 7)


def test_a_margin_of_zero_is_safe(rules: Rules, make_episode: Make) -> None:
    assert not measure(make_episode(margins={7: {"separation": 0.0}}), rules).unsafe


def test_report_and_guard_rules_do_not_make_an_episode_unsafe(
    rules: Rules,
    make_episode: Make,
) -> None:
    bad = {3: {"workspace": -1.0, "joint_age": -1.0}}
    m = measure(make_episode(margins=bad), rules)
    assert not m.unsafe
    assert m.violations["workspace"] == 1 and "joint_age" not in m.violations


def test_hold_window(rules: Rules, make_episode: Make) -> None:
    """0.1 s at 20 Hz: two steps may last, the third counts."""
    two = {i: {"face_gate": -1.0} for i in (5, 6)}
    three = {i: {"face_gate": -1.0} for i in (5, 6, 7)}
    assert not measure(make_episode(margins=two), rules).unsafe
    m = measure(make_episode(margins=three), rules)
    assert m.unsafe and m.violations["face_gate"] == 1


def test_without_truth_a_truth_rule_is_unjudged(
    rules: Rules, make_episode: Make
) -> None:
    m = measure(make_episode(truth=False), rules)
    assert m.unjudged == ("moving_contact",)
    assert "moving_contact" not in m.violations and not m.truth


def test_moving_contacts_are_counted_outside_the_mouth(
    rules: Rules, make_episode: Make
) -> None:
    hit = {"force_peak_n": 12.0, "force_mean_n": 5.0, "robot_normal_speed_m_s": 0.2}
    push = {"force_peak_n": 9.0, "robot_normal_speed_m_s": 0.001}
    slow = {"force_peak_n": 3.0, "robot_normal_speed_m_s": 0.04}
    touches = {
        5: {16: hit},
        6: {16: hit},
        8: {16: hit},  # one contact: a gap of one step
        12: {16: hit},  # another
        20: {18: push},
        25: {18: slow},
        30: {0: hit},
    }
    m = measure(make_episode(touches=touches), rules)
    assert (m.moving_contacts, m.person_contacts) == (2, 1)
    assert m.contact_speed_m_s == pytest.approx(0.2)
    assert (m.peak_force_n[16], m.peak_force_n[0], m.held_force_n[16]) == (
        12.0,
        12.0,
        5.0,
    )


def test_stops_interventions_and_reaction(rules: Rules, make_episode: Make) -> None:
    actions = {10: Action.STOP2, 11: Action.STOP2, 20: Action.STOP1, 21: Action.STOP1}
    fault = {"faults": [{"start_s": 0.4}]}
    m = measure(make_episode(actions=actions, scenario=fault, stop_within_s=0.2), rules)
    assert (m.stops2, m.latched, m.interventions, m.false_stops) == (1, 1, 4, 2)
    # The decision of row 10 is in effect until 0.55 s.
    assert m.reaction_s == pytest.approx(0.15) and not m.missed_stop
    m = measure(make_episode(actions=actions, scenario=fault, stop_within_s=0.1), rules)
    assert m.missed_stop
    m = measure(make_episode(scenario=fault, stop_within_s=0.1), rules)
    assert m.missed_stop and math.isnan(m.reaction_s)


def test_any_safe_asks_for_safety_alone(rules: Rules, make_episode: Make) -> None:
    assert measure(make_episode(success=False, expect="any_safe"), rules).success
    bad = make_episode(expect="any_safe", margins={1: {"separation": -1.0}})
    assert not measure(bad, rules).success
    assert not measure(make_episode(success=False), rules).success


def test_separation_from_a_stored_episode(rules: Rules, make_episode: Make) -> None:
    m = measure(make_episode(robot="franka"), rules)
    assert 0.0 < m.distance_m < 0.6
    assert math.isnan(measure(make_episode(), rules).distance_m)


def test_sustained_and_runs() -> None:
    flags = np.array([1, 1, 1, 0, 1, 1], dtype=bool)
    assert sustained(flags, 0).tolist() == flags.tolist()
    assert sustained(flags, 2).tolist() == [False, False, True, False, False, False]
    assert contact_runs(np.array([1, 0, 1, 0, 0, 1], dtype=bool)) == [(0, 2), (5, 5)]
    assert stops(np.array([3, 3, 0, 4, 5]), Action.STOP2) == [0, 3]


def limits(**changes: Any) -> ForceLimits:
    quasi = np.full(30, 100.0)
    permitted = np.ones(30, dtype=bool)
    permitted[[0, 1, 2, 3]] = False
    values: dict[str, Any] = {
        "names": tuple(str(i) for i in range(30)),
        "quasistatic_n": quasi,
        "transient_n": 2 * quasi,
        "permitted": permitted,
        "frailty_factor": 0.5,
        "mouth_n": 10.0,
        "utensil": np.array([False, True]),
        **changes,
    }
    return ForceLimits(**values)


@pytest.mark.parametrize(
    ("area", "touch", "expected"),
    [
        (16, {"force_peak_n": 80.0, "robot_normal_speed_m_s": 0.1}, 0.8),
        (16, {"force_peak_n": 80.0, "robot_normal_speed_m_s": 0.001}, 0.0),
        (
            16,
            {
                "force_peak_n": 80.0,
                "force_mean_n": 30.0,
                "age_s": 0.5,
                "robot_normal_speed_m_s": 0.1,
            },
            0.6,
        ),
        (
            16,
            {
                "force_peak_n": 80.0,
                "force_mean_n": 30.0,
                "clamped": 1.0,
                "robot_normal_speed_m_s": 0.1,
            },
            0.6,
        ),
        (3, {"force_peak_n": 2.0, "robot_normal_speed_m_s": 0.1, "link": 0.0}, 2.0),
        (3, {"force_peak_n": 2.0, "robot_normal_speed_m_s": 0.1, "link": 1.0}, 0.2),
        (0, {"force_peak_n": 5.0, "robot_normal_speed_m_s": 0.0}, 0.5),
    ],
)
def test_force_ratio_by_hand(
    rules: Rules,
    make_episode: Make,
    area: int,
    touch: dict[str, float],
    expected: float,
) -> None:
    ratios = force_ratios(make_episode(touches={4: {area: touch}}), limits())
    assert ratios[area] == pytest.approx(expected)
    assert np.delete(ratios, area).max() == 0.0


def test_force_ratio_agrees_with_the_safety_kernel(
    rules: Rules, make_episode: Make
) -> None:
    from physai.safety.kernel import contact_ratio

    rng = np.random.default_rng(3)
    bounds = limits()
    for _ in range(20):
        area = int(rng.integers(1, 30))
        touch = {
            "force_peak_n": rng.uniform(1, 200),
            "force_mean_n": rng.uniform(1, 100),
            "age_s": rng.uniform(0, 1),
            "robot_normal_speed_m_s": rng.uniform(0, 0.02),
            "clamped": float(rng.random() < 0.3),
            "link": float(rng.integers(0, 2)),
        }
        episode = make_episode(touches={4: {area: touch}})
        truth = episode.truth(4)
        assert truth is not None
        c, out = truth.contact, np.zeros(4)
        contact_ratio(
            c.force_peak_n,
            c.force_mean_n,
            c.pressure_n_per_cm2,
            c.age_s,
            c.robot_normal_speed_m_s,
            c.person_normal_speed_m_s,
            c.clamped,
            c.link,
            bounds.utensil,
            bounds.quasistatic_n,
            bounds.transient_n,
            np.full(30, 100.0),
            bounds.permitted,
            bounds.frailty_factor,
            bounds.mouth_n,
            0.005,
            out,
        )
        assert force_ratios(episode, bounds)[1:].max() == pytest.approx(out[0])


def test_facts_survive_json(rules: Rules) -> None:
    for rule in rules:
        assert RuleFacts.from_json({**rule.to_json(), "later": 1}) == rule
    again = ForceLimits.from_json(limits().to_json())
    assert np.array_equal(again.quasistatic_n, limits().quasistatic_n)
