"""The walking cycle against figures that were measured on the clip elsewhere."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from physai.body import gait
from physai.body.behaviour import PersonView
from physai.body.gait import NATURAL_STRIDE, load_gait, stride_scale
from physai.body.limbs import FOOT
from physai.body.person import PersonConfig
from physai.body.walker import PathConfig, Walker
from physai.errors import ConfigError

needs_clip = pytest.mark.skipif(gait.clip_path() is None, reason="no pybullet_data")
SOURCES = [pytest.param("clip", marks=needs_clip), "synthetic"]
DT = 0.01


def walk(source, speed, stature=1.62, seconds=6.0):
    """Walk straight; return (N, 2, 3) ankles and (N, 3) pelvis of the steady part."""
    config = PersonConfig(
        group="adult_woman", sex="female", stature_m=stature, mass_kg=58.0
    )
    path = PathConfig(
        position_m=(0, 0, 0), waypoints_m=((0, 0), (90, 0)), speed_m_s=speed
    )
    person = Walker(config, path, [], 0, gait=source)
    view, ankles, pelvis = PersonView(np.zeros(3), np.zeros(3), 9.0), [], []
    for step in range(1, int((seconds + 4.0) / DT)):
        person.advance(step * DT, DT, view)
        # The lower leg's capsule ends at the middle of the foot.
        foot = FOOT * stature * person.segment_rotation[14:16, :, 0]
        ankles.append(person.capsules[14:16, 3:6] - foot)
        pelvis.append(0.5 * (person.capsules[5, :3] + person.capsules[5, 3:6]))
    skip = int(4.0 / DT)
    return np.array(ankles)[skip:], np.array(pelvis)[skip:]


def landings(foot):
    """Times at which a foot is farthest ahead of the body."""
    peaks = (foot[1:-1] > foot[:-2]) & (foot[1:-1] >= foot[2:])
    return np.flatnonzero(peaks) + 1


@pytest.mark.parametrize("source", SOURCES)
def test_stride_and_cadence_are_those_of_the_clip(source):
    ankles, pelvis = walk(source, 0.978)
    steps = [landings(ankles[:, side, 0] - pelvis[:, 0]) for side in (0, 1)]
    assert np.diff(ankles[steps[0], 0, 0]) == pytest.approx(1.24, rel=0.02)
    both = np.sort(np.concatenate(steps))
    assert 60.0 / (np.diff(both).mean() * DT) == pytest.approx(94.7, rel=0.02)


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("speed", [0.6, 0.8, 1.0, 1.3])
def test_a_foot_on_the_floor_does_not_slip(source, speed):
    ankles, _ = walk(source, speed)
    for side in (0, 1):
        height = ankles[:, side, 2]
        down = (height < height.min() + 0.012)[:-1]
        forward = np.diff(ankles[:, side, 0]) / DT
        # A foot on its way forward is near the floor too, but fast.
        down &= forward < 0.5 * speed
        assert 0.3 < down.mean() < 0.75
        assert np.abs(forward[down]).mean() < 0.08
        assert np.percentile(np.abs(forward[down]), 95) < 0.25


@needs_clip
def test_width_and_reach_of_the_steps_are_those_of_the_clip():
    ankles, _ = walk("clip", 0.978)
    left, right = ankles[:, 0], ankles[:, 1]
    assert abs(left[:, 1] - right[:, 1]).mean() == pytest.approx(0.14, abs=0.015)
    far = np.linalg.norm(left - right, axis=1).max()
    assert far == pytest.approx(0.60, abs=0.07)


@pytest.mark.parametrize("source", SOURCES)
def test_the_pelvis_rises_and_sinks_by_some_centimetres(source):
    height = walk(source, 0.978)[1][:, 2]
    assert 0.02 < np.ptp(height) < 0.06
    # Twice per stride: the spectrum's largest line is at two steps per cycle.
    spectrum = np.abs(np.fft.rfft(height - height.mean()))
    line = np.fft.rfftfreq(len(height), DT)[spectrum.argmax()]
    assert line == pytest.approx(94.7 / 60.0, rel=0.1)


@pytest.mark.parametrize("source", SOURCES)
def test_arms_swing_against_the_legs(source):
    table = load_gait(source).table
    assert np.corrcoef(table[:, 3], table[:, 13])[0, 1] < -0.7
    assert np.corrcoef(table[:, 3], table[:, 16])[0, 1] > 0.7


@pytest.mark.parametrize("source", SOURCES)
def test_the_cycle_has_no_seam(source):
    table = load_gait(source).table
    steps = np.abs(np.diff(np.vstack([table, table[:1]]), axis=0))
    assert (steps[-1] <= 1.5 * steps[:-1].max(axis=0) + 1e-9).all()


@settings(deadline=None)
@given(st.floats(0.05, 1.6), st.floats(1.1, 1.95))
def test_speed_is_split_over_stride_and_cadence(speed, stature):
    scale = stride_scale(speed, stature)
    assert 0.6 <= scale <= 1.25
    stride = scale * NATURAL_STRIDE * stature
    natural = 0.978 * stature / 1.62
    if 0.36 <= speed / natural <= 1.5625:
        cadence = speed / stride * 1.2669
        assert cadence == pytest.approx(math.sqrt(speed / natural), rel=1e-3)


def test_without_the_package_the_synthetic_gait_is_used(monkeypatch):
    monkeypatch.setattr(gait.importlib.util, "find_spec", lambda name: None)
    load_gait.cache_clear()
    try:
        assert load_gait().source == "synthetic"
        with pytest.raises(ConfigError, match="pybullet_data"):
            load_gait("clip")
    finally:
        load_gait.cache_clear()


def test_a_broken_clip_is_refused_with_its_name(tmp_path, monkeypatch):
    path = tmp_path / "clip.txt"
    path.write_text('{"Frames": [[1, 2]]}')
    monkeypatch.setattr(gait, "clip_path", lambda: path)
    load_gait.cache_clear()
    try:
        with pytest.raises(ConfigError, match=r"clip\.txt.*44"):
            load_gait("clip")
    finally:
        load_gait.cache_clear()
