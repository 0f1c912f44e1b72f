"""Tags on boxes: where they are and how a camera's image shows them.

Tags are drawn into an image by the homography of their plane, four samples an edge of a
pixel, and only where the depth image says that nothing stands before them. The renderer
can texture a face, but takes one sample a pixel without filtering, which moves edges by
up to half a pixel; and a picture of 640 x 480 costs it a tenth of a second, where a tag
alone costs a millisecond.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np
import numpy.typing as npt

from physai.errors import ContractError, MissingExtraError
from physai.plant.camera_settings import Intrinsics, TagConfig
from physai.plant.camera_world import Shot
from physai.robot.description import rotation_from_rpy
from physai.types import Array

__all__ = ["FACES", "draw_tag", "load_opencv", "place_tag", "tag_dictionary"]

Image = npt.NDArray[np.uint8]

_DICTIONARIES = {
    "aruco_4x4_50": "DICT_4X4_50",
    "aruco_5x5_100": "DICT_5X5_100",
    "apriltag_36h11": "DICT_APRILTAG_36h11",
}
_CELL_PX = 16
"""Pixels of a tag's smallest square in its drawing."""

FACES: dict[str, tuple[float, float, float]] = {
    "front": (math.pi / 2, 0.0, math.pi / 2),
    "back": (math.pi / 2, 0.0, -math.pi / 2),
    "left": (math.pi / 2, 0.0, math.pi),
    "right": (math.pi / 2, 0.0, 0.0),
    "top": (0.0, 0.0, 0.0),
    "bottom": (math.pi, 0.0, 0.0),
}
"""Roll, pitch, yaw of a tag on each face of a box: its z looks out of the face. Front
is the face toward the box's x, left toward its y, top toward its z."""

_OUTWARD = {
    "front": (1.0, 0.0, 0.0),
    "back": (-1.0, 0.0, 0.0),
    "left": (0.0, 1.0, 0.0),
    "right": (0.0, -1.0, 0.0),
    "top": (0.0, 0.0, 1.0),
    "bottom": (0.0, 0.0, -1.0),
}


def place_tag(tag: TagConfig, box_size: Array) -> tuple[Array, Array]:
    """Return where a tag is on its box.

    Args:
        tag: The tag.
        box_size: (3,) edges of the box [m].

    Returns:
        (3,) middle of the tag and (3, 3) rotation in the box's frame.

    Raises:
        ContractError: If the tag with its rim is larger than the face.
    """
    out = np.array(_OUTWARD[tag.face])
    face = np.asarray(box_size)[out == 0.0]
    rim = 2.0 * tag.size_m / _cells(tag.dictionary)
    if tag.size_m + rim > face.min() + 1e-9:
        raise ContractError(
            f"tag {tag.id} of {tag.size_m} m and its rim do not fit on a face of "
            f"{face.min():.3f} m"
        )
    # A sheet of paper stands off by less than what depth can tell.
    return 0.5 * np.asarray(box_size) * out, rotation_from_rpy(*FACES[tag.face])


def draw_tag(
    shot: Shot,
    intrinsics: Intrinsics,
    position: Array,
    rotation: Array,
    tag: TagConfig,
    levels: tuple[float, float] = (25.0, 225.0),
) -> bool:
    """Draw a tag into an image, where nothing stands before it.

    Args:
        shot: Its colours are changed in place.
        intrinsics: Of the camera.
        position: (3,) middle of the tag in the optical frame [m].
        rotation: (3, 3) of the tag in the optical frame.
        tag: Size, number and dictionary.
        levels: Values of black and white in this light.

    Returns:
        Whether any of it is in the picture.
    """
    normal = rotation[:, 2]
    # It faces away, or stands edge on.
    if normal @ position > -1e-6 * np.linalg.norm(position):
        return False
    drawing = _drawing(tag)
    half = 0.5 * tag.size_m * (1.0 + 2.0 / _cells(tag.dictionary))
    corners = (
        position
        + half * np.array([[-1, 1, 0], [1, 1, 0], [1, -1, 0], [-1, -1, 0]]) @ rotation.T
    )
    if not (corners[:, 2] > 1e-3).all():
        return False
    pixels = intrinsics.project(corners)
    low = np.maximum(np.floor(pixels.min(axis=0)).astype(int) - 1, 0)
    high = np.minimum(
        np.ceil(pixels.max(axis=0)).astype(int) + 2,
        [intrinsics.width, intrinsics.height],
    )
    if (low >= high).any():
        return False
    ink, cover = _warp(drawing, pixels - low, high - low)
    u = (np.arange(low[0], high[0]) - intrinsics.cx_px) / intrinsics.fx_px
    v = (np.arange(low[1], high[1]) - intrinsics.cy_px) / intrinsics.fy_px
    facing = normal[0] * u[None, :] + normal[1] * v[:, None] + normal[2]
    plane = np.where(facing < -1e-9, normal @ position / np.minimum(facing, -1e-9), 0.0)
    window = (slice(low[1], high[1]), slice(low[0], high[0]))
    cover = np.where(shot.depth[window] > plane - 0.004 - 0.005 * plane, cover, 0.0)
    value = levels[0] + (levels[1] - levels[0]) * ink
    patch = shot.rgb[window]
    mixed = patch * (1.0 - cover[..., None]) + (value * cover)[..., None]
    shot.rgb[window] = np.clip(mixed + 0.5, 0.0, 255.0).astype(np.uint8)
    return bool(cover.max() > 0.0)


def _warp(drawing: Image, pixels: Array, size: Any) -> tuple[Array, Array]:
    """Return white (0 to 1) and share of every pixel that a drawing covers.

    Args:
        drawing: Square, one channel.
        pixels: (4, 2) of its corners in the window, from the upper left clockwise [px].
        size: Width and height of the window.
    """
    cv2 = load_opencv()
    fine, edge = 4, drawing.shape[0]
    width, height = int(size[0]), int(size[1])
    # The corners of a drawing are the outer corners of its pixels.
    source = np.array([[0, 0], [edge, 0], [edge, edge], [0, edge]], np.float32) - 0.5
    target = (fine * (pixels + 0.5) - 0.5).astype(np.float32)
    matrix = cv2.getPerspectiveTransform(source, target)
    full = (fine * width, fine * height)
    ink = cv2.warpPerspective(drawing.astype(np.float32) / 255.0, matrix, full)
    cover = cv2.warpPerspective(np.ones_like(drawing, np.float32), matrix, full)
    whole = cv2.resize(cover, (width, height), interpolation=cv2.INTER_AREA)
    white = cv2.resize(ink, (width, height), interpolation=cv2.INTER_AREA)
    return white / np.maximum(whole, 1e-6), whole


def _cells(dictionary: str) -> int:
    """Cells along an edge of a tag, its black border included."""
    return int(tag_dictionary(dictionary).markerSize) + 2


@functools.cache
def tag_dictionary(name: str) -> Any:
    """Return OpenCV's dictionary of a name in :class:`TagConfig`.

    Raises:
        MissingExtraError: Without OpenCV.
    """
    cv2 = load_opencv()
    return cv2.aruco.getPredefinedDictionary(getattr(cv2.aruco, _DICTIONARIES[name]))


@functools.lru_cache(maxsize=256)
def _drawing(tag: TagConfig) -> Image:
    cv2 = load_opencv()
    dictionary = tag_dictionary(tag.dictionary)
    if tag.id >= len(dictionary.bytesList):
        raise ContractError(
            f"{tag.dictionary} has {len(dictionary.bytesList)} tags, there is no "
            f"number {tag.id}"
        )
    cells = _cells(tag.dictionary)
    inner = cv2.aruco.generateImageMarker(dictionary, tag.id, cells * _CELL_PX)
    drawing: Image = np.pad(inner, _CELL_PX, constant_values=255)
    return drawing


def load_opencv() -> Any:
    """Return the module ``cv2``.

    Raises:
        MissingExtraError: Without OpenCV.
    """
    try:
        import cv2
    except ImportError:
        raise MissingExtraError("sim", "a tag") from None
    return cv2
