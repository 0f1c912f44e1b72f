"""What a ray or a pixel fell on: the numbers in segmentation images and scans."""

from __future__ import annotations

__all__ = ["BACKGROUND", "FURNITURE", "OBJECT_FIRST", "PERSON_FIRST", "ROBOT"]

BACKGROUND = 0
"""Nothing, or the ground."""

ROBOT = 1
"""The robot itself."""

FURNITURE = 2
"""What does not move: boxes and cylinders of the scene."""

PERSON_FIRST = 3
"""Person p of a state has the label ``PERSON_FIRST + p``; there is room for 13."""

OBJECT_FIRST = 16
"""Object k of a state has the label ``OBJECT_FIRST + k``."""
