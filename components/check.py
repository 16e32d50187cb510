"""Checks of a version: pods of its own image that send its golden set to a Service and compare the answers."""

from __future__ import annotations

from typing import Any

import pulumi
import pulumi_kubernetes as k8s

from components import network, runtime
from components.labels import Labels
from components.pods import container_security, pod_security, quantities
from components.serving_pods import ServingPods
from components.wire import wire
from provider.cluster_resources import SmokeTest, SmokeTestArgs
from settings import Resources

COMPARE = ("/usr/bin/python3.11", "-m", "model_server.compare")
RESOURCES = Resources(cpu_request="50m", cpu_limit="1", memory_request="64Mi", memory_limit="256Mi")
SMOKE_SECONDS = 120


def labels_of(pods: ServingPods) -> Labels:
    """Return the labels of a model's checks; no Service finds them, nor does a count of the model's pods."""
    return Labels(f"{pods.name}-check", pods.labels.stack)


def check_pod(pods: ServingPods, arguments: list[pulumi.Input[str]]) -> pulumi.Output[Any]:
    """Return a pod's spec, as the API server reads it, that runs one comparison with these arguments."""
    container: k8s.core.v1.ContainerArgsDict = {
        "name": "check",
        "image": pods.image,
        "command": [*COMPARE, "--model", pods.name, *arguments],
        "env": pods.told(runtime.env),
        "resources": quantities(RESOURCES),
        "security_context": container_security(),
        "volume_mounts": pods.told(runtime.mounts),
        # What it says last is the reason of a failure.
        "termination_message_policy": "FallbackToLogsOnError",
    }
    spec: k8s.core.v1.PodSpecArgsDict = {
        "automount_service_account_token": False,
        "enable_service_links": False,
        "restart_policy": "Never",
        "security_context": pod_security(),
        "containers": [container],
        "volumes": pods.volumes,
    }
    return wire(spec)


def url_of(pods: ServingPods, service: str) -> pulumi.Output[str]:
    """Return the address of a Service of the model, for a pod of the same namespace."""
    return pulumi.Output.concat("http://", service, ":", pods.told(runtime.port).apply(str))


def allow_checks(pods: ServingPods, opts: pulumi.ResourceOptions) -> None:
    """Let checks ask for names, and reach the model's pods on its port; nothing reaches them."""
    servers: network.Egress = {"to": network.pods(pods.labels), "ports": network.tcp("http")}
    network.allow(labels_of(pods), pods.args.site, opts, egress=[network.names(), servers])


def smoke_test(pods: ServingPods, opts: pulumi.ResourceOptions) -> SmokeTest:
    """Send the golden set through the model's Service; it has to be answered as it was when the image was baked."""
    arguments: list[pulumi.Input[str]] = ["--url", url_of(pods, pods.name), "--version", pods.version]
    args = SmokeTestArgs(
        access=pods.args.site.access,
        namespace=pods.args.site.namespace,
        labels=labels_of(pods).metadata,
        pod=check_pod(pods, arguments),
        seconds=SMOKE_SECONDS,
    )
    return SmokeTest(f"{pods.name}-smoke", args, opts)
