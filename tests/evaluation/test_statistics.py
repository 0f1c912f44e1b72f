from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from physai.evaluation.statistics import (
    bootstrap_mean,
    clopper_pearson,
    excess_p_value,
    holm,
    jain_index,
    lower_bound,
    mean_interval,
    paired_exact,
    poisson_interval,
    required_episodes,
    share_p_value,
    upper_bound,
)

counts = st.integers(1, 400).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


@pytest.mark.parametrize(
    ("rate", "expected"),
    [
        (0.05, (59, 93, 124, 153)),
        (0.01, (299, 473, 628, 773)),
        (0.001, (2995, 4742, 6294, 7752)),
    ],
)
def test_required_episodes_agree_with_the_table(
    rate: float, expected: tuple[int, ...]
) -> None:
    found = tuple(required_episodes(rate, 0.95, failures=k) for k in range(4))
    assert found == expected


def test_required_episodes_is_the_smallest_number_that_shows_the_rate() -> None:
    for rate, failures in ((0.05, 0), (0.01, 2), (0.2, 1)):
        n = required_episodes(rate, 0.95, failures)
        assert upper_bound(failures, n) <= rate < upper_bound(failures, n - 1)


def test_holm_needs_more_episodes() -> None:
    # ln(0.05 / 11) / ln(0.99) = 536.7
    assert required_episodes(0.01, 0.95, tests=11) == 537


def test_hand_checked_intervals() -> None:
    # 1 - 0.05^(1/59); the rule of three would say 0.0508.
    assert upper_bound(0, 59) == pytest.approx(1 - 0.05 ** (1 / 59), rel=1e-9)
    assert clopper_pearson(0, 0) == (0.0, 1.0)
    low, high = clopper_pearson(5, 10)
    assert (low, high) == pytest.approx((0.187086, 0.812914), abs=1e-6)


@given(counts)
def test_interval_agrees_with_scipy_and_holds_the_estimate(
    count: tuple[int, int],
) -> None:
    k, n = count
    low, high = clopper_pearson(k, n)
    reference = stats.binomtest(k, n).proportion_ci(0.95, method="exact")
    assert (low, high) == pytest.approx((reference.low, reference.high), abs=1e-9)
    assert low <= k / n <= high


@given(counts, st.floats(0.01, 0.99))
def test_p_value_and_bound_say_the_same(count: tuple[int, int], rate: float) -> None:
    k, n = count
    bound = upper_bound(k, n, 0.95)
    if abs(bound - rate) > 1e-6:
        assert (excess_p_value(k, n, rate) <= 0.05) == (bound <= rate)
    bound = lower_bound(k, n, 0.95)
    if abs(bound - rate) > 1e-6:
        assert (share_p_value(k, n, rate) <= 0.05) == (bound >= rate)


def test_coverage_is_at_least_nominal() -> None:
    n, p = 100, 0.01
    weights = stats.binom.pmf(range(n + 1), n, p)
    inside = [
        low <= p <= high for low, high in (clopper_pearson(k, n) for k in range(n + 1))
    ]
    assert float(weights @ np.array(inside)) >= 0.95


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []
    assert holm([0.9, 0.8]) == [1.0, 1.0]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_is_monotone_and_between_raw_and_bonferroni(values: list[float]) -> None:
    adjusted = holm(values)
    for raw, new in zip(values, adjusted, strict=True):
        assert raw <= new <= min(1.0, raw * len(values)) + 1e-12
    order = np.argsort(values)
    assert (np.diff(np.array(adjusted)[order]) >= 0).all()


def test_paired_by_hand() -> None:
    a = [True] * 8 + [False] * 12
    b = [True] * 6 + [False] * 2 + [True] * 10 + [False] * 2
    result = paired_exact(a, b)
    assert (result.both, result.only_a, result.only_b, result.neither) == (6, 2, 10, 2)
    assert result.p_value == pytest.approx(stats.binomtest(2, 12).pvalue)
    assert result.difference.estimate == pytest.approx(0.4)
    assert result.difference.low < 0.4 < result.difference.high


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60))
def test_paired_is_antisymmetric(pairs: list[tuple[bool, bool]]) -> None:
    a, b = [p[0] for p in pairs], [p[1] for p in pairs]
    forward, back = paired_exact(a, b), paired_exact(b, a)
    assert forward.difference.low == pytest.approx(-back.difference.high)
    assert forward.difference.estimate == pytest.approx(-back.difference.estimate)
    assert forward.p_value == pytest.approx(back.p_value)
    assert -1.0 <= forward.difference.low <= forward.difference.high <= 1.0


def test_paired_interval_covers() -> None:
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(300):
        u = rng.random(60)
        pair = paired_exact(list(u < 0.7), list((u > 0.05) & (u < 0.8)))
        covered += pair.difference.low <= 0.05 <= pair.difference.high
    assert covered >= 285


def test_means() -> None:
    interval = mean_interval([1.0, 2.0, 3.0])
    assert interval.estimate == 2.0
    assert interval.high - 2.0 == pytest.approx(4.302653 / math.sqrt(3), rel=1e-6)
    assert mean_interval([1.0]).high == math.inf
    assert mean_interval([1.0]).to_json()["high"] is None
    first, second = (
        bootstrap_mean([0.0] * 90 + [10.0] * 10),
        bootstrap_mean([0.0] * 90 + [10.0] * 10),
    )
    assert first == second
    assert 0.3 < first.low < 1.0 < first.high < 1.8


def test_poisson_by_hand() -> None:
    # No event in 10 h: upper 97.5 % limit 3.689 / 10 h.
    interval = poisson_interval(0, 10.0)
    assert (interval.low, interval.high) == pytest.approx((0.0, 0.3689), abs=1e-4)
    assert poisson_interval(0, 0.0).high == math.inf


def test_jain() -> None:
    assert jain_index([3.0, 3.0, 3.0]) == pytest.approx(1.0)
    assert jain_index([1.0, 0.0, 0.0, 0.0]) == pytest.approx(0.25)


@pytest.mark.parametrize("arguments", [(-1, 3), (4, 3)])
def test_impossible_counts_are_refused(arguments: tuple[int, int]) -> None:
    with pytest.raises(ValueError):
        upper_bound(*arguments)
