"""What a physics engine must offer to carry a simulated plant.

Only the robot and the furniture live in the engine. People do not: their contacts with
the robot are ours (:mod:`physai.plant.contact`), so that a force does not depend on
which engine runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from physai.plant.scene import ObjectConfig
from physai.plant.suction import Grip
from physai.types import Array

if TYPE_CHECKING:
    from physai.plant.ground import Ground

__all__ = ["BaseStart", "Dynamics", "MobileDynamics", "ObjectStart", "ObjectWorld"]


@dataclass(frozen=True, eq=False)
class ObjectStart:
    """How a box that moves starts.

    Attributes:
        pose: (7,) of its middle in the world.
        mass_kg: Its mass.
        friction: Of two faces like its own.
    """

    pose: Array
    mass_kg: float
    friction: float


class ObjectWorld(Protocol):
    """Boxes that move, made once; one at a time may be held by the robot.

    Attributes:
        configs: What there is.
        sizes: (K, 3) [m].
        pose: (K, 7) of the boxes' middles at the last :meth:`read`.
        velocity: (K, 6) linear [m/s] and angular [rad/s] in the world.
        mass: (K,) [kg]; 0 for one that is not in use.
        attached: Index of the held box; -1 for none.
        margin: Smallest holding margin since :meth:`begin_period`.
        load: (6,) force along the tool's axes [N] and moments about them [N m] as the
            gripper feels them.
        broken: Whether a held box broke loose since :meth:`begin_period`.
    """

    configs: tuple[ObjectConfig, ...]
    sizes: Array
    pose: Array
    velocity: Array
    mass: Array
    attached: int
    margin: float
    load: Array
    broken: bool

    def reset(self, starts: Mapping[int, ObjectStart]) -> None:
        """Put boxes where they start, at rest; all others are out of the way.

        A reset of the engine does that too, with no box in use. It takes a physics step.
        """
        ...

    def place(self, index: int, start: ObjectStart) -> None:
        """Put one box into the world, at rest."""
        ...

    def read(self) -> None:
        """Update poses and velocities."""
        ...

    def begin_period(self) -> None:
        """Forget the smallest margin and whether a box broke loose."""
        ...

    def attach(self, index: int, link: int, rotation: Array, grip: Grip) -> None:
        """Join a box to a link as they are now, until the grip lets go.

        Args:
            index: Which box.
            link: Of the robot's tree, its z axis out of the gripper.
            rotation: (3, 3) of the link; it is looked at while the box is held.
            grip: What holds it.
        """
        ...

    def set_grip(self, grip: Grip) -> None:
        """Change what the held box is held with."""
        ...

    def detach(self) -> None:
        """Let go of the held box, if there is one."""
        ...


@dataclass(frozen=True, eq=False)
class BaseStart:
    """How a base that drives starts an episode.

    Attributes:
        pose: (7,) of its frame in the world; None for the place it was built at.
        linear_m_s: Forward speed, wheels and drive included.
        angular_rad_s: Yaw rate.
        settle: Put it to rest on the ground at x, y and heading of the pose; otherwise
            the pose is taken as it is.
        payload_kg: Mass of the robot's payload.
        friction_scale: Factor on the friction of every ground.
    """

    pose: Array | None = None
    linear_m_s: float = 0.0
    angular_rad_s: float = 0.0
    settle: bool = True
    payload_kg: float = 0.0
    friction_scale: float = 1.0


class Dynamics(Protocol):
    """A fixed-step articulated body.

    Attributes:
        position: (n,) joint positions of the last :meth:`read` [rad or m].
        velocity: (n,) [rad/s or m/s].
        effort: (n,) [N m or N].
    """

    position: Array
    velocity: Array
    effort: Array

    @property
    def objects(self) -> ObjectWorld | None:
        """Boxes that move; None where the engine or the scene has none."""
        ...

    def reset(self, position: Array) -> None:
        """Put the robot at rest at (n,) positions; nothing of before remains."""
        ...

    def set_velocity(self, target: Array) -> None:
        """Set the (n,) velocity targets of the motors, within the maker's torque."""
        ...

    def apply_force(self, link: int, point: Array, force: Array) -> None:
        """Apply a force during the next step.

        Args:
            link: Index of the link in the robot's tree.
            point: (3,) in the world [m].
            force: (3,) in the world [N].
        """
        ...

    def step(self, count: int = 1) -> None:
        """Advance by so many physics steps."""
        ...

    def read(self) -> None:
        """Update position, velocity and effort."""
        ...

    def close(self) -> None:
        """Release the engine; twice does no harm."""
        ...


class MobileDynamics(Dynamics, Protocol):
    """An articulated body on a base that may drive.

    Attributes:
        base_pose: (7,) pose of the base in the world at the last :meth:`read`.
        base_twist: (6,) velocity of its origin [m/s] and angular velocity [rad/s] in
            the world.
        steering_rad: Angle of the steered axle; 0 without one.
        wheel_load: (W,) normal force of every wheel in the last step [N].
        ground: What it drives on.
    """

    base_pose: Array
    base_twist: Array
    steering_rad: float
    wheel_load: Array
    ground: Ground

    def set_payload(self, mass_kg: float) -> None:
        """Change the mass of what the robot carries, as when a bed empties.

        Raises:
            ContractError: If the robot cannot carry so much.
        """
        ...

    def reset(self, position: Array, base: BaseStart | None = None) -> None:
        """Put the robot at (n,) positions; the base as it says.

        The positions of the two base actuators are odometry and start at 0.
        """
        ...
