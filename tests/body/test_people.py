"""People as data: what is refused and why, and that the seated person is unchanged."""

import numpy as np
import pytest

from physai.body.behaviour import (
    GESTURE_KINDS,
    MOVEMENT_KINDS,
    BehaviourConfig,
    PersonView,
)
from physai.body.gesture import GESTURES
from physai.body.movement import MOVEMENTS
from physai.body.pace import PACES, sample_speed
from physai.body.people import PlacedPersonConfig, make_person
from physai.body.person import GROUPS, Person, PersonConfig, SeatConfig
from physai.body.walker import Walker
from physai.config import parse
from physai.errors import ConfigError
from physai.randomness import generator

WHO = {"group": "adult_man", "sex": "male", "stature_m": 1.75, "mass_kg": 80.0}
SEAT = {"position_m": [1.0, 0.0, 0.45], "yaw_rad": 3.1}
PATH = {"position_m": [0, 0, 0], "waypoints_m": [[0, 0], [4, 0]]}


def read(**value):
    return parse(PlacedPersonConfig, {**WHO, **value}, "people.yaml")


def test_data_decide_who_comes():
    assert isinstance(make_person(read(seat=SEAT), 1), Person)
    walker = make_person(read(path=PATH, behaviours=[{"kind": "hesitate"}]), 1)
    assert isinstance(walker, Walker)
    for who in (make_person(read(seat=SEAT), 1), walker):
        who.advance(0.05, 0.05, PersonView(np.zeros(3), np.zeros(3), 9.0))
        assert who.capsules.shape == (16, 7)
        assert who.segment_rotation.shape == (16, 3, 3)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ({"path": PATH, "mass_kg": -3}, "mass_kg"),
        ({"path": PATH, "stature_m": 3.0}, "stature_m"),
        ({}, 'either "seat" or "path"'),
        ({"path": PATH, "seat": SEAT}, 'either "seat" or "path"'),
        ({"path": {**PATH, "waypoints_m": [[1, 1]]}}, "at least two points"),
        ({"path": {**PATH, "waypoints_m": [[1, 1], [1, 1]]}}, "twice in a row"),
        ({"path": {**PATH, "speed_m_s": 1.7}}, "at most 1.6 m/s"),
        ({"path": {**PATH, "speed_m_s": -1}}, "greater than 0"),
        ({"path": {**PATH, "aid": "wheelchair", "speed_m_s": 1.2}}, "at most 0.9"),
        ({"path": {**PATH, "aid": "stilts"}}, "aid"),
        ({"path": {**PATH, "sped_m_s": 1.0}}, 'did you mean "speed_m_s"'),
        ({"path": PATH, "behaviours": [{"kind": "hesitat"}]}, '"hesitate"'),
        ({"seat": SEAT, "behaviours": [{"kind": "walk"}]}, "seated person cannot"),
        ({"path": PATH, "behaviours": [{"kind": "get_up"}]}, 'needs a "fall"'),
        (
            {"path": PATH, "behaviours": [{"kind": "run_out", "speed_m_s": 3}]},
            "beyond_declared",
        ),
        (
            {
                "path": {**PATH, "aid": "wheelchair", "speed_m_s": 0.5},
                "behaviours": [{"kind": "crouch"}],
            },
            "wheelchair cannot",
        ),
        (
            {
                "path": {"position_m": [0, 0, 0]},
                "behaviours": [{"kind": "cross"}],
            },
            "needs waypoints_m",
        ),
        (
            {
                "path": PATH,
                "behaviours": [
                    {"kind": "wait", "trigger": {"signal": "path_m"}},
                ],
            },
            '"below" or "above"',
        ),
        (
            {"path": PATH, "behaviours": [{"kind": "reach", "target": "point"}]},
            "point_m",
        ),
    ],
)
def test_the_impossible_is_refused_in_one_sentence(value, reason):
    with pytest.raises(ConfigError) as error:
        read(**value)
    text = str(error.value)
    assert reason in text and "\n" not in text and "people.yaml" in text


def test_what_data_refuse_the_class_refuses_too():
    config = PersonConfig(**WHO)
    seat = SeatConfig(position_m=(0, 0, 0.4), yaw_rad=0.0)
    with pytest.raises(ConfigError, match='cannot "fall"'):
        Person(config, seat, [BehaviourConfig(kind="fall")], 0)


def test_every_declared_movement_exists():
    assert tuple(MOVEMENTS) == MOVEMENT_KINDS
    assert tuple(GESTURES) == GESTURE_KINDS


def test_every_group_has_a_pace_within_the_bound():
    assert set(PACES) == set(GROUPS)
    for name, pace in PACES.items():
        assert list(pace.usual_m_s) == sorted(pace.usual_m_s)
        assert pace.usual_m_s[2] <= 1.6 and pace.source
        for aid in ("none", "cane", "walker", "wheelchair"):
            speed = sample_speed(name, aid, generator(3, "speed"))
            assert parse(
                PlacedPersonConfig,
                {**WHO, "path": {**PATH, "aid": aid, "speed_m_s": speed}},
                name,
            )


def test_new_keys_do_not_show_where_they_are_not_used():
    """So that the digest of older content stays what it was."""
    old = BehaviourConfig(
        kind="offer_mouth", trigger={"signal": "utensil_distance_m", "below": 0.2}
    )
    assert set(old.model_dump(mode="json")) == {
        *("kind", "start_s", "trigger", "duration_s", "amplitude_m", "amplitude_rad"),
        *("opening_m", "frequency_hz", "count", "speed_m_s", "side", "target"),
    }
    assert old.model_dump(mode="json")["trigger"] == {
        "signal": "utensil_distance_m",
        "below": 0.2,
    }
    new = BehaviourConfig(kind="fall", direction="left")
    dump = new.model_dump(mode="json")
    assert dump["direction"] == "left"
    assert BehaviourConfig.model_validate(dump) == new


def test_ranges_are_fixed_and_points_left_alone():
    behaviour = BehaviourConfig(
        kind="walk",
        start_s=(1.0, 2.0),
        distance_m=(0.5, 0.9),
        waypoints_m=[(3.0, 1.0), (1.0, 2.0)],
        trigger={"signal": "path_m", "above": (1.0, 2.0)},
    ).sample(generator(1, "b"))
    assert isinstance(behaviour.start_s, float)
    assert 0.5 <= behaviour.distance_m <= 0.9
    assert behaviour.waypoints_m == [(3.0, 1.0), (1.0, 2.0)]
    assert 1.0 <= behaviour.trigger.above <= 2.0


def test_the_seated_person_moves_as_ever():
    """Figures written down before people could walk."""
    config = PersonConfig(
        group="elderly_woman", sex="female", stature_m=1.5, mass_kg=50.0
    )
    kinds = [
        BehaviourConfig(kind="rest"),
        BehaviourConfig(kind="tremor"),
        BehaviourConfig(kind="reach", start_s=1.0, duration_s=1.0, target="path"),
        BehaviourConfig(kind="lean_in", amplitude_rad=0.3, duration_s=1.0),
    ]
    seat = SeatConfig(position_m=(1.0, 0.1, 0.45), yaw_rad=3.0)
    who = Person(config, seat, kinds, 7)
    view = PersonView(np.array([0.6, 0.0, 1.0]), np.array([0.5, 0.0, 1.05]), 0.15)
    for step in range(1, 60):
        who.advance(0.05 * step, 0.05, view)
    assert (
        pytest.approx(
            [*who.capsules[0], *who.capsules[11], *who.mouth_frame[0]], abs=1e-12
        )
        == GOLDEN
    )


GOLDEN = [
    1.01372125234271,
    0.10135476608118771,
    1.164535778688799,
    0.9840214774446966,
    0.10558836632298373,
    1.182535778688799,
    0.078,
    0.7107867906213483,
    0.045620202647918384,
    0.929564915038557,
    0.6314117738940839,
    -0.04179790819205331,
    1.0093391628677715,
    0.03,
    0.9097720401996632,
    0.11617236692747376,
    1.110535778688799,
]
