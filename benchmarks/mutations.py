"""Does any test notice? Each rule of the guard is corrupted in turn, and tests must fail.

    python benchmarks/mutations.py [--out FILE] [--only TEXT] [--list] [--resume]

A mutation changes what a rule measures (off, wrong sign, halved as with twice the limit,
age ignored), what the filter holds a command against, or what guard and latch do. It is
put in by replacing functions of the running program, in a process of its own; no code of
the package knows of it. It is *killed* if a test fails, and *survives* if none does.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from physai import content
from physai.provenance import environment_record
from physai.safety import load_spec
from physai.safety.rules import RULES

QUICK = ("tests/contract/test_margins.py", "tests/safety/test_signals.py")
"""A quarter of a minute: whatever these two find need not be looked for elsewhere."""
FIRST = (
    "tests/contract/test_rules.py",
    "tests/safety/test_guard_laws.py",
    "tests/safety/test_drives.py",
    "tests/safety/test_sections.py",
    "tests/safety/test_field.py",
    "tests/safety/test_carrying.py",
    "tests/safety/test_load.py",
    "tests/safety/test_scorer.py",
    "tests/safety/test_volumes.py",
    "tests/safety/test_heavy_sections.py",
    "tests/safety/test_crossing.py",
    "tests/safety/test_traffic.py",
    "tests/safety/test_liveness.py",
    "tests/contract/test_guard.py",
)
"""Most mutations fall here; what survives is given to the rest."""
REST = (
    "tests/plant/test_faults.py",
    "tests/evaluation/test_metrics.py",
    "tests/evaluation/test_temporal.py",
    "tests/tasks",
    "tests/plant/test_protective_field.py",
    "tests/plant/test_simulation.py",
    "tests/plant/test_haulage.py",
    "tests/plant/test_handling.py",
    "tests/evaluation/test_challenge.py",
)
_TIME_LIMIT_S = 900.0

Change = Callable[[float], float]
CHANGES: dict[str, Change] = {
    "off": lambda value: -1.0e6,
    "sign": lambda value: -value,
    "halved": lambda value: 0.5 * value,
}


def mutate_signal(kind: str, change: Change) -> None:
    """Corrupt what every rule of a kind measures."""
    from physai.safety import monitor as module

    rule, late = RULES[kind], RULES[kind].section or RULES[kind].signal is None
    original, move = module.measure, module.move_windows
    more = module.Monitor._measure_more

    def places(spec: Any) -> list[int]:
        given = zip(spec.config.rules, spec.signal, strict=True)
        return [int(place) for each, place in given if each.rule == kind]

    def spoil(monitor: Any) -> None:
        for place in set(places(monitor.spec)):
            monitor.signals[place] = change(float(monitor.signals[place]))

    def later(self: Any, state: Any, truth: Any) -> None:
        more(self, state, truth)
        spoil(self)

    current: list[Any] = []
    update = module.Monitor.update

    def updated(self: Any, state: Any, truth: Any = None) -> Any:
        current.append(self)
        try:
            return update(self, state, truth)
        finally:
            current.pop()

    def measured(*given: Any) -> bool:
        size, windows, signals, active, pushed = (
            given[0], given[6], given[7], given[8], given[10],
        )  # fmt: skip
        before = windows.copy(), active.copy()
        whole = original(*given[:11], False)
        windows[:], active[:] = before
        spoil(current[-1])
        if given[11] or not whole:
            move(size, windows, signals, active, pushed and whole)
        return bool(whole)

    if late:
        module.Monitor._measure_more = later  # type: ignore[method-assign]
    else:
        module.Monitor.update = updated  # type: ignore[method-assign]
        module.measure = measured
    assert rule is RULES[kind]


def ignore_age_of_people() -> None:
    """Take every track as if it had just been measured."""
    from physai.safety import monitor as module

    original = module.Monitor._take_in

    def taken(self: Any, state: Any) -> bool:
        whole = original(self, state)
        if whole:
            self._intake.people_age[:] = 0.0
        return whole

    module.Monitor._take_in = taken  # type: ignore[method-assign]


def mutate_demands(what: str) -> None:
    """Take away, or turn round, what the filter holds a command against."""
    from physai.safety import filter as module
    from physai.safety.filter_kernel import BOX_RULES

    original = module.Filter.collect

    def collected(self: Any, state: Any, last: Any) -> None:
        original(self, state, last)
        d = self.demands
        pairs, walls, rows, caps = d.counts.tolist()
        if what == "pair rows off":
            d.limits[:pairs] = 1e6
        elif what == "pair rows turned round":
            d.rows[:pairs] *= -1.0
        elif what == "pair rows at twice the speed":
            d.limits[:pairs] = 2.0 * d.limits[:pairs] + 0.05
        elif what == "walls off":
            own = int(self.monitor.caps.row_count[0])
            d.limits[pairs : pairs + walls - own] = 1e6
        elif what == "gate axis off":
            if self.monitor.gate_exempt:
                d.limits[rows - 1] = 1e6
        elif what == "speed caps off":
            d.caps[: caps - 1] = 1e6
        elif what == "speed caps doubled":
            d.caps[: caps - 1] = 2.0 * d.caps[: caps - 1] + 0.05
        elif what == "tool speed off":
            d.caps[caps - 1] = 1e6
        elif what == "box joint_acceleration":
            # What is neither at an end, nor near a person, nor capped by a section.
            fastest = 0.98 * self.monitor.spec.robot.velocity_max
            free = d.kind == BOX_RULES.index("joint_velocity")
            d.lower[free], d.upper[free] = -fastest[free], fastest[free]
        elif what.startswith("box "):
            for i, kind in enumerate(d.kind.tolist()):
                if kind == BOX_RULES.index(what[4:]):
                    d.lower[i], d.upper[i] = -1e6, 1e6
        else:
            raise AssertionError(what)

    module.Filter.collect = collected  # type: ignore[method-assign]


DEMANDS = (
    "pair rows off",
    "pair rows turned round",
    "pair rows at twice the speed",
    "walls off",
    "gate axis off",
    "speed caps off",
    "speed caps doubled",
    "tool speed off",
    "box joint_position",
    "box joint_velocity",
    "box joint_acceleration",
)


def drop_section_caps(kind: str) -> None:
    """Let a section ask for nothing: its caps, rows and demands on the tool are gone."""
    from physai.safety import monitor as module

    more = module.Monitor._measure_more

    def later(self: Any, state: Any, truth: Any) -> None:
        more(self, state, truth)
        caps = self.caps
        if kind not in caps.kinds:
            return
        own = caps.kinds.index(kind)
        mine = caps.rule == own
        caps.upper[mine], caps.lower[mine], caps.rule[mine] = np.inf, -np.inf, -1
        for place in range(int(caps.row_count[0])):
            if caps.row_rule[place] == own:
                caps.rows[place, :-1], caps.rows[place, -1] = 0.0, 1e6
        if caps.tool_rule == own:
            caps.tool_floor[:], caps.tool_rule = -np.inf, -1

    module.Monitor._measure_more = later  # type: ignore[method-assign]


def mutate_guard(what: str) -> None:
    """Make guard or latch trust what they must not trust."""
    from physai.safety import filter as filter_module
    from physai.safety import guard as module
    from physai.safety import stop
    from physai.types import Action

    if what == "no latch":
        stop.Latch.engage = lambda self, *given: None  # type: ignore[method-assign]
    elif what == "anybody releases":
        release = stop.Latch.release

        def released(self: Any, person: str, stamp_s: float) -> Any:
            return release(self, person.strip() or "nobody", stamp_s)

        stop.Latch.release = released  # type: ignore[method-assign]
    elif what == "a weaker stop replaces a stronger":

        def engage(self: Any, action: Action, rule: str, stamp_s: float) -> None:
            if action.latches:
                self.action, self.rule, self.stamp_s = action, rule, stamp_s

        stop.Latch.engage = engage  # type: ignore[method-assign]
    elif what == "commands unchecked":
        module.Guard._faulty_command = lambda self, command: ""  # type: ignore[method-assign]
    elif what == "clock unchecked":
        certify = module.Guard._certify

        def certified(self: Any, state: Any, command: Any) -> Any:
            self._clock = -np.inf
            return certify(self, state, command)

        module.Guard._certify = certified  # type: ignore[method-assign]
    elif what == "exceptions pass":
        module.Guard.certify = module.Guard._certify  # type: ignore[method-assign]
    elif what == "holds ignored":
        module.Guard._hold = (  # type: ignore[method-assign]
            lambda self, state, command, margins, rule: self._answer(
                command,
                margins,
                self.filter.solve(state, command.actuator_velocity, self._last),
            )
        )
    elif what == "no way back when blocked":
        module.Guard._back_off = lambda self, state: np.zeros(self._n)  # type: ignore[method-assign]
    elif what == "no withdrawal":
        module.Guard._withdraw = lambda self, state: np.zeros(self._n)  # type: ignore[method-assign]
    elif what == "standstill passes the command":
        solve = filter_module.Filter.solve

        def solved(self: Any, state: Any, asked: Any, last: Any) -> Any:
            found = solve(self, state, asked, last)
            if found.outcome == filter_module.Outcome.STANDSTILL:
                found.velocity = np.array(asked, dtype=float)
            return found

        filter_module.Filter.solve = solved  # type: ignore[method-assign]
    elif what == "solver trusted":
        filter_module.check = lambda u, size, buffer: True
    elif what == "tighten loosens":
        from physai.safety.spec import CompiledSpec

        CompiledSpec.tighten = (  # type: ignore[method-assign]
            lambda self, *, reaction_time_s: self
        )
    else:
        raise AssertionError(what)


GUARD = (
    "no latch",
    "anybody releases",
    "a weaker stop replaces a stronger",
    "commands unchecked",
    "clock unchecked",
    "exceptions pass",
    "holds ignored",
    "no way back when blocked",
    "no withdrawal",
    "standstill passes the command",
    "solver trusted",
    "tighten loosens",
)


def mutations() -> Iterator[tuple[str, Callable[[], None]]]:
    """Yield name and effect of every mutation of the rules that are in use."""
    used = {
        rule.rule for name in content.names("safety") for rule in load_spec(name).rules
    }
    for kind in sorted(used):
        for name, change in CHANGES.items():
            yield f"{kind}: {name}", lambda k=kind, c=change: mutate_signal(k, c)
        if kind.endswith("age"):
            yield (
                f"{kind}: age ignored",
                lambda k=kind: mutate_signal(k, lambda value: 0.0 * value),
            )
    yield "separation: age of people ignored", ignore_age_of_people
    for what in DEMANDS:
        yield f"filter: {what}", lambda w=what: mutate_demands(w)
    for kind in sorted(used):
        if RULES[kind].section and kind not in _MEASURED_ONLY:
            yield f"{kind}: section asks nothing", lambda k=kind: drop_section_caps(k)
    for what in GUARD:
        yield f"guard: {what}", lambda w=what: mutate_guard(w)


_MEASURED_ONLY = {
    "lidar_age",
    "load_age",
    "area_intrusion",
    "area_motion",
    "inclination",
    "load_release",
    "load_tilt",
    "plausibility",
    "pose_jump",
    "period_overrun",
    "unexpected_motion",
    "following",
    "joint_jerk",
    "joint_effort",
}
"""Kinds whose section asks nothing of a command in their name."""


def likely_first(name: str, paths: tuple[str, ...]) -> tuple[str, ...]:
    """Return the paths with those first that name what is corrupted."""
    kind = name.partition(":")[0]
    words = [kind]
    if kind in RULES:
        rule = RULES[kind]
        words += [f"Signal.{rule.signal.name}"] if rule.signal is not None else []
        words += [f"sections.{rule.section}"] if rule.section else []

    def mentions(path: str) -> int:
        files = [Path(path)] if path.endswith(".py") else Path(path).rglob("*.py")
        texts = [file.read_text(encoding="utf-8") for file in files]
        return sum(text.count(word) for text in texts for word in words)

    return tuple(sorted(paths, key=lambda path: -mentions(path)))


class _Watcher:
    """Remembers the first test that failed."""

    def __init__(self) -> None:
        self.first = ""

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.failed and not self.first:
            self.first = report.nodeid


def _child(apply: Callable[[], None], paths: tuple[str, ...], answer: Any) -> None:
    apply()
    watcher = _Watcher()
    options = ["-x", "-p", "no:cacheprovider", "--no-header", "--tb=no", "-qq"]
    pytest.main([*options, *paths], plugins=[watcher])
    answer.send(watcher.first)


def run(apply: Callable[[], None], paths: tuple[str, ...]) -> str:
    """Return the first test that fails under a mutation; empty if none does."""
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe(duplex=False)
    child = context.Process(target=_child, args=(apply, paths, theirs))
    child.start()
    theirs.close()
    first = ""
    if ours.poll(_TIME_LIMIT_S):
        try:
            first = ours.recv()
        except EOFError:
            first = "the tests themselves ended"
    else:
        first = "the tests do not end"
    child.terminate()
    child.join()
    return first


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", default="benchmarks/results/mutations.json")
    parser.add_argument("--only", default="", help="mutations whose name contains this")
    parser.add_argument("--list", action="store_true", help="only name them")
    parser.add_argument(
        "--resume", action="store_true", help="keep the killed ones of the file"
    )
    options = parser.parse_args()
    chosen = [each for each in mutations() if options.only in each[0]]
    if options.list:
        print("\n".join(name for name, _ in chosen))
        return
    assert not run(lambda: None, (*QUICK, *FIRST)), (
        "the tests fail without any mutation"
    )
    out, environment = Path(options.out), environment_record()
    rows = []
    if options.resume and out.is_file():
        known = {name for name, _ in mutations()}
        before = json.loads(out.read_text(encoding="utf-8"))["rows"]
        rows = [r for r in before if r["killed_by"] and r["mutation"] in known]
    done = {row["mutation"] for row in rows}
    for name, apply in chosen:
        if name in done:
            continue
        start = time.perf_counter()
        first = (
            run(apply, QUICK)
            or run(apply, likely_first(name, FIRST))
            or run(apply, likely_first(name, REST))
        )
        rows.append(
            {
                "mutation": name,
                "killed_by": first,
                "seconds": round(time.perf_counter() - start, 1),
                "git_revision": environment["git_revision"],
            }
        )
        print(f"{'killed  ' if first else 'SURVIVES'} {name:44s} {first}", flush=True)
        survivors = [row["mutation"] for row in rows if not row["killed_by"]]
        value = {
            "environment": environment,
            "mutations": len(rows),
            "killed": len(rows) - len(survivors),
            "survivors": survivors,
            "rows": rows,
        }
        out.write_text(json.dumps(value, indent=1) + "\n")
    print(f"{len(rows) - len(survivors)} of {len(rows)} killed")


if __name__ == "__main__":
    main()
