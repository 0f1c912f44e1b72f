"""The one loop: simulation as fast as it goes, a robot on absolute deadlines.

The order within a step is the cycle's (:mod:`physai.tasks.cycle`); the plant paces it
where it is real. Two late periods in a row stop the robot.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from physai.plant.scenario import Scenario
from physai.policy.policy import Policy
from physai.record.episode import EpisodeWriter, StepRecord
from physai.tasks.cycle import Cycle

__all__ = ["LoopReport", "run_loop"]

_LATE_LIMIT = 2


@dataclass
class LoopReport:
    """What happened in one run of the loop.

    Attributes:
        steps: Control steps.
        success: Whether the task was done.
        cost: Cost of the episode.
        ended: Why it ended.
        late_periods: Periods that ended after their deadline.
        interventions: Steps in which the guard changed the command.
        stops: Rule ids of stops, in order.
        figures: The task's figures at the end.
    """

    steps: int = 0
    success: bool = False
    cost: float = 0.0
    ended: str = ""
    late_periods: int = 0
    interventions: int = 0
    stops: list[str] = field(default_factory=list)
    figures: dict[str, float] = field(default_factory=dict)


def run_loop(
    cycle: Cycle,
    policy: Policy,
    scenario: Scenario,
    *,
    writer: EpisodeWriter | None = None,
    on_step: Callable[[StepRecord], bool] | None = None,
    maximum_steps: int | None = None,
    on_start: Callable[[], Any] | None = None,
) -> LoopReport:
    """Run one episode.

    Args:
        cycle: Plant, task and guard.
        policy: Acts on the observation.
        scenario: What happens.
        writer: Keeps every step, if given; closed at the end, also after an error.
        on_step: Called after every step; True ends the run.
        maximum_steps: End after so many steps.
        on_start: Called after the reset, before the first step.

    Returns:
        What happened.
    """
    report = LoopReport()
    observation = cycle.reset(scenario)
    policy.reset()
    if writer is not None:
        writer.begin(cycle.state, cycle.truth)
    if on_start is not None:
        on_start()
    outcome: dict[str, Any] = {"interrupted": True}
    try:
        while not report.ended:
            record = cycle.step(policy.act(observation))
            observation = cycle.observation
            if writer is not None:
                writer.append(record)
            _count(report, record)
            late = getattr(cycle.plant, "consecutive_late", 0)
            # Before anything ends: the last step is often the one that matters.
            asked = on_step is not None and on_step(record)
            if record.terminated or record.truncated:
                report.ended = (
                    "latched stop"
                    if record.decision.latched
                    else "task ended"
                    if record.terminated
                    else "time over"
                )
            elif late >= _LATE_LIMIT:
                # Who only watches a robot has no business stopping it for being late.
                if getattr(cycle.plant, "armed", True):
                    cycle.stop(1)
                report.ended = "period overrun"
            elif asked:
                report.ended = "stop requested"
            elif maximum_steps is not None and report.steps >= maximum_steps:
                report.ended = "duration over"
        outcome = {
            "success": report.success,
            "cost": report.cost,
            "ended": report.ended,
        }
    finally:
        report.late_periods = int(getattr(cycle.plant, "late_periods", 0))
        report.figures = cycle.figures.values()
        if writer is not None:
            writer.close(outcome)
    return report


def _count(report: LoopReport, record: StepRecord) -> None:
    report.steps += 1
    report.success = record.success
    report.cost += record.cost
    report.interventions += record.decision.intervened
    if record.decision.action >= 3 and (
        not report.stops or report.stops[-1] != record.decision.rule
    ):
        report.stops.append(record.decision.rule)
