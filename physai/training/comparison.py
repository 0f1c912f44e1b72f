"""The runs of a sweep compared: aggregates over seeds with intervals, and what they cost.

Aggregates are interquartile means over seeds with percentile-bootstrap intervals, as
Agarwal et al. 2021 ("Deep Reinforcement Learning at the Edge of the Statistical
Precipice") advise for few seeds. Their library rliable is not used:
its last release is from 2024 and asks for a version of arch that is no longer current.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from physai.training.checkpoint import latest_checkpoint
from physai.training.cost import WATTS_PER_CORE, energy_wh
from physai.training.curves import draw_comparison
from physai.training.process import RunProcess

__all__ = ["compare_runs", "interquartile_mean", "mean_text"]

_POINTS = 60
_CURVES = {
    "success": ("curve", "steps", "success"),
    "cost": ("curve", "steps", "cost"),
    "held_out": ("evaluations", "steps", "safe_success"),
    "success_by_cpu": ("curve", "cpu_seconds", "success"),
}
"""By name: which rows of a run's progress, what is across, what is up."""


def compare_runs(
    groups: Mapping[str, Sequence[RunProcess]],
    out: Path,
    extra: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Compare finished runs; write ``sweep.json``, ``sweep.md`` and ``sweep.svg``.

    Args:
        groups: By label: runs that differ by their seed alone.
        out: Folder of the sweep.
        extra: Further values for ``sweep.json``.

    Returns:
        JSON values, as in ``sweep.json``: ``rows`` in the order of the groups, and ``lines``,
        the table for a person.
    """
    rows = [_row(label, runs) for label, runs in groups.items()]
    result: dict[str, Any] = {
        "schema": "physai/sweep/2",
        "watts_per_core": WATTS_PER_CORE,
        **(extra or {}),
        "rows": rows,
    }
    result["lines"] = _table(rows)
    (out / "sweep.json").write_text(json.dumps(result, indent=1) + "\n")
    (out / "sweep.md").write_text("\n".join(result["lines"]) + "\n")
    draw_comparison(rows, out / "sweep.svg")
    return result


def _row(label: str, runs: Sequence[RunProcess]) -> dict[str, Any]:
    figures = [json.loads(run.figures_file.read_text()) for run in runs]
    progress = [_progress(run.folder) for run in runs]
    values = np.array([each["safe_success"] for each in figures])
    mean, low, high = interquartile_mean(values)
    cpu = [each.get("cpu_seconds") for each in progress]
    return {
        "label": label,
        "settings": list(runs[0].settings),
        "seeds": [run.seed for run in runs],
        "runs": [run.name for run in runs],
        "safe_success": values.tolist(),
        "interquartile_mean": mean,
        "interval_95": [_finite(low), _finite(high)],
        "mean_cost": [each.get("mean_cost") for each in figures],
        "steps": [each.get("steps") for each in progress],
        "seconds": [each.get("seconds") for each in progress],
        "cpu_seconds": cpu,
        "energy_wh": [None if each is None else energy_wh(each) for each in cpu],
        "starts": [max(1, len(run.starts)) for run in runs],
        "curves": {
            name: _aggregate([each.get(part, []) for each in progress], across, up)
            for name, (part, across, up) in _CURVES.items()
        },
    }


def _progress(folder: Path) -> dict[str, Any]:
    place = latest_checkpoint(folder / "checkpoints")
    if place is None:
        return {}
    found: dict[str, Any] = json.loads((place / "progress.json").read_text())
    return found


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None


def interquartile_mean(values: np.ndarray[Any, Any]) -> tuple[float, float, float]:
    """Return the mean of the middle half and its 95 % bootstrap interval.

    With a single seed there is no interval: both ends are NaN.

    Args:
        values: (N,) one per seed.
    """
    mean, low, high = _bands(np.asarray(values)[:, None])
    return float(mean[0]), float(low[0]), float(high[0])


def _bands(values: np.ndarray[Any, Any]) -> tuple[Any, Any, Any]:
    """Return interquartile mean and bounds (M,) of values (N seeds, M points)."""
    mean = stats.trim_mean(values, 0.25, axis=0)
    if len(values) < 2:
        return mean, np.full_like(mean, np.nan), np.full_like(mean, np.nan)
    # SciPy draws whole seeds, the same ones for all points of a curve.
    interval = stats.bootstrap(
        (values,),
        lambda sample, axis: stats.trim_mean(sample, 0.25, axis=axis),
        axis=0,
        confidence_level=0.95,
        n_resamples=2000,
        method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval
    return mean, interval.low, interval.high


def _aggregate(
    curves: Sequence[Sequence[Mapping[str, float]]], across: str, up: str
) -> dict[str, list[float | None]] | None:
    """Return a curve over seeds with its band, over what all seeds have; None if none."""
    curves = [curve for curve in curves if curve]
    if not curves or any(across not in row for curve in curves for row in curve):
        return None
    start = max(curve[0][across] for curve in curves)
    end = min(curve[-1][across] for curve in curves)
    if not end >= start:
        return None
    points = np.linspace(start, end, _POINTS if end > start else 1)
    values = np.array(
        [
            np.interp(points, [r[across] for r in curve], [r[up] for r in curve])
            for curve in curves
        ]
    )
    mean, low, high = _bands(values)
    return {
        "x": points.tolist(),
        "mean": mean.tolist(),
        "low": [_finite(value) for value in low],
        "high": [_finite(value) for value in high],
    }


def _table(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    lines = [
        "| settings | seeds | safe success (interquartile mean) | 95 % | mean episode "
        "cost | steps | wall s | CPU s |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        low, high = row["interval_95"]
        interval = "one seed" if low is None else f"{low:.1%} to {high:.1%}"
        means = " | ".join(
            mean_text(row[key], digits)
            for key, digits in (
                ("mean_cost", 2),
                ("steps", 0),
                ("seconds", 0),
                ("cpu_seconds", 0),
            )
        )
        lines.append(
            f"| {row['label']} | {len(row['seeds'])} | {row['interquartile_mean']:.1%} | "
            f"{interval} | {means} |"
        )
    return lines


def mean_text(values: Sequence[float | None], digits: int) -> str:
    """Return the mean of what is known, or ``unknown``."""
    known = [value for value in values if value is not None]
    return f"{np.mean(known):,.{digits}f}" if known else "unknown"
