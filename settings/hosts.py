"""Machines of one's own, of which the playbook that `ops hosts render` writes makes a cluster."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from settings.base import Frozen, Label
from settings.places import ClusterSettings

Host = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$", max_length=63, description="a node's name")]
# An address, or a name that DNS knows.
Address = Annotated[str, Field(pattern=r"^[A-Za-z0-9]([A-Za-z0-9.:-]*[A-Za-z0-9])?$", max_length=253)]
Version = Annotated[str, Field(pattern=r"^[0-9]+\.[0-9]+\.[0-9]+$")]
LabelKey = Annotated[str, Field(pattern=r"^([a-z0-9.-]+/)?[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$", max_length=317)]
LabelValue = Annotated[str, Field(pattern=r"^([A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?)?$", max_length=63)]
# The first whose kubeadm reads v1beta4, in which arguments are lists.
OLDEST = (1, 31)
# The first that reads version 3 of its configuration.
OLDEST_CONTAINERD = 2
# kubeadm's own limit: 20 bits of Services.
WIDEST_SERVICES = 12
# Names of Ansible's own, or of the groups that are rendered.
TAKEN = frozenset({"all", "ungrouped", "localhost", "kubernetes", "workers", "gpu"})
# Kubernetes keeps these for itself, and a node may not give them to itself.
RESERVED = re.compile(r"^([a-z0-9.-]*\.)?(kubernetes|k8s)\.io/")


class TaintSettings(Frozen):
    """What keeps pods away that do not tolerate it."""

    key: LabelKey
    value: LabelValue = ""
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] = "NoSchedule"


GPU_TAINT = TaintSettings(key="nvidia.com/gpu", value="present")


class WorkersSettings(Frozen):
    """Workers of one kind."""

    hosts: dict[Host, Address] = Field(min_length=1, max_length=1000)
    gpu: bool = Field(default=False, description="whether the hosts have NVIDIA GPUs, and the driver")
    labels: dict[LabelKey, LabelValue] = Field(default={}, max_length=20)
    taints: tuple[TaintSettings, ...] | None = Field(default=None, max_length=10)

    @field_validator("labels")
    @classmethod
    def _are_free(cls, value: Mapping[str, str]) -> Mapping[str, str]:
        taken = [key for key in value if RESERVED.match(key)]
        if taken:
            raise ValueError(f"{taken[0]!r} is of Kubernetes' own labels; name one of a domain of yours")
        return value

    @property
    def kept_away(self) -> tuple[TaintSettings, ...]:
        """The taints: those that are set, else on hosts with GPUs the usual one."""
        if self.taints is not None:
            return self.taints
        return (GPU_TAINT,) if self.gpu else ()


class CalicoSettings(Frozen):
    """The network of pods, which enforces NetworkPolicies."""

    version: str = Field(pattern=r"^v[0-9]+\.[0-9]+\.[0-9]+$")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$", description="of manifests/calico.yaml of that version")


class HostsSettings(Frozen):
    """A cluster on machines that are there: Debian or Ubuntu, reached by SSH; every version is pinned by the stack."""

    endpoint: Address = Field(description="where the API server is found: a load balancer, or the one control plane")
    user: str = Field(default="root", pattern=r"^[a-z_][a-z0-9_-]*$", max_length=32, description="logs in by SSH")
    kubernetes: Version
    containerd: Version
    calico: CalicoSettings
    toolkit: Version | None = Field(default=None, description="NVIDIA's container toolkit, where hosts have GPUs")
    pod_cidr: str = "10.244.0.0/16"
    service_cidr: str = "10.96.0.0/16"
    control_plane: dict[Host, Address] = Field(min_length=1, max_length=7)
    workers: dict[Label, WorkersSettings] = Field(min_length=1, max_length=40)

    @property
    def every(self) -> Iterator[tuple[str, str]]:
        """Yield each host with its address."""
        yield from self.control_plane.items()
        for one in self.workers.values():
            yield from one.hosts.items()

    @field_validator("kubernetes")
    @classmethod
    def _is_new_enough(cls, value: str) -> str:
        if tuple(int(part) for part in value.split(".")[:2]) < OLDEST:
            oldest = ".".join(map(str, OLDEST))
            raise ValueError(f"{value} is older than {oldest}, whose kubeadm reads what is rendered; take a newer one")
        return value

    @field_validator("containerd")
    @classmethod
    def _reads_what_is_rendered(cls, value: str) -> str:
        if int(value.partition(".")[0]) < OLDEST_CONTAINERD:
            raise ValueError(
                f"{value} is older than {OLDEST_CONTAINERD}.0.0, which reads what is rendered; take a newer one"
            )
        return value

    @field_validator("pod_cidr", "service_cidr")
    @classmethod
    def _is_a_private_network(cls, value: str) -> str:
        try:
            network = ipaddress.IPv4Network(value)
        except ValueError as error:
            raise ValueError(f"{value!r} is no network ({error}); write one as 10.244.0.0/16") from None
        if not network.is_private or network.prefixlen > 20:
            raise ValueError(f"{value!r} is not a private network of /20 or wider; take 10.244.0.0/16")
        return value

    @model_validator(mode="after")
    def _networks_are_apart(self) -> Self:
        pods, services = (ipaddress.IPv4Network(one) for one in (self.pod_cidr, self.service_cidr))
        if pods.overlaps(services):
            raise ValueError(f"podCidr: {pods} overlaps serviceCidr {services}; take two that share no address")
        if services.prefixlen < WIDEST_SERVICES:
            raise ValueError(
                f"serviceCidr: {services} is wider than /{WIDEST_SERVICES}, which kubeadm refuses; narrow it"
            )
        for name, address in self.every:
            for network in (pods, services):
                if _lies_in(address, network):
                    raise ValueError(f"{name}: {address} lies in {network}, which is the cluster's own; take another")
        return self

    @model_validator(mode="after")
    def _each_host_is_one(self) -> Self:
        found = list(self.every)
        taken = next((name for name, _ in found if name in TAKEN), None)
        if taken:
            raise ValueError(f"{taken!r} is the name of a group of Ansible's; rename the host")
        for what, seen in (("host", [one for one, _ in found]), ("address", [one for _, one in found])):
            twice = next((one for one in seen if seen.count(one) > 1), None)
            if twice:
                raise ValueError(f"{twice!r} is the {what} of two; name each host once")
        return self

    @model_validator(mode="after")
    def _a_majority_can_be_counted(self) -> Self:
        count = len(self.control_plane)
        if count % 2 == 0:
            raise ValueError(
                f"controlPlane: {count} hosts bear the end of no more than {count - 1} do; name {count - 1} or "
                f"{count + 1}"
            )
        if count > 1 and self.endpoint in self.control_plane.values():
            raise ValueError(
                f"endpoint: {self.endpoint} is one of {count} control planes, and its end would be everyone's; name a "
                "load balancer, or a name that leads to all"
            )
        return self

    @model_validator(mode="after")
    def _gpus_need_the_toolkit(self) -> Self:
        asked = [name for name, one in self.workers.items() if one.gpu]
        if asked and self.toolkit is None:
            raise ValueError(f"workers.{asked[0]}: has GPUs, and toolkit is missing; name its version, such as 1.18.1")
        return self


def _lies_in(address: str, network: ipaddress.IPv4Network) -> bool:
    try:
        return ipaddress.IPv4Address(address) in network
    except ValueError:
        return False


def require_place(cluster: ClusterSettings) -> None:
    """Raise ValueError where no file is named that a playbook in another folder can write."""
    path = cluster.kubeconfig
    if path is None:
        raise ValueError("hosts: are made a cluster whose kubeconfig goes to cluster.kubeconfig; set it")
    if not path.startswith(("/", "~/")) or "{" in path:
        raise ValueError(
            f"cluster.kubeconfig: {path!r}: the playbook writes it from a folder of its own; begin with ~/ or /"
        )
