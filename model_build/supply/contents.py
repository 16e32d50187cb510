"""What a build put into an image, as far as others want to know it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from model_build.oci.reference import Reference

if TYPE_CHECKING:  # who verifies reads no recipe
    from model_build.inputs import Inputs
    from model_build.recipe import Recipe

SBOM_TYPE = "application/vnd.cyclonedx+json"


@dataclass(frozen=True)
class Contents:
    """One build: recipe, inputs, base, the artifact's folder, and by lock the folder of wheels of each platform.

    Without wheels the base is the server's own image, and nothing of ours runs in it. `native` is whether the server's
    native module is in the image.
    """

    recipe: Recipe
    inputs: Inputs
    base: Reference
    artifact: Path
    wheels: Mapping[str, tuple[Path, ...]]
    began: datetime
    native: bool = False
