"""From a folder of stored episodes to a verdict; also again, with other rules.

No simulator is needed: an episode holds every state and truth, so that a log of last
year, simulated or real, is judged by the specification of today.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from physai.config import parse
from physai.errors import RecordError
from physai.evaluation.facts import RuleFacts, rule_facts
from physai.evaluation.metrics import EpisodeMetrics, measure
from physai.evaluation.suite import SuiteConfig
from physai.evaluation.verdict import Evidence, judge
from physai.record.episode import Episode, episodes_in
from physai.robot.description import load_robot
from physai.types import Array, Truth, Verdict

__all__ = ["Scorer", "gather", "rejudge", "score"]

_SAME = ("policy", "environment", "guard", "robot")


class Scorer:
    """Recomputes the margins of stored episodes with a specification.

    Args:
        spec: Name or path of the specification.
    """

    def __init__(self, spec: str) -> None:
        self._spec = spec
        self._built: dict[tuple[Any, ...], Any] = {}

    def rules(self, episode: Episode) -> tuple[RuleFacts, ...]:
        """Return the rules of the specification for an episode's robot and extras."""
        return rule_facts(self._monitor(episode).spec)

    def digest(self, episode: Episode) -> str:
        """Return the digest of the compiled specification."""
        return str(self._monitor(episode).spec.digest)

    def margins(self, episode: Episode) -> Array:
        """Return (t, r) margins of the truth view, or of the state without truth."""
        monitor = self._monitor(episode)
        monitor.reset()
        first = episode.initial_truth() or _measured(episode, episode.initial_state())
        if first is not None:
            monitor.update(first.state, first)
        rows = np.empty((episode.length, len(monitor.spec.rule_names)))
        for step in range(episode.length):
            truth = episode.truth(step) or _measured(episode, episode.state(step))
            rows[step] = monitor.update(truth.state, truth)
        return rows

    def _monitor(self, episode: Episode) -> Any:
        from physai.safety import Monitor, compile_spec, load_spec

        header = episode.header
        try:
            key = (
                str(header["robot"]),
                float(header["control_hz"]),
                tuple(header["extras"]),
                tuple(header["truth_extras"]),
            )
        except (KeyError, TypeError, ValueError):
            raise RecordError(
                f"{episode.path}: the head lacks robot, rate or names of the extras, "
                "so that it cannot be scored with another specification"
            ) from None
        if key not in self._built:
            robot = load_robot(key[0])
            compiled = compile_spec(load_spec(self._spec), robot, *key[1:])
            self._built[key] = Monitor(compiled, "truth")
        return self._built[key]


def _measured(episode: Episode, state: Any) -> Any:
    """Let the task say what stands in for the truth where the plant had none."""
    if state is None:
        return None
    from physai.tasks import registry

    environment = registry.load_environment(str(episode.header.get("environment_id")))
    truth: Truth = registry.make_task(environment).measured(state)
    return truth


def gather(
    folder: str | os.PathLike[str], spec: str | None = None
) -> tuple[Evidence, list[Path]]:
    """Read a folder of episodes into the evidence of a verdict.

    Args:
        folder: Episodes, or an evaluation folder.
        spec: Score with this specification; None takes the stored margins.

    Returns:
        The evidence, and the files that it was read from.

    Raises:
        RecordError: If there is no episode, or policies, environments or guards are
            mixed.
    """
    scorer = Scorer(spec) if spec else None
    metrics: list[EpisodeMetrics] = []
    excluded: dict[str, str] = {}
    used: list[Path] = []
    first: dict[str, Any] | None = None
    rules: Sequence[RuleFacts] = ()
    digests: dict[str, str] = {}
    for path in episodes_in(folder):
        try:
            episode = Episode.load(path)
        except RecordError as error:
            excluded[path.name] = str(error)
            continue
        if episode.outcome.get("interrupted") or not episode.length:
            excluded[path.name] = "interrupted"
            continue
        if first is None:
            first = episode.header
            rules = scorer.rules(episode) if scorer else _stored_rules(episode)
            digests = dict(first.get("digests") or {})
            if scorer:
                digests["scorer"] = scorer.digest(episode)
        else:
            _check_same(first, episode)
        margins = scorer.margins(episode) if scorer else None
        metrics.append(measure(episode, rules, margins))
        used.append(path)
    if first is None:
        raise RecordError(f"{folder}: there is no complete episode")
    evidence = Evidence(
        metrics=metrics,
        rules=rules,
        digests=digests,
        names=_names(first),
        planned=int((first.get("suite") or {}).get("planned") or 0),
        excluded=excluded,
    )
    return evidence, used


def score(
    folder: str | os.PathLike[str], suite: SuiteConfig, spec: str | None = None
) -> Verdict:
    """Judge stored episodes by a suite.

    The episodes may have been made with another suite, such as an older version of
    this one; the verdict carries the digest of the suite that judges.

    Args:
        folder: Episodes, or an evaluation folder.
        suite: What must be shown.
        spec: Score with this specification instead of the stored margins.

    Raises:
        RecordError: See :func:`gather`.
    """
    evidence, _ = gather(folder, spec)
    made_by = evidence.digests.get("suite", "")
    digests = {**evidence.digests, "suite": suite.digest}
    if made_by and made_by != suite.digest:
        digests["episodes_suite"] = made_by
    names = {**evidence.names, "suite": suite.id}
    changed = Evidence(
        metrics=evidence.metrics,
        rules=evidence.rules,
        digests=digests,
        names=names,
        planned=evidence.planned,
        excluded=evidence.excluded,
    )
    return judge(changed, suite)


def rejudge(folder: str | os.PathLike[str]) -> Verdict:
    """Judge an evaluation folder again by the suite that it was made with.

    Raises:
        RecordError: If the folder does not say which suite that was, or see
            :func:`gather`.
    """
    file = Path(folder) / "evaluation.json"
    try:
        value = json.loads(file.read_text(encoding="utf-8"))["suite"]
    except OSError as error:
        raise RecordError(f"{file}: cannot be read ({error.strerror})") from None
    except (ValueError, KeyError, TypeError):
        raise RecordError(f"{file}: does not say which suite was run") from None
    return score(folder, parse(SuiteConfig, value, str(file)))


def _stored_rules(episode: Episode) -> tuple[RuleFacts, ...]:
    given = episode.header.get("rules")
    if not isinstance(given, list) or not given:
        raise RecordError(
            f"{episode.path}: the head names no rules; score it with a specification"
        )
    return tuple(RuleFacts.from_json(rule) for rule in given)


def _check_same(first: Mapping[str, Any], episode: Episode) -> None:
    ours, theirs = first.get("digests") or {}, episode.header.get("digests") or {}
    for kind in _SAME:
        if ours.get(kind) != theirs.get(kind):
            raise RecordError(
                f"{episode.path}: has another {kind} than the episodes before it; a "
                "verdict is about one"
            )
    for key in ("guard_mode", "plant"):
        if first.get(key) != episode.header.get(key):
            raise RecordError(
                f"{episode.path}: was made with {key} {episode.header.get(key)}, "
                f"others with {first.get(key)}; a verdict is about one"
            )


def _names(header: Mapping[str, Any]) -> dict[str, str]:
    keys = ("policy", "guard_mode", "plant", "robot")
    return {
        **{key: str(header.get(key, "")) for key in keys},
        "environment": str(header.get("environment_id", "")),
        "suite": str((header.get("suite") or {}).get("id", "")),
    }
