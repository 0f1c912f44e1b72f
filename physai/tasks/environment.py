"""``envs/<domain>/<task>.yaml``: the values of an environment, typed.

Values only: what happens is data, what it means is the task's. The digest covers
every value, so that two results are comparable when their digests agree.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from physai import content
from physai.body.behaviour import BehaviourConfig, Range
from physai.body.person import GROUPS
from physai.config import Config, load
from physai.errors import ConfigError, ContractError, suggest
from physai.plant.faults import FaultConfig
from physai.plant.process import load_process
from physai.plant.scenario import PlantConfig
from physai.tasks.casting import PersonTemplate

__all__ = [
    "DistributionConfig",
    "EnvironmentConfig",
    "HazardConfig",
    "RobotPlaceConfig",
    "ScenarioTemplate",
    "SeedRange",
    "read_environment",
]

Positive = Annotated[float, Field(gt=0.0)]
Share = Annotated[float, Field(ge=0.0, le=1.0)]


class Text(Config):
    """A text in English and Japanese."""

    en: Annotated[str, Field(min_length=1)]
    ja: Annotated[str, Field(min_length=1)]


class HazardConfig(Config):
    """What can hurt, and how it is judged (severity x exposure x avoidance)."""

    id: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
    title: Text
    severity: Literal["minor", "serious", "critical"]
    exposure: Literal["rare", "often", "always"]
    avoidance: Literal["likely", "possible", "unlikely"]


class RobotPlaceConfig(Config):
    """Which robot, and the safety specification that goes with it here."""

    name: str


class SeedRange(Config):
    """Seeds ``first`` to ``first + count - 1``."""

    first: Annotated[int, Field(ge=0)]
    count: Annotated[int, Field(ge=1)]


class ScenarioTemplate(Config):
    """One kind of scenario; every range ``[low, high]`` in it is drawn."""

    name: str
    kind: Literal["nominal", "boundary", "fault", "misuse"]
    hazard: str
    """Id of the hazard that it exercises."""
    expect: Annotated[str, Field(pattern=r"^[a-z][a-z_]*$")]
    """What counts as right; a name that the task knows."""
    weight: Annotated[float, Field(ge=0.0)] = 1.0
    """Share among the templates when a scenario is drawn by chance."""
    duration_s: Positive | None = None
    """None takes the environment's."""
    behaviours: tuple[BehaviourConfig, ...] = ()
    """Of the first person, in tasks that place their people themselves."""
    people: tuple[PersonTemplate, ...] = ()
    """Who takes part, in tasks that take their people from the template."""
    faults: tuple[FaultConfig, ...] = ()
    ranges: dict[str, Range] = Field(default_factory=dict)
    """Ranges in place of the distribution's."""


class DistributionConfig(Config):
    """Where scenarios come from: seeds, weights and ranges of its own."""

    seeds: SeedRange
    weights: dict[str, Annotated[float, Field(ge=0.0)]] = Field(default_factory=dict)
    """Weight by template, in place of the template's own."""
    ranges: dict[str, Range] = Field(default_factory=dict)
    """Ranges in place of the environment's."""


class EnvironmentConfig(Config):
    """One environment."""

    id: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+-v[0-9]+$")]
    version: Annotated[int, Field(ge=1)]
    title: Text
    task: str
    robot: RobotPlaceConfig
    safety: str
    """Name of the safety specification."""
    control_hz: Positive
    episode_s: Positive
    latched_stop_cost_per_step: Annotated[float, Field(ge=0.0)]
    """Charged at least for every step that a latched stop saves."""
    discount: Annotated[float, Field(gt=0.0, le=1.0)] = 1.0
    """Discount per step of the reward's shaping; a learner uses the same as gamma."""
    extras: tuple[str, ...]
    truth_extras: tuple[str, ...]
    figures: dict[str, Literal["last", "max"]]
    """Which true extras are reported at the end of an episode, and how."""
    hazards: Annotated[tuple[HazardConfig, ...], Field(min_length=1)]
    groups: Annotated[tuple[str, ...], Field(min_length=1)]
    """Groups of people (:data:`physai.body.person.GROUPS`), drawn equally often."""
    ranges: dict[str, Range]
    """What is drawn for every scenario; the task says what the names mean."""
    templates: Annotated[tuple[ScenarioTemplate, ...], Field(min_length=1)]
    distributions: dict[str, DistributionConfig]
    settings: dict[str, Any]
    """The task's own values; the task checks them."""
    plant: PlantConfig

    @model_validator(mode="after")
    def _consistent(self) -> EnvironmentConfig:
        if abs(self.plant.control_hz - self.control_hz) > 1e-9:
            raise ValueError(
                f"plant.control_hz is {self.plant.control_hz:g}, control_hz is "
                f"{self.control_hz:g}"
            )
        if self.plant.process is not None:
            made, _ = load_process(self.plant.process)
            for name, ours, theirs in (
                ("extras", self.extras, made.EXTRAS),
                ("truth_extras", self.truth_extras, made.TRUTH_EXTRAS),
            ):
                if tuple(ours) != tuple(theirs):
                    raise ValueError(
                        f"{name}: the process gives {', '.join(theirs)}, in this order"
                    )
        hazards = [hazard.id for hazard in self.hazards]
        names = [template.name for template in self.templates]
        for template in self.templates:
            where = f"templates.{template.name}"
            _known(where, "hazard", template.hazard, hazards)
            for key in template.ranges:
                _known(f"{where}.ranges", "range", key, self.ranges)
        for group in self.groups:
            _known("groups", "group", group, GROUPS)
        for name in self.figures:
            _known("figures", "true extra", name, self.truth_extras)
        for name, distribution in self.distributions.items():
            where = f"distributions.{name}"
            for key in distribution.weights:
                _known(f"{where}.weights", "template", key, names)
            for key in distribution.ranges:
                _known(f"{where}.ranges", "range", key, self.ranges)
        _disjoint(self.distributions)
        return self

    @property
    def digest(self) -> str:
        """SHA-256 over every value."""
        return content.digest_value(self.distinctive())

    def narrowed(self, spread: float, kinds: Collection[str]) -> EnvironmentConfig:
        """Return the same environment with easier scenarios, for a curriculum.

        Args:
            spread: From 0 to 1: so much of every named range is left around its middle.
            kinds: Kinds of templates that are left.

        Raises:
            ConfigError: If no template of these kinds is drawn in some distribution.
        """
        kept = tuple(t for t in self.templates if t.kind in kinds)
        for name, distribution in self.distributions.items():
            if not any(distribution.weights.get(t.name, t.weight) for t in kept):
                raise ConfigError(
                    f"{self.id}: no template of the kinds {', '.join(kinds)} is drawn in "
                    f'the distribution "{name}"; there are '
                    f"{', '.join(sorted({t.kind for t in self.templates}))}"
                )

        def narrow(ranges: dict[str, Range]) -> dict[str, Range]:
            return {name: _around(value, spread) for name, value in ranges.items()}

        return self.model_copy(
            update={
                "ranges": narrow(self.ranges),
                "templates": tuple(
                    t.model_copy(update={"ranges": narrow(t.ranges)}) for t in kept
                ),
                "distributions": {
                    name: d.model_copy(update={"ranges": narrow(d.ranges)})
                    for name, d in self.distributions.items()
                },
            }
        )

    def template(self, name: str) -> ScenarioTemplate:
        """Return a template by name.

        Raises:
            ContractError: If there is none, with the valid names.
        """
        names = [template.name for template in self.templates]
        if name not in names:
            raise ContractError(
                f'{self.id}: no scenario template "{name}"; {suggest(name, names)}'
            )
        return self.templates[names.index(name)]


def _around(value: Range, spread: float) -> Range:
    if not isinstance(value, tuple):
        return value
    middle, half = 0.5 * (value[0] + value[1]), 0.5 * (value[1] - value[0])
    return middle - spread * half, middle + spread * half


def read_environment(path: Path) -> EnvironmentConfig:
    """Read an environment's YAML.

    Raises:
        ContentError: If it cannot be read.
        ConfigError: If it is wrong, in one sentence.
    """
    resolved = path.resolve()
    return _read(resolved, resolved.stat().st_mtime_ns)


@lru_cache(maxsize=32)
def _read(path: Path, changed_ns: int) -> EnvironmentConfig:
    return load(EnvironmentConfig, path)


def _known(where: str, what: str, name: str, valid: Iterable[str]) -> None:
    if name not in valid:
        raise ValueError(f'{where}: unknown {what} "{name}"; {suggest(name, valid)}')


def _disjoint(distributions: dict[str, DistributionConfig]) -> None:
    taken = sorted(
        (d.seeds.first, d.seeds.first + d.seeds.count, name)
        for name, d in distributions.items()
    )
    for (_, end, one), (start, _, other) in pairwise(taken):
        if start < end:
            raise ValueError(f'the seeds of "{one}" and "{other}" overlap')
