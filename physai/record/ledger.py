"""The ledger: what happened, one JSON line each, chained by hashes.

Every line is an entry in canonical JSON; its hash covers the hash of the line before.
``append`` returns after the line is on the disk. Entries of kind ``head`` hold an
Ed25519 signature over the chain so far; the newest is also kept in a file beside the
ledger, so that cutting lines off the end is found as well.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from physai.content import digest_text, digest_value
from physai.errors import PhysaiError, RecordError
from physai.record.chain import START, Entry, chain, line_of, split
from physai.record.plain import plain
from physai.record.signature import PublicKey, Signature, SigningKey, verify_digest

__all__ = ["Entry", "Ledger", "LedgerReport", "read_ledger", "verify_ledger"]


@dataclass(frozen=True, slots=True)
class LedgerReport:
    """What verifying a ledger found.

    Attributes:
        path: The file.
        entries: Number of entries that verify, from the first.
        error: What is wrong first, in one sentence; empty when nothing is.
        line: Line of the error, from 1; 0 when nothing is wrong.
        torn: Whether the error is an unfinished last line (power cut while writing).
        head: Hash of the last entry that verifies.
        signed_entries: Entries covered by a signature of a trusted key.
        signers: Names of the trusted keys that signed.
        unknown_keys: Ids of keys that signed and are not trusted.
    """

    path: str
    entries: int
    error: str
    line: int
    torn: bool
    head: str
    signed_entries: int
    signers: tuple[str, ...]
    unknown_keys: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether every byte is as it was written."""
        return not self.error

    @property
    def sentence(self) -> str:
        """The result for a person."""
        if self.error:
            return f"{self.path}: {self.error}; {self.entries} entries before it verify"
        signed = f"{self.signed_entries} of them signed by {', '.join(self.signers)}"
        if not self.signed_entries:
            signed = "none of them signed by a trusted key"
        return f"{self.path}: {self.entries} entries verify, {signed}"

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {"ok": self.ok, **asdict(self)}


class Ledger:
    """An open ledger; make one with :meth:`open`. Appending is thread-safe."""

    def __init__(
        self, path: Path, descriptor: int, last: Entry | None, key: SigningKey | None
    ) -> None:
        self.path = path
        self._descriptor = descriptor
        self._last = last
        self._key = key
        self._guard = threading.Lock()
        self._signed = last is None or last.kind == "head"

    @classmethod
    def open(cls, path: str | os.PathLike[str], key: SigningKey | None = None) -> Self:
        """Open a ledger for appending, or start one.

        An unfinished last line, left by a power cut, is moved to ``<name>.torn``;
        an entry of kind ``recovered`` says so.

        Args:
            path: The file.
            key: Signs the head when the ledger is closed, or on :meth:`sign`.

        Raises:
            RecordError: If another process has it open, it cannot be written, or it
                does not verify.
        """
        file = Path(path)
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        except OSError as error:
            raise RecordError(
                f"{file}: the ledger cannot be opened ({error.strerror})"
            ) from None
        try:
            ledger, torn = cls._prepare(file, descriptor, key)
        except BaseException:
            os.close(descriptor)
            raise
        if torn:
            digest = digest_text(torn)
            ledger.append("recovered", torn_bytes=len(torn), torn_digest=digest)
        return ledger

    @classmethod
    def _prepare(
        cls, file: Path, descriptor: int, key: SigningKey | None
    ) -> tuple[Self, bytes]:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise RecordError(
                f"{file}: another process is writing this ledger; stop it, or name "
                "another ledger"
            ) from None
        data = file.read_bytes()
        if not data:
            _sync_folder(file.parent)
        whole, torn = split(data)
        entries, error, line = chain(whole)
        if error:
            raise RecordError(
                f"{file}: line {line}: {error}; the ledger is kept as it is, start a "
                "new one under another name"
            )
        if torn:
            with file.with_name(file.name + ".torn").open("ab") as aside:
                aside.write(torn + b"\n")
                aside.flush()
                os.fsync(aside.fileno())
            os.ftruncate(descriptor, len(data) - len(torn))
            os.fsync(descriptor)
        return cls(file, descriptor, entries[-1] if entries else None, key), torn

    @property
    def last(self) -> Entry | None:
        """The newest entry."""
        return self._last

    def append(self, kind: str, /, **facts: Any) -> Entry:
        """Add an entry and return it once it is on the disk.

        Args:
            kind: What kind of event.
            **facts: JSON values; a number that is not finite becomes null.

        Raises:
            RecordError: If it cannot be written.
        """
        with self._guard:
            return self._append(kind, plain(facts, "a ledger entry"))

    def sign(self) -> Entry:
        """Sign the chain so far with the ledger's key.

        Raises:
            RecordError: If the ledger was opened without a key.
        """
        with self._guard:
            return self._sign()

    def close(self) -> None:
        """Sign the head, if there is a key and something new, and close the file."""
        with self._guard:
            if self._descriptor < 0:
                return
            try:
                if self._key is not None and not self._signed:
                    self._sign()
            finally:
                os.close(self._descriptor)
                self._descriptor = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _append(self, kind: str, facts: dict[str, Any]) -> Entry:
        if self._descriptor < 0:
            raise RecordError(f"{self.path}: the ledger is closed")
        body: dict[str, Any] = {
            "sequence": self._last.sequence + 1 if self._last else 0,
            "time": datetime.now(UTC).isoformat(timespec="microseconds"),
            "kind": kind,
            "facts": facts,
            "previous": self._last.hash if self._last else START,
        }
        entry = Entry(hash=digest_value(body), **body)
        line = line_of(asdict(entry))
        place = os.lseek(self._descriptor, 0, os.SEEK_END)
        try:
            written = os.write(self._descriptor, line)
            if written != len(line):
                raise OSError(28, "No space left on device")
            _sync(self._descriptor)
        except OSError as error:
            # What was not acknowledged must not be half there for the next entry.
            with contextlib.suppress(OSError):
                os.ftruncate(self._descriptor, place)
            raise RecordError(
                f"{self.path}: the ledger cannot be written ({error.strerror})"
            ) from None
        self._last = entry
        self._signed = kind == "head"
        return entry

    def _sign(self) -> Entry:
        if self._key is None:
            raise RecordError(f"{self.path}: the ledger was opened without a key")
        last = self._last or self._append("opened", {})
        signature = self._key.sign_digest(last.hash, "ledger").to_json()
        facts = {"covers": last.sequence, "signature": signature}
        entry = self._append("head", facts)
        aside = _head_file(self.path)
        partial = aside.with_name(aside.name + ".partial")
        try:
            partial.write_bytes(line_of(asdict(entry)))
            partial.replace(aside)
        except OSError as error:
            raise RecordError(
                f"{aside}: cannot be written ({error.strerror})"
            ) from None
        return entry


# Enough to read the line back, and cheaper; macOS has fsync alone.
_sync = getattr(os, "fdatasync", os.fsync)


def read_ledger(path: str | os.PathLike[str]) -> list[Entry]:
    """Return the entries of a ledger that verifies (an unfinished last line aside).

    Raises:
        RecordError: If it cannot be read or does not verify.
    """
    entries, error, line = chain(split(_read(Path(path)))[0])
    if error:
        raise RecordError(f"{path}: line {line}: {error}")
    return entries


def verify_ledger(
    path: str | os.PathLike[str], trusted: Mapping[str, PublicKey]
) -> LedgerReport:
    """Check every byte of a ledger.

    Args:
        path: The file.
        trusted: Trusted keys by id, see :func:`signature.trusted_keys`.

    Returns:
        What was found; a changed, missing or reordered line is an error with its
        number.

    Raises:
        RecordError: If the file cannot be read.
    """
    file = Path(path)
    whole, torn = split(_read(file))
    entries, error, line = chain(whole)
    if torn and not error:
        error = f"line {len(whole) + 1} is unfinished"
        line = len(whole) + 1
    elif error:
        error = f"line {line}: {error}"
    unfinished = bool(torn) and line == len(whole) + 1
    signed, signers, unknown = 0, [], []
    for place, entry in enumerate(entries):
        if entry.kind != "head":
            continue
        key, reason = _check_head(entry, entries[place - 1] if place else None, trusted)
        if reason and not (error and line <= place + 1):
            error, line, unfinished = f"line {place + 1}: {reason}", place + 1, False
        elif key is None:
            unknown.append(str(entry.facts["signature"]["key"]))
        else:
            signed = place + 1
            signers.append(key.name)
    if not error:
        error = _check_kept_head(file, entries)
        line = len(entries) + 1 if error else 0
    count = min(len(entries), line - 1) if error else len(entries)
    return LedgerReport(
        path=str(file),
        entries=count,
        error=error,
        line=line,
        torn=unfinished,
        head=entries[count - 1].hash if count else START,
        signed_entries=min(signed, count),
        signers=tuple(dict.fromkeys(signers)),
        unknown_keys=tuple(dict.fromkeys(unknown)),
    )


def _check_head(
    entry: Entry, before: Entry | None, trusted: Mapping[str, PublicKey]
) -> tuple[PublicKey | None, str]:
    """Return the key that signed a head (None if unknown) and what is wrong."""
    try:
        signature = Signature.from_json(entry.facts.get("signature"), "the head")
        if before is None or entry.facts.get("covers") != before.sequence:
            return None, "the head does not cover the entry before it"
        if signature.key not in trusted:
            return None, ""
        return (
            verify_digest(signature, before.hash, "ledger", trusted, "the head"),
            "",
        )
    except PhysaiError as error:
        return None, str(error)


def _check_kept_head(file: Path, entries: list[Entry]) -> str:
    aside = _head_file(file)
    if not aside.is_file():
        return ""
    try:
        kept = json.loads(aside.read_bytes())
        sequence, digest = int(kept["sequence"]), kept["hash"]
    except (OSError, ValueError, KeyError, TypeError):
        return f"the head kept in {aside.name} cannot be read"
    if sequence >= len(entries):
        missing = sequence + 1 - len(entries)
        return f"at least {missing} entries are missing from the end"
    if entries[sequence].hash != digest:
        return f"entry {sequence} is not the one kept in {aside.name}"
    return ""


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise RecordError(f"{path}: cannot be read ({error.strerror})") from None


def _head_file(path: Path) -> Path:
    return path.with_name(path.name + ".head")


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
