from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from physai import content
from physai.policy.bundle import Bundle, write_bundle
from physai.policy.policy import PolicyContract
from physai.record.signature import SigningKey

KEY = SigningKey(bytes(range(32)), "tester")
TRUSTED = {KEY.id: KEY.public}
OBSERVATIONS, ACTIONS = 12, 3


def mlp(
    observations: int = OBSERVATIONS,
    actions: int = ACTIONS,
    hidden: tuple[int, ...] = (64, 64),
    batch: int | str = 1,
) -> tuple[bytes, list[np.ndarray]]:
    """A tanh network as ONNX bytes, and its weights."""
    rng = np.random.default_rng(0)
    sizes = (observations, *hidden, actions)
    nodes, weights, value = [], [], "observation"
    for layer, (m, n) in enumerate(pairwise(sizes)):
        w = (rng.normal(size=(m, n)) / np.sqrt(m)).astype(np.float32)
        b = rng.normal(size=n).astype(np.float32)
        weights += [w, b]
        end = "action" if layer == len(sizes) - 2 else f"t{layer}"
        gemm = [value, f"w{layer}", f"b{layer}"]
        nodes.append(helper.make_node("Gemm", gemm, [f"g{layer}"]))
        nodes.append(helper.make_node("Tanh", [f"g{layer}"], [end]))
        value = end
    names = [f"{kind}{layer}" for layer in range(len(sizes) - 1) for kind in "wb"]
    info = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "policy",
        [info("observation", TensorProto.FLOAT, [batch, observations])],
        [info("action", TensorProto.FLOAT, [batch, actions])],
        [numpy_helper.from_array(w, n) for w, n in zip(weights, names, strict=True)],
    )
    opset = [helper.make_opsetid("", 17)]
    model = helper.make_model(graph, opset_imports=opset, ir_version=9)
    onnx.checker.check_model(model)
    return model.SerializeToString(), weights


def evaluate(weights: list[np.ndarray], observation: np.ndarray) -> np.ndarray:
    value = observation
    for w, b in zip(weights[::2], weights[1::2], strict=True):
        value = np.tanh(value @ w + b)
    return value


def contract(
    observations: int = OBSERVATIONS, actions: int = ACTIONS, control_hz: float = 20.0
) -> PolicyContract:
    return PolicyContract(
        environment="physai/CareFeeding-v0",
        observation_names=tuple(f"o{i}_m" for i in range(observations)),
        action_names=tuple(f"a{i}_m_s" for i in range(actions)),
        control_hz=control_hz,
        digests={"environment": "e" * 64, "robot": "r" * 64, "safety": "s" * 64},
    )


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty site, and an empty key folder outside it."""
    root = tmp_path / "site"
    for name in content.FOLDERS:
        (root / name).mkdir(parents=True)
    monkeypatch.setenv("PHYSAI_CONTENT", str(root))
    monkeypatch.setenv("PHYSAI_KEYS", str(tmp_path / "keys"))
    return root


@pytest.fixture
def make_bundle(tmp_path: Path) -> Callable[..., Bundle]:
    def make(folder: Path | None = None, key: SigningKey = KEY) -> Bundle:
        return write_bundle(
            folder or tmp_path / "care",
            model=mlp()[0],
            contract=contract(),
            card="# Care\nEats from a spoon.\n",
            key=key,
            training={"digest": "0" * 64, "steps": 1000},
            versions={"physai": "0.1.0"},
        )

    return make
