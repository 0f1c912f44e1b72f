"""Exact statistics of a suite, in small pure functions.

Rates get Clopper-Pearson intervals: Wilson's covers only 92 to 93.5 % where it should
cover 95 % at n = 100 and p = 1 %, which is where verdicts are made. The number of
episodes is chosen before running; stopping early voids every bound in here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from physai.randomness import generator
from physai.types import Array

__all__ = [
    "Interval",
    "Paired",
    "bootstrap_mean",
    "clopper_pearson",
    "excess_p_value",
    "holm",
    "jain_index",
    "lower_bound",
    "mean_interval",
    "paired_exact",
    "poisson_interval",
    "required_episodes",
    "share_p_value",
    "upper_bound",
]


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate with its interval.

    Attributes:
        estimate: The point estimate.
        low: Lower end.
        high: Upper end.
        confidence: Two-sided confidence level.
    """

    estimate: float
    low: float
    high: float
    confidence: float

    def to_json(self) -> dict[str, float | None]:
        """Return it as JSON values; what is not finite becomes None."""
        values = {
            "estimate": self.estimate,
            "low": self.low,
            "high": self.high,
            "confidence": self.confidence,
        }
        return {k: v if math.isfinite(v) else None for k, v in values.items()}


@dataclass(frozen=True, slots=True)
class Paired:
    """Two matched arms compared on common seeds.

    Attributes:
        both: Pairs in which both arms had the event.
        only_a: Pairs in which only A had it.
        only_b: Pairs in which only B had it.
        neither: Pairs in which none had it.
        difference: Rate of B minus rate of A, with its interval.
        p_value: Exact two-sided McNemar test of equal rates.
    """

    both: int
    only_a: int
    only_b: int
    neither: int
    difference: Interval
    p_value: float


def _checked(events: int, trials: int, level: float) -> None:
    if not 0 <= events <= trials:
        raise ValueError(f"{events} events in {trials} trials are impossible")
    if not 0.0 < level < 1.0:
        raise ValueError(f"a level must lie between 0 and 1, not {level}")


def upper_bound(events: int, trials: int, confidence: float = 0.95) -> float:
    """One-sided exact upper bound of a rate.

    Beta quantile form of Clopper and Pearson, Biometrika 26 (1934) 404. Without a
    trial nothing is known, so the bound is 1.
    """
    _checked(events, trials, confidence)
    if events == trials:
        return 1.0
    return float(stats.beta.ppf(confidence, events + 1, trials - events))


def lower_bound(events: int, trials: int, confidence: float = 0.95) -> float:
    """One-sided exact lower bound of a rate (Clopper and Pearson 1934)."""
    _checked(events, trials, confidence)
    if events == 0:
        return 0.0
    return float(stats.beta.ppf(1.0 - confidence, events, trials - events + 1))


def clopper_pearson(k: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Two-sided exact interval of a rate.

    Args:
        k: Events.
        n: Trials.
        confidence: Two-sided level; each end has half of the rest.

    Returns:
        Lower and upper end. (0, 1) without a trial.

    Raises:
        ValueError: If the counts or the level are impossible.
    """
    each = 0.5 + 0.5 * confidence
    return lower_bound(k, n, each), upper_bound(k, n, each)


def required_episodes(
    rate: float, confidence: float = 0.95, failures: int = 0, tests: int = 1
) -> int:
    """Smallest number of episodes that can show "at most this rate".

    59 / 299 / 2995 episodes without a failure show at most 5 / 1 / 0.1 % at 95 %.

    Args:
        rate: The rate to be shown.
        confidence: One-sided level.
        failures: Failures that are to be affordable.
        tests: Rules that are judged together by Holm's method; the first of them
            must reach the level divided by their number.

    Raises:
        ValueError: If rate or level do not lie between 0 and 1.
    """
    if not (0.0 < rate < 1.0 and 0.0 < confidence < 1.0):
        raise ValueError("rate and confidence must lie between 0 and 1")
    if failures < 0 or tests < 1:
        raise ValueError("failures must not be negative, tests at least 1")
    alpha = (1.0 - confidence) / tests
    low, high = failures, failures + 1
    while stats.binom.cdf(failures, high, rate) > alpha:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        if stats.binom.cdf(failures, middle, rate) > alpha:
            low = middle
        else:
            high = middle
    return high


def excess_p_value(events: int, trials: int, rate: float) -> float:
    """P-value of "the rate is above ``rate``": P(X <= events) at exactly ``rate``.

    At most 1 - c exactly when the one-sided upper bound at level c is at most the rate.
    """
    _checked(events, trials, rate)
    return float(stats.binom.cdf(events, trials, rate)) if trials else 1.0


def share_p_value(events: int, trials: int, share: float) -> float:
    """P-value of "the share is below ``share``": P(X >= events) at ``share``."""
    _checked(events, trials, share)
    return float(stats.binom.sf(events - 1, trials, share)) if trials else 1.0


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down adjusted p-values, in the order given.

    S. Holm, Scandinavian Journal of Statistics 6 (1979) 65. Rejecting where the
    adjusted value is at most alpha keeps the chance of any wrong claim below alpha.
    """
    count = len(p_values)
    order = sorted(range(count), key=p_values.__getitem__)
    adjusted, largest = [1.0] * count, 0.0
    for rank, place in enumerate(order):
        largest = max(largest, min(1.0, (count - rank) * p_values[place]))
        adjusted[place] = largest
    return adjusted


def paired_exact(
    a: Sequence[bool], b: Sequence[bool], confidence: float = 0.95
) -> Paired:
    """Compare two arms on common seeds.

    The test is McNemar's in exact form (binomial on the discordant pairs). The
    interval of the difference splits the error between the number of discordant pairs
    and B's share of them (both Clopper-Pearson, Bonferroni); it is conservative and
    never too short for few pairs.

    Args:
        a: Event by pair in the first arm.
        b: Event by pair in the second arm, same order.
        confidence: Two-sided level of the interval.

    Raises:
        ValueError: If the arms differ in length.
    """
    if len(a) != len(b):
        raise ValueError("matched arms must have the same number of episodes")
    n = len(a)
    both = sum(x and y for x, y in zip(a, b, strict=True))
    only_a = sum(x and not y for x, y in zip(a, b, strict=True))
    only_b = sum(y and not x for x, y in zip(a, b, strict=True))
    discordant = only_a + only_b
    test = stats.binomtest(only_b, discordant).pvalue if discordant else 1.0
    level = 0.5 + 0.5 * confidence
    low_d, high_d = clopper_pearson(discordant, n, level)
    low_s, high_s = clopper_pearson(only_b, discordant, level)
    low, high = (2.0 * low_s - 1.0), (2.0 * high_s - 1.0)
    return Paired(
        both=both,
        only_a=only_a,
        only_b=only_b,
        neither=n - both - discordant,
        difference=Interval(
            estimate=(only_b - only_a) / n if n else 0.0,
            low=low * (high_d if low < 0.0 else low_d),
            high=high * (high_d if high > 0.0 else low_d),
            confidence=confidence,
        ),
        p_value=float(test),
    )


def mean_interval(
    values: Sequence[float] | Array, confidence: float = 0.95
) -> Interval:
    """Student's t interval of a mean; infinite with fewer than two values."""
    data = np.asarray(values, dtype=np.float64)
    if data.size == 0:
        return Interval(math.nan, -math.inf, math.inf, confidence)
    mean = float(data.mean())
    if data.size == 1:
        return Interval(mean, -math.inf, math.inf, confidence)
    error = float(data.std(ddof=1)) / math.sqrt(data.size)
    width = float(stats.t.ppf(0.5 + 0.5 * confidence, data.size - 1)) * error
    return Interval(mean, mean - width, mean + width, confidence)


def bootstrap_mean(
    values: Sequence[float] | Array,
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> Interval:
    """Percentile bootstrap interval of a mean, for skewed figures such as cost."""
    data = np.asarray(values, dtype=np.float64)
    if data.size < 2:
        return mean_interval(data, confidence)
    rng = generator(seed, "evaluation.bootstrap")
    means = np.empty(resamples)
    for index in range(resamples):
        means[index] = data[rng.integers(0, data.size, data.size)].mean()
    ends = np.quantile(means, [0.5 - 0.5 * confidence, 0.5 + 0.5 * confidence])
    return Interval(float(data.mean()), float(ends[0]), float(ends[1]), confidence)


def poisson_interval(
    events: int, exposure: float, confidence: float = 0.95
) -> Interval:
    """Exact interval of a rate per unit of exposure (Garwood, Biometrika 28, 1936).

    Args:
        events: Events counted.
        exposure: Hours (or another unit) watched.
        confidence: Two-sided level.
    """
    if events < 0 or exposure < 0.0:
        raise ValueError("events and exposure must not be negative")
    if exposure == 0.0:
        return Interval(math.nan, 0.0, math.inf, confidence)
    tail = 0.5 - 0.5 * confidence
    low = 0.5 * float(stats.chi2.ppf(tail, 2 * events)) if events else 0.0
    high = 0.5 * float(stats.chi2.ppf(1.0 - tail, 2 * events + 2))
    return Interval(events / exposure, low / exposure, high / exposure, confidence)


def jain_index(values: Sequence[float]) -> float:
    """Jain's fairness index (sum x)^2 / (n sum x^2): 1 when all are equal."""
    data = np.asarray(values, dtype=np.float64)
    square = float((data**2).sum())
    return float(data.sum()) ** 2 / (data.size * square) if square > 0.0 else 1.0
