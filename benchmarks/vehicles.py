"""Cost of a physics step of each vehicle against the bare arm: writes a JSON table.

    python benchmarks/vehicles.py [--blocks N] [--out FILE]

Blocks of steps of all worlds alternate in one run, so that slow phases of the machine hit
all alike; the figures are medians of the ratios within a block. "outside" is the share of
a step that is not the engine's own stepping: wheels and ground, reading the base.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np

from physai.plant.bullet import BulletDynamics, pybullet
from physai.plant.dynamics import BaseStart
from physai.plant.ground import Ground, GroundConfig
from physai.plant.scene import SceneConfig
from physai.provenance import environment_record
from physai.robot.description import load_robot

STEPS, HZ = 240, 240.0
VEHICLES = {
    "truck": ("epoxy_dry", [1.0, 0.3]),
    "crawler_dump": ("firm_earth", [1.0, 0.2]),
    "mobile_manipulator": ("epoxy_dry", [0.5, 0.4]),
}


def build(name: str) -> BulletDynamics:
    """A world with one robot that moves: a vehicle drives an arc, an arm turns."""
    robot = load_robot(name)
    ground, speeds = None, [0.0] * len(robot.actuator_names)
    if robot.base is not None:
        material, speeds[:2] = VEHICLES[name]
        ground = Ground(GroundConfig(material=material), robot.base)
    else:
        speeds[0] = 0.05
    pose = np.array([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0])
    dynamics = BulletDynamics(robot, pose, SceneConfig(), 1.0 / HZ, ground)
    dynamics.reset(robot.home_position, BaseStart() if robot.base else None)
    dynamics.set_velocity(np.array(speeds))
    return dynamics


def measure(dynamics: BulletDynamics) -> tuple[float, float]:
    """Processor time of a step, and of the engine's own part [us]."""
    inner, step = 0.0, pybullet.stepSimulation

    def timed(**named: int) -> None:
        nonlocal inner
        start = time.perf_counter()
        step(**named)
        inner += time.perf_counter() - start

    pybullet.stepSimulation = timed
    try:
        start = time.perf_counter()
        for _ in range(STEPS):
            dynamics.step()
        whole = time.perf_counter() - start
    finally:
        pybullet.stepSimulation = step
    return 1e6 * whole / STEPS, 1e6 * inner / STEPS


def main() -> int:
    """Measure, print a table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--blocks", type=int, default=15)
    parser.add_argument(
        "--out", type=Path, default=Path("benchmarks/results/vehicles.json")
    )
    options = parser.parse_args()
    names = ["franka", *VEHICLES]
    worlds = {name: build(name) for name in names}
    for dynamics in worlds.values():
        measure(dynamics)
    rows: dict[str, list[tuple[float, float]]] = {name: [] for name in names}
    for _ in range(options.blocks):
        for name in names:
            rows[name].append(measure(worlds[name]))
    arm = np.array(rows["franka"])[:, 0]
    table = {}
    for name in names:
        whole, inner = np.array(rows[name]).T
        table[name] = {
            "step_us": round(float(np.median(whole)), 1),
            "ratio_to_franka": round(float(np.median(whole / arm)), 2),
            "outside": round(float(np.median(1.0 - inner / whole)), 2),
        }
        print(f"{name:20s} {table[name]}")
    record = {"environment": environment_record(), "steps": table}
    options.out.write_text(json.dumps(record, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
