"""Food on a spoon: a spill model of one bite, as shares of the bite.

The food stays while the spoon's normal is within ``spill_start_rad`` of the apparent
vertical, the direction of a - g with the spoon's acceleration a; beyond it the share
on the spoon falls at a rate that grows with the excess. Inside the mouth the person
takes the food; what the spoon spills there is in the mouth too. A touch of the face on
the way smears some off. on the spoon + in the mouth + spilled = 1 at any time.

The start angle is a design default (25 degrees for puree, 20 to 35 by thickness); the
rates are project choices. It is a criterion, not a simulation of food.
"""

from __future__ import annotations

import math
from typing import Annotated

import numba
from pydantic import Field

from physai.config import Config
from physai.types import Array

__all__ = ["FoodModel", "FoodSettings", "apparent_tilt"]

Positive = Annotated[float, Field(gt=0.0)]
NotNegative = Annotated[float, Field(ge=0.0)]

GRAVITY_M_S2 = 9.81


class FoodSettings(Config):
    """Numbers of the spill model."""

    spill_start_rad: Annotated[float, Field(gt=0.0, lt=math.pi / 2.0)] = math.radians(
        25.0
    )
    """Tilt from which food slides off; puree 25 degrees, 20 to 35 by thickness
    (design default, no published number found)."""
    spill_rate_per_s_rad: Positive = 8.0
    """Share of the remaining food lost per second and radian of excess: half of it
    in 0.5 s at 10 degrees, nearly all in 0.15 s upside down (project choice)."""
    take_rate_per_s: Positive = 1.5
    """Share of the remaining food that the person takes per second (project choice):
    95 % in two seconds."""
    take_depth_m: NotNegative = 0.025
    """Insertion from which the bowl of the spoon is within reach of the lips."""
    smear_rate_per_s: NotNegative = 0.5
    """Share lost per second while the utensil touches the face (project choice)."""


@numba.njit(cache=True)
def apparent_tilt(normal_in_world: Array, acceleration_m_s2: Array) -> float:
    """Return the angle between a spoon's normal and the apparent vertical.

    Args:
        normal_in_world: (3,) unit normal of the spoon, up when level.
        acceleration_m_s2: (3,) acceleration of the spoon in the world.

    Returns:
        Angle [rad] from 0 to pi; pi / 2 where the spoon falls freely, since nothing
        holds the food down then.
    """
    x, y, z = acceleration_m_s2[0], acceleration_m_s2[1], acceleration_m_s2[2]
    z += GRAVITY_M_S2
    size = math.sqrt(x * x + y * y + z * z)
    if size < 1e-3 * GRAVITY_M_S2:
        return 0.5 * math.pi
    n = normal_in_world
    cosine = (x * n[0] + y * n[1] + z * n[2]) / size
    return math.acos(min(1.0, max(-1.0, cosine)))


class FoodModel:
    """One bite of food.

    Attributes:
        on_spoon: Share of the bite on the spoon.
        in_mouth: Share in the mouth.
        spilled: Share lost, smeared food among it.
        smeared: Share smeared on the face.
        tilt_rad: Apparent tilt at the last step.
    """

    def __init__(self, settings: FoodSettings | None = None) -> None:
        self.settings = settings or FoodSettings()
        self.reset()

    def reset(self, on_spoon: float = 1.0) -> None:
        """Start a bite.

        Args:
            on_spoon: Share that the spoon holds; the rest counts as spilled.
        """
        self.on_spoon = min(1.0, max(0.0, on_spoon))
        self.in_mouth = 0.0
        self.spilled = 1.0 - self.on_spoon
        self.smeared = 0.0
        self.tilt_rad = 0.0

    def step(
        self,
        dt_s: float,
        normal_in_world: Array,
        acceleration_m_s2: Array,
        inside: bool,
        insertion_depth_m: float,
        willing: bool,
        touches_face: bool,
    ) -> None:
        """Advance by one control step.

        Args:
            dt_s: Length of the step [s].
            normal_in_world: (3,) unit normal of the spoon, up when level.
            acceleration_m_s2: (3,) mean acceleration of the TCP over the step.
            inside: Whether the spoon has passed the lips.
            insertion_depth_m: Depth of its tip behind the lips [m].
            willing: Whether the person eats (consents, does not signal to stop).
            touches_face: Whether the utensil touched the face outside the mouth.
        """
        s = self.settings
        self.tilt_rad = apparent_tilt(normal_in_world, acceleration_m_s2)
        excess = max(0.0, self.tilt_rad - s.spill_start_rad)
        reached = inside and insertion_depth_m >= s.take_depth_m
        spill = s.spill_rate_per_s_rad * excess
        take = s.take_rate_per_s if reached and willing else 0.0
        smear = s.smear_rate_per_s if touches_face and not reached else 0.0
        total = spill + take + smear
        if not total > 0.0:
            return
        # Competing exponential losses: exact for any length of the step.
        lost = -self.on_spoon * math.expm1(-total * dt_s)
        eaten = lost * (take + (spill if reached else 0.0)) / total
        smeared = lost * smear / total
        self.on_spoon -= lost
        self.in_mouth += eaten
        self.smeared += smeared
        self.spilled += max(0.0, lost - eaten)
