"""`python -m ops up|preview|destroy|predict|recover|backup|restore|gc`: one subcommand a line below."""

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

try:
    from ops import backup, gc, predict, recover, restore, stack
except ModuleNotFoundError as error:
    sys.exit(f"error: python: {sys.executable} has no {error.name}; run `.venv/bin/python -m ops`, after `make venv`")


@dataclass(frozen=True, slots=True)
class Command:
    """A subcommand: what `--help` says, its arguments, and what runs it and returns the exit code."""

    help: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]


COMMANDS = {
    "up": Command("start what the stack needs, then `pulumi up`", stack.add_arguments, stack.command("up")),
    "preview": Command(
        "start what the stack needs, then `pulumi preview`", stack.add_arguments, stack.command("preview")
    ),
    "destroy": Command(
        "start what the stack needs, then `pulumi destroy`; nothing of it is left",
        stack.add_arguments,
        stack.command("destroy"),
    ),
    "predict": Command("send every held-out sample through the endpoint", predict.add_arguments, predict.run),
    "recover": Command("bring a stack back after its engine was killed", recover.add_arguments, recover.run),
    "backup": Command(
        "write a stack's state, its images and the embedded platform's data into a folder",
        backup.add_arguments,
        backup.run,
    ),
    "restore": Command(
        "bring back what `backup` wrote, once all of it was checked", restore.add_arguments, restore.run
    ),
    "gc": Command("remove images that no stack holds; shows them first", gc.add_arguments, gc.run),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one subcommand and return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m ops", description="Operations on a stack.")
    subcommands = parser.add_subparsers(dest="command", required=True)
    for name, command in COMMANDS.items():
        command.add_arguments(subcommands.add_parser(name, help=command.help, description=command.help))
    options = parser.parse_args(arguments)
    try:
        return COMMANDS[options.command].run(options)
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
