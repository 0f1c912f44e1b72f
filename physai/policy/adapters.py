"""Everything that can be named as a policy.

A name of this list is turned into a checked policy: a bundle (folder or zip, by path
or name), a run folder, an ``.onnx`` file with its contract beside it, a scripted policy
of the environment, ``module:factory``, ``ws://...``; and, because they are programs that
run here, a Stable-Baselines3 ``.zip``, or a TorchScript ``.pt`` with its contract beside
it, only when the caller trusts them.
"""

from __future__ import annotations

import importlib
import json
import traceback
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from physai import content
from physai.content import digest_file, digest_text
from physai.errors import (
    BundleError,
    ContentError,
    ContractError,
    MissingExtraError,
    PhysaiError,
    RefusedError,
    suggest,
)
from physai.policy.bundle import Bundle, policy_digest, read_bundle
from physai.policy.network import OnnxPolicy
from physai.policy.policy import (
    CheckedPolicy,
    FloatArray,
    Policy,
    PolicyContract,
    check_fits,
)
from physai.policy.remote import RemotePolicy
from physai.policy.residual import ResidualPolicy
from physai.record.signature import PublicKey

__all__ = [
    "SCRIPTED",
    "LoadedPolicy",
    "load_policy",
    "observation_of",
    "open_bundle",
]

SCRIPTED = ("expert", "random", "random_white", "zero", "adversary")
"""Names that are asked of the environment."""

# Only the training package imports Stable-Baselines3 and torch: named, not imported.
_SB3_LOADER = "physai.training.adapters:load_sb3"
_TORCHSCRIPT_LOADER = "physai.training.adapters:load_torchscript"


class LoadedPolicy(CheckedPolicy):
    """A checked policy that knows where it came from.

    Attributes:
        digest: SHA-256 that names it in verdicts; of the text where it is no file.
        bundle: The verified bundle, if it came from one.
    """

    def __init__(
        self,
        policy: Policy,
        *,
        name: str,
        digest: str,
        observation_size: int | None = None,
        action_size: int | None = None,
        bundle: Bundle | None = None,
    ) -> None:
        super().__init__(policy, observation_size, action_size, name)
        self.digest = digest
        self.bundle = bundle


def load_policy(
    spec: str | Path,
    env: Any = None,
    trust: bool = False,
    *,
    seed: int = 0,
    deadline_s: float | None = None,
    trusted: Mapping[str, PublicKey] | None = None,
) -> LoadedPolicy:
    """Return the policy that a name stands for, checked against its environment.

    Args:
        spec: Bundle folder or zip, name under ``policies/``, run folder, ``.onnx``,
            SB3 ``.zip``, TorchScript ``.pt``, ``expert``, ``random``, ``zero``, ``adversary``,
            ``module:factory`` (called with the environment) or ``ws://...``.
        env: Environment or cycle that it is for; needed by scripted policies and, to
            check that they fit, wanted by all.
        trust: Accept what can run code (an SB3 zip, TorchScript) or is not signed by a trusted key.
        seed: Seed of a scripted policy.
        deadline_s: Deadline of a remote policy [s]; None takes half a period.
        trusted: Trusted keys by id; None takes the site's and the person's own.

    Raises:
        ContentError: If there is nothing of that name.
        ContractError: If it does not fit the environment.
        BundleError: If a bundle is incomplete or altered.
        RefusedError: If it is not signed by a trusted key, or needs ``trust``.
        LinkError: If a remote policy cannot be reached.
        MissingExtraError: If it needs an extra that is not installed.
    """
    text = str(spec)
    world = getattr(env, "unwrapped", env)
    if text in SCRIPTED:
        return _scripted(text, world, seed)
    if text.startswith(("ws://", "wss://")):
        return _remote(text, world, deadline_s)
    path = _path(text)
    if path is None and ":" in text:
        return _factory(text, world)
    if path is None:
        known = [*SCRIPTED, *content.names("policies")]
        raise ContentError(f'no policy "{text}": {suggest(text, known)}')
    if path.suffix == ".onnx":
        return _onnx(path, world)
    if path.suffix == ".pt":
        return _torchscript(path, world, trust)
    if path.is_file() and _is_sb3(path):
        return _sb3(path, world, trust)
    bundle = open_bundle(path, trusted, require_signature=not trust)
    return _from_bundle(bundle, world)


def open_bundle(
    spec: str | Path,
    trusted: Mapping[str, PublicKey] | None = None,
    *,
    require_signature: bool = True,
) -> Bundle:
    """Read and verify the bundle that a path, a name or a run folder stands for.

    Raises:
        ContentError: If there is nothing of that name.
        BundleError: If it is incomplete or altered.
        RefusedError: If it is not signed by a trusted key.
    """
    path = _path(str(spec))
    if path is None:
        known = content.names("policies")
        raise ContentError(f'no policy "{spec}": {suggest(str(spec), known)}')
    is_bundle = (path / "manifest.json").is_file()
    if path.is_dir() and not is_bundle and (path / "bundle").is_dir():
        path = path / "bundle"
    return read_bundle(path, trusted, require_signature=require_signature)


def observation_of(spec: str | Path) -> str:
    """Return the mode of observation that a policy was made for.

    What has no contract before it is loaded counts as ``state``.

    Args:
        spec: As for :func:`load_policy`, which still has to load and check it.

    Raises:
        PhysaiError: If a bundle or a contract cannot be read or was altered.
    """
    text = str(spec)
    path = None if text in SCRIPTED or "://" in text else _path(text)
    if path is None:
        return "state"
    if path.suffix in (".onnx", ".pt"):
        found = path.with_suffix(".json").is_file()
        return _with_contract(path)[0].observation if found else "state"
    if path.is_file() and _is_sb3(path):
        return "state"
    return open_bundle(path, require_signature=False).contract.observation


def _path(text: str) -> Path | None:
    """Return a path that exists, else the content of that name, else None."""
    path = Path(text)
    if path.exists():
        return path
    if path.suffix in (".onnx", ".pt", ".zip") or text.endswith("/"):
        raise ContentError(f"{text}: there is no such file")
    return content.names("policies").get(text.removeprefix("policies/"))


def _from_bundle(bundle: Bundle, world: Any) -> LoadedPolicy:
    _check(bundle.contract, world, bundle.name)
    return LoadedPolicy(
        _whole(bundle.policy(), bundle.contract, world, bundle.name),
        name=bundle.name,
        digest=bundle.policy_digest,
        observation_size=bundle.contract.observation_size,
        action_size=len(bundle.contract.action_names),
        bundle=bundle,
    )


def _whole(policy: Policy, contract: PolicyContract, world: Any, origin: str) -> Policy:
    """Return a policy with the expert that it corrects, if it is a correction."""
    if not contract.residual_scale:
        return policy
    make = getattr(world, "scripted_policy", None)
    if make is None:
        raise ContractError(
            f"{origin}: corrects the environment's expert: give load_policy an environment"
        )
    return ResidualPolicy(make("expert", 0), policy, contract.residual_scale)


def _onnx(path: Path, world: Any) -> LoadedPolicy:
    contract, model = _with_contract(path)
    _check(contract, world, str(path))
    policy = OnnxPolicy(model, contract, str(path))
    return LoadedPolicy(
        _whole(policy, contract, world, str(path)),
        name=path.stem,
        digest=policy_digest(model, contract),
        observation_size=policy.observation_size,
        action_size=policy.action_size,
    )


def _torchscript(path: Path, world: Any, trust: bool) -> LoadedPolicy:
    if not trust:
        raise RefusedError(
            f"{path}: is TorchScript, a program that would run here; if you made it "
            "yourself, say --trust, or better: export it to ONNX"
        )
    contract, model = _with_contract(path)
    _check(contract, world, str(path))
    load = _named(_TORCHSCRIPT_LOADER, "a TorchScript file")
    return LoadedPolicy(
        _whole(load(path, contract), contract, world, str(path)),
        name=path.stem,
        digest=policy_digest(model, contract),
        observation_size=contract.observation_size,
        action_size=len(contract.action_names),
    )


def _with_contract(path: Path) -> tuple[PolicyContract, bytes]:
    """Read a model and the contract beside it.

    Raises:
        ContractError: If there is none, or it is wrong.
        BundleError: If a file cannot be read.
    """
    beside = path.with_suffix(".json")
    if not beside.is_file():
        raise ContractError(
            f"{path}: has no contract beside it ({beside.name}); write a bundle, or "
            "the contract"
        )
    try:
        value = json.loads(beside.read_text(encoding="utf-8"))
        model = path.read_bytes()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not JSON"
        raise BundleError(f"{path}: cannot be read ({reason})") from None
    return PolicyContract.from_json(value, str(beside)), model


def _named(loader: str, what: str) -> Callable[..., Policy]:
    """Return a loader of the training package.

    Raises:
        MissingExtraError: If what it needs is not installed.
    """
    module, _, function = loader.partition(":")
    try:
        load: Callable[..., Policy] = getattr(importlib.import_module(module), function)
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("physai"):
            raise
        raise MissingExtraError("train", what) from None
    return load


def _sb3(path: Path, world: Any, trust: bool) -> LoadedPolicy:
    if not trust:
        raise RefusedError(
            f"{path}: is a Stable-Baselines3 file, a pickle that can run any code; if "
            "you made it yourself, say --trust, or better: export a bundle"
        )
    facts = _facts(world)
    policy = _named(_SB3_LOADER, "a Stable-Baselines3 file")(
        path,
        _size(facts),
        len(facts["action_names"]) if facts else None,
    )
    return _sized(policy, world, path.stem, digest_file(path))


def _scripted(name: str, world: Any, seed: int) -> LoadedPolicy:
    make = getattr(world, "scripted_policy", None)
    if make is None:
        raise ContractError(
            f'the policy "{name}" is the environment\'s own: give load_policy an '
            "environment"
        )
    return _sized(make(name, seed), world, name, digest_text(f"scripted:{name}"))


def _remote(url: str, world: Any, deadline_s: float | None) -> LoadedPolicy:
    facts = _facts(world)
    rate = facts["control_hz"] if facts else 20.0
    size = len(facts["action_names"]) if facts else None
    policy = RemotePolicy(url, deadline_s or 0.5 / rate, size)
    return _sized(policy, world, url, digest_text(f"remote:{url}"))


def _factory(text: str, world: Any) -> LoadedPolicy:
    module, _, attribute = text.partition(":")
    try:
        make = getattr(importlib.import_module(module), attribute)
    except ModuleNotFoundError as error:
        if (error.name or "") not in (module, module.partition(".")[0]):
            raise
        raise ContentError(f'policy "{text}": there is no module {module}') from None
    except (AttributeError, ValueError, TypeError):
        raise ContentError(
            f'policy "{text}": the module {module} has no "{attribute}"'
        ) from None
    try:
        policy = make(world)
    except PhysaiError:
        raise
    except Exception as error:
        raise ContractError(f'policy "{text}": {_where(error)}') from error
    if not isinstance(policy, Policy):
        raise ContractError(
            f'policy "{text}": gave a {type(policy).__name__} without reset and act'
        )
    contract = getattr(policy, "contract", None)
    if isinstance(contract, PolicyContract):
        _check(contract, world, text)
    return _sized(_Foreign(policy, text), world, text, digest_text(f"factory:{text}"))


class _Foreign:
    """A policy of others: an exception of theirs becomes a sentence with its place."""

    def __init__(self, policy: Policy, name: str) -> None:
        self._policy, self._name = policy, name
        self.contract = getattr(policy, "contract", None)

    def reset(self) -> None:
        self._guarded(self._policy.reset)

    def act(self, observation: FloatArray) -> FloatArray:
        action: FloatArray = self._guarded(self._policy.act, observation)
        return action

    def _guarded(self, function: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return function(*arguments)
        except PhysaiError:
            raise
        except Exception as error:
            raise ContractError(f'policy "{self._name}": {_where(error)}') from error


def _where(error: Exception) -> str:
    """Return what was raised and where, in one line."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})"
    return f"raised {type(error).__name__}: {error}{place}"


def _sized(policy: Policy, world: Any, name: str, digest: str) -> LoadedPolicy:
    facts = _facts(world)
    return LoadedPolicy(
        policy,
        name=name,
        digest=digest,
        observation_size=_size(facts),
        action_size=len(facts["action_names"]) if facts else None,
    )


def _check(contract: PolicyContract, world: Any, origin: str) -> None:
    facts = _facts(world)
    if facts:
        check_fits(contract, **facts, origin=origin)


def _facts(world: Any) -> dict[str, Any]:
    """Return what an environment or a cycle expects of a policy; empty for None."""
    if world is None:
        return {}
    spaces = world if hasattr(world, "observation_names") else world.spaces
    return {
        "observation_names": tuple(spaces.observation_names),
        "action_names": tuple(spaces.action_names),
        "images": tuple(getattr(spaces, "images", ())),
        "control_hz": float(world.environment.control_hz),
        # The guard may be a stricter one than in training; who evaluates or deploys
        # compares its digest with the evidence, not with the contract.
        "digests": {},
    }


def _size(facts: Mapping[str, Any]) -> int | None:
    """Return how many numbers an observation has: named entries and pixels."""
    if not facts:
        return None
    pixels = sum(int(image.size) for image in facts["images"])
    return len(facts["observation_names"]) + pixels


def _is_sb3(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            names = {Path(name).name for name in archive.namelist()}
    except (OSError, zipfile.BadZipFile):
        raise BundleError(f"{path}: is not a readable zip file") from None
    return "manifest.json" not in names and bool(
        names & {"data", "policy.pth", "pytorch_variables.pth"}
    )
