"""GpuNodePool: nodes with GPUs of one kind, by the engine that its settings name."""

from __future__ import annotations

import pulumi

from components.aws import auto_pool, karpenter_pool, managed_pool
from components.aws.pools import PoolArgs

ENGINES = {"managed": managed_pool.create, "karpenter": karpenter_pool.create, "auto": auto_pool.create}


class GpuNodePool(pulumi.ComponentResource):
    """Nodes from none to as many as the settings say, labelled and tainted alike whichever engine makes them."""

    def __init__(self, name: str, args: PoolArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("modelstack:components:GpuNodePool", name, None, opts)
        ENGINES[args.settings.engine](args, pulumi.ResourceOptions(parent=self))
        self.register_outputs({})
