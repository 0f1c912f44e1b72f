"""Cost of a scan and of an image, beside one bare physics step: writes a JSON table.

    python benchmarks/sensors.py [--blocks 30] [--out FILE]

Scene: a truck between 20 boxes (racks and pallets) and 4 cylinders, three people of 16
capsules, two boxes that move. Every block times the bare step and each sensor in turn, in
processor time, so that a slow phase of the machine falls on all of them; figures are
medians over blocks, ratios are medians of the ratios within a block. The bare step is
that of the arm of CareFeeding with its furniture.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from physai.body.person import Person, SeatConfig, sample_person
from physai.plant.bullet import BulletDynamics
from physai.plant.camera import Camera
from physai.plant.camera_settings import IntrinsicsConfig, RgbdConfig
from physai.plant.camera_world import CameraWorld
from physai.plant.lidar import Lidar
from physai.plant.lidar_settings import LIDARS, LidarConfig
from physai.plant.protective_field import ScanGeometry, clearance_along, read_field
from physai.plant.scene import BoxConfig, CylinderConfig, SceneConfig
from physai.provenance import environment_record
from physai.robot.description import load_robot
from physai.robot.kinematics import Kinematics
from physai.tasks import registry
from physai.types import Array


def scene(rng: np.random.Generator) -> SceneConfig:
    """Two rows of racks and pallets, and four posts."""
    boxes = tuple(
        BoxConfig(
            name=f"box{k}",
            center_m=(-9.0 + 2.0 * (k // 2), 3.0 if k % 2 else -3.5, 0.8),
            size_m=(float(rng.uniform(0.8, 1.9)), 1.0, 1.6),
        )
        for k in range(20)
    )
    posts = tuple(
        CylinderConfig(name=f"post{k}", center_m=(x, y, 1.0), radius_m=0.1, height_m=2)
        for k, (x, y) in enumerate([(-5, 1.5), (5, 1.5), (-5, -1.8), (5, -1.8)])
    )
    return SceneConfig(boxes=boxes, cylinders=posts)


def people(rng: np.random.Generator) -> Array:
    """Three people before the truck."""
    rows = []
    for k, (x, y) in enumerate([(3.0, 0.5), (4.5, -1.0), (-4.0, 1.0)]):
        seat = SeatConfig(position_m=(x, y, 0.45), yaw_rad=3.0)
        person = Person(sample_person("adult_man", rng), seat, (), 0, f"p{k}")
        rows.append(person.capsules)
    return np.array(rows)


def subjects() -> tuple[dict[str, tuple[Callable[[], object], int]], dict[str, Any]]:
    """What is timed: a call by name and how many of it make a block."""
    rng = np.random.default_rng(0)
    robot, room, persons = load_robot("truck"), scene(rng), people(rng)
    kinematics = Kinematics(robot)
    moving = np.array(
        [
            [6, 0.5, 0.6, 0, 0, 0.3, 0.954, 2, 1, 1.2],
            [-6, 0, 0.4, 0, 0, 0, 1, 1, 1, 0.8],
        ]
    )
    figures = LIDARS["rplidar_a1"].model_copy(update={"rate_hz": 1000.0})
    # Behind the rear of the chassis, where nothing of the truck is before it but itself.
    mount = {"link": "base_link", "position_m": (-2.1, 0.0, 0.3)}
    wide = Lidar(LidarConfig(figures=figures, **mount), robot, room)
    open_names = tuple(robot.shapes.names)
    clear = Lidar(
        LidarConfig(figures=figures, housing=open_names, **mount), robot, room
    )
    clear.observe(0.0, kinematics, persons, moving)
    geometry = ScanGeometry.of(clear)
    field = np.array([[0.0, -0.8], [4.0, -0.8], [4.0, 0.8], [0.0, 0.8]])
    footprint = np.array([-2.0, 1.4, -0.6, 0.6])
    clock = [0.0]

    def observe() -> None:
        clock[0] += 0.001
        wide.observe(clock[0], kinematics, persons, moving)

    cycle = registry.make_cycle("physai/CareFeeding-v0")
    plant = cycle.environment.plant
    arm = load_robot("franka")
    seated = Kinematics(arm, plant.base_pose)
    one = persons[:1]

    def beside(size: int) -> Callable[[], object]:
        """The scene of CareFeeding: an arm, one person, a table."""
        config = RgbdConfig(
            position_m=(0.95, -1.75, 1.55),
            target_m=(0.58, 0.0, 0.96),
            intrinsics=IntrinsicsConfig(width_px=size, height_px=size, fx_px=size),
            rate_hz=1000.0,
            latency_s=0.0,
            source="benchmark",
        )
        device = Camera(config, arm, CameraWorld(plant.scene), f"beside{size}")
        at_table = one - [2.1, 0.5, 0, 2.1, 0.5, 0, 0]

        def look() -> None:
            clock[0] += 0.001
            device.observe(clock[0], seated, at_table)

        return look

    def camera(size: int) -> Callable[[], object]:
        config = RgbdConfig(
            link="base_link",
            position_m=(0.6, 0.0, 2.3),
            target_m=(4.0, 0.0, 0.5),
            intrinsics=IntrinsicsConfig(
                width_px=size, height_px=size, fx_px=0.6 * size
            ),
            rate_hz=1000.0,
            latency_s=0.0,
            source="benchmark",
        )
        world = CameraWorld(room)
        device = Camera(config, robot, world, f"camera{size}")

        def look() -> None:
            clock[0] += 0.001
            device.observe(clock[0], kinematics, persons, moving)

        return look

    bare = BulletDynamics(arm, plant.base_pose, plant.scene, 1.0 / plant.physics_hz)
    bare.reset(arm.home_position)
    about = {
        "rays": figures.rays,
        "boxes": len(room.boxes),
        "cylinders": len(room.cylinders),
        "people": len(persons),
        "moving_boxes": len(moving),
        "robot_shapes": len(robot.shapes.names),
        "rays_on_something": int(np.isfinite(clear.true_range_m).sum()),
    }
    return {
        "bullet_step": (lambda: bare.step(1), 40),
        "lidar_scan_360": (lambda: wide.scan(kinematics, persons, moving), 40),
        "lidar_scan_360_open": (lambda: clear.scan(kinematics, persons, moving), 40),
        "lidar_observe_360": (observe, 40),
        "field_reading": (lambda: read_field(clear.range_m, geometry, field), 40),
        "clearance_on_a_curve": (
            lambda: clearance_along(clear.range_m, geometry, footprint, 0.3),
            40,
        ),
        "camera_64_table": (beside(64), 6),
        "camera_128_table": (beside(128), 3),
        "camera_64_aisle": (camera(64), 6),
        "camera_128_aisle": (camera(128), 3),
    }, about


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--blocks", type=int, default=30)
    parser.add_argument(
        "--out", type=Path, default=Path(__file__).parent / "results" / "sensors.json"
    )
    options = parser.parse_args()
    calls, about = subjects()
    for call, _ in calls.values():
        call()
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(options.blocks):
        for name, (call, count) in calls.items():
            start = time.process_time()
            for _ in range(count):
                call()
            times[name].append((time.process_time() - start) / count)
    base = np.array(times["bullet_step"])
    rows = {}
    print("call                     us p50     us p10     ratio to a bare step")
    for name, values in times.items():
        t = np.array(values)
        rows[name] = {
            "us_p50": round(1e6 * float(np.median(t)), 1),
            "us_p10": round(1e6 * float(np.percentile(t, 10)), 1),
            "ratio_to_step": round(float(np.median(t / base)), 3),
        }
        row = rows[name]
        print(
            f"{name:22s} {row['us_p50']:9.1f}  {row['us_p10']:9.1f}  "
            f"{row['ratio_to_step']:9.2f}"
        )
    print(", ".join(f"{key} {value}" for key, value in about.items()))
    result = {
        "unit": "processor time a call [us]; ratio to one bare Bullet step of the arm",
        "scene": about,
        "blocks": options.blocks,
        "calls": rows,
        "environment": environment_record(),
    }
    assert all(math.isfinite(row["us_p50"]) for row in rows.values())
    options.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
