from __future__ import annotations

import json
import threading
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from physai.errors import (
    BundleError,
    ContentError,
    ContractError,
    LinkError,
    RefusedError,
)
from physai.policy import load_policy
from physai.policy.bundle import Bundle, pack_bundle
from physai.policy.policy import FloatArray, FunctionPolicy, Policy
from physai.policy.remote import RemotePolicy, serve_policy

from .conftest import TRUSTED, contract, evaluate, mlp

OBSERVATION = np.linspace(-1, 1, 12, dtype=np.float32)
EXPECTED = evaluate(mlp()[1], OBSERVATION)


class World:
    """What a policy needs to know of an environment."""

    def __init__(self, control_hz: float = 20.0) -> None:
        self.observation_names = contract().observation_names
        self.action_names = contract().action_names
        self.environment = SimpleNamespace(control_hz=control_hz)

    def scripted_policy(self, name: str, seed: int = 0) -> Policy:
        value = {"zero": 0.0, "expert": 1.0}[name] + seed
        return FunctionPolicy(lambda observation: np.full(3, value, np.float32))


def make_zero(env: Any) -> Policy:
    return World().scripted_policy("zero")


def make_nothing(env: Any) -> int:
    return 3


def test_bundles_by_path_name_zip_and_run_folder(
    site: Path,
    make_bundle: Callable[..., Bundle],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(site)
    bundle = make_bundle(site / "policies" / "care_feeding")
    make_bundle(tmp_path / "run" / "bundle")
    specs = [
        bundle.path,
        "care_feeding",
        "policies/care_feeding",
        pack_bundle(bundle.path, tmp_path / "b.zip"),
        tmp_path / "run",
    ]
    for spec in specs:
        policy = load_policy(spec, World(), trusted=TRUSTED)
        policy.reset()
        np.testing.assert_allclose(policy.act(OBSERVATION), EXPECTED, atol=1e-6)
        assert policy.digest == bundle.policy_digest
        assert policy.contract == contract()
        with pytest.raises(RefusedError, match="not trusted"):
            load_policy(spec)
        load_policy(spec, trust=True)
    with pytest.raises(ContractError, match="observation has the shape"):
        policy.act(OBSERVATION[:3])
    with pytest.raises(ContractError, match=r"20 Hz.*50 Hz"):
        load_policy(bundle.path, World(control_hz=50.0), trusted=TRUSTED)


def test_a_network_needs_its_contract(tmp_path: Path) -> None:
    path = tmp_path / "p.onnx"
    path.write_bytes(mlp()[0])
    with pytest.raises(ContractError, match=r"no contract beside it \(p.json\)"):
        load_policy(path)
    path.with_suffix(".json").write_text("{")
    with pytest.raises(BundleError, match="not JSON"):
        load_policy(path)
    path.with_suffix(".json").write_text(json.dumps(contract().to_json()))
    policy = load_policy(path, World())
    np.testing.assert_allclose(policy.act(OBSERVATION), EXPECTED, atol=1e-6)


def test_a_pickle_needs_trust(tmp_path: Path) -> None:
    path = tmp_path / "model.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("data", "{}")
        archive.writestr("policy.pth", "")
    with pytest.raises(RefusedError, match="pickle"):
        load_policy(path)
    path.write_bytes(b"PK")
    with pytest.raises(BundleError, match="not a readable zip"):
        load_policy(path)


@pytest.mark.filterwarnings("ignore:.*torch.export:DeprecationWarning")
def test_torchscript_needs_trust_and_a_contract_that_it_keeps(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")

    class Double(torch.nn.Module):  # type: ignore[misc,name-defined]
        def __init__(self, size: int) -> None:
            super().__init__()
            self.size = size

        def forward(self, observation: torch.Tensor) -> torch.Tensor:
            return 2.0 * observation[:, : self.size]

    path = tmp_path / "p.pt"
    torch.jit.save(torch.jit.script(Double(3)), str(path))
    with pytest.raises(RefusedError, match="TorchScript, a program"):
        load_policy(path, World())
    with pytest.raises(ContractError, match=r"no contract beside it \(p.json\)"):
        load_policy(path, World(), trust=True)
    path.with_suffix(".json").write_text(json.dumps(contract().to_json()))
    policy = load_policy(path, World(), trust=True)
    policy.reset()
    np.testing.assert_allclose(policy.act(OBSERVATION), 2.0 * OBSERVATION[:3])
    assert policy.name == "p" and policy.contract is None
    torch.jit.save(torch.jit.script(Double(2)), str(path))
    with pytest.raises(BundleError, match="its contract names 3 actions"):
        load_policy(path, World(), trust=True)
    path.write_bytes(b"no module")
    with pytest.raises(BundleError, match="is no TorchScript module"):
        load_policy(path, World(), trust=True)
    with pytest.raises(ContentError, match="no such file"):
        load_policy("none.pt")


def test_scripted_policies_are_the_environments_own() -> None:
    policy = load_policy("expert", World())
    np.testing.assert_array_equal(policy.act(OBSERVATION), np.ones(3))
    assert load_policy("zero", World(), seed=1).act(OBSERVATION)[0] == 1.0
    assert policy.digest != load_policy("zero", World()).digest
    with pytest.raises(ContractError, match="give load_policy an environment"):
        load_policy("expert")


def test_a_factory_is_called_with_the_environment() -> None:
    name = __name__
    assert load_policy(f"{name}:make_zero", World()).act(OBSERVATION).shape == (3,)
    with pytest.raises(ContractError, match="without reset and act"):
        load_policy(f"{name}:make_nothing")
    with pytest.raises(ContentError, match='has no "nobody"'):
        load_policy(f"{name}:nobody")
    with pytest.raises(ContentError, match="no module nowhere"):
        load_policy("nowhere:make")


def test_an_unknown_name_is_one_sentence(site: Path) -> None:
    with pytest.raises(ContentError, match='no policy "expret": did you mean "expert"'):
        load_policy("expret")
    for spec in ("none.onnx", "none.zip", "runs/none/"):
        with pytest.raises(ContentError, match="no such file"):
            load_policy(spec)
    with pytest.raises(BundleError, match="has no manifest"):
        load_policy(site)


@pytest.fixture
def server() -> Iterator[tuple[str, threading.Event]]:
    """A policy server whose answers wait while the event is cleared."""
    go = threading.Event()
    go.set()

    def act(observation: FloatArray) -> FloatArray:
        go.wait(5)
        if observation[0] > 100:
            raise ValueError("too far")
        return observation[:3]

    with serve_policy(FunctionPolicy(act)) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        port = running.socket.getsockname()[1]
        yield f"ws://127.0.0.1:{port}", go
        go.set()
        running.shutdown()
        thread.join()


def test_a_remote_policy_answers_in_time_or_not_at_all(
    server: tuple[str, threading.Event],
) -> None:
    url, go = server
    policy = load_policy(url, World(), deadline_s=0.3)
    assert isinstance(policy.policy, RemotePolicy)
    policy.reset()
    np.testing.assert_array_equal(policy.act(OBSERVATION), OBSERVATION[:3])
    go.clear()
    assert np.isnan(policy.act(OBSERVATION)).all()
    assert (policy.policy.late, policy.not_finite) == (1, 1)
    go.set()
    # The late answer to the question before must not be taken for this one.
    later = OBSERVATION * 0.5
    np.testing.assert_array_equal(policy.act(later), later[:3])
    with pytest.raises(ContractError, match="too far"):
        policy.act(OBSERVATION + 1000)
    policy.policy.close()
    with pytest.raises(LinkError, match="lost"):
        policy.act(OBSERVATION)


def test_nobody_listens() -> None:
    with pytest.raises(LinkError, match="no policy server"):
        load_policy("ws://127.0.0.1:9", World())
    with pytest.raises(LinkError, match="not the address"):
        load_policy("ws://", World())
