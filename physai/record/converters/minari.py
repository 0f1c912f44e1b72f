"""Minari, in its Arrow format: observations and actions of the policy.

Minari wants one observation more than actions. An episode keeps the observation that
each action was chosen from; where the one after the last step was not kept, the last
step is left out and the one before is marked as truncated.
"""

from __future__ import annotations

import importlib
import os
from pathlib import Path
from typing import Any

import numpy as np

from physai.errors import ContractError, MissingExtraError
from physai.record.dataset import DatasetManifest
from physai.record.episode import Episode

__all__ = ["write"]

_NAME = "physai/episodes-v0"


def write(
    files: list[Path], folder: Path, manifest: DatasetManifest | None
) -> dict[str, Any]:
    """Write episodes as the Minari dataset ``physai/episodes-v0`` below a folder.

    Load it with ``MINARI_DATASETS_PATH`` set to the folder.

    Raises:
        MissingExtraError: If the package ``minari`` is not installed.
        ContractError: If an episode holds no observations, or they differ in size.
    """
    try:
        minari: Any = importlib.import_module("minari")
        collector: Any = importlib.import_module("minari.data_collector")
    except ImportError:
        raise MissingExtraError("datasets", "the format minari") from None
    from gymnasium import spaces

    buffers: list[Any] = []
    steps, cut = 0, 0
    for number, file in enumerate(files):
        facts = _transitions(Episode.load(file))
        cut += facts.pop("cut")
        if not len(facts["actions"]):
            continue
        buffers.append(collector.EpisodeBuffer(id=number, **facts))
        steps += len(facts["actions"])
    sizes = {(b.observations.shape[1], b.actions.shape[1]) for b in buffers}
    if len(sizes) != 1:
        raise ContractError(
            "the episodes hold no steps, or observations or actions of several sizes"
        )
    observations, actions = sizes.pop()
    before = os.environ.get("MINARI_DATASETS_PATH")
    os.environ["MINARI_DATASETS_PATH"] = str(folder.absolute())
    try:
        minari.create_dataset_from_buffers(
            _NAME,
            buffers,
            observation_space=spaces.Box(-np.inf, np.inf, (observations,), np.float32),
            action_space=spaces.Box(-np.inf, np.inf, (actions,), np.float32),
            description=manifest.description if manifest else "Recorded with physai.",
            data_format="arrow",
        )
    finally:
        if before is None:
            del os.environ["MINARI_DATASETS_PATH"]
        else:
            os.environ["MINARI_DATASETS_PATH"] = before
    note = f"the last step of {cut} episodes is left out" if cut else "complete"
    return {"episodes": len(buffers), "steps": steps, "note": note}


def _transitions(episode: Episode) -> dict[str, Any]:
    if "observation" not in episode.column_names:
        raise ContractError(f"{episode.path}: holds no observations of a policy")
    seen = episode.column("observation").astype(np.float32)
    count, cut = episode.length, 0
    if episode.final_observation is not None:
        seen = np.concatenate([seen, episode.final_observation[None]])
    elif count:
        count, cut = count - 1, 1
    truncations = episode.column("truncated")[:count].copy()
    if cut and count:
        truncations[-1] = True
    # An info, like an observation, belongs to the reset too: there is one
    # more. Each is an array of one number: Minari cannot read plain numbers back.
    cost = np.concatenate([[0.0], episode.column("cost")[:count]])[:, None]
    return {
        "seed": int(episode.header.get("seed") or 0),
        "observations": seen,
        "actions": episode.column("action")[:count].astype(np.float32),
        "rewards": episode.column("reward")[:count].tolist(),
        "terminations": episode.column("terminated")[:count].tolist(),
        "truncations": truncations.tolist(),
        "infos": {"cost": cost},
        "cut": cut,
    }
