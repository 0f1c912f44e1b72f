"""What a verdict needs to know about the rules: kept in every episode's header.

So a stored episode can be judged without its specification, and the specification is
asked only when an episode is scored again with new rules.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from physai.safety.spec import CompiledSpec

__all__ = ["RuleFacts", "rule_facts"]


@dataclass(frozen=True, slots=True)
class RuleFacts:
    """What a verdict needs to know about a rule of the specification.

    Attributes:
        id: Its id, the name of its column in the margins.
        title: English title.
        title_ja: Japanese title.
        hazard: Hazard that it belongs to.
        kind: ``hard``, ``report`` or ``none``.
        view: ``both``, ``guard`` or ``truth``.
        max_rate: Largest share of episodes with a violation by the specification.
        confidence: At this one-sided level.
        hold_s: A violation counts when it lasts longer [s].
        limit: The limit, in ``unit``.
        unit: Unit of limit and scale.
        scale: One unit of the normalised margin, in ``unit``.
        source: Where the limit comes from.
        principles: Principles that it serves.
        response: For a response, the rules that it connects (``trigger``, ``judged``),
            after how long (``within_s``), and the margin that the judged rule must then
            keep (``threshold``).
    """

    id: str
    title: str
    title_ja: str
    hazard: str
    kind: str
    view: str
    max_rate: float
    confidence: float
    hold_s: float = 0.0
    limit: float = 0.0
    unit: str = "1"
    scale: float = 1.0
    source: str = ""
    principles: tuple[str, ...] = ()
    response: Mapping[str, Any] | None = None

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {**asdict(self), "principles": list(self.principles)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> RuleFacts:
        """Read it from an episode's header; unknown keys are left out."""
        known = {key: value[key] for key in cls.__slots__ if key in value}
        known["principles"] = tuple(known.get("principles", ()))
        return cls(**known)

    def judged(self, truth: bool) -> bool:
        """Whether the stored margins can tell about this rule."""
        return self.view == "both" or (self.view == "truth" and truth)


def rule_facts(spec: CompiledSpec) -> tuple[RuleFacts, ...]:
    """Return the facts of every rule of a compiled specification, in its order."""
    return tuple(
        RuleFacts(
            id=config.id,
            title=config.title.en,
            title_ja=config.title.ja,
            hazard=config.hazard,
            kind=config.verdict.kind,
            view=rule.view,
            max_rate=config.verdict.max_rate,
            confidence=config.verdict.confidence,
            hold_s=config.window.hold_s,
            limit=config.limit.value,
            unit=config.limit.unit,
            scale=config.scale,
            source=config.limit.source,
            principles=config.principles,
            response=_response(spec, own),
        )
        for own, (config, rule) in enumerate(
            zip(spec.config.rules, spec.rules, strict=True)
        )
    )


def _response(spec: CompiledSpec, own: int) -> dict[str, Any] | None:
    given = spec.config.rules[own].response
    if given is None:
        return None
    judged = spec.rule_names.index(given.judged)
    # The judged margin is (limit - signal) / scale of its own limit, not of this one.
    spare = spec.truth_limit[judged] - spec.truth_limit[own]
    return {**given.model_dump(), "threshold": float(spare / spec.scale[judged])}
