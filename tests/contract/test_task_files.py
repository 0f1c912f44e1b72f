"""Task files are short, and what two tasks need is in one place."""

from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path

import pytest

import physai.tasks

ROOT = Path(physai.tasks.__file__).parent
SHARED = sorted(ROOT.glob("*.py"))
TASKS = sorted(ROOT.glob("*/*.py"))
LINES_MAX = 200
COPY_STATEMENTS = 4
"""Functions with so many statements may look alike by chance."""


def body_of(function: ast.AST) -> list[ast.stmt]:
    """The statements of a function without its docstring."""
    body = function.body
    first = body[0]
    said = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
    return body[1:] if said else body


def count(body: list[ast.stmt]) -> int:
    """The statements of a body, those inside of others included."""
    return sum(isinstance(node, ast.stmt) for part in body for node in ast.walk(part))


def bodies(paths: list[Path]) -> dict[str, list[str]]:
    """Body of every longer function to where it is written."""
    found: dict[str, list[str]] = defaultdict(list)
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            body = body_of(node)
            if count(body) > COPY_STATEMENTS:
                dump = "\n".join(ast.dump(part) for part in body)
                found[dump].append(f"{path.name}:{node.name}")
    return found


def test_there_are_task_files() -> None:
    assert len(TASKS) > 20
    assert len(bodies(TASKS)) > 50


@pytest.mark.parametrize(
    "path", TASKS, ids=lambda path: f"{path.parent.name}/{path.stem}"
)
def test_a_task_file_has_at_most_200_lines(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= LINES_MAX


def test_no_function_is_written_twice() -> None:
    copies = [places for places in bodies(SHARED + TASKS).values() if len(places) > 1]
    assert not copies


def test_a_copy_is_found_under_another_name_and_docstring(tmp_path: Path) -> None:
    body = "    a = 1\n    if a:\n        a += 1\n        a += 2\n    return a\n"
    one, other = tmp_path / "one.py", tmp_path / "other.py"
    one.write_text(f'def f():\n    """Say."""\n{body}', encoding="utf-8")
    other.write_text(f"def g():\n{body}", encoding="utf-8")
    assert list(bodies([one, other]).values()) == [["one.py:f", "other.py:g"]]
