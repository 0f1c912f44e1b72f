"""``envs/<domain>/<task>.yaml``: the values of an environment, typed.

Values only: what happens is data, what it means is the task's. The digest covers
every value, so that two results are comparable when their digests agree.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from physai import content
from physai.config import Config, load
from physai.errors import suggest
from physai.plant.scenario import PlantConfig
from physai.randomness import generator

__all__ = [
    "DistributionConfig",
    "EnvironmentConfig",
    "HazardConfig",
    "RobotPlaceConfig",
    "SeedRange",
    "ScenarioTemplate",
    "draw",
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
    """One kind of scenario; ``{uniform: [low, high]}`` and ``{choice: [...]}`` inside
    it are drawn for every scenario."""

    name: str
    kind: Literal["nominal", "boundary", "fault", "misuse"]
    hazard: str
    """Id of the hazard that it exercises."""
    expect: str
    """What counts as right; a name that the task knows."""
    weight: Annotated[float, Field(ge=0.0)] = 1.0
    duration_s: Positive | None = None
    """None takes the environment's."""
    behaviours: tuple[dict[str, Any], ...] = ()
    faults: tuple[dict[str, Any], ...] = ()
    person: dict[str, Any] = Field(default_factory=dict)


class DistributionConfig(Config):
    """Where scenarios come from: a range of seeds, weights and ranges of its own."""

    seeds: SeedRange
    weights: dict[str, Annotated[float, Field(ge=0.0)]] = Field(default_factory=dict)
    """Weight by template, in place of the template's own."""
    ranges: dict[str, Any] = Field(default_factory=dict)
    """Values by name, in place of the environment's."""


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
    extras: tuple[str, ...]
    truth_extras: tuple[str, ...]
    figures: dict[str, Literal["last", "max"]]
    """Which true extras are reported at the end of an episode, and how."""
    hazards: Annotated[tuple[HazardConfig, ...], Field(min_length=1)]
    groups: Annotated[dict[str, dict[str, Any]], Field(min_length=1)]
    """Groups of people, drawn with equal weight; each gives values of the person."""
    person: dict[str, Any] = Field(default_factory=dict)
    """Values of the person in every scenario."""
    ranges: dict[str, Any]
    """What is drawn for every scenario."""
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
        hazards = {hazard.id for hazard in self.hazards}
        names = [template.name for template in self.templates]
        for template in self.templates:
            if template.hazard not in hazards:
                raise ValueError(
                    f'template "{template.name}": unknown hazard '
                    f'"{template.hazard}"; {suggest(template.hazard, hazards)}'
                )
        for name in self.figures:
            if name not in self.truth_extras:
                raise ValueError(
                    f'figures: unknown true extra "{name}"; '
                    f"{suggest(name, self.truth_extras)}"
                )
        for name, distribution in self.distributions.items():
            for key in distribution.weights:
                if key not in names:
                    raise ValueError(
                        f'distributions.{name}.weights: unknown template "{key}"; '
                        f"{suggest(key, names)}"
                    )
            for key in distribution.ranges:
                if key not in self.ranges:
                    raise ValueError(
                        f'distributions.{name}.ranges: unknown range "{key}"; '
                        f"{suggest(key, self.ranges)}"
                    )
        _disjoint(self.distributions)
        return self

    @property
    def digest(self) -> str:
        """SHA-256 over every value."""
        return content.digest_value(self.model_dump(mode="json"))

    def template(self, name: str) -> ScenarioTemplate:
        """Return a template by name.

        Raises:
            KeyError: If there is none.
        """
        return next(t for t in self.templates if t.name == name)

    def draw_template(self, seed: int, distribution: str) -> ScenarioTemplate:
        """Return the template of one seed, by the weights of a distribution."""
        own = self.distributions[distribution].weights
        weights = [own.get(t.name, t.weight) for t in self.templates]
        place = generator(seed, "scenario.template").random() * sum(weights)
        for template, weight in zip(self.templates, weights, strict=True):
            place -= weight
            if place < 0.0:
                return template
        return self.templates[-1]

    def draw_group(self, seed: int) -> str:
        """Return the group of people of one seed."""
        names = sorted(self.groups)
        return names[int(generator(seed, "scenario.group").integers(len(names)))]

    def draw_ranges(self, seed: int, distribution: str) -> dict[str, Any]:
        """Return one value for every range, the distribution's own ranges first."""
        ranges = {**self.ranges, **self.distributions[distribution].ranges}
        return {
            name: draw(value, seed, f"scenario.{name}")
            for name, value in ranges.items()
        }


def draw(value: Any, seed: int, stream: str) -> Any:
    """Replace every ``{uniform: [low, high]}`` and ``{choice: [...]}`` by a draw.

    Args:
        value: JSON values.
        seed: The scenario's seed.
        stream: Prefix of the streams; every place in the value has its own, so that
            one more draw changes no other.

    Returns:
        A copy.
    """
    if isinstance(value, dict):
        if set(value) == {"uniform"}:
            low, high = value["uniform"]
            return float(generator(seed, stream).uniform(low, high))
        if set(value) == {"choice"}:
            options = value["choice"]
            return options[int(generator(seed, stream).integers(len(options)))]
        return {k: draw(v, seed, f"{stream}.{k}") for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [draw(v, seed, f"{stream}.{i}") for i, v in enumerate(value)]
    return value


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


def _disjoint(distributions: dict[str, DistributionConfig]) -> None:
    taken = sorted(
        (d.seeds.first, d.seeds.first + d.seeds.count, name)
        for name, d in distributions.items()
    )
    for (_, end, one), (start, _, other) in zip(taken, taken[1:], strict=False):
        if start < end:
            raise ValueError(f'the seeds of "{one}" and "{other}" overlap')
