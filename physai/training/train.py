"""Train a policy from a config file; everything about the run is kept in one folder.

config.yaml        resolved configuration
environment.json   versions, git revision, hardware
checkpoints/       to go on after anything, also kill -9
tensorboard/       curves for TensorBoard
curves.svg         return, success and cost over steps
evaluation/        held-out episodes and, if asked for, a suite's verdict
bundle/            the exported policy
"""

from __future__ import annotations

import json
import os
import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import stable_baselines3
import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.vec_env import (
    DummyVecEnv,
    SubprocVecEnv,
    VecEnv,
    VecMonitor,
    VecNormalize,
)
from tqdm import tqdm

from physai import config as configuration
from physai import content
from physai.errors import ConfigError, ContentError, PhysaiError, RefusedError, suggest
from physai.evaluation.suite import load_suite
from physai.policy.policy import ImageEntry
from physai.provenance import environment_record
from physai.randomness import derive_seed
from physai.tasks import registry
from physai.training import demonstration
from physai.training.callback import Keeper
from physai.training.checkpoint import (
    latest_checkpoint,
    load_checkpoint,
    save_checkpoint,
)
from physai.training.config import TrainConfig, read_training, with_schedules
from physai.training.curves import draw_curves
from physai.training.finish import finish_run
from physai.training.keypoints import KeypointExtractor
from physai.training.lagrangian import constrained
from physai.training.normalization import normalized
from physai.training.sight import learn_to_see, target_places
from physai.training.vector import SharedVectorEnv

__all__ = ["algorithms", "load_config", "train"]


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


def load_config(
    name: str, settings: list[str], seed: int | None = None, device: str | None = None
) -> TrainConfig:
    """Read a training config with ``--set``, ``--seed`` and ``--device`` applied.

    A ``gamma`` that is not given is the discount of the environment's shaping.

    Raises:
        ContentError: If there is none of that name.
        ConfigError: If it is wrong, in one sentence.
    """
    path = content.find("train", name)
    value = configuration.override(read_training(path), settings, str(path))
    if seed is not None:
        value["seed"] = seed
    if device is not None:
        value["device"] = device
    config = configuration.parse(TrainConfig, value, str(path))
    known = algorithms()
    if config.algorithm not in known:
        raise ConfigError(
            f'{path}: algorithm: unknown "{config.algorithm}"; '
            f"{suggest(config.algorithm, known)}"
        )
    if config.evaluation.suite:
        suite = load_suite(config.evaluation.suite)
        if suite.environment != config.environment:
            raise ConfigError(
                f"{path}: evaluation.suite: {suite.id} is for {suite.environment}, not "
                f"{config.environment}"
            )
    discount = registry.load_environment(config.environment).discount
    if discount < 1.0 and "gamma" not in config.hyperparameters:
        hyperparameters = {**config.hyperparameters, "gamma": discount}
        config = config.model_copy(update={"hyperparameters": hyperparameters})
    return config


def train(
    name: str,
    settings: list[str] | None = None,
    seed: int | None = None,
    device: str | None = None,
    out: str | None = None,
    resume: bool = False,
) -> Path:
    """Train; returns the run folder.

    Args:
        name: Config by name or path; with ``resume``, may also be a run folder.
        settings: ``key.path=value`` overrides.
        seed: Overrides the config's seed.
        device: Overrides the config's device.
        out: Run folder; ``runs/<config>_seed<seed>`` if None.
        resume: Go on from the newest checkpoint of that folder; from the beginning if
            the run was killed before its first.

    Raises:
        PhysaiError: For anything a person can put right; what was saved stays.
    """
    config, folder = _prepare(name, settings or [], seed, device, out, resume)
    _seed_everything(config.seed)
    torch.set_num_threads(config.torch_threads)
    vector, normalizer = _make_vector(config)
    try:
        model = _make_model(config, vector, folder)
        _write_start(config, folder)
    except BaseException:
        vector.close()
        raise
    place = latest_checkpoint(folder / "checkpoints") if resume else None
    progress: dict[str, Any] = {
        "curve": [],
        "best": None,
        "demonstrated": False,
        "seconds": 0.0,
    }
    if place is not None:
        progress.update(load_checkpoint(place, model, normalizer))
    try:
        if not progress["demonstrated"]:
            progress["demonstration"] = _demonstrate(config, model, normalizer)
            progress["demonstrated"] = True
            save_checkpoint(folder / "checkpoints", model, normalizer, progress)
        keeper = Keeper(config, folder, normalizer, progress)
        left = config.total_steps - model.num_timesteps
        if left > 0:
            model.learn(
                left,
                callback=keeper,
                reset_num_timesteps=False,
                tb_log_name="run",
                progress_bar=False,
            )
        keeper.finish(model)
    except KeyboardInterrupt:
        save_checkpoint(folder / "checkpoints", model, normalizer, progress)
        raise
    except OSError as error:
        raise PhysaiError(
            f"{folder}: cannot be written ({error.strerror}); the last checkpoint stays, "
            "go on with --resume"
        ) from None
    finally:
        vector.close()
    draw_curves(progress, config, folder / "curves.svg")
    finish_run(config, folder, model, normalizer, progress)
    return folder


def _prepare(
    name: str,
    settings: list[str],
    seed: int | None,
    device: str | None,
    out: str | None,
    resume: bool,
) -> tuple[TrainConfig, Path]:
    given = Path(name)
    if resume and (given / "config.yaml").is_file():
        folder = given if out is None else Path(out)
        config = load_config(str(given / "config.yaml"), settings, seed, device)
    else:
        config = load_config(name, settings, seed, device)
        folder = Path(out) if out else Path("runs") / f"{given.stem}_seed{config.seed}"
    if resume:
        # A run that was killed before its first checkpoint begins again.
        if not (folder / "config.yaml").is_file():
            raise ContentError(
                f"{folder}: no run to go on with; leave out --resume to start"
            )
    elif folder.is_dir() and any(folder.iterdir()):
        raise RefusedError(
            f"{folder}: is not empty; go on with --resume or choose "
            "another folder with --out"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ContentError(f"{folder}: cannot be written ({error.strerror})") from None
    return config, folder


def _write_start(config: TrainConfig, folder: Path) -> None:
    """Write what the run is, once it is known that it can start."""
    try:
        _write_yaml(folder / "config.yaml", config.model_dump(mode="json"))
        (folder / "environment.json").write_text(
            json.dumps(environment_record(), indent=2)
        )
    except OSError as error:
        raise ContentError(f"{folder}: cannot be written ({error.strerror})") from None


def _write_yaml(file: Path, value: dict[str, Any]) -> None:
    from ruamel.yaml import YAML

    with file.open("w") as handle:
        YAML(typ="safe", pure=True).dump(value, handle)


def _seed_everything(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def _environment(
    config: TrainConfig, rank: int
) -> Callable[[], gymnasium.Env[Any, Any]]:
    def make() -> gymnasium.Env[Any, Any]:
        env = registry.make(
            config.environment, guard=config.guard, observation=config.observation
        )
        env.reset(seed=derive_seed(config.seed, "environment", rank))
        return env

    return make


def _make_vector(config: TrainConfig) -> tuple[VecEnv, VecNormalize | None]:
    plan = config.vector
    makers = [_environment(config, rank) for rank in range(plan.environments)]
    vector: VecEnv
    if plan.kind == "shared":
        cores = len(os.sched_getaffinity(0))
        processes = cores if plan.processes is None else plan.processes
        vector = SharedVectorEnv(makers, processes, plan.share_here)
    elif plan.kind == "subprocess":
        vector = SubprocVecEnv(makers, start_method="spawn")
    else:
        vector = DummyVecEnv(makers)
    vector.seed(derive_seed(config.seed, "vector"))
    vector = VecMonitor(vector, info_keywords=("episode_cost",))
    if not (config.normalize_observation or config.normalize_reward):
        return vector, None
    gamma = float(config.hyperparameters.get("gamma", 0.99))
    named = None
    if config.observation == "rgbd":
        named = len(vector.get_attr("observation_names", 0)[0])
    normalizer = normalized(
        vector,
        named,
        norm_obs=config.normalize_observation,
        norm_reward=config.normalize_reward,
        gamma=gamma,
    )
    return normalizer, normalizer


def _make_model(config: TrainConfig, vector: VecEnv, folder: Path) -> BaseAlgorithm:
    policy_kwargs = dict(config.policy_kwargs)
    if isinstance(policy_kwargs.get("activation_fn"), str):
        policy_kwargs["activation_fn"] = getattr(
            torch.nn, policy_kwargs["activation_fn"]
        )
    if policy_kwargs.get("features_extractor_class") == "KeypointExtractor":
        if config.observation != "rgbd":
            raise ConfigError(
                "policy_kwargs.features_extractor_class: KeypointExtractor needs "
                "observation: rgbd"
            )
        given = dict(policy_kwargs.get("features_extractor_kwargs", {}))
        given["named"] = len(vector.get_attr("observation_names", 0)[0])
        given["images"] = vector.get_attr("images", 0)[0]
        sight = config.demonstrations.sight
        given["targets"] = len(sight.targets) if sight else 0
        policy_kwargs["features_extractor_class"] = KeypointExtractor
        policy_kwargs["features_extractor_kwargs"] = given
    if config.device == "cuda" and not torch.cuda.is_available():
        raise RefusedError(
            "device cuda was asked for, but no CUDA device is present; "
            "use --device auto or cpu"
        )
    algorithm = algorithms()[config.algorithm]
    more: dict[str, Any] = {}
    if config.constraint is not None:
        algorithm, more = constrained(algorithm), {"constraint": config.constraint}
    try:
        return algorithm(
            config.policy,
            vector,
            seed=config.seed,
            device=config.device,
            tensorboard_log=str(folder / "tensorboard"),
            policy_kwargs=policy_kwargs or None,
            verbose=0,
            **more,
            **with_schedules(config.hyperparameters),
        )
    except (TypeError, ValueError, AssertionError, AttributeError) as error:
        # The library checks its parameters in its own ways; all mean a wrong config.
        raise ConfigError(
            f"policy or hyperparameters: {config.algorithm} says: {error}"
        ) from error


def _layout(env: gymnasium.Env[Any, Any]) -> tuple[int, tuple[ImageEntry, ...]]:
    """Return how many named entries an observation has, and the images after them."""
    world: Any = env.unwrapped
    return len(world.observation_names), world.images


def _demonstrate(
    config: TrainConfig, model: BaseAlgorithm, normalizer: VecNormalize | None
) -> dict[str, Any]:
    """Imitate the expert before reinforcement learning, if the config says so."""
    plan = config.demonstrations
    if plan.episodes == 0:
        return {}
    env = registry.make(
        config.environment, guard=config.guard, observation=config.observation
    )
    named, images = _layout(env)
    told = target_places(env, plan.sight) if plan.sight else ()
    data = demonstration.Demonstrations(named, images, plan.keep_every, told)
    seen: dict[str, float] = {}
    total = plan.episodes + plan.dagger_rounds * plan.dagger_episodes
    errors = []

    def drive(observation: Any) -> Any:
        seen = (
            observation if normalizer is None else normalizer.normalize_obs(observation)
        )
        return model.predict(np.asarray(seen, dtype=np.float32), deterministic=True)[0]

    with tqdm(
        total=total, desc="demonstrations", disable=not sys.stderr.isatty()
    ) as bar:
        demonstration.collect(
            env,
            plan.episodes,
            config.seed,
            plan.action_noise,
            data,
            progress=lambda _: bar.update() or None,
        )
        if plan.sight is not None:
            seen = learn_to_see(env, model, data, plan.sight, config.seed)
        errors.append(demonstration.fit(model, normalizer, data, plan, config.seed))
        for turn in range(plan.dagger_rounds):
            demonstration.collect(
                env,
                plan.dagger_episodes,
                derive_seed(config.seed, "dagger", turn),
                0.5 * plan.action_noise,
                data,
                driver=drive,
                progress=lambda _: bar.update() or None,
            )
            errors.append(demonstration.fit(model, normalizer, data, plan, config.seed))
    env.close()
    return {
        "samples": len(data),
        "episodes": total,
        "errors": errors,
        **({"sight_errors": seen} if seen else {}),
        "expert_success": float(np.mean(data.successes[: plan.episodes])),
        "policy_success": float(np.mean(data.successes[-plan.dagger_episodes :])),
    }
