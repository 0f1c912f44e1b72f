"""Commands about what is kept: keys, verify, convert."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from physai.cli.output import add_json, print_result
from physai.errors import ContentError, RecordError

__all__ = ["register"]


def register(commands: Any) -> None:
    """Add the commands of this module."""
    parser = commands.add_parser(
        "keys", help="create, list, export or trust signing keys"
    )
    parser.add_argument("action", choices=("create", "list", "export", "trust"))
    parser.add_argument(
        "name",
        nargs="?",
        default="default",
        help="of the key; for trust, a file with an exported key",
    )
    add_json(parser)
    parser.set_defaults(function=keys)
    parser = commands.add_parser(
        "verify", help="verify a bundle, ledger, evaluation or data set"
    )
    parser.add_argument("path", help="folder or .zip of a bundle, .jsonl, folder")
    add_json(parser)
    parser.set_defaults(function=verify)
    parser = commands.add_parser("convert", help="data sets for others' tools")
    parser.add_argument("episodes", help="an episode, or a folder of episodes")
    parser.add_argument("--to", required=True, choices=("mcap", "lerobot", "minari"))
    parser.add_argument("--out", metavar="DIR")
    add_json(parser)
    parser.set_defaults(function=convert)


def keys(options: argparse.Namespace) -> int:
    """``physai keys create|list|export|trust``."""
    from physai.record import signature

    if options.action == "create":
        key = signature.create_key(options.name)
        print_result(
            options,
            {"id": key.id, "name": options.name},
            [f"key {options.name} ({key.id}) in {signature.keys_folder()}"],
        )
    elif options.action == "list":
        found = signature.list_keys()
        lines = [
            f"{key['name']:20s} {key['id']}  for {', '.join(key['purpose'])}; "
            + ("trusted by this site" if key["trusted"] else "not trusted by this site")
            + (f"; private half in {key['own']}" if key["own"] else "")
            for key in found
        ]
        print_result(options, found, lines or ["no keys; make one: physai keys create"])
    elif options.action == "export":
        print(json.dumps(signature.export_key(options.name), indent=2, default=str))
    else:
        file = signature.trust_key(_public_key(options.name))
        print_result(options, {"trusted": str(file)}, [f"trusted: {file}"])
    return 0


def _public_key(name: str) -> Any:
    """Return an exported key from a file, or the public half of an own key."""
    from physai.record import signature

    file = Path(name)
    if not file.is_file():
        if "/" in name or file.suffix:
            raise ContentError(f"{file}: there is no such file")
        return signature.export_key(name)
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        value = None
    if not isinstance(value, dict):
        raise ContentError(f"{file}: is not a key written by physai keys export")
    return value


def verify(options: argparse.Namespace) -> int:
    """``physai verify PATH``: 0 if all is as it was written and signed.

    An unfinished last line of a ledger, as a power cut leaves it, is 1; whatever was
    altered is refused.
    """
    path = Path(options.path)
    if not path.exists():
        raise ContentError(f"{path}: there is no such file or folder")
    if path.suffix == ".jsonl":
        return _verify_ledger(options, path)
    if path.suffix == ".zip" or (path / "manifest.json").is_file():
        return _verify_bundle(options, path)
    if (path / "bundle" / "manifest.json").is_file():
        return _verify_bundle(options, path / "bundle")
    if (path / "verdict.json").is_file():
        return _verify_evaluation(options, path)
    if (path / "ledger.jsonl").is_file():
        return _verify_ledger(options, path / "ledger.jsonl")
    if (path / "dataset.json").is_file():
        from physai.record.dataset import verify_dataset

        manifest = verify_dataset(path)
        print_result(options, manifest.model_dump(mode="json"), [f"{path}: verified"])
        return 0
    raise RecordError(
        f"{path}: is nothing that can be verified: a bundle (manifest.json), a ledger "
        "(.jsonl), an evaluation (verdict.json) or a data set (dataset.json)"
    )


def _verify_ledger(options: argparse.Namespace, path: Path) -> int:
    from physai.record.ledger import verify_ledger
    from physai.record.signature import trusted_keys

    report = verify_ledger(path, trusted_keys())
    if not report.ok and not report.torn and not options.json:
        raise RecordError(report.sentence)
    print_result(options, report.to_json(), [report.sentence])
    return 0 if report.ok else 1 if report.torn else 2


def _verify_bundle(options: argparse.Namespace, path: Path) -> int:
    from physai.policy.bundle import verify_bundle

    summary = verify_bundle(path)
    lines = [f"  {key}: {_short(value)}" for key, value in summary.items()]
    print_result(options, summary, [f"{path}: verified", *lines])
    return 0


def _verify_evaluation(options: argparse.Namespace, path: Path) -> int:
    """Judge the stored episodes again; the stored verdict must come out of them."""
    from physai.evaluation import read_verdict
    from physai.evaluation.scoring import rejudge

    stored = read_verdict(path)
    # Through JSON, so that both hold lists where Python has tuples.
    again = json.loads(json.dumps(asdict(rejudge(path))))
    wrong = [name for name, value in asdict(stored).items() if value != again[name]]
    if wrong:
        raise RecordError(
            f"{path}: the stored verdict does not follow from the episodes; "
            f"{', '.join(wrong)} differ"
        )
    total = sum(stored.table.values())
    print_result(
        options,
        {"ok": True, "episodes": total, "overall": stored.overall},
        [f"{path}: the verdict follows from its {total} episodes: {stored.overall}"],
    )
    return 0


def _short(value: Any) -> str:
    """Return a value for one line."""
    if isinstance(value, list | tuple):
        return f"{len(value)} entries" if len(value) > 6 else ", ".join(map(str, value))
    if isinstance(value, dict):
        return ", ".join(f"{key} {_short(item)}" for key, item in value.items())
    return str(value)


def convert(options: argparse.Namespace) -> int:
    """``physai convert EPISODES --to FORMAT``."""
    from physai.record.dataset import convert_episodes

    out = Path(options.out or f"{Path(options.episodes).name}_{options.to}")
    made = convert_episodes(options.episodes, out, options.to)
    lines = [
        f"{made['path']}: {made['episodes']} episodes, {made['steps']} steps as "
        f"{made['format']}",
        str(made.get("note", "")),
    ]
    print_result(options, made, [line for line in lines if line])
    return 0
