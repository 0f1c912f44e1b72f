"""Pools of processes: none outlives who made it, however that ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from physai.evaluation.workers import make_pool

SCRIPT = """
import sys, time
sys.path.insert(0, {folder!r})
from physai.evaluation.workers import make_pool
from work import work
if __name__ == "__main__":
    pool = make_pool(2)
    waiting = [pool.submit(work, k) for k in range({tasks})]
    for each in waiting:
        each.result()
    print("done", flush=True)
    time.sleep(60)
"""
WORK = """
import os, pathlib, time
def work(k):
    pathlib.Path({folder!r}, f"pid{{os.getpid()}}").touch()
    time.sleep({seconds})
"""


def alive(number: int) -> bool:
    try:
        state = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="reads /proc")
@pytest.mark.parametrize(
    ("tasks", "seconds"), [(2, 600.0), (4, 0.0)], ids=["at work", "waiting"]
)
def test_workers_end_with_a_parent_that_is_killed(
    tmp_path: Path, tasks: int, seconds: float
) -> None:
    folder = str(tmp_path)
    (tmp_path / "work.py").write_text(WORK.format(folder=folder, seconds=seconds))
    (tmp_path / "make.py").write_text(SCRIPT.format(folder=folder, tasks=tasks))
    parent = subprocess.Popen(
        [sys.executable, "make.py"], cwd=tmp_path, stdout=subprocess.PIPE
    )
    assert parent.stdout is not None
    if not seconds:
        assert parent.stdout.readline() == b"done\n"
    end = time.monotonic() + 60
    while len(found := list(tmp_path.glob("pid*"))) < (2 if seconds else 1):
        assert time.monotonic() < end
        time.sleep(0.05)
    numbers = [int(each.name[3:]) for each in found]
    assert all(alive(number) for number in numbers)
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    end = time.monotonic() + 20
    while any(alive(number) for number in numbers):
        assert time.monotonic() < end, "a worker outlived its parent"
        time.sleep(0.05)


def started(place: str) -> None:
    os.environ["PHYSAI_TEST_WORKERS"] = place


def told() -> str:
    return os.environ["PHYSAI_TEST_WORKERS"]


def test_a_worker_is_prepared_as_asked() -> None:
    with make_pool(1, started, ("here",)) as pool:
        assert pool.submit(told).result() == "here"
