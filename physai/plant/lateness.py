"""How late stamped messages arrive, although no two clocks agree.

A queue that grows, a link that thaws or a source that sends old measurements shows
only in the stamps: by arrival alone such messages look fresh.
"""

from __future__ import annotations

import math

__all__ = ["Lateness"]

_DRIFT = 5e-4
"""How fast two clocks may drift apart: ntpd slews by 500 ppm at most (its manual)."""


class Lateness:
    """Estimates the delay of the messages of one source.

    The smallest difference between arrival and stamp that was ever seen stands for no
    delay, slowly forgotten so that drifting clocks do not look like a growing queue.
    A stamp from the future makes all that follow look late: the safe side.
    """

    def __init__(self) -> None:
        self._offset, self._at = math.inf, 0.0

    def measure(self, arrived_s: float, stamp_s: float) -> float:
        """Return how late a message is [s], at least 0; infinity without a stamp.

        Args:
            arrived_s: When it arrived, on our clock.
            stamp_s: What it says, on any clock; 0 is no stamp, as in ROS.
        """
        if not (math.isfinite(stamp_s) and stamp_s != 0.0):
            return math.inf
        offset = arrived_s - stamp_s
        known = self._offset + _DRIFT * max(0.0, arrived_s - self._at)
        self._offset, self._at = min(offset, known), arrived_s
        return offset - self._offset
