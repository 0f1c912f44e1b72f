"""Suites, their episodes and their verdicts.

Evaluation reads stored episodes only: what ran is on disk before it is judged.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from physai.evaluation.comparison import compare
    from physai.evaluation.run import run_suite
    from physai.evaluation.scoring import score
    from physai.evaluation.statistics import clopper_pearson
    from physai.evaluation.suite import load_suite
    from physai.evaluation.verdict_file import read_verdict

__all__ = [
    "clopper_pearson",
    "compare",
    "load_suite",
    "read_verdict",
    "run_suite",
    "score",
]

_PLACES = {
    "clopper_pearson": "statistics",
    "compare": "comparison",
    "load_suite": "suite",
    "read_verdict": "verdict_file",
    "run_suite": "run",
    "score": "scoring",
}


def __getattr__(name: str) -> Any:
    """Import a name when it is first used: SciPy alone takes a third of a second."""
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)
