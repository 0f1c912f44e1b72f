"""Episodes: one Parquet file each, one row per control step, nothing rounded.

A file holds enough to rebuild every ``State`` and ``Truth`` bit for bit, so that an
old log, simulated or real, is scored again with new rules and without a simulator.
Row ``i`` holds the action, the commands and the guard's decision of step ``i`` and
the state and truth *after* it, from which its reward and cost were computed. The
guard decided on the state of the row before; the state at reset is kept too.

Camera images are never part of an episode (see :mod:`physai.record.privacy`).
"""

from __future__ import annotations

import contextlib
import enum
import json
import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from physai.errors import ContractError, RecordError
from physai.record import layout
from physai.types import Action, Array, Command, Decision, State, Truth

__all__ = [
    "SCHEMA",
    "Episode",
    "EpisodeWriter",
    "StepRecord",
    "episodes_in",
    "read_header",
]

SCHEMA = "physai/episode/1"
_KEY = b"physai"
_FIRST_ROWS = 256
_TEXTS = ("decision_rule", "decision_sentence", "decision_sentence_ja")


@dataclass(frozen=True, slots=True, eq=False)
class StepRecord:
    """Everything about one control step.

    Attributes:
        state: What sensors and trackers said after the step.
        truth: What really was after the step; None where the plant has none.
        action: (a,) the policy's action, in [-1, 1] unless it misbehaved.
        command_asked: What the task made of the action.
        command_sent: What the plant really sent.
        decision: The guard's answer; its margins are the guard's view.
        truth_margins: (r,) margins evaluated from the truth, or None.
        reward: The task's reward for the step.
        cost: The specification's cost for the step, >= 0.
        time_s: Time since reset on the plant's clock [s].
        terminated: Whether the task ended with this step.
        truncated: Whether the time limit or an interruption ended it.
        success: Whether the task counts as done.
        observation: (o,) what the policy saw before it acted, or None.
        values: Further numbers by name (such as ``guard_us``), the same names in
            every step of an episode.
    """

    state: State
    truth: Truth | None
    action: npt.NDArray[Any]
    command_asked: Command
    command_sent: Command
    decision: Decision
    truth_margins: Array | None
    reward: float
    cost: float
    time_s: float
    terminated: bool = False
    truncated: bool = False
    success: bool = False
    observation: npt.NDArray[Any] | None = None
    values: Mapping[str, float] = field(default_factory=dict)


class EpisodeWriter:
    """Collects steps in memory and writes the file when closed.

    An append copies the numbers into one row of a growing table; the file appears
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
    """

    def __init__(self, path: str | os.PathLike[str], header: Mapping[str, Any]) -> None:
        self.path = Path(path)
        self._header = _storable(dict(header), "the header")
        self._texts: tuple[list[str], list[str], list[str]] = ([], [], [])
        self._columns: list[layout.Column] = []
        self._shapes: list[tuple[int, ...]] = []
        self._names: tuple[str, ...] = ()
        self._rows = np.empty((0, 0))
        self._reset: Array | None = None
        self._reset_columns: list[layout.Column] = []
        self._count = 0
        self._closed = False
        _make_folder(self.path.parent)

    @property
    def length(self) -> int:
        """Number of steps appended so far."""
        return self._count

    def begin(self, state: State, truth: Truth | None) -> None:
        """Keep the state and truth at reset, which step 0 starts from.

        Raises:
            RecordError: If steps were appended before.
        """
        if self._count:
            raise RecordError(f"{self.path}: the reset must be recorded before a step")
        values = layout.state_values(state)
        if truth is not None:
            values += layout.truth_values(truth)
        self._reset_columns = layout.describe(
            values,
            truth=truth is not None,
            truth_margins=False,
            observation=False,
            extra=(),
        )
        self._reset = np.concatenate(values, axis=None, dtype=np.float64)

    def append(self, step: StepRecord) -> None:
        """Add one step; its arrays are copied and may be reused by the caller.

        Raises:
            ContractError: If an array's shape differs from the first step's.
            RecordError: If the episode is closed.
        """
        if self._closed:
            raise RecordError(f"{self.path}: the episode is closed")
        values = _flatten(step)
        if not self._count:
            self._start(step, values)
        elif self._count == len(self._rows):
            self._rows = np.concatenate([self._rows, np.empty_like(self._rows)])
        if [np.shape(value) for value in values] != self._shapes:
            raise ContractError(self._difference(values))
        np.concatenate(values, axis=None, out=self._rows[self._count], casting="unsafe")
        rule, sentence, sentence_ja = self._texts
        rule.append(step.decision.rule)
        sentence.append(step.decision.sentence)
        sentence_ja.append(step.decision.sentence_ja)
        self._count += 1

    def close(self, outcome: Mapping[str, Any] | None = None) -> Path:
        """Write the file and return its path; a second call does nothing.

        Args:
            outcome: How the episode ended: success, cause, totals, interrupted.

        Raises:
            RecordError: If the file cannot be written.
        """
        if self._closed:
            return self.path
        import pyarrow as pa
        import pyarrow.parquet as pq

        facts = {
            "schema": SCHEMA,
            "header": self._header,
            "outcome": _storable(dict(outcome or {}), "the outcome"),
            "columns": {c.name: [c.kind, list(c.shape)] for c in self._all_columns()},
            "reset": self._reset is not None,
            "steps": self._count,
        }
        text = json.dumps(facts, sort_keys=True, allow_nan=False)
        table = pa.table(self._arrays()).replace_schema_metadata({_KEY: text.encode()})
        partial = self.path.with_name(f".{self.path.name}.{os.getpid()}.partial")
        try:
            with partial.open("wb") as file:
                pq.write_table(
                    table,
                    file,
                    compression="zstd",
                    use_dictionary=list(_TEXTS),
                    write_statistics=False,
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

    def _start(self, step: StepRecord, values: list[Any]) -> None:
        self._names = tuple(step.values)
        self._columns = layout.describe(
            values,
            truth=step.truth is not None,
            truth_margins=step.truth_margins is not None,
            observation=step.observation is not None,
            extra=self._names,
        )
        self._shapes = [column.shape for column in self._columns]
        head = self._columns[: len(self._reset_columns)]
        if self._reset is not None and head != self._reset_columns:
            raise ContractError(
                f"{self.path.name}: the first step's state or truth differs in shape "
                "from the one at reset"
            )
        self._rows = np.empty((_FIRST_ROWS, self._columns[-1].stop))

    def _difference(self, values: list[Any]) -> str:
        for column, value in zip(self._columns, values, strict=False):
            if np.shape(value) != column.shape:
                return (
                    f"step {self._count}: {column.name} has the shape "
                    f"{np.shape(value)}, the first step's had {column.shape}"
                )
        return f"step {self._count}: other values are present than in the first step"

    def _all_columns(self) -> list[layout.Column]:
        return self._columns or self._reset_columns

    def _arrays(self) -> dict[str, Any]:
        import pyarrow as pa

        offset = int(self._reset is not None)
        total = self._count + offset
        columns = self._all_columns()
        rows = np.full((total, columns[-1].stop if columns else 0), np.nan)
        if self._reset is not None:
            rows[0, : len(self._reset)] = self._reset
        if self._count:
            rows[offset:] = self._rows[: self._count]
        arrays: dict[str, Any] = {
            "step": pa.array(np.arange(-offset, self._count, dtype=np.int64))
        }
        for column in columns:
            if column.stop > column.start:
                arrays[column.name] = _arrow(
                    rows[:, column.start : column.stop], column
                )
        for name, texts in zip(_TEXTS, self._texts, strict=True):
            arrays[name] = pa.array([""] * offset + texts, pa.string())
        return arrays


class Episode:
    """A stored episode; read it with :meth:`load`.

    Attributes:
        path: The file.
        header: What the writer was given.
        outcome: How it ended.
        length: Number of control steps.
    """

    def __init__(self, path: Path, facts: Mapping[str, Any], table: Any) -> None:
        self.path = path
        self.header: dict[str, Any] = facts["header"]
        self.outcome: dict[str, Any] = facts["outcome"]
        self.length = int(facts["steps"])
        self._offset = int(facts["reset"])
        self._shapes: dict[str, list[Any]] = facts["columns"]
        self._table = table
        self._cache: dict[str, Any] = {}

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Episode:
        """Read an episode.

        Raises:
            RecordError: If the file is missing, truncated, not an episode, or of
                another schema version.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        file = Path(path)
        facts = _facts(file)
        try:
            table = pq.read_table(file, use_threads=False)
        except (OSError, pa.ArrowException):
            raise RecordError(f"{file}: the episode is truncated or damaged") from None
        wanted = {n for n, (_, shape) in facts["columns"].items() if 0 not in shape}
        missing = wanted - set(table.column_names)
        if missing or table.num_rows != facts["steps"] + facts["reset"]:
            raise RecordError(f"{file}: the episode does not hold what its head says")
        return cls(file, facts, table)

    @property
    def column_names(self) -> tuple[str, ...]:
        """Names that :meth:`column` knows."""
        return (*self._shapes, *_TEXTS)

    @property
    def has_truth(self) -> bool:
        """Whether the plant could say what really was."""
        return "truth_extras" in self._shapes

    def column(self, name: str) -> npt.NDArray[Any]:
        """Return one column for all steps, read-only.

        Args:
            name: Such as ``state_people``, ``truth_contact_force_peak_n``,
                ``command_sent_actuator_velocity``, ``margins``, ``decision_rule``.

        Returns:
            Array of shape (length, ...) with the shape of one step's value.

        Raises:
            RecordError: If the episode has no such column.
        """
        return self._column(name)[self._offset :]  # type: ignore[no-any-return]

    def state(self, index: int) -> State:
        """Rebuild the state after step ``index`` (negative counts from the end)."""
        return layout.read_state(self._column, "state_", self._row(index))

    def truth(self, index: int) -> Truth | None:
        """Rebuild the truth after step ``index``; None if the plant gave none."""
        return self._truth(self._row(index))

    def initial_state(self) -> State | None:
        """Return the state at reset; None if it was not recorded."""
        if not self._offset:
            return None
        return layout.read_state(self._column, "state_", 0)

    def initial_truth(self) -> Truth | None:
        """Return the truth at reset; None if it was not recorded."""
        return self._truth(0) if self._offset else None

    def decision(self, index: int) -> Decision:
        """Rebuild the guard's decision of step ``index``."""
        row = self._row(index)
        rule, sentence, sentence_ja = (str(self._column(n)[row]) for n in _TEXTS)
        return Decision(
            action=Action(int(self._column("decision_action")[row])),
            rule=rule,
            margins=self._column("margins")[row],
            intervened=bool(self._column("decision_intervened")[row]),
            sentence=sentence,
            sentence_ja=sentence_ja,
            latched=bool(self._column("decision_latched")[row]),
        )

    def command(self, index: int, which: str = "sent") -> Command:
        """Rebuild the command ``asked`` or ``sent`` in step ``index``."""
        row, prefix = self._row(index), f"command_{which}_"
        return Command(
            actuator_velocity=self._column(prefix + "actuator_velocity")[row],
            tool=self._column(prefix + "tool")[row],
            stamp_s=float(self._column(prefix + "stamp_s")[row]),
            sequence=int(self._column(prefix + "sequence")[row]),
        )

    def step(self, index: int) -> StepRecord:
        """Rebuild the whole record of step ``index``."""
        row = self._row(index)

        def optional(name: str) -> Any:
            return self._column(name)[row] if name in self._shapes else None

        extra = [name for name in self._shapes if name.startswith("value_")]
        return StepRecord(
            state=self.state(index),
            truth=self.truth(index),
            action=self._column("action")[row],
            command_asked=self.command(index, "asked"),
            command_sent=self.command(index),
            decision=self.decision(index),
            truth_margins=optional("truth_margins"),
            reward=float(self._column("reward")[row]),
            cost=float(self._column("cost")[row]),
            time_s=float(self._column("time_s")[row]),
            terminated=bool(self._column("terminated")[row]),
            truncated=bool(self._column("truncated")[row]),
            success=bool(self._column("success")[row]),
            observation=optional("observation"),
            values={n[len("value_") :]: float(self._column(n)[row]) for n in extra},
        )

    def steps(self) -> Iterator[StepRecord]:
        """Yield every step in order."""
        for index in range(self.length):
            yield self.step(index)

    def _truth(self, row: int) -> Truth | None:
        if not self.has_truth:
            return None
        return Truth(
            state=layout.read_state(self._column, "truth_state_", row),
            contact=layout.read_contact(self._column, row),
            extras=self._column("truth_extras")[row],
        )

    def _row(self, index: int) -> int:
        place = index + self.length if index < 0 else index
        if not 0 <= place < self.length:
            raise RecordError(
                f"{self.path}: there is no step {index}, the episode has {self.length}"
            )
        return place + self._offset

    def _column(self, name: str) -> Any:
        found = self._cache.get(name)
        if found is None:
            found = self._cache[name] = self._read(name)
        return found

    def _read(self, name: str) -> npt.NDArray[Any]:
        if name in _TEXTS:
            return np.array(self._table.column(name).to_pylist(), dtype=np.str_)
        if name not in self._shapes:
            from physai.errors import suggest

            hint = suggest(name, self.column_names)
            raise RecordError(f'{self.path}: no column "{name}"; {hint}')
        shape = self._shapes[name][1]
        rows = self.length + self._offset
        if 0 in shape:
            return np.zeros((rows, *shape))
        array = self._table.column(name).combine_chunks()
        if shape:
            array = array.flatten()
        numbers = array.to_numpy(zero_copy_only=False).reshape(rows, *shape)
        numbers.flags.writeable = False
        return numbers  # type: ignore[no-any-return]


def read_header(path: str | os.PathLike[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return header and outcome without reading the steps.

    Raises:
        RecordError: As :meth:`Episode.load`.
    """
    facts = _facts(Path(path))
    return facts["header"], facts["outcome"]


def episodes_in(folder: str | os.PathLike[str]) -> list[Path]:
    """Return the episode files of a folder, sorted by name; a file gives itself.

    Raises:
        RecordError: If there is neither such a folder nor such a file.
    """
    root = Path(folder)
    if root.is_file():
        return [root]
    if not root.is_dir():
        raise RecordError(f"{root}: there is no such folder of episodes")
    if not list(root.glob("*.parquet")) and (root / "episodes").is_dir():
        root = root / "episodes"
    return sorted(p for p in root.glob("*.parquet") if not p.name.startswith("."))


def _flatten(step: StepRecord) -> list[Any]:
    values = layout.state_values(step.state)
    if step.truth is not None:
        values += layout.truth_values(step.truth)
    asked, sent, decision = step.command_asked, step.command_sent, step.decision
    values += [
        step.action,
        asked.actuator_velocity,
        asked.tool,
        asked.stamp_s,
        asked.sequence,
        sent.actuator_velocity,
        sent.tool,
        sent.stamp_s,
        sent.sequence,
        decision.margins,
        decision.action,
        decision.intervened,
        decision.latched,
        step.reward,
        step.cost,
        step.time_s,
        step.terminated,
        step.truncated,
        step.success,
    ]
    if step.truth_margins is not None:
        values.append(step.truth_margins)
    if step.observation is not None:
        values.append(step.observation)
    values += step.values.values()
    return values


def _arrow(rows: Array, column: layout.Column) -> Any:
    import pyarrow as pa

    if column.kind != "float":
        numbers = np.nan_to_num(rows[:, 0], nan=0.0)
        return pa.array(numbers.astype(np.int64 if column.kind == "int" else np.bool_))
    flat = pa.array(np.ascontiguousarray(rows).ravel())
    if not column.shape:
        return flat
    return pa.FixedSizeListArray.from_arrays(flat, rows.shape[1])


def _facts(path: Path) -> dict[str, Any]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not path.is_file():
        raise RecordError(f"{path}: there is no such episode")
    try:
        metadata = pq.read_schema(path).metadata or {}
        text = metadata[_KEY]
    except (OSError, pa.ArrowException):
        raise RecordError(
            f"{path}: is truncated or not an episode (Parquet expected)"
        ) from None
    except KeyError:
        raise RecordError(
            f"{path}: is a Parquet file, but not an episode of physai"
        ) from None
    try:
        facts: dict[str, Any] = json.loads(text)
        schema = facts["schema"]
    except (ValueError, KeyError, TypeError):
        raise RecordError(f"{path}: the head of the episode is damaged") from None
    if schema != SCHEMA:
        raise RecordError(
            f'{path}: has the schema "{schema}", this version reads "{SCHEMA}"'
        )
    return facts


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RecordError(f"{folder}: cannot be made ({error.strerror})") from None
    if not os.access(folder, os.W_OK | os.X_OK):
        raise RecordError(f"{folder}: the folder is not writable")


def _storable(value: Any, origin: str) -> Any:
    """Return a value as plain JSON; a number that is not finite becomes null."""
    if isinstance(value, enum.Enum):
        return _storable(value.value, origin)
    if isinstance(value, np.generic | np.ndarray):
        return _storable(value.tolist(), origin)
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _storable(item, origin) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_storable(item, origin) for item in value]
    if isinstance(value, Path):
        return value.as_posix()
    raise RecordError(f"{origin} of an episode cannot hold a {type(value).__name__}")
