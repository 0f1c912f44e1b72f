from __future__ import annotations

import dataclasses
import json
from typing import Any

import numpy as np
import pytest

from physai.errors import ContractError
from physai.policy.policy import (
    CheckedPolicy,
    FunctionPolicy,
    ImageEntry,
    Policy,
    PolicyContract,
    check_fits,
)

from .conftest import contract

ZEROS = np.zeros(12, dtype=np.float32)


def test_a_contract_survives_json() -> None:
    given = dataclasses.replace(contract(), action_scale=(0.1, 0.2, 0.3))
    again = PolicyContract.from_json(json.loads(json.dumps(given.to_json())))
    assert again == given
    assert again.observation_units == ("1",) * 12


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"schema": "physai/policy-contract/9"}, "this version reads"),
        ({"more": 1}, "missing or unknown keys: \\['more'\\]"),
        ({"observation_scale": [1.0]}, "has 1 entries for 12"),
        ({"observation_scale": [0.0] * 12}, "above 0"),
        ({"control_hz": float("nan")}, "control_hz"),
        ({"control_hz": "fast"}, "malformed"),
        ({"action_names": []}, "must name an entry"),
        ({"action_names": [1, 2, 3]}, "not a text"),
        ({"digests": 3}, "malformed"),
    ],
)
def test_a_wrong_contract_is_one_sentence(change: dict, reason: str) -> None:
    with pytest.raises(ContractError, match=reason):
        PolicyContract.from_json({**contract().to_json(), **change})
    with pytest.raises(ContractError, match="mapping"):
        PolicyContract.from_json([1])


def test_a_policy_must_fit_what_it_is_used_with() -> None:
    ours = contract()
    fits = {
        "observation_names": ours.observation_names,
        "action_names": ours.action_names,
        "control_hz": 20.0,
    }
    check_fits(ours, **fits, digests={"robot": "r" * 64, "suite": "x"})
    swapped = (ours.observation_names[1], ours.observation_names[0])
    names = swapped + ours.observation_names[2:]
    with pytest.raises(ContractError, match=r'entry 0 is "o0_m".*"o1_m"'):
        check_fits(ours, **{**fits, "observation_names": names})
    with pytest.raises(ContractError, match=r"for 3 action entries, .* has 2"):
        check_fits(ours, **{**fits, "action_names": ours.action_names[:2]})
    with pytest.raises(ContractError, match=r"20 Hz.*50 Hz"):
        check_fits(ours, **{**fits, "control_hz": 50.0})
    with pytest.raises(ContractError, match="another version of the robot"):
        check_fits(ours, **fits, digests={"robot": "q" * 64})


IMAGES = (
    ImageEntry("side.rgb", 4, 6, 3, "1", 255.0),
    ImageEntry("side.depth", 4, 6, 1, "m", 10.0),
)


def test_a_contract_names_the_images_that_follow_the_entries() -> None:
    given = dataclasses.replace(contract(), observation="rgbd", images=IMAGES)
    assert given.observation_size == 12 + 4 * 6 * 4
    value = json.loads(json.dumps(given.to_json()))
    assert value["observation"] == "rgbd" and value["images"][1]["unit"] == "m"
    assert PolicyContract.from_json(value) == given
    # Bundles from before there were images keep their digest.
    assert not {"observation", "images"} & set(contract().to_json())
    for change, reason in (
        ({"images": []}, '"rgbd" with 0 images'),
        ({"observation": "state"}, '"state" with 2 images'),
        ({"observation": "smell"}, 'valid: "state"'),
        ({"images": [{"name": "side.rgb"}]}, "malformed"),
        ({"images": [{**value["images"][0], "height": 0}]}, "whole numbers"),
        ({"images": [{**value["images"][0], "high": 0.0}]}, "high must be above 0"),
    ):
        with pytest.raises(ContractError, match=reason):
            PolicyContract.from_json({**value, **change})


def test_images_must_fit_too() -> None:
    ours = dataclasses.replace(contract(), observation="rgbd", images=IMAGES)
    fits = {
        "observation_names": ours.observation_names,
        "action_names": ours.action_names,
        "control_hz": 20.0,
    }
    check_fits(ours, **fits, images=IMAGES)
    with pytest.raises(ContractError, match='made for the observation "rgbd", here it'):
        check_fits(ours, **fits)
    with pytest.raises(ContractError, match='made for the observation "state"'):
        check_fits(contract(), **fits, images=IMAGES)
    larger = (dataclasses.replace(IMAGES[0], width=8), IMAGES[1])
    with pytest.raises(ContractError, match=r"side.rgb of 4 x 6 x 3 .* 4 x 8 x 3"):
        check_fits(ours, **fits, images=larger)
    with pytest.raises(ContractError, match="for 2 images, the environment has 1"):
        check_fits(ours, **fits, images=IMAGES[:1])


def test_wrong_shapes_raise_and_wrong_values_are_counted() -> None:
    answers: list[Any] = []
    inner = FunctionPolicy(lambda observation: answers.pop())
    assert isinstance(inner, Policy)
    policy = CheckedPolicy(inner, 12, 3, "p")
    policy.reset()
    for wrong in (np.zeros(2), np.zeros((1, 3)), np.zeros(0), None, "left", [[1], 2]):
        answers.append(wrong)
        with pytest.raises(ContractError, match="the action"):
            policy.act(ZEROS)
    with pytest.raises(ContractError, match="observation has the shape"):
        policy.act(np.zeros(11, dtype=np.float32))
    answers.append(np.zeros(3))
    assert policy.act(ZEROS).dtype == np.float32
    assert (policy.not_finite, policy.out_of_range) == (0, 0)
    for flagged in ([0.0, np.nan, 0.0], [0.0, np.inf, 0.0], [0.0, 1.5, 0.0]):
        answers.append(flagged)
        np.testing.assert_array_equal(policy.act(ZEROS), flagged)
    assert (policy.not_finite, policy.out_of_range) == (2, 1)
