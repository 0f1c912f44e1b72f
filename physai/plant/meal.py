"""Eating: a mouth, a bite of food and their sensors, joined to the plant.

While the utensil is in the mouth, its shapes do not touch face and head as capsules;
the mouth (:mod:`physai.plant.mouth`) presses on them instead. Outside, a spoon on the
face is a contact of the body like any other. Food runs off, is eaten or smeared as
:mod:`physai.plant.food` says.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

import numba
import numpy as np
import numpy.typing as npt

from physai.body.capsules import closest_points
from physai.body.people import AnyPerson
from physai.body.person import MOUTH_HALF_WIDTH_M
from physai.config import Config
from physai.errors import ContractError
from physai.plant.contact import ContactModel
from physai.plant.face_tracker import EXTRAS, FaceTracker, FaceTrackerConfig
from physai.plant.food import FoodModel, FoodSettings
from physai.plant.mouth import MouthModel, MouthSettings
from physai.robot.description import Robot
from physai.robot.kinematics import Kinematics
from physai.types import Array, Contact

if TYPE_CHECKING:
    from physai.plant.dynamics import Dynamics
    from physai.plant.scenario import Scenario

__all__ = ["Meal", "MealConfig"]

_NEAR_M = 0.15
"""Closer than this to the lips every substep counts."""

_FACE_ZONE_M = 0.3
"""Within this distance of the face the tool's speed is reported."""


class MealConfig(Config):
    """Section ``process`` of a plant, kind ``meal``."""

    face_tracker: FaceTrackerConfig
    mouth: MouthSettings
    food: FoodSettings
    source: str


class Meal:
    """Mouth, food and their sensors over one episode; the first person eats.

    Args:
        config: Figures.
        scenario: Its values may set fields of :class:`FoodSettings` by name, such as
            ``spill_start_rad`` for thinner food.
        robot: Gives the utensil.
        dynamics: Not needed.
        steps: Control steps that the episode can have.

    Raises:
        ContractError: If nobody is there to eat.

    Attributes:
        near: Whether the utensil is close enough that every substep counts.
        food: The bite.
    """

    Values: ClassVar[type[Config]] = MealConfig
    EXTRAS: ClassVar[tuple[str, ...]] = EXTRAS
    TRUTH_EXTRAS: ClassVar[tuple[str, ...]] = (
        "food_in_mouth",
        "food_spilled",
        "insertion_depth_m",
        "mouth_force_n",
        "face_distance_m",
        "face_approach_speed_m_s",
    )

    def __init__(
        self,
        config: MealConfig,
        scenario: Scenario,
        robot: Robot,
        dynamics: Dynamics,
        steps: int,
    ) -> None:
        if not scenario.people:
            raise ContractError(f"{scenario.case}: a meal needs somebody who eats")
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
        self._utensils = robot.shapes.utensil
        self._utensil = np.zeros((len(self._shapes), 7))
        self._speed = np.zeros((len(self._shapes), 6))
        self._lips = np.zeros(3)
        self.near = False
        self._step_depth = self._step_force = 0.0
        self._exempt: npt.NDArray[np.bool_] = np.zeros(
            (len(scenario.people), len(robot.shapes.link)), dtype=np.bool_
        )
        self._exempt[0, self._shapes] = True
        self._tcp_velocity: Array | None = None

    def command(self, tool: Array, stopped: bool) -> None:
        """A spoon has no channels; withdrawing it is the guard's."""

    def act(self, dynamics: Dynamics, kinematics: Kinematics, dt_s: float) -> None:
        """What the mouth does to the spoon goes through the contact model."""

    def goals(self, people: Sequence[AnyPerson]) -> Array:
        """Return the (1, 3) mouth that is fed."""
        return people[0].mouth_frame[:1]

    def objects(self) -> Array:
        """Return no objects."""
        return np.zeros((0, 7))

    def touch(
        self,
        contact: ContactModel,
        people: Sequence[AnyPerson],
        fraction: float,
        kinematics: Kinematics,
    ) -> npt.NDArray[np.bool_] | None:
        """One substep of the mouth; enters its force into the contact model."""
        person = people[0]
        mouth, model = person.mouth_frame, self._mouth
        self.near = _reach(
            kinematics.capsules(),
            kinematics.chain.capsule_velocity,
            self._shapes,
            mouth[0],
            person.previous[1],
            person.capsules[1],
            fraction,
            _NEAR_M,
            self._utensil,
            self._speed,
            self._lips,
        )
        if not self.near:
            model.reset()
            return None
        force = model.substep(
            self._utensil,
            self._speed,
            self._lips,
            mouth[1],
            mouth[2],
            person.opening_m,
            MOUTH_HALF_WIDTH_M,
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
        people: Sequence[AnyPerson],
        contact: Contact,
    ) -> None:
        """Move food over one control period."""
        person = people[0]
        tcp = kinematics.tool_velocity.copy()
        before = tcp if self._tcp_velocity is None else self._tcp_velocity
        self._tcp_velocity = tcp
        self.food.step(
            dt_s,
            kinematics.tool_rotation[:, 2],
            (tcp - before) / dt_s,
            self._mouth.inside,
            self._mouth.insertion_depth_m,
            person.consent and not person.stop_signal,
            _touches_face(contact.force_peak_n, contact.link, self._utensils),
        )

    def look(self, time_s: float, step: int, people: Sequence[AnyPerson]) -> None:
        """Let face tracker and channels take and deliver what is due."""
        self._tracker.look(time_s, step, people[0], self.food.on_spoon)

    def extras(self, time_s: float) -> tuple[Array, Array]:
        """Return the extras as sensors give them, and their ages [s]."""
        return self._tracker.read(time_s)

    def truth(
        self, kinematics: Kinematics, people: Array
    ) -> tuple[Array, Array, Array]:
        """Return exact extras, their ages and the true extras of the control step."""
        person = people[0]
        distance = _face_distance(kinematics.capsules(), self._shapes, person)
        speed = 0.0
        if distance <= _FACE_ZONE_M:
            x, y, z = kinematics.tool_velocity.tolist()
            speed = math.sqrt(x * x + y * y + z * z)
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
        return self._tracker.exact, _NO_AGE, more


_NO_AGE = np.zeros(len(EXTRAS))
_NO_AGE.setflags(write=False)


@numba.njit(cache=True)
def _touches_face(peak: Array, link: Array, utensils: npt.NDArray[np.bool_]) -> bool:
    """Whether a utensil touches skull, forehead or face of the first person."""
    for area in range(1, 4):
        if (
            peak[0, area] > 0.0
            and link[0, area] >= 0.0
            and utensils[int(link[0, area])]
        ):
            return True
    return False


@numba.njit(cache=True)
def _face_distance(
    capsules: Array, shapes: npt.NDArray[np.int64], person: Array
) -> float:
    """Distance of the nearest utensil shape from head and face [m]."""
    a, b, normal = np.empty(3), np.empty(3), np.empty(3)
    nearest = np.inf
    for shape in shapes:
        for segment in range(2):
            d = closest_points(capsules[shape], person[segment], a, b, normal)
            nearest = min(nearest, d)
    return nearest


@numba.njit(cache=True)
def _reach(
    capsules: Array,
    velocity: Array,
    shapes: npt.NDArray[np.int64],
    lips: Array,
    previous: Array,
    face: Array,
    fraction: float,
    near: float,
    utensil: Array,
    speed: Array,
    place: Array,
) -> bool:
    """Place the mouth within the period; copy the utensil where it is near.

    The mouth moves with the face capsule between the ends of the period.
    """
    tip = shapes[shapes.shape[0] - 1]
    close = True
    for i in range(3):
        place[i] = lips[i] + (1.0 - fraction) * (previous[i] - face[i])
        close = close and abs(capsules[tip, 3 + i] - place[i]) < near
    if close:
        for u in range(shapes.shape[0]):
            for c in range(7):
                utensil[u, c] = capsules[shapes[u], c]
            for c in range(6):
                speed[u, c] = velocity[shapes[u], c]
    return close
