"""MCAP, one file per episode, for viewers such as Foxglove: JSON messages.

Topics ``/state``, ``/truth``, ``/command``, ``/decision`` and ``/step``; a message
holds the columns of one step by name. Times are the plant's clock from 0.
"""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import numpy as np

from physai.errors import MissingExtraError
from physai.record.dataset import DatasetManifest
from physai.record.episode import Episode
from physai.record.plain import plain

__all__ = ["write"]

_TOPICS = {
    "/state": ("state_",),
    "/truth": ("truth_",),
    "/command": ("command_",),
    "/decision": ("decision_", "margins"),
    "/step": (
        "action",
        "observation",
        "reward",
        "cost",
        "terminated",
        "truncated",
        "success",
        "value_",
    ),
}


def write(
    files: list[Path], folder: Path, manifest: DatasetManifest | None
) -> dict[str, Any]:
    """Write every episode as one MCAP file.

    Raises:
        MissingExtraError: If the package ``mcap`` is not installed.
    """
    try:
        mcap: Any = importlib.import_module("mcap.writer")
    except ImportError:
        raise MissingExtraError("datasets", "the format mcap") from None
    folder.mkdir(parents=True, exist_ok=True)
    steps = 0
    for file in files:
        episode = Episode.load(file)
        with (folder / f"{file.stem}.mcap").open("wb") as stream:
            writer = mcap.Writer(stream)
            writer.start(profile="", library="physai")
            facts = {"header": episode.header, "outcome": episode.outcome}
            if manifest is not None:
                facts["dataset"] = manifest.model_dump(mode="json", exclude={"files"})
            writer.add_metadata(
                "physai", {name: json.dumps(value) for name, value in facts.items()}
            )
            _write_messages(writer, episode)
            writer.finish()
        steps += episode.length
    return {"episodes": len(files), "steps": steps, "note": "camera images: none"}


def _write_messages(writer: Any, episode: Episode) -> None:
    channels = {}
    for topic, prefixes in _TOPICS.items():
        names = [name for name in episode.column_names if name.startswith(prefixes)]
        columns = {name: episode.column(name) for name in names}
        if not columns:
            continue
        schema = json.dumps(_schema(columns)).encode()
        identity = writer.register_schema(f"physai{topic}", "jsonschema", schema)
        channels[writer.register_channel(topic, "json", identity)] = columns
    times = np.round(episode.column("time_s") * 1e9).astype(np.int64)
    for step, time in enumerate(times.tolist()):
        for channel, columns in channels.items():
            message = {name: column[step] for name, column in columns.items()}
            data = json.dumps(plain(message, "a message"), allow_nan=False).encode()
            writer.add_message(channel, time, data, time, sequence=step)


def _schema(columns: dict[str, Any]) -> dict[str, Any]:
    kinds = {"f": "number", "i": "integer", "b": "boolean", "U": "string"}
    properties = {}
    for name, column in columns.items():
        kind: dict[str, Any] = {"type": kinds[column.dtype.kind]}
        for _ in range(column.ndim - 1):
            kind = {"type": "array", "items": kind}
        properties[name] = kind
    return {"type": "object", "properties": properties}
