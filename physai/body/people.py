"""From data to a person: seated, or on a path, whichever the data names."""

from __future__ import annotations

from typing import TypeAlias

from pydantic import model_validator

from physai.body.behaviour import GESTURE_KINDS, BehaviourConfig
from physai.body.person import Person, PersonConfig, SeatConfig
from physai.body.walker import PathConfig, Walker, find_refusal
from physai.errors import ConfigError

__all__ = ["AnyPerson", "PlacedPersonConfig", "make_person"]

AnyPerson: TypeAlias = Person | Walker
"""Both have the same attributes and ``advance``."""


class PlacedPersonConfig(PersonConfig):
    """A person, where they are (``seat`` or ``path``), and what they do."""

    seat: SeatConfig | None = None
    path: PathConfig | None = None
    behaviours: tuple[BehaviourConfig, ...] = ()

    @model_validator(mode="after")
    def _one_place(self) -> PlacedPersonConfig:
        if (self.seat is None) == (self.path is None):
            raise ValueError('a person has either "seat" or "path"')
        if self.path is not None:
            refusal = find_refusal(self.path, self.behaviours)
            if refusal is not None:
                raise ValueError(refusal)
            return self
        for behaviour in self.behaviours:
            if behaviour.kind not in GESTURE_KINDS:
                raise ValueError(
                    f'a seated person cannot "{behaviour.kind}"; give a path instead '
                    "of a seat"
                )
        return self


def make_person(
    config: PlacedPersonConfig, seed: int, name: str = "person"
) -> AnyPerson:
    """Return the person that the data describes.

    Args:
        config: Who, where and what; behaviours sampled.
        seed: Seed of the episode.
        name: Stream name, distinct per person.

    Raises:
        ConfigError: If the person cannot do what they should.
    """
    if config.path is not None:
        return Walker(config, config.path, config.behaviours, seed, name)
    if config.seat is None:
        raise ConfigError(f'{name}: a person has either "seat" or "path"')
    return Person(config, config.seat, config.behaviours, seed, name)
