"""A Stable-Baselines3 zip, or TorchScript, as a policy; only for a trusted file."""

from __future__ import annotations

import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from physai.errors import BundleError, ContractError
from physai.policy.policy import FloatArray, FunctionPolicy, Policy, PolicyContract
from physai.training.hyperparameters import algorithms

__all__ = ["load_sb3", "load_torchscript"]


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
            return _Learner(model)
    raise BundleError(f"{path}: no algorithm of Stable-Baselines3 can load it")


def load_torchscript(path: Path, contract: PolicyContract) -> Policy:
    """Load a TorchScript module, which is a program: trust it first.

    Args:
        path: The file.
        contract: What it was made for: a module that maps a float32 tensor of the shape
            (1, observations) to one of the shape (1, actions).

    Raises:
        BundleError: If it is no such module.
    """
    try:
        with warnings.catch_warnings():
            # The format is deprecated in favour of torch.export; its files are there.
            warnings.simplefilter("ignore", DeprecationWarning)
            module: Any = torch.jit.load(  # type: ignore[no-untyped-call]
                str(path), map_location="cpu"
            ).eval()
    except (RuntimeError, ValueError, OSError) as error:
        reason = str(error).strip().splitlines()[0]
        raise BundleError(f"{path}: is no TorchScript module ({reason})") from None
    sizes = contract.observation_size, len(contract.action_names)

    def act(observation: FloatArray) -> FloatArray:
        with torch.no_grad():
            given = torch.as_tensor(observation, dtype=torch.float32)[None]
            action = module(given)
        return np.asarray(action[0], dtype=np.float32)

    try:
        shape = act(np.zeros(sizes[0], dtype=np.float32)).shape
    except Exception as error:
        reason = str(error).strip().splitlines()[-1]
        raise BundleError(
            f"{path}: does not map {sizes[0]} numbers to {sizes[1]} ({reason})"
        ) from None
    if shape != (sizes[1],):
        raise BundleError(
            f"{path}: maps {sizes[0]} numbers to the shape {shape}, its contract names "
            f"{sizes[1]} actions"
        )
    return FunctionPolicy(act)


class _Learner:
    """A model's deterministic action, with the memory that a recurrent one has."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self.reset()

    def reset(self) -> None:
        self._state, self._start = None, np.ones(1, dtype=np.bool_)

    def act(self, observation: FloatArray) -> FloatArray:
        action, self._state = self._model.predict(
            observation[None], self._state, self._start, deterministic=True
        )
        self._start = np.zeros(1, dtype=np.bool_)
        return np.asarray(action[0], dtype=np.float32)
