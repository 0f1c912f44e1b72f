from __future__ import annotations

from pathlib import Path

import pytest

from physai.evaluation.challenge import challenge_guard
from physai.evaluation.suite import load_suite


@pytest.mark.slow
def test_the_guard_is_what_makes_the_difference(tmp_path: Path) -> None:
    suite = load_suite("care_feeding_guard").model_copy(update={"episodes": 10})
    result = challenge_guard(suite, ("adversary",), 2, tmp_path, progress=False)
    off, on = result["total"]["off"], result["total"]["on"]
    episodes = on["episodes"]
    assert off["episodes"] == episodes >= 10
    assert off["moving_contact"]["episodes"] > 0
    assert on["moving_contact"]["episodes"] == 0
    assert on["joint_limit"]["episodes"] == 0
    assert on["moving_contact"]["upper_bound_95"] == pytest.approx(
        1 - 0.05 ** (1 / episodes)
    )
    arms = {(row["policy"], row["guard"]) for row in result["arms"]}
    assert arms == {("adversary", "off"), ("adversary", "on")}
    again = challenge_guard(suite, ("adversary",), 1, tmp_path, progress=False)
    assert again["arms"] == result["arms"]
