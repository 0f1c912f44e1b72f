"""The command ``physai``: thin callers over the packages, one sentence per error.

Exit codes: 0 done or passed, 1 ran and the verdict is not a pass, 2 bad input or
refused, 130 interrupted. Modules are imported when their command runs.
"""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from collections.abc import Sequence
from typing import Any, NoReturn

from physai.cli import (
    bench_commands,
    content_commands,
    evaluation_commands,
    failure_commands,
    governance_commands,
    record_commands,
    robot_commands,
    run_commands,
)
from physai.content import kept_site, use_site
from physai.errors import PhysaiError, suggest

__all__ = ["main"]

_GROUPS = (
    content_commands,
    run_commands,
    bench_commands,
    evaluation_commands,
    governance_commands,
    robot_commands,
    record_commands,
    failure_commands,
)


class _Parser(argparse.ArgumentParser):
    """Errors are one sentence, with the nearest valid choice; nothing is abbreviated."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **{**named, "allow_abbrev": False})

    def error(self, message: str) -> NoReturn:
        """Raise the error for :func:`main` to print."""
        raise PhysaiError(f"{self.prog}: {message}; see {self.prog} --help")

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            raise PhysaiError(
                f'{self.prog}: no {action.dest} "{value}": '
                f"{suggest(str(value), map(str, action.choices))}"
            )

    def refuse(self, command: str | None, extra: Sequence[str]) -> NoReturn:
        """Raise the error for arguments that nothing takes."""
        parser: argparse.ArgumentParser = self
        for action in self._actions:
            if isinstance(action, argparse._SubParsersAction) and command:
                parser = action.choices[command]
        word = extra[0]
        if not word.startswith("-"):
            raise PhysaiError(
                f'{parser.prog}: "{word}" is one argument too many; see {parser.prog} '
                "--help"
            )
        known = [o for o in parser._option_string_actions if o.startswith("--")]
        raise PhysaiError(
            f'{parser.prog}: no option "{word}": {suggest(word.split("=")[0], known)}'
        )


def build_parser() -> _Parser:
    """Return the parser of every command."""
    parser = _Parser(
        prog="physai",
        description="Develop, demonstrate and trust physical "
        "AI. Not a rated safety function.",
    )
    parser.add_argument(
        "--content",
        metavar="DIR",
        help="site to use instead of the bundled content (or PHYSAI_CONTENT)",
    )
    parser.add_argument("--version", action="store_true", help="print versions and end")
    commands = parser.add_subparsers(
        dest="command", metavar="command", parser_class=_Parser
    )
    for group in _GROUPS:
        group.register(commands)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: Without the program's name; None takes the process's.

    Returns:
        The exit code.
    """
    with kept_site():
        return _run(arguments)


def _run(arguments: Sequence[str] | None) -> int:
    """Run one command and turn what goes wrong into a sentence and a code."""
    previous = _end_orderly()
    try:
        parser = build_parser()
        options, extra = parser.parse_known_args(arguments)
        if extra:
            parser.refuse(options.command, extra)
        if options.content is not None:
            use_site(options.content)
        if options.version:
            from physai.provenance import versions

            for name, version in versions().items():
                print(f"{name} {version}")
            return 0
        if options.command is None:
            parser.print_help()
            return 0
        return int(options.function(options))
    except PhysaiError as error:
        print(str(error).replace("\n", " "), file=sys.stderr)
        return 2
    except KeyboardInterrupt as error:
        return _interrupted(str(error))
    except ValueError as error:
        # A signal that comes while pydantic serialises comes out as an error of its own.
        if "KeyboardInterrupt" not in str(error):
            raise
        return _interrupted("")
    except BrokenPipeError:
        sys.stderr.close()
        return 0
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        print(f"{where}{error.strerror or error}", file=sys.stderr)
        return 2
    finally:
        if previous is not None:
            signal.signal(signal.SIGTERM, previous)


def _interrupted(said: str) -> int:
    print(said or "interrupted; what was finished is kept", file=sys.stderr)
    return 130


def _end_orderly() -> Any:
    """Let SIGTERM end a command as Ctrl-C does: a robot stopped, files closed.

    Returns:
        The handler that was there; None outside the main thread, where none is set.
    """
    if threading.current_thread() is not threading.main_thread():
        return None

    def interrupt(*_: object) -> NoReturn:
        raise KeyboardInterrupt

    return signal.signal(signal.SIGTERM, interrupt)
