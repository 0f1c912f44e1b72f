"""A Stable-Baselines3 zip as a policy; called only for a trusted file."""

from __future__ import annotations

import functools
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from physai.errors import BundleError, ContractError
from physai.policy.policy import FloatArray, FunctionPolicy, Policy
from physai.training.train import algorithms

__all__ = ["load_sb3"]


def load_sb3(
    path: Path, observation_size: int | None = None, action_size: int | None = None
) -> Policy:
    """Load an SB3 zip, which is a pickle and can run code: trust it first.

    The algorithm is found by trying those whose parameters fit.

    Args:
        path: The file.
        observation_size: Entries that the environment shows; None checks nothing.
        action_size: Entries that it takes.

    Raises:
        BundleError: If no algorithm can load it.
        ContractError: If it was trained for other spaces.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            names = set(archive.namelist())
    except (OSError, zipfile.BadZipFile):
        raise BundleError(f"{path}: is not a zip file") from None
    if "data" not in names or "policy.pth" not in names:
        raise BundleError(f"{path}: is not a model saved by Stable-Baselines3")
    for name, algorithm in sorted(
        algorithms().items(), key=lambda item: item[0] != "PPO"
    ):
        try:
            model: Any = algorithm.load(path, device="cpu")
        except Exception:
            # Each class refuses the others' files in its own way; only the last counts.
            continue
        if type(model).__name__ == name and hasattr(model, "policy"):
            for kind, space, size in (
                ("observation", model.observation_space, observation_size),
                ("action", model.action_space, action_size),
            ):
                if size is not None and space.shape != (size,):
                    raise ContractError(
                        f"{path}: was trained for {kind}s of the shape {space.shape}, "
                        f"the environment has ({size},)"
                    )
            return FunctionPolicy(functools.partial(_predict, model))
    raise BundleError(f"{path}: no algorithm of Stable-Baselines3 can load it")


def _predict(model: Any, observation: FloatArray) -> FloatArray:
    action, _ = model.predict(observation, deterministic=True)
    return np.asarray(action, dtype=np.float32)
