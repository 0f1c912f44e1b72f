"""What a learner is given, checked before an environment is built or a step is taken.

Names and types come from the signatures of Stable-Baselines3's own classes, so that the
check knows every algorithm that the library has. What no signature tells (a rate below
zero, a batch larger than the buffer) is here, and the library's own checks are run on a
learner of the same spaces whose environments do nothing.
"""

from __future__ import annotations

import inspect
import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import gymnasium
import numpy as np
import stable_baselines3
import torch
from gymnasium import spaces
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv

from physai.errors import ConfigError, RefusedError, suggest
from physai.tasks import registry
from physai.training.config import TrainConfig, with_schedules
from physai.training.export import DeployedPolicy
from physai.training.features import MultiScaleFeatures
from physai.training.keypoints import KeypointExtractor
from physai.training.lagrangian import constrained
from physai.training.overlap import Interleaved, overlapped
from physai.training.signatures import (
    annotations_of,
    converted,
    numbers_in,
    parameters_of,
)

__all__ = ["algorithms", "check_learner", "keeps_experience", "make_learner"]

EXTRACTORS: dict[str, type[BaseFeaturesExtractor]] = {
    "KeypointExtractor": KeypointExtractor,
    "MultiScaleFeatures": MultiScaleFeatures,
}
"""What ``policy_kwargs.features_extractor_class`` can name in a config."""

_OWN = {
    "self": "",
    "policy": "is the key policy of the config",
    "env": "is the key environment of the config",
    "seed": "is the key seed of the config",
    "device": "is the key device of the config",
    "policy_kwargs": "is a section of the config beside hyperparameters",
    "tensorboard_log": "is the folder tensorboard of the run",
    "verbose": "is not used: progress is a bar",
    "_init_setup_model": "is not for configs",
    "constraint": "is a section of the config beside hyperparameters",
}
"""Parameters that the training gives itself, and where they are set instead."""

_OF_POLICY = ("self", "observation_space", "action_space", "lr_schedule")

_POSITIVE = (
    "learning_rate",
    "clip_range",
    "clip_range_vf",
    "max_grad_norm",
    "target_kl",
    "delta_std",
)
_COUNTS = (
    "batch_size",
    "buffer_size",
    "n_critic_updates",
    "n_delta",
    "n_epochs",
    "n_steps",
    "policy_delay",
    "stats_window_size",
    "target_update_interval",
    "train_freq",
)
_SHARES = ("gamma", "gae_lambda", "tau")
_NATURAL = ("ent_coef", "learning_starts", "vf_coef")

_BOUNDS: tuple[tuple[tuple[str, ...], Callable[[float], bool], str], ...] = (
    (_POSITIVE, lambda value: value > 0.0, "must be above 0"),
    (_COUNTS, lambda value: value >= 1, "must be 1 or more"),
    (_SHARES, lambda value: 0.0 <= value <= 1.0, "must be from 0 to 1"),
    (_NATURAL, lambda value: value >= 0.0, "must be 0 or more"),
    (
        ("gradient_steps",),
        lambda value: value >= 1 or value == -1,
        "must be 1 or more, or -1 for as many as steps were taken",
    ),
)


def algorithms() -> dict[str, type[BaseAlgorithm]]:
    """Return every algorithm of Stable-Baselines3 and sb3-contrib by class name."""
    found: dict[str, type[BaseAlgorithm]] = {}
    modules = [stable_baselines3]
    try:
        import sb3_contrib

        modules.append(sb3_contrib)
    except ImportError:
        pass
    for module in modules:
        for name in dir(module):
            item = getattr(module, name)
            if isinstance(item, type) and issubclass(item, BaseAlgorithm):
                found[name] = item
    return found


def keeps_experience(config: TrainConfig) -> bool:
    """Return whether the algorithm of a config has a replay buffer."""
    return issubclass(algorithms()[config.algorithm], OffPolicyAlgorithm)


def check_learner(
    config: TrainConfig, observations: int, actions: int, origin: str
) -> None:
    """Check that a learner can be made of a config, without its environments.

    Args:
        config: The config.
        observations: Entries of an observation.
        actions: Entries of an action, each from -1 to 1.
        origin: The file, for the sentence.

    Raises:
        ConfigError: If it cannot, in one sentence.
        RefusedError: If it asks for a device that is not there.
    """
    try:
        _check_names(config)
        _check_amounts(config)
    except ConfigError as error:
        raise ConfigError(f"{origin}: {error}") from None
    if config.device == "cuda" and not torch.cuda.is_available():
        raise RefusedError(
            "device cuda was asked for, but no CUDA device is present; "
            "use --device auto or cpu"
        )
    blank = DummyVecEnv(
        [lambda: _Blank(observations, actions)] * config.vector.environments
    )
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    # Small matrices: on a busy machine more threads take a hundred times longer.
    torch.set_num_threads(1)
    try:
        model = make_learner(config, blank, None)
        _check_export(config, model, observations)
    except ConfigError as error:
        raise ConfigError(f"{origin}: {error}") from None
    finally:
        torch.set_num_threads(threads)
        torch.set_rng_state(state)


def _check_overlap(config: TrainConfig, algorithm: type[BaseAlgorithm]) -> None:
    """Refuse what an update in a thread of its own would share with the steps."""
    if not issubclass(algorithm, OnPolicyAlgorithm):
        return
    for what, asked in (
        ("constraint", config.constraint is not None),
        ("hyperparameters.use_sde", bool(config.hyperparameters.get("use_sde"))),
    ):
        if asked:
            raise ConfigError(
                f"vector.overlap: with {config.algorithm} it does not go together with "
                f"{what}; leave one of them out"
            )


def make_learner(
    config: TrainConfig, vector: VecEnv, seed: int | None
) -> BaseAlgorithm:
    """Make the learner that a config describes.

    Args:
        config: The config.
        vector: Its environments.
        seed: Of every random generator of the process; None leaves them alone.

    Raises:
        ConfigError: If the library refuses what it is given.
    """
    algorithm = algorithms()[config.algorithm]
    more: dict[str, Any] = {}
    if config.constraint is not None:
        algorithm, more = constrained(algorithm), {"constraint": config.constraint}
    if config.vector.overlap:
        _check_overlap(config, algorithm)
        algorithm, vector = overlapped(algorithm), Interleaved(vector)
    try:
        with warnings.catch_warnings():
            # Where a rollout is no multiple of a batch the last batch is smaller.
            warnings.filterwarnings("ignore", message="You have specified a mini-batch")
            return algorithm(
                config.policy,
                vector,
                seed=seed,
                device=config.device,
                policy_kwargs=_policy_arguments(config) or None,
                verbose=0,
                **more,
                **_hyperparameters(config),
            )
    except ConfigError:
        raise
    except Exception as error:
        # The library checks its parameters in its own ways; all mean a wrong config.
        reason = str(error).strip().splitlines()
        if "as action spaces" in str(error):
            raise ConfigError(
                f"algorithm: {config.algorithm} cannot take the actions of "
                f"{config.environment}, which are continuous; take PPO, SAC or TQC, "
                "for example"
            ) from None
        raise ConfigError(
            f"policy or hyperparameters: {config.algorithm} says: "
            f"{reason[0] if reason else type(error).__name__}"
        ) from None


class _Blank(gymnasium.Env[Any, Any]):
    """An environment that has spaces, and nothing else."""

    def __init__(self, observations: int, actions: int) -> None:
        self.observation_space = spaces.Box(
            -np.inf, np.inf, (observations,), dtype=np.float32
        )
        self.action_space = spaces.Box(-1.0, 1.0, (actions,), dtype=np.float32)


def _check_names(config: TrainConfig) -> None:
    """Check the names of algorithm, policy and of everything that they are given."""
    known = algorithms()
    if config.algorithm not in known:
        raise ConfigError(
            f'algorithm: unknown "{config.algorithm}"; '
            f"{suggest(config.algorithm, known)}"
        )
    if not issubclass(known[config.algorithm], OnPolicyAlgorithm | OffPolicyAlgorithm):
        raise ConfigError(
            f"algorithm: {config.algorithm} keeps no account of what its episodes cost; "
            "take PPO, SAC or TQC, for example"
        )
    policies = known[config.algorithm].policy_aliases
    flat = [name for name in policies if not name.startswith(("Cnn", "MultiInput"))]
    if config.policy not in flat:
        raise ConfigError(
            f'policy: {config.algorithm} has no "{config.policy}" for a flat '
            f"observation; {suggest(config.policy, flat)}"
        )
    valid = parameters_of(known[config.algorithm], _OWN)
    for name in config.hyperparameters:
        if name in _OWN and name != "self":
            raise ConfigError(f"hyperparameters.{name}: {_OWN[name]}")
        if name not in valid:
            raise ConfigError(
                f'hyperparameters: {config.algorithm} has no "{name}"; '
                f"{suggest(name, valid)}"
            )
    valid = parameters_of(policies[config.policy], _OF_POLICY)
    for name in config.policy_kwargs:
        if name not in valid:
            raise ConfigError(
                f'policy_kwargs: {config.policy} of {config.algorithm} has no "{name}"; '
                f"{suggest(name, valid)}"
            )


def _check_amounts(config: TrainConfig) -> None:
    """Check types, bounds, and what depends on one another."""
    given = _hyperparameters(config)
    for names, holds, words in _BOUNDS:
        for name in names:
            ends = numbers_in(given.get(name))
            # A schedule may end at nothing, not begin there.
            fine = all(holds(end) or (i > 0 and end == 0.0) for i, end in ends)
            if not fine:
                raise ConfigError(
                    f"hyperparameters.{name}: {words} "
                    f"(given: {config.hyperparameters[name]})"
                )
    algorithm = algorithms()[config.algorithm]
    defaults = {
        name: parameter.default
        for name, parameter in inspect.signature(algorithm).parameters.items()
    }
    used = {**defaults, **given}
    batch = used.get("batch_size")
    if issubclass(algorithm, OnPolicyAlgorithm) and batch is not None:
        rollout = used["n_steps"] * config.vector.environments
        if batch > rollout:
            raise ConfigError(
                f"hyperparameters.batch_size: {batch} is larger than a rollout of "
                f"{rollout} (n_steps {used['n_steps']} times {config.vector.environments} "
                "environments)"
            )
    if issubclass(algorithm, OffPolicyAlgorithm):
        if batch > used["buffer_size"]:
            raise ConfigError(
                f"hyperparameters.batch_size: {batch} is larger than the replay buffer "
                f"(buffer_size {used['buffer_size']})"
            )
        if used["learning_starts"] >= config.total_steps:
            raise ConfigError(
                f"hyperparameters.learning_starts: {used['learning_starts']} leaves "
                f"nothing to learn of total_steps {config.total_steps}"
            )
    entropy = used.get("ent_coef")
    if isinstance(entropy, str) and not re.fullmatch(r"auto(_\d+(\.\d+)?)?", entropy):
        raise ConfigError(
            "hyperparameters.ent_coef: must be a number, auto, or auto_0.1 to begin "
            f"there (given: {entropy})"
        )
    if config.seed >= 2**32:
        raise ConfigError(f"seed: must be below 2^32 (given: {config.seed})")


def _check_export(config: TrainConfig, model: BaseAlgorithm, observations: int) -> None:
    """Check that what is learned can become a bundle."""
    try:
        with torch.no_grad():
            module = DeployedPolicy(model, None).to("cpu").eval()
            module.policy.to("cpu")
            memory = module.memory()
            module(torch.zeros(1, observations), *memory.values())
    except Exception:
        raise ConfigError(
            f"algorithm: a policy of {config.algorithm} is no function of one "
            "observation, which a bundle has to be; take PPO, SAC or TQC, for example"
        ) from None
    plan = config.demonstrations
    whole = config.observation == "rgbd" and plan.sight is None
    if memory and plan.episodes and (plan.keep_every > 1 or whole):
        raise ConfigError(
            f"demonstrations: {config.algorithm} is shown every step, and no images but "
            "what demonstrations.sight tells of them; set keep_every to 1"
        )


def _hyperparameters(config: TrainConfig) -> dict[str, Any]:
    """Return hyper-parameters as the algorithm takes them: schedules, tuples."""
    algorithm = algorithms()[config.algorithm]
    kinds = annotations_of(algorithm)
    return {
        name: converted(f"hyperparameters.{name}", value, kinds.get(name, Any))
        for name, value in with_schedules(config.hyperparameters).items()
    }


def _policy_arguments(config: TrainConfig) -> dict[str, Any]:
    """Return ``policy_kwargs`` with classes in place of their names."""
    result = dict(config.policy_kwargs)
    name = result.get("activation_fn")
    if isinstance(name, str):
        found = getattr(torch.nn, name, None)
        if not (isinstance(found, type) and issubclass(found, torch.nn.Module)):
            raise ConfigError(
                f'policy_kwargs.activation_fn: torch.nn has no "{name}"; '
                f"{suggest(name, ('ELU', 'GELU', 'LeakyReLU', 'ReLU', 'SiLU', 'Tanh'))}"
            )
        result["activation_fn"] = found
    name = result.get("features_extractor_class")
    if name is not None:
        if name not in EXTRACTORS:
            raise ConfigError(
                f'policy_kwargs.features_extractor_class: unknown "{name}"; '
                f"{suggest(str(name), EXTRACTORS)}"
            )
        result["features_extractor_class"] = EXTRACTORS[name]
    if name == "KeypointExtractor":
        shown = registry.observed_spaces(config.environment, config.observation)
        sight = config.demonstrations.sight
        result["features_extractor_kwargs"] = {
            **result.get("features_extractor_kwargs", {}),
            "named": len(shown.observation_names),
            "images": shown.images,
            "targets": len(sight.targets) if sight else 0,
        }
    kinds = annotations_of(algorithms()[config.algorithm].policy_aliases[config.policy])
    for name, value in result.items():
        converted(f"policy_kwargs.{name}", value, kinds.get(name, Any))
    for width in _widths(result.get("net_arch")):
        if not (isinstance(width, int) and width >= 1):
            raise ConfigError(
                f"policy_kwargs.net_arch: a layer must have 1 unit or more (given: {width})"
            )
    return result


def _widths(layers: Any) -> Iterator[Any]:
    """Give the width of every layer, however they are nested."""
    if isinstance(layers, Mapping):
        layers = list(layers.values())
    if isinstance(layers, list | tuple):
        for each in layers:
            yield from _widths(each)
    elif layers is not None:
        yield layers
