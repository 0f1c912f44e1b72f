from __future__ import annotations

import numpy as np
import pytest

from physai.plant.seating import stools_under
from physai.tasks import registry


@pytest.mark.parametrize(
    ("env_id", "case", "stools"),
    [
        ("physai/CareFeeding-v0", "nominal_rest", 0),
        ("physai/LogisticsPalletize-v0", "nominal_quiet", 1),
        ("physai/LogisticsCrossing-v0", "nominal_cross", 0),
    ],
)
def test_who_sits_sits_on_something(env_id: str, case: str, stools: int) -> None:
    task = registry.make_cycle(env_id, guard="off").task
    first = task.environment.distributions["test"].seeds.first
    scenario = task.sample_scenario(first, "test", case)
    seats = [person.seat for person in scenario.people]
    boxes = stools_under(seats, task.environment.plant.scene)
    assert boxes.shape == (stools, 10)
    for seat, box in zip(filter(None, seats), boxes, strict=False):
        assert box[2] + 0.5 * box[9] == pytest.approx(seat.position_m[2])
        np.testing.assert_allclose(box[:2], seat.position_m[:2])
