"""Write an episode: cheap while it runs, whole or not at all when it closes."""

from __future__ import annotations

import contextlib
import json
import math
import os
from collections.abc import Mapping, Sequence
from operator import attrgetter
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from physai.errors import ContractError, RecordError
from physai.record.layout import (
    Column,
    Layout,
    Reset,
    StepRecord,
    layout_of_reset,
    layout_of_step,
    pad_people,
)
from physai.record.plain import plain
from physai.record.privacy import check_header
from physai.types import State, Truth

__all__ = ["METADATA_KEY", "SCHEMA", "TEXT_COLUMNS", "EpisodeWriter"]

SCHEMA = "physai/episode/1"
METADATA_KEY = b"physai"
TEXT_COLUMNS = ("decision_rule", "decision_sentence", "decision_sentence_ja")
_TEXTS = attrgetter("decision.rule", "decision.sentence", "decision.sentence_ja")
_FIRST_ROWS = 256
_TYPES = {"float": np.float64, "int": np.int64, "bool": np.bool_}


class EpisodeWriter:
    """Collects steps in memory and writes the file when closed.

    An append copies the arrays into one row of a growing table; the file appears
    whole or not at all, by renaming a temporary file. As a context manager, an
    exception closes it with the outcome ``{"interrupted": true}``.

    Args:
        path: The file to write; its folder is made.
        header: What the episode is: scenario, seed, group, case, guard mode,
            digests, versions, git revision. JSON values; a number that is not
            finite becomes null.

    Raises:
        RecordError: If the folder cannot be made or written, or the header cannot
            be stored.
        RefusedError: If the header holds a field that may not be kept.
    """

    def __init__(self, path: str | os.PathLike[str], header: Mapping[str, Any]) -> None:
        self.path = Path(path)
        check_header(header)
        self._header = plain(dict(header), "the header of an episode")
        self._layout: Layout | None = None
        self._shapes: list[tuple[int, ...]] = []
        self._rows = np.empty((0, 0))
        self._numbers: list[tuple[Any, ...]] = []
        self._texts: list[tuple[str, ...]] = []
        self._reset: Reset | None = None
        self._closed = False
        _make_folder(self.path.parent)

    @property
    def length(self) -> int:
        """Number of steps appended so far."""
        return len(self._numbers)

    def begin(self, state: State, truth: Truth | None) -> None:
        """Keep the state and truth at reset, which the first step starts from.

        Raises:
            RecordError: If steps were appended before.
        """
        if self._numbers:
            raise RecordError(f"{self.path}: the reset must be recorded before a step")
        self._reset = Reset(_copied(state), _copied(truth))

    def append(self, step: StepRecord) -> None:
        """Add one step; its arrays are copied and may be reused by the caller.

        Raises:
            ContractError: If an array's shape differs from the first step's.
            RecordError: If the episode is closed.
        """
        if self._closed:
            raise RecordError(f"{self.path}: the episode is closed")
        if self._layout is None:
            self._start(step)
        count = len(self._numbers)
        if self._layout is None or not self._layout.fits(step):
            raise ContractError(
                f"step {count} has other parts (truth, margins, observation or "
                "values) than the first step of the episode"
            )
        arrays = self._read_arrays(step)
        if [array.shape for array in arrays] != self._shapes:
            self._make_room(arrays)
            arrays = self._padded(self._layout.arrays, arrays)
            if [array.shape for array in arrays] != self._shapes:
                raise ContractError(self._difference(arrays))
        if count == len(self._rows):
            self._rows = np.concatenate([self._rows, np.empty_like(self._rows)])
        np.concatenate(arrays, axis=None, out=self._rows[count])
        self._numbers.append((*self._read_numbers(step), *step.values.values()))
        self._texts.append(_TEXTS(step))

    def close(
        self,
        outcome: Mapping[str, Any] | None = None,
        final_observation: npt.NDArray[Any] | None = None,
    ) -> Path:
        """Write the file and return its path; a second call does nothing.

        Args:
            outcome: How the episode ended: success, cause, totals, interrupted.
            final_observation: (o,) what the policy would have seen next; learning
                from the last step needs it.

        Raises:
            RecordError: If the file cannot be written.
        """
        if self._closed:
            return self.path
        import pyarrow as pa

        arrays, columns = self._table()
        facts = {
            "schema": SCHEMA,
            "header": self._header,
            "outcome": plain(dict(outcome or {}), "the outcome of an episode"),
            "columns": columns,
            "final_observation": plain(final_observation, "the last observation"),
            "reset": self._reset is not None,
            "steps": self.length,
        }
        text = json.dumps(facts, sort_keys=True, allow_nan=False)
        table = pa.table(arrays)
        self._write(table.replace_schema_metadata({METADATA_KEY: text.encode()}))
        self._closed = True
        return self.path

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close({"interrupted": True} if kind is not None else None)

    def _start(self, step: StepRecord) -> None:
        layout = layout_of_step(step)
        self._read_arrays = attrgetter(*(column.path for column in layout.arrays))
        self._read_numbers = attrgetter(*(column.path for column in layout.numbers))
        arrays = self._read_arrays(step)
        self._shapes = [array.shape for array in arrays]
        if self._reset is not None:
            head = layout_of_reset(self._reset).arrays
            first = attrgetter(*(column.path for column in head))(self._reset)
            self._shapes = [
                max(shape, given.shape)
                if column.people and shape[1:] == given.shape[1:]
                else shape
                for column, shape, given in zip(
                    layout.arrays,
                    self._shapes,
                    (*first, *arrays[len(head) :]),
                    strict=True,
                )
            ]
            first = self._padded(head, first)
            if [array.shape for array in first] != self._shapes[: len(head)]:
                raise ContractError(
                    f"{self.path.name}: state or truth of the first step differ in "
                    "shape from those at reset"
                )
        width = sum(math.prod(shape) for shape in self._shapes)
        self._rows = np.empty((_FIRST_ROWS, width))
        self._layout = layout

    def _padded(self, columns: Sequence[Column], arrays: Sequence[Any]) -> Any:
        """Return arrays in which people who are not tracked have rows too."""
        return tuple(
            pad_people(column, array, shape)
            for column, array, shape in zip(columns, arrays, self._shapes, strict=False)
        )

    def _make_room(self, arrays: Sequence[Any]) -> None:
        """Widen what was recorded so far for more people than ever before."""
        assert self._layout is not None
        columns = self._layout.arrays
        shapes = [
            array.shape
            if column.people
            and array.shape[1:] == shape[1:]
            and array.shape[0] > shape[0]
            else shape
            for column, array, shape in zip(columns, arrays, self._shapes, strict=True)
        ]
        if shapes == self._shapes:
            return
        old, place = self._rows, 0
        wider = np.empty((len(old), sum(math.prod(shape) for shape in shapes)))
        for row in range(self.length):
            parts, place = [], 0
            for column, before, after in zip(
                columns, self._shapes, shapes, strict=True
            ):
                size = math.prod(before)
                part = old[row, place : place + size].reshape(before)
                parts.append(pad_people(column, part, after))
                place += size
            np.concatenate(parts, axis=None, out=wider[row])
        self._rows, self._shapes = wider, shapes

    def _difference(self, arrays: tuple[Any, ...]) -> str:
        assert self._layout is not None
        for column, array, shape in zip(
            self._layout.arrays, arrays, self._shapes, strict=True
        ):
            if array.shape != shape:
                return (
                    f"step {self.length}: {column.name} has the shape {array.shape}, "
                    f"the first step's had {shape}"
                )
        raise AssertionError("no array differs")

    def _table(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return Arrow arrays and the description (kind, shape) of every column."""
        import pyarrow as pa

        layout = self._layout or (layout_of_reset(self._reset) if self._reset else None)
        offset = int(self._reset is not None)
        step = np.arange(-offset, self.length, dtype=np.int64)
        texts: list[tuple[str, ...]] = [("", "", "")] * offset + self._texts
        arrays: dict[str, Any] = {"step": pa.array(step)}
        for place, name in enumerate(TEXT_COLUMNS):
            arrays[name] = pa.array([row[place] for row in texts], pa.string())
        columns: dict[str, Any] = {}
        if layout is None:
            return arrays, columns
        for column, rows in self._number_columns(layout):
            arrays[column.name] = pa.array(rows.astype(_TYPES[column.kind]))
            columns[column.name] = [column.kind, []]
        for column, shape, rows in self._array_columns(layout):
            columns[column.name] = [column.kind, list(shape)]
            if rows.size:
                flat = pa.array(np.ascontiguousarray(rows).ravel())
                width = rows.shape[1]
                arrays[column.name] = pa.FixedSizeListArray.from_arrays(flat, width)
        return arrays, columns

    def _number_columns(self, layout: Layout) -> list[tuple[Column, Any]]:
        columns = [*layout.numbers]
        columns += [Column("value_" + name, name) for name in layout.extra]
        rows = list(self._numbers)
        if self._reset is not None:
            head = layout_of_reset(self._reset)
            paths = [column.path for column in head.numbers]
            known = dict(zip(paths, attrgetter(*paths)(self._reset), strict=True))
            empty = {"float": math.nan, "int": 0, "bool": False}
            rows.insert(0, tuple(known.get(c.path, empty[c.kind]) for c in columns))
        return list(zip(columns, map(np.array, zip(*rows, strict=True)), strict=True))

    def _array_columns(
        self, layout: Layout
    ) -> list[tuple[Column, tuple[int, ...], Any]]:
        rows = self._rows[: self.length]
        shapes = self._shapes
        if self._reset is not None:
            head = layout_of_reset(self._reset).arrays
            first = attrgetter(*(column.path for column in head))(self._reset)
            shapes = shapes or [array.shape for array in first]
            first = tuple(
                pad_people(column, array, shape)
                for column, array, shape in zip(head, first, shapes, strict=False)
            )
            width = sum(math.prod(shape) for shape in shapes)
            row = np.full((1, width), np.nan)
            known = np.concatenate(first, axis=None)
            row[0, : known.size] = known
            rows = np.concatenate([row, rows.reshape(self.length, width)])
        columns, place = [], 0
        for column, shape in zip(layout.arrays, shapes, strict=True):
            size = math.prod(shape)
            columns.append((column, shape, rows[:, place : place + size]))
            place += size
        return columns

    def _write(self, table: Any) -> None:
        import pyarrow.parquet as pq

        partial = self.path.with_name(f".{self.path.name}.{os.getpid()}.partial")
        try:
            with partial.open("wb") as file:
                pq.write_table(
                    table,
                    file,
                    compression="zstd",
                    use_dictionary=list(TEXT_COLUMNS),
                    write_statistics=False,
                    write_page_checksum=True,
                )
                file.flush()
                os.fsync(file.fileno())
            partial.replace(self.path)
        except OSError as error:
            with contextlib.suppress(OSError):
                partial.unlink(missing_ok=True)
            raise RecordError(
                f"{self.path}: the episode cannot be written ({error.strerror})"
            ) from None


def _copied(value: Any) -> Any:
    import copy

    return copy.deepcopy(value)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RecordError(f"{folder}: cannot be made ({error.strerror})") from None
    if not os.access(folder, os.W_OK | os.X_OK):
        raise RecordError(f"{folder}: the folder is not writable")
