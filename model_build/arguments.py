"""The arguments of `python -m model_build`, and what `--help` says."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

_Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"  # noqa: SLF001 (it has no other name)

ABOUT = "Turns a recipe into a model that passed its gates and, with --push, into an image by digest."
KEY_FORMS = "a PEM file, or env://NAME of a variable that holds it"
MORE = """\
examples:
  python -m model_build.environment              make the build environment, print its interpreter
  .venv-build/bin/python -m model_build build --recipe models/digits/recipe.yaml
  .venv-build/bin/python -m model_build build --recipe models/digits/recipe.yaml \\
      --push registry.example/models/digits --base registry.example/base@sha256:<64 hex digits>
  python -m model_build inspect --recipe models/digits/recipe.yaml
  python -m model_build new spam                 a folder models/spam that trains and passes its gates as it is
  .venv-build/bin/python -m model_build export --recipe models/digits/recipe.yaml --out edge --format ort
  python -m model_build diff 8d37c1 f20a11       two builds by the first digits of their inputs
  python -m model_build gc --days 30             what would go from the cache; add --yes to remove it
  COSIGN_PASSWORD=… python -m model_build keys release    release.key, which signs, and release.pub, which verifies

A step whose input, parameters and code did not change is never run again; its artifact lies in the cache.

environment:
  MODELSTACK_CACHE   artifacts, packages, reports and logs (default /var/cache/modelstack)
  COSIGN_PASSWORD    the passphrase of a private key (default: none)

exit codes:
  0 done, 2 usage, 3 recipe, 4 data, 5 gate, 6 registry, 7 environment,
  8 signature (an image that is not signed as it must be, or a key that cannot be used), 130 cancelled, 1 anything else
"""


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Return the arguments of one command; ends the program with 2 where they are wrong."""
    made = parser()
    options = made.parse_args(arguments)
    if options.command == "verify" and (options.base is None) != (options.recipe is None):
        made.error("verify takes --recipe and --base together: the base image is one of the inputs")
    return options


def parser() -> argparse.ArgumentParser:
    """Return the parser of every command."""
    made = argparse.ArgumentParser(
        prog="python -m model_build",
        description=ABOUT,
        epilog=MORE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = made.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _new(commands)
    making = _command(commands, "build", "run the steps and gates; with --push bake and push the image too")
    making.add_argument(
        "--push", metavar="HOST/REPOSITORY", help="where the image goes; without it the artifact's folder is the end"
    )
    making.add_argument("--key", metavar="KEY", help=f"private key that signs the image: {KEY_FORMS}")
    showing = _command(commands, "inspect", "print the inputs' hash and the parts it is made of; builds nothing")
    _diff(commands)
    exporting = _export(commands)
    holding = _command(commands, "held-out", "write the held-out split that gates judge by")
    holding.add_argument(
        "--out", metavar="FILE.npz", type=Path, required=True, help="numpy archive of `inputs` and `labels`"
    )
    _gc(commands)
    _keys(commands)
    _verify(commands)
    _sign(commands)
    for one in (making, showing):
        one.add_argument("--base", metavar="REF", help="base image, NAME@sha256:<64 hex digits>")
    for one in (making, showing, exporting, holding):
        one.add_argument("--recipe", metavar="PATH", type=Path, required=True, help="models/<name>/recipe.yaml")
    return made


def _new(commands: _Commands) -> None:
    made = _command(commands, "new", "write the folder of a model that passes its own gates as it is")
    made.add_argument("name", metavar="NAME", help="lower-case letters, digits and dashes")
    made.add_argument("--models", metavar="FOLDER", type=Path, default=Path("models"), help="default: models")


def _diff(commands: _Commands) -> None:
    made = _command(commands, "diff", "tell what two builds differ in: recipe, inputs, figures")
    for which in ("old", "new"):
        made.add_argument(which, metavar=which.upper(), help="a report's path, or the first digits of its inputs hash")


def _export(commands: _Commands) -> argparse.ArgumentParser:
    made = _command(commands, "export", "build, and write the artifact into a folder, for devices too")
    made.add_argument("--out", metavar="FOLDER", type=Path, required=True, help="made where it is missing")
    made.add_argument("--format", choices=("onnx", "ort"), default="onnx", help="ort: optimized, for small runtimes")
    made.add_argument("--target", choices=("host", "arm64"), default="host", help="what an ort file is optimized for")
    return made


def _gc(commands: _Commands) -> None:
    made = _command(commands, "gc", "remove from the cache what no build has used for some days; shows it first")
    made.add_argument("--days", metavar="N", type=_days, default=30.0, help="at least 1; default: 30")
    made.add_argument("--yes", action="store_true", help="remove what is shown; without it nothing is removed")


def _keys(commands: _Commands) -> None:
    made = _command(commands, "keys", "make a key pair that signs images; its files are never overwritten")
    made.add_argument("prefix", metavar="PREFIX", type=Path, help="PREFIX.key and PREFIX.pub are written")


def _verify(commands: _Commands) -> None:
    made = _command(commands, "verify", "refuse an image that no key of ours signed, or for other inputs")
    made.add_argument("image", metavar="IMAGE", help="HOST/REPOSITORY:TAG or HOST/REPOSITORY@sha256:<64 hex digits>")
    _trusted(made, "--key")
    wanted = made.add_mutually_exclusive_group()
    wanted.add_argument("--inputs", metavar="HASH", type=_hash, help="the inputs hash that it must be signed for")
    wanted.add_argument("--recipe", metavar="PATH", type=Path, help="the same, computed of a recipe and --base")
    made.add_argument("--base", metavar="REF", help="base image of --recipe, NAME@sha256:<64 hex digits>")
    made.add_argument("--blobs", action="store_true", help="read every byte back, and hold it to its digest")


def _sign(commands: _Commands) -> None:
    made = _command(commands, "sign", "sign an image again, with the key that takes over from another")
    made.add_argument("image", metavar="IMAGE", help="HOST/REPOSITORY:TAG or HOST/REPOSITORY@sha256:<64 hex digits>")
    made.add_argument("--key", metavar="KEY", required=True, help=f"private key that signs: {KEY_FORMS}")
    _trusted(made, "--signed-by")


def _trusted(made: argparse.ArgumentParser, option: str) -> None:
    about = "public key that counts; may be repeated, and one of them is enough"
    made.add_argument(option, metavar="PUB", action="append", required=True, dest="trusted", help=about)


def _hash(text: str) -> str:
    if not re.fullmatch(r"[0-9a-f]{64}", text):
        raise argparse.ArgumentTypeError(f"{text!r} is no inputs hash; give the 64 hex digits that `inspect` prints")
    return text


def _days(text: str) -> float:
    # A build that runs may hold what it has found in the cache for hours.
    days = float(text)
    if not days >= 1:
        raise argparse.ArgumentTypeError(f"{text} is below the limit of 1 day, which a build may take; raise it")
    return days


def _command(commands: _Commands, name: str, about: str) -> argparse.ArgumentParser:
    made = commands.add_parser(name, help=about, description=f"{about[0].upper()}{about[1:]}.")
    made.add_argument("--json", action="store_true", help="JSON, one object a line, for programs")
    return made
