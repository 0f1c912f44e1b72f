from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from physai.errors import ConfigError, RecordError, RefusedError
from physai.record.permit import (
    Evidence,
    Permit,
    check_permit,
    load_permit,
    save_permit,
)
from physai.record.signature import SigningKey

KEY = SigningKey(bytes(range(32)), "officer")
TRUSTED = {KEY.id: KEY.public}
NOW = datetime(2026, 4, 1, 12, tzinfo=UTC)
DIGESTS = {"guard": "g" * 64, "robot": "r" * 64}
EVIDENCE = Evidence(
    kind="suite", name="core", verdict="pass", digest="0" * 64, figures={"rate": 0.1}
)
PERMIT = Permit(
    policy="p" * 64,
    hardware="franka",
    stage="slow",
    digests=DIGESTS,
    approved_by="A. Officer",
    approved=NOW - timedelta(days=1),
    expires=NOW + timedelta(days=30),
    evidence=(EVIDENCE,),
)
USE: dict[str, Any] = {
    "policy": "p" * 64,
    "hardware": "franka",
    "stage": "slow",
    "digests": {**DIGESTS, "suite": "x"},
    "now": NOW,
}


def test_a_permit_is_signed_and_read(tmp_path: Path) -> None:
    path = save_permit(PERMIT, tmp_path / "permits" / "franka.json", KEY)
    permit = load_permit(path, TRUSTED)
    assert permit == PERMIT
    check_permit(permit, **USE)
    check_permit(permit, **{**USE, "stage": "shadow"})
    with pytest.raises(RefusedError, match="not trusted"):
        load_permit(path, {})
    only = {KEY.id: KEY.public.model_copy(update={"purpose": ("bundle",)})}
    with pytest.raises(RefusedError, match="not accepted"):
        load_permit(path, only)
    value = json.loads(path.read_text())
    value["permit"]["stage"] = "full"
    path.write_text(json.dumps(value))
    with pytest.raises(RefusedError, match="altered"):
        load_permit(path, TRUSTED)
    value["permit"]["stage"] = "warp"
    path.write_text(json.dumps(value))
    with pytest.raises(ConfigError, match="stage"):
        load_permit(path, TRUSTED)
    path.write_text("[]")
    with pytest.raises(RecordError, match="not a permit"):
        load_permit(path, TRUSTED)
    with pytest.raises(RecordError, match="cannot be read"):
        load_permit(tmp_path / "none", TRUSTED)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"policy": "q" * 64}, "for the policy pppp"),
        ({"hardware": "ur5"}, 'not "ur5"'),
        ({"stage": "supervised"}, 'allows the stage "slow" at most'),
        ({"now": NOW + timedelta(days=31)}, "not now"),
        ({"now": NOW - timedelta(days=2)}, "not now"),
        ({"digests": {**DIGESTS, "guard": "h" * 64}}, "another version of the guard"),
        ({"digests": {"robot": "r" * 64}}, "in use is none"),
    ],
)
def test_what_a_permit_does_not_say_is_refused(
    change: dict[str, Any], reason: str
) -> None:
    with pytest.raises(RefusedError, match=reason):
        check_permit(PERMIT, **{**USE, **change})


@pytest.mark.parametrize("verdict", ["fail", "not_enough_evidence"])
def test_a_permit_rests_on_passed_evidence(verdict: str) -> None:
    bad = EVIDENCE.model_copy(update={"verdict": verdict})
    permit = PERMIT.model_copy(update={"evidence": (EVIDENCE, bad)})
    with pytest.raises(RefusedError, match=verdict):
        check_permit(permit, **USE)
    bare = PERMIT.model_copy(update={"evidence": ()})
    with pytest.raises(RefusedError, match="no evidence"):
        check_permit(bare, **USE)
    check_permit(bare, **{**USE, "stage": "shadow"})
