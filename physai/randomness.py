"""Random numbers keyed by (seed, stream name, step).

A draw never depends on what else was drawn before it, so matched arms of an
evaluation stay matched whatever policy or guard runs, and the same seed gives the
same trajectory in any process and for any number of workers.
"""

from __future__ import annotations

import hashlib

import numpy as np

__all__ = ["derive_seed", "generator"]


def generator(seed: int, stream: str, step: int = 0) -> np.random.Generator:
    """Return the generator of one stream at one step.

    Args:
        seed: The episode's seed, non-negative.
        stream: What the numbers are for, such as ``"tracker.noise"``.
        step: Control step or episode counter.

    Returns:
        A Philox generator; equal keys give equal numbers on every machine.
    """
    name = int.from_bytes(hashlib.sha256(stream.encode()).digest()[:8], "little")
    key = np.array([seed & 0xFFFFFFFFFFFFFFFF, name], dtype=np.uint64)
    counter = np.array([0, 0, 0, step & 0xFFFFFFFFFFFFFFFF], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(key=key, counter=counter))


def derive_seed(seed: int, stream: str, step: int = 0) -> int:
    """Return a 31-bit seed of its own for one stream and step."""
    return int(generator(seed, stream, step).integers(0, 2**31 - 1))
