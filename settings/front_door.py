"""The front door of a stack in AWS: the name that clients ask, who they may be, and what never reaches the gateway."""

from __future__ import annotations

import ipaddress
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from settings.base import Frozen
from settings.exposure import HOST, ExposureSettings
from settings.gateway import GatewaySettings

Zone = Annotated[str, Field(pattern=r"^Z[A-Z0-9]{1,31}$", description="id of the hosted zone that the name lies in")]
RuleName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,128}$")]


# Of AWS' common set and of its known bad inputs: tensors are binary and of any size, a rule on text finds anything in
# them, and the gateway's bodyBytes is the limit here. Clients of models are programs, which need not name themselves.
COUNTED = (
    "SizeRestrictions_BODY",
    "EC2MetaDataSSRF_BODY",
    "GenericLFI_BODY",
    "GenericRFI_BODY",
    "CrossSiteScripting_BODY",
    "NoUserAgent_HEADER",
    "JavaDeserializationRCE_BODY",
    "Log4JRCE_BODY",
    "ReactJSRCE_BODY",
)
# Three hundred in a second: a client that infers steadily stays below it.
PUBLIC_REQUESTS = 100_000
# AWS takes no longer idle time of a load balancer.
LONGEST_IDLE_SECONDS = 4000
# CloudFront takes 75 behaviours, the default's one of them; an account may ask AWS for more.
MOST_KEPT = 74
# Two networks of /1 are everybody.
NARROW = 8


class FirewallSettings(Frozen):
    """What AWS WAF refuses."""

    requests: int | None = Field(
        default=None, ge=10, le=2_000_000_000, description="of one address in five minutes; 100,000 where public"
    )
    counted: tuple[RuleName, ...] = Field(
        default=COUNTED, max_length=40, description="rules of AWS' sets that count and refuse nothing"
    )


class CdnSettings(Frozen):
    """CloudFront before what a GET answers: what models are, as their servers tell it."""

    host: str = Field(description="a name of its own in the same zone; clients of models ask the front door's")
    seconds: int = Field(default=60, ge=1, le=300, description="that an answer is kept, for who sent the same key")

    @field_validator("host")
    @classmethod
    def _is_a_name(cls, value: str) -> str:
        return whole_name(value)


class FrontDoorSettings(Frozen):
    """An application load balancer before the gateway, with a certificate, a name and a firewall."""

    host: str = Field(description="the name that clients ask")
    zone: Zone
    public: bool = Field(default=False, description="whether it lies in the public subnets, with public addresses")
    clients: tuple[str, ...] = Field(
        default=(), max_length=50, description="networks that may connect; the VPC's where not given, anyone if public"
    )
    oldest_tls: Literal["1.2", "1.3"] = "1.2"
    latency: bool = Field(default=False, description="whether each client is led to the stack nearest of that name")
    node_port: int = Field(default=30443, ge=30000, le=32767, description="of every node, reached from within alone")
    firewall: FirewallSettings = FirewallSettings()
    cdn: CdnSettings | None = None

    @field_validator("host")
    @classmethod
    def _is_a_name(cls, value: str) -> str:
        return whole_name(value)

    @model_validator(mode="after")
    def _cdn_reaches_it(self) -> Self:
        if self.cdn and not (self.public and not self.clients):
            raise ValueError("cdn: CloudFront asks from anywhere in the internet; set public: true without clients")
        if self.cdn and self.oldest_tls != "1.2":
            raise ValueError(f"cdn: CloudFront asks by TLS 1.2, and oldestTls is {self.oldest_tls}; remove it")
        if self.cdn and self.cdn.host == self.host:
            raise ValueError(f"cdn.host: {self.host} leads to the front door already; name another one")
        return self

    @field_validator("clients")
    @classmethod
    def _are_networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for one in value:
            require_narrow(one)
        return value

    @property
    def requests(self) -> int | None:
        """The most of one address in five minutes; None where nothing limits them."""
        return self.firewall.requests or (PUBLIC_REQUESTS if self.public else None)

    def idle_seconds(self, gateway: GatewaySettings) -> int:
        """Return how long the load balancer waits: as the gateway may take and a little longer, within AWS' limit."""
        longest = max(gateway.queue_seconds, gateway.wake_seconds) + gateway.answer_seconds
        return min(longest + 10, LONGEST_IDLE_SECONDS)

    def require_fits(self, gateway: GatewaySettings, exposure: ExposureSettings | None, models: int) -> None:
        """Raise ValueError where the gateway behind it, another way in beside it, or the number of models misfits."""
        self._require_gateway(gateway)
        if exposure and exposure.type != "ClusterIP":
            raise ValueError(f"exposure.type: {exposure.type} leads past aws.frontDoor; remove one of the two")
        if exposure and exposure.allow:
            raise ValueError(
                "exposure.allow: keeps nobody out beside aws.frontDoor, for which the gateway takes packets of the "
                "whole network, whose addresses pods have too; remove one of the two"
            )
        if self.cdn and models > MOST_KEPT:
            raise ValueError(
                f"aws.frontDoor.cdn: keeps a path for each model, {MOST_KEPT} at most, not {models}; remove it"
            )

    def _require_gateway(self, gateway: GatewaySettings) -> None:
        asks = bool(gateway.keys or gateway.jwt)
        if not gateway.enabled:
            raise ValueError("aws.frontDoor: leads to the gateway, and gateway.enabled is false; enable it")
        if self.public and not self.clients and not asks:
            raise ValueError(
                "aws.frontDoor.public: lets anyone ask the models, and the gateway asks for no key; add gateway.keys "
                "or gateway.jwt, or name clients"
            )
        if self.public and gateway.tls is None:
            raise ValueError(
                "aws.frontDoor.public: what comes from outside, keys too, would go on to the gateway in the clear; set "
                "gateway.tls"
            )
        if gateway.limit and not asks:
            raise ValueError(
                "gateway.limit: counts addresses without keys or jwt, and behind aws.frontDoor all clients have the "
                "nodes'; add keys or jwt, or use aws.frontDoor.firewall.requests"
            )


def require_narrow(network: str) -> None:
    """Raise ValueError where a text is no network, or one of nearly everybody."""
    try:
        found = ipaddress.IPv4Network(network)
    except ValueError as error:
        raise ValueError(f"{network!r} is no network ({error}); write one as 203.0.113.0/24") from None
    if found.prefixlen < NARROW:
        raise ValueError(f"{network!r} is wider than a /{NARROW}, close to everybody; name the networks you work from")


def whole_name(value: str) -> str:
    """Return a name of DNS. Raises ValueError where it is none, or a part of one."""
    if len(value) > 253 or "." not in value or not HOST.fullmatch(value):
        raise ValueError(f"{value!r} is no whole name of DNS in lower case; write one as models.example.com")
    return value
