"""People on their feet: bounds, laws and figures from elsewhere."""

import math

import numpy as np
import pytest

from physai.body.behaviour import (
    GESTURE_KINDS,
    MOVEMENT_KINDS,
    BehaviourConfig,
    PersonView,
)
from physai.body.movement import draw_fall
from physai.body.person import GROUPS, PersonConfig, sample_person
from physai.body.walker import AID_SPEED_M_S, PathConfig, Walker
from physai.randomness import generator

BEND = ((0.0, 0.0), (3.0, 0.0), (3.0, 2.0), (1.0, 1.0), (6.0, 6.0))
AHEAD = ((0.0, 0.0), (40.0, 0.0))
LIMBS = range(6, 16)
ROBOT = np.array([4.0, 4.0, 0.0])


def person(behaviours=(), seed=0, group="adult_man", config=None, **path):
    config = config or sample_person(group, generator(seed, "person"))
    behaviours = [BehaviourConfig(**behaviour) for behaviour in behaviours]
    place = {"position_m": (0.0, 0.0, 0.0), **path}
    return Walker(config, PathConfig(**place), behaviours, seed)


def look(alarm=False):
    tool = np.array([3.0, 3.0, 1.0])
    return PersonView(tool, tool - 0.1, 9.0, base_position=ROBOT, alarm=alarm)


def run(who, seconds=8.0, dt=0.05, view=None):
    """Return capsules (N, 16, 7), velocities (N, 16, 6), places (N, 4)."""
    view = view or look()
    capsules, velocity, place = [], [], []
    for step in range(1, round(seconds / dt) + 1):
        who.advance(step * dt, dt, view)
        capsules.append(who.capsules.copy())
        velocity.append(who.capsule_velocity.copy())
        place.append([*who.position_m, who.yaw_rad, who.speed_m_s])
    return np.array(capsules), np.array(velocity), np.array(place)


def speeds(velocity):
    """(N, 16) speed of each capsule's faster end."""
    ends = velocity.reshape(len(velocity), 16, 2, 3)
    return np.linalg.norm(ends, axis=3).max(axis=2)


def lengths(capsules):
    return np.linalg.norm(capsules[:, :, :3] - capsules[:, :, 3:6], axis=2)


@pytest.mark.parametrize("aid", list(AID_SPEED_M_S))
@pytest.mark.parametrize("group", ["adult_man", "elderly_woman", "boy_6"])
def test_segments_keep_their_lengths(aid, group):
    capsules, _, _ = run(
        person(group=group, aid=aid, waypoints_m=BEND, speed_m_s=0.6), 12
    )
    assert np.ptp(lengths(capsules), axis=0).max() < 1e-9
    assert np.ptp(capsules[:, :, 6], axis=0).max() == 0.0


@pytest.mark.parametrize("aid", list(AID_SPEED_M_S))
@pytest.mark.parametrize("dt", [0.05, 0.02])
def test_nobody_is_faster_than_the_declared_bound(aid, dt):
    for seed in range(2):
        for share in (0.4, 0.8, 1.0):
            speed = share * AID_SPEED_M_S[aid]
            _, velocity, _ = run(
                person(seed=seed, aid=aid, waypoints_m=BEND, speed_m_s=speed), 10, dt
            )
            fastest = speeds(velocity).max(axis=0)
            assert fastest[:6].max() <= 1.6 + 1e-4
            wrists = np.linalg.norm(velocity[:, 10:12, :3], axis=2).max()
            assert wrists <= 2.0 + 1e-4
            if aid != "cane":
                # The tip of a cane goes with a foot.
                assert fastest[6:12].max() <= 2.0 + 1e-4


BUSY = [
    {"kind": "stumble"},
    {"kind": "crouch", "duration_s": 1.0},
    {"kind": "spasm", "side": "left"},
    {"kind": "reach", "duration_s": 1.0, "speed_m_s": 1.6, "target": "gripper"},
    {"kind": "reach", "duration_s": 1.0, "target": "point", "point_m": [1, 0, 0.1]},
    {"kind": "hesitate"},
    {"kind": "run_out", "speed_m_s": 1.6},
    {"kind": "walk_backwards", "speed_m_s": 1.2, "distance_m": 2.0},
    {"kind": "turn_back", "duration_s": 3.0},
    {"kind": "follow", "speed_m_s": 1.6, "distance_m": 0.5},
    {"kind": "block_way", "speed_m_s": 1.6},
    {"kind": "react_to_alarm", "response": "step_aside"},
    {"kind": "look_away"},
    {"kind": "cough"},
    {"kind": "tremor"},
    {"kind": "lean_in", "amplitude_rad": 0.6, "duration_s": 0.5},
]


@pytest.mark.parametrize("behaviour", BUSY, ids=lambda b: b["kind"])
def test_whatever_they_do_the_bound_holds(behaviour):
    for speed in (1.0, 1.6):
        who = person([{"start_s": 2.0, **behaviour}], waypoints_m=BEND, speed_m_s=speed)
        assert not who.beyond_declared
        capsules, velocity, _ = run(who, 10, view=look(alarm=True))
        fastest = speeds(velocity).max(axis=0)
        assert fastest[:6].max() <= 1.6 + 1e-4
        assert fastest[6:12].max() <= 2.0 + 1e-4
        # A swinging foot is three to four times as fast as the walker.
        assert fastest[12:].max() <= 3.5 * 1.6
        assert np.ptp(lengths(capsules)[:, LIMBS], axis=0).max() < 1e-9


def test_no_capsule_jumps():
    for dt in (0.05, 0.01):
        _, velocity, place = run(person(waypoints_m=AHEAD, speed_m_s=1.3), 6, dt)
        assert speeds(velocity)[:, :6].max() <= 1.5 * 1.3
        # The mean over a stride of every end is the walker's own speed.
        steady = velocity[round(3.0 / dt) :]
        assert np.abs(steady.mean(axis=0)[:, [0, 3]] - 1.3).max() < 0.25
        assert place[-1, 3] == pytest.approx(1.3, abs=0.02)


def test_velocity_is_the_change_over_the_step():
    who = person(waypoints_m=BEND, speed_m_s=1.2)
    last = who.capsules.copy()
    for step in range(1, 60):
        who.advance(0.05 * step, 0.05, look())
        assert np.array_equal(who.previous, last)
        change = (who.capsules - who.previous)[:, :6] / 0.05
        assert np.allclose(change, who.capsule_velocity, atol=1e-12)
        last = who.capsules.copy()
        r = who.segment_rotation
        assert np.allclose(r @ r.transpose(0, 2, 1), np.eye(3), atol=1e-9)
        assert np.allclose(np.linalg.det(r), 1.0)


@pytest.mark.parametrize("speed", [0.6, 1.0, 1.5])
def test_a_walk_takes_the_time_of_a_trapezoid(speed):
    """Time = distance / speed + speed / ramp, less that of the last 0.1 m."""
    _, _, place = run(person(waypoints_m=((0, 0), (6, 0)), speed_m_s=speed), 16, 0.02)
    there = np.flatnonzero(place[:, 0] > 5.9)[0] * 0.02
    last = math.sqrt(2.0 * 0.1 / 0.8)
    assert there == pytest.approx(6.0 / speed + speed / 0.8 - last, abs=0.08)
    assert place[-1, 0] == pytest.approx(6.0, abs=0.05) and place[-1, 3] < 0.01
    change = np.diff(place[:, 3]) / 0.02
    assert change.max() <= 0.8 + 1e-6 and change.min() >= -1.0


def test_turns_are_limited_and_the_path_is_kept():
    _, _, place = run(person(waypoints_m=BEND, speed_m_s=1.2), 20, 0.02)
    turn = np.diff(np.unwrap(place[:, 2])) / 0.02
    assert np.abs(turn).max() <= 1.5 + 1e-6
    points = np.array(BEND)
    gaps = []
    for p in place[:, :2]:
        a, b = points[:-1], points[1:]
        t = np.clip(((p - a) * (b - a)).sum(1) / ((b - a) ** 2).sum(1), 0, 1)
        gaps.append(np.linalg.norm(a + t[:, None] * (b - a) - p, axis=1).min())
    assert max(gaps) < 0.45
    assert np.linalg.norm(place[-1, :2] - points[-1]) < 0.1


@pytest.mark.parametrize("group", list(GROUPS))
def test_a_standing_person_is_as_tall_as_they_are(group):
    data = GROUPS[group]
    for stature, mass in zip(data.stature_m, data.mass_kg, strict=True):
        config = PersonConfig(
            group=group, sex=data.sex, stature_m=stature, mass_kg=mass
        )
        c = person(config=config).capsules
        top = (c[:, [2, 5]].max(axis=1) + c[:, 6]).max()
        low = (c[:, [2, 5]].min(axis=1) - c[:, 6]).min()
        # Elderly people stand bent by ten degrees.
        assert 0.96 * stature < top <= 1.01 * stature
        assert -0.015 < low < 0.03


@pytest.mark.parametrize("group", ["adult_man", "elderly_woman", "girl_10"])
def test_nobody_walks_into_the_floor(group):
    capsules, _, _ = run(person(group=group, waypoints_m=AHEAD, speed_m_s=1.2), 8)
    low = np.minimum(capsules[:, :, 2], capsules[:, :, 5]) - capsules[:, :, 6]
    assert low.min() > -0.05


def test_a_wheelchair_user_is_as_high_as_the_table_says():
    """Top of the head of a man of 1.755 m on a 450 mm seat: 1.348 m (people.csv)."""
    config = PersonConfig(group="adult_man", sex="male", stature_m=1.755, mass_kg=84)
    who = person(config=config, aid="wheelchair", waypoints_m=AHEAD, speed_m_s=0.5)
    capsules, _, place = run(who, 8)
    c = capsules[-1]
    assert (c[:, [2, 5]].max(axis=1) + c[:, 6])[:3].max() == pytest.approx(
        1.348, abs=0.03
    )
    c = c - np.tile(np.append(place[-1, :2], 0.0), 3)[:7] * [1, 1, 1, 1, 1, 1, 0]
    low, high = np.minimum(c[:, :3], c[:, 3:6]), np.maximum(c[:, :3], c[:, 3:6])
    low, high = (low - c[:, 6:]).min(axis=0), (high + c[:, 6:]).max(axis=0)
    # JIS T 9201: at most 1.20 m long and 0.70 m wide; hands are outside the rims.
    assert 0.85 < high[0] - low[0] < 1.20
    assert 0.70 < high[1] - low[1] < 0.85
    assert low[2] == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("aid", ["cane", "walker"])
def test_an_aid_reaches_from_the_hand_to_the_floor(aid):
    who = person(group="elderly_man", aid=aid, waypoints_m=AHEAD, speed_m_s=0.5)
    capsules, _, place = run(who, 10)
    tip = capsules[60:, 11, 3:6]
    assert tip[:, 2].min() < 0.05
    assert np.linalg.norm(capsules[60:, 9, 3:6] - capsules[60:, 11, :3]).max() < 1e-9
    if aid == "walker":
        # The frame stands before the body, about a quarter of a metre to each side.
        assert ((tip[:, 0] - place[60:, 0]) > 0.4).all()
        assert np.ptp(tip[:, 0] - place[60:, 0]) < 1e-6


def test_falls_are_those_of_the_care_home():
    """Means of Choi et al. 2015 over many draws."""
    falls = [draw_fall(seed, "fall") for seed in range(400)]
    time = np.array([f.imbalance_s + f.descent_s for f in falls])
    assert time.mean() == pytest.approx(1.271, rel=0.05)
    assert np.mean([f.descent_s for f in falls]) == pytest.approx(0.583, rel=0.05)
    assert np.mean([f.impact_m_s for f in falls]) == pytest.approx(2.14, rel=0.05)
    assert np.mean([f.head_m_s for f in falls]) == pytest.approx(2.91, rel=0.05)


@pytest.mark.parametrize("direction", ["forward", "backward", "left", "right"])
def test_a_fall_takes_its_time_and_ends_on_the_floor(direction):
    dt = 0.005
    for seed in range(5):
        who = person(
            [{"kind": "fall", "start_s": 1.0, "direction": direction}],
            seed,
            group="elderly_woman",
        )
        h = who.config.stature_m
        capsules, velocity, _ = run(who, 5.0, dt)
        course = draw_fall(seed, "person.0.fall")
        height = 0.5 * (capsules[:, 5, 2] + capsules[:, 5, 5])
        landed = (np.flatnonzero(height < height[-1] + 0.005)[0] + 1) * dt - 1.0
        assert landed == pytest.approx(course.imbalance_s + course.descent_s, abs=0.03)
        fall = -0.5 * (velocity[:, 5, 2] + velocity[:, 5, 5])
        assert fall.max() == pytest.approx(course.impact_m_s, rel=0.15)
        head = -velocity[:, 0, 2]
        assert head.max() == pytest.approx(course.head_m_s, rel=0.35)
        assert who.fallen == pytest.approx(1.0) and who.beyond_declared
        tops = np.maximum(capsules[-1, :, 2], capsules[-1, :, 5]) + capsules[-1, :, 6]
        low = np.minimum(capsules[-1, :, 2], capsules[-1, :, 5]) - capsules[-1, :, 6]
        assert tops.max() < 0.36 * h and low.min() > -0.06
        assert np.abs(velocity[-1]).max() < 1e-9
        long = np.ptp(capsules[-1][:, [0, 1, 3, 4]].reshape(-1, 2), axis=0).max()
        assert 0.7 * h < long < 1.0 * h
        ways = {"forward": (1, 0), "backward": (-1, 0), "left": (0, 1)}
        way = np.array(ways.get(direction, (0, -1)))
        assert capsules[-1, 0, :2] @ way > 0.6 * h


def test_who_has_fallen_gets_up_within_the_bound():
    for first in ({"posture": "lying"}, {}):
        fall = [] if first else [{"kind": "fall", "direction": "forward"}]
        who = person([*fall, {"kind": "get_up", "start_s": 4.0}], **first)
        capsules, velocity, _ = run(who, 14.0)
        c = capsules[-1]
        assert (c[:, [2, 5]].max(axis=1) + c[:, 6]).max() > 0.97 * who.config.stature_m
        assert who.fallen == 0.0
        assert speeds(velocity[80:])[:, :6].max() <= 1.6


def test_only_the_marked_are_beyond_the_bound():
    fast = person(
        [{"kind": "run_out", "speed_m_s": 3.0, "beyond_declared": True}],
        waypoints_m=AHEAD,
    )
    _, velocity, _ = run(fast, 6)
    assert fast.beyond_declared
    assert 2.9 < speeds(velocity)[:, :6].max() < 3.5


def test_people_wait_for_their_trigger():
    near = {"signal": "robot_distance_m", "below": 3.0}
    view = look()
    who = person([{"kind": "cross", "trigger": near}], waypoints_m=AHEAD)
    _, _, place = run(who, 3, view=view)
    assert np.abs(place[:, :2]).max() < 1e-9
    view.base_position = np.array([2.0, 0.0, 0.0])
    _, _, place = run(who, 6, view=view)
    assert place[-1, 0] > 1.0


def test_triggers_on_the_own_path():
    far = {"signal": "path_m", "above": 2.0}
    who = person([{"kind": "wait", "trigger": far}], waypoints_m=AHEAD)
    _, _, place = run(who, 12)
    assert 2.0 < place[-1, 0] < 3.0 and place[-1, 3] == 0.0
    end = {"signal": "path_left_m", "below": 38.0}
    who = person([{"kind": "turn_back", "trigger": end}], waypoints_m=AHEAD)
    _, _, place = run(who, 12)
    assert 2.0 < place[:, 0].max() < 4.0 and place[-1, 0] < 1.0


def test_the_alarm_stops_those_who_heed_it():
    view = look()
    for ignore, stops in (([], True), ([{"kind": "ignore_alarm"}], False)):
        who = person([{"kind": "react_to_alarm"}, *ignore], waypoints_m=AHEAD)
        view.alarm = False
        run(who, 4, view=view)
        view.alarm = True
        _, _, place = run(who, 4, view=view)
        assert (place[-1, 3] == 0.0) == stops
        if stops:
            stopped = np.flatnonzero(place[:, 3] == 0.0)[0] * 0.05
            # Reaction 0.7 s with sigma 0.35 (log), then 1.0 / 0.8 s of ramp.
            assert 0.7 / math.e + 1.0 < stopped < 0.7 * math.e + 1.6


def test_stepping_aside_goes_away_from_the_robot_without_turning():
    view = look(alarm=True)
    view.base_position = np.array([5.0, 0.4, 0.0])
    who = person(
        [{"kind": "react_to_alarm", "response": "step_aside"}],
        waypoints_m=((0, 0), (0.1, 0.0)),
    )
    _, _, place = run(who, 6, view=view)
    assert place[-1, 1] == pytest.approx(-0.9, abs=0.1)
    assert np.abs(place[:, 2]).max() < 0.1


def test_following_keeps_the_distance():
    who = person([{"kind": "follow", "distance_m": 1.2, "speed_m_s": 1.4}])
    _, _, place = run(who, 10)
    assert np.linalg.norm(place[-1, :2] - ROBOT[:2]) == pytest.approx(1.2, abs=0.1)


def test_walking_backwards_faces_where_they_came_from():
    who = person([{"kind": "walk_backwards", "distance_m": 2.0, "speed_m_s": 0.8}])
    _, _, place = run(who, 6)
    assert place[-1, 0] == pytest.approx(-2.0, abs=0.1)
    assert np.abs(place[:, 2]).max() < 1e-6


def test_a_hand_reaches_its_target():
    target = [0.45, -0.2, 1.2]
    reach = {"kind": "reach", "target": "point", "point_m": target, "duration_s": 9.0}
    capsules, _, _ = run(person([{**reach, "speed_m_s": 1.0}]), 5)
    hand = 0.5 * (capsules[-1, 11, :3] + capsules[-1, 11, 3:6])
    # The wrist aims at the target; the hand follows the forearm.
    assert np.linalg.norm(hand - target) < 0.12


def test_looking_away_turns_the_face_from_the_robot():
    view = look()
    view.base_position = np.array([2.0, 2.0, 0.0])
    who = person([{"kind": "look_away"}])
    run(who, 5, view=view)
    assert who.mouth.axis[1] < -0.7


def test_the_same_seed_gives_the_same_motion():
    behaviours = [
        {"kind": "rest"},
        {"kind": "spasm", "start_s": 1.0},
        {"kind": "fall", "start_s": 3.0},
    ]
    a = run(person(behaviours, 3, waypoints_m=BEND))[0]
    b = run(person(behaviours, 3, waypoints_m=BEND))[0]
    config = sample_person("adult_man", generator(3, "person"))
    c = run(person(behaviours, 4, config=config, waypoints_m=BEND))[0]
    assert np.array_equal(a, b) and not np.array_equal(a, c)
    who = person(behaviours, 3, waypoints_m=BEND)
    run(who)
    who.reset()
    assert np.array_equal(run(who)[0], a)


def test_everything_a_seated_person_does_can_be_done_standing():
    for kind in GESTURE_KINDS:
        who = person([{"kind": kind, "start_s": 0.5, "duration_s": 1.0}])
        capsules, _, _ = run(who, 3)
        assert np.isfinite(capsules).all()


def test_several_behaviours_at_once_keep_the_bound():
    rng = np.random.default_rng(5)
    kinds = [kind for kind in (*MOVEMENT_KINDS, *GESTURE_KINDS) if "fall" not in kind]
    kinds.remove("get_up")
    for seed in range(40):
        drawn = rng.choice(kinds, 3, replace=False)
        behaviours = [
            {
                "kind": str(kind),
                "start_s": float(rng.uniform(0, 4)),
                "duration_s": float(rng.uniform(0.3, 4)),
                "amplitude_rad": float(rng.uniform(0, 0.6)),
                "speed_m_s": float(rng.uniform(0.3, 1.6)),
                "side": str(rng.choice(["left", "right"])),
                "response": str(rng.choice(["stop", "step_aside"])),
            }
            for kind in drawn
        ]
        bend = tuple((float(x), float(y)) for x, y in rng.uniform(-4, 4, (5, 2)))
        who = person(
            behaviours,
            seed,
            str(rng.choice(list(GROUPS))),
            waypoints_m=bend,
            speed_m_s=float(rng.uniform(0.2, 1.6)),
            yaw_rad=float(rng.uniform(-3, 3)),
        )
        _, velocity, _ = run(who, 8, view=look(alarm=bool(seed % 2)))
        fastest = speeds(velocity).max(axis=0)
        assert fastest[:6].max() <= 1.6 + 1e-4, drawn
        assert fastest[6:12].max() <= 2.0 + 1e-4, drawn
        assert fastest[12:].max() <= 3.5 * 1.6, drawn


def test_a_fall_begins_where_the_body_is():
    who = person(
        [{"kind": "fall", "start_s": 3.0}],
        group="elderly_man",
        waypoints_m=AHEAD,
        speed_m_s=1.0,
    )
    _, velocity, _ = run(who, 3.1, 0.01)
    assert speeds(velocity)[-10:, :6].max() < 2.5
