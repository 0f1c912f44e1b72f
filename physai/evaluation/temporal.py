"""Responses in a verdict: formulas of signal temporal logic over stored margins.

A rule of the kind ``response`` says that, once rule A has been violated for T, the
signal of rule B keeps within a limit. In the loop it is a counter
(:mod:`physai.safety.monitor`); here it is the past-time formula

    always ( historically[0, T] (A < 0)  implies  B >= threshold )

over the margins of a stored episode, with A as the guard saw it where only the guard
can see it, and B as it truly was. Its robustness is positive where the formula holds.

The formula is evaluated by rtamt (extra ``stl``) where it is installed, and by a sliding
window in numpy where it is not; a test holds both against each other. rtamt was chosen
by measurement (benchmarks/temporal.py): as fast offline as mstlo, with past operators,
under a licence (BSD) that goes with this project's.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from physai.evaluation.facts import RuleFacts
from physai.types import Array

__all__ = ["evaluator", "formula", "judge_responses", "robustness"]

_WORST = -1.0e9
"""What a margin that is not a number counts as; rtamt would take it as satisfied."""


def formula(rule: RuleFacts, control_hz: float) -> str:
    """Return the formula of a response, in samples, for people and for rtamt.

    Args:
        rule: A rule with a response.
        control_hz: Rate of the episode [Hz].
    """
    r = _response(rule)
    return (
        f"historically[0:{_steps(rule, control_hz)}]({r['trigger']} < 0) implies "
        f"({r['judged']} >= {r['threshold']:.9g})"
    )


def robustness(
    rule: RuleFacts,
    trigger: Array,
    judged: Array,
    control_hz: float,
    *,
    by: str | None = None,
) -> Array:
    """Return the (t,) robustness of a response at every step.

    Args:
        rule: A rule with a response.
        trigger: (t,) margins of the rule that triggers it.
        judged: (t,) margins of the rule whose signal is judged.
        control_hz: Rate of the episode [Hz].
        by: ``rtamt`` or ``numpy``; None takes :func:`evaluator`.

    Returns:
        Negative where the response is violated; before a trigger has lasted it is
        at least 0. A margin that is not a number is the worst there is.
    """
    steps = _steps(rule, control_hz)
    # Before the first step nothing had been violated.
    a = np.concatenate([np.ones(steps), _numbers(trigger)])
    b = np.concatenate([np.ones(steps), _numbers(judged)])
    if (by or evaluator()) == "rtamt":
        values = _by_rtamt(formula(rule, control_hz), rule, a, b)
    else:
        threshold = float(_response(rule)["threshold"])
        windows = np.lib.stride_tricks.sliding_window_view(a, steps + 1)
        values = np.maximum(windows.max(axis=1), b[steps:] - threshold)
        return np.asarray(values, dtype=np.float64)
    return values[steps:]


@functools.cache
def evaluator() -> str:
    """Return what evaluates formulas here: ``rtamt`` if it runs here, or ``numpy``.

    Its parser needs a module that Python 3.12 no longer has.
    """
    try:
        import rtamt  # noqa: F401
    except ImportError:
        return "numpy"
    return "rtamt"


def judge_responses(
    margins: Array,
    seen: Array | None,
    rules: Sequence[RuleFacts],
    seen_ids: Sequence[str],
    control_hz: float,
) -> Array:
    """Return margins in which every response is its robustness.

    Args:
        margins: (t, r) of the truth view, order of ``rules``.
        seen: (t, s) margins of the guard in the same episode; None where there was
            none, so that a trigger that only a guard sees stays as the scorer had it.
        rules: The rules.
        seen_ids: Ids of the columns of ``seen``.
        control_hz: Rate of the episode [Hz].
    """
    ids = [rule.id for rule in rules]
    result = margins
    for place, rule in enumerate(rules):
        if rule.response is None:
            continue
        columns = []
        for key in ("trigger", "judged"):
            name = str(rule.response[key])
            if name not in ids:
                break
            if rules[ids.index(name)].view != "guard":
                columns.append(margins[:, ids.index(name)])
            elif seen is not None and name in seen_ids:
                columns.append(seen[:, list(seen_ids).index(name)])
        if len(columns) == 2:
            result = result.copy() if result is margins else result
            result[:, place] = robustness(rule, columns[0], columns[1], control_hz)
    return result


def _response(rule: RuleFacts) -> Mapping[str, Any]:
    if rule.response is None:
        raise ValueError(f'rule "{rule.id}" is no response')
    return rule.response


def _steps(rule: RuleFacts, control_hz: float) -> int:
    return math.ceil(float(_response(rule)["within_s"]) * control_hz - 1e-9)


def _numbers(margins: Array) -> Array:
    return np.nan_to_num(margins, nan=_WORST, posinf=-_WORST, neginf=_WORST)


@functools.lru_cache(maxsize=32)
def _specification(text: str, names: tuple[str, ...]) -> Any:
    import rtamt

    spec = rtamt.StlDiscreteTimeOfflineSpecification()
    for name in names:
        spec.declare_var(name, "float")
    spec.spec = text
    spec.parse()
    return spec


def _by_rtamt(text: str, rule: RuleFacts, trigger: Array, judged: Array) -> Array:
    r = _response(rule)
    names = (str(r["trigger"]), str(r["judged"]))
    spec = _specification(text, tuple(dict.fromkeys(names)))
    data: dict[str, list[float]] = {"time": list(range(len(trigger)))}
    data[names[0]], data[names[1]] = trigger.tolist(), judged.tolist()
    return np.array([value for _, value in spec.evaluate(data)], dtype=np.float64)
