"""InferenceService: a model's image by digest, served by pods behind a Service."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial

import pulumi
import pulumi_kubernetes as k8s

from components import gateway, kserve, monitoring, network, runtime
from components.cache import egress
from components.check import allow_checks, labels_of, smoke_test
from components.labels import Labels
from components.progressive import ROLES, labelled, promotion
from components.rolling import deployment
from components.runtime import Scraped, Served
from components.scaling import autoscaler
from components.service import expose, service_ports
from components.serving_pods import InferenceServiceArgs, ServingPods
from components.shares import caps
from settings import ExposureSettings, RolloutSettings

__all__ = ["InferenceService", "InferenceServiceArgs"]


class InferenceService(pulumi.ComponentResource):
    """Pods of one model: never fewer than asked during a rollout, restricted, reached by whom a policy names."""

    url: pulumi.Output[str]
    scraped: Scraped
    """The headless Service that names every pod, ready or not, with the port and path of its metrics."""
    served: Mapping[str, Served]
    """The same for a gateway, of each version (`stable`, `canary`) that it tells apart."""

    def __init__(self, name: str, args: InferenceServiceArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("modelstack:components:InferenceService", name, None, opts)
        self._pods = ServingPods(Labels(name, args.site.stack, model=name), args)
        self._own = pulumi.ResourceOptions(parent=self)
        self._create_network_policy()
        if args.own_server:
            allow_checks(self._pods, self._own)
        self.url, last = self._roll_out(args.model.rollout)
        served = pulumi.ResourceOptions(parent=self, depends_on=last)
        # Where no pod may be up, nobody would answer; each pod has tested itself before it is ready.
        if args.own_server and not args.model.to_zero:
            smoke_test(self._pods, served)
        if args.model.scale:
            autoscaler(self._pods, args.model.scale, served)
        self._create_disruption_budget()
        self.scraped = self._create_headless_service()
        self.served = self._served()
        self.register_outputs({"url": self.url})

    def _roll_out(self, rollout: RolloutSettings) -> tuple[pulumi.Output[str], list[pulumi.Resource]]:
        """Bring the version up behind its Service; returns the URL, and what is ready once the version serves."""
        if rollout.strategy == "blueGreen":
            # The controller has to find the Service, and switches it from one version to the next.
            after_controller = pulumi.ResourceOptions(parent=self, depends_on=list(self._pods.args.controller))
            url, service = self._expose(after_controller, managed=True)
            after = pulumi.ResourceOptions(parent=self, depends_on=[service])
            return url, [promotion(self._pods, after)]
        serving = self._bring_up(rollout)
        # A Service waits for ready pods: behind them it waits for no build, and fails with nothing to serve.
        url, service = self._expose(pulumi.ResourceOptions(parent=self, depends_on=[serving]), managed=False)
        return url, [service]

    def _bring_up(self, rollout: RolloutSettings) -> pulumi.Resource:
        if self._pods.args.model.serve.by_kserve:
            return kserve.predictor(self._pods, self._own)
        by_controller = rollout.strategy == "canary"
        return promotion(self._pods, self._own) if by_controller else deployment(self._pods, self._own)

    def _expose(self, opts: pulumi.ResourceOptions, *, managed: bool) -> tuple[pulumi.Output[str], k8s.core.v1.Service]:
        args, ports, to_zero = self._pods.args, self._pods.told(runtime.asked), self._pods.args.model.to_zero
        exposure = ExposureSettings() if args.inside else args.site.exposure
        # A gateway asks for each pod; for itself a Service of one address is enough.
        headless = managed and args.inside
        return expose(
            *(self._pods.labels, args.site.namespace, ports, exposure, opts),
            managed=managed,
            headless=headless,
            to_zero=to_zero,
            selector=self._pods.selector,
        )

    def _create_headless_service(self) -> Scraped:
        name = self._headless(f"{self._pods.name}-pods", self._pods.selector)
        return Scraped(name, self._pods.told(lambda told: told["metrics"]))

    def _served(self) -> Mapping[str, Served]:
        args, own = self._pods.args, self._pods.name
        model, strategy = args.model, args.model.rollout.strategy
        # A rollout has old pods and new ones, and those that end are named until they are gone.
        at = partial(Served, runtime=self._pods.server, pods=_room(2 * model.most + 2))
        if strategy == "blueGreen":
            # Of the pods that the headless Service names, some wait to be promoted: only the own one knows which.
            return {"stable": at(own, to_zero=model.to_zero)}
        if strategy == "canary" and args.inside:
            stable, canary = (self._headless(f"{own}-{role}-pods", self._in_role(role)) for role in ROLES)
            capped = () if model.scale else caps(model.replicas, model.rollout.stages)
            return {"stable": at(stable, otherwise=own, to_zero=model.to_zero), "canary": at(canary, caps=capped)}
        return {"stable": at(self.scraped.service, otherwise=own, to_zero=model.to_zero)}

    def _in_role(self, role: str) -> Mapping[str, str]:
        return {**self._pods.selector, **labelled(role)}

    def _headless(self, name: str, selector: Mapping[str, str]) -> str:
        """Make a Service whose name resolves to each pod, ready or not; returns the name."""
        k8s.core.v1.Service(
            name,
            metadata={**self._pods.metadata, "name": name},
            spec={
                "cluster_ip": "None",
                "publish_not_ready_addresses": True,
                "selector": selector,
                "ports": self._pods.told(lambda told: service_ports(told["ports"])),
            },
            opts=self._own,
        )
        return name

    def _create_disruption_budget(self) -> None:
        k8s.policy.v1.PodDisruptionBudget(
            self._pods.name,
            metadata=self._pods.metadata,
            spec={"max_unavailable": 1, "selector": {"match_labels": self._pods.labels.selector}},
            opts=self._own,
        )

    def _create_network_policy(self) -> None:
        args, labels = self._pods.args, self._pods.labels
        stack = labels.stack
        asking = network.pods(Labels(gateway.NAME, stack)) if args.inside else network.clients(args.site.exposure)
        checks = network.pods(labels_of(self._pods)) if args.own_server else []
        checked: network.Ingress = {"from_": checks, "ports": network.tcp("http")}
        rules: list[network.Ingress] = [
            {"from_": asking, "ports": self._pods.told(lambda told: network.tcp(*runtime.asked(told)))},
            *([checked] if checks else []),
            {
                "from_": network.pods(Labels(monitoring.NAME, stack)),
                "ports": self._pods.told(lambda told: network.tcp(str(told["metrics"]["port"]))),
            },
        ]
        reached = [*(egress(stack) if args.cache else ())]
        if args.model.serve.over_nodes:
            # Ray and NCCL choose ports as they go, and a worker asks for the head by its name.
            rules.append({"from_": network.pods(labels)})
            reached += [network.names(), {"to": network.pods(labels)}]
        network.allow(labels, args.site, self._own, ingress=rules, egress=reached)


def _room(pods: int) -> int:
    """Return for how many pods a gateway has room: by eights, so that few changes of `replicas` roll it."""
    return math.ceil(pods / 8) * 8
