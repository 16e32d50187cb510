"""Names of images: HOST/REPOSITORY[:TAG][@DIGEST]."""

import re
from dataclasses import dataclass

from model_build.errors import RegistryError
from model_build.oci.descriptor import DIGEST

HOST = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9a-fA-F:]+\])(?::[0-9]{1,5})?")
_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
REPOSITORY = re.compile(rf"{_PART}(?:/{_PART})*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_LONGEST_REPOSITORY = 255


@dataclass(frozen=True)
class Reference:
    """One image or repository: the host with its port, the repository, and a tag or digest where named."""

    host: str
    repository: str
    tag: str | None = None
    digest: str | None = None

    @classmethod
    def parse(cls, text: str) -> "Reference":
        """Return the reference `text` spells; raises RegistryError where it is none or has no host."""
        name, _, digest = text.partition("@")
        host, _, rest = name.partition("/")
        repository, _, tag = rest.partition(":")
        _check(text, "host", host, HOST if _is_host(host) else None)
        _check(text, "repository", repository, REPOSITORY if len(repository) <= _LONGEST_REPOSITORY else None)
        if ":" in rest:
            _check(text, "tag", tag, _TAG)
        if "@" in text:
            _check(text, "digest", digest, DIGEST)
        return cls(host, repository, tag or None, digest or None)

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"{self.host}/{self.repository}{tag}{digest}"


def _is_host(text: str) -> bool:
    # The first part of a name without a host ("library/debian") looks like any folder.
    return any(mark in text for mark in ".:") or text == "localhost"


def _check(text: str, what: str, value: str, pattern: re.Pattern[str] | None) -> None:
    if pattern is None or not pattern.fullmatch(value):
        raise RegistryError(
            f"image {text!r}: {what} is {value!r}, no valid {what}; write HOST/REPOSITORY, then :TAG or "
            "@sha256:<64 hex digits>"
        )
