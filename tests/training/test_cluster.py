"""Work on a real Ray cluster of two nodes, one of which dies."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from physai.errors import LinkError, RefusedError
from physai.evaluation.cluster import Cluster, run_on_cluster

ray = pytest.importorskip("ray")

pytestmark = pytest.mark.slow


def work(folder: str, name: str) -> str:
    """Note the node; the first attempt on the second node waits to be killed."""
    from physai.evaluation.cluster import node_id

    file = Path(folder) / name
    with file.open("a") as handle:
        handle.write(json.dumps({"node": node_id(), "parent": os.getppid()}) + "\n")
    if len(file.read_text().splitlines()) == 1:
        time.sleep(6.0)
    return name


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))
    from cluster import Nodes

    # Other processes do not find a test as a module.
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    # A socket's path must be short.
    folder = Path(f"/tmp/physai_test_{os.getpid()}")
    found = Nodes(folder)
    try:
        found.add()
        found.wait(2)
        yield found
    finally:
        found.close()
        subprocess.run(["rm", "-rf", str(folder)], check=False)


def test_a_task_whose_node_dies_is_given_again(
    nodes: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import threading

    from cluster import kill

    cluster = Cluster(nodes.address)
    tasks = [(str(tmp_path), name) for name in ("a", "b")]
    results = []
    with pytest.raises(RefusedError, match="no node of the cluster has 64 cores"):
        list(run_on_cluster(work, tasks, Cluster(nodes.address, cpus=64.0)))

    def kill_when_both_run() -> None:
        while len(list(tmp_path.iterdir())) < 2:
            time.sleep(0.05)
        kill(nodes.processes[1])

    killer = threading.Thread(target=kill_when_both_run)
    killer.start()
    for place, value, lost in run_on_cluster(work, tasks, cluster):
        assert lost == ""
        assert value == tasks[place][1]
        results.append(value)
    killer.join()
    # Ray tells of the node that died; stdout is for results.
    assert capsys.readouterr().out == ""
    assert sorted(results) == ["a", "b"]
    attempts = {p.name: p.read_text().splitlines() for p in tmp_path.iterdir()}
    assert sorted(map(len, attempts.values())) == [1, 2]
    (again,) = (lines for lines in attempts.values() if len(lines) == 2)
    first, second = (json.loads(line)["node"] for line in again)
    assert first != second


def test_no_cluster_is_one_sentence() -> None:
    with pytest.raises(
        LinkError, match=r"no Ray cluster can be used at 127\.0\.0\.1:9"
    ):
        list(run_on_cluster(work, [("", "")], Cluster("127.0.0.1:9")))
