"""Entries chained by hashes, as canonical JSON lines.

A line is accepted only if it is byte for byte what writing its entry gives, so that a
change that JSON would forgive (a blank, an escape) is found too.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from physai.content import digest_value

__all__ = ["START", "Entry", "chain", "line_of", "split"]

START = "0" * 64
_KEYS = {"sequence", "time", "kind", "facts", "previous", "hash"}


@dataclass(frozen=True, slots=True)
class Entry:
    """One line.

    Attributes:
        sequence: 0 for the first entry.
        time: UTC, ISO 8601.
        kind: What kind of event, such as ``stop`` or ``approval``.
        facts: What there is to say about it.
        previous: Hash of the entry before; 64 zeros for the first.
        hash: SHA-256 over all the rest in canonical JSON.
    """

    sequence: int
    time: str
    kind: str
    facts: Mapping[str, Any]
    previous: str
    hash: str


def chain(lines: list[bytes]) -> tuple[list[Entry], str, int]:
    """Return the entries that verify, and what is wrong in which line after them."""
    entries: list[Entry] = []
    previous = START
    for number, line in enumerate(lines, start=1):
        try:
            value = json.loads(line)
            same = isinstance(value, dict) and set(value) == _KEYS
            same = same and line_of(value) == line + b"\n"
        except ValueError:
            same = False
        if not same:
            return entries, "the line is not an entry as it was written", number
        given = value.pop("hash")
        if value["sequence"] != number - 1 or value["previous"] != previous:
            return (
                entries,
                "the entry does not follow the one before, a line is missing, moved "
                "or added",
                number,
            )
        if digest_value(value) != given:
            return entries, "the entry was changed", number
        entries.append(Entry(**value, hash=given))
        previous = given
    return entries, "", 0


def split(data: bytes) -> tuple[list[bytes], bytes]:
    """Return whole lines, and what follows the last line end."""
    *lines, rest = data.split(b"\n")
    return lines, rest


def line_of(value: Mapping[str, Any]) -> bytes:
    """Return an entry as its canonical JSON line."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return text.encode() + b"\n"
