"""GpuNodePools: all pools of a stack's cluster, with what their engines need once, and what offers their GPUs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi

from components.aws.auto_mode import admitted_role
from components.aws.karpenter import Karpenter, KarpenterArgs
from components.aws.pools import PoolArgs, PoolGround
from components.gpu_devices import DCGM, GpuDevices, GpuDevicesArgs
from components.gpu_node_pool import GpuNodePool
from components.runtime import Scraped
from settings import GpuPoolSettings
from settings.node_pools import GPU


@dataclass(frozen=True, kw_only=True)
class GpuNodePoolsArgs:
    """Pools, and the cluster whose nodes they are."""

    pools: Mapping[str, GpuPoolSettings]
    ground: PoolGround
    region: str
    system_nodes: int
    """The fewest nodes that there are for what every cluster needs."""
    images: Mapping[str, pulumi.Input[str]]
    """`nvidia` and `dcgm` by digest, where a pool needs them."""
    namespace: str
    """The stack's own, whose Prometheus may ask for series."""
    stack: str


class GpuNodePools(pulumi.ComponentResource):
    """The pools of a stack, each a resource that what runs there waits for."""

    pools: dict[str, GpuNodePool]
    scraped: dict[str, Scraped]
    """What measures GPUs, and where Prometheus finds it."""

    def __init__(self, name: str, args: GpuNodePoolsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("modelstack:components:GpuNodePools", name, None, opts)
        self._args = args
        self._own = pulumi.ResourceOptions(parent=self)
        karpenter = self._create_karpenter()
        auto = admitted_role("auto-nodes", args.ground, self._own) if self._uses("auto") else None
        devices = self._create_devices()
        self.scraped = {DCGM: devices.scraped} if devices else {}
        self.pools = {one: self._create(one, karpenter, auto, devices) for one in args.pools}
        self.register_outputs({"pools": list(args.pools)})

    def _uses(self, engine: str) -> list[GpuPoolSettings]:
        return [one for one in self._args.pools.values() if one.engine == engine]

    def _create_karpenter(self) -> Karpenter | None:
        used = self._uses("karpenter")
        if not used:
            return None
        shares = any(one.resource != GPU for one in used)
        args = KarpenterArgs(
            ground=self._args.ground,
            region=self._args.region,
            stack=self._args.stack,
            replicas=min(2, self._args.system_nodes),
            shares=shares,
        )
        return Karpenter("karpenter", args, self._own)

    def _create_devices(self) -> GpuDevices | None:
        args = self._args
        ours = {name: one for name, one in args.pools.items() if one.engine != "auto"}
        if not ours:
            return None
        told = GpuDevicesArgs(
            pools=ours,
            images=args.images,
            namespace=f"{args.namespace}-gpu",
            stack=args.stack,
            scraped_from=args.namespace,
        )
        return GpuDevices("gpu-devices", told, self._own)

    def _create(
        self, name: str, karpenter: Karpenter | None, auto: pulumi.Input[str] | None, devices: GpuDevices | None
    ) -> GpuNodePool:
        settings = self._args.pools[name]
        args = PoolArgs(
            name=name,
            settings=settings,
            ground=self._args.ground,
            profile=karpenter.profile if karpenter else None,
            auto_role=auto,
        )
        after: list[pulumi.Resource] = [devices] if devices else []
        if karpenter and settings.engine == "karpenter":
            after.append(karpenter.ready)
        return GpuNodePool(name, args, pulumi.ResourceOptions(parent=self, depends_on=after))
