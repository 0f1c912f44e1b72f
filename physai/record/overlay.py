"""What is written over a picture for a visitor: zones, margins, the guard's state.

It takes data and knows no task: polygons on the floor with a colour and a label, named
margins, an action. Whoever makes pictures fills it in.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from physai.errors import ContractError, MissingExtraError
from physai.types import Action, Array

__all__ = [
    "SLOW_COLOR",
    "STOP_COLOR",
    "Overlay",
    "Zone",
    "circle_zone",
    "draw_overlay",
    "label_region",
]

Image: TypeAlias = npt.NDArray[np.uint8]
Color: TypeAlias = tuple[int, int, int]

STOP_COLOR: Color = (214, 64, 52)
SLOW_COLOR: Color = (236, 167, 44)
_FREE_COLOR: Color = (46, 150, 84)
_GREY: Color = (112, 122, 132)
_INK: Color = (32, 40, 48)
_PAPER: Color = (250, 250, 248)

_BADGES: dict[Action, tuple[str, Color]] = {
    Action.NONE: ("FREE", _FREE_COLOR),
    Action.SLOW: ("SLOW", SLOW_COLOR),
    Action.LIMIT: ("LIMIT", (224, 122, 44)),
    Action.STOP2: ("HOLD", (206, 88, 50)),
    Action.STOP1: ("STOP", STOP_COLOR),
    Action.STOP0: ("STOP", (176, 32, 32)),
}


@dataclass(frozen=True, slots=True)
class Zone:
    """A field on the floor.

    Attributes:
        corners: (V, 2) x and y in the world [m], in order; may be concave.
        color: RGB, 0 to 255.
        label: A word or two, written on it; empty for none.
        opacity: Of its filling, 0 to 1; its border is twice as opaque.
    """

    corners: Array
    color: Color = STOP_COLOR
    label: str = ""
    opacity: float = 0.35

    def __post_init__(self) -> None:
        shape = np.shape(self.corners)
        if len(shape) != 2 or shape[0] < 3 or shape[1] != 2:
            raise ContractError("a zone needs at least three corners of two numbers")
        if not np.isfinite(self.corners).all():
            raise ContractError("a zone's corners must be finite")


def circle_zone(
    center: Array, radius_m: float, color: Color, label: str = "", opacity: float = 0.35
) -> Zone:
    """Return a round zone.

    Args:
        center: (2,) in the world [m].
        radius_m: [m].
        color: RGB.
        label: See :class:`Zone`.
        opacity: See :class:`Zone`.
    """
    angle = np.linspace(0.0, 2.0 * np.pi, 48, endpoint=False)
    around = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return Zone(np.asarray(center)[:2] + radius_m * around, color, label, opacity)


@dataclass(frozen=True, slots=True)
class Overlay:
    """What is written over one picture.

    Attributes:
        time_s: Of the episode [s].
        title: Of the environment or the run.
        scenario: Name of the case.
        action: What the guard does; None where there is no guard.
        reason: Why, in a few words; empty for none.
        margins: Names and normalised margins; the tightest are shown. 0 is the limit,
            negative a violation, NaN unknown.
        shown: How many margins.
        outcome: At the end, such as ``"success"``; empty before.
        good: Whether the outcome is a good one.
    """

    time_s: float
    title: str = ""
    scenario: str = ""
    action: Action | None = None
    reason: str = ""
    margins: Sequence[tuple[str, float]] = ()
    shown: int = 3
    outcome: str = ""
    good: bool = True


def draw_overlay(image: Image, overlay: Overlay) -> None:
    """Draw over a picture, in place: bar above, margins below left, outcome right.

    Args:
        image: (height, width, 3) RGB, at least 200 x 120 pixels to be readable.
        overlay: What.

    Raises:
        MissingExtraError: Without OpenCV.
    """
    scale = max(0.35, min(image.shape[0] / 480.0, image.shape[1] / 640.0))
    _draw_bar(image, overlay, scale)
    if overlay.margins and overlay.shown > 0:
        _draw_margins(image, overlay, scale)
    if overlay.outcome:
        _draw_outcome(image, overlay, scale)


def label_region(
    image: Image, region: npt.NDArray[np.bool_], text: str, color: Color
) -> None:
    """Write a word where a region of a picture is widest, in place.

    It stays clear of the bar above and of the margins below, and is left out where the
    region has no room for it.

    Args:
        image: (height, width, 3) RGB.
        region: (height, width) where it may stand.
        text: ASCII; empty writes nothing.
        color: Of the region; the word is darker.
    """
    if not text:
        return
    cv2 = _opencv()
    rows = image.shape[0]
    free = region.astype(np.uint8)
    free[: int(0.12 * rows)] = 0
    free[int(0.84 * rows) :] = 0
    size = 0.5 * max(0.35, rows / 480.0)
    width, height = _text_size(text, size)
    room = cv2.distanceTransform(np.pad(free, 1), cv2.DIST_L2, 3)[1:-1, 1:-1]
    row, column = np.unravel_index(int(np.argmax(room)), room.shape)
    if room[row, column] < max(height, 0.35 * width):
        return
    place = (int(column - 0.5 * width), int(row + 0.5 * height))
    red, green, blue = (int(0.45 * part) for part in color)
    _text(image, text, place, size, (red, green, blue), 1)


def _draw_bar(image: Image, overlay: Overlay, scale: float) -> None:
    height, width = int(44 * scale), image.shape[1]
    _panel(image, (0, 0), (width, height), _PAPER, 0.88)
    name, color = ("NO GUARD", _GREY)
    if overlay.action is not None:
        name, color = _BADGES[overlay.action]
    pad, size = int(8 * scale), 0.62 * scale
    badge = max(_text_size(name, size)[0], _text_size("LIMIT", size)[0]) + 4 * pad
    _panel(image, (pad, pad), (pad + badge, height - pad), color, 1.0)
    words = _text_size(name, size)
    _text(
        image,
        name,
        (pad + (badge - words[0]) // 2, (height + words[1]) // 2),
        size,
        (255, 255, 255),
        2,
    )
    left = badge + 3 * pad
    clock = f"{overlay.time_s:.1f} s"
    clock_width = _text_size(clock, 0.6 * scale)[0]
    right = width - clock_width - 2 * pad
    _text(image, clock, (right, int(28 * scale)), 0.6 * scale, _INK, 1)
    head = "  ".join(part for part in (overlay.title, overlay.scenario) if part)
    room = right - left - pad
    first = 18 if overlay.reason else 28
    _text(
        image,
        _fit(head, 0.45 * scale, room),
        (left, int(first * scale)),
        0.45 * scale,
        _INK,
        1,
    )
    if overlay.reason:
        _text(
            image,
            _fit(overlay.reason, 0.40 * scale, room),
            (left, int(35 * scale)),
            0.40 * scale,
            color,
            1,
        )


def _draw_margins(image: Image, overlay: Overlay, scale: float) -> None:
    """Bars of the tightest margins: the line is the limit, right of it is free."""
    order = sorted(
        overlay.margins, key=lambda row: -math.inf if math.isnan(row[1]) else row[1]
    )
    rows = order[: overlay.shown]
    size, line = 0.42 * scale, int(19 * scale)
    names = max(_text_size(name, size)[0] for name, _ in rows)
    bar, pad, digits = int(120 * scale), int(8 * scale), int(42 * scale)
    left, side = pad, names + bar + digits + 5 * pad
    top = image.shape[0] - pad - line * len(rows) - pad
    _panel(image, (left, top), (left + side, image.shape[0] - pad), _PAPER, 0.85)
    zero = left + 2 * pad + names + bar // 5
    for k, (name, value) in enumerate(rows):
        y = top + pad // 2 + line * k
        _text(image, name, (left + pad, y + int(13 * scale)), size, _INK, 1)
        unknown = math.isnan(value)
        share = -0.25 if unknown else max(-0.25, min(1.0, value))
        end = zero + int(share * bar * 0.8)
        color = _FREE_COLOR if value >= 0.25 else SLOW_COLOR
        if not value >= 0.0:
            color = STOP_COLOR
        upper, lower = y + int(4 * scale), y + int(14 * scale)
        low, high = min(zero, end), max(zero, end)
        _panel(image, (low, upper), (max(high, low + 2), lower), color, 1.0)
        _panel(image, (zero - 1, upper - 2), (zero + 1, lower + 2), _INK, 1.0)
        text = "?" if unknown else f"{value:+.2f}"
        _text(
            image,
            text,
            (zero + int(0.8 * bar) + pad, y + int(13 * scale)),
            size,
            color,
            1,
        )


def _draw_outcome(image: Image, overlay: Overlay, scale: float) -> None:
    size, pad = 0.7 * scale, int(10 * scale)
    words = _text_size(overlay.outcome, size)
    right, bottom = image.shape[1] - pad, image.shape[0] - pad
    corner = (right - words[0] - 3 * pad, bottom - words[1] - 2 * pad)
    color = _FREE_COLOR if overlay.good else STOP_COLOR
    _panel(image, corner, (right, bottom), color, 0.95)
    place = (corner[0] + pad + pad // 2, bottom - pad)
    _text(image, overlay.outcome, place, size, (255, 255, 255), 2)


def _panel(
    image: Image,
    low: tuple[int, int],
    high: tuple[int, int],
    color: Color,
    cover: float,
) -> None:
    """Fill a rectangle of columns and rows, with what is under it showing through."""
    part = image[max(0, low[1]) : max(0, high[1]), max(0, low[0]) : max(0, high[0])]
    part[:] = ((1.0 - cover) * part + cover * np.array(color)).astype(np.uint8)


def _fit(text: str, size: float, width: int) -> str:
    """Cut a text so that it fits, at a word if there is one."""
    if _text_size(text, size)[0] <= width:
        return text
    while text and _text_size(text + "...", size)[0] > width:
        text = text.rsplit(" ", 1)[0] if " " in text else text[:-1]
    return text + "..."


def _text_size(text: str, size: float) -> tuple[int, int]:
    cv2 = _opencv()
    (width, height), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, size, 1)
    return int(width), int(height)


def _text(
    image: Image,
    text: str,
    place: tuple[int, int],
    size: float,
    color: Color,
    bold: int,
) -> None:
    cv2 = _opencv()
    cv2.putText(
        image, text, place, cv2.FONT_HERSHEY_SIMPLEX, size, color, bold, cv2.LINE_AA
    )


def _opencv() -> Any:
    try:
        import cv2
    except ImportError:
        raise MissingExtraError("sim", "drawing on pictures") from None
    return cv2
