"""Learning a correction: the learner's action is added to the expert's."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt

from physai.policy.residual import corrected

__all__ = ["CorrectedEnv"]

Floats = npt.NDArray[np.float32]


class CorrectedEnv(gymnasium.Wrapper[Floats, Floats, Floats, Floats]):
    """An environment whose expert acts, and whose actions correct it.

    Args:
        env: An environment that offers ``scripted_policy("expert")``.
        scale: What an action of 1.0 adds to the expert's.
    """

    def __init__(self, env: gymnasium.Env[Floats, Floats], scale: float) -> None:
        super().__init__(env)
        self._scale = scale
        self._expert: Any = env.unwrapped.scripted_policy("expert")  # type: ignore[attr-defined]
        self._seen = np.zeros(0, dtype=np.float32)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Floats, dict[str, Any]]:
        """Start an episode, the expert's too."""
        self._seen, info = self.env.reset(seed=seed, options=options)
        self._expert.reset()
        return self._seen, info

    def step(self, action: Floats) -> tuple[Floats, float, bool, bool, dict[str, Any]]:
        """Act as the expert does, corrected by ``action`` (a,)."""
        total = corrected(self._expert.act(self._seen), action, self._scale)
        self._seen, reward, terminated, truncated, info = self.env.step(total)
        return self._seen, float(reward), terminated, truncated, info
