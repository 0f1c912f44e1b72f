"""Who takes part in a kind of scenario, as data with ranges.

A template lists its people: where they sit, lie or walk, with which aid, and what they
do. Every number may be a range ``[low, high]`` that is drawn for each scenario.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field, model_validator

from physai.body.behaviour import BehaviourConfig, Range, fix
from physai.body.pace import sample_speed
from physai.body.person import SeatConfig, sample_person
from physai.body.walker import PathConfig
from physai.config import Config
from physai.plant.scenario import ScenarioPerson
from physai.randomness import generator

__all__ = ["PathTemplate", "PersonTemplate", "SeatTemplate", "cast_person"]

Place = tuple[Range, Range]


class SeatTemplate(Config):
    """Where a person sits."""

    place_m: tuple[Range, Range, Range]
    """Middle of the seat's surface, world."""
    yaw_rad: Range


class PathTemplate(Config):
    """Where a person stands or lies at first, and where they walk."""

    start_m: Place
    """Feet, world."""
    floor_m: Range = 0.0
    """Height of what they stand or lie on, such as a mattress."""
    yaw_rad: Range = 0.0
    waypoints_m: tuple[Place, ...] = ()
    """After the start; none for a person who stays."""
    speed_m_s: Range | None = None
    """None draws the usual speed of the group with the aid."""
    aid: Literal["none", "cane", "walker", "wheelchair"] = "none"
    posture: Literal["upright", "lying"] = "upright"


class PersonTemplate(Config):
    """One person of a kind of scenario."""

    group: str | None = None
    """None takes the scenario's."""
    seat: SeatTemplate | None = None
    path: PathTemplate | None = None
    behaviours: tuple[BehaviourConfig, ...] = Field(default=())

    @model_validator(mode="after")
    def _one_place(self) -> PersonTemplate:
        if (self.seat is None) == (self.path is None):
            raise ValueError('a person has either "seat" or "path"')
        return self


def cast_person(
    template: PersonTemplate, group: str, seed: int, name: str
) -> ScenarioPerson:
    """Return a person of a template, every range drawn.

    Args:
        template: What is said of them.
        group: Of the scenario, where the template names none.
        seed: Of the scenario.
        name: Distinct per person of a scenario; keys the random numbers.

    Raises:
        ConfigError: If the person cannot do what they should.
    """
    group = template.group or group
    rng = generator(seed, f"scenario.{name}.place")
    return ScenarioPerson(
        **dict(sample_person(group, generator(seed, f"scenario.{name}"))),
        seat=None if template.seat is None else _seat(template.seat, rng),
        path=None if template.path is None else _path(template.path, group, rng),
        behaviours=tuple(
            behaviour.sample(generator(seed, f"scenario.{name}.behaviour.{index}"))
            for index, behaviour in enumerate(template.behaviours)
        ),
    )


def _seat(seat: SeatTemplate, rng: np.random.Generator) -> SeatConfig:
    x, y, z = (_drawn(value, rng) for value in seat.place_m)
    return SeatConfig(position_m=(x, y, z), yaw_rad=_drawn(seat.yaw_rad, rng))


def _path(path: PathTemplate, group: str, rng: np.random.Generator) -> PathConfig:
    x, y = (_drawn(value, rng) for value in path.start_m)
    way = [(_drawn(a, rng), _drawn(b, rng)) for a, b in path.waypoints_m]
    if path.speed_m_s is None:
        speed = sample_speed(group, path.aid, rng)
    else:
        speed = _drawn(path.speed_m_s, rng)
    return PathConfig(
        position_m=(x, y, _drawn(path.floor_m, rng)),
        yaw_rad=_drawn(path.yaw_rad, rng),
        waypoints_m=((x, y), *way) if way else (),
        speed_m_s=speed,
        aid=path.aid,
        posture=path.posture,
    )


def _drawn(value: Range, rng: np.random.Generator) -> float:
    return round(fix(value, rng), 4)
