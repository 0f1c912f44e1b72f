"""Commands about what is kept: keys, verify, convert."""

from __future__ import annotations

import argparse
import json
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
    parser.add_argument(
        "action", choices=("create", "list", "export", "trust"), metavar="action"
    )
    parser.add_argument(
        "name",
        nargs="?",
        default="default",
        help="of the key; for trust, a file with an exported key",
    )
    add_json(parser)
    parser.set_defaults(function=keys)
    parser = commands.add_parser("verify", help="verify a bundle, ledger or data set")
    parser.add_argument("path")
    add_json(parser)
    parser.set_defaults(function=verify)
    parser = commands.add_parser("convert", help="data sets for others' tools")
    parser.add_argument("episodes")
    parser.add_argument(
        "--to", required=True, choices=("mcap", "lerobot", "minari"), metavar="format"
    )
    parser.add_argument("--out", metavar="DIR")
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
        print_result(
            options, found, [f"{k['name']}  {k}" for k in found] or ["no keys"]
        )
    elif options.action == "export":
        print(json.dumps(signature.export_key(options.name), indent=2, default=str))
    else:
        file = Path(options.name)
        public = (
            json.loads(file.read_text())
            if file.is_file()
            else signature.export_key(options.name)
        )
        print(f"trusted: {signature.trust_key(public)}")
    return 0


def verify(options: argparse.Namespace) -> int:
    """``physai verify PATH``: 0 if every byte is as signed, 1 for a broken ledger."""
    path = Path(options.path)
    if not path.exists():
        raise ContentError(f"{path}: there is no such file or folder")
    if path.suffix == ".jsonl":
        from physai.record.ledger import verify_ledger
        from physai.record.signature import trusted_keys

        report = verify_ledger(path, trusted_keys())
        print_result(options, report.to_json(), [report.sentence])
        return 0 if report.ok else 1
    if path.suffix == ".zip" or (path / "manifest.json").is_file():
        from physai.policy.bundle import verify_bundle

        summary = verify_bundle(path)
        print_result(
            options,
            summary,
            [
                f"{path}: verified",
                *(f"  {key}: {value}" for key, value in summary.items()),
            ],
        )
        return 0
    if path.is_dir():
        from physai.record.dataset import verify_dataset

        manifest = verify_dataset(path)
        print_result(options, manifest.model_dump(mode="json"), [f"{path}: verified"])
        return 0
    raise RecordError(f"{path}: is neither a bundle, a ledger (.jsonl) nor a data set")


def convert(options: argparse.Namespace) -> int:
    """``physai convert EPISODES --to FORMAT``."""
    from physai.record.dataset import convert_episodes

    out = Path(options.out or f"{Path(options.episodes).name}_{options.to}")
    print(convert_episodes(options.episodes, out, options.to))
    return 0
