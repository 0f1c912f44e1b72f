"""Pictures of a scene for people: a Bullet world of its own, for looking only.

Robot with its visual meshes, furniture, people as capsules, objects as boxes, uneven
ground, fields painted on it. Nothing here touches the physics, so that an episode is the
same with and without pictures. Faces are painted over unless somebody asks for them,
since pictures end in files.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from physai.body.person import SEGMENTS
from physai.errors import ContractError
from physai.plant.banner import without_banner
from physai.plant.paint import GROUND, LOW, lay_ground, lay_zones
from physai.plant.picture_world import PictureWorld
from physai.plant.scenario import PlantConfig
from physai.plant.scene import CameraConfig, Outline, Surface
from physai.record.overlay import Zone
from physai.record.privacy import mask_pixels
from physai.robot.description import Robot
from physai.types import Array, State

with without_banner():
    import pybullet

__all__ = ["Image", "Picture"]

Image = npt.NDArray[np.uint8]

_ABOVE, _BELOW = np.array([176.0, 190.0, 202.0]), np.array([226.0, 232.0, 236.0])
"""Background, from the upper to the lower edge."""
_FACE_SEGMENTS = frozenset(SEGMENTS.index(name) for name in ("head", "face"))
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
        self._far_m = 60.0 if config.scene.outdoors or robot.base is not None else 8.0
        self._world = PictureWorld(config, robot)

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
        self._world.place(state, mouth, food, objects)
        self._world.show_ground(surface)
        matrix, projection = self._matrices(camera)
        drawn = self._world.call(
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

    def _mask(self, picture: Image, seen: npt.NDArray[Any], mask: str) -> None:
        """Paint over every person's face, or all of them, each in a colour of its own."""
        if mask == "none":
            return
        for bodies in self._world.people:
            chosen = [
                body
                for s, body in enumerate(bodies)
                if mask == "person" or s in _FACE_SEGMENTS
            ]
            mask_pixels(picture, np.isin(seen, chosen))

    def _ground_pixels(self, seen: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
        """Mark pixels of floor and ground, and of furniture that may be a floor."""
        shown = np.zeros(seen.shape, dtype=np.uint8)
        shown[np.isin(seen, self._world.low)] = LOW
        shown[np.isin(seen, [*self._world.floors, *self._world.around])] = GROUND
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
        self._world.close()

    def _camera(self, camera: str | CameraConfig) -> CameraConfig:
        if isinstance(camera, CameraConfig):
            return camera
        cameras = self.config.scene.cameras
        if camera in cameras:
            return cameras[camera]
        return next(iter(cameras.values()), _DEFAULT_CAMERA)
