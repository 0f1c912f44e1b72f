"""The values of handling: cases, slots, infeed, suction, judgement; typed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, ValidationError, model_validator

from physai.config import Config
from physai.errors import ContractError
from physai.plant.case_tracker import CaseTrackerConfig
from physai.plant.suction import SuctionConfig
from physai.plant.tag_settings import TagVisionConfig

if TYPE_CHECKING:
    from physai.plant.scenario import Scenario

__all__ = [
    "EXTRAS",
    "TRUTH_EXTRAS",
    "CaseConfig",
    "HandlingConfig",
    "InfeedConfig",
    "LoadPlan",
    "PlacingConfig",
    "SlotConfig",
    "plan_of",
]

EXTRAS: tuple[str, ...] = (
    "vacuum_kpa",
    "vacuum_margin",
    "case_held",
    "case_x_in_world_m",
    "case_y_in_world_m",
    "case_z_in_world_m",
    "case_yaw_in_world_rad",
    "case_size_x_m",
    "case_size_y_m",
    "case_size_z_m",
    "case_mass_kg",
    "slot_x_in_world_m",
    "slot_y_in_world_m",
    "slot_z_in_world_m",
    "slot_yaw_in_world_rad",
    "cases_left",
)
"""Case and slot are the middle of the case's upper face, now and in its place."""
TRUTH_EXTRAS: tuple[str, ...] = (
    "cases_placed",
    "cases_to_place",
    "cases_dropped",
    "cases_toppled",
    "smallest_vacuum_margin",
    "tallest_tilt_rad",
    "drop_energy_near_person_j",
    "case_contact_speed_m_s",
    "cases_per_hour",
)

Positive = Annotated[float, Field(gt=0.0)]
NonNegative = Annotated[float, Field(ge=0.0)]
Share = Annotated[float, Field(gt=0.0, le=2.0)]


class CaseConfig(Config):
    """One case of a scenario."""

    object: Annotated[int, Field(ge=0)]
    """Index of the plant's object."""
    mass_kg: Positive
    friction: Positive
    seal: Share
    """Vacuum that its face lets the ejector reach, over the working vacuum."""
    offset_x_m: float = 0.0
    """Where it lies on the infeed."""
    offset_y_m: float = 0.0
    offset_yaw_rad: float = 0.0


class SlotConfig(Config):
    """Where a case belongs; its height follows from what it stands on."""

    x_m: float
    y_m: float
    yaw_rad: float = 0.0
    on: tuple[int, ...] = ()
    """Slots below it; none for the pallet."""


class LoadPlan(Config):
    """What a scenario's values say about handling."""

    plan: str = ""
    """Name, for reports."""
    cases: Annotated[tuple[CaseConfig, ...], Field(min_length=1)]
    slots: tuple[SlotConfig, ...]
    leak_start_s: NonNegative = 1.0e6
    leak_share: Annotated[float, Field(ge=0.0, le=1.0)] = 1.0
    """From the start of a leak on, so much of the vacuum is left."""

    @model_validator(mode="after")
    def _fits(self) -> LoadPlan:
        if len(self.slots) != len(self.cases):
            raise ValueError("every case needs one slot")
        if len({c.object for c in self.cases}) != len(self.cases):
            raise ValueError("every case is an object of its own")
        for index, slot in enumerate(self.slots):
            if any(not 0 <= below < index for below in slot.on):
                raise ValueError(f"slot {index} stands on a slot that is not before it")
        return self


class InfeedConfig(Config):
    """End of the conveyor."""

    position_m: tuple[float, float, float]
    """Middle of its surface, world."""
    supply_s: NonNegative
    """From the moment it is free to the next case at rest."""
    clear_m: Positive
    """It is free when no case is closer than this."""
    source: str


class PlacingConfig(Config):
    """When a case counts as placed, dropped, toppled."""

    pallet_top_m: NonNegative
    tolerance_m: Positive
    tolerance_yaw_rad: Positive
    tilt_rad: Positive
    rest_speed_m_s: Positive
    rest_s: NonNegative
    fall_m: Positive
    """A case that falls farther was dropped, or toppled once it was placed."""
    person_reach_m: Positive
    """A fall so close to a person counts as over or beside them."""
    source: str


class HandlingConfig(Config):
    """Section ``process`` of a plant, kind ``handling``."""

    suction: SuctionConfig
    infeed: InfeedConfig
    placing: PlacingConfig
    tracker: CaseTrackerConfig
    tags: TagVisionConfig | None = None
    """Cameras and tags of the observation ``tags``, in place of ``tracker``; they cost
    nothing unless asked for."""
    mass_sigma_share: NonNegative
    """Error of a case's mass as the order system gives it."""
    vacuum_sigma_kpa: NonNegative
    margin_sigma_share: NonNegative
    """Error of the margin from wrist force and vacuum."""
    interface_latency_s: NonNegative
    """Age of vacuum, margin and gripper state."""
    source: str


def plan_of(scenario: Scenario, objects: int) -> LoadPlan:
    """Return what a scenario says about cases and slots.

    Args:
        scenario: Its values hold ``load``, and may hold ``leak_start_s`` and
            ``leak_share``.
        objects: So many objects the plant has.

    Raises:
        ContractError: If there is none, or it cannot be, in one sentence.
    """
    given: Any = scenario.values.get("load")
    if not isinstance(given, dict):
        raise ContractError(
            f"{scenario.case}: handling needs the value load: cases and slots"
        )
    extra = {
        name: scenario.values[name]
        for name in ("leak_start_s", "leak_share")
        if name in scenario.values
    }
    try:
        plan = LoadPlan.model_validate({**given, **extra})
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ContractError(f"{scenario.case}: load.{where}: {first['msg']}") from None
    for case in plan.cases:
        if case.object >= objects:
            raise ContractError(
                f"{scenario.case}: there is no object {case.object}; there are {objects}"
            )
    return plan
