"""The curves of a run as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from physai.training.config import TrainConfig

__all__ = ["draw_curves"]


def draw_curves(curve: list[dict[str, Any]], config: TrainConfig, file: Path) -> None:
    """Draw return, success and episode cost over environment steps as SVG.

    Args:
        curve: Rows with ``steps``, ``return``, ``success``, ``cost``.
        config: The run's config, for the title.
        file: Where to write it.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 3, figsize=(11, 3.2), constrained_layout=True)
    steps = [row["steps"] for row in curve]
    for axis, key, label in zip(
        axes,
        ("return", "success", "cost"),
        ("return per episode", "success rate (exploring)", "cost per episode"),
        strict=True,
    ):
        axis.plot(steps, [row[key] for row in curve], color="#1f5fa8", linewidth=1.4)
        axis.set_xlabel("environment steps")
        axis.set_title(label, fontsize=10)
        axis.grid(alpha=0.25)
    axes[1].set_ylim(-0.02, 1.02)
    axes[2].set_ylim(bottom=0.0)
    figure.suptitle(
        f"{config.environment}, {config.algorithm}, seed {config.seed}, "
        f"guard {config.guard}",
        fontsize=10,
    )
    figure.savefig(file)
    pyplot.close(figure)
