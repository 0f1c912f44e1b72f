"""Who can be seen at all: lines of sight from a robot that carries its tracker.

A tracker on a robot does not look through racks, walls or beds. A person counts as seen
when head or trunk is: a hand or a foot that shows first is not yet a track (project
choice, on the safe side). A person out of sight keeps the last track for a while, with
a growing age, and is then forgotten.
"""

from __future__ import annotations

from typing import Annotated

import numba
import numpy as np
import numpy.typing as npt
from pydantic import Field

from physai.body.person import SEGMENTS
from physai.config import Config
from physai.plant.scene import SceneConfig
from physai.robot.kinematics import Kinematics
from physai.types import Array

__all__ = ["EyeConfig", "Sight"]

Flags = npt.NDArray[np.bool_]

_LOOKED_FOR = ("head", "chest", "abdomen", "pelvis")


class EyeConfig(Config):
    """A tracker that the robot carries: it sees what nothing stands before."""

    position_m: tuple[float, float, float]
    """In the base frame; it looks all around."""
    range_m: Annotated[float, Field(gt=0.0)]
    lose_after_s: Annotated[float, Field(ge=0.0)]
    """How long a track lives on that is no longer measured."""


@numba.njit(cache=True)
def _blocked(eye: Array, x: float, y: float, z: float, boxes: Array) -> bool:
    """Whether a box stands between two points (slabs, Kay and Kajiya 1986)."""
    for b in range(boxes.shape[0]):
        enter, leave = 0.0, 1.0
        for i in range(3):
            end = x if i == 0 else (y if i == 1 else z)
            way, from_middle = end - eye[i], eye[i] - boxes[b, i]
            if abs(way) < 1e-12:
                if abs(from_middle) > boxes[b, 3 + i]:
                    leave = -1.0
                continue
            first = (-boxes[b, 3 + i] - from_middle) / way
            last = (boxes[b, 3 + i] - from_middle) / way
            enter = max(enter, min(first, last))
            leave = min(leave, max(first, last))
        if enter < leave:
            return True
    return False


@numba.njit(cache=True)
def _look(
    people: Array,
    parts: npt.NDArray[np.int64],
    eye: Array,
    reach: float,
    boxes: Array,
    out: Flags,
) -> None:
    """Write for every person whether one of the parts is in sight."""
    for p in range(people.shape[0]):
        out[p] = False
        for s in parts:
            c = people[p, s]
            x, y, z = 0.5 * (c[0] + c[3]), 0.5 * (c[1] + c[4]), 0.5 * (c[2] + c[5])
            away = (x - eye[0]) ** 2 + (y - eye[1]) ** 2 + (z - eye[2]) ** 2
            if away <= reach * reach and not _blocked(eye, x, y, z, boxes):
                out[p] = True
                break


class Sight:
    """Lines of sight of one tracker.

    Args:
        config: Where it is and how far it sees.
        scene: Its solid boxes stand in the way.
        kinematics: Of the robot that carries it; read where it is at every look.
    """

    def __init__(
        self, config: EyeConfig, scene: SceneConfig, kinematics: Kinematics
    ) -> None:
        self.config, self._kinematics = config, kinematics
        self._place, self._eye = np.array(config.position_m), np.zeros(3)
        self._boxes = np.array(
            [
                [*box.center_m, *(0.5 * size for size in box.size_m)]
                for box in scene.boxes
                if box.solid
            ]
        ).reshape(-1, 6)
        self._parts = np.array([SEGMENTS.index(name) for name in _LOOKED_FOR])

    def look(self, people: Array) -> Flags:
        """Return (P,) who of (P, S, 7) true capsules is in sight now; a new array."""
        k = self._kinematics
        np.matmul(k.link_rotation[0], self._place, out=self._eye)
        self._eye += k.link_position[0]
        out = np.zeros(people.shape[0], dtype=np.bool_)
        _look(people, self._parts, self._eye, self.config.range_m, self._boxes, out)
        return out
