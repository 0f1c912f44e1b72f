from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from physai.errors import (
    ContractError,
    MissingExtraError,
    PhysaiError,
    RecordError,
    RefusedError,
)
from physai.record.dataset import (
    convert_episodes,
    describe_dataset,
    verify_dataset,
)
from physai.record.episode import Episode, EpisodeWriter, StepRecord, episodes_in

Make = Callable[..., list[StepRecord]]
HEADER: dict[str, Any] = {
    "environment_id": "physai/CareFeeding-v0",
    "group": "adult",
    "seed": 7,
    "plant": "bullet",
    "control_hz": 20.0,
    "robot": "franka",
    "action_names": [f"a{i}" for i in range(7)],
}
WORDS = {"license": "CC-BY-4.0", "consent": "synthetic", "description": "Two meals."}


@pytest.fixture
def episodes(tmp_path: Path, make_steps: Make) -> Path:
    """Two episodes of 5 and 9 steps; the second keeps its last observation."""
    for seed, count in ((1, 5), (2, 9)):
        first, *steps = make_steps(count + 1, seed=seed)
        path = tmp_path / "episodes" / f"{seed}.parquet"
        writer = EpisodeWriter(path, HEADER)
        writer.begin(first.state, first.truth)
        for step in steps:
            writer.append(step)
        writer.close({}, steps[0].observation if seed == 2 else None)
    return tmp_path / "episodes"


def test_a_dataset_knows_every_byte(episodes: Path) -> None:
    manifest = describe_dataset(episodes, **WORDS)  # type: ignore[arg-type]
    assert (manifest.episodes, manifest.steps) == (2, 14)
    assert manifest.groups == {"adult": 2}
    assert verify_dataset(episodes) == manifest
    file = episodes_in(episodes)[0]
    whole = file.read_bytes()
    file.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(RecordError, match="altered"):
        verify_dataset(episodes)
    file.unlink()
    with pytest.raises(RecordError, match=r"1.parquet is missing"):
        verify_dataset(episodes)


def test_people_are_asked(episodes: Path) -> None:
    with pytest.raises(RefusedError, match="delete it"):
        describe_dataset(episodes, **{**WORDS, "consent": "refused"})  # type: ignore[arg-type]
    EpisodeWriter(episodes / "3.parquet", {**HEADER, "plant": "ros"}).close()
    with pytest.raises(RefusedError, match="consent of the people"):
        describe_dataset(episodes, **WORDS)  # type: ignore[arg-type]
    describe_dataset(episodes, **{**WORDS, "consent": "given"})  # type: ignore[arg-type]


def test_lerobot_has_what_was_seen_and_done(episodes: Path, tmp_path: Path) -> None:
    describe_dataset(episodes, **WORDS)  # type: ignore[arg-type]
    target = tmp_path / "lerobot"
    summary = convert_episodes(episodes, target, "lerobot")
    assert (summary["episodes"], summary["steps"]) == (2, 14)
    info = json.loads((target / "meta/info.json").read_text())
    assert info["codebase_version"] == "v3.0"
    assert (info["fps"], info["total_frames"]) == (20, 14)
    assert info["features"]["action"]["names"] == HEADER["action_names"]
    data = pq.read_table(target / info["data_path"].format(chunk_index=0, file_index=0))
    assert set(data.column_names) == set(info["features"])
    assert data.column("index").to_pylist() == list(range(14))
    assert data.column("episode_index").to_pylist() == [0] * 5 + [1] * 9
    second = Episode.load(episodes_in(episodes)[1])
    expected = second.column("observation").astype(np.float32)
    np.testing.assert_array_equal(
        np.array(data.column("observation.state").to_pylist()[5:], np.float32), expected
    )
    rows = pq.read_table(target / "meta/episodes/chunk-000/file-000.parquet")
    assert rows.column("dataset_to_index").to_pylist() == [5, 14]
    tasks = pq.read_table(target / "meta/tasks.parquet")
    assert tasks.column("task").to_pylist() == ["physai/CareFeeding-v0"]
    assert "license: cc-by-4.0" in (target / "README.md").read_text()
    with pytest.raises(RecordError, match="not empty"):
        convert_episodes(episodes, target, "lerobot")


def test_mcap_holds_every_step(episodes: Path, tmp_path: Path) -> None:
    reader = pytest.importorskip("mcap.reader")
    convert_episodes(episodes, tmp_path / "mcap", "mcap")
    episode = Episode.load(episodes / "2.parquet")
    with (tmp_path / "mcap" / "2.mcap").open("rb") as stream:
        messages = list(reader.make_reader(stream).iter_messages())
    topics = {channel.topic for _, channel, _ in messages}
    assert topics == {"/state", "/truth", "/command", "/decision", "/step"}
    states = [m for _, channel, m in messages if channel.topic == "/state"]
    assert len(states) == 9
    value = json.loads(states[3].data)
    assert states[3].log_time == round(episode.column("time_s")[3] * 1e9)
    people = episode.state(3).people
    np.testing.assert_array_equal(np.array(value["state_people"]), people)
    assert None in value["state_actuator_effort"]


def test_minari_loads_what_was_written(
    episodes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    minari = pytest.importorskip("minari")
    summary = convert_episodes(episodes, tmp_path / "minari", "minari")
    assert summary["steps"] == 4 + 9
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))
    first, second = list(minari.load_dataset("physai/episodes-v0"))
    assert len(first.observations) == 5
    assert bool(first.truncations[-1])
    episode = Episode.load(episodes / "2.parquet")
    np.testing.assert_allclose(second.rewards, episode.column("reward"))
    np.testing.assert_array_equal(second.observations[-1], episode.final_observation)


@pytest.mark.parametrize("to", ["mcap", "minari"])
def test_a_missing_package_is_one_sentence(
    episodes: Path, tmp_path: Path, to: str
) -> None:
    try:
        importlib.import_module(to)
    except ImportError:
        with pytest.raises(MissingExtraError, match=f"the format {to} needs the extra"):
            convert_episodes(episodes, tmp_path / "x", to)
    else:
        pytest.skip(f"{to} is installed")


def test_wrong_requests(episodes: Path, tmp_path: Path) -> None:
    with pytest.raises(ContractError, match='did you mean "lerobot"'):
        convert_episodes(episodes, tmp_path / "x", "lerobott")
    (tmp_path / "empty").mkdir()
    with pytest.raises(RecordError, match="holds no episodes"):
        convert_episodes(tmp_path / "empty", tmp_path / "x", "lerobot")
    with pytest.raises(RecordError, match=r"has no dataset.json"):
        verify_dataset(episodes)
    (tmp_path / "file").write_text("")
    with pytest.raises(PhysaiError):
        convert_episodes(episodes, tmp_path / "file" / "x", "lerobot")
