from __future__ import annotations

import stat
from pathlib import Path

import pytest

from physai import content
from physai.content import digest_text
from physai.errors import ConfigError, ContentError, RefusedError
from physai.record.signature import (
    PublicKey,
    Signature,
    create_key,
    export_key,
    list_keys,
    load_key,
    trust_key,
    trusted_keys,
    verify_digest,
)

DIGEST = digest_text("x")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty site, and a key folder outside it."""
    root = tmp_path / "site"
    for name in content.FOLDERS:
        (root / name).mkdir(parents=True)
    monkeypatch.setenv("PHYSAI_CONTENT", str(root))
    monkeypatch.setenv("PHYSAI_KEYS", str(tmp_path / "keys"))
    return root


def test_a_key_signs_and_verifies(site: Path) -> None:
    key = create_key("alice")
    assert stat.S_IMODE((site.parent / "keys" / "alice.key").stat().st_mode) == 0o600
    assert load_key("alice").id == key.id
    signature = load_key("alice").sign_digest(DIGEST, "bundle")
    again = Signature.from_json(signature.to_json(), "x")
    trusted = {key.id: key.public}
    assert verify_digest(again, DIGEST, "bundle", trusted, "x").name == "alice"
    with pytest.raises(RefusedError, match="not trusted"):
        verify_digest(again, DIGEST, "bundle", {}, "x")
    with pytest.raises(RefusedError, match="altered"):
        verify_digest(again, digest_text("y"), "bundle", trusted, "x")
    with pytest.raises(RefusedError, match="altered"):
        verify_digest(again, DIGEST, "permit", trusted, "x")
    only = key.public.model_copy(update={"purpose": ("ledger",)})
    with pytest.raises(RefusedError, match="not accepted"):
        verify_digest(again, DIGEST, "bundle", {key.id: only}, "x")
    with pytest.raises(RefusedError, match="malformed"):
        Signature.from_json({"key": 1}, "x")


def test_private_keys_stay_out_of_repositories_and_sites(
    site: Path, tmp_path: Path
) -> None:
    (tmp_path / "repository" / ".git").mkdir(parents=True)
    with pytest.raises(RefusedError, match="git repository"):
        create_key("alice", tmp_path / "repository" / "deep" / "keys")
    with pytest.raises(RefusedError, match="given away"):
        create_key("alice", site / "configs")
    (tmp_path / "link").symlink_to(site / "configs")
    with pytest.raises(RefusedError, match="given away"):
        create_key("alice", tmp_path / "link")
    create_key("alice")
    with pytest.raises(RefusedError, match="never overwritten"):
        create_key("alice")
    with pytest.raises(RefusedError, match="letters"):
        create_key("../alice")


def test_trust_is_content(site: Path) -> None:
    create_key("alice")
    create_key("bob")
    assert trusted_keys(own=False) == {}
    assert {key.name for key in trusted_keys().values()} == {"alice", "bob"}
    path = trust_key(export_key("alice"), ("bundle", "permit"))
    assert path == site / "configs" / "governance" / "trusted_keys.yaml"
    path.write_text("# mine\n" + path.read_text())
    trust_key(load_key("bob").public.model_copy(update={"name": 'B: "b" #'}))
    assert path.read_text().startswith("# mine\n")
    keys = trusted_keys(own=False)
    assert [k.name for k in keys.values()] == ["alice", 'B: "b" #']
    assert keys[load_key("alice").id].purpose == ("bundle", "permit")
    rows = list_keys()
    assert len(rows) == 2
    assert all(row["own"] and row["trusted"] for row in rows)


def test_wrong_keys_are_one_sentence(site: Path) -> None:
    with pytest.raises(ContentError, match="physai keys create"):
        load_key("nobody")
    create_key("alice")
    path = site.parent / "keys" / "alice.key"
    path.chmod(0o644)
    with pytest.raises(RefusedError, match="chmod 600"):
        load_key("alice")
    path.chmod(0o600)
    path.write_text("nonsense")
    with pytest.raises(ContentError, match="PEM"):
        load_key("alice")
    with pytest.raises(ConfigError, match="key"):
        trust_key({"id": "x"})
    with pytest.raises(ContentError, match="32 bytes"):
        trust_key(PublicKey(id="x", name="n", public_key="AAAA"))
    key = PublicKey(id="0" * 16, name="n", public_key="A" * 43 + "=")
    with pytest.raises(ContentError, match="does not belong"):
        trust_key(key)


def test_the_list_of_this_site_is_valid() -> None:
    for key in trusted_keys(own=False).values():
        key.raw()
