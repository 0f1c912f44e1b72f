"""What a physics engine must offer to carry a simulated plant.

Only the robot and the furniture live in the engine. People do not: their contacts with
the robot are ours (:mod:`physai.plant.contact`), so that a force does not depend on
which engine runs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from physai.types import Array

if TYPE_CHECKING:
    from physai.plant.ground import Ground

__all__ = ["BaseStart", "Dynamics", "MobileDynamics"]


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
