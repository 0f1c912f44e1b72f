"""Pictures of a scene for people: a Bullet world of its own, for looking only.

Robot with its visual meshes, furniture, people as capsules. Nothing here touches the
physics, so that an episode is the same with and without pictures.
"""

from __future__ import annotations

import tempfile
from itertools import pairwise, zip_longest
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from physai.body.capsules import turn_from_z
from physai.body.person import SEGMENT_COUNT
from physai.plant.banner import without_banner
from physai.plant.ground_picture import GroundPicture
from physai.plant.scenario import PlantConfig
from physai.plant.scene import CameraConfig, Outline, Surface
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
_MACHINE = (0.90, 0.55, 0.15, 1.0)
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
        self._ground = GroundPicture(self._client)
        self._inertial = self._call(pybullet.getDynamicsInfo, self._body, -1)[3:5]
        self._furnish()
        self._objects = [
            self._shape(
                pybullet.GEOM_BOX,
                (*thing.color, 1.0),
                halfExtents=[0.5 * s for s in thing.size_m],
            )
            for thing in (*config.objects, *config.scene.props)
        ]
        self._boxes: list[int] = []
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
        boxes: Array | None = None,
    ) -> Image:
        """Return a picture of a state (usually the true one).

        Args:
            state: Joint positions, people and objects are drawn.
            camera: Name of a camera of the scene, or a camera.
            mouth: (3,) middle of the lips, world [m]; None draws no mouth.
            food: Share of a bite on the utensil, drawn at the tool's frame.
            surface: Ground that has changed; None draws none.
            boxes: (K, 10) pose and size of what moves besides, such as other machines.

        Returns:
            (height, width, 3) uint8, RGB.
        """
        joints = state.actuator_position[-len(self._joints) :].tolist()
        for joint, value in zip(self._joints, joints, strict=True):
            self._call(pybullet.resetJointState, self._body, joint, value)
        if self.robot.base is not None:
            self._place_base(state.base_pose_in_world)
        self._place_people(state.people, mouth)
        for body, pose in zip_longest(
            self._objects, state.objects_pose_in_world[: len(self._objects)]
        ):
            self._move(body, *((0, 0, -5),) if pose is None else (pose[:3], pose[3:]))
        x, y, z = state.tool_pose_in_world[:3].tolist()
        self._move(self._food, (x, y, z + 0.006) if food > 0.05 else (0, 0, -5))
        if surface is not None:
            self._ground.show(surface)
        if boxes is not None:
            self._place_boxes(boxes)
        view = self._camera(camera)
        matrix = pybullet.computeViewMatrix(view.position_m, view.target_m, (0, 0, 1))
        projection = pybullet.computeProjectionMatrixFOV(
            view.field_of_view_deg, self.width / self.height, 0.05, self._far_m
        )
        drawn = self._call(
            pybullet.getCameraImage,
            self.width,
            self.height,
            matrix,
            projection,
            lightDirection=(0.6, -1.2, 3.0),
            lightColor=(1.0, 1.0, 1.0),
            shadow=1,
            lightAmbientCoeff=0.62,
            lightDiffuseCoeff=0.45,
            lightSpecularCoeff=0.15,
            renderer=pybullet.ER_TINY_RENDERER,
        )
        shape = (self.height, self.width)
        image = np.reshape(np.asarray(drawn[2], dtype=np.uint8), (*shape, 4))[:, :, :3]
        nothing = np.reshape(np.asarray(drawn[4]), shape) < 0
        return np.where(nothing[:, :, None], self._background, image)

    def project(self, points: Array, camera: str | CameraConfig = "") -> Array:
        """Return (m, 2) pixel positions of (m, 3) world points, for overlays."""
        view = self._camera(camera)
        matrix = np.reshape(
            pybullet.computeViewMatrix(view.position_m, view.target_m, (0, 0, 1)),
            (4, 4),
        ).T
        projection = np.reshape(
            pybullet.computeProjectionMatrixFOV(
                view.field_of_view_deg, self.width / self.height, 0.05, self._far_m
            ),
            (4, 4),
        ).T
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
        """Draw a body segment; one that is nearly round as a smooth ellipsoid."""
        if length > radius:
            return self._shape(
                pybullet.GEOM_CAPSULE, _COLORS[s], radius=radius, length=length
            )
        file = Path(pybullet_data.getDataPath()) / "sphere_smooth.obj"
        scale = [radius, radius, radius + 0.5 * length]
        body = self._shape(
            pybullet.GEOM_MESH, _COLORS[s], fileName=str(file), meshScale=scale
        )
        # The mesh brings a colour of its own.
        self._call(pybullet.changeVisualShape, body, -1, rgbaColor=_COLORS[s])
        return body

    def _furnish(self) -> None:
        if self.robot.base is None and not self.config.scene.outdoors:
            # Where a robot drives, the scene has a floor of its own.
            floor = self._shape(
                pybullet.GEOM_BOX, (0.80, 0.80, 0.78, 1.0), halfExtents=(4.0, 4.0, 0.01)
            )
            self._move(floor, (0.5, 0.0, -0.01))
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

    def _place_boxes(self, boxes: Array) -> None:
        for row in boxes[len(self._boxes) :]:
            half = (0.5 * row[7:]).tolist()
            box = self._shape(pybullet.GEOM_BOX, _MACHINE, halfExtents=half)
            self._boxes.append(box)
        for body, row in zip(self._boxes, boxes, strict=False):
            self._move(body, row[:3].tolist(), row[3:7].tolist())

    def _place_people(self, people: Array, mouth: Array | None) -> None:
        while len(self._people) < len(people):
            self._people.append([-1] * SEGMENT_COUNT)
            self._radii.append([(0.0, 0.0)] * SEGMENT_COUNT)
            self._lips.append(self._shape(pybullet.GEOM_SPHERE, _LIPS, radius=0.011))
        for p, capsules in enumerate(people):
            for s, row in enumerate(capsules):
                self._place_segment(p, s, row)
        for p, lips in enumerate(self._lips):
            visible = mouth is not None and p == 0
            self._move(lips, mouth.tolist() if visible else (0, 0, -5))  # type: ignore[union-attr]

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
