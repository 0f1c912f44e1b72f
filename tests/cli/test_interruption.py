"""Ctrl-C is one sentence and the code 130, wherever it falls."""

from __future__ import annotations

import argparse
from types import SimpleNamespace

import pydantic
import pytest

from physai import cli


class Interrupted(pydantic.BaseModel):
    """Into whose serialisation the signal falls."""

    value: int = 1

    @pydantic.field_serializer("value")
    def _value(self, value: int) -> int:
        raise KeyboardInterrupt


def wrong(_: argparse.Namespace) -> int:
    raise ValueError("of our own making")


def register(commands: argparse._SubParsersAction) -> None:
    for name, function in {
        "plain": lambda _: (_ for _ in ()).throw(KeyboardInterrupt("as said")),
        "serial": lambda _: Interrupted().model_dump(mode="json"),
        "json": lambda _: Interrupted().model_dump_json(),
        "wrong": wrong,
    }.items():
        commands.add_parser(name).set_defaults(function=function)


@pytest.fixture(autouse=True)
def commands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "_GROUPS", (SimpleNamespace(register=register),))


@pytest.mark.parametrize(
    ("command", "said"),
    [("plain", "as said"), ("serial", "interrupted"), ("json", "interrupted")],
)
def test_an_interruption_is_one_sentence(
    command: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main([command]) == 130
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith(said)


def test_any_other_mistake_is_not_hidden() -> None:
    with pytest.raises(ValueError, match="of our own making"):
        cli.main(["wrong"])
