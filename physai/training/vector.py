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
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from stable_baselines3.common.vec_env.base_vec_env import VecEnv, VecEnvIndices

from physai.errors import ConfigError, PhysaiError
from physai.randomness import derive_seed
from physai.training.vector_memory import AnyArray, Layout, leaves
from physai.training.vector_worker import (
    CONTEXT,
    COST,
    Group,
    Maker,
    WorkerProcess,
    reason_of,
)

__all__ = ["SharedVectorEnv"]

_DEATHS, _LIFE = 3, 1000
"""A process that dies so often in a row, each time within so many steps, is given up."""


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
        self._layout = Layout.of(
            len(makers), example.observation_space, example.action_space
        )
        # It has no name that would be left behind when every process is killed.
        memory = CONTEXT.RawArray(ctypes.c_byte, self._layout.size)
        self._views = self._layout.views(memory)
        self._restarts = 0
        self._seed = 0
        self._so_far = np.zeros(len(makers))
        self._waiting = False
        here = len(makers) if processes == 0 else round(share_here * len(makers))
        first = [(lambda: example), *makers[1:]]
        self._here = Group(first[:here], 0, self._views)
        if here == 0:
            example.close()
        bounds = (
            np.linspace(here, len(makers), max(1, processes) + 1).round().astype(int)
        )
        self._processes = [
            WorkerProcess(makers[a:b], a, self._layout, memory)
            for a, b in itertools.pairwise(bounds.tolist())
            if b > a
        ]
        self._keys = [key.lstrip("/") for key, _ in leaves(example.observation_space)]
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
        self._here = Group((), 0, {})

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

    def _cut_off(self, process: WorkerProcess) -> list[tuple[int, dict[str, Any]]]:
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

    def _restart(self, process: WorkerProcess, question: tuple[Any, ...] = ()) -> Any:
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
                    f"row ({reason_of(code)}); something is wrong with it, or memory is "
                    "short: try fewer vector.environments"
                )
            warnings.warn(
                f"the process of {process.where} died ({reason_of(code)}) and was started "
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
