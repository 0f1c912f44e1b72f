"""Scenarios of a haul: load, ground, start, losses, traffic and people of one seed."""

from __future__ import annotations

import math
from collections.abc import Callable

from physai.body.walker import PathConfig
from physai.plant.route import Route
from physai.plant.scenario import BasePoseConfig, Scenario, ScenarioPerson
from physai.tasks.environment import EnvironmentConfig, ScenarioTemplate
from physai.tasks.sampling import Draw, ScenarioSampler

__all__ = ["HaulSampler"]


class HaulSampler(ScenarioSampler):
    """Draws scenarios of a machine at the start of its route.

    Args:
        environment: Templates, distributions and ranges. Ranges that it reads:
            ``load_kg``, ``friction_scale``, ``start_along_m`` (on the route),
            ``start_left_m`` and ``start_yaw_rad`` (from it), ``person`` (above 0.5:
            somebody walks), ``person_from_*``, ``person_via_*`` and ``person_to_*`` (x
            and y of their way). All drawn values are kept in the scenario, so that the
            plant finds its own among them.
        route: The route.
        height: Height of the ground at x and y [m].
    """

    def __init__(
        self,
        environment: EnvironmentConfig,
        route: Route,
        height: Callable[[float, float], float],
    ) -> None:
        super().__init__(environment)
        self.route, self.height = route, height

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
            (self._visitor(draw),) if v["person"] > 0.5 else (),
            robot_position_rad=(0.0, 0.0, 0.0),
            base=start,
            payload_kg=v["load_kg"],
            friction_scale=v["friction_scale"],
        )

    def _visitor(self, draw: Draw) -> ScenarioPerson:
        v = draw.values
        places = tuple(
            (v[f"person_{end}_x_m"], v[f"person_{end}_y_m"])
            for end in ("from", "via", "to")
        )
        (x, y), (ahead_x, ahead_y) = places[:2]
        path = PathConfig(
            position_m=(x, y, round(self.height(x, y), 6)),
            yaw_rad=round(math.atan2(ahead_y - y, ahead_x - x), 6),
            waypoints_m=places,
        )
        return self.draw_walker(draw, path)
