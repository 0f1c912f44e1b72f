"""Error of object poses from tags against truth: writes a JSON table.

    python benchmarks/fiducial.py [--poses 200] [--quick]

A carton with a tag on each of two faces is put at random before a camera, 0.8 to 2.0 m
away and tilted by up to 60 degrees, as above a palletizing cell; the tag is drawn with
occlusion, light and noise, found, and its pose compared with the truth. Errors are those
of the object's middle in the world and of its whole turn.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from physai.plant.camera import Camera
from physai.plant.camera_settings import IntrinsicsConfig, RgbdConfig, TagConfig
from physai.plant.camera_world import CameraWorld
from physai.plant.fiducial import TagDetector, TagTracker
from physai.plant.scene import SceneConfig
from physai.provenance import environment_record
from physai.robot.description import load_robot, rotation_from_rpy
from physai.robot.kinematics import (
    Kinematics,
    quaternion_from_rotation,
    rotation_from_quaternion,
)
from physai.types import Array

SIZE = np.array([0.4, 0.3, 0.25])
NOBODY = np.zeros((0, 16, 7))
CAMERAS = {
    "640x480": IntrinsicsConfig(width_px=640, height_px=480, fx_px=615.0),
    "1280x720": IntrinsicsConfig(width_px=1280, height_px=720, fx_px=920.0),
}
"""Focal lengths of a colour imager of 55 and 70 degrees: recalled, low."""


def random_box(rng: np.random.Generator, camera: Camera, away: float) -> Array:
    """A carton so far away in the picture, a tagged face toward the camera."""
    i = camera.intrinsics
    u = rng.uniform(0.3, 0.7) * i.width
    v = rng.uniform(0.3, 0.7) * i.height
    ray = np.array([(u - i.cx_px) / i.fx_px, (v - i.cy_px) / i.fy_px, 1.0])
    spot = camera.position + camera.rotation @ (away * ray / np.linalg.norm(ray))
    tilt, about = rng.uniform(0, math.radians(60)), rng.uniform(-math.pi, math.pi)
    lean = np.array([tilt * math.cos(about), tilt * math.sin(about), 0.0])
    facing = camera.rotation @ rotation_from_rpy(math.pi, 0.0, 0.0)
    turn = facing @ rotation_from_rpy(lean[0], lean[1], rng.uniform(-3.1, 3.1))
    box = np.empty(10)
    quaternion_from_rotation(turn, box[3:7])
    box[:3] = spot - 0.5 * SIZE[2] * turn[:, 2]
    box[7:] = SIZE
    return box


def measure(
    size: str, tag_m: float, poses: int, scale: int, tags: int
) -> dict[str, Any]:
    """Errors of one camera and one size of tag."""
    faces = ("top", "front")[:tags]
    labels = tuple(
        TagConfig(id=7 + k, object=0, size_m=tag_m, face=face)
        for k, face in enumerate(faces)
    )
    config = RgbdConfig(
        position_m=(1.2, -0.4, 2.2),
        target_m=(0.6, 0.1, 0.3),
        intrinsics=CAMERAS[size],
        rate_hz=10.0,
        latency_s=0.0,
        light=(0.4, 0.75),
        tags=labels,
        render_scale=scale,
        source="benchmark",
    )
    robot = load_robot("franka")
    kinematics = Kinematics(robot, np.array([0, 0, 0.3, 0, 0, 0, 1]))
    world = CameraWorld(SceneConfig())
    camera = Camera(config, robot, world, "cell")
    tracker = TagTracker(TagDetector(labels, camera.intrinsics), labels, SIZE[None])
    rng = np.random.default_rng(0)
    rows, seen, refused, wrong, cost = [], 0, 0, 0, []
    for k in range(poses):
        away = rng.uniform(0.8, 2.0)
        box = random_box(rng, camera, away)
        camera.reset(k)
        tracker.reset()
        camera.observe(0.0, kinematics, NOBODY, box[None])
        assert camera.images is not None
        start = time.perf_counter()
        tracker.observe(
            0.0, camera.images["cell.rgb"], camera.position, camera.rotation
        )
        cost.append(time.perf_counter() - start)
        if not tracker.valid[0]:
            refused += bool(tracker.detector.detect(camera.images["cell.rgb"]))
            continue
        seen += 1
        truth, found = np.empty((3, 3)), np.empty((3, 3))
        rotation_from_quaternion(box[3:7], truth)
        rotation_from_quaternion(tracker.poses[0, 3:], found)
        angle = math.acos(min(1.0, 0.5 * (np.trace(truth.T @ found) - 1.0)))
        place = float(np.linalg.norm(tracker.poses[0, :3] - box[:3]))
        wrong += angle > math.radians(10.0)
        rows.append([away, place, angle])
    world.close()
    table = np.array(rows)
    result: dict[str, Any] = {
        "camera": size,
        "tag_m": tag_m,
        "tags": tags,
        "poses": poses,
        "valid_share": seen / poses,
        "refused_share": refused / poses,
        "turned_wrong": wrong,
        "detection_ms_p50": round(1e3 * float(np.median(cost)), 2),
    }
    for name, low, high in (("all", 0.8, 2.0), ("near", 0.8, 1.4), ("far", 1.4, 2.0)):
        part = table[(table[:, 0] >= low) & (table[:, 0] <= high)]
        position, angle = part[:, 1] * 1e3, np.degrees(part[:, 2])
        result[name] = {
            "from_m": low,
            "to_m": high,
            "count": len(part),
            **{
                f"position_mm_p{q}": round(float(np.percentile(position, q)), 2)
                for q in (50, 90, 99)
            },
            **{
                f"angle_deg_p{q}": round(float(np.percentile(angle, q)), 2)
                for q in (50, 90, 99)
            },
        }
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--poses", type=int, default=200)
    parser.add_argument("--quick", action="store_true", help="40 poses, one camera")
    parser.add_argument(
        "--out", default=Path(__file__).parent / "results" / "fiducial.json", type=Path
    )
    options = parser.parse_args()
    runs = [
        ("640x480", 0.08, 4, 1),
        ("640x480", 0.12, 4, 1),
        ("640x480", 0.12, 1, 1),
        ("1280x720", 0.12, 8, 1),
    ]
    poses = 40 if options.quick else options.poses
    rows = []
    print(
        "camera     tag    render  valid  wrong  position p50/p90/p99 mm  angle p50/p90/p99 deg  ms"
    )
    for size, tag, scale, tags in runs[:1] if options.quick else runs:
        row = {**measure(size, tag, poses, scale, tags), "render_scale": scale}
        rows.append(row)
        a = row["all"]
        print(
            f"{size:10s} {tag:.2f}   1/{scale}     {row['valid_share']:.3f}  {row['refused_share']:.3f} "
            f"{row['turned_wrong']:3d}    "
            f"{a['position_mm_p50']:5.1f} {a['position_mm_p90']:5.1f} "
            f"{a['position_mm_p99']:5.1f}         {a['angle_deg_p50']:5.2f} "
            f"{a['angle_deg_p90']:5.2f} {a['angle_deg_p99']:5.2f}        "
            f"{row['detection_ms_p50']}",
            flush=True,
        )
    if options.quick:
        return
    record = {"rows": rows, "environment": environment_record()}
    options.out.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
