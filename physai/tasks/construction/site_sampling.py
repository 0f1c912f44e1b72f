"""Scenarios of a machine that stands on a site with people around it."""

from __future__ import annotations

import math

from physai.body.person import SeatConfig, sample_person
from physai.errors import ContractError
from physai.plant.scenario import Scenario, ScenarioPerson
from physai.tasks.environment import EnvironmentConfig, ScenarioTemplate
from physai.tasks.sampling import Draw, ScenarioSampler
from physai.types import Array

__all__ = ["SiteSampler"]


class SiteSampler(ScenarioSampler):
    """Draws scenarios of an excavator on a site and one surveyor.

    Args:
        environment: Templates, distributions, ranges and groups. Ranges that it reads:
            ``start_reach_m``, ``start_height_m``, ``start_swing_rad`` (edge of the
            bucket at the start), ``person_distance_m`` and ``person_bearing_rad`` (from
            the swing axis). All drawn values are kept in the scenario, so that the
            process finds its own among them.
        lengths: (3,) of boom, arm and bucket [m].
        foot: (2,) of the boom's foot ahead of the swing axis and above the ground [m].
    """

    def __init__(
        self, environment: EnvironmentConfig, lengths: Array, foot: Array
    ) -> None:
        super().__init__(environment)
        self._lengths, self._foot = lengths.tolist(), foot.tolist()

    def sample(
        self,
        seed: int,
        distribution: str,
        template: ScenarioTemplate | str | None,
        start_pitch_rad: float,
    ) -> Scenario:
        """Return the scenario of one seed.

        Args:
            seed: Non-negative.
            distribution: One of the environment's.
            template: The kind of scenario, or its name; None draws it by weight.
            start_pitch_rad: Sum of boom, arm and bucket angle at the start.

        Raises:
            ContractError: If distribution or template is unknown, or the bucket cannot
                be where it is to start.
        """
        draw = self.draw(seed, distribution, template)
        values = draw.values
        posture = self.posture(
            values["start_reach_m"], values["start_height_m"], start_pitch_rad
        )
        start = (round(values["start_swing_rad"], 9), *posture)
        return self.scenario(draw, (self._surveyor(draw),), robot_position_rad=start)

    def posture(
        self, reach_m: float, height_m: float, pitch_rad: float
    ) -> tuple[float, float, float]:
        """Return boom, arm and bucket angle with the edge at a place.

        Args:
            reach_m: Ahead of the swing axis.
            height_m: Above the ground under the machine.
            pitch_rad: Sum of the three angles.

        Raises:
            ContractError: If it is out of reach.
        """
        boom_m, arm_m, bucket_m = self._lengths
        x = reach_m - self._foot[0] - bucket_m * math.cos(pitch_rad)
        z = height_m - self._foot[1] + bucket_m * math.sin(pitch_rad)
        span = math.hypot(x, z)
        if not abs(boom_m - arm_m) < span < boom_m + arm_m:
            raise ContractError(
                f"{self.environment.id}: the bucket cannot start at {reach_m:.2f} m, "
                f"{height_m:.2f} m above the ground"
            )
        across = boom_m * boom_m + arm_m * arm_m - span * span
        fold = math.pi - math.acos(across / (2.0 * boom_m * arm_m))
        lift = math.acos(
            (boom_m * boom_m + span * span - arm_m * arm_m) / (2.0 * boom_m * span)
        )
        boom = -(math.atan2(z, x) + lift)
        return round(boom, 9), round(fold, 9), round(pitch_rad - boom - fold, 9)

    def _surveyor(self, draw: Draw) -> ScenarioPerson:
        """The surveyor looks at the machine; the feet are on the ground."""
        person = sample_person(draw.group, draw.random("person"))
        distance = draw.values["person_distance_m"]
        bearing = draw.values["person_bearing_rad"]
        return ScenarioPerson(
            **dict(person),
            seat=SeatConfig(
                position_m=(
                    round(distance * math.cos(bearing), 6),
                    round(distance * math.sin(bearing), 6),
                    round(_SEAT_SHARE * person.stature_m, 6),
                ),
                yaw_rad=round(bearing + math.pi, 6),
            ),
            behaviours=draw.behaviours,
        )


_SEAT_SHARE = 0.185
"""Height of the seat at which the feet reach the ground, as a share of stature."""
