from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from physai.content import digest_text
from physai.errors import BundleError, PhysaiError, RefusedError
from physai.policy.bundle import (
    Bundle,
    pack_bundle,
    read_bundle,
    restage_bundle,
    verify_bundle,
    write_bundle,
)
from physai.record.permit import Evidence
from physai.record.signature import SigningKey

from .conftest import KEY, TRUSTED, contract, evaluate, mlp

Make = Callable[..., Bundle]
EVIDENCE = Evidence(kind="suite", name="core", verdict="pass", digest="0" * 64)


def test_a_bundle_gives_its_policy_back(make_bundle: Make, tmp_path: Path) -> None:
    written = make_bundle()
    bundle = read_bundle(tmp_path / "care", TRUSTED)
    assert sorted(bundle.files) == [
        "card.md",
        "manifest.json",
        "policy.onnx",
        "signature.json",
    ]
    assert bundle.manifest == written.manifest
    assert bundle.contract == contract()
    assert bundle.signer == KEY.public
    assert bundle.card.startswith("# Care")
    assert verify_bundle(tmp_path / "care", TRUSTED)["signed_by"] == "tester"
    policy = bundle.policy()
    policy.reset()
    rng = np.random.default_rng(1)
    weights = mlp()[1]
    for _ in range(20):
        observation = rng.normal(size=12).astype(np.float32)
        first = policy.act(observation)
        np.testing.assert_allclose(first, evaluate(weights, observation), atol=1e-6)
        policy.act(-observation)
        np.testing.assert_allclose(first, evaluate(weights, observation), atol=1e-6)
    make_bundle()
    assert [p.name for p in tmp_path.iterdir()] == ["care"]


def test_a_zip_is_the_same_bundle(make_bundle: Make, tmp_path: Path) -> None:
    folder = make_bundle().path
    packed = pack_bundle(folder, tmp_path / "care.zip")
    assert read_bundle(packed, TRUSTED).files == read_bundle(folder, TRUSTED).files
    again = pack_bundle(folder, tmp_path / "again.zip")
    assert again.read_bytes() == packed.read_bytes()
    with zipfile.ZipFile(tmp_path / "deep.zip", "w") as archive:
        for file in folder.iterdir():
            archive.write(file, f"care/{file.name}")
    assert read_bundle(tmp_path / "deep.zip", TRUSTED).policy_digest


@settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_one_changed_byte_anywhere_is_found(
    make_bundle: Make, data: st.DataObject
) -> None:
    folder = make_bundle().path
    names = ["card.md", "manifest.json", "policy.onnx", "signature.json"]
    file = folder / data.draw(st.sampled_from(names))
    bent = bytearray(file.read_bytes())
    place = data.draw(st.integers(0, len(bent) - 1))
    bent[place] ^= data.draw(st.integers(1, 255))
    file.write_bytes(bent)
    with pytest.raises(PhysaiError):
        read_bundle(folder, TRUSTED)


def test_what_was_tampered_with_is_named(make_bundle: Make, tmp_path: Path) -> None:
    folder = make_bundle().path

    def refused(kind: type[PhysaiError], reason: str) -> None:
        with pytest.raises(kind, match=reason):
            read_bundle(folder, TRUSTED)
        make_bundle()

    (folder / "policy.onnx").write_bytes(mlp(hidden=(8,))[0])
    refused(BundleError, "policy.onnx was altered")
    (folder / "card.md").write_text("# All is well")
    refused(BundleError, "card.md was altered")
    (folder / "policy.onnx").unlink()
    refused(BundleError, "policy.onnx is missing")
    (folder / "more.json").write_text("{}")
    refused(BundleError, r"more.json is not in the manifest")
    (folder / "weights.pkl").write_bytes(b"")
    refused(BundleError, r"holds weights.pkl")
    (folder / "deep").mkdir()
    refused(BundleError, "not a plain file")
    (folder / "card.md").unlink()
    (folder / "card.md").symlink_to("/etc/hostname")
    refused(BundleError, "not a plain file")
    (folder / "signature.json").unlink()
    refused(RefusedError, "is not signed")
    (folder / "signature.json").write_text("{}")
    refused(RefusedError, "malformed")
    (folder / "manifest.json").unlink()
    with pytest.raises(BundleError, match=r"has no manifest.json"):
        read_bundle(folder, TRUSTED)


def test_a_manifest_that_fits_but_is_not_signed(make_bundle: Make) -> None:
    folder = make_bundle().path
    manifest = json.loads((folder / "manifest.json").read_text())
    card = "# Never fails"
    (folder / "card.md").write_text(card)
    manifest["files"]["card.md"] = digest_text(card)
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(RefusedError, match="does not fit"):
        read_bundle(folder, TRUSTED)
    with pytest.raises(RefusedError, match="does not fit"):
        read_bundle(folder, TRUSTED, require_signature=False)
    manifest["schema_version"] = "physai/bundle/9"
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(BundleError, match=r"physai/bundle/9.*export it again"):
        read_bundle(folder, TRUSTED)


def test_strangers_and_unsigned_ones_need_trust(make_bundle: Make) -> None:
    folder = make_bundle(key=SigningKey(bytes(32), "mallory")).path
    with pytest.raises(RefusedError, match="not trusted here"):
        read_bundle(folder, TRUSTED)
    assert read_bundle(folder, TRUSTED, require_signature=False).signer is None
    (folder / "signature.json").unlink()
    assert read_bundle(folder, TRUSTED, require_signature=False).signer is None


@pytest.mark.parametrize(
    "name", ["../evil.json", "/tmp/evil.json", "..\\evil.json", "a/b.json", "C:x.json"]
)
def test_a_zip_cannot_lead_out(make_bundle: Make, tmp_path: Path, name: str) -> None:
    packed = pack_bundle(make_bundle().path, tmp_path / "care.zip")
    with zipfile.ZipFile(packed, "a") as archive:
        archive.writestr(name, "{}")
    with pytest.raises(BundleError):
        read_bundle(packed, TRUSTED)
    assert not (tmp_path.parent / "evil.json").exists()


def test_a_zip_has_limits(make_bundle: Make, tmp_path: Path) -> None:
    bomb = tmp_path / "bomb.zip"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("policy.onnx", b"\0" * (257 * 2**20))
    with pytest.raises(BundleError, match="more than"):
        read_bundle(bomb, TRUSTED)
    packed = pack_bundle(make_bundle().path, tmp_path / "care.zip")
    with zipfile.ZipFile(packed, "a") as archive, pytest.warns(UserWarning):
        archive.writestr("card.md", "again")
    with pytest.raises(BundleError, match="twice"):
        read_bundle(packed, TRUSTED)
    packed.write_bytes(packed.read_bytes()[:300])
    with pytest.raises(BundleError, match="not a readable zip"):
        read_bundle(packed, TRUSTED)


def test_a_stage_is_added_without_changing_the_policy(make_bundle: Make) -> None:
    before = make_bundle()
    after = restage_bundle(
        before.path, key=KEY, stage="shadow", evidence=[EVIDENCE], trusted=TRUSTED
    )
    again = read_bundle(before.path, TRUSTED)
    assert again.policy_digest == before.policy_digest
    assert again.manifest_digest == after.manifest_digest != before.manifest_digest
    assert again.manifest.stage == "shadow"
    assert again.manifest.evidence == (EVIDENCE,)


def test_only_what_can_run_is_written(tmp_path: Path) -> None:
    def write(**changes: object) -> None:
        arguments = {
            "model": mlp()[0],
            "contract": contract(),
            "card": "",
            "key": KEY,
            **changes,
        }
        write_bundle(tmp_path / "b", **arguments)  # type: ignore[arg-type]

    with pytest.raises(BundleError, match="not a usable ONNX"):
        write(model=b"nonsense")
    with pytest.raises(BundleError, match=r"maps 12 numbers to 3.*names 11 and 3"):
        write(contract=contract(observations=11))
    with pytest.raises(BundleError, match=r"w.pkl may not"):
        write(files={"w.pkl": b""})
    with pytest.raises(BundleError, match=r"manifest.json may not"):
        write(files={"manifest.json": b""})
    with pytest.raises(BundleError, match="cannot be read"):
        write(model=tmp_path / "none.onnx")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "thesis.md").write_text("three years of work")
    with pytest.raises(BundleError, match="is no bundle"):
        write()
    assert (tmp_path / "b" / "thesis.md").exists()


def test_a_batch_dimension_is_accepted(tmp_path: Path) -> None:
    model, weights = mlp(batch="batch")
    bundle = write_bundle(
        tmp_path / "b", model=model, contract=contract(), card="", key=KEY
    )
    observation = np.ones(12, dtype=np.float32)
    action = bundle.policy().act(observation)
    np.testing.assert_allclose(action, evaluate(weights, observation), atol=1e-6)
