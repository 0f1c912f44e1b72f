"""Checkpoints: all that a learner knows comes back, and nothing bad is ever kept."""

from __future__ import annotations

import resource
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

pytest.importorskip("stable_baselines3")

import torch
from gymnasium import spaces
from stable_baselines3 import PPO, SAC
from stable_baselines3.common.vec_env import DummyVecEnv, VecMonitor, VecNormalize

from physai.errors import PhysaiError, RecordError
from physai.training.checkpoint import (
    latest_checkpoint,
    load_checkpoint,
    read_progress,
    save_checkpoint,
)
from physai.training.config import ConstraintConfig
from physai.training.demonstration import Demonstrations, Episode
from physai.training.lagrangian import constrained

STEPS = 10


class Drift(gymnasium.Env[Any, Any]):
    """A number drifts by what is done and by chance; far from 0 costs."""

    observation_space = spaces.Box(-np.inf, np.inf, (2,), np.float32)
    action_space = spaces.Box(-1.0, 1.0, (1,), np.float32)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.steps, self.at = 0, float(self.np_random.normal())
        return self._observation(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.steps += 1
        self.at += 0.3 * float(action[0]) + 0.1 * float(self.np_random.normal())
        over = self.steps >= STEPS
        info = {"cost": abs(self.at), "is_success": abs(self.at) < 0.5}
        return self._observation(), -abs(self.at), False, over, info

    def _observation(self) -> Any:
        return np.array([self.at, self.steps / STEPS], np.float32)


def make(kind: type[Any], *, constraint: bool = False) -> tuple[Any, VecNormalize]:
    torch.set_num_threads(1)
    given: dict[str, Any] = {"n_steps": 50, "batch_size": 50, "n_epochs": 2}
    if kind is SAC:
        given = {"buffer_size": 5000, "learning_starts": 40, "batch_size": 16}
    if constraint:
        kind = constrained(kind)
        given["constraint"] = ConstraintConfig(budget=1.0, episodes_per_update=7)
    vector = VecNormalize(VecMonitor(DummyVecEnv([Drift] * 2)))
    layers = {"net_arch": [16]}
    return (
        kind("MlpPolicy", vector, seed=0, device="cpu", policy_kwargs=layers, **given),
        vector,
    )


def state(model: Any) -> dict[str, Any]:
    """Everything that the next step depends on."""
    result = {
        "steps": model.num_timesteps,
        "updates": model._n_updates,
        "episodes": model._episode_num,
        "last": [each["r"] for each in model.ep_info_buffer],
        "successes": list(model.ep_success_buffer),
        "actions": model.action_space.np_random.bit_generator.state,
        "parameters": {
            name: value.numpy().copy() if isinstance(value, torch.Tensor) else value
            for name, value in flat(model.get_parameters())
        },
    }
    if isinstance(model, SAC):
        result["temperature"] = float(model.log_ent_coef)
        result["experience"] = model.replay_buffer.observations.copy()
        result["position"] = model.replay_buffer.pos
    if hasattr(model, "unjudged_costs"):
        result["unjudged"] = list(model.unjudged_costs)
        result["price"] = model.multiplier.price
    return result


def flat(value: Any, name: str = "") -> list[tuple[str, Any]]:
    if isinstance(value, dict):
        return [pair for k, v in value.items() for pair in flat(v, f"{name}.{k}")]
    return [(name, value.detach() if isinstance(value, torch.Tensor) else value)]


@pytest.mark.parametrize("constraint", [False, True])
@pytest.mark.parametrize("kind", [PPO, SAC])
def test_all_that_a_learner_knows_comes_back(kind, constraint, tmp_path: Path) -> None:
    model, normalizer = make(kind, constraint=constraint)
    model.learn(250)
    (tmp_path / "best_model.zip").write_bytes(b"best until here")
    place = save_checkpoint(tmp_path / "checkpoints", model, normalizer, {"curve": []})
    (tmp_path / "best_model.zip").write_bytes(b"of a start that was lost")
    before = state(model)
    draw, numbers = np.random.random(), torch.rand(3)
    policies = []
    for _ in range(2):
        again, its = make(kind, constraint=constraint)
        assert load_checkpoint(place, again, its) is None
        np.testing.assert_equal(state(again), before)
        assert np.random.random() == draw
        assert torch.equal(torch.rand(3), numbers)
        np.testing.assert_equal(vars(its.obs_rms), vars(normalizer.obs_rms))
        np.testing.assert_equal(vars(its.ret_rms), vars(normalizer.ret_rms))
        again.learn(200, reset_num_timesteps=False)
        # Schedules run over the whole, not over what was left.
        assert again._total_timesteps == before["steps"] + 200
        assert again._n_updates > before["updates"]
        policies.append(state(again))
    np.testing.assert_equal(policies[0], policies[1])
    assert (tmp_path / "best_model.zip").read_bytes() == b"best until here"


def test_no_checkpoint_is_overwritten_and_two_are_kept(tmp_path: Path) -> None:
    model, normalizer = make(PPO)
    model.learn(100)
    (tmp_path / ".step_0000000099.part").mkdir()
    names = [
        save_checkpoint(tmp_path, model, normalizer, {"turn": turn}).name
        for turn in range(3)
    ]
    assert names == sorted(set(names)) and names[0] == "step_0000000100"
    assert sorted(each.name for each in tmp_path.iterdir()) == names[1:]
    place = latest_checkpoint(tmp_path)
    assert place is not None and read_progress(place)["turn"] == 2


@pytest.mark.parametrize("where", ["weight", "optimizer", "normalisation"])
def test_what_is_no_number_is_never_kept(where: str, tmp_path: Path) -> None:
    model, normalizer = make(PPO)
    model.learn(100)
    folder = tmp_path / "checkpoints"
    good = save_checkpoint(folder, model, normalizer, {})
    if where == "weight":
        model.policy.action_net.bias.data[0] = float("nan")
    elif where == "optimizer":
        next(iter(model.policy.optimizer.state.values()))["exp_avg"][0] = float("inf")
    else:
        normalizer.obs_rms.var[0] = float("nan")
    with pytest.raises(PhysaiError, match="training diverged"):
        save_checkpoint(folder, model, normalizer, {})
    assert [each.name for each in folder.iterdir()] == [good.name]


def test_a_full_disk_leaves_the_checkpoint_before(tmp_path: Path) -> None:
    model, normalizer = make(PPO)
    model.learn(100)
    good = save_checkpoint(tmp_path, model, normalizer, {})
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, limits[1]))
    try:
        with pytest.raises(OSError):
            save_checkpoint(tmp_path, model, normalizer, {})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [each.name for each in tmp_path.iterdir()] == [good.name]
    load_checkpoint(good, *make(PPO))


@pytest.mark.parametrize("name", ["model.zip", "random.pkl", "normalizer.pkl"])
def test_a_damaged_file_is_one_sentence(name: str, tmp_path: Path) -> None:
    model, normalizer = make(PPO)
    model.learn(100)
    place = save_checkpoint(tmp_path, model, normalizer, {})
    data = (place / name).read_bytes()
    (place / name).write_bytes(data[: len(data) // 2])
    with pytest.raises(RecordError, match="delete it to use the one before"):
        load_checkpoint(place, model, normalizer)


def test_demonstrations_that_are_not_finished_are_kept(tmp_path: Path) -> None:
    model, normalizer = make(PPO)
    shown = Demonstrations(
        [
            Episode(
                np.full((n + 1, 2), n, np.float32),
                np.full((n, 1), 2.0, np.float32),
                np.full((n, 1), 3.0, np.float32),
                np.arange(n, dtype=np.float32),
                np.zeros(n, np.float32),
                n == 3,
                n == 5,
            )
            for n in (3, 5)
        ]
    )
    place = save_checkpoint(tmp_path, model, normalizer, {}, shown)
    found = load_checkpoint(place, model, normalizer)
    assert found is not None and len(found) == 8
    for one, other in zip(found.episodes, shown.episodes, strict=True):
        np.testing.assert_equal(vars(one), vars(other))
