"""Cost of the soil against one bare Bullet step of the excavator's world: JSON.

    python benchmarks/soil.py [--out FILE]

A dig (in, along, curl, lift, dump) is driven once in Bullet and its poses are kept.
Then, in turns in one run: bare steps of that world, and the same poses shown to fresh
soil, each update with its share of the settling (three sweeps a control step of 10 Hz,
24 physics steps). The least of several rounds is taken of each; ratios are of those.
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import sys
import time
from pathlib import Path

import numpy as np
import pybullet

from physai.plant.soil import Soil
from physai.plant.soil_settings import SoilConfig, load_bucket
from physai.plant.trench import Pipe, PipeConfig, Trench, TrenchConfig
from physai.types import Array

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.plant.excavation import DT, SETTLE_EVERY, Excavation, posture

Poses = list[tuple[Array, Array]]


def drive(machine: Excavation) -> dict[str, Poses]:
    """Poses of the edge in each phase of one dig and dump."""
    machine.reset(posture(7.0, 0.1, math.radians(90.0)))
    slope = math.tan(math.radians(40.0))
    phases = {
        "enter": (420, lambda: machine.rates(-0.35, -0.35 * slope, 0.0)),
        "cut": (700, lambda: machine.rates(-0.35, 0.0, 0.08)),
        "lift": (480, lambda: machine.rates(-0.1, 0.35, 0.35)),
        "swing": (360, lambda: np.array([0.8, 0.0, 0.0, 0.0])),
        "dump": (600, lambda: np.array([0.0, 0.0, 0.0, -0.8])),
    }
    result: dict[str, Poses] = {}
    for name, (count, rates) in phases.items():
        poses = []
        for _ in range(count):
            machine.step(rates())
            k = machine.kinematics
            poses.append((k.tool_position.copy(), k.tool_rotation.copy()))
        result[name] = poses
    return result


def bare_step_us(machine: Excavation, iterations: int, count: int = 2000) -> float:
    """Microseconds of stepSimulation alone, motors on, digging posture."""
    client = machine.dynamics._client
    pybullet.setPhysicsEngineParameter(
        numSolverIterations=iterations, physicsClientId=client
    )
    machine.dynamics.reset(posture(6.0, -0.3, math.radians(100.0)))
    machine.dynamics.set_velocity(np.array([0.0, -0.02, 0.15, 0.0]))
    start = time.perf_counter()
    for _ in range(count):
        pybullet.stepSimulation(physicsClientId=client)
    return (time.perf_counter() - start) / count * 1e6


def replay_us(soil: Soil, phases: dict[str, Poses]) -> dict[str, float]:
    """Microseconds an update by phase, settling included; and of settling alone."""
    soil.reset()
    first = next(iter(phases.values()))[0]
    soil.place(*first)
    result, settling, steps = {}, 0.0, 0
    for name, poses in phases.items():
        start = time.perf_counter()
        for position, rotation in poses:
            soil.interact(position, rotation, DT)
            steps += 1
            if steps % SETTLE_EVERY == 0:
                before = time.perf_counter()
                soil.settle()
                settling += time.perf_counter() - before
        result[name] = (time.perf_counter() - start) / len(poses) * 1e6
    result["all"] = float(
        np.average(list(result.values()), weights=[len(p) for p in phases.values()])
    )
    result["of_which_settling"] = settling / steps * 1e6
    return result


def measures_us(soil: Soil) -> dict[str, float]:
    """Microseconds of the design's and the pipe's measures, once a control step."""
    trench = Trench(TrenchConfig(from_m=(4, 0, -1), to_m=(8, 0, -1), width_m=1), soil)
    pipe = Pipe(
        PipeConfig(from_m=(6, -3, -1.2), to_m=(6, 3, -1.2), radius_m=0.1, buffer_m=0.3),
        soil.bucket,
    )
    at, rotation = np.array([6.0, 0.0, -0.5]), np.eye(3)
    result = {}
    for name, call in (
        ("trench", trench.measure),
        ("pipe", lambda: pipe.update(at, rotation)),
    ):
        call()
        start = time.perf_counter()
        for _ in range(500):
            call()
        result[name] = (time.perf_counter() - start) / 500 * 1e6
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--out", default="benchmarks/results/soil.json")
    options = parser.parse_args()
    machine = Excavation()
    phases = drive(machine)
    moved = {"dug_m3": machine.soil.dug_m3, "conserved_m3": machine.soil.volume_m3}
    soils = {
        cell: Soil(
            SoilConfig(
                kind="sandy_loam", origin_m=(1.0, -3.0), size_m=(11.0, 6.0), cell_m=cell
            ),
            load_bucket("excavator"),
        )
        for cell in (0.10, 0.05)
    }
    steps: dict[int, list[float]] = {50: [], 100: []}
    updates: dict[float, list[dict[str, float]]] = {cell: [] for cell in soils}
    for _ in range(options.rounds):
        for iterations, times in steps.items():
            times.append(bare_step_us(machine, iterations))
        for cell, soil in soils.items():
            updates[cell].append(replay_us(soil, phases))
    bare = {f"{k}_iterations": min(v) for k, v in steps.items()}
    least = {
        f"cell_{cell:.2f}_m": {k: min(row[k] for row in rows) for k in rows[0]}
        for cell, rows in updates.items()
    }
    reference = bare["50_iterations"]
    result = {
        "what": __doc__.split("\n\n")[2].replace("\n", " ") if __doc__ else "",
        "bare_bullet_step_us": bare,
        "soil_update_us": least,
        "ratio_to_bare_step": {
            cell: {k: v / reference for k, v in row.items()}
            for cell, row in least.items()
        },
        "measures_once_a_control_step_us": measures_us(soils[0.10]),
        "dig": moved,
        "python": platform.python_version(),
    }
    rounded = json.loads(
        json.dumps(result), parse_float=lambda text: float(f"{float(text):.4g}")
    )
    text = json.dumps(rounded, indent=1)
    print(text)
    path = Path(options.out)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
