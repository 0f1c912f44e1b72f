"""The bodies of a picture: a Bullet world of its own, for looking only.

Robot with its visual meshes, furniture, people as capsules, objects as boxes, even
ground around a height map. Nothing here touches the physics.
"""

from __future__ import annotations

import tempfile
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np

from physai.body.capsules import turn_from_z
from physai.body.person import SEGMENT_COUNT
from physai.errors import ContractError
from physai.plant.banner import without_banner
from physai.plant.meshes import capsule_parts
from physai.plant.paint import surround
from physai.plant.scenario import PlantConfig
from physai.plant.scene import Surface
from physai.robot.description import Robot
from physai.types import Array, State

with without_banner():
    import pybullet
    import pybullet_data

__all__ = ["PictureWorld"]

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
_AROUND = (0.62, 0.60, 0.46, 1.0)
_OBJECT_COLORS = (
    (0.80, 0.62, 0.38, 1.0),
    (0.72, 0.50, 0.33, 1.0),
    (0.62, 0.66, 0.70, 1.0),
)
_FLOOR_AT, _HIDDEN = (0.0, 0.0, -0.05), (0.0, 0.0, -500.0)


class PictureWorld:
    """Bodies that are placed where a state has them.

    Args:
        config: Section ``plant`` of the environment.
        robot: The robot.

    Attributes:
        body: Of the robot.
        people: Body of every segment of every person that is drawn.
        floors: Bodies of an even floor.
        low: Bodies of furniture that may be a floor.
        around: Bodies of the ground around a height map; empty until one is shown.
    """

    def __init__(self, config: PlantConfig, robot: Robot) -> None:
        self.config, self.robot = config, robot
        self._client = pybullet.connect(pybullet.DIRECT)
        self._open = True
        self.body = self._load_robot()
        self._joints = self._joint_indices()
        self.around: list[int] = []
        self._inertial = self.call(pybullet.getDynamicsInfo, self.body, -1)[3:5]
        self.floors, self.low = self._furnish()
        self._objects = [
            self._shape(
                pybullet.GEOM_BOX,
                (*thing.color, 1.0),
                halfExtents=[0.5 * s for s in thing.size_m],
            )
            for thing in (*config.objects, *config.scene.props)
        ]
        self._boxes: dict[int, tuple[int, tuple[float, ...]]] = {}
        self.people: list[list[int]] = []
        self._lips: list[int] = []
        self._radii: list[list[tuple[float, float]]] = []
        self._food = self._shape(pybullet.GEOM_SPHERE, _FOOD, radius=0.010)

    def place(
        self, state: State, mouth: Array | None, food: float, objects: Array | None
    ) -> None:
        """Put everything where a state has it.

        Args:
            state: Base, joints, people and objects.
            mouth: (3,) middle of the lips, world [m]; None shows none.
            food: Share of a bite on the utensil.
            objects: (K, 10) further boxes: pose and size [m]; None for none.

        Raises:
            ContractError: If ``objects`` have another shape.
        """
        joints = state.actuator_position[-len(self._joints) :].tolist()
        for joint, value in zip(self._joints, joints, strict=True):
            self.call(pybullet.resetJointState, self.body, joint, value)
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

    def show_ground(self, surface: Surface | None) -> None:
        """Show the even floor, or hide it below uneven ground.

        Args:
            surface: Uneven ground; None for none.
        """
        for floor in self.floors:
            self._move(floor, _FLOOR_AT if surface is None else _HIDDEN)
        if surface is not None and not self.around:
            self.around = self._lay_around(surface)

    def call(self, function: Any, *arguments: Any, **named: Any) -> Any:
        """Call one of the engine's functions for this world."""
        return function(*arguments, **named, physicsClientId=self._client)

    def close(self) -> None:
        """Release the world; twice does no harm."""
        if self._open:
            self._open = False
            pybullet.disconnect(physicsClientId=self._client)

    def _load_robot(self) -> int:
        packages = {"pybullet_data": pybullet_data.getDataPath()}
        base = self.config.base_pose
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "robot.urdf"
            file.write_text(self.robot.urdf_text(packages, visuals=True))
            body = self.call(
                pybullet.loadURDF,
                str(file),
                base[:3].tolist(),
                base[3:].tolist(),
                useFixedBase=True,
                flags=pybullet.URDF_USE_MATERIAL_COLORS_FROM_MTL,
            )
        # A mesh of several materials gets the last one's colour, which may be black.
        for shape in self.call(pybullet.getVisualShapeData, body):
            if shape[2] == pybullet.GEOM_MESH and max(shape[7][:3]) < 0.35:
                self.call(pybullet.changeVisualShape, body, shape[1], rgbaColor=_COVER)
        return int(body)

    def _joint_indices(self) -> list[int]:
        names = {}
        for index in range(self.call(pybullet.getNumJoints, self.body)):
            names[self.call(pybullet.getJointInfo, self.body, index)[1].decode()] = (
                index
            )
        return [names[name] for name in self.robot.joint_names]

    def _place_base(self, pose: Array) -> None:
        """Put a robot that drives where it is; its frame is not its centre of mass."""
        place, turn = self.call(
            pybullet.multiplyTransforms,
            pose[:3].tolist(),
            pose[3:].tolist(),
            *self._inertial,
        )
        self.call(pybullet.resetBasePositionAndOrientation, self.body, place, turn)

    def _shape(self, kind: int, color: tuple[float, ...], **size: Any) -> int:
        visual = self.call(
            pybullet.createVisualShape,
            kind,
            rgbaColor=color,
            specularColor=(0.1, 0.1, 0.1),
            **size,
        )
        return int(self.call(pybullet.createMultiBody, 0.0, -1, visual, (0, 0, 0)))

    def _segment(self, s: int, radius: float, length: float) -> int:
        shape = capsule_parts(sectors=24, rings=8).shape(radius, length)
        visual = self.call(
            pybullet.createVisualShapeArray,
            shapeTypes=[pybullet.GEOM_MESH] * len(shape["fileNames"]),
            **shape,
        )
        body = self.call(pybullet.createMultiBody, 0.0, -1, visual, (0, 0, 0))
        # A mesh has a colour of its own, whatever its shape was made with.
        self.call(pybullet.changeVisualShape, body, -1, rgbaColor=_COLORS[s])
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
                    self.call(pybullet.removeBody, drawn[0])
                color = _OBJECT_COLORS[k % len(_OBJECT_COLORS)]
                half = [0.5 * s for s in size]
                body = self._shape(pybullet.GEOM_BOX, color, halfExtents=half)
                drawn = self._boxes[k] = (body, size)
            self._move(drawn[0], row[:3].tolist(), row[3:7].tolist())
        for k in [k for k in self._boxes if k >= len(boxes)]:
            self.call(pybullet.removeBody, self._boxes.pop(k)[0])

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
        self.call(pybullet.resetBasePositionAndOrientation, body, position, turn)

    def _place_people(self, people: Array, mouth: Array | None) -> None:
        while len(self.people) > len(people):
            # What is hidden costs as much to draw as what is seen.
            for body in (*self.people.pop(), self._lips.pop()):
                self.call(pybullet.removeBody, body)
            self._radii.pop()
        while len(self.people) < len(people):
            self.people.append([-1] * SEGMENT_COUNT)
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
        if self.people[p][s] < 0 or abs(old[0] - radius) + abs(old[1] - length) > 2e-3:
            if self.people[p][s] >= 0:
                self.call(pybullet.removeBody, self.people[p][s])
            self.people[p][s] = self._segment(s, radius, length)
            self._radii[p][s] = (radius, length)
        middle = 0.5 * (row[:3] + row[3:6])
        self._move(self.people[p][s], middle.tolist(), turn_from_z(axis))
