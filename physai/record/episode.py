"""Episodes: one Parquet file each, one row per control step, nothing rounded.

A file holds enough to rebuild every ``State`` and ``Truth`` bit for bit, so that an
old log, simulated or real, is scored again with new rules and without a simulator.
Row ``i`` holds the action, the commands and the guard's decision of step ``i`` and
the state and truth *after* it, from which its reward and cost were computed. The
guard decided on the state of the row before; the state at reset is kept too.

Camera images are never part of an episode (see :mod:`physai.record.privacy`).
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from physai.content import digest_text
from physai.errors import RecordError, suggest
from physai.record.layout import StepRecord, read_contact, read_state
from physai.record.writer import METADATA_KEY, SCHEMA, TEXT_COLUMNS, EpisodeWriter
from physai.types import Action, Command, Decision, State, Truth

__all__ = [
    "SCHEMA",
    "Episode",
    "EpisodeWriter",
    "StepRecord",
    "episodes_in",
    "read_header",
    "read_length",
]


class Episode:
    """A stored episode; read it with :meth:`load`.

    Attributes:
        path: The file.
        header: What the writer was given.
        outcome: How it ended.
        length: Number of control steps.
        final_observation: (o,) float32, what the policy would have seen after the
            last step, or None.
    """

    def __init__(
        self, path: Path, facts: Mapping[str, Any], data: bytes, file: Any
    ) -> None:
        self.path = path
        self.header: dict[str, Any] = facts["header"]
        self.outcome: dict[str, Any] = facts["outcome"]
        self.length = int(facts["steps"])
        last = facts.get("final_observation")
        self.final_observation: npt.NDArray[np.float32] | None = (
            None if last is None else np.array(last, dtype=np.float32)
        )
        self._offset = int(facts["reset"])
        self._shapes: dict[str, list[Any]] = facts["columns"]
        self._data = data
        self._file = file
        self._cache: dict[str, Any] = {}

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Episode:
        """Read an episode; a column is unpacked when it is first asked for.

        Raises:
            RecordError: If the file is missing, truncated, not an episode, or of
                another schema version.
        """
        name = Path(path)
        facts, data, file = _open(name)
        wanted = {n for n, (_, shape) in facts["columns"].items() if 0 not in shape}
        rows = file.metadata.num_rows
        missing = wanted - set(file.schema_arrow.names)
        if missing or rows != facts["steps"] + facts["reset"]:
            raise RecordError(f"{name}: the episode does not hold what its head says")
        return cls(name, facts, data, file)

    @property
    def digest(self) -> str:
        """SHA-256 of the file as it was read."""
        return digest_text(self._data)

    @property
    def column_names(self) -> tuple[str, ...]:
        """Names that :meth:`column` knows."""
        return (*self._shapes, *TEXT_COLUMNS)

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
        return read_state(self._column, "state_", self._row(index))

    def truth(self, index: int) -> Truth | None:
        """Rebuild the truth after step ``index``; None if the plant gave none."""
        return self._truth(self._row(index))

    def initial_state(self) -> State | None:
        """Return the state at reset; None if it was not recorded."""
        if not self._offset:
            return None
        return read_state(self._column, "state_", 0)

    def initial_truth(self) -> Truth | None:
        """Return the truth at reset; None if it was not recorded."""
        return self._truth(0) if self._offset else None

    def decision(self, index: int) -> Decision:
        """Rebuild the guard's decision of step ``index``."""
        row = self._row(index)
        rule, sentence, sentence_ja = (str(self._column(n)[row]) for n in TEXT_COLUMNS)
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
            state=read_state(self._column, "truth_state_", row),
            contact=read_contact(self._column, row),
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
        if name in TEXT_COLUMNS:
            return np.array(self._unpack(name).to_pylist(), dtype=np.str_)
        if name not in self._shapes:
            hint = suggest(name, self.column_names)
            raise RecordError(f'{self.path}: no column "{name}"; {hint}')
        shape = self._shapes[name][1]
        rows = self.length + self._offset
        if 0 in shape:
            return np.zeros((rows, *shape))
        array = self._unpack(name)
        if shape:
            array = array.flatten()
        numbers = array.to_numpy(zero_copy_only=False).reshape(rows, *shape)
        numbers.flags.writeable = False
        return numbers  # type: ignore[no-any-return]

    def _unpack(self, name: str) -> Any:
        import pyarrow as pa

        try:
            table = self._file.read(columns=[name], use_threads=False)
        except (OSError, pa.ArrowException):
            raise RecordError(
                f"{self.path}: the column {name} of the episode is damaged"
            ) from None
        return table.column(name).combine_chunks()


def read_header(path: str | os.PathLike[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return header and outcome without reading the steps.

    Raises:
        RecordError: As :meth:`Episode.load`.
    """
    facts, _, _ = _open(Path(path))
    return facts["header"], facts["outcome"]


def read_length(path: str | os.PathLike[str]) -> int:
    """Return the number of steps without reading them.

    Raises:
        RecordError: As :meth:`Episode.load`.
    """
    return int(_open(Path(path))[0]["steps"])


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


def _open(path: Path) -> tuple[dict[str, Any], bytes, Any]:
    """Return what the head says, the bytes, and a reader of the columns."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not path.is_file():
        raise RecordError(f"{path}: there is no such episode")
    try:
        data = path.read_bytes()
        file = pq.ParquetFile(pa.BufferReader(data), page_checksum_verification=True)
        text = (file.schema_arrow.metadata or {})[METADATA_KEY]
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
    return facts, data, file
