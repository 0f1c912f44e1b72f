"""Environments in processes with shared memory: the same experience, however spread."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from stable_baselines3.common.vec_env import DummyVecEnv, VecMonitor

from physai.errors import ConfigError, PhysaiError
from physai.training.vector import SharedVectorEnv


class Counter(gymnasium.Env[Any, Any]):
    """Counts its steps, ends by itself or is cut off, and draws from its own seed."""

    action_space = spaces.Box(-1.0, 1.0, (2,), np.float32)
    render_mode = None

    def __init__(self, rank: int, nested: bool = False) -> None:
        self.rank, self.nested, self.steps = rank, nested, 0
        box = spaces.Box(-np.inf, np.inf, (3,), np.float32)
        picture = spaces.Box(0, 255, (4, 4, 3), np.uint8)
        self.observation_space: spaces.Space[Any] = (
            spaces.Dict({"state": box, "picture": picture}) if nested else box
        )

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.steps = 0
        return self._observation(), {"begun": (options or {}).get("with", self.rank)}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        if action[1] > 0.9:
            raise PhysaiError("an impossible scenario")
        self.steps += 1
        ended, cut = self.steps == 3 + self.rank, self.steps == 7
        info = {
            "episode_cost": 0.0,
            "cost": 0.5 * self.steps,
            "process": os.getpid(),
            "is_success": ended,
        }
        return self._observation(), float(action[0]), ended, cut and not ended, info

    def pid(self) -> int:
        return os.getpid()

    def _observation(self) -> Any:
        values = np.array([self.rank, self.steps, self.np_random.random()], np.float32)
        if not self.nested:
            return values
        return {"state": values, "picture": np.full((4, 4, 3), self.steps, np.uint8)}


class Maker:
    def __init__(self, rank: int, nested: bool = False) -> None:
        self.rank, self.nested = rank, nested

    def __call__(self) -> Counter:
        return Counter(self.rank, self.nested)


def experience(vector: Any, steps: int = 25) -> list[Any]:
    vector.seed(5)
    seen = [vector.reset()]
    rng = np.random.default_rng(0)
    for _ in range(steps):
        actions = rng.uniform(-0.8, 0.8, (vector.num_envs, 2)).astype(np.float32)
        observations, rewards, ends, infos = vector.step(actions)
        kept = [
            {k: v for k, v in info.items() if k not in ("process",)} for info in infos
        ]
        seen.append((observations, rewards, ends, kept))
    vector.close()
    return seen


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize(
    ("processes", "here"), [(0, 0.0), (2, 0.0), (1, 0.4), (5, 0.0)]
)
def test_experience_is_that_of_the_plain_loop(processes, here, nested) -> None:
    makers = [Maker(rank, nested) for rank in range(5)]
    plain = experience(DummyVecEnv(makers))
    shared = experience(SharedVectorEnv(makers, processes, here))
    np.testing.assert_equal(shared[0], plain[0])
    for ours, theirs in zip(shared[1:], plain[1:], strict=True):
        np.testing.assert_equal(ours[0], theirs[0])
        np.testing.assert_array_equal(ours[1], theirs[1].astype(np.float32))
        np.testing.assert_array_equal(ours[2], theirs[2])
        for end, mine, plainly in zip(ours[2], ours[3], theirs[3], strict=True):
            assert mine["cost"] == plainly["cost"]
            if end:
                np.testing.assert_equal(mine, plainly)
            else:
                assert set(mine) == {"cost"}


def test_processes_are_as_many_as_asked_for_and_answer() -> None:
    vector = SharedVectorEnv([Maker(rank) for rank in range(5)], 2, 0.2)
    try:
        pids = vector.env_method("pid")
        assert pids[0] == os.getpid() and len(set(pids)) == 3
        assert vector.get_attr("rank", [1, 4]) == [1, 4]
        vector.set_attr("rank", 9, indices=3)
        assert vector.get_attr("rank") == [0, 1, 2, 9, 4]
        assert not any(vector.env_is_wrapped(gymnasium.wrappers.TimeLimit))
        vector.set_options({"with": "care"})
        vector.reset()
        assert [i["begun"] for i in vector.reset_infos] == ["care"] * 5
        with pytest.raises(AttributeError):
            vector.get_attr("nothing_of_that_name", 4)
        assert not vector.has_attr("nothing_of_that_name")
    finally:
        vector.close()


def test_a_process_that_is_killed_is_started_again() -> None:
    vector = SharedVectorEnv([Maker(rank) for rank in range(4)], 2)
    try:
        vector.reset()
        actions = np.zeros((4, 2), np.float32)
        before = vector.step(actions)[0]
        os.kill(vector.env_method("pid")[2], signal.SIGKILL)
        with pytest.warns(RuntimeWarning, match="environments 2 to 3 died"):
            observations, _, ends, infos = vector.step(actions)
        assert ends.tolist() == [False, False, True, True]
        assert infos[2]["restarted"] and infos[3]["TimeLimit.truncated"]
        np.testing.assert_array_equal(infos[3]["terminal_observation"], before[3])
        assert observations[:, 1].tolist() == [2.0, 2.0, 0.0, 0.0]
        after = vector.step(actions)[0]
        assert after[:, 1].tolist() == [0.0, 3.0, 1.0, 1.0]
    finally:
        vector.close()


def test_a_monitor_hears_of_an_episode_that_was_cut_off() -> None:
    """The training counts the cost of every episode, also of one that died."""
    vector = SharedVectorEnv([Maker(rank) for rank in range(4)], 2)
    monitor = VecMonitor(vector, info_keywords=("episode_cost",))
    try:
        monitor.reset()
        actions = np.zeros((4, 2), np.float32)
        monitor.step(actions)
        os.kill(vector.env_method("pid")[2], signal.SIGKILL)
        with pytest.warns(RuntimeWarning, match="SIGKILL"):
            infos = monitor.step(actions)[3]
        assert infos[3]["episode"]["episode_cost"] == 0.5
    finally:
        monitor.close()


def test_a_process_that_dies_three_times_in_a_row_is_given_up() -> None:
    vector = SharedVectorEnv([Maker(rank) for rank in range(2)], 1)
    actions = np.zeros((2, 2), np.float32)
    try:
        vector.reset()
        for _ in range(2):
            os.kill(vector.env_method("pid")[1], signal.SIGKILL)
            with pytest.warns(RuntimeWarning, match="was started again"):
                vector.step(actions)
        os.kill(vector.env_method("pid")[1], signal.SIGKILL)
        with pytest.raises(PhysaiError, match="died 3 times in a row"):
            vector.step(actions)
    finally:
        vector.close()


def test_a_process_that_is_killed_before_a_reset_begins_all_the_same() -> None:
    vector = SharedVectorEnv([Maker(rank) for rank in range(2)], 1)
    before = set(Path("/dev/shm").iterdir())
    try:
        vector.seed(5)
        first = vector.reset()
        vector.seed(5)
        os.kill(vector.env_method("pid")[0], signal.SIGKILL)
        with pytest.warns(RuntimeWarning):
            np.testing.assert_equal(vector.reset(), first)
    finally:
        vector.close()
    assert set(Path("/dev/shm").iterdir()) <= before


@pytest.mark.parametrize("processes", [0, 1])
def test_what_an_environment_raises_is_raised_here(processes) -> None:
    vector = SharedVectorEnv([Maker(0), Maker(1)], processes)
    try:
        vector.reset()
        with pytest.raises(PhysaiError, match="an impossible scenario"):
            vector.step(np.ones((2, 2), np.float32))
    finally:
        vector.close()
    vector.close()


def test_a_maker_that_fails_says_why() -> None:
    def fail() -> Counter:
        if os.getpid() != mine:
            raise PhysaiError("no plant here")
        return Counter(0)

    mine = os.getpid()
    with pytest.raises(PhysaiError, match="no plant here"):
        SharedVectorEnv([fail, fail], 1)


def test_spaces_that_do_not_fit_are_refused() -> None:
    class Worded(Counter):
        def __init__(self) -> None:
            super().__init__(0)
            self.observation_space = spaces.Text(5)

    with pytest.raises(ConfigError, match="observations of the kind"):
        SharedVectorEnv([Worded], 0)
    with pytest.raises(ConfigError, match="at least one environment"):
        SharedVectorEnv([], 1)
