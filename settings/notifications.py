"""Whom `ops` tells of what went wrong: addresses that are secret, for who has one can write there."""

from __future__ import annotations

import ipaddress
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, model_validator

from settings.base import Frozen

Told = Literal["up-failed", "destroy-failed", "canary-refused", "drift", "reaped"]
ALL: tuple[Told, ...] = ("up-failed", "destroy-failed", "canary-refused", "drift", "reaped")


def is_loopback(host: str) -> bool:
    """Return whether nothing that is sent to a host leaves the machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _checked(value: SecretStr) -> SecretStr:
    parts = urlsplit(value.get_secret_value())
    if not parts.hostname or parts.scheme not in ("http", "https"):
        raise ValueError("is no http or https URL; copy it as the service shows it")
    if parts.scheme == "http" and not is_loopback(parts.hostname):
        raise ValueError("is plain http, which everyone on the way can read; use https")
    return value


SecretUrl = Annotated[SecretStr, AfterValidator(_checked)]
Address = Annotated[str, Field(pattern=r"^[^@\s<>,;]+@[^@\s<>,;]+$", max_length=254)]


class EmailSettings(Frozen):
    """A server that takes mail, and who gets it."""

    server: str = Field(pattern=r"^[A-Za-z0-9.-]+:[0-9]{1,5}$", description="HOST:PORT")
    sender: Address
    to: tuple[Address, ...] = Field(min_length=1, max_length=20)
    user: str | None = None
    password: SecretStr | None = None
    tls: Literal["starttls", "implicit", "none"] = Field(default="starttls", description="none on loopback alone")

    @property
    def address(self) -> tuple[str, int]:
        """The server's host and port."""
        host, _, port = self.server.rpartition(":")
        return host, int(port)

    @model_validator(mode="after")
    def _nobody_reads_it_on_the_way(self) -> Self:
        if (self.user is None) != (self.password is None):
            raise ValueError("names one of user and password; add the other")
        if self.tls == "none" and not is_loopback(self.address[0]):
            raise ValueError(f"tls: none sends to {self.address[0]} in clear; use starttls or implicit")
        return self


class NotificationSettings(Frozen):
    """Where notifications go, and of what."""

    webhook: SecretUrl | None = None
    slack: SecretUrl | None = None
    email: EmailSettings | None = None
    on: tuple[Told, ...] = ALL

    @property
    def named(self) -> bool:
        """Whether anybody is told."""
        return any((self.webhook, self.slack, self.email))
