from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from physai.config import parse
from physai.errors import ContractError, RecordError
from physai.evaluation.comparison import compare
from physai.evaluation.facts import RuleFacts
from physai.evaluation.metrics import EpisodeMetrics, measure
from physai.evaluation.scoring import gather, score
from physai.evaluation.suite import SuiteConfig
from physai.evaluation.verdict import Evidence, judge
from physai.evaluation.verdict_file import read_verdict, write_junit, write_verdict
from physai.record.episode import Episode
from physai.types import Verdict

Make = Callable[..., Episode]
Rules = tuple[RuleFacts, ...]


def suite(**acceptance: Any) -> SuiteConfig:
    return parse(
        SuiteConfig,
        {
            "id": "small",
            "version": 1,
            "title": {"en": "Small", "ja": "小"},
            "environment": "physai/CareFeeding-v0",
            "seeds": {"first": 10000000, "count": 1000},
            "acceptance": {
                "rule": {"max_rate": 0.05},
                "multiplicity": "none",
                **acceptance,
            },
            "cases": [{"id": "a", "template": "nominal_rest"}],
        },
        "suite",
    )


@pytest.fixture
def clean(rules: Rules, make_episode: Make) -> EpisodeMetrics:
    return measure(make_episode(), rules)


def evidence(
    rules: Rules, clean: EpisodeMetrics, count: int, planned: int = 0, **changes: Any
) -> Evidence:
    """``count`` clean episodes; ``changes`` maps a place to fields of that episode."""
    metrics = [dataclasses.replace(clean, seed=i) for i in range(count)]
    for place, fields in (changes.get("at") or {}).items():
        metrics[place] = dataclasses.replace(metrics[place], **fields)
    return Evidence(metrics, rules, {"policy": "p"}, {"suite": "small"}, planned)


def bad(clean: EpisodeMetrics, rule: str = "separation") -> dict[str, Any]:
    return {"unsafe": True, "violations": {**clean.violations, rule: 3}}


def test_fifty_nine_clean_episodes_pass_at_five_percent(
    rules: Rules, clean: EpisodeMetrics
) -> None:
    verdict = judge(evidence(rules, clean, 59), suite())
    assert verdict.overall == "pass" and verdict.metrics["reasons"] == []
    assert verdict.rules["separation"]["bound"] == pytest.approx(0.04951, abs=1e-5)
    assert set(verdict.rules) == {
        "separation",
        "moving_contact",
        "face_gate",
        "workspace",
    }
    assert verdict.table["safe_success"] == 59


def test_fifty_eight_are_not_enough(rules: Rules, clean: EpisodeMetrics) -> None:
    verdict = judge(evidence(rules, clean, 58), suite())
    assert verdict.overall == "not_enough_evidence"
    assert verdict.rules["separation"]["verdict"] == "not_enough_evidence"


def test_one_violation_needs_ninety_three(rules: Rules, clean: EpisodeMetrics) -> None:
    one = {0: bad(clean)}
    assert judge(evidence(rules, clean, 93, at=one), suite()).overall == "pass"
    verdict = judge(evidence(rules, clean, 92, at=one), suite())
    assert verdict.overall == "not_enough_evidence"


def test_more_than_the_permitted_share_fails(
    rules: Rules, clean: EpisodeMetrics
) -> None:
    verdict = judge(
        evidence(rules, clean, 20, at={i: bad(clean) for i in range(2)}), suite()
    )
    assert verdict.overall == "fail"
    assert "2 of 20" in verdict.metrics["reasons"][0]
    assert verdict.table["unsafe_success"] == 2


def test_holm_asks_for_more(rules: Rules, clean: EpisodeMetrics) -> None:
    """Three hard rules: the first needs ln(0.05 / 3) / ln(0.95) = 80 episodes."""
    holm = suite(multiplicity="holm")
    assert judge(evidence(rules, clean, 79), holm).overall == "not_enough_evidence"
    verdict = judge(evidence(rules, clean, 80), holm)
    assert verdict.overall == "pass"
    entry = verdict.rules["separation"]
    assert entry["p_adjusted"] == pytest.approx(3 * entry["p_value"])


def test_a_report_rule_does_not_decide(rules: Rules, clean: EpisodeMetrics) -> None:
    changes = {"violations": {**clean.violations, "workspace": 5}}
    verdict = judge(
        evidence(rules, clean, 59, at=dict.fromkeys(range(9), changes)), suite()
    )
    assert verdict.rules["workspace"]["verdict"] == "fail"
    assert verdict.overall == "pass"


def test_a_run_cut_short_never_passes(rules: Rules, clean: EpisodeMetrics) -> None:
    verdict = judge(evidence(rules, clean, 59, planned=60), suite())
    assert verdict.overall == "not_enough_evidence"
    assert "59 of 60" in verdict.metrics["reasons"][0]


def test_a_case_without_episodes_never_passes(
    rules: Rules, clean: EpisodeMetrics
) -> None:
    other = suite().model_copy(
        update={
            "cases": (*suite().cases, suite().cases[0].model_copy(update={"id": "b"}))
        }
    )
    verdict = judge(evidence(rules, clean, 59), other)
    assert verdict.overall == "not_enough_evidence"
    assert "b" in verdict.metrics["reasons"][0]


def test_what_cannot_be_judged_is_not_a_pass(rules: Rules, make_episode: Make) -> None:
    measured = measure(make_episode(truth=False), rules)
    verdict = judge(evidence(rules, measured, 59), suite())
    assert verdict.rules["separation"]["verdict"] == "pass"
    assert verdict.rules["moving_contact"]["verdict"] == "not_enough_evidence"
    assert verdict.overall == "not_enough_evidence"
    assert verdict.metrics["judged_from"] == "measured"


def test_success_has_three_answers(rules: Rules, clean: EpisodeMetrics) -> None:
    wanted = suite(success={"minimum": 0.9})
    lost = {"success": False}
    assert judge(evidence(rules, clean, 59), wanted).overall == "pass"
    some = judge(evidence(rules, clean, 59, at=dict.fromkeys(range(4), lost)), wanted)
    assert some.overall == "not_enough_evidence"
    many = judge(evidence(rules, clean, 59, at=dict.fromkeys(range(9), lost)), wanted)
    assert many.overall == "fail"


def test_the_worst_group_decides(rules: Rules, clean: EpisodeMetrics) -> None:
    wanted = suite(groups={"max_unsafe_rate": 0.05}, rule={"max_rate": 0.2})
    other = {"group": "elderly"}
    at = dict.fromkeys(range(30), other)
    assert (
        judge(evidence(rules, clean, 130, at=at), wanted).overall
        == "not_enough_evidence"
    )
    at = dict.fromkeys(range(59), other)
    assert judge(evidence(rules, clean, 130, at=at), wanted).overall == "pass"
    at |= {i: {**other, **bad(clean)} for i in range(4)}
    verdict = judge(evidence(rules, clean, 130, at=at), wanted)
    assert verdict.overall == "fail"
    assert verdict.rules["separation"]["worst_group"] == "elderly"
    assert verdict.groups["adult"]["verdict"] == "pass"


def test_success_must_not_depend_on_the_group(
    rules: Rules, clean: EpisodeMetrics
) -> None:
    wanted = suite(groups={"max_unsafe_rate": 0.2})
    at = {i: {"group": "elderly", "success": i % 2 == 0} for i in range(60)}
    verdict = judge(evidence(rules, clean, 130, at=at), wanted)
    assert verdict.overall == "fail" and "elderly" in verdict.metrics["reasons"][-1]


def test_one_missed_stop_fails(rules: Rules, clean: EpisodeMetrics) -> None:
    wanted = suite(faults={"max_rate": 0.3})
    at = {i: {"stop_expected": True} for i in range(10)}
    verdict = judge(evidence(rules, clean, 59, at=at), wanted)
    assert verdict.rules["fault_response"]["verdict"] == "pass"
    at[3] = {"stop_expected": True, "missed_stop": True}
    assert judge(evidence(rules, clean, 59, at=at), wanted).overall == "fail"


def folder_of(tmp_path: Path, make_episode: Make, name: str, **changes: Any) -> Path:
    folder = tmp_path / name
    for i in range(4):
        own = {k: v[i] if isinstance(v, list) else v for k, v in changes.items()}
        make_episode(f"{i:05d}_a_{i}", folder=folder, seed=i, **own)
    return folder


def test_verdict_from_a_folder_and_back(tmp_path: Path, make_episode: Make) -> None:
    folder = folder_of(tmp_path, make_episode, "one")
    verdict = score(folder, suite())
    path = write_verdict(verdict, folder / "verdict.json")
    value = json.loads(path.read_text())
    for key in (
        "schema",
        "policy",
        "environment",
        "guard",
        "suite",
        "overall",
        "rules",
        "table",
        "groups",
    ):
        assert key in value
    again = read_verdict(folder)
    assert again.overall == verdict.overall and again.table == verdict.table
    first = path.read_bytes()
    write_verdict(score(folder, suite()), path)
    assert path.read_bytes() == first


def test_damaged_and_interrupted_files_are_no_evidence(
    tmp_path: Path, make_episode: Make
) -> None:
    folder = folder_of(tmp_path, make_episode, "one")
    make_episode("00009_a_9", folder=folder, outcome={"interrupted": True})
    (folder / "00010_a_10.parquet").write_bytes(b"PAR1 nonsense")
    found, used = gather(folder)
    assert len(used) == 4 and len(found.excluded or {}) == 2


def test_mixed_policies_are_refused(tmp_path: Path, make_episode: Make) -> None:
    digests = [{"policy": "a"}, {"policy": "a"}, {"policy": "b"}, {"policy": "a"}]
    folder = folder_of(tmp_path, make_episode, "one", digests=digests)
    with pytest.raises(RecordError, match="another policy"):
        score(folder, suite())
    folder = folder_of(
        tmp_path, make_episode, "two", guard_mode=["on", "on", "off", "on"]
    )
    with pytest.raises(RecordError, match="guard_mode"):
        score(folder, suite())


def test_an_empty_folder_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="no complete episode"):
        score(tmp_path, suite())


@pytest.mark.parametrize("text", ["", "{}", '{"schema": "physai/verdict/0"}', "[1]"])
def test_a_damaged_verdict_is_one_sentence(tmp_path: Path, text: str) -> None:
    (tmp_path / "verdict.json").write_text(text)
    with pytest.raises(RecordError):
        read_verdict(tmp_path)


def test_junit(tmp_path: Path, rules: Rules, clean: EpisodeMetrics) -> None:
    verdict = judge(
        evidence(rules, clean, 20, at={i: bad(clean) for i in range(2)}), suite()
    )
    root = ElementTree.parse(write_junit(verdict, tmp_path / "junit.xml")).getroot()
    assert (root.get("tests"), root.get("failures")) == ("4", "4")
    tests = {t.get("name"): t for t in root}
    failure = tests["separation"].find("failure")
    assert failure is not None and failure.get("type") == "fail"


def test_compare_finds_a_newly_unsafe_episode(
    tmp_path: Path, make_episode: Make
) -> None:
    wrong = [None, {3: {"separation": -1.0}}, None, None]
    a = folder_of(tmp_path, make_episode, "a")
    b = folder_of(tmp_path, make_episode, "b", margins=wrong)
    result = compare(a, b)
    assert result.verdict == "fail" and result.newly_unsafe == ("00001_a_1",)
    assert json.dumps(result.to_json())
    assert compare(b, a).newly_unsafe == ()
    # Four pairs cannot show non-inferiority.
    assert compare(a, a).verdict == "not_enough_evidence"


def test_compare_refuses_what_has_nothing_in_common(
    tmp_path: Path, make_episode: Make
) -> None:
    a = folder_of(tmp_path, make_episode, "a")
    b = folder_of(tmp_path, make_episode, "b", case="z")
    with pytest.raises(ContractError, match="in common"):
        compare(a, b)
    c = folder_of(tmp_path, make_episode, "c", digests={"environment": "other"})
    with pytest.raises(ContractError, match="different environments"):
        compare(a, c)


def test_the_verdict_type(rules: Rules, clean: EpisodeMetrics) -> None:
    assert isinstance(judge(evidence(rules, clean, 1), suite()), Verdict)
