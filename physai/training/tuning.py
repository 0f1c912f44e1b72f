"""Search for hyper-parameters: Optuna proposes, runs are trained, held-out success decides.

The sampler is the tree-structured Parzen estimator (Bergstra et al. 2011); nothing is
pruned, since a run has no figure that counts before its end. The study lies in the out
folder, so that the same command goes on, and with the same proposals as if it had never
stopped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from physai import content
from physai.errors import ConfigError, MissingExtraError, PhysaiError, RefusedError
from physai.evaluation.cluster import Cluster
from physai.randomness import derive_seed
from physai.training.comparison import compare_runs, interquartile_mean
from physai.training.process import RunProcess
from physai.training.sweep import execute_all, place_of
from physai.training.tracking import check_tracking
from physai.training.train import load_config

__all__ = ["parse_space", "tune"]

_FIRST_TRIALS = 5
"""Drawn at random, before the estimator has anything to go by."""

_TIE = 1e-6
"""Weight of the cost, which is mapped to [0, 1): less than any difference in success."""


def parse_space(parts: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Read ``key=low:high``, ``key=low:high:log`` and ``key=a,b,c``.

    Args:
        parts: One text per key.

    Returns:
        By key: ``values``, or ``low``, ``high`` (whole numbers if both are) and ``log``.

    Raises:
        ConfigError: If a part is neither.
    """
    space: dict[str, dict[str, Any]] = {}
    for part in parts:
        key, sign, text = part.partition("=")
        if not sign or not key or not text:
            raise ConfigError(
                f'--space "{part}" must be written key=low:high, key=low:high:log or '
                "key=a,b,c"
            )
        if key in space:
            raise ConfigError(f"--space {key} is given twice")
        space[key] = _axis(part, text)
    return space


def _axis(part: str, text: str) -> dict[str, Any]:
    if ":" not in text:
        return {"values": text.split(",")}
    low, high, *more = text.split(":")
    if more not in ([], ["log"]):
        raise ConfigError(f'--space "{part}": after low:high only :log may stand')
    try:
        ends = [int(low), int(high)]
    except ValueError:
        try:
            ends = [float(low), float(high)]  # type: ignore[list-item]
        except ValueError:
            raise ConfigError(f'--space "{part}": low and high are numbers') from None
    if not (np.isfinite(ends).all() and ends[0] < ends[1]):
        raise ConfigError(f'--space "{part}": low must be less than high')
    if more and not ends[0] > 0:
        raise ConfigError(f'--space "{part}": with :log low must be more than 0')
    return {"low": ends[0], "high": ends[1], "log": bool(more)}


def tune(
    config: str,
    trials: int,
    space: Sequence[str],
    seeds: Sequence[int],
    settings: Sequence[str] = (),
    executor: str = "local",
    workers: int = 1,
    out: Path = Path("sweep"),
    *,
    cluster: Cluster | None = None,
    progress: bool = True,
) -> dict[str, Any]:
    """Search for the settings with the highest held-out safe success.

    A trial is a run per seed. Its value is the interquartile mean of their safe success;
    between equals the smaller mean episode cost decides.

    Args:
        config: Training config by name or path.
        trials: How many in all, those of earlier calls included.
        space: See :func:`parse_space`.
        seeds: Of every trial.
        settings: ``key=value`` that hold for all.
        executor: ``local`` or ``ray``.
        workers: Runs at a time; so many trials are proposed at once.
        out: Holds the study, a folder per run and the files of a sweep.
        cluster: Of the executor ``ray``.
        progress: Show a bar on stderr when it is a terminal.

    Returns:
        As :func:`physai.training.sweep.sweep`, the best trial first, with ``best`` and
        ``failed`` (what was wrong, by run).

    Raises:
        MissingExtraError: If Optuna is not installed.
        ConfigError: If the space does not fit the config.
        RefusedError: If the folder holds another search.
        PhysaiError: If no trial came to its end.
    """
    try:
        import optuna
    except ModuleNotFoundError:
        raise MissingExtraError("search", "a search for hyper-parameters") from None
    axes = parse_space(space)
    if not axes:
        raise ConfigError("--search needs a --space key=low:high or key=a,b,c")
    facts = _facts(config, axes, seeds, settings)
    study = _study(optuna, out, facts)
    place, failed = place_of(config), dict[str, str]()

    def runs_of(trial: Any) -> list[RunProcess]:
        chosen = (*settings, *(f"{k}={v}" for k, v in trial.params.items()))
        return [
            RunProcess(
                f"trial{trial.number:04d}_seed{s}", place, chosen, s, out.resolve()
            )
            for s in seeds
        ]

    state = optuna.trial.TrialState
    while True:
        # Those that an earlier call left in work come first.
        open_trials = study.get_trials(states=(state.RUNNING,))
        room = trials - len(study.trials)
        for _ in range(min(room, max(1, workers // len(seeds)) - len(open_trials))):
            _ask(optuna, study, axes)
        open_trials = study.get_trials(states=(state.RUNNING,))
        if not open_trials:
            break
        batch = [run for trial in open_trials for run in runs_of(trial)]
        errors = execute_all(batch, executor, workers, cluster, progress=progress)
        failed.update(errors)
        for trial in open_trials:
            if any(run.name in errors for run in runs_of(trial)):
                study.tell(trial.number, state=state.FAIL)
            else:
                study.tell(trial.number, _value(runs_of(trial)))
    done = study.get_trials(states=(state.COMPLETE,))
    if not done:
        name, error = next(iter(failed.items()), ("earlier", "see its folder"))
        raise PhysaiError(f"no trial came to its end; {name}: {error}")
    done.sort(key=lambda trial: (-trial.value, trial.number))
    best = {"trial": done[0].number, "settings": dict(done[0].params)}
    groups = {_label(trial): runs_of(trial) for trial in done}
    search = {"space": axes, "trials": len(study.trials), "completed": len(done)}
    return compare_runs(groups, out, {"search": search, "best": best, "failed": failed})


def _facts(
    config: str,
    axes: Mapping[str, Mapping[str, Any]],
    seeds: Sequence[int],
    settings: Sequence[str],
) -> dict[str, Any]:
    """Check both ends of every axis; return what makes the search what it is."""
    for key, axis in axes.items():
        for end in axis.get("values") or (axis["low"], axis["high"]):
            check_tracking(load_config(config, [*settings, f"{key}={end}"]))
    base = load_config(config, list(settings))
    digest = content.digest_value(base.distinctive())
    return {"config": digest, "space": {**axes}, "seeds": list(seeds)}


def _study(optuna: Any, out: Path, facts: Mapping[str, Any]) -> Any:
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = JournalStorage(JournalFileBackend(str(out / "search.journal")))
    study = optuna.create_study(
        storage=storage,
        study_name="search",
        direction="maximize",
        pruner=optuna.pruners.NopPruner(),
        load_if_exists=True,
    )
    for key, value in facts.items():
        there = study.user_attrs.get(key)
        if there is None:
            study.set_user_attr(key, value)
        elif there != value:
            raise RefusedError(
                f"{out}: holds a search with another {key}; choose another --out"
            )
    return study


def _ask(optuna: Any, study: Any, axes: Mapping[str, Mapping[str, Any]]) -> None:
    """Propose a trial; it is one of the study from then on."""
    distributions: dict[str, Any] = {}
    for key, axis in axes.items():
        if "values" in axis:
            kind = optuna.distributions.CategoricalDistribution(axis["values"])
        elif isinstance(axis["low"], int):
            kind = optuna.distributions.IntDistribution(**axis)
        else:
            kind = optuna.distributions.FloatDistribution(**axis)
        distributions[key] = kind
    # Keyed by the number of the trial, not by what this process asked before.
    study.sampler = optuna.samplers.TPESampler(
        seed=derive_seed(0, "search", len(study.trials)) % 2**32,
        n_startup_trials=_FIRST_TRIALS,
        constant_liar=True,
    )
    study.ask(distributions)


def _value(runs: Sequence[RunProcess]) -> float:
    import json

    figures = [json.loads(run.figures_file.read_text()) for run in runs]
    success = np.array([each["safe_success"] for each in figures])
    cost = float(np.mean([each["mean_cost"] for each in figures]))
    return interquartile_mean(success)[0] - _TIE * cost / (1.0 + cost)


def _label(trial: Any) -> str:
    values = (
        f"{key.rsplit('.', 1)[-1]}={value:.3g}"
        if isinstance(value, float)
        else f"{key.rsplit('.', 1)[-1]}={value}"
        for key, value in trial.params.items()
    )
    return f"trial {trial.number}: {', '.join(values)}"
