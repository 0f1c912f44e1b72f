"""From a seed to a night round: start of the robot, load, and who is about."""

from __future__ import annotations

from physai.body.person import SeatConfig, sample_person
from physai.plant.scenario import BasePoseConfig, Scenario, ScenarioPerson
from physai.tasks.environment import ScenarioTemplate
from physai.tasks.sampling import ScenarioSampler
from physai.types import Array

__all__ = ["NightRoundSampler"]


class NightRoundSampler(ScenarioSampler):
    """Draws night rounds.

    Ranges that it reads: ``start_x_m``, ``start_y_m``, ``start_yaw_rad`` (offsets of
    the base), ``payload_kg``, ``friction_scale``, and ``seat_x_m``, ``seat_y_m``,
    ``seat_z_m``, ``seat_yaw_rad`` of a resident who sits. All drawn values are kept in
    the scenario, so that the process finds its own among them.
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
        person = ScenarioPerson(
            **dict(sample_person(draw.group, draw.random("person"))),
            seat=SeatConfig(
                position_m=(v["seat_x_m"], v["seat_y_m"], v["seat_z_m"]),
                yaw_rad=v["seat_yaw_rad"],
            ),
            behaviours=draw.behaviours,
        )
        x, y = start_m[0] + v["start_x_m"], start_m[1] + v["start_y_m"]
        return self.scenario(
            draw,
            (person,),
            robot_position_rad=tuple(home.tolist()),
            base=BasePoseConfig(position_m=(x, y, 0.0), yaw_rad=v["start_yaw_rad"]),
            payload_kg=v["payload_kg"] if v["mission"] < 0.5 else 0.0,
            friction_scale=v["friction_scale"],
        )
