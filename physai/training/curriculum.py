"""Easier scenarios first: the stages of a curriculum, one after the other."""

from __future__ import annotations

from typing import Any

import numpy as np
from stable_baselines3.common.callbacks import BaseCallback

from physai.training.config import CurriculumConfig

__all__ = ["Curriculum"]

_AT_LEAST = 20
"""Episodes of a stage before its share of successes counts."""


class Curriculum(BaseCallback):
    """Narrows what the environments draw, and widens it stage by stage.

    Looks at the end of every rollout, so that the same seed changes stage at the same step.

    Args:
        config: The stages and when the next one begins.
        progress: Of the run; ``curriculum`` in it goes on with each checkpoint: ``stage``,
            ``since`` [steps], and ``began`` [steps] of every stage.
    """

    def __init__(self, config: CurriculumConfig, progress: dict[str, Any]) -> None:
        super().__init__()
        self.config = config
        self._at: dict[str, Any] = progress.setdefault(
            "curriculum", {"stage": 0, "since": 0, "began": [0]}
        )

    def _on_training_start(self) -> None:
        self._apply()

    def _on_step(self) -> bool:
        return True

    def _on_rollout_end(self) -> None:
        steps, at, plan = self.model.num_timesteps, self._at, self.config
        self.logger.record("curriculum/stage", at["stage"])
        if at["stage"] + 1 >= len(plan.stages):
            return
        recent = self.model.ep_success_buffer
        learned = (
            recent is not None
            and len(recent) >= _AT_LEAST
            and float(np.mean(recent)) >= plan.success
        )
        if learned or steps - at["since"] >= plan.most_steps:
            at["stage"], at["since"] = at["stage"] + 1, steps
            at["began"].append(steps)
            # The next stage is judged by its own episodes.
            if recent is not None:
                recent.clear()
            self._apply()

    def _apply(self) -> None:
        stage = self.config.stages[self._at["stage"]]
        self.training_env.env_method("narrow", stage.spread, stage.kinds)
