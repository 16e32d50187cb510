"""Names that a stack's hold on an image is known by."""

from __future__ import annotations

import hashlib
import re

STACK_PREFIX = "stack-"
# A tag holds 128 characters; the prefix, the hash, `-runtime` and `-previous-3` take 34 of them.
READABLE = 94


# Names what an image was made from, or lists what is attached to one: such a tag holds nothing.
_NAMES = re.compile(r"(inputs|runtime)-[0-9a-f]{64}|sha256-[0-9a-f]{64}(\.[a-z]+)?")


def holds(tag: str) -> bool:
    """Return whether an image stays for this tag's sake: a stack's, or one of the user's own."""
    return _NAMES.fullmatch(tag) is None


def stack_tag(urn: str) -> str:
    """Return the tag by which the resource `urn` holds its image; the same in every run, unlike for other stacks."""
    stack, project, _, name = urn.removeprefix("urn:pulumi:").split("::", 3)
    readable = re.sub(r"[^A-Za-z0-9_.-]+", "-", f"{project}-{stack}-{name}")
    return f"{STACK_PREFIX}{readable[:READABLE]}-{hashlib.sha256(urn.encode()).hexdigest()[:8]}"


def runtime_tag(tag: str) -> str:
    """Return the tag by which a stack holds the runtime image beside the one it holds by `tag`."""
    return f"{tag}-runtime"


def previous_tag(tag: str, age: int = 1) -> str:
    """Return the tag that keeps the image a stack asked for `age` changes ago."""
    return f"{tag}-previous-{age}"


def image_id(host: str, repository: str, tag: str) -> str:
    """Return the id of an image resource: where it lies and the tag that holds it."""
    return f"{host}/{repository}:{tag}"


def split_image_id(identifier: str) -> tuple[str, str, str]:
    """Return host, repository and tag of an id; raises ValueError for another form."""
    found = re.fullmatch(r"([^/]+)/([^:@]+):([\w][\w.-]{0,127})", identifier)
    if not found:
        raise ValueError(f"id: {identifier!r} is not HOST/REPOSITORY:TAG; name the image by its stack's tag")
    host, repository, tag = found.groups()
    return host, repository, tag
