"""Where a result comes from: versions, git revision and machine, without names.

No host name, user name or path goes into a record.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

__all__ = ["environment_record", "git_revision", "versions"]

_PACKAGES = (
    "physai",
    "numpy",
    "gymnasium",
    "pybullet",
    "mujoco",
    "stable-baselines3",
    "sb3-contrib",
    "torch",
    "onnxruntime",
    "roslibpy",
    "daqp",
    "numba",
    "pyarrow",
    "covertable",
)


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that matter, if installed."""
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def git_revision() -> str:
    """Return the revision of the checkout that this package runs from.

    Returns:
        The commit, with ``+changed`` if the work tree differs from it; empty for an
        installed package.
    """
    folder = Path(__file__).resolve().parent.parent
    if not (folder / ".git").exists():
        return ""

    def git(*arguments: str) -> str:
        result = subprocess.run(
            ["git", "-C", str(folder), *arguments],
            check=False,
            capture_output=True,
            text=True,
            timeout=10,
        )
        return result.stdout.strip() if result.returncode == 0 else ""

    revision = git("rev-parse", "HEAD")
    changed = git("status", "--porcelain", "--untracked-files=no")
    return revision + ("+changed" if revision and changed else "")


def environment_record() -> dict[str, Any]:
    """Return versions, revision and machine as JSON values."""
    record: dict[str, Any] = {
        "versions": versions(),
        "git_revision": git_revision(),
        "machine": {
            "system": platform.system(),
            "architecture": platform.machine(),
            "processors": os.cpu_count() or 0,
        },
    }
    torch = sys.modules.get("torch")
    if torch is not None:
        available = bool(torch.cuda.is_available())
        record["machine"]["cuda"] = torch.cuda.get_device_name(0) if available else ""
    return record
