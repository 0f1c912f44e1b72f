from __future__ import annotations

import json
from pathlib import Path

import onnxruntime
import pytest

from physai.errors import ContentError, ContractError
from physai.evaluation.challenge import (
    DOMAIN_EPISODES,
    challenge_domain,
    challenge_guard,
    domains,
)
from physai.evaluation.suite import SuiteConfig, load_suite

ADVERSARIES = Path(__file__).parents[2] / "benchmarks" / "adversaries"


@pytest.mark.slow
def test_the_guard_is_what_makes_the_difference(tmp_path: Path) -> None:
    suite = load_suite("care_feeding_guard").model_copy(update={"episodes": 10})
    result = challenge_guard(suite, ("adversary",), 2, tmp_path, progress=False)
    off, on = result["total"]["off"], result["total"]["on"]
    episodes = on["episodes"]
    assert off["episodes"] == episodes >= 10
    assert off["moving_contact"]["episodes"] > 0
    assert on["moving_contact"]["episodes"] == 0
    assert on["joint_limit"]["episodes"] == 0
    assert on["moving_contact"]["upper_bound_95"] == pytest.approx(
        1 - 0.05 ** (1 / episodes)
    )
    arms = {(row["policy"], row["guard"]) for row in result["arms"]}
    assert arms == {("adversary", "off"), ("adversary", "on")}
    again = challenge_guard(suite, ("adversary",), 1, tmp_path, progress=False)
    assert again["arms"] == result["arms"]


def test_so_many_episodes_show_a_tenth_of_a_percent() -> None:
    assert DOMAIN_EPISODES == 2995
    assert 1.0 - 0.05 ** (1.0 / DOMAIN_EPISODES) <= 0.001
    assert 1.0 - 0.05 ** (1.0 / (DOMAIN_EPISODES - 1)) > 0.001


def test_every_domain_has_its_tasks() -> None:
    assert set(domains()) == {"care", "construction", "logistics"}
    assert all(len(suites) == 2 for suites in domains().values())


@pytest.mark.slow
def test_a_domain_is_challenged_on_seeds_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from physai.training.adversary import search_adversary

    monkeypatch.setattr("physai.evaluation.challenge.load_suite", _shortened)

    # The scripted part of the plan needs no file, the frozen part needs four.
    frozen = tmp_path / "adversaries"
    frozen.mkdir()
    short = _shortened("care_feeding_guard")
    made = search_adversary(short, frozen / "care_feeding_searched.onnx", generations=1)
    assert made.episodes == 6 + 2 * 16 + 2 * 8
    with pytest.raises(ContentError, match=r"care_feeding_learned.onnx: there is no"):
        challenge_domain("care", frozen, out=tmp_path)
    with pytest.raises(ContractError, match='no domain "car"; did you mean "care"'):
        challenge_domain("car", frozen, out=tmp_path)
    for name in ("care_feeding_learned", "care_night_round_searched"):
        _chance(frozen / f"{name}.onnx", name)
    _chance(frozen / "care_night_round_learned.onnx", "care_night_round_learned")
    result = challenge_domain(
        "care", frozen, 1, 16, 8, workers=1, out=tmp_path, progress=False
    )
    on = [row for row in result["arms"] if row["guard"] == "on"]
    assert {(row["task"], row["policy"]) for row in on} == {
        (task, policy)
        for task in ("care_feeding", "care_night_round")
        for policy in ("random", "adversary", "searched", "learned")
    }
    starts = {(row["task"], row["seeds"]["first"]) for row in on}
    assert len(starts) == 8, "no two policies of a task share seeds"
    assert all(first >= 18_100_000 for _, first in starts), "of round 1"
    assert result["total"]["on"]["moving_contact"]["episodes"] == 0
    assert result["total"]["on"]["episodes"] >= 16


def _shortened(name: str | Path) -> SuiteConfig:
    """Return a suite of cases of one second each."""
    suite = load_suite(name)
    cases = tuple(
        case.model_copy(
            update={"scenario": case.scenario.model_copy(update={"duration_s": 1.0})}
        )
        for case in suite.cases
    )
    return suite.model_copy(update={"cases": cases})


def _chance(file: Path, name: str) -> None:
    """Save a linear policy with random weights for a task."""
    import numpy as np

    from physai.tasks import registry
    from physai.training.adversary import LinearPolicy, write_contract

    task = name.rpartition("_")[0]
    cycle = registry.make_cycle(load_suite(f"{task}_guard").environment)
    size, rng = len(cycle.spaces.observation_names), np.random.default_rng(0)
    policy = LinearPolicy(
        np.zeros(size, dtype=np.float32),
        np.ones(size, dtype=np.float32),
        len(cycle.spaces.action_names),
    )
    policy.set(rng.normal(0.0, 0.3, policy.size))
    policy.save(file)
    write_contract(cycle, file)
    cycle.close()


@pytest.mark.parametrize(
    "file", sorted(ADVERSARIES.glob("*.onnx")), ids=lambda file: file.stem
)
def test_a_frozen_adversary_still_fits_its_environment(file: Path) -> None:
    from physai.tasks import registry

    contract = json.loads(file.with_suffix(".json").read_text())
    spaces = registry.observed_spaces(contract["environment"])
    assert tuple(contract["observation_names"]) == spaces.observation_names
    assert tuple(contract["action_names"]) == spaces.action_names
    asked = onnxruntime.InferenceSession(file.read_bytes()).get_inputs()[0]
    assert asked.shape[1] == len(spaces.observation_names)
