"""The values of the task ConstructionTrench, section ``settings`` of its YAML."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from physai.config import Config

__all__ = ["ActionSettings", "RewardSettings", "SuccessSettings", "TrenchSettings"]

Positive = Annotated[float, Field(gt=0.0)]
NonNegative = Annotated[float, Field(ge=0.0)]
Share = Annotated[float, Field(gt=0.0, le=1.0)]


class ActionSettings(Config):
    """What an action of 1.0 stands for."""

    reach_m_s: Positive
    """Of the edge, away from the swing axis."""
    lift_m_s: Positive
    """Of the edge, up."""
    curl_rad_s: Positive
    """Of the bucket, in; the edge stays where it is."""
    swing_rad_s: Positive
    """To the left."""


class SuccessSettings(Config):
    """When the section counts as dug."""

    residual_m: Positive
    """Largest mean height left above the design, over its plan area."""
    over_dig_m: Positive
    """Largest bank volume cut beyond the tolerances, over the same area."""
    dumped_share: Share
    """Of the design's volume, on the spoil heap."""
    load_left_kg: NonNegative
    source: str


class RewardSettings(Config):
    """Weights of the reward; every term is bounded."""

    removed: NonNegative
    dumped: NonNegative
    approach: NonNegative
    success: NonNegative
    over_dig: NonNegative
    stray: NonNegative
    resistance: NonNegative
    """For a whole episode at full resistance."""
    time: NonNegative
    """For a whole episode."""
    approach_scale_m: Positive
    full_load_kg: Positive
    resistance_from_n: NonNegative
    resistance_scale_n: Positive


class TrenchSettings(Config):
    """Everything that the task reads from its YAML."""

    action: ActionSettings
    success: SuccessSettings
    reward: RewardSettings
