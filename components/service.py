"""A Service and the URL by which it is reached from where `pulumi up` runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pulumi
import pulumi_kubernetes as k8s

from components.labels import Labels
from settings import ExposureSettings

# A Service that the controller of rollouts points at pods of its choice: there are none before the first Rollout.
MANAGED = {"pulumi.com/skipAwait": "true"}
FORCED = {"pulumi.com/patchForce": "true"}
SELECTOR = "spec.selector"


def expose(
    labels: Labels,
    namespace: pulumi.Input[str],
    ports: pulumi.Input[Mapping[str, int]],
    exposure: ExposureSettings,
    opts: pulumi.ResourceOptions,
    *,
    scheme: str = "http",
    managed: bool = False,
    headless: bool = False,
    to_zero: bool = False,
    selector: Mapping[str, str] | None = None,
) -> tuple[pulumi.Output[str], k8s.core.v1.Service]:
    """Make the Service of `labels.name`; returns the URL of its port `http`, once the cluster has given it an address.

    `ports` has the numbers by the names that the pods' ports have too.

    Where a route leads to it (components/entry.py) the URL is the route's.
    Of a `managed` one the controller of rollouts chooses the pods. One that was managed before is taken back.
    The name of a `headless` one resolves to each of its pods that is ready. For pods of one
    `to_zero` nobody waits. Its pods are those of `labels`, or of a `selector`.
    """
    if managed:
        opts = pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(ignore_changes=[SELECTOR]))
    annotations = MANAGED if managed else {**FORCED, **(MANAGED if to_zero else {})}
    service = k8s.core.v1.Service(
        labels.name,
        metadata={
            "name": labels.name,
            "namespace": namespace,
            "labels": labels.metadata,
            "annotations": {**annotations, **_of_balancer(exposure)},
        },
        spec={
            "type": exposure.service,
            **({"cluster_ip": "None"} if headless else {}),
            **_allowed(exposure),
            "selector": selector or labels.selector,
            "ports": pulumi.Output.from_input(ports).apply(service_ports),
        },
        opts=opts,
    )
    if exposure.routed:
        return pulumi.Output.from_input(f"{exposure.scheme}://{exposure.host}"), service
    port = pulumi.Output.from_input(ports).apply(lambda found: found["http"])
    address = _address(service, labels.name, namespace, port, exposure)
    return pulumi.Output.concat(scheme, "://", address), service


def _of_balancer(exposure: ExposureSettings) -> Mapping[str, str]:
    """Return the annotations by which a cloud's controller is told what kind of load balancer to make."""
    return exposure.annotations if exposure.type == "LoadBalancer" else {}


def _allowed(exposure: ExposureSettings) -> k8s.core.v1.ServiceSpecArgsDict:
    """Return the networks that a load balancer lets in, where they are named."""
    named = exposure.allow.cidrs if exposure.type == "LoadBalancer" and exposure.allow else ()
    return {"load_balancer_source_ranges": list(named)} if named else {}


def service_ports(ports: Mapping[str, int]) -> list[k8s.core.v1.ServicePortArgsDict]:
    """Return a Service's ports, which lead to the pods' of the same names."""
    return [{"name": name, "port": number, "target_port": name} for name, number in sorted(ports.items())]


def _address(
    service: k8s.core.v1.Service,
    name: str,
    namespace: pulumi.Input[str],
    port: pulumi.Output[int],
    exposure: ExposureSettings,
) -> pulumi.Output[str]:
    if exposure.type == "NodePort":
        # The id is unknown until the Service exists, and with it the port that the cluster gives.
        made = pulumi.Output.all(service.spec, service.id)
        return made.apply(lambda both: f"{exposure.host}:{_node_port(both[0])}")
    if exposure.type == "LoadBalancer":
        made = pulumi.Output.all(service.status, service.id, port)
        return made.apply(lambda all_of: f"{_given(all_of[0])}:{all_of[2]}")
    return pulumi.Output.concat(name, ".", namespace, ".svc:", port.apply(str))


# Output.all gives mappings in place of the kinds' classes.
def _node_port(spec: Any) -> int:
    return int(next(port["node_port"] for port in spec["ports"] if port["name"] == "http"))


def _given(status: Any) -> str:
    given = (status.get("load_balancer") or {}).get("ingress") or []
    # `up` waits for an address; a preview that turns a Service into a LoadBalancer has none to show.
    return str(given[0].get("hostname") or given[0]["ip"]) if given else "no-address-yet"
