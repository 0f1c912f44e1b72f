"""From a seed to a night round: start of the robot, load, and who is about."""

from __future__ import annotations

from physai.plant.scenario import BasePoseConfig, Scenario
from physai.tasks.casting import cast_person
from physai.tasks.environment import ScenarioTemplate
from physai.tasks.sampling import ScenarioSampler
from physai.types import Array

__all__ = ["NightRoundSampler"]


class NightRoundSampler(ScenarioSampler):
    """Draws night rounds; people come from the template, the resident first.

    Ranges that it reads: ``start_x_m``, ``start_y_m``, ``start_yaw_rad`` (offsets of
    the base), ``payload_kg`` and ``friction_scale``. All drawn values are kept in the
    scenario, so that the process finds its own among them.
    """

    def sample(
        self,
        seed: int,
        distribution: str,
        template: ScenarioTemplate | str | None,
        start_m: tuple[float, float],
        home: Array,
    ) -> Scenario:
        """Return the scenario of one seed.

        Args:
            seed: Non-negative.
            distribution: One of the environment's.
            template: The kind of scenario, or its name; None draws it by weight.
            start_m: Base at the start, before the drawn offset.
            home: (n,) posture at the start.

        Raises:
            ContractError: If distribution or template is unknown.
        """
        draw = self.draw(seed, distribution, template)
        v = draw.values
        people = tuple(
            cast_person(person, draw.group, seed, f"person{index}")
            for index, person in enumerate(draw.template.people)
        )
        x, y = start_m[0] + v["start_x_m"], start_m[1] + v["start_y_m"]
        return self.scenario(
            draw,
            people,
            robot_position_rad=tuple(home.tolist()),
            base=BasePoseConfig(position_m=(x, y, 0.0), yaw_rad=v["start_yaw_rad"]),
            payload_kg=v["payload_kg"] if v["mission"] < 0.5 else 0.0,
            friction_scale=v["friction_scale"],
        )
