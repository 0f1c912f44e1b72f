"""A Bullet world that only cameras look at: primitives, their labels, their depth.

Robot and people are drawn as their capsules and furniture as its boxes and cylinders:
a renderer on the processor spends its time on vertices, so that primitives cost 2 ms at
64 x 64 pixels where the robot's meshes cost 25 ms. The world has a client of its own
and touches no physics. Uneven ground is painted pixel by pixel (:mod:`physai.plant.paint`)
and has the label of the background, as a floor has.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from physai.body.capsules import turn_from_z
from physai.errors import ContractError
from physai.plant.banner import without_banner
from physai.plant.camera_settings import Intrinsics
from physai.plant.labels import BACKGROUND, FURNITURE, OBJECT_FIRST, PERSON_FIRST, ROBOT
from physai.plant.meshes import capsule_parts
from physai.plant.paint import GROUND, lay_ground, surround
from physai.plant.scene import SceneConfig, Surface
from physai.types import Array

with without_banner():
    import pybullet

__all__ = ["CameraWorld", "Intrinsics", "Shot"]

_SIZE_TOLERANCE_M = 0.002
"""A drawn capsule may differ from the true one by so much."""

_RENEW_AFTER = 2000
"""Bodies made before the world is built anew: some kilobytes of each are kept, also of
one that was removed, until its world is closed."""

_ROBOT_COLOR = (0.86, 0.87, 0.90, 1.0)
_FLOOR_COLOR = (0.62, 0.61, 0.59, 1.0)
_AROUND_COLOR = (0.62, 0.60, 0.46, 1.0)
_HAIR = (0.62, 0.60, 0.58, 1.0)
_CLOTHES = (0.36, 0.55, 0.60, 1.0)
_SKIN = (0.93, 0.76, 0.65, 1.0)
_SKIN_SEGMENTS = frozenset({1, 2, 8, 9, 10, 11})
_OBJECT_COLORS = (
    (0.80, 0.62, 0.38, 1.0),
    (0.70, 0.45, 0.30, 1.0),
    (0.85, 0.72, 0.45, 1.0),
)


class Shot(NamedTuple):
    """What a perfect camera sees.

    Attributes:
        rgb: (height, width, 3) uint8.
        depth: (height, width) float32 along the optical axis [m]; infinity where
            nothing is drawn.
        labels: (height, width) int32, see :mod:`physai.plant.labels`.
    """

    rgb: npt.NDArray[np.uint8]
    depth: npt.NDArray[np.float32]
    labels: npt.NDArray[np.int32]


class CameraWorld:
    """Bodies to look at, one world for all cameras of a plant.

    Args:
        scene: Furniture.
        floor_z_m: Height of the floor [m]; None for none.
        floor_half_m: Half of its side [m].
    """

    def __init__(
        self,
        scene: SceneConfig,
        floor_z_m: float | None = 0.0,
        floor_half_m: float = 30.0,
    ) -> None:
        self._scene, self._floor = scene, (floor_z_m, floor_half_m)
        self._surface: Surface | None = None
        self._build()

    def _build(self) -> None:
        self._client = pybullet.connect(pybullet.DIRECT)
        self._open = True
        self._made = 0
        self._labels = np.zeros(64, dtype=np.int32)
        self._capsules: dict[tuple[int, int], tuple[int, float, float]] = {}
        self._boxes: dict[int, tuple[int, tuple[float, ...]]] = {}
        height, half = self._floor
        if self._surface is not None:
            for middle, size in surround(self._surface):
                self._move(self._box(size, _AROUND_COLOR, BACKGROUND), middle.tolist())
        elif height is not None:
            floor = self._box((2.0 * half, 2.0 * half, 0.02), _FLOOR_COLOR, BACKGROUND)
            self._move(floor, (0.0, 0.0, height - 0.01))
        for box in self._scene.boxes:
            body = self._box(box.size_m, (*box.color, 1.0), FURNITURE)
            self._move(body, box.center_m)
        for cylinder in self._scene.cylinders:
            body = self._body(
                pybullet.GEOM_CYLINDER,
                (*cylinder.color, 1.0),
                FURNITURE,
                radius=cylinder.radius_m,
                length=cylinder.height_m,
            )
            self._move(body, cylinder.center_m)

    def place(
        self,
        robot: Array,
        people: Array,
        boxes: Array | None = None,
        surface: Surface | None = None,
    ) -> None:
        """Put everything that moves where it is.

        Args:
            robot: (R, 7) capsules of the robot in the world [m].
            people: (P, S, 7) capsules [m]; at most 13 people.
            boxes: (K, 10) objects and other machines: pose and size [m].
            surface: Ground, instead of the floor; of the same place as before.

        Raises:
            ContractError: If there are more people than labels, or boxes of another
                shape.
        """
        if len(people) > OBJECT_FIRST - PERSON_FIRST:
            raise ContractError(
                f"a camera tells {OBJECT_FIRST - PERSON_FIRST} people apart, "
                f"not {len(people)}"
            )
        objects = np.zeros((0, 10)) if boxes is None else boxes
        if objects.ndim != 2 or objects.shape[1] != 10:
            raise ContractError(
                f"boxes for a camera have the shape {objects.shape}, expected (K, 10)"
            )
        first = (surface is None) != (self._surface is None)
        self._surface = surface
        if first or self._made > _RENEW_AFTER:
            self.close()
            self._build()
        self._place_group(ROBOT, robot, ROBOT)
        for p, capsules in enumerate(people):
            self._place_group(PERSON_FIRST + p, capsules, PERSON_FIRST + p)
        self._forget(PERSON_FIRST + len(people))
        self._place_boxes(objects)

    def render(
        self,
        intrinsics: Intrinsics,
        position: Array,
        rotation: Array,
        near_m: float = 0.05,
        far_m: float = 20.0,
        ambient: float = 0.62,
    ) -> Shot:
        """Look.

        Args:
            intrinsics: Of the camera.
            position: (3,) of the camera in the world [m].
            rotation: (3, 3) of its optical frame (x right, y down, z ahead) in the
                world.
            near_m: Nearest that is drawn [m].
            far_m: Farthest that is drawn [m].
            ambient: Light from everywhere, 0 to 1.

        Returns:
            What is seen; new arrays.
        """
        axes = rotation * np.array([1.0, -1.0, -1.0])
        projection = intrinsics.projection(near_m, far_m)
        view = np.eye(4)
        view[:3, :3] = axes.T
        view[:3, 3] = -axes.T @ position
        width, height = intrinsics.width, intrinsics.height
        image = self._call(
            pybullet.getCameraImage,
            width,
            height,
            view.T.ravel().tolist(),
            projection,
            lightDirection=(1.0, -2.0, 3.0),
            lightAmbientCoeff=ambient,
            lightDiffuseCoeff=0.45,
            lightSpecularCoeff=0.1,
            shadow=0,
            renderer=pybullet.ER_TINY_RENDERER,
        )
        rgb = np.reshape(np.asarray(image[2], dtype=np.uint8), (height, width, 4))
        buffer = np.reshape(np.asarray(image[3], dtype=np.float32), (height, width))
        seen = np.reshape(np.asarray(image[4], dtype=np.int32), (height, width))
        rgb = np.ascontiguousarray(rgb[:, :, :3])
        nothing = seen < 0
        # Index -1 (nothing) falls on the last entry, which stays background.
        labels = self._labels[seen]
        if self._surface is not None:
            ground, buffer = np.zeros(seen.shape, dtype=np.uint8), buffer.copy()
            # The renderer samples a pixel at its edge (see Intrinsics.projection).
            shift = np.eye(4)
            shift[:2, 3] = 1.0 / width, 1.0 / height
            clip = shift @ np.reshape(projection, (4, 4)).T @ view
            lay_ground(rgb, ground, buffer, clip, self._surface)
            nothing &= ground != GROUND
            labels[ground == GROUND] = BACKGROUND
        depth = far_m * near_m / (far_m - (far_m - near_m) * buffer)
        depth[nothing] = np.inf
        return Shot(rgb, depth.astype(np.float32, copy=False), labels)

    def close(self) -> None:
        """Release the world; twice does no harm."""
        if self._open:
            self._open = False
            pybullet.disconnect(physicsClientId=self._client)

    def _call(self, function: Any, *arguments: Any, **named: Any) -> Any:
        return function(*arguments, **named, physicsClientId=self._client)

    def _body(
        self, kind: int, color: tuple[float, ...], label: int, **size: Any
    ) -> int:
        visual = self._call(
            pybullet.createVisualShape,
            kind,
            rgbaColor=color,
            specularColor=(0.05, 0.05, 0.05),
            **size,
        )
        return self._add(visual, label)

    def _add(self, visual: int, label: int) -> int:
        self._made += 1
        body = int(self._call(pybullet.createMultiBody, 0.0, -1, visual, (0, 0, 0)))
        if body >= len(self._labels) - 1:
            self._labels = np.concatenate([self._labels, np.zeros_like(self._labels)])
        self._labels[body] = label
        return body

    def _box(self, size: Any, color: tuple[float, ...], label: int) -> int:
        half = [0.5 * float(s) for s in size]
        return self._body(pybullet.GEOM_BOX, color, label, halfExtents=half)

    def _move(self, body: int, position: Any, turn: Any = (0.0, 0.0, 0.0, 1.0)) -> None:
        self._call(pybullet.resetBasePositionAndOrientation, body, position, turn)

    def _place_group(self, group: int, capsules: Array, label: int) -> None:
        for s, row in enumerate(capsules):
            axis = row[3:6] - row[:3]
            length, radius = float(np.sqrt(axis @ axis)), float(row[6])
            drawn = self._capsules.get((group, s))
            if (
                drawn is None
                or abs(drawn[1] - radius) + abs(drawn[2] - length) > _SIZE_TOLERANCE_M
            ):
                if drawn is not None:
                    self._call(pybullet.removeBody, drawn[0])
                drawn = (self._capsule(s, radius, length, label), radius, length)
                self._capsules[group, s] = drawn
            middle = 0.5 * (row[:3] + row[3:6])
            self._move(drawn[0], middle.tolist(), turn_from_z(axis))

    def _capsule(self, s: int, radius: float, length: float, label: int) -> int:
        color = _ROBOT_COLOR
        if label != ROBOT:
            color = _SKIN if s in _SKIN_SEGMENTS else (_CLOTHES if s else _HAIR)
        shape = capsule_parts().shape(radius, length)
        count = len(shape["fileNames"])
        visual = self._call(
            pybullet.createVisualShapeArray,
            shapeTypes=[pybullet.GEOM_MESH] * count,
            **shape,
        )
        body = self._add(visual, label)
        # A mesh has a colour of its own, whatever its shape was made with.
        self._call(pybullet.changeVisualShape, body, -1, rgbaColor=color)
        return body

    def _forget(self, first_group: int) -> None:
        """Remove people who are no longer there."""
        for key in [k for k in self._capsules if k[0] >= first_group]:
            self._call(pybullet.removeBody, self._capsules.pop(key)[0])

    def _place_boxes(self, boxes: Array) -> None:
        for k, row in enumerate(boxes):
            size = tuple(row[7:10].tolist())
            drawn = self._boxes.get(k)
            if drawn is None or drawn[1] != size:
                if drawn is not None:
                    self._call(pybullet.removeBody, drawn[0])
                color = _OBJECT_COLORS[k % len(_OBJECT_COLORS)]
                drawn = (self._box(size, color, OBJECT_FIRST + k), size)
                self._boxes[k] = drawn
            self._move(drawn[0], row[:3].tolist(), row[3:7].tolist())
        for k in [k for k in self._boxes if k >= len(boxes)]:
            self._call(pybullet.removeBody, self._boxes.pop(k)[0])
