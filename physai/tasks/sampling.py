"""From a seed to a scenario: template, person, seat, start of the robot.

Everything is drawn from streams keyed by the seed, so that one more range changes no
other draw, and seeds of two distributions never meet.
"""

from __future__ import annotations

import numpy as np

from physai.body.behaviour import Range, fix
from physai.body.person import SeatConfig, sample_person
from physai.errors import ContractError, suggest
from physai.plant.scenario import Scenario, ScenarioPerson
from physai.randomness import generator
from physai.robot.kinematics import Kinematics
from physai.tasks.environment import EnvironmentConfig, ScenarioTemplate
from physai.types import Array

__all__ = ["ScenarioSampler"]


class ScenarioSampler:
    """Draws scenarios of an environment with one arm and one seated person.

    Args:
        environment: Templates, distributions, ranges and groups. Ranges that it
            reads: ``seat_x_m``, ``seat_y_m``, ``seat_z_m``, ``seat_yaw_rad`` (middle of
            the seat and facing direction), ``start_x_m``, ``start_y_m``, ``start_z_m``
            (offsets of the tool at the start). All drawn values are kept in the
            scenario, so that the plant finds its own among them.
        kinematics: The arm, placed in the scene.
    """

    def __init__(self, environment: EnvironmentConfig, kinematics: Kinematics) -> None:
        self.environment = environment
        self.kinematics = kinematics

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
            start_m: TCP at the start, world, before the drawn offset; the tool is
                level and points along the world's x axis.

        Raises:
            ContractError: If distribution or template is unknown, or the arm cannot
                reach the start.
        """
        environment = self.environment
        if distribution not in environment.distributions:
            raise ContractError(
                f'{environment.id}: no distribution "{distribution}"; '
                f"{suggest(distribution, environment.distributions)}"
            )
        if template is None:
            template = self._template(seed, distribution)
        elif isinstance(template, str):
            template = environment.template(template)
        values = self._values(seed, distribution, template)
        groups = environment.groups
        group = groups[int(generator(seed, "scenario.group").integers(len(groups)))]
        behaviours = tuple(
            behaviour.sample(generator(seed, f"scenario.behaviour.{index}"))
            for index, behaviour in enumerate(template.behaviours)
        )
        return Scenario(
            seed=seed,
            case=template.name,
            group=group,
            distribution=distribution,
            expect=template.expect,
            duration_s=template.duration_s or environment.episode_s,
            people=(
                ScenarioPerson(
                    **dict(sample_person(group, generator(seed, "scenario.person"))),
                    seat=self._seat(values),
                    behaviours=behaviours,
                ),
            ),
            robot_position_rad=tuple(self._start(values, start_m).tolist()),
            faults=template.faults,
            values=values,
        )

    def _template(self, seed: int, distribution: str) -> ScenarioTemplate:
        templates = self.environment.templates
        own = self.environment.distributions[distribution].weights
        weights = np.array([own.get(t.name, t.weight) for t in templates])
        draw = generator(seed, "scenario.template").random() * weights.sum()
        place = int(np.searchsorted(np.cumsum(weights), draw, side="right"))
        return templates[min(place, len(templates) - 1)]

    def _values(
        self, seed: int, distribution: str, template: ScenarioTemplate
    ) -> dict[str, float]:
        ranges: dict[str, Range] = {
            **self.environment.ranges,
            **self.environment.distributions[distribution].ranges,
            **template.ranges,
        }
        return {
            name: round(fix(value, generator(seed, f"scenario.{name}")), 6)
            for name, value in ranges.items()
        }

    def _seat(self, values: dict[str, float]) -> SeatConfig:
        return SeatConfig(
            position_m=(values["seat_x_m"], values["seat_y_m"], values["seat_z_m"]),
            yaw_rad=values["seat_yaw_rad"],
        )

    def _start(
        self, values: dict[str, float], start_m: tuple[float, float, float]
    ) -> Array:
        k = self.kinematics
        goal = np.array(start_m) + [values[f"start_{c}_m"] for c in "xyz"]
        position, error = k.solve_position(goal, np.eye(3), k.robot.home_position)
        if not error < 1e-3:
            raise ContractError(
                f"{self.environment.id}: the arm cannot reach the start of the tool "
                f"at {goal.round(3).tolist()} m"
            )
        return np.round(position, 9)
