"""`python -m ops gc`: removes images that no stack holds from the registries of the project's stacks; shows them first.

Kept is what a stack's tag holds, what the state of any stack names in that repository, and what carries a tag that is
not ours.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from model_build.errors import RegistryError
from model_build.oci.descriptor import DIGEST
from model_build.oci.reference import Reference
from ops import model_images
from ops.engine import Engine, EngineError, environment, if_down, pending, resources
from ops.holders import holders
from provider.holding import KEPT
from provider.naming import holds
from provider.registry import Repository

FAILED, USAGE, REFUSED = 1, 2, 3
# Before the `@` stands where the image lies, and perhaps a tag of it.
_PLACED = re.compile(rf"(?:([^\s\"@]+?)(?::[\w.-]+)?@)?({DIGEST.pattern})")
# What an image was made of, and what it was before: neither is an image that the stack runs.
HOLD_NOTHING = frozenset({"layers", "versions"})
InStates = Callable[[str], frozenset[str]]
"""The digests that states name in a repository, by its name."""


class UsageError(Exception):
    """What was asked for is not there; the message says what and what to do."""


class RefusedError(Exception):
    """To remove anything would not be safe; the message says why and what to do."""


@dataclass(frozen=True)
class Unheld:
    """An image that no stack holds: where it lies, the tags that name it, and bytes of its own layers."""

    registry: str
    repository: str
    digest: str
    tags: tuple[str, ...]
    size: int

    def __str__(self) -> str:
        named = ", ".join(self.tags)
        return f"{self.registry}/{self.repository}@{self.digest}  {self.size / 1e6:.1f} MB  ({named})"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    parser.add_argument("--stack", default="dev", help="a stack of the backend to look in (default: dev)")
    parser.epilog = f"A stack holds the image of each model that it serves, and the {KEPT} it asked for before."
    parser.add_argument(
        *("--repository", "-r"),
        metavar="HOST/NAME",
        action="append",
        default=[],
        help="a repository that no stack uses any more, besides those that stacks use",
    )
    parser.add_argument("--yes", action="store_true", help="remove what is shown; without it nothing is removed")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """Show what no stack holds, and with --yes remove it; returns 0, 1 failed, 2 no such repository, 3 refused."""
    project = Path.cwd()
    try:
        engine = Engine(project, arguments.stack, environment(project, arguments.stack))
        states = list(_states(engine))
        further = [Reference.parse(one) for one in arguments.repository]
        places = _repositories(states, further, project)
        _require_there(places, further)
        in_states = functools.partial(named, states)
        unheld = [one for place in places for one in find(place, in_states)]
        if arguments.yes:
            unheld = [*removed(places, unheld, in_states)]
    except RefusedError as error:
        print(f"refused: {error}", file=sys.stderr)
        return REFUSED
    except UsageError as error:
        print(f"error: {error}", file=sys.stderr)
        return USAGE
    except RegistryError as error:
        print(f"error: {error}{if_down(project, arguments.stack)}", file=sys.stderr)
        return FAILED
    except EngineError as error:
        print(f"error: {error}", file=sys.stderr)
        return FAILED
    _tell(unheld, removed=arguments.yes, as_json=arguments.json)
    return 0


def find(place: Repository, in_states: InStates) -> list[Unheld]:
    """Return the images of a repository that nothing holds."""
    tags = _tags(place)
    held = _held(place, tags, in_states)
    free = {digest: names for digest, names in tags.items() if digest not in held and _made_here(names)}
    return [
        Unheld(place.host, place.name, digest, tuple(sorted(names)), place.size(digest))
        for digest, names in sorted(free.items())
    ]


def _tags(place: Repository) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for tag in place.tags():
        digest = place.digest(tag)
        if digest is not None:
            found.setdefault(digest, []).append(tag)
    return found


def _held(place: Repository, tags: dict[str, list[str]], in_states: InStates) -> frozenset[str]:
    """Return what states and tags hold, with the images of an index and the runtime images that weights go into."""
    held = in_states(place.name) | {digest for digest, names in tags.items() if any(map(holds, names))}
    held |= {one for digest in held for one in place.mounted(digest)}
    return held | {child for digest in held for child in place.children(digest)}


def _made_here(tags: Iterable[str]) -> bool:
    return any(tag.startswith(("inputs-", "runtime-")) for tag in tags)


def _states(engine: Engine) -> Iterator[dict[str, Any]]:
    """Yield the state of every stack of the project; raises RefusedError while one of them is worked on."""
    for one in json.loads(engine.run("stack", "ls", "--json")):
        name = one["name"].rpartition("/")[2]
        living = [holder for holder in holders(engine.backend(), engine.project_name, name) if holder.may_live()]
        if living or one.get("updateInProgress"):
            by = f" by {living[0]}" if living else ""
            raise RefusedError(
                f"stack {name}: is worked on{by}; its image may not be held yet: run this again after it"
            )
        yield Engine(engine.project, one["name"], engine.environment).export()


def named(states: Iterable[dict[str, Any]], repository: str) -> frozenset[str]:
    """Return the digests that states name in a repository, at whatever host nodes pull it from.

    A digest that a resource names in no repository at all counts in every one.
    """
    recorded = (one for state in states for one in (*resources(state), *(two["resource"] for two in pending(state))))
    return frozenset(digest for one in recorded for digest in _named(one, repository))


def _named(resource: dict[str, Any], repository: str) -> Iterator[str]:
    # What a stack ran once it tells of, and holds no more.
    outputs = {key: value for key, value in (resource.get("outputs") or {}).items() if key not in HOLD_NOTHING}
    found = _PLACED.findall(json.dumps({**resource, "outputs": outputs}))
    placed = {digest for name, digest in found if name}
    for name, digest in found:
        if f"/{name}".endswith(f"/{repository}") or digest not in placed:
            yield digest


def _require_there(places: Iterable[Repository], asked: Iterable[Reference]) -> None:
    """Raise UsageError for a repository that was asked for and holds no tag: a wrong name must not read as nothing."""
    wanted = {(one.host, one.repository) for one in asked}
    for place in places:
        if (place.host, place.name) in wanted and not place.tags():
            raise UsageError(f"--repository: {place.host}/{place.name} is not there or holds nothing; correct the name")


def _repositories(states: Iterable[dict[str, Any]], further: Iterable[Reference], project: Path) -> list[Repository]:
    found = {(one.host, one.repository): Repository(one.host, one.repository, None, project) for one in further}
    for one in (one for state in states for one in resources(state) if one["type"] == model_images.TYPE):
        given = one.get("inputs") or {}
        place = (str(given["push"]), str(given["repository"]))
        found[place] = Repository(*place, given.get("dockerConfig"), project)
    return [found[place] for place in sorted(found)]


def removed(places: Iterable[Repository], unheld: Iterable[Unheld], in_states: InStates) -> Iterator[Unheld]:
    """Remove what is unheld and yield it, but for what a tag holds by now."""
    by_name = {(place.host, place.name): place for place in places}
    for key, some in itertools.groupby(unheld, lambda one: (one.registry, one.repository)):
        place = by_name[key]
        held = _held(place, _tags(place), in_states)
        for one in some:
            if one.digest not in held:
                place.delete(one.digest, held)
                yield one


def _tell(unheld: list[Unheld], *, removed: bool, as_json: bool) -> None:
    size = sum(one.size for one in unheld)
    if as_json:
        print(json.dumps({"removed": removed, "bytes": size, "images": [asdict(one) for one in unheld]}))
        return
    for one in unheld:
        print(one)
    what = "removed; the registry's own collection frees the bytes" if removed else "would be removed; add --yes"
    print(f"{len(unheld)} images, {size / 1e6:.1f} MB {what if unheld else 'are held by no stack'}")
