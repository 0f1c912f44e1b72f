"""From a seed to a load of cases: plan, cases, masses, seals, where they lie."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from physai.errors import ConfigError, suggest
from physai.plant.scenario import Scenario
from physai.robot.kinematics import Kinematics
from physai.tasks.environment import EnvironmentConfig, ScenarioTemplate
from physai.tasks.logistics.palletize_settings import PalletizeSettings, PlanSettings
from physai.tasks.sampling import Draw, SeatedSampler
from physai.types import Array

__all__ = ["PalletizeSampler", "tool_down"]


def tool_down(yaw_rad: float) -> Array:
    """Return the (3, 3) rotation of cups that look straight down."""
    c, s = math.cos(yaw_rad), math.sin(yaw_rad)
    return np.array([[c, s, 0.0], [s, -c, 0.0], [0.0, 0.0, -1.0]])


class PalletizeSampler(SeatedSampler):
    """Draws scenarios of an arm that stacks cases beside a picker.

    Args:
        environment: Ranges that it reads besides those of the seat and the start:
            ``mass_<kind>_kg`` for every kind of case, ``mass_spread_share`` and
            ``seal_spread_share`` (half widths case by case), ``seal``, ``friction``,
            ``infeed_offset_m`` and ``infeed_yaw_rad`` (half widths).
        kinematics: The arm, placed in the scene.
        settings: Plans and the start of the tool.

    Raises:
        ConfigError: If a plan asks for cases that the plant does not have, or a slot
            out of reach.
    """

    def __init__(
        self,
        environment: EnvironmentConfig,
        kinematics: Kinematics,
        settings: PalletizeSettings,
    ) -> None:
        super().__init__(
            environment, kinematics, tool_down(settings.tool_start_yaw_rad)
        )
        self._settings = settings
        self._objects: dict[str, list[int]] = {}
        for index, config in enumerate(environment.plant.objects):
            self._objects.setdefault(config.kind, []).append(index)
        for plan in settings.plans:
            self._check(plan)

    def sample(
        self,
        seed: int,
        distribution: str,
        template: ScenarioTemplate | str | None,
        start_m: tuple[float, float, float],
    ) -> Scenario:
        """Return the scenario of one seed.

        Args:
            seed: Non-negative.
            distribution: One of the environment's.
            template: The kind of scenario, or its name; None draws it by weight.
            start_m: Cups at the start, world, before the drawn offset.

        Raises:
            ContractError: If distribution or template is unknown, or the arm cannot
                reach the start.
        """
        draw = self.draw(seed, distribution, template)
        made = self.draw_seated(draw, start_m)
        load = self._load(draw)
        return made.model_copy(update={"values": {**draw.values, "load": load}})

    def _load(self, draw: Draw) -> dict[str, Any]:
        """Return cases and slots as plain data."""
        values, rng = draw.values, draw.random("load")
        plans = self._settings.plans
        plan = plans[int(rng.integers(len(plans)))]
        free = {
            kind: rng.permutation(objects).tolist()
            for kind, objects in self._objects.items()
        }
        cases, slots = [], []
        for slot in plan.slots:
            spread = values["mass_spread_share"] * rng.uniform(-1.0, 1.0)
            seal = values["seal_spread_share"] * rng.uniform(-1.0, 1.0)
            offset = values["infeed_offset_m"] * rng.uniform(-1.0, 1.0, 2)
            turn = values["infeed_yaw_rad"] * rng.uniform(-1.0, 1.0)
            cases.append(
                {
                    "object": int(free[slot.kind].pop()),
                    "mass_kg": round(
                        values[f"mass_{slot.kind}_kg"] * (1.0 + spread), 4
                    ),
                    "friction": values["friction"],
                    "seal": round(values["seal"] * (1.0 + seal), 4),
                    "offset_x_m": round(float(offset[0]), 5),
                    "offset_y_m": round(float(offset[1]), 5),
                    "offset_yaw_rad": round(float(turn), 5),
                }
            )
            slots.append(
                {
                    "x_m": slot.x_m,
                    "y_m": slot.y_m,
                    "yaw_rad": slot.yaw_rad,
                    "on": list(slot.on),
                }
            )
        return {"plan": plan.name, "cases": cases, "slots": slots}

    def _check(self, plan: PlanSettings) -> None:
        where = f'{self.environment.id}: plan "{plan.name}"'
        base = self.environment.plant.base.position_m
        for index, slot in enumerate(plan.slots):
            known = self._objects
            if slot.kind not in known:
                raise ConfigError(
                    f'{where}: no case of the kind "{slot.kind}"; '
                    f"{suggest(slot.kind, known)}"
                )
            asked = sum(other.kind == slot.kind for other in plan.slots)
            if asked > len(known[slot.kind]):
                raise ConfigError(
                    f"{where}: {asked} cases of the kind {slot.kind}, the plant has "
                    f"{len(known[slot.kind])}"
                )
            away = math.hypot(slot.x_m - base[0], slot.y_m - base[1])
            if not away <= self._settings.reach_m:
                raise ConfigError(
                    f"{where}: slot {index} is {away:.2f} m from the shoulder, out of "
                    f"reach ({self._settings.reach_m:.2f} m)"
                )
