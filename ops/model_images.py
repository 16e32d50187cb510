"""The images of a stack's models, as its state records them or a plan foretells them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pulumi.runtime.rpc import UNKNOWN

from ops.engine import State, resources
from provider.finding import Finder
from provider.registry import Repository
from provider.trust import Trust
from provider.values import wrap
from provider.wanted import Wanted

TYPE = "modelstack:index:ModelImage"


@dataclass(frozen=True)
class ModelImage:
    """One model's image: the resource's URN, and its inputs and outputs by the provider's names."""

    urn: str
    values: Mapping[str, Any]

    @property
    def model(self) -> str:
        """The model's name."""
        return self.urn.rpartition("::")[2]

    @property
    def digest(self) -> str | None:
        """Digest of the image; None where a plan does not know it."""
        return self._text("digest")

    @property
    def inputs(self) -> str | None:
        """Hash of the inputs; None where a plan does not know it."""
        return self._text("inputsHash")

    @property
    def recipe(self) -> Mapping[str, Any]:
        """The recipe as it was read; empty where a plan does not know it."""
        return self.mapping("parsed")

    def mapping(self, key: str) -> Mapping[str, Any]:
        """Return the mapping at `key`, empty where there is none."""
        found = self.values.get(key)
        return found if isinstance(found, Mapping) else {}

    def finder(self, project: Path) -> Finder | None:
        """Return what finds the image of these inputs; None where a plan does not know one of them."""
        wanted = Wanted.of({key: wrap(value) for key, value in self.values.items()})
        return None if wanted is None else Finder(wanted, project)

    def trust(self, project: Path, key: str | None = None) -> Trust:
        """Return which keys count for it; `key` signs in place of the stack's own."""
        return Trust(tuple(self.values.get("publicKeys") or ()), key or self._text("signingKey"), project)

    def repository(self, project: Path) -> Repository:
        """Return where it is pushed to."""
        return Repository(str(self._text("push")), str(self._text("repository")), self._text("dockerConfig"), project)

    def _text(self, key: str) -> str | None:
        found = self.values.get(key)
        return found if isinstance(found, str) and found and found != UNKNOWN else None


def of_state(state: State) -> dict[str, ModelImage]:
    """Return model → image of a stack's state."""
    return _by_model(one for one in resources(state) if not one.get("delete"))


def of_plan(plan: Mapping[str, Any]) -> dict[str, ModelImage]:
    """Return model → image of what `pulumi preview --json` printed."""
    return _by_model(step["newState"] for step in plan.get("steps") or () if step.get("newState"))


def _by_model(found: Iterable[Mapping[str, Any]]) -> dict[str, ModelImage]:
    images = (
        ModelImage(one["urn"], {**(one.get("inputs") or {}), **(one.get("outputs") or {})})
        for one in found
        if one.get("type") == TYPE
    )
    return {one.model: one for one in images}
