"""What else goes on in a plant besides bodies that move: eating, digging, handling.

A process owns its own state and sensors. Section ``process`` of an environment's
``plant`` names it (``kind``) and gives its values. A new process is one file and one
line in :data:`PROCESSES`; those of other packages come through the entry points
``physai.processes``.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from physai.config import Config, parse
from physai.errors import ConfigError, suggest
from physai.types import Array, Contact

if TYPE_CHECKING:
    from physai.body.people import AnyPerson
    from physai.plant.contact import ContactModel
    from physai.plant.dynamics import Dynamics
    from physai.robot.kinematics import Kinematics

__all__ = [
    "PROCESSES",
    "Locator",
    "Process",
    "load_process",
    "process_class",
]


class Process(Protocol):
    """One process over one episode.

    Its class is called with its values, the scenario, the robot, the engine and the
    number of control steps that the episode can have, at every reset.

    Attributes:
        Values: Type of its section.
        EXTRAS: Names of the extras that its sensors give, in order, with units.
        TRUTH_EXTRAS: Names of the true extras, in order, with units.
        near: Whether every physics step counts for it now, contacts with people too.
        acting: Whether it applies forces in every physics step, also where nobody is
            near; contacts are then looked at only where they can occur. A process
            without the attribute does not.

    A process whose goal may be out of reach has a method ``goals(people)`` that returns
    (G, 3) places [m]; :mod:`physai.plant.placement` checks them at every reset.
    """

    Values: ClassVar[type[Config]]
    EXTRAS: ClassVar[tuple[str, ...]]
    TRUTH_EXTRAS: ClassVar[tuple[str, ...]]
    near: bool

    def command(self, tool: Array, stopped: bool) -> None:
        """Take the (k,) tool channels of a command.

        Args:
            tool: Units of robot.yaml.
            stopped: Whether the robot is stopped: the tool goes to its safe state.
        """
        ...

    def touch(
        self,
        contact: ContactModel,
        people: Sequence[AnyPerson],
        fraction: float,
        kinematics: Kinematics,
    ) -> npt.NDArray[np.bool_] | None:
        """Take part in a physics step in which contacts are looked at.

        Args:
            contact: The contact model; a process may enter contacts of its own.
            people: Who is there.
            fraction: Of the control period that has passed, in [0, 1).
            kinematics: Of the robot, posture and velocity now.

        Returns:
            (P, R) robot shapes that do not touch a person's head and face as bodies;
            None for none.
        """
        ...

    def act(self, dynamics: Dynamics, kinematics: Kinematics, dt_s: float) -> None:
        """Apply its forces for the coming physics step.

        Only while :attr:`near`; of a process that is :attr:`acting`, always. The engine
        has been read; an acting process places the kinematics' links itself.
        """
        ...

    def advance(
        self,
        dt_s: float,
        kinematics: Kinematics,
        people: Sequence[AnyPerson],
        contact: Contact,
    ) -> None:
        """Move on by one control period.

        Args:
            dt_s: Control period [s].
            kinematics: Of the robot, posture and velocity at the end of it.
            people: Who is there.
            contact: Contacts of the period.
        """
        ...

    def look(self, time_s: float, step: int, people: Sequence[AnyPerson]) -> None:
        """Let its sensors take and deliver what is due.

        Args:
            time_s: Plant clock [s].
            step: Control step.
            people: Who is there.
        """
        ...

    def extras(self, time_s: float) -> tuple[Array, Array]:
        """Return the extras as sensors give them, and their ages [s]; new arrays."""
        ...

    def truth(
        self, kinematics: Kinematics, people: Array
    ) -> tuple[Array, Array, Array]:
        """Return exact extras, their ages (0) and true extras of the control step.

        Args:
            kinematics: Of the robot, posture and velocity.
            people: (P, S, 7) true capsules.
        """
        ...

    def objects(self) -> Array:
        """Return the (K, 7) true poses of its objects in the world; a new array.

        A process that measures them also has ``measured_objects(time_s)``, which
        returns the (K, 7) poses of the state and their (K,) ages [s]; without it the
        state shows the true ones.
        """
        ...


@runtime_checkable
class Locator(Protocol):
    """A process that has the localisation of a robot that drives."""

    def locate(
        self, time_s: float, step: int, pose: Array, kinematics: Kinematics
    ) -> Array:
        """Return where the robot believes to be; called once a control step, first.

        Args:
            time_s: Plant clock [s].
            step: Control step.
            pose: (7,) where its base really is.
            kinematics: Of the robot, posture now.
        """
        ...


PROCESSES: Mapping[str, str] = MappingProxyType(
    {
        "delivery": "physai.plant.delivery:Delivery",
        "digging": "physai.plant.digging:Digging",
        "haulage": "physai.plant.haulage:Haulage",
        "handling": "physai.plant.handling:Handling",
        "meal": "physai.plant.meal:Meal",
        "night_round": "physai.plant.night_round:NightRound",
    }
)
"""Kind to class."""


def process_class(kind: str) -> type[Any]:
    """Return the class of a kind of process.

    Raises:
        ConfigError: If there is none.
    """
    target = PROCESSES.get(kind)
    if target is None:
        from importlib.metadata import entry_points

        others = {point.name: point for point in entry_points(group="physai.processes")}
        if kind not in others:
            raise ConfigError(
                f'process.kind: no process "{kind}"; {suggest(kind, [*PROCESSES, *others])}'
            )
        found: type[Any] = others[kind].load()
        return found
    module, _, name = target.partition(":")
    made: type[Any] = getattr(importlib.import_module(module), name)
    return made


def load_process(given: Mapping[str, Any]) -> tuple[type[Any], Config]:
    """Return class and values of section ``process``.

    Args:
        given: Its kind and its values.

    Raises:
        ConfigError: If there is no such kind, or a value is wrong.
    """
    values = dict(given)
    found = process_class(str(values.pop("kind", "")))
    checked: Config = parse(found.Values, values, "plant.process")
    return found, checked
