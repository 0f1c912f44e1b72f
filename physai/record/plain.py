"""Turn Python and numpy values into plain JSON values that can be stored."""

from __future__ import annotations

import enum
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from physai.errors import RecordError

__all__ = ["plain"]


def plain(value: Any, origin: str) -> Any:
    """Return a value as plain JSON; a number that is not finite becomes null.

    Args:
        value: Mappings, lists, tuples, numbers, texts, enums, paths, numpy arrays.
        origin: What it belongs to, for the error sentence.

    Raises:
        RecordError: If it holds anything else.
    """
    if isinstance(value, enum.Enum):
        return plain(value.value, origin)
    if isinstance(value, np.generic | np.ndarray):
        return plain(value.tolist(), origin)
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): plain(item, origin) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [plain(item, origin) for item in value]
    if isinstance(value, Path):
        return value.as_posix()
    raise RecordError(f"{origin} cannot hold a {type(value).__name__}")
