"""`python -m model_build build|inspect|held-out`: the command line, with the exit codes of docs/architecture.md."""

import argparse
import json
import shutil
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from model_build import inputs as build_inputs
from model_build.errors import BuildError, CancelledError, DataError, one_line
from model_build.events import Sink, sink_for

ABOUT = "Turns a recipe into a model that passed its gates and, with --push, into an image by digest."
MORE = """\
examples:
  python -m model_build.environment              make the build environment, print its interpreter
  .venv-build/bin/python -m model_build build --recipe models/digits/recipe.yaml
  .venv-build/bin/python -m model_build build --recipe models/digits/recipe.yaml \\
      --push registry.example/models/digits --base registry.example/base@sha256:<64 hex digits>
  python -m model_build inspect --recipe models/digits/recipe.yaml

A step whose input, parameters and code did not change is never run again; its artifact lies in the cache.

environment:
  MODELSTACK_CACHE   artifacts, packages, reports and logs (default /var/cache/modelstack)

exit codes:
  0 done, 2 usage, 3 recipe, 4 data, 5 gate, 6 registry, 7 environment, 130 cancelled, 1 anything else
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    options = _parser().parse_args(arguments)
    sink = sink_for(as_json=options.json)
    try:
        signal.signal(signal.SIGTERM, _cancel)
        signal.signal(signal.SIGINT, _cancel)
        return _run(options, sink)
    except BuildError as error:
        sink.error(error.kind, str(error))
        return error.exit_code
    except Exception as error:
        sink.error("internal", one_line(f"{type(error).__name__}: {error}; run again, then report it"))
        return 1
    finally:
        sink.close()


def _run(options: argparse.Namespace, sink: Sink) -> int:
    if options.command == "inspect":
        return _inspect(options)
    # inspect answers in the time of a glance; what builds loads numpy and the registry client.
    from model_build.build import Order, build  # noqa: PLC0415

    if options.command == "build":
        sink.result(build(Order(options.recipe, options.push, options.base), sink))
        return 0
    return _held_out(options, sink)


def _held_out(options: argparse.Namespace, sink: Sink) -> int:
    from model_build.build import held_out  # noqa: PLC0415 (as above)

    folder = held_out(options.recipe, sink)
    try:
        shutil.copyfile(folder / "test.npz", options.out)
    except OSError as error:
        raise DataError(
            f"--out: {options.out} cannot be written ({error.strerror}); name a file in a folder"
        ) from error
    return 0


def _inspect(options: argparse.Namespace) -> int:
    found = build_inputs.compute(options.recipe, options.base)
    if options.json:
        print(json.dumps({"inputs": found.hash, "parts": dict(found.parts), "recipe": found.recipe}))
        return 0
    for name, value in found.parts.items():
        print(f"{name:<20} {value}")
    print(f"{'inputs':<20} {found.hash}")
    return 0


def _cancel(number: int, _: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    raise CancelledError(
        f"the build was stopped by {signal.Signals(number).name}; run it again, finished steps are kept"
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m model_build",
        description=ABOUT,
        epilog=MORE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    making = _command(commands, "build", "train, export, quantize and gate; with --push bake and push the image too")
    making.add_argument(
        "--push", metavar="HOST/REPOSITORY", help="where the image goes; without it the artifact's folder is the end"
    )
    showing = _command(commands, "inspect", "print the inputs' hash and the parts it is made of; builds nothing")
    holding = _command(commands, "held-out", "write the held-out split that gates judge by")
    holding.add_argument(
        "--out", metavar="FILE.npz", type=Path, required=True, help="numpy archive of `inputs` and `labels`"
    )
    for one in (making, showing):
        one.add_argument("--base", metavar="REF", help="base image, NAME@sha256:<64 hex digits>")
    for one in (making, showing, holding):
        one.add_argument("--recipe", metavar="PATH", type=Path, required=True, help="models/<name>/recipe.yaml")
        one.add_argument("--json", action="store_true", help="events as JSON, one object a line, for programs")
    return parser


def _command(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]", name: str, about: str
) -> argparse.ArgumentParser:
    return commands.add_parser(name, help=about, description=f"{about[0].upper()}{about[1:]}.")


if __name__ == "__main__":
    sys.exit(main())
