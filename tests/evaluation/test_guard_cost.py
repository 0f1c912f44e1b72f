from __future__ import annotations

import pytest

from physai.evaluation import guard_cost
from physai.evaluation.guard_cost import measure_guard_cost
from physai.tasks import registry

_ROW = {
    "success_off": {"share": 1.0},
    "success_on": {"share": 1.0},
    "time_ratio": 1.0,
    "needless_stops_per_hour": 0.0,
    "share_of_time_held": 0.0,
    "share_of_time_changed": 0.0,
    "stops_per_hour": {},
}


@pytest.mark.slow
def test_a_row_tells_what_the_guard_costs() -> None:
    earlier = [
        {"id": "physai/CareFeeding-v0", "success_on": None},
        {**_ROW, "id": "physai/ConstructionHaul-v0"},
    ]
    result = measure_guard_cost(
        ["physai/CareFeeding-v0"], 3, 1, progress=False, kept=earlier
    )
    row, kept = result["tasks"]
    assert kept == earlier[1], "what is not run keeps its row"
    assert row["git_revision"] is None or len(row["git_revision"]) >= 40
    assert row["success_off"]["share"] == row["success_on"]["share"] == 1.0
    assert row["lost_points"] == 0.0 and row["needless_stops_per_hour"] == 0.0
    assert 0.9 < row["time_ratio"] < 1.5
    assert 0.0 < row["share_of_time_changed"] < 0.5
    assert any("CareFeeding" in line for line in result["lines"])


def test_a_guard_that_never_lets_go_is_seen() -> None:
    """Stops for a want of readings are counted as needless where nothing is broken."""
    cycle = registry.make_cycle("physai/CareFeeding-v0", guard="on")
    kinds = {rule.id: rule.rule for rule in cycle.spec.config.rules}
    # A limit so tight that every track is too old: the arm never moves.
    place = cycle.spec.rule_names.index("people_age")
    cycle.guard.monitor._windows.limit[place] = -1.0
    scenario = cycle.task.sample_scenario(
        cycle.environment.distributions["test"].seeds.first, "test", "nominal_rest"
    )
    arm = guard_cost._Arm()
    guard_cost._episode(
        cycle, scenario.model_copy(update={"duration_s": 5.0}), kinds, arm
    )
    cycle.close()
    assert arm.success == [False]
    assert arm.needless == 1 and arm.stops == {"people_age": 1}
    assert arm.held_steps == arm.steps
