"""The files of a verdict: ``verdict.json`` and ``junit.xml``."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

from physai.errors import RecordError
from physai.evaluation.verdict import PASS, rule_sentence
from physai.types import Verdict

__all__ = ["SCHEMA", "read_verdict", "write_junit", "write_verdict"]

SCHEMA = "physai/verdict/1"


def write_verdict(verdict: Verdict, path: Path) -> Path:
    """Write ``verdict.json``; equal evidence gives an equal file, byte for byte."""
    value = {
        "schema": SCHEMA,
        **{key: verdict.digests.get(key, "") for key in _DIGESTS},
        "overall": verdict.overall,
        "rules": verdict.rules,
        "table": verdict.table,
        "groups": verdict.groups,
        "digests": verdict.digests,
        "metrics": verdict.metrics,
    }
    text = json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise RecordError(f"{path}: cannot be written ({error.strerror})") from None
    return path


_DIGESTS = ("policy", "environment", "guard", "suite")


def read_verdict(path: Path) -> Verdict:
    """Read ``verdict.json``, or that of an evaluation folder.

    Raises:
        RecordError: If there is none, or it is damaged or of another schema.
    """
    file = path / "verdict.json" if path.is_dir() else path
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
        if value["schema"] != SCHEMA:
            raise RecordError(
                f'{file}: has the schema "{value["schema"]}", this version reads '
                f'"{SCHEMA}"'
            )
        return Verdict(
            overall=value["overall"],
            rules=value["rules"],
            table=value["table"],
            groups=value["groups"],
            digests=value["digests"],
            metrics=value["metrics"],
        )
    except OSError as error:
        raise RecordError(f"{file}: cannot be read ({error.strerror})") from None
    except (ValueError, KeyError, TypeError):
        raise RecordError(f"{file}: is not a verdict of physai") from None


def write_junit(verdict: Verdict, path: Path) -> Path:
    """Write the verdict for a continuous-integration server: one test per rule."""
    names = verdict.metrics["names"]
    entries = {k: v for k, v in verdict.rules.items() if v["kind"] == "hard"}
    suite = ElementTree.Element("testsuite", name=f"physai.{names.get('suite', '')}")
    failures = 0
    for rule, entry in entries.items():
        test = ElementTree.SubElement(
            suite, "testcase", classname="physai.rules", name=rule
        )
        if entry["verdict"] != PASS:
            failures += 1
            sentence = rule_sentence(rule, entry)
            ElementTree.SubElement(
                test, "failure", type=entry["verdict"], message=sentence
            )
    overall = ElementTree.SubElement(
        suite, "testcase", classname="physai.suite", name="overall"
    )
    if verdict.overall != PASS:
        failures += 1
        ElementTree.SubElement(
            overall,
            "failure",
            type=verdict.overall,
            message=" ".join(verdict.metrics["reasons"]),
        )
    suite.set("tests", str(len(entries) + 1))
    suite.set("failures", str(failures))
    ElementTree.indent(suite)
    path.write_text(
        ElementTree.tostring(suite, encoding="unicode", xml_declaration=True) + "\n",
        encoding="utf-8",
    )
    return path
