"""A correction on top of another policy.

Residual policy learning (Silver, Allen, Tenenbaum and Kaelbling 2018; Johannink et al.
2019): what is learned is added, scaled, to the action of a policy that works already. With
a correction of zero it acts as its base does.
"""

from __future__ import annotations

import numpy as np

from physai.policy.policy import FloatArray, Policy

__all__ = ["ResidualPolicy", "corrected"]


def corrected(base: FloatArray, correction: FloatArray, scale: float) -> FloatArray:
    """Return base + scale * correction (a,), cut to [-1, 1]."""
    total = np.asarray(base, dtype=np.float32) + np.float32(scale) * correction
    result: FloatArray = np.clip(total, -1.0, 1.0).astype(np.float32)
    return result


class ResidualPolicy:
    """Acts as the base does, corrected.

    Args:
        base: Policy that works already.
        correction: Policy whose action is added.
        scale: Times so much, above 0 and at most 1.
    """

    def __init__(self, base: Policy, correction: Policy, scale: float) -> None:
        self.base, self.correction, self.scale = base, correction, scale
        self.contract = getattr(correction, "contract", None)

    def reset(self) -> None:
        """Forget the last episode, both."""
        self.base.reset()
        self.correction.reset()

    def act(self, observation: FloatArray) -> FloatArray:
        """Return the corrected action (a,) for an observation (o,)."""
        base = self.base.act(observation)
        return corrected(base, self.correction.act(observation), self.scale)
