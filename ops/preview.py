"""`python -m ops preview`: what an `up` of one stack or several would do, told on the terminal and as a comment."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from ops import stack
from ops.engine import Engine, EngineError
from ops.previews import facts, github, running
from ops.previews.facts import Previews
from ops.previews.github import PullRequest
from ops.previews.gitlab import MergeRequest
from ops.previews.hosts import HostError
from ops.previews.markdown import markdown, marker
from ops.previews.text import text

FAILED, USAGE, NO_ANSWER = 1, 2, 3
STDOUT = "-"
LARGEST = 32 * 1024 * 1024
Target = PullRequest | MergeRequest
TARGETS: Mapping[str, Callable[[Mapping[str, str], int | None], Target]] = {
    "github": PullRequest.of,
    "gitlab": MergeRequest.of,
}


def _json(told: Previews) -> str:
    return told.model_dump_json(indent=1) + "\n"


FORMATS: Mapping[str, Callable[[Previews], str]] = {"markdown": markdown, "text": text, "json": _json}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    parser.add_argument("--stack", action="append", metavar="STACK", help="may be given more than once; default: dev")
    parser.add_argument("--comment", metavar="FILE", help="write what the previews found to FILE, - is standard output")
    parser.add_argument("--format", choices=[*FORMATS], default="markdown", help="of --comment; default: markdown")
    parser.add_argument("--post", choices=["github", "gitlab"], help="make or edit the comment of the pull request")
    parser.add_argument("--pull", type=int, metavar="NUMBER", help="the pull request; default: what the job runs for")
    parser.add_argument("--name", help="tells comments of one pull request apart; default: the project's name")
    parser.add_argument("--from", dest="source", metavar="FILE", help="tell what --format json wrote; preview nothing")
    parser.add_argument("--yes", action="store_true", help="taken as by the other commands; a preview never asks")
    parser.add_argument("rest", nargs="*", metavar="ARGUMENT", help="after `--`: further arguments of `pulumi`")


def run(options: argparse.Namespace) -> int:
    """Preview each stack, and tell what was found; returns the exit code of the first preview that failed."""
    if options.comment is None and options.post is None:
        return _plainly(options)
    try:
        # Asked first: no preview is made for a comment that could not be posted.
        target = TARGETS[options.post](os.environ, options.pull) if options.post else None
        with _standard_output(kept=options.comment == STDOUT) as out:
            told = _told(options)
            if options.comment is not None:
                _write(options.comment, FORMATS[options.format](told), out)
    except EngineError as error:
        print(f"error: {error}", file=sys.stderr)
        return NO_ANSWER if isinstance(error, HostError) else FAILED
    posted = _post(target, told) if target else 0
    return posted if options.source else told.code or posted


def _plainly(options: argparse.Namespace) -> int:
    if options.source is not None or options.format != "markdown":
        print("error: --from and --format: tell nothing by themselves; add --comment FILE or --post", file=sys.stderr)
        return USAGE
    codes = [stack.preview(argparse.Namespace(**{**vars(options), "stack": one})) for one in _stacks(options)]
    return next((code for code in codes if code), 0)


def _stacks(options: argparse.Namespace) -> list[str]:
    return list(dict.fromkeys(options.stack or ["dev"]))


def _told(options: argparse.Namespace) -> Previews:
    project = Path.cwd()
    # Whoever made the file could name another comment, so that its own name does not count.
    name = options.name or Engine(project, "", os.environ).project_name
    commit = _commit(os.environ)
    empty = facts.told([], name, commit)
    if options.source is not None:
        found = facts.parse(_read(options.source))
        return found.model_copy(update={"name": name, "commit": commit or found.commit})
    previews = tuple(running.preview(project, one, options.rest) for one in _stacks(options))
    return empty.model_copy(update={"previews": previews})


def _commit(environment: Mapping[str, str]) -> str:
    gitlab_names = ("CI_MERGE_REQUEST_SOURCE_BRANCH_SHA", "CI_COMMIT_SHA")
    found = (github.commit(environment), *(environment.get(name, "") for name in gitlab_names))
    return next((one for one in found if one), "")


def _post(target: Target, told: Previews) -> int:
    try:
        posted = target.post(marker(told.name), markdown(told))
    except HostError as error:
        print(f"error: {error}", file=sys.stderr)
        return NO_ANSWER
    print(f"comment {posted.done}: {posted.url}", file=sys.stderr)
    return 0


def _read(source: str) -> str:
    try:
        content = sys.stdin.read(LARGEST + 1) if source == STDOUT else Path(source).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise EngineError(f"--from: {source} cannot be read ({error}); name the file that --comment wrote") from error
    if len(content) > LARGEST:
        raise EngineError(f"--from: {source} has more than {LARGEST:,} characters; name the file that --comment wrote")
    return content


def _write(target: str, content: str, out: TextIO) -> None:
    if target == STDOUT:
        out.write(content)
        return
    try:
        Path(target).write_text(content, encoding="utf-8")
    except OSError as error:
        raise EngineError(f"--comment: {target} cannot be written ({error.strerror}); name another file") from error


@contextmanager
def _standard_output(*, kept: bool) -> Iterator[TextIO]:
    """Yield standard output; where it is kept for the comment, what children write there goes to standard error."""
    if not kept:
        yield sys.stdout
        return
    sys.stdout.flush()
    own = os.dup(1)
    os.dup2(2, 1)
    try:
        with open(own, "w", encoding="utf-8", closefd=False) as out:
            yield out
    finally:
        os.dup2(own, 1)
        os.close(own)
