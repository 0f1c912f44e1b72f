"""What is kept while a training runs: curve, checkpoints, evaluations, the best policy."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.vec_env import VecNormalize
from tqdm import tqdm

from physai.evaluation.held_out import count_held_out
from physai.policy.policy import Policy
from physai.policy.residual import ResidualPolicy
from physai.tasks import registry
from physai.training.checkpoint import check_finite, save_checkpoint
from physai.training.config import TrainConfig
from physai.training.cost import Meter
from physai.training.demonstration import Driver
from physai.training.interruption import Interruption

__all__ = ["VALIDATION_FROM", "Keeper"]

VALIDATION_FROM = 0.9
"""The best policy is chosen on the seeds of the test distribution from this share on, so
that the first ones, on which the chosen one is measured, had no part in it."""

_STEPS_PER_CHECK = 200
"""Off-policy, an update follows each step: looking at every weight would cost too much."""


class Keeper(BaseCallback):
    """Progress bar, curve, checkpoints, evaluation, and a stop on NaN.

    Args:
        config: Of the run.
        folder: Of the run.
        normalizer: Of the observations; None where they are not normalised.
        progress: Curve, evaluations and the best so far; goes on with each checkpoint.
        interruption: Says whether someone asked for the end.
        meter: Adds up the time that the run takes.
    """

    def __init__(
        self,
        config: TrainConfig,
        folder: Path,
        normalizer: VecNormalize | None,
        progress: dict[str, Any],
        interruption: Interruption,
        meter: Meter,
    ) -> None:
        super().__init__()
        self.interruption = interruption
        self.config, self.folder = config, folder
        self.normalizer, self.progress = normalizer, progress
        self.meter = meter
        self._bar: tqdm[Any] | None = None
        self._last_checkpoint = self._last_check = self._learned = self._told = 0
        done = progress.get("evaluations") or [{"steps": 0}]
        self._last_evaluation = int(done[-1]["steps"])
        self._env: gymnasium.Env[Any, Any] | None = None

    def _on_training_start(self) -> None:
        self._last_checkpoint = self._learned = self._told = self.model.num_timesteps
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
        # A rollout that is not learned from may be left at any step; a replay buffer is
        # left between two steps.
        off_policy = isinstance(self.model, OffPolicyAlgorithm)
        return off_policy or not self.interruption.asked

    def _on_training_end(self) -> None:
        if self.interruption.asked:
            self.model.num_timesteps = self._learned
            self._save()
            raise KeyboardInterrupt

    def _on_rollout_start(self) -> None:
        """Check, keep and evaluate what is learned: an update has just ended."""
        steps = self._learned = self.model.num_timesteps
        if steps - self._last_check >= _STEPS_PER_CHECK:
            self._last_check = steps
            check_finite(self.folder, self.model, self.normalizer)
        due = steps - self._last_checkpoint >= self.config.checkpoint_every_steps
        if due or self.interruption.asked:
            self._save()
        self.interruption.check()
        if steps - self._last_evaluation >= self.config.evaluation.every_steps:
            try:
                self._evaluate()
            except KeyboardInterrupt:
                self._save()
                raise

    def _on_rollout_end(self) -> None:
        steps, every = self.model.num_timesteps, self.config.total_steps / 400
        recent = list(self.model.ep_info_buffer or [])
        successes = list(self.model.ep_success_buffer or [])
        if recent:
            self.meter.lap()
            row = {
                "steps": steps,
                "return": float(np.mean([e["r"] for e in recent])),
                "cost": float(np.mean([e["episode_cost"] for e in recent])),
                "success": float(np.mean(successes)) if successes else 0.0,
                "seconds": self.progress["seconds"],
                "cpu_seconds": self.progress["cpu_seconds"],
            }
            curve = self.progress["curve"]
            if not curve or steps - curve[-1]["steps"] >= every:
                curve.append(row)
            self.logger.record("rollout/episode_cost", row["cost"])
            if self._bar is not None:
                self._bar.set_postfix(
                    ret=f"{row['return']:.1f}",
                    ok=f"{row['success']:.2f}",
                    cost=f"{row['cost']:.2f}",
                )
        if isinstance(self.model, OffPolicyAlgorithm) and steps - self._told >= every:
            self._told = steps
            self.model.dump_logs()
        if self._bar is not None:
            self._bar.update(steps - self._bar.n)

    def _save(self) -> None:
        self._last_checkpoint = self.model.num_timesteps
        save_checkpoint(
            self.folder / "checkpoints", self.model, self.normalizer, self.progress
        )

    def _evaluate(self) -> None:
        """Count deterministic episodes on held-out seeds and keep the best policy."""
        count = self.config.evaluation.episodes
        if self._env is None:
            self._env = registry.make(
                self.config.environment,
                guard=self.config.guard,
                observation=self.config.observation,
            )
        cycle = self._env.unwrapped.cycle  # type: ignore[attr-defined]
        driver: Policy = Driver(self.model, self.normalizer)
        if self.config.residual is not None:
            expert = cycle.scripted_policy("expert")
            driver = ResidualPolicy(expert, driver, self.config.residual.scale)
        seeds = cycle.environment.distributions["test"].seeds
        found = count_held_out(
            cycle,
            driver,
            count,
            first=int(VALIDATION_FROM * seeds.count),
            progress=lambda _: self.interruption.check(),
        )
        rate, cost = found["safe_success"], found["mean_cost"]
        self._last_evaluation = self.model.num_timesteps
        self.logger.record("evaluation/safe_success", rate)
        self.logger.record("evaluation/episode_cost", cost)
        self.meter.lap()
        self.progress.setdefault("evaluations", []).append(
            {
                "steps": self.model.num_timesteps,
                "cpu_seconds": self.progress["cpu_seconds"],
                "safe_success": rate,
                "cost": cost,
                "episodes": count,
            }
        )
        best = self.progress["best"]
        if best is None or rate >= best["safe_success"]:
            self.progress["best"] = {
                "steps": self.model.num_timesteps,
                "safe_success": rate,
            }
            # The pair belongs together: should the process be killed between the two,
            # both come back from the checkpoint.
            self.model.save(self.folder / "best_model.zip")
            if self.normalizer is not None:
                self.normalizer.save(str(self.folder / "best_normalizer.pkl"))

    def finish(self, model: BaseAlgorithm) -> None:
        """Evaluate once more, write the last checkpoint and close the bar."""
        self.init_callback(model)
        self._save()
        if self.progress["best"] is None or self._last_evaluation < model.num_timesteps:
            # What the last update said has its step from the next rollout, of which
            # there is none.
            for kept in ("name_to_value", "name_to_count", "name_to_excluded"):
                getattr(self.logger, kept).clear()
            self._evaluate()
            self.logger.dump(model.num_timesteps)
            self.meter.lap()
            self._save()
        if self._bar is not None:
            self._bar.close()
        if self._env is not None:
            self._env.close()
