"""Ledger: keeps what the program declares, for the stack's output `cost`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pulumi
from google.protobuf.json_format import MessageToDict
from pulumi.runtime import rpc

from components.wire import camel
from cost.bill import bill
from cost.kinds import CHARTS, TEMPLATE, may_cost
from cost.lines import GIB, Declared
from cost.rates import Rates, rates
from cost.shares import Request, of_models
from settings import ModelSettings, Settings, amount, gpus_of
from settings.policies import CostSettings


class _Unknown:
    """What only `up` knows."""


@dataclass
class Ledger:
    """What the program declares, from `watch` on, and what it costs a month."""

    rates: Rates
    requests: Mapping[str, Request]
    """Model → what its pods request."""
    _declared: list[pulumi.ResourceTransformationArgs] = field(default_factory=list)

    @classmethod
    def of(cls, cost: CostSettings, settings: Settings, project: Path) -> Ledger:
        """Return the ledger of a stack that names `cost`. Raises SettingsError."""
        region = settings.aws.region if settings.aws else None
        asked = {name: _request(model, project) for name, model in settings.models.items()}
        return cls(rates(cost, project, region), asked)

    def watch(self) -> None:
        """Keep every resource that is declared from now on."""
        pulumi.runtime.register_stack_transformation(self._keep)

    def _keep(self, args: pulumi.ResourceTransformationArgs) -> None:
        # What is only read is somebody else's to pay; what a chart brings is declared by its provider, unseen here.
        made = isinstance(args.resource, pulumi.CustomResource) or args.type_.startswith(CHARTS)
        own = made and args.opts.id is None and args.opts.urn is None
        counts = may_cost(args.type_) or args.type_ in (TEMPLATE, *self.rates.monthly)
        if own and counts:
            self._declared.append(args)

    @property
    def cost(self) -> pulumi.Output[dict[str, Any]]:
        """`monthly` and `currency`, `models` → money where that can be said, and what is `notCounted`."""
        return pulumi.Output.from_input(self._reckon())

    async def _reckon(self) -> dict[str, Any]:
        found = bill([await _plain(one) for one in self._declared], self.rates.monthly)
        return {
            "monthly": round(found.money, 2),
            "currency": self.rates.currency,
            "models": of_models(found, self.rates, self.requests),
            "notCounted": list(found.missing),
        }


def _request(model: ModelSettings, project: Path) -> Request:
    """Return what a model's pods request; of several nodes each has its part of a replica's GPUs."""
    nodes = model.serve.nodes
    pods = model.first * nodes
    resources = model.resources
    return Request(
        cpu=amount(resources.cpu_request) * pods,
        memory=amount(resources.memory_request) / GIB * pods,
        gpus=float(gpus_of(project / model.recipe, nodes) * pods),
    )


async def _plain(args: pulumi.ResourceTransformationArgs) -> Declared:
    """Return a resource as the engine is told of it: awaited, by the names that it has there."""
    sent = await rpc.serialize_properties(args.props, {}, input_transformer=camel)
    return Declared(args.type_, args.name, _known(MessageToDict(sent)))


def _known(value: Any) -> Any:
    if rpc.is_rpc_secret(value):
        return _known(rpc.unwrap_rpc_secret(value))
    if isinstance(value, dict):
        return {key: _known(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_known(one) for one in value]
    return _Unknown() if value == rpc.UNKNOWN else value
