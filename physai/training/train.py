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

import os
import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
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
from physai.errors import ConfigError, PhysaiError
from physai.evaluation.suite import load_suite
from physai.randomness import derive_seed
from physai.tasks import registry
from physai.training import demonstration
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
from physai.training.curves import draw_curves
from physai.training.finish import finish_run
from physai.training.hyperparameters import check_learner, make_learner
from physai.training.interruption import Interruption
from physai.training.run_folder import (
    check_resumable,
    held,
    prepare_folder,
    write_start,
)
from physai.training.vector import SharedVectorEnv

__all__ = ["load_config", "train"]


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
    spaces = registry.make_task(world).spaces()
    sizes = len(spaces.observation_names), len(spaces.action_names)
    check_learner(config, *sizes, str(path))
    discount = world.discount
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
    config, folder = _find_run(name, settings or [], seed, device, out, resume)
    prepare_folder(folder, resume)
    try:
        with held(folder):
            _train(config, folder, resume)
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


def _train(config: TrainConfig, folder: Path, resume: bool) -> None:
    """Train in a folder that is held, to the bundle."""
    place = latest_checkpoint(folder / "checkpoints") if resume else None
    progress = _progress(config, place)
    _seed_everything(config.seed)
    torch.set_num_threads(config.torch_threads)
    vector, normalizer = _make_vector(config)
    try:
        model = make_learner(config, vector, config.seed)
        shown = None
        if place is not None:
            shown = load_checkpoint(place, model, normalizer)
        if model.num_timesteps:
            # Not the episodes of the beginning once more.
            vector.seed(derive_seed(config.seed, "vector", model.num_timesteps))
        write_start(config, folder)
        model.set_logger(open_board(folder / "tensorboard", model.num_timesteps))
        if not progress["demonstrated"]:
            _demonstrate(config, folder, model, normalizer, progress, shown)
        _learn(config, folder, model, normalizer, progress)
        model.logger.close()
    finally:
        vector.close()
    draw_curves(progress, config, folder / "curves.svg")
    finish_run(config, folder, model, normalizer, progress)


def _learn(
    config: TrainConfig,
    folder: Path,
    model: BaseAlgorithm,
    normalizer: VecNormalize | None,
    progress: dict[str, Any],
) -> None:
    """Learn what is left of the run."""
    left = config.total_steps - model.num_timesteps
    with Interruption() as interruption:
        keeper = Keeper(config, folder, normalizer, progress, interruption)
        try:
            if left > 0:
                model.learn(
                    left,
                    callback=keeper,
                    reset_num_timesteps=False,
                    tb_log_name="run",
                    progress_bar=False,
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
    task = registry.make_task(registry.load_environment(config.environment)).spaces()
    spaces = {
        "observations": list(task.observation_names),
        "actions": list(task.action_names),
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
        env = registry.make(config.environment, guard=config.guard)
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
    data: demonstration.Demonstrations | None,
) -> None:
    """Imitate the expert before reinforcement learning, if the config says so.

    Every round is kept, so that a run that was killed goes on with the next one.

    Args:
        config: The run's config.
        folder: Its folder.
        model: Learns.
        normalizer: Is set from what is seen.
        progress: Says in ``demonstration`` what was found.
        data: The rounds that are done; None at the beginning.
    """
    plan = config.demonstrations
    data = data or demonstration.Demonstrations()
    found = progress.setdefault("demonstration", {})
    if plan.episodes:
        total = plan.episodes + plan.dagger_rounds * plan.dagger_episodes
        found.setdefault("errors", [])
        with tqdm(
            total=total,
            initial=len(data.successes),
            desc="demonstrations",
            disable=not sys.stderr.isatty(),
        ) as bar:
            env = registry.make(config.environment, guard=config.guard)
            for turn in range(len(found["errors"]), 1 + plan.dagger_rounds):
                _one_round(config, turn, env, model, normalizer, data, bar)
                found["errors"].append(
                    demonstration.fit(model, normalizer, data, plan, config.seed)
                )
                if turn < plan.dagger_rounds:
                    save_checkpoint(
                        folder / "checkpoints", model, normalizer, progress, data
                    )
            env.close()
        found.update(
            samples=len(data),
            episodes=total,
            expert_success=float(np.mean(data.successes[: plan.episodes])),
            policy_success=float(np.mean(data.successes[-plan.dagger_episodes :])),
        )
    progress["demonstrated"] = True
    save_checkpoint(folder / "checkpoints", model, normalizer, progress)


def _one_round(
    config: TrainConfig,
    turn: int,
    env: gymnasium.Env[Any, Any],
    model: BaseAlgorithm,
    normalizer: VecNormalize | None,
    data: demonstration.Demonstrations,
    bar: tqdm[Any],
) -> None:
    """Collect one round: of the expert's own first, then where the policy drives."""
    plan = config.demonstrations

    def drive(observation: Any) -> Any:
        seen = (
            observation if normalizer is None else normalizer.normalize_obs(observation)
        )
        return model.predict(np.asarray(seen, dtype=np.float32), deterministic=True)[0]

    demonstration.collect(
        env,
        plan.dagger_episodes if turn else plan.episodes,
        derive_seed(config.seed, "dagger", turn - 1) if turn else config.seed,
        0.5 * plan.action_noise if turn else plan.action_noise,
        data,
        driver=drive if turn else None,
        progress=lambda _: bar.update() or None,
    )
