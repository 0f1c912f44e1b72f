"""Does a sweep end although a node of its cluster dies?

    python benchmarks/cluster.py [--out FILE] [--steps N] [--seeds A-B]

Two Ray nodes are started on this machine, as `ray start` starts them on two: a head and
a second one, each with room for one training. `physai sweep --executor ray` is given
tiny trainings. When one that runs on the second node has written a checkpoint, every
process of that node is killed (SIGKILL), runs included. The sweep must end with every
run finished, and the killed one must have gone on from its checkpoint. The same is done
to `physai evaluate --executor ray` unless --no-evaluation is given: its episodes must be
those of the executor local: the tables of their verdicts agree.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import psutil
import ray

from physai.evaluation.verdict_file import read_verdict
from physai.provenance import environment_record

ROOT = Path(__file__).resolve().parent.parent
SETTINGS = (
    "demonstrations.episodes=0",
    "hyperparameters={n_steps: 250, batch_size: 50, n_epochs: 1}",
    "vector={environments: 1, processes: 0}",
    "evaluation={every_steps: 1000, episodes: 1, final_episodes: 2}",
    "checkpoint_every_steps=250",
)
LIMIT_S = 1500.0


def free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Nodes:
    """A head and a second node, in a folder of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.address = f"127.0.0.1:{free_port()}"
        self.processes: list[subprocess.Popen[bytes]] = []
        self._start("--head", f"--port={self.address.split(':')[1]}")

    def add(self) -> subprocess.Popen[bytes]:
        """Start another node; returns the process that holds it."""
        return self._start(f"--address={self.address}")

    def _start(self, *arguments: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block"]
        command += ["--num-cpus=1", "--num-gpus=0", "--disable-usage-stats"]
        command += ["--object-store-memory=80000000", "--node-ip-address=127.0.0.1"]
        if "--head" in arguments:
            command += ["--include-dashboard=false", f"--temp-dir={self.folder}"]
        process = subprocess.Popen(
            [*command, *arguments],
            env=environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self.processes.append(process)
        return process

    def wait(self, count: int) -> None:
        """Wait until so many nodes live."""
        end = time.monotonic() + 120.0
        command = [sys.executable, "-c", _COUNT, self.address]
        while time.monotonic() < end:
            done = subprocess.run(
                command, env=environment(), capture_output=True, text=True
            )
            if done.returncode == 0 and int(done.stdout or 0) >= count:
                return
            time.sleep(0.5)
        raise SystemExit("the nodes did not come up")

    def close(self) -> None:
        """Kill what is left."""
        for process in self.processes:
            kill(process)


_COUNT = """
import logging, sys, ray
ray.init(address=sys.argv[1], log_to_driver=False, logging_level=logging.ERROR)
print(sum(node["Alive"] for node in ray.nodes()))
"""


def environment() -> dict[str, str]:
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    return {
        **os.environ,
        "PYTHONPATH": path,
        "RAY_USAGE_STATS_ENABLED": "0",
        # Ray gives its tasks a lower priority; the nodes may not be alone on this machine.
        "RAY_worker_niceness": "0",
    }


def kill(process: subprocess.Popen[bytes]) -> int:
    """Kill a node with all that it started; returns how many processes that were."""
    try:
        top = psutil.Process(process.pid)
        tree = [top, *top.children(recursive=True)]
    except psutil.NoSuchProcess:
        return 0
    # The holder first, as it would start what is missing again.
    for each in tree:
        try:
            each.send_signal(signal.SIGKILL)
        except psutil.NoSuchProcess:
            continue
    process.wait()
    return len(tree)


def prove_sweep(nodes: Nodes, folder: Path, steps: int, seeds: str) -> dict[str, Any]:
    """Kill the second node in the middle of a sweep."""
    out = folder / "sweep"
    command = [sys.executable, "-m", "physai", "sweep", "care_feeding", "--json"]
    command += ["--seeds", seeds, "--grid", "guard=on,off", "--out", str(out)]
    command += ["--executor", "ray", "--address", nodes.address]
    for setting in (*SETTINGS, f"total_steps={steps}"):
        command += ["--set", setting]
    second = nodes.processes[1]
    begun = time.monotonic()
    sweep = subprocess.Popen(
        command, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        victim = wait_for_victim(sweep, out, second)
        killed_after = time.monotonic() - begun
        processes = kill(second)
        stdout, stderr = sweep.communicate(timeout=LIMIT_S)
        seconds = time.monotonic() - begun
    finally:
        if sweep.poll() is None:
            sweep.kill()
    if sweep.returncode:
        raise SystemExit(f"the sweep failed: {stderr.decode()[-2000:]}")
    rows = json.loads(stdout)["rows"]
    runs: dict[str, Any] = {}
    for row in rows:
        for name, success in zip(row["runs"], row["safe_success"], strict=True):
            lines = (out / "starts" / f"{name}.jsonl").read_text().splitlines()
            starts = [json.loads(line) for line in lines]
            runs[name] = {
                "starts": [
                    {"node": start["node"][:8], "from_step": start["steps"]}
                    for start in starts
                ],
                "safe_success": success,
                "finished": (out / name / "bundle" / "policy.onnx").is_file(),
            }
    again = [name for name, run in runs.items() if len(run["starts"]) > 1]
    return {
        "runs": runs,
        "killed_while_running": victim,
        "processes_killed": processes,
        "killed_after_s": round(killed_after, 1),
        "seconds": round(seconds, 1),
        "resubmitted": again,
        "all_finished": all(run["finished"] for run in runs.values()),
        "went_on_from_checkpoint": bool(again)
        and all(runs[name]["starts"][-1]["from_step"] > 0 for name in again),
    }


def wait_for_victim(
    sweep: subprocess.Popen[bytes], out: Path, node: subprocess.Popen[bytes]
) -> str:
    """Wait until a run on a node has a checkpoint; returns its name."""
    end = time.monotonic() + LIMIT_S
    while time.monotonic() < end:
        if sweep.poll() is not None:
            _, stderr = sweep.communicate()
            raise SystemExit(f"the sweep ended too early: {stderr.decode()[-2000:]}")
        for name in runs_on(node, out):
            if list((out / name / "checkpoints").glob("step_*[1-9]*/progress.json")):
                return name
        time.sleep(0.2)
    raise SystemExit("no run on the second node wrote a checkpoint")


def runs_on(node: subprocess.Popen[bytes], out: Path) -> list[str]:
    """Return the runs whose processes a node holds."""
    found = []
    for process in psutil.Process(node.pid).children(recursive=True):
        try:
            line = process.cmdline()
        except psutil.Error:
            continue
        for part in line:
            if part.startswith(f"{out}/"):
                found.append(Path(part).name)
    return found


def prove_evaluation(nodes: Nodes, folder: Path) -> dict[str, Any]:
    """Kill a second node in the middle of an evaluation; compare with a local one."""
    second = nodes.add()
    nodes.wait(2)
    command = [sys.executable, "-m", "physai", "evaluate", "expert", "--json"]
    command += ["--suite", "care_feeding_quick"]
    ray_out, local_out = folder / "evaluation_ray", folder / "evaluation_local"
    begun = time.monotonic()
    process = subprocess.Popen(
        [*command, "--executor", "ray", "--address", nodes.address, "--out", ray_out],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    while len(list(ray_out.glob("episodes/*.parquet"))) < 4:
        if process.poll() is not None:
            raise SystemExit(process.communicate()[1].decode()[-2000:])
        time.sleep(0.2)
    done_before = len(list(ray_out.glob("episodes/*.parquet")))
    killed = kill(second)
    _, stderr = process.communicate(timeout=LIMIT_S)
    if process.returncode not in (0, 1):
        raise SystemExit(f"the evaluation failed: {stderr.decode()[-2000:]}")
    seconds = time.monotonic() - begun
    subprocess.run(
        [*command, "--workers", "1", "--out", local_out],
        env=environment(),
        capture_output=True,
    )
    one, two = (
        read_verdict(each / "verdict.json").table for each in (ray_out, local_out)
    )
    return {
        "suite": "care_feeding_quick",
        "episodes": sum(one.values()),
        "episodes_before_the_kill": done_before,
        "processes_killed": killed,
        "seconds": round(seconds, 1),
        "table": dict(one),
        "same_table_as_local": one == two,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--seeds", default="0-1")
    parser.add_argument("--no-evaluation", action="store_true")
    parser.add_argument("--keep", type=Path, help="copy the sweep's folder there")
    options = parser.parse_args()
    # A socket's path must be short.
    folder = Path(tempfile.mkdtemp(prefix="physai_", dir="/tmp"))
    nodes = Nodes(folder / "ray")
    try:
        nodes.add()
        nodes.wait(2)
        result: dict[str, Any] = {
            "schema": "physai/cluster/1",
            "record": environment_record(),
            "ray": ray.__version__,
            "nodes": 2,
            "steps": options.steps,
            "seeds": options.seeds,
            "sweep": prove_sweep(nodes, folder, options.steps, options.seeds),
        }
        if not options.no_evaluation:
            result["evaluation"] = prove_evaluation(nodes, folder)
        if options.keep:
            shutil.copytree(folder / "sweep", options.keep)
    finally:
        nodes.close()
        shutil.rmtree(folder, ignore_errors=True)
    text = json.dumps(result, indent=1) + "\n"
    if options.out:
        options.out.write_text(text)
    print(text)
    passed = (
        result["sweep"]["all_finished"] and result["sweep"]["went_on_from_checkpoint"]
    )
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
