"""Scenarios of the crossing: where the truck starts and where people stand and go."""

from __future__ import annotations

from physai.body.walker import PathConfig
from physai.plant.scenario import BasePoseConfig, Scenario, ScenarioPerson
from physai.robot.description import Robot
from physai.tasks.environment import EnvironmentConfig, ScenarioTemplate
from physai.tasks.sampling import Draw, ScenarioSampler

__all__ = ["CrossingSampler"]


class CrossingSampler(ScenarioSampler):
    """Draws scenarios of a truck among people who walk.

    Args:
        environment: Templates, distributions, ranges and groups. Ranges that it reads:
            ``start_*`` (pose of the base), ``drop_*`` (middle of the pallet),
            ``payload_kg``, ``friction_scale``, ``person_*`` and ``person_to_*`` (way of
            the first person), ``side`` (below 0 mirrors y), ``second_person`` (above
            0.5: another one comes from the other side).
        robot: The truck.
        carry_height_m: Mast position at the start.
    """

    def __init__(
        self, environment: EnvironmentConfig, robot: Robot, carry_height_m: float
    ) -> None:
        super().__init__(environment)
        self.robot, self.carry_height_m = robot, carry_height_m

    def sample(
        self, seed: int, distribution: str, template: ScenarioTemplate | str | None
    ) -> Scenario:
        """Return the scenario of one seed.

        Raises:
            ContractError: If distribution or template is unknown.
        """
        draw = self.draw(seed, distribution, template)
        values = draw.values
        values["drop_yaw_rad"] = 0.0
        people = [self._person(draw, 0)]
        if values["second_person"] > 0.5:
            people.append(self._person(draw, 1))
        return self.scenario(
            draw,
            tuple(people),
            robot_position_rad=(0.0, 0.0, self.carry_height_m),
            base=BasePoseConfig(
                position_m=(values["start_x_m"], values["start_y_m"], 0.0),
                yaw_rad=values["start_yaw_rad"],
            ),
            payload_kg=values["payload_kg"],
            friction_scale=values["friction_scale"],
        )

    def _person(self, draw: Draw, index: int) -> ScenarioPerson:
        v = draw.values
        # The second one comes from the other side, half a metre from the first's line.
        side = (1.0 if v["side"] >= 0.0 else -1.0) * (1.0 if index == 0 else -1.0)
        beside = 0.0 if index == 0 else (-0.5 if v["person_x_m"] > 0.0 else 0.5)
        start = (v["person_x_m"] + beside, side * v["person_y_m"])
        end = (v["person_to_x_m"] + beside, side * v["person_to_y_m"])
        path = PathConfig(
            position_m=(*start, 0.0),
            yaw_rad=-1.5708 if start[1] > end[1] else 1.5708,
            waypoints_m=(start, end),
        )
        return self.draw_walker(draw, path, f"person{index}")
