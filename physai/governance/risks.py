"""The risk register: for every hazard, how bad, what is done, what must be shown.

Severity, exposure and avoidance of a hazard are the environment's. The required
performance level follows the risk graph of ISO 13849-1:2015, Annex A, Figure A.1, as
reproduced in public secondary sources; it is what a *rated* function outside this
software has to reach. What evidence the software's own part needs is graded by it
(59, 299, 2995 episodes without a failure show at most 5, 1, 0.1 % at 95 %).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Annotated, Any, Literal

from pydantic import Field

from physai import content
from physai.config import Config, load
from physai.errors import ConfigError, suggest
from physai.evaluation.statistics import required_episodes
from physai.safety import load_spec
from physai.tasks import registry
from physai.tasks.environment import EnvironmentConfig, HazardConfig

__all__ = ["Risk", "RiskRegister", "assess_risks", "load_register", "required_level"]

_GRAPH = {
    (1, 1, 1): "a",
    (1, 1, 2): "b",
    (1, 2, 1): "b",
    (1, 2, 2): "c",
    (2, 1, 1): "c",
    (2, 1, 2): "d",
    (2, 2, 1): "d",
    (2, 2, 2): "e",
}

_RATE = {"a": 0.05, "b": 0.05, "c": 0.01, "d": 0.01, "e": 0.001}
"""Largest permitted share of episodes with a violation (project choice)."""

_CONFIDENCE = 0.95


class Text(Config):
    """A text in English and Japanese."""

    en: Annotated[str, Field(min_length=1)]
    ja: Annotated[str, Field(min_length=1)]


class RiskRow(Config):
    """What is done about one hazard of the environment."""

    hazard: str
    stop: Literal["none", "stop2", "stop1", "stop0"]
    """Least restrictive stop that one of its rules must demand."""
    rules: tuple[str, ...]
    suites: Annotated[tuple[str, ...], Field(min_length=1)]
    """Where it is tested."""
    residual: Text
    """What remains."""


class MachineRow(Config):
    """Rules against hazards of the machine itself."""

    hazard: str
    rules: Annotated[tuple[str, ...], Field(min_length=1)]


class RiskRegister(Config):
    """``configs/governance/risks_<name>.yaml``."""

    id: str
    version: Annotated[int, Field(ge=1)]
    environment: str
    rows: Annotated[tuple[RiskRow, ...], Field(min_length=1)]
    machine: tuple[MachineRow, ...] = ()

    @property
    def digest(self) -> str:
        """SHA-256 over every value."""
        return content.digest_value(self.model_dump(mode="json"))


@dataclass(frozen=True)
class Risk:
    """One hazard, assessed.

    Attributes:
        hazard: Its id.
        severity: Of the environment.
        exposure: Of the environment.
        avoidance: Of the environment.
        level: Required performance level, a to e.
        max_rate: Share of episodes that may violate one of its rules.
        episodes: How many without a violation show that at 95 %.
        stop: Least restrictive stop.
        rules: What acts against it.
        residual: What remains, in English.
    """

    hazard: str
    severity: str
    exposure: str
    avoidance: str
    level: str
    max_rate: float
    episodes: int
    stop: str
    rules: tuple[str, ...]
    residual: str

    def to_json(self) -> dict[str, Any]:
        """Return JSON values."""
        return asdict(self)


def load_register(name: str) -> RiskRegister:
    """Load a register by name (of ``configs/governance``) or path.

    Raises:
        ContentError: If there is none.
        ConfigError: If it is wrong.
    """
    return load(RiskRegister, content.find("governance", name))


def required_level(hazard: HazardConfig) -> str:
    """Return the required performance level of a hazard, ``a`` to ``e``.

    S2 is a serious or worse injury, F2 frequent or continuous exposure, P2 hardly any
    possibility of avoiding it.
    """
    severity = 1 if hazard.severity == "minor" else 2
    exposure = 1 if hazard.exposure == "rare" else 2
    avoidance = 2 if hazard.avoidance == "unlikely" else 1
    return _GRAPH[severity, exposure, avoidance]


def assess_risks(register: RiskRegister) -> tuple[Risk, ...]:
    """Check a register against its environment and grade every hazard.

    Raises:
        ConfigError: If a hazard has no row or a row no hazard, a rule or suite is
            unknown, a rule that a verdict rests on appears nowhere, or no rule of a
            row demands the stop that the row asks for.
    """
    environment = registry.load_environment(register.environment)
    spec = load_spec(environment.safety)
    actions: dict[str, str] = {rule.id: rule.action for rule in spec.rules}
    _check_hazards(register, environment)
    _check_rules(register, actions)
    hard = {rule.id for rule in spec.rules if rule.verdict.kind == "hard"}
    named = {rule for _, rules in _rows(register) for rule in rules}
    forgotten = sorted(hard - named)
    if forgotten:
        raise ConfigError(
            f"{register.id}: no row names the rule {', '.join(forgotten)}, on which "
            "verdicts rest"
        )
    hazards = {hazard.id: hazard for hazard in environment.hazards}
    return tuple(_assess(row, hazards[row.hazard]) for row in register.rows)


def _assess(row: RiskRow, hazard: HazardConfig) -> Risk:
    level = required_level(hazard)
    rate = _RATE[level]
    return Risk(
        row.hazard,
        hazard.severity,
        hazard.exposure,
        hazard.avoidance,
        level,
        rate,
        required_episodes(rate, _CONFIDENCE),
        row.stop,
        row.rules,
        row.residual.en,
    )


def _check_hazards(register: RiskRegister, environment: EnvironmentConfig) -> None:
    known = [hazard.id for hazard in environment.hazards]
    rows = [row.hazard for row in register.rows]
    for hazard in rows:
        if hazard not in known:
            raise ConfigError(
                f'{register.id}: {environment.id} has no hazard "{hazard}"; '
                f"{suggest(hazard, known)}"
            )
        if rows.count(hazard) > 1:
            raise ConfigError(f'{register.id}: the hazard "{hazard}" has two rows')
    without = sorted(set(known) - set(rows))
    if without:
        raise ConfigError(
            f"{register.id}: no row for the hazard {', '.join(without)} of "
            f"{environment.id}"
        )


_STRICTNESS = {"none": 0, "slow": 0, "limit": 0, "stop2": 1, "stop1": 2, "stop0": 3}


def _rows(register: RiskRegister) -> list[tuple[str, tuple[str, ...]]]:
    people = [(row.hazard, row.rules) for row in register.rows]
    return people + [(row.hazard, row.rules) for row in register.machine]


def _check_rules(register: RiskRegister, actions: dict[str, str]) -> None:
    suites = content.names("suites")
    for hazard, rules in _rows(register):
        for rule in rules:
            if rule not in actions:
                raise ConfigError(
                    f'{register.id}: hazard "{hazard}": unknown rule "{rule}"; '
                    f"{suggest(rule, actions)}"
                )
    for row in register.rows:
        for suite in row.suites:
            if suite not in suites:
                raise ConfigError(
                    f'{register.id}: hazard "{row.hazard}": unknown suite "{suite}"; '
                    f"{suggest(suite, suites)}"
                )
        strictest = max((_STRICTNESS[actions[rule]] for rule in row.rules), default=0)
        # A filter that holds a limit at every step needs no stop beside it.
        limited = any(actions[rule] in ("limit", "slow") for rule in row.rules)
        if strictest < _STRICTNESS[row.stop] and not limited:
            raise ConfigError(
                f'{register.id}: hazard "{row.hazard}": asks for {row.stop}, but no '
                "rule of it stops or limits"
            )
