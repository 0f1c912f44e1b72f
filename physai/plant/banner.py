"""Keeps an engine's banner off a person's terminal."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["without_banner"]


@contextmanager
def without_banner() -> Iterator[None]:
    """Drop what native code writes to standard error meanwhile.

    Bullet prints its build time when it is imported, which would stand between a
    command and its one-sentence error. Python's own exceptions are not affected.
    """
    sys.stderr.flush()
    try:
        saved = os.dup(2)
    except OSError:
        yield
        return
    with Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(saved, 2)
            os.close(saved)
