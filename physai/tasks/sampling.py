"""From a seed to a scenario: template, group, people, values, start of the robot.

Everything is drawn from streams keyed by the seed, so that one more range changes no
other draw, and seeds of two distributions never meet.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from physai.body.behaviour import BehaviourConfig, Range, fix
from physai.body.person import SeatConfig, sample_person
from physai.body.walker import PathConfig
from physai.errors import ContractError, suggest
from physai.plant.scenario import Scenario, ScenarioPerson
from physai.randomness import generator
from physai.robot.kinematics import Kinematics
from physai.tasks.environment import EnvironmentConfig, ScenarioTemplate
from physai.types import Array

__all__ = ["Draw", "ScenarioSampler", "SeatedSampler"]


class Draw(NamedTuple):
    """What every scenario of a seed begins with.

    Attributes:
        seed: The seed.
        distribution: Its name.
        template: The kind of scenario.
        group: Group of the first person.
        values: Every range of environment, distribution and template, drawn.
        behaviours: Those of the template, every number fixed.
    """

    seed: int
    distribution: str
    template: ScenarioTemplate
    group: str
    values: dict[str, float]
    behaviours: tuple[BehaviourConfig, ...]

    def random(self, stream: str) -> np.random.Generator:
        """Return the generator of a stream of this scenario."""
        return generator(self.seed, f"scenario.{stream}")


class ScenarioSampler:
    """Draws what scenarios of any environment have in common.

    Args:
        environment: Templates, distributions, ranges and groups.
    """

    def __init__(self, environment: EnvironmentConfig) -> None:
        self.environment = environment

    def draw(
        self, seed: int, distribution: str, template: ScenarioTemplate | str | None
    ) -> Draw:
        """Draw template, group, values and behaviours of one seed.

        Args:
            seed: Non-negative.
            distribution: One of the environment's.
            template: The kind of scenario, or its name; None draws it by weight.

        Raises:
            ContractError: If distribution or template is unknown.
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
        groups = environment.groups
        group = groups[int(generator(seed, "scenario.group").integers(len(groups)))]
        behaviours = tuple(
            behaviour.sample(generator(seed, f"scenario.behaviour.{index}"))
            for index, behaviour in enumerate(template.behaviours)
        )
        values = self._values(seed, distribution, template)
        return Draw(seed, distribution, template, group, values, behaviours)

    def scenario(
        self, draw: Draw, people: tuple[ScenarioPerson, ...], **more: Any
    ) -> Scenario:
        """Return the scenario of a draw.

        Args:
            draw: What was drawn.
            people: Who takes part.
            **more: Further fields of the scenario, such as ``robot_position_rad``.
        """
        return Scenario(
            seed=draw.seed,
            case=draw.template.name,
            group=draw.group,
            distribution=draw.distribution,
            expect=draw.template.expect,
            duration_s=draw.template.duration_s or self.environment.episode_s,
            people=people,
            faults=draw.template.faults,
            values=draw.values,
            **more,
        )

    def draw_walker(
        self, draw: Draw, path: PathConfig, stream: str = "person"
    ) -> ScenarioPerson:
        """Return somebody of the draw's group who walks a way.

        Args:
            draw: What was drawn.
            path: The way.
            stream: Of the random numbers that the person comes from.
        """
        who = sample_person(draw.group, draw.random(stream))
        return ScenarioPerson(**dict(who), path=path, behaviours=draw.behaviours)

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


class SeatedSampler(ScenarioSampler):
    """Draws scenarios of an arm beside one seated person.

    Args:
        environment: Templates, distributions, ranges and groups. Ranges that it
            reads: ``seat_x_m``, ``seat_y_m``, ``seat_z_m``, ``seat_yaw_rad`` (middle of
            the seat and facing direction), ``start_x_m``, ``start_y_m``, ``start_z_m``
            (offsets of the tool at the start). All drawn values are kept in the
            scenario, so that the plant finds its own among them.
        kinematics: The arm, placed in the scene.
        start_rotation: (3, 3) of the tool at the start, world; None has it level, along
            the world's x axis.
    """

    def __init__(
        self,
        environment: EnvironmentConfig,
        kinematics: Kinematics,
        start_rotation: Array | None = None,
    ) -> None:
        super().__init__(environment)
        self.kinematics = kinematics
        self._rotation = np.eye(3) if start_rotation is None else start_rotation

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
            start_m: TCP at the start, world, before the drawn offset.

        Raises:
            ContractError: If distribution or template is unknown, or the arm cannot
                reach the start.
        """
        return self.draw_seated(self.draw(seed, distribution, template), start_m)

    def draw_seated(self, draw: Draw, start_m: tuple[float, float, float]) -> Scenario:
        """Return the scenario of a draw.

        Args:
            draw: What was drawn.
            start_m: As in :meth:`sample`.

        Raises:
            ContractError: If the arm cannot reach the start.
        """
        person = ScenarioPerson(
            **dict(sample_person(draw.group, draw.random("person"))),
            seat=self._seat(draw.values),
            behaviours=draw.behaviours,
        )
        start = self._start(draw.values, start_m)
        return self.scenario(draw, (person,), robot_position_rad=tuple(start.tolist()))

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
        position, error = k.solve_position(goal, self._rotation, k.robot.home_position)
        if not error < 1e-3:
            raise ContractError(
                f"{self.environment.id}: the arm cannot reach the start of the tool "
                f"at {goal.round(3).tolist()} m"
            )
        return np.round(position, 9)
