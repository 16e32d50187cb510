"""`python -m ops rollback STACK MODEL`: pins a model to a version of the stack's past, in the stack's own settings."""

from __future__ import annotations

import argparse
import difflib
import sys
from collections.abc import Sequence
from pathlib import Path

from model_build import recipe as recipes
from model_build.errors import BuildError
from model_build.oci.descriptor import DIGEST
from ops import model_images, stack, stack_file
from ops.engine import Engine, EngineError, environment, if_down
from ops.model_images import ModelImage
from ops.predict import UsageError
from ops.stack_file import SettingError
from ops.versions import Version, older, past, updates, versions
from provider import pinned
from provider.errors import ProviderError
from provider.values import is_unknown, wrap

FAILED, USAGE, REFUSED = 1, 2, 3
PIN = "pin"
SHORTEST = 8  # hex digits by which a digest may be named


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    parser.add_argument("stack", metavar="STACK")
    parser.add_argument("model", metavar="MODEL")
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "--to",
        metavar="DIGEST|N",
        help="a digest, or how many versions back as `ops history MODEL --stack STACK` numbers them "
        "(default: the last one before this that came up)",
    )
    which.add_argument("--clear", "--undo", action="store_true", help="remove the pin: the recipe counts again")
    parser.add_argument("--dry-run", action="store_true", help="show the change, and write nothing")
    parser.add_argument("--up", action="store_true", help="apply it at once: `pulumi up` of this model alone")
    parser.add_argument("--yes", action="store_true", help="with --up: do not ask")


def run(arguments: argparse.Namespace) -> int:
    """Run the command; returns 0 done, 1 failed, 2 usage or no such version, 3 refused. With --up the engine's."""
    project = Path.cwd()
    try:
        stack.require_settings(project, arguments.stack)
        engine = Engine(project, arguments.stack, environment(project, arguments.stack))
        image = _image(engine, arguments.model)
        digest = None if arguments.clear else _digest(engine, image, arguments.to)
        if digest is not None:
            _require_usable(project, image, digest)
        path = project / f"Pulumi.{arguments.stack}.yaml"
        text = stack_file.with_setting(path, _keys(arguments.model), digest)
    except (UsageError, SettingError) as error:
        return _fail(USAGE, error)
    except (ProviderError, BuildError) as error:
        return _fail(REFUSED, f"{error}{if_down(project, arguments.stack)}")
    except EngineError as error:
        return _fail(FAILED, error)
    _write(path, text, arguments, digest)
    if not arguments.up or arguments.dry_run:
        return 0
    # What else the checkout holds may not have been reviewed, and is not for this hour.
    alone = ["--target", image.urn, "--target-dependents"]
    return stack.up(argparse.Namespace(stack=arguments.stack, yes=arguments.yes, rest=alone))


def _image(engine: Engine, model: str) -> ModelImage:
    found = model_images.of_state(engine.export())
    if model not in found:
        known = ", ".join(sorted(found)) or "none"
        raise UsageError(f"MODEL: {model!r} is no model that stack {engine.stack!r} runs, it runs {known}; correct it")
    return found[model]


def _digest(engine: Engine, image: ModelImage, to: str | None) -> str:
    found = versions(engine.stack, image, updates(engine))
    if to is None:
        return _before(engine.stack, image, found).digest
    if to.isdecimal() and len(to) < SHORTEST:
        return _back(engine.stack, image, found, int(to)).digest
    if DIGEST.fullmatch(to):
        return to
    named = [one.digest for one in past(found) if one.digest.removeprefix("sha256:").startswith(to)]
    if len(to) < SHORTEST or len(named) != 1:
        raise UsageError(
            f"--to: {to!r} names {len(named)} versions of {image.model} in {engine.stack}; give a number, or at least "
            f"{SHORTEST} digits of a digest, of `python -m ops history {image.model} --stack {engine.stack}`"
        )
    return named[0]


def _before(name: str, image: ModelImage, found: Sequence[Version]) -> Version:
    """Return the version before the one that runs; one whose every `up` failed is no way back."""
    for one in older(found):
        if one.served is not False:
            return one
        print(f"{one.digest[:19]} never came up in {name}; it is left out", file=sys.stderr)
    raise UsageError(
        f"{image.model}: stack {name} knows no version before {image.digest} that came up; name one with --to "
        "DIGEST, or go back in git"
    )


def _back(name: str, image: ModelImage, found: Sequence[Version], number: int) -> Version:
    listed = older(found)
    if not 1 <= number <= len(listed):
        raise UsageError(
            f"--to: {number} is not from 1 to {len(listed)}, the versions of {image.model} in {name} before this one; "
            f"see `python -m ops history {image.model} --stack {name}`"
        )
    return listed[number - 1]


def _require_usable(project: Path, image: ModelImage, digest: str) -> None:
    """Raise ProviderError or BuildError where the stack's preview would refuse the pin, or could not judge it."""
    given = {key: wrap(value) for key, value in {**image.values, PIN: digest}.items()}
    asked = recipes.load(project / str(image.values.get("recipe")))
    derived = pinned.derive(given, {}, asked, project)
    if is_unknown(derived["inputsHash"]):
        where = image.repository(project)
        raise ProviderError(
            f"pin: {where.host} does not answer, so that {digest[:19]} cannot be verified; nothing is written"
        )


def _keys(model: str) -> tuple[str, ...]:
    return ("config", "modelstack:models", model, PIN)


def _write(path: Path, text: str, arguments: argparse.Namespace, digest: str | None) -> None:
    before = path.read_text(encoding="utf-8")
    name, model = arguments.stack, arguments.model
    if before == text:
        print(f"{path.name}: says so already")
    for line in difflib.unified_diff(before.splitlines(), text.splitlines(), path.name, path.name, lineterm="", n=1):
        print(line)
    if arguments.dry_run:
        print("nothing was written (--dry-run)")
        return
    if before != text:
        stack_file.write(path, text)
    said = (
        f"Roll {model} of {name} back to {digest[:19]}" if digest else f"Let {model} of {name} follow its recipe again"
    )
    if not arguments.up:
        print(f"`python -m ops preview --stack {name}` shows it, `up` applies it")
    print(f'keep it: git commit -m "{said}" {path.name}', flush=True)


def _fail(code: int, error: object) -> int:
    print(f"error: {error}", file=sys.stderr)
    return code
