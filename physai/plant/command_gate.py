"""The robot's own check of commands: fresh, in order, and there.

It stands at the robot's end of the link and needs no policy: what is late, repeated or
out of order is refused, and without an accepted command for a while the robot stands.
"""

from __future__ import annotations

import math

from physai.plant.lateness import Lateness
from physai.types import Command

__all__ = ["CommandGate"]

_SESSION_S = 1.0
"""After so long without commands a new session may begin to count at 0 again."""


class CommandGate:
    """Takes commands, and gives the one to execute.

    Args:
        timeout_s: The robot stands after so long without a command [s].
    """

    def __init__(self, timeout_s: float) -> None:
        self.timeout_s = timeout_s
        self.forget()

    def forget(self) -> None:
        """Begin anew, for a client whose clock was set back."""
        self._command: Command | None = None
        self._arrived_s = -math.inf
        self._lateness, self._stamp_s, self._sequence = Lateness(), -math.inf, -1

    def offer(self, command: Command, stamp_s: float, now_s: float) -> bool:
        """Take a command for execution, unless it is late, repeated or out of order.

        Stamps are compared over sessions and outages, so that what was queued during an
        outage is refused.

        Args:
            command: The command.
            stamp_s: When it was sent, on the sender's clock.
            now_s: When it arrived, on the robot's.
        """
        late = self._lateness.measure(now_s, stamp_s)
        same = now_s - self._arrived_s < _SESSION_S
        if (
            not late <= self.timeout_s
            or not stamp_s > self._stamp_s
            or (same and command.sequence <= self._sequence)
        ):
            return False
        self._sequence, self._stamp_s = command.sequence, stamp_s
        self._command, self._arrived_s = command, now_s
        return True

    def current(self, now_s: float) -> Command | None:
        """Return the newest command while it is fresh; None: stand."""
        if not now_s - self._arrived_s <= self.timeout_s + 1e-9:
            self._command = None
        return self._command
