"""What is kept while a training runs: curve, checkpoints, evaluations, the best policy."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import VecNormalize
from tqdm import tqdm

from physai.errors import PhysaiError
from physai.randomness import derive_seed
from physai.tasks import registry
from physai.training.checkpoint import save_checkpoint
from physai.training.config import TrainConfig

__all__ = ["Keeper"]


class Keeper(BaseCallback):
    """Progress bar, curve, checkpoints, evaluation, and a stop on NaN.

    Args:
        config: Of the run.
        folder: Of the run.
        normalizer: Of the observations; None where they are not normalised.
        progress: Curve, evaluations and the best so far; goes on with each checkpoint.
    """

    def __init__(
        self,
        config: TrainConfig,
        folder: Path,
        normalizer: VecNormalize | None,
        progress: dict[str, Any],
    ) -> None:
        super().__init__()
        self.config, self.folder = config, folder
        self.normalizer, self.progress = normalizer, progress
        self._bar: tqdm[Any] | None = None
        self._last_checkpoint = 0
        done = progress.get("evaluations") or [{"steps": 0}]
        self._last_evaluation = int(done[-1]["steps"])
        self._clock = time.monotonic()
        self._env: gymnasium.Env[Any, Any] | None = None

    def _on_training_start(self) -> None:
        self._last_checkpoint = self._last_evaluation = self.model.num_timesteps
        self._bar = tqdm(
            total=self.config.total_steps,
            initial=self.model.num_timesteps,
            desc="train",
            unit="step",
            disable=not sys.stderr.isatty(),
        )
        if self.model.num_timesteps == 0 and self.config.demonstrations.episodes:
            self._evaluate()

    def _on_step(self) -> bool:
        return True

    def _on_rollout_end(self) -> None:
        steps = self.model.num_timesteps
        self._check_numbers()
        recent = list(self.model.ep_info_buffer or [])
        successes = list(self.model.ep_success_buffer or [])
        if recent:
            now = time.monotonic()
            self.progress["seconds"] += now - self._clock
            self._clock = now
            row = {
                "steps": steps,
                "return": float(np.mean([e["r"] for e in recent])),
                "cost": float(np.mean([e["episode_cost"] for e in recent])),
                "success": float(np.mean(successes)) if successes else 0.0,
                "seconds": self.progress["seconds"],
            }
            curve = self.progress["curve"]
            if not curve or steps - curve[-1]["steps"] >= self.config.total_steps / 400:
                curve.append(row)
            self.logger.record("rollout/episode_cost", row["cost"])
            if self._bar is not None:
                self._bar.set_postfix(
                    ret=f"{row['return']:.1f}",
                    ok=f"{row['success']:.2f}",
                    cost=f"{row['cost']:.2f}",
                )
        if self._bar is not None:
            self._bar.update(steps - self._bar.n)
        if steps - self._last_checkpoint >= self.config.checkpoint_every_steps:
            self._last_checkpoint = steps
            save_checkpoint(
                self.folder / "checkpoints", self.model, self.normalizer, self.progress
            )
        if steps - self._last_evaluation >= self.config.evaluation.every_steps:
            self._evaluate()

    def _check_numbers(self) -> None:
        for parameter in self.model.policy.parameters():
            if not bool(torch.isfinite(parameter).all()):
                raise PhysaiError(
                    f"{self.folder}: training diverged (a weight is not a number) at step "
                    f"{self.model.num_timesteps}; the last checkpoint is good, go on with "
                    "--resume and a smaller learning rate"
                )

    def _evaluate(self) -> None:
        """Run deterministic episodes on held-out seeds and keep the best policy."""
        self._last_evaluation = self.model.num_timesteps
        if self._env is None:
            self._env = registry.make(
                self.config.environment,
                guard=self.config.guard,
                observation=self.config.observation,
            )
        safe, costs = 0, []
        count = self.config.evaluation.episodes
        for episode in range(count):
            seed = derive_seed(self.config.seed, "evaluation", episode)
            observation, _ = self._env.reset(seed=seed)
            done = False
            info: dict[str, Any] = {}
            while not done:
                seen = (
                    observation
                    if self.normalizer is None
                    else self.normalizer.normalize_obs(observation)
                )
                action, _ = self.model.predict(
                    np.asarray(seen, dtype=np.float32), deterministic=True
                )
                observation, _, terminated, truncated, info = self._env.step(action)
                done = terminated or truncated
            safe += bool(info["is_success"]) and info["episode_cost"] <= 0.0
            costs.append(float(info["episode_cost"]))
        rate = safe / count
        # A run that was killed after its last step has no logger when it resumes.
        if hasattr(self.model, "_logger"):
            self.logger.record("evaluation/safe_success", rate)
            self.logger.record("evaluation/episode_cost", float(np.mean(costs)))
        self.progress.setdefault("evaluations", []).append(
            {
                "steps": self.model.num_timesteps,
                "safe_success": rate,
                "cost": float(np.mean(costs)),
                "episodes": count,
            }
        )
        best = self.progress["best"]
        if best is None or rate >= best["safe_success"]:
            self.progress["best"] = {
                "steps": self.model.num_timesteps,
                "safe_success": rate,
            }
            self.model.save(self.folder / "best_model.zip")
            if self.normalizer is not None:
                self.normalizer.save(str(self.folder / "best_normalizer.pkl"))

    def finish(self, model: BaseAlgorithm) -> None:
        """Write the last checkpoint and close the bar."""
        self.model = model
        if self.progress["best"] is None or self._last_evaluation < model.num_timesteps:
            self.init_callback(model)
            self._evaluate()
        save_checkpoint(
            self.folder / "checkpoints", model, self.normalizer, self.progress
        )
        if self._bar is not None:
            self._bar.close()
        if self._env is not None:
            self._env.close()
