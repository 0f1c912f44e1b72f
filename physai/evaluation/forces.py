"""Contact forces of a stored episode against the limits of the body areas.

Simulated, for screening only: one linear spring and one mass per body area. The
judgement is the safety specification's own: a contact younger than 0.5 s and free is
compared by its peak with the transient limit, a held or clamped one by its 100 ms mean
with the quasi-static limit, both times the frailty factor, where the robot moved or
pushed (ISO/TS 15066 Table A.2). Of a peak the robot's share of the closing speed counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from physai.record.episode import Episode
from physai.safety.kernel import own_share
from physai.types import AREA_COUNT, MOUTH_AREA, Array

if TYPE_CHECKING:
    from physai.safety.spec import CompiledSpec

__all__ = ["HELD_S", "MOVED_M_S", "ForceLimits", "force_limits", "force_ratios"]

HELD_S = 0.5
"""From this age on a contact is held (ISO/TS 15066: transient below 0.5 s)."""

MOVED_M_S = 0.005
"""Below this own speed the robot did not move or push (as in the safety monitor)."""


@dataclass(frozen=True, slots=True, eq=False)
class ForceLimits:
    """Limits by body area, index 0 the mouth.

    Attributes:
        names: (30,) names.
        quasistatic_n: (30,) adult limits of a held contact [N].
        transient_n: (30,) adult limits of a short one [N]; NaN where none is given.
        permitted: (30,) whether the table permits contact.
        frailty_factor: Share of the limits for the people served.
        mouth_n: Limit of the utensil on mouth, face and skull [N].
        utensil: (R,) whether a robot shape belongs to the utensil.
    """

    names: tuple[str, ...]
    quasistatic_n: Array
    transient_n: Array
    permitted: npt.NDArray[np.bool_]
    frailty_factor: float
    mouth_n: float
    utensil: npt.NDArray[np.bool_]

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values for an episode's header."""
        return {
            "names": list(self.names),
            "quasistatic_n": self.quasistatic_n,
            "transient_n": self.transient_n,
            "permitted": self.permitted,
            "frailty_factor": self.frailty_factor,
            "mouth_n": self.mouth_n,
            "utensil": self.utensil,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> ForceLimits:
        """Read it from an episode's header; null becomes NaN."""
        return cls(
            names=tuple(value["names"]),
            quasistatic_n=np.array(value["quasistatic_n"], dtype=np.float64),
            transient_n=np.array(value["transient_n"], dtype=np.float64),
            permitted=np.array(value["permitted"], dtype=np.bool_),
            frailty_factor=float(value["frailty_factor"]),
            mouth_n=float(value["mouth_n"]),
            utensil=np.array(value["utensil"], dtype=np.bool_),
        )


def force_limits(spec: CompiledSpec) -> ForceLimits:
    """Return the limits that a compiled specification uses."""
    regions, rules = spec.regions, spec.config.rules
    mouth = [rule.limit.value for rule in rules if rule.rule == "mouth_force"]
    return ForceLimits(
        names=tuple(regions.name),
        quasistatic_n=regions.force_quasistatic_n,
        transient_n=regions.force_transient_n,
        permitted=regions.contact_permitted,
        frailty_factor=spec.config.frailty_factor,
        mouth_n=mouth[0] if mouth else 1.0,
        utensil=spec.robot.shapes.utensil,
    )


def force_ratios(episode: Episode, limits: ForceLimits) -> Array:
    """Return the worst force over its limit by body area.

    Args:
        episode: An episode with truth.
        limits: The limits.

    Returns:
        (30,) ratios, 0 without contact; where no contact is permitted, the utensil is
        judged by the mouth's limit and every other shape by 1 N.
    """
    worst = np.zeros(AREA_COUNT)
    if not episode.has_truth or not episode.length:
        return worst
    peak = episode.column("truth_contact_force_peak_n")
    held = episode.column("truth_contact_force_mean_n")
    index = np.argwhere((peak > 0.0) | (held > 0.0))
    if not len(index):
        return worst
    age = episode.column("truth_contact_age_s")
    speed = episode.column("truth_contact_robot_normal_speed_m_s")
    person_speed = episode.column("truth_contact_person_normal_speed_m_s")
    clamped = episode.column("truth_contact_clamped")
    link = episode.column("truth_contact_link")
    for step, person, area in index.tolist():
        place = (step, person, area)
        if area == MOUTH_AREA:
            ratio = peak[place] / limits.mouth_n
        elif not speed[place] > MOVED_M_S:
            continue
        elif not limits.permitted[area]:
            shape = int(link[place])
            soft = 0 <= shape < len(limits.utensil) and limits.utensil[shape]
            share = own_share(speed[place], person_speed[place])
            ratio = share * peak[place] / (limits.mouth_n if soft else 1.0)
        elif age[place] >= HELD_S or clamped[place] > 0.5:
            ratio = held[place] / (limits.frailty_factor * limits.quasistatic_n[area])
        else:
            share = own_share(speed[place], person_speed[place])
            limit = limits.frailty_factor * limits.transient_n[area]
            ratio = share * peak[place] / limit
        worst[area] = max(worst[area], ratio)
    return worst
