"""The 29 body areas: limits, springs and masses, and which area a contact is on.

Values are read from ``configs/safety/<name>.csv`` so that an integrator can replace
them by licensed ones; its digest goes into the specification's. Sources: ISO/TS 15066
Table A.2 and A.3 as transcribed in public copies (column ``pressure_sources`` and
``force_sources``; the ISO text itself was not read). The frailty factor is applied by
the safety specification, never here.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numba
import numpy as np
import numpy.typing as npt

from physai import content
from physai.errors import ConfigError
from physai.types import AREA_COUNT, Array

__all__ = ["SEGMENT_AREAS", "Regions", "area_of", "load_regions"]

SEGMENT_AREAS: tuple[tuple[int, ...], ...] = (
    (1, 2),
    (3,),
    (4, 5),
    (6, 8, 9),
    (7, 10),
    (11,),
    (12, 13),
    (12, 13),
    (14, 15, 16),
    (14, 15, 16),
    (18, 20, 21, 23, 25),
    (17, 19, 21, 22, 24),
    (26, 27),
    (26, 27),
    (28, 29),
    (28, 29),
)
"""Areas that a contact with each of the 16 segments can be on."""

_MOUTH_MASS_KG = 4.4
_MOUTH_SPRING_N_PER_M = 2000.0
"""Soft lips (project choice; the table has no lips)."""


@dataclass(frozen=True, eq=False)
class Regions:
    """Arrays indexed by area, 0 (the mouth, project values) to 29.

    Attributes:
        name: Names of the areas.
        force_quasistatic_n: Limit of a held contact [N].
        force_transient_n: Limit of a short contact [N]; NaN where the table permits
            none.
        pressure_quasistatic_n_per_cm2: Limit of the pressure [N/cm2].
        effective_mass_kg: Mass of the body part [kg].
        spring_n_per_m: Spring of the body part [N/m].
        contact_permitted: Whether the table permits contact at all.
        digest: SHA-256 of the table.
    """

    name: tuple[str, ...]
    force_quasistatic_n: Array
    force_transient_n: Array
    pressure_quasistatic_n_per_cm2: Array
    effective_mass_kg: Array
    spring_n_per_m: Array
    contact_permitted: npt.NDArray[np.bool_]
    digest: str


@lru_cache(maxsize=8)
def _read(path: str) -> Regions:
    with Path(path).open(encoding="utf-8", newline="") as handle:
        rows = list(csv.DictReader(handle))
    try:
        ids = [int(row["area_id"]) for row in rows]
        if ids != list(range(1, AREA_COUNT)):
            raise ConfigError(f"{path}: area_id must run from 1 to {AREA_COUNT - 1}")

        def column(key: str, mouth: float, factor: float = 1.0) -> Array:
            values = [
                np.nan if row[key] == "NA" else float(row[key]) * factor for row in rows
            ]
            array = np.array([mouth, *values])
            array.setflags(write=False)
            return array

        return Regions(
            name=("Mouth", *(row["area"] for row in rows)),
            force_quasistatic_n=column("force_qs_N", np.nan),
            force_transient_n=column("force_transient_N", np.nan),
            pressure_quasistatic_n_per_cm2=column("pressure_qs_N_per_cm2", np.nan),
            effective_mass_kg=column("eff_mass_kg", _MOUTH_MASS_KG),
            spring_n_per_m=column("spring_N_per_mm", _MOUTH_SPRING_N_PER_M, 1000.0),
            contact_permitted=np.array(
                [False, *(row["contact_permissible"] == "yes" for row in rows)]
            ),
            digest=content.digest_file(path),
        )
    except KeyError as error:
        raise ConfigError(f"{path}: the column {error} is missing") from None
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{path}: a value is not a number ({error})") from None


def load_regions(name: str = "body_regions") -> Regions:
    """Load a table of body areas by name of ``configs/safety/<name>.csv``.

    Raises:
        ContentError: If there is none.
        ConfigError: If a column is missing or a value is not a number.
    """
    return _read(str(content.path("configs", "safety", f"{name}.csv")))


@numba.njit(cache=True)
def area_of(segment: int, fraction: float, nx: float, ny: float, nz: float) -> int:
    """Return the body area (1 to 29) of a point on a segment's surface.

    Args:
        segment: Index of the segment (:data:`physai.body.person.SEGMENTS`).
        fraction: Position along the segment's axis, 0 at its first end. Limbs run from
            the trunk outward, the trunk's capsules from left to right, the head's from
            bottom to top.
        nx: Outward normal in the segment's frame: forward (or the palm's side).
        ny: To the person's left.
        nz: Up, along the limb toward the trunk.
    """
    if segment == 0:
        return 1 if nx > 0.5 else 2
    if segment == 1:
        return 3
    if segment == 2:
        return 5 if nx < -0.5 else 4
    if segment == 3:
        if fraction < 0.12 or fraction > 0.88 or nz > 0.7 or nx < 0.0:
            return 6
        return 8 if 0.35 < fraction < 0.65 else 9
    if segment == 4:
        return 7 if nx < -0.3 else 10
    if segment == 5:
        return 11
    if segment == 6 or segment == 7:
        return 12 if fraction < 0.45 else 13
    if segment == 8 or segment == 9:
        if nx < -0.3:
            return 16
        return 15 if fraction < 0.5 else 14
    if segment == 10 or segment == 11:
        dominant = segment == 11
        if fraction > 0.85:
            return 17 if dominant else 18
        if fraction > 0.65:
            return 19 if dominant else 20
        if nx > 0.3:
            if fraction < 0.3:
                return 21
            return 22 if dominant else 23
        return 24 if dominant else 25
    if segment == 12 or segment == 13:
        return 27 if fraction > 0.85 else 26
    return 28 if nx > 0.0 else 29
