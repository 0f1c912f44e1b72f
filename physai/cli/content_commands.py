"""Commands about content: list, init, check."""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from physai import content
from physai.cli.output import add_json, check_writable, print_result
from physai.errors import ContentError, PhysaiError, RefusedError

__all__ = ["register"]

_KINDS = (
    "envs",
    "robots",
    "policies",
    "suites",
    "faults",
    "safety",
    "hardware",
    "train",
)


def register(commands: Any) -> None:
    """Add the commands of this module."""
    parser = commands.add_parser("list", help="what there is, one line each")
    parser.add_argument("kind", nargs="?", choices=_KINDS, help="default: all")
    add_json(parser)
    parser.set_defaults(function=list_content)
    parser = commands.add_parser("init", help="copy the site to start one's own")
    parser.add_argument("folder", help="a new or empty folder")
    add_json(parser)
    parser.set_defaults(function=init_site)
    parser = commands.add_parser("check", help="validate content files")
    parser.add_argument(
        "paths",
        nargs="*",
        help="files, folders of robots, hardware or policies, or a whole site; "
        "default: the site in use",
    )
    parser.add_argument(
        "--schema", metavar="DIR", help="write JSON Schemas for editors"
    )
    add_json(parser)
    parser.set_defaults(function=check_content)


def list_content(options: argparse.Namespace) -> int:
    """``physai list [kind]``."""
    kinds = [options.kind] if options.kind else list(_KINDS)
    found: dict[str, dict[str, str]] = {}
    lines: list[str] = []
    for kind in kinds:
        entries = {
            name: _title(kind, path) for name, path in content.names(kind).items()
        }
        if kind == "envs":
            from physai.tasks.registry import ENVIRONMENTS

            by_name = {name: env for env, name in ENVIRONMENTS.items()}
            entries = {
                by_name.get(name, name): title for name, title in entries.items()
            }
        found[kind] = entries
        if not options.kind:
            lines.append(f"{kind}:")
        lines.extend(
            f"{'' if options.kind else '  '}{name:34s} {title}"
            for name, title in entries.items()
        )
    print_result(options, found[options.kind] if options.kind else found, lines)
    return 0


def _title(kind: str, path: Path) -> str:
    if kind == "policies":
        card = path / "card.md"
        return card.read_text().splitlines()[0].lstrip("# ") if card.is_file() else ""
    file = {"robots": path / "robot.yaml", "hardware": path / "bridge.yaml"}.get(
        kind, path
    )
    value = content.load_yaml(file)
    if kind == "train":
        return f"{value.get('algorithm')} on {value.get('environment')}"
    if kind == "hardware":
        return f"robot {value.get('robot')} at {value.get('url')}"
    title = value.get("title", "")
    return str(title.get("en", "") if isinstance(title, dict) else title)


def init_site(options: argparse.Namespace) -> int:
    """``physai init DIR``."""
    target = Path(options.folder)
    if target.exists() and not target.is_dir():
        raise ContentError(f"{target}: is a file; a site starts in a new folder")
    if target.exists() and any(target.iterdir()):
        raise RefusedError(f"{target}: is not empty; a site starts in a new folder")
    source = content.site()
    try:
        target.mkdir(parents=True, exist_ok=True)
        for name in content.FOLDERS:
            shutil.copytree(source / name, target / name)
    except OSError as error:
        raise ContentError(f"{target}: cannot be written ({error.strerror})") from None
    print_result(
        options,
        {"site": str(target), "folders": list(content.FOLDERS)},
        [
            f"{target}: a site with {', '.join(content.FOLDERS)}; use it with "
            f"--content {target}"
        ],
    )
    return 0


def _checkers() -> dict[str, tuple[Callable[[Path], Any], Any]]:
    from physai.evaluation.fault_matrix import FaultMatrixConfig, load_matrix
    from physai.evaluation.suite import SuiteConfig, load_suite
    from physai.plant.ros import BridgeConfig, load_bridge
    from physai.robot.description import RobotConfig, load_robot
    from physai.safety.spec import SafetySpec, load_spec
    from physai.tasks.environment import EnvironmentConfig, read_environment
    from physai.training.config import TrainConfig

    return {
        "envs": (read_environment, EnvironmentConfig),
        "robots": (lambda path: load_robot(str(path)), RobotConfig),
        "safety": (lambda path: load_spec(str(path)), SafetySpec),
        "suites": (lambda path: load_suite(str(path)), SuiteConfig),
        "faults": (lambda path: load_matrix(str(path)), FaultMatrixConfig),
        "hardware": (lambda path: load_bridge(str(path)), BridgeConfig),
        "train": (_check_train, TrainConfig),
        "policies": (_check_bundle, None),
        "governance": (_check_governance, None),
    }


def _check_train(path: Path) -> Any:
    from physai.config import parse
    from physai.training.config import TrainConfig, read_training, with_schedules

    try:
        from physai.training.train import load_config
    except ModuleNotFoundError:
        # Without the extra there is no learner to ask.
        pass
    else:
        return load_config(str(path), [])
    config = parse(TrainConfig, read_training(path), str(path))
    with_schedules(config.hyperparameters)
    return config


def _check_governance(path: Path) -> Any:
    from physai.governance.case import load_case
    from physai.governance.risks import assess_risks, load_register
    from physai.record.signature import trusted_keys

    value = content.load_yaml(path)
    if "keys" in value:
        return trusted_keys(own=False)
    if "nodes" in value:
        return load_case(str(path))
    return assess_risks(load_register(str(path)))


def _check_bundle(path: Path) -> Any:
    from physai.policy.bundle import verify_bundle

    return verify_bundle(path)


def check_content(options: argparse.Namespace) -> int:
    """``physai check [PATH ...]``: 0 if all is well, 2 otherwise."""
    checkers = _checkers()
    if options.schema:
        return _write_schemas(check_writable(options.schema, "--schema"), checkers)
    places: list[tuple[str, Path]] = []
    for given in map(Path, options.paths):
        if all((given / name).is_dir() for name in content.FOLDERS):
            content.use_site(given)
            places += _everything(checkers)
        else:
            places.append((_kind_of(given), given))
    if not options.paths:
        places = _everything(checkers)
    results = []
    for kind, path in places:
        try:
            checkers[kind][0](path)
            results.append({"path": str(path), "ok": True, "error": ""})
        except PhysaiError as error:
            results.append({"path": str(path), "ok": False, "error": str(error)})
    lines = [
        f"{'ok   ' if r['ok'] else 'WRONG'} {r['path'] if r['ok'] else r['error']}"
        for r in results
    ]
    print_result(options, results, lines)
    return 0 if all(r["ok"] for r in results) else 2


def _everything(kinds: Iterable[str]) -> list[tuple[str, Path]]:
    return [(kind, path) for kind in kinds for path in content.names(kind).values()]


def _kind_of(path: Path) -> str:
    if not path.exists():
        raise ContentError(f"{path}: there is no such file or folder")
    if path.is_dir():
        for marker, kind in (
            ("robot.yaml", "robots"),
            ("bridge.yaml", "hardware"),
            ("manifest.json", "policies"),
        ):
            if (path / marker).is_file():
                return kind
        raise ContentError(
            f"{path}: holds no robot.yaml, bridge.yaml or manifest.json and is no site"
        )
    if path.name == "bridge.yaml":
        return "hardware"
    value = content.load_yaml(path)
    for key, kind in (
        ("task", "envs"),
        ("rules", "safety"),
        ("cases", "suites"),
        ("situations", "faults"),
        ("algorithm", "train"),
        ("extends", "train"),
        ("nodes", "governance"),
        ("rows", "governance"),
        ("keys", "governance"),
    ):
        if key in value:
            return kind
    raise ContentError(f"{path}: is not a piece of content that this version knows")


def _write_schemas(folder: Path, checkers: dict[str, tuple[Any, Any]]) -> int:
    import json

    from physai.config import json_schema

    for kind, (_, model) in checkers.items():
        if model is not None:
            (folder / f"{kind}.schema.json").write_text(
                json.dumps(json_schema(model), indent=2)
            )
    print(
        f"{folder}: JSON Schemas of {', '.join(k for k, v in checkers.items() if v[1])}"
    )
    return 0
