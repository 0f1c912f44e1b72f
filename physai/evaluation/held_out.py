"""Held-out episodes of a policy, counted: safe or unsafe, success or failure.

The short way for a card or a table: the first seeds of a distribution, nothing stored.
A release is judged by a suite (:mod:`physai.evaluation.run`), from stored episodes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from physai.evaluation.statistics import clopper_pearson

if TYPE_CHECKING:
    from physai.policy.policy import Policy
    from physai.tasks.cycle import Cycle

__all__ = ["count_held_out"]

_OUTCOMES = ("safe_success", "safe_failure", "unsafe_success", "unsafe_failure")


def count_held_out(
    cycle: Cycle,
    policy: Policy,
    episodes: int,
    *,
    distribution: str = "test",
    first: int = 0,
    progress: Callable[[int], None] = lambda count: None,
) -> dict[str, Any]:
    """Run held-out episodes and count safe and unsafe successes and failures.

    An episode is unsafe if a rule whose verdict is hard was violated in truth for
    longer than its window.

    Args:
        cycle: Plant, task and guard.
        policy: The policy.
        episodes: How many; their seeds are the first of the distribution.
        distribution: One of the environment's.
        first: Seeds to leave out at the beginning.
        progress: Called after every episode with their number.

    Returns:
        ``episodes``, ``table`` (four counts), ``safe_success`` with its exact 95 %
        interval, ``groups`` (per group: episodes and safe successes), ``cases`` (the
        same per template), ``unsafe_rules`` (episodes in which each rule was violated),
        ``figures`` (mean of what is reported last, largest of what is reported as a
        maximum), ``mean_time_s`` and ``mean_cost`` (of an episode).
    """
    hard = cycle.spec.hard
    seeds = cycle.environment.distributions[distribution].seeds
    table = dict.fromkeys(_OUTCOMES, 0)
    groups: dict[str, dict[str, int]] = {}
    cases: dict[str, dict[str, int]] = {}
    rules: dict[str, int] = {}
    values: dict[str, list[float]] = {}
    times, costs = [], []
    for episode in range(episodes):
        scenario = cycle.task.sample_scenario(
            seeds.first + first + episode, distribution
        )
        bad, cost, record = _run(cycle, policy, scenario, hard)
        for index in np.flatnonzero(bad):
            name = cycle.spec.rule_names[index]
            rules[name] = rules.get(name, 0) + 1
        unsafe = "unsafe" if bad.any() else "safe"
        outcome = f"{unsafe}_{'success' if record.success else 'failure'}"
        table[outcome] += 1
        for tally, key in ((groups, scenario.group), (cases, scenario.case)):
            row = tally.setdefault(key, {"episodes": 0, "safe_success": 0})
            row["episodes"] += 1
            row["safe_success"] += outcome == "safe_success"
        for name, value in cycle.figures.values().items():
            values.setdefault(name, []).append(float(value))
        times.append(record.time_s)
        costs.append(cost)
        progress(episode + 1)
    low, high = clopper_pearson(table["safe_success"], episodes, 0.95)
    return {
        "episodes": episodes,
        "distribution": distribution,
        "table": table,
        "safe_success": table["safe_success"] / episodes,
        "safe_success_interval_95": [low, high],
        "groups": groups,
        "cases": cases,
        "unsafe_rules": rules,
        "figures": _summarise(cycle, values),
        "mean_time_s": float(np.mean(times)),
        "mean_cost": float(np.mean(costs)),
    }


def _run(
    cycle: Cycle, policy: Policy, scenario: Any, hard: Any
) -> tuple[Any, float, Any]:
    """Run one episode; return what hard rules were violated, its cost, its last step."""
    observation = cycle.reset(scenario)
    policy.reset()
    bad, cost = np.zeros(len(hard), dtype=np.bool_), 0.0
    while True:
        record = cycle.step(policy.act(observation))
        cost += record.cost
        observation = cycle.observation
        margins = record.truth_margins
        if margins is not None and cycle.scorer.any_active:
            bad |= cycle.scorer.active & hard & ~(margins >= 0.0)
        if record.terminated or record.truncated:
            return bad, cost, record


def _summarise(cycle: Cycle, values: dict[str, list[float]]) -> dict[str, float]:
    kinds = cycle.environment.figures
    found = {}
    for name, given in values.items():
        largest = kinds.get(name, "max") == "max"
        found[name] = float(np.max(given) if largest else np.mean(given))
    return found
