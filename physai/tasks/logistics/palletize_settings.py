"""The values of the task LogisticsPalletize, section ``settings`` of its YAML."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from physai.config import Config

__all__ = [
    "ActionSettings",
    "PalletizeSettings",
    "PlanSettings",
    "PlanSlot",
    "RewardSettings",
]

Positive = Annotated[float, Field(gt=0.0)]
NonNegative = Annotated[float, Field(ge=0.0)]


class ActionSettings(Config):
    """What an action of 1.0 stands for, and how it becomes joint velocities."""

    linear_m_s: Positive
    yaw_rad_s: Positive
    level_gain_per_s: NonNegative
    """Pull of the cups' plane to the horizontal; the policy turns about the vertical."""
    damping: Positive


class PlanSlot(Config):
    """One place of a stack: middle of the case in plan."""

    kind: str
    """Kind of case, as the plant's objects name it."""
    x_m: float
    y_m: float
    yaw_rad: float = 0.0
    on: tuple[Annotated[int, Field(ge=0)], ...] = ()
    """Slots of the same plan below it; none for the pallet."""


class PlanSettings(Config):
    """A stack, in the order in which it is built."""

    name: str
    slots: Annotated[tuple[PlanSlot, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _upward(self) -> PlanSettings:
        for index, slot in enumerate(self.slots):
            if any(below >= index for below in slot.on):
                raise ValueError(
                    f'plan "{self.name}": slot {index} stands on a later one'
                )
        return self


class RewardSettings(Config):
    """Weights of the reward; every term is bounded."""

    placed: NonNegative
    """For every case in its place."""
    approach: NonNegative
    """From far away to the case."""
    held: NonNegative
    carry: NonNegative
    """From the infeed to the slot."""
    lost: NonNegative
    """For every case dropped or toppled."""
    success: NonNegative
    time: NonNegative
    """For a whole episode."""
    scale_m: Positive


class PalletizeSettings(Config):
    """Everything that the task reads from its YAML."""

    action: ActionSettings
    reward: RewardSettings
    plans: Annotated[tuple[PlanSettings, ...], Field(min_length=1)]
    reach_m: Positive
    """Farthest place of the cups from the shoulder, in plan."""
    reach_source: str
    tool_start_m: tuple[float, float, float]
    """Cups at the start, world, before the drawn offset."""
    tool_start_yaw_rad: float
