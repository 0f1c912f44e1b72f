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
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from physai.body.person import SEGMENTS
from physai.body.regions import area_of, load_regions
from physai.plant.contact import ContactModel, ContactSettings
from physai.robot.description import ShapeTable
from physai.types import Array

DT = 1.0 / 240.0
RADIUS = 0.02
BODY_RADIUS = 0.05
REGIONS = load_regions()


def shape_table(stiffness: float = math.inf) -> ShapeTable:
    """One sphere."""
    return ShapeTable(
        names=("tip",),
        link=np.zeros(1, dtype=np.int64),
        local=np.array([[0.0, 0, 0, 0, 0, 0, RADIUS]]),
        utensil=np.zeros(1, dtype=np.bool_),
        edge_radius_m=np.array([0.01]),
        minimum_area_cm2=np.array([1.0]),
        stiffness_n_per_m=np.array([stiffness]),
    )


def places() -> dict[int, tuple[int, float, Array]]:
    """Return a segment, fraction and normal on each area that can be touched."""
    found: dict[int, tuple[int, float, Array]] = {}
    normals = [
        np.array(n) / np.linalg.norm(n)
        for n in itertools.product((-1.0, 0.0, 1.0), repeat=3)
        if np.linalg.norm(n) > 0
    ]
    for segment, fraction, n in itertools.product(
        range(len(SEGMENTS)), np.linspace(0.02, 0.98, 25), normals
    ):
        area = area_of(segment, float(fraction), *n)
        # Not on the boundary to another area.
        if area not in found and all(
            area_of(segment, float(fraction) + f, *(n + 0.02 * m)) == area
            for f, m in itertools.product((-0.01, 0.01), normals)
        ):
            found[area] = (segment, float(fraction), n)
    return found


@dataclass
class Run:
    """What a run gave, one entry a substep."""

    peak: list[float] = field(default_factory=list)
    mean: list[float] = field(default_factory=list)
    age: list[float] = field(default_factory=list)
    speed: list[float] = field(default_factory=list)
    force: list[float] = field(default_factory=list)
    clamped: bool = False
    robot_speed: float = 0.0
    areas: set[int] = field(default_factory=set)


def push(
    area: int,
    mass: float,
    speed: float,
    phase: float = 0.5,
    travel: float = math.inf,
    motor: float = 0.0,
    seconds: float = 0.3,
    stiffness: float = math.inf,
    person_speed: float = 0.0,
    model: ContactModel | None = None,
    place: tuple[int, float, Array] | None = None,
) -> Run:
    """Let the sphere run into one area along its normal.

    Args:
        area: Body area.
        mass: Of the robot [kg].
        speed: Of approach, and the speed that its motor holds [m/s].
        phase: Of the first touch within a substep, 0 to 1.
        travel: How far the segment can yield [m].
        motor: Force limit of the motor [N]; 0: none.
        seconds: Length of the run.
        stiffness: Of the robot's shape, in series [N/m].
        person_speed: Scripted speed of the person toward the robot [m/s].
        model: A model to reuse.
        place: Segment, fraction and normal.
    """
    segment, fraction, normal = place or places()[area]
    model = model or ContactModel(REGIONS, shape_table(stiffness), 1)
    model.reset()
    model.travel_m[:] = travel
    people = np.zeros((1, len(SEGMENTS), 7))
    people[:, :, (0, 3)] = 100.0
    # The segment's axis lies across the normal, the touched fraction at the origin.
    across = np.cross(normal, [0.3, 0.5, 0.8])
    across *= 0.2 / np.linalg.norm(across)
    people[0, segment, :3], people[0, segment, 3:6] = (
        -fraction * across,
        across * (1.0 - fraction),
    )
    people[0, segment, 6] = BODY_RADIUS
    people_velocity = np.zeros((1, len(SEGMENTS), 6))
    people_velocity[0, segment] = np.tile(person_speed * normal, 2)
    rotation = np.tile(np.eye(3), (1, len(SEGMENTS), 1, 1))
    robot, velocity = np.zeros((1, 7)), np.zeros((1, 6))
    robot[0, 6] = RADIUS
    closing = speed + person_speed
    x, v = BODY_RADIUS + RADIUS + (3.0 + phase) * closing * DT, -speed
    run = Run()
    for _ in range(round(seconds / DT)):
        robot[0, :3] = robot[0, 3:6] = x * normal
        velocity[0] = np.tile(v * normal, 2)
        model.begin_step()
        count = model.substep(
            DT, robot, velocity, people, people_velocity, rotation, lambda *_: mass
        )
        force = float(model.forces[:, 4:7].sum(axis=0) @ normal) if count else 0.0
        contact = model.contact()
        run.peak.append(float(contact.force_peak_n.max()))
        run.mean.append(float(contact.force_mean_n.max()))
        run.age.append(float(contact.age_s.max()))
        run.force.append(force)
        run.clamped = run.clamped or bool(contact.clamped.max() > 0.0)
        run.robot_speed = max(
            run.robot_speed, float(contact.robot_normal_speed_m_s.max())
        )
        run.areas |= {int(a) for a in np.flatnonzero(contact.force_peak_n[0])}
        drive = 0.0
        if motor > 0.0:
            wanted = (-speed - (v + force / mass * DT)) * mass / DT
            drive = min(motor, max(-motor, wanted))
        v += (force + drive) / mass * DT
        x += v * DT
        people[0, segment, :6] += people_velocity[0, segment] * DT
        run.speed.append(-v)
    return run


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
