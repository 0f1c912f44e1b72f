"""Corrections of the expert: nothing added changes nothing, and the bundle says what it is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("stable_baselines3")
pytest.importorskip("pybullet")

from physai.errors import ConfigError, ContractError
from physai.policy.adapters import load_policy
from physai.policy.policy import FunctionPolicy, PolicyContract
from physai.policy.residual import ResidualPolicy
from physai.tasks import registry
from physai.training.residual import CorrectedEnv
from physai.training.train import load_config

ENVIRONMENT = "physai/CareFeeding-v0"
SETTINGS = ["demonstrations.episodes=0", "residual={scale: 0.2}"]


def test_a_correction_is_added_scaled_and_cut() -> None:
    base = FunctionPolicy(lambda seen: np.array([0.5, -0.95], np.float32))
    more = FunctionPolicy(lambda seen: np.array([0.5, -1.0], np.float32))
    policy = ResidualPolicy(base, more, 0.2)
    policy.reset()
    np.testing.assert_allclose(policy.act(np.zeros(3, np.float32)), [0.6, -1.0])


def test_nothing_added_is_the_expert() -> None:
    own = registry.make(ENVIRONMENT)
    env = CorrectedEnv(registry.make(ENVIRONMENT), 0.2)
    try:
        expert = own.unwrapped.scripted_policy("expert")
        for seed in (3, 4):
            seen, _ = own.reset(seed=seed)
            shown, _ = env.reset(seed=seed)
            expert.reset()
            for _ in range(60):
                np.testing.assert_array_equal(seen, shown)
                seen, reward, *_ = own.step(expert.act(seen))
                shown, given, *_ = env.step(np.zeros(env.action_space.shape))
                assert reward == given
        seen, *_ = own.step(expert.act(seen))
        shown, *_ = env.step(np.ones(env.action_space.shape, np.float32))
        assert not np.array_equal(seen, shown)
    finally:
        own.close()
        env.close()


def test_labels_of_the_expert_teach_no_correction() -> None:
    with pytest.raises(ConfigError, match=r"demonstrations\.episodes to 0"):
        load_config("care_feeding", ["residual={}"])


def test_a_contract_says_what_is_corrected() -> None:
    plain = PolicyContract("a", ("x",), ("y",), 20.0)
    assert "residual_scale" not in plain.to_json()
    value = PolicyContract("a", ("x",), ("y",), 20.0, residual_scale=0.2).to_json()
    assert PolicyContract.from_json(value).residual_scale == 0.2
    with pytest.raises(ContractError, match="from 0 to 1"):
        PolicyContract.from_json({**value, "residual_scale": 1.5})


@pytest.mark.slow
def test_a_correction_that_has_learned_nothing_still_feeds(tmp_path: Path) -> None:
    home = {**os.environ, "PHYSAI_KEYS": str(tmp_path / "keys")}
    settings = [
        *SETTINGS,
        "total_steps=64",
        "hyperparameters={n_steps: 32, batch_size: 32, learning_rate: 1.0e-9}",
        "evaluation={episodes: 1, final_episodes: 2}",
    ]
    command = [sys.executable, "-m", "physai", "train", "care_feeding", "--out", "run"]
    command += [f"--set={each}" for each in settings]
    done = subprocess.run(
        command, env=home, cwd=tmp_path, capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stderr
    bundle = tmp_path / "run" / "bundle"
    manifest = json.loads((bundle / "manifest.json").read_text())
    assert manifest["contract"]["residual_scale"] == 0.2
    assert manifest["training"]["held_out"]["safe_success"] == 1.0
    assert "corrects the scripted expert" in (bundle / "card.md").read_text()
    with pytest.raises(ContractError, match="give load_policy an environment"):
        load_policy(bundle, None, trust=True)
