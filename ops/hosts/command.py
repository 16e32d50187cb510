"""`python -m ops hosts render`: an Ansible inventory and playbook that make the stack's cluster (docs/hosts.md)."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import settings
from ops.engine import EngineError, document, own_settings
from ops.hosts.render import HEADER, INVENTORY, PLAYBOOK, rendered
from settings import SettingsError

DONE, FAILED, DIFFERS = 0, 1, 3


class HostsError(Exception):
    """The files cannot be rendered; the message is one line and says what to do."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the subcommands."""
    commands = parser.add_subparsers(dest="hosts", required=True, metavar="COMMAND")
    text = "write the inventory and the playbook of the stack's hosts"
    own = commands.add_parser("render", help=text, description=text)
    own.add_argument("stack", metavar="STACK")
    own.add_argument("--out", type=Path, required=True, metavar="DIR", help="a folder of its own")
    own.add_argument("--check", action="store_true", help="write nothing; tell what of DIR is not as rendered")
    own.add_argument("--json", action="store_true", help="print one JSON object")
    own.epilog = "Exit codes: 0 done, or DIR is as rendered; 1 cannot be rendered; 3 with --check: it differs."


def run(arguments: argparse.Namespace) -> int:
    """Run the command; returns 0, 1 where nothing can be rendered, 3 where --check finds a difference."""
    folder: Path = arguments.out
    try:
        files = files_of(Path.cwd(), arguments.stack)
        _require_own(folder)
        differing = [name for name, text in files.items() if _read(folder / name) != text]
        if not arguments.check:
            _write(folder, {name: files[name] for name in differing})
    except (EngineError, HostsError, SettingsError) as error:
        print(f"error: {error}", file=sys.stderr)
        return FAILED
    except OSError as error:
        print(f"error: --out: {error.filename}: {error.strerror}; name a folder that can be written", file=sys.stderr)
        return FAILED
    _tell(arguments, files, differing)
    return DIFFERS if arguments.check and differing else DONE


def files_of(project: Path, stack: str) -> dict[str, str]:
    """Return the files of a stack by their paths. Raises HostsError, EngineError, SettingsError."""
    chosen = settings.load(own_settings(project, stack), project, stack)
    kubeconfig = chosen.cluster.kubeconfig
    if chosen.hosts is None or kubeconfig is None:
        raise HostsError(f"Pulumi.{stack}.yaml: modelstack:hosts: is not set; name the hosts (docs/hosts.md)")
    name = document(project / "Pulumi.yaml").get("name") or "modelstack"
    return rendered(chosen.hosts, kubeconfig, f"{name}-{stack}")


def _require_own(folder: Path) -> None:
    found = _read(folder / PLAYBOOK)
    if found is not None and not found.startswith(HEADER):
        raise HostsError(f"--out: {folder / PLAYBOOK} was not rendered; name a folder of its own")


def _read(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.is_file() else None


def _write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def _tell(arguments: argparse.Namespace, files: dict[str, str], differing: list[str]) -> None:
    folder = arguments.out
    if arguments.json:
        print(json.dumps({"folder": str(folder), "files": sorted(files), "differing": sorted(differing)}))
        return
    if arguments.check:
        print("\n".join(f"{folder / name}: is not as rendered" for name in differing) or f"{folder}: is as rendered")
        return
    print(f"{folder}: {len(files)} files, {len(differing)} of them written")
    print(f"ansible-playbook --inventory {folder / INVENTORY} {folder / PLAYBOOK}")
