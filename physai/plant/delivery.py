"""A pallet on forks: where it goes, whether it slides, whether it stands on the floor.

The pallet lies on the forks by friction alone. It is a block on a support that
accelerates: its own velocity follows that of the forks by at most mu g per second
(Coulomb friction), and what is left over is way that it slides. Braked from v with
a > mu g it slides v^2 / 2 (1 / (mu g) - 1 / a). The share of the weight on the rear axle
tells how near the truck is to tipping forward: it is 0 when it tips.

What is left out: forks that drive out from under the pallet, tines that hit it, layers
of goods that slide on each other.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, ClassVar

import numba
import numpy as np
import numpy.typing as npt
from pydantic import Field

from physai.body.people import AnyPerson
from physai.config import Config
from physai.errors import ConfigError
from physai.plant.contact import ContactModel
from physai.plant.dynamics import Dynamics
from physai.plant.scenario import Scenario
from physai.randomness import generator
from physai.robot.description import Robot
from physai.robot.kinematics import Kinematics
from physai.types import Array, Contact

__all__ = ["Delivery", "DeliveryValues", "slide"]

Positive = Annotated[float, Field(gt=0.0)]
NonNegative = Annotated[float, Field(ge=0.0)]

_GRAVITY_M_S2 = 9.81


class DeliveryValues(Config):
    """Section ``process`` of kind ``delivery``."""

    friction: Positive
    """Of the pallet on the forks, and of the goods on the pallet."""
    fork_height_m: Positive
    """Of the forks' tips above the floor when the pallet stands on it, at most."""
    still_m_s: Positive
    """Slower than this, the truck stands."""
    bumper_force_n: Positive
    """The bumper gives its signal above this."""
    weighing_share: NonNegative
    """Largest error of the weighing, as a share."""
    source: str


@numba.njit(cache=True)
def slide(own: Array, support: Array, friction: float, dt_s: float, way: Array) -> None:
    """Move a block on a support on by one period.

    Args:
        own: (2,) velocity of the block along the floor [m/s], updated.
        support: (2,) velocity of the support at the end of the period.
        friction: Coefficient.
        dt_s: Period [s].
        way: (2,) how far the block has slid on the support [m], updated.
    """
    x, y = support[0] - own[0], support[1] - own[1]
    size, most = math.sqrt(x * x + y * y), friction * _GRAVITY_M_S2 * dt_s
    share = 1.0 if size <= most else most / size
    own[0] += share * x
    own[1] += share * y
    way[0] += (own[0] - support[0]) * dt_s
    way[1] += (own[1] - support[1]) * dt_s


class Delivery:
    """One pallet over one episode.

    Args:
        values: The checked values.
        scenario: Gives the drop pose in its values ``drop_x_m``, ``drop_y_m`` (middle
            of the pallet), ``drop_yaw_rad``, and the payload.
        robot: Must carry a payload.
        dynamics: Its wheel loads are read.
        steps: Control steps that the episode can have.

    Raises:
        ConfigError: If the robot carries no payload or the scenario names no drop pose.
    """

    Values: ClassVar[type[Config]] = DeliveryValues
    EXTRAS: ClassVar[tuple[str, ...]] = (
        "drop_x_in_world_m",
        "drop_y_in_world_m",
        "drop_yaw_in_world_rad",
        "load_kg",
        "pallet_on_floor",
        "bumper",
    )
    TRUTH_EXTRAS: ClassVar[tuple[str, ...]] = (
        "pallet_position_error_m",
        "pallet_yaw_error_rad",
        "pallet_set_down",
        "load_shift_m",
        "rear_axle_share",
    )
    near = False

    def __init__(
        self,
        values: DeliveryValues,
        scenario: Scenario,
        robot: Robot,
        dynamics: Dynamics,
        steps: int,
    ) -> None:
        if robot.payload is None or robot.base is None:
            raise ConfigError(f"process.delivery: {robot.name} carries no pallet")
        names = ("drop_x_m", "drop_y_m", "drop_yaw_rad")
        missing = [name for name in names if name not in scenario.values]
        if missing:
            raise ConfigError(f"process.delivery: the scenario has no {missing[0]}")
        self._values, self._dynamics = values, dynamics
        self._drop = np.array([float(scenario.values[name]) for name in names])
        self._link = robot.tree.link_names.index(robot.payload.link)
        self._rear = np.array(
            [wheel.position_m[0] < 0.0 for wheel in robot.base.wheels]
        )
        rng = generator(scenario.seed, "sensor.weighing")
        error = values.weighing_share * float(rng.uniform(-1.0, 1.0))
        self._weighed = scenario.payload_kg * (1.0 + error)
        self._own, self._way = np.zeros(2), np.zeros(2)
        self._on_floor = self._bumper = 0.0

    def goals(self, people: Sequence[AnyPerson]) -> Array:
        """Return the (1, 3) place where the pallet belongs."""
        return np.array([[self._drop[0], self._drop[1], 0.0]])

    def command(self, tool: Array, stopped: bool) -> None:
        """Forks have no tool channel."""

    def touch(
        self,
        contact: ContactModel,
        people: Sequence[AnyPerson],
        fraction: float,
        kinematics: Kinematics,
    ) -> npt.NDArray[np.bool_] | None:
        """Every shape touches people as a body."""
        return None

    def act(self, dynamics: Dynamics, kinematics: Kinematics, dt_s: float) -> None:
        """No force of its own: the payload is part of the truck."""

    def advance(
        self,
        dt_s: float,
        kinematics: Kinematics,
        people: Sequence[AnyPerson],
        contact: Contact,
    ) -> None:
        """Let the pallet slide; see whether it stands and whether the bumper is hit."""
        values = self._values
        support = kinematics.link_velocity[self._link]
        slide(self._own, support[:2], values.friction, dt_s, self._way)
        still = math.hypot(support[0], support[1]) <= values.still_m_s
        low = bool(kinematics.tool_position[2] <= values.fork_height_m)
        self._on_floor = 1.0 if still and low else 0.0
        hit = contact.force_peak_n.max(initial=0.0) > values.bumper_force_n
        self._bumper = 1.0 if hit else 0.0

    def look(self, time_s: float, step: int, people: Sequence[AnyPerson]) -> None:
        """Its sensors are switches: nothing to wait for."""

    def extras(self, time_s: float) -> tuple[Array, Array]:
        """Return drop pose, weight and switches."""
        given = np.array([*self._drop, self._weighed, self._on_floor, self._bumper])
        return given, np.zeros(len(given))

    def truth(
        self, kinematics: Kinematics, people: Array
    ) -> tuple[Array, Array, Array]:
        """Return the same, and how the pallet stands to its drop pose."""
        exact, ages = self.extras(0.0)
        place, turn = (
            kinematics.link_position[self._link],
            kinematics.link_rotation[self._link],
        )
        yaw = math.atan2(turn[1, 0], turn[0, 0]) - float(self._drop[2])
        load = self._dynamics.wheel_load  # type: ignore[attr-defined]
        weight = float(load.sum())
        off = place[:2] + self._way - self._drop[:2]
        more = np.array(
            [
                math.hypot(off[0], off[1]),
                abs(math.atan2(math.sin(yaw), math.cos(yaw))),
                self._on_floor,
                math.hypot(self._way[0], self._way[1]),
                float(load[self._rear].sum()) / weight if weight > 1.0 else 0.0,
            ]
        )
        return exact, ages, more

    def objects(self) -> Array:
        """Return no objects: the pallet is the robot's payload."""
        return np.zeros((0, 7))
