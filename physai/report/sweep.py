"""The page of a sweep: one HTML file that needs no network and no script.

It reads ``sweep.json`` and ``sweep.svg`` of the sweep's folder and nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
import numpy as np

from physai.errors import ContentError, RecordError
from physai.provenance import environment_record

__all__ = ["write_sweep_report"]


def write_sweep_report(folder: Path) -> Path:
    """Write ``sweep.html`` of a sweep.

    Args:
        folder: Of the sweep.

    Returns:
        The file.

    Raises:
        RecordError: If the folder holds no comparison.
        ContentError: If the file cannot be written.
    """
    try:
        sweep = json.loads((folder / "sweep.json").read_text(encoding="utf-8"))
        drawing = (folder / "sweep.svg").read_text(encoding="utf-8")
        rows = [_row(row) for row in sweep["rows"]]
    except (OSError, ValueError, KeyError) as error:
        raise RecordError(
            f"{folder}: holds no comparison of runs ({type(error).__name__}); physai "
            "sweep writes one"
        ) from None
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("physai.report", "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    every = [run for row in rows for run in row["runs"]]
    page = environment.get_template("sweep.html.j2").render(
        title=f"Training runs compared: {folder.resolve().name}",
        rows=rows,
        runs=every,
        drawing=drawing[drawing.index("<svg") :],
        search=sweep.get("search"),
        best=sweep.get("best"),
        failed=sweep.get("failed") or {},
        watts=sweep["watts_per_core"],
        total=_total(every),
        record=environment_record(),
    )
    file = folder / "sweep.html"
    try:
        file.write_text(page, encoding="utf-8")
    except OSError as error:
        raise ContentError(f"{file}: cannot be written ({error.strerror})") from None
    return file


def _row(row: Mapping[str, Any]) -> dict[str, Any]:
    low, high = row["interval_95"]
    return {
        "label": row["label"],
        "seeds": len(row["seeds"]),
        "success": f"{row['interquartile_mean']:.1%}",
        "interval": "one seed" if low is None else f"{low:.1%} to {high:.1%}",
        "cost": _mean(row["mean_cost"], "{:.2f}"),
        "steps": _mean(row["steps"], "{:,.0f}"),
        "seconds": _mean(row["seconds"], "{:,.0f}"),
        "cpu": _mean(row["cpu_seconds"], "{:,.0f}"),
        "energy": _mean(row["energy_wh"], "{:,.2f}"),
        "runs": [
            {
                "name": name,
                "success": f"{success:.1%}",
                "cost": _mean([cost], "{:.2f}"),
                "steps": _mean([steps], "{:,.0f}"),
                "seconds": seconds,
                "cpu": cpu,
                "energy": energy,
                "starts": starts,
            }
            for name, success, cost, steps, seconds, cpu, energy, starts in zip(
                row["runs"],
                row["safe_success"],
                row["mean_cost"],
                row["steps"],
                row["seconds"],
                row["cpu_seconds"],
                row["energy_wh"],
                row["starts"],
                strict=True,
            )
        ],
    }


def _mean(values: Sequence[float | None], form: str) -> str:
    known = [value for value in values if value is not None]
    return form.format(np.mean(known)) if known else "unknown"


def _total(runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return what all runs cost together, of those that say so."""
    known = [run for run in runs if run["cpu"] is not None]
    return {
        "runs": len(runs),
        "known": len(known),
        "hours": sum(run["seconds"] for run in known) / 3600.0,
        "cpu_hours": sum(run["cpu"] for run in known) / 3600.0,
        "energy_wh": sum(run["energy"] for run in known),
        "again": sum(run["starts"] - 1 for run in runs),
    }
