"""Checkpoints: everything that a run needs to go on, written atomically.

A checkpoint is a folder with the model (weights and optimiser), the replay buffer of
an off-policy algorithm, the normalisation, the states of every random generator and
the progress so far. It is written beside its place and renamed into it, so that a
process killed at any moment leaves the last whole one.
"""

from __future__ import annotations

import json
import os
import pickle
import random
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.vec_env import VecNormalize

from physai.errors import RecordError

__all__ = ["latest_checkpoint", "load_checkpoint", "save_checkpoint"]

_KEPT = 2


def save_checkpoint(
    folder: Path,
    model: BaseAlgorithm,
    normalizer: VecNormalize | None,
    progress: dict[str, Any],
) -> Path:
    """Write a checkpoint and drop all but the newest two.

    Args:
        folder: The run's ``checkpoints/``.
        model: The learner.
        normalizer: Running statistics of the observation, if any.
        progress: Facts for the run to go on with (curve, phase); JSON values.

    Returns:
        The checkpoint's folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    place = folder / f"step_{model.num_timesteps:010d}"
    draft = folder / f".{place.name}.part"
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir()
    model.save(draft / "model.zip")
    if isinstance(model, OffPolicyAlgorithm):
        model.save_replay_buffer(draft / "replay_buffer.pkl")
    if normalizer is not None:
        normalizer.save(str(draft / "normalizer.pkl"))
    states = {
        "python": random.getstate(),
        "numpy": np.random.get_state(),
        "torch": torch.get_rng_state(),
    }
    if torch.cuda.is_available():
        states["cuda"] = torch.cuda.get_rng_state_all()
    (draft / "random.pkl").write_bytes(pickle.dumps(states))
    (draft / "progress.json").write_text(
        json.dumps({**progress, "steps": model.num_timesteps})
    )
    for file in draft.iterdir():
        with file.open("rb") as handle:
            os.fsync(handle.fileno())
    if place.exists():
        shutil.rmtree(place)
    draft.rename(place)
    for old in sorted(folder.glob("step_*"))[:-_KEPT]:
        shutil.rmtree(old, ignore_errors=True)
    return place


def latest_checkpoint(folder: Path) -> Path | None:
    """Return the newest whole checkpoint of a run, or None."""
    found = [
        p for p in sorted(folder.glob("step_*")) if (p / "progress.json").is_file()
    ]
    return found[-1] if found else None


def load_checkpoint(
    place: Path, model: BaseAlgorithm, normalizer: VecNormalize | None
) -> dict[str, Any]:
    """Put a model, its normalisation and the random generators back.

    The files are pickles of this run's own folder: resume only runs of your own.

    Returns:
        The progress that was saved.

    Raises:
        RecordError: If the checkpoint cannot be read.
    """
    try:
        progress: dict[str, Any] = json.loads((place / "progress.json").read_text())
        model.set_parameters(str(place / "model.zip"), device=model.device)
        model.num_timesteps = int(progress["steps"])
        if isinstance(model, OffPolicyAlgorithm):
            model.load_replay_buffer(place / "replay_buffer.pkl")
        if normalizer is not None:
            stored = pickle.loads((place / "normalizer.pkl").read_bytes())
            # Outside its environment the stored one answers no other attribute.
            for name in {"obs_rms", "ret_rms"} & vars(stored).keys():
                setattr(normalizer, name, vars(stored)[name])
        states = pickle.loads((place / "random.pkl").read_bytes())
    except (OSError, KeyError, ValueError, EOFError, pickle.UnpicklingError) as error:
        raise RecordError(
            f"{place}: the checkpoint cannot be read "
            f"({type(error).__name__}); delete it to use the one "
            "before"
        ) from None
    random.setstate(states["python"])
    np.random.set_state(states["numpy"])
    torch.set_rng_state(states["torch"])
    if torch.cuda.is_available() and "cuda" in states:
        torch.cuda.set_rng_state_all(states["cuda"])
    return progress
