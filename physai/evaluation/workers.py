"""Worker processes that leave Ctrl-C to their parent, and end when it does."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing.connection import wait
from typing import Any

__all__ = ["make_pool", "starting_workers"]


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


def make_pool(
    processes: int,
    initializer: Callable[..., None] | None = None,
    initargs: tuple[Any, ...] = (),
    max_tasks_per_child: int | None = None,
) -> ProcessPoolExecutor:
    """Make a pool of fresh processes that do not outlive this one, however it ends.

    A pool of the standard library waits for work for ever when its parent is killed with
    ``kill -9``: every worker holds the other end of the pipe that it reads from.

    Args:
        processes: How many.
        initializer: Called in each process first.
        initargs: Its arguments.
        max_tasks_per_child: After so many a process is replaced.
    """
    return ProcessPoolExecutor(
        processes,
        multiprocessing.get_context("spawn"),
        initializer=_begin,
        initargs=(initializer, initargs),
        max_tasks_per_child=max_tasks_per_child,
    )


def _begin(initializer: Callable[..., None] | None, given: tuple[Any, ...]) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if initializer is not None:
        initializer(*given)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)
