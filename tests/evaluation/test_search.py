from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("cma")

from physai.body.behaviour import TriggerConfig
from physai.cli import main
from physai.errors import ContractError
from physai.evaluation.replay import replay
from physai.evaluation.search import search
from physai.evaluation.search_space import SearchSpace
from physai.evaluation.suite import load_suite
from physai.tasks.registry import load_environment


def test_a_space_is_the_ranges_of_its_template() -> None:
    environment = load_environment("physai/CareFeeding-v0")
    template = environment.template("misuse_reach")
    space = SearchSpace(environment, "test", template)
    assert "ranges.seat_x_m" in space.names
    assert "reach.speed_m_s" in space.names
    assert "offer_mouth.trigger.below" in space.names
    low = space.at([0.0] * len(space.names))
    high = space.at([2.0] * len(space.names))
    assert low.ranges["seat_x_m"] == environment.ranges["seat_x_m"][0]
    assert high.ranges["seat_x_m"] == environment.ranges["seat_x_m"][1]
    assert high.behaviours[2].speed_m_s == 1.6
    with pytest.raises(ContractError, match="dimensions"):
        space.at([0.5])


def test_people_of_a_template_are_searched_too() -> None:
    environment = load_environment("physai/CareNightRound-v0")
    template = environment.template("misuse_backs_up")
    space = SearchSpace(environment, "test", template)
    assert "people.0.path.start_m.0" in space.names
    assert len(set(space.names)) == len(space.names)
    low, high = (space.at([x] * len(space.names)) for x in (0.0, 1.0))
    given = template.people[0].path.start_m[0]
    assert low.people[0].path.start_m[0] == given[0]
    assert high.people[0].path.start_m[0] == given[1]


def test_a_trigger_above_is_searched() -> None:
    environment = load_environment("physai/CareFeeding-v0")
    given = environment.template("misuse_reach")
    behaviour = given.behaviours[0].model_copy(
        update={"trigger": TriggerConfig(signal="path_m", above=(1.0, 2.0))}
    )
    template = given.model_copy(update={"behaviours": (behaviour,)})
    space = SearchSpace(environment, "test", template)
    name = f"{behaviour.kind}.trigger.above"
    assert name in space.names
    fixed = space.at([0.5] * len(space.names)).behaviours[0].trigger
    assert fixed.above == 1.5
    assert fixed.below is None


@pytest.mark.slow
def test_what_is_found_can_be_replayed(tmp_path: Path) -> None:
    suite = load_suite("care_feeding_guard")
    first = search("adversary", suite, 8, 1, tmp_path / "a", "off", progress=False)
    assert first["failures"] >= 4
    assert "never a rate" in first["note"]
    for case in first["cases"]:
        assert case["episodes"] == 1
        for found in case["found"][:1]:
            assert found["margin"] < 0.0
            assert replay(found["episode"]).same
            assert json.loads(Path(found["scenario"]).read_text())["people"]
    again = search("adversary", suite, 8, 1, tmp_path / "b", "off", progress=False)
    margins = [
        [case["best_margin"] for case in each["cases"]] for each in (first, again)
    ]
    assert margins[0] == margins[1]


def test_bad_requests(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["search", "adversary", "--suite", "care_feeding_guard"]
    assert main([*arguments, "--budget", "2", "--out", str(tmp_path)]) == 2
    assert "at least" in capsys.readouterr().err
