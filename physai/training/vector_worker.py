"""A process that steps some of the environments, and how the learner talks to it."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import signal
from collections.abc import Callable, Mapping, Sequence
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from typing import Any

import cloudpickle
import gymnasium

from physai.errors import PhysaiError
from physai.training.vector_memory import AnyArray, Layout

__all__ = ["CONTEXT", "COST", "Group", "Maker", "WorkerProcess", "reason_of"]

Maker = Callable[[], gymnasium.Env[Any, Any]]

_STEP, _ASK, _QUIET, _TOLD, _FAILED = b"s", b"a", b"q", b"t", b"f"
"""To a process: step, or answer a question that follows. From it: nothing but what is in
shared memory, something follows, or an error follows."""

CONTEXT = multiprocessing.get_context("spawn")
"""How the processes are started: without the learner's threads."""

COST = "cost"
"""Entry of ``info`` that is handed on in every step, as a number."""


class Group:
    """Some of the environments, wherever they are stepped.

    Args:
        makers: One per environment.
        first: Index of the first among all.
        views: Of the shared memory.
    """

    def __init__(
        self, makers: Sequence[Maker], first: int, views: Mapping[str, AnyArray]
    ) -> None:
        self.environments = [maker() for maker in makers]
        self.first, self.views = first, views
        names = [name for name in views if name.startswith("observation")]
        self._keys = [name.removeprefix("observation").lstrip("/") for name in names]
        self._now = [views[name] for name in names]
        self._last = [
            views["terminal" + name.removeprefix("observation")] for name in names
        ]

    def step(self) -> list[tuple[int, dict[str, Any]]]:
        """Step every environment by its action; begin again what has ended.

        Returns:
            Index and ``info`` of those that ended.
        """
        views, first, told = self.views, self.first, []
        action, reward, cost, done = (
            views[name] for name in ("action", "reward", "cost", "done")
        )
        for k, environment in enumerate(self.environments):
            i = first + k
            # A copy, since an environment may keep what it was given.
            observation, gain, terminated, truncated, info = environment.step(
                action[i].copy()
            )
            reward[i], cost[i] = gain, info.get(COST, 0.0)
            done[i] = terminated or truncated
            if terminated or truncated:
                info["TimeLimit.truncated"] = truncated and not terminated
                self._write(self._last, i, observation)
                observation, begun = environment.reset()
                told.append((i, {**info, "reset_info": begun}))
            self._write(self._now, i, observation)
        return told

    def reset(
        self, seeds: Sequence[int | None], options: Sequence[dict[str, Any] | None]
    ) -> list[dict[str, Any]]:
        """Begin every environment; return what each says of it."""
        infos = []
        for k, environment in enumerate(self.environments):
            given = {"options": options[k]} if options[k] else {}
            observation, info = environment.reset(seed=seeds[k], **given)
            self._write(self._now, self.first + k, observation)
            infos.append(info)
        return infos

    def answer(self, question: tuple[Any, ...]) -> Any:
        """Answer what is asked of one environment, or of the group."""
        what, *given = question
        if what == "reset":
            return self.reset(*given)
        environment = self.environments[given[0] - self.first]
        if what == "get":
            return environment.get_wrapper_attr(given[1])
        if what == "set":
            return setattr(environment.unwrapped, given[1], given[2])
        if what == "call":
            return environment.get_wrapper_attr(given[1])(*given[2], **given[3])
        return _is_wrapped(environment, given[1])

    def close(self) -> None:
        """Close every environment."""
        for environment in self.environments:
            environment.close()

    def _write(self, arrays: Sequence[AnyArray], i: int, observation: Any) -> None:
        if len(arrays) == 1 and not self._keys[0]:
            arrays[0][i] = observation
            return
        for key, array in zip(self._keys, arrays, strict=True):
            array[i] = observation[key]


def _is_wrapped(environment: Any, wrapper: type[Any]) -> bool:
    while isinstance(environment, gymnasium.Wrapper):
        if isinstance(environment, wrapper):
            return True
        environment = environment.env
    return False


def _work(
    makers: bytes, first: int, layout: Layout, memory: Any, link: Connection
) -> None:
    """Serve one group of environments; the main function of a process."""
    file, group = link.fileno(), None
    try:
        group = Group(cloudpickle.loads(makers), first, layout.views(memory))
        link.send(None)
        while True:
            order = os.read(file, 1)
            if order == b"":
                return
            try:
                if order == _STEP:
                    told = group.step()
                    os.write(file, _TOLD if told else _QUIET)
                    if told:
                        link.send(told)
                else:
                    answer = group.answer(link.recv())
                    os.write(file, _TOLD)
                    link.send(answer)
            except ConnectionError:
                raise
            except Exception as error:
                os.write(file, _FAILED)
                link.send(_portable(error))
    except (ConnectionError, EOFError):
        # The learner is gone, and with it whoever could be told.
        return
    except Exception as error:
        with contextlib.suppress(ConnectionError):
            link.send(_portable(error))
    finally:
        if group is not None:
            group.close()
            group.views = {}
        link.close()


def reason_of(code: int | None) -> str:
    """Say how a process ended."""
    if code is not None and code < 0:
        return signal.Signals(-code).name
    return f"exit code {code}"


def _portable(error: Exception) -> Exception:
    """Return an error that can be sent to another process."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return PhysaiError(f"{type(error).__name__}: {error}")
    return error


class WorkerProcess:
    """A process that serves a group, and how to talk to it.

    Args:
        makers: One per environment.
        first: Index of the first.
        layout: Of the shared memory.
        memory: The same.

    Attributes:
        deaths: How often it has died in a row.
        steps: How many it has made since it was started.
    """

    def __init__(
        self, makers: Sequence[Maker], first: int, layout: Layout, memory: Any
    ) -> None:
        self._arguments = (cloudpickle.dumps(list(makers)), first, layout, memory)
        self.first, self.count = first, len(makers)
        self.deaths = 0
        self.start()

    @property
    def where(self) -> str:
        """Which environments it steps."""
        return f"environments {self.first} to {self.first + self.count - 1}"

    def start(self) -> None:
        """Start it, without waiting until it is ready."""
        self.link, theirs = CONTEXT.Pipe()
        self.process = CONTEXT.Process(
            target=_work, args=(*self._arguments, theirs), daemon=True
        )
        # Ctrl-C reaches every process of a terminal: the learner ends this one. What is
        # blocked here stays blocked there, from its first instruction on.
        resource_tracker.ensure_running()
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            self.process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        theirs.close()
        self._file = self.link.fileno()
        self.steps = 0

    def wait_ready(self) -> None:
        """Wait until its environments are made.

        Raises:
            EOFError: If the process is gone.
            Exception: What was raised while they were made.
        """
        error = self.link.recv()
        if error is not None:
            raise error

    def order_step(self) -> None:
        """Have it step; :meth:`finish` waits for the end."""
        os.write(self._file, _STEP)

    def ask(self, question: tuple[Any, ...]) -> None:
        """Ask a question; :meth:`finish` waits for the answer."""
        os.write(self._file, _ASK)
        self.link.send(question)

    def finish(self) -> Any:
        """Wait for the end of a step, or for an answer.

        Returns:
            Who ended (or None) after a step; the answer after a question.

        Raises:
            EOFError: If the process is gone.
            Exception: What was raised there.
        """
        sign = os.read(self._file, 1)
        if sign == b"":
            raise EOFError("the process is gone")
        if sign == _QUIET:
            return None
        given = self.link.recv()
        if sign == _FAILED:
            raise given
        return given

    def stop(self) -> None:
        """End it."""
        self.link.close()
        self.process.join(timeout=5.0)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()
