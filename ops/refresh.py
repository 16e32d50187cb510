"""`python -m ops refresh MODEL`: the model on newer data, as a branch whose pull request shows what it gains.

Nothing that runs is touched: the branch changes the recipe's pins, and only a review brings it further.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import settings
from model_build import recipe as recipes
from model_build.errors import BuildError
from ops.engine import EngineError, own_settings
from ops.newer import Newer, NewerError, newer, with_versions

FAILED, REFUSED = 1, 3
# What a host is pushed to with, to propose the branch; GitHub is asked afterwards.
PROPOSALS = {"github": (), "gitlab": ("--push-option", "merge_request.create")}
# Measured on whatever machine, at whatever else it does: no reason for or against newer data.
NOISY = ("latency", "speedup")


class RefreshError(Exception):
    """No branch can be made; the message is one line."""


class GateError(RefreshError):
    """The model on the newer data does not pass its gates."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    parser.add_argument("model", help="a model of the stack")
    parser.add_argument("--stack", default="dev", help="whose settings name the recipe; default: dev")
    parser.add_argument(
        "--to", action="append", default=[], metavar="PACKAGE=VERSION", help="in place of the newest; repeatable"
    )
    parser.add_argument("--push", metavar="REMOTE", help="push the branch there")
    parser.add_argument(
        "--propose", choices=[*PROPOSALS], help="with --push: open a pull request by `gh`, a merge request by the push"
    )
    parser.add_argument("--dry-run", action="store_true", help="tell what is newer, and build nothing")
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")


def run(arguments: argparse.Namespace) -> int:
    """Make the branch; returns 0, also where nothing is newer, 3 where a gate refuses, 1 for what else fails."""
    try:
        told = refresh(Path.cwd(), arguments)
    except GateError as error:
        print(f"refused: {error}", file=sys.stderr)
        return REFUSED
    except (RefreshError, NewerError, EngineError, BuildError, settings.SettingsError) as error:
        print(f"error: {error}", file=sys.stderr)
        return FAILED
    print(json.dumps(told) if arguments.json else "\n".join(_lines(told)), flush=True)
    return 0


def refresh(project: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """Return what was found and made; raises what `run` tells."""
    model = arguments.model
    if arguments.propose and not arguments.push:
        raise RefreshError("--propose: is of a branch that is pushed; add --push REMOTE")
    path = _recipe(project, arguments.stack, model)
    found = newer(recipes.load(project / path).sources, _wanted(arguments.to), project)
    told: dict[str, Any] = {"model": model, "sources": [vars(one) for one in found], "branch": None}
    if not found or arguments.dry_run:
        return told
    branch = f"refresh/{model}/{'-'.join(f'{one.package}-{one.version}'.replace('/', '-') for one in found)}"
    told["branch"] = branch
    if _is_there(project, branch, arguments.push):
        return {**told, "existed": True}
    told["metrics"] = _make(project, path, branch, model, found)
    if arguments.push:
        _push(project, branch, arguments.push, arguments.propose)
    if arguments.propose == "github":
        told["proposed"] = _run(["gh", "pr", "create", "--fill", "--head", branch], project).strip()
    return {**told, "existed": False, "pushed": bool(arguments.push)}


def _make(project: Path, path: Path, branch: str, model: str, found: list[Newer]) -> list[dict[str, Any]]:
    """Make the branch of a model on newer data, and return its metrics beside those of now."""
    build = _Build.of(project)
    before = build.metrics(project, path)
    with _branched(project, branch) as tree:
        (tree / path).write_text(with_versions((tree / path).read_text("utf-8"), found), encoding="utf-8")
        metrics = compared(before, build.metrics(tree, path))
        _git(tree, "commit", "--quiet", "--message", _message(model, found, metrics), "--", str(path))
    return metrics


def _push(project: Path, branch: str, remote: str, propose: str | None) -> None:
    try:
        _git(project, "push", "--quiet", *PROPOSALS.get(propose or "", ()), remote, branch)
    except RefreshError:
        # The next run makes it again, and does not take it for one that was proposed.
        _git(project, "branch", "--quiet", "-D", branch)
        raise


def _is_there(project: Path, branch: str, remote: str | None) -> bool:
    """Return whether a branch was made before: here, or where it is to be pushed, as a fresh clone cannot know."""
    if _git(project, "branch", "--list", branch):
        return True
    return bool(remote and _git(project, "ls-remote", "--heads", remote, f"refs/heads/{branch}"))


def _recipe(project: Path, stack: str, model: str) -> Path:
    models = settings.load(own_settings(project, stack), project, stack).models
    if model not in models:
        raise RefreshError(f"MODEL: {model!r} is not in Pulumi.{stack}.yaml; name one of {', '.join(sorted(models))}")
    return Path(models[model].recipe)


def _wanted(given: list[str]) -> dict[str, str]:
    pairs = [one.partition("=") for one in given]
    wrong = next((one for one in pairs if not one[0] or not one[2]), None)
    if wrong:
        raise RefreshError(f"--to: {''.join(wrong)!r} is not PACKAGE=VERSION; write it so")
    return {package: version for package, _, version in pairs}


def compared(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the metrics that are numbers, each before and after."""
    steady = [key for key in after if not any(word in key for word in NOISY)]
    both = [key for key in steady if _is_number(after[key]) and _is_number(before.get(key))]
    return [{"metric": key, "before": before[key], "after": after[key]} for key in both]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


@contextmanager
def _branched(project: Path, branch: str) -> Iterator[Path]:
    """Yield a checkout of the last commit on a branch of its own, which stays where the caller commits to it."""
    with tempfile.TemporaryDirectory(prefix="modelstack-refresh-") as folder:
        tree = Path(folder, "tree")
        _git(project, "worktree", "prune")
        _git(project, "worktree", "add", "--quiet", "-b", branch, str(tree))
        made = False
        try:
            yield tree
            made = True
        finally:
            _git(project, "worktree", "remove", "--force", str(tree))
            if not made:
                _git(project, "branch", "--quiet", "-D", branch)


@dataclass(frozen=True)
class _Build:
    """Builds in the environment of this checkout, of its recipes and of those that lie on a branch."""

    interpreter: str

    @classmethod
    def of(cls, project: Path) -> _Build:
        said = _run([sys.executable, "-m", "model_build.environment"], project)
        return cls(said.strip().splitlines()[-1])

    def metrics(self, tree: Path, recipe: Path) -> dict[str, Any]:
        """Return the metrics of a recipe, built where no step of it was kept. Raises GateError or RefreshError."""
        command = [self.interpreter, "-P", "-m", "model_build", "build", "--json", "--recipe", str(tree / recipe)]
        environment = {**os.environ, "PYTHONPATH": str(tree)}
        last: dict[str, Any] = {}
        with subprocess.Popen(command, cwd=tree, env=environment, stdout=subprocess.PIPE, text=True) as process:
            for line in process.stdout or ():
                event = json.loads(line)
                if event.get("event") != "progress":
                    last = event
                elif event["state"] != "running":
                    print(f"{recipe}: {event['step']} {event['state']}", file=sys.stderr, flush=True)
        if process.returncode == 0 and last.get("event") == "result":
            return dict(last.get("metrics") or {})
        said = str(last.get("message") or f"the build ended with exit code {process.returncode}")
        raise GateError(said) if last.get("kind") == "gate" else RefreshError(said)


def _git(folder: Path, *arguments: str) -> str:
    return _run(["git", *arguments], folder).strip()


def _run(command: list[str], folder: Path) -> str:
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise RefreshError(f"{command[0]}: is not on PATH; install it") from error
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip() or "nothing was printed").splitlines()[-1]
        raise RefreshError(f"`{Path(command[0]).name} {' '.join(command[1:3])}` failed: {said}")
    return done.stdout


def _message(model: str, found: list[Newer], metrics: list[dict[str, Any]]) -> str:
    lines = [f"{one['metric']}: {one['before']:.6g} → {one['after']:.6g}" for one in metrics]
    return "\n".join([f"Refresh {model}: {', '.join(map(str, found))}", "", *lines])


def _lines(told: Mapping[str, Any]) -> Iterator[str]:
    for one in told["sources"]:
        yield f"{told['model']}: {one['package']} {one['before']} → {one['version']}"
    if not told["sources"]:
        yield f"{told['model']}: its data is the newest"
    for one in told.get("metrics", []):
        yield f"  {one['metric']}: {one['before']:.6g} → {one['after']:.6g}"
    if told["branch"]:
        state = "is there already; merge or delete it" if told["existed"] else "made"
        yield f"branch {told['branch']}: {state}"
    if "pushed" in told:
        yield "pushed; open a pull request" if told["pushed"] else "push it, open a pull request"
