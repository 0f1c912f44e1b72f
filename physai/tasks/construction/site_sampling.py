"""Scenarios of a machine that stands on a site with people around it."""

from __future__ import annotations

import math

from physai.body.walker import PathConfig
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
            bucket at the start), ``person_distance_m`` and ``person_bearing_rad`` (where
            the surveyor starts, from the swing axis), ``visit_distance_m`` and
            ``visit_turn_rad`` (where they go, then out again). All drawn values are
            kept in the scenario, so that the process finds its own among them.
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
        """The surveyor's way: to the visit and out again on the other side."""
        values = draw.values
        distance, bearing = values["person_distance_m"], values["person_bearing_rad"]
        turn = values["visit_turn_rad"]
        start = _place(distance, bearing)
        visit = _place(values["visit_distance_m"], bearing + turn)
        away = _place(max(distance, _AWAY_M), bearing + 2.0 * turn + 0.1)
        return self.draw_walker(
            draw,
            PathConfig(
                position_m=(*start, 0.0),
                yaw_rad=round(math.atan2(visit[1] - start[1], visit[0] - start[0]), 6),
                waypoints_m=(start, visit, away),
            ),
        )


def _place(distance_m: float, bearing_rad: float) -> tuple[float, float]:
    return (
        round(distance_m * math.cos(bearing_rad), 6),
        round(distance_m * math.sin(bearing_rad), 6),
    )


_AWAY_M = 18.0
"""Where a visit ends, outside of the restricted area."""
