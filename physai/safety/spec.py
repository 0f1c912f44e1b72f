"""The safety specification: YAML, typed; compiled once, with one digest.

``configs/safety/<name>.yaml`` says what is safe. :func:`compile_spec` joins it with
the robot's limits and the table of body areas into a :class:`CompiledSpec`; its
digest covers every number of all three. A session may only tighten values
(:meth:`CompiledSpec.tighten`) and records what it tightened; the digest stays.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, model_validator

from physai import content
from physai.body.regions import Regions, load_regions
from physai.config import Config, load
from physai.errors import ConfigError, ContractError, RefusedError, suggest
from physai.robot.description import Robot
from physai.safety.kernel import Parameter
from physai.safety.rules import RULES, Response, Rule, Signal
from physai.safety.sections import load_section
from physai.types import Action, Array

__all__ = [
    "CompiledSpec",
    "GateConfig",
    "RuleConfig",
    "SafetySpec",
    "SeparationConfig",
    "compile_spec",
    "load_spec",
]

Positive = Annotated[float, Field(gt=0.0)]
NonNegative = Annotated[float, Field(ge=0.0)]
ActionName = Literal["none", "slow", "limit", "stop2", "stop1", "stop0"]


class Text(Config):
    """A text in English and Japanese."""

    en: Annotated[str, Field(min_length=1)]
    ja: Annotated[str, Field(min_length=1)]


class LimitConfig(Config):
    """A limit with its unit and where it comes from."""

    value: Annotated[float, Field(allow_inf_nan=False)]
    unit: str
    source: Annotated[str, Field(min_length=1, pattern=r"\S")]
    confidence: Literal["high", "medium", "low", "project"]


class WindowConfig(Config):
    """How long a violation must last to count, and how long its end must last."""

    hold_s: NonNegative = 0.0
    release_s: NonNegative = 0.0


class ResponseConfig(Config):
    """After ``trigger`` has been violated for ``within_s``, ``judged`` is in the limit."""

    trigger: str
    """Id of the rule whose violation starts the clock."""
    within_s: NonNegative
    judged: str
    """Id of the rule whose signal is held against this rule's own limit."""


class VerdictConfig(Config):
    """What the rule means for a suite's verdict."""

    kind: Literal["hard", "report", "none"]
    max_rate: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.01
    """Largest permitted share of episodes with a violation."""
    confidence: Annotated[float, Field(gt=0.5, lt=1.0)] = 0.95


class RuleConfig(Config):
    """One rule of the specification."""

    id: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
    rule: str
    """Class of the rule; one of :data:`physai.safety.rules.RULES`."""
    title: Text
    sentence: Text
    """Why it intervened, for a carer or site worker; may use {value} and {limit}."""
    hazard: str
    principles: tuple[str, ...]
    extra: str | None = None
    """Name of the extra, or true extra, that a rule about extras judges; a true extra
    is seen by the scorer alone."""
    response: ResponseConfig | None = None
    """What a rule of the kind ``response`` connects."""
    limit: LimitConfig
    uncertainty: NonNegative = 0.0
    """Kept back from the limit by the guard, which sees estimates; not by the scorer."""
    scale: Positive
    """One unit of the normalised margin, in the limit's unit."""
    window: WindowConfig = WindowConfig()
    severity: Literal["none", "minor", "serious", "critical"]
    action: ActionName
    cost_weight: NonNegative = 0.0
    verdict: VerdictConfig

    @model_validator(mode="after")
    def _known_rule(self) -> RuleConfig:
        if self.rule not in RULES:
            raise ValueError(f'unknown rule "{self.rule}"; {suggest(self.rule, RULES)}')
        kind = RULES[self.rule]
        if issubclass(kind, Response) != (self.response is not None):
            raise ValueError(
                f'rule "{self.id}": response belongs to the kind response, which needs it'
            )
        wants = kind.signal is None and not issubclass(kind, Response)
        if wants != (self.extra is not None):
            raise ValueError(
                f'rule "{self.id}": extra belongs to rules about extras, and they need '
                "it"
            )
        if kind.unit and self.limit.unit != kind.unit:
            raise ValueError(
                f'the limit of rule "{self.rule}" is in {kind.unit}, not in '
                f"{self.limit.unit}"
            )
        if self.limit.value - self.uncertainty < kind.lowest:
            raise ValueError(
                f'rule "{self.id}": the limit {self.limit.value:g} less the uncertainty '
                f"{self.uncertainty:g} is below {kind.lowest:g}, the least that "
                f"{self.rule} can be, so that it would never hold"
            )
        return self

    @model_validator(mode="after")
    def _sufficient_action(self) -> RuleConfig:
        kind, action = RULES[self.rule], Action[self.action.upper()]
        if kind.view == "truth" and action is not Action.NONE:
            raise ValueError(
                f'rule "{self.id}": the guard cannot see {self.rule}, only the scorer '
                "can, so that its action must be none"
            )
        if action < kind.least:
            raise ValueError(
                f'rule "{self.id}": the action {self.action} is weaker than '
                f"{kind.least.name.lower()}, the least for {self.rule} "
                f"({_clause(kind)})"
            )
        if action.latches and self.window.release_s > 0.0:
            raise ValueError(
                f'rule "{self.id}": release_s {self.window.release_s:g} is never reached,'
                f" since {self.action} latches until a person releases it; leave it out"
            )
        if self.window.release_s > _LONGEST_RELEASE_S:
            raise ValueError(
                f'rule "{self.id}": release_s {self.window.release_s:g} would hold for '
                f"longer than {_LONGEST_RELEASE_S:g} s; give it stop1, which a person "
                "releases"
            )
        return self


def _clause(kind: type[Rule]) -> str:
    """Return what a rule class says about itself, in one line."""
    return (kind.__doc__ or "").strip().splitlines()[0].rstrip(".:")


_LONGEST_RELEASE_S = 60.0
"""A hold that takes longer to end is a stop (project choice)."""


class SeparationConfig(Config):
    """Figures of the protective separation distance and of near motion."""

    human_speed_m_s: Positive
    human_speed_near_m_s: Positive
    near_distance_m: NonNegative
    reaction_time_s: Positive
    braking_time_s: NonNegative
    """Every joint stops within it; 0 for a robot whose base alone moves."""
    deceleration_m_s2: Positive
    fastest_m_s: Positive = 1.0
    """Speed that no shape of a fixed robot exceeds near people: four times the reduced
    speed of an arm (project choice); of a base its own speed is added."""
    intrusion_distance_m: NonNegative
    tracker_uncertainty_m: NonNegative
    robot_uncertainty_m: NonNegative
    contact_floor_m_s: NonNegative
    near_speed_m_s: NonNegative
    moving_contact_m_s: Positive
    source: str


class GateConfig(Config):
    """When a utensil may approach an open mouth, and how."""

    standoff_m: Positive
    """In front of the lips; closer only toward an open mouth."""
    carrier_distance_m: Positive
    """No other link comes closer to head and neck than this."""
    minimum_opening_m: Positive
    lateral_tolerance_m: Positive
    axis_tolerance_rad: Positive
    lip_speed_m_s: Positive
    maximum_depth_m: Positive
    face_zone_m: Positive
    face_speed_m_s: Positive
    withdraw_speed_m_s: Positive
    withdraw_distance_m: Positive
    withdraw_hold_s: NonNegative
    maximum_age_s: Positive
    source: str


class WorkspaceConfig(Config):
    """Where the tool may be, in the world."""

    minimum_m: tuple[float, float, float]
    maximum_m: tuple[float, float, float]
    floor_z_m: float
    """No collision shape goes below this height (the table top)."""

    @model_validator(mode="after")
    def _ordered(self) -> WorkspaceConfig:
        if not all(a < b for a, b in zip(self.minimum_m, self.maximum_m, strict=True)):
            raise ValueError("minimum_m must be below maximum_m on every axis")
        return self


class SafetySpec(Config):
    """``configs/safety/<name>.yaml``."""

    id: str
    version: Annotated[int, Field(ge=1)]
    title: Text
    body_regions: str
    people_expected: Annotated[int, Field(ge=0)]
    """So many people must be tracked at all times; fewer is a missing input."""
    frailty_factor: Annotated[float, Field(gt=0.0, le=1.0)]
    """Share of the adult limits permitted for the people served."""
    frailty_source: str
    clamped_segments: tuple[str, ...] = ()
    separation: SeparationConfig
    gate: GateConfig | None = None
    workspace: WorkspaceConfig | None = None
    sections: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """Parts that only some robots need, by name (:mod:`physai.safety.sections`)."""
    rules: Annotated[tuple[RuleConfig, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _distinct(self) -> SafetySpec:
        ids = [rule.id for rule in self.rules]
        twice = {i for i in ids if ids.count(i) > 1}
        if twice:
            raise ValueError(f"rule ids must differ: {', '.join(sorted(twice))}")
        for rule in self.rules:
            if rule.response is None:
                continue
            others = [other.id for other in self.rules if other.response is None]
            for key in ("trigger", "judged"):
                named = getattr(rule.response, key)
                if named not in others:
                    raise ValueError(
                        f'rule "{rule.id}": response.{key}: no rule "{named}"; '
                        f"{suggest(named, others)}"
                    )
            judged = next(r for r in self.rules if r.id == rule.response.judged)
            if rule.limit.unit != judged.limit.unit:
                raise ValueError(
                    f'rule "{rule.id}": the limit is in {rule.limit.unit}, and '
                    f'"{judged.id}" is in {judged.limit.unit}'
                )
        for name, values in self.sections.items():
            try:
                load_section(name, values)
            except ConfigError as error:
                raise ValueError(str(error)) from None
        for rule in self.rules:
            section = RULES[rule.rule].section
            if section and section not in self.sections:
                raise ValueError(f'rule "{rule.id}" needs the section "{section}"')
            if rule.rule == "workspace" and self.workspace is None:
                raise ValueError(f'rule "{rule.id}" needs the section "workspace"')
        needed = {"input_integrity", "joint_age", "people_missing"}
        missing = needed - {rule.rule for rule in self.rules}
        if missing:
            raise ValueError(
                f"these rules are never left out: {', '.join(sorted(missing))}"
            )
        return self


def load_spec(name: str) -> SafetySpec:
    """Load a specification by name (of ``configs/safety``) or path.

    Raises:
        ContentError: If there is none of that name.
        ConfigError: If it is wrong, in one sentence.
    """
    return load(SafetySpec, content.find("safety", name))


@dataclass(frozen=True, eq=False)
class CompiledSpec:
    """A specification joined with a robot, a rate and an environment's extras.

    Attributes:
        config: The specification.
        robot: The robot that it was compiled for.
        digest: SHA-256 over specification, table of body areas, robot and rate.
        control_hz: Rate of the guard [Hz].
        rules: The rules, in order.
        rule_names: (r,) their ids, the order of every margins array.
        parameters: Vector of the separation kernels for the guard's view.
        truth_parameters: The same for the scorer: reaction is over, positions are
            exact, and the moving-contact limit takes the place of the floor.
        guard_limit: (r,) limit minus what the guard keeps back.
        truth_limit: (r,) limit.
        scale: (r,) unit of the normalised margin.
        signal: (r,) index of each rule's signal.
        action: (r,) what the guard does about it.
        hold_steps: (r,) control steps before a violation counts.
        release_steps: (r,) control steps before it is over.
        cost_weight: (r,).
        permitted_contact_speed: (S,) power-and-force-limiting speed by segment [m/s].
        extras: Place of every extra by name.
        truth_extras: Place of every true extra by name.
        judged_extras: For every rule about an extra: place of its signal, place of the
            extra, whether it is a true extra, and the sign with which it counts (0: its
            age counts).
        responses: For every response: place of its signal, the rule itself, the one that
            triggers it, the one whose signal it judges, and after how many steps.
        tightened: What a session tightened: name to value.
    """

    config: SafetySpec
    robot: Robot
    regions: Regions
    digest: str
    control_hz: float
    rules: tuple[Rule, ...]
    rule_names: tuple[str, ...]
    parameters: Array
    truth_parameters: Array
    guard_limit: Array
    truth_limit: Array
    scale: Array
    signal: np.ndarray[tuple[int], np.dtype[np.int64]]
    action: np.ndarray[tuple[int], np.dtype[np.int64]]
    hold_steps: np.ndarray[tuple[int], np.dtype[np.int64]]
    release_steps: np.ndarray[tuple[int], np.dtype[np.int64]]
    cost_weight: Array
    permitted_contact_speed: Array
    extras: dict[str, int]
    truth_extras: dict[str, int]
    judged_extras: tuple[tuple[int, int, bool, float], ...]
    responses: tuple[tuple[int, int, int, int, int], ...]
    tightened: dict[str, float]

    @property
    def hard(self) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        """(r,) whether a violation of each rule makes an episode unsafe."""
        return np.array([rule.verdict.kind == "hard" for rule in self.config.rules])

    def tighten(self, *, reaction_time_s: float) -> CompiledSpec:
        """Return a copy with a longer reaction time, as measured over a link.

        Args:
            reaction_time_s: Measured Tr (p99) [s].

        Raises:
            RefusedError: If it would loosen the specification.
            ContractError: If it is not a positive number.
        """
        if not (math.isfinite(reaction_time_s) and reaction_time_s > 0.0):
            raise ContractError(
                "a measured reaction time must be a positive number of "
                f"seconds, not {reaction_time_s}"
            )
        declared = float(self.parameters[Parameter.REACTION_TIME])
        if reaction_time_s < declared:
            raise RefusedError(
                f"a session may only tighten the specification: {reaction_time_s:.3f} s "
                f"is below the declared reaction time of {declared:.3f} s"
            )
        parameters = self.parameters.copy()
        parameters[Parameter.REACTION_TIME] = reaction_time_s
        _set_horizon(parameters)
        parameters.setflags(write=False)
        return dataclasses.replace(
            self,
            parameters=parameters,
            tightened={**self.tightened, "separation.reaction_time_s": reaction_time_s},
        )


def compile_spec(
    config: SafetySpec,
    robot: Robot,
    control_hz: float,
    extras: tuple[str, ...] = (),
    truth_extras: tuple[str, ...] = (),
) -> CompiledSpec:
    """Compile a specification for a robot.

    Args:
        config: The specification.
        robot: The robot.
        control_hz: Rate of the guard [Hz].
        extras: Names of the environment's extras, in order.
        truth_extras: Names of its true extras, in order.

    Raises:
        ConfigError: If a rule needs an extra that the environment does not declare, or
            the reaction time is shorter than one control period.
        ContentError: If the table of body areas is missing.
    """
    regions = load_regions(config.body_regions)
    s = config.separation
    if s.reaction_time_s < 1.0 / control_hz:
        raise ConfigError(
            f"{config.id}: separation.reaction_time_s: {s.reaction_time_s} s is shorter "
            f"than one control period of {1.0 / control_hz:.3f} s"
        )
    rules = tuple(
        _rule_of(rule, extras, truth_extras, config.id) for rule in config.rules
    )
    for rule in rules:
        for needed, known in ((rule.extras, extras), (rule.truth_extras, truth_extras)):
            for name in needed:
                if name not in known:
                    raise ConfigError(
                        f'{config.id}: rule "{rule.id}" needs "{name}", '
                        f"which the environment does not declare; "
                        f"{suggest(name, known)}"
                    )
    responses = _responses(config, rules, control_hz)
    sign = np.array([-1.0 if rule.sign < 0.0 else 1.0 for rule in rules])
    limits = sign * np.array([rule.limit.value for rule in config.rules])
    kept = np.array([rule.uncertainty for rule in config.rules])
    steps = [(rule.window.hold_s, rule.window.release_s) for rule in config.rules]
    guard = _parameters(config, robot, truth=False)
    truth = _parameters(config, robot, truth=True)
    compiled = CompiledSpec(
        config=config,
        robot=robot,
        regions=regions,
        digest=content.digest_value(
            [config.distinctive(), regions.digest, robot.digest, control_hz]
        ),
        control_hz=control_hz,
        rules=rules,
        rule_names=tuple(rule.id for rule in config.rules),
        parameters=guard,
        truth_parameters=truth,
        guard_limit=limits - kept,
        truth_limit=limits,
        scale=np.array([rule.scale for rule in config.rules]),
        signal=_signals(rules),
        action=np.array(
            [int(Action[r.action.upper()]) for r in config.rules], dtype=np.int64
        ),
        hold_steps=np.array(
            [math.floor(h * control_hz + 1e-9) for h, _ in steps], dtype=np.int64
        ),
        release_steps=np.array(
            [math.ceil(r * control_hz - 1e-9) for _, r in steps], dtype=np.int64
        ),
        cost_weight=np.array([rule.cost_weight for rule in config.rules]),
        permitted_contact_speed=_contact_speed(config, regions),
        extras={name: index for index, name in enumerate(extras)},
        truth_extras={name: index for index, name in enumerate(truth_extras)},
        judged_extras=_judged(config, rules, extras, truth_extras),
        responses=responses,
        tightened={},
    )
    for field in dataclasses.fields(compiled):
        value = getattr(compiled, field.name)
        if isinstance(value, np.ndarray):
            value.setflags(write=False)
    return compiled


def _rule_of(
    given: RuleConfig, extras: tuple[str, ...], truth_extras: tuple[str, ...], spec: str
) -> Rule:
    rule = RULES[given.rule](given.id)
    if given.extra is None:
        return rule
    if given.extra not in (*extras, *truth_extras):
        raise ConfigError(
            f'{spec}: rule "{given.id}" needs "{given.extra}", which the environment '
            f"does not declare; {suggest(given.extra, [*extras, *truth_extras])}"
        )
    if given.extra not in extras:
        if rule.view == "guard":
            raise ConfigError(
                f'{spec}: rule "{given.id}": the true extra "{given.extra}" has no age '
                f"and is hidden from the guard, so that {given.rule} cannot judge it"
            )
        # Only what really happened can tell.
        rule.view = "truth"  # type: ignore[misc]
    return rule


def _signals(rules: tuple[Rule, ...]) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Places of the rules' signals; those about extras come after all others."""
    places, extra = [], int(Signal.COUNT)
    for rule in rules:
        if rule.signal is None:
            places.append(extra)
            extra += 1
        else:
            places.append(int(rule.signal))
    return np.array(places, dtype=np.int64)


def _judged(
    config: SafetySpec,
    rules: tuple[Rule, ...],
    extras: tuple[str, ...],
    truth_extras: tuple[str, ...],
) -> tuple[tuple[int, int, bool, float], ...]:
    found = []
    for given, rule, slot in zip(config.rules, rules, _signals(rules), strict=True):
        if given.extra is None:
            continue
        true = given.extra not in extras
        place = (truth_extras if true else extras).index(given.extra)
        found.append((int(slot), place, true, rule.sign))
    return tuple(found)


def _responses(
    config: SafetySpec, rules: tuple[Rule, ...], control_hz: float
) -> tuple[tuple[int, int, int, int, int], ...]:
    ids = [given.id for given in config.rules]
    found = []
    for own, (given, slot) in enumerate(
        zip(config.rules, _signals(rules), strict=True)
    ):
        if (r := given.response) is None:
            continue
        steps = math.ceil(r.within_s * control_hz - 1e-9)
        trigger, judged = ids.index(r.trigger), ids.index(r.judged)
        # What must not fall below a limit is kept with the other sign.
        rules[own].sign = rules[judged].sign  # type: ignore[misc]
        found.append((int(slot), own, trigger, judged, steps))
    return tuple(found)


def _parameters(config: SafetySpec, robot: Robot, truth: bool) -> Array:
    s, gate, p = config.separation, config.gate, np.zeros(Parameter.COUNT)
    p[Parameter.REACTION_TIME] = 0.0 if truth else s.reaction_time_s
    p[Parameter.BRAKING_TIME] = s.braking_time_s
    p[Parameter.DECELERATION] = s.deceleration_m_s2
    p[Parameter.HUMAN_SPEED] = s.human_speed_m_s
    p[Parameter.HUMAN_SPEED_NEAR] = s.human_speed_near_m_s
    p[Parameter.NEAR_DISTANCE] = s.near_distance_m
    p[Parameter.OFFSET] = s.intrusion_distance_m + (
        0.0 if truth else s.tracker_uncertainty_m + s.robot_uncertainty_m
    )
    p[Parameter.FLOOR] = s.moving_contact_m_s if truth else s.contact_floor_m_s
    p[Parameter.NEAR_SPEED] = s.moving_contact_m_s if truth else s.near_speed_m_s
    p[Parameter.HEAD_FLOOR] = s.moving_contact_m_s if truth else 0.0
    p[Parameter.CARRIER_DISTANCE] = gate.carrier_distance_m if gate else 0.0
    p[Parameter.FASTEST] = s.fastest_m_s + _base_speed(robot)
    _set_horizon(p)
    return p


def _set_horizon(p: Array) -> None:
    """Beyond this distance the permitted speed exceeds the robot's own."""
    vh, tr, tj, a, v = (
        p[Parameter.HUMAN_SPEED_NEAR],
        p[Parameter.REACTION_TIME],
        p[Parameter.BRAKING_TIME],
        p[Parameter.DECELERATION],
        p[Parameter.FASTEST],
    )
    braking = max(v / a, tj)
    p[Parameter.HORIZON] = (
        vh * (tr + braking) + v * (tr + 0.5 * braking) + p[Parameter.OFFSET]
    )


def _base_speed(robot: Robot) -> float:
    """Return how fast a base drives [m/s]; 0 for a robot that is bolted down."""
    return float(robot.velocity_max[0]) if robot.base is not None else 0.0


def _contact_speed(config: SafetySpec, regions: Regions) -> Array:
    """Permitted speed of a free contact by segment [m/s].

    v = F_T / sqrt(mu k) with mu = 1 / (1/mH + 1/mR) (ISO/TS 15066 A.3.5, A.4), F_T twice
    the quasi-static limit, times the frailty factor; where the table permits no contact,
    the moving-contact limit. The technical specification takes mR = M/2 + mL; in three
    of ten contacts in random postures the exact mass 1 / (n^T J M^-1 J^T n) is larger,
    and a chest would be touched at up to twice the speed that its limit permits
    (benchmarks/reflected_mass.py). So mR is taken as without bound here, mu = mH, which
    no posture exceeds.
    """
    from physai.body.regions import SEGMENT_AREAS

    speeds = np.zeros(len(SEGMENT_AREAS))
    for segment, areas in enumerate(SEGMENT_AREAS):
        values = []
        for area in areas:
            if not regions.contact_permitted[area]:
                values.append(config.separation.moving_contact_m_s)
                continue
            force = config.frailty_factor * regions.force_transient_n[area]
            stiffness = regions.spring_n_per_m[area]
            values.append(
                force / math.sqrt(regions.effective_mass_kg[area] * stiffness)
            )
        speeds[segment] = min(values)
    return speeds
