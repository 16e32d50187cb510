"""`pulumi` for stacks whose state lies in a folder: keeps their encryption salts out of the checkout.

The engine writes a passphrase stack's `encryptionsalt` into the project's Pulumi.<stack>.yaml, where it would make
every clone dirty. It takes another file with `--config-file`, so that this wrapper gives it the checkout's file and
the salt, which the state knows too, joined in a file beside the state. Every other call passes through untouched.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

CONFIGURED = frozenset(
    ["up", "update", "preview", "pre", "refresh", "destroy", "down", "dn", "watch", "import", "logs"]
)
CREATING = frozenset(["up", "update", "preview", "pre"])
VALUED = frozenset(
    ["-C", "--cwd", "--color", "--tracing", "--otel-traces", "--profiling", "-v", "--verbose", "--memprofilerate"]
)
OWN_ENCRYPTION = frozenset(["encryptionsalt", "secretsprovider", "encryptedkey"])


@dataclass(frozen=True)
class Call:
    """What a command line asks of the engine."""

    position: int  # of the command among the arguments
    command: str
    stack: str  # empty: the selected one
    folder: Path


def _option(arguments: Sequence[str], short: str, long: str) -> str:
    for index, argument in enumerate(arguments):
        if argument in {short, long} and index + 1 < len(arguments):
            return arguments[index + 1]
        if argument.startswith(f"{long}="):
            return argument.partition("=")[2]
    return ""


def parse(arguments: Sequence[str], environment: Mapping[str, str]) -> Call | None:
    """Return the call, or None where the engine needs no configuration file or has one."""
    index = 0
    while index < len(arguments) and arguments[index].startswith("-"):
        index += 2 if arguments[index] in VALUED else 1
    if index >= len(arguments) or arguments[index] not in CONFIGURED or {"-h", "--help"} & {*arguments}:
        return None
    own = "PULUMI_OPTION_CONFIG_FILE" in environment or _option(arguments, "", "--config-file")
    if own:
        return None
    folder = Path(_option(arguments, "-C", "--cwd") or ".").absolute()
    stack = _option(arguments, "-s", "--stack") or environment.get("PULUMI_STACK", "")
    return Call(index, arguments[index], stack.rpartition("/")[2], folder)


def project_file(folder: Path) -> Path | None:
    """Return the Pulumi.yaml that rules a folder."""
    return next((path / "Pulumi.yaml" for path in (folder, *folder.parents) if (path / "Pulumi.yaml").is_file()), None)


def state_folder(environment: Mapping[str, str]) -> Path | None:
    """Return the folder of a `file://` backend."""
    url = environment.get("PULUMI_BACKEND_URL", "")
    return Path(url.removeprefix("file://")).expanduser() if url.startswith("file://") else None


def salt_of(state: Path) -> str:
    """Return the salt a stack's state was encrypted with, empty where there is none."""
    try:
        document = json.loads(state.read_text(encoding="utf-8"))
        provider = document["checkpoint"]["latest"]["secrets_providers"]
        return str(provider["state"]["salt"]) if provider["type"] == "passphrase" else ""
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def joined(project: Path, stack: str, salt: str, target: Path) -> bool:
    """Write the checkout's configuration with a salt to a file; False where it has an encryption of its own."""
    source = project.parent / f"Pulumi.{stack}.yaml"
    text = source.read_text(encoding="utf-8") if source.is_file() else ""
    try:
        document = yaml.safe_load(text) or {}
    except yaml.YAMLError:
        return False  # the engine says what is wrong with it
    if not isinstance(document, dict) or OWN_ENCRYPTION & set(document):
        return False
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with tempfile.NamedTemporaryFile("w", dir=target.parent, suffix=".yaml", delete=False, encoding="utf-8") as file:
        file.write(yaml.safe_dump({**document, "encryptionsalt": salt}, sort_keys=False))
    Path(file.name).replace(target)
    return True


def create_stack(engine: str, project: Mapping[str, Any], stack: str, environment: Mapping[str, str]) -> None:
    """Create a stack from a folder that is thrown away, since the engine writes the new salt beside Pulumi.yaml."""
    with tempfile.TemporaryDirectory(prefix="pulumi-stack-") as folder:
        Path(folder, "Pulumi.yaml").write_text(yaml.safe_dump({"name": project["name"], "runtime": "python"}))
        command = [engine, "stack", "init", stack, "--non-interactive", "--cwd", folder]
        done = subprocess.run(command, env=dict(environment), capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.stderr.write(done.stderr or done.stdout)
        sys.exit(done.returncode)


def selected_stack(engine: str, folder: Path, environment: Mapping[str, str]) -> str:
    """Return the stack the user has selected, empty where there is none."""
    command = [engine, "stack", "--show-name", "--non-interactive", "--cwd", str(folder)]
    done = subprocess.run(command, env=dict(environment), capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""


def created(engine: str, arguments: Sequence[str], environment: Mapping[str, str]) -> list[str] | None:
    """Create the stack of a plain `stack init NAME` with a state in a folder; return what selects it, else None."""
    match _without_manner(arguments):
        case ["stack", "init", name] if not name.startswith("-"):
            where = Path()
        case ["stack", "init", name, "-C" | "--cwd", folder] if not name.startswith("-"):
            where = Path(folder)
        case _:
            return None
    project = project_file(where.absolute())
    if state_folder(environment) is None or project is None:
        return None
    create_stack(engine, yaml.safe_load(project.read_text(encoding="utf-8")), name, environment)
    return ["stack", "select", name, "--cwd", str(where)]


def _without_manner(arguments: Sequence[str]) -> list[str]:
    """Return the arguments without those that say how the engine speaks."""
    found = [one for one in arguments if one != "--non-interactive" and not one.startswith("--color=")]
    at = found.index("--color") if "--color" in found else len(found)
    return found[:at] + found[at + 2 :]


def arguments_for(engine: str, arguments: Sequence[str], environment: Mapping[str, str]) -> list[str]:
    """Return the engine's arguments, with a configuration file where the stack's state lies in a folder."""
    selecting = created(engine, arguments, environment)
    if selecting is not None:
        return selecting
    unchanged = list(arguments)
    call, backend = parse(arguments, environment), state_folder(environment)
    project = project_file(call.folder) if call else None
    if call is None or backend is None or project is None:
        return unchanged
    stack = call.stack or selected_stack(engine, call.folder, environment)
    document = yaml.safe_load(project.read_text(encoding="utf-8"))
    if not stack or not isinstance(document, dict) or not document.get("name"):
        return unchanged
    state = backend / ".pulumi" / "stacks" / document["name"] / f"{stack}.json"
    if not state.is_file() and call.command in CREATING:
        create_stack(engine, document, stack, environment)
    salt, target = salt_of(state), backend / "config" / document["name"] / f"Pulumi.{stack}.yaml"
    if not salt or not joined(project, stack, salt, target):
        return unchanged
    after = call.position + 1
    return [*arguments[:after], "--config-file", str(target), *arguments[after:]]


def next_engine(own: Path, environment: Mapping[str, str]) -> str:
    """Return the `pulumi` that follows this wrapper on PATH; exit where there is none."""
    folders = environment.get("PATH", "").split(os.pathsep)
    others = [folder for folder in folders if folder and Path(folder).resolve() != own.resolve()]
    found = shutil.which("pulumi", path=os.pathsep.join(others))
    if not found:
        sys.exit("pulumi: no engine on PATH behind this wrapper; run `python -m local up`, or install the Pulumi CLI")
    return found


def main() -> None:
    """Become the engine; the first argument is the folder of this wrapper."""
    own, arguments = Path(sys.argv[1]), sys.argv[2:]
    engine = next_engine(own, os.environ)
    os.execv(engine, [engine, *arguments_for(engine, arguments, os.environ)])  # noqa: S606 - becomes the engine


if __name__ == "__main__":
    main()
