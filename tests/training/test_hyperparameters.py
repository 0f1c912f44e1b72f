"""What a learner cannot be given is one sentence, before an environment is built."""

from __future__ import annotations

import pytest

pytest.importorskip("stable_baselines3")

import torch

from physai.errors import PhysaiError
from physai.training.hyperparameters import algorithms
from physai.training.train import load_config

SAC = ["algorithm=SAC", "hyperparameters={}", "policy_kwargs={}"]
RECURRENT = [
    "algorithm=RecurrentPPO",
    "policy=MlpLstmPolicy",
    "hyperparameters={}",
    "policy_kwargs={}",
    "demonstrations.episodes=0",
]


@pytest.fixture(autouse=True)
def nothing_is_built(monkeypatch: pytest.MonkeyPatch) -> None:
    def build(*_: object, **__: object) -> None:
        raise AssertionError("an environment was built")

    monkeypatch.setattr("physai.tasks.registry.make", build)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (["hyperparameters.n_step=5"], ['did you mean "n_steps"?', "gae_lambda"]),
        ([*SAC, "hyperparameters.n_epochs=4"], ['SAC has no "n_epochs"', "tau"]),
        (["hyperparameters.seed=4"], ["is the key seed of the config"]),
        (["hyperparameters.learning_rate=-1"], ["learning_rate: must be above 0"]),
        (["hyperparameters.learning_rate=fast"], ["a number or a schedule", "fast"]),
        (["hyperparameters.learning_rate={linear: [0, 1]}"], ["must be above 0"]),
        (["hyperparameters.n_steps=2.5"], ["must be a whole number"]),
        (["hyperparameters.n_steps=true"], ["must be a whole number"]),
        (["hyperparameters.batch_size=-1"], ["batch_size: must be 1 or more"]),
        (["hyperparameters.batch_size=9000"], ["larger than a rollout of 8192"]),
        (["hyperparameters.gamma=1.5"], ["gamma: must be from 0 to 1"]),
        (
            [*SAC, "hyperparameters.buffer_size=100"],
            ["256 is larger than the replay buffer (buffer_size 100)"],
        ),
        ([*SAC, "hyperparameters.gradient_steps=0"], ["must be 1 or more, or -1"]),
        (
            [*SAC, "hyperparameters.learning_starts=200000"],
            ["leaves nothing to learn of total_steps 200000"],
        ),
        ([*SAC, "hyperparameters.ent_coef=automatic"], ["a number, auto, or auto_0.1"]),
        ([*SAC, "hyperparameters.train_freq=[1, epoch]"], ["'step' or 'episode'"]),
        (
            [*SAC, "hyperparameters.replay_buffer_class=HerReplayBuffer"],
            ['has no "replay_buffer_class"'],
        ),
        (["policy=FooPolicy"], ['has no "FooPolicy"', "MlpPolicy"]),
        (["policy=CnnPolicy"], ["for a flat observation"]),
        (["policy_kwargs.net_ach=[64]"], ['did you mean "net_arch"?']),
        (["policy_kwargs.net_arch=wide"], ["must be a list or a mapping"]),
        (["policy_kwargs.net_arch=[64, 0]"], ["1 unit or more (given: 0)"]),
        (["policy_kwargs.activation_fn=Relu"], ["ReLU"]),
        (["algorithm=PPOO"], ['did you mean "PPO"?']),
        (["algorithm=HER"], ['unknown "HER"; valid: A2C']),
        (
            ["algorithm=DQN", "hyperparameters={}", "policy_kwargs={}"],
            ["DQN cannot take the actions of physai/CareFeeding-v0", "continuous"],
        ),
        (
            ["algorithm=ARS", "hyperparameters={}", "policy_kwargs={}"],
            ["ARS keeps no account", "take PPO"],
        ),
        (
            [*RECURRENT, "demonstrations={episodes: 1, keep_every: 2}"],
            ["is shown every step", "keep_every to 1"],
        ),
        ([*RECURRENT, "constraint={budget: 1}"], ["RecurrentPPO is not supported"]),
        (
            ["vector.overlap=true", "constraint={budget: 1}"],
            ["vector.overlap", "with PPO", "together with constraint"],
        ),
        (
            ["vector.overlap=true", "hyperparameters.use_sde=true"],
            ["vector.overlap", "together with hyperparameters.use_sde"],
        ),
        (["seed=-1"], ["seed"]),
        (["seed=4294967296"], ["below 2^32"]),
        (["environment=physai/CareFeding-v0"], ["physai/CareFeeding-v0"]),
    ],
)
def test_what_cannot_be_is_one_sentence(settings: list[str], words: list[str]) -> None:
    with pytest.raises(PhysaiError) as caught:
        load_config("care_feeding", settings)
    text = str(caught.value)
    assert all(word in text for word in words), text
    assert "\n" not in text


def test_cuda_is_refused_where_there_is_none() -> None:
    if torch.cuda.is_available():
        pytest.skip("a CUDA device is present")
    with pytest.raises(PhysaiError, match="no CUDA device is present"):
        load_config("care_feeding", [], device="cuda")


@pytest.mark.parametrize(
    "settings",
    [
        [*SAC, "hyperparameters.train_freq=[1, episode]"],
        [*SAC, "constraint={budget: 1}"],
        [*SAC, "constraint={budget: 1}", "vector.overlap=true"],
        ["vector.overlap=true"],
        [*RECURRENT, "policy_kwargs.lstm_hidden_size=16"],
        [
            "policy_kwargs.activation_fn=ReLU",
            "policy_kwargs.net_arch={pi: [8], vf: [8]}",
        ],
        ["hyperparameters.learning_rate={linear: [0.001, 0]}"],
        # A last batch that is smaller is the library's own way, and accepted.
        ["hyperparameters.batch_size=1000"],
    ],
)
def test_what_can_be_is_let_through_and_draws_nothing(settings: list[str]) -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    load_config("care_feeding", settings)
    assert torch.equal(torch.get_rng_state(), before)


def test_algorithms_that_act_continuously_are_known() -> None:
    assert {"A2C", "CrossQ", "DDPG", "PPO", "SAC", "TD3", "TQC", "TRPO"} <= set(
        algorithms()
    )
