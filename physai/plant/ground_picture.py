"""Pictures of ground that changes: two meshes, undisturbed and loose, and what is around."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from physai.plant.banner import without_banner
from physai.plant.scene import Surface
from physai.types import Array

with without_banner():
    import pybullet

__all__ = ["GroundPicture"]

_AROUND = (0.62, 0.60, 0.46, 1.0)
_BANK = (0.52, 0.42, 0.30, 1.0)
_LOOSE = (0.68, 0.53, 0.36, 1.0)
_FAR_M = 40.0
_TURNED = np.array([0, 1, 3, 0, 3, 2])


class GroundPicture:
    """Draws a surface in a picture's world.

    Args:
        client: Of the engine.
    """

    def __init__(self, client: int) -> None:
        self._client = client
        self._around: list[int] = []
        self._meshes: list[int] = []
        self._shown = np.zeros((0, 0))

    def show(self, surface: Surface) -> None:
        """Draw a surface in place of the one before; the same one costs nothing."""
        if np.array_equal(surface.height_m, self._shown):
            return
        self._shown = surface.height_m.copy()
        if not self._around:
            self._lay_around(surface)
        for body in self._meshes:
            pybullet.removeBody(body, physicsClientId=self._client)
        vertices, normals = _vertices(surface)
        loose = _cells(surface.loose)
        self._meshes = [
            self._mesh(vertices, normals, cells, color)
            for cells, color in ((~loose, _BANK), (loose, _LOOSE))
            if cells.any()
        ]

    def _mesh(
        self,
        vertices: Array,
        normals: Array,
        cells: npt.NDArray[np.bool_],
        color: tuple[float, ...],
    ) -> int:
        nx, ny = cells.shape[0] + 1, cells.shape[1] + 1
        first = (np.arange(nx - 1)[:, None] * ny + np.arange(ny - 1)[None, :])[cells]
        corners = np.stack([first, first + ny, first + 1, first + ny + 1], axis=1)
        used, indices = np.unique(corners[:, _TURNED].ravel(), return_inverse=True)
        visual = self._call(
            pybullet.createVisualShape,
            pybullet.GEOM_MESH,
            vertices=vertices[used].tolist(),
            normals=normals[used].tolist(),
            indices=indices.tolist(),
            rgbaColor=color,
            specularColor=(0.0, 0.0, 0.0),
        )
        return self._body(visual, (0.0, 0.0, 0.0))

    def _lay_around(self, surface: Surface) -> None:
        """Lay even ground around the map, which it must not cover."""
        shape = np.array(surface.height_m.shape) - 1
        low = surface.origin_m + 0.5 * surface.cell_m
        high = low + shape * surface.cell_m
        level = float(np.median(surface.height_m))
        (west, south), (east, north) = low - _FAR_M, high + _FAR_M
        strips = (
            (west, low[0], south, north),
            (high[0], east, south, north),
            (low[0], high[0], south, low[1]),
            (low[0], high[0], high[1], north),
        )
        for x0, x1, y0, y1 in strips:
            visual = self._call(
                pybullet.createVisualShape,
                pybullet.GEOM_BOX,
                halfExtents=(0.5 * (x1 - x0), 0.5 * (y1 - y0), 0.02),
                rgbaColor=_AROUND,
                specularColor=(0.0, 0.0, 0.0),
            )
            middle = (0.5 * (x0 + x1), 0.5 * (y0 + y1), level - 0.02)
            self._around.append(self._body(visual, middle))

    def _body(self, visual: int, position: tuple[float, float, float]) -> int:
        return int(
            self._call(pybullet.createMultiBody, 0.0, -1, visual, list(position))
        )

    def _call(self, function: Any, *arguments: Any, **named: Any) -> Any:
        return function(*arguments, **named, physicsClientId=self._client)


def _vertices(surface: Surface) -> tuple[Array, Array]:
    """Return (nx ny, 3) places of the cells' middles and their unit normals."""
    nx, ny = surface.height_m.shape
    x = surface.origin_m[0] + (np.arange(nx) + 0.5) * surface.cell_m
    y = surface.origin_m[1] + (np.arange(ny) + 0.5) * surface.cell_m
    gx, gy = np.gradient(surface.height_m, surface.cell_m)
    grid = np.stack(
        [
            np.repeat(x[:, None], ny, axis=1),
            np.repeat(y[None, :], nx, axis=0),
            surface.height_m,
        ],
        axis=2,
    )
    normal = np.stack([-gx, -gy, np.ones_like(gx)], axis=2)
    normal /= np.linalg.norm(normal, axis=2, keepdims=True)
    return grid.reshape(-1, 3), normal.reshape(-1, 3)


def _cells(loose: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Return per square between four middles whether most of it is loose."""
    count = (
        loose[1:, 1:].astype(int) + loose[:-1, 1:] + loose[1:, :-1] + loose[:-1, :-1]
    )
    cells: npt.NDArray[np.bool_] = count >= 2
    return cells
