"""What commands print: a table for people or JSON for programs."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import Any

from physai.errors import ContentError, MissingExtraError

__all__ = ["add_json", "check_writable", "need_simulator", "print_result"]


def add_json(parser: argparse.ArgumentParser) -> None:
    """Add ``--json``."""
    parser.add_argument(
        "--json", action="store_true", help="print JSON and nothing else on stdout"
    )


def print_result(options: argparse.Namespace, value: Any, lines: list[str]) -> None:
    """Print JSON if asked for, otherwise the lines."""
    if getattr(options, "json", False):
        print(json.dumps(value, indent=2, default=str, ensure_ascii=False))
    else:
        for line in lines:
            print(line)


def check_writable(folder: str | os.PathLike[str]) -> Path:
    """Make a folder for results.

    Raises:
        ContentError: If it cannot be made or written to.
    """
    path = Path(folder)
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe = path / ".physai_probe"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise ContentError(
            f"{path}: cannot be written to ({error.strerror}); choose "
            "another folder with --out"
        ) from None
    return path


def need_simulator(purpose: str) -> None:
    """Check that the extra ``sim`` is installed.

    Raises:
        MissingExtraError: If it is not.
    """
    import importlib.util

    if importlib.util.find_spec("pybullet") is None:
        raise MissingExtraError("sim", purpose)
