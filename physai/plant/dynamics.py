"""What a physics engine must offer to carry a simulated plant.

Only the robot and the furniture live in the engine. People do not: their contacts with
the robot are ours (:mod:`physai.plant.contact`), so that a force does not depend on
which engine runs.
"""

from __future__ import annotations

from typing import Protocol

from physai.types import Array

__all__ = ["Dynamics"]


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
