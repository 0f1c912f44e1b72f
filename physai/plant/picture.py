"""Pictures of a scene for people: a Bullet world of its own, for looking only.

Robot with its visual meshes, furniture, people as capsules, objects as boxes, ground as
a height map, fields painted on it. Nothing here touches the physics, so that an episode
is the same with and without pictures. Faces are painted over unless somebody asks for
them, since pictures end in files.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from physai.body.capsules import turn_from_z
from physai.body.person import SEGMENT_COUNT, SEGMENTS
from physai.errors import ContractError
from physai.plant.banner import without_banner
from physai.plant.meshes import capsule_parts
from physai.plant.paint import lay_ground, lay_zones, paint_sky
from physai.plant.scenario import PlantConfig
from physai.plant.scene import CameraConfig
from physai.record.overlay import Zone
from physai.record.privacy import mask_pixels
from physai.robot.description import Robot
from physai.types import Array, State

with without_banner():
    import pybullet
    import pybullet_data

__all__ = ["Image", "Picture", "Surroundings"]

Image = npt.NDArray[np.uint8]

_SKIN, _CLOTHES = (0.93, 0.76, 0.65, 1.0), (0.36, 0.55, 0.60, 1.0)
_TROUSERS, _HAIR = (0.28, 0.32, 0.42, 1.0), (0.62, 0.60, 0.58, 1.0)
_COLORS = (
    _HAIR,
    _SKIN,
    _SKIN,
    _CLOTHES,
    _CLOTHES,
    _TROUSERS,
    _CLOTHES,
    _CLOTHES,
    _SKIN,
    _SKIN,
    _SKIN,
    _SKIN,
    _TROUSERS,
    _TROUSERS,
    _TROUSERS,
    _TROUSERS,
)
_COVER = (0.92, 0.93, 0.95, 1.0)
_LIPS = (0.72, 0.30, 0.30, 1.0)
_FLOOR_COLOR = (0.84, 0.83, 0.81, 1.0)
_OBJECT_COLORS = (
    (0.80, 0.62, 0.38, 1.0),
    (0.72, 0.50, 0.33, 1.0),
    (0.86, 0.74, 0.50, 1.0),
    (0.62, 0.66, 0.70, 1.0),
)
_FACE_SEGMENTS = frozenset(SEGMENTS.index(name) for name in ("head", "face"))
_HIDDEN = (0.0, 0.0, -500.0)
_NEAR_M = 0.05
_DEFAULT_CAMERA = CameraConfig(position_m=(1.9, -1.5, 1.55), target_m=(0.6, 0.0, 0.95))


class Surroundings(NamedTuple):
    """What a picture shows beside robot, people and furniture; see :meth:`Picture.draw`.

    Attributes:
        objects: (K, 10) boxes that move, or None.
        ground: Heights and grid, or None for the floor.
        zones: Fields on the floor.
    """

    objects: Array | None = None
    ground: tuple[Array, Array] | None = None
    zones: Sequence[Zone] = ()


class Picture:
    """Draws states of one plant.

    Args:
        config: Section ``plant`` of the environment.
        robot: The robot.
        width: Pixels.
        height: Pixels.
        backdrop: Whether a wall stands behind the scene; None for behind a robot that
            is bolted down.
    """

    def __init__(
        self,
        config: PlantConfig,
        robot: Robot,
        width: int = 640,
        height: int = 480,
        backdrop: bool | None = None,
    ) -> None:
        self.config, self.robot = config, robot
        self.width, self.height = width, height
        self._client = pybullet.connect(pybullet.DIRECT)
        self._open = True
        self._body = self._load_robot()
        self._joints = self._joint_indices()
        inertial = self._call(pybullet.getDynamicsInfo, self._body, -1)
        self._inertial = inertial[3], inertial[4]
        self._furnish(robot.base is None if backdrop is None else backdrop)
        self._people: list[list[int]] = []
        self._lips: list[int] = []
        self._radii: list[list[tuple[float, float]]] = []
        self._objects: dict[int, tuple[int, tuple[float, ...]]] = {}

    def draw(
        self,
        state: State,
        camera: str | CameraConfig = "",
        mouth: Array | None = None,
        *,
        objects: Array | None = None,
        ground: tuple[Array, Array] | None = None,
        zones: Sequence[Zone] = (),
        mask: Literal["face", "person", "none"] = "face",
    ) -> Image:
        """Return a picture of a state (usually the true one).

        Args:
            state: Base, joints and people are drawn.
            camera: Name of a camera of the scene, or a camera.
            mouth: (3,) middle of the lips, world [m]; None draws no mouth. It is a
                mark, not a likeness, and is drawn over a masked face.
            objects: (K, 10) boxes that move: pose and size [m].
            ground: Height map instead of the floor: (rows, columns) heights [m] with
                rows along y, and (3,) x, y of the first and the distance of its points
                [m], as of :class:`physai.plant.ground.Ground`.
            zones: Fields painted on floor or ground, the last uppermost.
            mask: Paint over heads and faces, whole people, or nothing. Nothing is for
                pictures that are looked at and not kept.

        Returns:
            (height, width, 3) uint8, RGB.

        Raises:
            ContractError: If ``objects``, ``ground`` or ``mask`` are of the wrong kind.
        """
        if mask not in ("face", "person", "none"):
            raise ContractError(
                f'a picture masks "face", "person" or "none", not {mask!r}'
            )
        self._place_robot(state)
        self._place_people(state.people, mouth)
        self._place_objects(np.zeros((0, 10)) if objects is None else objects)
        self._move(self._floor, self._floor_place if ground is None else _HIDDEN)
        matrix, projection = self._matrices(camera)
        image = self._call(
            pybullet.getCameraImage,
            self.width,
            self.height,
            matrix.T.ravel().tolist(),
            projection.T.ravel().tolist(),
            lightDirection=(1.0, -2.0, 3.0),
            lightColor=(1.0, 1.0, 1.0),
            shadow=0,
            lightAmbientCoeff=0.62,
            lightDiffuseCoeff=0.45,
            lightSpecularCoeff=0.15,
            renderer=pybullet.ER_TINY_RENDERER,
        )
        size = (self.height, self.width)
        picture = np.ascontiguousarray(
            np.reshape(np.asarray(image[2], dtype=np.uint8), (*size, 4))[:, :, :3]
        )
        seen = np.reshape(np.asarray(image[4]), size)
        self._mask(picture, seen, mask)
        paint_sky(picture, seen < 0)
        shown = seen == self._floor
        # The renderer keeps its buffer: what is painted into it must be a copy.
        buffer = np.array(image[3], dtype=np.float32).reshape(size)
        project = np.ascontiguousarray(projection @ matrix, dtype=np.float64)
        if ground is not None:
            lay_ground(picture, shown, buffer, project, *ground)
        lay_zones(picture, shown, buffer, project, zones)
        return picture

    def project(self, points: Array, camera: str | CameraConfig = "") -> Array:
        """Return (m, 2) pixel positions of (m, 3) world points, for overlays.

        Points behind the camera give NaN.
        """
        matrix, projection = self._matrices(camera)
        homogeneous = np.concatenate([points, np.ones((len(points), 1))], axis=1)
        clip = homogeneous @ (projection @ matrix).T
        scaled = clip[:, :2] / np.where(clip[:, 3:4] > 1e-9, clip[:, 3:4], np.nan)
        pixels: Array = np.stack(
            [
                (0.5 + 0.5 * scaled[:, 0]) * self.width,
                (0.5 - 0.5 * scaled[:, 1]) * self.height,
            ],
            axis=1,
        )
        return pixels

    def _matrices(self, camera: str | CameraConfig) -> tuple[Array, Array]:
        """(4, 4) view and projection of a camera."""
        view = self._camera(camera)
        away = float(np.linalg.norm(np.subtract(view.position_m, view.target_m)))
        matrix = pybullet.computeViewMatrix(view.position_m, view.target_m, (0, 0, 1))
        projection = pybullet.computeProjectionMatrixFOV(
            view.field_of_view_deg,
            self.width / self.height,
            _NEAR_M,
            max(8.0, 2.0 * self._reach + 2.0 * away),
        )
        return np.reshape(matrix, (4, 4)).T, np.reshape(projection, (4, 4)).T

    def _mask(self, picture: Image, seen: npt.NDArray[Any], mask: str) -> None:
        """Paint over every person's face, or all of them, each in a colour of its own."""
        if mask == "none":
            return
        for bodies in self._people:
            chosen = [
                body
                for s, body in enumerate(bodies)
                if mask == "person" or s in _FACE_SEGMENTS
            ]
            mask_pixels(picture, np.isin(seen, chosen))

    def close(self) -> None:
        """Release the world; twice does no harm."""
        if self._open:
            self._open = False
            pybullet.disconnect(physicsClientId=self._client)

    def _call(self, function: Any, *arguments: Any, **named: Any) -> Any:
        return function(*arguments, **named, physicsClientId=self._client)

    def _camera(self, camera: str | CameraConfig) -> CameraConfig:
        if isinstance(camera, CameraConfig):
            return camera
        cameras = self.config.scene.cameras
        if camera in cameras:
            return cameras[camera]
        return next(iter(cameras.values()), _DEFAULT_CAMERA)

    def _load_robot(self) -> int:
        packages = {"pybullet_data": pybullet_data.getDataPath()}
        base = self.config.base_pose
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "robot.urdf"
            file.write_text(self.robot.urdf_text(packages, visuals=True))
            body = self._call(
                pybullet.loadURDF,
                str(file),
                base[:3].tolist(),
                base[3:].tolist(),
                useFixedBase=True,
                flags=pybullet.URDF_USE_MATERIAL_COLORS_FROM_MTL,
            )
        # A mesh of several materials gets the last one's colour, which may be black.
        for shape in self._call(pybullet.getVisualShapeData, body):
            if max(shape[7][:3]) < 0.35:
                self._call(pybullet.changeVisualShape, body, shape[1], rgbaColor=_COVER)
        return int(body)

    def _joint_indices(self) -> list[int]:
        names = {}
        for index in range(self._call(pybullet.getNumJoints, self._body)):
            names[self._call(pybullet.getJointInfo, self._body, index)[1].decode()] = (
                index
            )
        return [names[name] for name in self.robot.joint_names]

    def _place_robot(self, state: State) -> None:
        joints = state.actuator_position[-len(self._joints) :] if self._joints else ()
        for joint, value in zip(self._joints, joints, strict=True):
            self._call(pybullet.resetJointState, self._body, joint, float(value))
        # Bullet places the centre of mass of the first link, not its frame.
        base = state.base_pose_in_world
        place = pybullet.multiplyTransforms(
            base[:3].tolist(), base[3:].tolist(), *self._inertial
        )
        self._move(self._body, *place)

    def _place_objects(self, objects: Array) -> None:
        if objects.ndim != 2 or objects.shape[1] != 10:
            raise ContractError(
                f"objects for a picture have the shape {objects.shape}, expected (K, 10)"
            )
        for k, row in enumerate(objects):
            size = tuple(row[7:].tolist())
            drawn = self._objects.get(k)
            if drawn is None or drawn[1] != size:
                if drawn is not None:
                    self._call(pybullet.removeBody, drawn[0])
                body = self._shape(
                    pybullet.GEOM_BOX,
                    _OBJECT_COLORS[k % len(_OBJECT_COLORS)],
                    halfExtents=[0.5 * s for s in size],
                )
                drawn = self._objects[k] = (body, size)
            self._move(drawn[0], row[:3].tolist(), row[3:7].tolist())
        for k in [k for k in self._objects if k >= len(objects)]:
            self._call(pybullet.removeBody, self._objects.pop(k)[0])

    def _shape(self, kind: int, color: tuple[float, ...], **size: Any) -> int:
        visual = self._call(
            pybullet.createVisualShape,
            kind,
            rgbaColor=color,
            specularColor=(0.1, 0.1, 0.1),
            **size,
        )
        return int(self._call(pybullet.createMultiBody, 0.0, -1, visual, (0, 0, 0)))

    def _segment(self, s: int, radius: float, length: float) -> int:
        shape = capsule_parts(sectors=24, rings=8).shape(radius, length)
        count = len(shape["fileNames"])
        visual = self._call(
            pybullet.createVisualShapeArray,
            shapeTypes=[pybullet.GEOM_MESH] * count,
            **shape,
        )
        body = self._call(pybullet.createMultiBody, 0.0, -1, visual, (0, 0, 0))
        # A mesh has a colour of its own, whatever its shape was made with.
        self._call(pybullet.changeVisualShape, body, -1, rgbaColor=_COLORS[s])
        return int(body)

    def _furnish(self, backdrop: bool) -> None:
        scene = self.config.scene
        edges = [
            (abs(b.center_m[i]) + 0.5 * b.size_m[i], b.center_m[1] + 0.5 * b.size_m[1])
            for b in scene.boxes
            for i in (0, 1)
        ]
        side = max([3.0, *(edge + 1.5 for edge, _ in edges)])
        if self.robot.base is not None:
            side *= 2.5
        self._reach = side
        self._floor_place = (0.5, 0.0, -0.01)
        self._floor = self._shape(
            pybullet.GEOM_BOX, _FLOOR_COLOR, halfExtents=(side, side, 0.01)
        )
        self._move(self._floor, self._floor_place)
        if backdrop:
            wall = self._shape(
                pybullet.GEOM_BOX,
                (0.93, 0.95, 0.95, 1.0),
                halfExtents=(side, 0.02, 1.6),
            )
            self._move(wall, (0.5, max([1.6, *(y + 0.3 for _, y in edges)]), 1.6))
        for box in self.config.scene.boxes:
            body = self._shape(
                pybullet.GEOM_BOX,
                (*box.color, 1.0),
                halfExtents=[0.5 * s for s in box.size_m],
            )
            self._move(body, box.center_m)
        for cylinder in self.config.scene.cylinders:
            body = self._shape(
                pybullet.GEOM_CYLINDER,
                (*cylinder.color, 1.0),
                radius=cylinder.radius_m,
                length=cylinder.height_m,
            )
            self._move(body, cylinder.center_m)

    def _move(self, body: int, position: Any, turn: Any = (0.0, 0.0, 0.0, 1.0)) -> None:
        self._call(pybullet.resetBasePositionAndOrientation, body, position, turn)

    def _place_people(self, people: Array, mouth: Array | None) -> None:
        while len(self._people) > len(people):
            # What is hidden costs as much to draw as what is seen.
            for body in (*self._people.pop(), self._lips.pop()):
                self._call(pybullet.removeBody, body)
            self._radii.pop()
        while len(self._people) < len(people):
            self._people.append([-1] * SEGMENT_COUNT)
            self._radii.append([(0.0, 0.0)] * SEGMENT_COUNT)
            self._lips.append(self._shape(pybullet.GEOM_SPHERE, _LIPS, radius=0.016))
        for p, capsules in enumerate(people):
            for s, row in enumerate(capsules):
                self._place_segment(p, s, row)
        for p, lips in enumerate(self._lips):
            shown = mouth is not None and p == 0
            self._move(lips, mouth.tolist() if shown else _HIDDEN)  # type: ignore[union-attr]

    def _place_segment(self, p: int, s: int, row: Array) -> None:
        axis = row[3:6] - row[:3]
        length, radius = float(np.linalg.norm(axis)), float(row[6])
        old = self._radii[p][s]
        if self._people[p][s] < 0 or abs(old[0] - radius) + abs(old[1] - length) > 2e-3:
            if self._people[p][s] >= 0:
                self._call(pybullet.removeBody, self._people[p][s])
            self._people[p][s] = self._segment(s, radius, length)
            self._radii[p][s] = (radius, length)
        middle = 0.5 * (row[:3] + row[3:6])
        self._move(self._people[p][s], middle.tolist(), turn_from_z(axis))
