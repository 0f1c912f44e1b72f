"""What a training costs: wall-clock and processor time, and an estimate of energy."""

from __future__ import annotations

import time
from typing import Any

import psutil

__all__ = ["WATTS_PER_CORE", "Meter", "energy_wh"]

WATTS_PER_CORE = 12.0
"""Power of a busy core [W], an assumption: what Green Algorithms takes for a processor
that it does not know (Lannelongue et al. 2021, doi:10.1002/advs.202100707; "Any" in its
table of thermal design power per core). Memory, graphics processors, cooling and idle
cores come on top."""


class Meter:
    """Adds wall-clock and processor time to the progress of a run.

    Processor time is that of this process and of all its children, also of those that
    still run. It counts from when the meter is made.

    Args:
        progress: ``seconds`` and ``cpu_seconds`` are added to; they begin at 0.
    """

    def __init__(self, progress: dict[str, Any]) -> None:
        self.progress = progress
        for key in ("seconds", "cpu_seconds"):
            progress.setdefault(key, 0.0)
        self._process = psutil.Process()
        self._last = self._now()

    def lap(self) -> None:
        """Add the time since the last lap."""
        now = self._now()
        for key, new, old in zip(
            ("seconds", "cpu_seconds"), now, self._last, strict=True
        ):
            self.progress[key] += max(0.0, new - old)
        self._last = now

    def _now(self) -> tuple[float, float]:
        """Return wall-clock and processor time [s], each from a fixed beginning."""
        used = 0.0
        for process in (self._process, *self._process.children(recursive=True)):
            try:
                # The third and fourth are of children that have ended.
                used += sum(process.cpu_times()[:4])
            except psutil.NoSuchProcess:
                continue
        return time.monotonic(), used


def energy_wh(cpu_seconds: float) -> float:
    """Return the energy that processor time takes [Wh], by :data:`WATTS_PER_CORE`.

    Args:
        cpu_seconds: Processor time [s].
    """
    return cpu_seconds * WATTS_PER_CORE / 3600.0
