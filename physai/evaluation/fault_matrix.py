"""The fault matrix of a robot class: which faults, how large, when, beside whom.

``configs/faults/<name>.yaml``. Kind and place of a fault, its level, its start, what the
person does, a second fault at the same time and the policy are the factors of a covering
array of strength three; every row is one short episode near a conflict. Where a rule of
the specification can show a fault, the guard (or the robot's own check of commands) must
stop within the budget that the core suite declares, or that follows from the rule; where
none can, the limits of contact force must hold. :mod:`physai.evaluation.fault_run`
judges the stored episodes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Annotated

from pydantic import Field, model_validator

from physai import content
from physai.body.behaviour import BehaviourConfig, Range
from physai.config import Config, load
from physai.evaluation.covering import Conflict, covering_array
from physai.evaluation.suite import (
    AcceptanceConfig,
    CaseConfig,
    PlannedEpisode,
    SuiteConfig,
    Text,
    group_of,
    load_suite,
)
from physai.plant.fault_kind import NEVER_S, Target
from physai.plant.faults import FaultConfig, answered_within
from physai.tasks.casting import PersonTemplate
from physai.tasks.environment import EnvironmentConfig, ScenarioTemplate, SeedRange

if TYPE_CHECKING:
    from physai.safety.spec import CompiledSpec

__all__ = [
    "LEVELS",
    "FaultMatrix",
    "FaultMatrixConfig",
    "MatrixRow",
    "answers_of",
    "load_matrix",
]

LEVELS = ("small", "large")
NONE = "none"
_PERIODS = 2
"""One until the next state, one for the decision."""
_TIMEOUT_PERIODS = 3
_STOPS = ("stop2", "stop1", "stop0")
_AGES = (
    "joint_age",
    "people_age",
    "face_age",
    "interface_age",
    "tool_force_age",
    "lidar_age",
    "load_age",
    "extra_age",
    "frozen_source",
)

Positive = Annotated[float, Field(gt=0.0)]


class FaultLevels(Config):
    """A kind of fault at some places, small and large."""

    kind: str
    targets: Annotated[tuple[Target, ...], Field(min_length=1)]
    magnitude: tuple[float, float] | None = None
    """Small and large, in the kind's unit; None varies how long it lasts."""
    duration_s: tuple[Positive, Positive] = (1.5, NEVER_S)
    """Where nothing else makes it small or large."""

    @model_validator(mode="after")
    def _known(self) -> FaultLevels:
        for target in self.targets:
            for level in range(2):
                self.fault(target, level, 0.0)
        return self

    def fault(self, target: Target, level: int, start_s: float) -> FaultConfig:
        """Return one fault."""
        given = self.magnitude
        return FaultConfig(
            kind=self.kind,
            target=target,
            start_s=start_s,
            duration_s=self.duration_s[level] if given is None else NEVER_S,
            magnitude=0.0 if given is None else given[level],
        )


class SecondFault(Config):
    """A fault that is there at the same time."""

    kind: str
    target: Target
    magnitude: float = 0.0

    @model_validator(mode="after")
    def _known(self) -> SecondFault:
        self.fault(0.0)
        return self

    def fault(self, start_s: float) -> FaultConfig:
        """Return it, starting then."""
        return FaultConfig(
            kind=self.kind,
            target=self.target,
            start_s=start_s,
            magnitude=self.magnitude,
        )


class SituationConfig(Config):
    """Who is there and what they do, as in a scenario template."""

    behaviours: tuple[BehaviourConfig, ...] = ()
    people: tuple[PersonTemplate, ...] = ()
    ranges: dict[str, Range] = Field(default_factory=dict)


class FaultMatrixConfig(Config):
    """``configs/faults/<name>.yaml``."""

    id: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
    version: Annotated[int, Field(ge=1)]
    title: Text
    environment: str
    suite: str
    """Whose fault cases declare budgets."""
    hazard: str
    distribution: str = "test"
    seeds: SeedRange
    duration_s: Positive
    """Of every episode."""
    start_s: Annotated[tuple[float, ...], Field(min_length=2)]
    policies: Annotated[tuple[str, ...], Field(min_length=1)]
    ranges: dict[str, Range] = Field(default_factory=dict)
    """In every row, in place of the environment's: they start near the conflict."""
    situations: Annotated[dict[str, SituationConfig], Field(min_length=2)]
    faults: Annotated[tuple[FaultLevels, ...], Field(min_length=1)]
    second: dict[str, SecondFault] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _fits(self) -> FaultMatrixConfig:
        if max(self.start_s) >= self.duration_s:
            raise ValueError("start_s: a fault must start before the episode ends")
        if NONE in self.second:
            raise ValueError(f'second: "{NONE}" stands for no second fault')
        names = [f"{f.kind}_{t}" for f in self.faults for t in f.targets]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"faults: given twice: {', '.join(twice)}")
        return self

    @property
    def digest(self) -> str:
        """SHA-256 over every value."""
        return content.digest_value(self.distinctive())


@dataclass(frozen=True)
class MatrixRow:
    """One row.

    Attributes:
        case: Case id, distinct.
        levels: Factor to level.
        faults: One or two faults, starting together.
        seed: Of the scenario.
        template: What happens.
        budget_s: A stop is due within so long of the start; NaN where no input can
            reveal it.
        by_robot: Whether only the robot's own check of commands can show it.
    """

    case: str
    levels: Mapping[str, str]
    faults: tuple[FaultConfig, ...]
    seed: int
    template: ScenarioTemplate
    budget_s: float
    by_robot: bool

    @property
    def detectable(self) -> bool:
        """Whether a stop is demanded."""
        return self.budget_s >= 0.0


def load_matrix(name: str) -> FaultMatrixConfig:
    """Load a matrix by name (of ``configs/faults``) or path.

    Raises:
        ContentError: If there is none of that name.
        ConfigError: If it is wrong, in one sentence.
    """
    return load(FaultMatrixConfig, content.find("faults", name))


def answers_of(spec: CompiledSpec) -> dict[str, float]:
    """Return within which time [s] each rule of a specification answers with a stop.

    The age that a source must pass, the hold window, and two periods: one until the next
    state, one for the decision. A rule that only limits speeds is no answer. The robot's
    own check of commands (``command_timeout``) takes three periods.
    """
    period = 1.0 / spec.control_hz
    found: dict[str, float] = {}
    for rule in spec.config.rules:
        expected = spec.config.people_expected > 0 or rule.rule != "people_missing"
        if rule.action in _STOPS and expected:
            old = rule.limit.value if rule.rule in _AGES else 0.0
            if rule.rule == "period_overrun":
                old = (rule.limit.value - 1.0) * period
            time = old + rule.window.hold_s + _PERIODS * period
            found[rule.rule] = min(time, found.get(rule.rule, math.inf))
    found["command_timeout"] = (_TIMEOUT_PERIODS + _PERIODS) * period
    return found


class FaultMatrix:
    """All rows of one robot class.

    Args:
        config: The file.
        environment: Its environment.
        spec: The compiled specification, whose rules show faults.

    Attributes:
        factors: Factor to its levels.
        conflicts: What cannot stand in one row: two faults of one place.

    Raises:
        MissingExtraError: Without the library ``covertable``.
        ConfigError: If the suite is wrong.
    """

    def __init__(
        self,
        config: FaultMatrixConfig,
        environment: EnvironmentConfig,
        spec: CompiledSpec,
    ) -> None:
        self.config, self.environment = config, environment
        self._answers = answers_of(spec)
        self._declared = _declared(load_suite(config.suite))
        self._faults = {
            f"{f.kind}_{t}": (f, t) for f in config.faults for t in f.targets
        }
        self.factors: dict[str, tuple[str, ...]] = {
            "fault": tuple(self._faults),
            "level": LEVELS,
            "start": tuple(f"{start:g}" for start in config.start_s),
            "situation": tuple(config.situations),
            "second": (NONE, *config.second),
            "policy": config.policies,
        }
        self.conflicts: tuple[Conflict, ...] = tuple(
            (("fault", name), ("second", other))
            for name, (_, target) in self._faults.items()
            for other, second in config.second.items()
            if second.target == target
        )

    @cached_property
    def rows(self) -> tuple[MatrixRow, ...]:
        """Every row; the same every time."""
        used = {k: v for k, v in self.factors.items() if len(v) > 1}
        fixed = {k: v[0] for k, v in self.factors.items() if len(v) == 1}
        array = covering_array(used, self.conflicts, salt=self.config.id)
        return tuple(
            self._row(index, {**fixed, **levels}) for index, levels in enumerate(array)
        )

    def plan(
        self, policy: str, with_faults: bool = True
    ) -> tuple[SuiteConfig, tuple[PlannedEpisode, ...]]:
        """Return the rows of one policy as cases of a suite, and its episodes.

        Args:
            policy: One of the matrix.
            with_faults: False gives the same rows, on the same seeds, without a fault.
        """
        config = self.config
        mine = [row for row in self.rows if row.levels["policy"] == policy]
        templates = {
            row.case: row.template
            if with_faults
            else row.template.model_copy(update={"faults": ()})
            for row in mine
        }
        suite = SuiteConfig(
            id=config.id,
            version=config.version,
            title=config.title,
            environment=config.environment,
            distribution=config.distribution,
            seeds=config.seeds,
            acceptance=AcceptanceConfig(),
            cases=tuple(
                CaseConfig(
                    id=row.case,
                    scenario=templates[row.case],
                    stop_within_s=row.budget_s
                    if row.detectable and with_faults
                    else None,
                )
                for row in mine
            ),
        )
        plan = tuple(
            PlannedEpisode(
                index=index,
                case=row.case,
                group=group_of(self.environment, row.seed),
                seed=row.seed,
                template=templates[row.case],
            )
            for index, row in enumerate(mine)
        )
        return suite, plan

    def _row(self, index: int, levels: dict[str, str]) -> MatrixRow:
        config = self.config
        given, target = self._faults[levels["fault"]]
        start = float(levels["start"])
        faults = [given.fault(target, LEVELS.index(levels["level"]), start)]
        if levels["second"] != NONE:
            faults.append(config.second[levels["second"]].fault(start))
        situation = config.situations[levels["situation"]]
        case = f"row{index:03d}_{levels['fault']}"
        template = ScenarioTemplate(
            name=case,
            kind="fault",
            hazard=config.hazard,
            expect="any_safe",
            duration_s=config.duration_s,
            behaviours=situation.behaviours,
            people=situation.people,
            faults=tuple(faults),
            ranges={**config.ranges, **situation.ranges},
        )
        budgets = [b for b in map(self._budget, faults) if b >= 0.0]
        own = {"command_timeout": self._answers["command_timeout"]}
        guard = {k: v for k, v in self._answers.items() if k not in own}
        return MatrixRow(
            case=case,
            levels=levels,
            faults=tuple(faults),
            seed=config.seeds.first + index,
            template=template,
            budget_s=min(budgets, default=math.nan),
            by_robot=not any(answered_within(f, guard) >= 0.0 for f in faults),
        )

    def _budget(self, fault: FaultConfig) -> float:
        """Return the suite's budget for such a fault, or that of the rule; else NaN."""
        derived = answered_within(fault, self._answers)
        if not derived >= 0.0:
            return math.nan
        return self._declared.get((fault.kind, fault.target), derived)


def _declared(suite: SuiteConfig) -> dict[tuple[str, str], float]:
    """Return the budgets of a suite's cases with a single fault [s]."""
    found: dict[tuple[str, str], float] = {}
    for case in suite.cases:
        scenario = case.scenario
        if scenario is None or case.stop_within_s is None or len(scenario.faults) != 1:
            continue
        fault = scenario.faults[0]
        found[(fault.kind, fault.target)] = case.stop_within_s
    return found
