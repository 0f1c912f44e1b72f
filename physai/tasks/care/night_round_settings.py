"""The values of the task CareNightRound, section ``settings`` of its YAML."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from physai.config import Config

__all__ = ["ActionSettings", "NightRoundSettings", "RewardSettings", "SuccessSettings"]

Positive = Annotated[float, Field(gt=0.0)]
NonNegative = Annotated[float, Field(ge=0.0)]
Point = tuple[float, float]


class ActionSettings(Config):
    """What an action of 1.0 stands for, and how a tool twist becomes joint speeds."""

    base_linear_m_s: Positive
    base_angular_rad_s: Positive
    tool_linear_m_s: Positive
    tool_angular_rad_s: Positive
    posture_gain_per_s: NonNegative
    damping: Positive


class RouteSettings(Config):
    """The way of the base on the floor plan, world frame."""

    points_m: Annotated[tuple[Point, ...], Field(min_length=2)]
    """From the far end of the corridor to the place beside the table."""
    look_ahead_m: Positive
    lookout_m: Positive
    """Way before the end of the route from which the room is seen, clear of the door."""
    place_offset_m: Point
    """Where the item goes, from the middle of the table, world axes."""


class SuccessSettings(Config):
    """When the task is done."""

    spilled_share: Annotated[float, Field(ge=0.0, lt=1.0)]
    """More than this of the item lost is no delivery."""
    withdrawn_m: Positive
    """Tool above the table top after the delivery."""
    report_within_s: Positive
    """A resident who is up is reported in this time."""
    looked_s: Positive
    """The bed is looked at for so long before an alarm counts as false."""
    clear_s: Positive
    """The base stands out of the exit zone for so long at the end of a search."""


class RewardSettings(Config):
    """Weights of the reward; every term is bounded."""

    route: NonNegative
    reach: NonNegative
    level: NonNegative
    deliver: NonNegative
    withdraw: NonNegative
    report: NonNegative
    clear: NonNegative
    success: NonNegative
    spill: NonNegative
    false_report: NonNegative
    blocked: NonNegative
    """For every second of standing in the exit zone."""
    time: NonNegative
    """For a whole episode."""
    reach_scale_m: Positive


class NightRoundSettings(Config):
    """Everything that the task reads from its YAML."""

    action: ActionSettings
    route: RouteSettings
    success: SuccessSettings
    reward: RewardSettings
    start_m: Point
    """Base at the start, before the drawn offset."""
    source: str
