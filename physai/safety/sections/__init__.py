"""Parts of a specification that only some robots need: areas, fence, field, load, ...

Section ``sections`` of ``configs/safety/<name>.yaml`` names them. A section measures
signals of its own and caps the speed of actuators; the filter keeps within the caps,
and rules judge the signals. A new section is one file and one line in
:data:`SECTIONS`; those of other packages come through the entry points
``physai.sections``.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from physai.config import Config, parse
from physai.errors import ConfigError, suggest
from physai.safety.sections.section import Section

__all__ = ["SECTIONS", "Section", "load_section"]

SECTIONS: Mapping[str, str] = MappingProxyType(
    {
        "areas": "physai.safety.sections.areas:Areas",
        "carrying": "physai.safety.sections.carrying:Carrying",
        "traffic": "physai.safety.sections.traffic:Traffic",
        "crossing": "physai.safety.sections.crossing:Crossing",
        "drives": "physai.safety.sections.drives:Drives",
        "envelope": "physai.safety.sections.envelope:Envelope",
        "fence": "physai.safety.sections.fence:Fence",
        "field": "physai.safety.sections.field:ProtectiveField",
        "liveness": "physai.safety.sections.liveness:Liveness",
        "load": "physai.safety.sections.load:Load",
        "orientation": "physai.safety.sections.orientation:Orientation",
        "sector": "physai.safety.sections.sector:Sector",
        "services": "physai.safety.sections.services:Services",
        "stability": "physai.safety.sections.stability:Stability",
        "volumes": "physai.safety.sections.volumes:Volumes",
    }
)
"""Name in the YAML to class."""


def load_section(name: str, given: Mapping[str, Any]) -> tuple[type[Section], Config]:
    """Return class and checked values of a section.

    Raises:
        ConfigError: If there is no such section, or a value is wrong.
    """
    target = SECTIONS.get(name)
    if target is None:
        from importlib.metadata import entry_points

        others = {point.name: point for point in entry_points(group="physai.sections")}
        if name not in others:
            raise ConfigError(
                f'sections: no section "{name}"; {suggest(name, [*SECTIONS, *others])}'
            )
        found: type[Section] = others[name].load()
    else:
        module, _, attribute = target.partition(":")
        found = getattr(importlib.import_module(module), attribute)
    return found, parse(found.Values, dict(given), f"sections.{name}")
