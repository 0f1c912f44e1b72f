"""The curves of a run, and of a sweep, as pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from physai.evaluation.statistics import clopper_pearson
from physai.training.config import TrainConfig

__all__ = ["SHOWN", "draw_comparison", "draw_curves"]

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


SHOWN = 8
"""Of a sweep with more settings, the best so many are drawn."""

_PANELS = (
    ("success", "environment steps", "success while learning"),
    ("held_out", "environment steps", "safe success, held out"),
    ("cost", "environment steps", "cost per episode, learning"),
    ("success_by_cpu", "processor time [s]", "success while learning"),
)


def draw_comparison(rows: Sequence[Mapping[str, Any]], file: Path) -> None:
    """Draw the curves of a sweep as SVG, with their bands over seeds.

    Args:
        rows: ``label``, ``interquartile_mean`` and ``curves``, by the names of the
            panels: ``x``, ``mean``, ``low``, ``high``, or None where unknown.
        file: Where to write it.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot
    from matplotlib.ticker import MaxNLocator

    best = sorted(rows, key=lambda row: -row["interquartile_mean"])[:SHOWN]
    shown = [row for row in rows if any(row is each for each in best)]
    figure, axes = pyplot.subplots(2, 2, figsize=(10, 7), constrained_layout=True)
    for axis, (name, across, up) in zip(axes.flat, _PANELS, strict=True):
        for place, row in enumerate(shown):
            curve, color = row["curves"].get(name), f"C{place}"
            if curve is None:
                continue
            axis.plot(
                curve["x"],
                curve["mean"],
                color=color,
                linewidth=1.5,
                marker="o" if len(curve["x"]) == 1 else None,
                label=row["label"],
            )
            if curve["low"][0] is not None:
                axis.fill_between(
                    curve["x"],
                    curve["low"],
                    curve["high"],
                    color=color,
                    alpha=0.15,
                    linewidth=0.0,
                )
        axis.xaxis.set_major_locator(MaxNLocator(5))
        axis.xaxis.set_major_formatter("{x:,.0f}")
        axis.set_xlabel(across)
        axis.set_ylabel(up)
        axis.set_ylim(bottom=0.0) if name == "cost" else axis.set_ylim(-0.02, 1.02)
        axis.grid(alpha=0.25)
        for side in ("top", "right"):
            axis.spines[side].set_visible(False)
    handles, labels = axes[0, 0].get_legend_handles_labels()
    if handles:
        figure.legend(
            handles,
            labels,
            loc="outside lower center",
            ncols=min(3, len(labels)),
            frameon=False,
            fontsize=8,
        )
    figure.savefig(file, metadata={"Date": None, "Creator": None})
    pyplot.close(figure)
