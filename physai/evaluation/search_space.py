"""The box that the ranges of a kind of scenario span, for a search to walk in.

Whatever may be drawn from a range is a dimension: values of the environment, places and
paths of people, what people do and when. Ranges are found by the type of their field, so
that a new behaviour or a new task needs nothing here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Any, NamedTuple, get_args, get_origin

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel

from physai.body.behaviour import BehaviourConfig, Range
from physai.errors import ContractError
from physai.tasks.environment import EnvironmentConfig, ScenarioTemplate

__all__ = ["SearchSpace"]

Path = tuple[str | int, ...]


class _Dimension(NamedTuple):
    """One range: its name, where it is in the template, its ends."""

    name: str
    path: Path
    low: float
    high: float


class SearchSpace:
    """The box that the ranges of a template span.

    Args:
        environment: Gives the ranges that the template leaves alone.
        distribution: Whose ranges hold.
        template: Every ``[low, high]`` in it is a dimension.
    """

    def __init__(
        self,
        environment: EnvironmentConfig,
        distribution: str,
        template: ScenarioTemplate,
    ) -> None:
        self.template = template
        ranges = {
            **environment.ranges,
            **environment.distributions[distribution].ranges,
            **template.ranges,
        }
        self._dimensions = [
            _Dimension(f"ranges.{name}", ("ranges", name), value[0], value[1])
            for name, value in ranges.items()
            if isinstance(value, tuple) and value[1] > value[0]
        ]
        for field in ("behaviours", "people"):
            kind = ScenarioTemplate.model_fields[field].annotation
            for path, name, value in _ranges(getattr(template, field), kind):
                if value[1] > value[0]:
                    # A behaviour is called by its kind, without its number.
                    parts = [part for part in name if part != "behaviours"]
                    where = [field] if field == "people" else []
                    self._dimensions.append(
                        _Dimension(".".join([*where, *parts]), (field, *path), *value)
                    )

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the dimensions."""
        return tuple(dimension.name for dimension in self._dimensions)

    def at(self, point: Sequence[float] | npt.NDArray[np.float64]) -> ScenarioTemplate:
        """Return the template with every range fixed.

        Args:
            point: (d,) in [0, 1]; what is outside is cut off.

        Raises:
            ContractError: If the point has another number of dimensions.
        """
        if len(point) != len(self._dimensions):
            raise ContractError(
                f"{self.template.name}: a point has {len(self._dimensions)} dimensions, "
                f"not {len(point)}"
            )
        fixed: Any = self.template
        for share, each in zip(point, self._dimensions, strict=True):
            value = each.low + min(1.0, max(0.0, float(share))) * (each.high - each.low)
            fixed = _replace(fixed, each.path, value)
        found: ScenarioTemplate = fixed
        return found


def _ranges(
    value: Any, kind: Any, path: Path = (), name: tuple[str, ...] = ()
) -> Iterator[tuple[Path, tuple[str, ...], tuple[float, float]]]:
    """Yield path, name and ends of every range in a value of a type."""
    kind = _bare(kind)
    if isinstance(value, BaseModel):
        if isinstance(value, BehaviourConfig):
            name = (*name[:-1], value.kind)
        for key, field in type(value).model_fields.items():
            inner = getattr(value, key)
            yield from _ranges(inner, field.annotation, (*path, key), (*name, key))
    elif not isinstance(value, tuple):
        return
    elif _takes_range(kind):
        yield path, name, (float(value[0]), float(value[1]))
    else:
        kinds = get_args(_tuple_of(kind))
        for index, item in enumerate(value):
            inner_kind = kinds[0] if kinds[-1] is Ellipsis else kinds[index]
            yield from _ranges(item, inner_kind, (*path, index), (*name, str(index)))


def _bare(kind: Any) -> Any:
    """Return a type without what annotates it."""
    while get_origin(kind) is Annotated:
        kind = get_args(kind)[0]
    return kind


def _takes_range(kind: Any) -> bool:
    """Whether a field of the type takes a number or a range."""
    options = {_bare(option) for option in get_args(kind)}
    return set(get_args(Range)) <= options


def _tuple_of(kind: Any) -> Any:
    """Return the tuple type among the options of a type."""
    if get_origin(kind) is tuple:
        return kind
    return next(o for o in map(_bare, get_args(kind)) if get_origin(o) is tuple)


def _replace(value: Any, path: Path, number: float) -> Any:
    """Return a value with what is at a path replaced; nothing is changed in place."""
    if not path:
        return number
    first, rest = path[0], path[1:]
    if isinstance(value, BaseModel):
        inner = _replace(getattr(value, str(first)), rest, number)
        return value.model_copy(update={str(first): inner})
    if isinstance(value, dict):
        return {**value, first: _replace(value.get(first), rest, number)}
    assert isinstance(first, int)
    return (*value[:first], _replace(value[first], rest, number), *value[first + 1 :])
