"""Networks with memory: a graph that adds up what it has seen."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, helper

from physai.errors import BundleError
from physai.policy.network import OnnxPolicy


def summing(next_name: str = "next_total", sides: tuple[int, int] = (1, 2)) -> bytes:
    """Return a network whose action is the sum of all observations so far."""

    def value(name: str, shape: tuple[int, ...] = (1, 2)) -> object:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

    graph = helper.make_graph(
        [
            helper.make_node("Add", ["observation", "total"], ["action"]),
            helper.make_node("Identity", ["action"], [next_name]),
        ],
        "summing",
        [value("observation"), value("total", sides)],
        [value("action"), value(next_name)],
    )
    opset = [helper.make_opsetid("", 18)]
    model = helper.make_model(graph, opset_imports=opset, ir_version=9)
    return bytes(model.SerializeToString())


def test_memory_lasts_for_an_episode() -> None:
    policy = OnnxPolicy(summing())
    assert policy.observation_size == policy.action_size == 2
    one = np.array([1.0, -2.0], dtype=np.float32)
    for _ in range(2):
        policy.reset()
        given = [policy.act(one) for _ in range(3)]
        np.testing.assert_array_equal(given, [one, 2 * one, 3 * one])


def test_an_input_that_nothing_feeds_is_refused() -> None:
    with pytest.raises(BundleError, match="beside pairs of NAME and next_NAME"):
        OnnxPolicy(summing("sum"))


def test_memory_of_another_shape_is_refused() -> None:
    with pytest.raises(BundleError, match="total and next_total must be float32"):
        OnnxPolicy(summing(sides=(1, 1)))
