"""Furniture and objects, from primitives."""

from __future__ import annotations

from typing import Annotated, NamedTuple

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from physai.config import Config
from physai.types import Array

__all__ = ["BoxConfig", "ObjectConfig", "Outline", "SceneConfig", "Surface"]

Positive = Annotated[float, Field(gt=0.0)]
Color = tuple[float, float, float]


class BoxConfig(Config):
    """A box that does not move."""

    name: str
    center_m: tuple[float, float, float]
    size_m: tuple[Positive, Positive, Positive]
    color: Color = (0.7, 0.6, 0.5)
    solid: bool = True
    """Whether the robot can touch it; False is for pictures only."""
    friction: Positive = 0.25
    """Of two faces like this; between two bodies the geometric mean holds."""


class ObjectConfig(Config):
    """A box that moves, such as a case; the scenario says where, and whether at all."""

    name: str
    kind: str
    size_m: tuple[Positive, Positive, Positive]
    com_offset_m: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Centre of mass from the middle, in the box's frame."""
    color: Color = (0.76, 0.60, 0.42)

    @model_validator(mode="after")
    def _inside(self) -> ObjectConfig:
        for offset, size in zip(self.com_offset_m, self.size_m, strict=True):
            if not abs(offset) < 0.5 * size:
                raise ValueError(
                    f'object "{self.name}": its centre of mass lies outside of it'
                )
        return self


class CylinderConfig(Config):
    """An upright cylinder that does not move, such as a bowl or a cup."""

    name: str
    center_m: tuple[float, float, float]
    radius_m: Positive
    height_m: Positive
    color: Color = (0.95, 0.95, 0.97)


class CameraConfig(Config):
    """A camera for pictures meant for people."""

    position_m: tuple[float, float, float]
    target_m: tuple[float, float, float]
    field_of_view_deg: Annotated[float, Field(gt=5.0, lt=120.0)] = 45.0


class Surface(NamedTuple):
    """Ground that changes, for pictures.

    Attributes:
        origin_m: (2,) corner with the smallest x and y, world [m].
        cell_m: Size of a cell [m].
        height_m: (nx, ny) at the cells' middles [m].
        loose: (nx, ny) whether loose soil lies there.
    """

    origin_m: Array
    cell_m: float
    height_m: Array
    loose: npt.NDArray[np.bool_]


class Outline(NamedTuple):
    """A line that is drawn over pictures: a design, a pipe, an area.

    Attributes:
        points: (m, 3) in the world [m].
        color: RGB, 0 to 255.
        closed: Whether the last point joins the first.
    """

    points: Array
    color: tuple[int, int, int]
    closed: bool


class SceneConfig(Config):
    """Section ``scene`` of the plant."""

    outdoors: bool = False
    """Open ground to the horizon instead of a room's floor and wall (pictures)."""

    boxes: tuple[BoxConfig, ...] = ()
    cylinders: tuple[CylinderConfig, ...] = ()
    props: tuple[ObjectConfig, ...] = ()
    """Objects of a process that are shown in pictures and are no bodies, in its order."""
    cameras: dict[str, CameraConfig] = Field(default_factory=dict)
