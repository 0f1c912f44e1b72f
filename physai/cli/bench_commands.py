"""The command that measures: bench, with its tables, challenges and fault matrices."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

from physai.cli.output import (
    add_json,
    check_writable,
    count,
    natural,
    need_simulator,
    print_result,
)
from physai.errors import ContentError

__all__ = ["register"]

_TABLES = {"tasks": "environments", "matrices": "fault matrices"}


def register(commands: Any) -> None:
    """Add the command of this module."""
    parser = commands.add_parser("bench", help="the benchmark table")
    parser.add_argument("--out", metavar="FILE", help="also write it as JSON")
    parser.add_argument(
        "--blocks", type=count, default=20, metavar="N", help="repeats per figure"
    )
    parser.add_argument(
        "--guard",
        action="store_true",
        help="instead: the guard against random and adversarial policies, off and on",
    )
    parser.add_argument(
        "--tasks",
        action="store_true",
        help="instead: one row per environment: expert, adversary, speed, memory",
    )
    parser.add_argument(
        "--cost",
        action="store_true",
        help="instead: what the guard costs the expert where nothing is wrong",
    )
    parser.add_argument(
        "--count",
        type=count,
        metavar="N",
        help="episodes of --tasks (200), --cost (60) and --domain (2,995)",
    )
    parser.add_argument(
        "--only",
        nargs="+",
        metavar="ID",
        help="environments of --tasks and --cost; the others keep their rows in --out",
    )
    parser.add_argument(
        "--faults",
        nargs="*",
        metavar="MATRIX",
        help="instead: fault matrices, by name in configs/faults or by file "
        "(default: all); the others keep their place in --out",
    )
    parser.add_argument(
        "--suite",
        default="care_feeding_guard",
        help="of --guard (default: %(default)s)",
    )
    parser.add_argument(
        "--domain",
        metavar="NAME",
        help="of --guard: every task of a domain (care, construction, logistics) "
        "against chance, script and frozen adversaries, on fresh seeds",
    )
    parser.add_argument(
        "--adversaries",
        default="benchmarks/adversaries",
        metavar="DIR",
        help="of --domain: where they are (default: %(default)s)",
    )
    parser.add_argument(
        "--round",
        type=natural,
        default=0,
        metavar="N",
        help="of --domain: which fresh seeds; another one after each mend of the guard",
    )
    parser.add_argument(
        "--workers",
        type=count,
        default=2,
        metavar="N",
        help="processes of --guard, --cost and --faults",
    )
    parser.add_argument(
        "--episodes",
        metavar="DIR",
        help="where --guard and --faults keep their episodes (default: "
        "guard_challenge, fault_matrix)",
    )
    add_json(parser)
    parser.set_defaults(function=bench)


def bench(options: argparse.Namespace) -> int:
    """``physai bench``."""
    need_simulator("the benchmark")
    if options.out:
        check_writable(Path(options.out).parent)
        if Path(options.out).is_dir():
            raise ContentError(f"{options.out}: is a folder; --out names a file here")
    if options.guard:
        result = _challenge(options)
    elif options.cost:
        from physai.evaluation.guard_cost import measure_guard_cost
        from physai.provenance import environment_record
        from physai.tasks.registry import load_environment

        for name in options.only or ():
            load_environment(name)
        result = measure_guard_cost(
            options.only,
            options.count or 60,
            options.workers,
            progress=not options.json,
            kept=_earlier_rows(options.out),
        )
        result["environment"] = environment_record()
    elif options.faults is not None:
        return _bench_faults(options)
    elif options.tasks:
        from physai.task_table import run_task_table
        from physai.tasks.registry import load_environment

        for name in options.only or ():
            load_environment(name)
        number = options.count or 200
        result = run_task_table(
            options.only,
            number,
            max(1, number // 4),
            progress=not options.json,
            kept=_earlier_rows(options.out),
            save=lambda table: _write_table(options.out, table),
        )
    else:
        from physai.bench import run_bench

        result = run_bench(options.blocks)
    _write_table(options.out, result)
    print_result(options, result, result["lines"])
    sys.stdout.flush()
    return 0


def _challenge(options: argparse.Namespace) -> dict[str, Any]:
    """``physai bench --guard``."""
    from physai.evaluation.challenge import (
        DOMAIN_EPISODES,
        challenge_domain,
        challenge_guard,
    )
    from physai.provenance import environment_record

    folder = options.episodes or "guard_challenge"
    check_writable(folder, "--episodes")
    if options.domain:
        result = challenge_domain(
            options.domain,
            options.adversaries,
            options.round,
            options.count or DOMAIN_EPISODES,
            workers=options.workers,
            out=folder,
            progress=not options.json,
        )
    else:
        result = challenge_guard(
            options.suite,
            workers=options.workers,
            out=folder,
            progress=not options.json,
        )
    result["environment"] = environment_record()
    return result


def _bench_faults(options: argparse.Namespace) -> int:
    """``physai bench --faults``: 0 if every row holds, 1 otherwise."""
    from physai.content import names
    from physai.evaluation.fault_run import matrix_lines, run_matrices
    from physai.provenance import environment_record

    kept = _earlier_rows(options.out, "matrices")
    folder = options.episodes or "fault_matrix"
    check_writable(folder, "--episodes")
    environment, start = environment_record(), time.monotonic()
    failed = False
    wanted = options.faults or list(names("faults"))
    result: dict[str, Any] = {"matrices": kept, "lines": matrix_lines(kept)}
    for made in run_matrices(
        wanted, options.workers, folder, progress=not options.json
    ):
        took = round(time.monotonic() - start, 1)
        start = time.monotonic()
        failed = failed or bool(made["failures"])
        kept = [matrix for matrix in kept if matrix["id"] != made["id"]]
        kept.append({**made, "environment": environment, "time_s": took})
        kept.sort(key=lambda matrix: str(matrix["id"]))
        result = {"matrices": kept, "lines": matrix_lines(kept)}
        # Hours of work are not lost with the last matrix.
        _write_table(options.out, result)
    print_result(options, result, result["lines"])
    return 1 if failed else 0


def _write_table(out: str | None, result: dict[str, Any]) -> None:
    """Write figures to the file of ``--out``, if there is one."""
    if out:
        Path(out).write_text(json.dumps(result, indent=2) + "\n")


def _earlier_rows(out: str | None, key: str = "tasks") -> list[dict[str, Any]]:
    """Return the rows of an earlier table in the file of ``--out``.

    Args:
        out: The file; None for none.
        key: Under which they stand: of environments, or of fault matrices.

    Raises:
        ContentError: If the file is something else, which would be lost.
    """
    if not out or not Path(out).exists():
        return []
    try:
        rows = json.loads(Path(out).read_text())[key]
        return [{**row, "id": str(row["id"])} for row in rows]
    except (ValueError, KeyError, TypeError, OSError):
        raise ContentError(
            f"{out}: is there and is no table of {_TABLES[key]}; name another --out"
        ) from None
