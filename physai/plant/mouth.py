"""The mouth: a cavity with soft lips that a compliant utensil may enter.

Coordinates are the mouth's own: depth along the inward axis from the plane of the
lips, height along ``up``, side across. The opening is a lens between two parabolas
(inside the ellipse of the same width and height, so on the safe side). While the
utensil is inside, its contact with face and head is this module's; outside, it is a
normal body contact of :mod:`physai.plant.contact`.

Forces come from potentials 1/2 k o^2 of an overlap o, in series with the utensil's own
stiffness, so they are continuous and conserve energy: upper and lower lip, palate and
tongue, cheeks, throat. A person closes the lips around the utensil where it is: closing
pinches it, up to a closing force, and does not push it. No friction, no teeth.

Every stiffness and size here is a declared project choice: nothing was measured.
"""

from __future__ import annotations

from typing import Annotated

import numpy as np
from pydantic import Field

from physai.config import Config
from physai.plant.mouth_kernel import (
    O_DEEP,
    O_DEPTH,
    O_EXEMPT,
    O_FORCE,
    O_PERSON,
    O_PINCH,
    O_POINT,
    O_ROBOT,
    O_SHAPE,
    O_VECTOR,
    OUT_COLUMNS,
    T_INSIDE,
    mouth_contact,
)
from physai.types import Array

__all__ = ["MouthModel", "MouthSettings"]

Positive = Annotated[float, Field(gt=0.0)]


class MouthSettings(Config):
    """Sizes and stiffnesses of the mouth (project choices)."""

    lip_stiffness_n_per_m: Positive = 300.0
    """Each lip against an outward push."""
    tissue_stiffness_n_per_m: Positive = 20000.0
    """Palate, tongue, cheeks and throat."""
    lip_thickness_m: Positive = 0.010
    """Along the axis."""
    cavity_depth_m: Positive = 0.070
    """From the lips to where the throat begins: 70 mm gave the least force in
    arXiv 2502.18749."""
    cavity_half_height_m: Positive = 0.020
    cavity_half_width_m: Positive = 0.028
    closing_force_n: Positive = 3.0
    """Most with which the lips close on the utensil."""
    minimum_opening_m: Positive = 0.006
    """A mouth less open is closed: the utensil touches the face."""
    margin_m: Positive = 0.010
    """So far in front of the lips an aligned utensil already counts as entering."""


class MouthModel:
    """One person's mouth and one utensil.

    Args:
        utensil_stiffness_n_per_m: The utensil's own stiffness [N/m].
        settings: Sizes and stiffnesses.

    Attributes (of the last :meth:`substep`; arrays are overwritten by the next):
        force: (3,) force on the utensil in the world [N].
        point: (3,) where it acts [m].
    """

    def __init__(
        self,
        utensil_stiffness_n_per_m: float,
        settings: MouthSettings | None = None,
    ) -> None:
        self.settings = s = settings or MouthSettings()
        self._stiffness = float(min(utensil_stiffness_n_per_m, 1e12))
        self._numbers = np.array(
            [
                s.lip_stiffness_n_per_m,
                s.tissue_stiffness_n_per_m,
                s.lip_thickness_m,
                s.cavity_depth_m,
                s.cavity_half_height_m,
                s.cavity_half_width_m,
                s.closing_force_n,
                s.minimum_opening_m,
                s.margin_m,
            ]
        )
        self._state = np.zeros(5)
        self._best = np.zeros((7, 8))
        self._out = np.zeros(OUT_COLUMNS)
        self._frame = np.zeros((4, 3))
        self.force: Array = self._out[O_VECTOR : O_VECTOR + 3]
        self.point: Array = self._out[O_POINT : O_POINT + 3]
        self.reset()

    def reset(self) -> None:
        """Take the utensil out."""
        self._state[:] = 0.0
        self._out[:] = 0.0
        self._out[O_SHAPE] = -1.0

    def substep(
        self,
        utensil: Array,
        velocity: Array,
        position: Array,
        axis: Array,
        up: Array,
        opening_m: float,
        half_width_m: float,
        mouth_velocity: Array,
    ) -> float:
        """Compute what the mouth does with the utensil now.

        Args:
            utensil: (U, 7) capsules of the utensil, world [m].
            velocity: (U, 6) of their end points [m/s].
            position: (3,) middle of the lips, world [m].
            axis: (3,) unit outward normal of the mouth.
            up: (3,) unit, toward the nose.
            opening_m: Height of the opening.
            half_width_m: Half of its width.
            mouth_velocity: (3,) of the lips [m/s].

        Returns:
            Force on the mouth's tissue [N]; a pinch counts both lips.
        """
        frame = self._frame
        frame[0], frame[1], frame[2] = position, axis, up
        frame[3, 0] = up[1] * axis[2] - up[2] * axis[1]
        frame[3, 1] = up[2] * axis[0] - up[0] * axis[2]
        frame[3, 2] = up[0] * axis[1] - up[1] * axis[0]
        mouth_contact(
            utensil,
            velocity,
            mouth_velocity,
            frame,
            opening_m,
            half_width_m,
            self._numbers,
            self._stiffness,
            self._state,
            self._best,
            self._out,
        )
        return float(self._out[O_FORCE])

    @property
    def inside(self) -> bool:
        """Whether the utensil has passed the lips."""
        return bool(self._state[T_INSIDE] > 0.5)

    @property
    def exempt(self) -> bool:
        """Whether the utensil's contact with face and head is this model's."""
        return bool(self._out[O_EXEMPT] > 0.5)

    @property
    def insertion_depth_m(self) -> float:
        """Depth of the utensil's deepest point behind the lips [m]."""
        return float(self._out[O_DEPTH])

    @property
    def force_n(self) -> float:
        """Force on the mouth's tissue [N]; a pinch counts both lips."""
        return float(self._out[O_FORCE])

    @property
    def pinch_n(self) -> float:
        """Force with which the lips close on the utensil [N]."""
        return float(self._out[O_PINCH])

    @property
    def deep_n(self) -> float:
        """Share of the force at palate, tongue, cheeks and throat [N]."""
        return float(self._out[O_DEEP])

    @property
    def shape(self) -> int:
        """Row of the utensil's capsule that is pressed most; -1 for none."""
        return int(self._out[O_SHAPE])

    @property
    def robot_speed_m_s(self) -> float:
        """The utensil's own speed against the touched tissue [m/s]."""
        return float(self._out[O_ROBOT])

    @property
    def person_speed_m_s(self) -> float:
        """The mouth's own speed against the utensil [m/s]."""
        return float(self._out[O_PERSON])
