"""``physai bench --tasks`` through the real command."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from physai.cli import main

ARGUMENTS = ["bench", "--tasks", "--count", "1", "--json", "--only"]


@pytest.mark.slow
def test_a_row_is_measured_and_others_stay(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "tasks.json"
    earlier = {"id": "physai/CareFeeding-v0", "note": "kept"}
    out.write_text(json.dumps({"tasks": [earlier]}))
    row = {
        "expert": {"safe_success": 1.0, "safe_success_interval_95": [0.9, 1.0]},
        "step": {"step_us": 500.0, "share": 0.4, "real_time_factor": 80.0},
        "memory_mb": 300.0,
    }
    counts = {"table": {"unsafe_success": 0, "unsafe_failure": 0}, "episodes": 1}
    earlier.update(row, adversary_off=counts, adversary_on=counts)
    out.write_text(json.dumps({"tasks": [earlier]}))
    command = [*ARGUMENTS, "physai/LogisticsCrossing-v0", "--out", str(out)]
    assert main(command) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown == json.loads(out.read_text())
    kept, made = shown["tasks"]
    assert kept == earlier
    assert made["id"] == "physai/LogisticsCrossing-v0"
    assert sum(made["expert"]["table"].values()) == 1
    assert 0.0 < made["step"]["share"] < 1.0
    assert len(made["environment_digest"]) == 64


def test_another_file_is_not_overwritten(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "notes.json"
    out.write_text("[]")
    command = [*ARGUMENTS, "physai/LogisticsCrossing-v0", "--out", str(out)]
    assert main(command) == 2
    assert "no table of environments" in capsys.readouterr().err
    assert out.read_text() == "[]"
