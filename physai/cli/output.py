"""What commands share: how values are read, and a table or JSON that is printed."""

from __future__ import annotations

import argparse
import enum
import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from physai.errors import ContentError, ContractError, MissingExtraError

__all__ = [
    "add_executor",
    "add_json",
    "add_settings",
    "add_trust",
    "check_writable",
    "cluster_of",
    "count",
    "natural",
    "need_simulator",
    "port",
    "print_result",
    "seconds",
    "share",
]


def natural(text: str) -> int:
    """Read a whole number of at least 0, such as a seed."""
    return _whole(text, 0)


def count(text: str) -> int:
    """Read a whole number of at least 1, such as a number of episodes."""
    return _whole(text, 1)


def share(text: str) -> float:
    """Read a number of at least 0, such as half a graphics processor."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (value >= 0.0 and math.isfinite(value)):
        raise argparse.ArgumentTypeError(f'"{text}" is not a number of at least 0')
    return value


def port(text: str) -> int:
    """Read a TCP port; 0 lets the system choose."""
    number = _whole(text, 0)
    if number > 65535:
        raise argparse.ArgumentTypeError(f"{text} is no port; valid: 0 to 65535")
    return number


def seconds(text: str) -> float:
    """Read a duration above 0 [s]."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (value > 0.0 and math.isfinite(value)):
        raise argparse.ArgumentTypeError(f'"{text}" is not a number of seconds above 0')
    return value


def _whole(text: str, least: int) -> int:
    try:
        value = int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f'"{text}" is not a whole number') from None
    if value < least:
        raise argparse.ArgumentTypeError(f"{value} is too small; at least {least}")
    return value


def add_json(parser: argparse.ArgumentParser) -> None:
    """Add ``--json``."""
    parser.add_argument(
        "--json", action="store_true", help="print JSON and nothing else on stdout"
    )


def add_settings(parser: argparse.ArgumentParser) -> None:
    """Add ``--set key=value``."""
    parser.add_argument(
        "--set",
        dest="settings",
        action="append",
        default=[],
        metavar="key=value",
        help="change a value of the config, such as hyperparameters.gamma=0.98",
    )


def add_executor(parser: argparse.ArgumentParser, task: str) -> None:
    """Add ``--executor`` and what it takes of a cluster; see :func:`cluster_of`.

    Args:
        parser: The command's.
        task: What is given to the cluster one by one, such as ``run``.
    """
    parser.add_argument(
        "--executor",
        default="local",
        choices=("local", "ray"),
        help="processes here (default), or a Ray cluster that shares the storage of --out",
    )
    parser.add_argument(
        "--address",
        metavar="HOST:PORT",
        help="of the cluster's head, or auto for the one on this machine (default: "
        "RAY_ADDRESS, or a new one on this machine alone)",
    )
    for option, what in (("cpus", "cores"), ("gpus", "graphics processors")):
        parser.add_argument(
            f"--{option}",
            type=share,
            metavar="N",
            help=f"{what} of the cluster that a {task} takes",
        )


def cluster_of(options: argparse.Namespace) -> Any:
    """Return the cluster that is asked for; None with the executor ``local``.

    Raises:
        ContractError: If something of a cluster is given without one.
    """
    given = {
        key: getattr(options, key)
        for key in ("address", "cpus", "gpus")
        if getattr(options, key) is not None
    }
    if options.executor != "ray":
        if given:
            raise ContractError(f"--{next(iter(given))} needs --executor ray")
        return None
    from physai.evaluation.cluster import Cluster

    return Cluster(**given)


def add_trust(parser: argparse.ArgumentParser) -> None:
    """Add ``--trust``."""
    parser.add_argument(
        "--trust",
        action="store_true",
        help="load what can run code or is not signed by a trusted key",
    )


def print_result(options: argparse.Namespace, value: Any, lines: list[str]) -> None:
    """Print JSON if asked for, otherwise the lines.

    A number that is not finite becomes null, since JSON has none.
    """
    if getattr(options, "json", False):
        text = json.dumps(_plain(value), indent=2, ensure_ascii=False, allow_nan=False)
        print(text, flush=True)
    else:
        for line in lines:
            print(line, flush=True)


def _plain(value: Any) -> Any:
    if isinstance(value, enum.Enum):
        return _plain(value.value)
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item) for item in value]
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    return str(value)


def check_writable(folder: str | os.PathLike[str], option: str = "--out") -> Path:
    """Make a folder for results.

    Args:
        folder: The folder.
        option: Where it was named, for the sentence.

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
            f"{path}: cannot be written to ({error.strerror}); choose another folder "
            f"with {option}"
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
