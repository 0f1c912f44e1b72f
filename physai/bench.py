"""The benchmark table: ratios measured in one run, never asserted.

A control step and the time of it inside Bullet's own stepping are told by one clock in
the same steps, so that a busy machine favours neither.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from physai.errors import PhysaiError
from physai.policy.adapters import load_policy
from physai.provenance import environment_record
from physai.task_table import step_cost
from physai.tasks import registry
from physai.tasks.cycle import Cycle
from physai.types import Command, Decision, State

__all__ = ["run_bench"]

_ENVIRONMENT = "physai/CareFeeding-v0"


def run_bench(blocks: int = 20) -> dict[str, Any]:
    """Measure everything and return JSON values; ``lines`` is what a person reads.

    Args:
        blocks: Pairs of blocks per figure.
    """
    result: dict[str, Any] = {"environment": environment_record(), "blocks": blocks}
    for guard in ("off", "on"):
        for near in (False, True):
            key = f"step_overhead_guard_{guard}_{'near' if near else 'far'}"
            result[key] = _step_overhead(guard, near, blocks)
    result["guard_us"] = _guard_time()
    result["guard_in_step"] = {name: _guard_in_step(name) for name in registry.ids()}
    result["policy_us"] = _policy_time()
    result["lines"] = _lines(result)
    return result


def _cycle(guard: str, near: bool) -> Cycle:
    """Return a cycle at its start; far means that the person sits five metres away."""
    cycle = registry.make_cycle(_ENVIRONMENT, guard=guard)
    first = cycle.environment.distributions["test"].seeds.first
    scenario = cycle.task.sample_scenario(first, "test", "nominal_rest")
    if not near:
        here = scenario.people[0].seat
        assert here is not None
        seat = here.model_copy(update={"position_m": (6.0, 0.0, 0.45)})
        person = scenario.people[0].model_copy(update={"seat": seat})
        scenario = scenario.model_copy(
            update={"people": (person,), "expect": "any_safe"}
        )
    cycle.reset(scenario.model_copy(update={"duration_s": 3600.0}))
    return cycle


def _step_overhead(guard: str, near: bool, blocks: int) -> dict[str, float]:
    """Share of a control step outside the engine's own stepping."""
    cycle = _cycle(guard, near)
    cost = step_cost(cycle, blocks)
    cycle.close()
    return cost


def _guard_time() -> dict[str, float]:
    """Time of one certification beside the seated person of 16 capsules [us]."""
    cycle = _cycle("on", True)
    n = len(cycle.task.robot.actuator_names)
    rng = np.random.default_rng(0)
    times = []
    for step in range(2000):
        command = Command(
            rng.normal(0.0, 0.03, n), np.zeros(0), cycle.state.stamp_s, step
        )
        start = time.perf_counter()
        cycle.guard.certify(cycle.state, command)
        times.append(1e6 * (time.perf_counter() - start))
    cycle.close()
    return _quantiles(times[100:])


def _guard_in_step(name: str, steps: int = 600) -> dict[str, float]:
    """Time of the guard in the steps of an environment [us], and its share of them."""
    cycle = registry.make_cycle(name, guard="on")
    first = cycle.environment.distributions["test"].seeds.first
    scenario = cycle.task.sample_scenario(first, "test")
    cycle.reset(scenario.model_copy(update={"duration_s": 3600.0}))
    rng = np.random.default_rng(0)
    actions = 0.2 * rng.uniform(-1.0, 1.0, (steps, len(cycle.spaces.action_names)))
    times: list[float] = []
    certify, clock = cycle.guard.certify, time.perf_counter

    def timed(state: State, command: Command) -> tuple[Command, Decision]:
        start = clock()
        answer = certify(state, command)
        times.append(1e6 * (clock() - start))
        return answer

    cycle.guard.certify = timed  # type: ignore[method-assign]
    wholes = []
    for action in actions:
        start = clock()
        record = cycle.step(action)
        wholes.append(1e6 * (clock() - start))
        if record.terminated or record.truncated:
            cycle.reset(cycle.scenario)  # type: ignore[arg-type]
    cycle.close()
    share = float(np.median(times[50:]) / np.median(wholes[50:]))
    return {**_quantiles(times[50:]), "share_of_step": share}


def _quantiles(times: list[float]) -> dict[str, float]:
    return {
        "p50": float(np.quantile(times, 0.5)),
        "p99": float(np.quantile(times, 0.99)),
    }


def _policy_time() -> dict[str, float]:
    """Time of one action of the shipped bundle [us]; empty without one."""
    cycle = _cycle("off", True)
    try:
        policy = load_policy("care_feeding", env=cycle)
    except PhysaiError:
        return {}
    finally:
        cycle.close()
    observation = cycle.observation
    times = []
    for _ in range(3000):
        start = time.perf_counter()
        policy.act(observation)
        times.append(1e6 * (time.perf_counter() - start))
    return _quantiles(times[100:])


def _lines(result: dict[str, Any]) -> list[str]:
    lines = ["share of a control step outside stepSimulation (median, quartiles):"]
    for near in ("far", "near"):
        for guard in ("off", "on"):
            row = result[f"step_overhead_guard_{guard}_{near}"]
            lines.append(
                f"  person {near:4s} guard {guard:3s}  {row['share']:6.1%}  "
                f"[{row['quartile_low']:.1%}, {row['quartile_high']:.1%}]  "
                f"{row['step_us']:.0f} us a step"
            )
    guard = result["guard_us"]
    lines.append(
        f"guard, 7-DoF arm, 16-capsule person: p50 {guard['p50']:.0f} us, "
        f"p99 {guard['p99']:.0f} us (target 60 and 150)"
    )
    lines += [
        f"  in {name.partition('/')[2]:24s} p50 {row['p50']:4.0f} us, p99 "
        f"{row['p99']:4.0f} us, {row['share_of_step']:.0%} of a step"
        for name, row in result["guard_in_step"].items()
    ]
    policy = result["policy_us"]
    if policy:
        lines.append(
            f"policy from the bundle: p50 {policy['p50']:.0f} us, "
            f"p99 {policy['p99']:.0f} us (target 40)"
        )
    return lines
