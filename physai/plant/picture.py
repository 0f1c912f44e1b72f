"""Pictures of a scene for people: a Bullet world of its own, for looking only.

Robot with its visual meshes, furniture, people as capsules, objects as boxes, uneven
ground, fields painted on it. Nothing here touches the physics, so that an episode is the
same with and without pictures. Faces are painted over unless somebody asks for them,
since pictures end in files.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from itertools import pairwise, zip_longest
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from physai.body.capsules import turn_from_z
from physai.body.person import SEGMENT_COUNT, SEGMENTS
from physai.errors import ContractError
from physai.plant.banner import without_banner
from physai.plant.meshes import capsule_parts
from physai.plant.paint import GROUND, LOW, lay_ground, lay_zones, surround
from physai.plant.scenario import PlantConfig
from physai.plant.scene import CameraConfig, Outline, Surface
from physai.record.overlay import Zone
from physai.record.privacy import mask_pixels
from physai.robot.description import Robot
from physai.types import Array, State

with without_banner():
    import pybullet
    import pybullet_data

__all__ = ["Image", "Picture"]

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
_LIPS, _FOOD = (0.62, 0.22, 0.24, 1.0), (0.93, 0.60, 0.16, 1.0)
_ABOVE, _BELOW = np.array([176.0, 190.0, 202.0]), np.array([226.0, 232.0, 236.0])
"""Background, from the upper to the lower edge."""
_AROUND = (0.62, 0.60, 0.46, 1.0)
_OBJECT_COLORS = (
    (0.80, 0.62, 0.38, 1.0),
    (0.72, 0.50, 0.33, 1.0),
    (0.62, 0.66, 0.70, 1.0),
)
_FACE_SEGMENTS = frozenset(SEGMENTS.index(name) for name in ("head", "face"))
_FLOOR_AT, _HIDDEN = (0.0, 0.0, -0.05), (0.0, 0.0, -500.0)
_DEFAULT_CAMERA = CameraConfig(position_m=(1.9, -1.5, 1.55), target_m=(0.6, 0.0, 0.95))


class Picture:
    """Draws states of one plant.

    Args:
        config: Section ``plant`` of the environment.
        robot: The robot.
        width: Pixels.
        height: Pixels.
    """

    def __init__(
        self, config: PlantConfig, robot: Robot, width: int = 640, height: int = 480
    ) -> None:
        self.config, self.robot = config, robot
        self.width, self.height = width, height
        shade = np.linspace(0.0, 1.0, height)[:, None, None]
        self._background = (_ABOVE + shade * (_BELOW - _ABOVE)).astype(np.uint8)
        self._client = pybullet.connect(pybullet.DIRECT)
        self._open = True
        self._body = self._load_robot()
        self._joints = self._joint_indices()
        self._far_m = 60.0 if config.scene.outdoors or robot.base is not None else 8.0
        self._around: list[int] = []
        self._inertial = self._call(pybullet.getDynamicsInfo, self._body, -1)[3:5]
        self._floors, self._low = self._furnish()
        self._objects = [
            self._shape(
                pybullet.GEOM_BOX,
                (*thing.color, 1.0),
                halfExtents=[0.5 * s for s in thing.size_m],
            )
            for thing in (*config.objects, *config.scene.props)
        ]
        self._boxes: dict[int, tuple[int, tuple[float, ...]]] = {}
        self._people: list[list[int]] = []
        self._lips: list[int] = []
        self._radii: list[list[tuple[float, float]]] = []
        self._food = self._shape(pybullet.GEOM_SPHERE, _FOOD, radius=0.010)

    def draw(
        self,
        state: State,
        camera: str | CameraConfig = "",
        mouth: Array | None = None,
        food: float = 0.0,
        surface: Surface | None = None,
        *,
        objects: Array | None = None,
        zones: Sequence[Zone] = (),
        mask: Literal["face", "person", "none"] = "face",
    ) -> Image:
        """Return a picture of a state (usually the true one).

        Args:
            state: Base, joints, people and objects are drawn.
            camera: Name of a camera of the scene, or a camera.
            mouth: (3,) middle of the lips, world [m]; None draws no mouth. It is a
                mark, not a likeness, and is drawn over a masked face.
            food: Share of a bite on the utensil, drawn at the tool's frame.
            surface: Uneven ground, or ground that has changed; None draws none.
            objects: (K, 10) further boxes, such as other machines: pose and size [m].
            zones: Fields painted on floor or ground, the last uppermost.
            mask: Paint over heads and faces, whole people, or nothing. Nothing is for
                pictures that are looked at and not kept.

        Returns:
            (height, width, 3) uint8, RGB.

        Raises:
            ContractError: If ``objects``, ``surface`` or ``mask`` are of the wrong kind.
        """
        if mask not in ("face", "person", "none"):
            raise ContractError(
                f'a picture masks "face", "person" or "none", not "{mask}"'
            )
        self._place(state, mouth, food, objects)
        for floor in self._floors:
            self._move(floor, _FLOOR_AT if surface is None else _HIDDEN)
        if surface is not None and not self._around:
            self._around = self._lay_around(surface)
        matrix, projection = self._matrices(camera)
        drawn = self._call(
            pybullet.getCameraImage,
            self.width,
            self.height,
            matrix.T.ravel().tolist(),
            projection.T.ravel().tolist(),
            lightDirection=(0.6, -1.2, 3.0),
            lightColor=(1.0, 1.0, 1.0),
            # The renderer's shadow map is too coarse for a hall: stripes on every floor.
            shadow=0,
            lightAmbientCoeff=0.62,
            lightDiffuseCoeff=0.36,
            lightSpecularCoeff=0.15,
            renderer=pybullet.ER_TINY_RENDERER,
        )
        shape = (self.height, self.width)
        image = np.reshape(np.asarray(drawn[2], dtype=np.uint8), (*shape, 4))[:, :, :3]
        seen = np.reshape(np.asarray(drawn[4]), shape)
        picture = np.where((seen < 0)[:, :, None], self._background, image)
        self._mask(picture, seen, mask)
        if surface is not None or zones:
            # The renderer keeps its buffer: what is painted into it must be a copy.
            buffer = np.array(drawn[3], dtype=np.float32).reshape(shape)
            project = np.ascontiguousarray(projection @ matrix, dtype=np.float64)
            shown = self._ground_pixels(seen)
            if surface is not None:
                lay_ground(picture, shown, buffer, project, surface)
            lay_zones(picture, shown, buffer, project, zones)
        return picture

    def _place(
        self, state: State, mouth: Array | None, food: float, objects: Array | None
    ) -> None:
        """Put everything where a state has it."""
        joints = state.actuator_position[-len(self._joints) :].tolist()
        for joint, value in zip(self._joints, joints, strict=True):
            self._call(pybullet.resetJointState, self._body, joint, value)
        if self.robot.base is not None:
            self._place_base(state.base_pose_in_world)
        self._place_people(state.people, mouth)
        for body, pose in zip_longest(
            self._objects, state.objects_pose_in_world[: len(self._objects)]
        ):
            self._move(body, *((_HIDDEN,) if pose is None else (pose[:3], pose[3:])))
        self._place_boxes(np.zeros((0, 10)) if objects is None else objects)
        x, y, z = state.tool_pose_in_world[:3].tolist()
        self._move(self._food, (x, y, z + 0.006) if food > 0.05 else _HIDDEN)

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

    def _ground_pixels(self, seen: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
        """Mark pixels of floor and ground, and of furniture that may be a floor."""
        shown = np.zeros(seen.shape, dtype=np.uint8)
        shown[np.isin(seen, self._low)] = LOW
        shown[np.isin(seen, [*self._floors, *self._around])] = GROUND
        return shown

    def project(self, points: Array, camera: str | CameraConfig = "") -> Array:
        """Return (m, 2) pixel positions of (m, 3) world points, for overlays."""
        matrix, projection = self._matrices(camera)
        homogeneous = np.concatenate([points, np.ones((len(points), 1))], axis=1)
        clip = homogeneous @ (projection @ matrix).T
        scaled = clip[:, :2] / np.maximum(clip[:, 3:4], 1e-9)
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
        matrix = pybullet.computeViewMatrix(view.position_m, view.target_m, (0, 0, 1))
        projection = pybullet.computeProjectionMatrixFOV(
            view.field_of_view_deg, self.width / self.height, 0.05, self._far_m
        )
        return np.reshape(matrix, (4, 4)).T, np.reshape(projection, (4, 4)).T

    def trace(
        self, line: Outline, camera: str | CameraConfig = ""
    ) -> list[npt.NDArray[np.int32]]:
        """Return (k, 2) places of every part of a line that is before the camera.

        In sixteenths of a pixel, as OpenCV draws them with ``shift=4``.
        """
        view, points = self._camera(camera), line.points
        if line.closed:
            points = np.concatenate([points, points[:1]])
        share = np.linspace(0.0, 1.0, 9)[:-1, None]
        pieces = [a + share * (b - a) for a, b in pairwise(points)]
        fine = np.concatenate([*pieces, points[-1:]])
        eye = np.array(view.position_m)
        ahead = (fine - eye) @ (np.array(view.target_m) - eye) > 0.1
        pixels = np.clip(16.0 * self.project(fine, view), -6e4, 6e4).astype(np.int32)
        runs = np.split(np.arange(len(fine)), np.flatnonzero(np.diff(ahead)) + 1)
        return [pixels[run] for run in runs if len(run) > 1 and ahead[run[0]]]

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
            if shape[2] == pybullet.GEOM_MESH and max(shape[7][:3]) < 0.35:
                self._call(pybullet.changeVisualShape, body, shape[1], rgbaColor=_COVER)
        return int(body)

    def _joint_indices(self) -> list[int]:
        names = {}
        for index in range(self._call(pybullet.getNumJoints, self._body)):
            names[self._call(pybullet.getJointInfo, self._body, index)[1].decode()] = (
                index
            )
        return [names[name] for name in self.robot.joint_names]

    def _place_base(self, pose: Array) -> None:
        """Put a robot that drives where it is; its frame is not its centre of mass."""
        place, turn = self._call(
            pybullet.multiplyTransforms,
            pose[:3].tolist(),
            pose[3:].tolist(),
            *self._inertial,
        )
        self._call(pybullet.resetBasePositionAndOrientation, self._body, place, turn)

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
        visual = self._call(
            pybullet.createVisualShapeArray,
            shapeTypes=[pybullet.GEOM_MESH] * len(shape["fileNames"]),
            **shape,
        )
        body = self._call(pybullet.createMultiBody, 0.0, -1, visual, (0, 0, 0))
        # A mesh has a colour of its own, whatever its shape was made with.
        self._call(pybullet.changeVisualShape, body, -1, rgbaColor=_COLORS[s])
        return int(body)

    def _place_boxes(self, boxes: Array) -> None:
        if boxes.ndim != 2 or boxes.shape[1] != 10:
            raise ContractError(
                f"objects for a picture have the shape {boxes.shape}, expected (K, 10)"
            )
        for k, row in enumerate(boxes):
            size = tuple(row[7:].tolist())
            drawn = self._boxes.get(k)
            if drawn is None or drawn[1] != size:
                if drawn is not None:
                    self._call(pybullet.removeBody, drawn[0])
                color = _OBJECT_COLORS[k % len(_OBJECT_COLORS)]
                half = [0.5 * s for s in size]
                body = self._shape(pybullet.GEOM_BOX, color, halfExtents=half)
                drawn = self._boxes[k] = (body, size)
            self._move(drawn[0], row[:3].tolist(), row[3:7].tolist())
        for k in [k for k in self._boxes if k >= len(boxes)]:
            self._call(pybullet.removeBody, self._boxes.pop(k)[0])

    def _lay_around(self, surface: Surface) -> list[int]:
        """Lay even ground around a height map, which it must not cover."""
        bodies = []
        for middle, size in surround(surface):
            half = (0.5 * size).tolist()
            bodies.append(self._shape(pybullet.GEOM_BOX, _AROUND, halfExtents=half))
            self._move(bodies[-1], middle.tolist())
        return bodies

    def _furnish(self) -> tuple[list[int], list[int]]:
        """Place floor and furniture; return the floor's and the boxes' bodies."""
        floors, low = [], []
        scene = self.config.scene
        if not scene.outdoors:
            # A little lower than a floor that the scene may have of its own.
            edges = [
                abs(b.center_m[i]) + 0.5 * b.size_m[i]
                for b in scene.boxes
                for i in (0, 1)
            ]
            side = max([4.0, *(edge + 1.0 for edge in edges)])
            floor = self._shape(
                pybullet.GEOM_BOX,
                (0.80, 0.80, 0.78, 1.0),
                halfExtents=(side, side, 0.01),
            )
            floors.append(floor)
        for box in self.config.scene.boxes:
            body = self._shape(
                pybullet.GEOM_BOX,
                (*box.color, 1.0),
                halfExtents=[0.5 * s for s in box.size_m],
            )
            self._move(body, box.center_m)
            low.append(body)
        for cylinder in self.config.scene.cylinders:
            body = self._shape(
                pybullet.GEOM_CYLINDER,
                (*cylinder.color, 1.0),
                radius=cylinder.radius_m,
                length=cylinder.height_m,
            )
            self._move(body, cylinder.center_m)
        return floors, low

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
            self._lips.append(self._shape(pybullet.GEOM_SPHERE, _LIPS, radius=0.011))
        for p, capsules in enumerate(people):
            for s, row in enumerate(capsules):
                self._place_segment(p, s, row)
        for p, lips in enumerate(self._lips):
            visible = mouth is not None and p == 0
            self._move(lips, mouth.tolist() if visible else _HIDDEN)  # type: ignore[union-attr]

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
