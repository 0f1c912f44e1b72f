"""Where an object is, from a tag in a camera's image: draw it, find it, solve its pose.

Tags are drawn into an image by the homography of their plane, four samples an edge of a
pixel, and only where the depth image says that nothing stands before them. The renderer
can texture a face, but takes one sample a pixel without filtering, which moves edges by
up to half a pixel; and a picture of 640 x 480 costs it a tenth of a second, where a tag
alone costs a millisecond. Pose: IPPE for a square (Collins and Bartoli 2014), which
gives two solutions, and Levenberg-Marquardt on the better one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from physai.errors import ContractError, MissingExtraError
from physai.plant.camera_settings import Intrinsics, TagConfig
from physai.plant.camera_world import Shot
from physai.robot.description import rotation_from_rpy
from physai.robot.kinematics import quaternion_from_rotation, rotation_from_quaternion
from physai.types import Array

__all__ = [
    "FACES",
    "Sighting",
    "TagDetector",
    "TagTracker",
    "draw_tag",
    "place_tag",
]

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


class Sighting(NamedTuple):
    """One tag in one image.

    Attributes:
        id: Of the tag.
        pose: (7,) of the tag in the camera's optical frame [m].
        corners: (4, 2) in the image [px].
        error_px: Root mean square of the corners' distance to the solved ones [px].
        ambiguity: The other solution's error over this one's; near 1 the tilt may have
            the wrong sign.
    """

    id: int
    pose: Array
    corners: Array
    error_px: float
    ambiguity: float


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
    cv2 = _opencv()
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


class TagDetector:
    """Finds tags and solves their poses.

    Args:
        tags: What can be seen; of one dictionary, each with a number of its own.
        intrinsics: Of the camera.
        error_max_px: A solution that misses its corners by more is not valid.
        ambiguity_min: One whose rival is nearly as good is not valid.

    Raises:
        ContractError: If the tags are of several dictionaries or share a number.
        MissingExtraError: Without OpenCV.
    """

    def __init__(
        self,
        tags: Sequence[TagConfig],
        intrinsics: Intrinsics,
        error_max_px: float = 1.0,
        ambiguity_min: float = 2.0,
    ) -> None:
        kinds = {tag.dictionary for tag in tags}
        if len(kinds) != 1 or len({tag.id for tag in tags}) != len(tags):
            raise ContractError(
                "tags must be of one dictionary, each with a number of its own"
            )
        cv2 = _opencv()
        self.sizes = {tag.id: tag.size_m for tag in tags}
        self.error_max_px, self.ambiguity_min = error_max_px, ambiguity_min
        self._matrix = intrinsics.matrix
        dictionary = _dictionary(kinds.pop())
        self._coarse = cv2.aruco.ArucoDetector(
            dictionary, cv2.aruco.DetectorParameters()
        )
        # Measured on 150 drawn tags: its corners scatter by 0.1 px and leave the size
        # alone; sub-pixel refinement draws them inward, so that a tag seems 0.5 % too
        # far away. It costs 70 ms for 640 x 480, so it sees only what is around a tag.
        settings = cv2.aruco.DetectorParameters()
        settings.cornerRefinementMethod = cv2.aruco.CORNER_REFINE_APRILTAG
        self._fine = cv2.aruco.ArucoDetector(dictionary, settings)

    def detect(self, rgb: Image) -> list[Sighting]:
        """Return every known tag of an image, valid or not (see :meth:`is_valid`).

        Args:
            rgb: (height, width, 3).
        """
        cv2 = _opencv()
        grey = cv2.cvtColor(np.ascontiguousarray(rgb), cv2.COLOR_RGB2GRAY)
        found, ids, _ = self._coarse.detectMarkers(grey)
        if ids is None:
            return []
        sightings = []
        for number, rough in zip(np.ravel(ids).tolist(), found, strict=True):
            if number in self.sizes:
                corners = self._refine(grey, number, np.reshape(rough, (4, 2)))
                if corners is not None:
                    sightings.append(self._solve(number, corners))
        return sightings

    def _refine(self, grey: Image, number: int, rough: Array) -> Array | None:
        """Return a tag's corners [px], or None where only the first look found it."""
        rim = 8 + 0.25 * np.ptp(rough, axis=0)
        low = np.maximum(rough.min(axis=0) - rim, 0).astype(int)
        high = np.ceil(rough.max(axis=0) + rim).astype(int)
        window = np.ascontiguousarray(grey[low[1] : high[1], low[0] : high[0]])
        found, ids, _ = self._fine.detectMarkers(window)
        if ids is None:
            return None
        for other, corners in zip(np.ravel(ids).tolist(), found, strict=True):
            if other == number:
                # The refinement counts from the outer edge of the first pixel.
                fine: Array = np.reshape(corners, (4, 2)).astype(np.float64) - 0.5 + low
                return fine
        return None

    def is_valid(self, sighting: Sighting) -> bool:
        """Whether a pose may be used."""
        return (
            sighting.error_px <= self.error_max_px
            and sighting.ambiguity >= self.ambiguity_min
            and bool(np.isfinite(sighting.pose).all())
        )

    def _solve(self, number: int, corners: Array) -> Sighting:
        cv2 = _opencv()
        half = 0.5 * self.sizes[number]
        square = half * np.array(
            [[-1.0, 1.0, 0.0], [1.0, 1.0, 0.0], [1.0, -1.0, 0.0], [-1.0, -1.0, 0.0]]
        )
        _, turns, shifts, _ = cv2.solvePnPGeneric(
            square, corners, self._matrix, None, flags=cv2.SOLVEPNP_IPPE_SQUARE
        )
        fits = []
        for turn, shift in zip(turns, shifts, strict=True):
            turn, shift = cv2.solvePnPRefineLM(
                square, corners, self._matrix, None, turn, shift
            )
            seen = cv2.projectPoints(square, turn, shift, self._matrix, None)[0]
            miss = float(np.sqrt(np.mean(np.sum((seen[:, 0] - corners) ** 2, axis=1))))
            fits.append((miss, turn, shift))
        fits.sort(key=lambda fit: fit[0])
        miss, turn, shift = fits[0]
        # Both may end in the same place, and then there is no rival.
        apart = len(fits) > 1 and np.linalg.norm(fits[1][1] - turn) > 0.02
        pose = np.zeros(7)
        pose[:3] = np.ravel(shift)
        quaternion_from_rotation(cv2.Rodrigues(turn)[0], pose[3:])
        return Sighting(
            number,
            pose,
            corners,
            miss,
            fits[1][0] / max(miss, 1e-9) if apart else math.inf,
        )


class TagTracker:
    """Poses of objects in the world, from the tags on them.

    Args:
        detector: Finds the tags.
        tags: Which tag is on which object.
        sizes: (K, 3) sizes of the objects [m].

    Attributes:
        poses: (K, 7) as last seen; zeros with w = 1 before.
        valid: (K,) whether an object was ever seen.
    """

    def __init__(
        self, detector: TagDetector, tags: Sequence[TagConfig], sizes: Array
    ) -> None:
        for tag in tags:
            if tag.object >= len(sizes):
                raise ContractError(
                    f"tag {tag.id} is on object {tag.object}, and there are "
                    f"{len(sizes)} objects"
                )
        self.detector = detector
        self._tags = {
            tag.id: (tag.object, *place_tag(tag, sizes[tag.object])) for tag in tags
        }
        self._count = len(sizes)
        self.reset()

    def reset(self) -> None:
        """Forget what was seen."""
        self.poses = np.zeros((self._count, 7))
        self.poses[:, 6] = 1.0
        self.valid = np.zeros(self._count, dtype=np.bool_)
        self._stamp = np.full(self._count, -np.inf)

    def observe(
        self, stamp_s: float, rgb: Image, position: Array, rotation: Array
    ) -> None:
        """Look for tags in an image; of several on an object the best fit counts.

        Args:
            stamp_s: When the image was taken [s].
            rgb: (height, width, 3).
            position: (3,) of the camera in the world then [m].
            rotation: (3, 3) of its optical frame in the world then.
        """
        best: dict[int, tuple[float, Array]] = {}
        for sighting in self.detector.detect(rgb):
            if not self.detector.is_valid(sighting):
                continue
            k, shift, turn = self._tags[sighting.id]
            if k in best and best[k][0] <= sighting.error_px:
                continue
            tag = np.empty((3, 3))
            rotation_from_quaternion(sighting.pose[3:], tag)
            whole = rotation @ tag @ turn.T
            pose = np.empty(7)
            pose[:3] = position + rotation @ sighting.pose[:3] - whole @ shift
            quaternion_from_rotation(whole, pose[3:])
            best[k] = (sighting.error_px, pose)
        if not best:
            return
        self.poses = self.poses.copy()
        for k, (_, pose) in best.items():
            self.poses[k], self.valid[k], self._stamp[k] = pose, True, stamp_s

    def ages(self, time_s: float) -> Array:
        """Return the (K,) age of every pose [s]; infinite for what was never seen."""
        ages: Array = time_s - self._stamp
        return ages


def _cells(dictionary: str) -> int:
    """Cells along an edge of a tag, its black border included."""
    return int(_dictionary(dictionary).markerSize) + 2


def _dictionary(name: str) -> Any:
    cv2 = _opencv()
    return cv2.aruco.getPredefinedDictionary(getattr(cv2.aruco, _DICTIONARIES[name]))


def _drawing(tag: TagConfig) -> Image:
    cv2 = _opencv()
    dictionary = _dictionary(tag.dictionary)
    if tag.id >= len(dictionary.bytesList):
        raise ContractError(
            f"{tag.dictionary} has {len(dictionary.bytesList)} tags, there is no "
            f"number {tag.id}"
        )
    cells = _cells(tag.dictionary)
    inner = cv2.aruco.generateImageMarker(dictionary, tag.id, cells * _CELL_PX)
    drawing: Image = np.pad(inner, _CELL_PX, constant_values=255)
    return drawing


def _opencv() -> Any:
    try:
        import cv2
    except ImportError:
        raise MissingExtraError("sim", "a tag") from None
    return cv2
