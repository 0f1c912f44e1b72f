"""Several training runs and their comparison: seeds times a grid of settings.

Every run is a process of its own and a run folder like any other; one that is finished
is not run again, one that was cut short goes on from its checkpoint.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from physai import content
from physai.errors import ConfigError, PhysaiError
from physai.evaluation.cluster import Cluster
from physai.training.comparison import compare_runs
from physai.training.process import RunProcess, execute
from physai.training.tracking import check_tracking
from physai.training.train import load_config

__all__ = ["execute_all", "label_of", "parse_seeds", "place_of", "plan_runs", "sweep"]


def parse_seeds(text: str) -> list[int]:
    """Return the seeds of ``0-4`` or ``0,3,7``.

    Raises:
        ConfigError: If it is neither.
    """
    try:
        if "-" in text:
            first, last = (int(part) for part in text.split("-", 1))
            if first > last:
                raise ValueError
            return list(range(first, last + 1))
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise ConfigError(
            f'--seeds "{text}" must be a range such as 0-4 or a list such as 0,3,7'
        ) from None


def plan_runs(
    config: str,
    seeds: Sequence[int],
    grid: Sequence[str],
    settings: Sequence[str] = (),
    out: Path = Path("sweep"),
) -> list[RunProcess]:
    """Return every run, checked before any begins.

    Args:
        config: Training config by name or path.
        seeds: Seeds.
        grid: ``key=a,b,c`` each; all combinations are run.
        settings: ``key=value`` that hold for all.
        out: Folder of the sweep.

    Raises:
        ConfigError: If a part of the grid does not fit the config.
        MissingExtraError: If a tracker that the config names is not installed.
    """
    axes: list[list[str]] = []
    for part in grid:
        key, sign, values = part.partition("=")
        if not sign or not key or not values:
            raise ConfigError(f'--grid "{part}" must be written key=a,b')
        axes.append([f"{key}={value}" for value in values.split(",")])
    place, runs = place_of(config), []
    for chosen in itertools.product(*axes):
        check_tracking(load_config(config, [*settings, *chosen]))
        slug = "_".join(each.rsplit(".", 1)[-1].replace("=", "-") for each in chosen)
        for seed in seeds:
            name = (f"{slug}_seed{seed}" if slug else f"seed{seed}").replace("/", "-")
            runs.append(
                RunProcess(name, place, (*settings, *chosen), seed, out.resolve())
            )
    return runs


def place_of(config: str) -> str:
    """Return a config's full path: processes elsewhere have another working folder."""
    return str(Path(content.find("train", config)).resolve())


def label_of(settings: Sequence[str], common: Sequence[str]) -> str:
    """Return what a run's settings are called, without those that hold for all."""
    return ", ".join(settings[len(common) :]) or "as configured"


def sweep(
    config: str,
    seeds: Sequence[int],
    grid: Sequence[str] = (),
    settings: Sequence[str] = (),
    executor: str = "local",
    workers: int = 1,
    out: Path = Path("sweep"),
    *,
    cluster: Cluster | None = None,
    progress: bool = True,
) -> dict[str, Any]:
    """Train every run of a sweep and compare them.

    Args:
        config: Training config by name or path.
        seeds: Seeds.
        grid: See :func:`plan_runs`.
        settings: ``key=value`` that hold for all runs.
        executor: ``local`` (processes) or ``ray``.
        workers: Runs at a time of the executor ``local``.
        out: Holds a folder per run, ``sweep.json``, ``sweep.md`` and ``sweep.svg``; with
            the executor ``ray`` on storage that all nodes share.
        cluster: Of the executor ``ray``: where, and what each run takes.
        progress: Show a bar on stderr when it is a terminal.

    Returns:
        JSON values, as in ``sweep.json``; ``lines`` is the table for a person.

    Raises:
        PhysaiError: If the plan is wrong, or a run failed: the others stay, and the
            same command goes on.
    """
    runs = plan_runs(config, seeds, grid, settings, out)
    errors = execute_all(runs, executor, workers, cluster, progress=progress)
    if errors:
        name, error = next(iter(errors.items()))
        raise PhysaiError(
            f"{len(errors)} of {len(runs)} runs failed; {name}: {error}; the others "
            "stay, the same command goes on"
        )
    groups: dict[str, list[RunProcess]] = {}
    for run in runs:
        groups.setdefault(label_of(run.settings, settings), []).append(run)
    return compare_runs(groups, out)


def execute_all(
    runs: Sequence[RunProcess],
    executor: str,
    workers: int,
    cluster: Cluster | None,
    *,
    progress: bool = True,
) -> dict[str, str]:
    """Run every run that is not finished, with a bar; return errors by name.

    Args:
        runs: The runs.
        executor: ``local`` or ``ray``.
        workers: Runs at a time of the executor ``local``.
        cluster: Of the executor ``ray``.
        progress: Show a bar on stderr when it is a terminal.
    """
    left = sum(not run.figures_file.is_file() for run in runs)
    shown = progress and sys.stderr.isatty()
    errors: dict[str, str] = {}
    with tqdm(total=left, desc="runs", disable=not shown) as bar:
        for run, error in execute(runs, executor, workers, cluster):
            bar.update()
            if error:
                errors[run.name] = error
    return errors
