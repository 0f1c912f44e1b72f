"""Where observations, actions, rewards and ends of environments are in shared memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from gymnasium import spaces

from physai.errors import ConfigError

__all__ = ["AnyArray", "Layout", "leaves"]

AnyArray = npt.NDArray[Any]


@dataclass(frozen=True)
class Layout:
    """Where everything is in the block of shared memory.

    Attributes:
        fields: Name, offset [bytes], shape and type.
        size: Length [bytes].
    """

    fields: tuple[tuple[str, int, tuple[int, ...], str], ...]
    size: int

    @staticmethod
    def of(
        count: int, observation: spaces.Space[Any], action: spaces.Space[Any]
    ) -> Layout:
        """Lay out ``count`` environments.

        Raises:
            ConfigError: If a space is none of boxes or of a flat dictionary of boxes.
        """
        parts = [
            (f"{kind}{name}", (count, *box.shape), np.dtype(box.dtype).str)
            for kind in ("observation", "terminal")
            for name, box in leaves(observation)
        ]
        if not isinstance(action, spaces.Box | spaces.Discrete | spaces.MultiDiscrete):
            raise ConfigError(f"vector: actions of the kind {action} are not supported")
        shape = () if isinstance(action, spaces.Discrete) else action.shape
        parts.append(("action", (count, *shape), np.dtype(action.dtype).str))
        parts += [
            ("reward", (count,), "<f4"),
            ("cost", (count,), "<f8"),
            ("done", (count,), "|b1"),
        ]
        fields, at = [], 0
        for name, dimensions, kind in parts:
            fields.append((name, at, dimensions, kind))
            length = int(np.prod(dimensions)) * np.dtype(kind).itemsize
            at += -(-length // 64) * 64
        return Layout(tuple(fields), max(at, 64))

    def views(self, memory: Any) -> dict[str, AnyArray]:
        """Return an array on the shared memory for every field."""
        return {
            name: np.ndarray(shape, kind, memory, at)
            for name, at, shape, kind in self.fields
        }


def leaves(space: spaces.Space[Any]) -> Iterator[tuple[str, spaces.Box]]:
    """Give the boxes of a space with what tells them apart: a key, or nothing."""
    if isinstance(space, spaces.Box):
        yield "", space
        return
    if isinstance(space, spaces.Dict):
        for key, box in space.spaces.items():
            if isinstance(box, spaces.Box):
                yield f"/{key}", box
                continue
            raise ConfigError(f'vector: observation "{key}" is no box but {box}')
        return
    raise ConfigError(f"vector: observations of the kind {space} are not supported")
