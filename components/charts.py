"""Charts: Helm charts of others, rendered by the Kubernetes provider as objects of the stack."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as k8s

from components.labels import Labels
from settings import ChartSettings


@dataclass(frozen=True, kw_only=True)
class ChartsArgs:
    """Which charts, by their names."""

    charts: Mapping[str, ChartSettings]
    stack: str


class Charts(pulumi.ComponentResource):
    """The charts, each in a namespace that says which pods it admits."""

    ready: list[pulumi.Resource]
    """What waits for the charts' own objects waits for these."""

    def __init__(self, name: str, args: ChartsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("modelstack:components:Charts", name, None, opts)
        self._stack = args.stack
        self._own = pulumi.ResourceOptions(parent=self)
        made = {one.namespace: one.security for one in args.charts.values() if one.make_namespace}
        namespaces = {namespace: self._create_namespace(namespace, security) for namespace, security in made.items()}
        self.ready = [
            self._create_chart(chart, one, namespaces.get(one.namespace)) for chart, one in args.charts.items()
        ]
        self.register_outputs({"names": sorted(args.charts)})

    def _create_namespace(self, name: str, security: str) -> k8s.core.v1.Namespace:
        modes = {f"pod-security.kubernetes.io/{mode}": security for mode in ("enforce", "warn", "audit")}
        labels = {**Labels("namespace", self._stack).metadata, **modes}
        return k8s.core.v1.Namespace(name, metadata={"name": name, "labels": labels}, opts=self._own)

    def _create_chart(
        self, name: str, chosen: ChartSettings, namespace: k8s.core.v1.Namespace | None
    ) -> k8s.helm.v4.Chart:
        by_https = chosen.repo is not None and not chosen.of_a_registry
        return k8s.helm.v4.Chart(
            name,
            name=name,
            namespace=chosen.namespace,
            chart=chosen.reference,
            version=chosen.version,
            repository_opts=k8s.helm.v4.RepositoryOptsArgs(repo=chosen.repo) if by_https else None,
            verify=True if chosen.keyring else None,
            keyring=pulumi.FileAsset(chosen.keyring) if chosen.keyring else None,
            values=chosen.values,
            opts=pulumi.ResourceOptions(parent=self, depends_on=[namespace] if namespace else []),
        )
