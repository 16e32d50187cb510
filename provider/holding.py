"""Who holds an image: each stack by a tag of its own; with the last one the manifest goes."""

from __future__ import annotations

from provider.naming import STACK_PREFIX, previous_tag
from provider.registry import Repository


def hold(repository: Repository, tag: str, digest: str, served: str | None) -> None:
    """Point the stack's tag at `digest`; `served`, which old pods may still pull, is held until the next change."""
    if served is None or served == digest or repository.digest(served) is None:
        repository.tag(digest, tag)
        return
    former = repository.digest(previous_tag(tag))
    repository.tag(served, previous_tag(tag))
    repository.tag(digest, tag)
    if former is not None and former not in (served, digest):
        _drop_unheld(repository, former)


def let_go(repository: Repository, tag: str, digest: str | None) -> None:
    """Remove the stack's tags, and what they held where no other stack holds it."""
    held = {digest} if digest is not None else set()
    for own in (tag, previous_tag(tag)):
        found = repository.digest(own)
        if found is not None:
            held.add(found)
            repository.untag(own)
    for one in sorted(held):
        _drop_unheld(repository, one)


def _drop_unheld(repository: Repository, digest: str) -> None:
    if repository.digest(digest) is None:
        return
    holders = (tag for tag in repository.tags() if tag.startswith(STACK_PREFIX))
    if not any(repository.digest(tag) == digest for tag in holders):
        repository.delete(digest)
