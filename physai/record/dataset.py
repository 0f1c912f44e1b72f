"""A folder of episodes as a dataset, and as other people's formats.

``dataset.json`` beside the episodes says what they are, under which licence and with
whose consent they may be used, and the SHA-256 of every file.
"""

from __future__ import annotations

import importlib
import json
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from physai.config import Config, parse
from physai.content import digest_file
from physai.errors import ContractError, RecordError, RefusedError, suggest
from physai.record.episode import episodes_in, read_header, read_length

__all__ = [
    "FORMATS",
    "DatasetManifest",
    "convert_episodes",
    "describe_dataset",
    "verify_dataset",
]

FORMATS = ("lerobot", "mcap", "minari")
"""Formats that :func:`convert_episodes` writes, each in a module of converters."""

Consent = Literal["synthetic", "given", "refused"]
_MANIFEST = "dataset.json"


class DatasetManifest(Config):
    """``dataset.json``."""

    schema_version: Literal["physai/dataset/1"] = "physai/dataset/1"
    """Version of this layout."""
    name: str
    """Name of the dataset."""
    license: str
    """SPDX identifier of the licence it may be used under."""
    consent: Consent
    """``synthetic``: nobody real is in it; ``given``: everybody in it agreed."""
    description: str
    """What it is, in a sentence or two; no names of people."""
    episodes: int
    """Number of episodes."""
    steps: int
    """Number of control steps."""
    environments: dict[str, int]
    """Episodes per environment."""
    groups: dict[str, int]
    """Episodes per group of people."""
    files: dict[str, str]
    """SHA-256 of every episode file, by name."""


def describe_dataset(
    folder: str | os.PathLike[str],
    *,
    license: str,
    consent: Consent,
    description: str,
) -> DatasetManifest:
    """Write ``dataset.json`` for a folder of episodes.

    Raises:
        RecordError: If the folder holds no readable episodes or cannot be written.
        RefusedError: If consent was refused, or a real person cannot be synthetic.
    """
    files = _episodes(folder)
    root = files[0].parent
    if consent == "refused":
        raise RefusedError(
            f"{root}: without the consent of those in it this is no dataset; delete it"
        )
    environments: Counter[str] = Counter()
    groups: Counter[str] = Counter()
    steps = 0
    for file in files:
        header, _ = read_header(file)
        if header.get("plant") == "ros" and consent == "synthetic":
            raise RefusedError(
                f"{file}: was recorded on a real robot, so the consent of the people "
                'beside it is needed: "given"'
            )
        environments[str(header.get("environment_id", "unknown"))] += 1
        groups[str(header.get("group", "unknown"))] += 1
        steps += read_length(file)
    manifest = DatasetManifest(
        name=root.resolve().name,
        license=license,
        consent=consent,
        description=description,
        episodes=len(files),
        steps=steps,
        environments=dict(sorted(environments.items())),
        groups=dict(sorted(groups.items())),
        files={file.name: digest_file(file) for file in files},
    )
    text = json.dumps(manifest.model_dump(mode="json"), indent=1, ensure_ascii=False)
    try:
        partial = root / f".{_MANIFEST}.partial"
        partial.write_text(text + "\n", encoding="utf-8")
        partial.replace(root / _MANIFEST)
    except OSError as error:
        raise RecordError(f"{root}: cannot be written ({error.strerror})") from None
    return manifest


def read_manifest(folder: Path) -> DatasetManifest | None:
    """Return the manifest of a folder of episodes; None if it has none.

    Raises:
        RecordError: If it cannot be read.
        ConfigError: If its content is wrong.
    """
    path = folder / _MANIFEST
    if not path.is_file():
        return None
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise RecordError(f"{path}: cannot be read") from None
    return parse(DatasetManifest, value, str(path))


def verify_dataset(folder: str | os.PathLike[str]) -> DatasetManifest:
    """Check every episode of a dataset against its manifest.

    Raises:
        RecordError: If a file is missing, added or altered, or there is no manifest.
    """
    files = {file.name: file for file in _episodes(folder)}
    root = next(iter(files.values())).parent
    manifest = read_manifest(root)
    if manifest is None:
        raise RecordError(f"{root}: has no {_MANIFEST}, so nothing says what it is")
    for name in sorted(set(manifest.files) ^ set(files)):
        what = "is missing" if name in manifest.files else f"is not in {_MANIFEST}"
        raise RecordError(f"{root}: {name} {what}")
    for name, digest in manifest.files.items():
        if digest_file(files[name]) != digest:
            raise RecordError(f"{files[name]}: was altered after the dataset was made")
    return manifest


def convert_episodes(
    source: str | os.PathLike[str], target: str | os.PathLike[str], to: str
) -> dict[str, Any]:
    """Write episodes in another format, for ``physai convert``.

    Args:
        source: A folder of episodes, or one episode.
        target: A folder that does not exist yet, or is empty.
        to: ``lerobot``, ``mcap`` or ``minari``.

    Returns:
        What was written: ``format``, ``path``, ``episodes``, ``steps``, ``note``.

    Raises:
        ContractError: If there is no such format, or the episodes do not fit together.
        MissingExtraError: If the format needs a package that is not installed.
        RecordError: If episodes cannot be read or the target cannot be written.
    """
    if to not in FORMATS:
        raise ContractError(f'no format "{to}": {suggest(to, FORMATS)}')
    files = _episodes(source)
    folder = Path(target)
    module = importlib.import_module(f"physai.record.converters.{to}")
    write: Callable[..., dict[str, Any]] = module.write
    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise RecordError(f"{folder}: exists and is not empty; name another folder")
        summary = write(files, folder, read_manifest(files[0].parent))
    except OSError as error:
        raise RecordError(f"{folder}: cannot be written ({error.strerror})") from None
    return {"format": to, "path": str(folder), **summary}


def _episodes(source: str | os.PathLike[str]) -> list[Path]:
    files = episodes_in(source)
    if not files:
        raise RecordError(f"{source}: holds no episodes")
    return files
