from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from physai.errors import RecordError
from physai.record.ledger import Ledger, read_ledger, verify_ledger
from physai.record.signature import PublicKey, SigningKey

KEY = SigningKey(bytes(range(32)), "tester")
TRUSTED: dict[str, PublicKey] = {KEY.id: KEY.public}


def write(path: Path, count: int = 4) -> bytes:
    with Ledger.open(path, KEY) as ledger:
        for i in range(count):
            ledger.append("stop", rule="separation", margin=-0.1 * i, 人="近い")
    return path.read_bytes()


def test_what_is_appended_verifies(tmp_path: Path) -> None:
    path = tmp_path / "a" / "ledger.jsonl"
    write(path)
    write(path, 2)
    report = verify_ledger(path, TRUSTED)
    assert report.ok and report.entries == 8 and report.signed_entries == 8
    assert report.signers == ("tester",)
    entries = read_ledger(path)
    assert [e.kind for e in entries] == ["stop"] * 4 + ["head", "stop", "stop", "head"]
    assert entries[1].facts == {"rule": "separation", "margin": -0.1, "人": "近い"}
    stranger = verify_ledger(path, {})
    assert stranger.ok and not stranger.signed_entries
    assert stranger.unknown_keys == (KEY.id,)
    json.dumps(report.to_json())


@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_any_changed_byte_is_found(tmp_path: Path, data: st.DataObject) -> None:
    path = tmp_path / "ledger.jsonl"
    if not path.exists():
        write(path, 3)
        (tmp_path / "whole").write_bytes(path.read_bytes())
    whole = (tmp_path / "whole").read_bytes()
    place = data.draw(st.integers(0, len(whole) - 1))
    change = data.draw(st.integers(1, 255))
    bent = bytearray(whole)
    bent[place] ^= change
    path.write_bytes(bent)
    report = verify_ledger(path, TRUSTED)
    line = whole[:place].count(b"\n") + 1
    assert not report.ok
    assert report.line == line
    assert report.entries == line - 1


@pytest.mark.parametrize("which", range(5))
def test_a_missing_doubled_or_moved_line_is_found(tmp_path: Path, which: int) -> None:
    path = tmp_path / "ledger.jsonl"
    lines = write(path).splitlines(keepends=True)
    assert len(lines) == 5
    path.write_bytes(b"".join(lines[:which] + lines[which + 1 :]))
    report = verify_ledger(path, TRUSTED)
    assert not report.ok and report.line == which + 1
    path.write_bytes(b"".join([*lines[: which + 1], *lines[which:]]))
    report = verify_ledger(path, TRUSTED)
    assert not report.ok and report.line == which + 2
    swapped = lines.copy()
    swapped[which], swapped[which - 1] = swapped[which - 1], swapped[which]
    path.write_bytes(b"".join(swapped))
    assert not verify_ledger(path, TRUSTED).ok


def test_a_chain_written_anew_lacks_the_signature(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    write(path)
    (tmp_path / "ledger.jsonl.head").unlink()
    path.unlink()
    other = SigningKey(bytes(32), "mallory")
    with Ledger.open(path, other) as ledger:
        ledger.append("stop")
        entry = ledger.sign()
    assert verify_ledger(path, TRUSTED).signed_entries == 0
    facts = dict(entry.facts)
    facts["signature"] = {**facts["signature"], "key": KEY.id}
    with Ledger.open(tmp_path / "forged") as forged:
        forged.append("stop")
        forged.append("head", **facts)
    report = verify_ledger(tmp_path / "forged", TRUSTED)
    assert not report.ok and report.line == 2 and "signature" in report.error


@pytest.mark.parametrize("tail", [b'{"facts":{},"ha', b"\0" * 100, b"x"])
def test_a_torn_tail_is_kept_aside(tmp_path: Path, tail: bytes) -> None:
    path = tmp_path / "ledger.jsonl"
    write(path)
    with path.open("ab") as file:
        file.write(tail)
    report = verify_ledger(path, TRUSTED)
    assert report.torn and report.entries == 5 and "unfinished" in report.error
    assert len(read_ledger(path)) == 5
    with Ledger.open(path) as ledger:
        assert ledger.last is not None
        assert ledger.last.kind == "recovered"
        ledger.append("stop")
    assert (tmp_path / "ledger.jsonl.torn").read_bytes() == tail + b"\n"
    report = verify_ledger(path, TRUSTED)
    assert report.ok and report.entries == 7


def test_an_altered_ledger_is_not_continued(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    path.write_bytes(write(path).replace(b"separation", b"separatiom", 1))
    before = path.read_bytes()
    with pytest.raises(RecordError, match="line 1: the entry was changed"):
        Ledger.open(path)
    assert path.read_bytes() == before
    with pytest.raises(RecordError, match="line 1"):
        read_ledger(path)


def test_only_one_process_writes(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    with Ledger.open(path) as ledger:
        ledger.append("start")
        with pytest.raises(RecordError, match="another process"):
            Ledger.open(path)
    Ledger.open(path).close()


def test_a_killed_process_leaves_what_it_acknowledged(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    code = (
        "import sys\nfrom physai.record.ledger import Ledger\n"
        f"ledger = Ledger.open({str(path)!r})\n"
        "i = 0\nwhile True:\n"
        "    ledger.append('tick', i=i); i += 1\n"
        "    print(i, flush=True)\n"
    )
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert child.stdout is not None
    while int(child.stdout.readline()) < 20:
        pass
    time.sleep(0.02)
    os.kill(child.pid, signal.SIGKILL)
    acknowledged = 20 + len(child.stdout.read().splitlines())
    child.wait()
    assert len(read_ledger(path)) >= acknowledged
    with Ledger.open(path) as ledger:
        ledger.append("again")
    assert verify_ledger(path, {}).ok


def test_errors_are_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="cannot be read"):
        verify_ledger(tmp_path / "none", {})
    with pytest.raises(RecordError, match="cannot be opened"):
        Ledger.open(tmp_path)
    ledger = Ledger.open(tmp_path / "l")
    with pytest.raises(RecordError, match="without a key"):
        ledger.sign()
    with pytest.raises(RecordError, match="cannot hold a object"):
        ledger.append("x", y=object())
    ledger.close()
    with pytest.raises(RecordError, match="closed"):
        ledger.append("x")
