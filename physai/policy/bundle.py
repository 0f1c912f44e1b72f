"""Bundles: a policy with its contract, evidence and signature, and nothing executable.

A folder or zip with ``policy.onnx``, ``manifest.json``, ``card.md``, ``signature.json``
and further data files. The manifest holds the SHA-256 of every other file, the
signature covers the manifest, so one changed byte anywhere is found.
"""

from __future__ import annotations

import json
import os
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from physai.config import parse
from physai.content import digest_text
from physai.errors import BundleError, ConfigError, ContractError, RefusedError
from physai.policy.archive import SUFFIXES, read_files
from physai.policy.manifest import (
    CARD,
    MANIFEST,
    MODEL,
    SCHEMA,
    SIGNATURE,
    Bundle,
    Manifest,
    policy_digest,
)
from physai.policy.network import OnnxPolicy
from physai.policy.policy import PolicyContract
from physai.record.permit import Evidence
from physai.record.plain import plain
from physai.record.signature import (
    PublicKey,
    Signature,
    SigningKey,
    trusted_keys,
    verify_digest,
)

__all__ = [
    "SCHEMA",
    "Bundle",
    "Manifest",
    "pack_bundle",
    "policy_digest",
    "read_bundle",
    "restage_bundle",
    "verify_bundle",
    "write_bundle",
]


def write_bundle(
    folder: str | os.PathLike[str],
    *,
    model: bytes | Path,
    contract: PolicyContract,
    card: str,
    key: SigningKey,
    training: Mapping[str, Any] | None = None,
    versions: Mapping[str, str] | None = None,
    stage: str = "none",
    evidence: Sequence[Evidence] = (),
    files: Mapping[str, bytes] | None = None,
    name: str | None = None,
) -> Bundle:
    """Write and sign a bundle; a bundle of that name is replaced as a whole.

    Args:
        folder: The folder to write.
        model: ONNX bytes or file.
        contract: What the policy was made for.
        card: Markdown: what it is for, how it was trained, what it can and cannot do.
        key: Signs it.
        training: Digest of the resolved training configuration, and figures.
        versions: Versions of the software that made it.
        stage: Release stage reached.
        evidence: What the stage rests on.
        files: Further data files by name.
        name: The policy's name; None takes the folder's.

    Returns:
        The bundle as written.

    Raises:
        BundleError: If the model cannot be run or does not fit the contract, a file
            may not be in a bundle, or the folder cannot be written.
    """
    target = Path(folder)
    data = model if isinstance(model, bytes) else _bytes_of(model)
    OnnxPolicy(data, contract, str(target / MODEL))
    every = {**(files or {}), MODEL: data, CARD: card.encode()}
    for file in every:
        if file in (MANIFEST, SIGNATURE) or not file.endswith(SUFFIXES):
            raise BundleError(f"{target}: {file} may not be a further file of a bundle")
    manifest = parse(
        Manifest,
        {
            "name": name or target.name,
            "policy_digest": policy_digest(data, contract),
            "contract": contract.to_json(),
            "training": plain(dict(training or {}), "the training of a bundle"),
            "versions": dict(versions or {}),
            "files": {file: digest_text(every[file]) for file in sorted(every)},
            "stage": stage,
            "evidence": tuple(evidence),
        },
        "manifest",
    )
    return _store(target, manifest, contract, every, key)


def restage_bundle(
    folder: str | os.PathLike[str],
    *,
    key: SigningKey,
    stage: str | None = None,
    evidence: Sequence[Evidence] | None = None,
    card: str | None = None,
    trusted: Mapping[str, PublicKey] | None = None,
) -> Bundle:
    """Give a verified bundle another stage, evidence or card, and sign it again.

    The policy digest stays the same, so verdicts and permits keep referring to it.

    Raises:
        BundleError: As :func:`read_bundle` and :func:`write_bundle`.
        RefusedError: As :func:`read_bundle`.
    """
    bundle = read_bundle(folder, trusted)
    every = {
        name: data
        for name, data in bundle.files.items()
        if name not in (MANIFEST, SIGNATURE)
    }
    if card is not None:
        every[CARD] = card.encode()
    old = bundle.manifest
    value = {
        **old.model_dump(mode="json"),
        "files": {name: digest_text(every[name]) for name in sorted(every)},
        "stage": old.stage if stage is None else stage,
        "evidence": old.evidence if evidence is None else tuple(evidence),
    }
    manifest = parse(Manifest, value, "manifest")
    return _store(bundle.path, manifest, bundle.contract, every, key)


def read_bundle(
    path: str | os.PathLike[str],
    trusted: Mapping[str, PublicKey] | None = None,
    *,
    require_signature: bool = True,
) -> Bundle:
    """Read a bundle and check every byte of it.

    Args:
        path: Folder or zip.
        trusted: Trusted keys by id; None takes the site's and the person's own.
        require_signature: False accepts a bundle without a signature or signed by a
            stranger, never one that was altered.

    Raises:
        BundleError: If a file is missing, unknown or altered, or the manifest wrong.
        RefusedError: If it is not signed by a trusted key.
    """
    origin = Path(path)
    if origin.is_dir() and not (origin / MANIFEST).is_file():
        raise BundleError(f"{origin}: has no {MANIFEST}, so it is no policy bundle")
    files = read_files(origin)
    manifest = _manifest(origin, files)
    contract = _contract(origin, manifest)
    present = set(files) - {MANIFEST, SIGNATURE}
    for name in sorted(set(manifest.files) - present):
        raise BundleError(f"{origin}: {name} is missing; copy the bundle again")
    for name in sorted(present - set(manifest.files)):
        raise BundleError(f"{origin}: {name} is not in the manifest; remove it")
    for name, digest in manifest.files.items():
        if digest_text(files[name]) != digest:
            raise BundleError(
                f"{origin}: {name} was altered after the bundle was written; copy the "
                "bundle again from its source"
            )
    for name in (MODEL, CARD):
        if name not in files:
            raise BundleError(f"{origin}: a bundle needs {name}")
    if policy_digest(files[MODEL], contract) != manifest.policy_digest:
        raise BundleError(
            f"{origin}: the policy digest does not fit model and contract"
        )
    digest = digest_text(files[MANIFEST])
    known = trusted_keys() if trusted is None else trusted
    signer = _signer(origin, files, digest, known, require_signature)
    return Bundle(origin, manifest, contract, digest, signer, files)


def verify_bundle(
    path: str | os.PathLike[str], trusted: Mapping[str, PublicKey] | None = None
) -> dict[str, Any]:
    """Check every byte of a bundle, and that its model runs; return a summary.

    Raises:
        BundleError: As :func:`read_bundle`, or if the model cannot be run.
        RefusedError: As :func:`read_bundle`.
    """
    bundle = read_bundle(path, trusted)
    bundle.policy()
    return bundle.summary()


def pack_bundle(folder: str | os.PathLike[str], target: str | os.PathLike[str]) -> Path:
    """Write a bundle folder as one zip file; equal bundles give equal files.

    Raises:
        BundleError: If the folder is no bundle or the file cannot be written.
    """
    files = read_files(Path(folder))
    _manifest(Path(folder), files)
    path = Path(target)
    try:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name in sorted(files):
                archive.writestr(zipfile.ZipInfo(name), files[name])
    except OSError as error:
        raise BundleError(f"{path}: cannot be written ({error.strerror})") from None
    return path


def _signer(
    origin: Path,
    files: Mapping[str, bytes],
    digest: str,
    trusted: Mapping[str, PublicKey],
    required: bool,
) -> PublicKey | None:
    if SIGNATURE not in files:
        if not required:
            return None
        raise RefusedError(
            f"{origin}: is not signed; whoever made it must sign it with a key that "
            "is trusted here (physai keys)"
        )
    try:
        value = json.loads(files[SIGNATURE])
    except ValueError:
        value = None
    signature = Signature.from_json(value, f"{origin}/{SIGNATURE}")
    if _signature_text(signature) != files[SIGNATURE]:
        raise BundleError(f"{origin}: {SIGNATURE} was altered after it was written")
    if not required and signature.key not in trusted:
        return None
    return verify_digest(signature, digest, "bundle", trusted, str(origin))


def _manifest(origin: Path, files: Mapping[str, bytes]) -> Manifest:
    if MANIFEST not in files:
        raise BundleError(f"{origin}: has no {MANIFEST}, so it is no policy bundle")
    try:
        value = json.loads(files[MANIFEST])
    except ValueError:
        raise BundleError(f"{origin}: {MANIFEST} is not JSON") from None
    schema = value.get("schema_version") if isinstance(value, dict) else None
    if schema != SCHEMA:
        raise BundleError(
            f'{origin}: the bundle has the schema "{schema}", this version reads '
            f'"{SCHEMA}"; export it again'
        )
    try:
        return parse(Manifest, value, str(origin / MANIFEST))
    except ConfigError as error:
        raise BundleError(str(error)) from None


def _contract(origin: Path, manifest: Manifest) -> PolicyContract:
    try:
        return PolicyContract.from_json(manifest.contract, str(origin))
    except ContractError as error:
        raise BundleError(str(error)) from None


def _store(
    target: Path,
    manifest: Manifest,
    contract: PolicyContract,
    files: Mapping[str, bytes],
    key: SigningKey,
) -> Bundle:
    value = manifest.model_dump(mode="json")
    text = json.dumps(value, indent=1, sort_keys=True, allow_nan=False) + "\n"
    digest = digest_text(text)
    signature = key.sign_digest(digest, "bundle")
    every = {
        **files,
        MANIFEST: text.encode(),
        SIGNATURE: _signature_text(signature),
    }
    if target.exists() and not (target / MANIFEST).is_file():
        filled = not target.is_dir() or any(target.iterdir())
        if filled:
            raise BundleError(f"{target}: exists and is no bundle; name another folder")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(
            prefix=f".{target.name}.", dir=target.parent
        ) as folder:
            new, old = Path(folder) / "new", Path(folder) / "old"
            new.mkdir()
            for name, data in every.items():
                (new / name).write_bytes(data)
            if target.exists():
                target.replace(old)
            new.replace(target)
    except OSError as error:
        raise BundleError(f"{target}: cannot be written ({error.strerror})") from None
    return Bundle(target, manifest, contract, digest, key.public, every)


def _signature_text(signature: Signature) -> bytes:
    return (json.dumps(signature.to_json(), indent=1) + "\n").encode()


def _bytes_of(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BundleError(f"{path}: cannot be read ({error.strerror})") from None
