from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from physai.errors import ContractError, RecordError, RefusedError
from physai.record.episode import (
    Episode,
    EpisodeWriter,
    StepRecord,
    episodes_in,
    read_header,
)

Make = Callable[..., list[StepRecord]]


def assert_identical(a: Any, b: Any, where: str = "") -> None:
    """Equal to the last bit, NaN included."""
    if dataclasses.is_dataclass(a):
        assert type(a) is type(b), where
        for field in dataclasses.fields(a):
            name = field.name
            assert_identical(getattr(a, name), getattr(b, name), f"{where}.{name}")
    elif isinstance(a, np.ndarray):
        assert a.shape == b.shape, where
        assert a.astype(np.float64).tobytes() == b.astype(np.float64).tobytes(), where
    elif isinstance(a, float):
        assert np.float64(a).tobytes() == np.float64(b).tobytes(), where
    else:
        assert a == b, where


@pytest.mark.parametrize("people", [0, 1, 3])
@pytest.mark.parametrize("truth", [True, False])
def test_what_is_read_is_what_was_written(
    tmp_path: Path, make_steps: Make, people: int, truth: bool
) -> None:
    first, *steps = make_steps(301, people=people, truth=truth)
    header = {"seed": 3, "group": "adult", "digests": {"guard": "00"}}
    writer = EpisodeWriter(tmp_path / "deep" / "a.parquet", header)
    writer.begin(first.state, first.truth)
    for step in steps:
        writer.append(step)
    path = writer.close({"success": True, "peak_n": np.float64(3.5)})
    episode = Episode.load(path)
    assert episode.header == header
    assert episode.outcome == {"success": True, "peak_n": 3.5}
    assert episode.length == 300
    assert episode.has_truth is truth
    assert_identical(first.state, episode.initial_state(), "reset")
    for index in (0, 7, 299, -1):
        assert_identical(steps[index], episode.step(index), f"[{index}]")
    people_column = episode.column("state_people")
    assert people_column.shape == (300, people, 16, 7)
    assert list(episode.column("success")) == [s.success for s in steps]
    assert [p.name for p in path.parent.iterdir()] == ["a.parquet"]
    assert read_header(path)[0] == header


def test_arrays_may_be_reused_by_the_caller(tmp_path: Path, make_steps: Make) -> None:
    (step,) = make_steps(1)
    before = step.state.people.copy()
    writer = EpisodeWriter(tmp_path / "a.parquet", {})
    writer.append(step)
    step.state.people[:] = 0
    episode = Episode.load(writer.close())
    np.testing.assert_array_equal(episode.state(0).people, before)
    assert episode.initial_state() is None


def test_an_interrupted_episode_is_written(tmp_path: Path, make_steps: Make) -> None:
    path = tmp_path / "a.parquet"
    with pytest.raises(KeyboardInterrupt), EpisodeWriter(path, {}) as writer:
        writer.append(make_steps(1)[0])
        raise KeyboardInterrupt
    episode = Episode.load(path)
    assert episode.outcome == {"interrupted": True}
    assert episode.length == 1


@pytest.mark.parametrize("begin", [True, False])
def test_an_episode_without_steps(
    tmp_path: Path, make_steps: Make, begin: bool
) -> None:
    (step,) = make_steps(1)
    writer = EpisodeWriter(tmp_path / "a.parquet", {"seed": 1})
    if begin:
        writer.begin(step.state, step.truth)
    episode = Episode.load(writer.close({"interrupted": True}))
    assert episode.length == 0
    assert (episode.initial_state() is not None) is begin
    with pytest.raises(RecordError, match="no step 0"):
        episode.state(0)


def test_files_are_equal_for_equal_steps(tmp_path: Path, make_steps: Make) -> None:
    for name in ("a", "b"):
        with EpisodeWriter(tmp_path / f"{name}.parquet", {"seed": 1}) as writer:
            for step in make_steps(20):
                writer.append(step)
    files = episodes_in(tmp_path)
    assert [f.stem for f in files] == ["a", "b"]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_bad_files_give_one_sentence(tmp_path: Path, make_steps: Make) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    with pytest.raises(RecordError, match="no such episode"):
        Episode.load(tmp_path / "none.parquet")
    with pytest.raises(RecordError, match="no such folder"):
        episodes_in(tmp_path / "none")
    text = tmp_path / "text.parquet"
    text.write_text("hello")
    with pytest.raises(RecordError, match="not an episode"):
        Episode.load(text)
    other = tmp_path / "other.parquet"
    pq.write_table(pa.table({"a": [1]}), other)
    with pytest.raises(RecordError, match="not an episode of physai"):
        Episode.load(other)
    meta = {b"physai": b'{"schema": "physai/episode/9"}'}
    pq.write_table(pa.table({"a": [1]}).replace_schema_metadata(meta), other)
    with pytest.raises(RecordError, match=r"physai/episode/9.*reads"):
        Episode.load(other)
    whole = tmp_path / "whole.parquet"
    with EpisodeWriter(whole, {}) as writer:
        writer.append(make_steps(1)[0])
    for length in (0, 10, len(whole.read_bytes()) - 1):
        text.write_bytes(whole.read_bytes()[:length])
        with pytest.raises(RecordError, match="truncated"):
            Episode.load(text)
    with pytest.raises(RecordError, match="did you mean"):
        Episode.load(whole).column("state_peple")


def test_an_unwritable_folder_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RecordError, match="cannot be made"):
        EpisodeWriter(tmp_path / "file" / "a.parquet", {})


def test_a_header_is_json_of_allowed_fields(tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match='"patient_name" is not among the fields'):
        EpisodeWriter(tmp_path / "a.parquet", {"patient_name": "x"})
    with pytest.raises(RecordError, match="cannot hold a set"):
        EpisodeWriter(tmp_path / "a.parquet", {"group": {1}})
    writer = EpisodeWriter(tmp_path / "a.parquet", {"scenario": {"x": float("nan")}})
    assert Episode.load(writer.close()).header == {"scenario": {"x": None}}


def test_a_damaged_column_is_one_sentence(tmp_path: Path, make_steps: Make) -> None:
    """No flipped byte gives other numbers: each is found, or was not a number's."""
    path = tmp_path / "a.parquet"
    with EpisodeWriter(path, {"seed": 1}) as writer:
        for step in make_steps(30):
            writer.append(step)
    whole = path.read_bytes()
    names = Episode.load(path).column_names
    expected = {name: Episode.load(path).column(name).tobytes() for name in names}
    rng = np.random.default_rng(0)
    found = 0
    for place in rng.integers(0, len(whole), 60):
        bent = bytearray(whole)
        bent[place] ^= 1
        path.write_bytes(bent)
        try:
            episode = Episode.load(path)
            read = {name: episode.column(name).tobytes() for name in names}
        except RecordError:
            found += 1
        else:
            assert read == expected
    assert found > 40


def test_people_may_come_and_go(tmp_path: Path, make_steps: Make) -> None:
    rows = [
        make_steps(1, people=count, seed=k, truth=False)[0]
        for k, count in enumerate([1, 1, 0, 3, 2, 0, 1])
    ]
    for first in (0, 2, 3):
        writer = EpisodeWriter(tmp_path / f"{first}.parquet", {"seed": 1})
        writer.begin(rows[first].state, None)
        for row in rows:
            writer.append(row)
        episode = Episode.load(writer.close())
        initial = episode.initial_state()
        assert initial is not None
        assert_identical(rows[first].state, initial, "reset")
        for index, row in enumerate(rows):
            assert_identical(row.state, episode.step(index).state, f"[{index}]")
        assert episode.column("state_people").shape == (7, 3, 16, 7)


def test_another_size_of_anything_else_is_refused(
    tmp_path: Path, make_steps: Make
) -> None:
    one, two = make_steps(2, truth=False)
    writer = EpisodeWriter(tmp_path / "a.parquet", {"seed": 1})
    writer.append(one)
    state = dataclasses.replace(two.state, extras=np.zeros(3))
    with pytest.raises(ContractError, match="state_extras has the shape"):
        writer.append(dataclasses.replace(two, state=state))
    people = dataclasses.replace(two.state, people=np.zeros((1, 5, 7)))
    with pytest.raises(ContractError, match="state_people has the shape"):
        writer.append(dataclasses.replace(two, state=people))
