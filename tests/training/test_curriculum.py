"""Easier scenarios first: what is drawn, when it widens, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("stable_baselines3")
pytest.importorskip("pybullet")

from physai.errors import ConfigError
from physai.tasks import registry
from physai.training.config import CurriculumConfig, StageConfig
from physai.training.curriculum import Curriculum
from physai.training.train import load_config

ALL = ("nominal", "boundary", "fault", "misuse")


@pytest.mark.parametrize("name", registry.ids())
def test_every_environment_can_be_narrowed(name: str) -> None:
    environment = registry.load_environment(name)
    easy = registry.make_task(environment.narrowed(0.25, ("nominal",)))
    whole = registry.make_task(environment)
    kinds = {t.name: t.kind for t in environment.templates}
    for seed in range(25):
        scenario = easy.sample_scenario(seed)
        assert kinds[scenario.case] == "nominal"
        for key, value in scenario.values.items():
            given = {**environment.ranges, **environment.template(scenario.case).ranges}
            bounds = given.get(key)
            if isinstance(bounds, tuple):
                middle, half = np.mean(bounds), 0.5 * (bounds[1] - bounds[0])
                assert abs(value - middle) <= 0.25 * half + 1e-6
    everything = registry.make_task(environment.narrowed(1.0, ALL))
    for seed in range(3):
        assert everything.sample_scenario(seed) == whole.sample_scenario(seed)


def test_an_environment_draws_what_it_is_told_to() -> None:
    env = registry.make("physai/CareFeeding-v0").unwrapped
    env.narrow(0.0, ("nominal",))
    drawn = []
    for seed in (1, 2):
        env.reset(seed=seed)
        drawn.append(env.cycle.scenario.values)
    env.narrow(1.0, ALL)
    env.reset(seed=1)
    assert drawn[0]["seat_x_m"] == drawn[1]["seat_x_m"]
    assert env.cycle.scenario.values["seat_x_m"] != drawn[0]["seat_x_m"]
    env.close()


class Told:
    """Stands for the learner: what a curriculum reads of it."""

    def __init__(self) -> None:
        self.num_timesteps = 0
        self.ep_success_buffer: list[float] = []
        self.logger = self
        self.narrowed: list[Any] = []

    def get_env(self) -> Told:
        return self

    def record(self, *_: Any) -> None:
        pass

    def env_method(self, name: str, *given: Any) -> None:
        self.narrowed.append((name, *given))


def test_the_next_stage_begins_with_success_or_with_time() -> None:
    plan = CurriculumConfig(
        stages=(
            StageConfig(spread=0.2, kinds=("nominal",)),
            StageConfig(spread=0.6),
            StageConfig(),
        ),
        success=0.5,
        most_steps=1000,
    )
    progress: dict[str, Any] = {}
    model, curriculum = Told(), Curriculum(plan, progress)
    curriculum.model = model  # type: ignore[assignment]
    curriculum._on_training_start()
    model.ep_success_buffer = [1.0] * 19
    curriculum._on_rollout_end()
    assert progress["curriculum"]["stage"] == 0
    model.num_timesteps, model.ep_success_buffer = 500, [1.0] * 10 + [0.0] * 10
    curriculum._on_rollout_end()
    assert progress["curriculum"] == {"stage": 1, "since": 500, "began": [0, 500]}
    assert model.ep_success_buffer == []
    model.num_timesteps = 1499
    curriculum._on_rollout_end()
    model.num_timesteps = 1500
    curriculum._on_rollout_end()
    curriculum._on_rollout_end()
    assert progress["curriculum"]["began"] == [0, 500, 1500]
    assert [given[1] for given in model.narrowed] == [0.2, 0.6, 1.0]
    # A run that goes on begins where it was.
    again = Curriculum(plan, progress)
    again.model = model  # type: ignore[assignment]
    again._on_training_start()
    assert model.narrowed[-1] == ("narrow", 1.0, ALL)


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("distribution=test", "none to train on"),
        ("distribution=wild", "none to train on"),
        ("curriculum={stages: [{kinds: [fault]}]}", "curriculum.stages.0"),
        ("curriculum={stages: []}", "curriculum.stages"),
        ("curriculum={stages: [{spread: 2.0}]}", "spread"),
    ],
)
def test_what_cannot_be_drawn_is_one_sentence(setting: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        load_config("care_feeding", [setting])
