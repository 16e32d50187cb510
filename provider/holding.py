"""Who holds an image: each stack by tags of its own; with the last one the manifest goes."""

from __future__ import annotations

from model_build.locks import exclusive
from model_build.places import cache_root
from provider.errors import ProviderError
from provider.naming import holds, previous_tag
from provider.registry import Repository

# A change whose pods never became ready leaves older ones serving; a Deployment keeps as many revisions.
KEPT = 3


def hold(repository: Repository, tag: str, digest: str, served: str | None) -> None:
    """Point the stack's tag at `digest`; what it asked for in the last changes, which pods may still pull, is held too.

    Raises ProviderError where another machine removed the image meanwhile.
    """
    with exclusive(cache_root() / "locks" / "holders"):
        before = _previous(repository, tag) if served is not None else []
        found = [one for one in dict.fromkeys([served, *before]) if one not in (None, digest)]
        earlier = [one for one in found if one is not None and repository.digest(one) is not None]
        # From the oldest on, so that none is without a tag in between.
        for age, one in reversed(list(enumerate(earlier[:KEPT], 1))):
            repository.tag(one, previous_tag(tag, age))
        repository.tag(digest, tag)
        for age in range(len(earlier[:KEPT]) + 1, len(before) + 1):
            repository.untag(previous_tag(tag, age))
        for one in earlier[KEPT:]:
            _drop_unheld(repository, one)
        if repository.digest(tag) != digest:
            raise ProviderError(f"image: {repository.name}@{digest} went while it was taken hold of; run `up` again")


def let_go(repository: Repository, tag: str, digest: str | None) -> None:
    """Remove the stack's tags, and what they held where no other stack holds it."""
    with exclusive(cache_root() / "locks" / "holders"):
        held = {digest} if digest is not None else set()
        for own in (tag, *(previous_tag(tag, age) for age in range(1, KEPT + 1))):
            found = repository.digest(own)
            if found is not None:
                held.add(found)
                repository.untag(own)
        for one in sorted(held):
            _drop_unheld(repository, one)


def _previous(repository: Repository, tag: str) -> list[str | None]:
    return [repository.digest(previous_tag(tag, age)) for age in range(1, KEPT + 1)]


def _drop_unheld(repository: Repository, digest: str) -> None:
    if repository.digest(digest) is None:
        return
    held = {found for tag in repository.tags() if holds(tag) and (found := repository.digest(tag)) is not None}
    held |= {child for one in held for child in repository.children(one)}
    if digest not in held:
        repository.delete(digest, held)
