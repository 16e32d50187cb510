"""`python -m model_build COMMAND`: the command line of docs/recipes.md and docs/supply-chain.md."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from model_build import collect
from model_build.arguments import parse
from model_build.errors import EXIT_CODES, BuildError, CancelledError, DataError, one_line
from model_build.events import Sink, sink_for
from model_build.places import cache_root

if TYPE_CHECKING:  # recipes are read with libraries that take a while to load
    from model_build.inputs import Inputs

BUILD_PYTHON = "run `.venv-build/bin/python -m model_build`, which `python -m model_build.environment` makes"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    options = parse(arguments)
    sink = sink_for(as_json=options.json)
    try:
        signal.signal(signal.SIGTERM, _cancel)
        signal.signal(signal.SIGINT, _cancel)
        return _run(options, sink)
    except BuildError as error:
        sink.error(error.kind, str(error))
        return error.exit_code
    except ModuleNotFoundError as error:
        sink.error("environment", f"python: {sys.executable} has no {error.name}; {BUILD_PYTHON}")
        return EXIT_CODES["environment"]
    except Exception as error:
        sink.error("internal", one_line(f"{type(error).__name__}: {error}; run again, then report it"))
        return 1
    finally:
        sink.close()


def _run(options: argparse.Namespace, sink: Sink) -> int:
    run: dict[str, Callable[[argparse.Namespace, Sink], int]] = {
        "new": _new,
        "build": _build,
        "inspect": _inspect,
        "diff": _diff,
        "export": _export,
        "held-out": _held_out,
        "gc": _gc,
        "keys": _keys,
        "verify": _verify,
        "sign": _sign,
    }
    return run[options.command](options, sink)


# What answers in the time of a glance waits for no library that it does not need.
def _new(options: argparse.Namespace, _: Sink) -> int:
    from model_build import scaffold  # noqa: PLC0415

    recipe = scaffold.create(options.name, options.models)
    if options.json:
        print(json.dumps({"recipe": str(recipe)}))
        return 0
    print(f"{recipe} is ready: .venv-build/bin/python -m model_build build --recipe {recipe}")
    return 0


def _build(options: argparse.Namespace, sink: Sink) -> int:
    from model_build.build import Order, build  # noqa: PLC0415

    sink.result(build(Order(options.recipe, options.push, options.base, options.key), sink))
    return 0


def _export(options: argparse.Namespace, sink: Sink) -> int:
    from model_build import edge  # noqa: PLC0415
    from model_build.artifact import MODEL  # noqa: PLC0415
    from model_build.build import Order, build  # noqa: PLC0415
    from model_build.graph.split import WEIGHTS  # noqa: PLC0415

    result = build(Order(options.recipe, None, None), sink)
    artifact = Path(result["artifact"])
    try:
        shutil.copytree(artifact, options.out, dirs_exist_ok=True)
    except OSError as error:
        raise DataError(f"--out: {options.out} cannot be written ({error.strerror}); name another folder") from error
    if options.format == "ort":
        edge.write(artifact, options.out, options.target)
        for path in (options.out / MODEL, *options.out.glob(WEIGHTS)):
            path.unlink()
    sink.result({**result, "artifact": str(options.out)})
    return 0


def _held_out(options: argparse.Namespace, sink: Sink) -> int:
    from model_build import npz  # noqa: PLC0415
    from model_build.build import held_out  # noqa: PLC0415

    arrays = held_out(options.recipe, sink)
    try:
        npz.save(options.out, arrays)
    except OSError as error:
        raise DataError(
            f"--out: {options.out} cannot be written ({error.strerror}); name a file in a folder"
        ) from error
    return 0


def _diff(options: argparse.Namespace, _: Sink) -> int:
    from model_build import compare  # noqa: PLC0415

    found = compare.compare(options.old, options.new, cache_root() / "reports")
    print(json.dumps(found.values()) if options.json else "\n".join(found.lines()))
    return 0


def _gc(options: argparse.Namespace, _: Sink) -> int:
    found = collect.collect(cache_root(), options.days, remove=options.yes)
    if options.json:
        print(json.dumps({"removed": options.yes, "entries": found.entries, "bytes": found.size}))
        return 0
    for place, one in found.places.items():
        print(f"{place:<16} {one.entries:>6} entries {one.size / 1e6:>10.1f} MB")
    done = "removed" if options.yes else "would be removed; add --yes"
    used = f"have not been used for {options.days:g} days"
    print(f"{found.entries} entries, {found.size / 1e6:.1f} MB {done if found.entries else used}")
    return 0


def _keys(options: argparse.Namespace, _: Sink) -> int:
    from model_build.supply import keys  # noqa: PLC0415

    passphrase = os.environ.get(keys.PASSPHRASE, "")
    made = keys.make_pair(options.prefix, passphrase)
    if options.json:
        told = {"private": str(made.private), "public": str(made.public), "fingerprint": made.fingerprint}
        print(json.dumps({**told, "passphrase": bool(passphrase)}))
        return 0
    print(f"private  {made.private}\npublic   {made.public}\nkey      {made.fingerprint}")
    if not passphrase:
        print(f"the private key has no passphrase: whoever reads the file can sign; {keys.PASSPHRASE} gives it one")
    return 0


def _verify(options: argparse.Namespace, _: Sink) -> int:
    from model_build.supply import commands  # noqa: PLC0415

    inputs = _inputs(options).hash if options.recipe is not None else options.inputs
    found = commands.verified(options.image, options.trusted, inputs, blobs=options.blobs)
    print(json.dumps(found.values()) if options.json else "\n".join(found.lines()))
    return 0


def _sign(options: argparse.Namespace, _: Sink) -> int:
    from model_build.supply import commands  # noqa: PLC0415

    found = commands.signed_again(options.image, options.key, options.trusted)
    print(json.dumps(found.values()) if options.json else "\n".join(found.lines()))
    return 0


def _inspect(options: argparse.Namespace, _: Sink) -> int:
    found = _inputs(options)
    if options.json:
        print(json.dumps({"inputs": found.hash, "parts": dict(found.parts), "recipe": found.recipe}))
        return 0
    for name, value in found.parts.items():
        print(f"{name:<20} {value}")
    print(f"{'inputs':<20} {found.hash}")
    return 0


def _inputs(options: argparse.Namespace) -> Inputs:
    from model_build.inputs import compute  # noqa: PLC0415

    return compute(options.recipe, options.base)


def _cancel(number: int, _: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    raise CancelledError(
        f"the build was stopped by {signal.Signals(number).name}; run it again, finished steps are kept"
    )


if __name__ == "__main__":
    sys.exit(main())
