"""Permits and evidence: what may run where, up to which stage, and why.

The types live here, below everything: governance issues permits, the runtime reads
them. A permit names digests, so that a changed policy, robot, environment or guard is
another thing that needs another permit.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from pydantic import AwareDatetime, Field

from physai.config import Config, parse
from physai.content import digest_value
from physai.errors import RecordError, RefusedError
from physai.record.signature import (
    PublicKey,
    Signature,
    SigningKey,
    trusted_keys,
    verify_digest,
)

__all__ = ["STAGES", "Evidence", "Permit", "check_permit", "load_permit", "save_permit"]

Stage = Literal["shadow", "slow", "supervised", "full"]
STAGES: tuple[Stage, ...] = ("shadow", "slow", "supervised", "full")
"""Release stages, from the least to the most freedom."""


class Evidence(Config):
    """One stored result that a stage or a claim rests on."""

    kind: Literal["suite", "commissioning", "operation", "review"]
    """What kind of result."""
    name: str
    """Which suite, checklist, period or review."""
    verdict: Literal["pass", "fail", "not_enough_evidence"]
    """What it said."""
    digest: str
    """SHA-256 of the stored result (``verdict.json`` for a suite)."""
    digests: dict[str, str] = Field(default_factory=dict)
    """Digests that the result is about: policy, environment, robot, guard, suite."""
    figures: dict[str, float] = Field(default_factory=dict)
    """Its headline figures, such as episodes and safe successes."""
    made: AwareDatetime | None = None
    """When."""


class Permit(Config):
    """Leave for one policy to run on one piece of hardware up to a stage."""

    schema_version: Literal["physai/permit/1"] = "physai/permit/1"
    """Version of this layout."""
    policy: str
    """Policy digest of the bundle."""
    hardware: str
    """Name of the hardware, as in ``hardware/<name>/``."""
    stage: Stage
    """The highest stage allowed."""
    digests: dict[str, str]
    """Digests that must be in use: environment, robot, guard, hardware."""
    approved_by: str
    """The person who answers for it."""
    approved: AwareDatetime
    """When."""
    expires: AwareDatetime
    """Until when."""
    evidence: tuple[Evidence, ...]
    """What it rests on."""

    @property
    def digest(self) -> str:
        """SHA-256 of the permit in canonical form, which is what is signed."""
        return digest_value(self.model_dump(mode="json"))


def save_permit(permit: Permit, path: str | os.PathLike[str], key: SigningKey) -> Path:
    """Sign a permit and write it.

    Raises:
        RecordError: If it cannot be written.
    """
    file = Path(path)
    signature = key.sign_digest(permit.digest, "permit").to_json()
    value = {"permit": permit.model_dump(mode="json"), "signature": signature}
    partial = file.with_name(f".{file.name}.partial")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")
        partial.replace(file)
    except OSError as error:
        raise RecordError(f"{file}: cannot be written ({error.strerror})") from None
    return file


def load_permit(
    path: str | os.PathLike[str], trusted: Mapping[str, PublicKey] | None = None
) -> Permit:
    """Read a permit and check its signature.

    Args:
        path: The file.
        trusted: Trusted keys by id; None takes the site's alone, not one's own.

    Raises:
        RecordError: If it cannot be read.
        ConfigError: If its content is wrong.
        RefusedError: If it is not signed by a key that the site trusts for permits.
    """
    file = Path(path)
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
        body, signed = value["permit"], value["signature"]
    except OSError as error:
        raise RecordError(f"{file}: cannot be read ({error.strerror})") from None
    except (ValueError, KeyError, TypeError):
        raise RecordError(f"{file}: is not a permit") from None
    permit = parse(Permit, body, str(file))
    keys = trusted_keys(own=False) if trusted is None else trusted
    signature = Signature.from_json(signed, str(file))
    verify_digest(signature, permit.digest, "permit", keys, str(file))
    return permit


def check_permit(
    permit: Permit,
    *,
    policy: str,
    hardware: str,
    stage: Stage,
    digests: Mapping[str, str],
    now: datetime | None = None,
) -> None:
    """Check that a permit allows what is about to be done.

    Args:
        permit: A permit whose signature was checked.
        policy: Policy digest in use.
        hardware: Name of the hardware in use.
        stage: Stage asked for.
        digests: Digests in use; every digest of the permit must be among them.
        now: The time; None asks the clock.

    Raises:
        RefusedError: Naming the first thing that is not allowed.
    """
    time = now or datetime.now(UTC)
    if permit.policy != policy:
        raise RefusedError(
            f"the permit is for the policy {permit.policy[:12]}, not {policy[:12]}"
        )
    if permit.hardware != hardware:
        raise RefusedError(
            f'the permit is for the hardware "{permit.hardware}", not "{hardware}"'
        )
    if STAGES.index(stage) > STAGES.index(permit.stage):
        raise RefusedError(
            f'the permit allows the stage "{permit.stage}" at most, asked is "{stage}"'
        )
    if not permit.approved <= time < permit.expires:
        raise RefusedError(
            f"the permit is valid from {permit.approved:%Y-%m-%d %H:%M %Z} to "
            f"{permit.expires:%Y-%m-%d %H:%M %Z}, which is not now; have it renewed"
        )
    for name, digest in permit.digests.items():
        if digests.get(name) != digest:
            in_use = digests.get(name, "none")[:12]
            raise RefusedError(
                f"the permit was given for another version of the {name} (digest "
                f"{digest[:12]}, in use is {in_use}); evaluate again and renew it"
            )
    for each in permit.evidence:
        if each.verdict != "pass":
            raise RefusedError(
                f'the permit rests on "{each.name}", whose verdict is {each.verdict}'
            )
    if not permit.evidence and stage != "shadow":
        raise RefusedError("the permit rests on no evidence; only shadow needs none")
