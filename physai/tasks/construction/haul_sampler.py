"""Scenarios of a haul: load, ground, start, losses, traffic and people of one seed."""

from __future__ import annotations

import math

from physai.plant.route import Route
from physai.plant.scenario import BasePoseConfig, Scenario
from physai.tasks.environment import EnvironmentConfig, ScenarioTemplate
from physai.tasks.sampling import ScenarioSampler

__all__ = ["HaulSampler"]


class HaulSampler(ScenarioSampler):
    """Draws scenarios of a machine at the start of its route.

    Args:
        environment: Templates, distributions and ranges. Ranges that it reads:
            ``load_kg``, ``friction_scale``, ``start_along_m`` (on the route),
            ``start_left_m`` and ``start_yaw_rad`` (from it). All drawn values are kept in
            the scenario, so that the plant finds its own among them.
        route: The route.
    """

    def __init__(self, environment: EnvironmentConfig, route: Route) -> None:
        super().__init__(environment)
        self.route = route

    def sample(
        self,
        seed: int,
        distribution: str,
        template: ScenarioTemplate | str | None,
    ) -> Scenario:
        """Return the scenario of one seed.

        Args:
            seed: Non-negative.
            distribution: One of the environment's.
            template: The kind of scenario, or its name; None draws it by weight.

        Raises:
            ContractError: If distribution or template is unknown.
        """
        draw = self.draw(seed, distribution, template)
        v = draw.values
        x, y, heading = self.route.at(v["start_along_m"])
        left = v["start_left_m"]
        x, y = x - left * math.sin(heading), y + left * math.cos(heading)
        start = BasePoseConfig(
            position_m=(round(x, 6), round(y, 6), 0.0),
            yaw_rad=round(heading + v["start_yaw_rad"], 6),
        )
        return self.scenario(
            draw,
            (),
            robot_position_rad=(0.0, 0.0, 0.0),
            base=start,
            payload_kg=v["load_kg"],
            friction_scale=v["friction_scale"],
        )
