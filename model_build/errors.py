"""Errors a build can end with: one line each, with a kind and an exit code."""

import re
from collections.abc import Mapping
from typing import Any

EXIT_CODES = {
    "recipe": 3,
    "data": 4,
    "gate": 5,
    "registry": 6,
    "environment": 7,
    "signature": 8,
    "cancelled": 130,
    "internal": 1,
}


def one_line(text: str, limit: int = 2000) -> str:
    """Return `text` without line breaks or control characters, at most `limit` characters."""
    flat = " ".join(re.sub(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+", " ", text).split())
    return flat if len(flat) <= limit else flat[: limit - 1] + "…"


class BuildError(Exception):
    """A build stopped; the message is one line and names key, value, limit and remedy."""

    kind = "internal"

    def __init__(self, message: str) -> None:
        super().__init__(one_line(message))

    @property
    def exit_code(self) -> int:
        """Exit code of the command line for this kind of error."""
        return EXIT_CODES[self.kind]


class RecipeError(BuildError):
    """The recipe, or the model code it names, cannot be used."""

    kind = "recipe"


class DataError(BuildError):
    """The data cannot be had or is not what the recipe says."""

    kind = "data"


class GateError(BuildError):
    """The artifact missed one or more gates; `facts` are what was measured of it, for the report."""

    kind = "gate"

    def __init__(self, message: str, facts: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.facts = dict(facts or {})

    def reported(self, page: str) -> "GateError":
        """Return the error with the place of the report, which a long message does not push out."""
        return GateError(f"{one_line(str(self), 1600)}; report: {page}", self.facts)


class RegistryError(BuildError):
    """The image could not be pushed."""

    kind = "registry"


class EnvironmentFault(BuildError):  # noqa: N818 (EnvironmentError is a builtin of another meaning)
    """The machine or the build environment lacks something."""

    kind = "environment"


class SignatureError(BuildError):
    """An image is not signed as it must be, or a key cannot be used."""

    kind = "signature"


class CancelledError(BuildError):
    """The build was asked to stop."""

    kind = "cancelled"


def error_of(kind: str, message: str, facts: Mapping[str, Any] | None = None) -> BuildError:
    """Return the error of `kind` with `message`, and with `facts` where it is of a gate; else a plain BuildError."""
    if kind == GateError.kind:
        return GateError(message, facts)
    known = (RecipeError, DataError, RegistryError, EnvironmentFault, SignatureError, CancelledError)
    return next((one for one in known if one.kind == kind), BuildError)(message)
