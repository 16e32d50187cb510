"""Labels of everything a stack brings up (docs/architecture.md, Labels)."""

from __future__ import annotations

from dataclasses import dataclass

PART_OF = "modelstack"
APP = "app.kubernetes.io"
OWN = "modelstack.dev"


@dataclass(frozen=True)
class Labels:
    """The labels of one application of one stack."""

    name: str
    stack: str
    model: str | None = None

    @property
    def selector(self) -> dict[str, str]:
        """Name and instance alone, since a selector cannot be changed."""
        return {f"{APP}/name": self.name, f"{APP}/instance": self.stack}

    @property
    def metadata(self) -> dict[str, str]:
        """The labels of an object."""
        own = {f"{OWN}/stack": self.stack, **({f"{OWN}/model": self.model} if self.model else {})}
        return {**self.selector, f"{APP}/part-of": PART_OF, f"{APP}/managed-by": "pulumi", **own}
