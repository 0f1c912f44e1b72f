"""The values of the task LogisticsCrossing, section ``settings`` of its YAML."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from physai.config import Config

__all__ = ["CrossingSettings"]

Positive = Annotated[float, Field(gt=0.0)]
NonNegative = Annotated[float, Field(ge=0.0)]


class ActionSettings(Config):
    """What an action of 1.0 stands for."""

    linear_m_s: Positive
    angular_rad_s: Positive
    mast_m_s: Positive


class RouteSettings(Config):
    """The way along the aisle's middle and over to the drop place."""

    shift_from_x_m: float
    """Until here the route is the middle of the aisle."""
    straight_m: NonNegative
    """Length of the last straight piece, before the drop place."""
    carry_height_m: Positive
    """Mast position while driving; the lidar looks under the load."""
    approach_x_m: tuple[float, float]
    crossing_x_m: tuple[float, float]


class SuccessSettings(Config):
    """When the pallet counts as delivered."""

    position_m: Positive
    yaw_rad: Positive
    load_shift_m: Positive
    source: str


class RewardSettings(Config):
    """Weights of the reward; every term is bounded."""

    way: NonNegative
    lateral: NonNegative
    heading: NonNegative
    lower: NonNegative
    success: NonNegative
    time: NonNegative
    """For a whole episode."""
    lateral_scale_m: Positive
    heading_scale_rad: Positive


class CrossingSettings(Config):
    """Everything that the task reads from its YAML."""

    action: ActionSettings
    route: RouteSettings
    success: SuccessSettings
    reward: RewardSettings
