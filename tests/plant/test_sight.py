"""Lines of sight of a tracker that a robot carries."""

from __future__ import annotations

import math

import numpy as np
import pytest

from physai.body.person import SEGMENTS
from physai.plant.scene import BoxConfig, SceneConfig
from physai.plant.sight import EyeConfig, Sight
from physai.plant.tracker import BodyTracker, TrackerConfig
from physai.robot.description import load_robot
from physai.robot.kinematics import Kinematics

WALL = BoxConfig(name="wall", center_m=(3.0, 2.0, 1.5), size_m=(2.0, 2.0, 3.0))
GLASS = WALL.model_copy(update={"solid": False})
EYE = EyeConfig(position_m=(0.5, 0.0, 2.0), range_m=10.0, lose_after_s=0.5)
TRACKER = TrackerConfig(
    rate_hz=20,
    latency_s=0.0,
    sigma_m=0.0,
    correlation=0.0,
    miss_rate=0.0,
    eye=EYE,
    source="test",
)


def person(x, y, z=1.0):
    rows = np.zeros((len(SEGMENTS), 7))
    rows[:, [0, 3]], rows[:, [1, 4]], rows[:, [2, 5]] = x, y, z
    rows[:, 6] = 0.1
    return rows


def sight(*boxes, yaw=0.0):
    k = Kinematics(load_robot("truck"))
    k.set_base(
        np.array([0.0, 0.0, 0.0, 0.0, 0.0, math.sin(yaw / 2), math.cos(yaw / 2)])
    )
    k.update(np.array([0.0, 0.0, 0.3]))
    return Sight(EYE, SceneConfig(boxes=boxes), k)


def test_nobody_is_seen_through_a_wall_and_everybody_through_what_is_not_solid():
    people = np.stack([person(6.0, 4.0), person(6.0, -4.0), person(6.0, 0.0)])
    assert sight(WALL).look(people).tolist() == [False, True, True]
    assert sight(GLASS).look(people).all()


def test_the_edge_of_the_shadow_is_where_the_line_through_the_corner_meets():
    # Eye at (0.5, 0); the wall's far corner toward it is (4, 1).
    seen, slope = sight(WALL), 1.0 / 3.5
    assert seen.look(np.stack([person(6.0, slope * 5.5 - 0.05)]))[0]
    assert not seen.look(np.stack([person(6.0, slope * 5.5 + 0.05)]))[0]


def test_the_eye_goes_with_the_robot_and_does_not_see_beyond_its_range():
    people = np.stack([person(0.0, 5.0), person(0.0, 10.6)])
    assert sight(yaw=math.pi / 2).look(people).tolist() == [True, False]


def test_it_looks_over_what_is_low():
    low = WALL.model_copy(update={"size_m": (2.0, 2.0, 0.5), "center_m": (3, 2, 0.25)})
    assert sight(low).look(np.stack([person(6.0, 4.0)]))[0]


def test_a_track_out_of_sight_ages_and_is_forgotten_and_comes_back():
    tracker = BodyTracker(TRACKER, 1, 0, 100, 20.0, sight(WALL))
    open_air, hidden = np.stack([person(6.0, -4.0)]), np.stack([person(6.0, 4.0)])
    tracker.observe(0.0, open_air)
    assert tracker.listed(0.0) is None
    for step in range(1, 21):
        tracker.observe(0.05 * step, hidden)
        listed = tracker.listed(0.05 * step)
        gone = 0.05 * step > EYE.lose_after_s + 1e-9
        assert (listed is not None and not listed[0]) == gone
        if not gone:
            assert tracker.ages(0.05 * step)[0] == pytest.approx(0.05 * step)
            assert np.allclose(tracker.capsules, open_air)
    tracker.observe(1.05, open_air)
    assert tracker.listed(1.05) is None


def test_who_was_never_seen_has_no_track():
    tracker = BodyTracker(TRACKER, 2, 0, 100, 20.0, sight(WALL))
    tracker.observe(0.0, np.stack([person(6.0, 4.0), person(6.0, -4.0)]))
    listed = tracker.listed(0.0)
    assert listed is not None
    assert listed.tolist() == [False, True]
