"""The figures of a suite over all its episodes, each with its interval."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from physai.evaluation.metrics import EpisodeMetrics
from physai.evaluation.statistics import (
    bootstrap_mean,
    clopper_pearson,
    mean_interval,
    poisson_interval,
)

__all__ = ["summarise"]


def summarise(metrics: Sequence[EpisodeMetrics]) -> dict[str, Any]:
    """Return every figure of a suite.

    Intervals are 95 % two-sided: Clopper-Pearson for shares, bootstrap for skewed
    means, Student's t for the others, Poisson for counts per hour. Maxima and quantiles
    describe these episodes and have no interval.

    Args:
        metrics: Figures of every episode.

    Returns:
        JSON values, units in the keys.
    """
    if not metrics:
        return {}
    nominal = [m for m in metrics if m.kind == "nominal"]
    hours = sum(m.time_s for m in nominal) / 3600.0
    touched = sum(m.moving_contacts > 0 for m in metrics)
    return {
        "episodes": len(metrics),
        "operation_s": sum(m.time_s for m in metrics),
        "moving_contacts": sum(m.moving_contacts for m in metrics),
        "episodes_with_moving_contact": _share(touched, len(metrics)),
        "person_contacts": sum(m.person_contacts for m in metrics),
        "contact_speed_m_s": _extremes([m.contact_speed_m_s for m in metrics]),
        "joint_limit_episodes": _rule_episodes(metrics, "joint_"),
        "distance_m": _quantiles([m.distance_m for m in metrics], low=True),
        "smallest_margin": _quantiles([m.smallest_margin for m in metrics], low=True),
        "time_s": mean_interval([m.time_s for m in metrics]).to_json(),
        "cost": bootstrap_mean([m.cost for m in metrics]).to_json(),
        "reward": mean_interval([m.reward for m in metrics]).to_json(),
        "interventions_per_min": bootstrap_mean(
            [m.intervention_rate_per_min for m in metrics]
        ).to_json(),
        "stops2": sum(m.stops2 for m in metrics),
        "latched_stops": sum(m.latched for m in metrics),
        "false_stops_per_h": poisson_interval(
            sum(m.false_stops for m in nominal), hours
        ).to_json(),
        "reaction_s": _quantiles([m.reaction_s for m in metrics], low=False),
        "force": _forces(metrics),
        "figures": _figures(metrics),
    }


def _share(count: int, total: int) -> dict[str, float]:
    low, high = clopper_pearson(count, total)
    return {"count": count, "total": total, "low": low, "high": high}


def _rule_episodes(metrics: Sequence[EpisodeMetrics], prefix: str) -> int:
    """Count episodes in which a rule of that name was violated."""
    return sum(
        any(n > 0 for rule, n in m.violations.items() if rule.startswith(prefix))
        for m in metrics
    )


def _quantiles(values: Sequence[float], low: bool) -> dict[str, float | None]:
    """Return the median, the far quantile and the extreme of the finite values."""
    data = np.array([v for v in values if math.isfinite(v)])
    names = ("p1", "p50", "min") if low else ("p50", "p99", "max")
    if not data.size:
        return dict.fromkeys(names)
    found: dict[str, Callable[[], Any]] = {
        "p1": lambda: np.quantile(data, 0.01),
        "p50": lambda: np.quantile(data, 0.5),
        "p99": lambda: np.quantile(data, 0.99),
        "min": data.min,
        "max": data.max,
    }
    return {name: float(found[name]()) for name in names}


def _extremes(values: Sequence[float]) -> dict[str, float | None]:
    return _quantiles(values, low=False)


def _forces(metrics: Sequence[EpisodeMetrics]) -> dict[str, list[float | None]]:
    """Return the largest forces and ratios by body area over all episodes."""

    def largest(name: str) -> list[float | None]:
        top = np.max([getattr(m, name) for m in metrics], axis=0)
        return [float(v) if math.isfinite(v) else None for v in top]

    return {
        "peak_n": largest("peak_force_n"),
        "held_n": largest("held_force_n"),
        "ratio": largest("force_ratio"),
    }


def _figures(metrics: Sequence[EpisodeMetrics]) -> dict[str, Any]:
    """Return mean with interval and the extremes of the environment's own figures."""
    result: dict[str, Any] = {}
    for name in sorted({key for m in metrics for key in m.figures}):
        values = [m.figures[name] for m in metrics if name in m.figures]
        data = [v for v in values if math.isfinite(v)]
        if data:
            result[name] = {
                "mean": mean_interval(data).to_json(),
                "min": min(data),
                "max": max(data),
            }
    return result
