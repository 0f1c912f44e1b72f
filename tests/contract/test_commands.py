"""One contract over every command of the console program."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

import pytest

from physai import content
from physai.cli import build_parser, main

PROMISED = {
    "demo",
    "list",
    "init",
    "check",
    "train",
    "sweep",
    "run",
    "evaluate",
    "search",
    "score",
    "compare",
    "report",
    "replay",
    "robot",
    "deploy",
    "watchdog",
    "console",
    "keys",
    "verify",
    "case",
    "cycle",
    "convert",
    "bench",
}


def commands() -> dict[str, argparse.ArgumentParser]:
    found = [
        action
        for action in build_parser()._actions
        if isinstance(action, argparse._SubParsersAction)
    ]
    return dict(found[0].choices)


COMMANDS = sorted(commands())


def test_every_promised_command_is_there() -> None:
    assert set(COMMANDS) == PROMISED


@pytest.mark.parametrize("name", COMMANDS)
def test_help_is_shown(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([name, "--help"])
    assert ended.value.code == 0
    out = capsys.readouterr().out
    assert f"physai {name}" in out


@pytest.mark.parametrize("name", COMMANDS)
def test_an_unknown_option_is_one_sentence(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([name, "--no-such-option"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert len(captured.err.strip().splitlines()) == 1


@pytest.mark.parametrize("name", COMMANDS)
def test_building_the_parser_loads_nothing_heavy(name: str) -> None:
    code = (
        "import sys\n"
        "from physai.cli import main\n"
        "try:\n"
        f"    main([{name!r}, '--help'])\n"
        "except SystemExit:\n"
        "    pass\n"
        "heavy = {'pybullet', 'torch', 'numba', 'scipy', 'viser', 'matplotlib'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip().endswith("[]"), done.stdout


def test_module_and_script_are_the_same() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "physai", "--version"], capture_output=True, text=True
    )
    assert done.returncode == 0
    assert "python" in done.stdout


def test_a_command_does_not_leave_its_site_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PHYSAI_CONTENT", raising=False)
    before = content.site()
    assert main(["init", str(tmp_path / "mine")]) == 0
    assert main(["check", str(tmp_path / "mine")]) == 0
    assert main(["--content", str(tmp_path / "mine"), "list", "robots"]) == 0
    assert content.site() == before
    assert "PHYSAI_CONTENT" not in os.environ
