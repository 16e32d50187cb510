"""`python -m ops COMMAND`: one subcommand a line below."""

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

try:
    from ops import (
        backup,
        drift,
        efficiency,
        gc,
        history,
        logs,
        notify,
        predict,
        preview,
        promote,
        recover,
        refresh,
        render,
        restore,
        revert,
        rollback,
        stack,
        test,
        watch,
    )
    from ops.review import command as review
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
    "preview": Command("start what the stacks need, then `pulumi preview`", preview.add_arguments, preview.run),
    "destroy": Command(
        "start what the stack needs, then `pulumi destroy`; nothing of it is left",
        stack.add_arguments,
        stack.command("destroy"),
    ),
    "predict": Command("send every held-out sample through the endpoint", predict.add_arguments, predict.run),
    "refresh": Command("a branch with newer data of a model, built and gated", refresh.add_arguments, refresh.run),
    "test": Command("test what a stack runs, and record it beside each image", test.add_arguments, test.run),
    "promote": Command("copy the tested images of a stack to the next one", promote.add_arguments, promote.run),
    "history": Command("a model's versions, and which stacks run them", history.add_arguments, history.run),
    "rollback": Command("pin a model to a version of the stack's past", rollback.add_arguments, rollback.run),
    "watch": Command("ask every held-out sample again and again for some minutes", watch.add_arguments, watch.run),
    "revert": Command("`up` of the commit that the stack ran before HEAD", revert.add_arguments, revert.run),
    "recover": Command("bring a stack back after its engine was killed", recover.add_arguments, recover.run),
    "review": Command("a stack for each pull request: up, down, list, reap", review.add_arguments, review.run),
    "drift": Command("what the cluster and the registry hold otherwise than the state", drift.add_arguments, drift.run),
    "render": Command("a stack as plain Kubernetes YAML, a file an object", render.add_arguments, render.run),
    "logs": Command("what the containers of a stack write, merged by time", logs.add_arguments, logs.run),
    "notify": Command("tell whom the stack's settings name of something", notify.add_arguments, notify.run),
    "efficiency": Command(
        "how long changes take: development, test and deployment", efficiency.add_arguments, efficiency.run
    ),
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
