"""`python -m ops up|preview|destroy`: one engine command on one stack, with everything it needs started before it.

Where the stack names a kubeconfig the embedded platform is not touched.
"""

from __future__ import annotations

import argparse
import glob
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from ops.engine import Engine, EngineError, environment

FAILED, USAGE = 1, 2
KUBECONFIG = "modelstack:cluster"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    parser.add_argument("--stack", default="dev", help="default: dev")
    parser.add_argument("--yes", action="store_true", help="do not ask; the embedded platform's stacks never ask")
    parser.add_argument("rest", nargs="*", metavar="ARGUMENT", help="after `--`: further arguments of `pulumi`")


def command(name: str) -> Callable[[argparse.Namespace], int]:
    """Return what runs the engine's command `name`; its exit code is the engine's."""
    return partial(_run, name)


def _run(name: str, arguments: argparse.Namespace) -> int:
    project = Path.cwd()
    try:
        embedded = is_embedded(project, arguments.stack)
        code = _local(project, "up") if embedded and name != "destroy" else 0
        if code:
            return code
        own = environment(project)
        engine = Engine(project, arguments.stack, own)
        if name == "destroy" and not exists(engine):
            print(f"stack {arguments.stack!r} does not exist: nothing to destroy", flush=True)
            return 0
        _create_if_missing(engine)
        code = _pulumi(engine, name, yes=embedded or arguments.yes, rest=arguments.rest)
        if name == "destroy" and code == 0 and embedded:
            engine.run("stack", "rm", arguments.stack, "--yes", "--preserve-config")
            forget(engine)
            code = _local(project, "collect")
    except EngineError as error:
        print(f"error: {error}", file=sys.stderr)
        return FAILED
    return code


def is_embedded(project: Path, stack: str) -> bool:
    """Tell whether a stack runs on the embedded platform: its configuration names no kubeconfig. Raises EngineError."""
    path = project / f"Pulumi.{stack}.yaml"
    try:
        document: Any = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (OSError, yaml.YAMLError) as error:
        said = " ".join(str(error).split())
        raise EngineError(f"{path.name}: cannot be read ({said}); write it, or name another stack") from error
    config = document.get("config") if isinstance(document, dict) else None
    cluster = config.get(KUBECONFIG) if isinstance(config, dict) else None
    return not (isinstance(cluster, dict) and cluster.get("kubeconfig"))


def exists(engine: Engine) -> bool:
    """Tell whether the backend knows the stack."""
    listed = json.loads(engine.run("stack", "ls", "--json"))
    return any(one["name"].rpartition("/")[2] == engine.stack for one in listed)


def forget(engine: Engine) -> None:
    """Remove what a backend in a folder keeps of a stack that was removed: backups, history, its joined settings."""
    url = engine.environment.get("PULUMI_BACKEND_URL", "")
    if not url.startswith("file://"):
        return
    backend, project, stack = Path(url.removeprefix("file://")).expanduser(), engine.project_name, engine.stack
    for kept in ("backups", "history"):
        shutil.rmtree(backend / ".pulumi" / kept / project / stack, ignore_errors=True)
    files = [backend / "config" / project / f"Pulumi.{stack}.yaml"]
    files += (backend / ".pulumi" / "stacks" / project).glob(f"{glob.escape(stack)}.json*")
    for file in files:
        file.unlink(missing_ok=True)


def _create_if_missing(engine: Engine) -> None:
    # The wrapper of a local state creates the stack itself, with its salt kept out of the checkout.
    if engine.environment.get("PULUMI_BACKEND_URL", "").startswith("file://") or exists(engine):
        return
    engine.run("stack", "init", engine.stack)


def _local(project: Path, command: str) -> int:
    return subprocess.run([sys.executable, "-m", "local", command], cwd=project, check=False).returncode


def _pulumi(engine: Engine, name: str, *, yes: bool, rest: list[str]) -> int:
    path = engine.environment.get("PATH", "")
    program = shutil.which("pulumi", path=path)
    if program is None:
        raise EngineError("pulumi: is not on PATH; install it, or build it with `python -m local up`")
    asking = ["--yes"] if yes and name != "preview" else []
    arguments = [program, name, "--stack", engine.stack, *asking, *rest]
    return subprocess.run(arguments, cwd=engine.project, env=dict(engine.environment), check=False).returncode
