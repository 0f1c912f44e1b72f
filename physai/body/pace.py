"""Usual walking speeds, by group of people and by aid."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from physai.errors import ConfigError

__all__ = ["PACES", "Pace", "sample_speed"]


class Pace(NamedTuple):
    """Usual walking speed of a group: 5th, 50th and 95th percentile [m/s]."""

    usual_m_s: tuple[float, float, float]
    source: str


_BOHANNON = (
    "mean: Bohannon & Andrews 2011 ({}); spread: sd {} ({}), normal, cut at the "
    "declared 1.6 m/s (people.csv)"
)
_OLD = _BOHANNON.format("mean of 70-79 and 80-99", "0.28", "Kasovic 2021, 60+")
_YOUNG = _BOHANNON.format("30-39", "0.31", "pedestrians at crossings, Andrews 2010")
_CHILDREN = "natural speed scaled by stature from the adults' (derived, low)"
PACES: dict[str, Pace] = {
    "elderly_woman": Pace((0.58, 1.04, 1.50), _OLD),
    "elderly_man": Pace((0.65, 1.11, 1.58), _OLD),
    "older_woman": Pace((0.73, 1.19, 1.60), _OLD.replace("70-79 and 80-99", "60-79")),
    "older_man": Pace((0.84, 1.30, 1.60), _OLD.replace("70-79 and 80-99", "60-79")),
    "adult_woman": Pace((0.83, 1.34, 1.60), _YOUNG),
    "adult_man": Pace((0.92, 1.43, 1.60), _YOUNG),
    "japanese_woman": Pace((0.83, 1.34, 1.60), _YOUNG),
    "japanese_man": Pace((0.92, 1.43, 1.60), _YOUNG),
    "girl_10": Pace((0.71, 1.17, 1.40), _CHILDREN),
    "boy_10": Pace((0.74, 1.14, 1.40), _CHILDREN),
    "girl_6": Pace((0.61, 0.98, 1.17), _CHILDREN),
    "boy_6": Pace((0.62, 0.96, 1.17), _CHILDREN),
}
"""By group of :data:`physai.body.person.GROUPS`."""

_WITH_AID: dict[str, tuple[float, float, float]] = {
    "cane": (0.40, 0.60, 0.85),
    "walker": (0.28, 0.45, 0.65),
    "wheelchair": (0.30, 0.48, 0.70),
}
"""Speeds with an aid: 0.6, 0.45 m/s (design defaults between measured rows) and 0.48
(propelled by arms, Karmarkar 2010); spread is a project figure."""


def sample_speed(group: str, aid: str, rng: np.random.Generator) -> float:
    """Draw a usual speed [m/s] between the 5th and 95th percentile.

    Raises:
        ConfigError: If the group has no pace.
    """
    if aid in _WITH_AID:
        marks = _WITH_AID[aid]
    elif group in PACES:
        marks = PACES[group].usual_m_s
    else:
        raise ConfigError(f'no walking speed is known of the group "{group}"')
    share = float(rng.uniform(0.05, 0.95))
    return round(float(np.interp(share, (0.05, 0.5, 0.95), marks)), 4)
