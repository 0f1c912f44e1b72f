"""Many environments for one learner: few processes, several environments in each.

Observations, actions, rewards and ends live in one block of shared memory, so that a step
costs one byte to every process and one back. Only what ends an episode is pickled. The
learner's own process can step a share of the environments itself, instead of waiting.

Which process steps an environment changes nothing: seeds belong to environments, and the
same seed gives the same experience for any number of processes.
"""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import multiprocessing
import os
import pickle
import signal
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from typing import Any

import cloudpickle
import gymnasium
import numpy as np
import numpy.typing as npt
from gymnasium import spaces
from stable_baselines3.common.vec_env.base_vec_env import VecEnv, VecEnvIndices

from physai.errors import ConfigError, PhysaiError
from physai.randomness import derive_seed

__all__ = ["SharedVectorEnv"]

Maker = Callable[[], gymnasium.Env[Any, Any]]
AnyArray = npt.NDArray[Any]

_STEP, _ASK, _QUIET, _TOLD, _FAILED = b"s", b"a", b"q", b"t", b"f"
"""To a process: step, or answer a question that follows. From it: nothing but what is in
shared memory, something follows, or an error follows."""

_DEATHS, _LIFE = 3, 1000
"""A process that dies so often in a row, each time within so many steps, is given up."""

_CONTEXT = multiprocessing.get_context("spawn")

COST = "cost"
"""Entry of ``info`` that is handed on in every step, as a number."""


@dataclass(frozen=True)
class _Layout:
    """Where everything is in the block of shared memory.

    Attributes:
        fields: Name, offset [bytes], shape and type.
        size: Length [bytes].
    """

    fields: tuple[tuple[str, int, tuple[int, ...], str], ...]
    size: int

    @staticmethod
    def of(
        count: int, observation: spaces.Space[Any], action: spaces.Space[Any]
    ) -> _Layout:
        """Lay out ``count`` environments.

        Raises:
            ConfigError: If a space is none of boxes or of a flat dictionary of boxes.
        """
        parts = [
            (f"{kind}{name}", (count, *box.shape), np.dtype(box.dtype).str)
            for kind in ("observation", "terminal")
            for name, box in _leaves(observation)
        ]
        if not isinstance(action, spaces.Box | spaces.Discrete | spaces.MultiDiscrete):
            raise ConfigError(f"vector: actions of the kind {action} are not supported")
        shape = () if isinstance(action, spaces.Discrete) else action.shape
        parts.append(("action", (count, *shape), np.dtype(action.dtype).str))
        parts += [
            ("reward", (count,), "<f4"),
            ("cost", (count,), "<f8"),
            ("done", (count,), "|b1"),
        ]
        fields, at = [], 0
        for name, dimensions, kind in parts:
            fields.append((name, at, dimensions, kind))
            length = int(np.prod(dimensions)) * np.dtype(kind).itemsize
            at += -(-length // 64) * 64
        return _Layout(tuple(fields), max(at, 64))

    def views(self, memory: Any) -> dict[str, AnyArray]:
        """Return an array on the shared memory for every field."""
        return {
            name: np.ndarray(shape, kind, memory, at)
            for name, at, shape, kind in self.fields
        }


def _leaves(space: spaces.Space[Any]) -> Iterator[tuple[str, spaces.Box]]:
    """Give the boxes of a space with what tells them apart: a key, or nothing."""
    if isinstance(space, spaces.Box):
        yield "", space
        return
    if isinstance(space, spaces.Dict):
        for key, box in space.spaces.items():
            if isinstance(box, spaces.Box):
                yield f"/{key}", box
                continue
            raise ConfigError(f'vector: observation "{key}" is no box but {box}')
        return
    raise ConfigError(f"vector: observations of the kind {space} are not supported")


class _Group:
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
    makers: bytes, first: int, layout: _Layout, memory: Any, link: Connection
) -> None:
    """Serve one group of environments; the main function of a process."""
    file, group = link.fileno(), None
    try:
        group = _Group(cloudpickle.loads(makers), first, layout.views(memory))
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


def _reason(code: int | None) -> str:
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


class _Process:
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
        self, makers: Sequence[Maker], first: int, layout: _Layout, memory: Any
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
        self.link, theirs = _CONTEXT.Pipe()
        self.process = _CONTEXT.Process(
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


class SharedVectorEnv(VecEnv):
    """Steps environments in a few processes that share memory with the learner.

    A process that dies is started again: its episodes end there as truncated, with
    ``restarted`` in their ``info``.

    Args:
        makers: One per environment; each is called in the process that steps it.
        processes: Processes beside the learner's own; 0 steps everything in it.
        share_here: Share of the environments that the learner's own process steps.

    Raises:
        ConfigError: If a space is not supported, or the numbers do not fit.
    """

    def __init__(
        self, makers: Sequence[Maker], processes: int, share_here: float = 0.0
    ) -> None:
        if not makers or processes < 0 or not 0.0 <= share_here <= 1.0:
            raise ConfigError(
                "vector: at least one environment, 0 or more processes, and a share "
                "from 0 to 1 are needed"
            )
        example = makers[0]()
        self._layout = _Layout.of(
            len(makers), example.observation_space, example.action_space
        )
        # It has no name that would be left behind when every process is killed.
        memory = _CONTEXT.RawArray(ctypes.c_byte, self._layout.size)
        self._views = self._layout.views(memory)
        self._restarts = 0
        self._seed = 0
        self._so_far = np.zeros(len(makers))
        self._waiting = False
        here = len(makers) if processes == 0 else round(share_here * len(makers))
        first = [(lambda: example), *makers[1:]]
        self._here = _Group(first[:here], 0, self._views)
        if here == 0:
            example.close()
        bounds = (
            np.linspace(here, len(makers), max(1, processes) + 1).round().astype(int)
        )
        self._processes = [
            _Process(makers[a:b], a, self._layout, memory)
            for a, b in itertools.pairwise(bounds.tolist())
            if b > a
        ]
        self._keys = [key.lstrip("/") for key, _ in _leaves(example.observation_space)]
        self.closed = False
        try:
            for process in self._processes:
                try:
                    process.wait_ready()
                except (EOFError, ConnectionError):
                    self._restart(process)
            super().__init__(
                len(makers), example.observation_space, example.action_space
            )
        except BaseException:
            self.close()
            raise

    def seed(self, seed: int | None = None) -> Sequence[int | None]:
        """Set the seeds of the next reset, and of what replaces a process that died."""
        seeds = super().seed(seed)
        self._seed = int(seeds[0] or 0)
        return seeds

    def reset(self) -> Any:
        """Begin every environment with the seeds set before; return observations.

        Raises:
            PhysaiError: If a process keeps dying.
        """
        seeds, options = self._seeds, self._options
        asked = {
            process: (
                "reset",
                seeds[process.first : process.first + process.count],
                options[process.first : process.first + process.count],
            )
            for process in self._processes
        }
        for process, question in asked.items():
            with contextlib.suppress(ConnectionError):
                process.ask(question)
        here = len(self._here.environments)
        infos = self._here.reset(seeds[:here], options[:here])
        for process, question in asked.items():
            try:
                infos += process.finish()
            except (EOFError, ConnectionError):
                infos += self._restart(process, question)
        self.reset_infos = infos
        self._so_far[:] = 0.0
        self._reset_seeds()
        self._reset_options()
        return self._observations("observation")

    def step_async(self, actions: AnyArray) -> None:
        """Have the other processes step; :meth:`step_wait` steps what is here."""
        self._views["action"][:] = actions
        for process in self._processes:
            try:
                process.order_step()
            except OSError:
                # It is gone, which the wait will find.
                continue
        self._waiting = True

    def step_wait(self) -> tuple[Any, AnyArray, AnyArray, list[dict[str, Any]]]:
        """Wait for the step; return observations, rewards, ends and infos.

        Raises:
            PhysaiError: If a process keeps dying.
        """
        self._waiting = False
        told = self._here.step() if self._here.environments else []
        for process in self._processes:
            try:
                told += process.finish() or []
                process.steps += 1
            except (EOFError, ConnectionError):
                told += self._cut_off(process)
        views = self._views
        infos: list[dict[str, Any]] = [{COST: cost} for cost in views["cost"].tolist()]
        for i, info in told:
            self.reset_infos[i] = info.pop("reset_info")
            infos[i] = {COST: infos[i][COST], **info}
            infos[i]["terminal_observation"] = self._row("terminal", i)
        done = views["done"].copy()
        self._so_far = np.where(done, 0.0, self._so_far + views["cost"])
        return self._observations("observation"), views["reward"].copy(), done, infos

    def close(self) -> None:
        """End every process; the memory goes with the last that holds it."""
        if self.closed:
            return
        self.closed = True
        for process in self._processes:
            process.stop()
        self._here.close()
        self._here.views = self._views = {}
        self._here = _Group((), 0, {})

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        """Return an attribute of every environment."""
        return self._ask("get", indices, attr_name)

    def set_attr(
        self, attr_name: str, value: Any, indices: VecEnvIndices = None
    ) -> None:
        """Set an attribute of every environment."""
        self._ask("set", indices, attr_name, value)

    def env_method(
        self,
        method_name: str,
        *method_args: Any,
        indices: VecEnvIndices = None,
        **method_kwargs: Any,
    ) -> list[Any]:
        """Call a method of every environment."""
        return self._ask("call", indices, method_name, method_args, method_kwargs)

    def env_is_wrapped(
        self, wrapper_class: type[Any], indices: VecEnvIndices = None
    ) -> list[bool]:
        """Return whether each environment is inside of such a wrapper."""
        return self._ask("wrapped", indices, wrapper_class)

    def get_images(self) -> Sequence[AnyArray | None]:
        """Return a picture of every environment."""
        return self.env_method("render")

    def _ask(self, what: str, indices: VecEnvIndices, *given: Any) -> list[Any]:
        answers = []
        for i in self._get_indices(indices):
            if i < len(self._here.environments):
                answers.append(self._here.answer((what, i, *given)))
                continue
            process = next(p for p in self._processes if i < p.first + p.count)
            try:
                process.ask((what, i, *given))
                answers.append(process.finish())
            except (EOFError, ConnectionError):
                raise PhysaiError(f"the process of {process.where} is gone") from None
        return answers

    def _cut_off(self, process: _Process) -> list[tuple[int, dict[str, Any]]]:
        """End what was going on in a process that died, as truncated; start it again."""
        part = slice(process.first, process.first + process.count)
        for name in [n for n in self._views if n.startswith("observation")]:
            last = "terminal" + name.removeprefix("observation")
            self._views[last][part] = self._views[name][part]
        self._views["reward"][part] = self._views["cost"][part] = 0.0
        self._views["done"][part] = True
        # Seeds of their own: the episodes that were lost are not played again.
        count = self._restarts + 1
        seeds = [
            derive_seed(self._seed, f"restart.{count}", process.first + k)
            for k in range(process.count)
        ]
        begun = self._restart(process, ("reset", seeds, [None] * process.count))
        return [
            (
                process.first + k,
                {
                    "TimeLimit.truncated": True,
                    "restarted": True,
                    "reset_info": info,
                    # As far as it went: the environment itself cannot say any more.
                    "episode_cost": float(self._so_far[process.first + k]),
                },
            )
            for k, info in enumerate(begun)
        ]

    def _restart(self, process: _Process, question: tuple[Any, ...] = ()) -> Any:
        """Start a process that died, and ask it something.

        Returns:
            Its answer.

        Raises:
            PhysaiError: If it keeps dying.
        """
        while True:
            self._restarts += 1
            process.deaths = 1 if process.steps > _LIFE else process.deaths + 1
            process.stop()
            code = process.process.exitcode
            if process.deaths >= _DEATHS:
                raise PhysaiError(
                    f"the process of {process.where} died {process.deaths} times in a "
                    f"row ({_reason(code)}); something is wrong with it, or memory is "
                    "short: try fewer vector.environments"
                )
            warnings.warn(
                f"the process of {process.where} died ({_reason(code)}) and was started "
                "again; their episodes are cut off there",
                RuntimeWarning,
                stacklevel=3,
            )
            try:
                process.start()
                process.wait_ready()
                if not question:
                    return None
                process.ask(question)
                return process.finish()
            except (EOFError, ConnectionError):
                continue

    def _observations(self, kind: str) -> Any:
        arrays = [v.copy() for n, v in self._views.items() if n.startswith(kind)]
        if self._keys == [""]:
            return arrays[0]
        return dict(zip(self._keys, arrays, strict=True))

    def _row(self, kind: str, i: int) -> Any:
        rows = [v[i].copy() for n, v in self._views.items() if n.startswith(kind)]
        return (
            rows[0] if self._keys == [""] else dict(zip(self._keys, rows, strict=True))
        )
