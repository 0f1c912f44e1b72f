"""Train a policy from a config file; everything about the run is kept in one folder.

config.yaml        resolved configuration
environment.json   versions, git revision, hardware
checkpoints/       to go on after anything, also kill -9
tensorboard/       curves for TensorBoard
tracking.json      ids of the run at the trackers that the config names, if any
curves.svg         return, success and cost over steps
evaluation/        held-out episodes and, if asked for, a suite's verdict and videos
bundle/            the exported policy
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.vec_env import (
    DummyVecEnv,
    SubprocVecEnv,
    VecEnv,
    VecMonitor,
    VecNormalize,
)

from physai import config as configuration
from physai import content
from physai.errors import ConfigError, ContractError, PhysaiError, suggest
from physai.evaluation.suite import load_suite
from physai.randomness import derive_seed
from physai.tasks import registry
from physai.tasks.environment import EnvironmentConfig
from physai.tasks.task import Spaces
from physai.training.board import open_board
from physai.training.callback import Keeper
from physai.training.checkpoint import (
    check_finite,
    latest_checkpoint,
    load_checkpoint,
    read_progress,
    save_checkpoint,
)
from physai.training.config import TrainConfig, read_training
from physai.training.cost import Meter
from physai.training.curriculum import Curriculum
from physai.training.curves import draw_curves
from physai.training.demonstration import Demonstrations
from physai.training.finish import finish_run
from physai.training.hyperparameters import check_learner, make_learner
from physai.training.imitation import imitate
from physai.training.interruption import Interruption
from physai.training.residual import CorrectedEnv
from physai.training.run_folder import (
    check_resumable,
    held,
    prepare_folder,
    write_start,
)
from physai.training.sight import target_places
from physai.training.tracking import Tracking, check_tracking, open_tracking
from physai.training.vector import SharedVectorEnv

__all__ = ["load_config", "make_vector", "train"]


def load_config(
    name: str, settings: list[str], seed: int | None = None, device: str | None = None
) -> TrainConfig:
    """Read a training config with ``--set``, ``--seed`` and ``--device`` applied.

    A ``gamma`` that is not given is the discount of the environment's shaping. All that
    can be known to be wrong before an environment is built is found here.

    Raises:
        ContentError: If there is none of that name.
        ConfigError: If it is wrong, in one sentence.
        RefusedError: If it asks for a device that is not there.
    """
    path = content.find("train", name)
    value = configuration.override(read_training(path), settings, str(path))
    if seed is not None:
        value["seed"] = seed
    if device is not None:
        value["device"] = device
    config = configuration.parse(TrainConfig, value, str(path))
    if config.evaluation.suite:
        suite = load_suite(config.evaluation.suite)
        if suite.environment != config.environment:
            raise ConfigError(
                f"{path}: evaluation.suite: {suite.id} is for {suite.environment}, not "
                f"{config.environment}"
            )
    world = registry.load_environment(config.environment)
    _check_scenarios(config, world, str(path))
    spaces = _spaces(config, str(path))
    sizes = len(spaces.observation_low), len(spaces.action_names)
    check_learner(config, *sizes, str(path))
    discount = world.discount
    given = config.hyperparameters
    if discount < 1.0 and "gamma" not in given:
        hyperparameters = {**given, "gamma": discount}
        config = config.model_copy(update={"hyperparameters": hyperparameters})
    return config


def _spaces(config: TrainConfig, where: str) -> Spaces:
    """Return what the learner sees and does; refuse a sight that cannot be taught."""
    try:
        spaces = registry.observed_spaces(config.environment, config.observation)
        if config.demonstrations.sight is not None:
            target_places(config.environment, config.demonstrations.sight)
    except (ConfigError, ContractError) as error:
        raise ConfigError(f"{where}: {error}") from None
    return spaces


def _check_scenarios(
    config: TrainConfig, environment: EnvironmentConfig, where: str
) -> None:
    """Refuse a distribution or a stage that the environment cannot give."""
    valid = [name for name in environment.distributions if name != "test"]
    if config.distribution not in valid:
        raise ConfigError(
            f'{where}: distribution: "{config.distribution}" is none to train on; '
            f"{suggest(config.distribution, valid)}"
        )
    for number, stage in enumerate(
        config.curriculum.stages if config.curriculum else ()
    ):
        try:
            environment.narrowed(stage.spread, stage.kinds)
        except ConfigError as error:
            raise ConfigError(f"{where}: curriculum.stages.{number}: {error}") from None


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
    config, folder = _find_run(name, settings or [], seed, device, out, resume)
    check_tracking(config)
    prepare_folder(folder, resume)
    try:
        with held(folder), open_tracking(config, folder) as tracking:
            _train(config, folder, tracking, resume=resume)
    except KeyboardInterrupt:
        kept = latest_checkpoint(folder / "checkpoints")
        what = "nothing is lost" if kept else "it will begin again"
        raise KeyboardInterrupt(
            f"{folder}: interrupted; go on with: physai train {folder} --resume ({what})"
            if (folder / "config.yaml").is_file()
            else f"{folder}: interrupted before anything was done"
        ) from None
    except (EOFError, ConnectionError) as error:
        raise PhysaiError(
            f"{folder}: a process of the environments is gone "
            f"({type(error).__name__}); go on with --resume, and with vector.kind shared "
            "it is started again by itself"
        ) from None
    except OSError as error:
        raise PhysaiError(
            f"{folder}: cannot be written ({error.strerror or error}); the last "
            "checkpoint stays, go on with --resume"
        ) from None
    return folder


def _train(
    config: TrainConfig, folder: Path, tracking: Tracking, *, resume: bool
) -> None:
    """Train in a folder that is held, to the bundle."""
    place = latest_checkpoint(folder / "checkpoints") if resume else None
    progress = _progress(config, place)
    meter = Meter(progress)
    _seed_everything(config.seed)
    torch.set_num_threads(config.torch_threads)
    vector, normalizer = make_vector(config)
    try:
        model = make_learner(config, vector, config.seed)
        shown = None
        if place is not None:
            shown = load_checkpoint(place, model, normalizer)
        if model.num_timesteps:
            # Not the episodes of the beginning once more.
            vector.seed(derive_seed(config.seed, "vector", model.num_timesteps))
        write_start(config, folder)
        tracking.begin()
        model.set_logger(open_board(folder / "tensorboard", model.num_timesteps))
        if not progress["demonstrated"]:
            _demonstrate(config, folder, model, normalizer, progress, shown)
            meter.lap()
        _learn(config, folder, model, normalizer, progress, meter, tracking)
        model.logger.close()
    finally:
        vector.close()
    draw_curves(progress, config, folder / "curves.svg")
    tracking.finish(finish_run(config, folder, model, normalizer, progress))


def _learn(
    config: TrainConfig,
    folder: Path,
    model: BaseAlgorithm,
    normalizer: VecNormalize | None,
    progress: dict[str, Any],
    meter: Meter,
    tracking: Tracking,
) -> None:
    """Learn what is left of the run."""
    left = config.total_steps - model.num_timesteps
    with Interruption() as interruption:
        keeper = Keeper(config, folder, normalizer, progress, interruption, meter)
        callbacks: list[BaseCallback] = [keeper, tracking.callback()]
        if config.curriculum is not None:
            callbacks.append(Curriculum(config.curriculum, progress))
        # Off-policy it is the keeper who tells, at steps as even as those of the curve: by
        # itself it would at ends of episodes, which are rare where episodes are long.
        off_policy = isinstance(model, OffPolicyAlgorithm)
        quiet: dict[str, Any] = {"log_interval": None} if off_policy else {}
        try:
            if left > 0:
                model.learn(
                    left,
                    callback=callbacks,
                    reset_num_timesteps=False,
                    tb_log_name="run",
                    progress_bar=False,
                    **quiet,
                )
        except (ValueError, AssertionError):
            # Distributions refuse a mean that is not a number before we see it.
            check_finite(folder, model, normalizer)
            raise
        keeper.finish(model)


def _progress(config: TrainConfig, place: Path | None) -> dict[str, Any]:
    """Return the progress of a run, of its last checkpoint if it has one.

    Raises:
        PhysaiError: If the run cannot go on from there with this config.
    """
    shown = registry.observed_spaces(config.environment, config.observation)
    spaces = {
        "observations": list(shown.observation_names),
        "actions": list(shown.action_names),
    }
    progress: dict[str, Any] = {
        "curve": [],
        "best": None,
        "demonstrated": False,
        "seconds": 0.0,
        "changes": [],
    }
    given = config.model_dump(mode="json")
    if place is not None:
        stored = read_progress(place)
        check_resumable(place, stored, config, spaces)
        progress.update(stored)
        if stored.get("config", given) != given:
            before = configuration.parse(TrainConfig, stored["config"], str(place))
            digest = content.digest_value(before.distinctive())
            progress["changes"].append(
                {"steps": stored["steps"], "config_digest_before": digest}
            )
    return {**progress, **spaces, "config": given}


def _find_run(
    name: str,
    settings: list[str],
    seed: int | None,
    device: str | None,
    out: str | None,
    resume: bool,
) -> tuple[TrainConfig, Path]:
    """Return the config and the folder of a run."""
    given = Path(name)
    if resume and (given / "config.yaml").is_file():
        folder = given if out is None else Path(out)
        return load_config(str(given / "config.yaml"), settings, seed, device), folder
    config = load_config(name, settings, seed, device)
    return config, Path(out or f"runs/{given.stem}_seed{config.seed}")


def _seed_everything(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def _environment(
    config: TrainConfig, rank: int
) -> Callable[[], gymnasium.Env[Any, Any]]:
    def make() -> gymnasium.Env[Any, Any]:
        env = registry.make(
            config.environment,
            guard=config.guard,
            observation=config.observation,
            distribution=config.distribution,
        )
        if config.residual is not None:
            env = CorrectedEnv(env, config.residual.scale)
        env.reset(seed=derive_seed(config.seed, "environment", rank))
        return env

    return make


def make_vector(config: TrainConfig) -> tuple[VecEnv, VecNormalize | None]:
    """Make the environments of a run, and what normalises their observations."""
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
    normalizer = VecNormalize(
        vector,
        norm_obs=config.normalize_observation,
        norm_reward=config.normalize_reward,
        gamma=gamma,
    )
    return normalizer, normalizer


def _demonstrate(
    config: TrainConfig,
    folder: Path,
    model: BaseAlgorithm,
    normalizer: VecNormalize | None,
    progress: dict[str, Any],
    shown: Demonstrations | None,
) -> None:
    """Imitate the expert, if the config says so; every round is kept."""

    def keep(data: Demonstrations | None) -> None:
        save_checkpoint(folder / "checkpoints", model, normalizer, progress, data)

    found = progress.setdefault("demonstration", {})
    imitate(config, model, normalizer, found, shown or Demonstrations(), keep)
    progress["demonstrated"] = True
    keep(None)
