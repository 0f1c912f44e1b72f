"""Accuracy and cost of the contact model against formulas: writes a JSON table.

    python benchmarks/contact_accuracy.py [--quick]

A robot of one dimension (a sphere with a mass, semi-implicit Euler at 240 Hz as in the
engine, the substep's mean force applied) runs into each of the 29 areas. Free:
v sqrt(mu k). Clamped, with a motor that holds its speed up to a force limit F:
F + v sqrt(m_R k), and F once it is held. Numerical error only.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import platform
import sys
import time
from pathlib import Path

import numpy as np

from physai.body.person import SEGMENTS
from physai.plant.contact import ContactModel, ContactSettings
from physai.robot.description import ShapeTable
from physai.types import Array

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.plant.pusher import DT, REGIONS, places, push, shape_table


def free_ratios(areas: list[int], masses: list[float], phases: list[float]) -> Array:
    """Peak of a free impact over v sqrt(mu k), one row of runs an area."""
    model, rows = ContactModel(REGIONS, shape_table(), 1), []
    spots = places()
    for area in areas:
        k, body = REGIONS.spring_n_per_m[area], REGIONS.effective_mass_kg[area]
        row = []
        for mass, speed, phase in itertools.product(
            masses, (0.1, 0.25, 0.5, 1.0), phases
        ):
            mu = 1.0 / (1.0 / mass + 1.0 / body)
            seconds = 0.03 + 1.5 * math.pi * math.sqrt(mu / k)
            run = push(
                area,
                mass,
                speed,
                phase,
                seconds=seconds,
                model=model,
                place=spots[area],
            )
            row.append(max(run.peak) / (speed * math.sqrt(mu * k)))
        rows.append(row)
    return np.array(rows)


def clamp_ratios(
    areas: list[int], masses: list[float], phases: list[float]
) -> tuple[Array, Array]:
    """Peak over F + v sqrt(m_R k) and held force over F, one row of runs an area."""
    model, peaks, helds = ContactModel(REGIONS, shape_table(), 1), [], []
    spots = places()
    for area in areas:
        k = REGIONS.spring_n_per_m[area]
        peak, held = [], []
        for mass, speed, motor, phase in itertools.product(
            masses, (0.1, 0.5), (50.0, 150.0), phases
        ):
            run = push(
                area,
                mass,
                speed,
                phase,
                travel=0.0,
                motor=motor,
                seconds=2.0,
                model=model,
                place=spots[area],
            )
            peak.append(max(run.peak) / (motor + speed * math.sqrt(mass * k)))
            held.append(run.mean[-1] / motor)
        peaks.append(peak)
        helds.append(held)
    return np.array(peaks), np.array(helds)


def timings() -> dict[str, float]:
    """Microseconds a substep, with the shapes of an arm (11) and one person."""
    shapes = 11
    table = ShapeTable(
        tuple(str(i) for i in range(shapes)),
        np.zeros(shapes, dtype=np.int64),
        np.zeros((shapes, 7)),
        np.zeros(shapes, dtype=np.bool_),
        np.full(shapes, 0.01),
        np.ones(shapes),
        np.full(shapes, math.inf),
    )
    model = ContactModel(REGIONS, table, 1, ContactSettings())
    people = np.zeros((1, len(SEGMENTS), 7))
    people[0, :, 0] = np.arange(len(SEGMENTS)) * 0.3
    people[0, :, 3] = people[0, :, 0]
    people[0, :, 4], people[0, :, 6] = 0.2, 0.05
    still, rotation = np.zeros((1, 16, 6)), np.tile(np.eye(3), (1, 16, 1, 1))
    robot, velocity = np.zeros((shapes, 7)), np.zeros((shapes, 6))
    robot[:, 2], robot[:, 5], robot[:, 6] = 2.0, 2.2, 0.05
    robot[:, 0] = robot[:, 3] = np.arange(shapes) * 0.3
    result = {}
    for name, height in (("near", 0.15), ("followed", 0.105), ("in_contact", 0.098)):
        model.reset()
        robot[0, 2] = height
        best = math.inf
        for _ in range(5):
            start = time.perf_counter()
            for _ in range(2000):
                model.substep(
                    DT, robot, velocity, people, still, rotation, lambda *_: 5.0
                )
            best = min(best, time.perf_counter() - start)
        result[name] = round(best / 2000 * 1e6, 2)
    start = time.perf_counter()
    for _ in range(100000):
        model.skip()
    result["skipped"] = round((time.perf_counter() - start) / 100000 * 1e6, 3)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--out", default="benchmarks/results/contact_accuracy.json")
    options = parser.parse_args()
    areas = sorted(places())
    masses = [1.0, 5.0, 100.0] if options.quick else [1.0, 2.0, 5.0, 10.0, 30.0, 100.0]
    phases = [0.1, 0.6] if options.quick else [0.02, 0.25, 0.5, 0.75, 0.98]
    free = free_ratios(areas, masses, phases)
    clamp, held = clamp_ratios(areas, masses, phases)
    light = np.repeat(
        np.array(masses) < 100.0, 4 * len(phases)
    )  # 100 kg still bounces at 2 s
    rows = [
        {
            "area": area,
            "name": REGIONS.name[area],
            "free": [round(float(f.min()), 4), round(float(f.max()), 4)],
            "clamped": [round(float(c.min()), 4), round(float(c.max()), 4)],
            "held": [round(float(h[light].min()), 4), round(float(h[light].max()), 4)],
        }
        for area, f, c, h in zip(areas, free, clamp, held, strict=True)
    ]
    result = {
        "what": __doc__.split("\n\n")[2].replace("\n", " ") if __doc__ else "",
        "masses_kg": masses,
        "phases": phases,
        "runs": int(free.size + clamp.size),
        "free": [float(free.min()), float(free.max())],
        "clamped": [float(clamp.min()), float(clamp.max())],
        "held_below_100_kg": [float(held[:, light].min()), float(held[:, light].max())],
        "areas": rows,
        "microseconds_per_substep": timings(),
        "python": platform.python_version(),
    }
    print(f"{'area':34s} {'free':>15s} {'clamped':>15s} {'held':>15s}")
    for row in rows:
        cells = " ".join(
            "{:7.3f} {:7.3f}".format(*row[key]) for key in ("free", "clamped", "held")
        )
        print(f"{row['area']:2d} {row['name'][:31]:31s} {cells}")
    for key in ("free", "clamped", "held_below_100_kg", "microseconds_per_substep"):
        print(key, result[key])
    path = Path(options.out)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
