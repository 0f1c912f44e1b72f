"""Cards, written from what the shipped policies have measured."""

from __future__ import annotations

import pytest

pytest.importorskip("stable_baselines3")

from physai import content
from physai.policy.bundle import read_bundle
from physai.tasks import registry
from physai.training.finish import write_card
from physai.training.train import load_config


@pytest.mark.parametrize(
    ("behind", "said"),
    [
        (None, ""),
        (0.049, ""),
        (0.07, "7.0 points less often than the scripted expert"),
    ],
)
@pytest.mark.parametrize("name", ["construction_trench", "construction_haul"])
def test_a_card_says_how_far_a_policy_stays_behind_the_expert(
    name: str, behind: float | None, said: str
) -> None:
    """As it was measured, and as if so much less had been."""
    bundle = read_bundle(content.find("policies", name))
    config, training = load_config(name, []), dict(bundle.manifest.training)
    figures = dict(training["held_out"])
    if behind is not None:
        expert = figures["beside"]["expert"]["safe_success"]
        figures["safe_success"] = expert - behind
    world = registry.load_environment(config.environment)
    card = write_card(config, world, figures, training, bundle.contract)
    assert ("points less often" in card) == bool(said)
    assert said in card
