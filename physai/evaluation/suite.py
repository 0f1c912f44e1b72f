"""A suite: which scenarios, how many, and what must be shown.

``configs/suites/<name>.yaml``. A case is one of the environment's scenario templates,
or one of the suite's own; every hazard of the environment needs a case. The number of
episodes is fixed or follows from what must be shown, and is chosen before running.
The plan of a suite (case, group, seed of every episode) depends on nothing but the
suite and the environment, so that any two policies are matched on common seeds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field, model_validator

from physai import content
from physai.config import Config, load
from physai.errors import ConfigError, suggest
from physai.evaluation.statistics import required_episodes
from physai.randomness import generator
from physai.tasks.environment import EnvironmentConfig, ScenarioTemplate, SeedRange

__all__ = [
    "AcceptanceConfig",
    "CaseConfig",
    "GroupAcceptance",
    "PlannedEpisode",
    "RuleAcceptance",
    "SuccessAcceptance",
    "SuiteConfig",
    "check_suite",
    "group_of",
    "load_suite",
    "plan_suite",
    "planned_total",
    "template_of",
]

Rate = Annotated[float, Field(gt=0.0, lt=1.0)]
Level = Annotated[float, Field(gt=0.5, lt=1.0)]
Kind = Literal["nominal", "boundary", "fault", "misuse"]
Identifier = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]

KINDS: tuple[Kind, ...] = ("nominal", "boundary", "fault", "misuse")


class Text(Config):
    """A text in English and Japanese."""

    en: Annotated[str, Field(min_length=1)]
    ja: Annotated[str, Field(min_length=1)]


class CaseConfig(Config):
    """One case: a template, and how often."""

    id: Identifier
    template: str | None = None
    """Name of one of the environment's templates."""
    scenario: ScenarioTemplate | None = None
    """A template of the suite's own."""
    groups: tuple[str, ...] = ()
    """Groups of people that take part; empty means all."""
    episodes: Annotated[int, Field(ge=1)] | None = None
    """Fixed number; None shares what the required bound leaves, by weight."""
    weight: Annotated[float, Field(gt=0.0)] = 1.0
    stop_within_s: Annotated[float, Field(gt=0.0)] | None = None
    """A stop of the guard is expected within this time of the first fault."""

    @model_validator(mode="after")
    def _one_source(self) -> CaseConfig:
        if (self.template is None) == (self.scenario is None):
            raise ValueError(
                "give either template (a name of the environment) or scenario"
            )
        return self


class RuleAcceptance(Config):
    """What must be shown about a rule: at most this share of episodes violates it."""

    max_rate: Rate
    confidence: Level = 0.95


class SuccessAcceptance(Config):
    """At least this share of episodes is safe and successful."""

    minimum: Rate
    confidence: Level = 0.95
    kinds: Annotated[tuple[Kind, ...], Field(min_length=1)] = ("nominal", "boundary")


class GroupAcceptance(Config):
    """What must be shown for every group of people on its own: the worst decides."""

    max_unsafe_rate: Rate
    confidence: Level = 0.95
    worst_success_ratio: Annotated[float, Field(ge=0.0, le=1.0)] = 0.8
    """Worst group's share of success over the best group's (four fifths: screening)."""


class AcceptanceConfig(Config):
    """What the suite must show."""

    multiplicity: Literal["holm", "none"] = "holm"
    """``holm``: each rule's claim holds jointly with the others. ``none``: only the
    overall pass keeps its confidence (all must pass: intersection-union test, Berger,
    Technometrics 24, 1982)."""
    rule: RuleAcceptance | None = None
    """For every hard rule; None takes each rule's own from the specification."""
    rules: dict[str, RuleAcceptance] = Field(default_factory=dict)
    """By rule id, in place of ``rule``."""
    success: SuccessAcceptance | None = None
    groups: GroupAcceptance | None = None
    faults: RuleAcceptance | None = None
    """Share of expected stops that may be missed; one miss fails in any case."""


class SuiteConfig(Config):
    """``configs/suites/<name>.yaml``."""

    id: Identifier
    version: Annotated[int, Field(ge=1)]
    title: Text
    environment: str
    distribution: str = "test"
    seeds: SeedRange
    """Never used for training: inside the distribution's range in the environment."""
    failures: Annotated[int, Field(ge=0)] = 0
    """Violations that the number of episodes is to allow for, per rule."""
    episodes: Annotated[int, Field(ge=1)] | None = None
    """Total; None derives it from what must be shown."""
    acceptance: AcceptanceConfig
    cases: Annotated[tuple[CaseConfig, ...], Field(min_length=1)]
    not_tested: tuple[Text, ...] = ()
    """What this suite says nothing about; printed in the report."""

    @model_validator(mode="after")
    def _distinct(self) -> SuiteConfig:
        ids = [case.id for case in self.cases]
        twice = sorted({i for i in ids if ids.count(i) > 1})
        if twice:
            raise ValueError(f"case ids must differ: {', '.join(twice)}")
        return self

    @property
    def digest(self) -> str:
        """SHA-256 over every value."""
        return content.digest_value(self.distinctive())

    def case(self, case_id: str) -> CaseConfig | None:
        """Return a case by id; None if there is none."""
        return next((case for case in self.cases if case.id == case_id), None)

    def requirement(
        self, rule_id: str, max_rate: float, confidence: float
    ) -> RuleAcceptance:
        """Return what must be shown about a rule.

        Args:
            rule_id: The rule.
            max_rate: Of the specification.
            confidence: Of the specification.
        """
        chosen = self.acceptance.rules.get(rule_id, self.acceptance.rule)
        return chosen or RuleAcceptance(max_rate=max_rate, confidence=confidence)


@dataclass(frozen=True, slots=True)
class PlannedEpisode:
    """One episode of a suite.

    Attributes:
        index: Place in the plan.
        case: Case id.
        group: Group of people.
        seed: Seed of the scenario.
        template: The template.
    """

    index: int
    case: str
    group: str
    seed: int
    template: ScenarioTemplate

    @property
    def name(self) -> str:
        """File name of the episode, without ending."""
        return f"{self.index:05d}_{self.case}_{self.seed}"


def load_suite(name: str) -> SuiteConfig:
    """Load a suite by name (of ``configs/suites``) or path.

    Raises:
        ContentError: If there is none of that name.
        ConfigError: If it is wrong, in one sentence.
    """
    return load(SuiteConfig, content.find("suites", name))


def template_of(case: CaseConfig, environment: EnvironmentConfig) -> ScenarioTemplate:
    """Return the template that a case stands for.

    Raises:
        ConfigError: If the environment has no template of that name.
    """
    if case.scenario is not None:
        return case.scenario
    names = [template.name for template in environment.templates]
    if case.template not in names:
        raise ConfigError(
            f'case "{case.id}": {environment.id} has no template "{case.template}"; '
            f"{suggest(str(case.template), names)}"
        )
    return environment.template(str(case.template))


def check_suite(
    suite: SuiteConfig, environment: EnvironmentConfig, rules: Sequence[str] = ()
) -> None:
    """Check a suite against its environment.

    Args:
        suite: The suite.
        environment: Its environment.
        rules: Ids of the specification's rules; empty checks none.

    Raises:
        ConfigError: If a hazard has no case, a case names an unknown template, group
            or hazard, the seeds leave the distribution's range, or an acceptance
            criterion names an unknown rule.
    """
    hazards = [hazard.id for hazard in environment.hazards]
    covered = set()
    for case in suite.cases:
        template = template_of(case, environment)
        covered.add(template.hazard)
        if template.hazard not in hazards:
            raise ConfigError(
                f'{suite.id}: case "{case.id}": unknown hazard "{template.hazard}"; '
                f"{suggest(template.hazard, hazards)}"
            )
        for group in case.groups:
            if group not in environment.groups:
                raise ConfigError(
                    f'{suite.id}: case "{case.id}": unknown group "{group}"; '
                    f"{suggest(group, environment.groups)}"
                )
    without = [hazard for hazard in hazards if hazard not in covered]
    if without:
        raise ConfigError(
            f"{suite.id}: no case for the hazard {', '.join(without)} of "
            f"{environment.id}; every hazard needs one"
        )
    for rule in suite.acceptance.rules if rules else ():
        if rule not in rules:
            raise ConfigError(
                f'{suite.id}: acceptance.rules: unknown rule "{rule}"; '
                f"{suggest(rule, rules)}"
            )
    _check_seeds(suite, environment)


def _check_seeds(suite: SuiteConfig, environment: EnvironmentConfig) -> None:
    if suite.distribution not in environment.distributions:
        raise ConfigError(
            f'{suite.id}: {environment.id} has no distribution "{suite.distribution}"; '
            f"{suggest(suite.distribution, environment.distributions)}"
        )
    allowed = environment.distributions[suite.distribution].seeds
    last, end = allowed.first + allowed.count, suite.seeds.first + suite.seeds.count
    if suite.seeds.first < allowed.first or end > last:
        raise ConfigError(
            f"{suite.id}: seeds {suite.seeds.first} to {end - 1} leave the range "
            f'{allowed.first} to {last - 1} of the distribution "{suite.distribution}"'
        )


def planned_total(
    suite: SuiteConfig,
    environment: EnvironmentConfig,
    hard_rules: Sequence[tuple[str, float, float]],
) -> int:
    """Return the number of episodes of a suite.

    Args:
        suite: The suite.
        environment: Its environment.
        hard_rules: (id, max_rate, confidence) of every hard rule of the specification.
    """
    fixed = sum(case.episodes or 0 for case in suite.cases)
    if suite.episodes is not None:
        return max(suite.episodes, fixed)
    tests = len(hard_rules) if suite.acceptance.multiplicity == "holm" else 1
    numbers = [fixed, len(suite.cases)]
    for rule_id, max_rate, confidence in hard_rules:
        wanted = suite.requirement(rule_id, max_rate, confidence)
        numbers.append(
            required_episodes(
                wanted.max_rate, wanted.confidence, suite.failures, max(1, tests)
            )
        )
    groups = suite.acceptance.groups
    if groups is not None:
        each = required_episodes(groups.max_unsafe_rate, groups.confidence)
        numbers.append(each * len(environment.groups))
    return max(numbers)


def plan_suite(
    suite: SuiteConfig,
    environment: EnvironmentConfig,
    hard_rules: Sequence[tuple[str, float, float]] = (),
) -> tuple[PlannedEpisode, ...]:
    """Return every episode of a suite, groups in turn, one seed each.

    Cases take turns too, so that a run cut short has seen something of each.

    Raises:
        ConfigError: As :func:`check_suite`, or if the seeds do not suffice.
    """
    check_suite(suite, environment)
    counts = _counts(suite, planned_total(suite, environment, hard_rules))
    queue: list[tuple[float, int, str]] = []
    names = sorted(environment.groups)
    turn = 0
    for place, (case, count) in enumerate(zip(suite.cases, counts, strict=True)):
        groups = [group for group in names if not case.groups or group in case.groups]
        for number in range(count):
            # Start where the last case ended, so that small cases do not all
            # begin with the same group.
            group = groups[(turn + number) % len(groups)]
            queue.append(((number + 0.5) / count, place, group))
        turn += count
    queue.sort(key=lambda entry: (entry[0], entry[1]))
    seeds = _Seeds(suite, environment)
    return tuple(
        PlannedEpisode(
            index=index,
            case=suite.cases[place].id,
            group=group,
            seed=seeds.next(group),
            template=template_of(suite.cases[place], environment),
        )
        for index, (_, place, group) in enumerate(queue)
    )


def _counts(suite: SuiteConfig, total: int) -> list[int]:
    """Share the total: fixed numbers first, the rest by weight (largest remainder)."""
    left = total - sum(case.episodes or 0 for case in suite.cases)
    weight = sum(case.weight for case in suite.cases if case.episodes is None)
    exact = [
        float(case.episodes) if case.episodes else left * case.weight / weight
        for case in suite.cases
    ]
    counts = [max(1, math.floor(share)) for share in exact]
    order = sorted(range(len(exact)), key=lambda i: counts[i] - exact[i])
    missing = total - sum(counts)
    for place in [i for i in order if suite.cases[i].episodes is None][
        : max(0, missing)
    ]:
        counts[place] += 1
    return counts


def group_of(environment: EnvironmentConfig, seed: int) -> str:
    """Return the group of people of a seed, as the environment's sampler draws it."""
    draw = generator(seed, "scenario.group").integers(len(environment.groups))
    return environment.groups[int(draw)]


class _Seeds:
    """Hands out the next unused seed whose group of people is the wanted one.

    The environment draws the group from the seed; choosing seeds instead of groups
    keeps one meaning of a seed for training, suites and replay.
    """

    def __init__(self, suite: SuiteConfig, environment: EnvironmentConfig) -> None:
        self._suite, self._environment = suite, environment
        self._place = suite.seeds.first
        self._end = suite.seeds.first + suite.seeds.count
        self._waiting: dict[str, list[int]] = {name: [] for name in environment.groups}

    def next(self, group: str) -> int:
        waiting = self._waiting[group]
        while not waiting:
            if self._place >= self._end:
                raise ConfigError(
                    f"{self._suite.id}: {self._suite.seeds.count} seeds do not suffice; "
                    "raise seeds.count"
                )
            drawn = group_of(self._environment, self._place)
            self._waiting[drawn].append(self._place)
            self._place += 1
        return waiting.pop(0)
