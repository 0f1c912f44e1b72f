"""Moving mass at a contact: exact, and as ISO/TS 15066 A.3.5 takes it.

    python benchmarks/reflected_mass.py [--out FILE] [--postures 2000]

For every arm in random postures, every shape of the moving links and random directions:
m_R = 1 / (n^T J M^-1 J^T n) (Khatib 1995) over M/2 + mL. Above one the formula of the
technical specification takes the robot for lighter than it is, and the permitted contact
speed F_T / sqrt(mu k) of a body area is too high by the share that is told.
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from physai.body.regions import load_regions
from physai.provenance import environment_record
from physai.robot.description import load_robot
from physai.robot.kinematics import Kinematics

ROBOTS = ("franka", "palletizer", "mobile_manipulator")
QUANTILES = (0.05, 0.5, 0.95, 1.0)


def measure(name: str, postures: int) -> dict[str, Any]:
    """Return quantiles of the exact mass and of what it does to the permitted speed."""
    robot, rng = load_robot(name), np.random.default_rng(0)
    kinematics = Kinematics(robot)
    formula = 0.5 * robot.moving_mass_kg + robot.tool.mass_kg
    low = np.where(np.isfinite(robot.position_min), robot.position_min, 0.0)
    high = np.where(np.isfinite(robot.position_max), robot.position_max, 0.0)
    actuators = kinematics.chain.actuator
    moving = [
        shape
        for shape, link in enumerate(robot.shapes.link)
        if actuators[link] >= 0 or link > 1
    ]
    exact = []
    for _ in range(postures):
        kinematics.update(np.clip(rng.uniform(low, high), -3.1, 3.1))
        shape = int(rng.choice(moving))
        capsule = kinematics.capsules()[shape]
        direction = rng.normal(size=3)
        direction /= np.linalg.norm(direction)
        mass = kinematics.reflected_mass(shape, capsule[3:6], direction)
        # A direction in which the joints cannot move the shape moves nobody either.
        if mass < 1e3:
            exact.append(mass)
    masses = np.array(exact)
    speeds = {}
    regions = load_regions()
    for area in (8, 14, 20):
        body, spring = regions.effective_mass_kg[area], regions.spring_n_per_m[area]
        force = regions.force_transient_n[area]

        def speed(robot_mass: Any, body=body, spring=spring, force=force) -> Any:
            return force / np.sqrt(spring / (1.0 / body + 1.0 / robot_mass))

        share = speed(formula) / speed(masses)
        speeds[regions.name[area]] = {
            "by_formula_m_s": float(speed(formula)),
            "formula_over_exact": quantiles(share),
            "too_fast_in_share_of_contacts": float((share > 1.0).mean()),
        }
    return {
        "formula_kg": formula,
        "exact_kg": quantiles(masses),
        "heavier_than_formula": float((masses > formula).mean()),
        "speeds": speeds,
        "contacts": len(masses),
    }


def quantiles(values: np.ndarray) -> dict[str, float]:
    """Return the quantiles by name."""
    found = np.quantile(values, QUANTILES)
    return {f"q{100 * q:g}": float(v) for q, v in zip(QUANTILES, found, strict=True)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", default="benchmarks/results/reflected_mass.json")
    parser.add_argument("--postures", type=int, default=2000)
    options = parser.parse_args()
    result: dict[str, Any] = {"environment": environment_record()}
    for name in ROBOTS:
        row = result[name] = measure(name, options.postures)
        exact = row["exact_kg"]
        print(f"{name:20s} M/2 + mL {row['formula_kg']:6.2f} kg; exact median "
              f"{exact['q50']:6.2f}, 95 % {exact['q95']:6.2f} kg; heavier in "
              f"{row['heavier_than_formula']:.0%} of contacts")  # fmt: skip
        for area, speed in row["speeds"].items():
            worst = speed["formula_over_exact"]
            print(f"  {area:32s} permitted {speed['by_formula_m_s']:.2f} m/s; too fast "
                  f"in {speed['too_fast_in_share_of_contacts']:.0%}, at most by "
                  f"{worst['q100'] - 1:.0%}")  # fmt: skip
    assert math.isfinite(result[ROBOTS[0]]["formula_kg"])
    Path(options.out).write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
