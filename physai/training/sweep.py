"""Several training runs and their comparison: seeds times a grid of settings.

Every run is a process of its own and a run folder like any other; one that is finished
is not run again, one that was cut short goes on from its checkpoint. Aggregates are
interquartile means over seeds with percentile-bootstrap intervals, as Agarwal et al.
2021 ("Deep Reinforcement Learning at the Edge of the Statistical Precipice") advise for
few seeds.
"""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats
from tqdm import tqdm

from physai.errors import ConfigError, ContractError, MissingExtraError, PhysaiError
from physai.training.checkpoint import latest_checkpoint
from physai.training.train import load_config

__all__ = ["Run", "plan_runs", "sweep"]

EXECUTORS = ("local", "ray")


@dataclass(frozen=True)
class Run:
    """One planned run.

    Attributes:
        name: Of its folder.
        settings: ``key=value`` of the grid.
        seed: Its seed.
    """

    name: str
    settings: tuple[str, ...]
    seed: int


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
    config: str, seeds: Sequence[int], grid: Sequence[str], settings: Sequence[str] = ()
) -> list[Run]:
    """Return every run, checked before any begins.

    Args:
        config: Training config by name or path.
        seeds: Seeds.
        grid: ``key=a,b,c`` each; all combinations are run.
        settings: ``key=value`` that hold for all.

    Raises:
        ConfigError: If a part of the grid does not fit the config.
    """
    axes: list[list[str]] = []
    for part in grid:
        key, sign, values = part.partition("=")
        if not sign or not key or not values:
            raise ConfigError(f'--grid "{part}" must be written key=a,b')
        axes.append([f"{key}={value}" for value in values.split(",")])
    runs = []
    for chosen in itertools.product(*axes):
        load_config(config, [*settings, *chosen])
        slug = "_".join(each.rsplit(".", 1)[-1].replace("=", "-") for each in chosen)
        for seed in seeds:
            name = f"{slug}_seed{seed}" if slug else f"seed{seed}"
            runs.append(Run(name.replace("/", "-"), tuple(chosen), seed))
    return runs


def sweep(
    config: str,
    seeds: Sequence[int],
    grid: Sequence[str] = (),
    settings: Sequence[str] = (),
    executor: str = "local",
    workers: int = 1,
    out: Path = Path("sweep"),
    *,
    progress: bool = True,
) -> dict[str, Any]:
    """Train every run of a sweep and compare them.

    Args:
        config: Training config by name or path.
        seeds: Seeds.
        grid: See :func:`plan_runs`.
        settings: ``key=value`` that hold for all runs.
        executor: ``local`` (processes) or ``ray``.
        workers: Runs at a time.
        out: Holds a folder per run, ``sweep.json``, ``sweep.md`` and ``sweep.svg``.
        progress: Show a bar on stderr when it is a terminal.

    Returns:
        JSON values, as in ``sweep.json``; ``lines`` is the table for a person.

    Raises:
        PhysaiError: If the plan is wrong, or a run failed: the others stay, and the
            same command goes on.
    """
    if executor not in EXECUTORS:
        raise ContractError(f'no executor "{executor}"; valid: {", ".join(EXECUTORS)}')
    runs = plan_runs(config, seeds, grid, settings)
    commands = {
        run.name: _command(run, config, settings, out)
        for run in runs
        if not _figures_file(out, run).is_file()
    }
    done = _run_ray(commands) if executor == "ray" else _run_local(commands, workers)
    errors = []
    with tqdm(
        total=len(commands),
        desc="runs",
        disable=not (progress and sys.stderr.isatty()),
    ) as bar:
        for name, error in done:
            bar.update()
            if error:
                errors.append(f"{name}: {error}")
    if errors:
        raise PhysaiError(
            f"{len(errors)} of {len(runs)} runs failed; {errors[0]}; the others stay, "
            "the same command goes on"
        )
    return _compare(runs, out)


def _figures_file(out: Path, run: Run) -> Path:
    return out / run.name / "evaluation" / "held_out.json"


def _command(run: Run, config: str, settings: Sequence[str], out: Path) -> list[str]:
    folder = out / run.name
    command = [sys.executable, "-m", "physai", "train"]
    if latest_checkpoint(folder / "checkpoints") is not None:
        return [*command, str(folder), "--resume"]
    command += [config, "--seed", str(run.seed), "--out", str(folder)]
    for setting in (*settings, *run.settings):
        command += ["--set", setting]
    return command


def _start(item: tuple[str, list[str]]) -> tuple[str, str]:
    """Run one command to its end; returns its name and what was wrong."""
    name, command = item
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode == 0:
        return name, ""
    said = done.stderr.strip().splitlines()
    return name, said[-1] if said else f"exit code {done.returncode}"


def _run_local(
    commands: dict[str, list[str]], workers: int
) -> Iterator[tuple[str, str]]:
    with ThreadPoolExecutor(max(1, workers)) as pool:
        yield from pool.map(_start, commands.items())


def _run_ray(commands: dict[str, list[str]]) -> Iterator[tuple[str, str]]:
    try:
        import ray
    except ModuleNotFoundError:
        raise MissingExtraError("ray", "the executor ray") from None
    ray.init(ignore_reinit_error=True, log_to_driver=False)
    remote = ray.remote(_start)
    waiting = [remote.remote(item) for item in commands.items()]
    while waiting:
        ready, waiting = ray.wait(waiting)
        yield ray.get(ready[0])


def _compare(runs: Sequence[Run], out: Path) -> dict[str, Any]:
    groups: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for run in runs:
        figures = json.loads(_figures_file(out, run).read_text())
        groups.setdefault(run.settings, []).append(
            {
                "run": run.name,
                "seed": run.seed,
                "safe_success": figures["safe_success"],
                "table": figures["table"],
                "curve": _curve(out / run.name),
            }
        )
    rows = []
    for settings, members in groups.items():
        values = np.array([member["safe_success"] for member in members])
        mean, low, high = _interquartile_mean(values)
        rows.append(
            {
                "settings": list(settings),
                "seeds": [member["seed"] for member in members],
                "safe_success": values.tolist(),
                "interquartile_mean": mean,
                "interval_95": [low, high],
            }
        )
    result: dict[str, Any] = {"schema": "physai/sweep/1", "rows": rows}
    result["lines"] = _table(rows)
    (out / "sweep.json").write_text(json.dumps(result, indent=1) + "\n")
    (out / "sweep.md").write_text("\n".join(_table(rows)) + "\n")
    _draw(groups, out / "sweep.svg")
    return result


def _curve(folder: Path) -> list[dict[str, float]]:
    place = latest_checkpoint(folder / "checkpoints")
    if place is None:
        return []
    found: list[dict[str, float]] = json.loads((place / "progress.json").read_text())[
        "curve"
    ]
    return found


def _interquartile_mean(values: np.ndarray[Any, Any]) -> tuple[float, float, float]:
    """Return the mean of the middle half and its 95 % bootstrap interval.

    With a single seed there is no interval: both ends are NaN.
    """
    mean = float(stats.trim_mean(values, 0.25))
    if len(values) < 2:
        return mean, float("nan"), float("nan")
    if np.ptp(values) == 0.0:
        return mean, mean, mean
    interval = stats.bootstrap(
        (values,),
        lambda sample, axis: stats.trim_mean(sample, 0.25, axis=axis),
        confidence_level=0.95,
        n_resamples=2000,
        method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval
    return mean, float(interval.low), float(interval.high)


def _table(rows: Sequence[dict[str, Any]]) -> list[str]:
    lines = [
        "| settings | seeds | safe success (interquartile mean) | 95 % |",
        "|---|---|---|---|",
    ]
    for row in rows:
        low, high = row["interval_95"]
        interval = "one seed" if np.isnan(low) else f"{low:.1%} to {high:.1%}"
        lines.append(
            f"| {', '.join(row['settings']) or 'as configured'} | {len(row['seeds'])} | "
            f"{row['interquartile_mean']:.1%} | {interval} |"
        )
    return lines


def _draw(groups: dict[tuple[str, ...], list[dict[str, Any]]], file: Path) -> None:
    """Draw the success while exploring, mean and range over seeds, per setting."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axis = pyplot.subplots(figsize=(7.5, 4.0), constrained_layout=True)
    for settings, members in groups.items():
        curves = [member["curve"] for member in members if member["curve"]]
        if not curves:
            continue
        end = min(curve[-1]["steps"] for curve in curves)
        steps = np.linspace(0.0, end, 100)
        values = np.array(
            [
                np.interp(
                    steps,
                    [row["steps"] for row in curve],
                    [row["success"] for row in curve],
                )
                for curve in curves
            ]
        )
        label = ", ".join(settings) or "as configured"
        line = axis.plot(steps, values.mean(axis=0), label=label)[0]
        axis.fill_between(
            steps,
            values.min(axis=0),
            values.max(axis=0),
            alpha=0.15,
            color=line.get_color(),
        )
    axis.set_xlabel("environment steps")
    axis.set_ylabel("success rate (exploring)")
    axis.set_ylim(-0.02, 1.02)
    axis.grid(alpha=0.25)
    axis.legend(frameon=False, fontsize=9)
    figure.savefig(file)
    pyplot.close(figure)
