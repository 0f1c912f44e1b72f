"""Typed, frozen configuration with errors that a person can act on.

Every content file is read into a :class:`Config` (pydantic, frozen, unknown keys
refused). A wrong file gives one sentence that names the file, the key path, the
reason and, for an unknown key, the valid keys and the nearest one.
"""

from __future__ import annotations

import json
import os
import types
import typing
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from physai.content import load_yaml
from physai.errors import ConfigError, suggest

__all__ = ["Config", "json_schema", "load", "override", "parse"]


class Config(BaseModel):
    """Base of every configuration: frozen, strict about keys, finite numbers only."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        allow_inf_nan=False,
        arbitrary_types_allowed=False,
        strict=False,
        use_attribute_docstrings=True,
    )

    def distinctive(self) -> dict[str, Any]:
        """Return every value that differs from its default, as JSON.

        Digests are made over it, so that a new field whose default changes nothing
        does not turn every older result into one of something else.
        """
        return self.model_dump(mode="json", exclude_defaults=True)


C = TypeVar("C", bound=Config)


def load(model: type[C], path: str | os.PathLike[str]) -> C:
    """Read a YAML file into a configuration.

    Raises:
        ContentError: If the file cannot be read.
        ConfigError: If its content does not fit, in one sentence.
    """
    return parse(model, load_yaml(path), str(path))


def parse(model: type[C], value: Any, origin: str) -> C:
    """Check a mapping against a configuration type.

    Args:
        model: The configuration type.
        value: Parsed YAML or JSON.
        origin: The file (or option) that it came from, for the error sentence.

    Raises:
        ConfigError: With origin, key path, reason and valid keys.
    """
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise ConfigError(_sentence(model, error, origin)) from None


def override(value: dict[str, Any], settings: list[str], origin: str) -> dict[str, Any]:
    """Return a copy of a mapping with ``key.path=value`` settings applied.

    Values are read as YAML, so ``2``, ``1e-3``, ``true`` and ``[64, 64]`` work; a part
    of the path that is a number is a place in a list.

    Raises:
        ConfigError: If a setting has no ``=`` or its path leads through a value.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    result: dict[str, Any] = json.loads(json.dumps(value))
    for setting in settings:
        path, sign, text = setting.partition("=")
        if not sign or not path:
            raise ConfigError(f'{origin}: --set "{setting}" must be written key=value')
        try:
            new = YAML(typ="safe", pure=True).load(text)
        except YAMLError:
            raise ConfigError(
                f'{origin}: --set "{setting}": the value is not YAML'
            ) from None
        *parents, last = path.split(".")
        node: Any = result
        for key in parents:
            if isinstance(node, list):
                node = node[_place(node, key, origin, setting)]
            else:
                node = node.setdefault(key, {})
            if not isinstance(node, dict | list):
                raise ConfigError(
                    f'{origin}: --set "{setting}": "{key}" is not a section'
                )
        if isinstance(node, list):
            node[_place(node, last, origin, setting)] = new
        else:
            node[last] = new
    return result


def _place(items: list[Any], key: str, origin: str, setting: str) -> int:
    if not key.isdigit() or int(key) >= len(items):
        raise ConfigError(
            f'{origin}: --set "{setting}": "{key}" is no place in a list of '
            f"{len(items)}, counted from 0"
        )
    return int(key)


def json_schema(model: type[Config]) -> dict[str, Any]:
    """Return the JSON Schema of a configuration, for completion in editors."""
    return model.model_json_schema()


def _sentence(model: type[BaseModel], error: ValidationError, origin: str) -> str:
    first, *rest = error.errors(include_url=False)
    location = [str(part) for part in first["loc"]]
    where = ".".join(location) or "the top level"
    if first["type"] == "extra_forbidden":
        valid = _valid_keys(model, first["loc"][:-1])
        reason = f'unknown key "{location[-1]}"; {suggest(location[-1], valid)}'
    elif first["type"] == "missing":
        reason = "is required and missing"
    else:
        message = first["msg"].removeprefix("Value error, ")
        reason = f"{message[:1].lower()}{message[1:]} (given: {_short(first['input'])})"
    more = f" (and {len(rest)} more)" if rest else ""
    return f"{Path(origin)}: {where}: {reason}{more}"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _valid_keys(model: type[BaseModel], location: tuple[int | str, ...]) -> list[str]:
    node: Any = model
    for part in location:
        node = _step(node, part)
    found = [candidate for candidate in _members(node) if _is_model(candidate)]
    return [
        field.alias or name
        for candidate in found
        for name, field in candidate.model_fields.items()
    ]


def _is_model(node: Any) -> bool:
    return isinstance(node, type) and issubclass(node, BaseModel)


def _members(node: Any) -> list[Any]:
    origin = typing.get_origin(node)
    if origin is typing.Annotated:
        return _members(typing.get_args(node)[0])
    if origin in (typing.Union, types.UnionType):
        return [m for arg in typing.get_args(node) for m in _members(arg)]
    return [node]


def _step(node: Any, part: int | str) -> Any:
    for member in _members(node):
        if _is_model(member):
            for name, field in member.model_fields.items():
                if part in (name, field.alias):
                    return field.annotation
            continue
        arguments = typing.get_args(member)
        if arguments:
            return arguments[-1] if arguments[-1] is not Ellipsis else arguments[0]
    # A discriminated union adds the tag to the location; it is not a key.
    return node
