"""The report: one HTML file that needs no network and no script.

It reads evaluation folders (verdict and stored episodes) and nothing else, so that an
old log can be reported again.
"""

from __future__ import annotations

import base64
import html
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
import numpy as np

from physai.errors import ContentError, RecordError
from physai.evaluation.forces import ForceLimits
from physai.evaluation.statistics import clopper_pearson
from physai.evaluation.verdict_file import read_verdict
from physai.record.episode import Episode, episodes_in
from physai.report import plots, tables
from physai.report.deployment import read_deployment
from physai.types import Verdict

__all__ = ["CONTACT_NOTES", "write_report"]

CONTACT_NOTES = (
    "Numbers are simulated: screening only, not a measurement on people.",
    "One linear spring and one mass per body region; no tissue damping, no friction, no "
    "elasticity of rotors or joints.",
    "Robot inertias: identified values of the open MuJoCo Panda model; motors limited to "
    "the maker's torque, velocity control.",
    "Physics at 240 Hz; transient peak without window, quasi-static as 100 ms mean.",
    "Region table: ISO/TS 15066 A.2 and A.3 from public copies (area 23 doubtful), times the "
    "frailty factor of the specification.",
    "Chest and abdomen are taken as 50 mm before the chair's back, pelvis as clamped.",
    "Pressure is indicative only; the patch follows the declared edge of the link.",
    "Error band of the contact model: -2/+5 % for a free impact, -1/+25 % for a clamp, "
    "against its own formulas.",
    "Validation needs a force and pressure gauge with the region's spring.",
)
"""What a reader must know about every force here."""

_NOT_TESTED = (
    "people who stand, walk or fall; more than one person; children",
    "hot food, allergies, swallowing and choking",
    "hardware faults of the arm, its brakes and its rated safety functions",
    "a person whom every sensor misses for good",
)


def write_report(
    folders: Sequence[Path],
    out: Path,
    pictures: Mapping[str, bytes] | None = None,
    title: str = "",
    facts: Sequence[str] = (),
    *,
    headline: Sequence[tuple[str, str]] = (),
    deployment: Path | None = None,
) -> Path:
    """Write the page.

    Args:
        folders: Evaluation folders, one per arm.
        out: The HTML file.
        pictures: PNG data by caption.
        title: Of the page; made from the first arm if empty.
        facts: Further sentences for the head of the page.
        headline: Figures in large print, each with what it means.
        deployment: Folder of a deployment that is shown too.

    Returns:
        The file.

    Raises:
        RecordError: If a folder is no evaluation.
        ContentError: If the file cannot be written.
    """
    arms = [_Arm(Path(folder)) for folder in folders]
    if not arms:
        raise RecordError("a report needs at least one evaluation folder")
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("physai.report", "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = environment.get_template("report.html.j2").render(
        title=title or f"{arms[-1].title}: {arms[-1].policy}",
        arms=arms,
        facts=facts,
        headline=headline,
        pictures=[
            (caption, base64.b64encode(data).decode())
            for caption, data in (pictures or {}).items()
        ],
        deployment=read_deployment(deployment) if deployment else None,
        cases=tables.case_rows([a.verdict for a in arms]),
        rules=tables.rule_rows([a.verdict for a in arms], arms[-1].limits),
        groups=tables.group_rows([a.verdict for a in arms]),
        table_plot=plots.table_plot({a.name: a.verdict.table for a in arms}),
        speed_plot=plots.speed_plot({a.name: a.speeds for a in arms}),
        force_plot=plots.force_plot(
            {a.name: a.forces for a in arms}, arms[-1].force_limits
        ),
        force_source=arms[-1].force_source,
        contact_notes=CONTACT_NOTES,
        not_tested=_NOT_TESTED,
    )
    try:
        out.write_text(page, encoding="utf-8")
    except OSError as error:
        raise ContentError(f"{out}: cannot be written ({error.strerror})") from None
    return out


class _Arm:
    """One evaluation, read once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.verdict: Verdict = read_verdict(folder / "verdict.json")
        names = self.verdict.metrics.get("names", {})
        self.policy = str(names.get("policy", ""))
        self.environment = str(names.get("environment", ""))
        self.suite = str(names.get("suite", ""))
        self.guard = str(names.get("guard_mode", ""))
        self.name = f"guard {self.guard}"
        self._read_episodes()

    @property
    def overall(self) -> str:
        """Verdict in plain words."""
        return {
            "pass": "Pass",
            "fail": "Fail",
            "not_enough_evidence": "Not enough evidence (counts as not passed)",
        }.get(self.verdict.overall, self.verdict.overall)

    @property
    def episodes(self) -> int:
        """Number of episodes."""
        return sum(self.verdict.table.values())

    @property
    def cells(self) -> dict[str, list[dict[str, Any]]]:
        """Four-way table with exact intervals: rows safe and unsafe."""
        found: dict[str, list[dict[str, Any]]] = {}
        for row in ("safe", "unsafe"):
            for column in ("success", "failure"):
                count = self.verdict.table[f"{row}_{column}"]
                low, high = clopper_pearson(count, max(1, self.episodes), 0.95)
                found.setdefault(row, []).append(
                    {
                        "count": count,
                        "share": f"{100 * count / max(1, self.episodes):.1f} %",
                        "interval": f"{100 * low:.1f} to {100 * high:.1f} %",
                    }
                )
        return found

    def _read_episodes(self) -> None:
        self.limits: dict[str, dict[str, Any]] = {}
        self.sentences: Counter[tuple[str, str, str]] = Counter()
        distance, speed, force = [], [], np.zeros(30)
        worst, worst_margin = None, np.inf
        header: dict[str, Any] = {}
        for path in episodes_in(self.folder / "episodes"):
            episode = Episode.load(path)
            header = dict(episode.header)
            truth = episode.column("truth_extras")
            place = header["truth_extras"]
            if "face_distance_m" in place:
                distance.append(truth[:, place.index("face_distance_m")][::4])
                speed.append(_tool_speed(episode)[::4])
            peaks = episode.column("truth_contact_force_peak_n")
            if peaks.size:
                force = np.maximum(
                    force, peaks.reshape(-1, peaks.shape[-1]).max(axis=0)
                )
            margins = np.asarray(episode.column("truth_margins"))
            lowest = float(np.nanmin(margins)) if margins.size else np.inf
            if lowest < worst_margin:
                worst, worst_margin = episode, lowest
            self._collect_sentences(episode)
        if worst is None:
            raise RecordError(f"{self.folder}: holds no episodes")
        self.speeds = (
            np.concatenate(distance) if distance else np.zeros(0),
            np.concatenate(speed) if speed else np.zeros(0),
        )
        self.forces = force
        names = [rule["id"] for rule in header["rules"]]
        for rule in header["rules"]:
            self.limits[rule["id"]] = rule
        self.worst_plot = plots.margin_plot(worst, names)
        self.worst_case = (
            f"{worst.header.get('case')} (seed {worst.header.get('seed')})"
        )
        self._read_record(header)

    def _read_record(self, header: Mapping[str, Any]) -> None:
        """Keep what the folder says of limits, versions and revision."""
        given = header.get("force_limits")
        self.force_limits = ForceLimits.from_json(given) if given else None
        file = self.folder / "evaluation.json"
        value = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
        record = value.get("record", {})
        self.versions: dict[str, str] = record.get("versions") or {}
        self.revision = str(record.get("git_revision") or "")
        name = value.get("environment", {}).get("title", {}).get("en")
        self.title = str(name or self.environment)
        specification = value.get("specification", {})
        self.force_source = (
            "ISO/TS 15066 Table A.2 times the frailty factor "
            f"{specification.get('frailty_factor', '')} "
            f"({specification.get('frailty_source', 'see the specification')})."
        )

    def _collect_sentences(self, episode: Episode) -> None:
        rules = episode.column("decision_rule")
        english = episode.column("decision_sentence")
        japanese = episode.column("decision_sentence_ja")
        last = ""
        for rule, en, ja in zip(rules, english, japanese, strict=True):
            if rule and rule != last:
                self.sentences[(str(rule), _plain(str(en)), str(ja))] += 1
            last = rule

    @property
    def interventions(self) -> list[tuple[str, int, str, str]]:
        """Interventions by rule: how often one began, and a sentence in both tongues."""
        total: Counter[str] = Counter()
        example: dict[str, tuple[str, str]] = {}
        for (rule, en, ja), count in self.sentences.items():
            total[rule] += count
            example.setdefault(rule, (en, ja))
        return [(rule, count, *example[rule]) for rule, count in total.most_common(12)]


def _plain(sentence: str) -> str:
    """Return a sentence of the guard without its source; the rules name that."""
    return html.unescape(sentence).partition(" [")[0]


def _tool_speed(episode: Episode) -> Any:
    position = np.asarray(episode.column("truth_state_tool_pose_in_world"))[:, :3]
    step = np.diff(position, axis=0, prepend=position[:1])
    return np.linalg.norm(step, axis=1) * float(episode.header["control_hz"])
