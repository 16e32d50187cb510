"""Entry: one name that leads to all models of a stack by their paths, as an Ingress or as HTTPRoutes.

Fields: https://gateway-api.sigs.k8s.io/reference/spec/ (HTTPRoute, kind of gateway.networking.k8s.io/v1).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import pulumi
import pulumi_kubernetes as k8s

from components import gateway, runtime
from components.labels import OWN, Labels
from components.runtime import Told
from components.site import Site

NAME = "entry"
VERBS = ("predict", "classify", "regress")
# A route that its Gateway does not take leads nowhere: `up` waits until it says so.
# What policies read: that requests come in the clear from something that has ended TLS alone.
HTTPS = {f"{OWN}/https": "true"}
ACCEPTED = {"pulumi.com/waitFor": 'jsonpath={.status.parents[0].conditions[?(@.type=="Accepted")].status}=True'}


@dataclass(frozen=True)
class Path:
    """A path, or with `below` all that lie under it too."""

    value: str
    below: bool = True


@dataclass(frozen=True)
class Way:
    """Paths that lead to the Service of one name."""

    service: str
    port: int
    paths: tuple[Path, ...]


@dataclass(frozen=True, kw_only=True)
class EntryArgs:
    """What the name leads to."""

    site: Site
    models: Mapping[str, pulumi.Output[Told]]
    """Model, as its Service is named → what is told of its server."""
    gateway: bool
    """Whether one stands before them: every path leads to it then."""
    after: Sequence[pulumi.Resource] = ()
    """What makes the Services: who is let in finds someone."""


class Entry(pulumi.ComponentResource):
    """The Ingress of a stack, or an HTTPRoute a Service; the controller, and the Gateway, are the cluster's."""

    def __init__(self, name: str, args: EntryArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("modelstack:components:Entry", name, None, opts)
        self._args = args
        self._labels = Labels(NAME, args.site.stack)
        self._own = pulumi.ResourceOptions(parent=self, depends_on=list(args.after))
        if args.site.exposure.type == "Ingress":
            self._create_ingress()
        else:
            self._create_routes()
        self.register_outputs({})

    def _create_ingress(self) -> None:
        exposure, told = self._args.site.exposure, pulumi.Output.all(**self._told())
        tls: list[k8s.networking.v1.IngressTLSArgsDict] = [
            {"hosts": [str(exposure.host)], "secret_name": str(exposure.tls_secret)}
        ]
        k8s.networking.v1.Ingress(
            NAME,
            metadata={**self._metadata(NAME), "annotations": {**self._https(), **exposure.annotations} or None},
            spec={
                "ingress_class_name": exposure.class_name,
                "tls": tls if exposure.tls_secret else None,
                "rules": [{"host": exposure.host, "http": {"paths": told.apply(lambda all_of: _paths(ways(all_of)))}}],
            },
            opts=self._own,
        )

    def _create_routes(self) -> None:
        exposure = self._args.site.exposure
        for name, told in self._told().items():
            rules = told.apply(partial(_rules, name))
            k8s.apiextensions.CustomResource(
                name,
                api_version="gateway.networking.k8s.io/v1",
                kind="HTTPRoute",
                metadata={**self._metadata(name), "annotations": {**ACCEPTED, **self._https()}},
                spec={"parentRefs": [self._parent()], "hostnames": [exposure.host], "rules": rules},
                opts=self._own,
            )

    def _told(self) -> dict[str, pulumi.Output[Told | None]]:
        """Return Service → what is told of the server that it leads to; nothing of the gateway."""
        if self._args.gateway:
            return {gateway.NAME: pulumi.Output.from_input(None)}
        return dict(sorted(self._args.models.items()))

    def _parent(self) -> dict[str, str]:
        parent = self._args.site.exposure.parent
        return parent.model_dump(by_alias=True, exclude_none=True) if parent else {}

    def _https(self) -> dict[str, str]:
        return HTTPS if self._args.site.exposure.https else {}

    def _metadata(self, name: str) -> k8s.meta.v1.ObjectMetaArgsDict:
        return {"name": name, "namespace": self._args.site.namespace, "labels": self._labels.metadata}


def ways(told: Mapping[str, Told | None]) -> list[Way]:
    """Return where paths lead: Service → its server's; all to the one of which nothing is told, the gateway."""
    return [
        Way(name, runtime.port(one), paths(name, str(one["protocol"])))
        if one
        else Way(name, gateway.LISTENING.port, (Path("/"),))
        for name, one in sorted(told.items())
    ]


def paths(model: str, protocol: str) -> tuple[Path, ...]:
    """Return the paths that a model's clients ask."""
    if protocol == "tensorflow-v1":
        # What lies under a path begins with a slash, a verb with a colon.
        asked = f"/v1/models/{model}"
        return (Path(asked), *(Path(f"{asked}:{verb}", below=False) for verb in VERBS))
    if protocol == "openai-v1":
        return (Path("/v1"),)
    return (Path(f"/v2/models/{model}"),)


def _paths(found: Sequence[Way]) -> list[k8s.networking.v1.HTTPIngressPathArgsDict]:
    return [
        {
            "path": path.value,
            "path_type": "Prefix" if path.below else "Exact",
            "backend": {"service": {"name": way.service, "port": {"number": way.port}}},
        }
        for way in found
        for path in way.paths
    ]


def _rules(name: str, told: Told | None) -> list[dict[str, Any]]:
    return [_rule(way) for way in ways({name: told})]


def _rule(way: Way) -> dict[str, Any]:
    kinds = {True: "PathPrefix", False: "Exact"}
    return {
        "matches": [{"path": {"type": kinds[path.below], "value": path.value}} for path in way.paths],
        "backendRefs": [{"name": way.service, "port": way.port}],
    }
