"""Whether an episode can begin as its scenario says: nobody inside the robot, no goal
out of reach, the machine on its ground and outside the furniture.

A scenario that cannot be is refused before its first step. Otherwise the engine would
push bodies apart at speeds that nobody asked for, and a policy would be blamed for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numba
import numpy as np

from physai.body.capsules import closest_points
from physai.body.person import SEGMENTS
from physai.errors import ContractError
from physai.plant.ground import Ground
from physai.plant.scenario import Scenario
from physai.plant.scene import BoxConfig, SceneConfig
from physai.robot.kinematics import Kinematics
from physai.types import Array

if TYPE_CHECKING:
    from physai.body.people import AnyPerson
    from physai.robot.description import Robot

__all__ = ["Placement", "reach_of"]

_OVERLAP_M = 0.002
"""Bodies that touch at the start are let through, bodies inside each other are not."""
_PLACES = 9
"""Places along a shape at which its distance from a box is looked at."""
_STEP_M = 0.25
"""What is lower than this is driven over or under an edge, not into."""


def reach_of(robot: Robot) -> float:
    """Return how far the TCP can be from the first joint's link at most [m].

    The sum of the offsets along the chain: no posture gets farther, most reach less.
    """
    tree, link, reach = robot.tree, robot.tool_link, 0.0
    while link > 0:
        reach += float(np.linalg.norm(tree.translation[link]))
        if tree.prismatic[link]:
            a = int(tree.actuator[link])
            reach += max(abs(robot.position_min[a]), abs(robot.position_max[a]))
        link = int(tree.parent[link])
    return reach


class Placement:
    """Checks the starts of the episodes of one plant.

    Args:
        robot: The robot.
        scene: Furniture.
        ground: Uneven ground; None for an even floor.
    """

    def __init__(self, robot: Robot, scene: SceneConfig, ground: Ground | None) -> None:
        self._robot, self._ground = robot, ground
        self._reach = reach_of(robot)
        floors = [b for b in scene.boxes if b.center_m[2] + 0.5 * b.size_m[2] < _STEP_M]
        walls = [b for b in scene.boxes if b.solid and b not in floors]
        self._walls = [box.name for box in walls]
        self._low, self._high = (
            np.array([_side(box, sign) for box in walls]).reshape(-1, 1, 1, 3)
            for sign in (-1.0, 1.0)
        )
        self._floor = np.array(
            [[_side(b, -1.0)[:2], _side(b, 1.0)[:2]] for b in floors]
        )

    def check(
        self,
        scenario: Scenario,
        kinematics: Kinematics,
        people: Sequence[AnyPerson],
        goals: Array,
    ) -> None:
        """Refuse a start that cannot be.

        Args:
            scenario: Named in the message.
            kinematics: Of the robot as it was placed.
            people: As they were placed.
            goals: (G, 3) places that the TCP, or a base that drives, must reach [m];
                not looked at where the scenario expects ``any_safe``.

        Raises:
            ContractError: If a joint starts beyond its range, a person inside the robot,
                the base inside furniture or off its ground, or a goal is out of reach.
        """
        where = f"scenario {scenario.case} (seed {scenario.seed})"
        self._check_posture(where, scenario)
        self._check_people(where, kinematics, people)
        if self._robot.base is not None:
            self._check_base(where, kinematics)
        # Where nothing is to be reached, a goal may be anywhere.
        for goal in goals if scenario.expect != "any_safe" else ():
            self._check_goal(where, kinematics, goal)

    def _check_posture(self, where: str, scenario: Scenario) -> None:
        robot = self._robot
        q = np.array(scenario.robot_position_rad)
        outside = (q < robot.position_min - 1e-6) | (q > robot.position_max + 1e-6)
        if outside.any():
            a = int(np.argmax(outside))
            raise ContractError(
                f"{where}: {robot.actuator_names[a]} starts at {q[a]:g}, its range is "
                f"{robot.position_min[a]:g} to {robot.position_max[a]:g}"
            )

    def _check_people(
        self, where: str, kinematics: Kinematics, people: Sequence[AnyPerson]
    ) -> None:
        shapes = kinematics.capsules()
        for index, person in enumerate(people):
            gap, segment, shape = _nearest(shapes, person.capsules)
            if gap < -_OVERLAP_M:
                raise ContractError(
                    f"{where}: people.{index}: the {SEGMENTS[segment]} starts "
                    f"{-gap:.2f} m inside the robot "
                    f"({self._robot.shapes.names[shape]}); move one of them"
                )

    def _check_base(self, where: str, kinematics: Kinematics) -> None:
        robot = self._robot
        x, y, _ = kinematics.link_position[0].tolist()
        if not self._is_on_ground(x, y):
            raise ContractError(
                f"{where}: base: ({x:g}, {y:g}) m is off the ground that {robot.name} "
                f"drives on"
            )
        shapes = kinematics.capsules()
        along = np.linspace(0.0, 1.0, _PLACES)[:, None, None]
        points = (1.0 - along) * shapes[:, :3] + along * shapes[:, 3:6]
        outside = np.maximum(np.maximum(self._low - points, points - self._high), 0.0)
        gap = np.sqrt((outside * outside).sum(axis=3)) - shapes[:, 6]
        inside = (gap < -_OVERLAP_M).any(axis=(1, 2))
        if inside.any():
            raise ContractError(
                f"{where}: base: {robot.name} starts inside "
                f'"{self._walls[int(np.argmax(inside))]}" at ({x:g}, {y:g}) m'
            )

    def _check_goal(self, where: str, kinematics: Kinematics, goal: Array) -> None:
        x, y, z = goal.tolist()
        if self._robot.base is not None:
            if not self._is_on_ground(x, y):
                raise ContractError(
                    f"{where}: the goal at ({x:g}, {y:g}) m is off the ground that "
                    f"{self._robot.name} drives on"
                )
            return
        away = float(np.linalg.norm(goal - kinematics.link_position[0]))
        if away > self._reach:
            raise ContractError(
                f"{where}: the goal at ({x:.2f}, {y:.2f}, {z:.2f}) m is out of reach: "
                f"{away:.2f} m from the base, {self._robot.name} reaches "
                f"{self._reach:.2f} m at most"
            )

    def _is_on_ground(self, x: float, y: float) -> bool:
        if self._ground is not None:
            return self._ground.covers(x, y)
        if len(self._floor) == 0:
            return True
        low, high = self._floor[:, 0], self._floor[:, 1]
        inside = (low <= (x, y)).all(axis=1) & ((x, y) <= high).all(axis=1)
        return bool(inside.any())


@numba.njit(cache=True)
def _nearest(shapes: Array, segments: Array) -> tuple[float, int, int]:
    """Return the least distance of two sets of capsules, and of which two."""
    best, segment, shape = np.inf, 0, 0
    a, b, normal = np.empty(3), np.empty(3), np.empty(3)
    for r in range(shapes.shape[0]):
        for s in range(segments.shape[0]):
            gap = closest_points(shapes[r], segments[s], a, b, normal)
            if gap < best:
                best, segment, shape = gap, s, r
    return best, segment, shape


def _side(box: BoxConfig, sign: float) -> Array:
    """Return the (3,) lowest (sign -1) or highest (sign 1) corner of a box [m]."""
    corner: Array = np.array(box.center_m) + 0.5 * sign * np.array(box.size_m)
    return corner
