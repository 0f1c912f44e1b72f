from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from physai import content
from physai.config import parse
from physai.errors import ConfigError, ContentError
from physai.evaluation.suite import (
    SuiteConfig,
    check_suite,
    group_of,
    load_suite,
    plan_suite,
    planned_total,
)
from physai.safety import load_spec
from physai.tasks.environment import EnvironmentConfig
from physai.tasks.registry import load_environment, make_task


@pytest.fixture(scope="module")
def environment() -> EnvironmentConfig:
    return load_environment("physai/CareFeeding-v0")


@pytest.fixture(scope="module")
def hard(environment: EnvironmentConfig) -> list[tuple[str, float, float]]:
    rules = load_spec(environment.safety).rules
    return [
        (r.id, r.verdict.max_rate, r.verdict.confidence)
        for r in rules
        if r.verdict.kind == "hard"
    ]


def raw(name: str = "care_feeding_quick") -> dict[str, Any]:
    return content.load_yaml(content.find("suites", name))


@pytest.mark.parametrize("name", sorted(content.names("suites")))
def test_shipped_suites(name: str) -> None:
    """Every hazard has a case, every kind of case is there, groups are balanced."""
    suite = load_suite(name)
    environment = load_environment(suite.environment)
    rules = load_spec(environment.safety).rules
    hard = [
        (r.id, r.verdict.max_rate, r.verdict.confidence)
        for r in rules
        if r.verdict.kind == "hard"
    ]
    plan = plan_suite(suite, environment, hard)
    assert len(plan) == planned_total(suite, environment, hard)
    assert {each.template.kind for each in plan} == {
        "nominal",
        "boundary",
        "fault",
        "misuse",
    }
    groups = Counter(each.group for each in plan)
    assert max(groups.values()) - min(groups.values()) <= 1
    seeds = {each.seed for each in plan}
    train = environment.distributions["train"].seeds
    assert len(seeds) == len(plan)
    assert not any(train.first <= seed < train.first + train.count for seed in seeds)
    assert {each.case for each in plan} == {case.id for case in suite.cases}


def test_the_core_suite_can_show_what_the_specification_asks(
    environment: EnvironmentConfig, hard: list[tuple[str, float, float]]
) -> None:
    suite = load_suite("care_feeding_core")
    for rule, max_rate, confidence in hard:
        wanted = suite.requirement(rule, max_rate, confidence)
        assert wanted.max_rate <= max_rate and wanted.confidence >= confidence


def test_the_plan_is_the_same_every_time(
    environment: EnvironmentConfig, hard: list[tuple[str, float, float]]
) -> None:
    suite = load_suite("care_feeding_quick")
    assert plan_suite(suite, environment, hard) == plan_suite(suite, environment, hard)


def test_group_of_agrees_with_the_sampler(environment: EnvironmentConfig) -> None:
    task = make_task(environment)
    for seed in range(10_000_000, 10_000_012):
        assert task.sample_scenario(seed, "test").group == group_of(environment, seed)


def test_groups_of_a_case(
    environment: EnvironmentConfig, hard: list[tuple[str, float, float]]
) -> None:
    value = raw()
    value["cases"][0]["groups"] = ["elderly_man"]
    plan = plan_suite(parse(SuiteConfig, value, "x"), environment, hard)
    first = [each for each in plan if each.case == "nominal_rest"]
    assert first and {each.group for each in first} == {"elderly_man"}


def _without_hazard(value: dict[str, Any]) -> None:
    value["cases"] = [c for c in value["cases"] if c["id"] != "boundary_spill"]


def _unknown_template(value: dict[str, Any]) -> None:
    value["cases"][0]["template"] = "nominal_rets"


def _unknown_group(value: dict[str, Any]) -> None:
    value["cases"][0]["groups"] = ["giants"]


def _training_seeds(value: dict[str, Any]) -> None:
    value["seeds"] = {"first": 0, "count": 100}


def _unknown_rule(value: dict[str, Any]) -> None:
    value["acceptance"]["rules"] = {"seperation": {"max_rate": 0.1}}


def _unknown_distribution(value: dict[str, Any]) -> None:
    value["distribution"] = "tset"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_without_hazard, "no case for the hazard spilled_food"),
        (_unknown_template, "nominal_rest"),
        (_unknown_group, "unknown group"),
        (_training_seeds, "leave the range"),
        (_unknown_rule, "separation"),
        (_unknown_distribution, "did you mean"),
    ],
)
def test_mistakes_are_one_sentence(
    environment: EnvironmentConfig, change: Any, words: str
) -> None:
    value = raw()
    change(value)
    rules = [rule.id for rule in load_spec(environment.safety).rules]
    with pytest.raises(ConfigError, match=words):
        check_suite(parse(SuiteConfig, value, "x.yaml"), environment, rules)


@pytest.mark.parametrize(
    ("path", "new", "words"),
    [
        ("epsiodes", 3, 'unknown key "epsiodes"'),
        ("version", "one", "version"),
        ("acceptance", {"success": {"minimum": 2}}, "minimum"),
        ("acceptance", {"multiplicity": "bonferroni"}, "multiplicity"),
        ("cases", [{"id": "a"}], "give either template"),
        ("cases", [{"id": "a", "template": "b"}] * 2, "case ids must differ"),
    ],
)
def test_wrong_files_are_one_sentence(path: str, new: Any, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        parse(SuiteConfig, {**raw(), path: new}, "x.yaml")


def test_unknown_suite() -> None:
    with pytest.raises(ContentError, match="care_feeding_quick"):
        load_suite("care_feeding_quik")


def test_digest_follows_every_value() -> None:
    suite = load_suite("care_feeding_quick")
    other = parse(SuiteConfig, {**raw(), "version": 2}, "x.yaml")
    assert suite.digest != other.digest
    assert suite.digest == load_suite("care_feeding_quick").digest


def test_seeds_that_do_not_suffice(
    environment: EnvironmentConfig, hard: list[tuple[str, float, float]]
) -> None:
    value = {**raw(), "seeds": {"first": 10000000, "count": 20}}
    with pytest.raises(ConfigError, match="do not suffice"):
        plan_suite(parse(SuiteConfig, value, "x.yaml"), environment, hard)
