from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pyarrow import parquet

from physai.errors import ContractError, RecordError
from physai.record.episode import Episode, EpisodeWriter, StepRecord
from physai.record.privacy import mask_circle, project_sphere
from physai.record.video import MASKED, Image, VideoWriter, write_text

cv2 = pytest.importorskip("cv2")


def read(path: Path) -> list[Image]:
    capture = cv2.VideoCapture(str(path))
    frames = []
    while True:
        there, frame = capture.read()
        if not there:
            return frames
        frames.append(frame[:, :, ::-1])


def test_frames_come_back_with_text_and_without_faces(tmp_path: Path) -> None:
    def overlay(image: Image) -> None:
        write_text(image, ["guard on", "margin 0.4"])

    frame = np.zeros((121, 161, 3), dtype=np.uint8)
    frame[:, :, 0] = 200
    rng = np.random.default_rng(0)
    frame[60:100, 60:100] = rng.integers(0, 255, (40, 40, 3))
    before = frame.copy()
    with VideoWriter(tmp_path / "new" / "a.mp4", 20.0, overlay) as video:
        for _ in range(10):
            video.write(frame, [(80.0, 80.0, 30.0)])
        assert not video.path.exists()
    np.testing.assert_array_equal(frame, before)
    frames = read(video.path)
    assert len(frames) == 10
    assert frames[0].shape == (120, 160, 3)
    red, green, _ = frames[-1][110, 5]
    assert red > 150 and green < 60
    assert frames[-1][:40, :80].max() > 230
    assert frames[-1][68:92, 68:92].std(axis=(0, 1)).max() < 8
    assert [p.name for p in video.path.parent.iterdir()] == ["a.mp4"]


def test_wrong_frames_and_places(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match=r"\.mp4"):
        VideoWriter(tmp_path / "a.avi")
    (tmp_path / "file").write_text("")
    with pytest.raises(RecordError, match="cannot be made"):
        VideoWriter(tmp_path / "file" / "a.mp4")
    video = VideoWriter(tmp_path / "a.mp4")
    assert video.close() is None
    with pytest.raises(ContractError, match="uint8"):
        video.write(np.zeros((4, 4, 3)), MASKED)  # type: ignore[arg-type]
    video.write(np.zeros((40, 40, 3), np.uint8), MASKED)
    with pytest.raises(ContractError, match="follows"):
        video.write(np.zeros((40, 50, 3), np.uint8), MASKED)
    assert video.close() == tmp_path / "a.mp4"


def test_the_projected_circle_covers_the_sphere() -> None:
    """Every point of the sphere that the camera sees lies within the circle."""
    view = np.eye(4)
    view[2, 3] = -2.0
    fov, aspect, near, far = np.deg2rad(60), 4 / 3, 0.1, 10.0
    f = 1 / np.tan(fov / 2)
    projection = np.zeros((4, 4))
    projection[0, 0], projection[1, 1] = f / aspect, f
    projection[2, 2] = (far + near) / (near - far)
    projection[2, 3] = 2 * far * near / (near - far)
    projection[3, 2] = -1.0
    rng = np.random.default_rng(0)
    for _ in range(50):
        centre = rng.uniform([-0.8, -0.6, -1], [0.8, 0.6, 0.5])
        circle = project_sphere(centre, 0.12, view, projection, (640, 480))
        assert circle is not None
        points = rng.normal(size=(500, 3))
        points = centre + 0.12 * points / np.linalg.norm(points, axis=1, keepdims=True)
        clip = np.c_[points, np.ones(500)] @ view.T @ projection.T
        column = (clip[:, 0] / clip[:, 3] + 1) * 320
        row = (1 - clip[:, 1] / clip[:, 3]) * 240
        away = np.hypot(column - circle[0], row - circle[1])
        assert away.max() <= circle[2] <= 2 * away.max()
    behind = np.array([0.0, 0.0, 5.0])
    assert project_sphere(behind, 0.1, view, projection, (640, 480)) is None


def test_masking_outside_the_picture_does_nothing() -> None:
    image = np.full((8, 8, 3), 7, np.uint8)
    mask_circle(image, -50.0, 4.0, 10.0)
    assert (image == 7).all()
    with pytest.raises(ContractError, match="finite"):
        mask_circle(image, float("nan"), 0.0, 1.0)


def test_camera_images_of_a_state_are_not_kept(
    tmp_path: Path, make_steps: Callable[..., list[StepRecord]]
) -> None:
    first, step = make_steps(2)
    photo = np.random.default_rng(0).integers(0, 255, (64, 64, 3)).astype(np.uint8)
    seen = dataclasses.replace(step.state, images={"room.rgb": photo})
    writer = EpisodeWriter(tmp_path / "a.parquet", {"seed": 1})
    writer.begin(first.state, first.truth)
    writer.append(dataclasses.replace(step, state=seen))
    path = writer.close()
    assert Episode.load(path).step(0).state.images is None
    names = parquet.read_schema(path).names
    assert "state_people" in names
    assert not [name for name in names if "image" in name or "rgb" in name]
