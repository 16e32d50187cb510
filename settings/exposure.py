"""The way in: how clients reach a stack's models, and whose packets are let through."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Literal, Self, cast

from pydantic import Field, field_validator, model_validator
from pydantic.alias_generators import to_camel

from settings.base import Frozen, Label

NAME = r"[a-z0-9]([a-z0-9-]*[a-z0-9])?"
HOST = re.compile(rf"({NAME}\.)*(?=[^.]*[a-z]){NAME}")  # an address is no name
ObjectName = Annotated[str, Field(pattern=rf"^{NAME}(\.{NAME})*$", max_length=253)]
ServiceType = Literal["ClusterIP", "NodePort", "LoadBalancer"]
OWN_HOST = ("NodePort", "Ingress", "HTTPRoute")
ROUTED = ("Ingress", "HTTPRoute")


class ParentSettings(Frozen):
    """The Gateway that an HTTPRoute asks to be let in by."""

    name: ObjectName
    namespace: Label | None = Field(default=None, description="the stack's own where not given")
    section_name: ObjectName | None = Field(default=None, description="one of its listeners; all where not given")


class AllowSettings(Frozen):
    """Who may connect from outside the stack, in place of what the way in needs by itself."""

    namespaces: tuple[ObjectName, ...] = Field(default=(), max_length=20)
    cidrs: tuple[str, ...] = Field(default=(), max_length=20)

    @field_validator("cidrs")
    @classmethod
    def _are_networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for one in value:
            try:
                ipaddress.ip_network(one)
            except ValueError as error:
                raise ValueError(f"{one!r}: is no network ({error}); write one as 10.0.0.0/8") from None
        return value

    @model_validator(mode="after")
    def _names_someone(self) -> Self:
        if not self.namespaces and not self.cidrs:
            raise ValueError("names nobody; add `namespaces` or `cidrs`, or remove the key")
        return self


class ExposureSettings(Frozen):
    """How the models are reached."""

    type: Literal["ClusterIP", "NodePort", "LoadBalancer", "Ingress", "HTTPRoute"] = "ClusterIP"
    host: str | None = Field(default=None, description="the address that serves node ports, or the name clients ask")
    https: bool = Field(default=False, description="whether something before the cluster's pods ends TLS")
    class_name: ObjectName | None = None
    tls_secret: ObjectName | None = None
    annotations: dict[str, str] = Field(default={}, description="of the Ingress, or of each Service")
    parent: ParentSettings | None = None
    allow: AllowSettings | None = None

    @property
    def routed(self) -> bool:
        """Whether one name leads to the models by their paths."""
        return self.type in ROUTED

    @property
    def service(self) -> ServiceType:
        """The type of the Services that clients come through."""
        return "ClusterIP" if self.routed else cast("ServiceType", self.type)

    @property
    def unrouted(self) -> ExposureSettings:
        """The same for what no path leads to: inside the cluster alone where models are found by one."""
        return ExposureSettings(allow=self.allow) if self.routed else self

    @property
    def scheme(self) -> str:
        """What URLs begin with where a route leads to the models."""
        return "https" if self.https or self.tls_secret else "http"

    @model_validator(mode="after")
    def _fits_the_type(self) -> Self:
        ingress = ("Ingress",)
        annotated = ("Ingress", "LoadBalancer")
        needs = {"class_name": ingress, "tls_secret": ingress, "annotations": annotated, "parent": ("HTTPRoute",)}
        for key, types in {**needs, "https": ROUTED, "host": OWN_HOST}.items():
            if key in self.model_fields_set and self.type not in types:
                raise ValueError(f"{to_camel(key)}: is of type {' or '.join(types)}, not {self.type}; remove it")
        return self

    @model_validator(mode="after")
    def _leads_somewhere(self) -> Self:
        if self.type == "NodePort" and not self.host:
            raise ValueError("is NodePort without a host; add `host`, an address of a node")
        if self.routed and not self.host:
            raise ValueError(f"is {self.type} without a host; add `host`, the name that clients ask")
        if self.routed and (len(self.host or "") > 253 or not HOST.fullmatch(self.host or "")):
            raise ValueError(f"host: {self.host!r}: is no name of DNS in lower case; write one without scheme and port")
        if self.type == "HTTPRoute" and self.parent is None:
            raise ValueError("is HTTPRoute without a parent; add `parent`, the Gateway's {name, namespace}")
        return self
