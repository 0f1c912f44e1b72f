"""LeRobotDataset v3.0: Parquet shards and metadata, without video.

Layout of huggingface/lerobot, ``src/lerobot/datasets`` (codebase version v3.0): a
frame holds what the policy saw and the action that it then chose.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from physai.errors import ContractError
from physai.record.dataset import DatasetManifest
from physai.record.episode import Episode

__all__ = ["write"]

_DATA = "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
_EPISODES = "meta/episodes/chunk-000/file-000.parquet"
_SCALARS = {
    "next.reward": "float32",
    "next.cost": "float32",
    "next.done": "bool",
    "next.success": "bool",
    "timestamp": "float32",
    "frame_index": "int64",
    "episode_index": "int64",
    "index": "int64",
    "task_index": "int64",
}


def write(
    files: list[Path], folder: Path, manifest: DatasetManifest | None
) -> dict[str, Any]:
    """Write episodes as one LeRobot dataset.

    Raises:
        ContractError: If the episodes differ in rate, observation or action.
    """
    (folder / "meta/episodes/chunk-000").mkdir(parents=True)
    data = folder / _DATA.format(chunk_index=0, file_index=0)
    data.parent.mkdir(parents=True)
    tasks: dict[str, int] = {}
    rows: list[dict[str, Any]] = []
    statistics: list[dict[str, Any]] = []
    features: dict[str, Any] = {}
    header: dict[str, Any] = {}
    start, writer = 0, None
    try:
        for number, file in enumerate(files):
            episode = Episode.load(file)
            if not episode.length:
                continue
            header = header or episode.header
            task = str(
                episode.header.get("task") or episode.header.get("environment_id")
            )
            index = tasks.setdefault(task, len(tasks))
            columns = _columns(episode, len(rows), start, index)
            found = _features(episode, columns)
            features = features or found
            if found != features or _rate(episode.header) != _rate(header):
                raise ContractError(
                    f"{file}: has another rate, observation or action than "
                    f"{files[0].name}; convert them apart"
                )
            table = pa.table({name: _arrow(each) for name, each in columns.items()})
            writer = writer or pq.ParquetWriter(data, table.schema)
            writer.write_table(table)
            statistics.append({name: columns[name] for name in features})
            rows.append(_episode_row(number, task, start, episode.length))
            rows[-1]["episode_index"] = len(rows) - 1
            start += episode.length
    finally:
        if writer is not None:
            writer.close()
    if not rows:
        raise ContractError("there is no episode with a step to convert")
    _write_meta(folder, rows, tasks, features, header, statistics)
    _write_card(folder, manifest)
    return {"episodes": len(rows), "steps": start, "note": "camera images: none"}


def _columns(episode: Episode, number: int, start: int, task: int) -> dict[str, Any]:
    count = episode.length
    seen = "observation" if "observation" in episode.column_names else None
    state = episode.column(seen or "state_actuator_position")
    done = episode.column("terminated") | episode.column("truncated")
    frames = np.arange(count)
    return {
        "observation.state": state.astype(np.float32),
        "action": episode.column("action").astype(np.float32),
        "next.reward": episode.column("reward").astype(np.float32),
        "next.cost": episode.column("cost").astype(np.float32),
        "next.done": done,
        "next.success": episode.column("success"),
        "timestamp": (frames / _rate(episode.header)).astype(np.float32),
        "frame_index": frames,
        "episode_index": np.full(count, number),
        "index": start + frames,
        "task_index": np.full(count, task),
    }


def _features(episode: Episode, columns: dict[str, Any]) -> dict[str, Any]:
    header = episode.header
    result: dict[str, Any] = {}
    for name, key in (
        ("observation.state", "observation_names"),
        ("action", "action_names"),
    ):
        size = columns[name].shape[1]
        names = header.get(key)
        fits = isinstance(names, list) and len(names) == size
        result[name] = {
            "dtype": "float32",
            "shape": [size],
            "names": names if fits else None,
        }
    for name, kind in _SCALARS.items():
        result[name] = {"dtype": kind, "shape": [1], "names": None}
    return result


def _episode_row(number: int, task: str, start: int, length: int) -> dict[str, Any]:
    return {
        "episode_index": number,
        "tasks": [task],
        "length": length,
        "dataset_from_index": start,
        "dataset_to_index": start + length,
        "data/chunk_index": 0,
        "data/file_index": 0,
        "meta/episodes/chunk_index": 0,
        "meta/episodes/file_index": 0,
    }


def _write_meta(
    folder: Path,
    rows: list[dict[str, Any]],
    tasks: dict[str, int],
    features: dict[str, Any],
    header: dict[str, Any],
    episodes: list[dict[str, Any]],
) -> None:
    frames = sum(row["length"] for row in rows)
    info = {
        "codebase_version": "v3.0",
        "robot_type": header.get("robot"),
        "total_episodes": len(rows),
        "total_frames": frames,
        "total_tasks": len(tasks),
        "chunks_size": 1000,
        "data_files_size_in_mb": 100,
        "video_files_size_in_mb": 200,
        "fps": round(_rate(header)),
        "splits": {"train": f"0:{len(rows)}"},
        "data_path": _DATA,
        "video_path": None,
        "features": features,
    }
    _write_json(folder / "meta/info.json", info)
    statistics = {
        name: _statistics(np.concatenate([each[name] for each in episodes]))
        for name in features
    }
    _write_json(folder / "meta/stats.json", statistics)
    pq.write_table(pa.Table.from_pylist(rows), folder / _EPISODES)
    table = pa.table(
        {"task_index": list(tasks.values()), "task": pa.array(list(tasks), pa.string())}
    )
    # The task is the row's name in pandas, which is what readers expect.
    note = json.dumps(_PANDAS).encode()
    table = table.replace_schema_metadata({b"pandas": note})
    pq.write_table(table, folder / "meta/tasks.parquet")


_PANDAS = {
    "index_columns": ["task"],
    "column_indexes": [
        {
            "name": None,
            "field_name": None,
            "pandas_type": "unicode",
            "numpy_type": "object",
            "metadata": {"encoding": "UTF-8"},
        }
    ],
    "columns": [
        {
            "name": "task_index",
            "field_name": "task_index",
            "pandas_type": "int64",
            "numpy_type": "int64",
            "metadata": None,
        },
        {
            "name": "task",
            "field_name": "task",
            "pandas_type": "unicode",
            "numpy_type": "object",
            "metadata": None,
        },
    ],
    "creator": {"library": "pyarrow", "version": pa.__version__},
    "pandas_version": "2.2.0",
}


def _statistics(values: Any) -> dict[str, Any]:
    numbers = np.asarray(values, dtype=np.float64).reshape(len(values), -1)
    return {
        "min": numbers.min(axis=0).tolist(),
        "max": numbers.max(axis=0).tolist(),
        "mean": numbers.mean(axis=0).tolist(),
        "std": numbers.std(axis=0).tolist(),
        "count": [len(numbers)],
    }


def _write_card(folder: Path, manifest: DatasetManifest | None) -> None:
    licence = manifest.license.lower() if manifest else "unknown"
    text = manifest.description if manifest else "Episodes recorded with physai."
    consent = (
        f"\n\nConsent of the people in it: {manifest.consent}." if manifest else ""
    )
    (folder / "README.md").write_text(
        f"---\nlicense: {licence}\ntask_categories:\n- robotics\ntags:\n- LeRobot\n"
        f"configs:\n- config_name: default\n  data_files: data/*/*.parquet\n---\n\n"
        f"{text}{consent}\n",
        encoding="utf-8",
    )


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=4) + "\n", encoding="utf-8")


def _arrow(values: Any) -> Any:
    if values.ndim == 1:
        return pa.array(values)
    flat = pa.array(np.ascontiguousarray(values).ravel())
    return pa.FixedSizeListArray.from_arrays(flat, values.shape[1])


def _rate(header: dict[str, Any]) -> float:
    return float(header.get("control_hz") or 20.0)
