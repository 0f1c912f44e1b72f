"""Paint ground and fields into a picture, behind everything that stands before them.

A height map is not given to the renderer, which keeps the memory of every mesh that it
ever drew: each pixel's ray is followed down to the map, and painted where it ends before
what was rendered. A field is painted where a pixel of the ground, put back into the
world by its depth, lies in its polygon; so it lies on uneven ground as well, and no
robot, person or table is painted over.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numba
import numpy as np
import numpy.typing as npt

from physai.errors import ContractError
from physai.plant.scene import Surface
from physai.record.overlay import Zone, label_region
from physai.types import Array

__all__ = [
    "GROUND",
    "LOW",
    "lay_ground",
    "lay_zones",
    "paint_ground",
    "paint_zone",
    "surround",
]

LOW, GROUND = 1, 2
"""Marks of a pixel: furniture, of which what is low is floor; floor and ground."""

_LOW_M = 0.06
_FAR_M = 40.0
"""How far even ground goes on around a height map."""
_BANK, _LOOSE = np.array([158.0, 130.0, 96.0]), np.array([206.0, 166.0, 118.0])


@numba.njit(cache=True)
def _edge_distance(x: float, y: float, corners: Array) -> float:
    """Distance of a point to the border of a polygon, negative inside."""
    best, inside, k = math.inf, False, corners.shape[0] - 1
    for i in range(corners.shape[0]):
        ax, ay = corners[k, 0], corners[k, 1]
        bx, by = corners[i, 0], corners[i, 1]
        ex, ey = bx - ax, by - ay
        size = ex * ex + ey * ey
        t = 0.0
        if size > 0.0:
            t = min(1.0, max(0.0, ((x - ax) * ex + (y - ay) * ey) / size))
        best = min(best, math.hypot(x - ax - t * ex, y - ay - t * ey))
        if (by > y) != (ay > y) and x < bx + (y - by) / (ay - by) * (ax - bx):
            inside = not inside
        k = i
    return -best if inside else best


@numba.njit(cache=True)
def _unproject(m: Array, u: float, v: float, d: float, out: Array) -> None:
    """World point (3,) of normalised device coordinates."""
    w = m[3, 0] * u + m[3, 1] * v + m[3, 2] * d + m[3, 3]
    for r in range(3):
        out[r] = (m[r, 0] * u + m[r, 1] * v + m[r, 2] * d + m[r, 3]) / w


@numba.njit(cache=True)
def _height(x: float, y: float, heights: Array, grid: Array) -> float:
    """Bilinear height of a map; beyond it, its edge goes on."""
    rows, columns = heights.shape
    u = min(max((x - grid[0]) / grid[2], 0.0), columns - 1.000001)
    v = min(max((y - grid[1]) / grid[2], 0.0), rows - 1.000001)
    i, j = int(v), int(u)
    s, t = u - j, v - i
    low = heights[i, j] * (1.0 - s) + heights[i, j + 1] * s
    high = heights[i + 1, j] * (1.0 - s) + heights[i + 1, j + 1] * s
    return float(low * (1.0 - t) + high * t)


@numba.njit(cache=True)
def _follow(start: Array, way: Array, heights: Array, grid: Array, box: Array) -> float:
    """Return which share of a way ends on a height map; infinity for none.

    Args:
        start: (3,) where the ray starts [m].
        way: (3,) how far it goes [m].
        heights: (rows, columns) [m].
        grid: (3,) origin and cell [m].
        box: (6,) bounds of the map: x, x, y, y, z, z [m].
    """
    s, end = 0.0, 1.0
    for k in range(3):
        low, high = box[2 * k] - start[k], box[2 * k + 1] - start[k]
        if abs(way[k]) < 1e-12:
            if low > 0.0 or high < 0.0:
                return math.inf
            continue
        a, b = low / way[k], high / way[k]
        s, end = max(s, min(a, b)), min(end, max(a, b))
    flat = math.hypot(way[0], way[1])
    step = 0.7 * grid[2] / max(flat, 0.2 * abs(way[2]), 1e-9)
    before = s
    while s <= end + step:
        at = min(s, end)
        x, y = start[0] + at * way[0], start[1] + at * way[1]
        if start[2] + at * way[2] <= _height(x, y, heights, grid):
            for _ in range(8):
                middle = 0.5 * (before + at)
                x, y = start[0] + middle * way[0], start[1] + middle * way[1]
                if start[2] + middle * way[2] <= _height(x, y, heights, grid):
                    at = middle
                else:
                    before = middle
            return float(at)
        before = at
        s += step
    return math.inf


@numba.njit(cache=True)
def paint_ground(
    image: npt.NDArray[np.uint8],
    ground: npt.NDArray[np.uint8],
    buffer: npt.NDArray[np.float32],
    project: Array,
    unproject: Array,
    heights: Array,
    grid: Array,
    loose: npt.NDArray[np.bool_],
    colors: Array,
) -> None:
    """Draw a height map, lit from above, with a line every quarter of a metre.

    Args:
        image: (H, W, 3) RGB, changed in place.
        ground: (H, W) marks of pixels that show the ground, changed in place.
        buffer: (H, W) the renderer's depth buffer, changed in place.
        project: (4, 4) from the world to clip space.
        unproject: Its inverse.
        heights: (rows, columns) [m], rows along y.
        grid: (3,) x and y of ``heights[0, 0]``, distance of the points [m].
        loose: (rows, columns) where loose soil lies.
        colors: (2, 3) RGB in full light, of undisturbed and of loose soil.
    """
    height, width = buffer.shape
    start, stop, spot = np.empty(3), np.empty(3), np.empty(3)
    cell, light = grid[2], np.array([0.35, -0.45, 0.82])
    box = np.array(
        [
            grid[0],
            grid[0] + cell * (heights.shape[1] - 1),
            grid[1],
            grid[1] + cell * (heights.shape[0] - 1),
            heights.min() - 0.01,
            heights.max() + 0.01,
        ]
    )
    for i in range(height):
        v = 1.0 - 2.0 * (i + 0.5) / height
        for j in range(width):
            u = 2.0 * (j + 0.5) / width - 1.0
            _unproject(unproject, u, v, -1.0, start)
            _unproject(unproject, u, v, 2.0 * buffer[i, j] - 1.0, stop)
            for r in range(3):
                stop[r] -= start[r]
            share = _follow(start, stop, heights, grid, box)
            if share > 1.0:
                continue
            for r in range(3):
                spot[r] = start[r] + share * stop[r]
            x, y, h = spot[0], spot[1], 0.5 * cell
            gx = _height(x + h, y, heights, grid) - _height(x - h, y, heights, grid)
            gy = _height(x, y + h, heights, grid) - _height(x, y - h, heights, grid)
            gx, gy = gx / cell, gy / cell
            lit = (light[2] - gx * light[0] - gy * light[1]) / math.sqrt(
                1.0 + gx * gx + gy * gy
            )
            lit = 0.35 + 0.75 * max(0.0, lit)
            steep = math.hypot(gx, gy)
            line = abs(spot[2] - 0.25 * round(spot[2] / 0.25))
            if steep > 0.02 and line < 0.012 * max(steep, 0.3):
                lit *= 0.85
            row = min(max(round((y - grid[1]) / cell), 0), loose.shape[0] - 1)
            column = min(max(round((x - grid[0]) / cell), 0), loose.shape[1] - 1)
            kind = 1 if loose[row, column] else 0
            for c in range(3):
                image[i, j, c] = np.uint8(min(255.0, lit * colors[kind, c]))
            m = project
            z = m[2, 0] * x + m[2, 1] * y + m[2, 2] * spot[2] + m[2, 3]
            w = m[3, 0] * x + m[3, 1] * y + m[3, 2] * spot[2] + m[3, 3]
            buffer[i, j] = 0.5 + 0.5 * z / w
            ground[i, j] = GROUND


@numba.njit(cache=True)
def paint_zone(
    image: npt.NDArray[np.uint8],
    ground: npt.NDArray[np.uint8],
    buffer: npt.NDArray[np.float32],
    unproject: Array,
    corners: Array,
    color: Array,
    opacity: float,
    border_m: float,
    number: int,
    owner: npt.NDArray[np.int16],
) -> None:
    """Blend a polygon into the ground.

    Args:
        image: (H, W, 3) RGB, changed in place.
        ground: (H, W) marks: :data:`GROUND`, or :data:`LOW` where only what is low
            counts, or 0.
        buffer: (H, W) the renderer's depth buffer, 0 to 1.
        unproject: (4, 4) from normalised device coordinates to the world.
        corners: (V, 2) of the polygon in the world [m].
        color: (3,) RGB.
        opacity: Of the filling.
        border_m: Width of the border, painted more strongly [m].
        number: Of the zone.
        owner: (H, W) number of the uppermost zone of every pixel, changed in place.
    """
    height, width = buffer.shape
    spot = np.empty(3)
    low_x, high_x = corners[:, 0].min(), corners[:, 0].max()
    low_y, high_y = corners[:, 1].min(), corners[:, 1].max()
    for i in range(height):
        v = 1.0 - 2.0 * (i + 0.5) / height
        for j in range(width):
            if ground[i, j] == 0:
                continue
            u = 2.0 * (j + 0.5) / width - 1.0
            _unproject(unproject, u, v, 2.0 * buffer[i, j] - 1.0, spot)
            x, y = spot[0], spot[1]
            if ground[i, j] == LOW and abs(spot[2]) > _LOW_M:
                continue
            if x < low_x or x > high_x or y < low_y or y > high_y:
                continue
            away = _edge_distance(x, y, corners)
            if away > 0.0:
                continue
            share = min(1.0, 2.0 * opacity) if away > -border_m else opacity
            for c in range(3):
                mixed = (1.0 - share) * image[i, j, c] + share * color[c]
                image[i, j, c] = np.uint8(min(255.0, mixed + 0.5))
            owner[i, j] = number


def surround(surface: Surface) -> list[tuple[Array, Array]]:
    """Return even ground around a height map, which the ground must not cover.

    Args:
        surface: The map; the ground around it is as high as its median.

    Returns:
        (3,) middle and (3,) size of every box [m].
    """
    low = surface.origin_m + 0.5 * surface.cell_m
    high = low + (np.array(surface.height_m.shape) - 1) * surface.cell_m
    level = float(np.median(surface.height_m))
    (west, south), (east, north) = low - _FAR_M, high + _FAR_M
    return [
        (
            np.array([0.5 * (x0 + x1), 0.5 * (y0 + y1), level - 0.02]),
            np.array([x1 - x0, y1 - y0, 0.04]),
        )
        for x0, x1, y0, y1 in (
            (west, low[0], south, north),
            (high[0], east, south, north),
            (low[0], high[0], south, low[1]),
            (low[0], high[0], high[1], north),
        )
        if x1 > x0 and y1 > y0
    ]


def lay_ground(
    picture: npt.NDArray[np.uint8],
    shown: npt.NDArray[np.uint8],
    buffer: npt.NDArray[np.float32],
    project: Array,
    surface: Surface,
) -> None:
    """Draw a surface, see :func:`paint_ground`.

    Args:
        picture: (H, W, 3) RGB, changed in place.
        shown: (H, W) marks of pixels that show the ground, changed in place.
        buffer: (H, W) the renderer's depth buffer, changed in place.
        project: (4, 4) from the world to clip space.
        surface: Heights, and where soil is loose.

    Raises:
        ContractError: If its arrays are of the wrong shape.
    """
    shape = surface.height_m.shape
    if len(shape) != 2 or min(shape) < 2 or surface.loose.shape != shape:
        raise ContractError("a surface is (nx, ny) heights and as many marks of loose")
    middle = np.asarray(surface.origin_m) + 0.5 * surface.cell_m
    paint_ground(
        picture,
        shown,
        buffer,
        project,
        np.asarray(np.linalg.inv(project), dtype=np.float64),
        np.ascontiguousarray(surface.height_m.T, dtype=np.float64),
        np.array([middle[0], middle[1], surface.cell_m]),
        np.ascontiguousarray(surface.loose.T),
        np.stack([_BANK, _LOOSE]),
    )


def lay_zones(
    picture: npt.NDArray[np.uint8],
    shown: npt.NDArray[np.uint8],
    buffer: npt.NDArray[np.float32],
    project: Array,
    zones: Sequence[Zone],
) -> None:
    """Paint fields where the ground is shown, and then their words.

    Args:
        picture: (H, W, 3) RGB, changed in place.
        shown: (H, W) marks of pixels that show the ground.
        buffer: (H, W) the renderer's depth buffer.
        project: (4, 4) from the world to clip space.
        zones: The fields, the last uppermost.
    """
    if not zones:
        return
    back = np.asarray(np.linalg.inv(project), dtype=np.float64)
    owner = np.full(shown.shape, -1, dtype=np.int16)
    for number, zone in enumerate(zones):
        corners = np.ascontiguousarray(zone.corners, dtype=np.float64)
        paint_zone(
            picture,
            shown,
            buffer,
            back,
            corners,
            np.array(zone.color, dtype=np.float64),
            zone.opacity,
            0.01 * float(np.ptp(corners, axis=0).max()),
            number,
            owner,
        )
    for number, zone in enumerate(zones):
        label_region(picture, owner == number, zone.label, zone.color)
