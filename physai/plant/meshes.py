"""Capsules for the renderer: two caps and a tube, scaled from files of size one.

The renderer's own capsules have so few faces that a head becomes a prism, and of a mesh
that is handed over as numbers it keeps 90 kB for ever; one from a file is kept once.
"""

from __future__ import annotations

import tempfile
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from physai.types import Array

__all__ = ["CapsuleParts", "capsule_parts"]


class CapsuleParts(NamedTuple):
    """Files of the lower and upper half of a ball and of an open tube along z, of
    radius 1 and length 1.
    """

    lower: str
    upper: str
    tube: str

    def shape(self, radius: float, length: float) -> dict[str, Any]:
        """Return what ``createVisualShapeArray`` wants of a capsule about its middle.

        Args:
            radius: [m].
            length: Between its end points [m]; 0 is a ball.
        """
        half = 0.5 * length
        files, scales = [self.lower, self.upper], [[radius] * 3, [radius] * 3]
        places = [[0.0, 0.0, -half], [0.0, 0.0, half]]
        if length > 1e-4:
            files.append(self.tube)
            scales.append([radius, radius, length])
            places.append([0.0, 0.0, 0.0])
        return {
            "fileNames": files,
            "meshScales": scales,
            "visualFramePositions": places,
        }


@lru_cache(maxsize=4)
def capsule_parts(sectors: int = 12, rings: int = 5) -> CapsuleParts:
    """Write the files, once in a process, and return where they are.

    Args:
        sectors: Corners around the axis.
        rings: Circles of corners on a cap.
    """
    folder = Path(_folder().name)
    # Faces lie inside the round surface: half of the sagitta outward evens it out.
    grown = 1.5 - 0.5 * np.cos(np.pi / sectors)
    files = []
    for name, low, high in (("lower", -0.5, 0.0), ("upper", 0.0, 0.5)):
        latitude = np.pi * np.linspace(low, high, rings)
        cap = _ring_points(np.cos(latitude), np.sin(latitude), sectors)
        files.append(folder / f"{name}_{sectors}_{rings}.obj")
        _write(files[-1], grown * cap, cap, sectors)
    tube = _ring_points(np.ones(2), np.array([-0.5, 0.5]), sectors)
    outward = tube * np.array([1.0, 1.0, 0.0])
    files.append(folder / f"tube_{sectors}.obj")
    _write(files[-1], tube * np.array([grown, grown, 1.0]), outward, sectors)
    return CapsuleParts(*(str(file) for file in files))


@lru_cache(maxsize=1)
def _folder() -> tempfile.TemporaryDirectory[str]:
    """Folder that goes when the process does."""
    return tempfile.TemporaryDirectory(prefix="physai_meshes_")


def _ring_points(radii: Array, heights: Array, sectors: int) -> Array:
    """Points (rings * sectors, 3) on circles about z."""
    around = 2.0 * np.pi / sectors * np.arange(sectors)
    points: Array = np.stack(
        [
            np.outer(radii, np.cos(around)),
            np.outer(radii, np.sin(around)),
            np.repeat(heights[:, None], sectors, axis=1),
        ],
        axis=2,
    ).reshape(-1, 3)
    return points


def _write(path: Path, vertices: Array, normals: Array, sectors: int) -> None:
    lines = [f"v {x:.6f} {y:.6f} {z:.6f}" for x, y, z in vertices]
    lines += [f"vn {x:.6f} {y:.6f} {z:.6f}" for x, y, z in normals]
    for ring in range(len(vertices) // sectors - 1):
        for k in range(sectors):
            a = ring * sectors + k + 1
            b = ring * sectors + (k + 1) % sectors + 1
            c, d = a + sectors, b + sectors
            # At a pole a ring is one point, and one of both triangles is nothing.
            if not np.allclose(vertices[a - 1], vertices[b - 1]):
                lines.append(f"f {a}//{a} {b}//{b} {c}//{c}")
            if not np.allclose(vertices[c - 1], vertices[d - 1]):
                lines.append(f"f {b}//{b} {d}//{d} {c}//{c}")
    path.write_text("\n".join(lines) + "\n", encoding="ascii")
