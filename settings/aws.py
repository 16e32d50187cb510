"""Amazon Web Services: the network, the cluster and the registry that a stack brings up there itself."""

from __future__ import annotations

import ipaddress
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from settings.base import Frozen, Label
from settings.budget import BudgetSettings
from settings.ecr import EcrSettings, Region
from settings.front_door import FrontDoorSettings, require_narrow
from settings.gateway import GatewaySettings
from settings.keeping import AuditSettings, BackupSettings, PodLogsSettings
from settings.node_pools import BUILT_IN, ENGINES, GpuPoolSettings, InstanceType, resolved
from settings.secrets import ExternalSecretsSettings

Zone = Annotated[str, Field(pattern=r"^[a-f]$", description="the letter after the region's name")]
Arn = Annotated[str, Field(pattern=r"^arn:aws[a-z-]*:iam::[0-9]{12}:(role|user)/[\w+=,.@/-]+$", max_length=200)]
# What AWS resolved for a cluster of 1.36; `aws eks describe-addon-versions` lists others.
ADDONS = {
    "vpc-cni": "v1.22.4-eksbuild.3",
    "kube-proxy": "v1.36.0-eksbuild.21",
    "coredns": "v1.14.3-eksbuild.16",
    "eks-pod-identity-agent": "v1.3.10-eksbuild.3",
    "aws-ebs-csi-driver": "v1.66.0-eksbuild.1",
    "metrics-server": "v0.9.0-eksbuild.11",
}
# Prefixes of a network: one of AWS holds a /16 at most, and eight parts with the addresses of pods fit no less.
SHORTEST, LONGEST = 16, 20


class NodesSettings(Frozen):
    """Nodes of one kind, without GPUs."""

    types: tuple[InstanceType, ...] = Field(default=("m7i.large",), min_length=1, max_length=10)
    min: int = Field(default=2, ge=1, le=100)
    max: int = Field(default=4, ge=1, le=1000)
    disk: int = Field(default=50, ge=20, le=2000, description="GiB")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.max < self.min:
            raise ValueError(f"max: {self.max} is below min {self.min}; raise it")
        return self


class AwsSettings(Frozen):
    """Where in AWS a stack lies, and how large it is there."""

    region: Region
    account: str = Field(pattern=r"^[0-9]{12}$", description="nothing is made in another one")
    admins: tuple[Arn, ...] = Field(min_length=1, max_length=20, description="who `pulumi up` runs as is one of them")
    cidr: str = "10.0.0.0/16"
    zones: tuple[Zone, ...] = Field(default=("a", "b", "c"), min_length=2, max_length=4)
    nat: Literal["zone", "one"] = Field(default="zone", description="a gateway in each zone, or one for all")
    version: str = Field(default="1.36", pattern=r"^1\.[0-9]{2}$")
    addons: dict[Label, str] = Field(default=ADDONS, description="name → version; replaces all of them")
    api_from: tuple[str, ...] = Field(default=(), max_length=20, description="networks that reach the API server")
    protect: bool = Field(default=True, description="whether cluster, keys and repositories refuse to be destroyed")
    log_days: Literal[30, 60, 90, 180, 365, 400, 731] = 90
    system: NodesSettings = NodesSettings(max=3)
    workers: NodesSettings = NodesSettings(types=("m7i.xlarge",), max=10)
    budget: BudgetSettings | None = None
    audit: AuditSettings | None = Field(default=None, description="a trail of the account; one stack has it")
    backup: BackupSettings | None = None
    pod_logs: PodLogsSettings | None = None
    secrets: ExternalSecretsSettings | None = None
    ecr: EcrSettings = EcrSettings()
    front_door: FrontDoorSettings | None = Field(default=None, description="how clients come in; none where not given")
    gpu_pools: dict[Label, GpuPoolSettings] = Field(default={}, description="name → nodes with GPUs")
    autoscaler: bool = Field(default=False, description="whether the cluster has one for node groups with GPUs")
    auto_mode: bool = Field(default=False, description="EKS Auto Mode, which pools of engine auto need; no way back")

    def nodes_of(self, pool: GpuPoolSettings) -> int:
        """Return the most nodes that a pool comes to: `max` where somebody makes them, `min` where nobody does."""
        return pool.max if pool.engine != "managed" or self.autoscaler else pool.min

    @property
    def registry(self) -> str:
        """The host of the account's registry."""
        return f"{self.account}.dkr.ecr.{self.region}.amazonaws.com"

    def door_seconds(self, gateway: GatewaySettings) -> int | None:
        """Return how long a front door keeps a connection without a request; None where there is none."""
        return self.front_door.idle_seconds(gateway) if self.front_door else None

    @field_validator("cidr")
    @classmethod
    def _is_private(cls, value: str) -> str:
        try:
            network = ipaddress.IPv4Network(value)
        except ValueError as error:
            raise ValueError(f"{value!r} is no network ({error}); write one as 10.0.0.0/16") from None
        if not network.is_private or not SHORTEST <= network.prefixlen <= LONGEST:
            raise ValueError(f"{value!r} is not a private network of /{SHORTEST} to /{LONGEST}; take 10.0.0.0/16")
        return value

    @field_validator("api_from")
    @classmethod
    def _are_narrow(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for one in value:
            require_narrow(one)
        return value

    @model_validator(mode="after")
    def _ecr_fits(self) -> Self:
        self.ecr.require_fits(self.region, self.account)
        return self

    @model_validator(mode="after")
    def _pods_have_identities(self) -> Self:
        if self.pod_logs and "eks-pod-identity-agent" not in self.addons:
            raise ValueError(
                "podLogs: its role is told to pods by eks-pod-identity-agent, which addons leaves out; add it there"
            )
        return self

    @model_validator(mode="after")
    def _differ(self) -> Self:
        if len(set(self.zones)) < len(self.zones):
            raise ValueError(f"zones: {', '.join(self.zones)} name one twice; name each once")
        return self

    @model_validator(mode="after")
    def _engines_fit(self) -> Self:
        of = {engine: [name for name, one in self.gpu_pools.items() if one.engine == engine] for engine in ENGINES}
        if of["auto"] and not self.auto_mode:
            raise ValueError(f"gpuPools.{of['auto'][0]}.engine: auto needs EKS Auto Mode; set autoMode: true")
        if of["karpenter"] and self.auto_mode:
            raise ValueError(
                f"gpuPools.{of['karpenter'][0]}.engine: karpenter brings the definitions that EKS Auto Mode has; use "
                "auto, or remove autoMode"
            )
        empty = [name for name in of["managed"] if not self.gpu_pools[name].min]
        if empty and not self.autoscaler:
            raise ValueError(
                f"gpuPools.{empty[0]}.min: 0 of engine: managed never has a node without an autoscaler; raise it, use "
                "karpenter, or install one and set autoscaler: true"
            )
        return self

    @model_validator(mode="after")
    def _pools_have_releases(self) -> Self:
        for name, pool in self.gpu_pools.items():
            if name in BUILT_IN:
                raise ValueError(f"gpuPools: {name!r} is a pool that EKS Auto Mode knows itself; name yours otherwise")
            try:
                resolved(pool, self.version)
            except ValueError as error:
                raise ValueError(f"gpuPools.{name}.{error}") from None
        return self
