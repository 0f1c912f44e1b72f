"""Cards, written from what the shipped policies have measured."""

from __future__ import annotations

import pytest

pytest.importorskip("stable_baselines3")

from physai import content
from physai.policy.bundle import read_bundle
from physai.tasks import registry
from physai.training.finish import write_card
from physai.training.train import load_config


def card(name: str) -> str:
    """Return the card as it would be written today."""
    bundle = read_bundle(content.find("policies", name))
    config, training = load_config(name, []), dict(bundle.manifest.training)
    world = registry.load_environment(config.environment)
    return write_card(config, world, training["held_out"], training, bundle.contract)


@pytest.mark.parametrize("name", ["construction_trench", "construction_haul"])
def test_a_card_says_how_far_a_policy_stays_behind_the_expert(name: str) -> None:
    figures = read_bundle(content.find("policies", name)).manifest.training["held_out"]
    expert = figures["beside"]["expert"]["safe_success"]
    behind = 100.0 * (expert - figures["safe_success"])
    said = f"{behind:.1f} points less often than the scripted expert"
    assert (said in card(name)) == (behind > 5.0)


def test_both_cases_are_among_the_shipped() -> None:
    assert "points less often" in card("construction_trench")
    assert "points less often" not in card("construction_haul")
