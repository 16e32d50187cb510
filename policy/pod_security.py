"""The Pod Security Standard `restricted`, field by field.

Source: https://kubernetes.io/docs/concepts/security/pod-security-standards/ (Kubernetes 1.37), Linux pods.
"""

from __future__ import annotations

from collections.abc import Iterator

from policy.node import Node
from policy.pods import Pods, pods_of
from policy.rule import Facts, Finding, Resource, Rule, bad

VOLUMES = (
    *("configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "image"),
    *("persistentVolumeClaim", "projected", "secret"),
)
SYSCTLS = (
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.ping_group_range",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_wmem",
)
SELINUX = ("", "container_t", "container_init_t", "container_kvm_t", "container_engine_t")
PROFILES = ("RuntimeDefault", "Localhost")
APPARMOR = "container.apparmor.security.beta.kubernetes.io/"
REMOVE = "remove it"


def restricted(resource: Resource, _facts: Facts) -> Iterator[Finding]:
    """Find what the standard forbids, and what it asks for and is not there."""
    for pods in pods_of(resource):
        yield from _of_pod(pods)
        yield from _of_metadata(pods.metadata)
        for container in pods.containers:
            yield from _of_context(container.at("securityContext"))
            yield from _of_container(container)
            yield from _from_pod(container, pods)


def _of_pod(pods: Pods) -> Iterator[Finding]:
    for key in ("hostNetwork", "hostPID", "hostIPC"):
        if pods.spec.at(key).value is True:
            yield bad(pods.spec.at(key), REMOVE, "shares the node's")
    for volume in pods.spec.at("volumes").each():
        foreign = [key for key, _ in volume.entries() if key not in (*VOLUMES, "name")]
        if foreign:
            yield bad(volume.at(foreign[0]), f"use one of {', '.join(VOLUMES)}", "is no kind of volume that may be")
    context = pods.spec.at("securityContext")
    yield from _of_context(context)
    for sysctl in context.at("sysctls").each():
        if sysctl.at("name").known and sysctl.at("name").value not in SYSCTLS:
            yield bad(sysctl.at("name"), REMOVE, "is no safe sysctl")


def _of_metadata(metadata: Node) -> Iterator[Finding]:
    for key, value in metadata.at("annotations").entries():
        allowed = value.text in ("", "runtime/default") or value.text.startswith("localhost/")
        if key.startswith(APPARMOR) and not allowed:
            yield bad(value, "set runtime/default", "takes the profile away")


def _of_context(context: Node) -> Iterator[Finding]:
    """Find what neither a pod's nor a container's context may say."""
    for key, allowed in (("seccompProfile", PROFILES), ("appArmorProfile", PROFILES)):
        kind = context.at(key, "type")
        if kind.known and kind.value not in allowed:
            yield bad(kind, f"set {allowed[0]}")
    if context.at("runAsNonRoot").value is False:
        yield bad(context.at("runAsNonRoot"), "set true")
    if context.at("runAsUser").number == 0:
        yield bad(context.at("runAsUser"), "name another user, as 65532", "is root")
    if context.at("windowsOptions", "hostProcess").value is True:
        yield bad(context.at("windowsOptions", "hostProcess"), REMOVE)
    options = context.at("seLinuxOptions")
    if options.at("type").known and options.at("type").value not in SELINUX:
        yield bad(options.at("type"), f"use one of {', '.join(SELINUX[1:])}")
    for key in ("user", "role"):
        if options.at(key).text:
            yield bad(options.at(key), REMOVE)


def _of_container(container: Node) -> Iterator[Finding]:
    context = container.at("securityContext")
    if context.at("privileged").value is True:
        yield bad(context.at("privileged"), REMOVE)
    if context.at("allowPrivilegeEscalation").is_other_than(False):
        yield bad(context.at("allowPrivilegeEscalation"), "set false")
    if context.at("procMount").is_other_than("Default") and context.at("procMount").known:
        yield bad(context.at("procMount"), REMOVE)
    yield from _capabilities(context.at("capabilities"))
    for port in container.at("ports").each():
        if port.at("hostPort").number:
            yield bad(port.at("hostPort"), "remove it; a Service leads to pods", "is a port of the node")
    for handler in _handlers(container):
        for way in ("httpGet", "tcpSocket"):
            if handler.at(way, "host").text:
                yield bad(handler.at(way, "host"), REMOVE, "asks another host than the pod")


def _capabilities(capabilities: Node) -> Iterator[Finding]:
    dropped = capabilities.at("drop")
    if dropped.absent or (dropped.known and "ALL" not in dropped.value):
        yield bad(dropped, "set [ALL]")
    for added in capabilities.at("add").each():
        if added.known and added.value != "NET_BIND_SERVICE":
            yield bad(added, REMOVE, "may not be added")


def _handlers(container: Node) -> Iterator[Node]:
    yield from (container.at(f"{kind}Probe") for kind in ("liveness", "readiness", "startup"))
    yield from (container.at("lifecycle", key) for key in ("postStart", "preStop"))


def _from_pod(container: Node, pods: Pods) -> Iterator[Finding]:
    """Find what neither the container says nor the pod for it."""
    own, shared = container.at("securityContext"), pods.spec.at("securityContext")
    for keys, good in ((("runAsNonRoot",), "true"), (("seccompProfile", "type"), PROFILES[0])):
        if own.at(*keys).absent and shared.at(*keys).absent:
            yield bad(own.at(*keys), f"set {good}, here or for the whole pod")


RULES = (Rule("pod-security-restricted", "Pods keep the Pod Security Standard restricted", "mandatory", restricted),)
