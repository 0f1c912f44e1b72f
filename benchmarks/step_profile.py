"""Where the time of a control step goes, function by function, guard on.

    python benchmarks/step_profile.py [--out FILE] [--steps 2000]

The arm of CareFeeding far from and near a person, then every other environment.

Two shares are told: outside ``stepSimulation`` alone, and outside the engine's ``step``
with the forces of the ground under a base that drives, which are ours.

The functions are timed in place, each without those that it calls ("own" time); the
timers themselves cost about 0.4 us a call, which is taken off.
"""

from __future__ import annotations

import argparse
import functools
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from physai.bench import _cycle
from physai.plant import bullet
from physai.provenance import environment_record
from physai.tasks import registry
from physai.tasks.cycle import Cycle


class Profile:
    """Own time of wrapped methods."""

    def __init__(self) -> None:
        self.own_s: dict[str, float] = {}
        self.calls: dict[str, int] = {}
        self._inner = [0.0]
        self._each_s = self._overhead()

    def wrap(self, thing: Any, name: str, label: str) -> None:
        """Time a method of an object from now on."""
        setattr(thing, name, self.timed(getattr(thing, name), label))

    def timed(self, function: Callable[..., Any], label: str) -> Callable[..., Any]:
        """Return the function with a timer around it."""
        self.own_s.setdefault(label, 0.0)
        self.calls.setdefault(label, 0)
        inner, clock = self._inner, time.perf_counter

        def call(*args: Any, **more: Any) -> Any:
            inner.append(0.0)
            start = clock()
            try:
                return function(*args, **more)
            finally:
                whole = clock() - start
                self.own_s[label] += whole - inner.pop()
                self.calls[label] += 1
                inner[-1] += whole

        return call

    def _overhead(self) -> float:
        """Measure what a timer adds to its own label [s]."""
        self._each_s = 0.0
        nothing = self.timed(lambda: None, "timer")
        for _ in range(20000):
            nothing()
        return self.own_s.pop("timer") / self.calls.pop("timer")

    def rows(self, steps: int) -> list[dict[str, float | str]]:
        """Return own time per step, the largest first [us]."""
        made = [
            {
                "part": label,
                "us_per_step": 1e6 * (s - self.calls[label] * self._each_s) / steps,
                "calls_per_step": self.calls[label] / steps,
            }
            for label, s in self.own_s.items()
            if self.calls[label]
        ]
        return sorted(made, key=lambda row: -float(row["us_per_step"]))


def watch(profile: Profile, cycle: Cycle) -> None:
    """Wrap what a step of an arm beside a person consists of."""
    plant: Any = cycle.plant
    for thing, name, label in (
        (bullet.pybullet, "stepSimulation", "Bullet: stepSimulation"),
        (plant.dynamics, "step", "engine: order of a physics step"),
        (plant.dynamics, "read", "Bullet: read joints"),
        (plant.dynamics, "set_velocity", "Bullet: set motors"),
        (plant, "_follow", "kinematics of the true posture"),
        (plant._tracker, "observe", "body tracker"),
        (plant._process, "look", "process: sensors"),
        (plant._process, "advance", "process: advance"),
        (plant._process, "touch", "process: contact"),
        (plant._process, "act", "process: forces"),
        (plant._contact, "substep", "contact model: substep"),
        (plant._contact, "contact", "contact model: sum up"),
        (plant, "_touch", "contact: place bodies in between"),
        (plant, "_step_physics", "plant: order of a step"),
        (plant, "_move_people", "people: view"),
        (plant, "_assemble", "plant: state and truth"),
        (plant, "apply", "plant: take the command"),
        (cycle.guard, "certify", "guard: decision"),
        (cycle.guard.monitor, "update", "guard: monitor"),
        (cycle.scorer, "update", "scorer: monitor of the truth"),
        (cycle.task, "decode", "task: decode"),
        (cycle.task, "observe", "task: observe"),
        (cycle.task, "reward", "task: reward"),
        (cycle.task, "outcome", "task: outcome"),
        (cycle.figures, "update", "figures"),
        (cycle, "_record", "record"),
        (cycle, "step", "cycle: the rest"),
    ):
        profile.wrap(thing, name, label)
    for monitor, whose in ((cycle.guard.monitor, "guard"), (cycle.scorer, "scorer")):
        for section in monitor._sections:
            name = type(section).__name__.lower()
            profile.wrap(section, "update", f"{whose}: section {name}")
    if plant._lidar is not None:
        profile.wrap(plant._lidar, "observe", "lidar")
    base = getattr(plant.dynamics, "_base", None)
    if base is not None:
        profile.wrap(base, "press", "engine: forces of the ground")
        profile.wrap(base, "advance", "engine: pose of the base")
    for person in plant.people:
        profile.wrap(person, "advance", "people: motion")


def usual(name: str) -> Cycle:
    """Return a cycle in the first test scenario of an environment."""
    cycle = registry.make_cycle(name, guard="on")
    first = cycle.environment.distributions["test"].seeds.first
    scenario = cycle.task.sample_scenario(first, "test")
    cycle.reset(scenario.model_copy(update={"duration_s": 3600.0}))
    return cycle


def measure(cycle: Cycle, steps: int) -> dict[str, Any]:
    """Profile one cycle and close it; returns its rows and two shares of a step.

    ``outside`` is what is not ``stepSimulation``, ``outside_with_ground`` what is not the
    engine's ``step`` either, which under a base that drives has the forces of the ground
    (:func:`physai.task_table.step_cost` compares with that).
    """
    rng = np.random.default_rng(0)
    size = len(cycle.spaces.action_names)
    actions = 0.2 * rng.uniform(-1.0, 1.0, (200, size))
    profile = Profile()
    for done in range(len(actions) + steps):
        if done == len(actions):
            watch(profile, cycle)
        record = cycle.step(actions[done % len(actions)])
        if record.terminated or record.truncated:
            cycle.reset(cycle.scenario)  # type: ignore[arg-type]
    cycle.close()
    rows = profile.rows(steps)
    cost = {str(row["part"]): float(row["us_per_step"]) for row in rows}
    whole = sum(cost.values())
    step = sum(us for part, us in cost.items() if part.startswith(_STEP))
    engine = sum(us for part, us in cost.items() if part.startswith("engine: "))
    return {
        "rows": rows,
        "us_per_step": whole,
        "outside": 1.0 - step / whole,
        "outside_with_ground": 1.0 - (step + engine) / whole,
    }


_STEP = "Bullet: stepSimulation"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", default="benchmarks/results/step_profile.json")
    parser.add_argument("--steps", type=int, default=2000)
    options = parser.parse_args()
    result: dict[str, Any] = {"environment": environment_record()}
    cycles = {
        "CareFeeding, person far": lambda: _cycle("on", False),
        "CareFeeding, person near": lambda: _cycle("on", True),
    }
    for name in registry.ids()[1:]:
        cycles[name] = functools.partial(usual, name)
    for title, make in cycles.items():
        found = result[title] = measure(make(), options.steps)
        print(f"\n{title}: {found['us_per_step']:.0f} us a step, "
              f"{found['outside']:.0%} outside stepSimulation, "
              f"{found['outside_with_ground']:.0%} if the forces of the ground "
              "count as the engine's")  # fmt: skip
        for row in found["rows"]:
            print(f"  {row['part']:36s} {row['us_per_step']:7.1f} us "
                  f"({row['calls_per_step']:.1f} calls)")  # fmt: skip
    Path(options.out).write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
