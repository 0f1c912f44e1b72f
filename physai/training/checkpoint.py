"""Checkpoints: everything that a run needs to go on, written atomically.

A checkpoint is a folder with the model (weights, optimisers, counters), the replay buffer
of an off-policy algorithm, the normalisation, the states of every random generator, the
best policy so far, demonstrations that are not finished, and the progress. It is written
beside its place and renamed into it, so that a process killed at any moment leaves the
last whole one. What is no number is never written.
"""

from __future__ import annotations

import json
import os
import pickle
import random
import shutil
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.save_util import load_from_zip_file
from stable_baselines3.common.vec_env import VecNormalize

from physai.errors import PhysaiError, RecordError
from physai.training.demonstration import Demonstrations

__all__ = [
    "BEST",
    "check_finite",
    "latest_checkpoint",
    "load_checkpoint",
    "read_progress",
    "save_checkpoint",
]

BEST = ("best_model.zip", "best_normalizer.pkl")
"""The best policy so far, in the run folder and, as of then, in each checkpoint."""

_KEPT = 2

_COUNTERS = (
    "_current_progress_remaining",
    "_episode_num",
    "_n_calls",
    "_n_updates",
    "action_noise",
    "due_update",
    "ep_info_buffer",
    "ep_success_buffer",
    "exploration_rate",
    "pending_rollout",
)
"""What an algorithm has beside weights and optimisers, where it has it."""


def save_checkpoint(
    folder: Path,
    model: BaseAlgorithm,
    normalizer: VecNormalize | None,
    progress: dict[str, Any],
    demonstrations: Demonstrations | None = None,
) -> Path:
    """Write a checkpoint and drop all but the newest two.

    Args:
        folder: The run's ``checkpoints/``.
        model: The learner.
        normalizer: Running statistics of the observation, if any.
        progress: Facts for the run to go on with (curve, phase); JSON values.
        demonstrations: What has been shown, while it is not finished.

    Returns:
        The checkpoint's folder.

    Raises:
        PhysaiError: If a weight is not a number; the checkpoints stay as they are.
        OSError: If it cannot be written; likewise.
    """
    check_finite(folder.parent, model, normalizer)
    folder.mkdir(parents=True, exist_ok=True)
    for left in folder.glob(".step_*.part"):
        shutil.rmtree(left, ignore_errors=True)
    place = _free_place(folder, model.num_timesteps)
    draft = folder / f".{place.name}.part"
    draft.mkdir()
    try:
        _write(draft, model, normalizer, progress, demonstrations)
        for file in draft.iterdir():
            _flush(file)
        _flush(draft)
        draft.rename(place)
    except BaseException as error:
        shutil.rmtree(draft, ignore_errors=True)
        if isinstance(error, RuntimeError):
            # So does PyTorch say that its file could not be written.
            raise OSError(0, str(error).strip().splitlines()[0]) from None
        raise
    _flush(folder)
    for old in _whole(folder)[:-_KEPT]:
        shutil.rmtree(old, ignore_errors=True)
    return place


def _write(
    draft: Path,
    model: BaseAlgorithm,
    normalizer: VecNormalize | None,
    progress: dict[str, Any],
    demonstrations: Demonstrations | None,
) -> None:
    model.save(draft / "model.zip")
    if isinstance(model, OffPolicyAlgorithm):
        model.save_replay_buffer(draft / "replay_buffer.pkl")
    if normalizer is not None:
        normalizer.save(str(draft / "normalizer.pkl"))
    if demonstrations is not None:
        demonstrations.save(draft / "demonstrations.npz")
    for name in BEST:
        best = draft.parent.parent / name
        if best.is_file():
            shutil.copyfile(best, draft / name)
    states = {
        "python": random.getstate(),
        "numpy": np.random.get_state(),
        "torch": torch.get_rng_state(),
        "actions": model.action_space.np_random.bit_generator.state,
    }
    if torch.cuda.is_available():
        states["cuda"] = torch.cuda.get_rng_state_all()
    (draft / "random.pkl").write_bytes(pickle.dumps(states))
    (draft / "progress.json").write_text(
        json.dumps({**progress, "steps": model.num_timesteps})
    )


def _free_place(folder: Path, steps: int) -> Path:
    """Return a place of its own, since none is overwritten; later ones sort later."""
    name = f"step_{steps:010d}"
    taken = [place.name for place in folder.glob(f"{name}*")]
    if not taken:
        return folder / name
    turns = [int(each.removeprefix(name).removeprefix(".") or 1) for each in taken]
    return folder / f"{name}.{max(turns) + 1:03d}"


def _flush(path: Path) -> None:
    """Have a file, or the names in a folder, on the disk before going on."""
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def _whole(folder: Path) -> list[Path]:
    return [p for p in sorted(folder.glob("step_*")) if (p / "progress.json").is_file()]


def latest_checkpoint(folder: Path) -> Path | None:
    """Return the newest whole checkpoint of a run, or None."""
    found = _whole(folder)
    return found[-1] if found else None


def read_progress(place: Path) -> dict[str, Any]:
    """Return the progress in a checkpoint.

    Raises:
        RecordError: If it cannot be read.
    """
    try:
        progress: dict[str, Any] = json.loads((place / "progress.json").read_text())
        progress["steps"] = int(progress["steps"])
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise _unreadable(place, error) from None
    return progress


def load_checkpoint(
    place: Path, model: BaseAlgorithm, normalizer: VecNormalize | None
) -> Demonstrations | None:
    """Put a model, its normalisation, the random generators and the best policy back.

    The files are pickles of this run's own folder: resume only runs of your own.

    Returns:
        Demonstrations that were not finished.

    Raises:
        RecordError: If the checkpoint cannot be read.
    """
    shown = None
    try:
        _load_model(place / "model.zip", model)
        model.num_timesteps = read_progress(place)["steps"]
        if isinstance(model, OffPolicyAlgorithm):
            model.load_replay_buffer(place / "replay_buffer.pkl")
        if normalizer is not None:
            stored = pickle.loads((place / "normalizer.pkl").read_bytes())
            # Outside its environment the stored one answers no other attribute.
            for name in {"obs_rms", "ret_rms"} & vars(stored).keys():
                setattr(normalizer, name, vars(stored)[name])
        if (place / "demonstrations.npz").is_file():
            shown = Demonstrations.load(place / "demonstrations.npz")
        states = pickle.loads((place / "random.pkl").read_bytes())
    except (
        AttributeError,
        EOFError,
        ImportError,
        KeyError,
        OSError,
        RuntimeError,
        ValueError,
        pickle.UnpicklingError,
        zipfile.BadZipFile,
    ) as error:
        raise _unreadable(place, error) from None
    for name in BEST:
        best = place.parent.parent / name
        best.unlink(missing_ok=True)
        if (place / name).is_file():
            shutil.copyfile(place / name, best)
    random.setstate(states["python"])
    np.random.set_state(states["numpy"])
    torch.set_rng_state(states["torch"])
    if "actions" in states:
        model.action_space.np_random.bit_generator.state = states["actions"]
    if torch.cuda.is_available() and "cuda" in states:
        torch.cuda.set_rng_state_all(states["cuda"])
    return shown


def _load_model(file: Path, model: BaseAlgorithm) -> None:
    """Put weights, optimisers, single tensors and counters of a model back."""
    data, parameters, variables = load_from_zip_file(file, device=model.device)
    if data is None:
        raise ValueError("no counters")
    model.set_parameters(parameters, exact_match=True, device=model.device)
    for name, value in (variables or {}).items():
        # Such as the logarithm of SAC's temperature, which its optimiser refers to.
        getattr(model, name).data = value.data
    for name in _COUNTERS:
        if name in data:
            setattr(model, name, data[name])
    if "unjudged_costs" in data:
        vars(model)["unjudged_costs"][:] = data["unjudged_costs"]


def _unreadable(place: Path, error: Exception) -> RecordError:
    return RecordError(
        f"{place}: the checkpoint cannot be read ({type(error).__name__}); delete it to "
        "use the one before"
    )


def check_finite(
    folder: Path, model: BaseAlgorithm, normalizer: VecNormalize | None
) -> None:
    """Check that every number of a model and of its normalisation is finite.

    Args:
        folder: Of the run, for the sentence.
        model: The learner.
        normalizer: Its normalisation, if any.

    Raises:
        PhysaiError: If one is not: the training diverged.
    """
    numbers: list[Any] = [
        bool(torch.isfinite(each).all()) for each in _tensors(model.get_parameters())
    ]
    if normalizer is not None:
        averages = [normalizer.ret_rms]
        if normalizer.norm_obs:
            known: Any = normalizer.obs_rms
            averages += list(known.values()) if isinstance(known, dict) else [known]
        for each in averages:
            numbers += [np.isfinite(each.mean).all(), np.isfinite(each.var).all()]
    if not all(numbers):
        raise PhysaiError(
            f"{folder}: training diverged (a weight is not a number) at step "
            f"{model.num_timesteps}; the last checkpoint is from before it, go on with "
            "--resume and --set hyperparameters.learning_rate=, smaller"
        )


def _tensors(value: Any) -> Iterator[torch.Tensor]:
    """Give every tensor in nested states of modules and optimisers."""
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from _tensors(each)
