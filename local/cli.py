"""The commands of `python -m local`, and the exit code of each."""

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from local import bake, environment, logs, platform, snapshot, specs, status
from local.build import OTHERWISE
from local.errors import EXIT_REFUSED, EXIT_UNHEALTHY, PlatformError
from local.instance import Instance, locate
from local.kubectl import Kubectl
from local.steps import Steps

INTERRUPTED = 130
Command = Callable[[Instance, argparse.Namespace], int]


def run(arguments: list[str]) -> int:
    """Run one command line; a failure is one line on standard error."""
    parsed = _parser().parse_args(arguments)
    command: Command = parsed.command
    try:
        return command(locate(parsed.instance), parsed)
    except PlatformError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.code
    except PermissionError as error:
        # Its folders are for root alone, and every command looks into them.
        said = f"{error.filename or error}: user {os.geteuid()} may not use it, and the platform is root's"
        print(f"error: {said}; run this as root, {OTHERWISE}", file=sys.stderr)
        return EXIT_REFUSED
    except BrokenPipeError:
        # The reader of a pipe has enough; what is left to write goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        print("interrupted; the same command run again goes on from here", file=sys.stderr)
        return INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m local", description="The embedded platform.")
    parser.add_argument("--instance", help="default: MODELSTACK_INSTANCE, else `default`")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, command: Command, text: str) -> argparse.ArgumentParser:
        own = commands.add_parser(name, help=text, description=text)
        own.set_defaults(command=command)
        return own

    add("up", _up, "build what is missing, start the platform and wait until it is ready")
    built = add("build", _build, "build what `up` starts into the cache, and start nothing")
    built.add_argument("names", nargs="*", metavar="NAME", help="images to build the programs of, too")
    baked = add("bake", _bake, "make images that a stack runs besides its models, and push them")
    baked.add_argument("names", nargs="+", metavar="NAME", help=", ".join(spec.name for spec in specs.ON_DEMAND))
    add("status", _status, "state, uptime, version and log of each part").add_argument("--json", action="store_true")
    told = add("logs", _logs, "the last lines of the parts' logs")
    told.add_argument("part", nargs="?", help="default: every part")
    told.add_argument("-f", "--follow", action="store_true")
    add("down", _down, "end the platform; its data stays")
    add("reset", _reset, "end the platform and remove its data, the state of its stacks included")
    add("collect", _collect, "remove from the registry what no manifest names any more")
    for name, keep, text in (
        ("save", _save, "write the running cluster's data, certificates and passphrase into a new folder"),
        ("load", _load, "make what `save` wrote the data of an instance that has none"),
    ):
        add(name, keep, text).add_argument("folder", type=Path)
    asked = add("kubectl", _kubectl, "kubectl as the platform's administrator; its exit code is kubectl's")
    asked.add_argument("rest", nargs=argparse.REMAINDER, metavar="-- ARGUMENTS", help="what kubectl is to do")
    add("env", _env, 'lines for `eval "$(python -m local env)"`, which `pulumi` needs')
    return parser


def _up(instance: Instance, _: argparse.Namespace) -> int:
    platform.up(instance, Steps(), os.environ)
    return 0


def _build(instance: Instance, parsed: argparse.Namespace) -> int:
    platform.prepare(instance, Steps(), os.environ)
    bake.prepare(instance, parsed.names, Steps())
    return 0


def _bake(instance: Instance, parsed: argparse.Namespace) -> int:
    bake.bake(instance, parsed.names, Steps())
    return 0


def _status(instance: Instance, parsed: argparse.Namespace) -> int:
    rows = status.rows(instance)
    print(status.as_json(rows) if parsed.json else status.as_table(rows))
    return 0 if all(row.healthy for row in rows) else EXIT_UNHEALTHY


def _logs(instance: Instance, parsed: argparse.Namespace) -> int:
    return logs.show(instance, parsed.part, follow=parsed.follow)


def _down(instance: Instance, _: argparse.Namespace) -> int:
    platform.down(instance, Steps())
    return 0


def _reset(instance: Instance, _: argparse.Namespace) -> int:
    platform.reset(instance, Steps())
    return 0


def _collect(instance: Instance, _: argparse.Namespace) -> int:
    platform.collect(instance, Steps())
    return 0


def _save(instance: Instance, parsed: argparse.Namespace) -> int:
    snapshot.save(instance, parsed.folder.absolute(), Steps())
    return 0


def _load(instance: Instance, parsed: argparse.Namespace) -> int:
    snapshot.load(instance, parsed.folder.absolute(), Steps(), os.environ)
    return 0


def _kubectl(instance: Instance, parsed: argparse.Namespace) -> NoReturn:
    rest: list[str] = parsed.rest
    Kubectl.of(instance).replace_this_process(rest[1:] if rest[:1] == ["--"] else rest, os.environ)


def _env(instance: Instance, _: argparse.Namespace) -> int:
    for line in environment.lines(instance, Steps(), os.environ):
        print(line)
    return 0
