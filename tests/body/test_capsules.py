"""Closest points against brute force, and the body against its table."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from physai.body.behaviour import GESTURE_KINDS, BehaviourConfig, PersonView
from physai.body.capsules import closest_points
from physai.body.person import (
    GROUPS,
    SEGMENT_COUNT,
    Person,
    PersonConfig,
    SeatConfig,
    sample_person,
)
from physai.body.regions import area_of, load_regions
from physai.randomness import generator

coordinates = st.lists(st.floats(-1, 1), min_size=6, max_size=6)
SEAT = SeatConfig(position_m=(1.0, 0.0, 0.45), yaw_rad=3.14)


def capsule(values, radius):
    return np.array([*values, radius])


def brute_force(a, b):
    t = np.linspace(0, 1, 201)[:, None]
    p = a[:3] + t * (a[3:6] - a[:3])
    q = b[:3] + t * (b[3:6] - b[:3])
    return np.linalg.norm(p[:, None] - q[None], axis=2).min() - a[6] - b[6]


@settings(max_examples=300, deadline=None)
@given(coordinates, coordinates, st.floats(0.01, 0.2), st.floats(0.01, 0.2))
def test_distance_is_the_smallest_of_all_pairs_of_points(x, y, ra, rb):
    a, b = capsule(x, ra), capsule(y, rb)
    p, q, n = np.zeros(3), np.zeros(3), np.zeros(3)
    distance = closest_points(a, b, p, q, n)
    expected = brute_force(a, b)
    assert distance <= expected + 1e-6
    assert distance >= expected - 0.02
    assert abs(np.linalg.norm(n) - 1.0) < 1e-9
    swapped = closest_points(b, a, q.copy(), p.copy(), np.zeros(3))
    assert abs(swapped - distance) < 1e-6


def test_crossing_and_pointlike_capsules_give_a_unit_normal():
    cross = capsule([-1, 0, 0, 1, 0, 0], 0.1), capsule([0, -1, 0, 0, 1, 0], 0.1)
    points = capsule([0, 0, 0, 0, 0, 0], 0.1), capsule([0, 0, 0, 0, 0, 0], 0.1)
    line = capsule([0, 0, 0, 0, 0, 1], 0.1), capsule([0, 0, 0.5, 0, 0, 2], 0.1)
    for a, b in (cross, points, line):
        n = np.zeros(3)
        assert closest_points(a, b, np.zeros(3), np.zeros(3), n) == -0.2
        assert abs(np.linalg.norm(n) - 1.0) < 1e-12


def test_every_area_can_be_touched():
    rng = np.random.default_rng(0)
    found = set()
    for segment in range(SEGMENT_COUNT):
        for _ in range(400):
            n = rng.normal(size=3)
            n /= np.linalg.norm(n)
            found.add(area_of(segment, rng.random(), n[0], n[1], n[2]))
    assert found == set(range(1, 30))


def test_the_table_has_known_rows():
    regions = load_regions()
    assert (
        regions.force_quasistatic_n[8] == 140.0
        and regions.force_transient_n[8] == 280.0
    )
    assert regions.spring_n_per_m[3] == 75000.0 and not regions.contact_permitted[3]
    assert np.isnan(regions.force_transient_n[1])


def test_a_seated_person_is_as_tall_as_the_ratio_says():
    for stature in (1.4, 1.6, 1.85):
        config = PersonConfig(
            group="adult_man", sex="male", stature_m=stature, mass_kg=70
        )
        person = Person(config, SEAT, [], 0)
        top = max(person.capsules[0, 2], person.capsules[0, 5]) + person.capsules[0, 6]
        assert abs(top - 0.45 - 0.539 * stature) < 0.03 * stature


def test_the_mouth_is_on_the_face_and_looks_out():
    config = sample_person("elderly_woman", generator(1, "test"))
    mouth = Person(config, SEAT, [], 0).mouth
    assert mouth.axis[0] < -0.99 and abs(mouth.axis @ mouth.up) < 1e-9


def test_people_are_within_their_group():
    for name, group in GROUPS.items():
        for seed in range(20):
            person = sample_person(name, generator(seed, "person"))
            assert group.stature_m[0] <= person.stature_m <= group.stature_m[2]
            assert group.mass_kg[0] <= person.mass_kg <= group.mass_kg[2]


def run(behaviours, seed=0, steps=300):
    config = sample_person("elderly_woman", generator(seed, "person"))
    person = Person(config, SEAT, behaviours, seed)
    view = PersonView(np.array([0.6, 0.0, 1.0]), np.array([0.5, 0.0, 1.05]), 0.2)
    fastest, path = 0.0, []
    for step in range(1, steps):
        person.advance(0.05 * step, 0.05, view)
        speeds = np.linalg.norm(person.capsule_velocity.reshape(-1, 3), axis=1)
        fastest = max(fastest, float(speeds.max()))
        path.append(person.capsules.copy())
    return fastest, np.array(path)


def test_nobody_moves_faster_than_the_separation_assumes():
    rng = np.random.default_rng(4)
    for kind in GESTURE_KINDS:
        for seed in range(3):
            behaviour = BehaviourConfig(
                kind=kind,
                start_s=1.0,
                duration_s=(1.0, 3.0),
                amplitude_rad=(0.1, 0.6) if kind != "lean_in" else (0.05, 0.25),
                amplitude_m=(0.002, 0.03),
                speed_m_s=1.6,
                side="left",
            ).sample(rng)
            fastest, _ = run([behaviour], seed)
            assert fastest <= 2.0, (kind, fastest)


def test_the_same_seed_gives_the_same_motion():
    behaviours = [
        BehaviourConfig(kind="rest"),
        BehaviourConfig(kind="tremor"),
        BehaviourConfig(kind="reach", start_s=2.0, duration_s=1.0),
    ]
    assert np.array_equal(run(behaviours, 5)[1], run(behaviours, 5)[1])
    assert not np.array_equal(run(behaviours, 5)[1], run(behaviours, 6)[1])
