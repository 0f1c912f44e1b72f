from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping, Sequence
from itertools import combinations, product
from pathlib import Path

import pytest

from physai import content
from physai.cli import main
from physai.config import parse
from physai.errors import ConfigError, MissingExtraError
from physai.evaluation.covering import covering_array, missing_combinations
from physai.evaluation.fault_matrix import (
    FaultMatrix,
    FaultMatrixConfig,
    load_matrix,
)
from physai.evaluation.suite import load_suite
from physai.plant.faults import FAULTS
from physai.safety import compile_spec, load_spec
from physai.tasks import registry

NAMES = tuple(content.names("faults"))


@pytest.fixture(scope="module", params=NAMES)
def matrix(request: pytest.FixtureRequest) -> FaultMatrix:
    return make_matrix(load_matrix(request.param))


def make_matrix(config: FaultMatrixConfig) -> FaultMatrix:
    environment = registry.load_environment(config.environment)
    spec = compile_spec(
        load_spec(environment.safety),
        registry.make_task(environment).robot,
        environment.control_hz,
        environment.extras,
        environment.truth_extras,
    )
    return FaultMatrix(config, environment, spec)


def uncovered(
    rows: Sequence[Mapping[str, str]],
    factors: Mapping[str, Sequence[str]],
    forbidden: set[frozenset[tuple[str, str]]],
) -> list[frozenset[tuple[str, str]]]:
    """Every possible triple that no row has, by writing out all full rows."""
    names = list(factors)
    valid = [
        dict(zip(names, levels, strict=True))
        for levels in product(*factors.values())
        if not any(
            pair <= set(zip(names, levels, strict=True)) for pair in map(set, forbidden)
        )
    ]
    wanted = {
        frozenset((name, row[name]) for name in three)
        for row in valid
        for three in combinations(names, 3)
    }
    there = {
        frozenset((name, row[name]) for name in three)
        for row in rows
        for three in combinations(names, 3)
    }
    assert there <= wanted
    return sorted(wanted - there, key=sorted)


def test_every_possible_triple_stands_in_some_row(matrix: FaultMatrix) -> None:
    rows = [row.levels for row in matrix.rows]
    forbidden = {frozenset(conflict) for conflict in matrix.conflicts}
    assert uncovered(rows, matrix.factors, forbidden) == []
    assert missing_combinations(rows, matrix.factors, matrix.conflicts) == []
    # One triple less is seen by both.
    alone = [r for r in rows if r["fault"] == rows[0]["fault"]][1:]
    less = [r for r in rows if r["fault"] != rows[0]["fault"]] + alone[1:]
    counted = len(uncovered(less, matrix.factors, forbidden))
    assert counted > 0
    assert len(missing_combinations(less, matrix.factors, matrix.conflicts)) == counted


def test_conflicts_are_kept_out() -> None:
    factors = {"a": ("1", "2", "3"), "b": ("x", "y"), "c": ("p", "q"), "d": ("u", "v")}
    conflicts = ((("a", "1"), ("b", "x")), (("c", "q"), ("d", "v")))
    rows = covering_array(factors, conflicts)
    forbidden = {frozenset(conflict) for conflict in conflicts}
    assert uncovered(rows, factors, forbidden) == []
    assert covering_array(factors, conflicts) == rows
    for row in rows:
        assert not (row["a"] == "1" and row["b"] == "x")
        assert not (row["c"] == "q" and row["d"] == "v")


def test_without_its_library_the_array_is_refused_in_one_sentence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "covertable", None)
    with pytest.raises(MissingExtraError, match=r"physai\[search\]"):
        covering_array({"a": ("1", "2")}, strength=1)


def test_a_matrix_has_every_kind_and_seeds_of_its_own(matrix: FaultMatrix) -> None:
    config, environment = matrix.config, matrix.environment
    assert {given.kind for given in config.faults} == {kind.name for kind in FAULTS}
    assert config.hazard in {hazard.id for hazard in environment.hazards}
    seeds = {row.seed for row in matrix.rows}
    assert len(seeds) == len(matrix.rows)
    assert max(seeds) < config.seeds.first + config.seeds.count
    allowed = environment.distributions[config.distribution].seeds
    assert allowed.first <= min(seeds) and max(seeds) < allowed.first + allowed.count
    for name in content.names("suites"):
        suite = load_suite(name)
        if suite.environment == environment.id:
            taken = range(suite.seeds.first, suite.seeds.first + suite.seeds.count)
            assert not seeds & set(taken)


def test_budgets_come_from_the_suite_or_from_the_rule(matrix: FaultMatrix) -> None:
    """A suite that declares more than the rule takes leaves room; never less."""
    answers = matrix._answers
    shown = [row for row in matrix.rows if row.detectable]
    assert 0 < len(shown) < len(matrix.rows)
    for row in shown:
        assert row.budget_s >= min(answers.values()) - 1e-9
        assert row.budget_s <= 1.5
    drop = [r for r in shown if r.levels["fault"] == "drop_joints"]
    assert {r.budget_s for r in drop} == {matrix._declared[("drop", "joints")]}
    assert {
        r.detectable for r in matrix.rows if r.levels["fault"] == "bias_people"
    } == {False}
    by_robot = {r.levels["fault"] for r in shown if r.by_robot}
    assert by_robot == {"delay_command", "loss_command", "half_open_command"}


def test_only_rules_that_stop_answer() -> None:
    night = make_matrix(load_matrix("care_night_round"))
    crossing = make_matrix(load_matrix("logistics_crossing"))
    # One slows before its protective field, the other stops.
    assert "protective_field" not in night._answers
    assert crossing._answers["protective_field"] == pytest.approx(0.3)
    # Nobody is expected in a corridor, so that nobody can be missing.
    assert "people_missing" not in night._answers


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"faults": [{"kind": "droop", "targets": ["people"]}]}, "drop"),
        ({"faults": [{"kind": "stuck", "targets": ["joints"]}]}, "no target"),
        ({"faults": [{"kind": "drop", "targets": ["people", "people"]}]}, "twice"),
        ({"start_s": [1.0, 9.0]}, "before the episode ends"),
        ({"second": {"none": {"kind": "lag", "target": "command"}}}, "no second fault"),
        ({"situations": {}}, "situations"),
        ({"strength": 3}, "strength"),
    ],
)
def test_a_wrong_matrix_is_refused(change: dict[str, object], word: str) -> None:
    given = {**load_matrix("care_feeding").model_dump(mode="json"), **change}
    with pytest.raises(ConfigError, match=word):
        parse(FaultMatrixConfig, given, "matrix.yaml")


SMALL = """\
id: small_faults
version: 1
title: {en: "Small", ja: "小"}
environment: physai/CareFeeding-v0
suite: SUITE
hazard: moving_contact
seeds: {first: 17500000, count: 50}
duration_s: 2
start_s: [0.5, 1.0]
policies: [expert, adversary]
situations:
  rests: {behaviours: [{kind: rest, amplitude_m: 0.002}]}
  reaches: {behaviours: [{kind: reach, target: gripper, start_s: 0.5, speed_m_s: 1.0}]}
faults:
  - {kind: drop, targets: [joints]}
  - {kind: half_open, targets: [command]}
  - {kind: bias, targets: [people], magnitude: [0.05, 0.3]}
"""


@pytest.mark.slow
def test_a_small_matrix_through_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "small.yaml").write_text(SMALL.replace("SUITE", "care_feeding_core"))
    command = ["bench", "--faults", "small.yaml", "--out", "r.json", "--workers", "1"]
    assert main([*command, "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown == json.loads((tmp_path / "r.json").read_text())
    (made,) = shown["matrices"]
    assert made["coverage"]["missing_triples"] == 0
    assert made["coverage"]["rows"] == made["coverage"]["reached"] >= 12
    assert made["detectable"]["stopped"] == made["detectable"]["rows"] > 0
    assert made["undetectable"]["force_held"] == made["undetectable"]["rows"] > 0
    assert made["by_fault"]["drop_joints"]["demanded"] > 0
    assert made["by_fault"]["bias_people"]["demanded"] == 0
    assert made["failures"] == []
    assert set(made["digests"]) == {"environment", "robot", "guard"}
    assert made["environment"]["versions"]
    # What is there is not run again.
    files = sorted((tmp_path / "fault_matrix").rglob("*.parquet"))
    times = [file.stat().st_mtime_ns for file in files]
    assert main(command) == 0
    assert [file.stat().st_mtime_ns for file in files] == times
    # A budget that nothing can keep is a failure, named with its scenario and seed.
    suite = load_suite("care_feeding_core").model_dump(mode="json")
    for case in suite["cases"]:
        if case["id"] == "fault_joints_drop":
            case["stop_within_s"] = 0.01
    (tmp_path / "strict.yaml").write_text(json.dumps(suite, ensure_ascii=False))
    (tmp_path / "small.yaml").write_text(SMALL.replace("SUITE", "strict.yaml"))
    capsys.readouterr()
    assert main([*command, "--episodes", "strict"]) == 1
    text = capsys.readouterr().out
    assert "drop_joints" in text and "no stop within 0.01 s" in text
    assert "seed 175000" in text and "half_open" not in text
    # The first run's folder is not mixed with another matrix.
    assert main(command) == 2


def test_a_matrix_that_is_not_there_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["bench", "--faults", "care_feding"]) == 2
    assert 'no fault matrix "care_feding": did you mean' in capsys.readouterr().err
    Path("r.json").write_text("{}")
    assert main(["bench", "--faults", "--out", "r.json"]) == 2
    assert "no table of fault matrices" in capsys.readouterr().err


def test_answers_add_age_window_and_two_periods() -> None:
    matrix = make_matrix(load_matrix("care_feeding"))
    answers = matrix._answers
    assert answers["joint_age"] == pytest.approx(0.15 + 2 * 0.05)
    assert answers["people_age"] == pytest.approx(0.6 + 2 * 0.05)
    assert answers["input_integrity"] == pytest.approx(2 * 0.05)
    assert not math.isnan(answers["command_timeout"])
