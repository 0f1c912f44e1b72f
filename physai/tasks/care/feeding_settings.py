"""The values of the task CareFeeding, section ``settings`` of its YAML."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from physai.config import Config

__all__ = ["ActionSettings", "FeedingSettings", "RewardSettings", "SuccessSettings"]

Positive = Annotated[float, Field(gt=0.0)]
NonNegative = Annotated[float, Field(ge=0.0)]


class ActionSettings(Config):
    """What an action of 1.0 stands for, and how it becomes joint velocities."""

    linear_m_s: Positive
    angular_rad_s: Positive
    posture_gain_per_s: NonNegative
    damping: Positive


class SuccessSettings(Config):
    """When the task is done."""

    food_share: Annotated[float, Field(gt=0.0, le=1.0)]
    food_share_source: str
    withdrawn_m: Positive
    """Tip of the spoon from the lips, after feeding."""
    standoff_m: Positive
    """Tip from the lips: nearer only toward a person who wants it."""


class RewardSettings(Config):
    """Weights of the reward; every term is bounded."""

    approach: NonNegative
    level: NonNegative
    food: NonNegative
    withdraw: NonNegative
    success: NonNegative
    spill: NonNegative
    force: NonNegative
    time: NonNegative
    """For a whole episode."""
    approach_scale_m: Positive
    consent_distance_m: Positive
    """Until the person consents, nearer than this earns nothing."""
    standoff_m: Positive
    """Until the mouth opens, nearer than this earns nothing."""
    depth_m: Positive
    """Tip behind the lips that the approach aims at."""
    force_from_n: NonNegative
    """Force at the mouth that is still free."""
    force_scale_n: Positive


class FeedingSettings(Config):
    """Everything that the task reads from its YAML."""

    action: ActionSettings
    success: SuccessSettings
    reward: RewardSettings
    spoon_start_m: tuple[float, float, float]
    """Middle of the spoon's bowl at the start, world, before the drawn offset."""
