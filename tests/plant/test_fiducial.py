"""Tags: drawn where they project, hidden where something stands before, found again."""

from __future__ import annotations

import math

import numpy as np
import pytest

from physai.config import parse
from physai.errors import ConfigError, ContractError
from physai.plant.camera import Camera, look_rotation
from physai.plant.camera_settings import Intrinsics, RgbdConfig, TagConfig
from physai.plant.camera_world import CameraWorld, Shot
from physai.plant.fiducial import TagDetector, TagTracker
from physai.plant.scene import SceneConfig
from physai.plant.tag_drawing import FACES, draw_tag, place_tag
from physai.robot.description import load_robot, rotation_from_rpy
from physai.robot.kinematics import (
    Kinematics,
    quaternion_from_rotation,
    rotation_from_quaternion,
)
from physai.types import Array

pytest.importorskip("cv2")
CAMERA = Intrinsics(640, 480, 615.0, 615.0, 319.5, 239.5)
FACING = rotation_from_rpy(math.pi, 0.0, 0.0)
TAG = TagConfig(id=7, object=0, size_m=0.12)
SIZE = np.array([0.4, 0.3, 0.25])


def blank(depth: float = math.inf) -> Shot:
    return Shot(
        np.full((480, 640, 3), 150, np.uint8),
        np.full((480, 640), depth, np.float32),
        np.zeros((480, 640), np.int32),
    )


def random_turn(rng: np.random.Generator, tilt: float) -> Array:
    lean, about = rng.uniform(0, tilt), rng.uniform(-3, 3)
    return FACING @ rotation_from_rpy(
        lean * math.cos(about), lean * math.sin(about), rng.uniform(-3, 3)
    )


def angle_between(a: Array, b: Array) -> float:
    return math.acos(min(1.0, max(-1.0, 0.5 * (np.trace(a.T @ b) - 1.0))))


def test_a_tag_covers_the_pixels_of_its_projection() -> None:
    """The area that is drawn is the area of the projected square with its rim."""
    rng = np.random.default_rng(0)
    for _ in range(20):
        z = rng.uniform(0.5, 1.5)
        position = np.array([*rng.uniform(-0.15, 0.15, 2) * z, z])
        rotation = random_turn(rng, 1.0)
        shot = blank()
        assert draw_tag(shot, CAMERA, position, rotation, TAG, (0.0, 255.0))
        half = 0.06 * 1.25
        square = half * np.array([[-1, 1, 0], [1, 1, 0], [1, -1, 0], [-1, -1, 0]])
        x, y = CAMERA.project(position + square @ rotation.T).T
        area = 0.5 * abs(x @ np.roll(y, 1) - y @ np.roll(x, 1))
        changed = (shot.rgb[:, :, 0] != 150).sum()
        assert area - 10 < changed < area + 4 * math.sqrt(area) + 10


def test_what_stands_before_a_tag_hides_it() -> None:
    position = np.array([0.0, 0.0, 1.0])
    shot = blank()
    shot.depth[:, :320] = 0.5
    assert draw_tag(shot, CAMERA, position, FACING, TAG)
    assert (shot.rgb[:, :320] == 150).all() and (shot.rgb[:, 320:] != 150).any()
    assert not draw_tag(blank(0.9), CAMERA, position, FACING, TAG)
    # On its own face it is seen.
    assert draw_tag(blank(1.0), CAMERA, position, FACING, TAG)
    # From behind, behind the camera, beside the picture.
    assert not draw_tag(blank(), CAMERA, position, np.eye(3), TAG)
    assert not draw_tag(blank(), CAMERA, -position, np.eye(3), TAG)
    assert not draw_tag(blank(), CAMERA, np.array([3.0, 0, 1]), FACING, TAG)


def test_poses_are_found_again() -> None:
    rng = np.random.default_rng(3)
    detector = TagDetector([TAG], CAMERA)
    places, turns, seen = [], [], 0
    for _ in range(40):
        z = rng.uniform(0.8, 2.0)
        position = np.array([*rng.uniform(-0.2, 0.2, 2) * z, z])
        rotation = random_turn(rng, math.radians(50))
        shot = blank()
        draw_tag(shot, CAMERA, position, rotation, TAG)
        noisy = np.clip(shot.rgb + rng.normal(0, 2, shot.rgb.shape) + 0.5, 0, 255)
        sightings = [
            s for s in detector.detect(noisy.astype(np.uint8)) if detector.is_valid(s)
        ]
        if not sightings:
            continue
        seen += 1
        found = np.empty((3, 3))
        rotation_from_quaternion(sightings[0].pose[3:], found)
        places.append(np.linalg.norm(sightings[0].pose[:3] - position) / z)
        turns.append(angle_between(found, rotation))
    assert seen >= 34
    assert np.median(places) < 0.003 and np.quantile(places, 0.9) < 0.008
    assert np.median(turns) < math.radians(1.0)


@pytest.mark.parametrize("face", sorted(FACES))
def test_a_tag_on_any_face_gives_the_pose_of_the_box(face: str) -> None:
    rng = np.random.default_rng(5)
    tag = TagConfig(id=3, object=1, size_m=0.12, face=face)  # type: ignore[arg-type]
    shift, turn = place_tag(tag, SIZE)
    assert np.linalg.det(turn) == pytest.approx(1.0)
    np.testing.assert_allclose(turn[:, 2] * np.abs(shift).max(), shift, atol=1e-12)
    tracker = TagTracker(TagDetector([tag], CAMERA), [tag], np.array([SIZE, SIZE]))
    camera_position = np.array([0.3, 0.2, 1.5])
    camera = look_rotation(
        camera_position, np.array([1.0, 0, 0]), np.array([0, 0, 1.0])
    )
    seen = random_turn(rng, 0.6)
    box = camera @ seen @ turn.T
    middle = camera_position + camera @ (
        np.array([0.1, -0.05, 1.2]) - seen @ turn.T @ shift
    )
    shot = blank()
    assert draw_tag(shot, CAMERA, np.array([0.1, -0.05, 1.2]), seen, tag)
    tracker.observe(2.0, shot.rgb, camera_position, camera)
    assert tracker.valid.tolist() == [False, True]
    np.testing.assert_allclose(tracker.poses[1, :3], middle, atol=0.01)
    found = np.empty((3, 3))
    rotation_from_quaternion(tracker.poses[1, 3:], found)
    assert angle_between(found, box) < math.radians(3.0)
    assert tracker.ages(2.5).tolist() == [math.inf, 0.5]
    tracker.observe(3.0, blank().rgb, camera_position, camera)
    assert tracker.ages(3.5)[1] == 1.5, "not seen: the old pose ages"
    tracker.reset()
    assert not tracker.valid.any()


def test_tags_on_two_faces_count_together() -> None:
    """The same boxes, seen by one tag and by both: both leave less doubt."""
    rng = np.random.default_rng(8)
    one = [TagConfig(id=3, object=0, size_m=0.12)]
    both = [*one, TagConfig(id=4, object=0, size_m=0.12, face="front")]
    trackers = [TagTracker(TagDetector(t, CAMERA), t, SIZE[None]) for t in (one, both)]
    errors: list[list[float]] = [[], []]
    for _ in range(12):
        lean = rotation_from_rpy(0.0, rng.uniform(-0.9, -0.6), rng.uniform(-0.3, 0.3))
        turn, middle = FACING @ lean, np.array([*rng.uniform(-0.2, 0.2, 2), 1.8])
        shot = blank()
        for tag in both:
            shift, face = place_tag(tag, SIZE)
            assert draw_tag(shot, CAMERA, middle + turn @ shift, turn @ face, tag)
        noisy = np.clip(shot.rgb + rng.normal(0, 2, shot.rgb.shape) + 0.5, 0, 255)
        for tracker, found in zip(trackers, errors, strict=True):
            tracker.reset()
            seen = tracker.observe(0.0, noisy.astype(np.uint8), np.zeros(3), np.eye(3))
            if seen == [0]:
                found.append(float(np.linalg.norm(tracker.poses[0, :3] - middle)))
    assert len(errors[1]) == 12 and np.max(errors[1]) < 0.006
    assert np.median(errors[1]) < np.median(errors[0])


def test_a_tag_that_is_seen_from_the_side_is_not_used() -> None:
    near = TagConfig(id=7, object=0, size_m=0.3)
    detector = TagDetector([near], CAMERA)
    for steepness, usable in ((1.0, True), (1.3, False)):
        turn = FACING @ rotation_from_rpy(steepness, 0.0, 0.0)
        shot = blank()
        draw_tag(shot, CAMERA, np.array([0.0, 0.0, 1.0]), turn, near)
        sightings = detector.detect(shot.rgb)
        assert sightings and sightings[0].steepness_rad == pytest.approx(
            steepness, abs=0.05
        )
        assert detector.is_usable(sightings[0]) is usable
        assert detector.is_valid(sightings[0]) is usable


def test_the_whole_path_from_a_carton_to_its_pose() -> None:
    """Scene, camera, tag, noise, detection: nothing is told the truth."""
    config = parse(
        RgbdConfig,
        {
            "position_m": [0.5, 0.0, 1.8],
            "target_m": [0.5, 0.1, 0.0],
            "up": [1, 0, 0],
            "intrinsics": {"width_px": 640, "height_px": 480, "fx_px": 615.0},
            "rate_hz": 5.0,
            "latency_s": 0.0,
            "tags": [TAG.model_dump()],
            "render_scale": 4,
            "source": "test",
        },
        "x",
    )
    robot = load_robot("franka")
    world = CameraWorld(SceneConfig())
    camera = Camera(config, robot, world, "cell")
    tracker = TagTracker(
        TagDetector(config.tags, camera.intrinsics), config.tags, SIZE[None]
    )
    turn = np.zeros(4)
    quaternion_from_rotation(rotation_from_rpy(0.05, -0.1, 0.7), turn)
    box = np.array([[0.6, 0.1, 0.3, *turn, *SIZE]])
    camera.observe(0.0, Kinematics(robot, np.array([-2.0, 0, 0, 0, 0, 0, 1])),
                   np.zeros((0, 16, 7)), box)  # fmt: skip
    assert camera.images is not None
    tracker.observe(0.0, camera.images["cell.rgb"], camera.position, camera.rotation)
    assert tracker.valid[0]
    np.testing.assert_allclose(tracker.poses[0, :3], box[0, :3], atol=0.01)
    assert abs(tracker.poses[0, 3:] @ turn) > math.cos(math.radians(1.5))
    world.close()


def test_wrong_tags_are_refused() -> None:
    with pytest.raises(ContractError, match="do not fit"):
        place_tag(TagConfig(id=0, object=0, size_m=0.25), SIZE)
    with pytest.raises(ContractError, match="one dictionary"):
        TagDetector([TAG, TAG.model_copy(update={"object": 1})], CAMERA)
    with pytest.raises(ContractError, match="there are 1 objects"):
        tag = TAG.model_copy(update={"object": 1})
        TagTracker(TagDetector([tag], CAMERA), [tag], SIZE[None])
    with pytest.raises(ContractError, match="no number 99"):
        draw_tag(
            blank(),
            CAMERA,
            np.array([0, 0, 1.0]),
            FACING,
            TagConfig(id=99, object=0, size_m=0.1, dictionary="aruco_4x4_50"),
        )
    with pytest.raises(ConfigError, match="render_scale must divide"):
        parse(
            RgbdConfig,
            {
                "position_m": [0, 0, 1],
                "target_m": [1, 0, 0],
                "intrinsics": {"width_px": 64, "height_px": 64, "fx_px": 60.0},
                "rate_hz": 5.0,
                "latency_s": 0.0,
                "render_scale": 5,
                "source": "test",
            },
            "x",
        )
