from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from xml.etree import ElementTree

import pytest

from physai import content
from physai.cli import main
from physai.config import parse
from physai.errors import ConfigError, RecordError, RefusedError
from physai.evaluation import load_suite, run_suite
from physai.governance.case import AssuranceCase, judge_case, load_case
from physai.governance.cycle import add_phase, read_iterations
from physai.governance.drawing import draw_case
from physai.governance.risks import (
    RiskRegister,
    assess_risks,
    load_register,
    required_level,
)
from physai.governance.stage import issue_permit
from physai.policy.bundle import read_bundle
from physai.record.permit import check_permit, load_permit, save_permit
from physai.record.signature import create_key
from physai.tasks.environment import HazardConfig

REGISTERS = [n for n in content.names("governance") if n.startswith("risks_")]
CASES = [n for n in content.names("governance") if n.startswith("case_")]


@pytest.fixture(scope="module")
def evaluation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A short evaluation of the shipped policy, with the suite's own digest."""
    folder = tmp_path_factory.mktemp("evaluations") / "quick"
    suite = load_suite("care_feeding_quick")
    keep = ("nominal_rest", "misuse_reach", "refuse", "boundary_spill")
    keep += ("misuse_turn_inside", "fault_people_drop")
    cases = tuple(
        case.model_copy(update={"episodes": None, "weight": 1.0})
        for case in suite.cases
        if case.id in keep
    )
    short = suite.model_copy(update={"cases": cases, "episodes": len(cases)})
    run_suite("care_feeding", short, "on", out=folder, progress=False)
    yield folder


def altered(folder: Path, target: Path, **changes: object) -> Path:
    """Copy a verdict with some values changed."""
    value = json.loads((folder / "verdict.json").read_text())
    for key, new in changes.items():
        if isinstance(new, dict):
            value[key] = {**value[key], **new}
        else:
            value[key] = new
    target.mkdir(parents=True)
    (target / "verdict.json").write_text(json.dumps(value))
    return target


@pytest.mark.parametrize("name", REGISTERS)
def test_a_shipped_register_covers_every_hazard_and_rule(name: str) -> None:
    risks = assess_risks(load_register(name))
    assert all(risk.level in "abcde" for risk in risks)


def test_severity_exposure_and_avoidance_give_the_evidence_that_is_asked() -> None:
    risks = assess_risks(load_register("risks_care_feeding"))
    shown = {risk.hazard: risk for risk in risks}
    assert shown["loss_of_consent"].level == "e"
    assert shown["loss_of_consent"].episodes == 2995
    assert shown["spilled_food"].episodes == 59


@pytest.mark.parametrize(
    ("severity", "exposure", "avoidance", "level"),
    [
        ("minor", "rare", "possible", "a"),
        ("minor", "rare", "unlikely", "b"),
        ("minor", "always", "possible", "b"),
        ("minor", "often", "unlikely", "c"),
        ("serious", "rare", "likely", "c"),
        ("serious", "rare", "unlikely", "d"),
        ("critical", "always", "possible", "d"),
        ("serious", "often", "unlikely", "e"),
    ],
)
def test_the_risk_graph(
    severity: str, exposure: str, avoidance: str, level: str
) -> None:
    hazard = HazardConfig.model_validate(
        {
            "id": "x",
            "title": {"en": "x", "ja": "x"},
            "severity": severity,
            "exposure": exposure,
            "avoidance": avoidance,
        }
    )
    assert required_level(hazard) == level


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda v: v["rows"].pop(), "no row for the hazard"),
        (lambda v: v["rows"][0].update(hazard="utensil_in_fac"), "utensil_in_face"),
        (lambda v: v["rows"][0]["rules"].append("face_gat"), "face_gate"),
        (lambda v: v["rows"][0]["suites"].append("care_fed"), "care_feeding_core"),
        (lambda v: v["rows"][2].update(rules=["tcp_speed"]), "no row names the rule"),
        (lambda v: v["rows"].append(v["rows"][0]), "two rows"),
        (lambda v: v["rows"][4].update(stop="stop1", rules=[]), "no rule of it stops"),
    ],
)
def test_a_register_with_a_hole_is_refused(change, word: str) -> None:  # type: ignore[no-untyped-def]
    value = load_register(REGISTERS[0]).model_dump(mode="json")
    change(value)
    with pytest.raises(ConfigError, match=re.escape(word)):
        assess_risks(parse(RiskRegister, value, "register"))


def small_case(**evidence: str) -> AssuranceCase:
    value = load_case(CASES[0]).model_dump(mode="json")
    text = value["nodes"][0]["text"]
    value["nodes"] = [
        {"id": "G1", "kind": "goal", "text": text, "supported_by": ["E1"]},
        {
            "id": "E1",
            "kind": "solution",
            "text": text,
            "evidence": {"suite": "care_feeding_quick", **evidence},
        },
    ]
    return parse(AssuranceCase, value, "case")


@pytest.mark.parametrize("name", CASES)
def test_a_shipped_case_without_evidence_is_broken_to_the_top(name: str) -> None:
    case = load_case(name)
    findings = judge_case(case, [])
    assert not findings[case.top].holds
    assert all(
        not findings[node.id].holds for node in case.nodes if node.kind == "solution"
    )
    drawn = ElementTree.fromstring(draw_case(case, findings))
    words = " ".join(drawn.itertext())
    assert all(node.id in words for node in case.nodes)
    assert "broken" in words


def test_a_leaf_holds_until_anything_about_it_changes(
    evaluation: Path, tmp_path: Path
) -> None:
    case = small_case(rule="moving_contact")
    digest = load_suite("care_feeding_quick").digest
    rules = json.loads((evaluation / "verdict.json").read_text())["rules"]
    rules["moving_contact"]["verdict"] = "pass"
    good = altered(
        evaluation, tmp_path / "good", rules=rules, digests={"suite": digest}
    )
    assert judge_case(case, [good])["G1"].holds
    for name in ("guard", "robot", "environment", "policy", "suite"):
        stale = altered(good, tmp_path / name, digests={name: "0" * 64})
        finding = judge_case(case, [stale])["E1"]
        assert not finding.holds
        assert name in finding.reason
    rules["moving_contact"]["verdict"] = "not_enough_evidence"
    weak = altered(good, tmp_path / "weak", rules=rules)
    assert not judge_case(case, [weak])["G1"].holds
    # One good verdict does not outweigh a bad one of the same digests.
    assert not judge_case(case, [good, weak])["G1"].holds
    (weak / "verdict.json").write_text("{")
    with pytest.raises(RecordError):
        judge_case(case, [weak])


def test_an_argument_in_a_circle_is_refused() -> None:
    value = load_case(CASES[0]).model_dump(mode="json")
    value["nodes"][4]["supported_by"] = ["S1"]
    with pytest.raises(ConfigError, match="supports itself"):
        parse(AssuranceCase, value, "case")


def test_the_cycle_goes_round_in_order(evaluation: Path, tmp_path: Path) -> None:
    ledger = tmp_path / "cycle.jsonl"
    with pytest.raises(RefusedError, match='"plan" is due'):
        add_phase(ledger, "do", "A", policy="care_feeding")
    with pytest.raises(RefusedError, match="--by"):
        add_phase(ledger, "plan", " ", register=REGISTERS[0])
    add_phase(ledger, "plan", "A. Assessor", register=REGISTERS[0])
    add_phase(ledger, "do", "B. Builder", policy="care_feeding")
    other = altered(evaluation, tmp_path / "other", digests={"policy": "0" * 64})
    with pytest.raises(RefusedError, match="another policy"):
        add_phase(ledger, "check", "A. Assessor", evaluations=[other])
    failed = altered(evaluation, tmp_path / "failed", overall="fail")
    add_phase(ledger, "check", "A. Assessor", evaluations=[failed])
    with pytest.raises(RefusedError, match="did not"):
        add_phase(ledger, "act", "A. Assessor", decision="release")
    add_phase(ledger, "act", "A. Assessor", decision="improve", note="more people")
    add_phase(ledger, "plan", "A. Assessor", register=REGISTERS[0])
    first, second = read_iterations(ledger)
    assert list(first.phases) == ["plan", "do", "check", "act"]
    assert first.next_phase == ""
    assert second.next_phase == "do"
    text = ledger.read_text().replace("more people", "less people")
    ledger.write_text(text)
    with pytest.raises(RecordError):
        read_iterations(ledger)


def test_a_permit_rests_on_what_passed(evaluation: Path, tmp_path: Path) -> None:
    bundle = read_bundle(content.find("policies", "care_feeding"))
    shadow = issue_permit(bundle, "franka", "shadow", [], "A. Assessor")
    assert shadow.expires - shadow.approved == timedelta(days=30)
    with pytest.raises(RefusedError, match="_quick"):
        issue_permit(bundle, "franka", "slow", [], "A. Assessor")
    failed = altered(evaluation, tmp_path / "failed", overall="fail")
    with pytest.raises(RefusedError, match="verdict is fail"):
        issue_permit(bundle, "franka", "slow", [failed], "A. Assessor")
    passed = altered(evaluation, tmp_path / "passed", overall="pass")
    permit = issue_permit(bundle, "franka", "slow", [passed], "A. Assessor")
    stale = altered(passed, tmp_path / "stale", digests={"guard": "0" * 64})
    with pytest.raises(RefusedError, match="another guard"):
        issue_permit(bundle, "franka", "slow", [stale], "A. Assessor")
    key = create_key("assessor", tmp_path / "keys")
    file = save_permit(permit, tmp_path / "permit.json", key)
    again = load_permit(file, {key.public.id: key.public})
    check_permit(
        again,
        policy=bundle.policy_digest,
        hardware="franka",
        stage="slow",
        digests=permit.digests,
    )
    with pytest.raises(RefusedError, match='"slow" at most'):
        check_permit(
            again,
            policy=bundle.policy_digest,
            hardware="franka",
            stage="full",
            digests=permit.digests,
        )


def test_the_commands(
    evaluation: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = tmp_path / "case.svg"
    arguments = ["case", "--evidence", str(evaluation), "--out", str(picture)]
    assert main([*arguments, "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["holds"] is False
    ElementTree.parse(picture)
    assert main(["cycle", "risks", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)) == 6
    ledger = ["--ledger", str(tmp_path / "c.jsonl"), "--by", "A. Assessor"]
    assert main(["cycle", "plan", *ledger]) == 0
    assert "due: do" in capsys.readouterr().out
    assert main(["cycle", "check", *ledger]) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1
    assert main(["case", "no_such_case"]) == 2
