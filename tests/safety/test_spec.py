"""A specification that cannot do what it says is refused, with file, rule and reason."""

import copy

import pytest
from ruamel.yaml import YAML

from physai import content
from physai.config import load
from physai.errors import ConfigError
from physai.robot.description import load_robot
from physai.safety import compile_spec, load_spec
from physai.safety.rules import RULES
from physai.safety.spec import SafetySpec
from physai.types import Action
from tests.safety.conftest import EXTRAS, TRUTH_EXTRAS


def given(name="care_feeding"):
    return YAML(typ="safe").load(content.find("safety", name))


def refusal(tmp_path, values):
    path = tmp_path / "site.yaml"
    with path.open("w", encoding="utf-8") as handle:
        YAML().dump(values, handle)
    with pytest.raises(ConfigError) as error:
        load(SafetySpec, path)
    text = str(error.value)
    assert "\n" not in text and "site.yaml" in text
    return text


def rule_of(values, id):
    return next(rule for rule in values["rules"] if rule["id"] == id)


BAD = {
    "no unit": ("tcp_speed", lambda r: r["limit"].pop("unit"), "limit.unit"),
    "other unit": (
        "tcp_speed",
        lambda r: r["limit"].update(unit="km/h"),
        "is in m/s, not in km/h",
    ),
    "no source": ("tcp_speed", lambda r: r["limit"].pop("source"), "limit.source"),
    "empty source": ("tcp_speed", lambda r: r["limit"].update(source=" "), "source"),
    "no number": (
        "tcp_speed",
        lambda r: r["limit"].update(value=float("nan")),
        "value",
    ),
    "unknown signal": (
        "tcp_speed",
        lambda r: r.update(rule="tcp_sped"),
        'unknown rule "tcp_sped"; did you mean "tcp_speed"',
    ),
    "same id": (
        "tcp_speed",
        lambda r: r.update(id="workspace"),
        "must differ: workspace",
    ),
    "latched release": (
        "joint_age",
        lambda r: r.update(window={"release_s": 0.5}),
        '"joint_age": release_s 0.5 is never reached',
    ),
    "endless release": (
        "people_age",
        lambda r: r.update(window={"release_s": 900.0}),
        '"people_age": release_s 900 would hold',
    ),
    "weak stop": (
        "people_missing",
        lambda r: r.update(action="slow"),
        "the action slow is weaker than stop2, the least for people_missing",
    ),
    "weak age": (
        "joint_age",
        lambda r: r.update(action="stop2"),
        "weaker than stop1, the least for joint_age",
    ),
    "blind action": (
        "moving_contact",
        lambda r: r.update(action="stop1"),
        "only the scorer can",
    ),
    "never holds": (
        "face_speed",
        lambda r: r.update(uncertainty=0.2),
        "would never hold",
    ),
    "half a response": (
        "stop_response",
        lambda r: r.pop("response"),
        "response belongs to the kind response",
    ),
    "lost response": (
        "stop_response",
        lambda r: r["response"].update(judged="tcp_sped"),
        'response.judged: no rule "tcp_sped"; did you mean "tcp_speed"',
    ),
    "mixed response": (
        "stop_response",
        lambda r: r["response"].update(judged="joint_velocity"),
        "is in 1",
    ),
    "extra without need": (
        "tcp_speed",
        lambda r: r.update(extra="consent"),
        "extra belongs to rules about extras",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_rule_is_refused(tmp_path, name):
    id, break_it, words = BAD[name]
    values = given()
    break_it(rule_of(values, id))
    assert words in refusal(tmp_path, values)


def test_a_guards_rule_cannot_judge_what_is_hidden_from_it():
    values = given()
    rule_of(values, "stop_response").update(
        id="charge", rule="battery", extra="food_spilled", limit=BATTERY
    )
    del rule_of(values, "charge")["response"]
    rule_of(values, "charge")["action"] = "stop2"
    spec = SafetySpec.model_validate(values)
    with pytest.raises(ConfigError, match="hidden from the guard"):
        compile_spec(spec, load_robot("franka"), 20.0, EXTRAS, TRUTH_EXTRAS)


BATTERY = {"value": 0.2, "unit": "1", "source": "test", "confidence": "project"}


@pytest.mark.parametrize("kind", sorted(RULES))
def test_every_least_action_is_one_that_can_be_given(kind):
    rule = RULES[kind]
    if rule.view == "truth":
        assert rule.least is Action.NONE
    if "age" in kind or kind in ("people_missing", "input_integrity"):
        assert rule.least >= Action.STOP2, "what is not known stops"


def numbers(value, path=()):
    """Yield the path of every number in nested mappings and lists."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from numbers(inner, (*path, key))
    elif isinstance(value, (list, tuple)):
        for index, inner in enumerate(value):
            yield from numbers(inner, (*path, index))
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        yield path


@pytest.mark.parametrize("name", sorted(content.names("safety")))
def test_the_digest_changes_with_any_number(name):
    """Every number of the specification is under the digest, and nothing moves it."""
    values = load_spec(name).model_dump(mode="json")
    plain = content.digest_value(SafetySpec.model_validate(values).distinctive())
    again = content.digest_value(load_spec(name).distinctive())
    assert plain == again
    seen = {plain}
    changed = 0
    for path in numbers(values):
        other = copy.deepcopy(values)
        place = other
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = place[path[-1]] * 1.001 + 0.001
        try:
            spec = SafetySpec.model_validate(other)
        except ValueError:
            continue
        digest = content.digest_value(spec.distinctive())
        assert digest not in seen, path
        seen.add(digest)
        changed += 1
    assert changed > 100
