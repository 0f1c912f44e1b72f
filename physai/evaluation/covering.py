"""Covering arrays: every combination of the levels of any three factors, in few rows.

Most failures need few conditions together (Kuhn, Wallace and Gallo, IEEE TSE 30, 2004);
a covering array of strength three meets every triple once at least. ``covertable`` makes
it; that it is complete is counted again by :func:`missing_combinations`, which knows
nothing of how it was made.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations, product

from physai.errors import MissingExtraError

__all__ = ["Conflict", "covering_array", "missing_combinations"]

Conflict = tuple[tuple[str, str], tuple[str, str]]
"""Two levels, each as (factor, level), that cannot stand in one row."""


def covering_array(
    factors: Mapping[str, Sequence[str]],
    conflicts: Sequence[Conflict] = (),
    strength: int = 3,
    salt: str = "",
) -> list[dict[str, str]]:
    """Return rows that hold every possible combination of ``strength`` levels.

    Args:
        factors: Factor to its levels.
        conflicts: What cannot stand together.
        strength: How many factors at a time.
        salt: Another salt gives another array.

    Returns:
        One level for every factor in each row; the same every time.

    Raises:
        MissingExtraError: Without the library ``covertable``.
    """
    try:
        from covertable import make, sorters
    except ModuleNotFoundError:
        raise MissingExtraError("search", "a covering array") from None
    rows: list[dict[str, str]] = make(
        {name: list(levels) for name, levels in factors.items()},
        strength=strength,
        sorter=sorters.hash,
        salt=salt,
        constraints=[_forbid(conflict) for conflict in conflicts],
    )
    return [{name: row[name] for name in factors} for row in rows]


def missing_combinations(
    rows: Sequence[Mapping[str, str]],
    factors: Mapping[str, Sequence[str]],
    conflicts: Sequence[Conflict] = (),
    strength: int = 3,
) -> list[dict[str, str]]:
    """Return every possible combination of ``strength`` levels that no row holds.

    Args:
        rows: A covering array.
        factors: As :func:`covering_array` takes them.
        conflicts: As there; of two levels, so that any other combination can be
            completed to a row where every factor has a level without a conflict.
        strength: As there.
    """
    missing = []
    for names in combinations(factors, strength):
        there = {tuple(row[name] for name in names) for row in rows}
        for levels in product(*(factors[name] for name in names)):
            combined = dict(zip(names, levels, strict=True))
            possible = not any(
                combined.get(a) == x and combined.get(b) == y
                for (a, x), (b, y) in conflicts
            )
            if possible and levels not in there:
                missing.append(combined)
    return missing


def _forbid(conflict: Conflict) -> dict[str, object]:
    both = [
        {"operator": "eq", "left": name, "value": level} for name, level in conflict
    ]
    return {"operator": "not", "condition": {"operator": "and", "conditions": both}}
