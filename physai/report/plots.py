"""Figures of a report as inline SVG."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
import numpy.typing as npt

from physai.body.regions import load_regions
from physai.evaluation.forces import ForceLimits
from physai.record.episode import Episode
from physai.types import MOUTH_AREA

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

_NEAR_M, _NEAR_M_S = 0.30, 0.05
"""Within so far of the face the tool moves at most so fast (personalrobotics/ada_feeding)."""


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
        figsize=(8.2, 0.8 + 0.5 * len(arms)), constrained_layout=True
    )
    for row, table in enumerate(arms.values()):
        left, total = 0.0, max(1, sum(table.values()))
        for key, color in _COLORS.items():
            share = 100.0 * table[key] / total
            axis.barh(
                row,
                share,
                left=left,
                color=color,
                height=0.7,
                label=key.replace("_", " ") if row == 0 else None,
            )
            if share > 1.5:
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
    names = [f"{name}\nn = {sum(table.values())}" for name, table in arms.items()]
    axis.set_yticks(range(len(arms)), names, fontsize=9)
    axis.tick_params(left=False)
    axis.invert_yaxis()
    axis.set_xlim(0, 100)
    axis.set_xlabel("share of episodes [%]; numbers are episodes")
    axis.legend(
        ncol=4, loc="lower center", bbox_to_anchor=(0.5, 1.0), frameon=False, fontsize=8
    )
    for side in ("top", "right", "left"):
        axis.spines[side].set_visible(False)
    return _svg(figure)


def margin_plot(episode: Episode, names: Sequence[str], count: int = 6) -> str:
    """Draw the smallest margins of one episode over time; below 0 is a violation.

    A margin of 1 is one scale unit of its rule; what is above 1.2 is cut off.
    """
    margins = np.asarray(episode.column("truth_margins"))
    time = np.arange(1, len(margins) + 1) / float(episode.header["control_hz"])
    lowest = np.nanmin(margins, axis=0)
    order = np.argsort(lowest)[:count]
    figure, axis = pyplot.subplots(figsize=(8.2, 3.0), constrained_layout=True)
    for index in order:
        axis.plot(
            time, np.clip(margins[:, index], -2, 1.2), label=names[index], linewidth=1.2
        )
    axis.axhline(0.0, color="#b3362c", linewidth=1.0)
    bottom = min(-0.25, float(np.clip(np.nanmin(margins), -2, 0)) - 0.1)
    axis.axhspan(bottom, 0.0, color="#b3362c", alpha=0.07)
    axis.set_ylim(bottom, 1.25)
    axis.set_xlabel("time [s]")
    axis.set_ylabel("margin [scale units of the rule]")
    axis.legend(
        fontsize=8, ncol=6, frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1.0)
    )
    _clean(axis)
    return _svg(figure)


def speed_plot(arms: Mapping[str, tuple[npt.NDArray[Any], npt.NDArray[Any]]]) -> str:
    """Draw tool speed against distance of the utensil from the face, for every arm."""
    figure, axes = pyplot.subplots(
        1,
        len(arms),
        figsize=(8.2, 3.0),
        sharey=True,
        squeeze=False,
        constrained_layout=True,
    )
    top = 0.1
    for axis, (name, (distance, speed)) in zip(axes[0], arms.items(), strict=True):
        near = distance < _NEAR_M
        fast = near & (speed > _NEAR_M_S)
        axis.scatter(
            distance, np.minimum(speed, top), s=3, alpha=0.25, color="#1f5fa8", lw=0
        )
        axis.scatter(
            distance[fast], np.minimum(speed[fast], top), s=14, color="#b3362c", lw=0
        )
        axis.plot([-0.1, _NEAR_M], [_NEAR_M_S] * 2, color="#b3362c", linewidth=1.0)
        axis.axvline(_NEAR_M, color="#888888", linewidth=0.8, linestyle="--")
        axis.set_xlim(min(-0.06, float(distance.min(initial=0.0))), None)
        axis.set_ylim(0.0, 1.04 * top)
        axis.set_title(
            f"{name}: {int(fast.sum())} of {int(near.sum())} samples too fast",
            fontsize=9,
        )
        axis.set_xlabel("spoon to face [m]")
        _clean(axis)
    axes[0][0].set_ylabel("speed of the spoon [m/s]")
    return _svg(figure)


def force_plot(
    arms: Mapping[str, npt.NDArray[Any]], limits: ForceLimits | None = None
) -> str:
    """Draw the largest contact force of every touched body area beside its limit.

    Args:
        arms: Per arm the (30,) largest transient force [N] over all episodes.
        limits: What the specification permits; None draws no limits.
    """
    names = limits.names if limits is not None else load_regions().name
    touched = np.flatnonzero(np.max(np.stack(list(arms.values())), axis=0) > 0.0)
    figure, axis = pyplot.subplots(
        figsize=(8.2, 1.1 + 0.34 * max(1, len(touched))), constrained_layout=True
    )
    height = 0.8 / len(arms)
    for k, (name, force) in enumerate(arms.items()):
        axis.barh(
            np.arange(len(touched)) + k * height,
            force[touched],
            height=0.92 * height,
            label=name,
            color=("#8a97a6", "#1f5fa8", "#6b4fa0")[k % 3],
            align="edge",
        )
    if limits is not None:
        _mark_limits(axis, touched, limits)
    axis.set_yticks(
        np.arange(len(touched)) + 0.4, [names[a] for a in touched], fontsize=8
    )
    axis.set_xlim(left=0.0)
    axis.set_xlabel("largest transient force over all episodes [N], whoever caused it")
    axis.invert_yaxis()
    if len(touched):
        axis.legend(
            fontsize=8,
            frameon=False,
            ncol=4,
            loc="lower center",
            bbox_to_anchor=(0.5, 1.0),
        )
    else:
        axis.text(0.5, 0.5, "no contact", ha="center", transform=axis.transAxes)
    _clean(axis)
    return _svg(figure)


def _mark_limits(axis: Any, touched: npt.NDArray[Any], limits: ForceLimits) -> None:
    """Mark what is permitted, times the frailty factor, by area."""
    for values, style, label in (
        (limits.quasistatic_n, ":", "limit of a held contact"),
        (limits.transient_n, "-", "limit of a short contact"),
    ):
        for row, area in enumerate(touched.tolist()):
            limit = limits.frailty_factor * float(values[area])
            if area == MOUTH_AREA:
                limit = limits.mouth_n
            if np.isfinite(limit):
                axis.plot(
                    [limit, limit],
                    [row, row + 0.8],
                    color="#b3362c",
                    linewidth=1.6,
                    linestyle=style,
                    label=label,
                )
                label = "_"
