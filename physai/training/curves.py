"""The curves of a run as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from physai.evaluation.statistics import clopper_pearson
from physai.training.config import TrainConfig

__all__ = ["draw_curves"]

_LEARNING, _HELD_OUT = "#1f5fa8", "#b3362c"


def draw_curves(progress: dict[str, Any], config: TrainConfig, file: Path) -> None:
    """Draw return, success and episode cost over environment steps as SVG.

    Args:
        progress: What the run kept: ``curve`` with rows of ``steps``, ``return``,
            ``success``, ``cost`` (means over the last 100 episodes, exploring), and
            ``evaluations`` with ``steps``, ``safe_success``, ``cost``, ``episodes``.
        config: The run's config, for the title.
        file: Where to write it.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 3, figsize=(11, 3.6), constrained_layout=True)
    curve = progress.get("curve", [])
    steps = [row["steps"] for row in curve]
    for axis, key, label in zip(
        axes,
        ("return", "success", "cost"),
        ("return per episode", "share of episodes", "cost per episode"),
        strict=True,
    ):
        axis.plot(
            steps,
            [row[key] for row in curve],
            color=_LEARNING,
            linewidth=1.4,
            marker="." if len(curve) < 30 else None,
            label="success while learning" if key == "success" else "while learning",
        )
        axis.set_xlabel("environment steps")
        axis.set_ylabel(label, fontsize=9)
        axis.grid(alpha=0.25)
        for side in ("top", "right"):
            axis.spines[side].set_visible(False)
    _draw_evaluations(axes, progress.get("evaluations", []))
    axes[1].set_ylim(-0.02, 1.02)
    axes[2].set_ylim(bottom=0.0)
    for axis in axes:
        axis.legend(fontsize=7, frameon=False, loc="best")
    figure.suptitle(
        f"{config.environment}, {config.algorithm}, seed {config.seed}, guard "
        f"{config.guard}; blue: mean of the last 100 episodes with exploration",
        fontsize=9,
    )
    figure.savefig(file)
    pyplot.close(figure)


def _draw_evaluations(axes: Any, rows: Sequence[dict[str, Any]]) -> None:
    """Add held-out evaluations, with exact 95 % intervals, to success and cost."""
    if not rows:
        return
    steps = [row["steps"] for row in rows]
    rates = [row["safe_success"] for row in rows]
    low, high = [], []
    for row in rows:
        count = int(row.get("episodes", 0))
        bounds = (row["safe_success"],) * 2
        if count:
            bounds = clopper_pearson(round(row["safe_success"] * count), count, 0.95)
        low.append(max(0.0, row["safe_success"] - bounds[0]))
        high.append(max(0.0, bounds[1] - row["safe_success"]))
    axes[1].errorbar(
        steps,
        rates,
        yerr=[low, high],
        color=_HELD_OUT,
        marker="o",
        markersize=4,
        linewidth=1.0,
        capsize=3,
        label=f"safe success, held out (n = {rows[-1].get('episodes', '?')}, 95 %)",
    )
    axes[2].plot(
        steps,
        [row["cost"] for row in rows],
        color=_HELD_OUT,
        marker="o",
        markersize=4,
        linewidth=1.0,
        label="held out",
    )
