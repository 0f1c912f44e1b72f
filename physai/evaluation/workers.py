"""Worker processes that leave Ctrl-C to their parent."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["starting_workers"]


@contextmanager
def starting_workers() -> Iterator[None]:
    """Start processes inside that never hear Ctrl-C, not even while they import.

    A terminal sends it to every process in the foreground; one that has not come to its
    first line yet would die of it with a traceback. What reaches the parent meanwhile is
    delivered when the block ends.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
