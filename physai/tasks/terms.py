"""Terms that tasks share: bounded shaping and the figures of an episode.

Every term is a pure function of its arguments, so that a stored episode gives the
same numbers again.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from physai.types import MOUTH_AREA, Truth

__all__ = ["EpisodeFigures", "nearness", "ramp"]


def nearness(distance: float, scale: float) -> float:
    """Return 1 at distance 0 and less the farther away, never below 0.

    It falls steeply near 0, where a difference matters, and still has a slope far
    away: the mean of a straight line to ``scale`` and of exp(-4 d / scale).

    Args:
        distance: At least 0.
        scale: Distance at which the straight part is used up, in the same unit.
    """
    share = distance / scale
    return 0.5 * max(0.0, 1.0 - share) + 0.5 * math.exp(-4.0 * share)


def ramp(value: float, low: float, high: float) -> float:
    """Return 0 below ``low``, 1 above ``high``, a straight line between.

    NaN, which is what a plant without truth reports, gives 0.
    """
    share = (value - low) / (high - low)
    return min(1.0, max(0.0, share)) if share == share else 0.0


class EpisodeFigures:
    """What is reported about an episode at its end.

    Args:
        truth_extras: Names of the true extras, in order.
        figures: Name of a true extra to how it is reported: ``last`` or ``max``.
    """

    def __init__(
        self, truth_extras: tuple[str, ...], figures: Mapping[str, str]
    ) -> None:
        self._largest = [
            (place, name)
            for place, name in enumerate(truth_extras)
            if figures.get(name) == "max"
        ]
        self._last = [
            (place, name)
            for place, name in enumerate(truth_extras)
            if figures.get(name) == "last"
        ]
        self.reset()

    def reset(self) -> None:
        """Start an episode."""
        self._values = {name: 0.0 for _, name in (*self._last, *self._largest)}
        self._force_mouth = self._force_body = 0.0
        self.cost = 0.0
        self.interventions = 0

    def update(self, truth: Truth, cost: float, intervened: bool) -> None:
        """Add one step.

        Args:
            truth: What really is after the step.
            cost: Its cost.
            intervened: Whether the guard changed the command.
        """
        values, extras = self._values, truth.extras.tolist()
        for place, name in self._largest:
            if not extras[place] <= values[name]:
                values[name] = extras[place]
        for place, name in self._last:
            values[name] = extras[place]
        peak = truth.contact.force_peak_n
        if peak.any():
            self._force_mouth = max(self._force_mouth, float(peak[:, MOUTH_AREA].max()))
            self._force_body = max(self._force_body, float(peak[:, 1:].max()))
        self.cost += cost
        self.interventions += intervened

    def values(self) -> dict[str, float]:
        """Return every figure by name, SI units in the names."""
        return {
            **self._values,
            "peak_force_mouth_n": self._force_mouth,
            "peak_force_body_n": self._force_body,
            "interventions": float(self.interventions),
        }
