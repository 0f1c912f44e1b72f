"""Every shipped policy: signed, made by its committed config, and fit for its environment."""

from __future__ import annotations

import json

import numpy as np
import pytest

pytest.importorskip("stable_baselines3")
pytest.importorskip("pybullet")

from physai import content
from physai.policy.adapters import load_policy
from physai.policy.bundle import read_bundle
from physai.tasks import registry
from physai.training.train import load_config

NAMES = sorted(content.names("policies"))


@pytest.mark.parametrize("name", NAMES)
def test_a_shipped_policy_comes_from_its_committed_config(name: str) -> None:
    bundle = read_bundle(content.find("policies", name))
    manifest = json.loads(
        (content.find("policies", name) / "manifest.json").read_text()
    )
    training = manifest["training"]
    config = load_config(name, [])
    assert training["config_digest"] == content.digest_value(config.distinctive())
    assert training["seed"] == config.seed
    assert bundle.contract.environment == config.environment


@pytest.mark.parametrize("name", NAMES)
def test_a_shipped_policy_acts_in_its_environment(name: str) -> None:
    bundle = read_bundle(content.find("policies", name))
    mode = bundle.contract.observation
    cycle = registry.make_cycle(bundle.contract.environment, observation=mode)
    try:
        # Refused if not signed by a trusted key, or made for other content.
        policy = load_policy(name, cycle)
        scenario = cycle.task.sample_scenario(10_500_000, "test")
        observation = cycle.reset(scenario)
        policy.reset()
        for _ in range(40):
            action = policy.act(observation)
            assert np.isfinite(action).all() and (np.abs(action) <= 1.0).all()
            cycle.step(action)
            observation = cycle.observation
    finally:
        cycle.close()


@pytest.mark.parametrize("name", NAMES)
def test_a_card_says_what_was_measured(name: str) -> None:
    place = content.find("policies", name)
    card = (place / "card.md").read_text()
    held_out = json.loads((place / "manifest.json").read_text())["training"]["held_out"]
    assert f"safe success {held_out['safe_success']:.1%}" in card
    assert f"{held_out['episodes']} episodes" in card
    for heading in ("## What it can", "## How it was trained", "## What it cannot"):
        assert heading in card
    for group in held_out["groups"]:
        assert f"| {group} |" in card
