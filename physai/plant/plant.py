"""What every plant offers."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from physai.plant.scenario import Scenario
from physai.types import Command, State, Truth

__all__ = ["Plant"]


@runtime_checkable
class Plant(Protocol):
    """Robot, objects and people, in one control period after the other.

    A control step is: :meth:`apply` a command, :meth:`advance` by one period,
    :meth:`read` what sensors say, ask for the :meth:`truth` where there is one.
    """

    def reset(self, scenario: Scenario) -> State:
        """Bring about the start of a scenario and return the first state.

        A real plant cannot: it checks that it stands where it should.
        """
        ...

    def read(self) -> State:
        """Return what sensors and trackers say now."""
        ...

    def truth(self) -> Truth | None:
        """Return what really is, or None where nobody knows."""
        ...

    def apply(self, command: Command) -> Command:
        """Hand over a command; returns the command that is really sent."""
        ...

    def advance(self) -> None:
        """Let one control period pass."""
        ...

    def stop(self, category: int) -> None:
        """Stop: category 2 (hold), 1 (brake, then power off) or 0 (power off)."""
        ...

    def close(self) -> None:
        """Release everything; twice does no harm."""
        ...
