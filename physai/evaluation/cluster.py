"""Work on a Ray cluster: tasks that are given again when their node dies.

Every node needs the same version of this package and the same storage under the same
path: a task that is given again finds there what the first attempt left.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from physai.errors import LinkError, MissingExtraError, PhysaiError, RefusedError

__all__ = ["Cluster", "node_id", "run_on_cluster"]


@dataclass(frozen=True)
class Cluster:
    """A cluster and what each task takes of it.

    Attributes:
        address: ``HOST:PORT`` of its head, or ``auto`` for the one of this machine; empty
            for that of ``RAY_ADDRESS``, or else a new one of this machine alone.
        cpus: Cores of a task.
        gpus: Graphics processors of a task, also a share of one; without, it sees none.
        retries: How often a task is given again after its node or process died.
    """

    address: str = ""
    cpus: float = 1.0
    gpus: float = 0.0
    retries: int = 3


def run_on_cluster(
    function: Callable[..., Any], tasks: Sequence[tuple[Any, ...]], cluster: Cluster
) -> Iterator[tuple[int, Any, str]]:
    """Run a function once per task; yield results as they come.

    Until the last one, what is printed goes to stderr: Ray tells of nodes on stdout.

    Args:
        function: Of a module that every node can import.
        tasks: Arguments of each call.
        cluster: Where, and with what.

    Yields:
        Place of the task, its result, and an empty text; for a task that was lost more
        often than ``retries``, None and what happened.

    Raises:
        MissingExtraError: If Ray is not installed.
        LinkError: If there is no cluster at the address.
        RefusedError: If no node has what a task needs.
        PhysaiError: Those of the function.
    """
    try:
        import ray
    except ModuleNotFoundError:
        raise MissingExtraError("ray", "the executor ray") from None
    if not tasks:
        return
    with contextlib.redirect_stdout(sys.stderr):
        try:
            _join(ray, cluster)
            _check_resources(ray, cluster)
            yield from _results(ray, function, tasks, cluster)
        finally:
            # Also after an interrupt: the tasks of this client end with it.
            ray.shutdown()


def _results(
    ray: Any,
    function: Callable[..., Any],
    tasks: Sequence[tuple[Any, ...]],
    cluster: Cluster,
) -> Iterator[tuple[int, Any, str]]:
    remote = ray.remote(
        num_cpus=cluster.cpus, num_gpus=cluster.gpus, max_retries=cluster.retries
    )(function)
    places = {remote.remote(*task): place for place, task in enumerate(tasks)}
    waiting = list(places)
    while waiting:
        (ready, *_), waiting = ray.wait(waiting, num_returns=1)
        try:
            yield places[ready], ray.get(ready), ""
        except ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, PhysaiError):
                raise error.cause from None
            raise
        except ray.exceptions.RayError as error:
            lost = (
                f"lost with its node or process {cluster.retries + 1} times "
                f"({type(error).__name__})"
            )
            yield places[ready], None, lost


def node_id() -> str:
    """Return the id of the Ray node that this runs on; empty outside a task."""
    ray = sys.modules.get("ray")
    if ray is None or not ray.is_initialized():
        return ""
    return str(ray.get_runtime_context().get_node_id())


def _join(ray: Any, cluster: Cluster) -> None:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    address = cluster.address or os.environ.get("RAY_ADDRESS") or "local"
    handler = signal.getsignal(signal.SIGTERM)
    try:
        host, sign, port = address.rpartition(":")
        if sign and port.isdigit() and "/" not in host:
            # Ray itself would try for minutes.
            socket.create_connection((host, int(port)), timeout=5.0).close()
        if address == "local":
            ray.init(
                address="local",
                include_dashboard=False,
                log_to_driver=False,
                logging_level="error",
            )
        else:
            ray.init(address=address, log_to_driver=False, logging_level="error")
    except (ConnectionError, OSError, RuntimeError, ValueError) as error:
        lines = str(error).strip().splitlines()
        raise LinkError(
            f"no Ray cluster can be used at {address}: "
            f"{lines[0] if lines else type(error).__name__}"
        ) from None
    finally:
        # Ray sets one of its own, with another exit code.
        main = threading.current_thread() is threading.main_thread()
        if main and handler is not None:
            signal.signal(signal.SIGTERM, handler)


def _check_resources(ray: Any, cluster: Cluster) -> None:
    """Check that some node has what a task needs: it would wait for ever."""
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    if any(
        node.get("CPU", 0.0) >= cluster.cpus and node.get("GPU", 0.0) >= cluster.gpus
        for node in nodes
    ):
        return
    most = ", ".join(
        f"{node.get('CPU', 0.0):g} cores and {node.get('GPU', 0.0):g} graphics processors"
        for node in nodes
    )
    raise RefusedError(
        f"no node of the cluster has {cluster.cpus:g} cores and {cluster.gpus:g} graphics "
        f"processors for a task; they have: {most}"
    )
