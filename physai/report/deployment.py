"""What a report shows of a deployment: its figures and its ledger, as stored."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from physai.errors import RecordError
from physai.record.ledger import read_ledger, verify_ledger

__all__ = ["read_deployment"]

_SHOWN = 12


def read_deployment(folder: Path) -> dict[str, Any]:
    """Read the last session of a deployment folder.

    Returns:
        ``guard`` (digest), ``rows`` of name and value, the last ``entries`` of the
        ledger, and ``verified``, a sentence.

    Raises:
        RecordError: If the folder holds no deployment.
    """
    file = folder / "deploy.json"
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
        rows = _rows(value)
        guard = str(value["guard_digest"])
    except OSError as error:
        raise RecordError(f"{file}: cannot be read ({error.strerror})") from None
    except (ValueError, KeyError, TypeError):
        raise RecordError(f"{file}: is not the report of a deployment") from None
    ledger = folder / "ledger.jsonl"
    entries = [
        {
            "sequence": entry.sequence,
            "time": str(entry.time)[11:23],
            "kind": entry.kind.replace("_", " "),
            "what": _what(entry.facts),
        }
        for entry in read_ledger(ledger)[-_SHOWN:]
    ]
    report = verify_ledger(ledger, {})
    verified = (
        f"all {report.entries} entries verify (without a trusted signature)."
        if report.ok
        else f"it does not verify: {report.error}."
    )
    return {"guard": guard, "rows": rows, "entries": entries, "verified": verified}


def _rows(value: dict[str, Any]) -> list[tuple[str, str]]:
    robot = value.get("robot") or {}
    return [
        ("stage", str(value["stage"])),
        ("control steps", f"{value['steps']}, of which late {value['late_periods']}"),
        ("guard changed the command in", f"{value['interventions']} steps"),
        (
            "round trip of the link",
            f"p50 {1000 * value['round_trip_p50_s']:.1f} ms, "
            f"p99 {1000 * value['round_trip_p99_s']:.1f} ms",
        ),
        (
            "commands at the robot",
            f"{robot.get('commands', 0)} taken, {robot.get('stale', 0)} stale, "
            f"{robot.get('rejected', 0)} malformed",
        ),
        ("ended", str(value["ended"])),
        (
            "robot confirmed that it stopped",
            "yes" if value["stop_confirmed"] else "no",
        ),
    ]


def _what(facts: Mapping[str, Any]) -> str:
    """Return the facts of an entry in a few words."""
    if facts.get("sentence"):
        return str(facts["sentence"]).partition(" [")[0]
    words = [
        f"{key} {facts[key]}"
        for key in ("policy", "hardware", "stage", "person", "ended", "steps")
        if key in facts
    ]
    if "time_s" in facts:
        words.append(f"after {facts['time_s']:g} s")
    return ", ".join(words)
