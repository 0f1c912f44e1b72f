"""Eating: a mouth, a bite of food and their sensors, joined to the plant.

While the utensil is in the mouth, its shapes do not touch face and head as capsules;
the mouth (:mod:`physai.plant.mouth`) presses on them instead. Outside, a spoon on the
face is a contact of the body like any other. Food runs off, is eaten or smeared as
:mod:`physai.plant.food` says.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from physai.body.capsules import closest_points
from physai.body.person import Person
from physai.config import Config
from physai.plant.contact import ContactModel
from physai.plant.face_tracker import EXTRAS, FaceTracker, FaceTrackerConfig
from physai.plant.food import FoodModel, FoodSettings
from physai.plant.mouth import MouthModel, MouthSettings
from physai.robot.description import Robot
from physai.robot.kinematics import Kinematics
from physai.types import Array, Contact

if TYPE_CHECKING:
    from physai.plant.scenario import Scenario

__all__ = ["EXTRAS", "TRUTH_EXTRAS", "FaceTrackerConfig", "Meal", "MealConfig"]

TRUTH_EXTRAS = (
    "food_in_mouth",
    "food_spilled",
    "insertion_depth_m",
    "mouth_force_n",
    "face_distance_m",
    "face_approach_speed_m_s",
)

_NEAR_M = 0.15
"""Closer than this to the lips every substep counts."""


_FACE_AREAS = (1, 2, 3)
"""Skull, forehead and face among the body areas of ISO/TS 15066 Table A.2."""


class MealConfig(Config):
    """Section ``meal`` of the plant."""

    face_tracker: FaceTrackerConfig
    mouth: MouthSettings
    food: FoodSettings
    source: str


class Meal:
    """Mouth, food and their sensors over one episode.

    Args:
        config: Figures.
        scenario: Its values may set fields of :class:`FoodSettings` by name, such as
            ``spill_start_rad`` for thinner food.
        robot: Gives the utensil.
        steps: Control steps that the episode can have.

    Attributes:
        near: Whether the utensil is close enough that every substep counts.
        food: The bite.
    """

    def __init__(
        self, config: MealConfig, scenario: Scenario, robot: Robot, steps: int
    ) -> None:
        changed = {
            name: value
            for name, value in scenario.values.items()
            if name in FoodSettings.model_fields
        }
        self.food = FoodModel(
            FoodSettings.model_validate({**config.food.model_dump(), **changed})
        )
        self._mouth = MouthModel(robot.tool.stiffness_n_per_m or math.inf, config.mouth)
        self._tracker = FaceTracker(config.face_tracker, scenario.seed, steps)
        self._shapes = np.flatnonzero(robot.shapes.utensil)
        self._shape_set = frozenset(int(shape) for shape in self._shapes)
        self._utensil = np.zeros((len(self._shapes), 7))
        self._speed = np.zeros((len(self._shapes), 6))
        self.near = False
        self._step_depth = self._step_force = 0.0
        self._exempt: npt.NDArray[np.bool_] = np.zeros(
            (len(scenario.people), len(robot.shapes.link)), dtype=np.bool_
        )
        self._exempt[0, self._shapes] = True
        self._tcp_velocity: Array | None = None

    def touch(
        self,
        contact: ContactModel,
        person: Person,
        fraction: float,
        capsules: Array,
        velocity: Array,
    ) -> npt.NDArray[np.bool_] | None:
        """One substep of the mouth; enters its force into the contact model.

        Args:
            contact: The contact model.
            person: Who eats.
            fraction: Of the control period that has passed, in [0, 1).
            capsules: (R, 7) of the robot, world.
            velocity: (R, 6) of their end points.

        Returns:
            (P, R) shapes that are in the mouth; None if there are none.
        """
        mouth, model = person.mouth, self._mouth
        # The mouth moves with the face capsule between the ends of the period.
        shift = (1.0 - fraction) * (person.previous[1, :3] - person.capsules[1, :3])
        position = mouth.position + shift
        np.take(capsules, self._shapes, axis=0, out=self._utensil)
        self.near = bool(np.abs(self._utensil[-1, 3:6] - position).max() < _NEAR_M)
        if not self.near:
            model.reset()
            return None
        np.take(velocity, self._shapes, axis=0, out=self._speed)
        force = model.substep(
            self._utensil,
            self._speed,
            position,
            mouth.axis,
            mouth.up,
            mouth.opening_m,
            mouth.half_width_m,
            person.capsule_velocity[1, :3],
        )
        self._step_depth = max(self._step_depth, model.insertion_depth_m)
        self._step_force = max(self._step_force, force)
        if not model.exempt:
            return None
        contact.add_mouth(
            0,
            int(self._shapes[max(0, model.shape)]),
            model.point,
            model.force,
            force,
            model.robot_speed_m_s,
            model.person_speed_m_s,
        )
        return self._exempt

    def advance(
        self,
        dt_s: float,
        kinematics: Kinematics,
        velocity: Array,
        person: Person,
        contact: Contact,
    ) -> None:
        """Move food over one control period.

        Args:
            dt_s: Control period [s].
            kinematics: Of the robot, at the end of it.
            velocity: (n,) joint velocities.
            person: Who eats.
            contact: Contacts of the period.
        """
        tcp = kinematics.tool_jacobian()[:3] @ velocity
        before = tcp if self._tcp_velocity is None else self._tcp_velocity
        self._tcp_velocity = tcp
        touched = any(
            contact.force_peak_n[0, area] > 0.0
            and int(contact.link[0, area]) in self._shape_set
            for area in _FACE_AREAS
        )
        self.food.step(
            dt_s,
            kinematics.tool_rotation[:, 2],
            (tcp - before) / dt_s,
            self._mouth.inside,
            self._mouth.insertion_depth_m,
            person.consent and not person.stop_signal,
            touched,
        )

    def look(self, time_s: float, step: int, person: Person) -> None:
        """Let face tracker and channels take and deliver what is due.

        Args:
            time_s: Plant clock [s].
            step: Control step.
            person: Who eats.
        """
        self._tracker.look(time_s, step, person, self.food.on_spoon)

    def extras(self, time_s: float) -> tuple[Array, Array]:
        """Return the extras as sensors give them, and their ages [s]."""
        return self._tracker.read(time_s)

    def truth(
        self, kinematics: Kinematics, person: Array, velocity: Array
    ) -> tuple[Array, Array]:
        """Return exact extras and the true extras of the control step.

        Args:
            kinematics: Of the robot.
            person: (S, 7) true capsules of who eats.
            velocity: (n,) true joint velocities.
        """
        capsules = kinematics.capsules()
        distance = min(
            closest_points(capsules[shape], person[segment], _A, _B, _N)
            for shape in self._shapes
            for segment in (0, 1)
        )
        speed = 0.0
        if distance <= 0.3:
            tcp = kinematics.tool_jacobian()[:3] @ velocity
            speed = math.sqrt(float(tcp @ tcp))
        more = np.array(
            [
                self.food.in_mouth,
                self.food.spilled,
                self._step_depth,
                self._step_force,
                distance,
                speed,
            ]
        )
        self._step_depth = self._step_force = 0.0
        return self._tracker.exact.copy(), more


_A, _B, _N = np.zeros(3), np.zeros(3), np.zeros(3)
