"""Training configs: what they inherit, what changes over a run, what editors are told."""

from __future__ import annotations

import json
import math
import pickle
from pathlib import Path

import pytest

from physai import content
from physai.config import json_schema, parse
from physai.errors import ConfigError, ContentError
from physai.training.config import (
    Schedule,
    TrainConfig,
    read_training,
    with_schedules,
)


def write(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        (folder / f"{name}.yaml").write_text(text)
    return folder / f"{next(iter(files))}.yaml"


def test_a_file_says_only_what_is_different(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        child="extends: parent.yaml\nhyperparameters: {gamma: 0.9}\nseed: 4\n",
        parent="extends: care_feeding\nseed: 3\nvector: {environments: 6}\n",
    )
    base = read_training(content.find("train", "care_feeding"))
    value = read_training(path)
    assert value["seed"] == 4 and value["vector"]["environments"] == 6
    assert value["hyperparameters"] == {**base["hyperparameters"], "gamma": 0.9}
    assert "extends" not in value
    assert parse(TrainConfig, value, "child").total_steps == base["total_steps"]


def test_another_algorithm_begins_its_hyperparameters_anew(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        child="extends: care_feeding\nalgorithm: SAC\nhyperparameters: {tau: 0.01}\n",
    )
    value = read_training(path)
    assert value["hyperparameters"] == {"tau": 0.01}
    assert "policy_kwargs" not in value and value["demonstrations"]["episodes"] == 60


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"a": "extends: b.yaml\n", "b": "extends: a.yaml\n"}, "builds on this file"),
        ({"a": "extends: a.yaml\n"}, "builds on this file itself"),
        ({"a": "extends: [care_feeding]\n"}, "must be the name of one training config"),
        ({"a": "extends: care_feding\n"}, "care_feeding"),
    ],
)
def test_what_cannot_be_inherited_is_one_sentence(tmp_path, files, words) -> None:
    with pytest.raises((ConfigError, ContentError), match=words):
        read_training(write(tmp_path, **files))


def test_schedules_run_from_one_value_to_the_other() -> None:
    given = {
        "learning_rate": {"linear": [3e-4, 1e-5]},
        "clip_range": {"cosine": [0.2, 0.1]},
        "ent_coef": 0.01,
    }
    made = with_schedules(given)
    line, curve = made["learning_rate"], made["clip_range"]
    assert made["ent_coef"] == 0.01
    for share in (0.0, 0.25, 0.5, 1.0):
        assert line(1.0 - share) == pytest.approx(3e-4 + share * (1e-5 - 3e-4))
        turned = 0.1 + 0.1 * 0.5 * (1.0 + math.cos(math.pi * share))
        assert curve(1.0 - share) == pytest.approx(turned)
    again = pickle.loads(pickle.dumps(line))
    assert isinstance(again, Schedule) and again(0.3) == line(0.3)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"lineal": [1.0, 0.0]}, 'unknown schedule "lineal"; did you mean "linear"'),
        ({"linear": [1.0]}, "takes two numbers"),
        ({"linear": ["a", "b"]}, "takes two numbers"),
        ({"linear": [1, 0], "cosine": [1, 0]}, "a schedule is written"),
    ],
)
def test_a_wrong_schedule_is_one_sentence(value, words) -> None:
    with pytest.raises(ConfigError, match=words):
        with_schedules({"learning_rate": value})


def test_editors_know_of_inheritance_and_of_every_section() -> None:
    schema = json_schema(TrainConfig)
    assert {"extends", "constraint", "vector"} <= set(schema["properties"])
    assert ["extends"] in [each["required"] for each in schema["anyOf"]]
    assert "required" not in schema
    json.dumps(schema)


def test_a_file_that_says_only_what_is_different_is_checked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from physai.cli import main

    file = tmp_path / "mine.yaml"
    file.write_text("extends: care_feeding\nhyperparameters: {n_stepz: 5}\n")
    assert main(["check", str(file)]) == 2
    told = capsys.readouterr().out
    assert 'PPO has no "n_stepz"; did you mean "n_steps"?' in told
    file.write_text("extends: care_feeding\nseed: 4\n")
    assert main(["check", str(file)]) == 0
