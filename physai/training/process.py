"""A training run as a process of its own, begun or gone on with by what its folder holds.

The module imports neither torch nor Stable-Baselines3: the process that waits for a run
needs neither.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from physai.errors import ContractError
from physai.evaluation.cluster import Cluster, node_id, run_on_cluster

__all__ = ["EXECUTORS", "RunProcess", "execute", "run_process"]

EXECUTORS = ("local", "ray")

# Ends with the process that waits for it, also if that is killed: two processes must
# not write into one run folder when a run is given to another node.
_LEASH = """
import ctypes, os, signal, sys
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    if os.getppid() != int(sys.argv[1]):
        sys.exit("the process that waits for this run is gone")
os.execv(sys.argv[2], sys.argv[2:])
"""


@dataclass(frozen=True)
class RunProcess:
    """One run of a sweep.

    Attributes:
        name: Of its folder.
        config: Training config by name or path.
        settings: ``key=value``.
        seed: Its seed.
        out: Folder of the sweep; holds the run's folder.
    """

    name: str
    config: str
    settings: tuple[str, ...]
    seed: int
    out: Path

    @property
    def folder(self) -> Path:
        """The run folder."""
        return self.out / self.name

    @property
    def figures_file(self) -> Path:
        """What a run that is finished has."""
        return self.folder / "evaluation" / "held_out.json"

    @property
    def starts(self) -> list[dict[str, Any]]:
        """Every beginning of the run: ``time``, ``node`` and ``steps`` done before."""
        if not self._starts_file.is_file():
            return []
        lines = self._starts_file.read_text().splitlines()
        return [json.loads(line) for line in lines]

    @property
    def command(self) -> list[str]:
        """How it is begun, or gone on with."""
        command = [sys.executable, "-m", "physai", "train"]
        if (self.folder / "config.yaml").is_file():
            return [*command, str(self.folder), "--resume"]
        command += [self.config, "--seed", str(self.seed), "--out", str(self.folder)]
        return command + [f"--set={setting}" for setting in self.settings]

    @property
    def _starts_file(self) -> Path:
        # Beside the run folder, which must be empty for a new run.
        return self.out / "starts" / f"{self.name}.jsonl"

    def note_start(self) -> None:
        """Add a line to :attr:`starts`."""
        done = sorted(self.folder.glob("checkpoints/step_*"))
        line = {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "node": node_id(),
            "steps": int(done[-1].name.removeprefix("step_")) if done else 0,
        }
        self._starts_file.parent.mkdir(parents=True, exist_ok=True)
        with self._starts_file.open("a") as handle:
            handle.write(json.dumps(line) + "\n")


def run_process(
    run: RunProcess, active: set[subprocess.Popen[str]] | None = None
) -> str:
    """Run to the end, from the newest checkpoint if there is one.

    Args:
        run: The run.
        active: Holds the process as long as it runs.

    Returns:
        What was wrong, in one sentence; empty if nothing was.
    """
    if run.figures_file.is_file():
        return ""
    run.note_start()
    leash = [sys.executable, "-c", _LEASH, str(os.getpid())]
    process = subprocess.Popen(
        leash + run.command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    active = set() if active is None else active
    active.add(process)
    _, errors = process.communicate()
    active.discard(process)
    if process.returncode == 0:
        return ""
    said = errors.strip().splitlines()
    return said[-1] if said else f"exit code {process.returncode}"


def execute(
    runs: Sequence[RunProcess],
    executor: str = "local",
    workers: int = 1,
    cluster: Cluster | None = None,
) -> Iterator[tuple[RunProcess, str]]:
    """Run every run that is not finished; yield each with what was wrong, as it ends.

    Args:
        runs: The runs.
        executor: ``local`` (processes) or ``ray``.
        workers: Runs at a time of the executor ``local``.
        cluster: Of the executor ``ray``.

    Raises:
        ContractError: If there is no such executor.
        PhysaiError: If the cluster cannot be used.
    """
    if executor not in EXECUTORS:
        raise ContractError(f'no executor "{executor}"; valid: {", ".join(EXECUTORS)}')
    left = [run for run in runs if not run.figures_file.is_file()]
    if executor == "ray":
        tasks = [(run,) for run in left]
        for place, said, lost in run_on_cluster(
            run_process, tasks, cluster or Cluster()
        ):
            run, error = left[place], lost or str(said or "")
            if not error and not run.figures_file.is_file():
                error = (
                    "ended on a node whose files this machine does not see; --out must "
                    "be on storage that all nodes share"
                )
            yield run, error
        return
    active: set[subprocess.Popen[str]] = set()
    with ThreadPoolExecutor(max(1, workers)) as pool:
        waiting = {pool.submit(run_process, run, active): run for run in left}
        try:
            for future in as_completed(waiting):
                yield waiting[future], future.result()
        finally:
            # After an interrupt: those in work write a checkpoint and end.
            pool.shutdown(wait=False, cancel_futures=True)
            for process in list(active):
                process.terminate()
