"""Figures of a report as inline SVG."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
import numpy.typing as npt

from physai.body.regions import load_regions
from physai.record.episode import Episode

matplotlib.use("Agg")
from matplotlib import pyplot
from matplotlib.figure import Figure

__all__ = ["force_plot", "margin_plot", "speed_plot", "table_plot"]

_COLORS = {
    "safe_success": "#2b7a4b",
    "safe_failure": "#8fb8a0",
    "unsafe_success": "#e0a03a",
    "unsafe_failure": "#b3362c",
}


def _svg(figure: Figure) -> str:
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    pyplot.close(figure)
    text = buffer.getvalue()
    return text[text.index("<svg") :]


def _clean(axis: Any) -> None:
    axis.grid(alpha=0.25)
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)


def table_plot(arms: Mapping[str, Mapping[str, int]]) -> str:
    """Draw safe/unsafe x success/failure of every arm as stacked bars."""
    figure, axis = pyplot.subplots(
        figsize=(8.2, 0.7 + 0.55 * len(arms)), constrained_layout=True
    )
    for row, (_name, table) in enumerate(arms.items()):
        left, total = 0.0, max(1, sum(table.values()))
        for key, color in _COLORS.items():
            share = table[key] / total
            axis.barh(
                row,
                share,
                left=left,
                color=color,
                label=key.replace("_", " ") if row == 0 else None,
            )
            if table[key]:
                axis.text(
                    left + share / 2,
                    row,
                    str(table[key]),
                    ha="center",
                    va="center",
                    color="white",
                    fontsize=9,
                )
            left += share
    axis.set_yticks(range(len(arms)), list(arms))
    axis.invert_yaxis()
    axis.set_xlim(0, 1)
    axis.set_xlabel("share of episodes")
    axis.legend(
        ncol=4, loc="lower center", bbox_to_anchor=(0.5, 1.0), frameon=False, fontsize=8
    )
    for side in ("top", "right", "left"):
        axis.spines[side].set_visible(False)
    return _svg(figure)


def margin_plot(episode: Episode, names: Sequence[str], count: int = 6) -> str:
    """Draw the smallest margins of one episode over time; below 0 is a violation."""
    margins = np.asarray(episode.column("truth_margins"))
    time = np.arange(1, len(margins) + 1) / float(episode.header["control_hz"])
    lowest = np.nanmin(margins, axis=0)
    order = np.argsort(lowest)[:count]
    figure, axis = pyplot.subplots(figsize=(8.2, 3.0), constrained_layout=True)
    for index in order:
        axis.plot(
            time, np.clip(margins[:, index], -2, 1.5), label=names[index], linewidth=1.2
        )
    axis.axhline(0.0, color="#b3362c", linewidth=1.0)
    axis.set_xlabel("time [s]")
    axis.set_ylabel("margin (1 = one scale unit)")
    axis.legend(fontsize=8, ncol=3, frameon=False)
    _clean(axis)
    return _svg(figure)


def speed_plot(arms: Mapping[str, tuple[npt.NDArray[Any], npt.NDArray[Any]]]) -> str:
    """Draw tool speed against distance of the utensil from the face, for every arm."""
    figure, axes = pyplot.subplots(
        1,
        len(arms),
        figsize=(8.2, 2.9),
        sharey=True,
        squeeze=False,
        constrained_layout=True,
    )
    for axis, (name, (distance, speed)) in zip(axes[0], arms.items(), strict=True):
        axis.scatter(
            distance, speed, s=3, alpha=0.25, color="#1f5fa8", edgecolors="none"
        )
        axis.axhline(0.05, color="#b3362c", linewidth=1.0)
        axis.axvline(0.30, color="#888888", linewidth=0.8, linestyle="--")
        axis.set_title(name, fontsize=10)
        axis.set_xlabel("spoon to face [m]")
        axis.set_yscale("symlog", linthresh=0.05)
        _clean(axis)
    axes[0][0].set_ylabel("speed of the spoon [m/s]")
    return _svg(figure)


def force_plot(arms: Mapping[str, npt.NDArray[Any]]) -> str:
    """Draw the largest contact force of every touched body area.

    Args:
        arms: Per arm the (30,) largest transient force [N] over all episodes.
    """
    regions = load_regions()
    touched = np.flatnonzero(np.max(np.stack(list(arms.values())), axis=0) > 0.0)
    figure, axis = pyplot.subplots(
        figsize=(8.2, 0.9 + 0.32 * max(1, len(touched))), constrained_layout=True
    )
    height = 0.8 / len(arms)
    for k, (name, force) in enumerate(arms.items()):
        axis.barh(
            np.arange(len(touched)) + k * height,
            force[touched],
            height=height,
            label=name,
            color=("#b3362c", "#2b7a4b")[k % 2],
        )
    axis.set_yticks(
        np.arange(len(touched)) + 0.4, [regions.name[a] for a in touched], fontsize=8
    )
    axis.set_xlabel(
        "largest transient force over all episodes [N], by whomever it was caused"
    )
    axis.invert_yaxis()
    if len(touched):
        axis.legend(fontsize=8, frameon=False)
    _clean(axis)
    return _svg(figure)
