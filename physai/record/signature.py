"""Ed25519 keys and signatures.

A private key lives outside every site and repository: in ``PHYSAI_KEYS``, else in
``~/.config/physai/keys``, readable by its owner alone. A public key that a site
trusts is content: ``configs/governance/trusted_keys.yaml``, reviewed like any file.
A person's own keys are trusted on the person's own machine, so that a bundle that
one has just trained can be run; where it counts (a permit, a deployment) only the
site's list is asked.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from physai import content
from physai.config import Config, load, parse
from physai.errors import ContentError, PhysaiError, RefusedError, suggest

__all__ = [
    "PURPOSES",
    "PublicKey",
    "Signature",
    "SigningKey",
    "create_key",
    "export_key",
    "keys_folder",
    "list_keys",
    "load_key",
    "trust_key",
    "trusted_keys",
    "verify_digest",
]

Purpose = Literal["bundle", "ledger", "permit", "report"]
PURPOSES: tuple[Purpose, ...] = ("bundle", "ledger", "permit", "report")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_TRUSTED = ("configs", "governance", "trusted_keys.yaml")


class PublicKey(Config):
    """A public key that may be trusted."""

    id: str
    """First 16 hex digits of the SHA-256 of the raw public key."""
    name: str
    """Whose key it is."""
    purpose: tuple[Purpose, ...] = PURPOSES
    """What its signatures are accepted for."""
    public_key: str
    """The 32 raw bytes in Base64."""

    def raw(self) -> bytes:
        """Return the 32 raw bytes.

        Raises:
            ContentError: If they are no Ed25519 key, or do not give the id.
        """
        try:
            data = base64.b64decode(self.public_key, validate=True)
        except (binascii.Error, ValueError):
            data = b""
        if len(data) != 32:
            raise ContentError(f'key "{self.name}": public_key is not 32 bytes Base64')
        if _key_id(data) != self.id:
            raise ContentError(f'key "{self.name}": the id does not belong to the key')
        return data


class TrustedKeysFile(Config):
    """``configs/governance/trusted_keys.yaml``."""

    keys: tuple[PublicKey, ...] = ()
    """The keys that this site trusts."""


@dataclass(frozen=True, slots=True)
class Signature:
    """A signature over a digest, for one purpose.

    Attributes:
        key: Id of the key.
        purpose: What was signed; part of what is signed, so that a signature for a
            bundle is none for a permit.
        digest: SHA-256 that was signed, 64 hex digits.
        signature: 64 raw bytes in Base64.
    """

    key: str
    purpose: str
    digest: str
    signature: str

    def to_json(self) -> dict[str, str]:
        """Return it as JSON values."""
        return {
            "algorithm": "ed25519",
            "key": self.key,
            "purpose": self.purpose,
            "digest": self.digest,
            "signature": self.signature,
        }

    @classmethod
    def from_json(cls, value: Any, origin: str) -> Signature:
        """Read it from JSON values.

        Raises:
            RefusedError: If it is malformed.
        """
        wanted = {"algorithm", "key", "purpose", "digest", "signature"}
        if (
            not isinstance(value, Mapping)
            or set(value) != wanted
            or not all(isinstance(part, str) for part in value.values())
            or value["algorithm"] != "ed25519"
        ):
            raise RefusedError(f"{origin}: the signature is malformed; sign it again")
        return cls(value["key"], value["purpose"], value["digest"], value["signature"])


class SigningKey:
    """A private key in memory.

    Args:
        private: The 32 raw private bytes.
        name: Its name.
    """

    def __init__(self, private: bytes, name: str) -> None:
        from cryptography.hazmat.primitives.asymmetric import ed25519

        self._key = ed25519.Ed25519PrivateKey.from_private_bytes(private)
        raw = self._key.public_key().public_bytes_raw()
        text = base64.b64encode(raw).decode()
        self.public = PublicKey(id=_key_id(raw), name=name, public_key=text)

    @property
    def id(self) -> str:
        """Id of the key."""
        return self.public.id

    def sign_digest(self, digest: str, purpose: Purpose) -> Signature:
        """Sign a digest (64 hex digits) for one purpose."""
        data = self._key.sign(_payload(digest, purpose))
        text = base64.b64encode(data).decode()
        return Signature(self.id, purpose, digest, text)


def verify_digest(
    signature: Signature,
    digest: str,
    purpose: Purpose,
    trusted: Mapping[str, PublicKey],
    origin: str,
) -> PublicKey:
    """Check a signature over a digest and return the key that made it.

    Args:
        signature: The signature.
        digest: What must have been signed, computed by the caller.
        purpose: What it must have been signed for.
        trusted: Trusted keys by id, see :func:`trusted_keys`.
        origin: What was signed, for the sentence.

    Raises:
        RefusedError: If the key is not trusted, not for this purpose, or the
            signature does not fit.
    """
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric import ed25519

    key = trusted.get(signature.key)
    if key is None:
        raise RefusedError(
            f"{origin}: is signed by the key {signature.key}, which is not trusted "
            "here; if you know whose it is, add it with: physai keys trust FILE"
        )
    if purpose not in key.purpose:
        raise RefusedError(
            f'{origin}: is signed by "{key.name}", whose signatures are not accepted '
            f"for a {purpose}"
        )
    try:
        data = base64.b64decode(signature.signature, validate=True)
        # What the signature says of itself, and the unused bits of its Base64, are
        # checked too: nothing in a signature may be changed unseen.
        again = Signature(key.id, purpose, digest, base64.b64encode(data).decode())
        if again != signature:
            raise ValueError
        public = ed25519.Ed25519PublicKey.from_public_bytes(key.raw())
        public.verify(data, _payload(digest, purpose))
    except (InvalidSignature, binascii.Error, ValueError):
        raise RefusedError(
            f"{origin}: the signature does not fit the content, it was altered after "
            "signing"
        ) from None
    return key


def keys_folder() -> Path:
    """Return the folder of this person's private keys."""
    named = os.environ.get("PHYSAI_KEYS")
    return Path(named) if named else Path.home() / ".config" / "physai" / "keys"


def create_key(name: str, folder: Path | None = None) -> SigningKey:
    """Make a key pair and store its private half, mode 0600.

    Raises:
        RefusedError: If the folder lies in a git repository or in the site, or a key
            of that name exists.
        ContentError: If it cannot be written.
    """
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ed25519

    if not _NAME.fullmatch(name):
        raise RefusedError(
            f'key name "{name}": use letters, digits, "_", "-" and "." only'
        )
    place = (folder or keys_folder()).expanduser().absolute()
    _refuse_public_place(place)
    private = ed25519.Ed25519PrivateKey.generate()
    text = private.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    path = place / f"{name}.key"
    try:
        place.mkdir(parents=True, exist_ok=True, mode=0o700)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
        with os.fdopen(os.open(path, flags, 0o600), "wb") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
    except FileExistsError:
        raise RefusedError(f"{path}: the key exists and is never overwritten") from None
    except OSError as error:
        raise ContentError(f"{path}: cannot be written ({error.strerror})") from None
    return SigningKey(private.private_bytes_raw(), name)


def load_key(name: str | os.PathLike[str]) -> SigningKey:
    """Load a private key by its name in the key folder, or by path.

    Raises:
        ContentError: If there is no such key or it is not an Ed25519 key.
        RefusedError: If others may read the file.
    """
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ed25519

    path = Path(name)
    if path.suffix != ".key" or not path.is_file():
        path = keys_folder() / f"{name}.key"
    if not path.is_file():
        known = [p.stem for p in keys_folder().glob("*.key")]
        raise ContentError(
            f'no private key "{name}" in {keys_folder()}: {suggest(str(name), known)}; '
            "make one with: physai keys create NAME"
        )
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise RefusedError(
            f"{path}: others may read this private key; run: chmod 600 {path}"
        )
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError, TypeError):
        raise ContentError(f"{path}: is not a private key in PEM form") from None
    if not isinstance(key, ed25519.Ed25519PrivateKey):
        raise ContentError(f"{path}: is not an Ed25519 key")
    return SigningKey(key.private_bytes_raw(), path.stem)


def list_keys() -> list[dict[str, Any]]:
    """List own keys and the site's trusted keys, for ``physai keys list``."""
    rows: dict[str, dict[str, Any]] = {}
    for path in sorted(keys_folder().glob("*.key")):
        public = load_key(path).public
        rows[public.id] = {**public.model_dump(mode="json"), "own": str(path)}
        rows[public.id]["trusted"] = False
    for public in _site_keys().values():
        row = rows.setdefault(public.id, {"own": None})
        row.update(public.model_dump(mode="json"), trusted=True)
    return list(rows.values())


def export_key(name: str) -> dict[str, Any]:
    """Return the public half of an own key, for ``physai keys export``."""
    return load_key(name).public.model_dump(mode="json")


def trust_key(
    key: PublicKey | Mapping[str, Any], purpose: tuple[Purpose, ...] | None = None
) -> Path:
    """Add a public key to the site's trusted keys and return the file.

    Args:
        key: A public key, or what :func:`export_key` returned.
        purpose: What its signatures shall be accepted for; None takes the key's.

    Raises:
        ConfigError: If it is no public key.
        RefusedError: If the file cannot be written.
    """
    public = key if isinstance(key, PublicKey) else parse(PublicKey, dict(key), "key")
    if purpose is not None:
        public = public.model_copy(update={"purpose": purpose})
    public.raw()
    path = content.site().joinpath(*_TRUSTED)
    keys = {**_site_keys(), public.id: public}
    head = [line for line in _lines(path) if line.startswith("#")] or [
        "# Public keys whose signatures this site accepts. Review every change."
    ]
    lines = [*head, "keys:" if keys else "keys: []"]
    for each in keys.values():
        lines += [
            f'  - id: "{each.id}"',
            f"    name: {json.dumps(each.name)}",
            f"    purpose: [{', '.join(each.purpose)}]",
            f'    public_key: "{each.public_key}"',
        ]
    partial = path.with_suffix(".partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text("\n".join(lines) + "\n", encoding="utf-8")
        partial.replace(path)
    except OSError as error:
        raise RefusedError(f"{path}: cannot be written ({error.strerror})") from None
    return path


def trusted_keys(*, own: bool = True) -> dict[str, PublicKey]:
    """Return the trusted keys by id.

    Args:
        own: Whether this person's own keys count too; never where a deployment is
            decided.

    Raises:
        PhysaiError: If the site's list is wrong.
    """
    keys: dict[str, PublicKey] = {}
    if own:
        for path in sorted(keys_folder().glob("*.key")):
            public = load_key(path).public
            keys[public.id] = public
    return keys | _site_keys()


def _site_keys() -> dict[str, PublicKey]:
    try:
        path = content.site().joinpath(*_TRUSTED)
    except PhysaiError:
        return {}
    if not path.is_file():
        return {}
    keys = load(TrustedKeysFile, path).keys
    for key in keys:
        key.raw()
    return {key.id: key for key in keys}


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines() if path.is_file() else []


def _refuse_public_place(folder: Path) -> None:
    resolved = folder.resolve()
    for parent in (resolved, *resolved.parents):
        if (parent / ".git").exists():
            raise RefusedError(
                f"{folder}: lies in the git repository {parent}, where a private key "
                "would be published; set PHYSAI_KEYS to a folder outside"
            )
        if all((parent / name).is_dir() for name in content.FOLDERS):
            raise RefusedError(
                f"{folder}: lies in the site {parent}, which is meant to be given "
                "away; set PHYSAI_KEYS to a folder outside"
            )


def _key_id(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()[:16]


def _payload(digest: str, purpose: str) -> bytes:
    return f"physai-signature-1\n{purpose}\n{digest}\n".encode()
