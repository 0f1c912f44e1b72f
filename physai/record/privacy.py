"""What may be kept about people, and how a picture loses its face.

Kept are numbers of a body (capsules, forces) and settings of a scenario. Not kept are
names, free text about a person, and camera images; a video is made only when somebody
asks for one, and a face that is known to be in it is painted over first, whether the
person is synthetic or not: a drawn picture masks faces itself unless told otherwise
(:class:`physai.plant.picture.Picture`), and whoever hands a frame to a video must say
where its faces are.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from physai.errors import ContractError, RefusedError, suggest
from physai.types import Array

__all__ = [
    "HEADER_FIELDS",
    "check_header",
    "check_image",
    "mask_circle",
    "mask_pixels",
    "project_sphere",
]

HEADER_FIELDS = frozenset(
    {
        "action_names",
        "actuator_names",
        "case",
        "consent",
        "control_hz",
        "created",
        "digests",
        "distribution",
        "environment",
        "environment_id",
        "episode",
        "expect",
        "extras",
        "force_limits",
        "git_revision",
        "group",
        "guard_mode",
        "hardware",
        "hazard",
        "kind",
        "observation",
        "observation_names",
        "plant",
        "policy",
        "robot",
        "round_trip_s",
        "rule_names",
        "rules",
        "scenario",
        "seed",
        "session",
        "stage",
        "stop_within_s",
        "suite",
        "task",
        "tightened",
        "tool_channels",
        "truth_extras",
        "versions",
    }
)
"""Fields of an episode's header. To keep another one is a decision: add it here."""


def check_header(fields: Iterable[str]) -> None:
    """Check that only allowed fields go to the disk.

    Raises:
        RefusedError: Naming the first field that may not be kept.
    """
    for field in fields:
        if field not in HEADER_FIELDS:
            raise RefusedError(
                f'"{field}" is not among the fields that an episode may keep '
                f"(physai/record/privacy.py); {suggest(str(field), HEADER_FIELDS)}"
            )


def project_sphere(
    centre_in_world: Array,
    radius_m: float,
    view: Array,
    projection: Array,
    size: tuple[int, int],
) -> tuple[float, float, float] | None:
    """Return the circle that a sphere covers in a picture.

    Args:
        centre_in_world: (3,) [m].
        radius_m: [m].
        view: (4, 4) OpenGL view matrix, world to camera, row-major.
        projection: (4, 4) OpenGL perspective matrix, row-major.
        size: Width and height [px].

    Returns:
        Column, row and radius [px], a little large; None if it lies behind.
    """
    camera = np.asarray(view) @ np.append(centre_in_world, 1.0)
    depth = -camera[2]
    if not depth > radius_m:
        return None
    clip = np.asarray(projection) @ camera
    width, height = size
    column = (clip[0] / clip[3] + 1.0) * 0.5 * width
    row = (1.0 - clip[1] / clip[3]) * 0.5 * height
    # The outline of a sphere is seen at its tangents; away from the middle of the
    # picture it is an ellipse, and its middle is not the projected centre.
    tangent = radius_m / np.sqrt(depth * depth - radius_m * radius_m)
    stretch = np.linalg.norm(camera[:3]) / depth
    scale = max(projection[0][0] * width, projection[1][1] * height)
    return float(column), float(row), float(0.55 * scale * tangent * stretch**2)


def mask_circle(
    image: npt.NDArray[np.uint8], column: float, row: float, radius: float
) -> None:
    """Paint a circle over with its mean colour, in place; nothing of it is left.

    Args:
        image: (height, width, 3) uint8.
        column: Middle of the circle [px].
        row: Middle of the circle [px].
        radius: [px].

    Raises:
        ContractError: If the image or the circle is of the wrong kind.
    """
    check_image(image)
    if not np.isfinite([column, row, radius]).all():
        raise ContractError("the circle of a face to be masked is not finite")
    rows, columns = np.ogrid[: image.shape[0], : image.shape[1]]
    inside = (rows - row) ** 2 + (columns - column) ** 2 <= radius * radius
    if inside.any():
        image[inside] = image[inside].mean(axis=0).astype(np.uint8)


def mask_pixels(image: npt.NDArray[np.uint8], chosen: npt.NDArray[np.bool_]) -> None:
    """Paint pixels over with their mean colour, in place; nothing of them is left.

    Args:
        image: (height, width, 3) uint8.
        chosen: (height, width) which pixels show a face or a person.

    Raises:
        ContractError: If image and choice do not fit.
    """
    check_image(image)
    if chosen.shape != image.shape[:2] or chosen.dtype != np.bool_:
        raise ContractError("what is masked must be (height, width) of bool")
    if chosen.any():
        image[chosen] = image[chosen].mean(axis=0).astype(np.uint8)


def check_image(image: Any) -> None:
    """Check that an image is (height, width, 3) uint8.

    Raises:
        ContractError: If it is not.
    """
    wrong = not isinstance(image, np.ndarray) or image.dtype != np.uint8
    if wrong or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise ContractError("an image must be an array (height, width, 3) of uint8")
