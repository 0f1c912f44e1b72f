"""One row of a fault matrix, judged from its stored episode."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from physai.evaluation.facts import RuleFacts
from physai.evaluation.fault_matrix import MatrixRow
from physai.evaluation.metrics import contact_runs, measure
from physai.record.episode import Episode
from physai.robot.description import Robot, load_robot
from physai.types import Action

__all__ = ["RowResult", "judge_row"]

Flags = npt.NDArray[np.bool_]

_FORCE, _MOVING = "contact_force", "moving_contact"
_STANDS = 0.02
"""Share of an actuator's speed limit below which it stands, as for a latched stop."""
_PUSHED_S = 1.0
"""How long a push moves a robot that brakes."""
_FOLLOWS_S = 0.5
"""So long after the time it needs to brake, a robot that still moves does not obey."""
_SLACK_PERIODS = 2
"""A plant follows a command within so many periods."""


@dataclass(frozen=True)
class RowResult:
    """What became of one row.

    Attributes:
        case: Of the row.
        seed: Of its scenario.
        policy: Who drove.
        levels: Factor to level.
        reached: The episode was still on when the fault began.
        detectable: A stop was demanded. None is of a frozen tracker that saw nobody
            when it froze: an empty list that stays empty says nothing.
        stopped: It came in time.
        reaction_s: From the fault to the guard's stop; None without one.
        budget_s: Within which it was due; None where none was demanded.
        rule: Rule of the guard's first stop after the fault; empty without one.
        force_held: The limits of contact force held.
        force_ratio: Largest force over its limit.
        moving_contact: There was a contact with a moving robot.
        violations: Hard rules and the steps in which the truth violated them.
        stop_followed: Whenever the guard stopped, the drives came to rest.
        force_held_without: The same without the faults; None where that was not run.
        moving_contact_without: The same.
    """

    case: str
    seed: int
    policy: str
    levels: dict[str, str]
    reached: bool
    detectable: bool
    stopped: bool
    reaction_s: float | None
    budget_s: float | None
    rule: str
    force_held: bool
    force_ratio: float
    moving_contact: bool
    violations: dict[str, int]
    stop_followed: bool = True
    force_held_without: bool | None = None
    moving_contact_without: bool | None = None

    @property
    def holds(self) -> bool:
        """Whether the criterion of the row is met; a row that was not reached has none."""
        return not self.reached or (
            self.stopped if self.detectable else self.force_held
        )


def judge_row(row: MatrixRow, episode: Episode) -> RowResult:
    """Judge one stored episode.

    Args:
        row: What was run.
        episode: What is stored of it.
    """
    rules = [RuleFacts.from_json(rule) for rule in episode.header["rules"]]
    metrics = measure(episode, rules)
    start = row.faults[0].start_s
    times, actions = episode.column("time_s"), episode.column("decision_action")
    after = np.flatnonzero((actions >= int(Action.STOP2)) & (times >= start - 1e-9))
    reaction = float(times[after[0]]) - start if len(after) else math.nan
    guard = reaction <= row.budget_s + 1e-9 and not row.by_robot
    detectable = row.detectable and not _froze_empty(row, episode)
    stopped = detectable and (guard or _stands(row, episode))
    ratio = metrics.force_ratio[np.isfinite(metrics.force_ratio)]
    return RowResult(
        case=row.case,
        seed=row.seed,
        policy=row.levels["policy"],
        levels=dict(row.levels),
        reached=bool(times[-1] > start),
        detectable=detectable,
        stopped=stopped,
        reaction_s=reaction if math.isfinite(reaction) else None,
        budget_s=row.budget_s if detectable else None,
        rule=str(episode.column("decision_rule")[after[0]]) if len(after) else "",
        force_held=not metrics.violations.get(_FORCE, 0),
        force_ratio=float(ratio.max(initial=0.0)),
        moving_contact=bool(metrics.violations.get(_MOVING, 0)),
        violations={k: v for k, v in metrics.violations.items() if v},
        stop_followed=_follows_stops(episode),
    )


def _froze_empty(row: MatrixRow, episode: Episode) -> bool:
    """Whether the tracker froze while it saw nobody: the step after tells for sure."""
    fault = row.faults[0]
    if (fault.kind, fault.target) != ("freeze", "people"):
        return False
    times, people = episode.column("time_s"), episode.column("state_people")
    after = min(int(np.searchsorted(times, fault.start_s - 1e-9)) + 1, len(times) - 1)
    return not bool(np.isfinite(people.reshape(len(times), -1)[after]).any())


def _stands(row: MatrixRow, episode: Episode) -> bool:
    """Whether the robot, braking from the budget on, rests until the fault ends."""
    robot = load_robot(str(episode.header["robot"]))
    times = episode.column("time_s") - row.faults[0].start_s
    speed = np.abs(episode.column("truth_state_actuator_velocity"))
    rests = _rests(episode, robot)
    at = min(int(np.searchsorted(times, row.budget_s - 1e-9)), len(times) - 1)
    brakes_s = float((speed[at] / robot.braking_max).max())
    due = row.budget_s + brakes_s + _SLACK_PERIODS / float(episode.header["control_hz"])
    end = max(fault.duration_s for fault in row.faults)
    mine = (times >= due - 1e-9) & (times <= max(end, due))
    if not mine.any():
        # It ended before: by a latched stop at rest, or because the task was done.
        mine = times == times[-1]
    return bool(rests[mine].all())


def _rests(episode: Episode, robot: Robot) -> Flags:
    """Return (t,) whether every actuator rests, pushes of people aside."""
    speed = np.abs(episode.column("truth_state_actuator_velocity"))
    still = np.asarray(speed <= _STANDS * robot.velocity_max).all(axis=1)
    # Who is pushed by somebody and told to stand, stands.
    told = np.abs(episode.column("command_sent_actuator_velocity")).max(axis=1)
    pushed = (told == 0.0) & _touched(episode)
    rests: Flags = np.logical_or(still, pushed)
    return rests


def _follows_stops(episode: Episode) -> bool:
    """Whether the robot comes to rest whenever the guard stops it.

    A tool that withdraws moves while it holds, so that only latched stops count there.
    """
    robot = load_robot(str(episode.header["robot"]))
    withdraws = robot.tool.safe_state == "withdraw"
    least = Action.STOP1 if withdraws else Action.STOP2
    moves = episode.column("decision_action") >= int(least)
    moves &= ~_rests(episode, robot)
    speed = np.abs(episode.column("truth_state_actuator_velocity"))
    rate = float(episode.header["control_hz"])
    for first, last in contact_runs(moves, gap_steps=0):
        braking_s = float((speed[first] / robot.braking_max).max())
        if (last - first) / rate > braking_s + _FOLLOWS_S:
            return False
    return True


def _touched(episode: Episode) -> Flags:
    """Return (t,) whether somebody touched the robot within the last second."""
    peak = episode.column("truth_contact_force_peak_n").reshape(episode.length, -1)
    window = round(_PUSHED_S * float(episode.header["control_hz"]))
    touched: Flags = np.zeros(episode.length, dtype=np.bool_)
    for step in np.flatnonzero((peak > 0.0).any(axis=1)).tolist():
        touched[step : step + window + 1] = True
    return touched
