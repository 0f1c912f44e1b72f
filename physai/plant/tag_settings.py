"""Settings of object poses from tags: cameras over a cell, sheets on boxes, errors.

Needs no simulator.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from physai.config import Config
from physai.plant.camera_settings import RgbdConfig, TagConfig

__all__ = ["SheetConfig", "TagVisionConfig"]

NonNegative = Annotated[float, Field(ge=0.0)]


class SheetConfig(Config):
    """Tags of one size on faces of one object, with numbers that follow on each other."""

    object: Annotated[int, Field(ge=0)]
    """Index of the object in the state."""
    first_id: Annotated[int, Field(ge=0)]
    size_m: Annotated[float, Field(gt=0.0)]
    """Edge of the black square; a white rim of one cell lies around it."""
    faces: Annotated[
        tuple[Literal["front", "back", "left", "right", "top", "bottom"], ...],
        Field(min_length=1),
    ]

    @property
    def tags(self) -> tuple[TagConfig, ...]:
        """The tags, one a face."""
        return tuple(
            TagConfig(
                id=self.first_id + place,
                object=self.object,
                size_m=self.size_m,
                face=face,
            )
            for place, face in enumerate(self.faces)
        )


class TagVisionConfig(Config):
    """Cameras that stand in the cell, and the tags that they know."""

    cameras: Annotated[dict[str, RgbdConfig], Field(min_length=1)]
    """By name; only their colour images are used, and each sees the same tags."""
    sheets: Annotated[tuple[SheetConfig, ...], Field(min_length=1)]
    calibration_sigma_m: NonNegative
    """Error of each coordinate of a camera's supposed place, drawn once an episode."""
    calibration_sigma_rad: NonNegative
    """The same of its supposed direction, about each axis."""
    miss_rate: Annotated[float, Field(ge=0.0, lt=1.0)]
    """Share of images that never arrive."""
    source: str

    @property
    def tags(self) -> tuple[TagConfig, ...]:
        """All tags of all sheets."""
        return tuple(tag for sheet in self.sheets for tag in sheet.tags)

    @model_validator(mode="after")
    def _check(self) -> TagVisionConfig:
        numbers = [tag.id for tag in self.tags]
        if len(set(numbers)) != len(numbers):
            raise ValueError("two tags have the same number; first_id must leave room")
        for name, camera in self.cameras.items():
            if camera.tags:
                raise ValueError(f'camera "{name}": its tags follow from the sheets')
            if camera.link:
                raise ValueError(f'camera "{name}": it stands in the cell, on no link')
        return self
