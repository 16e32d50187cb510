"""Helm charts of others that a stack brings into its cluster, each pinned."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from settings.base import Frozen, Label

# One version, no range: what a repository adds must not change what a stack runs.
Version = Annotated[str, Field(pattern=r"^v?[0-9]+\.[0-9]+\.[0-9]+([-+][0-9A-Za-z.+-]+)?$", max_length=100)]
Repository = Annotated[str, Field(pattern=r"^(https|oci)://[A-Za-z0-9][A-Za-z0-9.:/_-]*$", max_length=300)]
File = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][^\x00]*$", max_length=300)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
OCI = "oci://"
# Every cluster has these, and its own parts run in them.
OF_KUBERNETES = frozenset({"default", "kube-node-lease", "kube-public", "kube-system"})


class ChartSettings(Frozen):
    """One chart: of a repository by its version, or a file of the project by its hash."""

    repo: Repository | None = Field(default=None, description="a repository by https, or a registry's folder by oci")
    chart: str | None = Field(default=None, pattern=r"^[a-z0-9][a-z0-9-]*$", max_length=100, description="in the repo")
    version: Version | None = None
    keyring: File | None = Field(default=None, description="public keys, by one of which the chart must be signed")
    file: File | None = Field(default=None, description="an archive below the project's folder")
    sha256: Sha256 | None = Field(default=None, description="of the file")
    namespace: Label
    make_namespace: bool = Field(default=True, description="whether the stack makes it, and nobody else")
    security: Literal["restricted", "baseline", "privileged"] = Field(
        default="restricted", description="what pods the namespace admits, where the stack makes it"
    )
    values: dict[str, Any] = Field(default={})

    @property
    def reference(self) -> str:
        """What Helm is asked for."""
        if self.file is not None:
            return f"./{self.file}"
        return f"{str(self.repo).rstrip('/')}/{self.chart}" if self.of_a_registry else str(self.chart)

    @property
    def of_a_registry(self) -> bool:
        """Whether the chart is an artifact in an OCI registry."""
        return self.repo is not None and self.repo.startswith(OCI)

    @model_validator(mode="after")
    def _comes_from_one_place(self) -> Self:
        of_repo = {key: getattr(self, key) for key in ("repo", "chart", "version")}
        of_file = {key: getattr(self, key) for key in ("file", "sha256")}
        named = [key for key, one in {**of_repo, **of_file, "keyring": self.keyring}.items() if one is not None]
        wanted = of_file if self.file is not None else of_repo
        foreign = [key for key in named if key not in wanted and not (key == "keyring" and self.file is None)]
        if foreign:
            raise ValueError(f"{foreign[0]}: does not go with {next(iter(wanted))}; remove one of the two")
        missing = [key for key, one in wanted.items() if one is None]
        if missing:
            raise ValueError(f"{missing[0]}: is missing; name repo, chart and version, or file and sha256")
        return self


def require_apart(charts: Mapping[str, ChartSettings], own: str) -> None:
    """Raise ValueError where a namespace would be made twice, or admit two kinds of pods; `own` is the stack's."""
    made: dict[str, str] = {}
    for name, one in charts.items():
        if one.namespace == own:
            raise ValueError(f"{name}.namespace: {own!r} is the stack's own; name another")
        if not one.make_namespace:
            continue
        if one.namespace in OF_KUBERNETES:
            raise ValueError(f"{name}.namespace: {one.namespace!r} is Kubernetes' own; set makeNamespace: false")
        if made.setdefault(one.namespace, one.security) != one.security:
            raise ValueError(
                f"{name}.security: {one.security} is not {made[one.namespace]}, which another chart says of "
                f"{one.namespace}; agree on one"
            )


def require_files(charts: Mapping[str, ChartSettings], project: Path) -> None:
    """Raise ValueError for a file that is not there, not below the project or not the one that its hash says."""
    for name, one in charts.items():
        for key, path in (("file", one.file), ("keyring", one.keyring)):
            if path is not None:
                _require_inside(f"{name}.{key}", path, project)
        if one.file is not None:
            found = hashlib.sha256((project / one.file).read_bytes()).hexdigest()
            if found != one.sha256:
                raise ValueError(f"{name}.sha256: {one.file} has {found}; take the file that was reviewed, or its hash")


def _require_inside(key: str, path: str, project: Path) -> None:
    target = (project / path).resolve()
    if not target.is_relative_to(project.resolve()) or not target.is_file():
        raise ValueError(
            f"{key}: {path!r} names no file below the project's folder; write the file or correct the path"
        )
