"""People of a template: drawn within their ranges, the same for the same seed."""

from __future__ import annotations

import numpy as np
import pytest

from physai.config import parse
from physai.errors import ConfigError
from physai.tasks.casting import PersonTemplate, cast_person

WALKER = {
    "path": {
        "start_m": [[0.0, 1.0], 2.0],
        "yaw_rad": [-1.0, 1.0],
        "waypoints_m": [[[3.0, 4.0], [5.0, 6.0]]],
        "aid": "walker",
    },
    "behaviours": [{"kind": "wait", "duration_s": [1.0, 2.0]}],
}


def cast(data, seed=3, group="elderly_woman"):
    return cast_person(parse(PersonTemplate, data, "person"), group, seed, "person0")


def test_every_range_is_drawn_and_keyed_by_the_seed():
    places = []
    for seed in range(40):
        person = cast(WALKER, seed)
        path = person.path
        assert 0.0 <= path.position_m[0] <= 1.0 and path.position_m[1] == 2.0
        assert path.waypoints_m[0] == path.position_m[:2]
        assert 3.0 <= path.waypoints_m[1][0] <= 4.0
        assert 1.0 <= person.behaviours[0].duration_s <= 2.0
        assert person.group == "elderly_woman"
        places.append(path.position_m[0])
    assert np.std(places) > 0.15
    assert cast(WALKER, 7) == cast(WALKER, 7)


def test_a_group_of_its_own_wins():
    assert cast({**WALKER, "group": "adult_man"}).group == "adult_man"


def test_who_sits_and_walks_is_refused():
    seat = {"place_m": [0.0, 0.0, 0.45], "yaw_rad": 0.0}
    assert cast({"seat": seat}).seat.position_m == (0.0, 0.0, 0.45)
    with pytest.raises(ConfigError, match="either"):
        cast({**WALKER, "seat": seat})
