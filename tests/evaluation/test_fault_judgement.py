"""What counts as a stop in time, on episodes with figures chosen by hand."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

from physai.evaluation.fault_judgement import RowResult, judge_row
from physai.evaluation.fault_matrix import MatrixRow
from physai.plant.faults import FaultConfig
from physai.record.episode import Episode
from physai.tasks.environment import ScenarioTemplate
from physai.types import Action

START_S = 0.5
LEVELS = {"policy": "expert", "fault": "drop_joints", "second": "none"}


def row(
    budget_s: float = 0.25,
    duration_s: float = 1.0e6,
    by_robot: bool = False,
    kind: str = "drop",
    target: Any = "joints",
) -> MatrixRow:
    fault = FaultConfig(
        kind=kind, target=target, start_s=START_S, duration_s=duration_s
    )
    template = ScenarioTemplate(
        name="case", kind="fault", hazard="h", expect="any_safe", faults=(fault,)
    )
    return MatrixRow("case", LEVELS, (fault,), 1, template, budget_s, by_robot)


@pytest.fixture
def judge(make_episode: Callable[..., Episode]) -> Callable[..., RowResult]:
    def judged(given: MatrixRow, **episode: Any) -> RowResult:
        return judge_row(given, make_episode(robot="franka", **episode))

    return judged


def moving(index: int) -> float:
    return 0.3


def stops_at(step: int, action: Action = Action.STOP1) -> dict[int, Action]:
    return dict.fromkeys(range(step, 40), action)


# Step k ends at (k + 1) / 20 s: the fault begins at step 9, 0.25 s later is step 14.
@pytest.mark.parametrize(
    ("step", "in_time"), [(9, True), (14, True), (15, False), (39, False)]
)
def test_a_stop_counts_within_the_budget(
    judge: Callable[..., RowResult], step: int, in_time: bool
) -> None:
    result = judge(row(), actions=stops_at(step), speed=moving)
    assert result.reached and result.detectable
    assert result.stopped == result.holds == in_time
    assert result.reaction_s == pytest.approx((step + 1) / 20 - START_S)
    assert result.rule == "separation"


def test_a_stop_before_the_fault_that_still_holds_counts(
    judge: Callable[..., RowResult],
) -> None:
    early = dict.fromkeys(range(3, 40), Action.STOP2)
    assert judge(row(), actions=early, speed=moving).stopped
    over = dict.fromkeys(range(3, 8), Action.STOP2)
    assert not judge(row(), actions=over, speed=moving).stopped


def test_what_only_slows_is_no_stop(judge: Callable[..., RowResult]) -> None:
    assert not judge(row(), actions=stops_at(9, Action.LIMIT), speed=moving).stopped


def test_a_robot_that_stands_as_long_as_the_fault_lasts_counts(
    judge: Callable[..., RowResult],
) -> None:
    assert judge(row(), speed=lambda k: 0.3 if k < 12 else 0.0).stopped
    # It stands too late, or not for long enough.
    assert not judge(row(), speed=lambda k: 0.3 if k < 25 else 0.0).stopped

    def again(index: int) -> float:
        return 0.0 if 12 <= index < 25 else 0.3

    assert not judge(row(), speed=again).stopped
    assert judge(row(duration_s=0.7), speed=again).stopped


def test_where_only_the_robot_can_tell_a_decision_is_not_enough(
    judge: Callable[..., RowResult],
) -> None:
    given = row(by_robot=True)
    assert not judge(given, actions=stops_at(10), speed=moving).stopped
    assert judge(given, speed=lambda k: 0.3 if k < 12 else 0.0).stopped


def test_a_person_who_pushes_a_standing_robot_does_not_make_it_move(
    judge: Callable[..., RowResult],
) -> None:
    push = {index: {10: {"force_peak_n": 80.0}} for index in range(20, 23)}

    def pushed(index: int) -> float:
        return 0.3 if index < 12 or 20 <= index < 30 else 0.0

    assert judge(row(), speed=pushed, touches=push).stopped
    assert not judge(row(), speed=pushed).stopped


def test_without_a_demand_the_forces_decide(judge: Callable[..., RowResult]) -> None:
    result = judge(row(budget_s=math.nan), speed=moving)
    assert not result.detectable and not result.stopped
    assert result.budget_s is None and result.reaction_s is None
    assert result.holds


def test_of_a_tracker_that_froze_on_nobody_no_stop_is_demanded(
    judge: Callable[..., RowResult],
) -> None:
    frozen = row(kind="freeze", target="people")
    somebody = judge(frozen, speed=moving, tracked=lambda k: 1 if k >= 5 else 0)
    assert somebody.detectable and not somebody.holds
    # Who comes later is not on the list, and who left before no longer.
    nobody = judge(frozen, speed=moving, tracked=lambda k: 0 if 5 <= k < 20 else 1)
    assert not nobody.detectable and nobody.budget_s is None and nobody.holds
    dropped = judge(row(target="people"), speed=moving, tracked=lambda k: 0)
    assert dropped.detectable and not dropped.holds


def test_an_episode_that_ends_before_the_fault_is_not_counted(
    judge: Callable[..., RowResult],
) -> None:
    result = judge(row(), length=8, speed=moving)
    assert not result.reached
    assert result.holds


def test_a_stop_that_the_drives_do_not_follow_is_told(
    judge: Callable[..., RowResult],
) -> None:
    assert not judge(row(), actions=stops_at(10), speed=moving).stop_followed
    assert judge(
        row(),
        actions=stops_at(10),
        speed=lambda k: max(0.0, 0.3 - 0.05 * max(0, k - 10)),
    ).stop_followed
    # A spoon is withdrawn while the arm holds; a latched stop is a stop.
    held = stops_at(10, Action.STOP2)
    assert judge(row(), actions=held, speed=moving).stop_followed
