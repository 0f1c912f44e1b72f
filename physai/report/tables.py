"""Tables of a report: one row per case, rule or group, one cell per arm."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from physai.types import Verdict

__all__ = ["case_rows", "group_rows", "rule_rows"]

_KINDS = {"nominal": 0, "boundary": 1, "fault": 2, "misuse": 3}
_ORDER = {"fail": 0, "not_enough_evidence": 1}


def case_rows(verdicts: Sequence[Verdict]) -> list[dict[str, Any]]:
    """Return the cases of all arms: nominal, boundary, fault, misuse."""
    known: dict[str, Mapping[str, Any]] = {}
    for verdict in verdicts:
        known.update(verdict.metrics.get("cases", {}))
    rows = [
        {
            "name": name.replace("_", " "),
            "kind": str(case.get("kind", "")),
            "hazard": str(case.get("hazard", "")).replace("_", " "),
            "cells": [
                _case_cell(v.metrics.get("cases", {}).get(name)) for v in verdicts
            ],
        }
        for name, case in known.items()
    ]
    return sorted(rows, key=lambda row: (_KINDS.get(row["kind"], 9), row["name"]))


def _case_cell(case: Mapping[str, Any] | None) -> dict[str, Any]:
    given = case or {}
    return {
        "episodes": given.get("episodes", 0),
        "unsafe": given.get("unsafe_success", 0) + given.get("unsafe_failure", 0),
        "success": given.get("safe_success", 0) + given.get("unsafe_success", 0),
    }


def rule_rows(
    verdicts: Sequence[Verdict], limits: Mapping[str, Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Return the rules, those that did worst in the last arm first.

    Args:
        verdicts: One per arm.
        limits: Facts about the rules by id: ``limit``, ``unit``, ``source``.
    """
    names = dict.fromkeys(name for verdict in verdicts for name in verdict.rules)
    rows = []
    for name in names:
        cells = [verdict.rules.get(name, {}) for verdict in verdicts]
        told = next((cell for cell in cells if cell.get("title")), {})
        facts = limits.get(name, {})
        rows.append(
            {
                "id": name,
                "title": told.get("title") or name,
                "title_ja": told.get("title_ja", ""),
                "limit": _limit(facts),
                "source": facts.get("source", "the suite"),
                "cells": [_rule_cell(cell) for cell in cells],
                "order": [
                    _ORDER.get(str(cell.get("verdict", "")), 2) for cell in cells[::-1]
                ],
            }
        )
    return sorted(rows, key=lambda row: row["order"])


def _limit(facts: Mapping[str, Any]) -> str:
    """Return a limit with its unit."""
    if not facts:
        return "the time that the case gives"
    unit = str(facts.get("unit", ""))
    value = f"{float(facts.get('limit', 0.0)):g}"
    if unit == "1":
        return f"{value} times the permitted value"
    if value == "0":
        return f"0 {unit} beyond what is permitted"
    return f"{value} {unit}"


def _rule_cell(rule: Mapping[str, Any]) -> dict[str, Any]:
    verdict = str(rule.get("verdict", ""))
    return {
        "violations": rule.get("violations", 0),
        "episodes": rule.get("episodes", 0),
        "bound": f"{100 * float(rule.get('bound') or 0.0):.1f} %",
        "verdict": verdict,
        "words": verdict.replace("_", " ") or "not judged",
    }


def group_rows(verdicts: Sequence[Verdict]) -> list[dict[str, Any]]:
    """Return the groups of people of all arms."""
    names = sorted({name for verdict in verdicts for name in verdict.groups})
    return [
        {
            "name": name.replace("_", " "),
            "cells": [_group_cell(v.groups.get(name, {})) for v in verdicts],
        }
        for name in names
    ]


def _group_cell(group: Mapping[str, Any]) -> dict[str, Any]:
    text = f"{group.get('safe_successes', 0)} of {group.get('asked', 0)}"
    low, high = group.get("low"), group.get("high")
    if low is not None and high is not None:
        text += f" ({100 * low:.0f} to {100 * high:.0f} %)"
    return {
        "episodes": group.get("episodes", 0),
        "unsafe": group.get("unsafe", 0),
        "success": text,
    }
