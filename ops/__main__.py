"""`python -m ops COMMAND`: one subcommand a line below."""

import argparse
import importlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Command:
    """A subcommand: what `--help` says, and the module that has its `add_arguments` and what runs it.

    Only the module of the command that was asked for is imported: all of them take three times as long to start.
    """

    help: str
    module: str
    run: str = "run"

    def load(self) -> Any:
        """Return the module; ends the program where something that it needs is not installed."""
        try:
            return importlib.import_module(self.module)
        except ModuleNotFoundError as error:
            remedy = "run `.venv/bin/python -m ops`, after `make venv`"
            sys.exit(f"error: python: {sys.executable} has no {error.name}; {remedy}")


COMMANDS = {
    "up": Command("start what the stack needs, then `pulumi up`", "ops.stack", "up"),
    "preview": Command("start what the stacks need, then `pulumi preview`", "ops.preview"),
    "destroy": Command(
        "start what the stack needs, then `pulumi destroy`; nothing of it is left", "ops.stack", "destroy"
    ),
    "predict": Command("send every held-out sample through the endpoint", "ops.predict"),
    "refresh": Command("a branch with newer data of a model, built and gated", "ops.refresh"),
    "test": Command("test what a stack runs, and record it beside each image", "ops.test"),
    "promote": Command("copy the tested images of a stack to the next one", "ops.promote"),
    "history": Command("a model's versions, and which stacks run them", "ops.history"),
    "rollback": Command("pin a model to a version of the stack's past", "ops.rollback"),
    "watch": Command("ask every held-out sample again and again for some minutes", "ops.watch"),
    "revert": Command("`up` of the commit that the stack ran before HEAD", "ops.revert"),
    "recover": Command("bring a stack back after its engine was killed", "ops.recover"),
    "review": Command("a stack for each pull request: up, down, list, reap", "ops.review.command"),
    "drift": Command("what the cluster and the registry hold otherwise than the state", "ops.drift"),
    "render": Command("a stack as plain Kubernetes YAML, a file an object", "ops.render"),
    "hosts": Command("an Ansible playbook that makes a stack's cluster of machines", "ops.hosts.command"),
    "logs": Command("what the containers of a stack write, merged by time", "ops.logs"),
    "notify": Command("tell whom the stack's settings name of something", "ops.notify"),
    "efficiency": Command("how long changes take: development, test and deployment", "ops.efficiency"),
    "prices": Command("what AWS asks for in a region, from its public price list into a file", "ops.prices"),
    "size": Command("the smallest instance of AWS with GPUs that a model fits on", "ops.size"),
    "backup": Command("write a stack's state, its images and the embedded platform's data into a folder", "ops.backup"),
    "restore": Command("bring back what `backup` wrote, once all of it was checked", "ops.restore"),
    "gc": Command("remove images that no stack holds; shows them first", "ops.gc"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one subcommand and return its exit code."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    chosen = given[0] if given and given[0] in COMMANDS else ""
    module: Any = COMMANDS[chosen].load() if chosen else None
    parser = argparse.ArgumentParser(prog="python -m ops", description="Operations on a stack.")
    subcommands = parser.add_subparsers(dest="command", required=True)
    for name, command in COMMANDS.items():
        own = subcommands.add_parser(name, help=command.help, description=command.help)
        if name == chosen:
            module.add_arguments(own)
    options = parser.parse_args(given)
    try:
        return int(getattr(module, COMMANDS[options.command].run)(options))
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
