"""Read the files of a bundle, from a folder or a zip, without trusting either."""

from __future__ import annotations

import stat
import zipfile
from pathlib import Path, PurePosixPath

from physai.errors import BundleError

__all__ = ["LIMIT_BYTES", "LIMIT_FILES", "SUFFIXES", "read_files"]

LIMIT_BYTES = 256 * 2**20
LIMIT_FILES = 64
SUFFIXES = (".onnx", ".json", ".md", ".yaml", ".csv", ".svg", ".png", ".txt")
"""What a bundle may hold: data that is parsed, never executed; no pickle."""


def read_files(path: Path) -> dict[str, bytes]:
    """Return the files of a bundle by name; what is checked is what is used.

    Raises:
        BundleError: If there is a folder, link or unexpected kind of file inside,
            names that lead out of it, or more than the limits.
    """
    if path.is_dir():
        return _from_folder(path)
    if path.is_file():
        return _from_zip(path)
    raise BundleError(f"{path}: there is no such bundle")


def _from_folder(folder: Path) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    total = 0
    try:
        for entry in sorted(folder.iterdir()):
            if entry.is_symlink() or not entry.is_file():
                raise BundleError(
                    f"{folder}: holds {entry.name}, which is not a plain file; a "
                    "bundle holds plain files only"
                )
            _check_name(folder, entry.name)
            total += entry.stat().st_size
            _check_limits(folder, len(files) + 1, total)
            files[entry.name] = entry.read_bytes()
    except OSError as error:
        raise BundleError(f"{folder}: cannot be read ({error.strerror})") from None
    return files


def _from_zip(path: Path) -> dict[str, bytes]:
    try:
        with zipfile.ZipFile(path) as archive:
            members = [each for each in archive.infolist() if not each.is_dir()]
            _check_limits(path, len(members), sum(each.file_size for each in members))
            prefix = _common_folder(members)
            files: dict[str, bytes] = {}
            for member in members:
                name = member.filename.removeprefix(prefix)
                if stat.S_ISLNK(member.external_attr >> 16) or member.flag_bits & 1:
                    raise BundleError(f"{path}: {name} is a link or encrypted")
                _check_name(path, name)
                if name in files:
                    raise BundleError(f"{path}: holds {name} twice")
                with archive.open(member) as file:
                    # The size in the directory may lie; nothing more is unpacked.
                    data = file.read(member.file_size + 1)
                if len(data) != member.file_size:
                    raise BundleError(f"{path}: {name} is larger than it says")
                files[name] = data
            return files
    except (
        zipfile.BadZipFile,
        NotImplementedError,
        OSError,
        EOFError,
        RuntimeError,
        ValueError,
    ):
        raise BundleError(f"{path}: is not a readable zip file") from None


def _common_folder(members: list[zipfile.ZipInfo]) -> str:
    """Return ``name/`` if all members lie in one folder, as zipping one gives."""
    heads = {member.filename.partition("/")[0] for member in members}
    inside = all("/" in member.filename for member in members)
    head = heads.pop() if len(heads) == 1 else ""
    return f"{head}/" if inside and head not in ("", ".", "..") else ""


def _check_name(path: Path, name: str) -> None:
    plain = name == PurePosixPath(name).name and "\\" not in name and ":" not in name
    if not plain or name in ("", ".", ".."):
        raise BundleError(f'{path}: the name "{name}" leads out of the bundle')
    if not name.endswith(SUFFIXES):
        raise BundleError(
            f"{path}: holds {name}; a bundle holds {', '.join(SUFFIXES)} only"
        )


def _check_limits(path: Path, count: int, size: int) -> None:
    if count > LIMIT_FILES or size > LIMIT_BYTES:
        raise BundleError(
            f"{path}: holds more than {LIMIT_FILES} files or "
            f"{LIMIT_BYTES // 2**20} MiB; this is no policy bundle"
        )
