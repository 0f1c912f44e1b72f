"""The observation ``rgbd``: what a robot knows of itself, then pixels, in one vector.

Entries that trackers of people and things give (:attr:`Spaces.tracked_names`) are left
out, since images take their place; where the tool is in the robot's own frame is put in.
The pixels of every camera follow, row by row: colours from 0 to 255, then depth [m], 0
where none was measured. Segmentation is not shown: no camera measures it.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from physai.plant.camera_settings import RgbdConfig
from physai.policy.policy import ImageEntry
from physai.robot.kinematics import rotation_from_quaternion
from physai.tasks.task import Spaces
from physai.types import Array, State

__all__ = ["ImageObservation"]

_REACH_M = 20.0
"""Bound of the tool's place; a tool is nearer to its base."""
_TOOL = (
    *((f"tool_{c}_in_base_m", _REACH_M) for c in "xyz"),
    *((f"tool_axis_{axis}_{c}_in_base", 1.0) for axis in "xz" for c in "xyz"),
)


class ImageObservation:
    """Makes the flat observation from a task's entries and the state's images.

    Args:
        spaces: The task's.
        cameras: The plant's, by name.

    Attributes:
        spaces: Names of the entries before the pixels, the images, and bounds of all.
    """

    def __init__(self, spaces: Spaces, cameras: Mapping[str, RgbdConfig]) -> None:
        names = spaces.observation_names
        self._kept = np.array(
            [i for i, name in enumerate(names) if name not in spaces.tracked_names]
        )
        kept = tuple(names[i] for i in self._kept)
        self._own = np.array([i for i, (n, _) in enumerate(_TOOL) if n not in kept])
        own = [_TOOL[i] for i in self._own]
        images: list[ImageEntry] = []
        for name, camera in cameras.items():
            size = (camera.intrinsics.height_px, camera.intrinsics.width_px)
            depth = camera.depth_range_m
            images.append(ImageEntry(f"{name}.rgb", *size, 3, "1", 255.0))
            images.append(ImageEntry(f"{name}.depth", *size, 1, "m", depth))
        reach = [bound for _, bound in own]
        self.spaces = Spaces(
            (*kept, *(name for name, _ in own)),
            np.concatenate(
                [
                    spaces.observation_low[self._kept],
                    -np.array(reach),
                    *(np.zeros(image.size) for image in images),
                ]
            ).astype(np.float32),
            np.concatenate(
                [
                    spaces.observation_high[self._kept],
                    np.array(reach),
                    *(np.full(image.size, image.high) for image in images),
                ]
            ).astype(np.float32),
            spaces.action_names,
            images=tuple(images),
        )

    def observe(
        self, state: State, seen: npt.NDArray[np.float32]
    ) -> npt.NDArray[np.float32]:
        """Return the flat observation; an image that is not there yet is 0.

        Args:
            state: What the plant says, with images.
            seen: (o,) the task's observation of it.
        """
        given = self.spaces
        out = np.zeros(len(given.observation_low), dtype=np.float32)
        count, kept = len(given.observation_names), len(self._kept)
        out[:kept] = seen[self._kept]
        own = np.nan_to_num(_tool_in_base(state)[self._own])
        low, high = given.observation_low, given.observation_high
        out[kept:count] = np.clip(own, low[kept:count], high[kept:count])
        start, images = count, state.images or {}
        for image in given.images:
            if image.name in images:
                out[start : start + image.size] = images[image.name].ravel()
            start += image.size
        return out


def _tool_in_base(state: State) -> Array:
    """Return (9,) place [m], x and z axis of the tool in the base's frame."""
    base, tool = np.empty((3, 3)), np.empty((3, 3))
    rotation_from_quaternion(state.base_pose_in_world[3:7], base)
    rotation_from_quaternion(state.tool_pose_in_world[3:7], tool)
    place = state.tool_pose_in_world[:3] - state.base_pose_in_world[:3]
    turned = base.T @ tool
    found: Array = np.concatenate([base.T @ place, turned[:, 0], turned[:, 2]])
    return found
