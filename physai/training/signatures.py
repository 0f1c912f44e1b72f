"""What a class of Stable-Baselines3 is given by name, and of what type a config can say it."""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any

import torch
from pydantic import ConfigDict, TypeAdapter, ValidationError
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.vec_env import VecEnv

from physai.errors import ConfigError
from physai.training.config import Schedule

__all__ = ["annotations_of", "converted", "numbers_in", "parameters_of"]

_WORDS = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}


def parameters_of(
    made: type[Any], without: Mapping[str, str] | tuple[str, ...]
) -> list[str]:
    """Return what a class is given by name, without what a config cannot say."""
    kinds = annotations_of(made)
    return [
        name
        for name in inspect.signature(made).parameters
        if name not in without and _words(kinds.get(name, Any))
    ]


def annotations_of(made: type[Any]) -> dict[str, Any]:
    """Return the type of every parameter of a class that says one, by name."""
    known = {"VecEnv": VecEnv}
    return typing.get_type_hints(made.__init__, localns=known)


def converted(where: str, value: Any, kind: Any) -> Any:
    """Return a value as its annotation asks for, a list as a tuple for example."""
    # In Python, true is a number, too; in a config it is a mistake.
    wrong = isinstance(value, bool) and bool not in _kinds(kind) and kind is not Any
    try:
        if not wrong:
            adapter = TypeAdapter(kind, config=ConfigDict(arbitrary_types_allowed=True))
            return adapter.validate_python(value)
    except ValidationError:
        pass
    raise ConfigError(f"{where}: must be {_words(kind)} (given: {value!r})")


def _kinds(kind: Any) -> tuple[Any, ...]:
    union = typing.get_origin(kind) in (typing.Union, types.UnionType)
    return typing.get_args(kind) if union else (kind,)


def _words(kind: Any) -> str:
    """Say what an annotation permits; empty if a config can say nothing of it."""
    found = []
    for each in _kinds(kind):
        origin = typing.get_origin(each) or each
        if origin in _WORDS:
            found.append(_WORDS[origin])
        elif origin is Callable:
            found.append("a schedule")
        elif origin in (list, tuple):
            found.append("a list")
        elif origin is dict:
            found.append("a mapping")
        elif origin is type and each is not type:
            (what,) = typing.get_args(each)
            if what is torch.nn.Module:
                found.append("the name of an activation")
            if what is BaseFeaturesExtractor:
                found.append("the name of a features extractor")
        elif each is Any:
            found.append("a value")
    return " or ".join(dict.fromkeys(found))


def numbers_in(value: Any) -> list[tuple[int, float]]:
    """Return the numbers in a value with their places, in the order in which they hold."""
    if isinstance(value, Schedule):
        return [(0, value.start), (1, value.end)]
    if isinstance(value, tuple) and value:
        value = value[0]
    numeric = isinstance(value, int | float) and not isinstance(value, bool)
    return [(0, float(value))] if numeric else []
