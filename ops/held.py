"""What stacks hold in registries: where it lies, and how it gets into an OCI layout."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from model_build.oci.credentials import docker_folder
from model_build.oci.descriptor import DIGEST
from model_build.oci.referrers import fallback_tag, referrers
from model_build.oci.registry import Registry
from ops.archive import RepositoryPart
from ops.engine import State, resources
from ops.gc import named
from ops.layout import Layout
from provider.naming import STACK_PREFIX, stack_tag
from provider.registry import COSIGN_SUFFIXES, Repository

IMAGE = "modelstack:index:ModelImage"


@dataclass(frozen=True)
class Place:
    """A repository that stacks pull from, at the host where it is pushed to."""

    host: str
    name: str
    docker_config: str | None
    project: Path

    @property
    def registry(self) -> Registry:
        """The registry, with its credentials."""
        folder = docker_folder() if self.docker_config is None else self.project / self.docker_config
        return Registry.of_docker(self.host, folder)

    @property
    def repository(self) -> Repository:
        """The repository, as the provider knows it."""
        return Repository(self.host, self.name, self.docker_config, self.project)


def places(states: Sequence[State], project: Path) -> list[Place]:
    """Return the repositories of the registries that the stacks push to, which their states name."""
    images = [one["inputs"] for state in states for one in resources(state) if one["type"] == IMAGE]
    found = {(str(one["push"]), str(one["repository"])): one.get("dockerConfig") for one in images}
    text = json.dumps([resources(state) for state in states])
    for push, pull, config in {
        (str(one["push"]), str(one.get("pull") or one["push"]), one.get("dockerConfig")) for one in images
    }:
        # What else of that registry the stacks run: a gateway, a cache, the base of their images.
        for name in re.findall(rf"\"{re.escape(pull)}/([a-z0-9._/-]+)@{DIGEST.pattern}\"", text):
            found.setdefault((push, name), config)
    return [Place(*place, config, project) for place, config in sorted(found.items())]


def take(place: Place, states: Sequence[State], layout: Layout) -> RepositoryPart:
    """Copy what the stacks hold in a repository into the layout; raises RegistryError and DataError."""
    repository = place.repository
    tags = {tag: digest for tag in repository.tags() if (digest := repository.digest(tag)) is not None}
    own = _own_tags(states)
    wanted = {digest for tag, digest in tags.items() if _is_of(tag, own)} | named(states, place.name)
    wanted |= {one for digest in sorted(wanted) for one in repository.mounted(digest)}
    missing = [digest for digest in sorted(wanted) if layout.take(place.registry, place.name, digest) is None]
    taken = sorted(wanted - set(missing))
    taken += [one for digest in taken for one in _attached(place, digest, tags, layout)]
    kept = {tag: digest for tag, digest in tags.items() if digest in taken and not _is_of_others(tag, own)}
    return RepositoryPart(
        registry=place.host,
        repository=place.name,
        docker_config=place.docker_config,
        tags=kept,
        manifests=tuple(dict.fromkeys(taken)),
        missing=tuple(missing),
    )


def _attached(place: Place, digest: str, tags: dict[str, str], layout: Layout) -> list[str]:
    """Copy what is attached to a manifest, and to each that it names: signatures, bills of materials, provenance."""
    listed = [
        one
        for subject in (digest, *place.repository.children(digest))
        for one in (
            *(one.digest for one in referrers(place.registry, place.name, subject)),
            *(tags.get(f"{fallback_tag(subject)}{suffix}") for suffix in ("", *COSIGN_SUFFIXES)),
        )
    ]
    return [one for one in listed if one is not None and layout.take(place.registry, place.name, one) is not None]


def _own_tags(states: Iterable[State]) -> frozenset[str]:
    return frozenset(stack_tag(one["urn"]) for state in states for one in resources(state) if one["type"] == IMAGE)


def _is_of(tag: str, own: frozenset[str]) -> bool:
    """Return whether a stack's resource holds an image by this tag, now or from a few changes ago."""
    return any(tag == one or tag.startswith(f"{one}-") for one in own)


def _is_of_others(tag: str, own: frozenset[str]) -> bool:
    return tag.startswith(STACK_PREFIX) and not _is_of(tag, own)
