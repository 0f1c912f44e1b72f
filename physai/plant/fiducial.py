"""Where an object is, from a tag in a camera's image: find it, solve its pose.

Pose of one tag: IPPE for a square (Collins and Bartoli 2014), which gives two solutions,
and Levenberg-Marquardt on the better one. Pose of a box of which several tags are seen:
Levenberg-Marquardt on all their corners together; tags on two faces leave no doubt about
the tilt, and their corners lie farther apart.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from physai.errors import ContractError
from physai.plant.camera_settings import Intrinsics, TagConfig
from physai.plant.tag_drawing import load_opencv, place_tag, tag_dictionary
from physai.robot.kinematics import quaternion_from_rotation, rotation_from_quaternion
from physai.types import Array

__all__ = ["Sighting", "TagDetector", "TagTracker"]

Image = npt.NDArray[np.uint8]

_SQUARE = 0.5 * np.array(
    [[-1.0, 1.0, 0.0], [1.0, 1.0, 0.0], [1.0, -1.0, 0.0], [-1.0, -1.0, 0.0]]
)
"""Corners of a tag of size 1, from the upper left clockwise."""


class Sighting(NamedTuple):
    """One tag in one image.

    Attributes:
        id: Of the tag.
        pose: (7,) of the tag in the camera's optical frame [m].
        corners: (4, 2) in the image [px].
        error_px: Root mean square of the corners' distance to the solved ones [px].
        steepness_rad: Between the tag's normal and the line of sight; 0 is seen head on.
        ambiguity: The other solution's error over this one's; near 1 the tilt may have
            the wrong sign.
    """

    id: int
    pose: Array
    corners: Array
    error_px: float
    steepness_rad: float
    ambiguity: float


class TagDetector:
    """Finds tags and solves their poses.

    Args:
        tags: What can be seen; of one dictionary, each with a number of its own.
        intrinsics: Of the camera.
        error_max_px: A solution that misses its corners by more is not valid.
        ambiguity_min: One whose rival is nearly as good is not valid.
        steepness_max_rad: A tag that is seen more from the side is not used at all: at 79
            degrees its corners were drawn inward so far that it seemed 5 % farther away
            (found in scenario 10000003 of ``benchmarks/vision.py``).

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
        steepness_max_rad: float = 1.2,
    ) -> None:
        kinds = {tag.dictionary for tag in tags}
        if len(kinds) != 1 or len({tag.id for tag in tags}) != len(tags):
            raise ContractError(
                "tags must be of one dictionary, each with a number of its own"
            )
        cv2 = load_opencv()
        self.sizes = {tag.id: tag.size_m for tag in tags}
        self.error_max_px, self.ambiguity_min = error_max_px, ambiguity_min
        self.steepness_max_rad = steepness_max_rad
        self._matrix = intrinsics.matrix
        dictionary = tag_dictionary(kinds.pop())
        self._coarse = cv2.aruco.ArucoDetector(
            dictionary, cv2.aruco.DetectorParameters()
        )
        # Measured on 150 drawn tags: its corners scatter by 0.1 px and leave the size
        # alone; sub-pixel refinement draws them inward, so that a tag seems 0.5 % too
        # far away. It costs 70 ms for 640 x 480, so it sees only what is around a tag.
        settings = cv2.aruco.DetectorParameters()
        settings.cornerRefinementMethod = cv2.aruco.CORNER_REFINE_APRILTAG
        self._fine = cv2.aruco.ArucoDetector(dictionary, settings)

    def detect(self, image: Image) -> list[Sighting]:
        """Return every known tag of an image, valid or not (see :meth:`is_valid`).

        Args:
            image: (height, width, 3) RGB, or (height, width) grey.
        """
        cv2 = load_opencv()
        grey = np.ascontiguousarray(image)
        if grey.ndim == 3:
            grey = cv2.cvtColor(grey, cv2.COLOR_RGB2GRAY)
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

    def is_usable(self, sighting: Sighting) -> bool:
        """Whether the corners may be used, together with those of other tags."""
        return sighting.steepness_rad <= self.steepness_max_rad and bool(
            np.isfinite(sighting.pose).all()
        )

    def is_valid(self, sighting: Sighting) -> bool:
        """Whether a pose may be used."""
        return (
            sighting.error_px <= self.error_max_px
            and sighting.ambiguity >= self.ambiguity_min
            and self.is_usable(sighting)
        )

    def corners_of(self, number: int) -> Array:
        """Return the (4, 3) corners of a tag in its own frame [m]."""
        return self.sizes[number] * _SQUARE

    def fit(self, points: Array, pixels: Array, guess: Array) -> tuple[Array, float]:
        """Return the pose that fits best near a guess, and its error.

        Args:
            points: (m, 3) in the frame of what is sought [m].
            pixels: (m, 2) where they are in the image [px].
            guess: (7,) in the camera's optical frame.

        Returns:
            (7,) pose in the optical frame, root mean square of the distances [px].
        """
        cv2 = load_opencv()
        turn = np.empty((3, 3))
        rotation_from_quaternion(guess[3:], turn)
        start, shift = cv2.Rodrigues(turn)[0], guess[:3].reshape(3, 1).copy()
        return self._refined(points, pixels, start, shift)[:2]

    def _refined(
        self, points: Array, pixels: Array, turn: Array, shift: Array
    ) -> tuple[Array, float, Array]:
        """Pose, error [px] and rotation vector after Levenberg-Marquardt."""
        cv2 = load_opencv()
        turn, shift = cv2.solvePnPRefineLM(
            points, pixels, self._matrix, None, turn, shift
        )
        seen = cv2.projectPoints(points, turn, shift, self._matrix, None)[0]
        miss = float(np.sqrt(np.mean(np.sum((seen[:, 0] - pixels) ** 2, axis=1))))
        pose = np.zeros(7)
        pose[:3] = np.ravel(shift)
        quaternion_from_rotation(cv2.Rodrigues(turn)[0], pose[3:])
        return pose, miss, turn

    def _solve(self, number: int, corners: Array) -> Sighting:
        cv2 = load_opencv()
        square = self.corners_of(number)
        _, turns, shifts, _ = cv2.solvePnPGeneric(
            square, corners, self._matrix, None, flags=cv2.SOLVEPNP_IPPE_SQUARE
        )
        fits = [
            self._refined(square, corners, turn, shift)
            for turn, shift in zip(turns, shifts, strict=True)
        ]
        fits.sort(key=lambda fit: fit[1])
        pose, miss, turn = fits[0]
        # Both may end in the same place, and then there is no rival.
        apart = len(fits) > 1 and np.linalg.norm(fits[1][2] - turn) > 0.02
        rival = fits[1][1] / max(miss, 1e-9) if apart else math.inf
        normal = np.empty((3, 3))
        rotation_from_quaternion(pose[3:], normal)
        facing = -float(normal[:, 2] @ pose[:3]) / float(np.linalg.norm(pose[:3]))
        steepness = math.acos(min(1.0, max(-1.0, facing)))
        return Sighting(number, pose, corners, miss, steepness, rival)


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
        self, stamp_s: float, image: Image, position: Array, rotation: Array
    ) -> list[int]:
        """Look for tags in an image; all tags on an object count together.

        Args:
            stamp_s: When the image was taken [s].
            image: (height, width, 3) RGB, or (height, width) grey.
            position: (3,) of the camera in the world then [m].
            rotation: (3, 3) of its optical frame in the world then.

        Returns:
            Indices of the objects that were found.
        """
        seen: dict[int, list[Sighting]] = {}
        for sighting in self.detector.detect(image):
            if self.detector.is_usable(sighting):
                seen.setdefault(self._tags[sighting.id][0], []).append(sighting)
        found = {k: self._box(sightings) for k, sightings in seen.items()}
        known = {k: pose for k, pose in found.items() if pose is not None}
        if known:
            self.poses = self.poses.copy()
        turn = np.empty((3, 3))
        for k, pose in known.items():
            rotation_from_quaternion(pose[3:], turn)
            self.poses[k, :3] = position + rotation @ pose[:3]
            quaternion_from_rotation(rotation @ turn, self.poses[k, 3:])
            self.valid[k], self._stamp[k] = True, stamp_s
        return list(known)

    def _box(self, sightings: list[Sighting]) -> Array | None:
        """Return the (7,) pose of a box in the optical frame; None where in doubt."""
        detector = self.detector
        single = [s for s in sightings if detector.is_valid(s)]
        if len(sightings) > 1:
            points = np.concatenate(
                [
                    shift + detector.corners_of(s.id) @ turn.T
                    for s in sightings
                    for _, shift, turn in (self._tags[s.id],)
                ]
            )
            pixels = np.concatenate([s.corners for s in sightings])
            fits = [detector.fit(points, pixels, self._under(s)) for s in sightings]
            pose, miss = min(fits, key=lambda fit: fit[1])
            if miss <= detector.error_max_px and np.isfinite(pose).all():
                return pose
        if not single:
            return None
        return self._under(min(single, key=lambda s: s.error_px))

    def _under(self, sighting: Sighting) -> Array:
        """Return the (7,) pose of a tag's box in the optical frame."""
        _, shift, turn = self._tags[sighting.id]
        tag, pose = np.empty((3, 3)), np.empty(7)
        rotation_from_quaternion(sighting.pose[3:], tag)
        whole = tag @ turn.T
        pose[:3] = sighting.pose[:3] - whole @ shift
        quaternion_from_rotation(whole, pose[3:])
        return pose

    def ages(self, time_s: float) -> Array:
        """Return the (K,) age of every pose [s]; infinite for what was never seen."""
        ages: Array = time_s - self._stamp
        return ages
