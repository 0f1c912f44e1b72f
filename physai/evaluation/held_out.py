"""Held-out episodes of a policy, counted: safe or unsafe, success or failure.

The short way for a card or a table: the first seeds of a distribution, nothing stored.
A release is judged by a suite (:mod:`physai.evaluation.run`), from stored episodes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from physai.evaluation.statistics import clopper_pearson
from physai.evaluation.workers import make_pool, starting_workers

if TYPE_CHECKING:
    from physai.policy.policy import Policy
    from physai.tasks.cycle import Cycle

__all__ = ["HeldOut", "count_held_out", "measure_held_out"]

_OUTCOMES = ("safe_success", "safe_failure", "unsafe_success", "unsafe_failure")


@dataclass(frozen=True)
class HeldOut:
    """What is asked of a policy.

    Attributes:
        environment: Its id.
        policy: As in :func:`physai.policy.adapters.load_policy`; a scripted policy is
            made anew with the seed of its episode.
        guard: ``on``, ``observe`` or ``off``.
        distribution: One of the environment's.
        observation: ``state`` or another that the environment offers.
        trust: Load a bundle that no trusted key has signed, such as one just made.
        dark: Of ``rgbd``: the cameras stay off, so that every pixel is 0.
    """

    environment: str
    policy: str
    guard: str = "on"
    distribution: str = "test"
    observation: str = "state"
    trust: bool = False
    dark: bool = False


@dataclass(frozen=True)
class _Counted:
    """One episode."""

    group: str
    case: str
    broken: tuple[str, ...]
    success: bool
    cost: float
    figures: dict[str, float]
    time_s: float


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
        ``mean_cost``, ``figures`` (mean of what is reported last, largest of what is
        reported as a maximum) and ``mean_time_s``.
    """
    made = (
        _run(cycle, policy, distribution, first + episode)
        for episode in range(episodes)
    )
    return _summarise(_told(made, progress), cycle.environment.figures, distribution)


def measure_held_out(
    asked: HeldOut,
    episodes: int,
    processes: int = 1,
    *,
    progress: Callable[[int], None] = lambda count: None,
) -> dict[str, Any]:
    """Do what :func:`count_held_out` does, in several processes at once.

    Args:
        asked: Policy, environment and guard.
        episodes: How many; their seeds are the first of the distribution.
        processes: How many; the result does not depend on it.
        progress: Called after every episode with their number.

    Returns:
        As :func:`count_held_out`.

    Raises:
        PhysaiError: If policy or environment cannot be used.
    """
    from physai.tasks import registry

    kinds = registry.load_environment(asked.environment).figures
    pool = make_pool(max(1, min(processes, episodes)), _begin, (asked,))
    try:
        with starting_workers():
            made = pool.map(_work, range(episodes))
        return _summarise(_told(made, progress), kinds, asked.distribution)
    finally:
        pool.shutdown(cancel_futures=True)


_WORKER: dict[str, Any] = {}


def _begin(asked: HeldOut) -> None:
    _WORKER["asked"] = asked


def _work(episode: int) -> _Counted:
    from physai.policy.adapters import SCRIPTED, load_policy
    from physai.tasks import registry

    asked: HeldOut = _WORKER["asked"]
    # Not in the initializer, whose errors reach nobody.
    if "cycle" not in _WORKER:
        _WORKER["cycle"] = (
            _in_the_dark(asked)
            if asked.dark
            else registry.make_cycle(
                asked.environment, guard=asked.guard, observation=asked.observation
            )
        )
    cycle: Cycle = _WORKER["cycle"]
    if asked.policy in SCRIPTED:
        policy: Policy = cycle.scripted_policy(asked.policy, episode)
    else:
        if "policy" not in _WORKER:
            _WORKER["policy"] = load_policy(asked.policy, cycle, asked.trust)
        policy = _WORKER["policy"]
    return _run(cycle, policy, asked.distribution, episode)


def _in_the_dark(asked: HeldOut) -> Cycle:
    """Make a cycle whose observation has images, from cameras that are off."""
    from physai.tasks import registry
    from physai.tasks.cycle import Cycle

    blind = registry.make_cycle(asked.environment, guard=asked.guard)
    sight = registry.make_sight(blind.environment, blind.task)
    return Cycle(blind.plant, blind.task, blind.mode, sight)


def _told(
    made: Iterable[_Counted], progress: Callable[[int], None]
) -> Iterator[_Counted]:
    for number, counted in enumerate(made, 1):
        yield counted
        progress(number)


def _run(cycle: Cycle, policy: Policy, distribution: str, episode: int) -> _Counted:
    """Run one episode and note which hard rules were violated in it."""
    first = cycle.environment.distributions[distribution].seeds.first
    scenario = cycle.task.sample_scenario(first + episode, distribution)
    hard = cycle.spec.hard
    observation = cycle.reset(scenario)
    policy.reset()
    bad = np.zeros(len(hard), dtype=np.bool_)
    while True:
        record = cycle.step(policy.act(observation))
        observation = cycle.observation
        margins = record.truth_margins
        if margins is not None and cycle.scorer.any_active:
            bad |= cycle.scorer.active & hard & ~(margins >= 0.0)
        if record.terminated or record.truncated:
            break
    names = cycle.spec.rule_names
    return _Counted(
        group=scenario.group,
        case=scenario.case,
        broken=tuple(names[index] for index in np.flatnonzero(bad)),
        success=bool(record.success),
        cost=float(cycle.figures.cost),
        figures={k: float(v) for k, v in cycle.figures.values().items()},
        time_s=float(record.time_s),
    )


def _summarise(
    made: Iterable[_Counted], kinds: dict[str, Any], distribution: str
) -> dict[str, Any]:
    table = dict.fromkeys(_OUTCOMES, 0)
    groups: dict[str, dict[str, int]] = {}
    cases: dict[str, dict[str, int]] = {}
    rules: dict[str, int] = {}
    values: dict[str, list[float]] = {}
    costs, times = [], []
    for counted in made:
        for name in counted.broken:
            rules[name] = rules.get(name, 0) + 1
        outcome = "unsafe" if counted.broken else "safe"
        outcome += "_success" if counted.success else "_failure"
        table[outcome] += 1
        for tally, key in ((groups, counted.group), (cases, counted.case)):
            row = tally.setdefault(key, {"episodes": 0, "safe_success": 0})
            row["episodes"] += 1
            row["safe_success"] += outcome == "safe_success"
        for name, value in counted.figures.items():
            values.setdefault(name, []).append(value)
        costs.append(counted.cost)
        times.append(counted.time_s)
    episodes = len(times)
    low, high = clopper_pearson(table["safe_success"], episodes, 0.95)
    figures = {
        name: float(
            np.max(given) if kinds.get(name, "max") == "max" else np.mean(given)
        )
        for name, given in values.items()
    }
    return {
        "episodes": episodes,
        "distribution": distribution,
        "table": table,
        "safe_success": table["safe_success"] / episodes,
        "safe_success_interval_95": [low, high],
        "groups": groups,
        "cases": cases,
        "unsafe_rules": rules,
        "mean_cost": float(np.mean(costs)),
        "figures": figures,
        "mean_time_s": float(np.mean(times)),
    }
