"""One contract over every registered environment."""

from __future__ import annotations

import hashlib
import pickle
import subprocess
import sys
import warnings

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import physai
from physai.errors import ContentError, ContractError
from physai.tasks import registry

IDS = registry.ids()
INFO = {"cost", "episode_cost", "margins", "intervened", "is_success"}
STEPS = 60


@pytest.fixture(scope="module", params=IDS)
def env(request):
    made = gymnasium.make(request.param)
    yield made
    made.close()


def trajectory(environment, seed=11, steps=STEPS) -> str:
    """Digest of everything an environment returns over some steps."""
    rng = np.random.default_rng(seed)
    observation, _ = environment.reset(seed=seed)
    found = hashlib.sha256(observation.tobytes())
    size = environment.action_space.shape
    for _ in range(steps):
        action = rng.uniform(-1, 1, size).astype(np.float32)
        observation, reward, terminated, truncated, info = environment.step(action)
        found.update(observation.tobytes() + np.float64(reward).tobytes())
        found.update(np.float64(info["cost"]).tobytes() + info["margins"].tobytes())
        if terminated or truncated:
            break
    return found.hexdigest()


def test_the_package_is_imported_without_anything_heavy():
    code = (
        "import sys, physai; heavy = {'numba', 'pybullet', 'torch', 'pydantic', 'scipy',"
        " 'pyarrow', 'stable_baselines3', 'mujoco'}; "
        "sys.exit(', '.join(heavy & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert physai.__version__


def test_gymnasium_check_env_has_nothing_to_say(env):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(env.unwrapped, skip_render_check=True, skip_close_check=True)


def test_sb3_check_env_has_nothing_to_say(env):
    checker = pytest.importorskip("stable_baselines3.common.env_checker")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        checker.check_env(env.unwrapped, warn=True, skip_render_check=True)


def test_names_and_spaces_agree(env):
    e = env.unwrapped
    assert env.observation_space.dtype == env.action_space.dtype == np.float32
    assert len(e.observation_names) == env.observation_space.shape[0]
    assert len(e.action_names) == env.action_space.shape[0]
    for names in (e.observation_names, e.action_names, e.rule_names):
        assert len(set(names)) == len(names) > 0
    assert (env.action_space.low == -1).all() and (env.action_space.high == 1).all()
    box = env.observation_space
    assert np.isfinite(box.low).all() and np.isfinite(box.high).all()
    assert (box.low < box.high).all()
    assert e.metadata["render_fps"] == e.environment.control_hz


def test_observations_stay_within_true_bounds_and_info_is_complete(env):
    rng, done = np.random.default_rng(0), 0
    for seed in range(1000):
        if done >= 1000:
            break
        observation, info = env.reset(seed=seed)
        assert env.observation_space.contains(observation)
        assert set(info) >= INFO
        for _ in range(400):
            done += 1
            action = rng.uniform(-1, 1, env.action_space.shape).astype(np.float32)
            observation, reward, terminated, truncated, info = env.step(action)
            assert env.observation_space.contains(observation)
            assert set(info) >= INFO
            assert info["cost"] >= 0.0
            assert info["episode_cost"] >= info["cost"] - 1e-12
            assert info["margins"].shape == (len(env.unwrapped.rule_names),)
            assert isinstance(info["intervened"], bool)
            assert isinstance(info["is_success"], bool)
            assert np.isfinite(reward)
            if terminated or truncated:
                break


def test_reset_forgets_the_last_episode(env):
    first = trajectory(env)
    trajectory(env, seed=5)
    assert trajectory(env) == first


def test_the_same_seed_is_the_same_in_another_process(env):
    code = (
        "import gymnasium, physai; from tests.contract.test_environments import "
        f"trajectory; print(trajectory(gymnasium.make({env.spec.id!r})))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == trajectory(env)


@pytest.mark.slow
def test_the_same_seed_is_the_same_in_every_kind_of_vector_environment(env):
    vec = pytest.importorskip("stable_baselines3.common.vec_env")
    rng = np.random.default_rng(3)
    actions = rng.uniform(-1, 1, (STEPS, 2, *env.action_space.shape))
    actions = actions.astype(np.float32)

    def run(kind) -> list[bytes]:
        envs = kind([lambda: gymnasium.make(env.spec.id)] * 2)
        envs.seed(21)
        seen = [envs.reset().tobytes()]
        for action in actions:
            observation, reward, _, _ = envs.step(action)
            # The two kinds hand rewards over in different precision.
            seen.append(observation.tobytes() + np.float32(reward).tobytes())
        envs.close()
        return seen

    assert run(vec.DummyVecEnv) == run(vec.SubprocVecEnv)


def test_a_pickled_environment_is_one_of_the_same_arguments(env):
    copy = pickle.loads(pickle.dumps(env.unwrapped))
    assert copy.environment == env.unwrapped.environment
    assert trajectory(copy, steps=20) == trajectory(env.unwrapped, steps=20)
    copy.close()


@pytest.mark.slow
def test_the_expert_beats_chance(env):
    """By return, over an episode of the most usual kind."""
    cycle = env.unwrapped.cycle
    first = cycle.environment.distributions["test"].seeds.first
    usual = max(cycle.environment.templates, key=lambda template: template.weight)
    scenario = cycle.task.sample_scenario(first, "test", usual.name)
    earned = {}
    for name in ("expert", "random"):
        policy = env.unwrapped.scripted_policy(name, seed=3)
        policy.reset()
        observation, _ = env.reset(options={"scenario": scenario})
        earned[name], over = 0.0, False
        while not over:
            observation, reward, ended, cut, info = env.step(policy.act(observation))
            earned[name] += reward
            over = ended or cut
        if name == "expert":
            assert info["is_success"]
        assert info["episode_cost"] == 0.0 or name == "random"
    assert earned["expert"] > earned["random"]


def test_closing_twice_does_no_harm():
    for environment_id in IDS:
        made = gymnasium.make(environment_id)
        made.reset(seed=0)
        made.close()
        made.close()


def test_an_action_that_does_not_fit_is_one_sentence(env):
    size = env.action_space.shape[0]
    env.reset(seed=0)
    with pytest.raises(ContractError, match="shape"):
        env.unwrapped.step(np.zeros(size + 1, dtype=np.float32))


def test_an_action_that_is_not_a_number_stops_the_guard_and_is_charged(env):
    env.reset(seed=0)
    bad = np.full(env.action_space.shape, np.nan, dtype=np.float32)
    _, _, terminated, _, info = env.step(bad)
    assert terminated and info["latched"] and info["intervened"]
    assert not info["is_success"]
    left = env.unwrapped.cycle.limit - 1
    assert info["cost"] >= left * env.unwrapped.environment.latched_stop_cost_per_step


@pytest.mark.parametrize("mode", ["observe", "off"])
def test_an_action_that_is_not_a_number_is_refused_without_a_guard(mode):
    for environment_id in IDS:
        made = gymnasium.make(environment_id, guard=mode)
        made.reset(seed=0)
        bad = np.full(made.action_space.shape, np.nan, dtype=np.float32)
        with pytest.raises(ContractError, match="not finite"):
            made.step(bad)
        made.close()


def test_an_unknown_id_names_the_nearest():
    with pytest.raises(ContentError, match=r"did you mean .*CareFeeding"):
        registry.load_environment("physai/CareFeding-v0")


@pytest.mark.parametrize(
    "argument",
    [{"guard": "yes"}, {"observation": "smell"}, {"distribution": "exam"}],
)
def test_an_unknown_choice_names_the_valid_ones(argument):
    with pytest.raises(ContractError, match="valid: "):
        gymnasium.make(IDS[0], **argument)


@pytest.mark.parametrize("name", ["random", "random_white", "zero", "adversary"])
def test_scripted_policies_act_within_bounds(env, name):
    policy = env.unwrapped.scripted_policy(name, seed=1)
    observation, _ = env.reset(seed=2)
    policy.reset()
    for _ in range(10):
        action = policy.act(observation)
        assert env.action_space.contains(action)
        observation, *_ = env.step(action)


def test_seeds_of_training_and_test_never_meet():
    for environment_id in IDS:
        environment = registry.load_environment(environment_id)
        task = registry.make_task(environment)
        seeds = {
            name: range(d.seeds.first, d.seeds.first + d.seeds.count)
            for name, d in environment.distributions.items()
        }
        assert max(seeds["train"]) < min(seeds["test"])
        one = task.sample_scenario(seeds["test"].start, "test")
        assert one == task.sample_scenario(seeds["test"].start, "test")
        assert one != task.sample_scenario(seeds["test"].start + 1, "test")
