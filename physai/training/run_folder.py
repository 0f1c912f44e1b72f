"""The folder of a run: who may write there, what it says, what a run may go on with."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from physai.errors import ContentError, ContractError, RefusedError
from physai.provenance import environment_record
from physai.training.config import TrainConfig
from physai.training.hyperparameters import keeps_experience

__all__ = ["check_resumable", "held", "prepare_folder", "write_start"]

_FIXED = (
    "environment",
    "observation",
    "residual",
    "algorithm",
    "policy",
    "policy_kwargs",
    "normalize_observation",
    "normalize_reward",
    "seed",
)
"""Of a config: what a checkpoint cannot go on without."""


def prepare_folder(folder: Path, resume: bool) -> None:
    """Make the folder of a run, or find it as it was left.

    Raises:
        ContentError: If there is nothing to go on with, or it cannot be written.
        RefusedError: If something else is in it.
    """
    if resume:
        # A run that was killed before its first checkpoint begins again.
        if not (folder / "config.yaml").is_file():
            raise ContentError(
                f"{folder}: no run to go on with; leave out --resume to start"
            )
    elif folder.is_dir() and any(_seen(folder)):
        raise RefusedError(
            f"{folder}: is not empty; go on with --resume or choose "
            "another folder with --out"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ContentError(f"{folder}: cannot be written ({error.strerror})") from None
    if not os.access(folder, os.W_OK | os.X_OK):
        raise ContentError(f"{folder}: cannot be written (Permission denied)")


def _seen(folder: Path) -> Iterator[Path]:
    # A start that was cut short leaves a hidden draft.
    return (each for each in folder.iterdir() if not each.name.startswith("."))


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Hold a run folder, so that no second process trains there.

    The lock is the kernel's and ends with the process, however it ends.

    Raises:
        RefusedError: If another process holds it.
    """
    number = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RefusedError(
                f"{folder}: another process is training there; wait for its end, or "
                "choose another folder with --out"
            ) from None
        except OSError:
            # Some network file systems cannot lock a folder: go on without.
            pass
        yield
    finally:
        os.close(number)


def check_resumable(
    place: Path,
    progress: dict[str, Any],
    config: TrainConfig,
    spaces: dict[str, list[str]],
) -> None:
    """Check that a run can go on from a checkpoint with a config.

    Args:
        place: The checkpoint, for the sentence.
        progress: What is in it; older ones say less, and less is checked.
        config: What the run is to go on with.
        spaces: Names of ``observations`` and ``actions`` of the environment as it is.

    Raises:
        ContractError: If it cannot.
        RefusedError: If there is nothing left to do.
    """
    now = config.model_dump(mode="json")
    before = progress.get("config", now)
    fixed = [(key, before.get(key, now[key]), now[key]) for key in _FIXED]
    if keeps_experience(config):
        # The replay buffer has a column for each environment, and a length.
        fixed.append(
            (
                "vector.environments",
                before["vector"]["environments"],
                now["vector"]["environments"],
            )
        )
        size = "buffer_size"
        fixed.append(
            (
                f"hyperparameters.{size}",
                before["hyperparameters"].get(size),
                now["hyperparameters"].get(size),
            )
        )
    fixed += _of_constraint(before.get("constraint"), now["constraint"])
    for key, was, given in fixed:
        if was != given:
            raise ContractError(
                f"{place}: was made with {key} {json.dumps(was)}, not "
                f"{json.dumps(given)}; go on with what it was made with, or start a run "
                "in another folder with --out"
            )
    for kind, names in spaces.items():
        if progress.get(kind, names) != names:
            raise ContractError(
                f"{place}: was made for other {kind} than {config.environment} has now "
                f"({len(progress[kind])} then, {len(names)} now{_changed(progress[kind], names)}); "
                "start a run in another folder with --out"
            )
    # A finished run has a few steps more than asked for: rollouts are whole.
    if progress["steps"] > config.total_steps < before["total_steps"]:
        raise RefusedError(
            f"{place}: has {progress['steps']} steps already, total_steps is "
            f"{config.total_steps}; give as many or more"
        )


def _of_constraint(before: Any, now: Any) -> list[tuple[str, Any, Any]]:
    if before is None or now is None:
        return [("constraint", before, now)]
    keys = ("critic_layers", "delay")
    return [(f"constraint.{key}", before[key], now[key]) for key in keys]


def _changed(before: list[str], now: list[str]) -> str:
    different = sorted(set(before) ^ set(now))
    return f'; such as "{different[0]}"' if different else "; in another order"


def write_start(config: TrainConfig, folder: Path) -> None:
    """Write what the run is, once it is known that it can start.

    Raises:
        ContentError: If it cannot be written.
    """
    try:
        _write_yaml(folder / "config.yaml", config.model_dump(mode="json"))
        (folder / "environment.json").write_text(
            json.dumps(environment_record(), indent=2)
        )
    except OSError as error:
        raise ContentError(f"{folder}: cannot be written ({error.strerror})") from None


def _write_yaml(file: Path, value: dict[str, Any]) -> None:
    from ruamel.yaml import YAML

    draft = file.with_name(f".{file.name}.part")
    with draft.open("w") as handle:
        YAML(typ="safe", pure=True).dump(value, handle)
    draft.replace(file)
