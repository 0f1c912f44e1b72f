"""What pictures show besides the scene: uneven ground, boxes that move, and stools under
people who sit where the scene has no furniture.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from physai.body.person import SeatConfig
from physai.plant.scenario import Scenario
from physai.plant.scene import SceneConfig, Surface
from physai.types import Array

__all__ = ["pictured_boxes", "pictured_ground", "stools_under"]

_SIDE_M, _NEAR_M = 0.34, 0.15


def pictured_boxes(plant: Any, scenario: Scenario | None, scene: SceneConfig) -> Array:
    """Return (K, 10) boxes for a picture of a plant, pose and size [m].

    Args:
        plant: Its ``boxes`` are other machines and the like; a robot has none.
        scenario: Says who sits where.
        scene: Its furniture.
    """
    look = getattr(plant, "boxes", None)
    moved = None if look is None else look()
    people = () if scenario is None else scenario.people
    stools = stools_under((person.seat for person in people), scene)
    return stools if moved is None else np.concatenate([stools, moved])


def pictured_ground(plant: Any) -> Surface | None:
    """Return the ground for a picture of a plant; None where the floor is even.

    Args:
        plant: Its ``surface`` says; a robot knows of none.
    """
    look = getattr(plant, "surface", None)
    found: Surface | None = None if look is None else look()
    return found


def stools_under(seats: Iterable[SeatConfig | None], scene: SceneConfig) -> Array:
    """Return (K, 10) boxes of stools, pose and size [m], where nothing else is sat on.

    Args:
        seats: Where people sit; None for who does not.
        scene: Its boxes count as seats if their top is about as high, and under them.
    """
    rows = [np.zeros((0, 10))]
    for seat in seats:
        if seat is None:
            continue
        x, y, z = seat.position_m
        if any(
            abs(box.center_m[0] - x) < 0.5 * box.size_m[0] + _NEAR_M
            and abs(box.center_m[1] - y) < 0.5 * box.size_m[1] + _NEAR_M
            and abs(box.center_m[2] + 0.5 * box.size_m[2] - z) < _NEAR_M
            for box in scene.boxes
        ):
            continue
        turn = [0.0, 0.0, np.sin(0.5 * seat.yaw_rad), np.cos(0.5 * seat.yaw_rad)]
        rows.append(np.array([[x, y, 0.5 * z, *turn, _SIDE_M, _SIDE_M, z]]))
    return np.concatenate(rows)
