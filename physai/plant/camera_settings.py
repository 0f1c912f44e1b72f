"""Settings of RGB-D cameras: mounting, optics, errors. Needs no simulator."""

from __future__ import annotations

from typing import Annotated, Literal, NamedTuple

import numpy as np
from pydantic import Field, model_validator

from physai.config import Config
from physai.errors import suggest
from physai.types import Array

__all__ = [
    "DEPTHS",
    "DepthFigures",
    "Intrinsics",
    "IntrinsicsConfig",
    "RgbdConfig",
    "TagConfig",
]


class Intrinsics(NamedTuple):
    """A pinhole camera without distortion; pixel (0, 0) has its centre at (0, 0).

    Attributes:
        width: Pixels.
        height: Pixels.
        fx_px: Focal length along a row [px].
        fy_px: Focal length along a column [px].
        cx_px: Column of the optical axis [px].
        cy_px: Row of the optical axis [px].
    """

    width: int
    height: int
    fx_px: float
    fy_px: float
    cx_px: float
    cy_px: float

    @property
    def matrix(self) -> Array:
        """(3, 3) camera matrix, as OpenCV takes it."""
        return np.array(
            [
                [self.fx_px, 0.0, self.cx_px],
                [0.0, self.fy_px, self.cy_px],
                [0.0, 0.0, 1.0],
            ]
        )

    def shrunk(self, factor: int) -> Intrinsics:
        """Return the camera with so many pixels in one along both sides."""
        return Intrinsics(
            self.width // factor,
            self.height // factor,
            self.fx_px / factor,
            self.fy_px / factor,
            (self.cx_px + 0.5) / factor - 0.5,
            (self.cy_px + 0.5) / factor - 0.5,
        )

    def project(self, points_in_camera: Array) -> Array:
        """Return (m, 2) columns and rows [px] of (m, 3) points in the optical frame.

        Args:
            points_in_camera: x right, y down, z ahead [m]; points behind give NaN.
        """
        z = points_in_camera[:, 2]
        ahead = np.where(z > 0.0, z, np.nan)
        pixels: Array = np.stack(
            [
                self.cx_px + self.fx_px * points_in_camera[:, 0] / ahead,
                self.cy_px + self.fy_px * points_in_camera[:, 1] / ahead,
            ],
            axis=1,
        )
        return pixels

    def projection(self, near_m: float, far_m: float) -> list[float]:
        """Return the OpenGL matrix that makes the renderer see through these pixels.

        The renderer samples a pixel at its left and lower edge, not in its middle
        (found by projecting known points; a test holds it), so the frustum is moved by
        half a pixel.

        Args:
            near_m: Nearest that is drawn [m].
            far_m: Farthest that is drawn [m].

        Returns:
            16 numbers, column by column.
        """
        left = -self.cx_px / self.fx_px
        right = (self.width - self.cx_px) / self.fx_px
        bottom = -(self.height - 1 - self.cy_px) / self.fy_px
        top = (self.cy_px + 1) / self.fy_px
        depth = far_m - near_m
        return [
            *(2.0 / (right - left), 0.0, 0.0, 0.0),
            *(0.0, 2.0 / (top - bottom), 0.0, 0.0),
            (right + left) / (right - left),
            (top + bottom) / (top - bottom),
            *(-(far_m + near_m) / depth, -1.0),
            *(0.0, 0.0, -2.0 * far_m * near_m / depth, 0.0),
        ]


Positive = Annotated[float, Field(gt=0.0)]
NonNegative = Annotated[float, Field(ge=0.0)]
Share = Annotated[float, Field(ge=0.0, le=1.0)]
Point = tuple[float, float, float]


class IntrinsicsConfig(Config):
    """A pinhole camera; its optical axis goes through the middle unless told."""

    width_px: Annotated[int, Field(ge=8, le=2048)]
    height_px: Annotated[int, Field(ge=8, le=2048)]
    fx_px: Positive
    fy_px: Positive | None = None
    """The same as ``fx_px`` if left out: square pixels."""
    cx_px: float | None = None
    cy_px: float | None = None

    @property
    def values(self) -> Intrinsics:
        """The figures with what was left out."""
        w, h = self.width_px, self.height_px
        return Intrinsics(
            w,
            h,
            self.fx_px,
            self.fx_px if self.fy_px is None else self.fy_px,
            0.5 * (w - 1) if self.cx_px is None else self.cx_px,
            0.5 * (h - 1) if self.cy_px is None else self.cy_px,
        )


class DepthFigures(Config):
    """How a depth camera errs."""

    baseline_m: Positive
    stereo_focal_px: Positive
    """Focal length of the imagers that are matched, whatever size is delivered."""
    subpixel_px: NonNegative
    """Standard deviation of the disparity, bounded at three."""
    range_min_m: NonNegative
    range_max_m: Positive
    missing_rate: Share
    """Share of pixels without depth."""
    edge_missing_rate: Share
    """The same where depth jumps by more than 5 % to a neighbour."""
    source: str

    def sigma_m(self, depth_m: float) -> float:
        """Return the standard deviation at a depth [m]: z^2 s / (f B)."""
        f_b = self.stereo_focal_px * self.baseline_m
        return depth_m * depth_m * self.subpixel_px / f_b


DEPTHS: dict[str, DepthFigures] = {
    "exact": DepthFigures(
        baseline_m=1.0,
        stereo_focal_px=1.0,
        subpixel_px=0.0,
        range_min_m=0.0,
        range_max_m=100.0,
        missing_rate=0.0,
        edge_missing_rate=0.0,
        source="no error: for tests and for telling a policy's error from a sensor's",
    ),
    "realsense_d435": DepthFigures(
        baseline_m=0.05,
        stereo_focal_px=424.0,
        subpixel_px=0.08,
        range_min_m=0.11,
        range_max_m=10.0,
        missing_rate=0.02,
        edge_missing_rate=0.3,
        source="Intel RealSense tuning and sub-pixel white papers: 848 x 480 at 90 deg "
        "(424 px, high), baseline 50 mm and 0.08 px (recalled, low): 3.8 mm at 1 m, "
        "15 mm at 2 m (tracker.csv); 0.11 m at low resolution (medium); 1-5 % missing "
        "pixels (tracker.csv); share at edges: design default",
    ),
}
"""Makes of depth camera by name, from ``tracker.csv``."""


class TagConfig(Config):
    """A tag on a face of an object that is a box."""

    id: Annotated[int, Field(ge=0)]
    object: Annotated[int, Field(ge=0)]
    """Index of the object in the state."""
    size_m: Annotated[float, Field(gt=0.0)]
    """Edge of the black square; a white rim of one cell lies around it."""
    face: Literal["front", "back", "left", "right", "top", "bottom"] = "top"
    dictionary: Literal["aruco_4x4_50", "aruco_5x5_100", "apriltag_36h11"] = (
        "apriltag_36h11"
    )


class RgbdConfig(Config):
    """A camera in the world or on a link of the robot."""

    link: str = ""
    """Link that carries it; in the world if empty."""
    position_m: Point
    """In that frame."""
    target_m: Point
    """A point that it looks at, in that frame."""
    up: Point = (0.0, 0.0, 1.0)
    """Direction that is up in the picture, in that frame."""
    intrinsics: IntrinsicsConfig
    near_m: Positive = 0.05
    far_m: Positive = 20.0
    rate_hz: Positive
    latency_s: NonNegative
    depth: str = "realsense_d435"
    """Name of a make in :data:`DEPTHS`."""
    depth_figures: DepthFigures | None = None
    """Figures of another make; ``depth`` is not looked at then."""
    rgb_sigma: NonNegative = 2.0
    """Noise of a colour value, 0 to 255 (design default)."""
    light: tuple[Share, Share] = (0.62, 0.62)
    """Ambient light from, to; drawn once an episode."""
    hidden_shapes: tuple[str, ...] = ()
    """The robot's shapes that would enclose the camera."""
    tags: tuple[TagConfig, ...] = ()
    """Tags on objects, drawn into the colour image."""
    render_scale: Annotated[int, Field(ge=1, le=16)] = 1
    """The scene is rendered smaller by so much, tags are not: for large images of which
    only the tags matter."""
    source: str

    @property
    def depth_range_m(self) -> float:
        """Largest depth that is delivered [m]."""
        return (self.depth_figures or DEPTHS[self.depth]).range_max_m

    @model_validator(mode="after")
    def _check(self) -> RgbdConfig:
        if self.depth not in DEPTHS:
            raise ValueError(
                f'no depth camera "{self.depth}"; {suggest(self.depth, DEPTHS)}'
            )
        size = self.intrinsics
        if size.width_px % self.render_scale or size.height_px % self.render_scale:
            raise ValueError("render_scale must divide width and height")
        if not self.near_m < self.far_m:
            raise ValueError("near_m must be below far_m")
        if not self.light[0] <= self.light[1]:
            raise ValueError("light must go from low to high")
        ahead = np.subtract(self.target_m, self.position_m)
        if not np.linalg.norm(np.cross(ahead, self.up)) > 1e-9:
            raise ValueError("the camera looks along its own up, or nowhere")
        return self
