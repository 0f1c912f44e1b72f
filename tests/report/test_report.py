from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from physai.cli import main
from physai.errors import PhysaiError
from physai.evaluation import load_suite, run_suite
from physai.record.ledger import Ledger
from physai.report.report import write_report

BROWSER = shutil.which("chromium") or shutil.which("google-chrome")
VOID = {"meta", "img", "br", "hr", "link", "input", "col", "wbr"}


class Page(HTMLParser):
    """Collects text and links, and sees that tags close."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text: list[str] = []
        self.sources: list[str] = []
        self.unclosed: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.sources += [
            v or "" for k, v in attrs if k in ("src", "href", "xlink:href")
        ]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.sources += [
            v or "" for k, v in attrs if k in ("src", "href", "xlink:href")
        ]

    def handle_endtag(self, tag: str) -> None:
        if self.open and self.open[-1] == tag:
            self.open.pop()
        else:
            self.unclosed.append(tag)

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] not in ("style", "script"):
            self.text.append(data)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Path]]:
    folder = tmp_path_factory.mktemp("evaluations")
    quick = load_suite("care_feeding_quick")
    keep = ("nominal_rest", "refuse", "misuse_reach", "boundary_spill")
    keep += ("misuse_turn_inside", "fault_people_drop")
    cases = tuple(
        case.model_copy(update={"episodes": None, "weight": 1.0})
        for case in quick.cases
        if case.id in keep
    )
    suite = quick.model_copy(update={"cases": cases, "episodes": len(cases)})
    made = []
    for guard in ("off", "on"):
        run = run_suite("adversary", suite, guard, out=folder / guard, progress=False)
        made.append(run.folder)
    yield made


@pytest.fixture(scope="module")
def page(folders: list[Path]) -> Path:
    dot = base64.b64decode(
        "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR4nGP4z8DwHwAFAAH/iZk9HQ"
        "AAAABJRU5ErkJggg=="
    )
    out = folders[0].parent / "report.html"
    return write_report(
        folders, out, {"A <picture> & more": dot}, facts=["guard <off> & on"]
    )


def test_the_page_is_whole_offline_and_says_what_was_found(
    page: Path, folders: list[Path]
) -> None:
    text = page.read_text(encoding="utf-8")
    parsed = Page()
    parsed.feed(text)
    assert parsed.unclosed == []
    assert parsed.open == []
    outside = [s for s in parsed.sources if not s.startswith(("#", "data:"))]
    assert outside == []
    assert "<script" not in text
    words = " ".join(" ".join(parsed.text).split())
    assert "guard <off> & on" in words
    assert "A <picture> & more" in words
    assert "not a rated safety function" in words
    for folder in folders:
        verdict = json.loads((folder / "verdict.json").read_text())
        for digest in ("policy", "guard", "suite"):
            assert verdict["digests"][digest][:12] in words, digest
        for rule in verdict["rules"]:
            assert rule in words
    assert "nan" not in re.findall(r"[a-z]+", words.lower())


def test_every_plot_is_drawn(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    plots = re.findall(r"<svg.*?</svg>", text, re.DOTALL)
    assert len(plots) >= 5
    assert all(plot.count("<path") >= 3 for plot in plots)


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="no browser on this machine")
def test_a_browser_shows_it(page: Path, tmp_path: Path) -> None:
    cv2 = pytest.importorskip("cv2")
    shot = tmp_path / "page.png"
    subprocess.run(
        [
            str(BROWSER),
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--hide-scrollbars",
            "--window-size=1000,3200",
            f"--screenshot={shot}",
            page.as_uri(),
        ],
        check=True,
        capture_output=True,
        timeout=120,
    )
    image = cv2.imread(str(shot))
    assert image.shape[:2] == (3200, 1000)
    # Bars and lines in the colours of the plots, not an empty page.
    assert len(np.unique(image.reshape(-1, 3), axis=0)) > 200


def test_stored_evaluations_are_scored_compared_and_verified_by_command(
    folders: list[Path], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    off, on = map(str, folders)
    code = main(["score", on, "--suite", "care_feeding_quick", "--json"])
    scored = json.loads(capsys.readouterr().out)
    stored = json.loads((folders[1] / "verdict.json").read_text())
    assert scored["table"] == stored["table"]
    assert code == (0 if scored["overall"] == "pass" else 1)
    main(["compare", off, on, "--json"])
    compared = json.loads(capsys.readouterr().out)
    assert compared["pairs"] == sum(stored["table"].values())
    assert main(["verify", on]) == 0
    assert "follows from its" in capsys.readouterr().out
    # A verdict that was made nicer than its episodes does not verify.
    nicer = tmp_path / "nicer"
    shutil.copytree(folders[1], nicer)
    stored["table"]["safe_success"] += 1
    (nicer / "verdict.json").write_text(json.dumps(stored))
    assert main(["verify", str(nicer)]) == 2
    assert "table differ" in capsys.readouterr().err


def test_a_deployment_is_shown_with_its_ledger(
    folders: list[Path], tmp_path: Path
) -> None:
    place = tmp_path / "deployment"
    with Ledger.open(place / "ledger.jsonl") as ledger:
        ledger.append("deployment", policy="care_feeding", stage="full")
        ledger.append("stop", sentence="Stopped: <somebody> came near. [source]")
    value = {
        "guard_digest": "0" * 64,
        "stage": "full",
        "steps": 120,
        "late_periods": 0,
        "interventions": 3,
        "round_trip_p50_s": 0.001,
        "round_trip_p99_s": 0.002,
        "robot": {"commands": 118, "stale": 2, "rejected": 0},
        "ended": "stop requested",
        "stop_confirmed": True,
    }
    (place / "deploy.json").write_text(json.dumps(value))
    out = write_report(
        folders,
        tmp_path / "report.html",
        headline=[("5 of 6", "of what & why")],
        deployment=place,
    )
    parsed = Page()
    parsed.feed(out.read_text(encoding="utf-8"))
    words = " ".join(" ".join(parsed.text).split())
    assert parsed.open == parsed.unclosed == []
    for text in ("118 taken, 2 stale", "<somebody> came near.", "of what & why"):
        assert text in words
    assert "all 2 entries verify" in words
    with pytest.raises(PhysaiError, match=re.escape("deploy.json")):
        write_report(folders, tmp_path / "x.html", deployment=tmp_path)


def test_a_folder_without_a_verdict_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PhysaiError, match=re.escape("verdict.json")):
        write_report([tmp_path], tmp_path / "report.html")
    with pytest.raises(PhysaiError, match="at least one"):
        write_report([], tmp_path / "report.html")


def test_nowhere_to_write_is_one_sentence(folders: list[Path]) -> None:
    with pytest.raises(PhysaiError, match="cannot be written"):
        write_report(folders[:1], Path("/proc/no/report.html"))
