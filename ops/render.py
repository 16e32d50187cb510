"""`python -m ops render`: a stack as plain Kubernetes YAML, for GitOps, kustomize and Helm.

Of a stack that is up the state's inputs are rendered, so what the last `up` applied; of another, or with
`--from preview`, what `up` would apply now.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ops.engine import Engine, EngineError, environment, resources
from ops.manifests import HEADER, KUSTOMIZATION, Object, Rendered, RenderError, render
from ops.stack import exists
from ops.streamed import events
from provider import definitions
from provider.errors import ProviderError

DONE, FAILED, DIFFERS = 0, 1, 3
STATE, PREVIEW = "state", "preview"
KUBERNETES, DEFINITIONS = "kubernetes:", "modelstack:index:Definitions"
PRIVATE = 0o600

Resource = Mapping[str, Any]


def objects(project: Path, found: Iterable[Resource]) -> Iterator[Object]:
    """Yield the Kubernetes objects among resources, with the kinds that Definitions adds. Raises RenderError."""
    for one in found:
        inputs = one.get("inputs") or {}
        if str(one["type"]).startswith(KUBERNETES):
            yield dict(inputs)
        elif one["type"] == DEFINITIONS:
            try:
                yield from definitions.read(project, inputs["source"], inputs["sha256"])
            except ProviderError as error:
                raise RenderError(str(error)) from error


def of_state(engine: Engine, *, secrets: bool) -> list[Resource]:
    """Return the resources of a stack's state; none of a stack that was never up. Raises EngineError."""
    if not exists(engine):
        return []
    state = engine.export(secrets=secrets)
    return [one for one in resources(state) if one.get("custom") and not one.get("delete")]


def of_preview(engine: Engine) -> list[Resource]:
    """Return the resources that `up` would leave; raises EngineError."""
    found = events(engine, "preview")
    steps = [one["resourcePreEvent"]["metadata"] for one in found if "resourcePreEvent" in one]
    planned = {step["urn"]: step["new"] for step in steps if step.get("new")}
    return [one for one in planned.values() if one.get("custom")]


def write(rendered: Rendered, folder: Path) -> None:
    """Write the files, and remove those of a rendering before that are no more. Raises RenderError, OSError."""
    stale = _before(folder) - set(rendered.files)
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in rendered.files.items():
        path = folder / name
        if name in rendered.in_clear:
            path.touch(mode=PRIVATE)
            path.chmod(PRIVATE)
        path.write_text(text, encoding="utf-8")
    for name in stale:
        (folder / name).unlink(missing_ok=True)


def differences(rendered: Rendered, folder: Path) -> list[str]:
    """Return what of a folder is not as it is rendered, a line each; files of others do not count. Raises OSError."""
    lines = [f"{name}: would not be there" for name in sorted(_before(folder) - set(rendered.files))]
    for name, text in rendered.files.items():
        path = folder / name
        if not path.is_file():
            lines.append(f"{name}: is missing")
        elif path.read_text(encoding="utf-8") != text:
            lines.append(f"{name}: differs")
    return sorted(lines)


def _before(folder: Path) -> set[str]:
    """Return the files that a rendering before has written there."""
    path = folder / KUSTOMIZATION
    if not path.is_file():
        return set()
    text = path.read_text(encoding="utf-8")
    if not text.startswith(HEADER):
        raise RenderError(f"--output: {path} was not rendered; name a folder of its own")
    listed = (line.removeprefix("- ") for line in text.splitlines() if line.startswith("- "))
    return {name for name in listed if "/" not in name and (folder / name).is_file()}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    parser.add_argument("stack", metavar="STACK")
    parser.add_argument("--output", type=Path, metavar="FOLDER", help="a file an object; else all on standard output")
    parser.add_argument("--check", action="store_true", help="write nothing; tell what of FOLDER is not as rendered")
    parser.add_argument(
        "--from", dest="source", choices=(STATE, PREVIEW), help="default: state, where the stack is up; else preview"
    )
    parser.add_argument("--secrets", action="store_true", help="write Secrets too, in clear")
    parser.epilog = "Exit codes: 0 done, or FOLDER is as rendered; 1 cannot be rendered; 3 with --check: it differs."


def run(arguments: argparse.Namespace) -> int:
    """Run the command; returns 0, 1 where the stack cannot be rendered, 3 where --check finds a difference."""
    project, folder = Path.cwd(), arguments.output
    try:
        if arguments.check and folder is None:
            raise RenderError("--check: compares with a folder; give --output FOLDER")
        engine = Engine(project, arguments.stack, environment(project, arguments.stack))
        found = _resources(engine, arguments)
        rendered = render(objects(project, found), secrets=arguments.secrets)
        if arguments.check:
            return _told(differences(rendered, folder), folder)
        _warn(rendered)
        if folder is None:
            print("---\n".join(text for name, text in rendered.files.items() if name != KUSTOMIZATION), end="")
            return DONE
        write(rendered, folder)
    except (EngineError, RenderError) as error:
        print(f"error: {error}", file=sys.stderr)
        return FAILED
    except OSError as error:
        print(
            f"error: --output: {error.filename}: {error.strerror}; name a folder that can be written", file=sys.stderr
        )
        return FAILED
    print(f"{folder}: {len(rendered.files) - 1} objects and {KUSTOMIZATION}", file=sys.stderr)
    return DONE


def _resources(engine: Engine, arguments: argparse.Namespace) -> list[Resource]:
    if arguments.source != PREVIEW:
        found = of_state(engine, secrets=arguments.secrets)
        if found:
            _say(f"stack {engine.stack}: rendered from its state, what the last `up` applied", found)
            return found
        if arguments.source == STATE:
            raise RenderError(f"--from: stack {engine.stack!r} has no state; bring it up, or use --from preview")
    if arguments.secrets:
        raise RenderError("--secrets: a preview tells none; bring the stack up, then use --from state")
    found = of_preview(engine)
    _say(f"stack {engine.stack}: rendered from a preview, what `up` would apply", found)
    return found


def _say(line: str, found: Iterable[Resource]) -> None:
    kinds = (str(one["type"]).rpartition(":")[2] for one in found if not _is_rendered(one))
    left = ", ".join(f"{count} {kind}" for kind, count in sorted(Counter(kinds).items()))
    print(line + (f"; `up` alone does {left}" if left else ""), file=sys.stderr, flush=True)


def _is_rendered(one: Resource) -> bool:
    kind = str(one["type"])
    return kind.startswith((KUBERNETES, "pulumi:providers:")) or kind == DEFINITIONS


def _warn(rendered: Rendered) -> None:
    for one in rendered.secrets:
        print(f"warning: Secret {one}: is not rendered; make it, or render with --secrets", file=sys.stderr)
    if rendered.in_clear:
        named = ", ".join(rendered.in_clear)
        print(f"warning: --secrets: {named}: in clear; keep them out of git, or seal them", file=sys.stderr)


def _told(lines: list[str], folder: Path) -> int:
    for line in lines:
        print(f"{folder}/{line}")
    return DIFFERS if lines else DONE
