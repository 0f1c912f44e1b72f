"""What a bundle says about itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from physai.config import Config
from physai.content import digest_text, digest_value
from physai.policy.network import OnnxPolicy
from physai.policy.policy import PolicyContract
from physai.record.permit import Evidence
from physai.record.signature import PublicKey

__all__ = [
    "CARD",
    "MANIFEST",
    "MODEL",
    "SCHEMA",
    "SIGNATURE",
    "Bundle",
    "Manifest",
    "policy_digest",
]

SCHEMA: Final = "physai/bundle/1"
MODEL = "policy.onnx"
CARD = "card.md"
MANIFEST = "manifest.json"
SIGNATURE = "signature.json"


class Manifest(Config):
    """``manifest.json``."""

    schema_version: Literal["physai/bundle/1"] = SCHEMA
    """Version of this layout."""
    name: str
    """Name of the policy."""
    policy_digest: str
    """SHA-256 over model and contract: what verdicts and permits refer to. It stays
    the same when evidence is added."""
    contract: dict[str, Any]
    """The :class:`PolicyContract`."""
    training: dict[str, Any]
    """Digest of the resolved training configuration and figures of the training."""
    versions: dict[str, str]
    """Versions of the software that made it."""
    files: dict[str, str]
    """SHA-256 of every file but manifest and signature."""
    stage: Literal["none", "shadow", "slow", "supervised", "full"] = "none"
    """Release stage reached."""
    evidence: tuple[Evidence, ...] = ()
    """What the stage rests on."""


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle whose every byte was checked.

    Attributes:
        path: Where it was read from.
        manifest: Its manifest.
        contract: Its contract.
        manifest_digest: SHA-256 of the manifest, which is what is signed.
        signer: The trusted key that signed it; None if that was not required.
        files: The verified bytes of every file.
    """

    path: Path
    manifest: Manifest
    contract: PolicyContract
    manifest_digest: str
    signer: PublicKey | None
    files: Mapping[str, bytes]

    @property
    def name(self) -> str:
        """Name of the policy."""
        return self.manifest.name

    @property
    def policy_digest(self) -> str:
        """SHA-256 over model and contract."""
        return self.manifest.policy_digest

    @property
    def card(self) -> str:
        """Text of the card."""
        return self.files[CARD].decode("utf-8", errors="replace")

    def policy(self) -> OnnxPolicy:
        """Return a policy that runs the verified model.

        Raises:
            BundleError: If the model cannot be run or does not fit the contract.
        """
        origin = f"{self.path.name}/{MODEL}"
        return OnnxPolicy(self.files[MODEL], self.contract, origin)

    def summary(self) -> dict[str, Any]:
        """Return what ``physai verify`` prints."""
        signer = self.signer
        return {
            "path": str(self.path),
            "ok": True,
            "name": self.name,
            "policy_digest": self.policy_digest,
            "manifest_digest": self.manifest_digest,
            "environment": self.contract.environment,
            "control_hz": self.contract.control_hz,
            "observation": self.contract.observation,
            "digests": dict(self.contract.digests),
            "stage": self.manifest.stage,
            "evidence": len(self.manifest.evidence),
            "files": len(self.files),
            "signed_by": signer.name if signer else None,
            "key": signer.id if signer else None,
        }


def policy_digest(model: bytes, contract: PolicyContract) -> str:
    """Return the digest that names a policy: SHA-256 over model and contract."""
    return digest_value({"model": digest_text(model), "contract": contract.to_json()})
