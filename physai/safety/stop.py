"""Stops: what is held, what latches, and who may release it.

Stop categories of EN 60204-1. ``stop2`` holds (or takes a utensil back) with power on
and ends by itself after its window; ``stop1`` and ``stop0`` latch until a person
releases them. The most restrictive stop wins.
"""

from __future__ import annotations

from dataclasses import dataclass

from physai.errors import RefusedError
from physai.types import Action

__all__ = ["Latch", "Release"]


@dataclass(frozen=True, slots=True)
class Release:
    """A person's release of a latched stop.

    Attributes:
        person: Who released it.
        rule: The rule that had latched.
        stamp_s: Plant clock [s].
    """

    person: str
    rule: str
    stamp_s: float


class Latch:
    """Holds the most restrictive latched stop until a person releases it."""

    def __init__(self) -> None:
        self.action = Action.NONE
        self.rule = ""
        self.stamp_s = 0.0

    @property
    def engaged(self) -> bool:
        """Whether a stop is latched."""
        return self.action.latches

    def engage(self, action: Action, rule: str, stamp_s: float) -> None:
        """Latch a stop; a less restrictive one never replaces the one that holds.

        Args:
            action: ``STOP1`` or ``STOP0``; anything less does nothing.
            rule: The rule that asked for it.
            stamp_s: Plant clock [s].
        """
        if action.latches and action > self.action:
            self.action, self.rule, self.stamp_s = action, rule, stamp_s

    def release(self, person: str, stamp_s: float) -> Release:
        """Release the latched stop.

        Args:
            person: Name of the person who does it; software has none.
            stamp_s: Plant clock [s].

        Raises:
            RefusedError: If nobody is named, or nothing is latched.
        """
        if not person.strip():
            raise RefusedError(
                "a latched stop is released by a person: name who does it"
            )
        if not self.engaged:
            raise RefusedError("no stop is latched, so there is nothing to release")
        record = Release(person.strip(), self.rule, stamp_s)
        self.action, self.rule = Action.NONE, ""
        return record
