"""Find, load and hash the content of a site.

A site is a folder with ``envs/``, ``robots/``, ``policies/``, ``configs/`` and
``hardware/``. It is the one given by :func:`use_site`, else the environment
variable ``PHYSAI_CONTENT``, else the copy inside the installed package, else the
five folders beside the package (a checkout). No other module builds a content path.

Content is data: it is parsed, hashed and validated, never executed.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from physai.errors import ConfigError, ContentError, suggest

__all__ = [
    "FOLDERS",
    "digest_file",
    "digest_text",
    "digest_tree",
    "digest_value",
    "find",
    "kept_site",
    "load_yaml",
    "names",
    "path",
    "site",
    "use_site",
]

FOLDERS = ("envs", "robots", "policies", "configs", "hardware")

_chosen: Path | None = None


def use_site(folder: str | os.PathLike[str] | None) -> None:
    """Choose the site for this process (``--content``); None returns to the default.

    Also sets ``PHYSAI_CONTENT``, so that worker processes use the same site.

    Raises:
        ContentError: If the folder is not a site.
    """
    global _chosen
    if folder is None:
        _chosen = None
        os.environ.pop("PHYSAI_CONTENT", None)
        return
    _chosen = _checked(Path(folder), "--content")
    os.environ["PHYSAI_CONTENT"] = str(_chosen)


@contextmanager
def kept_site() -> Iterator[None]:
    """Return to the site of before when the block ends, whatever was chosen in it."""
    global _chosen
    chosen, named = _chosen, os.environ.get("PHYSAI_CONTENT")
    try:
        yield
    finally:
        _chosen = chosen
        if named is None:
            os.environ.pop("PHYSAI_CONTENT", None)
        else:
            os.environ["PHYSAI_CONTENT"] = named


def site() -> Path:
    """Return the folder of the site in use.

    Raises:
        ContentError: If no site is found, or PHYSAI_CONTENT does not name one.
    """
    if _chosen is not None:
        return _chosen
    named = os.environ.get("PHYSAI_CONTENT")
    if named:
        return _checked(Path(named), "PHYSAI_CONTENT")
    package = Path(__file__).resolve().parent
    for folder in (package / "_content", package.parent):
        if (folder / "envs").is_dir() and (folder / "robots").is_dir():
            return folder
    raise ContentError(
        "no content found beside the package: name a site with --content DIR"
    )


def _checked(folder: Path, origin: str) -> Path:
    if not folder.is_dir():
        raise ContentError(f"{origin}: {folder} is not a folder")
    missing = [name for name in FOLDERS if not (folder / name).is_dir()]
    if missing:
        raise ContentError(
            f"{origin}: {folder} is not a site, it lacks {', '.join(missing)}; "
            "start one with: physai init DIR"
        )
    return folder.resolve()


def names(kind: str) -> dict[str, Path]:
    """List content of one kind by name.

    Args:
        kind: ``envs``, ``robots``, ``policies``, ``hardware``, or a folder of
            ``configs`` (``train``, ``safety``, ``suites``, ``faults``, ``governance``).

    Returns:
        Name to path, sorted: a folder for robots, policies and hardware, a YAML
        file for the rest. Environment names are paths below ``envs`` without the
        ending, such as ``care/feeding``.
    """
    root = site()
    if kind == "envs":
        base = root / "envs"
        return {
            p.relative_to(base).with_suffix("").as_posix(): p
            for p in sorted(base.rglob("*.yaml"))
        }
    if kind in ("robots", "policies", "hardware"):
        marker = {
            "robots": "robot.yaml",
            "policies": "manifest.json",
            "hardware": "bridge.yaml",
        }[kind]
        return {
            p.parent.name: p.parent for p in sorted((root / kind).glob(f"*/{marker}"))
        }
    folder = root / "configs" / kind
    return {p.stem: p for p in sorted(folder.glob("*.yaml"))}


_SINGULAR = {
    "envs": "environment",
    "robots": "robot",
    "policies": "policy",
    "hardware": "hardware",
    "train": "training config",
    "safety": "safety specification",
    "suites": "suite",
    "faults": "fault matrix",
    "governance": "register or case",
}


def find(kind: str, name: str) -> Path:
    """Return the path of one piece of content, by name or by an existing path.

    Raises:
        ContentError: With the valid names, if there is none.
    """
    known = names(kind)
    stem = name.removesuffix(".yaml")
    if stem in known:
        return known[stem]
    given = Path(name)
    if given.exists():
        return given
    raise ContentError(f'no {_SINGULAR[kind]} "{name}": {suggest(stem, known)}')


def load_yaml(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read one YAML 1.2 file whose top level is a mapping.

    YAML 1.2 and the refusal of duplicate keys matter here: under YAML 1.1 the
    value of ``guard: on`` would silently become true.

    Raises:
        ContentError: If the file cannot be read.
        ConfigError: If it is not YAML, repeats a key, or is not a mapping.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    file = Path(path)
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        raise ContentError(f"{file}: cannot be read ({reason})") from None
    try:
        value = YAML(typ="safe", pure=True).load(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f" line {mark.line + 1}" if mark is not None else ""
        raise ConfigError(
            f"{file}:{where} is not valid YAML ({error.problem})"
        ) from None
    except YAMLError as error:
        raise ConfigError(f"{file}: is not valid YAML ({error})") from None
    if not isinstance(value, dict):
        raise ConfigError(f"{file}: the top level must be a mapping of keys to values")
    return value


def digest_text(text: str | bytes) -> str:
    """Return the SHA-256 of a text as 64 hex digits."""
    data = text.encode() if isinstance(text, str) else text
    return hashlib.sha256(data).hexdigest()


def digest_value(value: Any) -> str:
    """Return the SHA-256 of a JSON value in canonical form (sorted keys, no blanks).

    Raises:
        ValueError: If it holds NaN or infinity, which JSON cannot carry.
    """
    return digest_text(
        json.dumps(
            value,
            sort_keys=True,
            separators=(",", ":"),
            allow_nan=False,
            ensure_ascii=True,
        )
    )


def digest_file(path: str | os.PathLike[str]) -> str:
    """Return the SHA-256 of a file's bytes."""
    try:
        return digest_text(Path(path).read_bytes())
    except OSError as error:
        raise ContentError(f"{path}: cannot be read ({error.strerror})") from None


def digest_tree(folder: str | os.PathLike[str]) -> dict[str, str]:
    """Return the SHA-256 of every file below a folder, by relative path."""
    root = Path(folder)
    return {
        p.relative_to(root).as_posix(): digest_file(p)
        for p in sorted(root.rglob("*"))
        if p.is_file()
    }


def path(*parts: str) -> Path:
    """Return the path of a content file by its place in the site.

    Raises:
        ContentError: If there is no such file.
    """
    found = site().joinpath(*parts)
    if not found.exists():
        raise ContentError(f"the site {site()} has no {'/'.join(parts)}")
    return found
