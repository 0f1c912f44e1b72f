"""The values of the task ConstructionHaul, section ``settings`` of its YAML."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from physai.config import Config

__all__ = ["HaulActionSettings", "HaulRewardSettings", "HaulSettings"]

Positive = Annotated[float, Field(gt=0.0)]
NonNegative = Annotated[float, Field(ge=0.0)]
Share = Annotated[float, Field(gt=0.0, le=1.0)]


class HaulActionSettings(Config):
    """What an action of 1.0 stands for."""

    linear_m_s: Positive
    angular_rad_s: Positive
    bed_rad_s: Positive


class HaulSuccessSettings(Config):
    """When the haul is done."""

    delivered_share: Share
    """Of the load, inside the target."""
    lowered_rad: Positive
    """The bed is down below this angle."""
    route_tolerance_m: Positive
    """The base's origin never went farther from its way."""
    source: str


class HaulRewardSettings(Config):
    """Weights of the reward; every term is bounded."""

    route: NonNegative
    dock: NonNegative
    deliver: NonNegative
    lower: NonNegative
    success: NonNegative
    spill: NonNegative
    away: NonNegative
    """For a whole episode beyond the route's tolerance."""
    time: NonNegative
    """For a whole episode."""
    dock_scale_m: Positive
    turn_length_m_rad: Positive
    """A radian away from the dump's heading is worth so many metres."""


class HaulSettings(Config):
    """Everything that the task reads from its YAML."""

    action: HaulActionSettings
    success: HaulSuccessSettings
    reward: HaulRewardSettings
    look_ahead_m: tuple[Positive, Positive]
    """Before the nose: from where to where the slope ahead is taken from the map."""
