from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from physai.cli import main
from physai.errors import ConfigError
from physai.evaluation.arm import episode_header, run_episode
from physai.evaluation.replay import replay
from physai.record.episode import Episode, EpisodeWriter
from physai.tasks import registry

SEED = 10_000_000


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A hand that reaches for the arm, guard on."""
    cycle = registry.make_cycle("physai/CareFeeding-v0", guard="on")
    scenario = cycle.task.sample_scenario(SEED, "test", "misuse_reach")
    scenario = scenario.model_copy(update={"duration_s": 8.0})
    file = tmp_path_factory.mktemp("episodes") / "reach.parquet"
    writer = EpisodeWriter(file, episode_header(cycle, scenario, plant="bullet"))
    run_episode(cycle, cycle.scripted_policy("adversary", 0), scenario, writer)
    cycle.close()
    return file


def rewrite(source: Path, target: Path, header: dict[str, object]) -> Path:
    """Copy an episode with another header."""
    episode = Episode.load(source)
    writer = EpisodeWriter(target, {**episode.header, **header})
    state = episode.initial_state()
    assert state is not None
    writer.begin(state, episode.initial_truth())
    for step in episode.steps():
        writer.append(step)
    return writer.close(episode.outcome)


def test_an_episode_comes_out_the_same_to_the_last_bit(recorded: Path) -> None:
    result = replay(recorded)
    assert result.kind == "exact"
    assert result.difference is None
    assert result.before == result.after
    assert result.causes == ()


def test_one_altered_action_is_found_where_it_is(
    recorded: Path, tmp_path: Path
) -> None:
    episode = Episode.load(recorded)
    writer = EpisodeWriter(tmp_path / "altered.parquet", episode.header)
    state = episode.initial_state()
    assert state is not None
    writer.begin(state, episode.initial_truth())
    import dataclasses

    for index, step in enumerate(episode.steps()):
        if index == 40:
            step = dataclasses.replace(step, action=-np.asarray(step.action))
        writer.append(step)
    result = replay(writer.close())
    assert result.difference is not None
    assert result.difference.step == 40
    assert not result.same


def test_what_if_there_had_been_no_guard(recorded: Path) -> None:
    result = replay(recorded, guard="off")
    assert result.kind == "what_if"
    assert result.same
    assert "moving_contact" not in result.before.violated
    assert "moving_contact" in result.after.violated


def test_what_if_the_person_were_another(recorded: Path) -> None:
    result = replay(recorded, settings=["people.0.stature_m=1.45"])
    assert result.kind == "what_if"
    with pytest.raises(ConfigError, match='did you mean "stature_m"'):
        replay(recorded, settings=["people.0.statur_m=1.5"])
    with pytest.raises(ConfigError, match='has no "7"'):
        replay(recorded, settings=["people.7.stature_m=1.5"])
    with pytest.raises(ConfigError, match="stature_m"):
        replay(recorded, settings=["people.0.stature_m=tall"])


def test_a_log_without_a_simulator_asks_the_guard_again(
    recorded: Path, tmp_path: Path
) -> None:
    log = rewrite(recorded, tmp_path / "robot.parquet", {"plant": "ros"})
    result = replay(log)
    assert result.kind == "asked_again"
    # The command of the step before is part of a decision, and it is the same here.
    assert result.decisions_changed == 0
    assert result.before.violated == result.after.violated


def test_a_guard_that_is_asked_later_knows_what_was_sent_then(tmp_path: Path) -> None:
    """Motion that was commanded in the log is not motion that nobody asked for."""
    cycle = registry.make_cycle("physai/CareFeeding-v0", guard="off")
    scenario = cycle.task.sample_scenario(SEED, "test", "nominal_rest")
    scenario = scenario.model_copy(update={"duration_s": 4.0})
    header = episode_header(cycle, scenario, plant="ros")
    writer = EpisodeWriter(tmp_path / "unguarded.parquet", header)
    file = run_episode(cycle, cycle.scripted_policy("random", 0), scenario, writer)
    cycle.close()
    log = Episode.load(file)
    asked = registry.make_cycle(
        "physai/CareFeeding-v0", plant="replay", guard="on", episode=log
    )
    asked.reset(scenario)
    rules = set()
    for action in log.column("action"):
        rules.add(asked.step(action).decision.rule)
    asked.close()
    assert rules, "random motion beside a person is changed by the guard"
    assert not rules & {"unexpected_motion", "following", "plausibility"}


def test_other_content_is_named_as_the_cause(recorded: Path, tmp_path: Path) -> None:
    digests = {**Episode.load(recorded).header["digests"], "guard": "0" * 64}
    log = rewrite(recorded, tmp_path / "other.parquet", {"digests": digests})
    result = replay(log)
    assert len(result.causes) == 1
    assert "guard was 000000000000" in result.causes[0]


def test_the_command(
    recorded: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["replay", str(recorded), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["kind"] == "exact"
    assert main(["replay", str(recorded), "--set", "peple.0.stature_m=1"]) == 2
    assert "people" in capsys.readouterr().err
    half = tmp_path / "half.parquet"
    shutil.copy(recorded, half)
    half.write_bytes(half.read_bytes()[:2000])
    assert main(["replay", str(half)]) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1
